"""A reader for each format of ECG files: WFDB, NumPy, EDF and others; for tables :mod:`ecgcourse.records.own_tables`.

A reader hands on signals, names and units as the file has them, once what it promises is checked against its size.
"""

import math
import os
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from ecgcourse.errors import DataError, EcgCourseWarning, brief, in_words, shown
from ecgcourse.records import own_tables
from ecgcourse.records.own_words import SEXES, Raw, about_of, lead_of, text_of
from ecgcourse.records.ptbxl_names import LEADS
from ecgcourse.records.wfdb_records import gain
from ecgcourse.support.files import array_header, load_array, stat_file

TABLES = (".csv", ".tsv", ".txt")
_SIGNALS = ("signal", "x", "data", "ecg")  # what an array in an .npz may be called
_LARGEST_HEADER = 2**22  # bytes
_MOST_SAMPLES = 2**28  # of all leads together, where a file's size doesn't limit them; 2 GB
_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3}


# --- WFDB


def header_lines(path: Path) -> list[str]:
    """The lines of a WFDB header, without comments."""
    stat_file(path, largest=_LARGEST_HEADER)
    lines = (line.strip() for line in text_of(path.read_bytes()).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_wfdb(path: Path, *_: object) -> Raw:
    """Read a WFDB record by its header, with all its segments."""
    base = path.with_suffix("")
    if "::" in os.path.abspath(path):
        raise DataError(f"{path}: wfdb can't open a path with :: in it; rename that")
    header_lines(path)
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
            if units.setdefault(name, unit) != unit and lead_of(name)[0]:
                raise DataError(f"{path}: lead {name} changes from {units[name]} to {unit}; give each segment one unit")
    if isinstance(header, wfdb.MultiRecord):
        # The layout has no samples.
        for name in {name for name, length in zip(header.seg_name, header.seg_len, strict=True) if length} - {"~"}:
            part = base.with_name(name)
            _warn_of_checksums(part, wfdb.rdrecord(str(part), physical=False))
        record = wfdb.rdrecord(str(base))
        voltages = record.p_signal
    else:
        record = wfdb.rdrecord(str(base), physical=False)
        _warn_of_checksums(base, record)
        voltages = record.dac()
    names = [name or "" for name in record.sig_name]
    about = about_of("WFDB", record.comments or ())
    return Raw(voltages.T, names, [units[name] for name in names], float(record.fs), about)


def _warn_of_checksums(base: Path, record: wfdb.Record) -> None:
    """Warn once of all leads whose samples don't add up to what the header says: a byte has changed since."""
    stated = record.checksum or [None]
    # Sums are of what the file holds; of several samples in a frame, or shifted ones, wfdb hands on others.
    plain = all((n or 1) == 1 for n in record.samps_per_frame or ()) and not any(record.skew or ())
    # Nothing but zeros is what some programs write for sums that they don't know.
    if not plain or None in stated or not any(stated):
        return
    sums = zip(record.sig_name, stated, record.calc_checksum(), strict=True)
    wrong = [name or "without a name" for name, said, found in sums if (said - found) % 2**16]
    if wrong:
        words = "the samples of lead {} don't add up to the checksum in the header; a file was damaged or exchanged"
        warnings.warn(f"{base}.hea: {words.format(brief(', '.join(wrong)))}", EcgCourseWarning, stacklevel=4)


def _check_wfdb(base: Path) -> list[tuple[str, str]]:
    """Hold a header against the files it names, before wfdb makes room for what it promises; names and units."""
    path = Path(f"{base}.hea")
    lines, header = header_lines(path), wfdb.rdheader(str(base))
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
        if lead_of(name)[0] and file != "~" and not gain(fields):
            words = f"{path}: lead {name} has no gain; 200 steps for a mV are assumed, as WFDB's manual says"
            warnings.warn(words, EcgCourseWarning, stacklevel=4)
        # wfdb drops what isn't ASCII, which makes V of µV.
        pairs.append((name, "uV" if re.search("[µμ]v", " ".join(fields[:3]), re.I) else header.units[index]))
    for file, n_bytes in needed.items():
        held = math.inf if file == "~" else stat_file(path.with_name(file)).st_size
        if held < int(n_bytes):
            raise DataError(
                f"{path}: needs {int(n_bytes)} bytes of {file}, which has {held} and is cut short; get both again"
            )
    return pairs


# --- NumPy


def _read_npy(path: Path, rate: float | None, leads: Sequence[str] | None) -> Raw:
    return _of_array(path, load_array(path), leads, None, None, None)


def _read_npz(path: Path, rate: float | None, leads: Sequence[str] | None) -> Raw:
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
    with archive.open(info) as file:
        shape, dtype = array_header(file)
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
) -> Raw:
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
    return Raw(array, list(named or LEADS), [unit] * n_leads, rate, about_of(path.suffix[1:].upper(), ()))


