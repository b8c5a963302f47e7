"""Answers to the exercises of chapter 16, single heartbeats."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ecgcourse.course.exercises.judging import conditions, function, values

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


# --- 4: balanced too early

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


def balanced(y: Array, patients: Array) -> Rows:
    """Let two patients judge, and repeat the rare beats (1) of the others."""
    owners = np.random.default_rng(0).permutation(np.unique(patients))
    return _repeated(y, np.isin(patients, owners[: len(owners) // 10]))


def _repeated(y: Array, is_test: NDArray[np.bool_]) -> Rows:
    learn = np.flatnonzero(~is_test)
    rare = learn[y[learn] == 1]
    more = np.random.default_rng(0).choice(rare, len(learn) - 2 * len(rare))
    return np.concatenate([learn, more]), np.flatnonzero(is_test)


def _too_early(y: Array, patients: Array) -> Rows:
    rows, _ = _repeated(y, np.zeros(len(y), dtype=bool))
    rows = np.random.default_rng(0).permutation(rows)
    return rows[len(rows) // 10 :], rows[: len(rows) // 10]


def _each_once(y: Array, patients: Array) -> Rows:
    learn, judge = _too_early(y, patients)
    return learn, np.unique(judge)


def _beat_by_beat(y: Array, patients: Array) -> Rows:
    return _repeated(y, np.random.default_rng(0).random(len(y)) < 0.1)


def _as_rare(y: Array, patients: Array) -> Rows:
    learn, judge = balanced(y, patients)
    return np.unique(learn), judge


@lru_cache(maxsize=1)
def _owned() -> tuple[Array, Array]:
    """Two classes of beats, of which one in ten is rare (1), and the patients of them: 20 with 30 beats each."""
    return (np.arange(600) % 10 == 0).astype(int), np.random.default_rng(1).permutation(np.repeat(np.arange(20), 30))


def _rows(answer: Callable) -> Rows:
    learn, judge = answer(*(each.copy() for each in _owned()))
    return np.asarray(learn), np.asarray(judge)


def _are_rows(answer: Callable) -> bool:
    return all(rows.ndim == 1 and rows.dtype.kind in "iu" for rows in _rows(answer))


def _judges_enough(answer: Callable) -> bool:
    return 0.03 < len(set(_rows(answer)[1].tolist())) / len(_owned()[0]) < 0.4


def _judge_again(answer: Callable) -> int:
    judge = _rows(answer)[1]
    return len(judge) - len(np.unique(judge))


def _shared(answer: Callable, names: Array) -> int:
    learn, judge = _rows(answer)
    return len(np.intersect1d(names[learn], names[judge]))


def _rare_share(answer: Callable) -> float:
    return float(_owned()[0][_rows(answer)[0]].mean())


# --- 5: a stranger's beats

GOOD_F1 = 0.9  # the nearest neighbour reaches 0.75


@lru_cache(maxsize=1)
def _strangers_beats() -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """Beats (N, 187) of 20 patients with shapes of their own, their classes, owners, and whether they judge.

    Class 0 is the usual beat, 1 a wide one, 2 a blend of both.
    """
    rng, time = np.random.default_rng(0), (np.arange(187) - 62) / 125

    def bump(centre: float, width: float) -> Array:
        return np.exp(-(((time - centre) / width) ** 2) / 2)

    x, numbers = [], (50, 12, 8)
    for _ in range(20):
        usual = bump(0, rng.uniform(0.01, 0.05)) - rng.uniform(0, 0.5) * bump(rng.uniform(0.025, 0.06), 0.012)
        usual = rng.uniform(0.6, 1.4) * (usual + 0.1 * bump(-0.16, 0.02))
        usual += rng.uniform(-0.2, 0.45) * bump(rng.uniform(0.24, 0.32), 0.05)
        wide = rng.uniform(0.7, 1.5) * bump(rng.uniform(-0.01, 0.03), rng.uniform(0.03, 0.05))
        wide = rng.choice([-1, 1]) * (wide - rng.uniform(0.2, 0.5) * bump(rng.uniform(0.26, 0.34), 0.06))
        share = rng.uniform(0.35, 0.65)
        for shape, number in zip((usual, wide, share * usual + (1 - share) * wide), numbers, strict=True):
            x.append(shape * rng.normal(1, 0.05, (number, 1)) + rng.normal(0, 0.04, (number, 187)))
    owners = np.repeat(np.arange(20), sum(numbers))
    return np.concatenate(x), np.tile(np.repeat([0, 1, 2], numbers), 20), owners, owners >= 12


def _said(answer: Callable) -> NDArray:
    x, y, owners, judges = _strangers_beats()
    return np.asarray(answer(x[~judges], y[~judges], owners[~judges], x[judges], owners[judges]))


def _f1_of(answer: Callable) -> float:
    _, y, _, judges = _strangers_beats()
    y, said = y[judges], _said(answer)
    right = [2 * ((y == k) & (said == k)).sum() / ((y == k).sum() + (said == k).sum()) for k in range(3)]
    return float(np.mean(right))


def nearest(x: Array, y: Array, owners: Array, new: Array, new_owners: Array) -> Array:
    """The class of the most similar training beat."""
    x, new = (beats - beats.mean(axis=1, keepdims=True) for beats in (x, new))
    return y[((x**2).sum(axis=1) - 2 * new @ x.T).argmin(axis=1)]


def against_the_usual(x: Array, y: Array, owners: Array, new: Array, new_owners: Array) -> Array:
    """The nearest neighbour among differences to the median beat of the same patient, each patient scaled alike."""

    def apart(beats: Array, owners: Array) -> Array:
        found = np.empty_like(beats)
        for owner in np.unique(owners):
            own = beats[owners == owner] - np.median(beats[owners == owner], axis=0)
            found[owners == owner] = own / np.quantile(np.abs(own), 0.99)
        return found

    return nearest(apart(x, owners), y, owners, apart(new, new_owners), new_owners)


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
        hint="what are precision and recall of N, and those of a class that is never said?",
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
        hint="go through the test beats on paper, for three patients: whose patient has training beats?",
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
        hint="what must all n checkpoints do, so that the best finds at most k beats?",
        rtol=1e-4,
    ),
    4: conditions(
        lambda: balanced,
        (callable, lambda: balanced(*_owned()), "a function is needed that takes classes and patients."),
        (
            _are_rows,
            lambda: lambda y, patients: (y == 1, y == 0),
            "two arrays of row numbers are needed: those that learn, and those that judge.",
        ),
        (
            _judges_enough,
            lambda: lambda y, patients: (np.arange(len(y)), np.arange(3)),
            "about a tenth of the beats, or of the patients, should judge.",
        ),
        (
            lambda answer: _judge_again(answer) == 0,
            lambda: _too_early,
            lambda answer: f"{_judge_again(answer)} of those that judge are there for the second time or more.",
        ),
        (
            lambda answer: _shared(answer, np.arange(len(_owned()[0]))) == 0,
            lambda: _each_once,
            lambda answer: f"{_shared(answer, np.arange(len(_owned()[0])))} beats learn and judge.",
        ),
        (
            lambda answer: _shared(answer, _owned()[1]) == 0,
            lambda: _beat_by_beat,
            lambda answer: f"no beat is on both sides any more, but {_shared(answer, _owned()[1])} patients are.",
        ),
        (
            lambda answer: abs(_rare_share(answer) - 0.5) < 0.02,
            lambda: _as_rare,
            lambda answer: f"of those that learn {_rare_share(answer):.0%} are rare beats; half should be.",
        ),
        what="a function that takes classes (N,), 0 or 1, and patients (N,), and returns two arrays of rows",
    ),
    5: conditions(
        lambda: against_the_usual,
        (callable, lambda: np.zeros(560), "a function is needed, so that it can be tried on other beats."),
        (
            lambda answer: _said(answer).shape == (_strangers_beats()[3].sum(),),
            lambda: lambda x, y, owners, new, new_owners: y,
            "one class is needed for each of the new beats.",
        ),
        (
            lambda answer: set(_said(answer).tolist()) <= {0, 1, 2},
            lambda: lambda x, y, owners, new, new_owners: nearest(x, y, owners, new, new_owners) + 0.5,
            "each answer must be one of the classes in y.",
        ),
        (
            lambda answer: _f1_of(answer) >= GOOD_F1,
            lambda: nearest,
            lambda answer: f"its macro F1 is {_f1_of(answer):.2f}, and {GOOD_F1} is the bar.",
        ),
        what="a function that takes beats (N, T), their classes (N,) and owners (N,), new beats (M, T) and their "
        "owners (M,), and returns classes (M,)",
    ),
}
