"""ECGs as tables of text: comma, semicolon, tab or blanks between the columns, with a header and times or without."""

import csv
import io
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, shown
from ecgcourse.records.own_words import Raw, about_of, lead_of, text_of, unit_of
from ecgcourse.support.files import stat_file

LARGEST = 2**30
"""Bytes that a table may have."""

_TIME = re.compile(
    r"(?:(?:elapsed[\s_]*)?(?:time(?:[\s_]*stamp)?|t)[\s_/:]*[\[(]?\s*)?"
    r"(?P<unit>s|sec|secs|seconds?|ms|msec|milliseconds?|us|[µμ]s|microseconds?)?\s*[\])]?",
    re.IGNORECASE,
)
_COUNTER = re.compile(r"(?:sample[\s_]*(?:#|no\.?|nr\.?|num(?:ber)?|index|id)?|samples|index|idx|id|n|no|nr|#|)", re.I)
# Until pandas 3.1, the last bit of a number depends on how it is read.
_EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}


class Table(NamedTuple):
    """A table of text: names and units of its columns, its comments, and the lines with numbers."""

    names: list[str]
    units: list[str]
    comments: list[str]
    lines: list[str]
    separator: str | None  # None: blanks


def table_of(path: Path, content: bytes) -> Table:
    """Take a file, or the beginning of one, apart into names and lines."""
    text = text_of(content)
    if "\0" in text or not text.strip():
        raise DataError(f"{path}: {'is no text' if text.strip() else 'is empty'}; choose another file")
    comments, lines = [], []
    for line in text.splitlines():
        if line.strip().startswith(("#", "%", "//")):
            comments.append(line.strip(" \t#%/"))
        # Separators alone are what a spreadsheet makes of an empty row.
        elif line.strip(" \t,;\"'"):
            lines.append(line)
    names, units = [], []
    separator = _separator(lines)
    if lines and not all(map(_is_number, _cells(lines[0], separator))):
        names, lines = _cells(lines[0], separator), lines[1:]
    elif comments and any(lead_of(name)[0] for name in _cells(comments[-1], separator)):
        names = _cells(comments.pop(), separator)  # NumPy's savetxt makes a comment of the header
    # PhysioNet's exports have the units in a row of their own.
    if names and lines and any(map(unit_of, _cells(lines[0], separator))):
        units, lines = _cells(lines[0], separator), lines[1:]
    return Table(names, units, comments, lines, separator)


def read(path: Path, rate: float | None, leads: Sequence[str] | None) -> Raw:
    """Read a table; `leads` are the names of its columns where it has none, `rate` settles the unit of its times."""
    stat_file(path, largest=LARGEST)
    table = table_of(path, path.read_bytes())
    names = table.names or list(leads or ())
    if not names:
        raise DataError(f"{path}: has no header with the names of its leads; add one, or give leads")
    if not table.lines:
        raise DataError(f"{path}: holds no samples; choose another file")
    mark = table.separator
    first, last = (len(_cells(line, mark)) for line in (table.lines[0], table.lines[-1]))
    if last < first:
        raise DataError(f"{path}: begins with {first} columns and ends with {last}, so it is cut short; get it again")
    if not table.names and first != len(names):
        raise DataError(f"{path}: has {first} columns, but {len(names)} leads were given")
    body = "\n".join(table.lines)
    decimal = "," if mark != "," and "," in body else "."
    with warnings.catch_warnings(action="ignore"):
        # That is how pandas says that rows have more columns than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            io.StringIO(body),
            sep=mark or r"\s+",
            decimal=decimal,
            header=None,
            names=range(len(names)),
            index_col=False,
            skipinitialspace=True,
            **_EXACT,
            low_memory=False,
        )
    own_units = [unit_of(unit) and unit for unit in table.units] + [None] * len(names)
    times = [index for index, name in enumerate(names) if name and _TIME.fullmatch(name)]
    if len(times) > 1:
        words = " and ".join(shown(names[index]) for index in times)
        raise DataError(f"{path}: has two columns of times, {words}; keep one of them")
    own_rate = _rate_of_times(path, names[times[0]], frame[times[0]], rate) if times else None
    kept = [index for index, name in enumerate(names) if index not in times and not _COUNTER.fullmatch(name)]
    signals = [
        _numbers(path, names[index], frame[index]) if leads or lead_of(names[index])[0] else frame[index]
        for index in kept
    ]
    form = "TSV" if mark == "\t" else "CSV"
    about = about_of(form, table.comments)
    return Raw(signals, [names[index] for index in kept], [own_units[index] for index in kept], own_rate, about)


