"""What a model said to each record, kept: the one thing that every later question can be answered from.

Introduced in chapter 11.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Dataset

from ecgcourse.errors import DataError, brief, in_words, shown
from ecgcourse.learning import metrics
from ecgcourse.recipe import Task
from ecgcourse.support.files import atomic_write

KINDS = ("label", "probability", "logit")
"""What begins the names of columns, such as ``probability_MI``."""


def file_name(partition: str) -> str:
    """The file in the folder of a run that has its predictions for a partition."""
    return f"predictions_{partition}.csv"


@dataclass(frozen=True)
class Predictions:
    """Labels and answers, record by record.

    Attributes
    ----------
    y_true : (N, K) int64 of 0 and 1
    y_prob : (N, K) float64 in [0, 1]
        Calibrated, where the model was.
    task : Task
    ecg_id : (N,) int64
    patient_id : (N,) float64 or None
        None where nobody told whose records they are.
    logits : (N, K) float64 or None
        Before any calibration; None for a model that has none.

    Raises
    ------
    DataError
        Shapes that differ, values out of range, or a record that comes twice.
    """

    y_true: NDArray[np.int64]
    y_prob: NDArray[np.float64]
    task: Task
    ecg_id: NDArray[np.int64]
    patient_id: NDArray[np.float64] | None = None
    logits: NDArray[np.float64] | None = None

    def __post_init__(self):
        y_true, y_prob = metrics.check_pair(self.y_true, self.y_prob, self.task.classes)
        object.__setattr__(self, "y_true", y_true)
        object.__setattr__(self, "y_prob", y_prob)
        for name in ("ecg_id", "patient_id", "logits"):
            value = getattr(self, name)
            if value is not None and len(value) != len(y_true):
                raise DataError(f"{name} has {len(value)} rows, but there are {len(y_true)} records")
        twice = pd.Index(self.ecg_id).duplicated()
        if twice.any():
            raise DataError(f"ecg_id {np.asarray(self.ecg_id)[twice][0]} comes twice; each record has one row")

    def __len__(self) -> int:
        return len(self.y_true)

    @classmethod
    def of_dataset(
        cls, dataset: Dataset, y_true: ArrayLike, logits: ArrayLike, task: Task, calibration: dict | None = None
    ) -> "Predictions":
        """Join what a network said with what is known of the records.

        Parameters
        ----------
        dataset : Dataset
            That the network was asked about: of records of PTB-XL, or of images of them. Of any other kind, records are
            numbered from 0 on, and nobody knows whose they are.
        y_true, logits : (N, K) arrays
            From :func:`ecgcourse.learning.training.predict_logits`.
        task : Task
        calibration : dict, optional
            Of the model.
        """
        table, patients = getattr(dataset, "table", None), None
        table = _noted(dataset) if table is None else table
        ecg_ids = np.arange(len(dataset)) if table is None else table.index.to_numpy(np.int64)
        if table is not None and "patient_id" in table and table["patient_id"].notna().all():
            patients = table["patient_id"].to_numpy(np.float64)
        y_prob = metrics.probabilities(logits, task, calibration)
        return cls(y_true, y_prob, task, ecg_ids, patients, np.asarray(logits))

    def to_frame(self) -> pd.DataFrame:
        """A row per record: ecg_id, patient_id, and for each class label_NAME, probability_NAME, logit_NAME."""
        columns = {"ecg_id": self.ecg_id, "patient_id": self.patient_id}
        values = dict(zip(KINDS, (self.y_true, self.y_prob, self.logits), strict=True))
        for kind, matrix in values.items():
            if matrix is not None:
                columns |= {f"{kind}_{name}": matrix[:, k] for k, name in enumerate(self.task.classes)}
        frame = pd.DataFrame(columns)
        if self.patient_id is not None:
            frame["patient_id"] = frame["patient_id"].astype("Int64")
        return frame

    def write(self, path: str | os.PathLike) -> None:
        """Write them as a CSV file, whole or not at all, from which :meth:`read` gets the same numbers."""
        with atomic_write(Path(path)) as temporary:
            self.to_frame().to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")

    @classmethod
    def read(cls, path: str | os.PathLike, task: Task | None = None) -> "Predictions":
        """Read what :meth:`write` wrote, or a table of that form that anybody made.

        Parameters
        ----------
        path : path
            A CSV file with the columns ecg_id, label_NAME and probability_NAME for each class; patient_id and
            logit_NAME if it has them.
        task : Task, optional
            Whether each record has exactly one class; None: any number of those that the file names.

        Raises
        ------
        DataError
            No such file, another form, or other classes than those of the task.
        """
        try:
            # As texts, since not every version of pandas makes the same number of them that was written.
            frame = pd.read_csv(path, dtype=str)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} can't be read as predictions: {in_words(error)}") from error
        classes = tuple(name.removeprefix("label_") for name in frame if name.startswith("label_"))
        task = Task(classes) if task is None and classes else task
        if task is None or "ecg_id" not in frame or classes != task.classes:
            wanted = "a class" if task is None else ", ".join(task.classes)
            raise DataError(
                f"{path} has the columns {brief(', '.join(map(str, frame)), 200)}; ecg_id, and label_NAME and "
                f"probability_NAME for {brief(wanted, 200)} are needed"
            )
        parts = {kind: [f"{kind}_{name}" for name in classes] for kind in KINDS}
        missing = [name for name in parts["probability"] if name not in frame]
        if missing:
            raise DataError(f"{path} has no column {shown(missing[0])}")
        has_logits, has_patients = set(parts["logit"]) <= set(frame), "patient_id" in frame
        try:
            patients = frame["patient_id"].to_numpy(np.float64) if has_patients else np.full(len(frame), np.nan)
            y_true, y_prob = (frame[parts[kind]].to_numpy(np.float64) for kind in KINDS[:2])
            logits = frame[parts["logit"]].to_numpy(np.float64) if has_logits else None
            ecg_id = frame["ecg_id"].to_numpy(np.int64)
        except ValueError as error:
            raise DataError(f"{path} holds what isn't a number: {in_words(error)}") from error
        return cls(y_true, y_prob, task, ecg_id, None if np.isnan(patients).any() else patients, logits)

    def of(self, ecg_ids: NDArray) -> "Predictions":
        """Those of some records, in their order; DataError where one is missing."""
        rows = pd.Index(self.ecg_id).get_indexer(ecg_ids)
        if (rows < 0).any():
            raise DataError(f"there is no prediction for ecg_id {np.asarray(ecg_ids)[rows < 0][0]}")
        parts = [None if each is None else each[rows] for each in (self.patient_id, self.logits)]
        return Predictions(self.y_true[rows], self.y_prob[rows], self.task, self.ecg_id[rows], *parts)

    def of_classes(self, classes: Sequence[str]) -> "Predictions":
        """Those of some of the classes, where a record can have any number of them."""
        places = [self.task.classes.index(name) for name in classes]
        task = replace(self.task, classes=tuple(classes))
        logits = None if self.logits is None else self.logits[:, places]
        return Predictions(self.y_true[:, places], self.y_prob[:, places], task, self.ecg_id, self.patient_id, logits)

    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of each record, (N,), summed over the classes; a probability of 0 counts as 1e-12."""
        said = np.log(np.clip(self.y_prob, 1e-12, 1))
        if self.task.is_multiclass:
            return -(self.y_true * said).sum(axis=1)
        against = np.log(np.clip(1 - self.y_prob, 1e-12, 1))
        return -(self.y_true * said + (1 - self.y_true) * against).sum(axis=1)


def _noted(dataset: Dataset) -> pd.DataFrame | None:
    """What ``records.csv`` beside images says of them, by ecg_id; None where there is no such file, or another."""
    try:
        noted = pd.read_csv(dataset.folder / "records.csv", index_col="number")
        return noted.loc[dataset.numbers].set_index("ecg_id")
    # AttributeError: no folder of images.
    except (AttributeError, OSError, KeyError, ValueError):
        return None
