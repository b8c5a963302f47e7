"""Files damaged in the ways that Hypothesis thinks of, and what must hold whatever it finds."""

import re
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from ecgcourse.errors import EcgCourseError

SIZE = 8
LONGEST_MESSAGE = 1000
OUT_OF_MEMORY = re.compile("allocat|MemoryError|out of memory")
"""What a message says, in Python's words or PyTorch's, where memory was asked for that isn't there."""
PATIENCE = 30
"""Seconds after which reading a small file counts as hanging."""

HOSTILE = (
    "",
    "0",
    "-1",
    "1.5",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "1e999",
    "1e-999",
    "1e400000000",
    "999999999999",
    "9223372036854775808",
    "9" * 5000,
    "0x10",
    "1_000",
    "\u0661\u0662",
    "None",
    "null",
    "True",
    "{}",
    "[]",
    "[" * 100_000,
    "{" * 1000,
    "x" * 100_000,
    '"',
    "'",
    ",,,",
    "\n",
    "\r",
    "\0",
    "#",
    "é\u202e\u2028\ud83c\udf89".encode("utf-16", "surrogatepass").decode("utf-16"),
    "\x1b[2J",
    "..",
    "../../../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\system.ini",
    "\\\\server\\share",
    "~/.profile",
    "%s%n{0}",
    "__import__('os').system('exit 1')",
)
"""Words that parsers stumble over."""

_LIMITS = (0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_LOST = object()
_VALUES = (
    _LOST,
    None,
    True,
    -1,
    0,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\x1b[2J",
    [],
    [[[]]],
    {},
    {"a": 1},
    torch.tensor(float("nan")),
    torch.zeros(0),
    torch.full((4, 9), float("nan")),
    torch.zeros(4, 9, dtype=torch.int64),
    # These take no room, whatever they promise.
    torch.zeros(1, dtype=torch.float64).expand(10**12),
    torch.zeros(1, dtype=torch.uint8).expand(10**6, 10**6),
)
_WORD = re.compile(rb"[^\s,:;{}()\[\]\"'/=]+")


class Small(nn.Module):
    """Mean grey levels and two linear layers: checkpoints of a few kilobytes."""

    def __init__(self, filters: int = 4, image_size: int = SIZE, dropout: float = 0.0, init: str = "pytorch"):
        super().__init__()
        self.settings = {"filters": filters, "image_size": image_size, "dropout": dropout, "init": init}
        self.layers = nn.Sequential(nn.Linear(9, filters), nn.ReLU(), nn.Linear(filters, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.mean(dim=(2, 3)))


@st.composite
def damaged(draw: Callable, content: bytes) -> bytes:
    """`content` after one to four changes of bytes, numbers or words."""
    for change in draw(st.lists(st.sampled_from(_CHANGES), min_size=1, max_size=4)):
        content = change(draw, content)
    return content


@st.composite
def with_a_wrong_value(draw: Callable, content: object) -> object:
    """`content`, made of dicts, lists, tensors and plain values, with one of its parts lost or of another kind."""
    path = draw(st.sampled_from([*_paths(content)]))
    return _with(content, path, draw(st.sampled_from(_VALUES)))


def _paths(content: object, path: tuple = ()) -> Iterator[tuple]:
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _with(content: object, path: tuple, value: object) -> object:
    if not path:
        return None if value is _LOST else value
    key, *rest = path
    changed = dict(content) if isinstance(content, dict) else list(content)
    if rest or value is not _LOST:
        changed[key] = _with(content[key], rest, value)
    else:
        del changed[key]
    return changed


def _place(draw: Callable, content: bytes) -> int:
    # What says how the rest is to be read stands at the beginning, and in archives at the end.
    last = len(content)
    beginning, end = st.integers(0, min(last, 600)), st.integers(max(0, last - 600), last)
    return draw(st.one_of(beginning, end, st.integers(0, last)))


def _flip(draw: Callable, content: bytes) -> bytes:
    place = _place(draw, content)
    changed = bytes(byte ^ (1 << draw(st.integers(0, 7))) for byte in content[place : place + 1])
    return content[:place] + changed + content[place + 1 :]


def _insert(draw: Callable, content: bytes) -> bytes:
    place = _place(draw, content)
    return content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]


def _delete(draw: Callable, content: bytes) -> bytes:
    place = _place(draw, content)
    return content[:place] + content[place + draw(st.integers(1, 200)) :]


def _truncate(draw: Callable, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _repeat(draw: Callable, content: bytes) -> bytes:
    place = _place(draw, content)
    part = content[place : place + draw(st.integers(1, 200))]
    return content[:place] + part * draw(st.integers(2, 50)) + content[place:]


def _put_number(draw: Callable, content: bytes) -> bytes:
    place, limit = _place(draw, content), draw(st.sampled_from(_LIMITS))
    width = draw(st.sampled_from("<H >H <I >I <Q >Q".split()))
    number = struct.pack(width, limit % 2 ** (8 * struct.calcsize(width)))
    return content[:place] + number + content[place + len(number) :]


def _put_word(draw: Callable, content: bytes) -> bytes:
    words = list(_WORD.finditer(content[:5000]))
    if not words:
        return content
    word, hostile = draw(st.sampled_from(words)), draw(st.sampled_from(HOSTILE))
    return content[: word.start()] + hostile.encode() + content[word.end() :]


_CHANGES = (_flip, _insert, _delete, _truncate, _repeat, _put_number, _put_word, _put_word)


def error_of(work: Callable[[], object], names: Sequence[str]) -> EcgCourseError | None:
    """Run `work`; the package's error, held to what such errors promise, or None if there is none.

    Any other error comes through, as does one that takes too long or that says nothing about any of `names`.
    """
    try:
        with in_time():
            work()
    except EcgCourseError as error:
        check_message(str(error), names)
        return error
    return None


def check_message(message: str, names: Sequence[str]) -> None:
    """One printable line of bounded length that names the file."""
    assert message.isprintable(), repr(message)
    assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]}"
    assert any(name in message for name in names), message
    # Only a promise that was believed asks for more memory than the tests allow.
    assert not OUT_OF_MEMORY.search(message), message


@contextmanager
def in_time(seconds: int = PATIENCE) -> Iterator[None]:
    """Fail if the block takes longer, where the system can interrupt it."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def little_memory(more: int = 2**30) -> Iterator[None]:
    """Let this process take at most so many bytes of address space more than it has; Linux only."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        has = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _too_late(number: int, frame: FrameType | None) -> None:
    # Not an Exception, which a reader would take for damage of the file.
    pytest.fail(f"this took more than {PATIENCE} s")
