"""Whether a network is judged on the data that it has learned from, or on others: external validation."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from ecgcourse.errors import DataError, EcgCourseWarning
from ecgcourse.learning import own_sets, runs
from ecgcourse.learning.tiff import is_synthetic
from ecgcourse.recipe import Task
from ecgcourse.records import practice, ptbxl
from ecgcourse.records.ptbxl_tables import NAME_COLUMN
from ecgcourse.support.files import read_json


def identity(data: str | os.PathLike) -> str | None:
    """What tells one data set from another, wherever it lies; None of folders of images, which don't say.

    All of PTB-XL is one data set, however many of its records a folder has. Practice sets are one where seed,
    hospital and shortcut are the same; manifests and Challenge folders, where files and labels are.
    """
    if ptbxl.is_ptbxl(data):
        if not practice.is_practice(data):
            return "PTB-XL"
        settings = read_json(Path(data) / practice.MARK)
        return " ".join(["practice", *(f"{name}={settings.get(name)}" for name in ("seed", "hospital", "shortcut"))])
    if not own_sets.is_own(data):
        return None
    table = own_sets.read_table(data, folds=False)
    told = table[["file", *table.attrs["classes"]]].to_csv(index=False, errors="surrogateescape")
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:32]


def external(run: str | os.PathLike, data: str | os.PathLike) -> str | None:
    """Tell whether judging a run on some data is external validation.

    Parameters
    ----------
    run
        Folder of a run that ``python -m ecgcourse train`` wrote.
    data
        What it is to be judged on.

    Returns
    -------
    str or None
        The data that the run has learned from, if these are others; None if they are the same, or if that can't be
        known.

    Warns
    -----
    EcgCourseWarning
        If the data are others by name, but hold records that are among those of the run.
    """
    try:
        learned = read_json(Path(run) / runs.CONFIG)["data"]
        folder = learned["folder"]
    except (DataError, KeyError, TypeError):
        return None
    there = os.path.exists(folder)
    before, now = learned.get("source") or (identity(folder) if there else None), identity(data)
    # Images don't say of which records they are, but real ones are none of a practice set.
    unknown = before is None or now is None
    differs = bool(learned.get("synthetic")) != is_synthetic(data) if unknown else before != now
    if not differs:
        return None
    shared = len(_paths(folder) & _paths(data)) if there else 0
    if shared:
        warnings.warn(
            f"{shared} records of {data} are records of {folder}, too, from which {run} has learned; this is no "
            "external validation",
            EcgCourseWarning,
            stacklevel=2,
        )
        return None
    return f"{folder} (synthetic practice set)" if learned.get("synthetic") else folder


def judged_classes(y_true: np.ndarray, task: Task) -> tuple[str, ...]:
    """The classes that other data can judge, of labels (N, K).

    Not those that none of the records has, or all have; a warning names them. Where each record has exactly one class,
    or no class would be left, these are all.
    """
    kept = (y_true == 1).any(axis=0) & (y_true == 0).any(axis=0)
    if task.is_multiclass or kept.all() or not kept.any():
        return task.classes
    left_out = [name for name, can in zip(task.classes, kept, strict=True) if not can]
    warnings.warn(
        f"{', '.join(left_out)}: none of these records has it, or all have it, so it isn't judged",
        EcgCourseWarning,
        stacklevel=2,
    )
    return tuple(name for name, can in zip(task.classes, kept, strict=True) if can)


def _paths(data: str | os.PathLike) -> set[str]:
    """Where the records of a data set are, without suffixes."""
    if ptbxl.is_ptbxl(data):
        table = ptbxl.read_table(data)
        names = [name for column in NAME_COLUMN.values() for name in table[column].dropna()]
        return {os.path.realpath(Path(data) / str(name)) for name in names}
    if not own_sets.is_own(data):
        return set()
    return {
        os.path.realpath(path).removesuffix(Path(path).suffix)
        for path in own_sets.read_table(data, folds=False)["path"].unique()
    }
