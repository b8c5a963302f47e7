"""Answers to the exercises of chapter 5, the Markov transition field."""

from functools import lru_cache

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values
from ecgcourse.images import fields, signals
from ecgcourse.records import dipole

PAPER = np.array([0.9, 0.1, 0.1, 0.1, 0.9])
"""The samples of exercise 1."""


def five_samples() -> np.ndarray:
    return fields.markov_transition(PAPER, bins=2)


def _paper_bins() -> np.ndarray:
    return fields.bin_numbers(PAPER, bins=2)


def _paper_matrix() -> np.ndarray:
    return fields.transition_matrix(_paper_bins(), bins=2)


def _field_of(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.ix_(_paper_bins(), _paper_bins())]


def _paper_counts() -> np.ndarray:
    return np.array([[2, 1], [1, 0]])


def _is_four_numbers(answer: object) -> bool:
    return np.asarray(answer, dtype=float).shape == (4,)


def _lies_in_range(answer: object) -> bool:
    return bool(np.min(answer) >= 0 and np.max(answer) <= 1)


def _bins_of(answer: object) -> np.ndarray:
    return fields.bin_numbers(np.asarray(answer, dtype=float), bins=2)


def _holds_both_bins(answer: object) -> bool:
    return set(_bins_of(answer)) == {0, 1}


def _has_row_of_zeros(answer: object) -> bool:
    return bool((fields.transition_matrix(_bins_of(answer), bins=2).sum(axis=1) == 0).any())


def transition_matrix(x: np.ndarray, bins: int) -> np.ndarray:
    return fields.transition_matrix(fields.bin_numbers(x, bins), bins)


def _counts(x: np.ndarray, bins: int) -> np.ndarray:
    q, counts = fields.bin_numbers(x, bins), np.zeros((bins, bins))
    np.add.at(counts, (q[:-1], q[1:]), 1)
    return counts


def _shared_out(counts: np.ndarray, axis: int | None = 1) -> np.ndarray:
    return counts / np.maximum(counts.sum(axis=axis, keepdims=True), 1)


def _curves_and_bins() -> list[tuple[np.ndarray, int]]:
    time = np.arange(90) / 30
    return [((1 + np.sin(2 * np.pi * time) * np.cos(time)) / 2, bins) for bins in (2, 5)] + [(PAPER, 2)]


def equal_bins(x: np.ndarray, bins: int) -> np.ndarray:
    """Bin numbers of equally filled bins, each with its upper edge, as pyts makes them."""
    return np.searchsorted(np.quantile(x, np.arange(1, bins) / bins), x, side="left")


def _lower_edge_included(x: np.ndarray, bins: int) -> np.ndarray:
    return np.searchsorted(np.quantile(x, np.arange(1, bins) / bins), x, side="right")


def _quantiles_of_the_range(x: np.ndarray, bins: int) -> np.ndarray:
    return np.searchsorted(np.min(x) + np.ptp(x) * np.arange(1, bins) / bins, x, side="left")


def _order_of_samples(x: np.ndarray, bins: int) -> np.ndarray:
    return np.argsort(x) * bins // len(x)


def _lead_and_bins() -> list[tuple[np.ndarray, int]]:
    """Curves that lie mostly at one level, two of them with samples right on an edge."""
    rng = np.random.default_rng(0)
    return [(rng.permutation(25) ** 2 / 576, 8), (rng.beta(2, 6, size=81), 4), (rng.beta(2, 6, size=60), 7)]


def logarithmic_grey(field: np.ndarray) -> np.ndarray:
    return np.log1p(50 * field) / np.log(51)


def _some_field() -> np.ndarray:
    return fields.markov_transition(0.5 + 0.5 * np.sin(np.arange(60) / 4))


def _every_probability() -> np.ndarray:
    return np.linspace(0, 1, 100_001)


def _keeps_the_shape(answer) -> bool:
    return np.shape(answer(_some_field())) == (60, 60)


def _stays_between_black_and_white(answer) -> bool:
    grey = np.asarray(answer(_every_probability()[:, None]))
    return bool(grey.min() >= 0 and grey.max() <= 1)


def _is_the_same_for_all_records(answer) -> bool:
    """Whether a probability of 0.2 gets the same grey beside others of 0 and 0.3 as beside others of 0.1 and 1."""
    beside_low, beside_high = (np.array([[0.2, low], [0.2, high]]) for low, high in ((0, 0.3), (0.1, 1)))
    return bool(np.isclose(np.asarray(answer(beside_low))[0, 0], np.asarray(answer(beside_high))[0, 0]))


def _keeps_probabilities_apart(answer) -> bool:
    grey = np.asarray(answer(np.linspace(0, 1, 11)[:, None])).ravel()
    return bool((np.diff(grey) > 0).all())


N_GREYS = 225
"""How many grey levels are enough; P/5 has 38, P 187, and its square root 218."""


@lru_cache(maxsize=1)
def _fields_of_leads() -> list[np.ndarray]:
    """The fields (1000, 1000) of lead II of three hearts, causally filtered."""
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        heart, time = dipole.random_heart(rng), np.arange(1000) / 100
        lead = (heart.projection @ dipole.dipole(heart, dipole.beats(heart, 10, rng), time, rng))[-1]
        lead = signals.bandpass(lead + rng.normal(0, 0.03, len(lead)), 100)
        found.append(fields.markov_transition(signals.min_max(lead).astype(np.float64)))
    return found


