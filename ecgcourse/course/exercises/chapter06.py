"""Answers to the exercises of chapter 6, the recurrence plot."""

from functools import lru_cache

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values, word
from ecgcourse.images import fields
from ecgcourse.records import dipole

PAPER = np.array([0.2, 0.8, 0.5])
"""The samples of exercise 1."""


def three_samples() -> np.ndarray:
    return fields.recurrence(PAPER)


def recurrence_rate(x: np.ndarray, threshold: float) -> float:
    return float(np.mean(fields.recurrence(x) < threshold))


def _image(x: np.ndarray) -> np.ndarray:
    return (255 * fields.recurrence(x)).astype(np.uint8)


def _rate_of_different_moments(x: np.ndarray, threshold: float) -> float:
    return float(np.mean(fields.recurrence(x)[~np.eye(len(x), dtype=bool)] < threshold))


def _curves_and_thresholds() -> list[tuple[np.ndarray, float]]:
    """Curves of eighths, whose distances can be the threshold itself, and others."""
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 9, 40) / 8, 0.25), (rng.uniform(size=30), 0.1), (rng.beta(2, 6, size=50), 0.05)]


def both_curves(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two curves in [0, 1] that have this recurrence plot (T, T): the one behind it, and the same upside down."""
    lowest, highest = np.unravel_index(field.argmax(), field.shape)
    return field[lowest], field[highest]


def _plot_of(curve: np.ndarray) -> np.ndarray:
    return np.abs(curve[:, None] - curve[None, :])


def _given_field() -> np.ndarray:
    curve = np.cumsum(np.random.default_rng(0).normal(size=50))
    return _plot_of((curve - curve.min()) / np.ptp(curve))


def _found(answer) -> np.ndarray:
    return np.asarray(answer(_given_field()), dtype=float)


def _finds_two_curves(answer) -> bool:
    return _found(answer).shape == (2, len(_given_field()))


def _fits_the_plot(answer) -> bool:
    return all(np.allclose(_plot_of(curve), _given_field(), atol=1e-6) for curve in _found(answer))


def _lies_in_range(answer) -> bool:
    return bool(_found(answer).min() >= -1e-9 and _found(answer).max() <= 1 + 1e-9)


def _finds_different_curves(answer) -> bool:
    return not np.allclose(*_found(answer))


def signed_difference(x: np.ndarray) -> np.ndarray:
    return (x[:, None] - x[None, :] + 1) / 2


def signed_root(x: np.ndarray) -> np.ndarray:
    """Grey 0.5 for equal samples; the fourth root makes small differences large, and keeps them apart."""
    apart = x[:, None] - x[None, :]
    return 0.5 + 0.5 * np.sign(apart) * np.abs(apart) ** 0.25


LEAST_DIFFERENCE = 0.4
"""By how much the pictures of a lead and of its mirror image differ on average; the signed difference has 0.14."""


@lru_cache(maxsize=1)
def _lead() -> np.ndarray:
    """Four seconds of lead II at 100 Hz, scaled to [0, 1]."""
    rng, time = np.random.default_rng(0), np.arange(400) / 100
    heart = dipole.random_heart(rng)
    lead = (heart.projection @ dipole.dipole(heart, dipole.beats(heart, 4, rng), time, rng))[-1]
    lead = lead + rng.normal(0, 0.02, len(lead))
    return (lead - lead.min()) / np.ptp(lead)


def _difference(answer) -> float:
    upright, turned = (np.asarray(answer(curve), dtype=float) for curve in (_lead().copy(), 1 - _lead()))
    return float(np.abs(upright - turned).mean())


def _treats_equals_alike(answer) -> bool:
    return bool(np.ptp(np.diagonal(np.asarray(answer(_some_curve()), dtype=float))) < 1e-6)


def _keeps_distances_apart(answer) -> bool:
    """Whether 0, 0.1, …, 1 have eleven greys when they are compared with 0."""
    return len(np.unique(np.round(np.asarray(answer(np.arange(11) / 10), dtype=float)[0], 6))) == 11


def _some_curve() -> np.ndarray:
    curve = np.random.default_rng(1).uniform(size=12)
    curve[:2] = 0, 1
    return curve


def _is_square(answer) -> bool:
    return np.shape(answer(_some_curve())) == (12, 12)


def _is_grey(answer) -> bool:
    picture = np.asarray(answer(_some_curve()), dtype=float)
    return bool(picture.min() >= 0 and picture.max() <= 1)


def _compares_pairs(answer) -> bool:
    """Whether both the row and the column of a sample change with it, beyond the pixel on the diagonal."""
    moved, number = _some_curve(), 5
    moved[number] = (moved[number] + 0.5) % 1
    change = np.abs(np.asarray(answer(moved), dtype=float) - np.asarray(answer(_some_curve()), dtype=float))
    change[number, number] = 0
    return bool(change[number].max() > 1e-6 and change[:, number].max() > 1e-6)


def _knows_up_from_down(answer) -> bool:
    upright, turned = (np.asarray(answer(curve), dtype=float) for curve in (_some_curve(), 1 - _some_curve()))
    return bool(np.abs(upright - turned).max() > 0.05)


EXERCISES = {
    1: values(
        three_samples,
        (lambda: np.subtract.outer(PAPER, PAPER), "those differences have a sign. A distance has none: |xᵢ − xⱼ|."),
        (lambda: 1 - three_samples(), "that is 1 minus the distance. In this plot 0 means the same."),
        (lambda: three_samples() ** 2, "those are squares of distances."),
        (
            lambda: three_samples() / np.ptp(PAPER),
            "you scaled the samples to [0, 1] first. Take them as they are.",
        ),
        (
            lambda: fields.recurrence(np.sort(PAPER)),
            "you sorted the samples. Rows and columns keep the order in time.",
        ),
        what="nine numbers, an array of shape (3, 3)",
        hint="the first row compares 0.2 with 0.2, 0.8 and 0.5.",
        atol=1e-6,
    ),
    2: word(
        "along",
        ("rows", "in a row one moment stays and the other runs: the distance falls to 0 and rises again."),
        ("columns", "the plot is symmetric: a column looks like a row, and a row is no constant."),
        (
            "across",
            "a line across the diagonal starts with two moments side by side and ends with two far apart.",
        ),
        what="'rows', 'columns', 'along' or 'across'",
    ),
    3: function(
        recurrence_rate,
        (
            lambda x, threshold: float(np.mean(_image(x) > threshold)),
            "that is still theirs. Try a flat curve, in which all pixels recur.",
        ),
        (
            lambda x, threshold: float(np.mean(_image(x) < threshold)),
            "one fault is gone. In what range are the numbers of the image, and the threshold?",
        ),
        (
            lambda x, threshold: float(np.mean(_image(x) > 255 * threshold)),
            "one fault is gone. Try a flat curve, in which all pixels recur.",
        ),
        (
            lambda x, threshold: float(np.mean(_image(x) < 255 * threshold)),
            "both faults are gone. But whole grey levels were cut down, so some pairs look nearer than they are.",
        ),
        (
            lambda x, threshold: float(np.mean(fields.recurrence(x) <= threshold)),
            "both faults are gone. Is a distance of exactly the threshold below it?",
        ),
        (_rate_of_different_moments, "you left out the diagonal. Here each pixel of the plot counts."),
        tries=_curves_and_thresholds,
        what="a function that takes a signal (T,) and a threshold, and returns a share",
        hint="try three samples on paper.",
    ),
    4: conditions(
        lambda: both_curves,
        (callable, lambda: np.zeros((2, 50)), "a function is needed that takes a plot, so that it can be tried."),
        (
            _finds_two_curves,
            lambda: lambda field: field[0],
            "two curves are asked for, each with as many samples as the plot has rows.",
        ),
        (
            _fits_the_plot,
            lambda: lambda field: (field[0], field[1]),
            "a curve that you found has another plot. Not every row is the curve: which samples are 1 apart?",
        ),
        (
            _lies_in_range,
            lambda: lambda field: (both_curves(field)[0], -both_curves(field)[0]),
            "a scaled lead lies in [0, 1]. Turned upside down it does so still.",
        ),
        (
            _finds_different_curves,
            lambda: lambda field: (both_curves(field)[0], both_curves(field)[0]),
            "that is the same curve twice. The other one belongs to the other end of the range.",
        ),
        what="a function that takes a plot (T, T) and returns two curves, each (T,)",
    ),
    5: conditions(
        lambda: signed_root,
        (callable, lambda: np.zeros((12, 12)), "a function is needed that takes a signal, so that it can be tried."),
        (_is_square, lambda: lambda x: x, "a picture has a row and a column for every sample: (T, T)."),
        (
            _is_grey,
            lambda: lambda x: np.subtract.outer(x, x),
            "some grey values lie outside [0, 1]. Shift and shrink them.",
        ),
        (
            _compares_pairs,
            lambda: lambda x: np.tile(x, (len(x), 1)),
            "each pixel should compare two moments, that of its row and that of its column.",
        ),
        (
            _knows_up_from_down,
            lambda: fields.recurrence,
            "x and 1 − x get the same picture. What in the definition makes the sign vanish?",
        ),
        (
            _treats_equals_alike,
            lambda: lambda x: (2 * x[:, None] + x[None, :]) / 3,
            "two equal samples should have one grey, whatever their level.",
        ),
        (
            _keeps_distances_apart,
            lambda: lambda x: (np.sign(x[:, None] - x[None, :]) + 1) / 2,
            "some distances have the same grey: the curve can't be had back from the picture.",
        ),
        (
            lambda answer: _difference(answer) >= LEAST_DIFFERENCE,
            lambda: signed_difference,
            lambda answer: (
                f"the two pictures of a lead differ by {_difference(answer):.2f} on average, and the bar is "
                f"{LEAST_DIFFERENCE}."
            ),
        ),
        what="a function that takes a signal (T,) in [0, 1] and returns a picture (T, T) in [0, 1]",
    ),
}
