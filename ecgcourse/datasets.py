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
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tifffile
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, default_collate
from tqdm import tqdm

from ecgcourse import __version__, practice, ptbxl
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, brief, in_words, shown
from ecgcourse.fields import ALL_FIELDS, DIFFERENCE, FIELDS, LARGEST
from ecgcourse.files import check_inside, load_array, read_json, stat_file, whole_file, whole_folder
from ecgcourse.recipe import ImageRecipe, Recipe
from ecgcourse.render import DTYPES, differences, render
from ecgcourse.signals import IMAGE_LEADS, SignalRecipe
from ecgcourse.workers import deaf_to_ctrl_c

CHANNELS = len(IMAGE_LEADS) * len(FIELDS)
"""Images per record, C."""

# Pixels rendered together while writing: 64 stacks of 256 × 256 are 38 MB.
WRITE_PIXELS = 64 * CHANNELS * 256**2
# Bytes of files that are read as a whole: a label has 144, a list of a million records 15 million.
LARGEST_LABEL, LARGEST_LIST = 2**12, 2**28
IMAGES, BAD_RECORDS = "images.json", "bad_records.csv"
"""What :func:`write_images` adds to images, labels and records.csv: what they were made of, what was left out."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share; containers often have only 64 MB of it."""

# Kinds of TIFF for which tifffile follows names in a file to other files, or believes a description.
_OTHER_KINDS = {
    f"is_{kind}": False for kind in ("lsm", "mmstack", "ndtiff", "ome", "stk") if kind in tifffile.TIFF.FILE_FLAGS
}


class Views(NamedTuple):
    """Several views of each record, where a dataset would else have one input: (B, V, …), or (V, …) of one record."""

    inputs: torch.Tensor


Index = int | slice | Sequence[int] | np.ndarray | torch.Tensor


DEFAULT_IMAGES, DEFAULT_SIGNALS = ImageRecipe(), SignalRecipe()


