"""Answers to the exercises of chapter 4, the Gramian angular field."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values
from ecgcourse.images import fields, signals


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


# --- 2: white spots

FS = 100


def filtered_field(lead: np.ndarray, fs: float) -> np.ndarray:
    """The field of a lead (T,) that is filtered first and scaled then."""
    return fields.gramian_angular(signals.min_max(signals.bandpass(lead, fs)))


def _scaled_too_early(lead: np.ndarray, fs: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        angle = np.arccos(2 * signals.bandpass(signals.min_max(lead), fs) - 1)
    return np.cos(angle[:, None] + angle[None, :])


def _cut_off(lead: np.ndarray, fs: float) -> np.ndarray:
    angle = np.arccos(np.clip(2 * signals.bandpass(signals.min_max(lead), fs) - 1, -1, 1))
    return np.cos(angle[:, None] + angle[None, :])


def _unfiltered(lead: np.ndarray, fs: float) -> np.ndarray:
    return fields.gramian_angular(signals.min_max(lead))


def _zero_phase(lead: np.ndarray, fs: float) -> np.ndarray:
    return fields.gramian_angular(signals.min_max(signals.bandpass(lead, fs, zero_phase=True)))


@lru_cache(maxsize=1)
def _drawn_lead() -> np.ndarray:
    """Two seconds of R and T waves on a slow wave, at 100 Hz."""
    time = np.arange(200) / FS
    waves = [(r + late, height, width) for r in (0.5, 1.3) for late, height, width in ((0, 1, 0.02), (0.27, 0.3, 0.05))]
    beats = sum(height * np.exp(-(((time - at) / width) ** 2) / 2) for at, height, width in waves)
    return beats + 0.2 * np.sin(2 * np.pi * 0.3 * time)


def _field_of(answer: Callable) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(answer(_drawn_lead().copy(), FS), dtype=float)


def _is(answer: Callable, other: Callable) -> bool:
    return np.allclose(_field_of(answer), other(_drawn_lead(), FS), atol=2e-3)


def _empty_share(answer: Callable) -> float:
    return float(np.mean(~np.isfinite(_field_of(answer))))


# --- 4: which way does T point?

_QUIET, _R, _T = 0, 30, 55


def points_with_r(field: np.ndarray, quiet: int, r: int, t: int) -> bool:
    """Whether T is on the same side of the quiet level as R, the sample furthest from it.

    R is an end of the range, so its row is the curve, or the curve upside down; R is the highest in it.
    """
    return field[r, t] > field[r, quiet]


def _against_r(field: np.ndarray, quiet: int, r: int, t: int) -> bool:
    return field[r, t] < field[r, quiet]


def _further_out(field: np.ndarray, quiet: int, r: int, t: int) -> bool:
    return field[t, t] > field[quiet, quiet]


def _in_one_half(field: np.ndarray, quiet: int, r: int, t: int) -> bool:
    return field[r, t] > 0


@lru_cache(maxsize=1)
def _beats() -> list[tuple[np.ndarray, bool]]:
    """The fields of beats of R, S and T, and whether T points with R; the deeper S, the higher the quiet level lies."""
    time = np.arange(80) / FS
    found = []
    for s, t in [(-0.1, 0.2), (-0.1, -0.2), (-0.4, 0.7), (-0.4, -0.2), (-0.9, 0.3), (-0.9, -0.3), (-0.9, -0.9)]:
        bells = [(1, _R, 0.015), (s, 34, 0.015), (t, _T, 0.04)]
        beat = sum(height * np.exp(-(((time - time[at]) / width) ** 2)) for height, at, width in bells)
        found.append((fields.gramian_angular(signals.min_max(beat)), t > 0))
    return found


def _said_of_beats(answer: Callable) -> list:
    return [answer(field.copy(), _QUIET, _R, _T) for field, _ in _beats()]


def _right_of_beats(answer: Callable) -> int:
    return sum(bool(said) == truth for said, (_, truth) in zip(_said_of_beats(answer), _beats(), strict=True))


# --- 5: the curve out of a noisy image

LARGEST_ERROR = 0.1  # of the curve's standard deviation; the row of the widest range errs by 0.41


def curve_from_image(image: np.ndarray) -> np.ndarray:
    """The curve in [−1, 1], or upside down, that an image (S, S) of grey levels was made of, noise or not.

    A field is the difference of two outer products, so two eigenvectors hold all of it, and little of the noise.
    """
    noisy = image / 255 * 2 - 1
    values, vectors = np.linalg.eigh((noisy + noisy.T) / 2)
    two = np.argsort(-np.abs(values))[:2]
    field = (vectors[:, two] * values[two]) @ vectors[:, two].T
    return field[np.argmax(np.ptp(field, axis=1))]


def _diagonal(image: np.ndarray) -> np.ndarray:
    return image.diagonal() / 255 * 2 - 1


def _widest_row(image: np.ndarray) -> np.ndarray:
    return image[np.argmax(np.ptp(image, axis=1))] / 255 * 2 - 1


def _grey(curve: np.ndarray) -> np.ndarray:
    return 255 * fields.grey("GAF", fields.gramian_angular(curve))


@lru_cache(maxsize=1)
def _noisy_images() -> list[tuple[np.ndarray, np.ndarray]]:
    """Five curves (64,), and the images (64, 64) of them with noise of 25 grey levels."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(5):
        curve = np.cumsum(rng.normal(size=64))
        curve = (curve - curve.min()) / np.ptp(curve)
        found.append((curve, np.clip(_grey(curve) + rng.normal(0, 25, (64, 64)), 0, 255).astype(np.uint8)))
    return found


