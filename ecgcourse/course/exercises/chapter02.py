"""Answers to the exercises of chapter 2, labels and folds.

Two of them are counts in the records that the book uses at the moment.
"""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse.course.exercises.judging import conditions, function, values
from ecgcourse.records import practice, ptbxl

LEAST = 80  # percent: a likelihood that counts as sure


@lru_cache(maxsize=1)
def _table(root: Path) -> pd.DataFrame:
    return ptbxl.read_table(root)


@lru_cache(maxsize=1)
def _class_of(root: Path) -> dict[str, str]:
    """The superclass of each diagnostic code."""
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    return statements.loc[statements["diagnostic"] == 1, "diagnostic_class"].to_dict()


def conduction_codes() -> dict[str, float]:
    """How many training records have each code of the class CD."""
    return _counts(_part("train"))


def _part(name: str) -> pd.DataFrame:
    return ptbxl.split(_table(practice.data_root()))[name]


def _counts(table: pd.DataFrame, worth: Callable[[float], float] = lambda likelihood: 1) -> dict[str, float]:
    """Add up for each code of CD what its likelihoods are worth."""
    class_of = _class_of(practice.data_root())
    found = Counter()
    for codes in table["scp_codes"]:
        found.update({code: worth(each) for code, each in codes.items() if class_of.get(code) == "CD"})
    return dict(found)


def _of_training_codes(found: dict[str, float]) -> dict[str, float]:
    """Counts for the codes that the training part has."""
    return {code: found.get(code, 0) for code in conduction_codes()}


def share_lost() -> dict[str, float]:
    """The share of each class's records that have no sure code of it: between 0 and 1."""
    return _share_lost(lambda each: each >= LEAST)


def _share_lost(counts: Callable[[float], bool]) -> dict[str, float]:
    before, after = _positives(lambda each: True), _positives(counts)
    return {name: 1 - after[name] / before[name] if before[name] else 0.0 for name in ptbxl.CLASSES}


def _positives(counts: Callable[[float], bool]) -> dict[str, int]:
    """Records of each class, from the codes whose likelihood counts."""
    root = practice.data_root()
    class_of = _class_of(root)
    found = Counter()
    for codes in _table(root)["scp_codes"]:
        found.update({class_of[code] for code, each in codes.items() if code in class_of and counts(each)})
    return {name: found[name] for name in ptbxl.CLASSES}


def _number_lost() -> dict[str, int]:
    before, after = _positives(lambda each: True), _positives(lambda each: each >= LEAST)
    return {name: before[name] - after[name] for name in ptbxl.CLASSES}


def _share_of_all_records() -> dict[str, float]:
    return {name: number / len(_table(practice.data_root())) for name, number in _number_lost().items()}


# --- 1: a split that leaks


@lru_cache(maxsize=1)
def _visitors() -> pd.DataFrame:
    """A table of 200 records, some of whose patients came two or three times, in the order of their visits."""
    rng = np.random.default_rng(0)
    patients = np.concatenate(
        [np.repeat(np.arange(100, 120), 3), np.repeat(np.arange(300, 340), 2), np.arange(500, 560)]
    )
    return pd.DataFrame({"patient_id": rng.permutation(patients)}, index=pd.Index(range(1, 201), name="ecg_id"))


def rows_to_test(table: pd.DataFrame) -> np.ndarray:
    """The rows of a fifth of the records, of patients who have no others."""
    return _by_groups(table, table["patient_id"])


def _by_groups(table: pd.DataFrame, groups: pd.Series | pd.Index) -> np.ndarray:
    from sklearn.model_selection import GroupShuffleSplit  # not above: half a second's import

    return next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(table, groups=groups))[1]


def _chosen(answer: Callable) -> tuple[np.ndarray, pd.Series]:
    """The rows that a function chooses for the test, and the patient of each record."""
    table = _visitors().copy()
    return np.asarray(answer(table)), _visitors()["patient_id"]


def _are_rows(answer: Callable) -> bool:
    rows, patients = _chosen(answer)
    is_whole = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.size > 0
    return is_whole and len(set(rows)) == len(rows) and 0 <= rows.min() and rows.max() < len(patients)


def _is_a_fifth(answer: Callable) -> bool:
    rows, patients = _chosen(answer)
    return 0.1 < len(rows) / len(patients) < 0.3


def _on_both_sides(answer: Callable) -> int:
    rows, patients = _chosen(answer)
    return len(set(patients.iloc[rows]) & set(patients.drop(patients.index[rows])))


