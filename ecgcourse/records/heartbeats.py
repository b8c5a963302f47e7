"""Single beats: where they are in annotated records, which class each has, and how training and test set are split.

Two kinds of data are read. A folder of WFDB records with annotation files ``.atr``, such as the MIT-BIH arrhythmia
database, has a beat at each annotated R peak. The CSV files that Kachuee et al. (2018) cut, and Ahmad et al. (2021)
turned into images, have a beat in each row: 187 samples at 125 Hz in [0, 1], filled up with zeros, and the number of
the class; nobody can tell whose it is. ``mitbih_train.csv`` and ``mitbih_test.csv`` have AAMI's five classes,
``ptbdb_normal.csv`` and ``ptbdb_abnormal.csv`` two. Where one folder has all four, the first two count; name one of the
others itself to have these. Introduced in chapter 16.

References
----------
Kachuee, M., Fazeli, S., Sarrafzadeh, M. (2018). ECG heartbeat classification: a deep transferable representation. ICHI.
doi:10.1109/ICHI.2018.00092.
"""

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, SettingError, brief, check_name, in_words, shown
from ecgcourse.records import own_files
from ecgcourse.records.beat_names import AAMI, CLASS_OF, DS1, DS2, PACED, SAME_PATIENT, SPLITS, VALIDATION
from ecgcourse.records.ptbxl_names import DATABASE, FOLDS
from ecgcourse.support.files import stat_file

SPLIT_FILE = "split.csv"
"""The file that splits records other than the MIT-BIH database's: columns record and split (train, val or test)."""

SAMPLES = 187
"""Samples of a beat in the CSV files."""

RATE = 125
"""Their sampling rate in Hz."""

CSV_FILES = {
    "mitbih": ("mitbih_train.csv", "mitbih_test.csv"),
    "ptbdb": ("ptbdb_normal.csv", "ptbdb_abnormal.csv"),
}
PTBDB_CLASSES = ("normal", "abnormal")

_LARGEST = 2**31  # bytes of a CSV file; the largest of the four has 410 million
_FOLD_OF = {name: folds[0] for name, folds in FOLDS.items()}


def is_heartbeats(data: str | os.PathLike) -> bool:
    """Whether a path is a folder with annotation files ``.atr``, a folder with the CSV files, or one of these."""
    data = Path(data)
    if not data.is_dir():
        return any(data.name in names for names in CSV_FILES.values())
    return not (data / DATABASE).exists() and (
        _csv_kind(data) is not None or next(data.glob("*.atr"), None) is not None
    )


def is_csv(data: str | os.PathLike) -> bool:
    """Whether the beats of a path come from the CSV files."""
    return _csv_kind(Path(data)) is not None


def read_table(data: str | os.PathLike, split: str | None = None) -> pd.DataFrame:
    """The beats of a folder; of a WFDB record only header and annotations are opened.

    Parameters
    ----------
    data
        As for :func:`is_heartbeats`.
    split : {"inter-patient", "intra-patient"}, optional
        Who judges: other patients (:data:`ecgcourse.records.beat_names.DS2`, or what `SPLIT_FILE` says), or one beat in
        ten at random, stratified by class. None: other patients, but beats at random of the CSV files.

    Returns
    -------
    pandas.DataFrame
        A row per beat, index ``beat`` from 1 on. Columns: ``file``, ``path``, ``patient`` (the record's name),
        ``patient_id`` (numbers; not of the CSV files), ``sample`` (of the R peak; of the CSV files the row),
        ``symbol``, a bool column for each class, and ``strat_fold``. ``attrs["classes"]`` names the classes.

    Raises
    ------
    SettingError
        An unknown split, or patients asked for where nobody can tell them.
    DataError
        A file is missing or damaged, or a record isn't in `SPLIT_FILE`.
    """
    check_name(split, (*SPLITS, None), "no split of beats is")
    data = Path(data)
    kind = _csv_kind(data)
    if kind is not None:
        if split == "inter-patient":
            raise SettingError(f"{data}: these files don't say whose a beat is; only {SPLITS[1]} can be had of them")
        table = _read_csv_labels(data if data.is_dir() else data.parent, kind)
    else:
        table = _read_annotations(data)
        if split == "intra-patient":
            table["strat_fold"] = _random_folds(table["symbol"].map(CLASS_OF), 10)
        else:
            parts = _parts_of_records(data, list(table["patient"].unique()))
            table["strat_fold"] = table["patient"].map(parts).map(_FOLD_OF)
    classes = PTBDB_CLASSES if kind == "ptbdb" else tuple(AAMI)
    named = table["symbol"] if kind == "ptbdb" else table["symbol"].map(CLASS_OF)
    for name in classes:
        table[name] = named == name
    table.index = pd.RangeIndex(1, len(table) + 1, name="beat")
    table.attrs = {"classes": classes, "multiclass": True}
    return table


