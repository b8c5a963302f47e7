"""Answers to the exercises of chapter 13, fusion."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from ecgcourse.analysis.stacking import Stacking
from ecgcourse.course.exercises.judging import conditions, function, values
from ecgcourse.learning import metrics

Drawn = NDArray[np.float64]
Gates = tuple[np.ndarray, np.ndarray]
GateMaker = Callable[[np.ndarray, np.ndarray, int, int], Gates]
SHUT = -1e4


# --- 2: better than the better network


# Of the chapter's networks of samples and of images on the practice set, roughly.
AUROCS, CORRELATION, PREVALENCE = np.array([0.86, 0.76]), 0.5, np.array([0.17, 0.22, 0.18, 0.11])
N_KNOWN, N_NEW, N_TIMES = 108, 1000, 8
# By how much a fusion has to exceed what it is compared with.
MARGIN = 0.001

Fusion = Callable[[Drawn, Drawn, Drawn], Drawn]


def _two_networks(rng: np.random.Generator, n_records: int) -> tuple[Drawn, Drawn]:
    """Probabilities (N, 2, 4) of two networks whose mistakes agree in part, and labels (N, 4)."""
    distances = np.sqrt(2) * norm.ppf(AUROCS)
    labels = (rng.random((n_records, 4)) < PREVALENCE).astype(float)
    shared, own = rng.normal(size=(n_records, 4, 1)), rng.normal(size=(n_records, 4, 2))
    mistakes = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
    scores = labels[..., None] * distances + mistakes
    # The log-odds of two normal distributions with the spread 1, 0 and d apart.
    logits = distances * scores - distances**2 / 2 + logit(PREVALENCE)[:, None]
    return expit(logits).transpose(0, 2, 1), labels


@cache
def _draws() -> list[tuple[Drawn, ...]]:
    """Known probabilities and labels, new probabilities and labels, several times."""
    rng = np.random.default_rng(0)
    return [(*_two_networks(rng, N_KNOWN), *_two_networks(rng, N_NEW)) for _ in range(N_TIMES)]


def _fused(answer: Fusion) -> list[Drawn]:
    return [np.asarray(answer(*(each.copy() for each in draw[:3])), dtype=float) for draw in _draws()]


def _mean_auroc(answer: Fusion) -> float:
    return float(np.mean([metrics.auroc(draw[3], p).mean() for draw, p in zip(_draws(), _fused(answer), strict=True)]))


def _gives_one_for_each(answer: Fusion) -> bool:
    return all(p.shape == (N_NEW, 4) for p in _fused(answer))


def _gives_probabilities(answer: Fusion) -> bool:
    return all(((p >= 0) & (p <= 1)).all() for p in _fused(answer))


def _beats(other: Fusion, margin: float) -> Callable[[Fusion], bool]:
    return lambda answer: _mean_auroc(answer) > _mean_auroc(other) + margin


def mean_of_logits(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return expit(logit(new).mean(axis=1))


def shared_weights(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    """Stacking with one pair of weights for all classes."""
    x = logit(known).transpose(0, 2, 1).reshape(-1, 2)
    weights = LogisticRegression().fit(x, labels.ravel()).coef_[0]
    return expit(np.einsum("nmk,m->nk", logit(new), weights))


def _stacked(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return Stacking().fit(known, labels).predict(new)


def _better_one(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return new[:, 0]


def _yes_or_no(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return np.round(new).mean(axis=1)


def _as_logits(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return logit(new).mean(axis=1)


def _both(known: Drawn, labels: Drawn, new: Drawn) -> Drawn:
    return new


# --- 3: the best weight


def best_weight(auroc_1: float, auroc_2: float, correlation: float) -> float:
    """Weight in [0, 1] of the second of two scores, the first having the rest, with the largest AUROC."""
    return float(np.clip(_best_weight_anywhere(auroc_1, auroc_2, correlation), 0, 1))


def _best_weight_anywhere(auroc_1: float, auroc_2: float, correlation: float) -> float:
    # The weights of Fisher's linear discriminant: the distances times the inverse of the correlations.
    first, second = norm.ppf([auroc_1, auroc_2])
    return float((second - correlation * first) / ((first + second) * (1 - correlation)))


def _plain_mean(auroc_1: float, auroc_2: float, correlation: float) -> float:
    return 0.5


def _of_the_first(auroc_1: float, auroc_2: float, correlation: float) -> float:
    return 1 - best_weight(auroc_1, auroc_2, correlation)


def _without_correlation(auroc_1: float, auroc_2: float, correlation: float) -> float:
    return best_weight(auroc_1, auroc_2, 0)


def _shares_of_auroc(auroc_1: float, auroc_2: float, correlation: float) -> float:
    return auroc_2 / (auroc_1 + auroc_2)


def _all_or_nothing(auroc_1: float, auroc_2: float, correlation: float) -> float:
    return float(auroc_2 > auroc_1)


# --- 4: the interval of a difference


def interval_of_difference(one: Drawn, other: Drawn) -> Drawn:
    """The middle 95 % of one minus other, both (B,), AUROCs on the same B draws of records."""
    return np.percentile(one - other, [2.5, 97.5])


def _as_if_they_were_independent(one: Drawn, other: Drawn) -> Drawn:
    (low, high), (other_low, other_high) = (np.percentile(each, [2.5, 97.5]) for each in (one, other))
    return np.array([low - other_high, high - other_low])


def _end_by_end(one: Drawn, other: Drawn) -> Drawn:
    return np.percentile(one, [2.5, 97.5]) - np.percentile(other, [2.5, 97.5])


def _other_way_round(one: Drawn, other: Drawn) -> Drawn:
    return interval_of_difference(other, one)


def _ninety_percent(one: Drawn, other: Drawn) -> Drawn:
    return np.percentile(one - other, [5, 95])


def _of_the_mean(one: Drawn, other: Drawn) -> Drawn:
    difference = one - other
    return difference.mean() + 1.96 * difference.std(ddof=1) / np.sqrt(len(difference)) * np.array([-1, 1])


def _drawn_areas() -> list[tuple[Drawn, Drawn]]:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.02, (2, 400))
    return [
        (mean + each + rng.normal(0, 0.01, 400), 0.9 + each + rng.normal(0, 0.01, 400))
        for mean, each in zip((0.92, 0.88), shared, strict=True)
    ]


# --- 5: without the images


def without_images(weight: np.ndarray, bias: np.ndarray, n_signal: int, width: int) -> Gates:
    """Gates that shut the images out, and keep them from having a say in the signal's gate."""
    weight, bias = weight.copy(), bias.copy()
    weight[:, n_signal:] = 0
    bias[width:] = SHUT
    return weight, bias


