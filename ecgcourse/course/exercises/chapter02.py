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


def part_of_each(patients: np.ndarray, n_parts: int) -> np.ndarray:
    """Deal patients out to parts: the number of the part of each record, 0 to n_parts − 1."""
    names, rows = np.unique(patients, return_inverse=True)
    dealt = np.random.default_rng(0).permutation(np.arange(len(names)) % n_parts)
    return dealt[rows]


def _visits() -> tuple[np.ndarray, int]:
    """Patients of 200 records, some of whom came two or three times, in the order of their visits."""
    rng = np.random.default_rng(0)
    patients = np.concatenate(
        [np.repeat(np.arange(100, 120), 3), np.repeat(np.arange(300, 340), 2), np.arange(500, 560)]
    )
    return rng.permutation(patients), 5


def _asked(answer: Callable) -> np.ndarray:
    return np.asarray(answer(*_visits()))


def _keeps_patients_together(answer: Callable) -> bool:
    patients, _ = _visits()
    pairs = set(zip(patients.tolist(), _asked(answer).tolist(), strict=True))
    return len(pairs) == len(set(patients.tolist()))


def _is_even(answer: Callable) -> bool:
    patients, n_parts = _visits()
    sizes = np.bincount(_asked(answer), minlength=n_parts)
    even = len(patients) / n_parts
    return bool((sizes > even / 2).all() and (sizes < even * 2).all())


def _nearly_all_in_one(patients: np.ndarray, n_parts: int) -> np.ndarray:
    return np.minimum(np.unique(patients, return_inverse=True)[1], n_parts - 1)


def chance_of_sharing(n_records: int, share: float) -> float:
    """The chance that a patient is in training and test, when `share` of all records is drawn for the test."""
    return 1 - share**n_records - (1 - share) ** n_records


EXERCISES = {
    1: values(
        lambda: [1, 0, 1, 0],
        (lambda: [0, 0, 1, 0], "IMI counts too: the rule takes a code whatever its likelihood."),
        (lambda: [0.5, 0, 1, 0], "a label is 0 or 1. The likelihood doesn't enter it."),
        (lambda: [1, 1, 0, 0], "the places are MI, STTC, CD, HYP. Which is the class of a bundle branch block?"),
        (lambda: [1, 0, 1, 1], "SR is sinus rhythm: a rhythm code belongs to no superclass."),
        (lambda: [0, 1, 0, 1, 0], "NORM has no place of its own. A label has four: MI, STTC, CD, HYP."),
        what="a list of four zeros and ones",
        hint="look up the superclass of each of the three codes. One of them is not diagnostic.",
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
            "a function is needed that takes patients and a number of parts, so that it can be tried on others.",
        ),
        (
            lambda answer: _asked(answer).shape == _visits()[0].shape,
            lambda: lambda patients, n_parts: np.arange(n_parts),
            "one number is needed for each record: the part that it is in.",
        ),
        (
            lambda answer: set(_asked(answer).tolist()) == set(range(_visits()[1])),
            lambda: lambda patients, n_parts: patients,
            "the parts must be called 0, 1, … n_parts − 1, and each must have at least one record.",
        ),
        (
            _keeps_patients_together,
            lambda: lambda patients, n_parts: np.arange(len(patients)) % n_parts,
            "some patient has records in two parts. Divide the patients, not the records.",
        ),
        (
            _is_even,
            lambda: _nearly_all_in_one,
            "the parts differ too much in size. Each should have about as many records as the others.",
        ),
        what="a function that takes the patient of each record (N,) and a number of parts, and returns parts (N,)",
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
        hint="there are two ways not to be shared: all records in the test, or all in the training.",
    ),
}
