"""The package's own errors and its warning, and how messages show what is wrong."""


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