def _only_shut(weight: np.ndarray, bias: np.ndarray, n_signal: int, width: int) -> Gates:
    return weight.copy(), np.where(np.arange(len(bias)) < width, bias, SHUT)


def _only_deaf(weight: np.ndarray, bias: np.ndarray, n_signal: int, width: int) -> Gates:
    return np.where(np.arange(weight.shape[1]) < n_signal, weight, 0), bias.copy()


def _all_shut(weight: np.ndarray, bias: np.ndarray, n_signal: int, width: int) -> Gates:
    return np.zeros_like(weight), np.full_like(bias, SHUT)


def _biases_alone(weight: np.ndarray, bias: np.ndarray, n_signal: int, width: int) -> np.ndarray:
    return without_images(weight, bias, n_signal, width)[1]


class _SmallFusion:
    """A gated fusion of random numbers: one signal and three fields, seven and five numbers each, gates of four."""

    n_signal, n_image, width = 7, 5, 4

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        n_all = self.n_signal + 3 * self.n_image
        self.weight, self.bias = rng.normal(size=(4 * self.width, n_all)), rng.normal(size=4 * self.width)
        self.signal, self.images = rng.normal(size=(6, self.n_signal)), rng.normal(size=(6, 3 * self.n_image))
        self.views = [rng.normal(size=(n, self.width)) for n in (self.n_signal, *[self.n_image] * 3)]

    def changed(self, answer: GateMaker) -> Gates:
        return answer(self.weight.copy(), self.bias.copy(), self.n_signal, self.width)

    def gates(self, made: Gates, signal: np.ndarray, images: np.ndarray) -> np.ndarray:
        weight, bias = made
        return expit(np.concatenate([signal, images], axis=1) @ weight.T + bias)

    def fused(self, made: Gates, signal: np.ndarray, images: np.ndarray) -> np.ndarray:
        parts = [signal, *np.split(images, 3, axis=1)]
        seen = np.concatenate([np.tanh(part @ view) for part, view in zip(parts, self.views, strict=True)], axis=1)
        heard = self.gates(made, signal, images) * seen
        return heard.reshape(len(signal), 4, self.width).sum(axis=1)


def _gives_both(answer: GateMaker) -> bool:
    fusion = _SmallFusion()
    made = fusion.changed(answer)
    return isinstance(made, tuple | list) and [np.shape(each) for each in made] == [
        fusion.weight.shape,
        fusion.bias.shape,
    ]


def _hears_the_signal(answer: GateMaker) -> bool:
    fusion = _SmallFusion()
    made = fusion.changed(answer)
    before, after = (fusion.fused(made, signal, fusion.images) for signal in (fusion.signal, fusion.signal[::-1]))
    return not np.allclose(before, after, atol=1e-3)


def _shuts_the_images(answer: GateMaker) -> bool:
    fusion = _SmallFusion()
    gates = fusion.gates(fusion.changed(answer), fusion.signal, fusion.images)
    return bool((gates[:, fusion.width :] < 1e-6).all())


