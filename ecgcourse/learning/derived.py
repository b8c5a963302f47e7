"""Datasets made of other ones: signals and images of the same records, a part, any other of PyTorch's kind.

Introduced in chapters 8 and 13.
"""

import hashlib

import torch
from torch.utils.data import Dataset, Subset, default_collate

from ecgcourse.errors import DataError
from ecgcourse.learning.samples import (
    SIGNAL_AXES,
    Draw,
    Index,
    RenderedImages,
    Signals,
    amplified,
    checked_task,
    cropped,
    rows_of,
)
from ecgcourse.learning.tiff import TiffImages
from ecgcourse.recipe import Recipe, Task

MOST_CLASSES = 10_000


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
        self.task = checked_task(self.labels, len(self.labels), task if fits else None, type(dataset).__name__)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[object, torch.Tensor]:
        """Take one record, or a batch of the kind that ``default_collate`` makes, with the labels of this dataset."""
        rows = rows_of(self, index)
        if rows.ndim == 0:
            return self.dataset[rows.item()][0], self.labels[rows]
        inputs = default_collate([self.dataset[row][0] for row in rows.tolist()])
        if isinstance(index, Draw) and isinstance(inputs, torch.Tensor) and inputs.ndim == SIGNAL_AXES:
            inputs = amplified(cropped(inputs, None, None, index), index)
        return inputs, self.labels[rows]


class Part(Dataset):
    """Some records of one of the package's datasets, as ``torch.utils.data.Subset`` and ``random_split`` choose them.

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
        numbers = self.numbers[rows_of(self, index)]
        return self.dataset[index._replace(rows=numbers.tolist()) if isinstance(index, Draw) else numbers]


def batched(dataset: Dataset, task: Task | None = None) -> Dataset:
    """Return a dataset of the package as it is, or a part of one; any other as :class:`Batched` with this `task`."""
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, AnyDataset):
        return Part(dataset)
    return dataset if hasattr(dataset, "labels") else Batched(dataset, task)


def recipe_of(dataset: Dataset) -> Recipe | None:
    """What a network is fed that learns from a dataset or is judged on it; None for one that isn't of the package."""
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


def _one_hot(numbers: torch.Tensor, task: Task | None, where: str) -> tuple[torch.Tensor, Task]:
    """Numbers of classes (N,) as a table (N, K) of 0 and 1."""
    whole = not numbers.is_floating_point() and not numbers.is_complex() and numbers.dtype != torch.bool
    highest = int(numbers.max()) if whole else 0
    n_classes = len(task.classes) if task else max(2, highest + 1)
    if not whole or numbers.min() < 0 or highest >= min(n_classes, MOST_CLASSES):
        raise DataError(f"{where}: labels without axes must be numbers of classes, whole and from 0 to {n_classes - 1}")
    task = Task(task.classes if task else tuple(f"class {k}" for k in range(n_classes)), "multiclass")
    return torch.nn.functional.one_hot(numbers.long(), n_classes), task
