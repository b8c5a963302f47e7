"""How good a classifier is, and how sure one can be of it: thresholds, tables, bootstrap intervals.

The numbers come from `metrics`; this module chooses thresholds on the validation set and puts everything
that is reported about a set of predictions into one `Report`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ecgcourse.errors import DataError, SettingError
from ecgcourse.metrics import (
    COLUMNS,
    accuracy,
    auroc,
    average_precision,
    check_both_present,
    check_labels,
    check_probabilities,
    check_same_shape,
    class_names,
    confusion,
    f1,
    sensitivity,
    specificity,
)

__all__ = ["METRICS", "Report", "apply_thresholds", "confusion", "fit_thresholds", "report"]

METRICS = ("sensitivity", "specificity", "accuracy", "f1", "auroc", "average_precision")

# Elements of the largest array of one batch of resamples: 2 million float64 are 16 MB.
_BATCH_ELEMENTS = 2_000_000
_MAX_REDRAWS = 1_000


@dataclass(frozen=True, repr=False)
class Report:
    """What `report` found.

    Attributes
    ----------
    classes : tuple of str
        The K class names.
    n_records : int
        N, the number of records that were judged.
    thresholds : (K,) float64
        A class is predicted where its probability is at least this.
    confusion : (K, 4) int64
        One row per class; columns TP, FN, FP, TN.
    per_class : DataFrame, K rows
        One column per metric of `METRICS`.
    macro : Series
        Mean of each metric over the classes: every class counts the same.
    pooled : Series
        Each metric over all N x K decisions together (also called micro): every decision counts the same.
    low, high : DataFrame, K + 2 rows
        Ends of the 95 % intervals of the classes, of "macro" and of "pooled".
    n_bootstrap : int
        Number of resamples behind the intervals.
    """

    classes: tuple[str, ...]
    n_records: int
    thresholds: NDArray[np.float64]
    confusion: NDArray[np.int64]
    per_class: pd.DataFrame
    macro: pd.Series
    pooled: pd.Series
    low: pd.DataFrame
    high: pd.DataFrame
    n_bootstrap: int

    def to_frame(self) -> pd.DataFrame:
        """One row per class, then "macro" and "pooled"; columns sensitivity, sensitivity_low, …_high, …"""
        values = self._values()
        columns = {}
        for metric in METRICS:
            columns[metric] = values[metric]
            columns[f"{metric}_low"] = self.low[metric]
            columns[f"{metric}_high"] = self.high[metric]
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings and dictionaries, ready for `json.dump`."""
        return {
            "n_records": self.n_records,
            "n_bootstrap": self.n_bootstrap,
            "thresholds": dict(zip(self.classes, self.thresholds.tolist(), strict=True)),
            "confusion": {
                name: dict(zip(COLUMNS, row, strict=True))
                for name, row in zip(self.classes, self.confusion.tolist(), strict=True)
            },
            "per_class": {name: self._row_to_dict(name) for name in self.classes},
            "macro": self._row_to_dict("macro"),
            "pooled": self._row_to_dict("pooled"),
        }

    def __str__(self) -> str:
        source = f"{self.n_bootstrap} bootstrap resamples"
        heading = f"{self.n_records} records; below each value its 95 % interval ({source})"
        return "\n".join([heading, "", *self._count_lines(), "", *self._metric_lines()])

    __repr__ = __str__

    def _values(self) -> pd.DataFrame:
        return pd.concat([self.per_class, self.macro.to_frame("macro").T, self.pooled.to_frame("pooled").T])

    def _row_to_dict(self, row: str) -> dict[str, dict[str, float]]:
        values = self._values()
        return {
            metric: {
                "value": float(values.at[row, metric]),
                "low": float(self.low.at[row, metric]),
                "high": float(self.high.at[row, metric]),
            }
            for metric in METRICS
        }

    def _count_lines(self) -> list[str]:
        line = "{:<12}{:>10}{:>8}{:>8}{:>8}{:>8}".format
        rows = zip(self.classes, self.thresholds, self.confusion.tolist(), strict=True)
        return [
            line("", "threshold", *COLUMNS),
            *(line(name, f"{threshold:.3f}", *counts) for name, threshold, counts in rows),
        ]

    def _metric_lines(self) -> list[str]:
        titles = {"f1": "F1", "auroc": "AUROC", "average_precision": "avg. prec."}
        values = self._values()
        lines = [_table_line("", values.index)]
        for metric in METRICS:
            spans = zip(self.low[metric], self.high[metric], strict=True)
            cells = [f"{value:.3f}" for value in values[metric]]
            lines.append(_table_line(titles.get(metric, metric), cells))
            lines.append(_table_line("", [f"{low:.3f}-{high:.3f}" for low, high in spans]))
        return lines


