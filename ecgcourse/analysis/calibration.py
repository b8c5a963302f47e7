"""Whether probabilities mean what they say: of all records that are given 0.3, three in ten should have the class.

A network is often sure of too much, and one that learned with weighted classes says too much of the rare ones. Neither
changes a ROC curve; both mend with two numbers per class, fitted on the validation set. Introduced in chapter
11; the Brier score's parts, the expected calibration error and temperature scaling in the book's page "Cases".
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from ecgcourse.errors import DataError, SettingError, check_name, check_setting, is_whole
from ecgcourse.learning import metrics
from ecgcourse.recipe import Task

METHODS = ("temperature", "platt")
STRATEGIES = ("quantile", "uniform")

# Between which e^x the temperature of a softmax is looked for.
_LOG_TEMPERATURES = (-5.0, 5.0)


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities that can be believed: each class's are multiplied by its slope, then shifted.

    What is positive keeps the order of the records within a class, so no AUROC changes. Thresholds are of probabilities
    *after* calibration, here and in checkpoints; :meth:`ecgcourse.classifier.Classifier.calibrate` fits both.

    Parameters
    ----------
    slopes : K floats
        Above 0; with a temperature T all are 1 / T.
    offsets : K floats
        In units of the logit.
    method : str
        Where they come from.

    Raises
    ------
    SettingError
        A slope that isn't above 0, a number that isn't finite, or not as many slopes as offsets.
    """

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]
    method: str = ""

    def __post_init__(self):
        for name in ("slopes", "offsets"):
            object.__setattr__(self, name, tuple(float(each) for each in getattr(self, name)))
        right = len(self.slopes) == len(self.offsets) and np.isfinite([*self.slopes, *self.offsets]).all()
        if not right or min(self.slopes, default=0) <= 0:
            raise SettingError(
                f"calibration: slopes {self.slopes} and offsets {self.offsets}; as many finite numbers of each are "
                "needed, and every slope above 0"
            )

    def apply(self, logits: ArrayLike, task: Task | None = None) -> NDArray[np.float64]:
        """Probabilities of logits, (N, K) each; see :func:`ecgcourse.learning.metrics.probabilities`."""
        return metrics.probabilities(logits, task, self.to_dict())

    def to_dict(self) -> dict:
        """All of it as plain values, as checkpoints keep it."""
        return asdict(self)


def fit(y_true: ArrayLike, logits: ArrayLike, method: str = "temperature", task: Task | None = None) -> Calibration:
    """Fit a calibration on the validation set.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    logits : (N, K) array
        From :func:`ecgcourse.learning.training.predict_logits`, of records that the network hasn't learned from.
    method : {"temperature", "platt"}
        Temperature scaling divides all logits by one number T. Platt scaling fits a logistic regression to the logits
        of each class: a slope and an offset.
    task : Task, optional
        Whether each record has exactly one class, for which Platt scaling isn't defined; None: any number of them.

    Returns
    -------
    Calibration

    Raises
    ------
    DataError
        Shapes that differ, logits that aren't finite, a class without positives or without negatives, or one in which
        larger logits mean fewer positives: it would be turned round.
    SettingError
        An unknown method, or Platt scaling where each record has exactly one class.

    Notes
    -----
    Where each record may have several classes, both are logistic regressions to Platt's targets, (n₊ + 1) / (n₊ + 2)
    for a positive and 1 / (n₋ + 2) for a negative record, rather than 1 and 0: a class that the network tells apart
    without a mistake would otherwise get an infinite slope.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 1999.

    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017, arXiv:1706.04599.
    """
    check_name(method, METHODS, "no method of calibration is")
    multiclass = task is not None and task.is_multiclass
    names = None if task is None else task.classes
    y_true, logits = metrics.check_labels(y_true, classes=names), np.asarray(logits, dtype=np.float64)
    metrics.check_same_shape(y_true, logits, "logits")
    metrics.check_both_present(y_true, names)
    if not np.isfinite(logits).all():
        raise DataError("logits hold NaN or infinite numbers; look for them in the model")
    n_classes = y_true.shape[1]
    if multiclass:
        if method == "platt":
            raise SettingError("platt is for records with any number of classes; where each has one, use temperature")
        return Calibration([1 / _softmax_temperature(y_true, logits)] * n_classes, [0.0] * n_classes, method)
    names = metrics.names_of(names, n_classes)
    targets = _platt_targets(y_true)
    if method == "temperature":
        slope, offset = _logistic(logits.ravel(), targets.ravel(), with_offset=False)
        found = [(slope, offset)] * n_classes
    else:
        found = [_logistic(x, t, with_offset=True) for x, t in zip(logits.T, targets.T, strict=True)]
    for name, (slope, _) in zip(names, found, strict=True):
        if slope <= 0:
            raise DataError(
                f"{name}: the larger the logit, the fewer records have it, so a calibration would turn the network "
                "round; it hasn't learned this class, or these are other records than it was validated on"
            )
    slopes, offsets = zip(*found, strict=True)
    return Calibration(slopes, offsets, method)


