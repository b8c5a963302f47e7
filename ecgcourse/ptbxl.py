"""A PTB-XL folder on disk: its table of records, labels, folds, and the signals in mV.

PTB-XL: Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7,
154 (2020), https://doi.org/10.1038/s41597-020-0495-6. The files are in the WFDB format.
"""

import ast
import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath

import joblib
import numpy as np
import pandas as pd
import wfdb
from tqdm import tqdm

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.files import cache_folder, whole_file

CLASSES = ("MI", "STTC", "CD", "HYP")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
FOLDS = {"train": (1, 2, 3, 4, 5, 6, 7, 8), "val": (9,), "test": (10,)}

_SUPERCLASSES = ("NORM", *CLASSES)
_DATABASE = "ptbxl_database.csv"
_STATEMENTS = "scp_statements.csv"
_NAME_COLUMN = {100: "filename_lr", 500: "filename_hr"}

_WFDB_DEFAULT_GAIN = 200.0  # per mV; what wfdb puts where a header has no gain

_CACHE_VERSION = 1
_CACHED_FROM = 64  # records; fewer are read sooner than a cache file is worth keeping
_PARALLEL_FROM = 400  # records; starting worker processes takes as long as reading this many
_CHUNK = 32  # records per task

_DOWNLOAD = (
    "bring PTB-XL from https://physionet.org/content/ptb-xl with `python -m ecgcourse download` and set "
    "ECGCOURSE_DATA to its folder, or make a synthetic set with ecgcourse.practice.write"
)


def is_ptbxl(root: str | os.PathLike) -> bool:
    """Tell whether a folder holds the two tables of PTB-XL."""
    return all((Path(root) / name).is_file() for name in (_DATABASE, _STATEMENTS))


def read_table(root: str | os.PathLike) -> pd.DataFrame:
    """Read the table of records with one column per diagnostic superclass.

    A record belongs to every superclass that one of its SCP codes has as `diagnostic_class`, counting the
    codes whose statement is marked `diagnostic`, whatever their likelihood.

    Parameters
    ----------
    root
        A folder with ``ptbxl_database.csv`` and ``scp_statements.csv``.

    Returns
    -------
    pandas.DataFrame
        N rows, index ``ecg_id``. The columns of ``ptbxl_database.csv``, with ``scp_codes`` as dict of
        code to likelihood (percent); a bool column for each of `CLASSES` and for NORM; and ``labelled``,
        true where a record has at least one of these five superclasses.

    Raises
    ------
    DataError
        If the folder isn't PTB-XL or a table lacks a column or holds a value that can't be right.
    """
    database, statements = _table_paths(Path(root))
    class_of = _diagnostic_classes(statements)
    table = _read_database(database)
    table["scp_codes"] = [_parse_codes(database, *item) for item in table["scp_codes"].items()]
    found = [
        {class_of[code] for code in _known(codes, class_of, database, ecg_id)}
        for ecg_id, codes in table["scp_codes"].items()
    ]
    for name in _SUPERCLASSES:
        table[name] = [name in superclasses for superclasses in found]
    table["labelled"] = table[list(_SUPERCLASSES)].any(axis=1)
    return table


def labels(table: pd.DataFrame) -> np.ndarray:
    """Return the targets, (N, 4) float32 of zeros and ones in the order of `CLASSES`.

    Parameters
    ----------
    table
        N records, from `read_table`.

    Raises
    ------
    DataError
        If the table has no column for a class.
    """
    _need_columns(table.columns, CLASSES, "the table of records")
    # A copy: pandas hands out arrays that can't be written to, about which PyTorch complains.
    return np.array(table[list(CLASSES)], dtype=np.float32, order="C")


