"""Options of the command line made of dataclasses, so that each setting is written down once: name, default, words."""

import argparse
import ast
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Collection

from ecgcourse.errors import shown

# A parameter in a numpydoc docstring: its name, its type, the paragraph below.
_PARAMETER = re.compile(r"^    (\w+) : (.+)\n((?:        .*\n|\n)+)", re.MULTILINE)


def add(
    parser: argparse.ArgumentParser, kind: type, prefix: str = "", leave_out: Collection[str] = (), **converters
) -> None:
    """Add an option for each field of a dataclass; those that nobody gives stay out of the namespace.

    Parameters
    ----------
    parser : ArgumentParser
    kind : type
        A dataclass with a numpydoc docstring: the first sentence on a field is the help of its option, and a type such
        as ``{"sgd", "adam"}`` its choices.
    prefix : str
        Before each name: "images." makes ``--images.zero-phase``.
    leave_out : collection of str
        Fields without an option.
    **converters
        For some fields, what turns the text of the option into a value, in place of what their type says.
    """
    texts = {name: (type_, " ".join(words.split())) for name, type_, words in _PARAMETER.findall(kind.__doc__)}
    for field in dataclasses.fields(kind):
        if field.name in leave_out:
            continue
        type_, words = texts[field.name]
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        words = re.sub(r":\w+:`~?([^`]+)`|`", r"\1", words[0].lower() + words[1:]).replace("%", "%%")
        words = re.split(r"(?<!\b[eE]\.g)\.(?:\s|$)", words)[0]
        how = {"dest": prefix + field.name, "default": argparse.SUPPRESS, "help": words}
        option = f"--{prefix}{field.name.replace('_', '-')}"
        if field.type in (bool, bool | None):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, **how)
            continue
        how["help"] += "" if default is None else f" (default: {default})"
        convert = converters.get(field.name) or _converter(field.type)
        if type_.startswith("{"):
            how["choices"] = ast.literal_eval(type_[1:-1])
        else:
            how["metavar"] = field.name.rsplit("_", 1)[-1].upper()
        parser.add_argument(option, type=convert, **how)


def chosen(options: argparse.Namespace, prefix: str = "") -> dict:
    """The settings of one prefix that were given, by the names of their fields."""
    found = {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if "." not in name}


def names(text: str) -> tuple[str, ...]:
    """``I,II,V2`` as a tuple."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{shown(text)} names nothing")
    return found


def _converter(annotation: object) -> Callable[[str], object]:
    """What turns the text of an option into a value of a type; "none" where the type allows None."""
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kind = next(each for each in kinds if each is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return lambda text: tuple(number(inner, part) for part in names(text))

    def convert(text: str) -> object:
        if types.NoneType in kinds and text.lower() == "none":
            return None
        return number(kind, text)

    return convert


def number(kind: type, text: str) -> object:
    """A text as an int or a float, ArgumentTypeError if it is none; any other kind stays a text."""
    if kind not in (int, float):
        return text
    try:
        # Python would also take 1_000, and the digits of other scripts.
        if not text.isascii() or "_" in text:
            raise ValueError
        return kind(text)
    except ValueError as error:
        words = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{shown(text)} isn't {words}") from error
