"""Checks of a learner's answers to the book's exercises: right, or why not.

Each chapter's answers stand in a module of their own, which loads when one of them is asked for.
"""

import re
from importlib import import_module
from pathlib import Path

from ecgcourse.course.exercises.judging import Exercise, Verdict, judged
from ecgcourse.errors import SettingError, closest, shown

__all__ = ["Verdict", "check", "judge", "keys"]


def check(key: str, answer: object = ...) -> None:
    """Print whether an answer is right, or else why not.

    Parameters
    ----------
    key : str
        Chapter and exercise, such as "4.2".
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
    return judged(exercise(key), answer)


def keys() -> tuple[str, ...]:
    """Return the keys of all exercises, in the order of the book."""
    return tuple(f"{chapter}.{number}" for chapter in _chapters() for number in _exercises(chapter))


def exercise(key: str) -> Exercise:
    """Look an exercise up: its right answer, the usual mistakes and the judge; SettingError for an unknown key."""
    match = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", key) if isinstance(key, str) else None
    chapter, number = (int(part) for part in match.groups()) if match else (0, 0)
    if chapter in _chapters() and number in _exercises(chapter):
        return _exercises(chapter)[number]
    close = closest(key, keys())
    raise SettingError(f"no exercise is called {shown(key)}; did you mean {close!r}, as in check({close!r}, answer)?")


def _chapters() -> list[int]:
    names = (path.stem for path in Path(__file__).parent.glob("chapter*.py"))
    return sorted(int(name.removeprefix("chapter")) for name in names)


def _exercises(chapter: int) -> dict[int, Exercise]:
    return import_module(f"ecgcourse.course.exercises.chapter{chapter:02d}").EXERCISES