def split(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split the labelled records by `FOLDS`.

    Parameters
    ----------
    table
        From `read_table`.

    Returns
    -------
    dict
        ``"train"``, ``"val"``, ``"test"``: DataFrame. A partition may have no records.

    Raises
    ------
    DataError
        If the table lacks ``labelled`` or ``strat_fold``.
    """
    _need_columns(table.columns, ("labelled", "strat_fold"), "the table of records")
    labelled = table[table["labelled"]]
    return {name: labelled[labelled["strat_fold"].isin(folds)] for name, folds in FOLDS.items()}


def read_signals(
    root: str | os.PathLike,
    table: pd.DataFrame,
    sampling_rate: int = 100,
    workers: int | None = None,
    cache: bool = True,
    progress: bool | None = None,
) -> np.ndarray:
    """Read the signals of a table's records, checked sample by sample against their headers.

    Parameters
    ----------
    root
        The folder that the table was read from.
    table
        N records, from `read_table` or part of it.
    sampling_rate
        100 or 500 Hz.
    workers
        Processes that read; by default one per CPU core, and none beside this one for a small table.
    cache
        Keep what was read in `ecgcourse.files.cache_folder` and read it from there next time. The cache is
        for these records as they are: if one of their files changes, all are read anew.
    progress
        Show a bar; by default on a terminal, once reading takes longer than a moment.

    Returns
    -------
    numpy.ndarray
        (N, 12, T) float32, mV, leads in the order of `LEADS`.

    Raises
    ------
    DataError
        If a record is missing, truncated, in disagreement with its header, without one of the leads, of
        another sampling rate, length or unit, or has samples without a value; or if there are no records.
    SettingError
        If the sampling rate or the number of workers isn't possible.

    Warns
    -----
    EcgCourseWarning
        If the cache can't be written.
    """
    names = _record_names(table, sampling_rate)
    workers = _checked_workers(workers)
    root = Path(root)
    if not cache or len(names) < _CACHED_FROM:
        return _read_records(root, names, sampling_rate, workers, progress)
    path = cache_folder() / f"signals-{_fingerprint(root, names, sampling_rate)}.npy"
    signals = _from_cache(path, len(names))
    if signals is None:
        signals = _read_records(root, names, sampling_rate, workers, progress)
        _to_cache(path, signals)
    return signals


# --- the two tables


def _table_paths(root: Path) -> tuple[Path, Path]:
    for name in (_DATABASE, _STATEMENTS):
        if not (root / name).is_file():
            raise DataError(
                f"{root} isn't a PTB-XL folder: it has no {name}; expected {_DATABASE}, {_STATEMENTS} and "
                f"the folders of records beside them; {_DOWNLOAD}."
            )
    return root / _DATABASE, root / _STATEMENTS


def _read_csv(path: Path, **settings) -> pd.DataFrame:
    try:
        return pd.read_csv(path, low_memory=False, **settings)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} can't be read as a table: {error}; download it again.") from error


def _need_columns(columns: Iterable[str], needed: Sequence[str], where: object) -> None:
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}; it needs {', '.join(needed)}.")


def _diagnostic_classes(path: Path) -> dict[str, str | None]:
    """Map each SCP code to its superclass, or to None if its statement isn't a diagnosis."""
    statements = _read_csv(path, index_col=0)
    _need_columns(statements.columns, ("diagnostic", "diagnostic_class"), path)
    class_of = {}
    for code, diagnostic, superclass in zip(
        statements.index, statements["diagnostic"], statements["diagnostic_class"], strict=True
    ):
        if diagnostic == 1 and superclass not in _SUPERCLASSES:
            raise DataError(
                f"{path}: the diagnostic statement {code} has diagnostic_class {superclass!r}; expected one "
                f"of {', '.join(_SUPERCLASSES)}: correct it or download the file again."
            )
        class_of[code] = superclass if diagnostic == 1 else None
    return class_of


def _read_database(path: Path) -> pd.DataFrame:
    table = _read_csv(path, dtype={"scp_codes": "str"})
    _need_columns(table.columns, ("ecg_id", "scp_codes", "strat_fold", *_NAME_COLUMN.values()), path)
    if table.empty:
        raise DataError(f"{path} has no records; download it again.")
    lines = [f"line {line}" for line in range(2, len(table) + 2)]
    table["ecg_id"] = _whole_numbers(table["ecg_id"], path, lines, low=0, high=10**9)
    repeated = table["ecg_id"][table["ecg_id"].duplicated()]
    if len(repeated):
        raise DataError(f"{path}: ecg_id {repeated.iloc[0]} occurs more than once; keep one row for each record.")
    rows = [f"ecg_id {ecg_id}" for ecg_id in table["ecg_id"]]
    table["strat_fold"] = _whole_numbers(table["strat_fold"], path, rows, low=1, high=10)
    return table.set_index("ecg_id")


def _whole_numbers(column: pd.Series, path: Path, rows: Sequence[str], low: int, high: int) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    right = (numbers >= low) & (numbers <= high) & (numbers % 1 == 0)
    if not right.all():
        first = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{path}, {rows[first]}: {column.name} is {column.iloc[first]}; expected a whole number from "
            f"{low} to {high}: correct it or download the file again."
        )
    return numbers.astype(int)


