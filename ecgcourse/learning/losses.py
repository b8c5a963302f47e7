"""The loss of a training: how much each class weighs in it, and its mean over an epoch. Introduced in chapter 10."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ecgcourse.errors import DataError, check_setting
from ecgcourse.learning import distributed, metrics
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import Task, class_names


def positive_weights(labels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """How much a positive record of each class weighs in the loss: negatives over positives.

    Parameters
    ----------
    labels : (N, K) array or tensor of 0 and 1
        All training labels, and no others.

    Returns
    -------
    (K,) float32 tensor
        On the CPU.

    Raises
    ------
    DataError
        A class without positives, whose weight would be infinite, or without negatives, whose weight would
        be 0.
    """
    labels = torch.as_tensor(labels).cpu()
    _check_both_outcomes(labels, "the training labels")
    positives = labels.sum(dim=0, dtype=torch.float64)
    return ((len(labels) - positives) / positives).to(torch.float32)


def loss_function_of(train: Dataset, val: Dataset | None, config: TrainConfig, task: Task) -> nn.Module:
    """The loss of a training on these labels, with `positive_weights` of the settings or of the training labels."""
    if val is not None:
        _check_both_outcomes(val.labels, "the validation labels", task)
    _check_both_outcomes(train.labels, "the training labels", task)
    counts = train.labels.cpu().sum(dim=0)
    counted = len(train) / (len(counts) * counts) if task.is_multiclass else positive_weights(train.labels)
    chosen = counted if config.positive_weights is None else torch.tensor(config.positive_weights)
    right = len(chosen) == len(counted)
    words = f"one number for each of the {len(counted)} classes"
    check_setting("", "positive_weights", config.positive_weights, right, words)
    return nn.CrossEntropyLoss(weight=chosen) if task.is_multiclass else nn.BCEWithLogitsLoss(pos_weight=chosen)


class LossMeter:
    """The losses of the steps that an epoch has taken so far, by all processes together.

    Attributes
    ----------
    losses : (B,) float64 tensor
        Mean loss of each step that was settled.
    counts : (B,) float64 tensor
        Number of records of each.
    """

    def __init__(self, losses: Iterable[float] | torch.Tensor = (), counts: Iterable[float] | torch.Tensor = ()):
        self.losses = torch.as_tensor(losses, dtype=torch.float64)
        self.counts = torch.as_tensor(counts, dtype=torch.float64)
        self._new_losses: list[torch.Tensor] = []
        self._new_counts: list[int] = []

    def __len__(self) -> int:
        """Steps taken."""
        return len(self.losses) + len(self._new_losses)

    def add(self, loss: torch.Tensor, count: int) -> None:
        """Note this process's mean loss in a step, and its records; nothing is read from the device yet."""
        self._new_losses.append(loss.detach())
        self._new_counts.append(count)

    def settle(self) -> None:
        """Exchange what was noted; every process must call this after the same step."""
        if not self._new_losses:
            return
        context = distributed.context()
        losses = torch.stack(self._new_losses).cpu().double()
        counts = torch.tensor(self._new_counts, dtype=torch.float64)
        totals = sum(context.gather(losses * counts))
        counts = sum(context.gather(counts))
        self.losses, self.counts = torch.cat([self.losses, totals / counts]), torch.cat([self.counts, counts])
        self._new_losses, self._new_counts = [], []

    def mean(self) -> float:
        """Mean loss over the records, each counted once; every process must call this."""
        self.settle()
        return (self.losses @ self.counts).item() / int(self.counts.sum())


def _check_both_outcomes(labels: torch.Tensor, where: str, task: Task | None = None) -> None:
    labels = metrics.check_labels(labels.cpu().numpy(), where)
    names = class_names(labels.shape[1]) if task is None else task.classes
    for name, positives in zip(names, labels.sum(axis=0), strict=True):
        if positives in (0, len(labels)):
            lack = "positive" if positives == 0 else "negative"
            raise DataError(
                f"{where}: none of the {len(labels)} records is {lack} for {name}, so neither its weight nor "
                "its AUROC is defined; use more records, or leave out rare classes (--min-records)"
            )