def _number_of_greys(answer) -> float:
    """The mean number of grey levels in the images."""
    images = [fields.resize(np.asarray(answer(field.copy())), 256) for field in _fields_of_leads()]
    return float(np.mean([len(np.unique((image * 255).astype(np.uint8))) for image in images]))


EXERCISES = {
    1: values(
        five_samples,
        (_paper_matrix, "that is P, the table of bins. The field looks it up for every pair of the five samples."),
        (
            lambda: five_samples().T,
            "rows and columns are exchanged: a step leads from the bin of the row to the bin of the column.",
        ),
        (lambda: _field_of(_paper_counts()), "those are counts of steps. Divide each row of the table by its sum."),
        (
            lambda: _field_of(_paper_counts() / 4),
            "you divided by all four steps. Each row of P is divided by its own number of steps.",
        ),
        (
            lambda: _field_of(_paper_counts() / 3),
            "you divided both rows by 3. Only one step leaves the upper bin.",
        ),
        what="25 numbers, an array of shape (5, 5)",
        hint="write the bins of the five samples down first, 0 or 1, and then the four steps between them.",
        atol=5e-3,
    ),
    2: conditions(
        lambda: [0.1, 0.2, 0.3, 0.9],
        (_is_four_numbers, lambda: [0.1, 0.2, 0.3, 0.4, 0.9], "four samples are needed: a list of four numbers."),
        (_lies_in_range, lambda: [0.1, 0.2, 0.3, 1.9], "a lead is scaled to [0, 1]: no sample lies outside."),
        (
            _holds_both_bins,
            lambda: [0.1, 0.2, 0.3, 0.4],
            "one bin holds no sample at all. Its row is zero, but the row of a bin with a sample is asked for.",
        ),
        (
            _has_row_of_zeros,
            lambda: [0.1, 0.9, 0.2, 0.3],
            "a step leaves each of the bins, so both rows sum to 1. Which sample does no step leave?",
        ),
        what="a list of four samples in [0, 1]",
    ),
    3: function(
        transition_matrix,
        (
            lambda x, bins: _shared_out(np.minimum(_counts(x, bins), 1)),
            "that is still theirs. What is the sum of its counts, and how many steps are there?",
        ),
        (
            lambda x, bins: _shared_out(_counts(x, bins).T),
            "all steps are counted, but backwards: rows are where a step comes from.",
        ),
        (lambda x, bins: _shared_out(_counts(x, bins), axis=0), "all steps are counted. Now each row should sum to 1."),
        (
            lambda x, bins: _shared_out(_counts(x, bins), axis=None),
            "all steps are counted, but those are shares of all steps. Each row should sum to 1.",
        ),
        (_counts, "those are the counts, and they are right. Probabilities are asked for."),
        tries=_curves_and_bins,
        what="a function that takes a signal (T,) in [0, 1] and a number of bins, and returns P (bins, bins)",
        hint="try five samples, for which you can count the steps on paper.",
    ),
    4: function(
        equal_bins,
        (fields.bin_numbers, "those are bins of equal width. Here each bin holds equally many samples."),
        (
            _quantiles_of_the_range,
            "those edges divide the range evenly. Quantiles divide the samples: np.quantile(x, …).",
        ),
        (_lower_edge_included, "a sample right on an edge belongs to the bin below it: side='left'."),
        (lambda x, bins: equal_bins(x, bins) + 1, "the lowest bin is bin 0: leave the quantile 0 out of the edges."),
        (
            _order_of_samples,
            "argsort says which sample comes first, not which place a sample has. Use the edges, np.quantile.",
        ),
        tries=_lead_and_bins,
        what="a function that takes a signal (T,) and a number of bins, and returns the bin number of each sample (T,)",
        hint="how many edges lie between the bins, and what share of the samples lies below each?",
    ),
    5: conditions(
        lambda: logarithmic_grey,
        (callable, lambda: np.zeros((60, 60)), "a function is needed that takes a field, so that it can be tried."),
        (_keeps_the_shape, lambda: np.ravel, "the image has the shape of the field, (T, T)."),
        (
            _stays_between_black_and_white,
            lambda: lambda field: 5 * field,
            "a probability of 1 gets a grey above 1, or one of 0 below 0: times 255 it won't fit into a byte.",
        ),
        (
            _is_the_same_for_all_records,
            lambda: lambda field: (field - field.min()) / (field.max() - field.min()),
            "the same probability gets another grey in another record: don't scale by the field's own range.",
        ),
        (
            _keeps_probabilities_apart,
            lambda: lambda field: np.minimum(5 * field, 1),
            "some probabilities become the same grey, or a larger one the darker grey: the scale must rise all along.",
        ),
        (
            lambda answer: _number_of_greys(answer) >= N_GREYS,
            lambda: np.sqrt,
            lambda answer: (
                f"the images have {_number_of_greys(answer):.0f} grey levels on average, the bar is {N_GREYS}."
            ),
        ),
        what="a function that takes a field (T, T) of probabilities and returns its grey, (T, T) in [0, 1]",
    ),
}