def _parse_codes(path: Path, ecg_id: int, text: object) -> dict[str, float]:
    try:
        # Never eval: a table that came over the network must not run code.
        codes = ast.literal_eval(text) if isinstance(text, str) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        codes = None
    if not _is_codes(codes):
        raise DataError(
            f"{path}, ecg_id {ecg_id}: scp_codes is {text!r}; expected a dict of SCP code to likelihood such "
            "as {'NORM': 100.0}: correct it or download the file again."
        )
    return codes


def _is_codes(codes: object) -> bool:
    return isinstance(codes, dict) and all(
        isinstance(code, str) and isinstance(likelihood, int | float) for code, likelihood in codes.items()
    )


def _known(codes: Iterable[str], class_of: dict, path: Path, ecg_id: int) -> Iterator[str]:
    for code in codes:
        if code not in class_of:
            raise DataError(
                f"{path}, ecg_id {ecg_id}: the SCP code {code!r} isn't in {_STATEMENTS}; correct it, or take "
                "both files from the same version of PTB-XL."
            )
        yield code


# --- the records


def _record_names(table: pd.DataFrame, sampling_rate: int) -> list[str]:
    if sampling_rate not in _NAME_COLUMN:
        raise SettingError(f"sampling_rate is {sampling_rate!r}; PTB-XL has records at 100 and 500 Hz.")
    column = _NAME_COLUMN[sampling_rate]
    _need_columns(table.columns, (column,), "the table of records")
    if table.empty:
        raise DataError("the table has no records, so there are no signals to read; choose another partition.")
    return [_checked_name(name, column, ecg_id) for ecg_id, name in table[column].items()]


def _checked_name(name: object, column: str, ecg_id: int) -> str:
    inside = isinstance(name, str) and not any(
        path.is_absolute() or path.drive or ".." in path.parts or not path.name
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )
    if not inside:
        raise DataError(
            f"{_DATABASE}, ecg_id {ecg_id}: {column} is {name!r}; expected the name of a record inside the "
            "data folder, such as records100/00000/00001_lr: correct it or download the file again."
        )
    return name


def _checked_workers(workers: int | None) -> int | None:
    if workers is not None and workers < 1:
        raise SettingError(f"workers is {workers}; expected 1 or more, or None for one per CPU core.")
    return workers


def _read_records(
    root: Path, names: list[str], sampling_rate: int, workers: int | None, progress: bool | None
) -> np.ndarray:
    if workers is None:
        workers = joblib.cpu_count() if len(names) >= _PARALLEL_FROM else 1
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    # Generators, so that the signals are in memory once, not once in parts and once whole.
    parts = joblib.Parallel(n_jobs=workers, return_as="generator")(
        joblib.delayed(_read_chunk)(root, chunk, sampling_rate) for chunk in chunks
    )
    signals = None
    with _bar(len(names), progress) as bar:
        for row, (name, record) in enumerate(zip(names, chain.from_iterable(parts), strict=True)):
            if signals is None:
                signals = np.empty((len(names), *record.shape), dtype=np.float32)
            if record.shape != signals.shape[1:]:
                raise DataError(
                    f"record {root / name} has {record.shape[1]} samples, {root / names[0]} has "
                    f"{signals.shape[2]}; records read together must be equally long: leave one "
                    "out of the table."
                )
            signals[row] = record
            bar.update()
    return signals


def _bar(total: int, progress: bool | None) -> tqdm:
    if progress is None:
        return tqdm(total=total, desc="reading", unit="record", disable=None, delay=2)
    return tqdm(total=total, desc="reading", unit="record", disable=not progress)


def _read_chunk(root: Path, names: Sequence[str], sampling_rate: int) -> list[np.ndarray]:
    return [_read_record(root, name, sampling_rate) for name in names]


def _read_record(root: Path, name: str, sampling_rate: int) -> np.ndarray:
    """Read one record, (12, T) float32 in mV, and hold everything its header says against the data."""
    path = root / name
    n_bytes = _record_stats(path)[".dat"].st_size
    record = _read_wfdb(path)
    _check_header(path, record, sampling_rate)
    _check_data(path, record, n_bytes)
    order = [[lead.lower() for lead in record.sig_name].index(lead.lower()) for lead in LEADS]
    return record.dac().T[order].astype(np.float32)


def _record_stats(path: Path) -> dict[str, os.stat_result]:
    stats = {}
    for suffix in (".hea", ".dat"):
        try:
            stats[suffix] = os.stat(f"{path}{suffix}")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}{suffix} can't be opened: {error}; download the record again, or leave it out of the table."
            ) from error
    return stats


