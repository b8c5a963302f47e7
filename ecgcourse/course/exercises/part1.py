"""Answers to the quiz of part I, signals."""

from ecgcourse.course import quizzes
from ecgcourse.course.exercises.judging import values, words

WIDE = 24
"""The record whose intervals are measured."""

TURNED = 49
"""The record whose axis is measured."""

LETTERS = {"A": 52, "B": 73, "C": 92, "D": 51}
"""The records whose classes are named."""

_NEEDED = 'a dict of four classes, {"A": "…", "B": "…", "C": "…", "D": "…"}, each NORM, MI, STTC or CD'


def intervals() -> dict[str, float]:
    """Rate per minute, PR, QRS and QT in s."""
    found = quizzes.measures(WIDE)
    return {name: found[name] for name in ("rate", "PR", "QRS", "QT")}


def classes() -> dict[str, str]:
    """The class of each heart; NORM for none."""
    truth = quizzes.truth()
    return {
        letter: next((name for name in truth.columns if truth.loc[ecg_id, name]), "NORM")
        for letter, ecg_id in LETTERS.items()
    }


def _exchanged(*pair: str) -> dict[str, str]:
    """The right classes, two of which have changed places."""
    found = classes()
    one, other = pair
    return found | {one: found[other], other: found[one]}


EXERCISES = {
    1: values(
        intervals,
        (
            lambda: {name: value * 1000 if name != "rate" else value for name, value in intervals().items()},
            "the intervals are in milliseconds. The question asks for seconds.",
        ),
        (
            lambda: {**intervals(), "rate": intervals()["rate"] / 60},
            "that rate is per second. Hearts are counted per minute.",
        ),
        (
            lambda: {**intervals(), "QT": intervals()["QT"] - intervals()["QRS"]},
            "your QT begins where the QRS complex ends. It begins where the QRS complex begins.",
        ),
        (
            lambda: {**intervals(), "PR": intervals()["PR"] - 0.08},
            "your PR begins at the end of the P wave. It begins at its start.",
        ),
        what='a dict of four numbers, {"rate": …, "PR": …, "QRS": …, "QT": …}',
        hint="count small boxes, 0.04 s each. Rate: 60 s divided by the distance of two R peaks.",
        rtol=0.07,
        atol=0.022,
    ),
    2: values(
        lambda: quizzes.measures(TURNED)["axis"],
        (
            lambda: -quizzes.measures(TURNED)["axis"],
            "the size is right, the side is not. aVF looks down, and down is positive.",
        ),
        (
            lambda: quizzes.measures(TURNED)["axis"] + 180,
            "that is the opposite direction. Is the QRS complex of lead I above or below the baseline?",
        ),
        (
            lambda: quizzes.measures(TURNED)["axis"] - 90,
            "that lead has as much above the baseline as below it. The axis is at a right angle to it.",
        ),
        what="a number, an angle in degrees",
        hint="look for the limb lead with the tallest QRS complex, and for the one with as much above as below.",
        atol=16,
    ),
    3: words(
        classes,
        (lambda: _exchanged("A", "B"), "look at A and B again. Q waves come first, T waves second."),
        (lambda: _exchanged("C", "D"), "look at C and D again. In which of the two does the QRS complex end late?"),
        (
            lambda: dict.fromkeys(LETTERS, "NORM"),
            "only one of the four is normal.",
        ),
        what=_NEEDED,
        hint="go by the signs: Q waves, inverted T waves, a broad QRS complex; one has none of them.",
    ),
    4: words(
        lambda: next(letter for letter, kind in quizzes.FILTERED.items() if kind == "causal"),
        (
            lambda: next(letter for letter, kind in quizzes.FILTERED.items() if kind == "raw"),
            "that one still wanders from beat to beat: nothing was filtered.",
        ),
        (
            lambda: next(letter for letter, kind in quizzes.FILTERED.items() if kind == "zero-phase"),
            "that one is filtered, but look at it before and after the QRS complex: what does it do on both sides?",
        ),
        (lambda: "all", "one of the three is as it was recorded."),
        what="a letter, A, B or C",
        hint='the answer is one letter, such as "A".',
    ),
}
