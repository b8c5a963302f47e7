"""How good a classifier is, and how sure one can be of it: thresholds, tables, bootstrap intervals.

The numbers come from `metrics`; this module puts everything that is reported about a set of predictions into one
`Report`, for tasks in which a record may have any number of the classes and for those in which it has exactly one.
Introduced in chapter 11.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgcourse.analysis import bootstrap
from ecgcourse.learning.metrics import (
    COLUMNS,
    accuracy,
    apply_thresholds,
    auroc,
    average_precision,
    check_both_present,
    check_exactly_one,
    check_pair,
    check_thresholds,
    confusion,
    cross_table,
    decide,
    f1,
    fit_thresholds,
    names_of,
    sensitivity,
    specificity,
    with_none,
)
from ecgcourse.recipe import Task

__all__ = ["METRICS", "Report", "apply_thresholds", "confusion", "fit_thresholds", "report"]

NONE = "none of these"
"""What the row of records is called that have none of the classes."""

METRICS = ("sensitivity", "specificity", "accuracy", "f1", "auroc", "average_precision")
"""What is reported of each class."""

# Columns of a table that is printed beside each other: what a wide terminal shows; the rest follows below.
_LINE_LENGTH = 120


@dataclass(frozen=True, repr=False)
class Report:
    """What `report` found.

    Attributes
    ----------
    classes : tuple of str
        The K class names.
    n_records : int
        N, the number of records that were judged.
    thresholds : (K,) float64 or None
        A class is predicted where its probability is at least this. None in a multiclass task: the most probable
        class is predicted.
    confusion : (K, 4) int64
        One row per class; columns TP, FN, FP, TN. In a multiclass task each class against all others.
    per_class : DataFrame, K rows
        One column per metric of `METRICS`.
    macro : Series
        Mean of each metric over the classes: every class counts the same.
    pooled : Series
        Each metric over all N x K decisions together, the micro-average: every decision counts the same.
    low : DataFrame, K + 2 rows
        Lower ends of the 95 % intervals of the classes, of "macro" and of "pooled".
    high : DataFrame, K + 2 rows
        Their upper ends.
    n_bootstrap : int
        Number of resamples behind the intervals.
    matrix : (K, K) int64 or None
        In a multiclass task how many records of each class (row) were taken for each class (column).
    none : (4,) int64 or None
        TP, FN, FP and TN of having none of the classes; None in a multiclass task, where each record has one.
    cross : (K + 1, K + 1) int64 or None
        How many records with each class (row) were predicted each class (column), last: none. See
        :func:`ecgcourse.learning.metrics.cross_table`; None in a multiclass task, which has `matrix`.
    n_patients : int or None
        Of how many patients the records are; None where nobody told.
    notes : tuple of str
        Which intervals are worth nothing, and why: an AUROC of 1 is 1 in every resample.
    """

    classes: tuple[str, ...]
    n_records: int
    thresholds: NDArray[np.float64] | None
    confusion: NDArray[np.int64]
    per_class: pd.DataFrame
    macro: pd.Series
    pooled: pd.Series
    low: pd.DataFrame
    high: pd.DataFrame
    n_bootstrap: int
    matrix: NDArray[np.int64] | None = None
    none: NDArray[np.int64] | None = None
    cross: NDArray[np.int64] | None = None
    n_patients: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def overall_accuracy(self) -> dict[str, float] | None:
        """In a multiclass task the share of records whose class was predicted: value, low and high; else None."""
        # Each record has one positive, and one class is predicted: found positives are records judged rightly.
        return None if self.matrix is None else self._row_to_dict(len(self.classes) + 1)["sensitivity"]

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
        rows = [self._row_to_dict(row) for row in range(len(self.classes) + 2)]
        found = {
            "n_records": self.n_records,
            "n_patients": self.n_patients,
            "notes": list(self.notes),
            "n_bootstrap": self.n_bootstrap,
            "thresholds": None if self.thresholds is None else self._by_class(self.thresholds.tolist()),
            "confusion": self._by_class(dict(zip(COLUMNS, row, strict=True)) for row in self.confusion.tolist()),
            "per_class": self._by_class(rows[:-2]),
            "macro": rows[-2],
            "pooled": rows[-1],
        }
        if self.matrix is not None:
            found["matrix"] = self._by_class(self._by_class(row) for row in self.matrix.tolist())
            found["overall_accuracy"] = self.overall_accuracy
        if self.none is not None:
            found["none"] = dict(zip(COLUMNS, self.none.tolist(), strict=True))
            names = (*self.classes, NONE)
            rows = (dict(zip(names, row, strict=True)) for row in self.cross.tolist())
            found["cross_table"] = dict(zip(names, rows, strict=True))
        return found

    def __str__(self) -> str:
        drawn = "" if self.n_patients is None else f" of {self.n_patients} patients"
        source = f"{self.n_bootstrap} bootstrap resamples{'' if self.n_patients is None else ' of patients'}"
        heading = f"{self.n_records} records{drawn}; below each value its 95 % interval ({source})"
        lines = [heading, "", *self._matrix_lines(), *self._count_lines(), "", *self._metric_lines()]
        return "\n".join([*lines, *([""] if self.notes else []), *(f"note: {note}" for note in self.notes)])

    __repr__ = __str__

    def _values(self) -> pd.DataFrame:
        return pd.concat([self.per_class, self.macro.to_frame("macro").T, self.pooled.to_frame("pooled").T])

    def _by_class(self, values: Iterable) -> dict[str, Any]:
        return dict(zip(self.classes, values, strict=True))

    def _row_to_dict(self, row: int) -> dict[str, dict[str, float]]:
        # By place: nobody keeps a class from being called "macro".
        columns = {"value": self._values(), "low": self.low, "high": self.high}
        return {
            metric: {name: float(column[metric].iloc[row]) for name, column in columns.items()} for metric in METRICS
        }

    def _matrix_lines(self) -> list[str]:
        if self.matrix is None:
            return []
        overall = self.overall_accuracy
        rows = [(name, [f"{count}" for count in row]) for name, row in zip(self.classes, self.matrix, strict=True)]
        return [
            f"accuracy {overall['value']:.3f} ({overall['low']:.3f}-{overall['high']:.3f}): the most probable class is "
            "the record's",
            "",
            "rows: the record's class; columns: the predicted one",
            *_table_lines(self.classes, rows, 8),
            "",
            "each class against all others; macro: mean over the classes; pooled: the micro-average",
        ]

    def _count_lines(self) -> list[str]:
        if self.thresholds is None:
            return _table_lines(COLUMNS, list(zip(self.classes, self.confusion.astype(str), strict=True)), 8)
        line = f"{{:<{_label_width([*self.classes, NONE])}}}{{:>10}}{{:>8}}{{:>8}}{{:>8}}{{:>8}}".format
        rows = zip(self.classes, self.thresholds, self.confusion.tolist(), strict=True)
        return [
            line("", "threshold", *COLUMNS),
            *(line(name, f"{threshold:.3f}", *counts) for name, threshold, counts in rows),
            line(NONE, "", *self.none.tolist()),
        ]

    def _metric_lines(self) -> list[str]:
        titles = {"f1": "F1", "auroc": "AUROC", "average_precision": "avg. prec."}
        values, rows = self._values(), []
        for metric in METRICS:
            spans = zip(self.low[metric], self.high[metric], strict=True)
            rows.append((titles.get(metric, metric), [f"{value:.3f}" for value in values[metric]]))
            rows.append(("", [f"{low:.3f}-{high:.3f}" for low, high in spans]))
        return _table_lines(list(values.index), rows, 13)


def report(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    thresholds: ArrayLike = 0.5,
    n_bootstrap: int = 1000,
    seed: int = 0,
    task: Task | None = None,
    groups: ArrayLike | None = None,
) -> Report:
    """Judge predictions: per class, mean over the classes (macro), and all decisions together (pooled).

    The 95 % intervals are percentile bootstrap intervals: patients are drawn with replacement, as many as there are,
    all metrics are computed again of their records, and the interval runs from the 2.5th to the 97.5th percentile of
    the results. Whole records are drawn, so classes that occur together stay together. A resample in which some
    class has no positive or no negative record is drawn again, so every metric is defined in every resample.
    The thresholds are kept as they are: the intervals do not include the uncertainty of fitting them, nor that
    of training.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
        In a multiclass task with exactly one 1 per row.
    y_prob : (N, K) array in [0, 1]
        In a multiclass task those of a softmax.
    thresholds : float or (K,) array in [0, 1]
        Fit them on the validation set (`fit_thresholds`), not on the records that are judged here. Of no account in
        a multiclass task, where the most probable class is predicted, the first of several.
    n_bootstrap : int
        Number of resamples.
    seed : int
        The same seed gives the same intervals.
    task : Task, optional
        Names of the classes, and whether a record has exactly one; None:
        :func:`ecgcourse.recipe.class_names`, of which a record may have any number.
    groups : (N,) array, optional
        The patient of each record, such as PTB-XL's column ``patient_id``; None: each record is of another one.

    Returns
    -------
    Report

    Raises
    ------
    DataError
        As `fit_thresholds`; so few records that no resample holds every class; groups of another number of records;
        or, in a multiclass task, a record that has none or several of the classes.
    SettingError
        `n_bootstrap` is not a positive whole number, or the task has another number of classes.
    """
    bootstrap.check_number(n_bootstrap)
    names, multiclass = (None, False) if task is None else (task.classes, task.is_multiclass)
    y_true, y_prob = check_pair(y_true, y_prob, names)
    if multiclass:
        check_exactly_one(y_true, names)
    check_both_present(y_true, names)
    n_classes = y_true.shape[1]
    names = names_of(names, n_classes)
    thresholds = None if multiclass else check_thresholds(thresholds, n_classes)
    y_pred = decide(y_prob, thresholds, multiclass)
    table = confusion(y_true, y_pred)
    values = _as_frame(_point_estimates(table, y_true, y_prob), names)
    drawn = _bootstrap(y_true, y_prob, y_pred, n_bootstrap, seed, groups)
    low, high = bootstrap.interval(drawn)
    return Report(
        classes=names,
        n_records=len(y_true),
        thresholds=thresholds,
        confusion=table,
        per_class=values.iloc[:-2],
        macro=values.iloc[-2],
        pooled=values.iloc[-1],
        low=_as_frame(low, names),
        high=_as_frame(high, names),
        n_bootstrap=int(n_bootstrap),
        matrix=y_true.T @ y_pred if multiclass else None,
        cross=None if multiclass else cross_table(y_true, y_pred),
        none=None if multiclass else confusion(with_none(y_true), with_none(y_pred))[-1],
        n_patients=None if groups is None else len(np.unique(groups)),
        notes=_notes(y_true, names, groups, drawn),
    )


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


def _label_width(labels: Iterable[str]) -> int:
    return max(12, *(len(label) + 1 for label in labels))


def _table_lines(names: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int) -> list[str]:
    """Lines of a table, its columns at least `width` wide; what is too wide for a line follows below, in even parts."""
    width = max(width, *(len(name) + 2 for name in names))
    label_width = _label_width(label for label, _ in rows)
    at_most = max(1, (_LINE_LENGTH - label_width) // width)
    per_part = math.ceil(len(names) / math.ceil(len(names) / at_most))
    lines = []
    for start in range(0, len(names), per_part):
        lines += [""] if start else []
        for label, cells in [("", names), *rows]:
            shown = "".join(f"{cell:>{width}}" for cell in cells[start : start + per_part])
            lines.append(f"{label:<{label_width}}{shown}")
    return lines


def _bootstrap(
    y_true: NDArray, y_prob: NDArray, y_pred: NDArray, n_bootstrap: int, seed: int, groups: ArrayLike | None
) -> NDArray[np.float64]:
    """All metrics of every resample: (n_bootstrap, K + 2, 6)."""
    n_records, n_classes = y_true.shape
    of_record = np.repeat(np.arange(n_records), n_classes)
    pooled = bootstrap.Ranking(y_true.ravel(), y_prob.ravel(), of_record)
    rankings = [*bootstrap.rankings(y_true, y_prob), pooled]
    results = []
    for weights in bootstrap.resamples(n_records, n_bootstrap, seed, groups, y_true):
        areas = np.stack([ranking.areas(weights) for ranking in rankings], axis=1)
        results.append(_all_rows(_tables(weights, y_true, y_pred), areas[:, :-1], areas[:, -1]))
    return np.concatenate(results)


def _tables(weights: NDArray, y_true: NDArray, y_pred: NDArray) -> NDArray[np.float64]:
    """The confusion tables of B resamples: (N, B) weights -> (B, K, 4)."""
    cells = (y_true * y_pred, y_true * (1 - y_pred), (1 - y_true) * y_pred, (1 - y_true) * (1 - y_pred))
    return np.stack([weights.T @ cell for cell in cells], axis=-1)


def _notes(y_true: NDArray, names: tuple[str, ...], groups: ArrayLike | None, drawn: NDArray) -> tuple[str, ...]:
    """What the intervals can't tell: a class of one patient, and metrics that no resample has moved."""
    words = bootstrap.thin_classes(y_true, names, groups)
    stuck = np.ptp(drawn, axis=0) == 0
    for name, row in zip([*names, "macro", "pooled"], stuck, strict=True):
        if row.any():
            metrics_of = ", ".join(metric for metric, same in zip(METRICS, row, strict=True) if same)
            words.append(
                f"{name}: {metrics_of} the same in every resample, so the interval is a point and says nothing of how "
                "sure that is"
            )
    return tuple(words)
