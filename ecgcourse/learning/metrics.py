"""The arithmetic of evaluation: decisions, and counts and rates per class, from labels and probabilities.

Every function takes the labels of all records at once, (N, K), and answers per class, (K,). A number that is
not defined, such as the sensitivity of a class without positives, is an error and never a NaN. An error that
concerns a class names it: by `classes`, or as :func:`~ecgcourse.recipe.class_names` does. Introduced in chapter 11.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve

from ecgcourse.errors import DataError, SettingError, brief
from ecgcourse.recipe import Task, class_names

COLUMNS = ("TP", "FN", "FP", "TN")

Names = Sequence[str] | None


def names_of(classes: Names, n_classes: int) -> tuple[str, ...]:
    """Return the names that are given, else :func:`~ecgcourse.recipe.class_names`; SettingError unless they are K."""
    if classes is None:
        return class_names(n_classes)
    if len(classes) != n_classes:
        raise SettingError(
            f"{len(classes)} classes are named ({brief(', '.join(map(str, classes)))}), but the data have {n_classes}"
        )
    return tuple(classes)


def check_labels(labels: ArrayLike, name: str = "y_true", classes: Names = None) -> NDArray[np.int64]:
    """Return labels as integers, after checking that they are (N, K) zeros and ones.

    Parameters
    ----------
    labels : (N, K) array of 0 and 1, of any numeric type or bool
    name : str
        What to call the array in an error.
    classes : K strings, optional
        Names of the classes, as everywhere here.

    Raises
    ------
    DataError
        For another shape or another value; the message names the first record that is wrong.
    SettingError
        Another number of names than of classes; so in every function here that takes names.
    """
    labels = _numeric_matrix(labels, name)
    names = names_of(classes, labels.shape[1])
    wrong = np.argwhere(~np.isin(labels, (0, 1)))
    if wrong.size:
        record, k = wrong[0]
        raise DataError(
            f"{name}[{record}, {k}] ({names[k]}) is {labels[record, k]}, not 0 or 1; "
            "turn probabilities into labels with evaluation.apply_thresholds"
        )
    return labels.astype(np.int64)


def check_probabilities(y_prob: ArrayLike, name: str = "y_prob", classes: Names = None) -> NDArray[np.float64]:
    """Return probabilities as float64, after checking that they are (N, K), finite and in [0, 1].

    Raises
    ------
    DataError
        For another shape or another value; the message names the first record that is wrong.
    """
    y_prob = _numeric_matrix(y_prob, name).astype(np.float64)
    names = names_of(classes, y_prob.shape[1])
    wrong = np.argwhere(~((y_prob >= 0) & (y_prob <= 1)))
    if wrong.size:
        record, k = wrong[0]
        raise DataError(
            f"{name}[{record}, {k}] ({names[k]}) is {y_prob[record, k]}, not a probability in [0, 1]; "
            "put logits through a sigmoid, or softmax in a multiclass task, and look for NaN in the model"
        )
    return y_prob


def check_same_shape(y_true: NDArray, other: NDArray, name: str) -> None:
    """Raise DataError unless the labels and `other`, called `name`, have the same shape (N, K)."""
    if y_true.shape != other.shape:
        raise DataError(
            f"y_true has shape {y_true.shape} and {name} has shape {other.shape}; both must be (N, K), "
            "the same records and classes in the same order"
        )


def check_pair(
    y_true: ArrayLike, y_prob: ArrayLike, classes: Names = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels and probabilities, checked each by itself, and their shapes against each other."""
    y_true, y_prob = check_labels(y_true, classes=classes), check_probabilities(y_prob, classes=classes)
    check_same_shape(y_true, y_prob, "y_prob")
    return y_true, y_prob