def without_class_weights(positive_weights: ArrayLike) -> Calibration:
    """Undo the weights that a loss gave to positive records, with nothing to fit.

    The expected loss of a record with P(y = 1) = π, −w π log p − (1 − π) log(1 − p), is smallest where
    p = w π / (w π + 1 − π). That is logit p = logit π + log w: subtract log w from every logit.

    Parameters
    ----------
    positive_weights : (K,) array
        Those of :class:`ecgcourse.learning.config.TrainConfig`, or of
        :func:`ecgcourse.learning.losses.positive_weights`.

    Returns
    -------
    Calibration
        Slopes of 1, offsets of −log w.

    Raises
    ------
    SettingError
        A weight that isn't above 0.

    References
    ----------
    Elkin, The foundations of cost-sensitive learning, IJCAI 2001, theorem 2.

    King and Zeng, Logistic regression in rare events data, Political Analysis 9, 2001,
    doi:10.1093/oxfordjournals.pan.a004868.
    """
    weights = np.asarray(positive_weights, dtype=np.float64)
    if weights.ndim != 1 or not (np.isfinite(weights) & (weights > 0)).all():
        raise SettingError(f"positive weights {positive_weights}; one number above 0 for each class is needed")
    return Calibration(np.ones(len(weights)), -np.log(weights), "without class weights")


def reliability(
    y_true: ArrayLike, y_prob: ArrayLike, n_bins: int = 10, strategy: str = "quantile", level: float = 0.95
) -> pd.DataFrame:
    """The reliability curve of one class: what was predicted against what was found, bin by bin.

    Parameters
    ----------
    y_true : (N,) array of 0 and 1
    y_prob : (N,) array in [0, 1]
    n_bins : int
    strategy : {"quantile", "uniform"}
        Bins of equally many records, or of equal width. Records of the same probability are never parted.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        A row per bin that has records: predicted (mean probability), observed (share of positives), low and high (ends
        of Wilson's interval of the share, which takes records for independent), n (records).

    Raises
    ------
    DataError
        Shapes that differ, or a value out of range.
    SettingError
        Bins that aren't a whole number above 0, or an unknown strategy.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22, 1927,
    doi:10.1080/01621459.1927.10502953.
    """
    y_true, y_prob = metrics.check_column(y_true, y_prob)
    place = _bins(y_prob, n_bins, strategy)
    rows = pd.DataFrame({"predicted": y_prob, "observed": y_true, "n": 1}).groupby(place)
    rows = rows.agg({"predicted": "mean", "observed": "mean", "n": "sum"}).reset_index(drop=True)
    found = np.rint(rows["observed"] * rows["n"]).astype(int)
    spans = [binomtest(k, n).proportion_ci(level, method="wilson") for k, n in zip(found, rows["n"], strict=True)]
    rows["low"], rows["high"] = [span.low for span in spans], [span.high for span in spans]
    return rows[["predicted", "observed", "low", "high", "n"]]


