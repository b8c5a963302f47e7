"""A trained network that can be asked: :class:`Classifier`; and :func:`load`, :func:`fit`, the doors to training one.

What the network was fed is part of it, so that nothing here is told a second time. Introduced in chapter 10.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax
from torch import nn
from torch.utils.data import Dataset

from ecgcourse.analysis import answers, calibration, evaluation, explain
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import DataError, SettingError, shown
from ecgcourse.learning import datasets, hardware, metrics, own_sets, runs, training
from ecgcourse.learning.config import TrainConfig
from ecgcourse.learning.history import History
from ecgcourse.models import pretrained
from ecgcourse.models.checkpoint import load_checkpoint
from ecgcourse.recipe import Recipe, Task
from ecgcourse.records import own_files, practice
from ecgcourse.records.beat_names import SPLITS
from ecgcourse.records.ptbxl_names import ALL_LEADS, FOLDS, LEADS
from ecgcourse.support.device import pick_device
from ecgcourse.support.progress_bar import progress_bar

AT_A_TIME = 1024
"""Records of an array whose input is made in one go: three leads of ten seconds at 500 Hz have 60 MB."""


@dataclass(frozen=True)
class Data:
    """The three partitions of one data set, prepared by one recipe.

    Attributes
    ----------
    train : Dataset
        Folds 1 to 8.
    val : Dataset
        Fold 9.
    test : Dataset
        Fold 10.
    recipe : Recipe
    task : Task
    """

    train: Dataset
    val: Dataset
    test: Dataset
    recipe: Recipe
    task: Task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.task.classes


def load(
    data: str | os.PathLike,
    recipe: Recipe,
    task: Task | None = None,
    device: str = "cpu",
    progress: bool | None = None,
    skip_bad: bool = False,
    seconds: float | None = None,
) -> Data:
    """Open a PTB-XL folder or records of one's own, whole: the folds 1–8 to train, 9 to validate, 10 to test.

    Parameters
    ----------
    data : path or "ptb-xl"
        A PTB-XL folder, a manifest (:mod:`ecgcourse.records.manifest`) or a folder of a PhysioNet Challenge
        (:mod:`ecgcourse.records.challenge`). "ptb-xl" is the folder that ``$ECGCOURSE_DATA`` names, else the synthetic
        practice set.
    recipe : Recipe
        What a network is to be fed.
    task : Task, optional
        What it is to answer; None: the four superclasses, or the classes of the manifest.
    device : str
        Where signals are kept and images are made, as in :func:`ecgcourse.support.device.pick_device`.
    progress : bool, optional
        Show a progress bar while signals are read; None shows it on a terminal only.
    skip_bad : bool
        Leave out records that can't be read rather than stop at the first one.
    seconds : float, optional
        Length of the windows that records of one's own are cut into; None: 10 s.

    Returns
    -------
    Data

    Raises
    ------
    DataError, SettingError
        As :func:`ecgcourse.learning.datasets.from_data` and :func:`ecgcourse.learning.own_sets.task_of`.
    """
    root = practice.find(data, progress=progress)
    if task is None:
        task = own_sets.task_of(root) if own_sets.is_own(root) else Task()
    how = {"device": training.pick_device(device), "progress": progress, "skip_bad": skip_bad, "seconds": seconds}
    parts = {name: datasets.from_data(root, name, recipe=recipe, task=task, **how) for name in FOLDS}
    return Data(**parts, recipe=recipe, task=task)


def fit(model: nn.Module, data: Data, config: TrainConfig | None = None, **options) -> History:
    """Train a model on the training partition, judged on the validation partition.

    Parameters
    ----------
    model : nn.Module
    data : Data
    config : TrainConfig, optional
    **options
        Other arguments of :func:`ecgcourse.learning.training.fit`, such as ``resume=True``.

    Returns
    -------
    History

    Raises
    ------
    DataError, SettingError, CheckpointError
        As :func:`ecgcourse.learning.training.fit`.
    """
    return training.fit(model, data.train, data.val, TrainConfig() if config is None else config, **options)


class Classifier:
    """A trained network with all that is needed to ask it about ECGs.

    Parameters
    ----------
    model : nn.Module
        With a `recipe` and a `task`, as :func:`ecgcourse.learning.training.fit` leaves it.
    device : str
        As in :func:`ecgcourse.support.device.pick_device`.
    precision : {"float32", "bfloat16", "float16"}
        What convolutions and matrix products are calculated in.

    Attributes
    ----------
    model : nn.Module
    recipe : Recipe
    task : Task
    thresholds : (K,) float64 array or None
        Of probabilities, calibrated if the model is, fitted to the validation set; 0.5 where the model has none. None
        where each record has exactly one class.

    Raises
    ------
    SettingError
        A model that doesn't tell what it was fed, such as one that has learned from a foreign dataset.
    """

    def __init__(self, model: nn.Module, device: str = "auto", precision: str = "float32"):
        self.recipe, self.task = getattr(model, "recipe", None), getattr(model, "task", None)
        if self.recipe is None or self.task is None:
            raise SettingError(
                f"this {type(model).__name__} doesn't tell what it was fed, as after learning from a foreign dataset; "
                "make it with models.create(NAME, recipe, classes), or ask it with training.predict"
            )
        self.device, self.precision = device, precision
        self.model = model.to(training.pick_device(device)).eval()
        found = getattr(model, "thresholds", None)
        fitted = np.full(len(self.task.classes), 0.5) if found is None else np.asarray(found, dtype=np.float64)
        self.thresholds = None if self.task.is_multiclass else fitted

    @classmethod
    def load(cls, run: str | os.PathLike, device: str = "auto") -> "Classifier":
        """Take the best weights of a run.

        Parameters
        ----------
        run : path
            A folder that :func:`ecgcourse.learning.training.fit` wrote, or a checkpoint such as its ``best.pt``; where
            nothing is called so, the name of a shipped network, as for :meth:`pretrained`.
        device : str
            As in :func:`ecgcourse.support.device.pick_device`.

        Raises
        ------
        CheckpointError, SettingError
            As :func:`ecgcourse.models.checkpoint.load_checkpoint`; SettingError as for the class.
        """
        path = Path(run)
        if str(run) in pretrained.names() and not os.path.lexists(path):
            return cls.pretrained(str(run), device)
        folder = path if path.is_dir() else path.parent
        model = load_checkpoint(path / runs.BEST if path.is_dir() else path)
        return cls(model, device, hardware.precision_to_judge(folder, pick_device(device)))

    @classmethod
    def pretrained(cls, name: str, device: str = "auto") -> "Classifier":
        """Take a network that is shipped with the package.

        Each has a card, :func:`ecgcourse.models.pretrained.card`, which says what it learned from, how good it is and
        what it must not be used for.

        Parameters
        ----------
        name : {"signals", "images"}
            A 1-D ResNet on samples, or a small network on images of signed differences; both of 12 leads.
        device : str
            As in :func:`ecgcourse.support.device.pick_device`.

        Raises
        ------
        SettingError
            No shipped network is called so.
        """
        return cls(load_checkpoint(pretrained.path_of(name)), device)

    def predict_proba(
        self, x: np.ndarray, sampling_rate: float | None = None, leads: Sequence[str] = LEADS, batch_size: int = 64
    ) -> np.ndarray:
        """Probabilities of ECGs.

        Parameters
        ----------
        x : (N, L, T) array, or (L, T) for one record
            In mV.
        sampling_rate : float, optional
            Of `x`, in Hz; None: that of the recipe. Other rates are resampled without aliasing, see
            :func:`ecgcourse.images.signals.resample`.
        leads : sequence of str
            Names of the L leads, in the order of `x`; more than the network needs are allowed.
        batch_size : int
            Records that the network sees at a time.

        Returns
        -------
        (N, K) float64 array, or (K,) for one record
            In [0, 1]; calibrated, where the network is.

        Raises
        ------
        DataError
            Another shape, a lead that is missing, samples that aren't finite, or voltages that no heart makes.
        SettingError
            An impossible sampling rate, or records shorter than the crops of the recipe.
        """
        x = np.asarray(x)
        if x.ndim == 2:
            return self.predict_proba(x[None], sampling_rate, leads, batch_size)[0]
        probabilities = [self._ask(dataset, batch_size)[1] for dataset in self._datasets(x, sampling_rate, leads)]
        return np.concatenate(probabilities)

    def predict(
        self, x: np.ndarray, sampling_rate: float | None = None, leads: Sequence[str] = LEADS, batch_size: int = 64
    ) -> np.ndarray:
        """Which classes ECGs have; parameters and errors as for :meth:`predict_proba`.

        Returns
        -------
        (N, K) int64 array of 0 and 1, or (K,) for one record
            A class where its probability reaches its threshold; of classes of which a record has exactly one, the most
            probable.
        """
        probabilities = self.predict_proba(x, sampling_rate, leads, batch_size)
        decided = metrics.decide(np.atleast_2d(probabilities), self._thresholds, self.task.is_multiclass)
        return decided.reshape(probabilities.shape)

    def predict_files(
        self,
        files: str | os.PathLike | Iterable[str | os.PathLike],
        sampling_rate: float | None = None,
        unit: str | None = None,
        windows: bool = False,
        skip_bad: bool = False,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Probabilities and predictions for files of ECGs, of any format that :mod:`ecgcourse.records.own_files` reads.

        A record that is longer than those the network has learned from is cut into windows of their length, whose
        logits are averaged. Leads that follow from others are derived.

        Parameters
        ----------
        files : path or iterable of paths
            Files, names of WFDB records, and folders, in which all records are looked for.
        sampling_rate : float, optional
            In Hz, of files that don't tell theirs.
        unit : {"mV", "uV"}, optional
            Of files that don't tell theirs.
        windows : bool
            A row for each window rather than for each file.
        skip_bad : bool
            Leave out what can't be used rather than stop at the first.
        progress : bool, optional
            Show a progress bar; None shows it on a terminal only, once this takes a while.

        Returns
        -------
        DataFrame
            A row per file: `file`; with `windows`, `start` in seconds; for each class its probability, under its name;
            and for each class whether it is predicted, such as `predicted_MI`, 1 or 0. ``attrs["bad_files"]`` is a
            dict of what was left out and why.

        Raises
        ------
        DataError, SettingError
            As :func:`ecgcourse.records.own_files.read` and :meth:`predict_proba`.
        """
        said = self.ask_files(files, sampling_rate, unit, skip_bad, progress)
        if not said.files:
            bad = said.bad_files
            raise DataError(f"none of the {len(bad)} files can be used; the first: {next(iter(bad.values()))}")
        return said.to_frame(windows)

    def ask_files(
        self,
        files: str | os.PathLike | Iterable[str | os.PathLike],
        sampling_rate: float | None = None,
        unit: str | None = None,
        skip_bad: bool = False,
        progress: bool | None = None,
    ) -> answers.Answers:
        """As :meth:`predict_files`, with what the numbers rest on, for :func:`ecgcourse.analysis.answers_page.make`.

        That none of the files can be used is no error if `skip_bad` is given.
        """
        if self.task.label_set in SPLITS:
            raise SettingError(
                "this network reads single beats, cut around their R peaks, and a file doesn't say where these are; "
                "evaluate it on a folder of annotated beats, or give beats to predict_proba"
            )
        said = answers.Answers(self.task, self.thresholds, answers.about(self.model))
        for path in progress_bar(progress, delay=2, iterable=own_files.find(files), desc="predicting", unit="file"):
            try:
                said.files.append(self._ask_file(path, sampling_rate, unit))
            except (DataError, SettingError) as error:
                if not skip_bad:
                    raise
                said.bad_files[str(path)] = str(error)
        return said

    def _ask_file(self, path: Path, sampling_rate: float | None, unit: str | None) -> answers.Answer:
        ecg = own_files.with_leads(own_files.read(path, sampling_rate, unit), self.recipe.leads)
        found = own_files.windows(ecg, answers.seconds_of(self.model))
        said = mean = self.predict_proba(found.signals, ecg.sampling_rate, ecg.leads)
        if len(said) > 1:
            with np.errstate(divide="ignore"):
                logits = np.log(said) if self.task.is_multiclass else logit(said)
            mean = logits.mean(axis=0, keepdims=True)
            mean = softmax(mean, axis=1) if self.task.is_multiclass else expit(mean)
        return answers.Answer(str(path), found.starts, said, mean[0], found.left_out)

    def evaluate(self, dataset: Dataset, batch_size: int = 64, **options) -> evaluation.Report:
        """Judge the network on a dataset.

        Parameters
        ----------
        dataset : Dataset
            Of the same recipe and classes.
        batch_size : int
            Records that the network sees at a time.
        **options
            Other arguments of :func:`ecgcourse.analysis.evaluation.report`, such as ``n_bootstrap=200``.

        Returns
        -------
        Report

        Raises
        ------
        SettingError
            A dataset of another recipe or other classes; the message names both.
        DataError
            As :func:`ecgcourse.analysis.evaluation.report`.
        """
        said = self.predictions(dataset, batch_size)
        options = {"groups": said.patient_id} | options
        return evaluation.report(said.y_true, said.y_prob, self._thresholds, task=self.task, **options)

    def predictions(self, dataset: Dataset, batch_size: int = 64) -> Predictions:
        """Labels, probabilities and logits of a dataset, record by record.

        They can be written, compared with those of other models (:func:`ecgcourse.analysis.comparison.compare`), and
        judged by subgroups (:mod:`ecgcourse.analysis.subgroups`).

        Parameters
        ----------
        dataset : Dataset
            Of the same recipe and classes.
        batch_size : int
            Records that the network sees at a time.

        Raises
        ------
        SettingError
            As :meth:`evaluate`.
        """
        y_true, logits = training.predict_logits(self.model, dataset, batch_size, self.device, self.precision)
        return Predictions.of_dataset(dataset, y_true, logits, self.task, getattr(self.model, "calibration", None))

    def calibrate(self, dataset: Dataset, method: str = "temperature", batch_size: int = 64) -> calibration.Calibration:
        """Make probabilities mean what they say, and fit the thresholds anew to those that are calibrated.

        No AUROC changes, and no decision on the records of the dataset. ``save_checkpoint(path, classifier.model)`` of
        :mod:`ecgcourse.learning.training` keeps it, as ``python -m ecgcourse calibrate RUN`` does.

        Parameters
        ----------
        dataset : Dataset
            The validation set: records that the network hasn't learned from, and that won't judge it.
        method : {"temperature", "platt"}
            As for :func:`ecgcourse.analysis.calibration.fit`.
        batch_size : int
            Records that the network sees at a time.

        Returns
        -------
        Calibration

        Raises
        ------
        DataError, SettingError
            As :func:`ecgcourse.analysis.calibration.fit` and :meth:`evaluate`.
        """
        y_true, logits = training.predict_logits(self.model, dataset, batch_size, self.device, self.precision)
        fitted = calibration.fit(y_true, logits, method, self.task)
        self.model.calibration = fitted.to_dict()
        if not self.task.is_multiclass:
            self.thresholds = metrics.fit_thresholds(y_true, fitted.apply(logits, self.task), self.task.classes)
            self.model.thresholds = tuple(self.thresholds.tolist())
        return fitted

    def explain(
        self,
        x: np.ndarray,
        target: str,
        sampling_rate: float | None = None,
        leads: Sequence[str] = LEADS,
        **options,
    ) -> np.ndarray:
        """What in ECGs speaks for a class, lead by lead and sample by sample.

        Parameters
        ----------
        x, sampling_rate, leads
            As for :meth:`predict_proba`.
        target : str
            One of the classes.
        **options
            Other arguments of :func:`ecgcourse.analysis.explain.over_time`, such as ``method="grad_cam"``.

        Returns
        -------
        (N, L, T) float64 array, or (L, T) for one record
            In units of the logit; L leads of the recipe, T samples at its sampling rate.

        Raises
        ------
        DataError, SettingError
            As :meth:`predict_proba` and :func:`ecgcourse.analysis.explain.over_time`.
        """
        x = np.asarray(x)
        if x.ndim == 2:
            return self.explain(x[None], target, sampling_rate, leads, **options)[0]
        parts = self._datasets(x, sampling_rate, leads)
        return np.concatenate([explain.over_time(self.model, part, slice(None), target, **options) for part in parts])

    @property
    def _thresholds(self) -> np.ndarray | float:
        return 0.5 if self.thresholds is None else self.thresholds

    def _ask(self, dataset: Dataset, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        return training.predict(self.model, dataset, batch_size, self.device, self.precision)

    def _datasets(self, x: np.ndarray, sampling_rate: float | None, leads: Sequence[str]) -> Iterator[Dataset]:
        """The input of records, some at a time; their labels, which nobody knows, are all 0."""
        leads = _checked_leads(leads, x.shape)
        needed = [name for name in leads if name in self.recipe.leads]
        chosen = x[:, [leads.index(name) for name in needed]]
        for start in range(0, len(x), AT_A_TIME):
            part = chosen[start : start + AT_A_TIME]
            labels = np.zeros((len(part), len(self.task.classes)))
            yield datasets.from_arrays(part, labels, sampling_rate, recipe=self.recipe, leads=needed)


def _checked_leads(leads: Sequence[str], shape: tuple[int, ...]) -> list[str]:
    leads = [leads] if isinstance(leads, str) else list(leads)
    unknown = [name for name in leads if name not in ALL_LEADS]
    if unknown or len(set(leads)) != len(leads):
        wrong = f"no lead is called {shown(unknown[0])}" if unknown else "a lead is named twice"
        raise SettingError(f"leads: {wrong}; the leads are {', '.join(ALL_LEADS)}")
    if len(shape) != 3 or shape[1] != len(leads) or 0 in shape:
        raise DataError(
            f"records of shape {shape}, but (N, {len(leads)}, T) is needed, N > 0: a row for each of {', '.join(leads)}"
        )
    return leads
