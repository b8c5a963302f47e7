"""ECG files of one's own: WFDB, CSV, NumPy, EDF and more become leads in mV under the names that the course uses.

Every format has a reader that hands on signals, names and units as the file has them. What they mean (which signal is
which lead, in which unit, at which rate) is decided in one place for all formats, and nothing is guessed that would
change a voltage in silence.
"""

import csv
import io
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import wfdb

from ecgcourse.errors import (
    DataError,
    EcgCourseError,
    EcgCourseWarning,
    SettingError,
    brief,
    check_name,
    in_words,
    is_real,
    shown,
)
from ecgcourse.files import load_array, stat_file
from ecgcourse.ptbxl import LEADS

NO_HEART = 50.0
"""As :data:`ecgcourse.signals.NO_HEART`, in mV; that module would bring SciPy's filters with it."""

UNITS = {"mV": 1.0, "uV": 1e3, "V": 1e-3, "nV": 1e6}
"""The units that voltages may come in: how many of each make a millivolt."""

_PLAUSIBLE = (0.05, 20.0)  # mV from peak to peak in 2 s of an ECG: from the lowest voltages to far above the highest
_WORDS = {"millivolt": "mv", "microvolt": "uv", "nanovolt": "nv", "volt": "v"}
_VOLT = r"(?:[munµμ]?v|(?:milli|micro|nano)?volts?)"
_LEAD = re.compile(
    r"(?:(?:mdc_ecg_lead|ecg|ekg|lead|channel|ch)[\s_:.-]*)*"
    r"(?P<lead>d?i{1,3}|av[rlf]|v[1-6]|mlii|ml2)(?:\s*\(einthoven\))?"
    rf"(?:[\s_/:]*[\[(]\s*(?P<inside>[^\])]*?)\s*[\])]|[\s_/:]+(?P<after>{_VOLT}))?",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?:(?:elapsed[\s_]*)?(?:time(?:[\s_]*stamp)?|t)[\s_/:]*[\[(]?\s*)?"
    r"(?P<unit>s|sec|secs|seconds?|ms|msec|milliseconds?|us|[µμ]s|microseconds?)?\s*[\])]?",
    re.IGNORECASE,
)
_COUNTER = re.compile(r"(?:sample[\s_]*(?:#|no\.?|nr\.?|num(?:ber)?|index|id)?|samples|index|idx|id|n|no|nr|#|)", re.I)
_FIELDS = {"age": "age", "sex": "sex", "gender": "sex", "dx": "dx"}
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
_TABLES = (".csv", ".tsv", ".txt")
_SIGNALS = ("signal", "x", "data", "ecg")  # what an array in an .npz may be called
_LARGEST_HEADER, _LARGEST_TABLE = 2**22, 2**30  # bytes
_MOST_SAMPLES = 2**28  # of all leads together, where a file's size doesn't limit them; 2 GB
# Until pandas 3.1, the last bit of a number depends on how it is read.
_EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}


