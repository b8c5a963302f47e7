"""Single beats as data to learn from: their classes, their recipe, and samples of one length around each R peak.

Introduced in chapter 16.
"""

import os
from dataclasses import replace

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, SettingError, check_setting, is_real
from ecgcourse.images.signals import resample
from ecgcourse.recipe import Recipe, Task
from ecgcourse.records import heartbeats
from ecgcourse.records.beat_names import SPLITS
from ecgcourse.records.ptbxl_names import FOLDS
from ecgcourse.support.progress_bar import progress_bar

SECONDS = heartbeats.SAMPLES / heartbeats.RATE
"""Length of a beat where nobody says: 187 samples at 125 Hz, as in the CSV files of Kachuee et al."""

BEFORE = 1 / 3
"""Share of a beat's samples that lies before the R peak: half a second, by default."""


def recipe_for(data: str | os.PathLike, recipe: Recipe) -> Recipe:
    """A model's own recipe, changed to what beats are: one lead, 125 Hz, too short to be filtered.

    The lead is MLII of WFDB records. The CSV files name none; Kachuee et al. (2018) write that they took lead II.
    """
    lead = "II" if heartbeats.is_csv(data) else "MLII"
    parts = {"images": recipe.images, "signals": recipe.signals}
    made = {name: part and replace(part, leads=(lead,), filtered=False) for name, part in parts.items()}
    return Recipe(**made, sampling_rate=heartbeats.RATE)


def task_of(data: str | os.PathLike, label_set: str | None = None, min_records: int | None = None) -> Task:
    """The classes of beats of which each partition has some, and the split, which the task keeps as its `label_set`.

    Parameters
    ----------
    data
        As for :func:`ecgcourse.records.heartbeats.is_heartbeats`.
    label_set : {"inter-patient", "intra-patient"}, optional
        Who judges; None: as :func:`ecgcourse.records.heartbeats.read_table` has it.
    min_records
        Leave out classes with fewer beats in a partition, in all; by default those with none.

    Raises
    ------
    SettingError, DataError
        As `read_table`; SettingError for a label set of PTB-XL, DataError if fewer than two classes are left.
    """
    if label_set not in (None, *SPLITS):
        raise SettingError(f"--task {label_set} is of PTB-XL; of single beats there are {', '.join(SPLITS)}")
    split = label_set or SPLITS[1 if heartbeats.is_csv(data) else 0]
    table = heartbeats.read_table(data, split)
    counts = [
        table.loc[table["strat_fold"].isin(folds), list(table.attrs["classes"])].sum() for folds in FOLDS.values()
    ]
    fewest = pd.concat(counts, axis=1).min(axis=1)
    classes = tuple(fewest.index[fewest >= max(1, min_records or 0)])
    if len(classes) < 2:
        raise DataError(f"{data}: beats of two classes are needed in each of {', '.join(FOLDS)}, {split}")
    return Task(classes, "multiclass", split)


def read_signals(
    table: pd.DataFrame, recipe: Recipe, seconds: float | None, skip_bad: bool, progress: bool | None
) -> tuple[np.ndarray, pd.DataFrame, list[tuple[int, str, str]]]:
    """Beats of a table's rows in the leads and at the sampling rate of a recipe.

    A beat begins a third of its length before the R peak. What lies before a record or after it is filled with its
    first or last sample. Records are resampled whole, before beats are cut.

    Parameters
    ----------
    table
        From :func:`ecgcourse.records.heartbeats.read_table`.
    recipe, seconds, skip_bad, progress
        As for :func:`ecgcourse.learning.own_sets.read_signals`; by default a beat has :data:`SECONDS`, and those of the
        CSV files can't have another length.

    Returns
    -------
    signals : (M, L, T) float32 array
        In mV; of the CSV files in [0, 1].
    table
        The M rows.
    bad
        Index, file and reason of the first beat of each record that was left out.
    """
    seconds = SECONDS if seconds is None else seconds
    check_setting("", "seconds", seconds, is_real(seconds, 0), "a number above 0")
    pieces, kept, bad = [], [], []
    groups = table.groupby("path", sort=False)
    for path, rows in progress_bar(progress, delay=2, iterable=groups, total=groups.ngroups, desc="reading"):
        try:
            from_csv = path.endswith(".csv")
            pieces.append(_of_csv(path, rows, recipe, seconds) if from_csv else _of_record(path, rows, recipe, seconds))
            kept.append(rows)
        except (DataError, SettingError) as error:
            if not skip_bad:
                raise
            bad.append((rows.index[0], rows["file"].iloc[0], str(error)))
    if not pieces:
        raise DataError(f"none of the {groups.ngroups} records can be used; the first: {bad[0][2]}")
    return np.concatenate(pieces), pd.concat(kept), bad


def cut(x: np.ndarray, peaks: np.ndarray, samples: int) -> np.ndarray:
    """Cut beats around R peaks (M,), sample numbers, out of a record: (L, T) to (M, L, `samples`)."""
    places = np.asarray(peaks)[:, None] - int(samples * BEFORE) + np.arange(samples)
    return x[:, np.clip(places, 0, x.shape[1] - 1)].swapaxes(0, 1)


def _of_record(path: str, rows: pd.DataFrame, recipe: Recipe, seconds: float) -> np.ndarray:
    x, rate = heartbeats.read_record(path, recipe.leads)
    peaks = rows["sample"].to_numpy()
    if peaks.max() >= x.shape[1]:
        raise DataError(f"{path}: an annotation lies behind the record's {x.shape[1]} samples; get the record again")
    at_rate = resample(x, rate, recipe.sampling_rate)
    peaks = np.rint(peaks * (recipe.sampling_rate / rate)).astype(int)
    return cut(at_rate, peaks, round(seconds * recipe.sampling_rate)).astype(np.float32)


def _of_csv(path: str, rows: pd.DataFrame, recipe: Recipe, seconds: float) -> np.ndarray:
    check_setting("", "seconds", seconds, abs(seconds - SECONDS) < 1e-6, f"{SECONDS}, the length of these beats")
    if len(recipe.leads) != 1:
        raise SettingError(
            f"{path} has one lead, but the recipe wants {', '.join(recipe.leads)}; name one with --leads"
        )
    x = heartbeats.read_csv(path)[rows["sample"].to_numpy()]
    return resample(x, heartbeats.RATE, recipe.sampling_rate)[:, None].astype(np.float32)
