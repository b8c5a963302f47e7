"""The original repository's signals and labels, from its pickle files to plain ``.npy`` files.

HemaxiN/DL_ECG_Classification keeps its data as ``X_train_processed.pickle``, ``y_train_processed.pickle`` and so on.
A pickle is a list of instructions, and one of them is to call any function, so opening such a file means trusting
whoever wrote it. Here an unpickler with a list of the names that it looks up
(https://docs.python.org/3/library/pickle.html#restricting-globals) finds this module's own stand-ins for NumPy's
functions, and nothing else.
"""

import io
import os
import pickle
import pickletools
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from ecgcourse.errors import DataError, shown
from ecgcourse.records.ptbxl_names import CLASSES, LEADS
from ecgcourse.support.files import atomic_folder, stat_file

PARTITIONS = ("train", "dev", "val", "test")
"""The partitions that a file name can have; the original writes dev for the validation set."""

FILES = tuple(f"{kind}_{partition}_processed.pickle" for partition, kind in product(PARTITIONS, "Xy"))
"""The names that are looked for: ``X_train_processed.pickle``, ``y_train_processed.pickle`` and so on."""

# All twelve leads as in the files that the original offers, or the three that it chooses from them.
_N_LEADS = (len(LEADS), 3)
_PROTOCOLS = (b"\x80\x03", b"\x80\x04", b"\x80\x05")  # how a file of each begins
_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