def _error(answer: Callable) -> float:
    """What a straight line through truth and answer leaves over, as a share of the curve's standard deviation."""
    alike = [
        np.corrcoef(np.asarray(answer(image.copy()), dtype=float), curve)[0, 1] for curve, image in _noisy_images()
    ]
    return float(np.mean(np.sqrt(1 - np.square(alike))))


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
        hint="write down the three angles first. Then add each pair and take the cosine.",
        atol=1e-6,
    ),
    2: conditions(
        lambda: filtered_field,
        (callable, lambda: np.zeros((200, 200)), "a function is needed that takes a lead and its sampling rate."),
        (
            lambda answer: _field_of(answer).shape == (200, 200),
            lambda: lambda lead, fs: signals.min_max(signals.bandpass(lead, fs)),
            "a field has a number for each pair of samples, (T, T).",
        ),
        (
            lambda answer: _empty_share(answer) == 0,
            lambda: _scaled_too_early,
            lambda answer: f"{_empty_share(answer):.0%} of the pixels are NaN. What was arccos given there?",
        ),
        (
            lambda answer: not _is(answer, _cut_off),
            lambda: _cut_off,
            "no pixel is empty, but the curve is cut off where it left the range. Why did it leave the range?",
        ),
        (lambda answer: not _is(answer, _unfiltered), lambda: _unfiltered, "the filter is gone. It is wanted."),
        (
            lambda answer: _is(answer, filtered_field),
            lambda: _zero_phase,
            "the same causal filter is wanted, and the whole of the range for what comes out of it.",
        ),
        what="a function that takes a lead (T,) and its sampling rate in Hz, and returns a field (T, T)",
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
    4: conditions(
        lambda: points_with_r,
        (callable, lambda: True, "a function is needed that takes a field and three rows, so that it can be tried."),
        (
            lambda answer: all(isinstance(one, bool | np.bool_) for one in _said_of_beats(answer)),
            lambda: lambda field, quiet, r, t: field[r, t],
            "True or False is wanted: compare two entries of the field.",
        ),
        (
            lambda answer: len(set(_said_of_beats(answer))) == 2,
            lambda: lambda field, quiet, r, t: True,
            "it says the same of every beat.",
        ),
        (
            lambda answer: _said_of_beats(answer) != _said_of_beats(_against_r),
            lambda: _against_r,
            "all beats are sorted, but the wrong way round. What is the largest entry in the row of R?",
        ),
        (
            lambda answer: _said_of_beats(answer) != _said_of_beats(_further_out),
            lambda: _further_out,
            "an entry of the diagonal compares a moment with itself: both ends of the range look alike there.",
        ),
        (
            lambda answer: _said_of_beats(answer) != _said_of_beats(_in_one_half),
            lambda: _in_one_half,
            "the sign of an entry says whether two samples lie in the same half of the range. A wave points away from "
            "the quiet level, wherever that lies.",
        ),
        (
            lambda answer: _right_of_beats(answer) == len(_beats()),
            lambda: lambda field, quiet, r, t: field[quiet, t] > field[quiet, quiet],
            lambda answer: (
                f"it is right for {_right_of_beats(answer)} of {len(_beats())} beats. In which row of the field is the "
                "whole curve?"
            ),
        ),
        what="a function that takes a field (T, T) and the rows of a quiet sample, R and T, and returns True or False",
    ),
    5: conditions(
        lambda: curve_from_image,
        (callable, lambda: np.zeros(64), "a function is needed that takes an image, so that it can be tried."),
        (
            lambda answer: np.shape(answer(np.zeros((64, 64), np.uint8))) == (64,),
            lambda: lambda image: image / 255,
            "the curve has as many numbers as the image has rows.",
        ),
        (
            lambda answer: np.ptp(answer(_noisy_images()[0][1].copy())) > 0,
            lambda: lambda image: np.full(len(image), 0.5),
            "that is a flat line, whatever the image.",
        ),
        (
            lambda answer: not np.allclose(answer(_noisy_images()[0][1].copy()), _diagonal(_noisy_images()[0][1])),
            lambda: _diagonal,
            "the diagonal is 2x̃² − 1: bright for high and for low samples.",
        ),
        (
            lambda answer: _error(answer) < LARGEST_ERROR,
            lambda: _widest_row,
            lambda answer: f"it errs by {_error(answer):.0%}, and the bar is {LARGEST_ERROR:.0%}.",
        ),
        what="a function that takes an image (S, S) of grey levels and returns a curve (S,)",
    ),
}