def _separator(lines: Sequence[str]) -> str | None:
    start = lines[0] if lines else ""
    found = next((mark for mark in "\t;," if mark in start), None)
    # One column, whose numbers may have commas, or blanks between columns.
    blanks = found is None and len(lines) > 1 and len(start.split()) == len(lines[1].split()) > 1
    return None if blanks else found or ";"


def _cells(line: str, separator: str | None) -> list[str]:
    cells = line.split() if separator is None else next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return [cell.strip(" '\"") for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ".") or 0)
    except ValueError:
        return False
    return True


def _numbers(path: Path, name: str, column: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce") if column.dtype.kind not in "iuf" else column
    bad = numbers.isna() & column.notna()
    if bad.any() or column.dtype.kind == "b":
        where = int(np.argmax(bad))
        raise DataError(f"{path}: column {shown(name)} has {shown(column[where])}, which is no number; correct it")
    return numbers.to_numpy(dtype=float)


def _seconds(text: object) -> float:
    """The number in ``[0:01.250]``, which is 1.25 s."""
    parts = [float(part.replace(",", ".")) for part in str(text).strip(" '\"[]").split(":")]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _rate_of_times(path: Path, name: str, column: pd.Series, given: float | None) -> float:
    """Sampling rate in Hz, from a column of times, which may be rounded but not irregular."""
    try:
        times = (
            np.array([_seconds(time) for time in column]) if column.dtype.kind not in "iuf" else column.to_numpy(float)
        )
    except ValueError:
        times = np.full(1, np.nan)
    steps = np.diff(times)
    if not len(steps) or not np.isfinite(times).all() or not 0 < np.median(steps) < np.inf:
        raise DataError(f"{path}: column {shown(name)} has no times that increase; correct or remove it")
    step = (times[-1] - times[0]) / len(steps)
    digits = next((d for d in range(10) if np.allclose(times * 10**d, np.rint(times * 10**d), rtol=0, atol=1e-6)), 9)
    bent = np.abs(times - (times[0] + step * np.arange(len(times)))).max() > max(1.01 * 10.0**-digits, 1e-3 * step)
    median = np.median(steps)
    # A sample that is missing makes one step twice as long, however finely times are rounded.
    if bent or steps.min() < median / 2 or steps.max() > 1.5 * median:
        where = int(np.argmax(np.abs(steps - median)))
        raise DataError(
            f"{path}: column {shown(name)} goes by {steps[where]:g} after {times[where]:g}, but by {median:g} "
            "elsewhere; bring the samples to equal steps"
        )
    unit = (_TIME.fullmatch(name)["unit"] or "").lower()
    per_second = 1e3 if unit.startswith(("ms", "mil")) else 1e6 if unit.startswith(("u", "µ", "μ", "mic")) else 1.0
    rates = [per_second / step] if unit else [1 / step, 1e3 / step]
    unsure = 10.0**-digits / abs(times[-1] - times[0]) + 1e-9
    if given is not None:
        return next((given for rate in rates if math.isclose(rate, given, rel_tol=unsure)), rates[0])
    if not unit and rates[0] < 20:
        raise DataError(
            f"{path}: column {shown(name)} goes by {step:g}, too much for seconds; name its unit, as in {name}_ms"
        )
    whole = round(rates[0])
    return float(whole) if math.isclose(rates[0], whole, rel_tol=unsure) else rates[0]
