"""ECG files of one's own: WFDB, CSV, NumPy, EDF and more become leads in mV under the names that the course uses.

Every format has a reader that hands on signals, names and units as the file has them. What they mean (which signal is
which lead, in which unit, at which rate) is decided in one place for all formats, and nothing is guessed that would
change a voltage in silence.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
from ecgcourse.records.own_formats import READERS, TABLES, header_lines, read_wfdb
from ecgcourse.records.own_tables import table_of
from ecgcourse.records.own_words import UNITS, Raw, lead_of, unit_of
from ecgcourse.records.ptbxl_names import ALL_LEADS, LEADS
from ecgcourse.support.files import stat_file

NO_HEART = 50.0
"""As :data:`ecgcourse.images.signals.NO_HEART`, in mV; that module would bring SciPy's filters with it."""

_PLAUSIBLE = (0.05, 20.0)  # mV from peak to peak in 2 s of an ECG: from the lowest voltages to far above the highest


@dataclass(frozen=True, eq=False)
class Ecg:
    """One record.

    Attributes
    ----------
    signal : (L, T) float64 array
        Voltages in mV. NaN where the file has none.
    leads : tuple of str
        Names of the rows: those of :data:`ecgcourse.records.ptbxl.LEADS` that the file has, in that order, and last
        MLII, the modified lead II of Holter recorders, where there is one.
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
        One of :data:`ecgcourse.records.own_words.UNITS`, for files that don't say. Without it, a file that doesn't
        say is taken to be in mV if its waves are as tall as a heart's, else refused.
    leads
        Names of the file's signals in their order, in place of its own. Arrays without names and with 12 signals
        are taken to have them in the order of :data:`ecgcourse.records.ptbxl.LEADS`.

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
    if unit is not None and unit_of(unit) is None:
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
        Names of :data:`ecgcourse.records.ptbxl_names.ALL_LEADS`.

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
        check_name(name, ALL_LEADS, "no lead is")
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


def _ecg(path: Path, raw: Raw, rate: float | None, unit: str | None, leads: Sequence[str] | None) -> Ecg:
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


def _choose(path: Path, raw: Raw, leads: Sequence[str] | None) -> tuple[dict[str, tuple[int, str | None]], list[str]]:
    """For each lead, in our order, its index in the file and its unit; and what the file has besides."""
    if not len(raw.signals) or not len(raw.signals[0]):
        raise DataError(f"{path}: holds no samples; choose another file")
    if leads is not None and len(leads) != len(raw.signals):
        found = brief(", ".join(map(str, raw.names))) or "without names"
        raise DataError(f"{path}: has {len(raw.signals)} signals ({found}), but {len(leads)} leads were given")
    chosen, other = {}, []
    for index, name in enumerate(raw.names if leads is None else leads):
        lead, suffix = lead_of(name)
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
    order = [name for name in ALL_LEADS if name in chosen]
    return {name: chosen[name] for name in order}, other


def _to_millivolt(path: Path, row: np.ndarray, name: str, unit: str) -> None:
    known = unit_of(unit)
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


def _reader(path: Path) -> tuple[Callable[..., Raw], Path]:
    """The function that reads a file, and the file it is to read: for WFDB, the header."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it, or let find() look for the records")
    kind = path.suffix.lower()
    if kind not in READERS:
        headers = [Path(f"{path}.hea"), path.with_suffix(".hea")] if path.name else []
        header = next((each for each in headers if os.path.lexists(each)), None)
        if header is not None:
            return read_wfdb, header
    stat_file(path)
    if kind in READERS:
        return READERS[kind], path
    if kind in (".dat", ".mat"):
        raise DataError(f"{path}: says nothing about itself; put the header, {path.stem}.hea, beside it")
    raise DataError(f"{path}: is in no known format; convert it to one of {', '.join(READERS)}")


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
            if name.startswith(".") or path.suffix.lower() not in READERS:
                continue
            try:
                segments |= _segments(path) if path.suffix == ".hea" else set()
                if _is_like_an_ecg(path):
                    records.append(path)
            except (EcgCourseError, OSError):
                continue
    return [record for record in records if record not in segments]


def _segments(header: Path) -> set[Path]:
    lines = header_lines(header)
    many = lines and "/" in lines[0].split()[0]
    return {header.with_name(f"{line.split()[0]}.hea") for line in lines[1:]} if many else set()


def _is_like_an_ecg(path: Path) -> bool:
    """Tell from a file's beginning whether it may hold an ECG, since folders hold much else."""
    kind = path.suffix.lower()
    stat_file(path)
    with open(path, "rb") as file:
        start = file.read(2**16)
    if kind in TABLES:
        return any(lead_of(name)[0] for name in table_of(path, start).names)
    return b"ecg" in start.lower() if kind == ".xml" else bool(start)
