"""Torch datasets: images rendered from signals when asked for or read from TIFF files, signals, or both.

All kinds answer to the same calls: ``dataset[5]`` is one record with its label, ``dataset[[5, 8, 2]]`` is a
batch made in one go, ``dataset.labels`` is every label. Introduced in chapter 08.
"""

import hashlib
import json
import math
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tifffile
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, Subset, default_collate
from tqdm import tqdm

from ecgcourse import __version__, practice, ptbxl
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, brief, in_words, shown
from ecgcourse.fields import ALL_FIELDS, DIFFERENCE, FIELDS, LARGEST
from ecgcourse.files import check_inside, load_array, read_json, stat_file, whole_file, whole_folder
from ecgcourse.recipe import ImageRecipe, Recipe, Task
from ecgcourse.render import DTYPES, differences, render
from ecgcourse.signals import IMAGE_LEADS, SignalRecipe
from ecgcourse.workers import deaf_to_ctrl_c

CHANNELS = len(IMAGE_LEADS) * len(FIELDS)
"""Images per record, C, by default."""

SIGNAL_AXES = 3
"""Of a batch of signals: records, leads, samples."""

# Pixels rendered together while writing: 64 stacks of 256 × 256 are 38 MB.
WRITE_PIXELS = 64 * CHANNELS * 256**2
# Bytes of files that are read as a whole: a label of four classes has 144, a list of a million records 15 million.
LARGEST_LABEL, LARGEST_LIST = 2**16, 2**28
MOST_CLASSES = 10_000
IMAGES, BAD_RECORDS = "images.json", "bad_records.csv"
"""What :func:`write_images` adds to images, labels and records.csv: what they were made of, what was left out."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share; containers often have only 64 MB of it."""

# Kinds of TIFF for which tifffile follows names in a file to other files, or believes a description.
_OTHER_KINDS = {
    f"is_{kind}": False for kind in ("lsm", "mmstack", "ndtiff", "ome", "stk") if kind in tifffile.TIFF.FILE_FLAGS
}


class Views(NamedTuple):
    """Several crops of each record, where a dataset would else have one input: (B, V, …), or (V, …) of one record."""

    inputs: torch.Tensor


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew each time that a network learns from a record, beside the place of a crop.

    Parameters
    ----------
    gain : float
        Each lead of a signal is multiplied by a random number between 1 / (1 + gain) and 1 + gain, on a logarithmic
        scale. Images stay as they are.
    roll : bool
        Circular shift: let a record begin at a random sample and go on from its end to its beginning, so that what
        looks at a part of the samples sees other ones each time. Signals and images of a record shift alike.
    """

    gain: float = 0.0
    roll: bool = False


class Draw(NamedTuple):
    """The records of a batch from which a network learns, and what is drawn for them; stands in place of an index.

    All is drawn for the whole batch, of which a process takes its share, so that any number of processes and of
    loader workers draws the same.
    """

    rows: list[int]
    places: range
    n_records: int
    seed: int
    augmentation: Augmentation

    def crop_and_roll(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where crops and shifts begin, as shares in [0, 1) of the places that there are: two tensors (B,)."""
        shares = torch.rand(2, self.n_records, generator=self._generator(), dtype=torch.float64)
        return tuple(shares[:, self.places])

    def gains(self, n_leads: int) -> torch.Tensor:
        """One factor for each lead of each record, (B, L) float32."""
        generator, span = self._generator().manual_seed(self.seed + 1), math.log1p(self.augmentation.gain)
        numbers = torch.rand(self.n_records, n_leads, generator=generator) * 2 - 1
        return (numbers * span).exp()[self.places]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


Index = int | slice | Sequence[int] | np.ndarray | torch.Tensor | Draw


DEFAULT_IMAGES, DEFAULT_SIGNALS, DEFAULT_TASK = ImageRecipe(), SignalRecipe(), Task()


