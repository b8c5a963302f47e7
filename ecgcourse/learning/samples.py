"""What all datasets share, and the two whose records lie in memory: signals, and images rendered when asked for.

To what they share belongs what is drawn anew each time that a network learns from a record. Introduced in chapter 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from ecgcourse.errors import DataError, SettingError
from ecgcourse.images.fields import ALL_FIELDS, DIFFERENCE, FIELDS
from ecgcourse.images.render import DTYPES, differences, render
from ecgcourse.images.signals import IMAGE_LEADS, SignalRecipe
from ecgcourse.recipe import ImageRecipe, Task
from ecgcourse.records import ptbxl

CHANNELS = len(IMAGE_LEADS) * len(FIELDS)
"""Images per record, C, by default."""

SIGNAL_AXES = 3
"""Of a batch of signals: records, leads, samples."""

DEFAULT_IMAGES, DEFAULT_SIGNALS, DEFAULT_TASK = ImageRecipe(), SignalRecipe(), Task()


class Crops(NamedTuple):
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


class RenderedImages(Dataset):
    """Signals in memory whose images are rendered when asked for.

    Parameters
    ----------
    signals : (N, L, T) float array or tensor
        In [0, 1], as :func:`ecgcourse.images.signals.preprocess` returns them.
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
        self.task = checked_task(self.labels, len(self.signals), task)
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
            With V crops, :class:`Crops` of (V, C, S, S) or (B, V, C, S, S); of a :class:`Draw` always (B, C, S, S).
        labels : (K,) or (B, K) float32 tensor
        """
        rows = rows_of(self, index).to(self.signals.device, non_blocking=True)
        images = self._render(cropped(self.signals[rows.reshape(-1)], self.recipe.crop, self.recipe, index))
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
        As :meth:`ecgcourse.images.signals.SignalRecipe.apply` returns them.
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
        self.task = checked_task(self.labels, len(self.signals), task)
        _check_crop(recipe, self.signals.shape[-1])

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: Index) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one record, (L, T) and (K,), or a batch, (B, L, T) and (B, K), float32.

        With a crop T is its length; V crops are :class:`Crops` of (V, L, T) or (B, V, L, T), but of a :class:`Draw`
        always (B, L, T).
        """
        rows = rows_of(self, index).to(self.signals.device, non_blocking=True)
        picked = amplified(cropped(self.signals[rows.reshape(-1)], self.recipe.crop, self.recipe, index), index)
        return _as_asked(picked, rows, self.recipe, index), self.labels[rows]


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


def rows_of(dataset: Dataset, index: Index) -> torch.Tensor:
    """Which records an index or a draw names: their numbers, from 0 to N − 1, in the shape of the index."""
    # Indexing 0 … N − 1 settles negative numbers, slices and masks, and raises IndexError where a GPU would
    # only fail later.
    return torch.arange(len(dataset))[index.rows if isinstance(index, Draw) else index]


def cropped(x: torch.Tensor, crop: int | None, recipe: ImageRecipe | SignalRecipe | None, index: Index) -> torch.Tensor:
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
    starts = crop_starts(last, recipe.eval_crops)
    return _cut_out(x.repeat_interleave(len(starts), dim=0), starts.repeat(len(x)), crop)


def crop_starts(last: int, n_crops: int) -> torch.Tensor:
    """Samples (V,) at which the crops begin that a network is asked about, the last of them at most at `last`."""
    return torch.linspace(0, last, n_crops).round().long() if n_crops > 1 else torch.tensor([last // 2])


def amplified(x: torch.Tensor, index: Index) -> torch.Tensor:
    """Signals (B, L, T), each lead with the gain that was drawn for it."""
    if not isinstance(index, Draw) or not index.augmentation.gain:
        return x
    return x * index.gains(x.shape[1])[..., None].to(x.device)


def check_labels(labels: torch.Tensor, shape: tuple[int, ...], where: str | Path) -> None:
    """Refuse labels of another shape, or other numbers than 0 and 1, with a DataError that tells `where` they are."""
    if labels.shape != shape:
        raise DataError(f"{where}: shape {tuple(labels.shape)}, but {shape} is needed")
    if not ((labels == 0) | (labels == 1)).all():
        raise DataError(f"{where}: every label must be 0 or 1")


def checked_task(labels: torch.Tensor, n_records: int, task: Task | None, where: str = "labels") -> Task | None:
    """The task; DataError for labels that aren't of it."""
    n_classes = labels.shape[1] if labels.ndim == 2 else len(ptbxl.CLASSES)
    check_labels(labels, (n_records, len(task.classes) if task else max(1, n_classes)), where)
    if task is not None and task.is_multiclass and not (labels.sum(dim=1) == 1).all():
        raise DataError(f"{where}: a record has none or several of the classes, but exactly one is needed")
    return task


def _cut_out(x: torch.Tensor, starts: torch.Tensor, length: int) -> torch.Tensor:
    """Signals (B, L, length) from a sample (B,) of each record on; behind its end a record begins anew."""
    times = (starts.to(x.device)[:, None] + torch.arange(length, device=x.device)) % x.shape[-1]
    return x.gather(-1, times[:, None].expand(-1, x.shape[1], -1))


def _as_asked(
    made: torch.Tensor, rows: torch.Tensor, recipe: ImageRecipe | SignalRecipe, index: Index
) -> torch.Tensor | Crops:
    """What was made for the flattened rows, (B, …) or (B V, …), in the shape of the rows."""
    if recipe.eval_crops > 1 and not isinstance(index, Draw):
        return Crops(made.reshape(*rows.shape, recipe.eval_crops, *made.shape[1:]))
    # Reshaped only where it must be: a batch keeps the order of its memory.
    return made if rows.ndim == 1 else made.reshape(*rows.shape, *made.shape[1:])


def _check_crop(recipe: ImageRecipe | SignalRecipe, length: int) -> None:
    if recipe.crop is not None and recipe.crop > length:
        raise SettingError(f"crop={recipe.crop}, but the signals have {length} samples")


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
