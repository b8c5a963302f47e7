"""Folders of images: written as TIFF files, one per record with its label, and read again as a dataset.

Introduced in chapter 8.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tifffile
import torch
from torch.utils.data import Dataset

from ecgcourse.errors import DataError, in_words
from ecgcourse.images.fields import LARGEST
from ecgcourse.learning.samples import (
    CHANNELS,
    DEFAULT_IMAGES,
    DEFAULT_TASK,
    Index,
    RenderedImages,
    check_labels,
    checked_task,
    rows_of,
)
from ecgcourse.recipe import ImageRecipe, Recipe, Task
from ecgcourse.records import practice, ptbxl
from ecgcourse.support.files import atomic_write, check_inside, load_array, read_json, stat_file, write_json
from ecgcourse.support.progress_bar import progress_bar

# Pixels rendered together while writing: 64 stacks of 256 × 256 are 38 MB.
WRITE_PIXELS = 64 * CHANNELS * 256**2

# Bytes of files that are read as a whole: a label of four classes has 144, a list of a million records 15 million.
LARGEST_LABEL, LARGEST_LIST = 2**16, 2**28

IMAGES = "images.json"
"""Where :func:`ecgcourse.learning.datasets.write_images` notes what the images were made of."""

BAD_RECORDS = "bad_records.csv"
"""Where it lists the records that were left out."""

# Kinds of TIFF for which tifffile follows names in a file to other files, or believes a description.
_OTHER_KINDS = {
    f"is_{kind}": False for kind in ("lsm", "mmstack", "ndtiff", "ome", "stk") if kind in tifffile.TIFF.FILE_FLAGS
}


class TiffImages(Dataset):
    """Images and labels read from a folder that :func:`ecgcourse.learning.datasets.write_images` wrote.

    Parameters
    ----------
    folder : path
        Holds ``images/0.tif``, ``images/1.tif``, … and ``labels/0.npy``, ``labels/1.npy``, …
    skip_bad : bool
        Read every file at once, and leave out the records of which one can't be read.
    progress : bool, optional
        Show a progress bar meanwhile; None shows it on a terminal only.

    Attributes
    ----------
    labels : (N, K) float32 tensor
    size : int
        Side S of an image in pixels, as found in the first file.
    recipe : ImageRecipe
        How they were made, as images.json tells; without it in the default way.
    task : Task or None
        What the labels mean, as images.json tells.
    bad_records : DataFrame
        What was left out: the columns ecg_id (as records.csv tells it), file and reason.

    Raises
    ------
    DataError
        No images, a number without its image or label, or a file that can't be read, has another shape, or is a
        link that leads out of the folder. The labels and the first image are read at once, the other images when
        asked for.
    """

    def __init__(self, folder: str | os.PathLike, skip_bad: bool = False, progress: bool | None = None):
        self.folder = Path(folder)
        for kind in ("images", "labels"):
            check_inside(self.folder / kind, self.folder)
        errors: dict[int, DataError] = {}
        self.recipe, self.sampling_rate, task = _noted(self.folder)
        if skip_bad:
            self.numbers, self.size, errors = _readable(self.folder, self.recipe.channels, progress)
        else:
            self.numbers = list(range(_count_pairs(self.folder)))
            self.size = _read_tiff(self.folder, 0, self.recipe.channels).shape[-1]
        self.recipe = replace(self.recipe, size=self.size)
        self.labels = _read_labels(self.folder, self.numbers)
        self.task = checked_task(self.labels, len(self.numbers), task)
        self.bad_records = _listed(self.folder, errors)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Read one record or a batch, as :class:`ecgcourse.learning.samples.RenderedImages` does; always on the CPU."""
        rows, channels = rows_of(self, index), self.recipe.channels
        images = torch.empty((rows.numel(), channels, self.size, self.size), dtype=torch.uint8)
        for place, row in enumerate(rows.reshape(-1).tolist()):
            images[place] = torch.from_numpy(_read_sized(self.folder, self.numbers[row], channels, self.size))
        return images.reshape(*rows.shape, *images.shape[1:]), self.labels[rows]


class Noted(NamedTuple):
    """What a folder of images tells of itself."""

    recipe: Recipe
    task: Task


