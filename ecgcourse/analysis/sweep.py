"""Train all arms of a grid, with several seeds each, and judge them by the same records.

What is finished is kept, so that a sweep that was stopped goes on where it was, and one to which arms were added trains
these alone. Nothing may be chosen by what the folds 9 and 10 say: for that there is cross-validation inside the folds 1
to 8.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import process_time

import numpy as np
import torch
from scipy.special import expit, logit

from ecgcourse import models
from ecgcourse.analysis.contest import Contest
from ecgcourse.analysis.grids import Arm, Grid
from ecgcourse.analysis.pooled import Pooled, Split
from ecgcourse.analysis.stacking import Stacking
from ecgcourse.errors import DataError, SettingError, in_words
from ecgcourse.learning import datasets, hardware, training
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import Recipe
from ecgcourse.records import practice
from ecgcourse.support.files import atomic_write
from ecgcourse.support.workers import parallel_map

Keeper = Callable[[list, Callable[[], torch.nn.Module]], torch.nn.Module]

FOLDER = "runs"
"""Where in the folder of a sweep its finished trainings lie."""


@dataclass(frozen=True)
class Finished:
    """What is kept of a training.

    Attributes
    ----------
    y_prob : (M, K) float64 array
        Of the judged records.
    cpu_seconds : float
        As in :class:`ecgcourse.analysis.contest.Entry`, as is the next.
    cpu_ms : float
    failed : str
        Why there are no probabilities, such as that the loss diverged; "" where there are.
    """

    y_prob: np.ndarray
    cpu_seconds: float
    cpu_ms: float
    failed: str = ""

    def write(self, path: Path) -> None:
        """Write it as an .npz file, whole or not at all."""
        with atomic_write(path) as temporary:
            np.savez(temporary, **dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Finished":
        """Read what :meth:`write` wrote; DataError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as found:
                numbers = (float(found[name]) for name in ("cpu_seconds", "cpu_ms"))
                return cls(found["y_prob"], *numbers, str(found["failed"]))
        # What a damaged archive raises depends on where NumPy stumbles.
        except Exception as error:
            raise DataError(f"{path} isn't a finished training: {in_words(error)}; remove it") from error


