"""How an answer is judged: what kinds of answers there are, and how to say what is wrong with one.

An exercise holds its right answer and the usual mistakes, each with a hint. All of them are calculated, so that
they can be tested: the right answer must pass, and each mistake must be met with its own hint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgcourse.errors import in_words, shown

UNANSWERED = "no answer yet. Put yours in place of the dots and run the cell again."
RIGHT = "right."

Maker = Callable[[], object]
Hint = str | Callable[[object], str]
MistakeAndHint = tuple[Maker, Hint]


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer.

    Parameters
    ----------
    right : bool
        Whether it is right.
    said : str
        "right.", or why not, or that there is no answer yet.
    answered : bool
        False for an exercise that was left as it was.
    """

    right: bool
    said: str
    answered: bool = True


@dataclass(frozen=True)
class Exercise:
    """A right answer, the usual mistakes with their hints, and the judge.

    Parameters
    ----------
    right : callable
        Makes a right answer.
    mistakes : sequence of (callable, str)
        What a usual mistake gives, and what to say to it.
    why_not : callable
        Takes an answer and returns what is wrong with it; "" for nothing, None for no answer.
    """

    right: Maker
    mistakes: Sequence[MistakeAndHint]
    why_not: Callable[[object], str | None]


def judged(exercise: Exercise, answer: object) -> Verdict:
    """Judge an answer, whatever it is: nothing that a learner can hand in raises an error."""
    if _is_missing(answer):
        return Verdict(False, UNANSWERED, answered=False)
    problem = exercise.why_not(answer)
    if problem is None:
        return Verdict(False, UNANSWERED, answered=False)
    return Verdict(False, f"not yet: {problem}") if problem else Verdict(True, RIGHT)


def _is_missing(answer: object) -> bool:
    """Tell whether nothing was put in place of the dots; a dict in which all are left counts as one."""
    if isinstance(answer, dict) and answer:
        return all(_is_missing(value) for value in answer.values())
    return answer is None or answer is ...


class _NoAnswerError(Exception):
    """A function that was left as it was."""


class _Watched:
    """A learner's function that says so where it returns nothing."""

    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, *arguments: object, **named: object) -> object:
        found = self.function(*arguments, **named)
        if _is_missing(found):
            raise _NoAnswerError
        return found


# --- kinds of exercises