def _read_wfdb(path: Path) -> wfdb.Record:
    try:
        return wfdb.rdrecord(str(path), physical=False)
    # wfdb has no error of its own: what a damaged file raises depends on where its parser stumbles.
    except Exception as error:
        raise DataError(
            f"record {path} can't be read: its header is damaged or doesn't agree with its data "
            f"({type(error).__name__}: {error}); download the .hea and the .dat file again."
        ) from error


def _check_header(path: Path, record: wfdb.Record, sampling_rate: int) -> None:
    advice = "correct the header or download the record again."
    if set(record.file_name or ()) != {f"{path.name}.dat"}:
        raise DataError(f"{path}.hea doesn't keep all its leads in {path.name}.dat; {advice}")
    if record.fs != sampling_rate:
        raise DataError(f"{path}.hea says {record.fs} Hz; expected {sampling_rate} Hz: choose that rate or {advice}")
    _check_leads(path, record.sig_name)
    for lead, unit, gain in zip(record.sig_name, record.units, record.adc_gain, strict=True):
        if unit != "mV":
            raise DataError(f"{path}.hea, lead {lead}: the unit is {unit}; expected mV: {advice}")
        if not np.isfinite(gain) or (gain == _WFDB_DEFAULT_GAIN and _is_uncalibrated(path)):
            raise DataError(f"{path}.hea, lead {lead}: the gain is missing, zero or infinite; {advice}")


def _check_leads(path: Path, names: Sequence[str]) -> None:
    present = [name.lower() for name in names]
    missing = [lead for lead in LEADS if lead.lower() not in present]
    if missing or len(names) != len(LEADS):
        lack = f"misses lead {', '.join(missing)}" if missing else f"has {len(names)} leads"
        raise DataError(
            f"{path}.hea {lack}; expected each of {', '.join(LEADS)} once, found {', '.join(names)}: "
            "download the record again, or leave it out of the table."
        )


def _is_uncalibrated(path: Path) -> bool:
    """Tell whether a lead has no gain or gain 0, which wfdb replaces by a default without a word."""
    lines = Path(f"{path}.hea").read_text(encoding="utf-8", errors="replace").splitlines()
    lead_lines = [line.split() for line in lines if line.strip() and not line.startswith("#")][1:]
    gains = [re.match(r"[-+.\deE]+", fields[2]) if len(fields) > 2 else None for fields in lead_lines]
    return any(gain is None or float(gain.group()) == 0 for gain in gains)


def _check_data(path: Path, record: wfdb.Record, n_bytes: int) -> None:
    advice = "download the .hea and the .dat file again."
    if set(record.fmt) == {"16"} and n_bytes != 2 * record.sig_len * record.n_sig:
        raise DataError(
            f"{path}.dat holds {n_bytes} bytes, but its header says {record.sig_len} samples of "
            f"{record.n_sig} leads, two bytes each; {advice}"
        )
    for lead, signal, stated, found in zip(
        record.sig_name, record.dac().T, record.checksum, record.calc_checksum(), strict=True
    ):
        if np.isnan(signal).any():
            sample = int(np.flatnonzero(np.isnan(signal))[0])
            raise DataError(
                f"record {path}, lead {lead}: sample {sample} has no value (NaN); leave the record out of the table."
            )
        if stated is not None and (stated - found) % 65536:
            raise DataError(f"{path}.dat, lead {lead}: the checksum is {found}, but the header says {stated}; {advice}")


# --- the cache


def _fingerprint(root: Path, names: Sequence[str], sampling_rate: int) -> str:
    """Name a set of records as they are now: any change to one of their files gives another name."""
    known = hashlib.sha256(repr((_CACHE_VERSION, str(root.resolve()), sampling_rate)).encode())
    for name in names:
        # The change time too: a copying tool can set the modification time back, but not this one.
        stats = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in _record_stats(root / name).values()]
        known.update(repr((name, stats)).encode())
    return known.hexdigest()[:32]


def _from_cache(path: Path, n_records: int) -> np.ndarray | None:
    try:
        with path.open("rb") as file:
            signals = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError):
        return None
    usable = signals.dtype == np.float32 and signals.ndim == 3 and signals.shape[:2] == (n_records, len(LEADS))
    return signals if usable else None


def _to_cache(path: Path, signals: np.ndarray) -> None:
    try:
        with whole_file(path) as temporary:
            np.save(temporary, signals)
    except DataError as error:
        warnings.warn(
            f"the signals were read but not kept for next time: {error} ECGCOURSE_CACHE names the folder.",
            EcgCourseWarning,
            stacklevel=3,
        )
