"""The original repository's signals and labels, from its pickle files to plain ``.npy`` files.

HemaxiN/DL_ECG_Classification keeps its data as ``X_train_processed.pickle``, ``y_train_processed.pickle`` and so on.
A pickle is a list of instructions, and one of them is to call any function, so opening such a file means trusting
whoever wrote it. Here nothing of a file is called. Its instructions are looked through first, and only those that
arrays and lists of numbers need are let pass; what then puts the arrays together are this module's own stand-ins for
NumPy's functions, and they check every shape against the bytes that the file really holds.
"""

import io
import math
import os
import pickle
import pickletools
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np

from ecgcourse.errors import DataError
from ecgcourse.records.ptbxl import CLASSES, LEADS
from ecgcourse.support.files import whole_folder

PARTITIONS = ("train", "dev", "val", "test")
"""The partitions that a file name can have; the original writes dev for the validation set."""

FILES = tuple(f"{kind}_{partition}_processed.pickle" for partition, kind in product(PARTITIONS, "Xy"))
"""The names that are looked for."""

# All twelve leads as in the files that the original offers, or the three that it chooses from them.
_N_LEADS = (len(LEADS), 3)

# What pickles of arrays and of lists consist of, in protocols 0 to 5. Not among them: dicts, classes to make objects
# of, persistent ids, the registry of extensions, buffers outside of the file.
_INSTRUCTIONS = frozenset(
    """
    PROTO FRAME STOP MARK
    NONE INT LONG LONG1 BININT BININT1 BININT2 FLOAT BINFLOAT NEWTRUE NEWFALSE
    UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()
)
_REMEMBERING = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])

# The whole of PTB-XL as a list of arrays has 310,000 to 740,000, depending on the protocol. An instruction of one byte
# can make a new list, so a file of some gigabytes could fill any memory.
_MAX_INSTRUCTIONS = 2_000_000

_DTYPES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])

_UNSAFE = (
    "which arrays of numbers don't need; nothing in the file was run; take it from a source that you trust, or make "
    "the arrays from PTB-XL"
)
_COPY = "it is damaged, or it isn't the file that its name says; copy it again"


class _Refusal(Exception):
    """What is wrong with a file and what to do; the file's name is put before it."""


# --- for the outside


def read_signals(path: str | os.PathLike) -> np.ndarray:
    """Read an ``X_…_processed.pickle`` without running anything in it.

    Needs memory for two to three times the file.

    Parameters
    ----------
    path
        A pickle of one (N, T, L) array or of a list of N arrays (T, L), written by Python 3.

    Returns
    -------
    (N, T, L) float array
        In mV as the original offers them, all 12 leads or 3 of them; T stands before L. The dtype is that of the
        file. The array may be read-only.

    Raises
    ------
    DataError
        If the file can't be read, asks for anything but arrays and lists, claims more than it holds, or if its
        arrays have another shape or differ in shape or dtype, aren't floats, or hold NaN or infinite samples.
    """
    with _named(path):
        signals = _to_array(*_load(Path(path)), _values)
        _check_signals(signals)
        return signals


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Read a ``y_…_processed.pickle`` without running anything in it.

    Parameters
    ----------
    path
        A pickle of one (N, K) array, of a list of N arrays (K,), or of a list of N lists of K numbers, written by
        Python 3.

    Returns
    -------
    (N, K) array
        Zeros and ones, K = 4 in the order of :data:`ecgcourse.records.ptbxl.CLASSES`. The dtype is that of the file:
        bool, integer or float. The array may be read-only.

    Raises
    ------
    DataError
        As `read_signals`, and for labels that are neither 0 nor 1.
    """
    with _named(path):
        labels = _to_array(*_load(Path(path)), _label_row)
        _check_labels(labels)
        return labels


def write_arrays(folder: str | os.PathLike, out: str | os.PathLike) -> list[Path]:
    """Write every signal and label file of a folder as ``.npy``: ``X_train_processed.npy``, …

    Values, shapes (signals (N, T, L), labels (N, K)) and dtypes stay as they are; lists become one array. The files
    are written all together or not at all.

    Parameters
    ----------
    folder
        Holds one or more of `FILES`.
    out
        The folder to make. It must not exist yet, or be empty.

    Returns
    -------
    list of Path
        The new files, in the order of `FILES`.

    Raises
    ------
    DataError
        If `folder` has none of the files, `out` is taken or can't be written, signals and labels of a partition
        differ in N, or a file is refused by `read_signals` or `read_labels`.
    """
    sources = _sources(Path(folder))
    n_records = {}
    with whole_folder(out) as filled:
        for source in sources:
            array = (read_signals if source.name.startswith("X") else read_labels)(source)
            np.save(filled / f"{source.stem}.npy", array)
            n_records[source.name] = len(array)
        _check_pairs(Path(folder), n_records)
    return [Path(out) / f"{source.stem}.npy" for source in sources]


# --- files


@contextmanager
def _named(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except _Refusal as refusal:
        raise DataError(f"{path} {refusal}") from refusal
    except MemoryError as error:
        raise DataError(f"{path} needs up to three times its size in memory, which isn't there; free some") from error


def _sources(folder: Path) -> list[Path]:
    # A link that leads nowhere is listed too: left out silently, its partition would be missing.
    found = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if not found:
        raise DataError(
            f"{folder} has none of the original's files ({', '.join(FILES[:2])}, …); name the folder that holds them"
        )
    return found


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise _Refusal("isn't a file, or isn't there; name one of the original's pickle files")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Refusal(f"can't be read: {error.strerror}; allow it to be read") from error


def _load(path: Path) -> tuple[object, int]:
    """Return what a file holds, with stand-ins for its arrays, and its size in bytes."""
    # Looked through and put together from the same bytes: the file could be another one in between.
    content = _content(path)
    try:
        _check_instructions(content)
        return _ArrayUnpickler(content).load(), len(content)
    except (_Refusal, MemoryError):
        raise
    # What a damaged file raises depends on where the unpickler stumbles.
    except Exception as error:
        raise _Refusal(f"can't be read as a pickle ({type(error).__name__}): {_COPY}") from error


# --- before anything is put together


def _check_instructions(content: bytes) -> None:
    for count, (instruction, argument, position) in enumerate(pickletools.genops(content)):
        if instruction.name not in _INSTRUCTIONS:
            raise _Refusal(f"needs the instruction {instruction.name}, {_UNSAFE}")
        if instruction.name == "GLOBAL":
            _check_name(*argument.split(" ", 1))
        # The unpickler makes room up to the place that is named, however far away it is.
        if instruction.name in _REMEMBERING and argument > count:
            raise _Refusal(f"remembers something in place {argument:,} of its memory: {_COPY}")
        if count == _MAX_INSTRUCTIONS:
            raise _Refusal(f"has more than {_MAX_INSTRUCTIONS:,} instructions; save its lists as arrays")
        end = position + 1
    if end != len(content):
        raise _Refusal(f"goes on for {len(content) - end:,} bytes behind its end: {_COPY}")


def _check_name(module: str, name: str) -> None:
    if (module, name) not in _NAMES:
        raise _Refusal(f"asks for {_shown(f'{module}.{name}')}, {_UNSAFE}")


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80


def _shown(value: object) -> str:
    # As Python writes text, and not all of it: who wrote the file wrote this too.
    return _SHORT.repr(value)


# --- stand-ins for what a pickle of arrays asks for


class _ArrayUnpickler(pickle.Unpickler):
    """Puts lists and arrays together, and knows nothing else."""

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content))
        self._encode = _Encoder(len(content))

    def find_class(self, module: str, name: str) -> Callable:
        _check_name(module, name)
        return self._encode if _NAMES[module, name] is _Encoder else _NAMES[module, name]


class _Encoder:
    """For ``_codecs.encode``: before protocol 3, bytes are text whose every character stands for one of them."""

    def __init__(self, size: int):
        self._left = size

    def __call__(self, text: str, encoding: str) -> bytes:
        # The same text can be encoded again and again.
        self._left -= len(text)
        if encoding != "latin1" or self._left < 0:
            raise _Refusal(f"makes bytes that it doesn't hold: {_COPY}")
        return text.encode("latin-1")


class _Dtype:
    """For ``numpy.dtype``: the kind and size of a number, then the order of its bytes."""

    def __init__(self, code: str, align: int, copy: int):
        if type(code) is not str or code not in _DTYPES:
            raise _Refusal(f"holds values of the kind {_shown(code)}, but only numbers are read; save it as numbers")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        if state not in [(3, order, None, None, None, -1, -1, 0) for order in "<>|="]:
            raise _Refusal(f"describes its numbers as NumPy doesn't: {_COPY}")
        self.order = state[1]

    def real(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """For ``numpy.ndarray``: filled with `values` that lie in the bytes of the file."""

    def __init__(self):
        self.values = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.fill(data, dtype, shape, "F" if is_fortran else "C")

    def fill(self, data: bytes | bytearray, dtype: _Dtype, shape: tuple, order: str) -> "_Array":
        known = type(data) in (bytes, bytearray) and type(dtype) is _Dtype
        # Signals have three axes; a product of ever more and larger numbers would hold things up.
        if not known or type(shape) is not tuple or len(shape) > 3 or not all(type(n) is int and n >= 0 for n in shape):
            raise _Refusal(f"describes an array as NumPy doesn't: {_COPY}")
        real = dtype.real()
        if math.prod(shape) * real.itemsize != len(data):
            claim = f"{real} numbers of shape {_shown(shape)}"
            raise _Refusal(f"claims {claim}, but has {len(data):,} bytes for them: {_COPY}")
        self.values = np.ndarray(shape, real, data, order=order)
        return self


def _reconstruct(kind: type, shape: tuple, code: bytes) -> _Array:
    if (kind, shape, code) != (_Array, (0,), b"b"):
        raise _Refusal(f"begins an array as NumPy doesn't: {_COPY}")
    return _Array()


def _frombuffer(data: bytes | bytearray, dtype: _Dtype, shape: tuple, order: str, axes: tuple | None = None) -> _Array:
    array = _Array().fill(data, dtype, shape, "C" if order == "K" else order)
    if axes is not None:
        array.values = array.values.transpose(axes)
    return array


def _scalar(dtype: _Dtype, data: bytes) -> _Array:
    return _Array().fill(data, dtype, (), "C")


def _no_bytes() -> bytes:
    return b""


_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoder,
    # What an array of no values has before protocol 3.
    ("__builtin__", "bytes"): _no_bytes,
}
# The names up to NumPy 1, and those since NumPy 2.
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _frombuffer


# --- from what a file holds to one array


def _to_array(held: object, size: int, to_row: Callable[[object], np.ndarray]) -> np.ndarray:
    if type(held) is not list:
        return _values(held)
    # A list can name the same array any number of times.
    if sum(each.values.nbytes for each in held if _is_filled(each)) > size:
        raise _Refusal(f"repeats its arrays to more than {size:,} bytes, its own size; save them as one array")
    rows = [to_row(each) for each in held]
    for number, row in enumerate(rows):
        if (row.shape, row.dtype) != (rows[0].shape, rows[0].dtype):
            kinds = [f"{one.dtype} of shape {one.shape}" for one in (row, rows[0])]
            raise _Refusal(f"has {kinds[0]} for record {number}, but {kinds[1]} for record 0; cut them alike")
    if not rows:
        return np.empty(0)
    # Left to itself, NumPy changes the order of the bytes to this machine's.
    return np.stack(rows, out=np.empty((len(rows), *rows[0].shape), rows[0].dtype))


def _is_filled(held: object) -> bool:
    return type(held) is _Array and held.values is not None


def _values(held: object) -> np.ndarray:
    if not _is_filled(held):
        raise _Refusal("holds something else than arrays; name a file of signals or labels")
    return held.values


def _label_row(held: object) -> np.ndarray:
    if type(held) is not list:
        return _values(held)
    if len(held) != len(CLASSES):
        raise _Refusal(f"has {len(held):,} labels for a record, but {len(CLASSES)} are needed: {_COPY}")
    return np.array([_label(each) for each in held])


def _label(held: object) -> bool | int | float | np.generic:
    value = held if type(held) in (bool, int, float) else _values(held)[()]
    if isinstance(value, np.ndarray):
        raise _Refusal("has an array for a label, but a label is 0 or 1; name a file of labels")
    _check_label(value)
    return value


def _check_signals(signals: np.ndarray) -> None:
    if signals.ndim != 3 or not signals.size or signals.shape[2] not in _N_LEADS:
        needed = " or ".join(f"(N, T, {count})" for count in _N_LEADS)
        raise _Refusal(f"holds an array of shape {signals.shape}, but signals are {needed}; name a file of signals")
    if signals.dtype.kind != "f":
        raise _Refusal(f"holds {signals.dtype} numbers, but signals are floats, in mV; save them so")
    # Both are NaN if any sample is; no array of flags beside gigabytes of signals.
    if not (np.isfinite(signals.min()) and np.isfinite(signals.max())):
        raise _Refusal("holds NaN or infinite samples; make the signals from PTB-XL again")


def _check_labels(labels: np.ndarray) -> None:
    if labels.ndim != 2 or not labels.size or labels.shape[1] != len(CLASSES):
        needed = f"(N, {len(CLASSES)}): {', '.join(CLASSES)}"
        raise _Refusal(f"holds an array of shape {labels.shape}, but labels are {needed}; name a file of labels")
    for label in np.unique(labels):
        _check_label(label)


def _check_label(label: bool | int | float | np.generic) -> None:
    if label not in (0, 1):
        raise _Refusal(f"holds the label {str(label)[:20]}, but labels are 0 or 1; make them from PTB-XL again")


def _check_pairs(folder: Path, n_records: dict[str, int]) -> None:
    for name, count in n_records.items():
        other = n_records.get(f"X{name[1:]}", count)
        if count != other:
            raise DataError(
                f"{folder / name} has {count:,} records, but X{name[1:]} has {other:,}; take both from the same place"
            )
