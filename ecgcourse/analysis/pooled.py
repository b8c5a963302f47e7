"""The labelled records of one PTB-XL folder or of several, taken together: to train on, and to judge by."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgcourse.errors import DataError
from ecgcourse.records import practice, ptbxl
from ecgcourse.records.ptbxl_names import FOLDS

_UNLIKE, _FEW = 0.01, 0.01  # mV between I + III and II, and the share of records in which they may differ by more

CV_GROUPS = ((1, 2), (3, 4), (5, 6), (7, 8))
"""Folds that judge together in cross-validation inside the training folds."""


class Split(NamedTuple):
    """Numbers of the records that train, that choose the best epoch (maybe none), and that judge."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    judged: NDArray[np.int64]


@dataclass(frozen=True)
class Pooled:
    """All labelled records.

    Attributes
    ----------
    voltages : (N, 12, T) float32
        In mV at 100 Hz, the leads in the order of :data:`ecgcourse.records.ptbxl.LEADS`.
    table : DataFrame
        A row per record, by ecg_id, as :func:`ecgcourse.records.ptbxl.read_table` returns it.
    synthetic : bool
        Whether any of them is of the practice set.
    """

    voltages: NDArray[np.float32]
    table: pd.DataFrame
    synthetic: bool

    @classmethod
    def open(cls, folders: Sequence[str | os.PathLike], progress: bool | None = None) -> "Pooled":
        """Read some PTB-XL folders.

        Raises
        ------
        DataError
            As :func:`ecgcourse.records.ptbxl.read_table` and :func:`ecgcourse.records.ptbxl.read_signals`; a record
            that is in two folders, which would be judged twice, or be learned from and judged.
        """
        tables = [ptbxl.read_table(folder) for folder in folders]
        tables = [table[table["labelled"]] for table in tables]
        together = pd.concat(tables)
        twice = together.index[together.index.duplicated()]
        if len(twice):
            raise DataError(
                f"ecg_id {twice[0]} is in two of the folders {', '.join(map(str, folders))}; name each once"
            )
        parts = [
            ptbxl.read_signals(folder, table, progress=progress) for folder, table in zip(folders, tables, strict=True)
        ]
        return cls(np.concatenate(parts), together, any(practice.is_practice(folder) for folder in folders))

    def __len__(self) -> int:
        return len(self.table)

    def splits(
        self, judged: Sequence[int] = (9, 10), validation: Sequence[int] = (), cross_validated: bool = False
    ) -> list[Split]:
        """Part the records by their folds: 1 to 8 train, `judged` judge; DataError where that leaves none.

        Cross-validated, each two of the folds 1 to 8 judge what the six others taught, and `judged` has no say: for
        choices, which must not be made by the folds that judge in the end.
        """
        inside = np.isin(self.folds, FOLDS["train"])
        stops = np.flatnonzero(np.isin(self.folds, validation))
        groups = CV_GROUPS if cross_validated else (tuple(judged),)
        found = []
        for group in groups:
            judges = np.isin(self.folds, group)
            found.append(Split(np.flatnonzero(inside & ~judges), stops, np.flatnonzero(judges)))
            if not (len(found[-1].train) and judges.any()) or (len(validation) and not len(stops)):
                raise DataError(f"{len(self)} labelled records, but none that train or judge in the folds {group}")
        return found

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """Which of the four superclasses, (N, 4) of 0 and 1."""
        return ptbxl.labels(self.table)

    @property
    def folds(self) -> NDArray[np.int64]:
        """The fold of each record, (N,)."""
        return self.table["strat_fold"].to_numpy(np.int64)

    @property
    def ecg_ids(self) -> NDArray[np.int64]:
        """The number of each record, (N,)."""
        return self.table.index.to_numpy(np.int64)

    @cached_property
    def patients(self) -> NDArray[np.float64]:
        """Whose each record is, (N,); where nobody knows, a patient of its own with a number below 0."""
        known = self.table["patient_id"].to_numpy(np.float64)
        return np.where(np.isnan(known), -1.0 - np.arange(len(known)), known)

    @cached_property
    def in_millivolts(self) -> bool:
        """Whether voltages are such as electrodes measure: I + III = II (Einthoven), which scaling each lead undoes."""
        first, second, third = (self.voltages[:, ptbxl.LEADS.index(name)] for name in ("I", "II", "III"))
        apart = np.median(np.abs(first + third - second), axis=1)
        return bool((apart > _UNLIKE).mean() <= _FEW)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of voltages, labels and folds: the same records are the same data, wherever they lie."""
        found = hashlib.sha256()
        for part in (self.voltages, self.labels, self.folds):
            found.update(np.ascontiguousarray(part))
        return found.hexdigest()
