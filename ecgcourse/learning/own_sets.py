"""Data sets of one's own, manifests, PhysioNet Challenge folders, beats: their labels, and signals of one length."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, brief, check_setting, is_real
from ecgcourse.images.signals import resample
from ecgcourse.learning import beat_sets
from ecgcourse.recipe import Recipe, Task
from ecgcourse.records import challenge, heartbeats, manifest, own_files, own_split
from ecgcourse.records.ptbxl import BAD_COLUMNS, CLASSES, FOLDS
from ecgcourse.support.progress_bar import progress_bar
from ecgcourse.support.workers import parallel_map

USUAL_SECONDS = 10
"""Length of a record of PTB-XL, and of the windows that longer records are cut into where nobody says."""

_LABEL_SETS = {"superclass": CLASSES, "superclass5": challenge.SUPERCLASSES}
_PARALLEL_FROM, _CHUNK = 400, 32  # records: where processes pay, and how many one takes at a time


class Read(NamedTuple):
    """Signals (M, L, T) float32 in mV, the M rows of the table that they belong to, and the records left out."""

    signals: np.ndarray
    table: pd.DataFrame
    bad: pd.DataFrame


class _Piece(NamedTuple):
    """What one record gave: windows (W, L, T) and where they begin, or an error; and warnings on the way."""

    signals: np.ndarray | None
    starts: np.ndarray | None
    error: DataError | SettingError | None
    told: list[str]


def is_own(data: str | os.PathLike) -> bool:
    """Whether a path is a manifest, a folder of a PhysioNet Challenge, or one of single beats."""
    return heartbeats.is_heartbeats(data) or manifest.is_manifest(data) or challenge.is_challenge(data)


def read_table(data: str | os.PathLike, folds: bool = True, label_set: str | None = None) -> pd.DataFrame:
    """The table of a manifest, Challenge folder or folder of beats; with `folds` each record has one, be it made now.

    `label_set` says how beats are split. Errors and warnings as
    :func:`ecgcourse.records.manifest.read_table`, :func:`ecgcourse.records.challenge.read_table` and
    :func:`ecgcourse.records.own_split.add_folds`, or as :func:`ecgcourse.records.heartbeats.read_table`.
    """
    data = Path(data)
    if heartbeats.is_heartbeats(data):
        return heartbeats.read_table(data, label_set)
    table = manifest.read_table(data) if manifest.is_manifest(data) else challenge.read_table(data)
    return own_split.add_folds(table, data) if folds and "strat_fold" not in table else table


def task_of(data: str | os.PathLike, label_set: str | None = None, min_records: int | None = None) -> Task:
    """What can be learned from a manifest, a Challenge folder or single beats.

    Parameters
    ----------
    data
        The manifest or the folder.
    label_set
        Of a Challenge folder "superclass" (the default) or "superclass5". A manifest has the classes that it has. Of
        beats who judges, see :func:`ecgcourse.learning.beat_sets.task_of`.
    min_records
        Leave out classes that fewer records have; by default those of a Challenge folder that none has.

    Returns
    -------
    Task

    Raises
    ------
    SettingError
        Another label set, or `min_records` where each record has exactly one class.
    DataError
        As :func:`read_table`; a class that no record of a partition has, or no class left.
    """
    if heartbeats.is_heartbeats(data):
        return beat_sets.task_of(data, label_set, min_records)
    table = read_table(data)
    if manifest.is_manifest(data):
        if label_set is not None:
            raise SettingError(f"--task {label_set}, but the classes of a manifest are its columns; leave --task out")
        classes, least = table.attrs["classes"], min_records or 0
    elif label_set not in (None, *_LABEL_SETS):
        raise SettingError(f"--task {label_set} is of PTB-XL; of a Challenge folder there are {', '.join(_LABEL_SETS)}")
    else:
        classes, least = _LABEL_SETS[label_set or "superclass"], 1 if min_records is None else min_records
    if table.attrs["multiclass"] and least:
        raise SettingError(
            f"--min-records {least}, but each record of {data} has exactly one class; take the others' rows out of it"
        )
    classes = tuple(name for name in classes if table[name].sum() >= least)
    if not classes:
        raise DataError(f"{data}: no class has {least} records; ask for fewer with --min-records")
    task = Task(classes, "multiclass" if table.attrs["multiclass"] else "multilabel", _label_set(classes))
    for partition in FOLDS:
        part = _part(table, partition)
        if len(part):
            check_classes(part, task, f"{data}, partition {partition}")
    return task


def check_classes(table: pd.DataFrame, task: Task, where: str) -> None:
    """Raise DataError unless each class has a record with it and one without it."""
    for name in task.classes:
        for value, words in ((True, "is"), (False, "isn't")):
            if not (table[name] == value).any():
                raise DataError(
                    f"{where}: none of the {len(table)} records {words} {name}; split the records another way, or "
                    "leave out that class (--min-records N leaves out rare ones)"
                )


def records(data: str | os.PathLike, partition: str, task: Task) -> tuple[pd.DataFrame, int]:
    """The records of a partition, or of "all", that have a label, and how many others there are."""
    table = read_table(data, partition != "all", task.label_set if heartbeats.is_heartbeats(data) else None)
    missing = [name for name in task.classes if name not in table.attrs["classes"]]
    if missing:
        raise DataError(
            f"{data} has no labels of {', '.join(missing)}, only of {brief(', '.join(table.attrs['classes']), 300)}; "
            "give each class the name that the network has learned"
        )
    part = _part(table, partition)
    labelled = part[part["labelled"]] if "labelled" in part else part
    if task.is_multiclass:
        labelled = labelled[labelled[list(task.classes)].any(axis=1)]
    if labelled.empty:
        raise DataError(f"{data}: the partition {partition!r} is empty: no record is in it, or none has a label")
    if partition in ("train", "val"):
        check_classes(labelled, task, f"{data}, partition {partition}")
    return labelled, len(part) - len(labelled)


def labels(table: pd.DataFrame, task: Task) -> np.ndarray:
    """The targets of a table's rows, (N, K) float32 of 0 and 1."""
    # A copy, as of PTB-XL's: PyTorch complains about arrays that can't be written to.
    return np.array(table[list(task.classes)], dtype=np.float32, order="C")