@dataclass(frozen=True, eq=False)
class Ecg:
    """One record.

    Attributes
    ----------
    signal : (L, T) float64 array
        Voltages in mV. NaN where the file has none.
    leads : tuple of str
        Names of the rows: those of :data:`ecgcourse.ptbxl.LEADS` that the file has, in that order, and last MLII,
        the modified lead II of Holter recorders, where there is one.
    sampling_rate : float
        In Hz.
    name : str
        Of the record or file.
    about : dict
        What else the file says: ``format``; ``age`` in years, ``sex``, ``dx`` (codes) and ``comments`` where it has
        them; ``other``, the names of signals that aren't leads or hold nothing.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    sampling_rate: float
    name: str
    about: dict[str, Any] = field(default_factory=dict)


class Windows(NamedTuple):
    """Pieces of a record: `starts` (W,) in seconds, `signals` (W, L, T_w) in mV, and how many gaps cost."""

    starts: np.ndarray
    signals: np.ndarray
    left_out: int


class _Raw(NamedTuple):
    """What a file holds, as it names it; where it names no unit or rate, there is None."""

    signals: Sequence[np.ndarray]
    names: Sequence[str]
    units: Sequence[str | None]
    rate: float | None
    about: dict[str, Any]


def read(
    path: str | os.PathLike,
    sampling_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
) -> Ecg:
    """Read one ECG.

    Parameters
    ----------
    path
        A file: WFDB (``.hea``, the ``.dat`` or ``.mat`` beside it, or the record's name without a suffix), ``.csv``,
        ``.tsv``, ``.txt``, ``.npy``, ``.npz``, with `edfio` ``.edf`` and ``.bdf``, with `ecgdatakit` ``.dcm``,
        ``.xml`` and ``.scp``.
    sampling_rate
        In Hz, for files that don't say. One that contradicts the file is refused.
    unit
        One of :data:`UNITS`, for files that don't say. Without it, a file that doesn't say is taken to be in mV if
        its waves are as tall as a heart's, else refused.
    leads
        Names of the file's signals in their order, in place of its own. Arrays without names and with 12 signals
        are taken to have them in the order of :data:`ecgcourse.ptbxl.LEADS`.

    Returns
    -------
    Ecg

    Raises
    ------
    DataError
        If the file can't be read, contradicts itself or an argument, has no lead, or isn't an ECG in mV.
    SettingError
        If an argument isn't allowed.
    """
    if sampling_rate is not None and not is_real(sampling_rate, 0):
        raise SettingError(f"sampling_rate={shown(sampling_rate)} isn't allowed; it must be a number of Hz above 0")
    if unit is not None and _unit(unit) is None:
        check_name(unit, list(UNITS), "no unit is")
    path = Path(path)
    reader, path = _reader(path)
    with _no_foreign_error(path):
        raw = reader(path, sampling_rate, leads)
        return _ecg(path, raw, sampling_rate, unit, leads)


def with_leads(ecg: Ecg, wanted: Sequence[str]) -> Ecg:
    """Take leads of a record, and work out those limb leads that it lacks.

    Leads I and II determine the other four exactly: III = II - I (Einthoven 1912), aVR = -(I + II) / 2,
    aVL = I - II / 2, aVF = II - I / 2 (Goldberger 1942).

    Parameters
    ----------
    ecg
        The record.
    wanted
        Names of :data:`ecgcourse.ptbxl.LEADS`.

    Returns
    -------
    Ecg
        With the leads in the order of `wanted`. Where there is no II, MLII is taken for it, with a warning.

    Raises
    ------
    DataError
        If a lead isn't there and can't be worked out.
    SettingError
        If a name is no lead.
    """
    for name in wanted:
        check_name(name, LEADS, "no lead is")
    there = dict(zip(ecg.leads, ecg.signal, strict=True))
    missing = [name for name in wanted if name not in there]
    from_limbs = [name for name in missing if name in ("II", "III", "aVR", "aVL", "aVF")]
    if from_limbs and "II" not in there and "MLII" in there and ("I" in there or "II" in missing):
        warnings.warn(
            f"{ecg.name}: lead MLII is taken for lead II; it resembles it but comes from electrodes on the chest",
            EcgCourseWarning,
            stacklevel=2,
        )
        there["II"] = there["MLII"]
    if "I" in there and "II" in there:
        one, two = there["I"], there["II"]
        derived = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
        there = derived | there
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise DataError(
            f"{ecg.name}: has no lead {', '.join(lacking)}, only {', '.join(ecg.leads)}; choose among these leads, or "
            "another record"
        )
    signal = np.array([there[name] for name in wanted]).reshape(len(wanted), ecg.signal.shape[1])
    return replace(ecg, signal=signal, leads=tuple(wanted))


def windows(ecg: Ecg, n_seconds: float) -> Windows:
    """Cut a record into consecutive windows.

    Parameters
    ----------
    ecg
        The record.
    n_seconds
        Length of a window, in s; it is rounded to whole samples. What is left at the end is dropped.

    Returns
    -------
    Windows
        Those in which no sample is missing; a warning says how many were left out.

    Raises
    ------
    DataError
        If the record is shorter than a window, or every window has a gap.
    SettingError
        If `n_seconds` isn't a number that makes a sample.
    """
    if not is_real(n_seconds, 0) or round(n_seconds * ecg.sampling_rate) < 1:
        raise SettingError(f"n_seconds={shown(n_seconds)} isn't allowed; it must be at least one sample, in s")
    length, n_samples = round(n_seconds * ecg.sampling_rate), ecg.signal.shape[1]
    n_windows = n_samples // length
    if not n_windows:
        raise DataError(
            f"{ecg.name}: lasts {n_samples / ecg.sampling_rate:g} s ({n_samples} samples), but {n_seconds:g} s "
            f"({length} samples) are needed; choose a longer record"
        )
    pieces = ecg.signal[:, : n_windows * length].reshape(len(ecg.leads), n_windows, length).swapaxes(0, 1)
    whole = np.isfinite(pieces).all(axis=(1, 2))
    left_out = int((~whole).sum())
    if left_out == n_windows:
        raise DataError(f"{ecg.name}: each of its {n_windows} windows of {n_seconds:g} s has a gap; choose another")
    if left_out:
        words = f"{ecg.name}: {left_out} of {n_windows} windows of {n_seconds:g} s have gaps and are left out"
        warnings.warn(words, EcgCourseWarning, stacklevel=2)
    return Windows(np.flatnonzero(whole) * length / ecg.sampling_rate, pieces[whole], left_out)


# --- from what a file holds to leads in mV


def _ecg(path: Path, raw: _Raw, rate: float | None, unit: str | None, leads: Sequence[str] | None) -> Ecg:
    chosen, other = _choose(path, raw, leads)
    rate = _rate(path, raw.rate, rate)
    signal = np.empty((len(chosen), len(raw.signals[0])))
    units = []
    for row, (index, own) in zip(signal, chosen.values(), strict=True):
        row[:] = raw.signals[index]
        units.append(own)
    if np.isinf(signal).any():
        raise DataError(f"{path}: holds infinite values; leave a gap (NaN) where the voltage isn't known")
    empty = np.isnan(signal).all(axis=1)
    if empty.all():
        raise DataError(f"{path}: holds no value that is a number; choose another file")
    names = [name for name, nothing in zip(chosen, empty, strict=True) if not nothing]
    units = [own for own, nothing in zip(units, empty, strict=True) if not nothing]
    signal = signal[~empty] if empty.any() else signal
    other += [name for name, nothing in zip(chosen, empty, strict=True) if nothing]
    if unit is None and None in units:
        _check_plausible(path, signal[[own is None for own in units]], rate)
    for row, name, own in zip(signal, names, units, strict=True):
        _to_millivolt(path, row, name, own or unit or "mV")
    largest = np.nanmax(np.abs(signal))
    if largest > NO_HEART:
        what = "the unit in the file" if all(units) else "the unit"
        raise DataError(
            f"{path}: reaches {largest:.4g} mV, which no heart does on the skin; {what} is wrong{_guess(largest)}"
        )
    about = raw.about | ({"other": tuple(other)} if other else {})
    return Ecg(signal, tuple(names), rate, path.stem, about)


def _rate(path: Path, own: float | None, given: float | None) -> float:
    if own is None and given is None:
        raise DataError(f"{path}: doesn't say its sampling rate; give sampling_rate (--sampling-rate), in Hz")
    if own is not None and not (math.isfinite(own) and own > 0):
        raise DataError(f"{path}: says a sampling rate of {own:g} Hz, which can't be; correct it")
    if own is not None and given is not None and not math.isclose(own, given, rel_tol=1e-6):
        raise DataError(f"{path}: has {own:g} Hz, but sampling_rate={given:g} was given; leave that out")
    return float(given if own is None else own)


def _choose(path: Path, raw: _Raw, leads: Sequence[str] | None) -> tuple[dict[str, tuple[int, str | None]], list[str]]:
    """For each lead, in our order, its index in the file and its unit; and what the file has besides."""
    if not len(raw.signals) or not len(raw.signals[0]):
        raise DataError(f"{path}: holds no samples; choose another file")
    if leads is not None and len(leads) != len(raw.signals):
        found = brief(", ".join(map(str, raw.names))) or "without names"
        raise DataError(f"{path}: has {len(raw.signals)} signals ({found}), but {len(leads)} leads were given")
    chosen, other = {}, []
    for index, name in enumerate(raw.names if leads is None else leads):
        lead, suffix = _lead(name)
        if lead is None:
            other.append(brief(str(name)))
        elif lead in chosen:
            raise DataError(f"{path}: has lead {lead} twice; name each lead once, or give leads")
        else:
            chosen[lead] = (index, raw.units[index] or suffix)
    if not chosen:
        raise DataError(
            f"{path}: no signal is a lead of the ECG: found {brief(', '.join(other)) or 'no name'}; name them as in "
            f"{', '.join(LEADS)}, or give leads"
        )
    order = [name for name in (*LEADS, "MLII") if name in chosen]
    return {name: chosen[name] for name in order}, other


def _lead(name: object) -> tuple[str | None, str | None]:
    """Our name of a lead, and the unit that stands with it; None and None for what is no lead."""
    match = _LEAD.fullmatch(str(name).strip().strip("'\"").strip()[:80])
    if match is None:
        return None, None
    plain = match["lead"].lower()
    plain = {"ml2": "mlii"}.get(plain, plain.removeprefix("d"))
    lead = next(lead for lead in (*LEADS, "MLII") if lead.lower() == plain)
    return lead, match["inside"] or match["after"]


def _unit(text: str) -> str | None:
    plain = str(text).strip().lower().replace("µ", "u").replace("μ", "u").removesuffix("s")
    plain = _WORDS.get(plain, plain)
    return next((unit for unit in UNITS if unit.lower() == plain), None)


def _to_millivolt(path: Path, row: np.ndarray, name: str, unit: str) -> None:
    known = _unit(unit)
    if known is None:
        raise DataError(f"{path}: lead {name} is in {shown(unit)}, but {', '.join(UNITS)} can be read; convert it")
    # Where a number of units makes a millivolt, dividing rounds once; 1/1000 itself isn't exact.
    if UNITS[known] > 1:
        row /= UNITS[known]
    elif UNITS[known] < 1:
        row *= round(1 / UNITS[known])


def _check_plausible(path: Path, signal: np.ndarray, rate: float) -> None:
    """Refuse voltages without a unit that can't be mV, going by the height of what usually happens in 2 s."""
    length = max(min(round(2 * rate), signal.shape[1]), 1)
    pieces = signal[:, : signal.shape[1] // length * length].reshape(-1, length)
    pieces = pieces[np.isfinite(pieces).all(axis=1)]
    heights = np.ptp(pieces, axis=1) if len(pieces) else np.nanmax(signal, axis=1) - np.nanmin(signal, axis=1)
    # Leads that aren't connected are flat and say nothing.
    height = float(np.median(heights[heights > 0])) if (heights > 0).any() else 0.0
    if not _PLAUSIBLE[0] <= height <= _PLAUSIBLE[1]:
        raise DataError(
            f"{path}: says no unit, and waves of {height:.3g} from peak to peak can't be mV{_guess(height)}; "
            f'give unit="{_likely(height) or "mV"}" (--unit {_likely(height) or "mV"}) if that is so'
        )


def _likely(height: float) -> str | None:
    """The unit in which a wave of such a height could be of a heart, if it isn't mV."""
    fitting = (unit for unit, per in UNITS.items() if unit != "mV" and 0.02 <= height / per <= _PLAUSIBLE[1])
    return next(fitting, None)


def _guess(height: float) -> str:
    likely = _likely(height)
    return f", it is likely {likely}" if likely else ""


def _about(form: str, comments: Iterable[str]) -> dict[str, Any]:
    """What comments such as ``Age: 56`` say."""
    about: dict[str, Any] = {"format": form}
    comments = tuple(filter(None, (brief(comment.strip().lstrip("#").strip(), 1000) for comment in comments)))
    for comment in comments:
        key, _, value = (part.strip() for part in comment.partition(":"))
        key = _FIELDS.get(key.lower())
        if key == "age" and re.fullmatch(r"\d{1,3}(?:\.\d*)?", value):
            about["age"] = float(value)
        elif key == "sex" and value:
            about["sex"] = _SEXES.get(value.lower(), value)
        elif key == "dx" and value:
            about["dx"] = tuple(code.strip() for code in value.split(","))
    return about | ({"comments": comments} if comments else {})


@contextmanager
def _no_foreign_error(path: Path) -> Iterator[None]:
    """Turn what other libraries raise at a damaged file into one line of ours."""
    try:
        with np.errstate(all="ignore"):
            yield
    except EcgCourseError:
        raise
    # The libraries have no common error, and what a damaged file raises depends on where their parsers stumble.
    except Exception as error:
        words = f"{type(error).__name__}: {in_words(error)}"
        raise DataError(f"{path}: can't be read, it is damaged or of another kind ({words}); get it again") from error


# --- which reader


def _reader(path: Path):
    """The function that reads a file, and the file it is to read: for WFDB, the header."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it, or let find() look for the records")
    kind = path.suffix.lower()
    if kind not in _READERS:
        headers = [Path(f"{path}.hea"), path.with_suffix(".hea")] if path.name else []
        header = next((each for each in headers if os.path.lexists(each)), None)
        if header is not None:
            return _read_wfdb, header
    stat_file(path)
    if kind in _READERS:
        return _READERS[kind], path
    if kind in (".dat", ".mat"):
        raise DataError(f"{path}: says nothing about itself; put the header, {path.stem}.hea, beside it")
    raise DataError(f"{path}: is in no known format; convert it to one of {', '.join(_READERS)}")


def find(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Find records.

    Parameters
    ----------
    paths
        Files, names of WFDB records and folders. Of a folder and those below it, that is each file that looks like
        an ECG; hidden ones and folders behind links are left out.

    Returns
    -------
    list of Path
        Each record once, sorted. A WFDB record is its header; the segments of one aren't records.

    Raises
    ------
    DataError
        If a file isn't there or is of no known format, or a folder has no record.
    """
    found: dict[str, Path] = {}
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        path = Path(path)
        records = _in_folder(path) if path.is_dir() else [_reader(path)[1]]
        if not records:
            raise DataError(f"{path}: has no ECG in a known format, nor has a folder below it; name another folder")
        for record in records:
            found.setdefault(os.path.realpath(record), record)
    return sorted(found.values())


def _in_folder(folder: Path) -> list[Path]:
    records, segments = [], set()
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in _READERS:
                continue
            try:
                segments |= _segments(path) if path.suffix == ".hea" else set()
                if _is_like_an_ecg(path):
                    records.append(path)
            except (EcgCourseError, OSError):
                continue
    return [record for record in records if record not in segments]


def _segments(header: Path) -> set[Path]:
    lines = _header_lines(header)
    many = lines and "/" in lines[0].split()[0]
    return {header.with_name(f"{line.split()[0]}.hea") for line in lines[1:]} if many else set()


def _is_like_an_ecg(path: Path) -> bool:
    """Tell from a file's beginning whether it may hold an ECG, since folders hold much else."""
    kind = path.suffix.lower()
    stat_file(path)
    with open(path, "rb") as file:
        start = file.read(2**16)
    if kind in _TABLES:
        return any(_lead(name)[0] for name in _table(path, start).names)
    return b"ecg" in start.lower() if kind == ".xml" else bool(start)


# --- WFDB


def _header_lines(path: Path) -> list[str]:
    stat_file(path, largest=_LARGEST_HEADER)
    lines = (line.strip() for line in _text(path.read_bytes()).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read_wfdb(path: Path, *_: object) -> _Raw:
    base = path.with_suffix("")
    if "::" in os.path.abspath(path):
        raise DataError(f"{path}: wfdb can't open a path with :: in it; rename that")
    _header_lines(path)
    header = wfdb.rdheader(str(base))
    if header.sig_len == 0:
        raise DataError(f"{path}: holds no samples of its own; name the record that it belongs to")
    parts = [base]
    if isinstance(header, wfdb.MultiRecord):
        parts = [base.with_name(name) for name in dict.fromkeys(header.seg_name) if name != "~"]
        if (header.sig_len or 0) * header.n_sig > _MOST_SAMPLES or sum(header.seg_len) != header.sig_len:
            raise DataError(f"{path}: says {header.sig_len} samples, which its segments can't hold; get it again")
    units: dict[str, str] = {}
    for part in parts:
        for name, unit in _check_wfdb(part):
            if units.setdefault(name, unit) != unit and _lead(name)[0]:
                raise DataError(f"{path}: lead {name} changes from {units[name]} to {unit}; give each segment one unit")
    record = wfdb.rdrecord(str(base))
    names = [name or "" for name in record.sig_name]
    about = _about("WFDB", record.comments or ())
    return _Raw(record.p_signal.T, names, [units[name] for name in names], float(record.fs), about)


def _check_wfdb(base: Path) -> list[tuple[str, str]]:
    """Hold a header against the files it names, before wfdb makes room for what it promises; names and units."""
    path = Path(f"{base}.hea")
    lines, header = _header_lines(path), wfdb.rdheader(str(base))
    n_signals = 0 if isinstance(header, wfdb.MultiRecord) else len(getattr(header, "file_name", None) or ())
    if not n_signals or n_signals != header.n_sig or n_signals != len(lines) - 1:
        raise DataError(f"{path}: describes {n_signals} signals, but says {header.n_sig}; get it again")
    n_samples, needed, pairs = header.sig_len or 0, {}, []
    for index, line in enumerate(lines[1:]):
        fields, name = line.split(), header.sig_name[index] or ""
        file, form, per_frame = header.file_name[index], header.fmt[index], header.samps_per_frame[index] or 1
        needed[file] = needed.get(file, header.byte_offset[index] or 0) + n_samples * per_frame * _BYTES.get(form, 0)
        if n_samples * per_frame * n_signals > _MOST_SAMPLES and form not in _BYTES or (header.skew[index] or 0) > 1e6:
            raise DataError(f"{path}: says {n_samples} samples, more than can be read; get it again")
        if _lead(name)[0] and file != "~" and not _gain(fields):
            words = f"{path}: lead {name} has no gain; 200 steps for a mV are assumed, as WFDB's manual says"
            warnings.warn(words, EcgCourseWarning, stacklevel=5)
        # wfdb drops what isn't ASCII, which makes V of µV.
        pairs.append((name, "uV" if re.search("[µμ]v", " ".join(fields[:3]), re.I) else header.units[index]))
    for file, n_bytes in needed.items():
        held = math.inf if file == "~" else stat_file(path.with_name(file)).st_size
        if held < int(n_bytes):
            raise DataError(
                f"{path}: needs {int(n_bytes)} bytes of {file}, which has {held} and is cut short; get both again"
            )
    return pairs


def _gain(fields: Sequence[str]) -> float:
    number = re.match(r"-?\d*\.?\d*(?:e[-+]?\d+)?", fields[2]) if len(fields) > 2 else None
    return float(number[0]) if number and number[0].strip("-.") else 0.0


# --- tables of text


def _text(content: bytes) -> str:
    for code in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "latin-1"):
        try:
            return content.decode(code)
        except UnicodeDecodeError:
            continue
    return ""


class _Table(NamedTuple):
    """A table of text: names and units of its columns, its comments, and the lines with numbers."""

    names: list[str]
    units: list[str]
    comments: list[str]
    lines: list[str]
    separator: str | None  # None: blanks


def _table(path: Path, content: bytes) -> _Table:
    text = _text(content)
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
    elif comments and any(_lead(name)[0] for name in _cells(comments[-1], separator)):
        names = _cells(comments.pop(), separator)  # NumPy's savetxt makes a comment of the header
    # PhysioNet's exports have the units in a row of their own.
    if names and lines and any(map(_unit, _cells(lines[0], separator))):
        units, lines = _cells(lines[0], separator), lines[1:]
    return _Table(names, units, comments, lines, separator)


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


def _read_table(path: Path, rate: float | None, leads: Sequence[str] | None) -> _Raw:
    stat_file(path, largest=_LARGEST_TABLE)
    table = _table(path, path.read_bytes())
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
    own_units = [_unit(unit) and unit for unit in table.units] + [None] * len(names)
    times = [index for index, name in enumerate(names) if name and _TIME.fullmatch(name)]
    if len(times) > 1:
        words = " and ".join(shown(names[index]) for index in times)
        raise DataError(f"{path}: has two columns of times, {words}; keep one of them")
    own_rate = _rate_of_times(path, names[times[0]], frame[times[0]], rate) if times else None
    kept = [index for index, name in enumerate(names) if index not in times and not _COUNTER.fullmatch(name)]
    signals = [
        _numbers(path, names[index], frame[index]) if leads or _lead(names[index])[0] else frame[index]
        for index in kept
    ]
    form = "TSV" if mark == "\t" else "CSV"
    about = _about(form, table.comments)
    return _Raw(signals, [names[index] for index in kept], [own_units[index] for index in kept], own_rate, about)


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


# --- NumPy


def _read_npy(path: Path, rate: float | None, leads: Sequence[str] | None) -> _Raw:
    return _of_array(path, load_array(path), leads, None, None, None)


def _read_npz(path: Path, rate: float | None, leads: Sequence[str] | None) -> _Raw:
    stat_file(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        arrays = {name.lower(): (archive, info) for name, info in members.items()}
        extra = {"fs", "sampling_rate", "leads", "sig_name", "unit"}
        signals = [name for name in _SIGNALS if name in arrays] or [name for name in arrays if name not in extra]
        if len(signals) != 1:
            words = ", ".join(map(shown, arrays)) or "nothing"
            raise DataError(f"{path}: holds {brief(words)}; one array is to be the ECG, called {', '.join(_SIGNALS)}")
        signal = _member(path, *arrays[signals[0]], "biuf")
        said = {name: _member(path, *arrays[name], "iufUS").ravel().tolist() for name in extra & arrays.keys()}
    for name in said:
        said[name] = [each.decode("latin-1") if isinstance(each, bytes) else each for each in said[name]]
    own_rate = (said.get("fs") or said.get("sampling_rate") or [None])[0]
    units = said.get("unit") or [None]
    return _of_array(path, signal, leads, said.get("leads") or said.get("sig_name"), own_rate, units[0])


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> np.ndarray:
    """An array of an archive, after holding what it promises against its size."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(info) as file:
        shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
        promised, held = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
    if dtype.kind not in kinds:
        raise DataError(f"{path}: {shown(info.filename)} holds {dtype}, which isn't opened; save numbers, no objects")
    # Packing makes things 1032 times as small at most.
    if promised != held or info.file_size > 1100 * (info.compress_size + 1) or promised > 8 * _MOST_SAMPLES:
        raise DataError(f"{path}: {shown(info.filename)} promises {promised} bytes and can't hold them; get it again")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _of_array(
    path: Path, array: np.ndarray, leads: Sequence[str] | None, names: list | None, rate: Any, unit: str | None
) -> _Raw:
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds {array.dtype}, which isn't voltages; save numbers")
    named = names if leads is None else leads
    n_leads = len(LEADS) if named is None else len(named)
    array = array[None] if array.ndim == 1 and n_leads == 1 else array
    fits = [axis for axis in range(array.ndim) if array.ndim == 2 and array.shape[axis] == n_leads]
    if len(fits) != 1:
        what = "choose another file" if named is not None else "give leads, the names in their order"
        raise DataError(
            f"{path}: has shape {array.shape}; {n_leads} leads need ({n_leads}, T) or (T, {n_leads}), T another "
            f"number; {what}"
        )
    array = array if fits == [0] else array.T
    rate = None if rate is None else float(rate)
    return _Raw(array, list(named or LEADS), [unit] * n_leads, rate, _about(path.suffix[1:].upper(), ()))


# --- through packages that needn't be there


def _optional(path: Path, name: str):
    try:
        return __import__(name)
    except ImportError as error:
        raise DataError(
            f'{path}: reading {path.suffix[1:].upper()} needs {name}; pip install {name}, or "ecgcourse[formats]"'
        ) from error


def _read_edf(path: Path, *_: object) -> _Raw:
    edfio = _optional(path, "edfio")
    size = stat_file(path).st_size
    with open(path, "rb") as file:
        start = file.read(256)
    kind = "BDF" if start[:1] == b"\xff" else "EDF"
    with warnings.catch_warnings(action="ignore"):
        # Latin-1, for the sake of µV.
        record = (edfio.read_bdf if kind == "BDF" else edfio.read_edf)(path, header_encoding="latin-1")
        promised = int(start[236:244])
        if promised > record.num_data_records or promised < -1:
            raise DataError(f"{path}: holds {size} bytes, too few for {promised} blocks of data; get it again")
        if not record.is_continuous:
            raise DataError(f"{path}: was interrupted (EDF+D), which can't be read; export one stretch of it")
        chosen = [signal for signal in record.signals if _lead(signal.label)[0]] or list(record.signals)
        if len({signal.sampling_frequency for signal in chosen}) > 1:
            raise DataError(f"{path}: has leads of different sampling rates; export it at one rate")
        for signal in chosen:
            if signal.physical_max == signal.physical_min or signal.digital_max == signal.digital_min:
                raise DataError(f"{path}: doesn't say how large a step of {shown(signal.label)} is; export it again")
        about = _about(kind, ())
        # EDF+ has them in this order: code, sex, date of birth, name.
        sex = _SEXES.get("".join(record.local_patient_identification.split()[1:2]).lower())
        about |= {"sex": sex} if sex else {}
        return _Raw(
            [signal.data for signal in chosen],
            [signal.label for signal in chosen],
            [signal.physical_dimension or None for signal in chosen],
            chosen[0].sampling_frequency if chosen else None,
            about,
        )


def _read_with_kit(path: Path, *_: object) -> _Raw:
    kit = _optional(path, "ecgdatakit")
    stat_file(path, largest=_LARGEST_TABLE)
    with warnings.catch_warnings(action="ignore"):
        try:
            record = kit.FileParser.parse(path, units="mV")
        except ImportError as error:
            raise DataError(f'{path}: {in_words(error)}; pip install "ecgcourse[formats]"') from error
    chosen = [lead for lead in record.leads if _lead(lead.label)[0]] or list(record.leads)
    if len({(lead.sampling_rate, len(lead.samples)) for lead in chosen}) > 1:
        raise DataError(f"{path}: has leads of different lengths or sampling rates; export it at one rate")
    for lead in chosen:
        if lead.is_raw:
            raise DataError(f"{path}: doesn't say how large a step of {shown(lead.label)} is; export it again")
    about = _about(record.file_format.name or path.suffix[1:].upper(), ())
    about |= {"age": float(record.patient.age)} if record.patient.age is not None else {}
    about |= {"sex": _SEXES.get(str(record.patient.sex).lower(), str(record.patient.sex))} if record.patient.sex else {}
    return _Raw(
        [lead.samples for lead in chosen],
        [lead.label for lead in chosen],
        [lead.units or None for lead in chosen],
        float(chosen[0].sampling_rate) if chosen else None,
        about,
    )


_READERS = {
    ".hea": _read_wfdb,
    **dict.fromkeys(_TABLES, _read_table),
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys((".edf", ".bdf"), _read_edf),
    **dict.fromkeys((".dcm", ".scp", ".xml"), _read_with_kit),
}