def values(
    right: Maker,
    *mistakes: MistakeAndHint,
    what: str,
    hint: str,
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> Exercise:
    """Ask for a number, an array of any shape, or a dict of them.

    Parameters
    ----------
    right : callable
        Makes the right answer.
    *mistakes : (callable, str)
        What a usual mistake gives, and its hint.
    what : str
        What the answer has to be, in words: "nine numbers, an array of shape (3, 3)".
    hint : str
        Said to a wrong answer that is none of the mistakes.
    rtol, atol : float
        How near is right, as for :func:`numpy.allclose`.
    """

    def why_not(answer: object) -> str:
        wanted = right()
        if isinstance(wanted, dict):
            return _why_not_dict(answer, wanted, mistakes, what, hint, rtol, atol)
        return _why_not_numbers(answer, wanted, mistakes, what, hint, rtol, atol)

    return Exercise(right, mistakes, why_not)


def function(
    right: Callable,
    *mistakes: tuple[Callable, str],
    tries: Callable[[], Sequence[tuple]],
    what: str,
    hint: str,
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> Exercise:
    """Ask for a function of numbers, which is called with several arguments.

    Parameters
    ----------
    right : callable
        The right function.
    *mistakes : (callable, str)
        Functions that a usual mistake gives, and their hints. A mistake is one if it agrees on every try.
    tries : callable
        Makes the tuples of arguments to call it with. They must tell the mistakes apart.
    what, hint, rtol, atol
        As for :func:`values`; `what` says what the function takes and returns.
    """

    def why_not(answer: object) -> str | None:
        if not callable(answer):
            return f"a function is needed: {what}. This is {_named(answer)}."
        calls = tries()
        try:
            found = [answer(*_copied(call)) for call in calls]
        except Exception as error:  # whatever a learner's function does, the notebook goes on
            return f"your function stops with {type(error).__name__}: {in_words(error)}. It should be {what}."
        if any(_is_missing(each) for each in found):
            return None
        return _why_not_results(found, calls, right, mistakes, what, hint, rtol, atol)

    return Exercise(lambda: right, [(lambda wrong=wrong: wrong, said) for wrong, said in mistakes], why_not)


def word(right: str, *mistakes: tuple[str, str], what: str) -> Exercise:
    """Ask for one of some words; capitals, spaces and a full stop don't matter.

    Parameters
    ----------
    right : str
        The right word.
    *mistakes : (str, str)
        Each other word that can be chosen, and what to say to it.
    what : str
        What the answer has to be, in words.
    """

    def why_not(answer: object) -> str:
        if not isinstance(answer, str):
            return f"a text is needed: {what}. This is {_named(answer)}."
        for wrong, said in mistakes:
            if _plain(answer) == _plain(wrong):
                return said
        allowed = ", ".join(repr(each) for each in sorted([right, *(wrong for wrong, _ in mistakes)]))
        return "" if _plain(answer) == _plain(right) else f"the answer must be one of {allowed}."

    return Exercise(lambda: right, [(lambda wrong=wrong: wrong, said) for wrong, said in mistakes], why_not)


def words(right: Maker, *mistakes: MistakeAndHint, what: str, hint: str) -> Exercise:
    """Ask for a word, or for a dict of them, that only the records tell; capitals and spaces don't matter.

    Parameters
    ----------
    right : callable
        Makes the right word, or the right dict of words.
    *mistakes : (callable, str)
        As for :func:`values`.
    what : str
        What the answer has to be, in words.
    hint : str
        Said to a wrong answer that is none of the mistakes; of a dict it is told how many of its words are right, but
        not which.
    """

    def why_not(answer: object) -> str:
        wanted = right()
        if not isinstance(wanted, dict):
            if not isinstance(answer, str):
                return f"a text is needed: {what}. This is {_named(answer)}."
            answer, wanted = {"": answer}, {"": wanted}
        elif not isinstance(answer, dict) or answer.keys() != wanted.keys():
            return f"a dict is needed: {what}. This is {_named(answer)}."
        not_text = [str(name) for name, one in answer.items() if not isinstance(one, str)]
        if not_text:
            return f"a text is needed for {', '.join(not_text)}: {what}."
        agree = sum(_plain(answer[name]) == _plain(wanted[name]) for name in wanted)
        if agree == len(wanted):
            return ""
        for mistake, said in mistakes:
            made = mistake()
            made = made if isinstance(made, dict) else {"": made}
            if all(_plain(answer[name]) == _plain(made[name]) for name in wanted):
                return said
        return f"{hint} Right so far: {agree} of {len(wanted)}." if len(wanted) > 1 else hint

    return Exercise(right, mistakes, why_not)


def conditions(right: Maker, *required: tuple[Callable[[object], bool], Maker, Hint], what: str) -> Exercise:
    """Ask for anything that meets all conditions; for questions with many right answers.

    Parameters
    ----------
    right : callable
        Makes one right answer.
    *required : (callable, callable, str or callable)
        What the answer must meet, a mistake that breaks this condition but none before it, and what to say
        then; a callable makes it from the answer, for what has to name the number that was reached. They are
        asked in this order.
    what : str
        What the answer has to be, in words; said where a condition can't even be asked.
    """

    def why_not(answer: object) -> str | None:
        asked = _Watched(answer) if callable(answer) else answer
        for is_met, _, said in required:
            try:
                if not is_met(asked):
                    return said(asked) if callable(said) else said
            except _NoAnswerError:
                return None
            except Exception as error:  # an answer of another kind: what it raises doesn't matter
                return f"this is {_named(answer)}; needed is {what} ({type(error).__name__}: {in_words(error)})."
        return ""

    return Exercise(right, [(mistake, said) for _, mistake, said in required], why_not)


# --- what is wrong with numbers


def _why_not_dict(answer, wanted, mistakes, what, hint, rtol, atol) -> str:
    if not isinstance(answer, dict):
        return f"a dict is needed: {what}. This is {_named(answer)}."
    missing, unknown = (sorted(map(str, a.keys() - b.keys())) for a, b in ((wanted, answer), (answer, wanted)))
    if missing or unknown:
        parts = [f"{name} is missing" for name in missing] + [f"{name} isn't asked for" for name in unknown]
        return "; ".join(parts) + "."
    wrong = [name for name in wanted if _why_not_numbers(answer[name], wanted[name], (), what, hint, rtol, atol)]
    if not wrong:
        return ""
    for mistake, said in mistakes:
        made = mistake()
        if all(_equal(answer[name], made[name], rtol, atol) for name in wanted):
            return said
    right = [str(name) for name in wanted if name not in wrong]
    return f"{hint} Right so far: {', '.join(right) or 'none'}."


def _why_not_numbers(answer, wanted, mistakes, what, hint, rtol, atol) -> str:
    found, wanted = _numbers(answer), _numbers(wanted)
    if found is None:
        return f"numbers are needed: {what}. This is {_named(answer)}."
    if _equal(found, wanted, rtol, atol):
        return ""
    for mistake, said in mistakes:
        if _equal(found, mistake(), rtol, atol):
            return said
    return _shape_problem(found, wanted, what) or _value_problem(found, wanted, rtol, atol) or hint


def _why_not_results(found, calls, right, mistakes, what, hint, rtol, atol) -> str:
    wanted = [right(*_copied(call)) for call in calls]
    wrong = [number for number, pair in enumerate(zip(found, wanted, strict=True)) if not _equal(*pair, rtol, atol)]
    if not wrong:
        return ""
    for mistake, said in mistakes:
        made = [mistake(*_copied(call)) for call in calls]
        if all(_equal(one, other, rtol, atol) for one, other in zip(found, made, strict=True)):
            return said
    first = wrong[0]
    problem = _why_not_numbers(found[first], wanted[first], (), what, hint, rtol, atol)
    return f"called with {', '.join(_briefly(value) for value in calls[first])}: {problem}"


def _numbers(answer: object) -> np.ndarray | None:
    """Lists, tuples, arrays, tables and tensors as float64; None for what isn't numbers."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
    try:
        found = np.asarray(answer)
        return found.astype(np.float64) if found.dtype.kind in "biuf" else None
    except (TypeError, ValueError):
        return None


def _equal(one: object, other: object, rtol: float, atol: float) -> bool:
    one, other = _numbers(one), _numbers(other)
    return one is not None and other is not None and one.shape == other.shape and np.allclose(one, other, rtol, atol)


def _shape_problem(found: np.ndarray, wanted: np.ndarray, what: str) -> str:
    if found.shape == wanted.shape:
        return ""
    needed = f"needed is {what}"
    if wanted.ndim == 0:
        return f"this is an array of shape {found.shape}; {needed}."
    if found.ndim == 0:
        return f"this is one number; {needed}."
    if found.shape == wanted.shape[::-1]:
        return f"the axes are the other way round, {found.shape} in place of {wanted.shape}: transpose it."
    if found.size == wanted.size:
        return f"the numbers are as many as they should be, but their shape is {found.shape}; {needed}."
    if found.ndim == wanted.ndim and sum(a != b for a, b in zip(found.shape, wanted.shape, strict=True)) == 1:
        axis = next(k for k, pair in enumerate(zip(found.shape, wanted.shape, strict=True)) if pair[0] != pair[1])
        return f"axis {axis} has {found.shape[axis]} entries in place of {wanted.shape[axis]}; {needed}."
    return f"the shape is {found.shape} in place of {wanted.shape}; {needed}."


def _value_problem(found: np.ndarray, wanted: np.ndarray, rtol: float, atol: float) -> str:
    """Name a mistake that turns all numbers into others in the same way; "" for any other."""
    if not np.isfinite(found).all():
        return f"{np.count_nonzero(~np.isfinite(found))} of the numbers are NaN or infinite: look for a division by 0."
    tests = [
        (-found, "the sign is the other way round."),
        (found / 100, "it is 100 times too large: a share in place of percent?"),
        (found * 100, "it is 100 times too small: percent in place of a share?"),
        (found / 1000, "it is 1,000 times too large: check the unit."),
        (found * 1000, "it is 1,000 times too small: check the unit."),
    ]
    if found.ndim == 2 and found.shape[0] == found.shape[1]:
        tests.insert(0, (found.T, "rows and columns are exchanged: transpose it."))
    if found.ndim == 1 and len(found) > 1:
        tests.insert(0, (found[::-1], "the order is the other way round."))
    for changed, said in tests:
        if _equal(changed, wanted, rtol, atol):
            return said
    return _whole_number_problem(found, wanted)


def _whole_number_problem(found: np.ndarray, wanted: np.ndarray) -> str:
    if not (np.mod(wanted, 1) == 0).all():
        return ""
    apart = np.unique(found - wanted)
    return f"off by one: it is 1 too {'large' if apart[0] > 0 else 'small'}." if np.array_equal(abs(apart), [1]) else ""


# --- words for a message


def _named(answer: object) -> str:
    kind = type(answer).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}, {shown(answer, 40)}"


def _briefly(value: object) -> str:
    shape = getattr(value, "shape", ())
    return f"an array of shape {tuple(shape)}" if shape and np.prod(shape) > 6 else shown(value, 40)


def _copied(call: tuple) -> tuple:
    """Arguments that a function may spoil."""
    return tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)


def _plain(text: str) -> str:
    return " ".join(text.lower().strip(" .").split())
