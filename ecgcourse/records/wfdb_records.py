"""PTB-XL's records, which are in the WFDB format: found, read by several processes, and checked against their headers.

What is read is a :class:`Job`. Signals are in mV, with the leads in the order of
:data:`ecgcourse.records.ptbxl.LEADS`, and every one is checked against what its header says about size, rate, unit,
gain and checksum.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

import joblib
import numpy as np

from ecgcourse.errors import DataError, brief, in_words, shown
from ecgcourse.records import format16, signal_cache
from ecgcourse.records.ptbxl_names import LEADS
from ecgcourse.support.files import check_inside, stat_file
from ecgcourse.support.progress_bar import progress_bar
from ecgcourse.support.workers import parallel_map

if TYPE_CHECKING:
    import wfdb

_WFDB_DEFAULT_GAIN = 200.0  # per mV; what wfdb puts where a header has no gain
_LONGEST_NAME = 200  # characters of a record's name; those of PTB-XL have 26
_LONGEST_HEADER = 2**16  # bytes; those of PTB-XL have 600
# Stricter than wfdb's own patterns, so that both find the same numbers in a damaged header.
_HEADER_START = re.compile(
    r"[-\w]+\s+(?P<leads>\d{1,6})"
    r"(?:\s+\d+(?:\.\d*)?(?:/\d+(?:\.\d*)?(?:\(\d+\))?)?(?:\s+(?P<samples>\d{1,12})(?:\s.*)?)?)?",
    re.ASCII,
)
_HEADER_LEAD = re.compile(r"(?P<file>\S+)\s+(?:8|16|24|32|61|80|160|212|310|311)(?:\s.*)?")

_PLAIN_NAME = re.compile(r"(?:\w[-\w]*/)*\w[-\w]*", re.ASCII)

_AGAIN = "download the .hea and the .dat file again."
_CORRECT = "correct the header or download the record again."

_CACHED_FROM = 64  # records; fewer are read sooner than a cache file is worth keeping
_PARALLEL_FROM = 400  # records; starting worker processes takes as long as reading this many
_CHUNK = 32  # records per task

Found = tuple[os.stat_result, os.stat_result]  # of a record's .hea and .dat
Errors = dict[int, DataError]  # by the row of the record


class Entry(NamedTuple):
    """A record as the table names it."""

    name: str
    where: str  # which field of the table that is


@dataclass(frozen=True)
class Job:
    """What is read and how."""

    root: Path
    entries: list[Entry]
    found: list[Found | DataError]
    sampling_rate: int
    workers: int | None
    progress: bool | None
    skip_bad: bool
    elsewhere: DataError | None  # set if most of the records are missing at this rate and more are there at the other


def look_at_all(root: Path, entries: Sequence[Entry]) -> list[Found | DataError]:
    """The size and times of each record's two files, or what is wrong with them."""
    checked: set[str] = set()
    return [_attempt(_look_at, root, entry, checked) for entry in entries]


def count_missing(root: Path, entries: Sequence[Entry]) -> int:
    """How many of the records have a possible name, but no header in the folder."""
    return sum(
        not isinstance(_attempt(_check_name, entry), DataError) and not os.path.lexists(root / f"{entry.name}.hea")
        for entry in entries
    )


def fingerprint(job: Job) -> str:
    """Name a job's records as they are now."""
    found = [() if isinstance(each, DataError) else each for each in job.found]
    names = [entry.name for entry in job.entries]
    return signal_cache.fingerprint(job.root, job.sampling_rate, zip(names, found, strict=True))


def read(job: Job, cache: bool) -> tuple[np.ndarray, Errors]:
    """Signals of all records, (N, 12, T), and what is wrong with those whose place is filled with NaN."""
    if not cache or len(job.entries) < _CACHED_FROM:
        return _read_records(job)
    path = signal_cache.path_of(fingerprint(job))
    signals = signal_cache.load(path, len(job.entries), len(LEADS))
    if signals is not None:
        return signals, {}
    signals, errors = _read_records(job)
    # With a record that can't be used, why would have to be found out each time.
    if not errors:
        signal_cache.save(path, signals)
    return signals, errors


def gain(fields: Sequence[str]) -> float:
    """The gain in the words of a lead's line in a header; 0 if there is none."""
    try:
        return float(re.match(r"[-+.\deE]*", fields[2]).group())
    except (IndexError, ValueError):
        return 0.0


# --- how records are found


def _attempt(work: Callable, *arguments: object) -> object:
    """What `work` returns, or the error that it raises."""
    try:
        return work(*arguments)
    except DataError as error:
        return error


def _look_at(root: Path, entry: Entry, checked: set[str]) -> Found:
    """Find a record's .hea and .dat inside `root`; `checked` are folders that were found to lie there."""
    _check_name(entry)
    # Not by pathlib, which would take as long as looking.
    path, folder = os.path.join(root, entry.name), os.path.dirname(entry.name)
    if folder not in checked:
        check_inside(root / folder, root)
        checked.add(folder)
    try:
        return stat_file(f"{path}.hea", root), stat_file(f"{path}.dat", root)
    except DataError as error:
        raise DataError(f"{error}; download the record again, or leave it out of the table.") from error