def read_signals(
    table: pd.DataFrame,
    recipe: Recipe,
    seconds: float | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> Read:
    """Read the signals of a table's records in the leads and at the sampling rate of a recipe.

    Parameters
    ----------
    table
        N records, from :func:`read_table` or part of it.
    recipe
        What leads and rate are needed. Leads are derived where they can be, other rates resampled.
    seconds
        Length of the windows, in s; by default :data:`USUAL_SECONDS`. Records are cut into as many as they have.
    skip_bad
        Leave out what can't be used rather than stop at the first.
    progress
        Show a bar; by default on a terminal, once reading takes longer than a moment.
    workers
        Processes that read; by default one per CPU core, and none beside this one for a small table.

    Returns
    -------
    Read
        The rows have ``record`` and ``start`` (of the window, in s) besides. Their index is ``record`` where each
        record has one window, else windows are numbered from 1 on.

    Raises
    ------
    DataError, SettingError
        If a record can't be read or is too short, as :mod:`ecgcourse.records.own_files` says; or none can be used.

    Warns
    -----
    EcgCourseWarning
        What was noticed of records.
    """
    if "symbol" in table:
        signals, rows, bad = beat_sets.read_signals(table, recipe, seconds, skip_bad, progress)
        return Read(signals, rows, pd.DataFrame(bad, columns=list(BAD_COLUMNS)))
    seconds = USUAL_SECONDS if seconds is None else seconds
    check_setting("", "seconds", seconds, is_real(seconds, 0), "a number above 0")
    if not skip_bad:
        # At once, since reading the files before a missing one may take long.
        for path in table["path"]:
            own_files.find(path)
    numbers, pieces, bad, told = [], [], [], []
    with progress_bar(progress, delay=2, total=len(table), desc="reading", unit="record") as bar:
        for number, piece in enumerate(_pieces(table, recipe, seconds, workers)):
            bar.update()
            told += piece.told
            if piece.error is None:
                pieces.append(piece)
                numbers += [number] * len(piece.signals)
            elif skip_bad:
                bad.append((table.index[number], table["file"].iloc[number], str(piece.error)))
            else:
                raise piece.error
    if not pieces:
        raise DataError(f"none of the {len(table)} records can be used; the first: {bad[0][2]}")
    if told:
        more = f" ({len(told) - 1} more such remarks)" if len(told) > 1 else ""
        warnings.warn(f"{told[0]}{more}", EcgCourseWarning, stacklevel=3)
    rows = table.iloc[numbers]
    rows = rows.assign(record=rows.index, start=np.concatenate([piece.starts for piece in pieces]))
    if rows["record"].duplicated().any():
        rows.index = pd.RangeIndex(1, len(rows) + 1, name="window")
    signals = np.concatenate([piece.signals for piece in pieces])
    return Read(signals, rows, pd.DataFrame(bad, columns=list(BAD_COLUMNS)))


def _label_set(classes: Sequence[str]) -> str:
    """The label set in which PTB-XL has these classes too, should it have them."""
    return next((name for name, known in _LABEL_SETS.items() if set(classes) <= set(known)), "superclass")


def _part(table: pd.DataFrame, partition: str) -> pd.DataFrame:
    return table if partition == "all" else table[table["strat_fold"].isin(FOLDS[partition])]


def _pieces(table: pd.DataFrame, recipe: Recipe, seconds: float, workers: int | None) -> Iterator[_Piece]:
    """Read on several processes where it pays."""
    asked = table.reindex(columns=["path", "sampling_rate", "unit"]).astype(object)
    asked = asked.where(asked.notna(), None)
    jobs = list(asked.itertuples(index=False, name=None))
    if workers is None:
        workers = joblib.cpu_count() if len(jobs) >= _PARALLEL_FROM else 1
    chunks = [
        (jobs[start : start + _CHUNK], recipe.leads, recipe.sampling_rate, seconds)
        for start in range(0, len(jobs), _CHUNK)
    ]
    return chain.from_iterable(parallel_map(_read_chunk, chunks, workers))


def _read_chunk(jobs: Sequence[tuple], leads: Sequence[str], rate: float, seconds: float) -> list[_Piece]:
    return [_read_piece(*job, leads, rate, seconds) for job in jobs]


def _read_piece(
    path: str, own_rate: float | None, unit: str | None, leads: Sequence[str], rate: float, seconds: float
) -> _Piece:
    # Another process's warnings would come to the terminal past the command line's own words.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ecg = own_files.with_leads(own_files.read(path, own_rate, unit), leads)
            found = own_files.windows(replace(ecg, name=path), seconds)
            # Single precision before and after, as the readers of PTB-XL have it.
            signals = resample(found.signals.astype(np.float32), ecg.sampling_rate, rate)
        except (DataError, SettingError) as error:
            return _Piece(None, None, error, [])
    # A window of whole samples at one rate may come out a sample longer or shorter at the other.
    samples = np.minimum(np.arange(round(seconds * rate)), signals.shape[-1] - 1)
    told = [str(each.message) for each in caught if issubclass(each.category, EcgCourseWarning)]
    return _Piece(signals[..., samples].astype(np.float32), found.starts, None, told)