def fit_thresholds(y_true: ArrayLike, y_prob: ArrayLike) -> NDArray[np.float64]:
    """Find, for each class, the threshold with the largest sqrt(sensitivity * specificity).

    Call it once, with the whole validation set; a threshold fitted on a batch describes that batch.
    Candidates are the probabilities that occur, so a threshold is always a number in [0, 1] and at least one
    record reaches it. Where several are equally good, the highest is taken: the one that predicts the class
    least often.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]

    Returns
    -------
    (K,) float64
        For `apply_thresholds` and `report`.

    Raises
    ------
    DataError
        Shapes that differ, a value out of range, or a class without positives or without negatives.
    """
    y_true, y_prob = _checked(y_true, y_prob)
    return np.array([_best_threshold(t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)])


def apply_thresholds(y_prob: ArrayLike, thresholds: ArrayLike) -> NDArray[np.int64]:
    """Predict a class where its probability is at least its threshold.

    Parameters
    ----------
    y_prob : (N, K) array in [0, 1]
    thresholds : float or (K,) array in [0, 1]

    Returns
    -------
    (N, K) int64 of 0 and 1

    Raises
    ------
    DataError
        A probability out of range, or thresholds that aren't K numbers in [0, 1].
    """
    y_prob = check_probabilities(y_prob)
    return (y_prob >= _checked_thresholds(thresholds, y_prob.shape[1])).astype(np.int64)


def report(
    y_true: ArrayLike, y_prob: ArrayLike, thresholds: ArrayLike = 0.5, n_bootstrap: int = 1000, seed: int = 0
) -> Report:
    """Judge predictions: per class, mean over the classes (macro), and all decisions together (pooled).

    The 95 % intervals are percentile bootstrap intervals: the N records are drawn N times with replacement,
    all metrics are computed again, and the interval runs from the 2.5th to the 97.5th percentile of the
    results. Whole records are drawn, so classes that occur together stay together. A resample in which some
    class has no positive or no negative record is drawn again, so every metric is defined in every resample.
    The thresholds are kept as they are: the intervals do not hold the uncertainty of fitting them, nor that
    of training.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]
    thresholds : float or (K,) array in [0, 1]
        Fit them on the validation set (`fit_thresholds`), not on the records that are judged here.
    n_bootstrap : int
        Number of resamples.
    seed : int
        The same seed gives the same intervals.

    Returns
    -------
    Report

    Raises
    ------
    DataError
        As `fit_thresholds`; or so few records that no resample holds every class.
    SettingError
        `n_bootstrap` is not a positive whole number.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13, 1993, doi:10.1201/9780429246593.
    """
    if not isinstance(n_bootstrap, int | np.integer) or n_bootstrap < 1:
        raise SettingError(f"n_bootstrap is {n_bootstrap!r}; it must be a whole number, at least 1")
    y_true, y_prob = _checked(y_true, y_prob)
    thresholds = _checked_thresholds(thresholds, y_true.shape[1])
    y_pred = apply_thresholds(y_prob, thresholds)
    table = confusion(y_true, y_pred)
    names = class_names(y_true.shape[1])
    values = _as_frame(_point_estimates(table, y_true, y_prob), names)
    low, high = np.percentile(_bootstrap(y_true, y_prob, y_pred, n_bootstrap, seed), [2.5, 97.5], axis=0)
    return Report(
        classes=names,
        n_records=len(y_true),
        thresholds=thresholds,
        confusion=table,
        per_class=values.loc[list(names)],
        macro=values.loc["macro"],
        pooled=values.loc["pooled"],
        low=_as_frame(low, names),
        high=_as_frame(high, names),
        n_bootstrap=int(n_bootstrap),
    )