def noted(data: str | os.PathLike) -> Noted | None:
    """How the images of a folder were made that `write_images` wrote; None where nothing tells."""
    for name in ptbxl.FOLDS:
        folder = Path(data) / name
        if os.path.lexists(folder / IMAGES):
            images, rate, task = _noted(folder)
            return Noted(Recipe(images, sampling_rate=rate), task or DEFAULT_TASK)
    return None


def is_synthetic(data: str | os.PathLike) -> bool:
    """Whether `data` is a synthetic practice set, or holds images of one."""
    folders = (Path(data), *(Path(data) / name for name in ptbxl.FOLDS))
    return any(practice.is_practice(folder) for folder in folders)


def is_written(folder: Path, settings: dict) -> bool:
    """Whether a folder holds images of these very settings, or some of them, as :func:`write_notes` tells."""
    try:
        return read_json(folder / IMAGES) == settings
    except DataError:
        return False


def write_partition(folder: Path, dataset: RenderedImages, ecg_ids: pd.Index, name: str, progress: bool | None) -> None:
    """Write the images and labels of a partition and its records.csv; images that are there already stay."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(exist_ok=True)
    for number, label in enumerate(dataset.labels.numpy()):
        np.save(folder / "labels" / f"{number}.npy", label)
    numbers = pd.RangeIndex(len(dataset), name="number")
    columns, table = {"ecg_id": ecg_ids}, getattr(dataset, "table", None)
    if table is not None and "patient_id" in table:
        # Judging draws patients.
        columns["patient_id"] = table["patient_id"].to_numpy()
    pd.DataFrame(columns).set_index(numbers).to_csv(folder / "records.csv", lineterminator="\n")
    missing = [number for number in numbers if not _image_path(folder, number).exists()]
    done = len(dataset) - len(missing)
    batch = max(1, WRITE_PIXELS // (dataset.recipe.channels * dataset.size**2))
    with progress_bar(progress, total=len(dataset), initial=done, desc=f"images of {name}", unit="record") as bar:
        for start in range(0, len(missing), batch):
            numbers = missing[start : start + batch]
            for number, image in zip(numbers, dataset[numbers][0].numpy(), strict=True):
                _write_tiff(_image_path(folder, number), image)
                bar.update()


def write_notes(folder: Path, settings: dict, synthetic: bool) -> None:
    """Write images.json, and mark images of a practice set as synthetic."""
    write_json(folder / IMAGES, settings)
    if synthetic:
        write_json(folder / practice.MARK, {"synthetic": True})


def _noted(folder: Path) -> tuple[ImageRecipe, float, Task | None]:
    """How the images of a folder were made, of which sampling rate, and what their labels mean, as images.json tells.

    Images that somebody else wrote, in the way of the original, have none.
    """
    path = folder / IMAGES
    if not os.path.lexists(path):
        return DEFAULT_IMAGES, 100, None
    notes = read_json(path)
    try:
        if "recipe" not in notes:
            # From before recipes, when there was one way and one set of labels.
            return replace(DEFAULT_IMAGES, size=notes["size"]), notes["sampling_rate"], DEFAULT_TASK
        recipe = Recipe.from_dict(notes["recipe"])
        return recipe.images or DEFAULT_IMAGES, recipe.sampling_rate, Task.from_dict(notes["task"])
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{path} doesn't tell how the images were made; write them again") from error


def _write_tiff(path: Path, image: np.ndarray) -> None:
    with atomic_write(path) as temporary:
        # Named, since tifffile would take some sizes for a colour picture.
        tifffile.imwrite(temporary, image, photometric="minisblack")


def _image_path(folder: Path, number: int) -> Path:
    return folder / "images" / f"{number}.tif"


def _readable(folder: Path, channels: int, progress: bool | None) -> tuple[list[int], int, dict[int, DataError]]:
    """The numbers whose image and label can be read, the side of the images, and what is wrong with the others."""
    found = sorted(_numbers(folder / "images", ".tif") | _numbers(folder / "labels", ".npy"))
    numbers, size, label, errors = [], 0, None, {}
    with progress_bar(progress, iterable=found, desc="checking images", unit="record") as bar:
        for number in bar:
            try:
                label = _read_label(folder, number, label)
                size = _read_sized(folder, number, channels, size).shape[-1]
                numbers.append(number)
            except DataError as error:
                errors[number] = error
    if not numbers:
        first = f"; the first: {errors[found[0]]}" if found else ": looked for images/0.tif and labels/0.npy"
        raise DataError(f"{folder} holds no images that can be used{first}")
    return numbers, size, errors


def _listed(folder: Path, errors: dict[int, DataError]) -> pd.DataFrame:
    """Bad records as a table, with the ecg_id that records.csv tells, or none."""
    try:
        stat_file(folder / "records.csv", folder, LARGEST_LIST)
        with (folder / "records.csv").open("rb") as file:
            ecg_ids = pd.read_csv(file, index_col="number")["ecg_id"].to_dict()
    # A table that helps to find a record must not be what stops the work.
    except Exception:
        ecg_ids = {}
    rows = [(ecg_ids.get(number), f"images/{number}.tif", str(error)) for number, error in errors.items()]
    return pd.DataFrame(rows, columns=list(ptbxl.BAD_COLUMNS))


def _count_pairs(folder: Path) -> int:
    images = _numbers(folder / "images", ".tif")
    labels = _numbers(folder / "labels", ".npy")
    for number in range(max(images | labels, default=-1) + 1):
        for found, path in ((images, f"images/{number}.tif"), (labels, f"labels/{number}.npy")):
            if number not in found:
                raise DataError(f"{folder}: {path} is missing; write the images again")
    if not images:
        raise DataError(f"{folder} holds no images: looked for images/0.tif and labels/0.npy")
    return len(images)


def _numbers(folder: Path, suffix: str) -> set[int]:
    names = {path.stem for path in folder.glob(f"*{suffix}")}
    strange = sorted(name for name in names if not re.fullmatch(r"0|[1-9]\d*", name, re.ASCII))
    if strange:
        raise DataError(f"{folder / strange[0]}{suffix}: not a number such as 0{suffix}; move it away")
    return {int(name) for name in names}


def _read_labels(folder: Path, numbers: Sequence[int]) -> torch.Tensor:
    """Labels (N, K) of numbered records, of as many classes as the first has."""
    found: list[torch.Tensor] = []
    for number in numbers:
        found.append(_read_label(folder, number, found[0] if found else None))
    return torch.stack(found)


def _read_label(folder: Path, number: int, like: torch.Tensor | None) -> torch.Tensor:
    """A label (K,) of 0 and 1, with as many classes as another one."""
    path = folder / "labels" / f"{number}.npy"
    try:
        label = torch.from_numpy(load_array(path, folder, LARGEST_LABEL).astype(np.float32))
    except DataError as error:
        raise DataError(f"{error}; it can't be read as a label: write the images again") from error
    n_classes = label.shape[0] if label.ndim == 1 and len(label) else len(ptbxl.CLASSES)
    check_labels(label, (n_classes,) if like is None else tuple(like.shape), path)
    return label


def _read_sized(folder: Path, number: int, channels: int, size: int) -> np.ndarray:
    """Read an image of side `size`; 0 takes any side."""
    image = _read_tiff(folder, number, channels)
    if size and image.shape[-1] != size:
        raise DataError(
            f"{_image_path(folder, number)} is {image.shape[-1]} pixels wide, but the first image is {size}; "
            "write the images again"
        )
    return image


def _read_tiff(folder: Path, number: int, channels: int) -> np.ndarray:
    path = _image_path(folder, number)
    n_bytes = stat_file(path, folder).st_size
    try:
        with tifffile.TiffFile(path, **_OTHER_KINDS) as file:
            image = file.series[0]
            _check_header_against_size(path, image.dtype, image.shape, channels, n_bytes)
            pixels = image.asarray()
    except DataError:
        raise
    # What a damaged file raises depends on where tifffile stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as an image ({in_words(error)}); write the images again") from error
    _check_header_against_size(path, pixels.dtype, pixels.shape, channels, n_bytes)
    return pixels


def _check_header_against_size(
    path: Path, dtype: np.dtype, shape: tuple[int, ...], channels: int, n_bytes: int
) -> None:
    """Hold what a TIFF file says of its image against what is needed and against its size."""
    if dtype != np.uint8 or len(shape) != 3 or shape != (channels, *shape[-1:] * 2):
        raise DataError(f"{path}: {dtype} of shape {shape}, but uint8 of shape ({channels}, S, S) is needed")
    if shape[-1] > LARGEST or channels * shape[-1] ** 2 > n_bytes:
        raise DataError(
            f"{path} has {n_bytes} bytes, which can't hold uncompressed images of shape {shape}, or they are more "
            f"than {LARGEST} pixels wide; write the images again"
        )
