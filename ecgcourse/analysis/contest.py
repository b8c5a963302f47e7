"""One leaderboard for all: what sees little, published networks, those of this course, and yours.

.. code-block:: python

    contest = ecgcourse.contest.Contest.open("ptb-xl")        # baselines are in it from the start
    contest.add(classifier, "mine")
    contest.add("probabilities.csv", "another program's")
    contest.leaderboard()

All learn from folds 1 to 8, and are asked about the same records of folds 9 and 10. Nobody can check what an entry has
learned from: whoever chose anything by the judging folds has lost the use of them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgcourse.analysis import comparison
from ecgcourse.analysis.baselines import BASELINES, SAMPLING_RATE
from ecgcourse.analysis.pooled import Pooled, Split
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import DataError, SettingError, brief, check_name, in_words, shown
from ecgcourse.learning import datasets, metrics, runs, training
from ecgcourse.models import pretrained
from ecgcourse.models.checkpoint import load_checkpoint
from ecgcourse.recipe import Task
from ecgcourse.records import practice

BASELINE = "median beat of 3 leads"
"""The baseline that the others are compared with: the best of those that need no millivolts."""
_IN_MILLIVOLTS = "quantiles of 12 leads in mV"


@dataclass(frozen=True)
class Entry:
    """What one row of the leaderboard is made of.

    Attributes
    ----------
    said : list of Predictions
        Of each training, if there are several; all scores are means over them.
    weights : float
        Numbers that were learned; NaN where nobody knows.
    cpu_seconds : float
        Seconds of a processor core that a training took, those of all cores added up, a GPU's not counted; NaN where
        nobody knows.
    cpu_ms : float
        Milliseconds of a core that a record took, from its voltages to the probabilities, asked in batches.
    note : str
    """

    said: list[Predictions]
    weights: float = np.nan
    cpu_seconds: float = np.nan
    cpu_ms: float = np.nan
    note: str = ""


class Contest:
    """Records, those who answer about them, and who knows most.

    Parameters
    ----------
    records : Pooled
    splits : list of Split
        Which records train, and which judge.

    Attributes
    ----------
    entries : dict of name to Entry
    notes : list of str
        What a reader of the leaderboard should know.
    task : Task
        What is asked: the four superclasses.
    """

    def __init__(self, records: Pooled, splits: Sequence[Split]):
        self.records, self.splits, self.task = records, list(splits), Task()
        self.rows = np.concatenate([split.judged for split in splits])
        self.y_true = records.labels[self.rows].astype(np.int64)
        metrics.check_both_present(self.y_true, self.task.classes)
        self.entries: dict[str, Entry] = {}
        self.notes: list[str] = []

    @classmethod
    def open(
        cls,
        data: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
        judged: Sequence[int] = (9, 10),
        baselines: Sequence[str] | None = None,
        progress: bool | None = None,
    ) -> "Contest":
        """Open PTB-XL folders, and enter the baselines.

        Parameters
        ----------
        data : path, or several
            PTB-XL folders, whose records are taken together; None: the folder that ``$ECGCOURSE_DATA`` names, else the
            synthetic practice set.
        judged : sequence of int
            The folds that judge.
        baselines : sequence of str, optional
            Of :data:`ecgcourse.analysis.baselines.BASELINES`; None: all, but of records that have lost their voltages
            none that reads millivolts.
        progress : bool, optional
            Show a progress bar while signals are read; None shows it on a terminal only.

        Raises
        ------
        DataError
            As :meth:`ecgcourse.analysis.pooled.Pooled.open`, or folds without records or without a class.
        SettingError
            A name that no baseline has.
        """
        folders = [data] if data is None or isinstance(data, str | os.PathLike) else list(data)
        records = Pooled.open([practice.find(folder, progress=progress) for folder in folders], progress)
        contest = cls(records, records.splits(judged))
        contest.add_baselines(baselines)
        return contest

    @property
    def ecg_ids(self) -> NDArray[np.int64]:
        """The judged records, (M,), in the order in which all answer."""
        return self.records.ecg_ids[self.rows]

    def voltages(self) -> NDArray[np.float32]:
        """Those of the judged records, (M, 12, T) in mV at 100 Hz."""
        return self.records.voltages[self.rows]

    def predictions(self, y_prob: NDArray) -> Predictions:
        """Probabilities of the judged records, (M, K), with what is known of them; DataError for other shapes."""
        y_prob = np.asarray(y_prob, dtype=np.float64)
        return Predictions(self.y_true, y_prob, self.task, self.ecg_ids, self.records.patients[self.rows])

    def add(
        self,
        entry: object,
        name: str | None = None,
        note: str = "",
        weights: float | None = None,
        cpu_seconds: float = np.nan,
        cpu_ms: float | None = None,
    ) -> "Contest":
        """Enter a network, or what it said.

        Parameters
        ----------
        entry : object, or a list of several trainings
            - anything with ``predict_proba(x)`` of (N, 12, T) voltages in mV at 100 Hz, such as a
              :class:`ecgcourse.classifier.Classifier` or a model of your own;
            - a network that carries its recipe, such as
              :func:`ecgcourse.models.load_original` returns;
            - the folder of a run, a checkpoint, or the name of a shipped network;
            - a CSV file with a row per record, ``ecg_id`` or ``file``, and a column per class, MI or probability_MI, as
              ``predict --csv`` and ``evaluate`` write it;
            - :class:`ecgcourse.analysis.predictions.Predictions`.
        name : str, optional
            Of the row; None: the path, or the kind of the network.
        note : str
            What a reader should know, such as that it has learned from other records than the rest.
        weights, cpu_seconds, cpu_ms : float, optional
            As in :class:`Entry`, where it can't be seen or measured here.

        Returns
        -------
        Contest
            This one.

        Raises
        ------
        DataError
            Answers that lack a record or a class, or files that can't be read.
        SettingError
            A name that is taken, or an entry of another kind.
        CheckpointError
            As :func:`ecgcourse.models.checkpoint.load_checkpoint`.
        """
        trainings = list(entry) if isinstance(entry, list | tuple) else [entry]
        if not trainings:
            raise SettingError("no entry; give a network, or what it said")
        name = _name_of(trainings[0]) if name is None else name
        if name in self.entries:
            raise SettingError(f"there is an entry called {shown(name)} already; give this one another name")
        made = [self._asked(each) for each in trainings]
        counted = made[0].weights if weights is None else weights
        took = float(np.mean([each.cpu_ms for each in made])) if cpu_ms is None else cpu_ms
        self.entries[name] = Entry([each.said[0] for each in made], counted, cpu_seconds, took, note)
        return self

    def add_baselines(self, names: Sequence[str] | None = None) -> "Contest":
        """Fit baselines to the training records, and enter them; parameters and errors as for :meth:`open`."""
        if names is None:
            names = [name for name in BASELINES if name != _IN_MILLIVOLTS or self.records.in_millivolts]
            if not self.records.in_millivolts:
                self.notes.append(f"{_IN_MILLIVOLTS}: left out, since I + III isn't II, so voltages are lost")
        for name in names:
            check_name(name, list(BASELINES), "no baseline is")
        people = self.records.table[["age", "sex"]].to_numpy(float)
        unknown = int(np.isnan(people).any(axis=1).sum())
        if unknown and "age and sex" in names:
            self.notes.append(f"age and sex: unknown of {unknown} of {len(people)} records, and imputed there")
        labels = self.records.labels.astype(int)
        for name in names:
            x = people if BASELINES[name].sees == "people" else self.records.voltages
            said, seconds, asking = [], 0.0, 0.0
            for split in self.splits:
                begin = process_time()
                fitted = BASELINES[name].make().fit(x[split.train], labels[split.train])
                middle = process_time()
                said.append(fitted.predict_proba(x[split.judged]))
                seconds, asking = seconds + middle - begin, asking + process_time() - middle
            cost = {"cpu_seconds": seconds, "cpu_ms": 1000 * asking / len(self.rows)}
            self.add(self.predictions(np.concatenate(said)), name, "baseline", **cost)
        return self

    def leaderboard(
        self, against: str | dict[str, str] | None = None, n_bootstrap: int = 1000, seed: int = 0
    ) -> pd.DataFrame:
        """Who knows most.

        Parameters
        ----------
        against, n_bootstrap, seed
            As for :func:`ecgcourse.analysis.comparison.compare`; without `against` all are compared with
            :data:`BASELINE`, where it is entered.

        Returns
        -------
        DataFrame
            The columns of :func:`ecgcourse.analysis.comparison.compare`; sd (standard deviation of the macro AUROC over
            the trainings) and trainings; auroc_MI and so on; weights, cpu_seconds, cpu_ms and note of :class:`Entry`;
            compared_with, the name of another row; records, how many judged. The highest macro AUROC comes first;
            the differences tell how far that order is more than chance.

        Raises
        ------
        DataError, SettingError
            As :func:`ecgcourse.analysis.comparison.compare`.
        """
        if against is None and BASELINE in self.entries:
            against = BASELINE
        table = comparison.compare({name: each.said for name, each in self.entries.items()}, against, n_bootstrap, seed)
        attrs = table.attrs | {"notes": self.notes + table.attrs["notes"], "synthetic": self.records.synthetic}
        areas = [
            np.stack([metrics.auroc(each.y_true, each.y_prob) for each in entry.said])
            for entry in self.entries.values()
        ]
        table["sd"] = [each.mean(axis=1).std(ddof=1) if len(each) > 1 else np.nan for each in areas]
        table["trainings"] = [len(each) for each in areas]
        for k, name in enumerate(self.task.classes):
            table[f"auroc_{name}"] = [each[:, k].mean() for each in areas]
        for column in ("weights", "cpu_seconds", "cpu_ms", "note"):
            table[column] = [getattr(each, column) for each in self.entries.values()]
        others = against if isinstance(against, dict) else dict.fromkeys(table.index, attrs["against"] or "")
        table["compared_with"] = [others.get(name, "") if others.get(name) != name else "" for name in table.index]
        table["records"] = len(self.rows)
        table = table.sort_values("auroc", ascending=False, kind="stable")
        table.attrs = attrs
        return table

    def _asked(self, entry: object) -> Entry:
        """What one training said to the judged records, in the order of the contest."""
        if isinstance(entry, str | os.PathLike):
            path = Path(entry)
            if path.suffix.lower() == ".csv":
                return Entry([self._read(path)])
            entry = _network(path)
        if isinstance(entry, Predictions):
            return Entry([self._chosen(entry.y_prob, entry.task.classes, entry.ecg_id)])
        begin = process_time()
        if isinstance(entry, nn.Module) and getattr(entry, "recipe", None) and getattr(entry, "task", None):
            nothing = np.zeros((len(self.rows), len(entry.task.classes)))
            asked = datasets.from_arrays(self.voltages(), nothing, SAMPLING_RATE, recipe=entry.recipe, task=entry.task)
            y_prob = training.predict(entry, asked)[1]
        elif hasattr(entry, "predict_proba"):
            y_prob = np.asarray(entry.predict_proba(self.voltages()), dtype=np.float64)
        else:
            raise SettingError(
                f"{shown(entry)} can't be asked; give a network with its recipe, anything with predict_proba, a run or "
                "a CSV file"
            )
        took = 1000 * (process_time() - begin) / len(self.rows)
        classes = getattr(getattr(entry, "task", None), "classes", self.task.classes)
        network = getattr(entry, "model", entry)
        counted = sum(each.numel() for each in network.parameters()) if isinstance(network, nn.Module) else np.nan
        return Entry([self._chosen(y_prob, classes, self.ecg_ids)], counted, cpu_ms=took)

    def _chosen(self, y_prob: NDArray, classes: Sequence[str], ecg_ids: NDArray) -> Predictions:
        """The answers on the classes and records of the contest, in its order."""
        missing = [name for name in self.task.classes if name not in classes]
        if missing or y_prob.shape != (len(ecg_ids), len(classes)):
            raise DataError(
                f"answers of shape {y_prob.shape} on {brief(', '.join(classes))}; a probability for each of "
                f"{', '.join(self.task.classes)} is needed, of each record that is asked about"
            )
        places = pd.Index(ecg_ids)
        if places.has_duplicates:
            raise DataError(f"ecg_id {places[places.duplicated()][0]} comes twice; each record has one answer")
        rows = places.get_indexer(self.ecg_ids)
        if (rows < 0).any():
            raise DataError(
                f"there is no answer for ecg_id {self.ecg_ids[rows < 0][0]}, and for {(rows < 0).sum() - 1} others of "
                f"the {len(rows)} records that judge"
            )
        return self.predictions(y_prob[rows][:, [list(classes).index(name) for name in self.task.classes]])

    def _read(self, path: Path) -> Predictions:
        """The answers in a CSV file, by ecg_id or by the names of the records' files."""
        try:
            frame = pd.read_csv(path, dtype=str)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} can't be read as a table of answers: {in_words(error)}") from error
        columns = {
            name: f"probability_{name}" if f"probability_{name}" in frame else name for name in self.task.classes
        }
        missing = [column for column in columns.values() if column not in frame]
        if missing or not {"ecg_id", "file"} & set(frame):
            raise DataError(
                f"{path} has the columns {brief(', '.join(map(str, frame)), 200)}; ecg_id or file, and a column for "
                f"each of {', '.join(self.task.classes)} are needed"
            )
        try:
            ecg_ids = frame["ecg_id"].to_numpy(np.int64) if "ecg_id" in frame else self._numbers_of(frame["file"])
            y_prob = frame[list(columns.values())].to_numpy(np.float64)
            noted = {name: frame[f"label_{name}"].to_numpy(float) for name in columns if f"label_{name}" in frame}
        except ValueError as error:
            raise DataError(f"{path} holds what isn't a number: {in_words(error)}") from error
        said = self._chosen(y_prob, self.task.classes, ecg_ids)
        for k, name in enumerate(self.task.classes):
            given = pd.Series(noted[name], ecg_ids)[said.ecg_id].to_numpy() if name in noted else said.y_true[:, k]
            other = given != said.y_true[:, k]
            if other.any():
                raise DataError(f"{path}: label_{name} of ecg_id {said.ecg_id[other][0]} isn't that of these records")
        return said

    def _numbers_of(self, files: pd.Series) -> NDArray[np.int64]:
        """The ecg_id of each file, by its name; −1 for one that isn't of these records."""
        known = {}
        for column in ("filename_lr", "filename_hr"):
            names = self.records.table[column].dropna()
            known |= {Path(name).name: number for number, name in names.items()}
        found = np.array([known.get(Path(str(name)).with_suffix("").name, -1) for name in files], dtype=np.int64)
        # Others may have been asked about, too, each of which would be record -1.
        return np.where(found < 0, -1 - np.arange(len(found)), found)


def _network(path: Path) -> nn.Module:
    """The network of a run, of a checkpoint, or that is shipped under a name."""
    if not os.path.lexists(path) and str(path) in pretrained.names():
        return load_checkpoint(pretrained.path_of(str(path)))
    if not os.path.lexists(path):
        raise DataError(
            f"{path} isn't there; name the folder of a run, a checkpoint, a CSV file, or one of the shipped networks "
            f"{', '.join(pretrained.names())}"
        )
    return load_checkpoint(path / runs.BEST if path.is_dir() else path)


def _name_of(entry: object) -> str:
    if isinstance(entry, str | os.PathLike):
        return str(entry)
    settings = getattr(getattr(entry, "model", entry), "settings", None) or {}
    return str(settings.get("name", type(entry).__name__))