@dataclass(frozen=True)
class Sweep:
    """A grid, the records that it is run on, and where its results are kept.

    Parameters
    ----------
    grid : Grid
        As :meth:`ecgcourse.analysis.grids.Grid.on` made it for these records.
    records : Pooled
    out : Path
        Folder that gets ``runs/``.
    cross_validated : bool
        Judge inside the training folds rather than by the folds 9 and 10.
    """

    grid: Grid
    records: Pooled
    out: Path
    cross_validated: bool = False

    @cached_property
    def splits(self) -> list[Split]:
        """Who trains and who judges."""
        return self._splits(self.cross_validated)

    def train(self, processes: int = 1, report: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Train what is missing.

        Parameters
        ----------
        processes : int
            Networks that are trained at a time, each on its share of the cores.
        report : callable, optional
            Called with the number of trainings that are done, and of those that were missing.

        Raises
        ------
        DataError, SettingError
            As the datasets and recipes do. A training that diverges is no error, see :class:`Finished`.
        """
        missing = [each for each in self._trainings() if not self.place(*each).exists()]
        for arm, *_ in missing:
            if arm.pretraining:
                # One after the other, on all cores: the processes would each train their own.
                _pretrained(arm, self._kept)
        threads = max(1, (os.cpu_count() or 1) // processes) if processes > 1 else None
        done = parallel_map(_train_one, [(threads, self, *each) for each in missing], processes)
        for number, _ in enumerate(done, start=1):
            report(number, len(missing))

    def finished(self, arm: Arm, seed: int, cross_validated: bool | None = None) -> Finished:
        """What a training came to, which is trained only where nothing of the same making is kept."""
        inside = self.cross_validated if cross_validated is None else cross_validated
        path = self.place(arm, seed, inside)
        if not path.exists():
            parts = []
            for split in self._splits(inside):
                try:
                    parts.append(train_and_judge(arm, seed, self.records, split, self._kept))
                except SettingError as error:
                    if "diverged" not in str(error):
                        raise
                    parts.append(Finished(np.zeros((0, 0)), np.nan, np.nan, str(error)))
            _joined(parts).write(path)
        return Finished.read(path)

    def place(self, arm: Arm, seed: int, cross_validated: bool) -> Path:
        """Where the results of a training are kept: under the name of the model, and a digest of all they rest on."""
        own = {name: value for name, value in dataclasses.asdict(arm).items() if name not in _NO_MAKING}
        folds = [list(self.grid.judged), list(self.grid.validation), cross_validated]
        digest = _digest([own, seed, self.records.fingerprint, folds])
        return self.out / FOLDER / f"{arm.model}-seed{seed}-{digest}.npz"

    def enter(self, contest: Contest) -> None:
        """Enter all arms into a contest of the same splits, trained where they are not; say of which none can be."""
        for name, arm in self.grid.arms.items():
            found = [self._answer(arm, seed) for seed in range(self.grid.seeds)]
            failed = [each.failed for each in found if each.failed]
            if failed:
                contest.notes.append(f"{name}: {len(failed)} of {len(found)} trainings failed ({failed[0]}); left out")
                continue
            said = [contest.predictions(each.y_prob) for each in found]
            cost = {name: float(np.mean([getattr(each, name) for each in found])) for name in ("cpu_seconds", "cpu_ms")}
            contest.add(said, name, arm.note, weights=self._weights(arm), **cost)

    def references(self, contest: Contest) -> dict[str, str]:
        """Which of the entries is compared with which, as the grid says."""
        entered = contest.entries
        found = self.grid.references().items()
        return {name: other for name, other in found if name in entered and other in entered}

    def _splits(self, cross_validated: bool) -> list[Split]:
        return self.records.splits(self.grid.judged, self.grid.validation, cross_validated)

    def _trainings(self) -> Iterator[tuple[Arm, int, bool]]:
        """Arm, seed and whether by cross-validation, of everything that is trained, each once."""
        arms = self.grid.arms
        wanted = [(arm, self.cross_validated) for arm in arms.values() if not arm.parts]
        # Stacking learns from answers on records that its parts didn't see.
        stacked = {part: None for arm in arms.values() for part in arm.stacked_of}
        wanted += [(arms[part], True) for part in stacked if not self.cross_validated]
        return ((arm, seed, inside) for seed in range(self.grid.seeds) for arm, inside in wanted)

    def _answer(self, arm: Arm, seed: int) -> Finished:
        """What an arm says, be it a training or others joined."""
        if not arm.parts:
            return self.finished(arm, seed)
        others = [self.grid.arms[name] for name in arm.parts]
        found = [self._answer(other, seed) for other in others]
        seconds, took = (sum(getattr(each, name) for each in found) for name in ("cpu_seconds", "cpu_ms"))
        failed = "; ".join(each.failed for each in found if each.failed)
        if failed:
            return Finished(np.zeros((0, 0)), seconds, took, failed)
        parts = np.stack([each.y_prob for each in found], axis=1)
        if arm.mean_of:
            # Infinite logits of a probability of 0 or 1 have no mean with others.
            return Finished(expit(logit(np.clip(parts, _SMALLEST, 1 - _SMALLEST)).mean(axis=1)), seconds, took)
        if self.cross_validated:
            return Finished(self._stacked_inside(parts), seconds, took)
        unseen = [self.finished(other, seed, cross_validated=True) for other in others]
        labels = np.concatenate([self.records.labels[split.judged] for split in self._splits(True)])
        weighed = Stacking().fit(np.stack([each.y_prob for each in unseen], axis=1), labels)
        return Finished(weighed.predict(parts), seconds + sum(each.cpu_seconds for each in unseen), took)

    def _stacked_inside(self, parts: np.ndarray) -> np.ndarray:
        """Answers (M, P, K) of P parts, each group of folds weighed as the others teach."""
        group = np.repeat(np.arange(len(self.splits)), [len(split.judged) for split in self.splits])
        labels = np.concatenate([self.records.labels[split.judged] for split in self.splits])
        y_prob = np.empty(labels.shape)
        for number in range(len(self.splits)):
            inside = group == number
            y_prob[inside] = Stacking().fit(parts[~inside], labels[~inside]).predict(parts[inside])
        return y_prob

    def _weights(self, arm: Arm) -> int:
        if arm.parts:
            return sum(self._weights(self.grid.arms[name]) for name in arm.parts)
        return arm.weights()

    def _kept(self, made_of: list, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        """A network that several trainings begin with: made only where none of that making is kept."""
        path = self.out / FOLDER / f"before-{_digest(made_of)}.pt"
        if not path.exists():
            training.save_checkpoint(path, make())
        return training.load_checkpoint(path)


# What of an arm doesn't change what is trained.
_NO_MAKING = ("mean_of", "stacked_of", "against", "note")
_SMALLEST = 1e-12


def _made_anew(made_of: list, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    return make()


def train_and_judge(arm: Arm, seed: int, records: Pooled, split: Split, kept: Keeper = _made_anew) -> Finished:
    """Train an arm on some records, and ask it about others.

    Parameters
    ----------
    arm : Arm
    seed : int
    records : Pooled
    split : Split
    kept : callable, optional
        Called with what a network rests on that others begin with, too, and with what makes it; returns it. None is
        kept by default.

    Returns
    -------
    Finished
        Its cost is that of this training; what was learned before, by parts or from the practice set, isn't in it.

    Raises
    ------
    DataError, SettingError
        As the datasets, the recipes and :func:`ecgcourse.learning.training.fit`.
    """
    config = hardware.resolve(_config(arm.training, seed))
    training.seed_everything(seed)
    model = _pretrained(arm, kept) if arm.pretraining else arm.make()
    if arm.parts_training or model.settings.get("freeze"):
        # Parts that stay as they are have to know something first.
        alone = _config(arm.training | arm.parts_training, seed)
        parts = {name: getattr(model, name) for name in ("signal_model", "image_model")}
        model.load_pretrained(**{name: _part(model, part, alone, records, split, kept) for name, part in parts.items()})
        training.seed_everything(seed)
    begin = process_time()
    training.fit(model, *_prepared(model, config, records, split), config)
    trained = process_time()
    judged = _dataset(model, config, records, split.judged)
    y_prob = training.predict(model, judged, config.batch_size, config.device, config.precision)[1]
    return Finished(y_prob, trained - begin, 1000 * (process_time() - trained) / len(split.judged))


def _pretrained(arm: Arm, kept: Keeper) -> torch.nn.Module:
    """The model of an arm after its training on the practice set."""
    before = dataclasses.replace(arm, training=arm.training | arm.pretraining, pretraining={})
    made_of = [arm.model, arm.settings, arm.images, arm.signals, before.training]

    def make() -> torch.nn.Module:
        records = Pooled.open([practice.write(practice.default_folder())])
        rows = np.arange(len(records))
        return _trained(before.make, _config(before.training, seed=0), records, Split(rows, rows[:0], rows[:0]))

    return kept(made_of, make)


def _part(
    whole: torch.nn.Module, part: torch.nn.Module, config: TrainConfig, records: Pooled, split: Split, kept: Keeper
) -> torch.nn.Module:
    """A part of a fusion after its own training, fed as it is there."""
    recipe = Recipe(**{name: getattr(whole.recipe, name) for name in part.inputs})
    settings = {
        name: value for name, value in part.settings.items() if name not in ("leads", "in_channels", "image_size")
    }
    rows = [split.train.tolist(), split.validation.tolist()]
    made_of = [settings, recipe.to_dict(), config.to_dict(), records.fingerprint, rows]
    return kept(made_of, lambda: _trained(lambda: models.create(recipe=recipe, **settings), config, records, split))


def _train_one(threads: int | None, sweep: Sweep, arm: Arm, seed: int, cross_validated: bool) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
    sweep.finished(arm, seed, cross_validated)


def _joined(parts: list[Finished]) -> Finished:
    """The results of all splits as one."""
    failed = next((each.failed for each in parts if each.failed), "")
    seconds, took = (np.array([getattr(each, name) for each in parts]) for name in ("cpu_seconds", "cpu_ms"))
    if failed:
        return Finished(np.zeros((0, 0)), seconds.sum(), np.nan, failed)
    counts = [len(each.y_prob) for each in parts]
    return Finished(
        np.concatenate([each.y_prob for each in parts]), seconds.sum(), float(np.average(took, weights=counts))
    )


def _config(settings: dict, seed: int) -> TrainConfig:
    return TrainConfig.from_dict({"progress": False, "device": "auto"} | settings | {"seed": seed})


def _digest(made_of: list) -> str:
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def _trained(
    make: Callable[[], torch.nn.Module], config: TrainConfig, records: Pooled, split: Split
) -> torch.nn.Module:
    training.seed_everything(config.seed)
    model = make()
    training.fit(model, *_prepared(model, config, records, split), config)
    return model


def _prepared(
    model: torch.nn.Module, config: TrainConfig, records: Pooled, split: Split
) -> tuple[datasets.AnyDataset, datasets.AnyDataset | None]:
    """What a model learns from, and what chooses its best epoch, if anything does."""
    train, stops = (_dataset(model, config, records, rows) if len(rows) else None for rows in split[:2])
    return train, stops


def _dataset(model: torch.nn.Module, config: TrainConfig, records: Pooled, rows: np.ndarray) -> datasets.AnyDataset:
    place = training.pick_device(config.device)
    return datasets.from_arrays(records.voltages[rows], records.labels[rows], device=place, recipe=model.recipe)
