"""Answers to the quiz of part II, images."""

import numpy as np

from ecgcourse.course import quizzes
from ecgcourse.course.exercises.judging import values, words
from ecgcourse.images import fields, signals

ECGS = {"A": 29, "B": 100, "C": 66}
"""The records whose images are to be matched, by their letters."""

TRIPLETS = {"1": "C", "2": "A", "3": "B"}
"""Whose images each triplet shows."""

FIELDS = {"X": "MTF", "Y": "RP", "Z": "GAF"}
"""Which field each image of one lead shows."""

PLOTTED = 66
"""The record whose recurrence plot is read."""


def lead(ecg_id: int) -> np.ndarray:
    """Five seconds of lead II as it was recorded, (500,) in mV."""
    return quizzes.record(ecg_id)[1, 250:750]


def changed(x: np.ndarray) -> dict[str, np.ndarray]:
    """What is done to a lead before its recurrence plot is made anew."""
    return {"doubled": 2 * x, "shifted": x + 0.3, "inverted": -x, "reversed": x[::-1]}


def as_before() -> int:
    """After how many of these changes the recurrence plot is the same."""
    x = lead(PLOTTED)
    plots = [fields.recurrence(signals.min_max(one)) for one in [x, *changed(x).values()]]
    return sum(np.allclose(plot, plots[0], atol=1e-6) for plot in plots[1:])


def _turned(wanted: dict[str, str]) -> dict[str, str]:
    names = list(wanted)
    return dict(zip(names, [wanted[name] for name in names[1:] + names[:1]], strict=True))


def _exchanged(wanted: dict[str, str], one: str, other: str) -> dict[str, str]:
    return wanted | {one: wanted[other], other: wanted[one]}


EXERCISES = {
    1: words(
        lambda: TRIPLETS,
        (lambda: _turned(TRIPLETS), "none is right. Count the beats of each ECG, and the crosses of each picture."),
        (
            lambda: _exchanged(TRIPLETS, "1", "2"),
            "3 is right. The two others differ in rate: the faster heart has more lines.",
        ),
        (
            lambda: _exchanged(TRIPLETS, "1", "3"),
            "2 is right. Are the distances between the lines of 1 and 3 all alike?",
        ),
        what='a dict of three letters, {"1": "…", "2": "…", "3": "…"}',
        hint="each beat is a cross. How many are there, and how far apart?",
    ),
    2: words(
        lambda: FIELDS,
        (lambda: _turned(FIELDS), "none is right. Begin with the diagonal: which field is black on all of it?"),
        (
            lambda: _exchanged(FIELDS, "X", "Y"),
            "Z is right. Of the two others only one is symmetric about its diagonal.",
        ),
        (
            lambda: _exchanged(FIELDS, "Y", "Z"),
            "X is right. A sample is at no distance from itself: what does that make of the diagonal?",
        ),
        what='a dict of three fields, {"X": "…", "Y": "…", "Z": "…"}, each GAF, MTF or RP',
        hint="look at the diagonals, then for symmetry.",
    ),
    3: values(
        lambda: quizzes.measures(PLOTTED)["rate"],
        (
            lambda: 60 / quizzes.measures(PLOTTED)["rate"],
            "that is the RR interval in seconds. The rate is 60 divided by it.",
        ),
        (
            lambda: 2 * quizzes.measures(PLOTTED)["rate"],
            "twice too fast: were T waves counted as beats? Their lines are fainter.",
        ),
        (
            lambda: quizzes.measures(PLOTTED)["rate"] / 2,
            "half of it: the picture is 5 s wide, not 10.",
        ),
        what="a number, beats per minute",
        hint="measure the distance from one bright line to the next in seconds, over several lines at once.",
        rtol=0.06,
    ),
    4: values(
        as_before,
        (lambda: 4, "not all: in which order does the picture show its moments?"),
        (lambda: 2, "scaling to [0, 1] undoes a factor and a shift. What does an absolute value undo?"),
        (lambda: 1, "more than one: what does scaling to [0, 1] undo?"),
        (lambda: 0, "at least one is the same: what does scaling to [0, 1] undo?"),
        what="a whole number, 0 to 4",
        hint="scale each changed lead to [0, 1] in your head, then take distances.",
    ),
}
