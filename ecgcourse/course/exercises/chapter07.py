"""Answers to the exercises of chapter 7: resizing as a matrix, and what it leaves out."""

from collections.abc import Callable, Sequence

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function
from ecgcourse.images import fields

SAMPLES_AT_100_HZ, SIDE = 1000, 256


def resize_matrix(length: int, size: int) -> np.ndarray:
    """A (S, T): the two shares of each pixel, as OpenCV's bilinear resizing has them."""
    first, second, weight = fields.taps(length, size)
    matrix = np.zeros((size, length))
    np.add.at(matrix, (np.arange(size), first), 1 - weight)
    np.add.at(matrix, (np.arange(size), second), weight)
    return matrix


def area_matrix(length: int, size: int) -> np.ndarray:
    """B (S, T): the mean over what each pixel covers."""
    start, sample = np.arange(size)[:, None] * length / size, np.arange(length)
    overlap = np.minimum(start + length / size, sample + 1) - np.maximum(start, sample)
    return np.clip(overlap, 0, None) * size / length


def tent_matrix(length: int, size: int) -> np.ndarray:
    """Weights that fall off evenly from a pixel's centre to those of its neighbours; rows sum to 1."""
    centre, reach = (np.arange(size)[:, None] + 0.5) * length / size - 0.5, length / size
    weights = np.clip(1 - np.abs(np.arange(length) - centre) / reach, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def n_unseen(length: int, size: int) -> int:
    return int((resize_matrix(length, size).sum(axis=0) == 0).sum())


# --- 1: slow at first

WARM = 0.010  # s, what a call takes that nothing disturbs


class _Machine:
    """A machine with a clock of its own: the first call of its work compiles, and at times something else runs."""

    def __init__(self, first: float, pause: float = 0.0):
        self.now, self.n_calls, self.first, self.pause = 100.0, 0, first, pause

    def clock(self) -> float:
        return self.now

    def work(self) -> None:
        self.n_calls += 1
        self.now += self.first if self.n_calls == 1 else WARM
        if self.n_calls % 4 == 0:
            self.now += self.pause


def seconds_of(work: Callable, clock: Callable) -> float:
    """The median of some calls, after one that doesn't count."""
    work()
    found = []
    for _ in range(7):
        start = clock()
        work()
        found.append(clock() - start)
    return float(np.median(found))


def _with_the_first(work: Callable, clock: Callable) -> float:
    start = clock()
    for _ in range(10):
        work()
    return (clock() - start) / 10


def _mean(work: Callable, clock: Callable) -> float:
    work()
    return _with_the_first(work, clock)


def _once(work: Callable, clock: Callable) -> float:
    work()
    start = clock()
    work()
    return clock() - start


def _measured(answer: Callable, machine: _Machine) -> float:
    return float(answer(machine.work, machine.clock))


def _calls(answer: Callable) -> int:
    machine = _Machine(first=WARM)
    answer(machine.work, machine.clock)
    return machine.n_calls


def _is_warm(answer: Callable, **machine: float) -> bool:
    return bool(np.isclose(_measured(answer, _Machine(**machine)), WARM, rtol=0.05))


def _lengths_and_sides() -> list[tuple[int, int]]:
    """Among them a side above half of the length, and a length that is three times the side."""
    return [(1000, 256), (1000, 128), (1000, 600), (900, 300), (64, 64)]


def _sine_of(cosine: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(1 - cosine**2, 0, None))


def difference_image(x: np.ndarray, size: int) -> np.ndarray:
    """The Gramian angular difference field sin(φ_i − φ_j) of x (T,), resized to (S, S), without the field."""
    cosine, matrix = fields.to_cosine(x), resize_matrix(len(x), size)
    return _difference(matrix @ cosine, matrix @ _sine_of(cosine))


def averaged_image(x: np.ndarray, size: int) -> np.ndarray:
    """The Gramian angular field of x (T,), averaged over each pixel of (S, S), without the field."""
    cosine, matrix = fields.to_cosine(x), area_matrix(len(x), size)
    return _sum(matrix @ cosine, matrix @ _sine_of(cosine))


def _difference(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    return np.outer(sine, cosine) - np.outer(cosine, sine)


def _sum(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    return np.outer(cosine, cosine) - np.outer(sine, sine)


def _difference_of_the_small_curve(x: np.ndarray, size: int) -> np.ndarray:
    small = resize_matrix(len(x), size) @ fields.to_cosine(x)
    return _difference(small, _sine_of(small))


def _sum_image(x: np.ndarray, size: int) -> np.ndarray:
    cosine, matrix = fields.to_cosine(x), resize_matrix(len(x), size)
    return _sum(matrix @ cosine, matrix @ _sine_of(cosine))


def _difference_without_stretching(x: np.ndarray, size: int) -> np.ndarray:
    matrix = resize_matrix(len(x), size)
    return _difference(matrix @ x, matrix @ _sine_of(x))


def _average_of_the_small_curve(x: np.ndarray, size: int) -> np.ndarray:
    small = area_matrix(len(x), size) @ fields.to_cosine(x)
    return _sum(small, _sine_of(small))


def _curves_and_sides() -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    return [(rng.uniform(size=50), 16), (0.2 + 0.5 * rng.uniform(size=40), 11), (rng.beta(2, 6, size=30), 30)]


def _made(answer, length: int = SAMPLES_AT_100_HZ, size: int = SIDE) -> np.ndarray:
    return np.asarray(answer(length, size), dtype=float)


def _is_a_matrix_for_both(answer) -> bool:
    return _made(answer).shape == (SIDE, SAMPLES_AT_100_HZ) and _made(answer, 50, 16).shape == (16, 50)


def _keeps_a_flat_lead(answer) -> bool:
    return np.allclose(_made(answer).sum(axis=1), 1)


def _stays_in_range(answer) -> bool:
    return bool(_made(answer).min() >= -1e-12)


def _sees_every_sample(answer) -> bool:
    return bool((_made(answer).sum(axis=0) > 1e-6).all())


def _keeps_time(answer) -> bool:
    """Whether the mean place of what a pixel mixes is less than one pixel from the pixel's own place."""
    centre = (np.arange(SIDE) + 0.5) * SAMPLES_AT_100_HZ / SIDE - 0.5
    apart = _made(answer) @ np.arange(SAMPLES_AT_100_HZ) - centre
    return bool(np.abs(apart).max() < SAMPLES_AT_100_HZ / SIDE)


MOST_THROUGH = 0.1
"""What is left of waves that the pixels can't show: of the height under A 0.74, under B 0.19."""

LEAST_KEPT = 0.85
"""What must be left of a wave of 5 Hz."""


def _kept(answer, frequencies: Sequence[float]) -> float:
    """The mean share of the height of waves of these frequencies (Hz) that pixels have, for ten seconds at 100 Hz."""
    angle = 2 * np.pi * np.outer(np.arange(SAMPLES_AT_100_HZ) / 100, frequencies)
    powers = [
        [np.mean(np.square(waves), axis=0) for waves in (_made(answer) @ wave, wave)]
        for wave in (np.sin(angle), np.cos(angle))
    ]
    seen, there = np.sum(powers, axis=0)
    return float(np.mean(np.sqrt(seen / there)))


def _through(answer) -> float:
    return _kept(answer, range(13, 50))


def _wide(length: int, size: int) -> np.ndarray:
    apart = np.arange(length) - (np.arange(size)[:, None] + 0.5) * length / size + 0.5
    weights = np.exp(-((apart * size / length) ** 2) / 2)
    return weights / weights.sum(axis=1, keepdims=True)


EXERCISES = {
    1: conditions(
        lambda: seconds_of,
        (callable, lambda: WARM, "a function is needed that takes work and clock, so that it can be tried."),
        (
            lambda answer: _is_warm(answer, first=WARM),
            lambda: lambda work, clock: 10 * seconds_of(work, clock),
            "even on a machine that always takes 0.010 s it says something else. It is the time of one call.",
        ),
        (
            lambda answer: _is_warm(answer, first=3.0),
            lambda: _with_the_first,
            lambda answer: (
                f"it says {_measured(answer, _Machine(first=3.0)):.3f} s on a machine that takes 0.010 s "
                "once it is warm."
            ),
        ),
        (lambda answer: _calls(answer) >= 4, lambda: _once, "a single call says little: measure several."),
        (
            lambda answer: _is_warm(answer, first=3.0, pause=0.2),
            lambda: _mean,
            lambda answer: (
                f"where every fourth call is interrupted for 0.2 s, it says "
                f"{_measured(answer, _Machine(first=3.0, pause=0.2)):.3f} s. Nobody's call takes that long."
            ),
        ),
        what="a function that takes a function to call, and a clock that returns seconds, and returns seconds",
    ),
    2: function(
        n_unseen,
        (
            lambda length, size: max(length - 2 * size, 0),
            "that counts two samples for each pixel. Where a pixel lies right on a sample, as with 900 samples for 300 "
            "pixels, the other one has the share 0.",
        ),
        (lambda length, size: length - 2 * size, "it comes out below 0 where pixels share samples: take 600 pixels."),
        (lambda length, size: length - n_unseen(length, size), "those are the samples that are seen."),
        (lambda length, size: n_unseen(length, size) / length, "that is a share. The number of samples is asked for."),
        (lambda length, size: length - size, "that counts one sample for each pixel. Two are mixed."),
        tries=_lengths_and_sides,
        what="a function that takes the number of samples and the side in pixels, and returns a number of samples",
        hint="what does the matrix A show of a sample that no pixel sees?",
    ),
    3: function(
        difference_image,
        (
            _difference_of_the_small_curve,
            "you resized the curve and took the sine afterwards. Take the sine of each sample first, then resize both.",
        ),
        (lambda x, size: -difference_image(x, size), "the sign is the other way round: the row's angle comes first."),
        (_sum_image, "that is the summation field, cos(φᵢ + φⱼ)."),
        (_difference_without_stretching, "stretch x to [−1, 1] first: fields.to_cosine(x)."),
        (
            lambda x, size: (difference_image(x, size) + 1) / 2,
            "that is the grey image. The field itself is asked for, from −1 to 1.",
        ),
        tries=_curves_and_sides,
        what="a function that takes a signal (T,) in [0, 1] and a side S, and returns a field of shape (S, S)",
        hint="each part of the formula is an outer product. What does resizing do to one?",
        atol=1e-6,
    ),
    4: function(
        averaged_image,
        (_sum_image, "that is the image with two taps. Take the matrix of means, B."),
        (
            _average_of_the_small_curve,
            "you averaged the curve and took the sine afterwards. The mean of the sines is another number.",
        ),
        (
            lambda x, size: averaged_image(x, size) * (len(x) / size) ** 2,
            "those are sums over a pixel. A mean has rows of weights that sum to 1.",
        ),
        (
            lambda x, size: (averaged_image(x, size) + 1) / 2,
            "that is the grey image. The field itself is asked for, from −1 to 1.",
        ),
        tries=_curves_and_sides,
        what="a function that takes a signal (T,) in [0, 1] and a side S, and returns a field of shape (S, S)",
        hint="which matrix of this chapter takes means?",
        atol=1e-6,
    ),
    5: conditions(
        lambda: tent_matrix,
        (
            callable,
            lambda: np.zeros((SIDE, SAMPLES_AT_100_HZ)),
            "a function of the number of samples and the side is needed.",
        ),
        (
            _is_a_matrix_for_both,
            lambda: lambda length, size: area_matrix(length, size).T,
            "the matrix has a row for each pixel and a column for each sample, for every length and side.",
        ),
        (
            _keeps_a_flat_lead,
            lambda: lambda length, size: area_matrix(length, size) * length / size,
            "a flat lead must stay what it is: the weights of each pixel sum to 1.",
        ),
        (
            _stays_in_range,
            lambda: lambda length, size: 1.5 * resize_matrix(length, size) - 0.5 * area_matrix(length, size),
            "some weights are below 0, and a pixel can leave the range of the samples that it mixes.",
        ),
        (
            _sees_every_sample,
            lambda: resize_matrix,
            "some samples have no weight in any pixel, as with two taps.",
        ),
        (
            _keeps_time,
            lambda: lambda length, size: area_matrix(length, size)[::-1],
            "a pixel lies elsewhere than the samples that it mixes: pixel k stands for those around "
            "(k + 0.5) · T / S − 0.5.",
        ),
        (
            lambda answer: _through(answer) < MOST_THROUGH,
            lambda: area_matrix,
            lambda answer: (
                f"{_through(answer):.0%} of the waves above 12.8 Hz come through; the bar is {MOST_THROUGH:.0%}."
            ),
        ),
        (
            lambda answer: _kept(answer, [5]) >= LEAST_KEPT,
            lambda: _wide,
            lambda answer: f"only {_kept(answer, [5]):.0%} are left of a wave of 5 Hz; the bar is {LEAST_KEPT:.0%}.",
        ),
        what="a function that takes the number of samples T and the side S, and returns a matrix (S, T)",
    ),
}
