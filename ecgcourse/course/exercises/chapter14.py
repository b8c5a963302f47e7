"""Answers to the exercises of chapter 14, what the network saw."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from ecgcourse.course.exercises.judging import conditions, function, values

Array = NDArray[np.float64]


# --- 1: a linear network


def linear_attributions(w: Array, x: Array, baseline: Array) -> Array:
    """Integrated gradients of the sum of w · x: each weight times the way from the baseline."""
    return w * (x - baseline)


def _without_baseline(w: Array, x: Array, baseline: Array) -> Array:
    return w * x


def _gradient(w: Array, x: Array, baseline: Array) -> Array:
    return w + 0 * x


def _backwards(w: Array, x: Array, baseline: Array) -> Array:
    return w * (baseline - x)


def _summed(w: Array, x: Array, baseline: Array) -> float:
    return float(linear_attributions(w, x, baseline).sum())


def _shares(w: Array, x: Array, baseline: Array) -> Array:
    found = linear_attributions(w, x, baseline)
    return found / found.sum()


def _linear_networks() -> list[tuple[Array, Array, Array]]:
    rng = np.random.default_rng(0)
    return [tuple(rng.normal(size=(3, shape))) for shape in (4, 7)] + [tuple(rng.normal(size=(3, 2, 5)))]


# --- 2: a product

RECORD = np.array([2.0, 3.0])
BASELINES = np.array([[0.0, 0.0], [1.0, 1.0]])


def product_attributions() -> Array:
    """Integrated gradients of x₁ x₂, one row for each baseline."""
    # The other factor goes evenly from its start to its end, so its mean is half-way.
    return (RECORD - BASELINES) * ((RECORD + BASELINES) / 2)[:, ::-1]


# --- 3: agreement out of nothing


def agreement_where_seen(one: Array, other: Array, seen: NDArray[np.bool_]) -> float:
    """Rank correlation of the sizes of two attributions, of the samples that a pixel looks at."""
    return float(spearmanr(np.abs(one[seen]), np.abs(other[seen])).statistic)


def _everywhere(one: Array, other: Array, seen: NDArray[np.bool_]) -> float:
    return float(spearmanr(np.abs(one), np.abs(other)).statistic)


def _signed(one: Array, other: Array, seen: NDArray[np.bool_]) -> float:
    return float(spearmanr(one[seen], other[seen]).statistic)


def _of_the_values(one: Array, other: Array, seen: NDArray[np.bool_]) -> float:
    return float(pearsonr(np.abs(one[seen]), np.abs(other[seen])).statistic)


def _where_unequal_to_zero(one: Array, other: Array, seen: NDArray[np.bool_]) -> float:
    return agreement_where_seen(one, other, (one != 0) & (other != 0))


def _pairs_with_gaps() -> list[tuple[Array, Array, NDArray[np.bool_]]]:
    rng = np.random.default_rng(0)
    pairs = []
    for n_samples in (60, 90):
        seen = rng.random(n_samples) < 0.5
        shared = rng.normal(size=n_samples)
        one, other = (np.where(seen, shared + rng.normal(size=n_samples), 0) for _ in range(2))
        one[np.flatnonzero(seen)[:5]] = 0  # looked at, and of no weight: that counts
        pairs.append((one, other, seen))
    return pairs


# --- 4: find the fault: a mask that can't be right


def share_on_shifted(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    """Share of the absolute attribution (L, T) on a mask that is shifted to later samples, end to start."""
    return _share(attribution, np.roll(mask, round(seconds * fs), axis=-1))


def _share(attribution: Array, mask: NDArray[np.bool_]) -> float:
    return float(np.abs(attribution)[mask].sum() / np.abs(attribution).sum())


def _not_shifted(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return _share(attribution, mask)


def _over_the_edge_of_leads(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return _share(attribution, np.roll(mask, round(seconds * fs)))


def _to_earlier(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return share_on_shifted(attribution, mask, -seconds, fs)


def _by_the_seconds(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return share_on_shifted(attribution, mask, round(seconds), 1)


def _with_signs(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return float(attribution[np.roll(mask, round(seconds * fs), axis=-1)].sum() / attribution.sum())


def _chance(attribution: Array, mask: NDArray[np.bool_], seconds: float, fs: float) -> float:
    return float(mask.mean())


def _beats() -> list[tuple[Array, NDArray[np.bool_], float, float]]:
    rng = np.random.default_rng(0)
    tries = []
    for seconds, fs in ((0.4, 100), (1.5, 20), (2.0, 50)):
        attribution = rng.normal(0.2, 1, (3, 300)) * (1 + 3 * (np.arange(300) % 80 < 10))
        mask = (np.arange(300) + np.array([[0], [7], [14]])) % 80 < 15
        tries.append((attribution, mask, seconds, fs))
    return tries


EXERCISES = {
    1: function(
        linear_attributions,
        (_without_baseline, "the way begins at the baseline, not at zero."),
        (_gradient, "that is the gradient alone. Integrated gradients multiply it by the way from the baseline."),
        (_backwards, "the sign is the other way round: the way leads from the baseline to the record."),
        (_summed, "that is the sum of all attributions. Each input gets its own: the shape is that of x."),
        (_shares, "nothing has to be divided: attributions sum to the difference of F, not to 1."),
        tries=_linear_networks,
        what="a function that takes three arrays of one shape, w, x and the baseline, and returns another",
        hint="the gradient of F is the same everywhere on the way. What is its mean, then?",
    ),
    2: values(
        product_attributions,
        (
            lambda: (RECORD - BASELINES) * RECORD[::-1],
            "you took the gradient at the end of the way. Take its mean on the way.",
        ),
        (
            lambda: (RECORD - BASELINES) * BASELINES[:, ::-1],
            "you took the gradient at the beginning of the way. Take its mean on the way.",
        ),
        (
            lambda: np.array([product_attributions()[0]] * 2),
            "the second row is for another baseline: both the way and the gradients on it change.",
        ),
        (
            lambda: np.tile(RECORD[::-1], (2, 1)),
            "that is the gradient at the record. It has to be averaged on the way, and multiplied by the way.",
        ),
        (
            lambda: (RECORD - BASELINES) * ((RECORD + BASELINES) / 2),
            "the gradient with respect to x₁ is x₂, and the other way round: you exchanged them.",
        ),
        what="four numbers, an array of shape (2, 2): a row for each baseline, a column for each input",
        hint="∂F/∂x₁ is x₂. It goes evenly from x₂' to x₂; its mean is half-way. Check the sum: F(x) − F(x').",
    ),
    3: function(
        agreement_where_seen,
        (_everywhere, "the samples that no pixel looks at are zero in both, and agree: leave them out."),
        (_signed, "you compared signed values. Asked for are the sizes."),
        (_of_the_values, "that is the correlation of the values. Take the ranks: scipy.stats.spearmanr."),
        (
            _where_unequal_to_zero,
            "a sample that is looked at may well get a zero, and that counts. Use `seen`, not the values.",
        ),
        tries=_pairs_with_gaps,
        what="a function that takes two arrays (T,) and a mask (T,), and returns a number from −1 to 1",
        hint="choose the samples by the mask, take absolute values, then Spearman's rank correlation.",
    ),
    4: function(
        share_on_shifted,
        (_not_shifted, "that is the share on the mask where it was. Shift it first."),
        (
            _over_the_edge_of_leads,
            "that is the function as it was shown. Try it on a mask of two leads and four samples, shifted by one.",
        ),
        (_to_earlier, "the shift goes the other way: to later samples."),
        (_by_the_seconds, "the shift is in seconds, and np.roll wants samples: fs of them each second."),
        (_with_signs, "for and against cancel in a sum of signed values. Take absolute values first."),
        (_chance, "that is chance, the share of marked samples. Count the attribution on them."),
        tries=_beats,
        what="a function that takes an attribution (L, T), a mask (L, T), seconds and Hz, and returns a share",
        hint="draw the mask of two leads before and after. Then the absolute attribution on it over all of it.",
    ),
    5: conditions(
        lambda: {"before": 0.4, "after": 0.9},
        (
            lambda found: all(0 < found[name] <= 1 for name in ("before", "after")),
            lambda: {"before": 40.0, "after": 90.0},
            "fractions lie between 0 and 1.",
        ),
        (
            lambda found: found["before"] < 0.95,
            lambda: {"before": 1.0, "after": 0.9},
            "much of `from_package` lies beside the marks. Divide by the sum over all samples of all leads.",
        ),
        (
            lambda found: found["after"] > found["before"],
            lambda: {"before": 0.4, "after": 0.4},
            "that isn't more. Which question does a baseline of 0 mV ask, and what would you rather ask?",
        ),
        what='{"before": …, "after": …}, two fractions',
    ),
}
