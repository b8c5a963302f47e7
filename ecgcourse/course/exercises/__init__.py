"""Checks of a learner's answers to the book's exercises and quizzes: right, or why not.

The answers of each chapter, and of each part's quiz, stand in a module of their own, which loads when one of them is
asked for.
"""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ecgcourse.course.exercises.judging import Exercise, Verdict, judged
from ecgcourse.errors import SettingError, closest, shown

__all__ = ["Verdict", "check", "judge", "keys"]

_PARTS = ("I", "II", "III", "IV")
# What exercises of the first edition asked that have another answer now, and where those that moved are.
_REPLACED = {
    "1.1": "read the paper",
    "2.1": "one label",
    "3.1": "other leads",
    "3.4": "choose a corner",
    "4.2": "a weak and a strong ECG",
    "4.4": "only the T wave",
    "5.3": "time backwards",
    "7.1": "at 500 Hz",
    "10.4": "patience",
    "11.2": "probabilities to the third",
    "11.5": "how many records do you need?",
    "12.5": "how much one number sees",
    "13.2": "a network that knows nothing",
    "14.5": "the same heart without CD",
    "15.2": "not the same run",
}
_MOVED = {"15.4": ("the weights taken out again", "10.3"), "15.5": ("two electrodes swapped", "17.4")}


def check(key: str, answer: object = ...) -> None:
    """Print whether an answer is right, or else why not.

    Parameters
    ----------
    key : str
        Chapter and exercise, such as "4.2"; or part and question of a quiz, such as "II.1".
    answer : object
        What the exercise asks for: a number, an array, a word or a function. The three dots of an untouched
        exercise count as no answer yet.

    Raises
    ------
    SettingError
        There is no such exercise.
    """
    print(f"Exercise {key}: {judge(key, answer).said}")


def judge(key: str, answer: object = ...) -> Verdict:
    """Judge an answer without printing, for instance to grade a class.

    Parameters
    ----------
    key, answer
        As for :func:`check`.

    Returns
    -------
    Verdict

    Raises
    ------
    SettingError
        There is no such exercise.
    """
    asked = exercise(key)
    verdict = judged(asked, answer)
    # An answer of another kind may come from a notebook of the first edition.
    if key in _REPLACED and verdict.answered and not verdict.right and _kind(answer) != _kind(asked.right()):
        former = f'In the first edition, exercise {key} was another one, "{_REPLACED[key]}".'
        verdict = replace(verdict, said=f"{verdict.said} {former}")
    return verdict


def keys() -> tuple[str, ...]:
    """Return the keys of all exercises in the order of the book, then those of the quizzes."""
    return tuple(f"{place}.{number}" for place, module in _modules().items() for number in _exercises(module))


def exercise(key: str) -> Exercise:
    """Look an exercise up: its right answer, the usual mistakes and the judge; SettingError for an unknown key."""
    match = re.fullmatch(r"(\d{1,2}|I|II|III|IV)\.(\d{1,2})", key) if isinstance(key, str) else None
    place, number = match.groups() if match else ("", "0")
    module = _modules().get(place)
    if module and int(number) in _exercises(module):
        return _exercises(module)[int(number)]
    if match and key in _MOVED:
        title, now = _MOVED[key]
        raise SettingError(f'exercise {key} of the first edition, "{title}", is gone; exercise {now} is similar')
    close = closest(key, keys())
    raise SettingError(f"no exercise is called {shown(key)}; did you mean {close!r}, as in check({close!r}, answer)?")


def _kind(answer: object) -> str:
    if callable(answer):
        return "function"
    return type(answer).__name__ if isinstance(answer, str | dict) else "numbers"


def _modules() -> dict[str, str]:
    """The modules with answers, by what keys begin with: "1" is ``chapter01``, "I" is ``part1``."""
    names = sorted(path.stem for kind in ("chapter", "part") for path in Path(__file__).parent.glob(f"{kind}*.py"))
    return {_place(name): name for name in names}


def _place(module: str) -> str:
    if module.startswith("part"):
        return _PARTS[int(module.removeprefix("part")) - 1]
    return str(int(module.removeprefix("chapter")))


def _exercises(module: str) -> dict[int, Exercise]:
    return import_module(f"ecgcourse.course.exercises.{module}").EXERCISES
