"""The one bootstrap: patients are drawn with replacement, and what is measured is measured again on those drawn.

A record that was drawn twice is a record of weight 2, so no array is ever copied: a resample is a column of weights,
and what needs an order, the area under a curve, is sorted once for all resamples. Introduced in chapter 11.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ecgcourse.errors import DataError, SettingError

Weights = NDArray[np.float64]

# Elements of the weights of one block of resamples: 2 MB stay in a processor's cache.
_BLOCK = 250_000
_MAX_REDRAWS = 1_000


def check_number(n_bootstrap: int) -> None:
    """Raise SettingError unless the number of resamples is a whole number, at least 1."""
    if not isinstance(n_bootstrap, int | np.integer) or n_bootstrap < 1:
        raise SettingError(f"n_bootstrap is {n_bootstrap!r}; it must be a whole number, at least 1")


def numbered(groups: ArrayLike | None, n_records: int) -> NDArray[np.int64]:
    """The patients of N records as numbers from 0 on, in the order in which they are first met.

    Parameters
    ----------
    groups : (N,) array, optional
        Any name or number of each record's patient; None: every record is of a patient of its own.
    n_records : int

    Returns
    -------
    (N,) int64 array

    Raises
    ------
    DataError
        Another number of records, or one whose patient isn't known.
    """
    if groups is None:
        return np.arange(n_records)
    groups = np.asarray(groups)
    if groups.shape != (n_records,):
        raise DataError(f"groups have shape {groups.shape}; give the patient of each of the {n_records} records")
    if groups.dtype.kind == "f" and np.isnan(groups).any():
        raise DataError(f"groups[{int(np.isnan(groups).argmax())}] is NaN: whose record is it?")
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def resamples(
    n_records: int,
    n_bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    y_true: NDArray | None = None,
) -> Iterator[Weights]:
    """Draw the G patients of N records G times with replacement, again and again.

    All records of a patient who is drawn come along: two ECGs of one heart resemble each other, so that drawing records
    one by one counts the same information twice, and its intervals are too narrow.

    Parameters
    ----------
    n_records : int
    n_bootstrap : int
        Number of resamples.
    seed : int
        The same seed gives the same resamples.
    groups : (N,) array, optional
        The patient of each record; None: every record is of a patient of its own.
    y_true : (N, K) array of 0 and 1, optional
        A resample in which one of these classes has no positive or no negative record is drawn again.

    Yields
    ------
    (N, B) float64 array
        How often each record is in each of the next B resamples.

    Raises
    ------
    DataError
        As :func:`numbered`, or so few records that no resample holds every class.
    SettingError
        As :func:`check_number`.

    References
    ----------
    Field and Welsh, Bootstrapping clustered data, J. R. Statist. Soc. B 69, 2007,
    doi:10.1111/j.1467-9868.2007.00593.x.
    """
    check_number(n_bootstrap)
    patient = numbered(groups, n_records)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n_records)
    for start in range(0, n_bootstrap, block):
        yield _draw(rng, patient, y_true, min(block, n_bootstrap - start))


def _draw(rng: np.random.Generator, patient: NDArray[np.int64], y_true: NDArray | None, size: int) -> Weights:
    n_patients = int(patient.max()) + 1
    weights, todo = np.empty((len(patient), size)), np.arange(size)
    for _ in range(_MAX_REDRAWS):
        picks = rng.integers(n_patients, size=(todo.size, n_patients))
        cells = picks + n_patients * np.arange(todo.size)[:, None]
        drawn = np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape).T[patient]
        weights[:, todo] = drawn
        if y_true is None:
            return weights
        n_positive = y_true.T @ drawn
        todo = todo[((n_positive == 0) | (n_positive == drawn.sum(axis=0))).any(axis=0)]
        if todo.size == 0:
            return weights
    raise DataError(
        f"{len(patient)} records are too few for bootstrap intervals: in {_MAX_REDRAWS} draws some class always "
        "lacked positives or negatives; judge more records"
    )


class Ranking:
    """The order of the answers for one class, from which the areas of any number of resamples follow.

    Only the scores of positive records matter: between two of them, it is enough to count the negative ones.

    Parameters
    ----------
    y_true : (D,) array of 0 and 1
        Of D decisions.
    y_prob : (D,) array
    records : (D,) array of int, optional
        Whose weight each decision has; None: decision i is of record i. All decisions on all classes together, D = N K,
        share the weights of N records.
    """

    def __init__(self, y_true: ArrayLike, y_prob: ArrayLike, records: NDArray[np.int64] | None = None):
        is_positive, y_prob = np.asarray(y_true) == 1, np.asarray(y_prob)
        records = np.arange(len(y_prob)) if records is None else records
        scores, place = np.unique(y_prob[is_positive], return_inverse=True)
        others = y_prob[~is_positive]
        # 2 i: below score i and above the one before; 2 i + 1: the same as score i.
        gap = np.searchsorted(scores, others) + np.searchsorted(scores, others, side="right")
        n_records = int(records.max()) + 1
        self._positive = _counter(place, records[is_positive], (len(scores), n_records))
        self._negative = _counter(gap, records[~is_positive], (2 * len(scores) + 1, n_records))

    def areas(self, weights: Weights) -> NDArray[np.float64]:
        """AUROC and average precision of B resamples: (N, B) weights -> (B, 2).

        Records of the same score count half in the AUROC, as in Mann and Whitney's U, and make one step of the
        precision, as in scikit-learn.
        """
        positive, negative = self._positive @ weights, self._negative @ weights
        up_to = np.cumsum(negative, axis=0)
        n_positive, n_negative, below = positive.sum(axis=0), up_to[-1], up_to[:-1:2]
        area = (positive * (below + negative[1::2] / 2)).sum(axis=0) / (n_positive * n_negative)
        found = n_positive - np.cumsum(positive, axis=0) + positive
        # A score whose records weren't drawn gains nothing, so its precision may be anything.
        precision = found / np.maximum(found + n_negative - below, 1e-300)
        return np.stack([area, (positive * precision).sum(axis=0) / n_positive], axis=-1)


def _counter(row: NDArray, column: NDArray, shape: tuple[int, int]) -> csr_array:
    """What sums weights: a one in each (row, column); the same pair may come several times."""
    return csr_array((np.ones(len(row)), (row, column)), shape)


def rankings(y_true: NDArray, y_prob: NDArray) -> list[Ranking]:
    """One for each class of labels and answers, (N, K) each."""
    return [Ranking(t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)]


def macro_auroc(ranked: Sequence[Ranking], weights: Weights) -> NDArray[np.float64]:
    """Mean AUROC over K classes in B resamples: (N, B) weights -> (B,)."""
    return np.mean([each.areas(weights)[:, 0] for each in ranked], axis=0)


def mean(values: NDArray, weights: Weights) -> NDArray[np.float64]:
    """Mean over the records in B resamples: (N, M) values, (N, B) weights -> (B, M)."""
    return weights.T @ values / weights.sum(axis=0)[:, None]


def interval(drawn: NDArray, level: float = 0.95) -> NDArray[np.float64]:
    """Ends of the percentile interval of what B resamples gave: (B, …) -> (2, …).

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13, 1993, doi:10.1201/9780429246593.
    """
    return np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)


def thin_classes(y_true: NDArray, names: tuple[str, ...], groups: ArrayLike | None = None) -> list[str]:
    """Say, in a sentence each, which classes have their positive or their negative records of a single patient.

    Every resample that can be used holds that patient and nobody else, so an interval knows nothing of how another one
    would fare.
    """
    patient, words = numbered(groups, len(y_true)), []
    for name, column in zip(names, y_true.T, strict=True):
        for value, has in ((1, "has"), (0, "hasn't")):
            if len(np.unique(patient[column == value])) == 1:
                words.append(f"{name}: a single patient {has} it, so no resample shows how another one would fare")
    return words