def read_record(path: str | os.PathLike, leads: Sequence[str]) -> tuple[np.ndarray, float]:
    """Leads of a WFDB record, (L, T) float64 in mV, and its sampling rate in Hz; errors as `own_files.read`."""
    ecg = own_files.with_leads(own_files.read(path), leads)
    if not np.isfinite(ecg.signal).all():
        raise DataError(f"{path}: a sample of {', '.join(leads)} has no value; leave the record out of the folder")
    return ecg.signal, ecg.sampling_rate


def read_csv(path: str | os.PathLike) -> np.ndarray:
    """Beats of a CSV file, (N, 187) float32 in [0, 1]; DataError for anything else."""
    x = _numbers(Path(path), range(SAMPLES))
    # Written so that NaN fails too.
    wrong = ~((x >= 0) & (x <= 1)).all(axis=1)
    if wrong.any():
        raise DataError(
            f"{path}, line {int(np.argmax(wrong)) + 1}: a sample isn't a number from 0 to 1; get the file again"
        )
    return x


def _csv_kind(data: Path) -> str | None:
    if data.is_dir():
        return next((kind for kind, names in CSV_FILES.items() if all((data / name).exists() for name in names)), None)
    return next((kind for kind, names in CSV_FILES.items() if data.name in names), None)


def _read_annotations(folder: Path) -> pd.DataFrame:
    """All beats of the records that have annotations, without those of patients with a pacemaker."""
    parts, paced = [], []
    for path in sorted(folder.glob("*.atr")):
        samples, symbols = _annotations(path)
        beats = [(sample, symbol) for sample, symbol in zip(samples, symbols, strict=True) if symbol in CLASS_OF]
        if PACED in symbols:
            paced.append(path.stem)
        elif beats:
            header = path.with_suffix(".hea")
            about = {"file": header.name, "path": str(header), "patient": path.stem}
            parts.append(pd.DataFrame(beats, columns=["sample", "symbol"]).assign(**about))
    if not parts:
        others = f"; {', '.join(paced)} are left out, as their beats are paced" if paced else ""
        raise DataError(f"{folder}: no annotation file .atr has a beat{others}")
    table = pd.concat(parts, ignore_index=True)
    whose = table["patient"].replace(SAME_PATIENT)
    return table.assign(patient_id=pd.factorize(whose)[0] + 1)


def _annotations(path: Path) -> tuple[list[int], list[str]]:
    """Samples and symbols of an annotation file."""
    found = stat_file(path, largest=_LARGEST)
    if not path.with_suffix(".hea").exists():
        raise DataError(f"{path} has no header {path.stem}.hea beside it; copy the whole record")
    return _read_annotation_file(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=500)
def _read_annotation_file(path: Path, changed: int, size: int) -> tuple[list[int], list[str]]:
    """Once for each state of the file: a training opens a folder several times."""
    import wfdb  # not above: half a second's import

    try:
        found = wfdb.rdann(str(path.with_suffix("")), "atr")
        samples = [int(sample) for sample in found.sample]
    # wfdb has no error of its own: what a damaged file raises depends on where its parser stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as annotations: {in_words(error)}; get the record again") from error
    if min(samples, default=0) < 0:
        raise DataError(f"{path}: an annotation lies before the record; get the record again")
    return samples, list(found.symbol)


