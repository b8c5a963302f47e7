"""Answers to the quiz of part III, learning."""

import numpy as np
from sklearn.metrics import roc_curve

from ecgcourse.analysis import comparison
from ecgcourse.course import quizzes
from ecgcourse.course.exercises.judging import values, words

FALSE_POSITIVES = 0.2
"""The false positive rate at which a ROC curve is read."""


def best_epoch() -> int:
    """Of the lowest validation loss."""
    return int(quizzes.learning_curve()["val"].idxmin())


def sensitivity(name: str = "model A", false_positives: float = FALSE_POSITIVES) -> float:
    """The height of a model's ROC curve."""
    found = quizzes.two_models()[name]
    x, y, _ = roc_curve(found.y_true[:, 0], found.y_prob[:, 0])
    return float(y[x <= false_positives].max())


def too_sure() -> str:
    """The model whose probabilities are further from what comes true: that of the larger Brier score."""
    scores = {name: np.mean((each.y_prob - each.y_true) ** 2) for name, each in quizzes.two_models().items()}
    return max(scores, key=scores.get).removeprefix("model ")


def better() -> str:
    """The model with the higher AUROC if the interval of the difference says so."""
    row = comparison.compare(quizzes.two_models(), n_bootstrap=500).iloc[1]
    if row["difference_low"] <= 0 <= row["difference_high"]:
        return "neither"
    return "B" if row["difference"] > 0 else "A"


def _other(name: str) -> str:
    return {"A": "B", "B": "A"}[name]


EXERCISES = {
    1: values(
        best_epoch,
        (
            lambda: len(quizzes.learning_curve()),
            "those are the last weights. By then the validation loss has risen again.",
        ),
        (lambda: 1, "after one epoch both losses are still falling."),
        (lambda: 60, "the training loss is lower there, but what does the validation loss say?"),
        what="a whole number, the number of an epoch",
        hint="go by the validation loss: where is it lowest?",
        atol=6,
    ),
    2: values(
        sensitivity,
        (lambda: 1 - sensitivity(), "that is the share of the ill that the model misses. Read upwards from 0."),
        (lambda: sensitivity("model B"), "that is the curve of model B."),
        (lambda: FALSE_POSITIVES, "that is the false positive rate itself. Go up from it to the curve of model A."),
        (lambda: 100 * sensitivity(), "in percent? The question asks for a share, 0 to 1."),
        what="a number between 0 and 1",
        hint="go to the right to a false positive rate of 0.2, then up to the curve.",
        atol=0.02,
    ),
    3: words(
        too_sure,
        (
            lambda: _other(too_sure()),
            "its curve is steeper than the diagonal: its probabilities stay too near to the middle.",
        ),
        (lambda: "both", "the two curves lie on different sides of the diagonal at the left end."),
        (lambda: "neither", "one of the two says nearly 0 where a good many are ill."),
        what='a letter, "A" or "B"',
        hint='the answer is one letter, "A" or "B".',
    ),
    4: words(
        better,
        (lambda: "A", "its score is a little higher. Does the interval of the difference leave 0 out?"),
        (lambda: "B", "its score isn't even higher. And the interval of the difference?"),
        (lambda: "both", "a model can't be better than the other and worse at once."),
        what='"A", "B" or "neither"',
        hint='the answer is "A", "B" or "neither".',
    ),
}
