"""Answers to the exercises of chapter 13, fusion."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from ecgcourse.course.exercises.judging import conditions, function, values, word

Drawn = NDArray[np.float64]
Gates = tuple[np.ndarray, np.ndarray]
GateMaker = Callable[[np.ndarray, np.ndarray, int, int], Gates]
SHUT = -1e4


# --- 1: what late fusion trains


def linear(*sizes: int) -> int:
    """Weights and biases of linear layers, one after the other."""
    return sum(n_in * n_out + n_out for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True))


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
        lambda: linear(2 * 4, 512, 4),
        (
            lambda: linear(4, 512, 4),
            "both networks give four probabilities each, so there are eight inputs.",
        ),
        (
            lambda: linear(2 * 4, 512, 4) - 512 - 4,
            "each of the 512 hidden numbers and each of the four logits has a bias as well.",
        ),
        (
            lambda: linear(2 * 4, 512),
            "that is the hidden layer. Another one makes the four logits of it.",
        ),
        (
            lambda: linear(2 * 4, 512, 2 * 4),
            "the fusion gives four logits, not eight.",
        ),
        what="a whole number",
        hint="the two parts are frozen. Two linear layers are left: from eight to 512, and from 512 to four.",
        rtol=0,
    ),
    2: word(
        "near zero",
        (
            "a third",
            "stacking learns from the labels how much each network counts, and the guesses say nothing about them.",
        ),
        (
            "as much as the images",
            "the images' network is weaker than the signal's, but it knows something. Guesses know nothing.",
        ),
        (
            "near minus one",
            "a network that is always wrong would get a negative weight. Guesses are neither right nor wrong.",
        ),
        what="'near zero', 'a third', 'as much as the images' or 'near minus one'",
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