def _does_not_move_with_the_images(answer: GateMaker) -> bool:
    fusion = _SmallFusion()
    made = fusion.changed(answer)
    before, after = (fusion.fused(made, fusion.signal, images) for images in (fusion.images, fusion.images[::-1]))
    return np.allclose(before, after, atol=1e-6)


EXERCISES = {
    1: values(
        lambda: 3,
        (
            lambda: 1,
            "two networks, side by side on axis 1, are what stacking needs: (N, 2, 4).",
        ),
        (
            lambda: 2,
            "the test records are put together as the validation records are, so that line is right.",
        ),
        (
            lambda: 4,
            "no network was trained on the validation records, so weights may be fitted there. But what to?",
        ),
        (
            lambda: 5,
            "the weights may be asked about new records. But what do they get to see of these?",
        ),
        (
            lambda: 6,
            "that is the macro AUROC of the fused probabilities. How many different ones can there be?",
        ),
        what="the number of a line",
        hint="the lines are numbered from 1 to 6.",
        rtol=0,
    ),
    2: conditions(
        lambda: shared_weights,
        (
            _gives_one_for_each,
            lambda: _both,
            "return one number for each new record and class, (M, 4): two networks become one.",
        ),
        (
            _gives_probabilities,
            lambda: _as_logits,
            "probabilities lie between 0 and 1. Are these logits?",
        ),
        (
            _beats(mean_of_logits, -MARGIN),
            lambda: _yes_or_no,
            "that is worse than the plain mean of logits. What does it throw away?",
        ),
        (
            _beats(mean_of_logits, MARGIN),
            lambda: mean_of_logits,
            "that is no better than the plain mean of logits, in which the weaker network counts as much as the other.",
        ),
        (
            _beats(_better_one, MARGIN),
            lambda: _stacked,
            "the better network alone is as good. A class has a dozen or two known positives: how many numbers do you "
            "learn from them?",
        ),
        what="a function that takes known probabilities, their labels and new probabilities, and returns (M, 4)",
    ),
    3: function(
        best_weight,
        (_plain_mean, "that is the plain mean. How much should the second score count, if it is weaker?"),
        (_of_the_first, "that is the weight of the first score. Asked for is that of the second."),
        (
            _without_correlation,
            "you left the correlation out. The more the mistakes agree, the less a weaker score has to add.",
        ),
        (
            _shares_of_auroc,
            "an AUROC can't be shared out like this: a score of 0.5 knows nothing and would still count a lot.",
        ),
        (
            _all_or_nothing,
            "the better score alone is a candidate, but a little of the other can do better: try weights in between.",
        ),
        (
            _best_weight_anywhere,
            "the weight may not leave the range from 0 to 1: where the best one lies outside, take the nearer end.",
        ),
        tries=lambda: [(0.85, 0.7, 0.3), (0.85, 0.8, 0.6), (0.75, 0.8, 0.2), (0.9, 0.65, 0.6)],
        what="a function that takes two AUROCs and a correlation and returns a weight from 0 to 1",
        hint="try 1001 weights w: the distance is (1 − w) d₁ + w d₂, the spread √((1 − w)² + w² + 2 ρ w (1 − w)).",
        atol=0.003,
    ),
    4: function(
        interval_of_difference,
        (
            _as_if_they_were_independent,
            "you compared the worst draw of one model with the best of the other. Both were judged on the same draws: "
            "take the difference draw by draw, first.",
        ),
        (
            _end_by_end,
            "the difference of two intervals' ends is no interval of the difference. Take the difference draw by draw.",
        ),
        (_other_way_round, "the sign is the other way round: one minus other."),
        (
            _ninety_percent,
            "between the 5th and the 95th percentile lie 90 %. How much is cut off at each end for 95 %?",
        ),
        (
            _of_the_mean,
            "that shrinks with the number of draws, which you choose. The draws themselves spread as the AUROC does.",
        ),
        tries=_drawn_areas,
        what="a function that takes two arrays (B,) and returns two numbers, the lower and the upper end",
        hint="first the difference of each draw, then its 2.5th and its 97.5th percentile.",
    ),
    5: conditions(
        lambda: without_images,
        (
            _gives_both,
            lambda: _biases_alone,
            "return both, the table and the biases, in the shapes that they came in.",
        ),
        (
            _hears_the_signal,
            lambda: _all_shut,
            "now the signal isn't heard either. Its gates are the first `width` rows: leave what they need.",
        ),
        (
            _shuts_the_images,
            lambda: _only_deaf,
            "gates that don't depend on the images can still be open, and let them through. Shut them by their biases.",
        ),
        (
            _does_not_move_with_the_images,
            lambda: _only_shut,
            "shut gates alone don't silence the images: they still decide how far the signal's gate opens.",
        ),
        what="a function that takes a table, biases, n_signal and width, and returns a table and biases",
    ),
}