# What pickles of arrays and of lists consist of. Not among them: dicts, by which attributes of a stand-in could be
# set, classes to make objects of, persistent ids, the registry of extensions, buffers outside of the file.
_INSTRUCTIONS = frozenset(
    """
    PROTO FRAME STOP MARK NONE BININT BININT1 BININT2 LONG1 BINFLOAT NEWTRUE NEWFALSE
    BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()
)
# The whole of PTB-XL as a list of arrays has 310,000 to 740,000, depending on the protocol. An instruction of one byte
# can make a new list, so a file of some gigabytes could fill any memory.
_MAX_INSTRUCTIONS = 2_000_000

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
        A pickle of one (N, T, L) array or of a list of N arrays (T, L), of protocol 3 to 5.

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
    return _read(Path(path), _check_signals)


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Read a ``y_…_processed.pickle`` without running anything in it.

    Parameters
    ----------
    path
        A pickle of one (N, K) array, of a list of N arrays (K,), or of a list of N lists of K numbers, of
        protocol 3 to 5.

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
    return _read(Path(path), _check_labels)


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
    with atomic_folder(out) as filled:
        for source in sources:
            array = (read_signals if source.name.startswith("X") else read_labels)(source)
            np.save(filled / f"{source.stem}.npy", array)
            n_records[source.name] = len(array)
        _check_pairs(Path(folder), n_records)
    return [Path(out) / f"{source.stem}.npy" for source in sources]


# --- files


def _sources(folder: Path) -> list[Path]:
    # A link that leads nowhere is listed too: left out silently, its partition would be missing.
    found = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if not found:
        raise DataError(
            f"{folder} has none of the original's files ({', '.join(FILES[:2])}, …); name the folder that holds them"
        )
    return found


def _read(path: Path, check: Callable[[np.ndarray], None]) -> np.ndarray:
    """Return the array that a file holds, held against a check."""
    stat_file(path)
    try:
        # Looked through and put together from the same bytes: the file could be another one in between.
        content = path.read_bytes()
        _check_instructions(content)
        array = _to_array(_ArrayUnpickler(io.BytesIO(content)).load(), len(content))
        check(array)
        return array
    except _Refusal as refusal:
        raise DataError(f"{path} {refusal}") from refusal
    except MemoryError as error:
        raise DataError(f"{path} needs up to three times its size in memory, which isn't there; free some") from error
    # What a damaged file raises depends on where the unpickler stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as a pickle of arrays ({type(error).__name__}): {_COPY}") from error


# --- what a pickle may ask for


def _check_instructions(content: bytes) -> None:
    """Refuse other instructions, and those that ask for more memory than the file has; nothing is put together yet."""
    if content[:2] not in _PROTOCOLS:
        raise _Refusal(f"isn't a pickle of protocol 3 to 5, as Python 3 writes them: {_COPY}, or save it anew")
    for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if instruction.name not in _INSTRUCTIONS:
            raise _Refusal(f"needs the instruction {instruction.name}, {_UNSAFE}")
        # The unpickler makes room up to the place that is named, however far away it is.
        if instruction.name in ("BINPUT", "LONG_BINPUT") and argument > count:
            raise _Refusal(f"remembers something in place {argument:,} of its memory: {_COPY}")
        if count == _MAX_INSTRUCTIONS:
            raise _Refusal(f"has more than {_MAX_INSTRUCTIONS:,} instructions; save its lists as arrays")


class _ArrayUnpickler(pickle.Unpickler):
    """Puts lists and arrays together, and knows nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _STAND_INS:
            raise _Refusal(f"asks for {shown(f'{module}.{name}')}, {_UNSAFE}")
        return _STAND_INS[module, name]


class _Dtype:
    """For ``numpy.dtype``: the kind and size of a number, then the order of its bytes."""

    def __init__(self, code: str, align: int, copy: int):
        if code not in _DTYPES:
            raise _Refusal(f"holds values of the kind {shown(code)}, but only numbers are read; save it as numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[2:] != (None, None, None, -1, -1, 0):
            raise _Refusal(f"describes its numbers as NumPy doesn't: {_COPY}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """For ``numpy.ndarray``, which is empty first and then gets shape, numbers and the bytes of the file."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.values = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple, order: str, axes: tuple | None = None) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    array.values = array.values if axes is None else array.values.transpose(axes)
    return array


def _scalar(dtype: _Dtype, data: bytes) -> _Array:
    return _frombuffer(data, dtype, (), "C")


def _reconstruct(kind: object, shape: tuple, code: bytes) -> _Array:
    return _Array()


_STAND_INS = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype}
# The names up to NumPy 1, and those since NumPy 2.
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _frombuffer


# --- from what a file holds to one array


def _to_array(held: object, size: int) -> np.ndarray:
    if type(held) is not list:
        return _values(held)
    rows = [_row(each) for each in held]
    # A list can name the same array any number of times.
    if sum(row.nbytes for row in rows) > max(size, 16 * len(rows) * len(CLASSES)):
        raise _Refusal(f"repeats its arrays to more than {size:,} bytes, its own size; save them as one array")
    for number, row in enumerate(rows):
        if (row.shape, row.dtype) != (rows[0].shape, rows[0].dtype):
            kinds = [f"{one.dtype} of shape {one.shape}" for one in (row, rows[0])]
            raise _Refusal(f"has {kinds[0]} for record {number}, but {kinds[1]} for record 0; cut them alike")
    if not rows:
        return np.empty(0)
    # Left to itself, NumPy changes the order of the bytes to this machine's.
    return np.stack(rows, out=np.empty((len(rows), *rows[0].shape), rows[0].dtype))


def _row(held: object) -> np.ndarray:
    if type(held) is not list:
        return _values(held)
    # No row of labels is longer, and a file can name one long list again and again.
    return np.array([_number(each) for each in held[:100]])


def _number(held: object) -> bool | int | float | np.generic:
    if type(held) in (bool, int, float):
        return held
    value = _values(held)
    if value.ndim:
        raise _Refusal("has an array for a label, but a label is 0 or 1; name a file of labels")
    return value[()]


def _values(held: object) -> np.ndarray:
    if type(held) is not _Array or held.values is None:
        raise _Refusal("holds something else than arrays; name a file of signals or labels")
    return held.values


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
    wrong = labels[(labels != 0) & (labels != 1)]
    if len(wrong):
        raise _Refusal(f"holds the label {shown(wrong[0], 20)}, but labels are 0 or 1; make them from PTB-XL again")


def _check_pairs(folder: Path, n_records: dict[str, int]) -> None:
    for name, count in n_records.items():
        other = n_records.get(f"X{name[1:]}", count)
        if count != other:
            raise DataError(
                f"{folder / name} has {count:,} records, but X{name[1:]} has {other:,}; take both from the same place"
            )
