"""Torch datasets: images rendered from signals when asked for or read from TIFF files, signals, or both.

All kinds answer to the same calls: ``dataset[5]`` is one record with its label, ``dataset[[5, 8, 2]]`` is a
batch made in one go, ``dataset.labels`` is every label. Introduced in chapter 8.

Here is how they are opened, made and written; what they are, and how a loader goes through them, stands in the modules
:mod:`ecgcourse.learning.samples`, :mod:`ecgcourse.learning.tiff`, :mod:`ecgcourse.learning.derived` and
:mod:`ecgcourse.learning.loader`, whose names are names of this module too.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecgcourse import __version__
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, check_name, check_setting
from ecgcourse.images.signals import SignalRecipe
from ecgcourse.learning import own_sets
from ecgcourse.learning.derived import AnyDataset, Batched, Part, SignalsAndImages, batched, recipe_of, seconds_of
from ecgcourse.learning.loader import BatchOrder, loader
from ecgcourse.learning.samples import (
    CHANNELS,
    DEFAULT_IMAGES,
    DEFAULT_SIGNALS,
    DEFAULT_TASK,
    SIGNAL_AXES,
    Augmentation,
    Crops,
    Draw,
    Index,
    RenderedImages,
    Signals,
    to_float,
)
from ecgcourse.learning.tiff import (
    BAD_RECORDS,
    IMAGES,
    Noted,
    TiffImages,
    is_synthetic,
    is_written,
    noted,
    write_notes,
    write_partition,
)
from ecgcourse.recipe import ImageRecipe, Recipe, Task
from ecgcourse.records import practice, ptbxl, wfdb_records
from ecgcourse.support.files import atomic_folder, check_inside
from ecgcourse.support.renamed import former_names

__all__ = [
    "BAD_RECORDS",
    "CHANNELS",
    "DEFAULT_IMAGES",
    "DEFAULT_SIGNALS",
    "DEFAULT_TASK",
    "IMAGES",
    "SIGNAL_AXES",
    "AnyDataset",
    "Augmentation",
    "BatchOrder",
    "Batched",
    "Crops",
    "Draw",
    "ImageRecipe",
    "Index",
    "Noted",
    "Part",
    "Recipe",
    "RenderedImages",
    "SignalRecipe",
    "Signals",
    "SignalsAndImages",
    "Task",
    "TiffImages",
    "batched",
    "from_arrays",
    "from_data",
    "is_synthetic",
    "loader",
    "noted",
    "recipe_of",
    "seconds_of",
    "source_rate",
    "to_float",
    "write_images",
]


def from_data(
    data: str | os.PathLike,
    partition: str,
    size: int | None = None,
    device: str | torch.device = "cpu",
    sampling_rate: float | None = None,
    progress: bool | None = None,
    dtype: torch.dtype = torch.uint8,
    skip_bad: bool = False,
    images: ImageRecipe | None = DEFAULT_IMAGES,
    signals: SignalRecipe | None = None,
    recipe: Recipe | None = None,
    task: Task = DEFAULT_TASK,
    seconds: float | None = None,
) -> AnyDataset:
    """Open one partition of a PTB-XL folder, of records of one's own, or of a folder of images.

    Parameters
    ----------
    data : path
        A PTB-XL folder, a manifest (:mod:`ecgcourse.records.manifest`) or a folder of a PhysioNet Challenge
        (:mod:`ecgcourse.records.challenge`), whose signals are read, preprocessed and kept in memory, or a folder that
        :func:`write_images` wrote: uint8 images, read on the CPU, of which the recipe must be that of `images`.
    partition : {"train", "val", "test", "all"}
        "all" takes every record, but no folder of images.
    size : int, optional
        Side S of an image in pixels; None: that of the recipe.
    device : str or torch.device
        Where signals are kept and rendered.
    sampling_rate : float, optional
        In Hz; None: that of the recipe, else 100. PTB-XL has records of 100 and of 500 Hz; others are made of those
        of 500.
    progress : bool, optional
        Show a progress bar while signals are read; None shows it on a terminal only.
    dtype : torch.dtype
        Of rendered images, see :class:`ecgcourse.learning.samples.RenderedImages`.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one.
    images : ImageRecipe, optional
        How images are made; None makes none.
    signals : SignalRecipe, optional
        How signals are prepared; None makes none.
    recipe : Recipe, optional
        All of this in one, such as a model's; takes the place of `images`, `signals` and `sampling_rate`.
    task : Task
        Which labels, such as a model's. The records are those that have one of the label set, see
        :func:`ecgcourse.records.ptbxl.split`.
    seconds : float, optional
        Length of the windows that records of a manifest or Challenge folder are cut into; None: 10 s. Each window has
        its record's labels.

    Returns
    -------
    RenderedImages or TiffImages, Signals, or SignalsAndImages
        Its attribute ``bad_records`` is a DataFrame of what was left out: ecg_id, file and reason. Its ``table`` has
        the rows that belong to the records: those of :func:`ecgcourse.records.ptbxl.read_table`, or, of a manifest or
        Challenge folder, those that :func:`ecgcourse.learning.own_sets.read_signals` returns.

    Raises
    ------
    DataError
        `data` is neither kind of folder, the partition has no records, the images or labels there are others than
        those asked for, or a class has no records with it or without it left; also whatever reading it raises.
    SettingError
        An unknown partition, an impossible size, signals of a folder of images, or `seconds` of other data than one's
        own.

    Warns
    -----
    EcgCourseWarning
        If records were left out.
    """
    check_name(partition, (*ptbxl.FOLDS, "all"), "no partition is")
    if recipe is None:
        recipe = _recipe(images, signals, sampling_rate, size)
        # Of a folder of images nothing was asked.
        wanted = recipe if size is not None or images is not DEFAULT_IMAGES or signals is not None else None
    else:
        recipe = wanted = replace(recipe, images=_sized(recipe.images, size))
    settings = {"device": device, "dtype": dtype, "recipe": recipe, "task": task}
    if own_sets.is_own(data):
        return _open_own(data, partition, seconds, progress, skip_bad, **settings)
    check_setting("", "seconds", seconds, seconds is None, "None for all but manifests and Challenge folders")
    if ptbxl.is_ptbxl(data):
        return _open_records(data, partition, progress, skip_bad, **settings)[0]
    check_setting("", "partition", partition, partition != "all", "one of a folder of images")
    return _open_images(Path(data), partition, wanted, task, skip_bad, progress)


def from_arrays(
    voltages: np.ndarray,
    labels: np.ndarray | torch.Tensor,
    sampling_rate: float | None = None,
    size: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.uint8,
    images: ImageRecipe | None = DEFAULT_IMAGES,
    signals: SignalRecipe | None = None,
    recipe: Recipe | None = None,
    task: Task | None = None,
    leads: Sequence[str] = ptbxl.LEADS,
) -> RenderedImages | Signals | SignalsAndImages:
    """Make a dataset of records in memory.

    Parameters
    ----------
    voltages : (N, L', T) float array
        In mV, as :func:`ecgcourse.records.ptbxl.read_signals` returns them.
    labels : (N, K) array or tensor
    sampling_rate : float, optional
        Of the voltages, in Hz; None: that of the recipe, else 100. With a `recipe` of another rate they are
        resampled (:func:`ecgcourse.images.signals.resample`).
    size, device, dtype, images, signals, recipe
        As for :func:`from_data`.
    task : Task, optional
        What the K labels mean; None: nobody says.
    leads : sequence of str
        Names of the L' leads, in the order of `voltages`.

    Returns
    -------
    RenderedImages, Signals or SignalsAndImages

    Raises
    ------
    DataError, SettingError
        As the datasets and recipes do; SettingError for neither images nor signals.
    """
    if recipe is None:
        recipe = _recipe(images, signals, sampling_rate, size)
    else:
        voltages = recipe.prepare(voltages, sampling_rate, leads)
        recipe = replace(recipe, images=_sized(recipe.images, size))
    images, signals, rate = recipe.images, recipe.signals, recipe.sampling_rate
    read = rendered = None
    if signals is not None:
        read = Signals(signals.apply(voltages, rate, leads), labels, device, signals, task)
    if images is not None:
        made = images.apply(voltages, rate, leads)
        rendered = RenderedImages(made, labels, None, device, dtype, images, task)
    dataset = SignalsAndImages(read, rendered) if read is not None and rendered is not None else read
    dataset = rendered if dataset is None else dataset
    dataset.sampling_rate = rate
    return dataset


def write_images(
    data: str | os.PathLike,
    out: str | os.PathLike,
    partitions: Iterable[str] = ("train",),
    size: int | None = None,
    sampling_rate: float = 100,
    progress: bool | None = None,
    skip_bad: bool = False,
    images: ImageRecipe = DEFAULT_IMAGES,
    task: Task = DEFAULT_TASK,
) -> Path:
    """Write the images of a PTB-XL folder as TIFF files, one per record.

    Each partition's folder appears whole or not at all; it holds ``images/0.tif`` … ((C, S, S) uint8,
    uncompressed), ``labels/0.npy`` … ((K,) float32), numbered as the records stand in the table,
    ``records.csv`` with the columns number, ecg_id and patient_id, and ``images.json``, which tells what they were
    made of. Images of the practice set stay marked as synthetic.

    If the work is cut short, the same call goes on with the images that are complete. Where the very same
    images already lie, nothing is written.

    Parameters
    ----------
    data : path
        A PTB-XL folder.
    out : path
        Gets one folder per partition, none of which may hold anything else yet.
    partitions : iterable of {"train", "val", "test"}
    size, sampling_rate, progress, task
        As for :func:`from_data`.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one. They are listed in
        ``bad_records.csv`` of each partition: ecg_id, file, reason.
    images : ImageRecipe
        How they are made, without a crop: a file can't show another place each time.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    DataError
        `data` is no PTB-XL folder, a partition has no records, or `out` can't be written or is taken; also as
        :func:`from_data`.
    SettingError
        An unknown partition, an impossible size, or a crop.
    """
    out, recipe = Path(out), _recipe(images, None, sampling_rate, size)
    if images.crop is not None:
        raise SettingError(f"crop={images.crop}, but a file shows the same samples each time; write images without one")
    made_of = {name: _made_of(data, name, recipe, task, skip_bad) for name in partitions}
    with ExitStack() as stack:
        # All folders are claimed before the first image is rendered, so that a taken one is found at once.
        folders = {
            name: stack.enter_context(atomic_folder(out / name, resumes=partial(is_written, settings=settings)))
            for name, settings in made_of.items()
            if not is_written(out / name, settings)
        }
        for name, folder in folders.items():
            dataset, table = _open_records(data, name, progress, skip_bad, recipe=recipe, task=task)
            # First, since it says whether another process can go on with what this one wrote.
            write_notes(folder, made_of[name], practice.is_practice(data))
            write_partition(folder, dataset, table.index, name, progress)
            if skip_bad:
                dataset.bad_records.to_csv(
                    folder / BAD_RECORDS, index=False, lineterminator="\n", errors="backslashreplace"
                )
    return out


def _recipe(
    images: ImageRecipe | None, signals: SignalRecipe | None, sampling_rate: float | None, size: int | None
) -> Recipe:
    return Recipe(_sized(images, size), signals, 100 if sampling_rate is None else sampling_rate)


def _sized(images: ImageRecipe | None, size: int | None) -> ImageRecipe | None:
    return images if size is None or images is None else replace(images, size=size)


def _records(data: str | os.PathLike, partition: str, task: Task) -> tuple[pd.DataFrame, int]:
    """The records of a partition that the task has labels for, and how many others there are."""
    check_name(partition, (*ptbxl.FOLDS, "all"), "no partition is")
    whole = ptbxl.read_table(data)
    folds = ptbxl.FOLDS.get(partition, range(1, 11))
    parts = ptbxl.split(whole, task.label_set)
    table = parts[partition] if partition in parts else pd.concat(parts.values()).sort_index()
    if table.empty:
        raise DataError(
            f"{data}: the partition {partition!r} is empty: no record of strat_fold "
            f"{', '.join(map(str, folds))} has a label of the set {task.label_set!r}"
        )
    return table, int(whole["strat_fold"].isin(folds).sum()) - len(table)


def _labels(table: pd.DataFrame, task: Task) -> np.ndarray:
    return ptbxl.labels(table, task.classes, task.label_set)


def _open_records(
    data: str | os.PathLike,
    partition: str,
    progress: bool | None,
    skip_bad: bool,
    recipe: Recipe,
    task: Task,
    **settings,
) -> tuple[RenderedImages | Signals | SignalsAndImages, pd.DataFrame]:
    """The dataset of one partition of a PTB-XL folder, and the rows of the table that it is made of."""
    (table, n_unlabelled), bad = _records(data, partition, task), pd.DataFrame(columns=list(ptbxl.BAD_COLUMNS))
    rate = source_rate(recipe, Path(data), table)
    if skip_bad:
        whole = table
        voltages, table, bad = ptbxl.read_usable_signals(data, whole, rate, progress=progress)
        _check_left(_labels(whole, task), _labels(table, task), bad, f"{data}, partition {partition}", task)
    else:
        voltages = ptbxl.read_signals(data, table, rate, progress=progress)
    dataset = from_arrays(voltages, _labels(table, task), rate, recipe=recipe, task=task, **settings)
    dataset.bad_records, dataset.n_unlabelled = bad, n_unlabelled
    dataset.synthetic, dataset.table = is_synthetic(data), table
    return dataset, table


def _open_own(
    data: str | os.PathLike,
    partition: str,
    seconds: float | None,
    progress: bool | None,
    skip_bad: bool,
    recipe: Recipe,
    task: Task,
    **settings,
) -> RenderedImages | Signals | SignalsAndImages:
    """The dataset of one partition of a manifest or Challenge folder."""
    table, n_unlabelled = own_sets.records(data, partition, task)
    read = own_sets.read_signals(table, recipe, seconds, skip_bad, progress)
    found = own_sets.labels(read.table, task)
    _check_left(own_sets.labels(table, task), found, read.bad, f"{data}, partition {partition}", task)
    dataset = from_arrays(read.signals, found, recipe=recipe, task=task, leads=recipe.leads, **settings)
    dataset.bad_records, dataset.n_unlabelled, dataset.table = read.bad, n_unlabelled, read.table
    dataset.synthetic = is_synthetic(data)
    return dataset


def source_rate(recipe: Recipe, data: Path, table: pd.DataFrame) -> int:
    """Which of PTB-XL's two sampling rates to make the input of: 100 Hz where it's asked for and there, else 500."""

    def there(rate: int) -> bool:
        names = table.get(ptbxl.NAME_COLUMN[rate], pd.Series(dtype=str)).head(20)
        entries = [wfdb_records.Entry(name, "") for name in names]
        return wfdb_records.count_missing(data, entries) < len(entries)

    return 500 if recipe.sampling_rate != 100 or (there(500) and not there(100)) else 100


def _check_left(before: np.ndarray, after: np.ndarray, bad: pd.DataFrame, where: str, task: Task) -> None:
    """Tell what was left out, and refuse if a class went with it: (N, K) labels before, (M, K) after."""
    for value, words in ((1, "is"), (0, "isn't")):
        lost = (before == value).any(axis=0) & ~(after == value).any(axis=0)
        if lost.any():
            name = task.classes[int(np.argmax(lost))]
            raise DataError(
                f"{where}: without the {len(bad)} damaged records none is left that {words} {name}; the first: "
                f"{bad['reason'].iloc[0]}"
            )
    if len(bad):
        warnings.warn(
            f"{where}: {len(bad)} of {len(before)} records left out as damaged, the first: {bad['reason'].iloc[0]}",
            EcgCourseWarning,
            stacklevel=4,
        )


def _open_images(
    data: Path, partition: str, wanted: Recipe | None, task: Task, skip_bad: bool, progress: bool | None
) -> TiffImages:
    if wanted is not None and wanted.signals is not None:
        raise SettingError(f"{data} is a folder of images, without signals; name a PTB-XL folder")
    if not any((data / name / "images").is_dir() for name in ptbxl.FOLDS):
        raise DataError(
            f"{data} holds no data: looked for ptbxl_database.csv and scp_statements.csv (a PTB-XL folder), for "
            f"{partition}/images (a folder written by `python -m ecgcourse images`), and for WFDB headers with #Dx (a "
            "PhysioNet Challenge)"
        )
    if not (data / partition / "images").is_dir():
        raise DataError(
            f"{data} has no {partition}/images; write it with "
            f"`python -m ecgcourse images PTB-XL {data} --partition {partition}`"
        )
    check_inside(data / partition, data)
    dataset = TiffImages(data / partition, skip_bad, progress)
    if task != DEFAULT_TASK and (dataset.task is None or task.classes != dataset.task.classes):
        found = "unknown classes" if dataset.task is None else ", ".join(dataset.task.classes)
        raise DataError(
            f"{data / partition}: the labels are of {found}, but {', '.join(task.classes)} were asked for; write the "
            "images again"
        )
    found = recipe_of(dataset)
    if wanted is not None and wanted.images.size != dataset.size:
        raise DataError(
            f"{data / partition}: the images are {dataset.size} pixels wide, but size {wanted.images.size} was asked "
            f"for; ask for {dataset.size} or write the images again"
        )
    if wanted is not None and wanted != found:
        raise DataError(
            f"{data / partition}: the images were made by {found}, but {wanted} was asked for; write them again"
        )
    dataset.synthetic = is_synthetic(data)
    return dataset


def _made_of(data: str | os.PathLike, partition: str, recipe: Recipe, task: Task, skip_bad: bool) -> dict:
    """All that the images of a partition depend on, as plain values."""
    table, _ = _records(data, partition, task)
    labels = hashlib.sha256(table.index.to_numpy(np.int64).tobytes() + _labels(table, task).tobytes())
    made_of = {
        "version": __version__,
        "partition": partition,
        "recipe": recipe.to_dict(),
        "task": task.to_dict(),
        "skip_bad": skip_bad,
        "records": ptbxl.fingerprint(data, table, source_rate(recipe, Path(data), table)),
        "labels": labels.hexdigest()[:32],
    }
    return json.loads(json.dumps(made_of))


__getattr__ = former_names(globals(), {"prepare": "from_arrays", "Views": "Crops"})