def _check_name(entry: Entry) -> None:
    name = entry.name
    if isinstance(name, str) and len(name) <= _LONGEST_NAME and _PLAIN_NAME.fullmatch(name):
        return
    inside = isinstance(name, str) and name.isprintable() and len(name) <= _LONGEST_NAME
    inside = inside and not any(
        path.is_absolute() or path.drive or ".." in path.parts or not path.name
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )
    if not inside:
        raise DataError(
            f"{entry.where} is {shown(name)}; expected the name of a record inside the "
            "data folder, such as records100/00000/00001_lr: correct it or download the file again."
        )


# --- how many are read together


def _read_records(job: Job) -> tuple[np.ndarray, Errors]:
    reference, samples = _reference_record(job)
    signals = np.empty((len(job.entries), len(LEADS), samples), dtype=np.float32)
    errors = {}
    with progress_bar(job.progress, delay=2, total=len(signals), desc="reading", unit="record") as bar:
        for row, result in enumerate(_results(job, _n_workers(job, reference))):
            if not isinstance(result, DataError) and result.shape[1] != samples:
                result = _wrong_length(job, row, result.shape[1], reference, samples)
            if isinstance(result, DataError):
                if not job.skip_bad:
                    raise result
                errors[row], result = result, np.nan
            signals[row] = result
            bar.update()
    return signals, errors


def _reference_record(job: Job) -> tuple[int, int]:
    """The first record that can be read among those of the most common size, and its number of samples T."""
    sizes = [each[1].st_size if not isinstance(each, DataError) else -1 for each in job.found]
    counts = Counter(sizes)
    # Of sizes that are equally common the smallest, so that one bloated file doesn't decide for all.
    rows = sorted(range(len(sizes)), key=lambda row: (-counts[sizes[row]], sizes[row], row))
    for row in rows:
        result = _attempt(_read_record, job.root, job.entries[row], job.sampling_rate, set())
        if not isinstance(result, DataError):
            return row, result.shape[1]
        if not job.skip_bad:
            raise result
    if job.elsewhere is not None:
        raise job.elsewhere
    first = _attempt(_read_record, job.root, job.entries[0], job.sampling_rate, set())
    raise DataError(f"none of the {len(rows)} records in {job.root} can be used; the first: {first}")


def _wrong_length(job: Job, row: int, found: int, reference: int, samples: int) -> DataError:
    return DataError(
        f"record {job.root / job.entries[row].name} has {found} samples, but "
        f"{job.root / job.entries[reference].name} has {samples} samples; records read together must be equally long: "
        "leave one out of the table."
    )


def _n_workers(job: Job, reference: int) -> int:
    """How many processes read; by default several where it pays."""
    if job.workers is not None:
        return job.workers
    if len(job.entries) < _PARALLEL_FROM:
        return 1
    header, data = (each.st_size for each in job.found[reference])
    # Taking a record over from another process lasts as long as reading it directly.
    directly = _read_directly(job.root, job.entries[reference], header, data, job.sampling_rate) is not None
    return 1 if directly else joblib.cpu_count()


def _results(job: Job, workers: int) -> Iterator[np.ndarray | DataError]:
    entries = job.entries
    chunks = [entries[first : first + _CHUNK] for first in range(0, len(entries), _CHUNK)]
    # Generators, so that the signals are in memory once, not once in parts and once whole.
    pieces = [(job.root, chunk, job.sampling_rate) for chunk in chunks]
    return chain.from_iterable(parallel_map(_read_chunk, pieces, workers))


def _read_chunk(root: Path, entries: Sequence[Entry], sampling_rate: int) -> list[np.ndarray | DataError]:
    checked: set[str] = set()
    return [_attempt(_read_record, root, entry, sampling_rate, checked) for entry in entries]


# --- how one is read and checked


def _read_record(root: Path, entry: Entry, sampling_rate: int, checked: set[str]) -> np.ndarray:
    """Read one record, (12, T) float32 in mV, and hold everything its header says against the data."""
    header, data = (each.st_size for each in _look_at(root, entry, checked))
    voltages = _read_directly(root, entry, header, data, sampling_rate)
    if voltages is not None:
        return voltages
    # Written in another way, or wrong somewhere: what, the next steps tell.
    path = root / entry.name
    lines = _header_lines(path, header)
    _check_header_against_size(path, lines, data)
    record, voltages = _read_wfdb(path)
    _check_header(path, record, lines, sampling_rate)
    _check_data(path, record, voltages, data)
    order = [[lead.lower() for lead in record.sig_name].index(lead.lower()) for lead in LEADS]
    return voltages[order]


def _read_directly(root: Path, entry: Entry, header: int, data: int, sampling_rate: int) -> np.ndarray | None:
    """The voltages, if the record's files of so many bytes are as those of PTB-XL."""
    if header > _LONGEST_HEADER:
        return None
    return format16.read(os.path.join(root, entry.name), data, sampling_rate)