def _has_returning_patients(answer: Callable) -> bool:
    rows, patients = _chosen(answer)
    return bool(patients.iloc[rows].duplicated().any())


def _of_one_visit(table: pd.DataFrame) -> np.ndarray:
    return np.flatnonzero(~table["patient_id"].duplicated(keep=False))[:40]


# --- 4: parts alike

LARGEST_SPREAD = 0.1
"""The most by which the shares of a class may differ between the parts; scikit-learn's GroupKFold comes to 0.25."""


def part_of_each(patients: np.ndarray, labels: np.ndarray, n_parts: int) -> np.ndarray:
    """Put patients with many labels first, each where labels and records then spread most evenly."""
    names, rows = np.unique(patients, return_inverse=True)
    brought = np.zeros((len(names), labels.shape[1] + 1))
    np.add.at(brought, rows, np.column_stack([labels, np.ones(len(labels))]))
    brought /= brought.sum(axis=0)
    held, part_of = np.zeros((n_parts, brought.shape[1])), np.zeros(len(names), dtype=int)
    for patient in np.argsort(-brought.sum(axis=1), kind="stable"):
        part_of[patient] = ((held + brought[patient]) ** 2 - held**2).sum(axis=1).argmin()
        held[part_of[patient]] += brought[patient]
    return part_of[rows]


def _dealt(patients: np.ndarray, labels: np.ndarray, n_parts: int) -> np.ndarray:
    names, rows = np.unique(patients, return_inverse=True)
    return np.random.default_rng(0).permutation(np.arange(len(names)) % n_parts)[rows]


@lru_cache(maxsize=1)
def _visits() -> tuple[np.ndarray, np.ndarray, int]:
    """Patients and labels of 200 records, which nearly always repeat what the patient has."""
    patients = _visitors()["patient_id"].to_numpy()
    rng = np.random.default_rng(1)
    has = rng.random((600, len(ptbxl.CLASSES))) < [0.2, 0.25, 0.2, 0.1]
    return patients, (has[patients] ^ (rng.random((len(patients), len(ptbxl.CLASSES))) < 0.04)).astype(float), 5


def _asked(answer: Callable) -> np.ndarray:
    patients, labels, n_parts = _visits()
    return np.asarray(answer(patients.copy(), labels.copy(), n_parts))


def _keeps_patients_together(answer: Callable) -> bool:
    patients, _, _ = _visits()
    pairs = set(zip(patients.tolist(), _asked(answer).tolist(), strict=True))
    return len(pairs) == len(set(patients.tolist()))


def _is_even(answer: Callable) -> bool:
    patients, _, n_parts = _visits()
    sizes = np.bincount(_asked(answer), minlength=n_parts)
    even = len(patients) / n_parts
    return bool((sizes > even / 2).all() and (sizes < even * 2).all())


def _nearly_all_in_one(patients: np.ndarray, labels: np.ndarray, n_parts: int) -> np.ndarray:
    return np.minimum(np.unique(patients, return_inverse=True)[1], n_parts - 1)


def _spread(answer: Callable) -> np.ndarray:
    """By how much the share of each class differs between the parts at most."""
    part, (_, labels, n_parts) = _asked(answer), _visits()
    return np.ptp([labels[part == number].mean(axis=0) for number in range(n_parts)], axis=0)


def _how_alike(answer: Callable) -> str:
    spread = _spread(answer)
    worst = spread.argmax()
    return (
        f"the share of {ptbxl.CLASSES[worst]} differs by {spread[worst]:.2f} between two parts; bar: {LARGEST_SPREAD}."
    )


def chance_of_sharing(n_records: int, share: float) -> float:
    """The chance that a patient is in training and test, when `share` of all records is drawn for the test."""
    return 1 - share**n_records - (1 - share) ** n_records


