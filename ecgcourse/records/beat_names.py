"""Names of single beats: AAMI's classes, the symbols of the MIT-BIH database, training and test records.

Nothing is imported here, so that a name is there at once. Introduced in chapter 16.

References
----------
ANSI/AAMI EC57:1998. Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms.

de Chazal, P., O'Dwyer, M., Reilly, R. B. (2004). Automatic classification of heartbeats using ECG morphology and
heartbeat interval features. IEEE Transactions on Biomedical Engineering 51(7), 1196–1206.
doi:10.1109/TBME.2004.827359 (the table of symbols, and both sets of records).

Moody, G. B., Mark, R. G. (2001). The impact of the MIT-BIH arrhythmia database. IEEE Engineering in Medicine and
Biology Magazine 20(3), 45–50. doi:10.1109/51.932724.
"""

AAMI = {
    "N": ("N", "L", "R", "e", "j"),
    "S": ("A", "a", "J", "S"),
    "V": ("V", "E"),
    "F": ("F",),
    "Q": ("/", "f", "Q"),
}
"""The five classes and the symbols that belong to each. All other symbols of an annotation file are no beats.

- N: normal (N), left (L) or right (R) bundle branch block, atrial (e) or nodal (j) escape beat;
- S: atrial (A), aberrated atrial (a), nodal (J) or supraventricular (S) premature beat;
- V: premature ventricular contraction (V), ventricular escape beat (E);
- F: fusion of a ventricular and a normal beat;
- Q: paced (/), fusion of a paced and a normal beat (f), unclassifiable (Q).
"""

CLASS_OF = {symbol: name for name, symbols in AAMI.items() for symbol in symbols}

PACED = "/"
"""A record with such a beat is left out, as AAMI recommends: in the MIT-BIH database 102, 104, 107 and 217."""

DS1 = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
"""Training records of the MIT-BIH database (de Chazal et al. 2004)."""

DS2 = (
    *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
    *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
)
"""Its test records. One man is on both sides: 201 and 202 are his; the split has been used so for twenty years."""

VALIDATION = ("114", "124", "207", "223")
"""Records of `DS1` that validate: this course's choice, since de Chazal et al. had no validation set. They have beats
of the classes N, S, V and F."""

SAME_PATIENT = {"202": "201"}
"""Records of a patient who has another one."""

SPLITS = ("inter-patient", "intra-patient")
"""Who judges: beats of other patients, or other beats of the same ones."""