def _parts_of_records(folder: Path, records: Sequence[str]) -> dict[str, str]:
    """Whether each record is to learn from, to validate or to test."""
    path = folder / SPLIT_FILE
    if path.exists():
        parts = _read_split(path)
    else:
        parts = dict.fromkeys(DS1, "train") | dict.fromkeys(VALIDATION, "val") | dict.fromkeys(DS2, "test")
    unknown = [name for name in records if name not in parts]
    if unknown:
        raise DataError(
            f"{folder}: nothing says whether {brief(', '.join(unknown))} are to learn from; write {SPLIT_FILE} there, "
            "with the columns record and split (train, val or test)"
        )
    return parts


def _read_split(path: Path) -> dict[str, str]:
    stat_file(path, largest=2**20)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        parts = dict(zip(table["record"], table["split"], strict=True))
    # What a damaged table raises depends on where pandas stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read: {in_words(error)}; it needs the columns record and split") from error
    wrong = next((value for value in parts.values() if value not in FOLDS), None)
    if wrong is not None or len(parts) != len(table):
        what = "a record comes twice" if wrong is None else f"split is {shown(wrong)}"
        raise DataError(f"{path}: {what}; each record is once in {', '.join(FOLDS)}")
    return parts


def _read_csv_labels(folder: Path, kind: str) -> pd.DataFrame:
    """The classes of all rows, and their folds: nobody can tell patients, so beats are split at random."""
    parts = []
    for number, name in enumerate(CSV_FILES[kind]):
        path = folder / name
        labels = _numbers(path, [SAMPLES])[:, 0]
        allowed = range(len(AAMI)) if kind == "mitbih" else [number]
        wrong = ~np.isin(labels, list(allowed))
        if wrong.any():
            raise DataError(
                f"{path}, line {int(np.argmax(wrong)) + 1}: the class is {shown(float(labels[np.argmax(wrong)]))}, but "
                f"it must be {' or '.join(map(str, allowed))}; get the file again"
            )
        # Any symbol of the class stands for it.
        names = list(PTBDB_CLASSES) if kind == "ptbdb" else [symbols[-1] for symbols in AAMI.values()]
        symbols = [names[int(label)] for label in labels]
        about = {"file": name, "path": str(path), "patient": "unknown"}
        parts.append(pd.DataFrame({"sample": range(len(labels)), "symbol": symbols}).assign(**about))
    if kind == "ptbdb":
        table = pd.concat(parts, ignore_index=True)
        return table.assign(strat_fold=_random_folds(table["symbol"], 10))
    known, judging = parts
    folds = [_random_folds(known["symbol"], 9), np.full(len(judging), 10)]
    return pd.concat(parts, ignore_index=True).assign(strat_fold=np.concatenate(folds))


def _numbers(path: Path, columns: Sequence[int]) -> np.ndarray:
    stat_file(path, largest=_LARGEST)
    try:
        first = pd.read_csv(path, header=None, nrows=1)
        if first.shape[1] != SAMPLES + 1:
            raise DataError(f"{first.shape[1]} columns, but {SAMPLES} samples and a class are needed")
        x = pd.read_csv(path, header=None, usecols=list(columns), dtype=np.float32).to_numpy()
    # pandas raises a ParserError, a ValueError, an EmptyDataError and more, as the damage may be.
    except Exception as error:
        raise DataError(f"{path} can't be read as beats: {in_words(error)}; get the file again") from error
    return x


def _random_folds(classes: pd.Series, n_folds: int) -> np.ndarray:
    """Folds (N,) from 1 on, each class in its share, the same each time."""
    from sklearn.model_selection import StratifiedKFold

    folds = np.empty(len(classes), dtype=np.int64)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class of fewer beats than folds.
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (_, part) in enumerate(splitter.split(classes, classes), start=1):
                folds[part] = number
        except ValueError as error:
            raise DataError(f"{len(classes)} beats are too few to be split: {in_words(error)}") from error
    return folds
