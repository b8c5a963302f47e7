"""Answers to the exercises of chapter 19, on a GPU."""

from collections.abc import Callable
from math import erf, isfinite, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from ecgcourse.course.exercises.judging import conditions, function, word

ScaleRule = Callable[[float, bool, int], float]

# Of the drawn training of the last exercise: a step is skipped above the first, a gradient is lost below the second.
LARGEST, SMALLEST = 16, -25
MOST_SKIPPED, MOST_LOST = 0.01, 0.001


# --- 1: what the clock shows


def clock(n: int, launch: float, kernel: float) -> list[float]:
    """Seconds that the clock shows after `n` launches: without waiting for the GPU, and with."""
    return [n * launch, max(launch + n * kernel, n * launch + kernel)]


def _one_by_one(n: int, launch: float, kernel: float) -> list[float]:
    return [n * launch, n * (launch + kernel)]


def _no_launch(n: int, launch: float, kernel: float) -> list[float]:
    return [n * launch, n * kernel]


def _waits_always(n: int, launch: float, kernel: float) -> list[float]:
    return [clock(n, launch, kernel)[1]] * 2


def _gpu_is_the_slower(n: int, launch: float, kernel: float) -> list[float]:
    return [n * launch, launch + n * kernel]


# --- 2: where arithmetic catches up


def equal_batch(weights: float, multiplications: float, bandwidth: float, speed: float) -> float:
    """Batch whose arithmetic takes as long as Adam's traffic: bytes per second, operations per second."""
    return _equal(weights, multiplications, bandwidth, speed)


def _equal(weights, multiplications, bandwidth, speed, n_bytes: int = 28, operations: int = 6) -> float:
    return n_bytes * weights / bandwidth * speed / (operations * multiplications)


# --- 4: a rule for the scale


def drawn_training(rule: ScaleRule, steps: int = 600, seed: int = 0) -> tuple[float, float]:
    """Try a rule for the scale on gradients that are drawn, and shrink to a thousandth.

    The gradients of a step are log-normal, with a standard deviation of 4 binary orders of magnitude; the largest lies
    18 orders above the middle, and in one step of a hundred 24.

    Parameters
    ----------
    rule : callable
        Takes the scale, whether the step was skipped, and the number of good steps since the scale last changed or a
        step was skipped; returns the next scale. The first is 65,536.

    Returns
    -------
    (float, float)
        Share of skipped steps; mean share of gradients that became 0 in the others, NaN if there are none.
    """
    rng = np.random.default_rng(seed)
    middle = np.linspace(-26, -36, steps) + rng.normal(0, 0.3, steps)
    largest = middle + 18 + rng.normal(0, 0.5, steps) + 6 * (rng.random(steps) < 0.01)
    scale, good, lost = 2.0**16, 0, []
    for center, top in zip(middle, largest, strict=True):
        skip = bool(top + log2(scale) >= LARGEST)
        if not skip:
            lost.append((1 + erf((SMALLEST - log2(scale) - center) / 4 / sqrt(2))) / 2)
        good = 0 if skip else good + 1
        before, scale = scale, float(rule(scale, skip, good))
        if not 0 < scale < float("inf"):
            return float("nan"), float("nan")
        good = good if scale == before else 0
    return 1 - len(lost) / steps, float(np.mean(lost)) if lost else float("nan")


def scale_rule(scale: float, skipped: bool, good: int) -> float:
    """Halve after a skipped step, double after 50 good ones."""
    return _patient(50)(scale, skipped, good)


def _patient(interval: int) -> ScaleRule:
    def rule(scale: float, skipped: bool, good: int) -> float:
        if skipped:
            return scale / 2
        return 2 * scale if good >= interval else scale

    return rule


def _outcomes(rule: ScaleRule) -> NDArray[np.float64]:
    """Shares of skipped steps and of lost gradients, means of three drawn trainings."""
    return np.mean([drawn_training(rule, seed=seed) for seed in range(3)], axis=0)


def _skips_too_many(rule: ScaleRule) -> str:
    return (
        f"{_outcomes(rule)[0]:.1%} of the steps are skipped; at most {MOST_SKIPPED:.0%} may be. Grow later, or step "
        "further back."
    )


def _loses_too_many(rule: ScaleRule) -> str:
    return (
        f"{_outcomes(rule)[1]:.2%} of the gradients become 0; at most {MOST_LOST:.1%} may. The gradients shrink: does "
        "the scale follow them soon enough?"
    )


EXERCISES = {
    1: function(
        clock,
        (_one_by_one, "the two overlap: while the GPU works on one kernel, the next is being launched."),
        (_no_launch, "the first kernel can't start before it is launched."),
        (_waits_always, "without synchronization nothing waits for the kernels: only launches count."),
        (
            _gpu_is_the_slower,
            "right where kernels are the slower part. Where launches are, the GPU waits for the last of them.",
        ),
        tries=lambda: [(5, 0.00001, 0.02), (3, 0.5, 0.25), (1, 2.0, 3.0), (4, 1.0, 2.0)],
        what="a function that takes n, launch and kernel, and returns two numbers of seconds",
        hint="draw both rows on paper: launches one after the other above, kernels below, each after its launch.",
    ),
    2: function(
        equal_batch,
        (
            lambda w, m, b, s: _equal(w, m, b, s, operations=3),
            "a multiplication comes with an addition: two operations.",
        ),
        (
            lambda w, m, b, s: _equal(w, m, b, s, operations=2),
            "the backward pass is missing: it takes twice as many operations as the forward pass.",
        ),
        (
            lambda w, m, b, s: _equal(w, m, b, s, n_bytes=16),
            "Adam writes, too: three of the four numbers that it has read.",
        ),
        (
            lambda w, m, b, s: 1 / _equal(w, m, b, s),
            "this is the inverse: the time of one record's arithmetic over that of the traffic.",
        ),
        tries=lambda: [(46.6e6, 201e6, 320e9, 8.1e12), (1e6, 5e6, 1e9, 3e9)],
        what="a function of weights, multiplications, bandwidth and speed that returns a number",
        hint="write both times of a step down, in seconds. Which grows with the batch, and when are both equal?",
    ),
    3: word(
        "clip",
        ("scale", "the loss is scaled before backward, as it must be."),
        ("step", "step comes after the gradients have been unscaled, as it must; it also looks for infinite ones."),
        ("update", "update comes last: it halves or doubles the scale for the next step."),
        what="'scale', 'clip', 'step' or 'update'",
    ),
    4: conditions(
        lambda: scale_rule,
        (
            lambda rule: isfinite(drawn_training(rule)[0]),
            lambda: lambda scale, skipped, good: scale * 2.0**60,
            "the scale must stay a finite number above 0, and some step must be taken.",
        ),
        (lambda rule: _outcomes(rule)[0] <= MOST_SKIPPED, lambda: _patient(1), _skips_too_many),
        (lambda rule: _outcomes(rule)[1] <= MOST_LOST, lambda: _patient(2000), _loses_too_many),
        what="a function that takes scale, skipped and good, and returns the next scale",
    ),
}
