"""Answers to the exercises of chapter 4, the Gramian angular field."""

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values, word
from ecgcourse.images import fields


def three_samples() -> np.ndarray:
    return fields.gramian_angular(np.array([0, 0.5, 1]))


def difference_field(x: np.ndarray) -> np.ndarray:
    angle = np.arccos(fields.to_cosine(x))
    return np.sin(angle[:, None] - angle[None, :])


def _summation_field(x: np.ndarray) -> np.ndarray:
    return fields.gramian_angular(x)


def _without_stretching(x: np.ndarray) -> np.ndarray:
    angle = np.arccos(np.clip(x, -1, 1))
    return np.sin(angle[:, None] - angle[None, :])


def _cosine_of_the_difference(x: np.ndarray) -> np.ndarray:
    angle = np.arccos(fields.to_cosine(x))
    return np.cos(angle[:, None] - angle[None, :])


def _curves() -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(np.array([0, 0.25, 0.5, 1, 0.75]),), (rng.uniform(size=30),), (0.2 + 0.3 * rng.uniform(size=30),)]


def curve_from_image(image: np.ndarray) -> np.ndarray:
    """The curve in [−1, 1], or upside down, that an image (S, S) of grey levels was made of."""
    field = image / 255 * 2 - 1
    return field[np.argmax(np.ptp(field, axis=1))]


def _diagonal(image: np.ndarray) -> np.ndarray:
    return image.diagonal() / 255 * 2 - 1


def _first_row(image: np.ndarray) -> np.ndarray:
    return image[0] / 255 * 2 - 1


def _ramp() -> np.ndarray:
    return (fields.grey("GAF", fields.gramian_angular(np.linspace(0, 1, 64))) * 255).astype(np.uint8)


def _likeness(answer) -> float:
    """The smallest correlation, up or down, of what a function makes of images with the curves behind them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3):
        curve = np.cumsum(rng.normal(size=64))
        curve = (curve - curve.min()) / np.ptp(curve)
        image = (fields.grey("GAF", fields.gramian_angular(curve)) * 255).astype(np.uint8)
        found.append(abs(np.corrcoef(np.asarray(answer(image), dtype=float), curve)[0, 1]))
    return min(found)


EXERCISES = {
    1: values(
        three_samples,
        (
            lambda: np.outer([-1, 0, 1], [-1, 0, 1]),
            "that is x̃ᵢ x̃ⱼ alone. The cosine of a sum has a second part, − sin φᵢ sin φⱼ.",
        ),
        (
            lambda: np.cos(np.subtract.outer([np.pi, np.pi / 2, 0], [np.pi, np.pi / 2, 0])),
            "you took the cosine of the difference of two angles. This field adds them.",
        ),
        (
            lambda: np.cos(np.add.outer(np.arccos([0, 0.5, 1]), np.arccos([0, 0.5, 1]))),
            "the samples were not stretched to [−1, 1] first.",
        ),
        (
            lambda: (three_samples() + 1) / 2,
            "that is the grey image, (G + 1) / 2. The field itself runs from −1 to 1.",
        ),
        what="nine numbers, an array of shape (3, 3)",
        hint="write down the three angles first: 180°, 90° and 0°. Then add each pair and take the cosine.",
        atol=1e-6,
    ),
    2: word(
        "neither",
        ("factor", "min–max divides by the range, and the factor is in the range too: it cancels."),
        ("offset", "min–max subtracts the smallest sample, and the offset is in that too: it cancels."),
        ("both", "write (5x + 0.7 − min) / (max − min) down, with the min and the max of the strong record."),
        what="'factor', 'offset', 'both' or 'neither'",
    ),
    3: function(
        difference_field,
        (_summation_field, "that is the summation field, cos(φᵢ + φⱼ). Take the sine of the difference."),
        (
            _cosine_of_the_difference,
            "that is the cosine of the difference, which doesn't tell up from down. Take the sine.",
        ),
        (
            _without_stretching,
            "stretch x to [−1, 1] by its own smallest and largest sample first: fields.to_cosine(x).",
        ),
        (lambda x: -difference_field(x), "the sign is the other way round: the row's angle comes first, φᵢ − φⱼ."),
        tries=_curves,
        what="a function that takes a signal (T,) in [0, 1] and returns a field (T, T)",
        hint="compare with pyts: GramianAngularField(image_size=len(x), method='difference').",
        atol=1e-6,
    ),
    4: word(
        "pairs with T",
        ("all pairs", "R and S set the range in both beats, so pairs of moments without the T wave keep their value."),
        ("pairs of T with T", "look at the rows of the T wave: their pairs with R and S change as well."),
        (
            "none",
            "turning over the whole curve changes nothing, but here R and S stay. The T wave moves relative to them.",
        ),
        what="'all pairs', 'pairs with T', 'pairs of T with T' or 'none'",
    ),
    5: conditions(
        lambda: curve_from_image,
        (
            callable,
            lambda: np.zeros(64),
            "a function is needed that takes an image, so that it can be tried on others.",
        ),
        (
            lambda answer: np.shape(answer(np.zeros((64, 64), np.uint8))) == (64,),
            lambda: lambda image: image / 255,
            "the curve has as many numbers as the image has rows: return one row, not the whole image.",
        ),
        (
            lambda answer: not np.allclose(answer(_ramp()), _diagonal(_ramp())),
            lambda: _diagonal,
            "the diagonal is 2x̃² − 1: bright for high and for low samples. Some row does better.",
        ),
        (
            lambda answer: _likeness(answer) > 0.95,
            lambda: _first_row,
            "not every row is the curve. The row of the highest or the lowest sample is: its range is the widest.",
        ),
        what="a function that takes an image (S, S) of grey levels and returns a curve (S,)",
    ),
}
