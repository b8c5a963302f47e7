"""Answers to the exercises of chapter 10, training."""

import numpy as np

from ecgcourse.course.exercises.judging import conditions, function, values


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


# What age and sex alone reach on the practice set, and on PTB-XL.
BAR = 0.75


def _area(answer: object) -> float:
    return float(answer)


def _losses(answer: object) -> np.ndarray:
    return np.asarray(answer, dtype=float)


EXERCISES = {
    1: values(
        lambda: 9,
        (
            lambda: 1,
            "any loss is below infinity, so the first epoch is kept, as it should be. Which line keeps later ones?",
        ),
        (
            lambda: 4,
            "without that line gradients would pile up, batch after batch. It belongs there.",
        ),
        (
            lambda: 7,
            "the loss is that of the epoch just ended, which is what has to be compared.",
        ),
        (
            lambda: 8,
            "the comparison is right: a lower validation loss is better.",
        ),
        (
            lambda: 10,
            "that line loads what was kept. But what has become of it since it was kept?",
        ),
        what="the number of a line",
        hint="that line does what it should. Follow the weights: what do the steps change, and who refers to it?",
        rtol=0,
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
    4: conditions(
        lambda: 0.83,
        (
            lambda answer: 0 <= _area(answer) <= 1,
            lambda: 83.0,
            "an AUROC lies between 0 and 1. Hand in the mean over the four classes, as one number.",
        ),
        (
            lambda answer: _area(answer) < 0.995,
            lambda: 1.0,
            "that is nearly perfect, as if the answers were known. Which records was the model fitted to?",
        ),
        (
            lambda answer: _area(answer) > 0.6,
            lambda: 0.5,
            "that is little more than chance. Are records and labels in the same order, and are these probabilities?",
        ),
        (
            lambda answer: _area(answer) > BAR,
            lambda: 0.72,
            f"that is not above {BAR}, which needs no ECG. What in a signal matters, wherever in time its beats lie?",
        ),
        what="one number, a macro AUROC",
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