def _checked(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y_true, y_prob = check_labels(y_true), check_probabilities(y_prob)
    check_same_shape(y_true, y_prob, "y_prob")
    check_both_present(y_true)
    return y_true, y_prob


def _checked_thresholds(thresholds: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    try:
        thresholds = np.asarray(thresholds, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"thresholds are {thresholds!r}; each must be a number in [0, 1]") from error
    if thresholds.shape not in ((), (n_classes,)):
        raise DataError(f"thresholds have shape {thresholds.shape}; give one number or {n_classes}, one per class")
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise DataError(f"thresholds are {thresholds.tolist()}; each must be a number in [0, 1]")
    return np.broadcast_to(thresholds, (n_classes,)).copy()


def _best_threshold(y_true: NDArray, y_prob: NDArray) -> float:
    false_positive_rate, true_positive_rate, thresholds = roc_curve(y_true, y_prob, drop_intermediate=False)
    n_positive = y_true.sum()
    n_negative = y_true.size - n_positive
    # Whole numbers, TP * TN, are compared: rates that are equal on paper may differ in their last bit.
    true_positives = np.rint(true_positive_rate * n_positive).astype(np.int64)
    true_negatives = n_negative - np.rint(false_positive_rate * n_negative).astype(np.int64)
    # The curve's first point, threshold infinity, predicts nothing and finds nothing.
    products = (true_positives * true_negatives)[1:]
    return float(thresholds[1:][np.argmax(products)])


def _point_estimates(table: NDArray, y_true: NDArray, y_prob: NDArray) -> NDArray[np.float64]:
    areas = np.stack([auroc(y_true, y_prob), average_precision(y_true, y_prob)], axis=-1)
    y_true, y_prob = y_true.ravel(), y_prob.ravel()
    pooled_areas = np.array([roc_auc_score(y_true, y_prob), average_precision_score(y_true, y_prob)])
    return _all_rows(table, areas, pooled_areas)


def _all_rows(table: NDArray, areas: NDArray, pooled_areas: NDArray) -> NDArray[np.float64]:
    """(..., K, 4) counts, (..., K, 2) and (..., 2) areas -> (..., K + 2, 6): classes, macro, pooled."""
    per_class = np.concatenate([_rates(table), areas], axis=-1)
    macro = per_class.mean(axis=-2, keepdims=True)
    pooled_rates = _rates(table.sum(axis=-2, keepdims=True))
    pooled = np.concatenate([pooled_rates, pooled_areas[..., None, :]], axis=-1)
    return np.concatenate([per_class, macro, pooled], axis=-2)


def _rates(table: NDArray) -> NDArray[np.float64]:
    return np.stack([sensitivity(table), specificity(table), accuracy(table), f1(table)], axis=-1)


def _as_frame(values: NDArray, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(values, index=[*names, "macro", "pooled"], columns=list(METRICS))


def _table_line(label: str, cells: ArrayLike) -> str:
    return f"{label:<12}" + "".join(f"{cell:>13}" for cell in cells)


def _bootstrap(y_true: NDArray, y_prob: NDArray, y_pred: NDArray, n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """All metrics of every resample: (n_bootstrap, K + 2, 6)."""
    results = []
    for counts in _resamples(y_true, n_bootstrap, seed):
        areas = [_areas(counts, t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)]
        repeated = np.repeat(counts, y_true.shape[1], axis=1)
        pooled_areas = _areas(repeated, y_true.ravel(), y_prob.ravel())
        results.append(_all_rows(_tables(counts, y_true, y_pred), np.stack(areas, axis=1), pooled_areas))
    return np.concatenate(results)


def _resamples(y_true: NDArray, n_bootstrap: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield (B, N) arrays: how often each record was drawn in each of B resamples."""
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH_ELEMENTS // y_true.size)
    for start in range(0, n_bootstrap, batch):
        yield _draw(rng, y_true, min(batch, n_bootstrap - start))


def _draw(rng: np.random.Generator, y_true: NDArray, size: int) -> NDArray[np.float64]:
    n_records = len(y_true)
    counts = np.empty((size, n_records))
    todo = np.arange(size)
    for _ in range(_MAX_REDRAWS):
        picks = rng.integers(n_records, size=(todo.size, n_records))
        cells = picks + n_records * np.arange(todo.size)[:, None]
        counts[todo] = np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape)
        n_positive = counts[todo] @ y_true
        todo = todo[((n_positive == 0) | (n_positive == n_records)).any(axis=1)]
        if todo.size == 0:
            return counts
    raise DataError(
        f"{n_records} records are too few for bootstrap intervals: in {_MAX_REDRAWS} draws some class always "
        "lacked positives or negatives; judge more records"
    )


def _tables(counts: NDArray, y_true: NDArray, y_pred: NDArray) -> NDArray[np.float64]:
    """The confusion tables of B resamples: (B, N) counts -> (B, K, 4)."""
    cells = (y_true * y_pred, y_true * (1 - y_pred), (1 - y_true) * y_pred, (1 - y_true) * (1 - y_pred))
    return np.stack([counts @ cell for cell in cells], axis=-1)


def _areas(counts: NDArray, y_true: NDArray, y_prob: NDArray) -> NDArray[np.float64]:
    """AUROC and average precision of one class in B resamples: (B, N) counts -> (B, 2).

    A record drawn w times is a record of weight w, so one sort serves all resamples; records with the same
    probability make one step of the curve, as in scikit-learn.
    """
    order = np.argsort(-y_prob, kind="stable")
    step_ends = np.append(np.flatnonzero(np.diff(y_prob[order])), order.size - 1)
    weights = counts[:, order]
    true_positives = np.cumsum(weights * y_true[order], axis=1)[:, step_ends]
    predicted = np.cumsum(weights, axis=1)[:, step_ends]
    false_positives = predicted - true_positives
    n_positive, n_negative = true_positives[:, -1], false_positives[:, -1]
    gained = np.diff(true_positives, axis=1, prepend=0)
    area = (np.diff(false_positives, axis=1, prepend=0) * (true_positives - gained / 2)).sum(axis=1)
    # A step of records that were not drawn at all gains nothing, so its precision may be anything.
    precision = true_positives / np.maximum(predicted, 1)
    average = (gained * precision).sum(axis=1) / n_positive
    return np.stack([area / (n_positive * n_negative), average], axis=-1)
