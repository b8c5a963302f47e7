"""What a decision is worth: net benefit, and thresholds from what mistakes cost. Introduced in chapter 11.

The G-mean of :func:`ecgcourse.learning.metrics.fit_thresholds` weighs a missed infarction like a false alarm, in
whatever ratio the classes come. Where one is worse than the other, the threshold follows from how much worse.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from ecgcourse.errors import DataError, check_setting, is_real
from ecgcourse.learning import metrics

GRID = np.arange(1, 100) / 100
"""Thresholds at which a decision curve is drawn: 0.01, 0.02 … 0.99."""


def net_benefit(y_true: ArrayLike, y_prob: ArrayLike, thresholds: ArrayLike = GRID) -> pd.DataFrame:
    """The decision curve of one class: what it brings to treat those whose probability reaches a threshold.

    Who acts from probability t on takes one true positive to be worth (1 − t) / t false ones; the net benefit at t is
    TP / N − FP / N · t / (1 − t), in true positives per record. A model is of use where it lies above both other
    columns.

    Parameters
    ----------
    y_true : (N,) array of 0 and 1
    y_prob : (N,) array in [0, 1]
        Calibrated, or the thresholds mean nothing.
    thresholds : (H,) array in (0, 1)
        By default :data:`GRID`.

    Returns
    -------
    DataFrame
        A row per threshold: threshold, model, all (everybody is treated), none (nobody is: 0).

    Raises
    ------
    DataError
        Shapes that differ, or a value out of range.

    References
    ----------
    Vickers and Elkin, Decision curve analysis: a novel method for evaluating prediction models, Medical Decision Making
    26, 2006, doi:10.1177/0272989X06295361.
    """
    y_true, y_prob = metrics.check_column(y_true, y_prob)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not ((thresholds > 0) & (thresholds < 1)).all():
        raise DataError("the thresholds of a decision curve lie between 0 and 1: at 1 a false positive costs all")
    treated = y_prob >= thresholds[:, None]
    odds, prevalence = thresholds / (1 - thresholds), y_true.mean()
    model = (treated & (y_true == 1)).mean(axis=1) - (treated & (y_true == 0)).mean(axis=1) * odds
    everybody = prevalence - (1 - prevalence) * odds
    return pd.DataFrame({"threshold": thresholds, "model": model, "all": everybody, "none": 0.0})


def cost_threshold(false_negative: float, false_positive: float = 1) -> float:
    """The threshold of least expected cost for probabilities that are calibrated: c₊ / (c₊ + c₋).

    Parameters
    ----------
    false_negative, false_positive : float
        What each mistake costs, c₋ and c₊, above 0; only their ratio counts.

    Returns
    -------
    float
        In (0, 1).

    Raises
    ------
    SettingError
        A cost that isn't above 0.

    References
    ----------
    Elkin, The foundations of cost-sensitive learning, IJCAI 2001, equation 2.
    """
    _check_costs(false_negative, false_positive)
    return false_positive / (false_positive + false_negative)


def fit_cost_thresholds(
    y_true: ArrayLike, y_prob: ArrayLike, false_negative: float, false_positive: float = 1
) -> NDArray[np.float64]:
    """Find, for each class, the threshold at which mistakes cost least, for probabilities that needn't be calibrated.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
        Of the validation set.
    y_prob : (N, K) array in [0, 1]
    false_negative, false_positive : float
        As for :func:`cost_threshold`.

    Returns
    -------
    (K,) float64
        Probabilities that occur, of equally cheap ones the highest; 1 where it is cheapest never to predict the class.

    Raises
    ------
    DataError
        As :func:`ecgcourse.learning.metrics.fit_thresholds`.
    SettingError
        As :func:`cost_threshold`.
    """
    _check_costs(false_negative, false_positive)
    y_true, y_prob = metrics.check_pair(y_true, y_prob)
    metrics.check_both_present(y_true)
    found = []
    for t, p in zip(y_true.T, y_prob.T, strict=True):
        false_rate, true_rate, candidates = roc_curve(t, p, drop_intermediate=False)
        cost = false_negative * (1 - true_rate) * t.sum() + false_positive * false_rate * (1 - t).sum()
        # The first candidate is infinite: nobody is predicted.
        found.append(min(candidates[np.argmin(np.round(cost, 9))], 1.0))
    return np.array(found)


def cost(y_true: ArrayLike, y_pred: ArrayLike, false_negative: float, false_positive: float = 1) -> NDArray[np.float64]:
    """Cost of all mistakes per record, of each class: (N, K) labels and decisions -> (K,)."""
    _check_costs(false_negative, false_positive)
    _, missed, false_alarms, _ = metrics.confusion(y_true, y_pred).T
    return (false_negative * missed + false_positive * false_alarms) / len(np.asarray(y_true))


def _check_costs(false_negative: float, false_positive: float) -> None:
    for name, value in (("false_negative", false_negative), ("false_positive", false_positive)):
        check_setting("costs", name, value, is_real(value, 0), "a number above 0")
