"""Answers to the exercises of chapter 5, the Markov transition field."""

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values, word
from ecgcourse.images import fields

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


def square_root_grey(field: np.ndarray) -> np.ndarray:
    return np.sqrt(field)


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


def _number_of_greys(answer) -> int:
    grey = np.asarray(answer(_every_probability()[:, None]))
    return len(np.unique((grey * 255).astype(np.uint8)))


def _uses_more_levels(answer) -> bool:
    return _number_of_greys(answer) > _number_of_greys(lambda field: field / fields.MTF_WHITE)


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
    3: word(
        "counts",
        ("P", "divide a transposed table by the sums of its rows: those were the sums of the columns before."),
        ("both", "try three samples on paper, and compare the sums of the rows before and after."),
        ("neither", "a step from bin a to bin b, played backwards, leads from b to a. What becomes of the counts?"),
        what="'counts', 'P', 'both' or 'neither'",
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
        hint="take bins − 1 edges from np.quantile, and count with np.searchsorted how many lie below each sample.",
    ),
    5: conditions(
        lambda: square_root_grey,
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
            _uses_more_levels,
            lambda: lambda field: field / 5,
            "that uses no more grey levels than P/5. Which part of 0 to 255 stays empty?",
        ),
        what="a function that takes a field (T, T) of probabilities and returns its grey, (T, T) in [0, 1]",
    ),
}
