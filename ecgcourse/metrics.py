"""The arithmetic of evaluation: counts and rates per class, from labels and predictions.

Every function takes the labels of all records at once, (N, K), and answers per class, (K,). A number that is
not defined, such as the sensitivity of a class without positives, is an error and never a NaN.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from ecgcourse.errors import DataError
from ecgcourse.ptbxl import CLASSES

COLUMNS = ("TP", "FN", "FP", "TN")


def class_names(n_classes: int) -> tuple[str, ...]:
    """Name K classes: `ptbxl.CLASSES` when there are as many, else "class 0", "class 1", and so on."""
    return CLASSES if n_classes == len(CLASSES) else tuple(f"class {k}" for k in range(n_classes))


def check_labels(labels: ArrayLike, name: str = "y_true") -> NDArray[np.int64]:
    """Return labels as integers, after checking that they are (N, K) zeros and ones.

    Parameters
    ----------
    labels : (N, K) array of 0 and 1, of any numeric type or bool
    name : str
        What to call the array in an error.

    Raises
    ------
    DataError
        For another shape or another value; the message names the first record that is wrong.
    """
    labels = _numeric_matrix(labels, name)
    wrong = np.argwhere(~np.isin(labels, (0, 1)))
    if wrong.size:
        record, k = wrong[0]
        raise DataError(
            f"{name}[{record}, {k}] ({class_names(labels.shape[1])[k]}) is {labels[record, k]}, not 0 or 1; "
            "turn probabilities into labels with evaluation.apply_thresholds"
        )
    return labels.astype(np.int64)


def check_probabilities(y_prob: ArrayLike, name: str = "y_prob") -> NDArray[np.float64]:
    """Return probabilities as float64, after checking that they are (N, K), finite and in [0, 1].

    Raises
    ------
    DataError
        For another shape or another value; the message names the first record that is wrong.
    """
    y_prob = _numeric_matrix(y_prob, name).astype(np.float64)
    wrong = np.argwhere(~((y_prob >= 0) & (y_prob <= 1)))
    if wrong.size:
        record, k = wrong[0]
        raise DataError(
            f"{name}[{record}, {k}] ({class_names(y_prob.shape[1])[k]}) is {y_prob[record, k]}, "
            "not a probability in [0, 1]; put logits through a sigmoid, and look for NaN in the model"
        )
    return y_prob


def check_same_shape(y_true: NDArray, other: NDArray, name: str) -> None:
    """Raise DataError unless the labels and `other`, called `name`, have the same shape (N, K)."""
    if y_true.shape != other.shape:
        raise DataError(
            f"y_true has shape {y_true.shape} and {name} has shape {other.shape}; both must be (N, K), "
            "the same records and classes in the same order"
        )


def check_both_present(y_true: NDArray) -> None:
    """Raise DataError, naming the class, unless every class has a positive and a negative record."""
    _check_present(y_true, 1, "positive")
    _check_present(y_true, 0, "negative")


def confusion(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.int64]:
    """Count true positives, false negatives, false positives and true negatives of each class.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
        What each record has.
    y_pred : (N, K) array of 0 and 1
        What was predicted for it.

    Returns
    -------
    (K, 4) int64
        One row per class; columns TP, FN, FP, TN. Every row sums to N.

    Raises
    ------
    DataError
        Shapes that differ, or a value that is neither 0 nor 1.
    """
    y_true, y_pred = check_labels(y_true), check_labels(y_pred, "y_pred")
    check_same_shape(y_true, y_pred, "y_pred")
    # scikit-learn's order for labels [1, 0] is [[TP, FN], [FP, TN]].
    tables = [confusion_matrix(t, p, labels=[1, 0]) for t, p in zip(y_true.T, y_pred.T, strict=True)]
    return np.reshape(tables, (-1, 4)).astype(np.int64)


def sensitivity(table: ArrayLike) -> NDArray[np.float64]:
    """Share of a class's positives that were found: TP / (TP + FN).

    Parameters
    ----------
    table : (..., K, 4) array
        Counts as `confusion` returns them; leading axes, such as one per resample, are kept.

    Returns
    -------
    (..., K) float64

    Raises
    ------
    DataError
        A class without positives, which the message names.
    """
    tp, fn, _, _ = _columns(table)
    return _ratio(tp, tp + fn, "sensitivity", "no positives")


def specificity(table: ArrayLike) -> NDArray[np.float64]:
    """Share of a class's negatives that were left alone: TN / (TN + FP).

    Parameters and result as in `sensitivity`; DataError for a class without negatives.
    """
    _, _, fp, tn = _columns(table)
    return _ratio(tn, tn + fp, "specificity", "no negatives")


def accuracy(table: ArrayLike) -> NDArray[np.float64]:
    """Share of records that were judged rightly: (TP + TN) / N.

    Parameters and result as in `sensitivity`; DataError for a table of zeros.
    """
    tp, fn, fp, tn = _columns(table)
    return _ratio(tp + tn, tp + fn + fp + tn, "accuracy", "no records")


def f1(table: ArrayLike) -> NDArray[np.float64]:
    """Harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN).

    Parameters and result as in `sensitivity`; DataError for a class that has no positives, neither true nor
    predicted.
    """
    tp, fn, fp, _ = _columns(table)
    return _ratio(2 * tp, 2 * tp + fp + fn, "F1", "no positives, neither true nor predicted")


def auroc(y_true: ArrayLike, y_prob: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of each class.

    It is the probability that a random positive record gets a higher probability than a random negative one.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]

    Returns
    -------
    (K,) float64

    Raises
    ------
    DataError
        Shapes that differ, a value out of range, or a class without positives or without negatives.
    """
    y_true, y_prob = _checked_pair(y_true, y_prob)
    check_both_present(y_true)
    return np.array([roc_auc_score(t, p) for t, p in zip(y_true.T, y_prob.T, strict=True)])


def average_precision(y_true: ArrayLike, y_prob: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each class: the precision at each threshold, weighted by the gain in sensitivity.

    Parameters and result as in `auroc`; DataError for a class without positives.
    """
    y_true, y_prob = _checked_pair(y_true, y_prob)
    _check_present(y_true, 1, "positive")
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


def _checked_pair(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y_true, y_prob = check_labels(y_true), check_probabilities(y_prob)
    check_same_shape(y_true, y_prob, "y_prob")
    return y_true, y_prob


def _check_present(y_true: NDArray, value: int, word: str) -> None:
    names = class_names(y_true.shape[1])
    missing = [name for name, column in zip(names, y_true.T, strict=True) if value not in column]
    if missing:
        raise DataError(
            f"no {word} record among {len(y_true)} for {', '.join(missing)}: "
            "the metric is not defined there; use more records or another partition"
        )


def _columns(table: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(table)
    if table.ndim < 2 or table.shape[-1] != 4 or 0 in table.shape:
        raise DataError(f"the table has shape {table.shape}; it must be (K, 4), columns {', '.join(COLUMNS)}")
    if table.dtype.kind not in "iuf" or not (np.isfinite(table) & (table >= 0)).all():
        raise DataError("the table must hold counts: finite numbers that are not negative")
    return np.moveaxis(table.astype(np.float64), -1, 0)


def _ratio(part: NDArray, whole: NDArray, metric: str, reason: str) -> NDArray[np.float64]:
    undefined = np.argwhere(whole == 0)
    if undefined.size:
        name = class_names(whole.shape[-1])[undefined[0][-1]]
        raise DataError(f"the {metric} of {name} is not defined: {reason}; use more records or another partition")
    return part / whole