# --- through packages that needn't be there


def _optional(path: Path, name: str):
    try:
        return __import__(name)
    except ImportError as error:
        raise DataError(
            f'{path}: reading {path.suffix[1:].upper()} needs {name}; pip install {name}, or "ecgcourse[formats]"'
        ) from error


def _read_edf(path: Path, *_: object) -> Raw:
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
        chosen = [signal for signal in record.signals if lead_of(signal.label)[0]] or list(record.signals)
        if len({signal.sampling_frequency for signal in chosen}) > 1:
            raise DataError(f"{path}: has leads of different sampling rates; export it at one rate")
        for signal in chosen:
            if signal.physical_max == signal.physical_min or signal.digital_max == signal.digital_min:
                raise DataError(f"{path}: doesn't say how large a step of {shown(signal.label)} is; export it again")
        about = about_of(kind, ())
        # EDF+ has them in this order: code, sex, date of birth, name.
        sex = SEXES.get("".join(record.local_patient_identification.split()[1:2]).lower())
        about |= {"sex": sex} if sex else {}
        return Raw(
            [signal.data for signal in chosen],
            [signal.label for signal in chosen],
            [signal.physical_dimension or None for signal in chosen],
            chosen[0].sampling_frequency if chosen else None,
            about,
        )


def _read_with_kit(path: Path, *_: object) -> Raw:
    kit = _optional(path, "ecgdatakit")
    stat_file(path, largest=own_tables.LARGEST)
    with warnings.catch_warnings(action="ignore"):
        try:
            record = kit.FileParser.parse(path, units="mV")
        except ImportError as error:
            raise DataError(f'{path}: {in_words(error)}; pip install "ecgcourse[formats]"') from error
    chosen = [lead for lead in record.leads if lead_of(lead.label)[0]] or list(record.leads)
    if len({(lead.sampling_rate, len(lead.samples)) for lead in chosen}) > 1:
        raise DataError(f"{path}: has leads of different lengths or sampling rates; export it at one rate")
    for lead in chosen:
        if lead.is_raw:
            raise DataError(f"{path}: doesn't say how large a step of {shown(lead.label)} is; export it again")
    about = about_of(record.file_format.name or path.suffix[1:].upper(), ())
    about |= {"age": float(record.patient.age)} if record.patient.age is not None else {}
    about |= {"sex": SEXES.get(str(record.patient.sex).lower(), str(record.patient.sex))} if record.patient.sex else {}
    return Raw(
        [lead.samples for lead in chosen],
        [lead.label for lead in chosen],
        [lead.units or None for lead in chosen],
        float(chosen[0].sampling_rate) if chosen else None,
        about,
    )


READERS = {
    ".hea": read_wfdb,
    **dict.fromkeys(TABLES, own_tables.read),
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys((".edf", ".bdf"), _read_edf),
    **dict.fromkeys((".dcm", ".scp", ".xml"), _read_with_kit),
}
"""Which function reads the files of a suffix; all take the path, and the rate and leads that were given."""
