"""Answers to the exercises of chapter 16, single heartbeats."""

import numpy as np
from numpy.typing import NDArray

from ecgcourse.course.exercises.judging import function, values, word

Array = NDArray[np.float64]
COUNTS = np.array([18118, 556, 1448, 162, 1608])
"""Beats of the classes N, S, V, F, Q in the test file of Kachuee et al. 2018."""


# --- 1: always N


def always_n() -> float:
    """Macro F1 of a model that says N of every beat."""
    return _f1_of_n() / len(COUNTS)


def _f1_of_n() -> float:
    precision = COUNTS[0] / COUNTS.sum()
    return float(2 * precision / (precision + 1))


# --- 2: acquaintances


def acquainted(patients: Array, is_test: NDArray[np.bool_]) -> float:
    """Share of the test beats whose patient has training beats, too."""
    return float(np.isin(patients[is_test], patients[~is_test]).mean())


def _share_of_patients(patients: Array, is_test: NDArray[np.bool_]) -> float:
    return float(np.isin(np.unique(patients[is_test]), patients[~is_test]).mean())


def _of_training_beats(patients: Array, is_test: NDArray[np.bool_]) -> float:
    return acquainted(patients, ~is_test)


def _of_all_beats(patients: Array, is_test: NDArray[np.bool_]) -> float:
    return float((is_test & np.isin(patients, patients[~is_test])).mean())


def _among_themselves(patients: Array, is_test: NDArray[np.bool_]) -> float:
    return float(np.isin(patients[is_test], patients).mean())


def _strangers(patients: Array, is_test: NDArray[np.bool_]) -> float:
    return 1 - acquainted(patients, is_test)


def _beats() -> list[tuple[Array, NDArray[np.bool_]]]:
    rng = np.random.default_rng(0)
    few = np.repeat(np.arange(9), [2, 9, 3, 12, 5, 1, 7, 4, 6])
    return [(few, (few < 4) & (rng.random(len(few)) < 0.6) | (few > 6)), (np.arange(8), np.arange(8) > 4)]


# --- 3: the best of n


def expected_best(n: int, m: int, p: float) -> float:
    """Expected largest recall of n checkpoints, each of which finds each of m beats with probability p."""
    from scipy.stats import binom  # not above: a second's import

    return float((1 - binom.cdf(np.arange(m), m, p) ** n).sum() / m)


def _no_choice(n: int, m: int, p: float) -> float:
    return p


def _worst(n: int, m: int, p: float) -> float:
    from scipy.stats import binom

    return float((binom.sf(np.arange(m), m, p) ** n).sum() / m)


def _without_zero(n: int, m: int, p: float) -> float:
    return expected_best(n, m, p) - 1 / m


def _count(n: int, m: int, p: float) -> float:
    return expected_best(n, m, p) * m


def _two_deviations(n: int, m: int, p: float) -> float:
    return p + 2 * np.sqrt(p * (1 - p) / m)


EXERCISES = {
    1: values(
        always_n,
        (lambda: float(COUNTS[0] / COUNTS.sum()), "that is the accuracy. Asked for is the mean of five F1 scores."),
        (_f1_of_n, "that is the F1 score of N alone. The other four are 0; take the mean of all five."),
        (
            lambda: 0.2,
            "that is the macro sensitivity. The F1 score of N isn't 1, since many beats are called N wrongly.",
        ),
        (
            lambda: float(COUNTS[0] / COUNTS.sum() / len(COUNTS)),
            "that is the macro precision. F1 is the harmonic mean of precision and recall.",
        ),
        what="a number from 0 to 1",
        hint="N has a recall of 1, and its precision is its share of the beats. Four F1 scores are 0.",
        rtol=1e-3,
    ),
    2: function(
        acquainted,
        (_share_of_patients, "that counts patients. Asked for is the share of the test beats."),
        (
            _of_training_beats,
            "that is the share of the training beats whose patient has test beats: the other way round.",
        ),
        (_of_all_beats, "you divided by all beats. Take the test beats alone."),
        (_among_themselves, "every test beat's patient is among all patients. Look for them among the training beats."),
        (_strangers, "that is the share whose patient is new. Asked for is the rest."),
        tries=_beats,
        what="a function that takes two arrays (N,) and returns a share from 0 to 1",
        hint="np.isin tells which of the test beats' patients are among those of the training beats.",
    ),
    3: function(
        expected_best,
        (_no_choice, "that is what each one has on average. The best of several has more, by luck."),
        (_worst, "all of them are larger than k: that is the worst of n. Of the best, at least one must be."),
        (_without_zero, "k starts at 0: one beat is missing from your sum."),
        (_count, "that is a number of beats. Divide by m to get a recall."),
        (
            _two_deviations,
            "two standard deviations are a rule of thumb that doesn't know how many there are to choose from.",
        ),
        tries=lambda: [(30, 162, 0.8), (2, 10, 0.5), (5, 40, 0.9)],
        what="a function that takes n, m and p and returns a recall from 0 to 1",
        hint="the best is at most k if all n are: binom.cdf(k, m, p) ** n.",
        rtol=1e-4,
    ),
    4: word(
        "too high",
        (
            "too low",
            "a made beat lies halfway between two others. If those are in the training set, it is easily recognized.",
        ),
        (
            "right",
            "of a made beat, what it was made of is likely to be in the training set: judges and learners are related.",
        ),
        (
            "like guessing",
            "the made beats aren't noise to the model: each resembles the two that it was made of.",
        ),
        what="'too high', 'too low', 'right' or 'like guessing'",
    ),
}
