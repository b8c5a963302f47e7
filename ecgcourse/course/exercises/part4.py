"""Answers to the quiz of part IV, beyond."""

import numpy as np

from ecgcourse.course import quizzes
from ecgcourse.course.exercises.judging import values, words
from ecgcourse.images import fields, signals
from ecgcourse.records import practice_people

SPLITS = {"P": "patients", "Q": "beats"}
"""How the beats of each histogram were split."""

RECORD, SUPERCLASS, LEAD = 29, "STTC", "V5"
"""The record whose maps are shown."""

MAPS = {"A": "edges", "B": "late", "C": "signs"}
"""What each map shows."""

HOSPITALS = {"P": "B", "Q": "A"}
"""The hospital of each spectrum."""


def leaking() -> str:
    """The split whose judged beats lie nearer to those of the training set."""
    return min(SPLITS, key=lambda letter: np.median(quizzes.nearest()[SPLITS[letter]]))


def _letter(letters: dict[str, str], meaning: str) -> str:
    return next(letter for letter, each in letters.items() if each == meaning)


def filtered() -> str:
    """The hospital whose records hold least between 60 and 100 Hz, of what they hold between 5 and 30 Hz."""
    frequency, density = quizzes.two_hospitals()
    above, below = (frequency > 60) & (frequency < 100), (frequency > 5) & (frequency < 30)
    return _letter(HOSPITALS, min(density, key=lambda name: density[name][above].mean() / density[name][below].mean()))


def tells_apart() -> str:
    """Which network can tell a lead from its inverted self: one of recurrence plots, or one of samples."""
    x = quizzes.record(RECORD)[1]
    one, other = signals.min_max(x), signals.min_max(-x)
    plots_differ = not np.allclose(fields.recurrence(one), fields.recurrence(other))
    samples_differ = not np.allclose(one, other)
    return {(True, True): "both", (True, False): "plots", (False, True): "samples"}.get(
        (plots_differ, samples_differ), "neither"
    )


EXERCISES = {
    1: words(
        leaking,
        (lambda: "P" if leaking() == "Q" else "Q", "there the nearest beat is far away, as a stranger's is."),
        (
            lambda: "both",
            "a beat of the same patient is nearly the same beat. In which of the two are there such pairs?",
        ),
        (lambda: "neither", "in one of the two nearly every judged beat has a twin."),
        what='a letter, "P" or "Q"',
        hint='the answer is one letter, "P" or "Q".',
    ),
    2: words(
        lambda: _letter(MAPS, "signs"),
        (
            lambda: _letter(MAPS, "edges"),
            "that map is bright wherever the curve is steep. A network that learned nothing can draw it.",
        ),
        (
            lambda: _letter(MAPS, "late"),
            "which wave lies below the bright places, and is it one that the class is about?",
        ),
        (lambda: "none", "one of the three is right: the generator tells where it changed the voltages."),
        what='a letter, "A", "B" or "C"',
        hint='the answer is one letter, "A", "B" or "C".',
    ),
    3: values(
        lambda: practice_people.RAILWAY,
        (lambda: 50.0, "hum of the mains would lie there, but that is as strong in both groups."),
        (lambda: 1.2, "that is about the heart rate, which every record has."),
        (lambda: 100.0, "that is the sampling rate."),
        what="a number, a frequency in Hz",
        hint="where does one curve have a peak that the other doesn't have?",
        atol=0.5,
    ),
    4: words(
        filtered,
        (
            lambda: next(letter for letter in HOSPITALS if letter != filtered()),
            "in those records there is still something between 40 and 100 Hz. What would the filter have left?",
        ),
        (lambda: "both", "only one of the recorders filters above 40 Hz."),
        (lambda: "neither", "follow both curves from 40 Hz to the right."),
        what='a letter, "P" or "Q"',
        hint='the answer is one letter, "P" or "Q".',
    ),
    5: words(
        tells_apart,
        (
            lambda: "plots",
            "a recurrence plot holds distances: what becomes of a distance when both samples are inverted?",
        ),
        (lambda: "both", "one of the two sees nothing but distances."),
        (lambda: "neither", "one of the two gets the samples themselves, and their order of height."),
        what='"plots", "samples", "both" or "neither"',
        hint='the answer is "plots", "samples", "both" or "neither".',
    ),
}