class RenderedImages(Dataset):
    """Signals in memory whose images are rendered when asked for.

    Parameters
    ----------
    signals : (N, L, T) float array or tensor
        In [0, 1], as :func:`ecgcourse.signals.preprocess` returns them.
    labels : (N, K) array or tensor
        1 where the record has the class, else 0.
    size : int, optional
        Side S of an image in pixels; None: that of the recipe.
    device : str or torch.device
        Where the signals are kept and the images are rendered.
    dtype : torch.dtype
        uint8 for grey levels; float16, bfloat16 or float32 for images in [0, 1] with the channels of a pixel
        side by side, ready for a network. On a GPU those are written directly, and nothing is read again.
    recipe : ImageRecipe
        Which images are made of the signals; how those were filtered and scaled is only noted.
    task : Task, optional
        What the K labels mean; None: nobody says.

    Attributes
    ----------
    signals : (N, L, T) float32 tensor
    labels : (N, K) float32 tensor
    size : int
    dtype : torch.dtype
    recipe : ImageRecipe
        With the `size`.
    task : Task or None

    Raises
    ------
    DataError
        Shapes that don't fit together, no record at all, signals outside [0, 1] or NaN, labels that are
        neither 0 nor 1.
    SettingError
        A size below 1, a `dtype` that images can't have, or a crop longer than the signals.
    """

    def __init__(
        self,
        signals: np.ndarray | torch.Tensor,
        labels: np.ndarray | torch.Tensor,
        size: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.uint8,
        recipe: ImageRecipe = DEFAULT_IMAGES,
        task: Task | None = None,
    ):
        self.recipe = recipe if size is None else replace(recipe, size=size)
        if dtype not in DTYPES:
            raise SettingError(f"RenderedImages: dtype={dtype}, but images are {', '.join(map(str, DTYPES))}")
        self.signals = torch.as_tensor(signals, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(labels, dtype=torch.float32, device=device)
        self.size = self.recipe.size
        self.dtype = dtype
        _check_signals(self.signals)
        self.task = _checked_task(self.labels, len(self.signals), task)
        _check_crop(recipe, self.signals.shape[-1])

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Render one record or a batch.

        Parameters
        ----------
        index : int, or sequence or tensor of B ints, or Draw

        Returns
        -------
        images : (C, S, S) or (B, C, S, S) tensor of `dtype`
            With V crops, :class:`Views` of (V, C, S, S) or (B, V, C, S, S); of a :class:`Draw` always (B, C, S, S).
        labels : (K,) or (B, K) float32 tensor
        """
        rows = _rows(self, index).to(self.signals.device, non_blocking=True)
        images = self._render(_cropped(self.signals[rows.reshape(-1)], self.recipe.crop, self.recipe, index))
        return _as_asked(images, rows, self.recipe, index), self.labels[rows]

    def _render(self, x: torch.Tensor) -> torch.Tensor:
        layout = torch.contiguous_format if self.dtype == torch.uint8 else torch.channels_last
        # Values were looked at when this dataset was made.
        how = {"dtype": self.dtype, "memory_format": layout, "check": False}
        wanted = self.recipe.fields
        if wanted == FIELDS:
            return render(x, self.size, mtf_white=self.recipe.mtf_white, **how)
        if wanted == (DIFFERENCE,):
            return differences(x, self.size, **how)
        made = [render(x, self.size, mtf_white=self.recipe.mtf_white, **how).unflatten(1, (-1, len(FIELDS)))]
        if DIFFERENCE in wanted:
            made.append(differences(x, self.size, **how)[:, :, None])
        picked = torch.cat(made, dim=2)[:, :, [ALL_FIELDS.index(name) for name in wanted]]
        return picked.flatten(1, 2).contiguous(memory_format=layout)


class Signals(Dataset):
    """Signals in memory, as a network takes them.

    Parameters
    ----------
    signals : (N, L, T) float array or tensor
        As :meth:`ecgcourse.signals.SignalRecipe.apply` returns them.
    labels : (N, K) array or tensor
        1 where the record has the class, else 0.
    device : str or torch.device
        Where signals and labels are kept.
    recipe : SignalRecipe
        Which crops the network reads; how the signals were filtered and scaled is only noted.
    task : Task, optional
        What the K labels mean; None: nobody says.

    Attributes
    ----------
    signals : (N, L, T) float32 tensor
    labels : (N, K) float32 tensor
    size : None
        There are no images.
    recipe : SignalRecipe
    task : Task or None

    Raises
    ------
    DataError
        Shapes that don't fit together, no record at all, signals that are NaN or infinite, labels that are
        neither 0 nor 1.
    SettingError
        A crop longer than the signals.
    """

    size = None

    def __init__(
        self,
        signals: np.ndarray | torch.Tensor,
        labels: np.ndarray | torch.Tensor,
        device: str | torch.device = "cpu",
        recipe: SignalRecipe = DEFAULT_SIGNALS,
        task: Task | None = None,
    ):
        self.signals = torch.as_tensor(signals, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(labels, dtype=torch.float32, device=device)
        self.recipe = recipe
        _check_finite(self.signals)
        self.task = _checked_task(self.labels, len(self.signals), task)
        _check_crop(recipe, self.signals.shape[-1])

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one record, (L, T) and (K,), or a batch, (B, L, T) and (B, K), float32.

        With a crop T is its length; V crops are :class:`Views` of (V, L, T) or (B, V, L, T), but of a :class:`Draw`
        always (B, L, T).
        """
        rows = _rows(self, index).to(self.signals.device, non_blocking=True)
        picked = _amplified(_cropped(self.signals[rows.reshape(-1)], self.recipe.crop, self.recipe, index), index)
        return _as_asked(picked, rows, self.recipe, index), self.labels[rows]


class SignalsAndImages(Dataset):
    """The signals and the images of the same records, so that no shuffling can part them.

    Parameters
    ----------
    signals : Signals
    images : RenderedImages or TiffImages

    Attributes
    ----------
    parts : tuple
        Both datasets.
    labels : (N, K) float32 tensor
    size : int
        Side S of an image in pixels.

    Raises
    ------
    DataError
        The two don't have the same labels in the same order.
    SettingError
        Crops in different numbers, which a network couldn't take together.
    """

    def __init__(self, signals: Signals, images: "RenderedImages | TiffImages"):
        if not torch.equal(signals.labels.cpu(), images.labels.cpu()):
            raise DataError(
                "SignalsAndImages: signals and images have different labels, so they aren't the same records"
            )
        Recipe(images.recipe, signals.recipe)
        self.parts = (signals, images)
        self.labels, self.size, self.task = images.labels, images.size, images.task

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Take a record or a batch: (signals, images) as both datasets give them, and labels."""
        signals, images = self.parts
        pictures, labels = images[index]
        return (signals[index][0], pictures), labels


class TiffImages(Dataset):
    """Images and labels read from a folder that :func:`write_images` wrote.

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
        self.task = _checked_task(self.labels, len(self.numbers), task)
        self.bad_records = _listed(self.folder, errors)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Read one record or a batch; as :meth:`RenderedImages.__getitem__`, always on the CPU."""
        rows, channels = _rows(self, index), self.recipe.channels
        images = torch.empty((rows.numel(), channels, self.size, self.size), dtype=torch.uint8)
        for place, row in enumerate(rows.reshape(-1).tolist()):
            images[place] = torch.from_numpy(_read_sized(self.folder, self.numbers[row], channels, self.size))
        return images.reshape(*rows.shape, *images.shape[1:]), self.labels[rows]


AnyDataset = RenderedImages | TiffImages | Signals | SignalsAndImages


class Batched(Dataset):
    """Any dataset of (inputs, labels), answering as the others here do: a batch in one go, and all its labels.

    Goes through the whole dataset once when made.

    Parameters
    ----------
    dataset : Dataset
        ``dataset[i]`` is what a model takes of one record, a tensor or a tuple of them, and its label: (K,) of 0 and
        1, or the number of its class, from 0, where each record has exactly one.
    task : Task, optional
        What the labels mean; None: nobody says. Numbers always mean classes of which each record has exactly one.

    Attributes
    ----------
    labels : (N, K) float32 tensor
    size : None
        Nothing is known of images.
    task : Task or None
    digest : str
        SHA-256 of all inputs.

    Raises
    ------
    DataError
        No record, labels that aren't K numbers 0 or 1, or numbers of classes that the task doesn't have.
    """

    size = None

    def __init__(self, dataset: Dataset, task: Task | None = None):
        self.dataset = dataset
        digest, labels = hashlib.sha256(), []
        for number in range(len(dataset)):
            inputs, label = dataset[number]
            for each in [inputs] if isinstance(inputs, torch.Tensor) else inputs:
                digest.update(torch.as_tensor(each).cpu().contiguous().numpy().tobytes())
            labels.append(torch.as_tensor(label).cpu())
        if not labels or labels[0].ndim > 1 or len({each.shape for each in labels}) != 1:
            shapes = ", ".join(sorted({str(tuple(each.shape)) for each in labels})) or "none"
            raise DataError(
                f"{type(dataset).__name__}: labels of shape (K,) are needed, one for each record, not {shapes}"
            )
        table, self.digest = torch.stack(labels), digest.hexdigest()
        if table.ndim == 1:
            table, task = _one_hot(table, task, type(dataset).__name__)
        self.labels = table.to(torch.float32)
        fits = task is not None and len(task.classes) == table.shape[1]
        self.task = _checked_task(self.labels, len(self.labels), task if fits else None, type(dataset).__name__)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[object, torch.Tensor]:
        """Take one record, or a batch of the kind that ``default_collate`` makes, with the labels of this dataset."""
        rows = _rows(self, index)
        if rows.ndim == 0:
            return self.dataset[rows.item()][0], self.labels[rows]
        inputs = default_collate([self.dataset[row][0] for row in rows.tolist()])
        if isinstance(index, Draw) and isinstance(inputs, torch.Tensor) and inputs.ndim == SIGNAL_AXES:
            inputs = _amplified(_cropped(inputs, None, None, index), index)
        return inputs, self.labels[rows]


class Part(Dataset):
    """Some records of a dataset of this module, as ``torch.utils.data.Subset`` and ``random_split`` choose them.

    Parameters
    ----------
    subset : Subset
    """

    def __init__(self, subset: Subset):
        self.dataset, self.numbers = subset.dataset, torch.as_tensor(subset.indices)
        self.labels = self.dataset.labels[self.numbers]
        self.size, self.task = self.dataset.size, self.dataset.task
        self.digest = hashlib.sha256(self.numbers.numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Index) -> tuple[object, torch.Tensor]:
        """As the whole dataset."""
        numbers = self.numbers[_rows(self, index)]
        return self.dataset[index._replace(rows=numbers.tolist()) if isinstance(index, Draw) else numbers]


def batched(dataset: Dataset, task: Task | None = None) -> Dataset:
    """Return a dataset of this module as it is, or a part of one; any other as :class:`Batched` with this `task`."""
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, AnyDataset):
        return Part(dataset)
    return dataset if hasattr(dataset, "labels") else Batched(dataset, task)


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
) -> AnyDataset:
    """Open one partition of a PTB-XL folder or of a folder of images.

    Parameters
    ----------
    data : path
        A PTB-XL folder, whose signals are read, preprocessed and kept in memory, or a folder that
        :func:`write_images` wrote.
    partition : {"train", "val", "test"}
    size : int, optional
        Side S of an image in pixels; None: that of the recipe.
    device : str or torch.device
        Where signals are kept and rendered. TIFF files are always read on the CPU.
    sampling_rate : float, optional
        In Hz; None: that of the recipe, else 100. PTB-XL has records of 100 and of 500 Hz; others are made of those
        of 500. Images on disk are what they are.
    progress : bool, optional
        Show a progress bar while signals are read; None shows it on a terminal only.
    dtype : torch.dtype
        Of rendered images, see :class:`RenderedImages`; TIFF files are always read as uint8.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one.
    images : ImageRecipe, optional
        How images are made; None makes none. TIFF files are what they are.
    signals : SignalRecipe, optional
        How signals are prepared that the network reads beside the images, or instead of them; None: it reads
        none. A folder of images has none.
    recipe : Recipe, optional
        All of this in one, such as a model's; takes the place of `images`, `signals` and `sampling_rate`.
    task : Task
        Which labels, such as a model's. The records are those that have one of the label set, see
        :func:`ecgcourse.ptbxl.split`.

    Returns
    -------
    RenderedImages or TiffImages, Signals, or SignalsAndImages
        Its attribute ``bad_records`` is a DataFrame of what was left out: ecg_id, file and reason.

    Raises
    ------
    DataError
        `data` is neither kind of folder, the partition has no records, or the images there have another
        size or were made in another way, or their labels mean something else; also whatever reading it raises. With
        `skip_bad`, if no record is left, or none of a class that the partition has, or none without it.
    SettingError
        An unknown partition, a size below 1 or above 4096, or signals of a folder of images.

    Warns
    -----
    EcgCourseWarning
        If records were left out.
    """
    _check_partition(partition)
    if recipe is None:
        recipe = _recipe(images, signals, sampling_rate, size)
        # Of a folder of images nothing was asked.
        wanted = recipe if size is not None or images is not DEFAULT_IMAGES or signals is not None else None
    else:
        recipe = wanted = replace(recipe, images=_sized(recipe.images, size))
    if ptbxl.is_ptbxl(data):
        settings = {"device": device, "dtype": dtype, "recipe": recipe, "task": task}
        return _open_records(data, partition, progress, skip_bad, **settings)[0]
    return _open_images(Path(data), partition, wanted, task, skip_bad, progress)


def prepare(
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
        In mV, as :func:`ecgcourse.ptbxl.read_signals` returns them.
    labels : (N, K) array or tensor
    sampling_rate : float, optional
        Of the voltages, in Hz; None: that of the recipe, else 100. With a `recipe` of another rate they are
        resampled (:func:`ecgcourse.signals.resample`).
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


def recipe_of(dataset: Dataset) -> Recipe | None:
    """What a network is fed that learns from a dataset or is judged on it; None for one that isn't of this module."""
    found = {}
    if isinstance(dataset, Subset | Part):
        return recipe_of(dataset.dataset)
    for part in getattr(dataset, "parts", (dataset,)):
        if isinstance(part, Signals):
            found["signals"] = part.recipe
        elif isinstance(part, RenderedImages | TiffImages):
            found["images"] = part.recipe
    return Recipe(**found, sampling_rate=getattr(dataset, "sampling_rate", 100)) if found else None


def seconds_of(dataset: Dataset) -> float | None:
    """How long the records are that a dataset is made of; None where it doesn't tell."""
    if isinstance(dataset, Part):
        return seconds_of(dataset.dataset)
    part = getattr(dataset, "parts", (dataset,))[0]
    if not isinstance(part, Signals | RenderedImages):
        return None
    return part.signals.shape[-1] / getattr(dataset, "sampling_rate", 100)


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
    ``records.csv`` with the columns number and ecg_id, and ``images.json``, which tells what they were made of.
    Images of the practice set stay marked as synthetic.

    If the work is cut short, the same call goes on with the images that are complete. Where the very same
    images already lie, nothing is written.

    Parameters
    ----------
    data : path
        A PTB-XL folder.
    out : path
        Gets one folder per partition, none of which may hold anything else yet.
    partitions : iterable of {"train", "val", "test"}
    size : int, optional
        Side S of an image in pixels; None: that of the recipe.
    sampling_rate : float
        As for :func:`from_data`.
    progress : bool, optional
        Show progress bars; None shows them on a terminal only.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one. They are listed in
        ``bad_records.csv`` of each partition: ecg_id, file, reason.
    images : ImageRecipe
        How they are made, without a crop.
    task : Task
        Which labels, as for :func:`from_data`.

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
        An unknown partition, a size below 1 or above 4096, or a crop: a file can't show another place each time.

    Warns
    -----
    EcgCourseWarning
        If records were left out.
    """
    out, recipe = Path(out), _recipe(images, None, sampling_rate, size)
    if images.crop is not None:
        raise SettingError(f"crop={images.crop}, but a file shows the same samples each time; write images without one")
    made_of = {name: _made_of(data, name, recipe, task, skip_bad) for name in partitions}
    with ExitStack() as stack:
        # All folders are claimed before the first image is rendered, so that a taken one is found at once.
        folders = {
            name: stack.enter_context(whole_folder(out / name, settings=settings))
            for name, settings in made_of.items()
            if not _is_written(out / name, settings)
        }
        for name, folder in folders.items():
            dataset, table = _open_records(data, name, progress, skip_bad, recipe=recipe, task=task)
            _write_partition(folder, dataset, table.index, name, progress)
            _write_notes(folder, made_of[name], practice.is_practice(data))
            if skip_bad:
                dataset.bad_records.to_csv(
                    folder / BAD_RECORDS, index=False, lineterminator="\n", errors="backslashreplace"
                )
    return out


class Noted(NamedTuple):
    """What a folder of images tells of itself."""

    recipe: Recipe
    task: Task


def noted(data: str | os.PathLike) -> Noted | None:
    """How the images of a folder were made that :func:`write_images` wrote; None where nothing tells."""
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


class BatchOrder(Sampler[list[int]]):
    """Which records make each batch of an epoch: the same ones for any number of processes, from any batch on.

    The record at place p of the epoch's order belongs to process p mod R of the R processes that share the
    batches. So each record is taken exactly once, and the last batch may leave some processes without any.

    Parameters
    ----------
    n_records : int
        Records of the dataset, N.
    batch_size : int
        Records per batch, B, of all processes together; the last batch may have fewer.
    shuffle : bool
        A new order in every epoch.
    seed : int
        Decides the orders.
    share : (int, int)
        Number r of this process, from 0, and number R of processes.
    augmentation : Augmentation, optional
        Let each batch be a :class:`Draw`, for learning; None: a list of records, for judging.
    """

    def __init__(
        self,
        n_records: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        share: tuple[int, int] = (0, 1),
        augmentation: Augmentation | None = None,
    ):
        self.n_records, self.batch_size, self.shuffle, self.share = n_records, batch_size, shuffle, share
        self.augmentation = augmentation
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch_start = self._generator.get_state()
        self._first = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.n_records // self.batch_size)

    def __iter__(self) -> Iterator[list[int] | Draw]:
        """Yield this process's records of each batch of the next epoch, B / R numbers or one more or fewer."""
        self._epoch_start = self._generator.get_state()
        order = self._next_order()
        first, self._first = self._first, 0
        rank, size = self.share
        seed = self._seed_of_draws()
        for start in range(first * self.batch_size, self.n_records, self.batch_size):
            end = min(start + self.batch_size, self.n_records)
            places = range((rank - start) % size, end - start, size)
            rows = [order[start + place] for place in places]
            if self.augmentation is None:
                yield rows
            else:
                # Two seeds a batch, one of them for gains.
                yield Draw(rows, places, end - start, seed + 2 * (start // self.batch_size), self.augmentation)

    def state(self, done: int) -> dict[str, torch.Tensor | int]:
        """Where an epoch stands after `done` of its batches, 0 meaning that it has not begun, for :meth:`seek`."""
        return {"generator": self._epoch_start if done else self._generator.get_state(), "batch": done}

    def seek(self, state: dict[str, torch.Tensor | int]) -> None:
        """Let the next epoch be the one of `state`, from the first batch on that was not done."""
        self._generator.set_state(state["generator"])
        self._first = state["batch"]

    def _seed_of_draws(self) -> int:
        """Of this epoch; from a generator of its own, so that the order is the same with and without draws."""
        source = torch.Generator().set_state(self._epoch_start) if self.shuffle else self._generator
        return 0 if self.augmentation is None else int(torch.randint(2**62, (), generator=source))

    def _next_order(self) -> list[int]:
        places = range(self.n_records)
        return list(RandomSampler(places, generator=self._generator)) if self.shuffle else list(places)


def loader(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    augmentation: Augmentation | None = None,
) -> DataLoader:
    """Go through a dataset in batches, each of which is one call to the dataset.

    Parameters
    ----------
    dataset : Dataset
        One of this module, or any other as for :class:`Batched`.
    batch_size : int
        Records per batch, B; the last batch may have fewer.
    shuffle : bool
        A new order in every epoch. The orders depend on `seed` alone, whatever the number of workers.
    seed : int
        Seeds the loader's own generator; PyTorch's global one is neither read nor moved.
    workers : int
        Processes that prepare batches; 0 prepares them in this process, as are those of data that lie on a GPU.
        They are started anew, not forked, on every system: the dataset's class must stand in a module, and a script
        that calls this must do so under ``if __name__ == "__main__":``.
    share : (int, int)
        Number of this process and number of processes that share each batch, as in :class:`BatchOrder`.
    augmentation : Augmentation, optional
        For learning: crops lie at random places, and gain and circular shift are drawn, all from `seed`. None, for
        judging: crops lie at their fixed places.

    Returns
    -------
    DataLoader
        Yields what the dataset gives for B records: images (B, C, S, S) uint8, say, and labels (B, K). Its
        `sampler` is a :class:`BatchOrder`.

    Raises
    ------
    SettingError
        `batch_size` below 1, `workers` below 0, or more workers than shared memory has room for; an augmentation that
        the dataset can't have. Going through the batches: a dataset that can't be sent to other processes.
    """
    dataset = batched(dataset)
    _check_augmentation(dataset, augmentation or Augmentation())
    if batch_size < 1:
        raise SettingError(f"batch_size={batch_size}, but it must be at least 1")
    if workers < 0:
        raise SettingError(f"workers={workers}, but it must be 0 or more")
    # What lies on a GPU is prepared there at once; other processes would have to share it.
    workers = workers if dataset.labels.device.type == "cpu" else 0
    if workers:
        _check_shared_memory(dataset, batch_size, workers)
    return _Loader(
        dataset,
        sampler=BatchOrder(len(dataset), batch_size, shuffle, seed, share, augmentation),
        batch_size=None,
        num_workers=workers,
        # A fork of a process with threads, as PyTorch has them, may wait for one of them forever.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        # Of its own: DataLoader draws seeds for its workers from it, which must not change the order.
        generator=torch.Generator().manual_seed(seed),
    )


def _check_shared_memory(dataset: Dataset, batch_size: int, workers: int) -> None:
    """Refuse workers whose batches don't fit into shared memory: they would fail, and this process wait for ever."""
    if not SHARED_MEMORY.is_dir():
        return
    # Each worker prepares two batches ahead; the signals that all of them read lie there too.
    needed = 2 * workers * batch_size * _n_bytes(dataset[[0]]) + _n_bytes(dataset)
    room = shutil.disk_usage(SHARED_MEMORY).free
    if needed > room:
        raise SettingError(
            f"workers={workers} need {needed / 1e6:,.0f} MB of shared memory, but {SHARED_MEMORY} has "
            f"{room / 1e6:,.0f} MB free; use workers=0 or a smaller batch, or give a container more (--shm-size)"
        )


def _n_bytes(value: object) -> int:
    """Bytes of all tensors in a batch, or that a dataset holds."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Dataset):
        value = tuple(vars(value).values())
    return sum(map(_n_bytes, value)) if isinstance(value, tuple) else 0


class _Loader(DataLoader):
    def __iter__(self) -> Iterator:
        with deaf_to_ctrl_c(), warnings.catch_warnings():
            # PyTorch's advice before the error; ours says the same in one line.
            warnings.filterwarnings("ignore", "Got pickle error")
            try:
                return super().__iter__()
            # Python's pickle says so in either way.
            except (AttributeError, pickle.PicklingError) as error:
                raise SettingError(
                    f"workers={self.num_workers}, but this dataset can't be sent to other processes "
                    f"({brief(str(error), 200)}); define its class in a module, or use workers=0"
                ) from error


def _check_augmentation(dataset: Dataset, augmentation: Augmentation) -> None:
    whole = dataset.dataset if isinstance(dataset, Part) else dataset
    parts = getattr(whole, "parts", (whole,))
    if augmentation.gain and all(isinstance(part, RenderedImages | TiffImages) for part in parts):
        raise SettingError(f"gain={augmentation.gain:g}, but there are no signals, only images; use gain=0")
    if augmentation.roll and any(isinstance(part, TiffImages) for part in parts):
        raise SettingError("roll=True, but images on disk can't be shifted; use roll=False, or the records themselves")
    if isinstance(dataset, Batched) and (augmentation.gain or augmentation.roll):
        first = dataset[[0]][0]
        if not (isinstance(first, torch.Tensor) and first.ndim == SIGNAL_AXES):
            raise SettingError(
                "gain and roll change signals of shape (L, T), and this dataset gives something else; use gain=0 and "
                "roll=False"
            )


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Grey levels 0 … 255 as the float32 numbers in [0, 1] that a model takes; any shape, same device.

    Raises
    ------
    DataError
        The images aren't uint8: they may have been divided already.
    """
    if images.dtype != torch.uint8:
        raise DataError(f"to_float: the images are {images.dtype}, but uint8 grey levels are needed")
    if images.ndim == 4:
        # The values stay in place; convolutions read them faster with the channels of a pixel side by side.
        images = images.contiguous(memory_format=torch.channels_last)
    return images.to(torch.float32) / 255


def _rows(dataset: Dataset, index: Index) -> torch.Tensor:
    # Indexing 0 … N − 1 settles negative numbers, slices and masks, and raises IndexError where a GPU would
    # only fail later.
    return torch.arange(len(dataset))[index.rows if isinstance(index, Draw) else index]


def _recipe(
    images: ImageRecipe | None, signals: SignalRecipe | None, sampling_rate: float | None, size: int | None
) -> Recipe:
    return Recipe(_sized(images, size), signals, 100 if sampling_rate is None else sampling_rate)


def _sized(images: ImageRecipe | None, size: int | None) -> ImageRecipe | None:
    return images if size is None or images is None else replace(images, size=size)


def _check_partition(partition: str) -> None:
    if partition not in ptbxl.FOLDS:
        known = ", ".join(ptbxl.FOLDS)
        raise SettingError(f"no partition is called {shown(partition)}; the partitions are {known}")


def _check_crop(recipe: ImageRecipe | SignalRecipe, length: int) -> None:
    if recipe.crop is not None and recipe.crop > length:
        raise SettingError(f"crop={recipe.crop}, but the signals have {length} samples")


def _cropped(
    x: torch.Tensor, crop: int | None, recipe: ImageRecipe | SignalRecipe | None, index: Index
) -> torch.Tensor:
    """Crop signals: (B, L, T) to (B, L, crop), or to (B V, L, crop), record by record, at the places of `recipe`.

    A :class:`Draw` has one random place for each, and may shift the records before.
    """
    last = x.shape[-1] - (crop or x.shape[-1])
    if isinstance(index, Draw):
        crops, rolls = index.crop_and_roll()
        starts = (crops * (last + 1)).long()
        if index.augmentation.roll:
            starts = starts + (rolls * x.shape[-1]).long()
        return x if crop is None and not index.augmentation.roll else _cut_out(x, starts, crop or x.shape[-1])
    if crop is None:
        return x
    n_crops = recipe.eval_crops
    starts = torch.linspace(0, last, n_crops).round().long() if n_crops > 1 else torch.tensor([last // 2])
    return _cut_out(x.repeat_interleave(n_crops, dim=0), starts.repeat(len(x)), crop)


def _amplified(x: torch.Tensor, index: Index) -> torch.Tensor:
    """Signals (B, L, T), each lead with the gain that was drawn for it."""
    if not isinstance(index, Draw) or not index.augmentation.gain:
        return x
    return x * index.gains(x.shape[1])[..., None].to(x.device)


def _cut_out(x: torch.Tensor, starts: torch.Tensor, length: int) -> torch.Tensor:
    """Signals (B, L, length) from a sample (B,) of each record on; behind its end a record begins anew."""
    times = (starts.to(x.device)[:, None] + torch.arange(length, device=x.device)) % x.shape[-1]
    return x.gather(-1, times[:, None].expand(-1, x.shape[1], -1))


def _as_asked(
    made: torch.Tensor, rows: torch.Tensor, recipe: ImageRecipe | SignalRecipe, index: Index
) -> torch.Tensor | Views:
    """What was made for the flattened rows, (B, …) or (B V, …), in the shape of the rows."""
    if recipe.eval_crops > 1 and not isinstance(index, Draw):
        return Views(made.reshape(*rows.shape, recipe.eval_crops, *made.shape[1:]))
    # Reshaped only where it must be: a batch keeps the order of its memory.
    return made if rows.ndim == 1 else made.reshape(*rows.shape, *made.shape[1:])


def _check_finite(x: torch.Tensor) -> None:
    _check_three_axes("Signals", x)
    bad = ~torch.isfinite(x).flatten(1).all(dim=1)
    if bad.any():
        raise DataError(
            f"Signals: {int(bad.sum())} of {len(x)} signals hold NaN or infinite samples, the first at row "
            f"{int(bad.nonzero()[0, 0])}; repair or leave out those records"
        )


def _check_three_axes(what: str, x: torch.Tensor) -> None:
    if x.ndim != 3 or 0 in x.shape:
        raise DataError(f"{what}: signals have shape {tuple(x.shape)}; (N, L, T), N > 0, is needed")


def _check_signals(x: torch.Tensor) -> None:
    _check_three_axes("RenderedImages", x)
    # Written so that NaN fails too.
    bad = ~((x >= 0) & (x <= 1)).flatten(1).all(dim=1)
    if bad.any():
        raise DataError(
            f"RenderedImages: {int(bad.sum())} of {len(x)} signals leave [0, 1] or hold NaN, the first at "
            f"row {int(bad.nonzero()[0, 0])}; scale them with signals.preprocess"
        )


def _check_labels(labels: torch.Tensor, shape: tuple[int, ...], where: str | Path) -> None:
    if labels.shape != shape:
        raise DataError(f"{where}: shape {tuple(labels.shape)}, but {shape} is needed")
    if not ((labels == 0) | (labels == 1)).all():
        raise DataError(f"{where}: every label must be 0 or 1")


def _checked_task(labels: torch.Tensor, n_records: int, task: Task | None, where: str = "labels") -> Task | None:
    """The task; DataError for labels that aren't of it."""
    n_classes = labels.shape[1] if labels.ndim == 2 else len(ptbxl.CLASSES)
    _check_labels(labels, (n_records, len(task.classes) if task else max(1, n_classes)), where)
    if task is not None and task.is_multiclass and not (labels.sum(dim=1) == 1).all():
        raise DataError(f"{where}: a record has none or several of the classes, but exactly one is needed")
    return task


def _one_hot(numbers: torch.Tensor, task: Task | None, where: str) -> tuple[torch.Tensor, Task]:
    """Numbers of classes (N,) as a table (N, K) of 0 and 1."""
    whole = not numbers.is_floating_point() and not numbers.is_complex() and numbers.dtype != torch.bool
    highest = int(numbers.max()) if whole else 0
    n_classes = len(task.classes) if task else max(2, highest + 1)
    if not whole or numbers.min() < 0 or highest >= min(n_classes, MOST_CLASSES):
        raise DataError(f"{where}: labels without axes must be numbers of classes, whole and from 0 to {n_classes - 1}")
    task = Task(task.classes if task else tuple(f"class {k}" for k in range(n_classes)), "multiclass")
    return torch.nn.functional.one_hot(numbers.long(), n_classes), task


def _records(data: str | os.PathLike, partition: str, task: Task) -> tuple[pd.DataFrame, int]:
    """The records of a partition that the task has labels for, and how many others there are."""
    _check_partition(partition)
    whole = ptbxl.read_table(data)
    table = ptbxl.split(whole, task.label_set)[partition]
    if table.empty:
        raise DataError(
            f"{data}: the partition {partition!r} is empty: no record of strat_fold "
            f"{', '.join(map(str, ptbxl.FOLDS[partition]))} has a label of the set {task.label_set!r}"
        )
    return table, int(whole["strat_fold"].isin(ptbxl.FOLDS[partition]).sum()) - len(table)


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
    rate = _source_rate(recipe)
    if skip_bad:
        whole = table
        voltages, table, bad = ptbxl.read_usable_signals(data, whole, rate, progress=progress)
        _check_left(_labels(whole, task), _labels(table, task), bad, f"{data}, partition {partition}", task)
    else:
        voltages = ptbxl.read_signals(data, table, rate, progress=progress)
    dataset = prepare(voltages, _labels(table, task), rate, recipe=recipe, task=task, **settings)
    dataset.bad_records, dataset.n_unlabelled = bad, n_unlabelled
    dataset.synthetic = is_synthetic(data)
    return dataset, table


def _source_rate(recipe: Recipe) -> int:
    """Which of PTB-XL's two sampling rates to make the input of."""
    return 100 if recipe.sampling_rate == 100 else 500


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
            f"{data} holds no data: looked for ptbxl_database.csv and scp_statements.csv (a PTB-XL folder) "
            f"and for {partition}/images (a folder written by `python -m ecgcourse images`)"
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
        "records": ptbxl.fingerprint(data, table, _source_rate(recipe)),
        "labels": labels.hexdigest()[:32],
    }
    return json.loads(json.dumps(made_of))


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


def _is_written(folder: Path, settings: dict) -> bool:
    try:
        return read_json(folder / IMAGES) == settings
    except DataError:
        return False


def _write_partition(
    folder: Path, dataset: RenderedImages, ecg_ids: pd.Index, name: str, progress: bool | None
) -> None:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(exist_ok=True)
    for number, label in enumerate(dataset.labels.numpy()):
        np.save(folder / "labels" / f"{number}.npy", label)
    numbers = pd.RangeIndex(len(dataset), name="number")
    pd.DataFrame({"ecg_id": ecg_ids}, index=numbers).to_csv(folder / "records.csv", lineterminator="\n")
    missing = [number for number in numbers if not _image_path(folder, number).exists()]
    done = len(dataset) - len(missing)
    batch = max(1, WRITE_PIXELS // (dataset.recipe.channels * dataset.size**2))
    with _bar(f"images of {name}", len(dataset), done, progress) as bar:
        for start in range(0, len(missing), batch):
            numbers = missing[start : start + batch]
            for number, image in zip(numbers, dataset[numbers][0].numpy(), strict=True):
                _write_tiff(_image_path(folder, number), image)
                bar.update()


def _write_tiff(path: Path, image: np.ndarray) -> None:
    with whole_file(path) as temporary:
        # Named, since tifffile would take some sizes for a colour picture.
        tifffile.imwrite(temporary, image, photometric="minisblack")


def _write_notes(folder: Path, settings: dict, synthetic: bool) -> None:
    (folder / IMAGES).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    if synthetic:
        (folder / practice.MARK).write_text('{"synthetic": true}\n', encoding="utf-8")


def _bar(what: str, total: int, start: int, progress: bool | None) -> tqdm:
    hidden = None if progress is None else not progress
    return tqdm(total=total, initial=start, desc=what, unit="record", disable=hidden)


def _image_path(folder: Path, number: int) -> Path:
    return folder / "images" / f"{number}.tif"


def _readable(folder: Path, channels: int, progress: bool | None) -> tuple[list[int], int, dict[int, DataError]]:
    """The numbers whose image and label can be read, the side of the images, and what is wrong with the others."""
    found = sorted(_numbers(folder / "images", ".tif") | _numbers(folder / "labels", ".npy"))
    numbers, size, label, errors = [], 0, None, {}
    with _bar("checking images", len(found), 0, progress) as bar:
        for number in found:
            try:
                label = _read_label(folder, number, label)
                size = _read_sized(folder, number, channels, size).shape[-1]
                numbers.append(number)
            except DataError as error:
                errors[number] = error
            bar.update()
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
    _check_labels(label, (n_classes,) if like is None else tuple(like.shape), path)
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
            _check_promise(path, image.dtype, image.shape, channels, n_bytes)
            pixels = image.asarray()
    except DataError:
        raise
    # What a damaged file raises depends on where tifffile stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as an image ({in_words(error)}); write the images again") from error
    _check_promise(path, pixels.dtype, pixels.shape, channels, n_bytes)
    return pixels


def _check_promise(path: Path, dtype: np.dtype, shape: tuple[int, ...], channels: int, n_bytes: int) -> None:
    """Hold what a TIFF file says of its image against what is needed and against its size."""
    if dtype != np.uint8 or len(shape) != 3 or shape != (channels, *shape[-1:] * 2):
        raise DataError(f"{path}: {dtype} of shape {shape}, but uint8 of shape ({channels}, S, S) is needed")
    if shape[-1] > LARGEST or channels * shape[-1] ** 2 > n_bytes:
        raise DataError(
            f"{path} has {n_bytes} bytes, which can't hold uncompressed images of shape {shape}, or they are more "
            f"than {LARGEST} pixels wide; write the images again"
        )
