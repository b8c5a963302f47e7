"""Answers to the exercises of chapter 10, training."""

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values


def weight() -> float:
    return (480 - 30) / 30


def descend(w: float, a: float, learning_rate: float, steps: int) -> float:
    """The weight after some steps of gradient descent on the loss a w² / 2, whose gradient is a w."""
    for _ in range(steps):
        w = w - learning_rate * a * w
    return w


def _uphill(w: float, a: float, learning_rate: float, steps: int) -> float:
    return descend(w, a, -learning_rate, steps)


def _along_the_loss(w: float, a: float, learning_rate: float, steps: int) -> float:
    for _ in range(steps):
        w = w - learning_rate * a * w**2 / 2
    return w


def without_weight(p: np.ndarray, weight: float) -> np.ndarray:
    odds = p / (1 - p) / weight
    return odds / (1 + odds)


def _probabilities() -> list[tuple[np.ndarray, float]]:
    p = np.array([0.1, 0.3, 0.5, 0.9])
    return [(p, 15.0), (p, 1.0), (p, 0.5), (p, 5.59)]


def patience_needed(losses: list[float]) -> int:
    """The smallest patience with which training reaches the lowest of these losses."""
    lows = _new_lows(losses)
    return int(np.diff(lows).max()) if len(lows) > 1 else 1


def _new_lows(losses: list[float]) -> np.ndarray:
    """The places at which the loss is lower than ever before."""
    return np.flatnonzero(np.append(True, np.array(losses)[1:] < np.minimum.accumulate(losses)[:-1]))


def _longest_rise(losses: list[float]) -> int:
    longest = run = 0
    for before, after in zip(losses, losses[1:], strict=False):
        run = run + 1 if after > before else 0
        longest = max(longest, run)
    return longest


# From the chapter, without any wait, with two waits of which the first is longer, and with a long end.
_LOSSES = (
    [0.9, 0.7, 0.6, 0.62, 0.61, 0.65, 0.7, 0.5],
    [0.9, 0.8, 0.7],
    [0.9, 0.95, 0.92, 0.8, 0.85, 0.7, 0.75],
    [0.9, 0.8, 0.81, 0.82, 0.83, 0.84],
)


def _losses(answer: object) -> np.ndarray:
    return np.asarray(answer, dtype=float)


EXERCISES = {
    1: values(
        weight,
        (
            lambda: 480 / 30,
            "that is all records over the positives. The weight has the negatives above the line.",
        ),
        (
            lambda: 30 / 450,
            "that is positives over negatives. The rare class has to weigh more, not less.",
        ),
        (
            lambda: 30 / 480,
            "that is the share of positives. The weight is negatives over positives.",
        ),
        what="one number",
        hint="count the negatives first, then divide by the positives.",
    ),
    2: function(
        descend,
        (
            _uphill,
            "the loss grows: a step goes against the gradient, so subtract.",
        ),
        (
            lambda w, a, learning_rate, steps: descend(w, 1, learning_rate, steps),
            "that is the gradient of w² / 2. The factor a belongs to it.",
        ),
        (
            lambda w, a, learning_rate, steps: descend(w, 2 * a, learning_rate, steps),
            "that is the gradient of a w². The half in the loss takes the 2 away.",
        ),
        (
            _along_the_loss,
            "you stepped by the loss itself. A step goes along its derivative, a w.",
        ),
        (
            lambda w, a, learning_rate, steps: descend(w, a, learning_rate, steps - 1),
            "that is one step too few.",
        ),
        tries=lambda: [(1.0, 2.0, 0.1, 5), (-3.0, 0.5, 0.3, 4), (2.0, 4.0, 0.6, 3), (1.5, 1.0, 1.0, 2)],
        what="a function that takes w, a, the learning rate and the number of steps, and returns one number",
        hint="one step from w = 1 with a = 2 and learning rate 0.1 leads to 0.8.",
    ),
    3: function(
        without_weight,
        (
            lambda p, weight: p / weight,
            "the weight multiplies the odds p / (1 − p), not the probability.",
        ),
        (
            lambda p, weight: without_weight(p, 1 / weight),
            "the probabilities move the wrong way: training multiplied the odds, so divide.",
        ),
        (
            lambda p, weight: p / (1 - p) / weight,
            "those are the odds. Turn them back into a probability: odds / (1 + odds).",
        ),
        (
            lambda p, weight: without_weight(p, np.sqrt(weight)),
            "that takes out the root of the weight only.",
        ),
        tries=_probabilities,
        what="a function that takes probabilities and a weight, and returns probabilities",
        hint="odds = p / (1 − p); divide them by the weight; p = odds / (1 + odds).",
    ),
    4: function(
        patience_needed,
        (
            lambda losses: int(np.argmin(losses)) + 1,
            "that is the number of the best epoch. Patience starts again at every new low.",
        ),
        (
            lambda losses: max(1, patience_needed(losses) - 1),
            "that is one too few: with patience 2, training stops at the second epoch without a new low.",
        ),
        (
            lambda losses: max(1, len(losses) - 1 - int(np.argmin(losses))),
            "those are the epochs after the best one. Which wait comes before it?",
        ),
        (
            _longest_rise,
            "a loss that falls a little without a new low uses up patience as well.",
        ),
        (
            lambda losses: int(np.diff(_new_lows(losses))[-1]),
            "that is the wait before the last new low. Training has to survive the longest one.",
        ),
        tries=lambda: [(list(losses),) for losses in _LOSSES],
        what="a function that takes a list of losses and returns a whole number, at least 1",
        hint="note the epochs with a new low: how far apart are they at most, up to the lowest?",
    ),
    5: conditions(
        lambda: 0.7 * 0.95 ** np.arange(60),
        (
            lambda answer: _losses(answer).ndim == 1 and len(_losses(answer)) > 1,
            lambda: 0.05,
            "hand in the losses of all steps as a list, one number per step, so that the fall can be seen.",
        ),
        (
            lambda answer: np.isfinite(_losses(answer)).all(),
            lambda: [0.7, 80.0, float("nan")],
            "some losses are NaN or infinite: the steps are too long. Lower the learning rate.",
        ),
        (
            lambda answer: (_losses(answer) >= 0).all(),
            lambda: [0.7, 0.1, -0.2],
            "a binary cross-entropy is never below 0. Is it the loss that you collected?",
        ),
        (
            lambda answer: _losses(answer)[-1] < _losses(answer)[0],
            lambda: [0.7, 0.4, 0.9],
            "the loss doesn't fall. Is the gradient set to zero before each step, and the learning rate near 3e-4?",
        ),
        (
            lambda answer: _losses(answer)[-1] < _losses(answer)[0] / 10,
            lambda: [0.7, 0.5, 0.3],
            "the loss falls, but not below a tenth of the first one yet. Take more steps; switch dropout off.",
        ),
        what="a list of losses",
    ),
}
