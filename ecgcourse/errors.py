"""The package's own errors and its warning, and how messages show what is wrong."""

import difflib
from collections.abc import Sequence


class EcgCourseError(Exception):
    """Base of every error that the package raises on purpose."""


class DataError(EcgCourseError, ValueError):
    """Data that can't be used: the message names the file or record, what is wrong and what to do."""


class StorageError(DataError):
    """The operating system refuses to write: no permission, no room. Once that is mended, the work can go on."""


class SettingError(EcgCourseError, ValueError):
    """A setting that doesn't exist or has a value that isn't allowed."""


class CheckpointError(EcgCourseError, ValueError):
    """A file that isn't a checkpoint of the model asked for."""


class EcgCourseWarning(UserWarning):
    """Something that didn't stop the work but that the user should know."""


def check_setting(where: str, name: str, value: object, right: object, allowed: str) -> None:
    """Raise SettingError, naming the setting, its value and what is allowed, unless it is `right`."""
    if not right:
        raise SettingError(f"{where}{': ' if where else ''}{name}={shown(value)} isn't allowed; it must be {allowed}")


def as_names(where: str, name: str, value: object) -> tuple[str, ...]:
    """Return one name or several as a tuple; SettingError for what holds anything else."""
    names = (value,) if isinstance(value, str) else value
    right = isinstance(names, Sequence) and all(isinstance(each, str) for each in names)
    check_setting(where, name, value, right, "names")
    return tuple(names)


def is_whole(value: object, least: int, most: int = 2**63 - 1) -> bool:
    """Whether a setting is a whole number from `least` to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_real(value: object, above: float) -> bool:
    """Whether a setting is a finite number above another."""
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value < float("inf")


def check_name(name: object, known: Sequence[str], words: str) -> None:
    """Raise SettingError unless a name is one of those `known`; `words` begin the message, such as "no setting is"."""
    if name not in known:
        meant = closest(name, known)
        raise SettingError(f"{words} called {shown(name)}; did you mean {meant!r}? All are: {', '.join(known)}")


def closest(name: object, known: Sequence[str]) -> str:
    """Return the one of some names that is most like another one."""
    return difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]


def shown(value: object, longest: int = 80) -> str:
    """Return the repr of a value for a message, on one line, cut to `longest` characters."""
    # Cut before it is written out: a damaged table can hold megabytes in one field.
    if isinstance(value, str | bytes):
        value = value[:longest]
    # NumPy's numbers have an item too, and say their type otherwise.
    return brief(repr(value.item() if getattr(value, "shape", None) == () else value), longest)


def in_words(error: BaseException, longest: int = 200) -> str:
    """Return the first line of what somebody else's error says, cut to `longest` characters."""
    return brief((str(error).strip().splitlines() or [type(error).__name__])[0], longest)


def brief(text: str, longest: int = 80) -> str:
    """Return a text from a file on one line, cut to `longest` characters, with ? for those that can't be printed."""
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    # A terminal obeys some of them, and others turn the direction of writing.
    return "".join(character if character.isprintable() else "?" for character in text)