class RenderedImages(Dataset):
    """Signals in memory whose images are rendered when asked for.

    Parameters
    ----------
    signals : (N, L, T) float array or tensor
        In [0, 1], as :func:`ecgcourse.signals.preprocess` returns them.
    labels : (N, K) array or tensor
        1 where the record has the class, else 0.
    size : int
        Side S of an image in pixels.
    device : str or torch.device
        Where the signals are kept and the images are rendered.
    dtype : torch.dtype
        uint8 for grey levels; float16, bfloat16 or float32 for images in [0, 1] with the channels of a pixel
        side by side, ready for a network. On a GPU those are written directly, and nothing is read again.
    recipe : ImageRecipe
        Which images are made of the signals; how those were filtered and scaled is only noted.

    Attributes
    ----------
    signals : (N, L, T) float32 tensor
    labels : (N, K) float32 tensor
    size : int
    dtype : torch.dtype
    recipe : ImageRecipe

    Raises
    ------
    DataError
        Shapes that don't fit together, no record at all, signals outside [0, 1] or NaN, labels that are
        neither 0 nor 1.
    SettingError
        A size below 1, a `dtype` that images can't have, or a window longer than the signals.
    """

    def __init__(
        self,
        signals: np.ndarray | torch.Tensor,
        labels: np.ndarray | torch.Tensor,
        size: int = 256,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.uint8,
        recipe: ImageRecipe = DEFAULT_IMAGES,
    ):
        _check_size(size)
        if dtype not in DTYPES:
            raise SettingError(f"RenderedImages: dtype={dtype}, but images are {', '.join(map(str, DTYPES))}")
        self.signals = torch.as_tensor(signals, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(labels, dtype=torch.float32, device=device)
        self.size = size
        self.dtype = dtype
        self.recipe = recipe
        _check_signals(self.signals)
        _check_table(self.labels, len(self.signals))
        _check_window(recipe, self.signals.shape[-1])

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Render one record or a batch.

        Parameters
        ----------
        index : int, or sequence or tensor of B ints

        Returns
        -------
        images : (C, S, S) or (B, C, S, S) tensor of `dtype`
            With V views, :class:`Views` of (V, C, S, S) or (B, V, C, S, S).
        labels : (K,) or (B, K) float32 tensor
        """
        rows = _rows(self, index).to(self.signals.device, non_blocking=True)
        picked = self.signals[rows.reshape(-1)]
        shifted = _shifted(picked) if self.recipe.shift else picked
        images = self._render(_windows(shifted, self.recipe))
        return _as_asked(images, rows, self.recipe), self.labels[rows]

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
        Which windows the network reads; how the signals were filtered and scaled is only noted.

    Attributes
    ----------
    signals : (N, L, T) float32 tensor
    labels : (N, K) float32 tensor
    size : None
        There are no images.

    Raises
    ------
    DataError
        Shapes that don't fit together, no record at all, signals that are NaN or infinite, labels that are
        neither 0 nor 1.
    SettingError
        A window longer than the signals.
    """

    size = None

    def __init__(
        self,
        signals: np.ndarray | torch.Tensor,
        labels: np.ndarray | torch.Tensor,
        device: str | torch.device = "cpu",
        recipe: SignalRecipe = DEFAULT_SIGNALS,
    ):
        self.signals = torch.as_tensor(signals, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(labels, dtype=torch.float32, device=device)
        self.recipe = recipe
        _check_finite(self.signals)
        _check_table(self.labels, len(self.signals))
        _check_window(recipe, self.signals.shape[-1])

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one record, (L, T) and (K,), or a batch, (B, L, T) and (B, K), float32.

        With windows (L, window) and (B, L, window); V views are :class:`Views` of (V, L, window) or (B, V, L, window).
        """
        rows = _rows(self, index).to(self.signals.device, non_blocking=True)
        picked = _windows(self.signals[rows.reshape(-1)], self.recipe)
        if self.recipe.gain:
            span = math.log1p(self.recipe.gain)
            picked = picked * torch.empty(picked.shape[:2]).uniform_(-span, span).exp()[..., None].to(picked.device)
        return _as_asked(picked, rows, self.recipe), self.labels[rows]


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
        Windows, which would lie at other places of the signals than of the images.
    """

    def __init__(self, signals: Signals, images: "RenderedImages | TiffImages"):
        if not torch.equal(signals.labels.cpu(), images.labels.cpu()):
            raise DataError(
                "SignalsAndImages: signals and images have different labels, so they aren't the same records"
            )
        if any(getattr(each, "recipe", DEFAULT_IMAGES).window for each in (signals, images)):
            raise SettingError("SignalsAndImages: signals and images would be windows at other places; use no window")
        self.parts = (signals, images)
        self.labels, self.size = images.labels, images.size

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
        if skip_bad:
            self.numbers, self.size, errors = _readable(self.folder, progress)
        else:
            self.numbers = list(range(_count_pairs(self.folder)))
            self.size = _read_tiff(self.folder, 0).shape[-1]
        self.labels = torch.stack([_read_label(self.folder, number) for number in self.numbers])
        self.sampling_rate = _rate_of(self.folder)
        self.bad_records = _listed(self.folder, errors)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Read one record or a batch; as :meth:`RenderedImages.__getitem__`, always on the CPU."""
        rows = _rows(self, index)
        images = torch.empty((rows.numel(), CHANNELS, self.size, self.size), dtype=torch.uint8)
        for place, row in enumerate(rows.reshape(-1).tolist()):
            images[place] = torch.from_numpy(_read_sized(self.folder, self.numbers[row], self.size))
        return images.reshape(*rows.shape, *images.shape[1:]), self.labels[rows]


AnyDataset = RenderedImages | TiffImages | Signals | SignalsAndImages


class Batched(Dataset):
    """Any dataset of (inputs, labels), answering as the others here do: a batch in one go, and all its labels.

    Goes through the whole dataset once when made.

    Parameters
    ----------
    dataset : Dataset
        ``dataset[i]`` is what a model takes of one record, a tensor or a tuple of them, and its label, (K,) of 0 and 1.

    Attributes
    ----------
    labels : (N, K) float32 tensor
    size : None
        Nothing is known of images.
    digest : str
        SHA-256 of all inputs.

    Raises
    ------
    DataError
        No record, or labels that aren't K numbers 0 or 1.
    """

    size = None

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        digest, labels = hashlib.sha256(), []
        for number in range(len(dataset)):
            inputs, label = dataset[number]
            for each in [inputs] if isinstance(inputs, torch.Tensor) else inputs:
                digest.update(torch.as_tensor(each).cpu().contiguous().numpy().tobytes())
            labels.append(torch.as_tensor(label, dtype=torch.float32).cpu())
        if not labels or labels[0].ndim != 1 or len({each.shape for each in labels}) != 1:
            shapes = ", ".join(sorted({str(tuple(each.shape)) for each in labels})) or "none"
            raise DataError(
                f"{type(dataset).__name__}: labels of shape (K,) are needed, one for each record, not {shapes}"
            )
        self.labels, self.digest = torch.stack(labels), digest.hexdigest()
        _check_labels(self.labels, self.labels.shape, type(dataset).__name__)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[object, torch.Tensor]:
        """Take one record, or a batch of the kind that ``default_collate`` makes."""
        rows = _rows(self, index)
        if rows.ndim == 0:
            return self.dataset[rows.item()]
        return default_collate([self.dataset[row] for row in rows.tolist()])


def batched(dataset: Dataset) -> Dataset:
    """Return a dataset of this module as it is, and any other one as :class:`Batched`."""
    return dataset if hasattr(dataset, "labels") else Batched(dataset)


def from_data(
    data: str | os.PathLike,
    partition: str,
    size: int = 256,
    device: str | torch.device = "cpu",
    sampling_rate: int = 100,
    progress: bool | None = None,
    dtype: torch.dtype = torch.uint8,
    skip_bad: bool = False,
    images: ImageRecipe | None = DEFAULT_IMAGES,
    signals: SignalRecipe | None = None,
) -> AnyDataset:
    """Open one partition of a PTB-XL folder or of a folder of images.

    Parameters
    ----------
    data : path
        A PTB-XL folder, whose signals are read, preprocessed and kept in memory, or a folder that
        :func:`write_images` wrote.
    partition : {"train", "val", "test"}
    size : int
        Side S of an image in pixels.
    device : str or torch.device
        Where signals are kept and rendered. TIFF files are always read on the CPU.
    sampling_rate : int
        100 or 500 Hz; matters for a PTB-XL folder only.
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

    Returns
    -------
    RenderedImages or TiffImages, Signals, or SignalsAndImages
        Its attribute ``bad_records`` is a DataFrame of what was left out: ecg_id, file and reason.

    Raises
    ------
    DataError
        `data` is neither kind of folder, the partition has no records, or the images there have another
        size; also whatever reading it raises. With `skip_bad`, if no record is left, or none of a class that the
        partition has, or none without it.
    SettingError
        An unknown partition, or a size below 1 or above 4096.

    Warns
    -----
    EcgCourseWarning
        If records were left out.
    """
    _check_partition(partition)
    _check_size(size)
    if ptbxl.is_ptbxl(data):
        settings = {"size": size, "device": device, "dtype": dtype, "images": images, "signals": signals}
        return _open_records(data, partition, sampling_rate, progress, skip_bad, **settings)[0]
    if images != DEFAULT_IMAGES or signals is not None:
        raise SettingError(f"{data} is a folder of images, which are as they were written; name a PTB-XL folder")
    return _open_images(Path(data), partition, size, skip_bad, progress)


def prepare(
    voltages: np.ndarray,
    labels: np.ndarray | torch.Tensor,
    sampling_rate: int = 100,
    size: int = 256,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.uint8,
    images: ImageRecipe | None = DEFAULT_IMAGES,
    signals: SignalRecipe | None = None,
) -> RenderedImages | Signals | SignalsAndImages:
    """Make a dataset of records in memory.

    Parameters
    ----------
    voltages : (N, 12, T) float array
        In mV, as :func:`ecgcourse.ptbxl.read_signals` returns them.
    labels : (N, K) array or tensor
    sampling_rate : int
        In Hz.
    size, device, dtype, images, signals
        As for :func:`from_data`.

    Returns
    -------
    RenderedImages, Signals or SignalsAndImages

    Raises
    ------
    DataError, SettingError
        As the datasets and recipes do; SettingError for neither images nor signals.
    """
    if images is None and signals is None:
        raise SettingError("neither images nor signals are asked for; name at least one")
    read = None if signals is None else Signals(signals.apply(voltages, sampling_rate), labels, device, signals)
    dataset = read
    if images is not None:
        rendered = RenderedImages(images.apply(voltages, sampling_rate), labels, size, device, dtype, images)
        dataset = rendered if read is None else SignalsAndImages(read, rendered)
    dataset.sampling_rate = sampling_rate
    return dataset


def recipe_of(dataset: Dataset) -> Recipe | None:
    """What a network is fed that learns from a dataset or is judged on it; None for one that isn't of this module."""
    found = {}
    for part in getattr(dataset, "parts", (dataset,)):
        if isinstance(part, Signals):
            found["signals"] = part.recipe
        elif isinstance(part, RenderedImages):
            found["images"] = part.recipe
        elif isinstance(part, TiffImages):
            # Files are written in the default way alone.
            found["images"] = DEFAULT_IMAGES
    return Recipe(**found, sampling_rate=getattr(dataset, "sampling_rate", 100)) if found else None


def write_images(
    data: str | os.PathLike,
    out: str | os.PathLike,
    partitions: Iterable[str] = ("train",),
    size: int = 256,
    sampling_rate: int = 100,
    progress: bool | None = None,
    skip_bad: bool = False,
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
    size : int
        Side S of an image in pixels.
    sampling_rate : int
        100 or 500 Hz.
    progress : bool, optional
        Show progress bars; None shows them on a terminal only.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one. They are listed in
        ``bad_records.csv`` of each partition: ecg_id, file, reason.

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
        An unknown partition, or a size below 1 or above 4096.

    Warns
    -----
    EcgCourseWarning
        If records were left out.
    """
    out = Path(out)
    _check_size(size)
    made_of = {name: _made_of(data, name, size, sampling_rate, skip_bad) for name in partitions}
    with ExitStack() as stack:
        # All folders are claimed before the first image is rendered, so that a taken one is found at once.
        folders = {
            name: stack.enter_context(whole_folder(out / name, settings=settings))
            for name, settings in made_of.items()
            if not _is_written(out / name, settings)
        }
        for name, folder in folders.items():
            dataset, table = _open_records(data, name, sampling_rate, progress, skip_bad, size=size)
            _write_partition(folder, dataset, table.index, name, progress)
            _write_notes(folder, made_of[name], practice.is_practice(data))
            if skip_bad:
                dataset.bad_records.to_csv(
                    folder / BAD_RECORDS, index=False, lineterminator="\n", errors="backslashreplace"
                )
    return out


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
    """

    def __init__(self, n_records: int, batch_size: int, shuffle: bool, seed: int, share: tuple[int, int] = (0, 1)):
        self.n_records, self.batch_size, self.shuffle, self.share = n_records, batch_size, shuffle, share
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch_start = self._generator.get_state()
        self._first = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.n_records // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this process's records of each batch of the next epoch, B / R numbers or one more or fewer."""
        self._epoch_start = self._generator.get_state()
        order = self._next_order()
        first, self._first = self._first, 0
        rank, size = self.share
        for start in range(first * self.batch_size, self.n_records, self.batch_size):
            end = min(start + self.batch_size, self.n_records)
            yield order[start + (rank - start) % size : end : size]

    def state(self, done: int) -> dict[str, torch.Tensor | int]:
        """Where an epoch stands after `done` of its batches, 0 meaning that it has not begun, for :meth:`seek`."""
        return {"generator": self._epoch_start if done else self._generator.get_state(), "batch": done}

    def seek(self, state: dict[str, torch.Tensor | int]) -> None:
        """Let the next epoch be the one of `state`, from the first batch on that was not done."""
        self._generator.set_state(state["generator"])
        self._first = state["batch"]

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
        Processes that prepare batches; 0 prepares them in this process. They are started anew, not forked, on
        every system: the dataset's class must stand in a module, and a script that calls this must do so under
        ``if __name__ == "__main__":``.
    share : (int, int)
        Number of this process and number of processes that share each batch, as in :class:`BatchOrder`.

    Returns
    -------
    DataLoader
        Yields what the dataset gives for B records: images (B, C, S, S) uint8, say, and labels (B, K). Its
        `sampler` is a :class:`BatchOrder`.

    Raises
    ------
    SettingError
        `batch_size` below 1, `workers` below 0, workers for images that are rendered on a GPU, or more of them than
        shared memory has room for. Going through the batches: a dataset that can't be sent to other processes.
    """
    dataset = batched(dataset)
    if batch_size < 1:
        raise SettingError(f"batch_size={batch_size}, but it must be at least 1")
    if workers < 0:
        raise SettingError(f"workers={workers}, but it must be 0 or more")
    if workers and _draws_windows(dataset):
        # Each process would draw places of its own, and a resumed run others than one that ran through.
        raise SettingError(f"workers={workers}, but windows at random places are drawn in one process; use workers=0")
    if workers and dataset.labels.device.type != "cpu":
        raise SettingError(
            f"workers={workers}, but these images are rendered on {dataset.labels.device}, which other "
            "processes can't share; use workers=0"
        )
    if workers:
        _check_shared_memory(dataset, batch_size, workers)
    return _Loader(
        dataset,
        sampler=BatchOrder(len(dataset), batch_size, shuffle, seed, share),
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


def _draws_windows(dataset: Dataset) -> bool:
    recipe = getattr(dataset, "recipe", DEFAULT_IMAGES)
    return getattr(recipe, "shift", False) or (recipe.window is not None and not recipe.views)


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
    return torch.arange(len(dataset))[index]


def _check_size(size: int) -> None:
    if not 1 <= size <= LARGEST:
        raise SettingError(f"size={size}, but an image has from 1 to {LARGEST} pixels a side")


def _check_partition(partition: str) -> None:
    if partition not in ptbxl.FOLDS:
        known = ", ".join(ptbxl.FOLDS)
        raise SettingError(f"no partition is called {shown(partition)}; the partitions are {known}")


def _check_window(recipe: ImageRecipe | SignalRecipe, length: int) -> None:
    if recipe.window is not None and recipe.window > length:
        raise SettingError(f"window={recipe.window}, but the signals have {length} samples")


def _windows(x: torch.Tensor, recipe: ImageRecipe | SignalRecipe) -> torch.Tensor:
    """Cut windows out of signals: (B, L, T) to (B, L, window), or to (B V, L, window), record by record."""
    if recipe.window is None:
        return x
    last = x.shape[-1] - recipe.window
    if recipe.views:
        starts = torch.linspace(0, last, recipe.views).round().long().repeat(len(x))
        x = x.repeat_interleave(recipe.views, dim=0)
    else:
        starts = torch.randint(last + 1, (len(x),))
    return _cut_out(x, starts, recipe.window)


def _shifted(x: torch.Tensor) -> torch.Tensor:
    """Signals (B, L, T), each turned round in time by a random number of samples."""
    return _cut_out(x, torch.randint(x.shape[-1], (len(x),)), x.shape[-1])


def _cut_out(x: torch.Tensor, starts: torch.Tensor, length: int) -> torch.Tensor:
    """Signals (B, L, length) from a sample (B,) of each record on; behind its end a record begins anew."""
    times = (starts.to(x.device)[:, None] + torch.arange(length, device=x.device)) % x.shape[-1]
    return x.gather(-1, times[:, None].expand(-1, x.shape[1], -1))


def _as_asked(made: torch.Tensor, rows: torch.Tensor, recipe: ImageRecipe | SignalRecipe) -> torch.Tensor | Views:
    """What was made for the flattened rows, (B, …) or (B V, …), in the shape of the rows."""
    if recipe.views:
        return Views(made.reshape(*rows.shape, recipe.views, *made.shape[1:]))
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


def _check_table(labels: torch.Tensor, n_records: int) -> None:
    n_classes = labels.shape[1] if labels.ndim == 2 else len(ptbxl.CLASSES)
    _check_labels(labels, (n_records, max(1, n_classes)), "labels")


def _records(data: str | os.PathLike, partition: str) -> pd.DataFrame:
    _check_partition(partition)
    table = ptbxl.split(ptbxl.read_table(data))[partition]
    if table.empty:
        raise DataError(
            f"{data}: the partition {partition!r} is empty: no record of strat_fold "
            f"{', '.join(map(str, ptbxl.FOLDS[partition]))} has a diagnostic superclass"
        )
    return table


def _open_records(
    data: str | os.PathLike,
    partition: str,
    sampling_rate: int,
    progress: bool | None,
    skip_bad: bool,
    **settings,
) -> tuple[RenderedImages | Signals | SignalsAndImages, pd.DataFrame]:
    """The dataset of one partition of a PTB-XL folder, and the rows of the table that it is made of."""
    table, bad = _records(data, partition), pd.DataFrame(columns=list(ptbxl.BAD_COLUMNS))
    if skip_bad:
        whole = table
        voltages, table, bad = ptbxl.read_usable_signals(data, whole, sampling_rate, progress=progress)
        _check_left(ptbxl.labels(whole), ptbxl.labels(table), bad, f"{data}, partition {partition}")
    else:
        voltages = ptbxl.read_signals(data, table, sampling_rate, progress=progress)
    dataset = prepare(voltages, ptbxl.labels(table), sampling_rate, **settings)
    dataset.bad_records = bad
    return dataset, table


def _check_left(before: np.ndarray, after: np.ndarray, bad: pd.DataFrame, where: str) -> None:
    """Tell what was left out, and refuse if a class went with it: (N, K) labels before, (M, K) after."""
    for value, words in ((1, "is"), (0, "isn't")):
        lost = (before == value).any(axis=0) & ~(after == value).any(axis=0)
        if lost.any():
            name = ptbxl.CLASSES[int(np.argmax(lost))]
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


def _open_images(data: Path, partition: str, size: int, skip_bad: bool, progress: bool | None) -> TiffImages:
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
    if dataset.size != size:
        raise DataError(
            f"{data / partition}: the images are {dataset.size} pixels wide, but size {size} was asked for; "
            f"ask for {dataset.size} or write the images again"
        )
    return dataset


def _made_of(data: str | os.PathLike, partition: str, size: int, sampling_rate: int, skip_bad: bool) -> dict:
    """All that the images of a partition depend on."""
    table = _records(data, partition)
    labels = hashlib.sha256(table.index.to_numpy(np.int64).tobytes() + ptbxl.labels(table).tobytes())
    return {
        "version": __version__,
        "partition": partition,
        "size": size,
        "sampling_rate": sampling_rate,
        "skip_bad": skip_bad,
        "records": ptbxl.fingerprint(data, table, sampling_rate),
        "labels": labels.hexdigest()[:32],
    }


def _rate_of(folder: Path) -> int:
    """Of the records, in Hz, that the images of a folder were made of."""
    try:
        rate = read_json(folder / IMAGES)["sampling_rate"]
    except (DataError, TypeError, KeyError):
        # Written by somebody else, in the way of the original.
        return 100
    return 500 if rate == 500 else 100


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
    batch = max(1, WRITE_PIXELS // (CHANNELS * dataset.size**2))
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


def _readable(folder: Path, progress: bool | None) -> tuple[list[int], int, dict[int, DataError]]:
    """The numbers whose image and label can be read, the side of the images, and what is wrong with the others."""
    found = sorted(_numbers(folder / "images", ".tif") | _numbers(folder / "labels", ".npy"))
    numbers, size, errors = [], 0, {}
    with _bar("checking images", len(found), 0, progress) as bar:
        for number in found:
            try:
                _read_label(folder, number)
                size = _read_sized(folder, number, size).shape[-1]
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


def _read_label(folder: Path, number: int) -> torch.Tensor:
    path = folder / "labels" / f"{number}.npy"
    try:
        label = torch.from_numpy(load_array(path, folder, LARGEST_LABEL).astype(np.float32))
    except DataError as error:
        raise DataError(f"{error}; it can't be read as a label: write the images again") from error
    _check_labels(label, (len(ptbxl.CLASSES),), path)
    return label


def _read_sized(folder: Path, number: int, size: int) -> np.ndarray:
    """Read an image of side `size`; 0 takes any side."""
    image = _read_tiff(folder, number)
    if size and image.shape[-1] != size:
        raise DataError(
            f"{_image_path(folder, number)} is {image.shape[-1]} pixels wide, but the first image is {size}; "
            "write the images again"
        )
    return image


def _read_tiff(folder: Path, number: int) -> np.ndarray:
    path = _image_path(folder, number)
    n_bytes = stat_file(path, folder).st_size
    try:
        with tifffile.TiffFile(path, **_OTHER_KINDS) as file:
            image = file.series[0]
            _check_promise(path, image.dtype, image.shape, n_bytes)
            pixels = image.asarray()
    except DataError:
        raise
    # What a damaged file raises depends on where tifffile stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as an image ({in_words(error)}); write the images again") from error
    _check_promise(path, pixels.dtype, pixels.shape, n_bytes)
    return pixels


def _check_promise(path: Path, dtype: np.dtype, shape: tuple[int, ...], n_bytes: int) -> None:
    """Hold what a TIFF file says of its image against what is needed and against its size."""
    if dtype != np.uint8 or len(shape) != 3 or shape != (CHANNELS, *shape[-1:] * 2):
        raise DataError(f"{path}: {dtype} of shape {shape}, but uint8 of shape ({CHANNELS}, S, S) is needed")
    if shape[-1] > LARGEST or CHANNELS * shape[-1] ** 2 > n_bytes:
        raise DataError(
            f"{path} has {n_bytes} bytes, which can't hold uncompressed images of shape {shape}, or they are more "
            f"than {LARGEST} pixels wide; write the images again"
        )