def _header_lines(path: Path, n_bytes: int) -> list[str]:
    """The lines of a header as wfdb takes them: ASCII, no comments."""
    if n_bytes > _LONGEST_HEADER:
        raise DataError(
            f"{path}.hea can't be read: it has {n_bytes} bytes, which no header of 12 leads needs; {_AGAIN}"
        )
    try:
        text = Path(f"{path}.hea").read_text(encoding="ascii", errors="ignore")
    except OSError as error:
        raise DataError(f"{path}.hea can't be read: {in_words(error)}; {_AGAIN}") from error
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _check_header_against_size(path: Path, lines: Sequence[str], n_bytes: int) -> None:
    """Hold what a header promises against the size of its data, before wfdb makes room for it."""
    first = _HEADER_START.fullmatch(lines[0]) if lines else None
    leads = [_HEADER_LEAD.fullmatch(line) for line in lines[1:]]
    if first is None or not all(leads) or int(first["leads"]) != len(leads) or not leads:
        raise DataError(
            f"record {path} can't be read: its header is damaged, or uses a format that PTB-XL doesn't; {_AGAIN}"
        )
    if {lead["file"] for lead in leads} != {f"{path.name}.dat"}:
        raise DataError(f"{path}.hea doesn't keep all its leads in {path.name}.dat; {_CORRECT}")
    # No format of those admitted has less than a byte for a sample.
    if int(first["samples"] or 0) * len(leads) > n_bytes:
        raise DataError(
            f"{path}.dat holds {n_bytes} bytes, but its header says {first['samples']} samples of "
            f"{len(leads)} leads; {_AGAIN}"
        )


def _read_wfdb(path: Path) -> "tuple[wfdb.Record, np.ndarray]":
    """The record with its whole numbers, and its leads in mV, (L, T) float32."""
    # Half a second's import, which no record of PTB-XL needs.
    import wfdb

    try:
        record = wfdb.rdrecord(str(path), physical=False)
        with np.errstate(all="ignore"):
            return record, record.dac().T.astype(np.float32)
    # wfdb has no error of its own: what a damaged file raises depends on where its parser stumbles.
    except Exception as error:
        raise DataError(
            f"record {path} can't be read: its header is damaged or doesn't agree with its data "
            f"({type(error).__name__}: {in_words(error)}); {_AGAIN}"
        ) from error


def _check_header(path: Path, record: "wfdb.Record", lines: Sequence[str], sampling_rate: int) -> None:
    if record.fs != sampling_rate:
        raise DataError(f"{path}.hea says {record.fs} Hz; expected {sampling_rate} Hz: choose that rate or {_CORRECT}")
    _check_leads(path, record.sig_name)
    for lead, unit, gain in zip(record.sig_name, record.units, record.adc_gain, strict=True):
        if unit != "mV":
            raise DataError(f"{path}.hea, lead {lead}: the unit is {brief(unit)}; expected mV: {_CORRECT}")
        if not np.isfinite(gain) or (gain == _WFDB_DEFAULT_GAIN and _is_uncalibrated(lines)):
            raise DataError(f"{path}.hea, lead {lead}: the gain is missing, zero or infinite; {_CORRECT}")


def _check_leads(path: Path, names: Sequence[str | None]) -> None:
    names = [name or "(no name)" for name in names]
    present = [name.lower() for name in names]
    missing = [lead for lead in LEADS if lead.lower() not in present]
    if missing or len(names) != len(LEADS):
        lack = f"misses lead {', '.join(missing)}" if missing else f"has {len(names)} leads"
        raise DataError(
            f"{path}.hea {lack}; expected each of {', '.join(LEADS)} once, found {brief(', '.join(names))}: "
            "download the record again, or leave it out of the table."
        )


def _is_uncalibrated(lines: Sequence[str]) -> bool:
    """Tell whether a lead has no gain or gain 0, which wfdb replaces by a default without a word."""
    return any(gain(line.split()) == 0 for line in lines[1:])


def _check_data(path: Path, record: "wfdb.Record", voltages: np.ndarray, n_bytes: int) -> None:
    if set(record.fmt) == {"16"} and n_bytes != 2 * record.sig_len * record.n_sig:
        raise DataError(
            f"{path}.dat holds {n_bytes} bytes, but its header says {record.sig_len} samples of "
            f"{record.n_sig} leads, two bytes each; {_AGAIN}"
        )
    for lead, signal, stated, found in zip(
        record.sig_name, voltages, record.checksum, record.calc_checksum(), strict=True
    ):
        if not np.isfinite(signal).all():
            sample = int(np.flatnonzero(~np.isfinite(signal))[0])
            lack = "has no value (NaN)" if np.isnan(signal[sample]) else "is infinite"
            raise DataError(f"record {path}, lead {lead}: sample {sample} {lack}; leave the record out of the table.")
        if stated is not None and (stated - found) % 65536:
            raise DataError(f"{path}.dat, lead {lead}: the checksum is {found}, but the header says {stated}; {_AGAIN}")