def brier(y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """Mean squared error of the probabilities over all records and classes; 0 is perfect.

    Parameters
    ----------
    y_true : (N,) or (N, K) array of 0 and 1
    y_prob : array of the same shape in [0, 1]
    """
    return float(np.mean((np.asarray(y_prob) - np.asarray(y_true)) ** 2))


def brier_parts(y_true: ArrayLike, y_prob: ArrayLike, n_bins: int = 10, strategy: str = "quantile") -> dict[str, float]:
    """The Brier score of one class and its parts: brier = reliability − resolution + uncertainty + within.

    Parameters
    ----------
    y_true, y_prob, n_bins, strategy
        As for :func:`reliability`.

    Returns
    -------
    dict
        brier; reliability: how far the bins are from the diagonal, squared, 0 is best; resolution: how far their shares
        are from the prevalence, squared, larger is better; uncertainty: prevalence × (1 − prevalence), which no model
        can change; within: what is left because probabilities differ inside a bin, 0 where each bin holds one
        probability.

    References
    ----------
    Murphy, A new vector partition of the probability score, J. Appl. Meteorol. 12, 1973,
    doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; for within Stephenson, Coelho and Jolliffe, Two extra
    components in the Brier score decomposition, Weather and Forecasting 23, 2008, doi:10.1175/2007WAF2006116.1.
    """
    bins = reliability(y_true, y_prob, n_bins, strategy)
    share, prevalence = bins["n"] / bins["n"].sum(), float(np.mean(y_true))
    parts = {
        "brier": brier(y_true, y_prob),
        "reliability": float((share * (bins["predicted"] - bins["observed"]) ** 2).sum()),
        "resolution": float((share * (bins["observed"] - prevalence) ** 2).sum()),
        "uncertainty": prevalence * (1 - prevalence),
    }
    named = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    return parts | {"within": parts["brier"] - named}


def expected_error(y_true: ArrayLike, y_prob: ArrayLike, n_bins: int = 10, strategy: str = "quantile") -> float:
    """The expected calibration error (ECE): the mean distance of the bins from the diagonal, over records and classes.

    It is biased upwards: a bin of few records lies off the diagonal even where every probability is right. So it grows
    with the number of bins and shrinks with the number of records; compare two models on the same records with the same
    bins, and each with :func:`expected_error_by_chance`.

    Parameters
    ----------
    y_true : (N,) or (N, K) array of 0 and 1
    y_prob : array of the same shape in [0, 1]
        Of K classes each has its own bins.
    n_bins, strategy
        As for :func:`reliability`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError, SettingError
        As :func:`reliability`.

    References
    ----------
    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    Nixon et al., Measuring calibration in deep learning, CVPR workshops 2019, arXiv:1904.01685.
    """
    return _mean_over_classes(lambda t, p: _off_diagonal(t, p, _bins(p, n_bins, strategy)), y_true, y_prob)


def expected_error_by_chance(
    y_prob: ArrayLike, n_bins: int = 10, strategy: str = "quantile", n_draws: int = 200, seed: int = 0
) -> float:
    """The ECE that these very probabilities would have on average if every one of them were right.

    Labels are drawn as the probabilities say, again and again; what is above this is miscalibration.

    Parameters
    ----------
    y_prob : (N,) or (N, K) array in [0, 1]
    n_bins, strategy
        As for :func:`reliability`.
    n_draws : int
        How often labels are drawn.
    seed : int
        The same seed gives the same labels.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 22, 2007,
    doi:10.1175/WAF993.1.
    """
    rng = np.random.default_rng(seed)

    def drawn(_: NDArray, p: NDArray) -> float:
        place = _bins(p, n_bins, strategy)
        return np.mean([_off_diagonal(rng.random(len(p)) < p, p, place) for _ in range(n_draws)])

    return _mean_over_classes(drawn, np.zeros(np.shape(y_prob)), y_prob)


def _mean_over_classes(measure: Callable[[NDArray, NDArray], float], y_true: ArrayLike, y_prob: ArrayLike) -> float:
    y_true, y_prob = np.asarray(y_true), np.asarray(y_prob)
    columns = [(y_true, y_prob)] if y_prob.ndim == 1 else zip(y_true.T, y_prob.T, strict=True)
    return float(np.mean([measure(*metrics.check_column(*column)) for column in columns]))


def _off_diagonal(y_true: NDArray, y_prob: NDArray, place: NDArray[np.int64]) -> float:
    # A bin's share times the distance of its means is the sum of its differences over all records.
    return np.abs(np.bincount(place, weights=y_true - y_prob)).sum() / len(y_prob)


def _bins(y_prob: NDArray, n_bins: int, strategy: str) -> NDArray[np.int64]:
    """Number of each record's bin."""
    check_setting("", "n_bins", n_bins, is_whole(n_bins, 1), "a whole number, at least 1")
    check_name(strategy, STRATEGIES, "no strategy of bins is")
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.quantile(y_prob, inner) if strategy == "quantile" else inner
    return np.searchsorted(edges, y_prob)


def _platt_targets(y_true: NDArray) -> NDArray[np.float64]:
    n_positive = y_true.sum(axis=0)
    n_negative = len(y_true) - n_positive
    return np.where(y_true == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))


def _logistic(x: NDArray, targets: NDArray, with_offset: bool) -> tuple[float, float]:
    """Slope and offset of a logistic regression to targets in [0, 1]: each record counts for both answers, in part."""
    model = LogisticRegression(C=np.inf, fit_intercept=with_offset, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    answers, weights = np.repeat([1, 0], len(x)), np.concatenate([targets, 1 - targets])
    model.fit(np.concatenate([x, x])[:, None], answers, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0]) if with_offset else 0.0


def _softmax_temperature(y_true: NDArray, logits: NDArray) -> float:
    def loss(log_temperature: float) -> float:
        return -np.mean(log_softmax(logits / np.exp(log_temperature), axis=1)[y_true == 1])

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded").x))