def check_column(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels and probabilities of one class, (N,) each, checked as by :func:`check_pair`."""
    y_true, y_prob = np.asarray(y_true), np.asarray(y_prob)
    if y_true.ndim != 1:
        raise DataError(f"labels have shape {y_true.shape}; take them class by class, those of one class are (N,)")
    y_true, y_prob = check_pair(y_true[:, None], y_prob[:, None])
    return y_true[:, 0], y_prob[:, 0]


def check_both_present(y_true: NDArray, classes: Names = None) -> None:
    """Raise DataError, naming the class, unless every class has a positive and a negative record."""
    _check_present(y_true, 1, "positive", classes)
    _check_present(y_true, 0, "negative", classes)


def check_exactly_one(y_true: NDArray, classes: Names = None) -> None:
    """Raise DataError, naming the first record, unless every record has exactly one of the classes."""
    wrong = np.flatnonzero(y_true.sum(axis=1) != 1)
    if wrong.size:
        has = [name for name, value in zip(names_of(classes, y_true.shape[1]), y_true[wrong[0]], strict=True) if value]
        found = brief(f"{len(has)} classes, {', '.join(has)}") if has else "no class"
        raise DataError(f"y_true[{wrong[0]}] has {found}; in a multiclass task each record has exactly one")


def check_thresholds(thresholds: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Return thresholds as (K,) float64; DataError unless they are one number in [0, 1], or one per class."""
    try:
        thresholds = np.asarray(thresholds, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"thresholds are {thresholds!r}; each must be a number in [0, 1]") from error
    if thresholds.shape not in ((), (n_classes,)):
        raise DataError(f"thresholds have shape {thresholds.shape}; give one number or {n_classes}, one per class")
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise DataError(f"thresholds are {thresholds.tolist()}; each must be a number in [0, 1]")
    return np.broadcast_to(thresholds, (n_classes,)).copy()


def probabilities(logits: ArrayLike, task: Task | None = None, calibration: dict | None = None) -> NDArray[np.float64]:
    """Turn logits into probabilities: each by a sigmoid, or those of a record by a softmax.

    Parameters
    ----------
    logits : (N, K) array
    task : Task, optional
        Whether each record has exactly one class; None: any number.
    calibration : dict, optional
        Of K `slopes` and K `offsets`, by which the logits are stretched and shifted before, see
        :class:`ecgcourse.analysis.calibration.Calibration`.

    Returns
    -------
    (N, K) float64 array in [0, 1]
    """
    logits = np.asarray(logits, dtype=np.float64)
    if calibration is not None:
        logits = logits * np.asarray(calibration["slopes"]) + np.asarray(calibration["offsets"])
    return softmax(logits, axis=1) if task is not None and task.is_multiclass else expit(logits)


def fit_thresholds(y_true: ArrayLike, y_prob: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """Find, for each class, the threshold with the largest sqrt(sensitivity * specificity).

    Call it once, with the whole validation set; a threshold fitted on a batch describes that batch.
    Candidates are the probabilities that occur, so a threshold is always a number in [0, 1] and at least one
    record reaches it. Where several are equally good, the highest is taken: the one that predicts the class
    least often. A task in which each record has exactly one class needs no thresholds, see
    :func:`~ecgcourse.learning.metrics.decide`.

    Parameters
    ----------
    y_true, y_prob, classes
        As for :func:`~ecgcourse.learning.metrics.auroc`, as are the errors.

    Returns
    -------
    (K,) float64
        For `apply_thresholds` and `evaluation.report`.
    """
    y_true, y_prob = check_pair(y_true, y_prob, classes)
    check_both_present(y_true, classes)
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
    return (y_prob >= check_thresholds(thresholds, y_prob.shape[1])).astype(np.int64)


def decide(y_prob: ArrayLike, thresholds: ArrayLike = 0.5, multiclass: bool = False) -> NDArray[np.int64]:
    """Predict the classes that reach their thresholds or, in a multiclass task, the most probable one.

    Parameters
    ----------
    y_prob, thresholds
        As for :func:`apply_thresholds`; thresholds are of no account in a multiclass task.
    multiclass : bool
        Whether each record has exactly one class; of equally probable ones the first is predicted.

    Returns
    -------
    (N, K) int64 of 0 and 1
        In a multiclass task with exactly one 1 per row.

    Raises
    ------
    DataError
        As `apply_thresholds`.
    """
    if not multiclass:
        return apply_thresholds(y_prob, thresholds)
    y_prob = check_probabilities(y_prob)
    return np.eye(y_prob.shape[1], dtype=np.int64)[y_prob.argmax(axis=1)]


def confusion(y_true: ArrayLike, y_pred: ArrayLike, classes: Names = None) -> NDArray[np.int64]:
    """Count true positives, false negatives, false positives and true negatives of each class.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
        What each record has.
    y_pred : (N, K) array of 0 and 1
        What was predicted for it.
    classes : K strings, optional

    Returns
    -------
    (K, 4) int64
        One row per class; columns TP, FN, FP, TN. Every row sums to N.

    Raises
    ------
    DataError
        Shapes that differ, or a value that is neither 0 nor 1.
    """
    y_true, y_pred = check_labels(y_true, classes=classes), check_labels(y_pred, "y_pred", classes)
    check_same_shape(y_true, y_pred, "y_pred")
    # scikit-learn's order for labels [1, 0] is [[TP, FN], [FP, TN]].
    tables = [confusion_matrix(t, p, labels=[1, 0]) for t, p in zip(y_true.T, y_pred.T, strict=True)]
    return np.reshape(tables, (-1, 4)).astype(np.int64)


def with_none(labels: ArrayLike, name: str = "y_true") -> NDArray[np.int64]:
    """Labels with a column more: 1 for a record that has none of the classes.

    Parameters
    ----------
    labels : (N, K) array of 0 and 1
        What records have, or what was predicted for them.
    name : str
        What to call the array in an error.

    Returns
    -------
    (N, K + 1) int64
        For every function here that takes labels: ``confusion(with_none(y_true), with_none(y_pred))`` has "none of
        these" as its last row, as ``compute_scores_with_norm`` of Narotamo et al. 2024 counts it beside their four
        classes. Such a record is found only if every class is rightly left out.

    Raises
    ------
    DataError
        As :func:`check_labels`.
    """
    labels = check_labels(labels, name)
    return np.column_stack([labels, labels.sum(axis=1) == 0]).astype(np.int64)


def cross_table(y_true: ArrayLike, y_pred: ArrayLike, classes: Names = None) -> NDArray[np.int64]:
    """Count the records that have one class (row) and for which another was predicted (column); last, none of them.

    A record with two classes is in two rows, and one for which two were predicted is in two columns. So a count off
    the diagonal isn't always a mistake: the record may have that class, too. The diagonal are the true positives. Rows
    and columns of none are unambiguous. (The confusion matrix in a notebook of Narotamo et al. 2024 takes a record's
    classes and predictions in order and pairs the first with the first; it then counts classes that were found as
    mistaken for others.)

    Parameters
    ----------
    y_true, y_pred : (N, K) array of 0 and 1
    classes : K strings, optional

    Returns
    -------
    (K + 1, K + 1) int64

    Raises
    ------
    DataError
        As `confusion`.
    """
    y_true, y_pred = check_labels(y_true, classes=classes), check_labels(y_pred, "y_pred", classes)
    check_same_shape(y_true, y_pred, "y_pred")
    return with_none(y_true).T @ with_none(y_pred)


def sensitivity(table: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """True positive rate: share of a class's positives that were found, TP / (TP + FN).

    Parameters
    ----------
    table : (..., K, 4) array
        Counts as `confusion` returns them; leading axes, such as one per resample, are kept.
    classes : K strings, optional

    Returns
    -------
    (..., K) float64

    Raises
    ------
    DataError
        A class without positives, which the message names.
    """
    tp, fn, _, _ = _columns(table)
    return _ratio(tp, tp + fn, "sensitivity", "no positives", classes)


def specificity(table: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """True negative rate: share of a class's negatives that were rejected, TN / (TN + FP).

    Parameters and result as in `sensitivity`; DataError for a class without negatives.
    """
    _, _, fp, tn = _columns(table)
    return _ratio(tn, tn + fp, "specificity", "no negatives", classes)


def accuracy(table: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """Share of records that were judged rightly: (TP + TN) / N.

    Parameters and result as in `sensitivity`; DataError for a table of zeros.
    """
    tp, fn, fp, tn = _columns(table)
    return _ratio(tp + tn, tp + fn + fp + tn, "accuracy", "no records", classes)


def f1(table: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """Harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN).

    Parameters and result as in `sensitivity`; DataError for a class that has no positives, neither true nor
    predicted.
    """
    tp, fn, fp, _ = _columns(table)
    return _ratio(2 * tp, 2 * tp + fp + fn, "F1", "no positives, neither true nor predicted", classes)


def auroc(y_true: ArrayLike, y_prob: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """Area under the ROC curve of each class.

    It is the probability that a random positive record gets a higher probability than a random negative one. In a
    multiclass task the negatives of a class are the records of all others (one versus rest).

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]
    classes : K strings, optional

    Returns
    -------
    (K,) float64

    Raises
    ------
    DataError
        Shapes that differ, a value out of range, or a class without positives or without negatives.
    """
    y_true, y_prob = check_pair(y_true, y_prob, classes)
    check_both_present(y_true, classes)
    return np.array([roc_auc_score(t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)])


def average_precision(y_true: ArrayLike, y_prob: ArrayLike, classes: Names = None) -> NDArray[np.float64]:
    """Average precision of each class: the precision at each threshold, weighted by the gain in sensitivity.

    Parameters and result as in `auroc`; DataError for a class without positives.
    """
    y_true, y_prob = check_pair(y_true, y_prob, classes)
    _check_present(y_true, 1, "positive", classes)
    return np.array([average_precision_score(t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)])


def _numeric_matrix(values: ArrayLike, name: str) -> NDArray:
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"{name} has shape {values.shape}; it must be (N, K): at least one record (row) and one class (column)"
        )
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {values.dtype} values; it must hold numbers")
    return values


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


def _check_present(y_true: NDArray, value: int, word: str, classes: Names) -> None:
    names = names_of(classes, y_true.shape[1])
    missing = [name for name, column in zip(names, y_true.T, strict=True) if value not in column]
    if missing:
        raise DataError(
            f"no {word} record among {len(y_true)} for {brief(', '.join(missing), 200)}: "
            "the metric is not defined there; use more records or another partition"
        )


def _columns(table: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(table)
    if table.ndim < 2 or table.shape[-1] != 4 or 0 in table.shape:
        raise DataError(f"the table has shape {table.shape}; it must be (K, 4), columns {', '.join(COLUMNS)}")
    if table.dtype.kind not in "iuf" or not (np.isfinite(table) & (table >= 0)).all():
        raise DataError("the table must hold counts: finite numbers that are not negative")
    return np.moveaxis(table.astype(np.float64), -1, 0)


def _ratio(part: NDArray, whole: NDArray, metric: str, reason: str, classes: Names) -> NDArray[np.float64]:
    names, undefined = names_of(classes, whole.shape[-1]), np.argwhere(whole == 0)
    if undefined.size:
        name = names[undefined[0][-1]]
        raise DataError(f"the {metric} of {name} is not defined: {reason}; use more records or another partition")
    return part / whole