EXERCISES = {
    1: conditions(
        lambda: rows_to_test,
        (
            callable,
            lambda: np.arange(40),
            "a function is needed that takes a table, so that it can be tried on others.",
        ),
        (
            _are_rows,
            lambda: lambda table: np.arange(len(table)) < 40,
            "the rows of the test records are needed, as numbers from 0, each once.",
        ),
        (
            _is_a_fifth,
            lambda: lambda table: np.arange(0, len(table), 2),
            "about a fifth of the records should be in the test.",
        ),
        (
            lambda answer: _on_both_sides(answer) == 0,
            lambda: lambda table: _by_groups(table, table.index),
            lambda answer: f"{_on_both_sides(answer)} patients have records on both sides.",
        ),
        (
            _has_returning_patients,
            lambda: _of_one_visit,
            "nobody in your test came twice. Patients who come again are missing there.",
        ),
        what="a function that takes a table with the column patient_id and returns the rows of the test records",
    ),
    2: values(
        conduction_codes,
        (
            lambda: _of_training_codes(_counts(_table(practice.data_root()))),
            "that counts in all records. Asked is the training part: parts['train'].",
        ),
        (
            lambda: _of_training_codes(_counts(_part("test"))),
            "that counts in the test part. Asked is the training part: parts['train'].",
        ),
        (
            lambda: _of_training_codes(_counts(_part("train"), lambda likelihood: likelihood > 0)),
            "codes with likelihood 0 are missing. 0 means unknown, and the rule counts them.",
        ),
        (
            lambda: _of_training_codes(_counts(_part("train"), lambda likelihood: likelihood)),
            "that sums the likelihoods. Count each record that has the code once.",
        ),
        what="a dict, code to number of records, such as {'CLBBB': 12, 'CRBBB': 34}",
        hint="class_of tells which codes belong to CD. Go through parts['train']['scp_codes'], one dict a record.",
    ),
    3: values(
        share_lost,
        (
            lambda: {name: 1 - lost for name, lost in share_lost().items()},
            "that is the share that stays. Asked is the share that is lost.",
        ),
        (_number_lost, "those are numbers of records. Divide each by the number that its class had before."),
        (
            _share_of_all_records,
            "you divided by the number of all records. Divide by the number that the class had before.",
        ),
        (
            lambda: _share_lost(lambda each: each > LEAST),
            f"at least {LEAST} percent includes {LEAST}: use >=, not >.",
        ),
        (
            lambda: _share_lost(lambda each: each >= LEAST or each == 0),
            "you kept codes with likelihood 0. It means unknown, which is not sure.",
        ),
        (
            lambda: {name: 100 * lost for name, lost in share_lost().items()},
            "those are percent. Asked is a share, between 0 and 1.",
        ),
        what="a dict with a share for each of MI, STTC, CD and HYP",
        hint="count the positives of each class twice, as labels_from does with 0 and with 80.",
        rtol=1e-3,
    ),
    4: conditions(
        lambda: part_of_each,
        (
            callable,
            lambda: np.arange(5),
            "a function is needed that takes patients, labels and a number of parts, so that it can be tried.",
        ),
        (
            lambda answer: _asked(answer).shape == _visits()[0].shape,
            lambda: lambda patients, labels, n_parts: np.arange(n_parts),
            "one number is needed for each record: the part that it is in.",
        ),
        (
            lambda answer: set(_asked(answer).tolist()) == set(range(_visits()[2])),
            lambda: lambda patients, labels, n_parts: patients,
            "the parts must be called 0, 1, … n_parts − 1, and each must have at least one record.",
        ),
        (
            _keeps_patients_together,
            lambda: lambda patients, labels, n_parts: np.arange(len(patients)) % n_parts,
            "some patient has records in two parts. Divide the patients, not the records.",
        ),
        (
            _is_even,
            lambda: _nearly_all_in_one,
            "the parts differ too much in size. Each should have about as many records as the others.",
        ),
        (lambda answer: _spread(answer).max() < LARGEST_SPREAD, lambda: _dealt, _how_alike),
        what="a function that takes the patient (N,) and the labels (N, 4) of each record and a number of parts, and "
        "returns parts (N,)",
    ),
    5: function(
        chance_of_sharing,
        (
            lambda n, p: 1 - (1 - p) ** n,
            "that is the chance of at least one record in the test. If all of them are there, nothing is shared.",
        ),
        (
            lambda n, p: p**n + (1 - p) ** n,
            "that is the chance that all records stay on one side. Asked is the opposite.",
        ),
        (
            lambda n, p: p * (1 - p) ** (n - 1),
            "that is one order in which it can happen. It may be any of the records, and more than one.",
        ),
        (
            lambda n, p: 1 - p**n,
            "that is the chance that not all are in the test. All in the training share nothing, too.",
        ),
        (lambda n, p: p, "that is the chance of one record to be in the test. How many has the patient?"),
        tries=lambda: [(2, 0.1), (3, 0.2), (1, 0.5), (10, 0.1)],
        what="a function that takes a number of records and the share of the test, and returns a chance",
        hint="when does a patient stay on one side?",
    ),
}
