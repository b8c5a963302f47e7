"""PTB-XL's tables, leads, classes and folds by name. Nothing is imported here, so that a name is there at once."""

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads of PTB-XL, in the order of its files."""

ALL_LEADS = (*LEADS, "MLII")
"""All leads that a network can read: those of PTB-XL, and the modified lead II of Holter recorders."""

CLASSES = ("MI", "STTC", "CD", "HYP")
"""The four abnormal superclasses, in the order of the columns of every label array: myocardial infarction, ST/T change,
conduction disturbance, hypertrophy."""

LABEL_SETS = ("superclass", "superclass5", "subclass", "diagnostic", "form", "rhythm", "all")
"""The sets of classes that PTB-XL's records have labels of, as in Strodthoff et al., "Deep learning for ECG analysis:
benchmarks and insights from PTB-XL", IEEE J. Biomed. Health Inform. 25, 1519 (2021), doi:10.1109/JBHI.2020.3022989.

- ``superclass``: the four diagnostic superclasses of `CLASSES`. A normal ECG has none of them.
- ``superclass5``: the same with NORM in front, the paper's "super-diagnostic".
- ``subclass``: ``diagnostic_subclass`` of ``scp_statements.csv``, the paper's "sub-diagnostic"; 23 in PTB-XL.
- ``diagnostic``, ``form``, ``rhythm``: the SCP codes whose statement is marked so; 44, 19 and 12. A code may be of
  two sets: NDT is a diagnosis and a form.
- ``all``: every SCP code of ``scp_statements.csv``; 71.
"""

FOLDS = {"train": (1, 2, 3, 4, 5, 6, 7, 8), "val": (9,), "test": (10,)}
"""The values of ``strat_fold`` that make each partition."""
