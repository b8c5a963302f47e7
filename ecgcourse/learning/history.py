"""What each epoch of a training came to: :class:`History`, which history.csv holds. Introduced in chapter 10."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, SettingError, in_words
from ecgcourse.learning import metrics
from ecgcourse.recipe import Task
from ecgcourse.support.files import atomic_write, stat_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LARGEST_HISTORY = 2**28
"""Bytes; a million epochs have 200 million."""

# The threshold behind the sensitivity and specificity of each epoch; the final ones are fitted to the best epoch.
EPOCH_THRESHOLD = 0.5


@dataclass
class History:
    """What each epoch came to.

    Attributes
    ----------
    rows : list of dict
        One per epoch: epoch (from 1), train_loss and val_loss (mean over the records, each with the weights
        it met), and on the validation set sensitivity and specificity (threshold 0.5, or the most probable class
        where a record has exactly one) and auroc, as means over the classes, then auroc_MI and so on. Without a
        validation set, epoch and train_loss only. In float16 also skipped_steps, those whose gradients weren't
        finite numbers.
    """

    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the lowest validation loss, the first of several; without validation the last."""
        if not self.rows:
            raise DataError("the history has no epoch yet, so none is the best")
        if "val_loss" not in self.rows[-1]:
            return self.rows[-1]["epoch"]
        return min(self.rows, key=lambda row: row["val_loss"])["epoch"]

    def is_best(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self.best_epoch == self.rows[-1]["epoch"]

    def add_unvalidated(self, train_loss: float) -> None:
        """Add the next epoch of a training without a validation set."""
        self.rows.append({"epoch": len(self.rows) + 1, "train_loss": train_loss})

    def add(
        self, train_loss: float, val_loss: float, y_true: np.ndarray, y_prob: np.ndarray, task: Task | None = None
    ) -> None:
        """Add the next epoch: its two losses, and the metrics of (N, K) labels and probabilities of a task."""
        task = Task(metrics.class_names(y_true.shape[1])) if task is None else task
        table = metrics.confusion(y_true, metrics.decide(y_prob, EPOCH_THRESHOLD, task.is_multiclass))
        auroc = metrics.auroc(y_true, y_prob)
        row = {
            "epoch": len(self.rows) + 1,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "sensitivity": float(metrics.sensitivity(table).mean()),
            "specificity": float(metrics.specificity(table).mean()),
            "auroc": float(auroc.mean()),
        }
        row |= {f"auroc_{name}": float(area) for name, area in zip(task.classes, auroc, strict=True)}
        self.rows.append(row)

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        return pd.DataFrame(self.rows)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the rows to a CSV file, whole or not at all."""
        with atomic_write(path) as temporary:
            self.to_frame().to_csv(temporary, index=False, lineterminator="\n")

    @classmethod
    def from_csv(cls, path: str | os.PathLike) -> "History":
        """Read what :meth:`to_csv` wrote; DataError for a file that isn't a history."""
        stat_file(path, largest=LARGEST_HISTORY)
        try:
            with Path(path).open("rb") as file:
                frame = pd.read_csv(file)
        # pandas raises a ParserError, a UnicodeError, an OverflowError and more, as the damage may be.
        except Exception as error:
            raise DataError(f"{path} can't be read as a history: {in_words(error)}") from error
        missing = [name for name in ("epoch", "train_loss") if name not in frame]
        if missing:
            raise DataError(f"{path} isn't a history of training: it has no column {', '.join(missing)}")
        frame = frame.apply(pd.to_numeric, errors="coerce")
        if frame["epoch"].tolist() != [*range(1, len(frame) + 1)] or not np.isfinite(frame.to_numpy(float)).all():
            raise DataError(
                f"{path} isn't a history of training: its epochs must be 1, 2, 3, … and all values finite numbers"
            )
        return cls(frame.to_dict("records"))


def check_tensorboard() -> None:
    """Raise SettingError where TensorBoard isn't installed."""
    if find_spec("tensorboard") is None:
        raise SettingError(
            'tensorboard isn\'t installed; `pip install "ecgcourse[tensorboard]"` brings it. history.csv is written '
            "without it, too"
        )


@contextmanager
def tensorboard_writer(folder: Path, history: History) -> "Iterator[SummaryWriter]":
    """Open an event file for the rows to come, which :func:`write_row` adds; of a run that goes on, after its last row.

    That row is written anew, in case the process ended before it was; TensorBoard drops what the event files of earlier
    processes have from there on.
    """
    check_tensorboard()
    # Takes seconds, which nobody who doesn't want it should wait for.
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder, purge_step=len(history.rows) or None) as writer:
        if history.rows:
            write_row(writer, history.rows[-1])
        yield writer


def write_row(writer: "SummaryWriter", row: dict[str, float]) -> None:
    """Add a row of a history: a scalar for each column, at the step of the epoch's number."""
    for name, value in row.items():
        if name != "epoch":
            writer.add_scalar(name, value, row["epoch"])
    writer.flush()
