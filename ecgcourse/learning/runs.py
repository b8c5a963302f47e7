"""One training run: where it stands, and the folder that keeps it, so that it survives its process.

:class:`Run` keeps ``last.pt``, from which training goes on to the same weights to the last bit, ``best.pt``, the
weights to use, and ``history.csv``; ``config.json`` tells what it was asked for, and ``environment.json`` what each
start of the run ran on.
"""

import dataclasses
import hashlib
import json
import os
import platform
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

import ecgcourse
from ecgcourse.errors import CheckpointError, DataError, EcgCourseError, SettingError, brief, in_words, shown
from ecgcourse.learning import distributed, metrics
from ecgcourse.learning.config import TrainConfig
from ecgcourse.learning.derived import Part
from ecgcourse.learning.distributed import DistributedContext
from ecgcourse.learning.history import History, tensorboard_writer, write_row
from ecgcourse.learning.loader import BatchOrder
from ecgcourse.learning.losses import LossMeter
from ecgcourse.learning.optimization import Stepper
from ecgcourse.learning.progress import PROGRESS_FORMAT, random_state, read_progress, restore_random_state
from ecgcourse.models.checkpoint import read_checkpoint, save_checkpoint, save_tensors
from ecgcourse.models.registry import with_present_names
from ecgcourse.support.files import lock, read_json, staging, write_json
from ecgcourse.support.renamed import former_names

LAST, BEST, HISTORY, CONFIG = "last.pt", "best.pt", "history.csv", "config.json"

ENVIRONMENT, CURVES, THRESHOLDS = "environment.json", "curves.png", "thresholds.json"

FILES = (LAST, BEST, HISTORY, CONFIG, ENVIRONMENT, CURVES, THRESHOLDS)
"""What a run comes to hold: curves and thresholds are written at its end, by the command line."""

LOCK = ".run.lock"

RESUMABLE_OVERRIDES = (
    *("epochs", "patience", "device", "channels_last", "workers", "checkpoint_every", "tensorboard", "out", "progress"),
)
"""When to stop, where to calculate and what to show: settings that a resumed run may change."""

# Their versions may change the last bits of a result.
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "pandas", "tifffile", "torch", "triton")

# Seconds in which a killed process has surely let go of its lock.
LOCK_WAIT = 10


class Run:
    """Where a training is, and the folder that keeps it.

    Parameters
    ----------
    config : TrainConfig
        Without a folder in `out` nothing is ever written.
    model, averaged
        What training changes; `averaged`, an exponential moving average of the model's weights, may be None.
    stepper : Stepper
        Has the state of the optimizer.
    order : BatchOrder
        Of the training set.
    device : torch.device

    Attributes
    ----------
    history : History
        The finished epochs.
    losses : LossMeter
        Of the epoch that has begun.
    best_weights : dict of tensors
        State of the model after the best epoch so far.
    thresholds : list of float or None
        One for each class, fitted to the validation set after the best epoch so far.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        averaged: torch.optim.swa_utils.AveragedModel | None,
        stepper: Stepper,
        order: BatchOrder,
        device: torch.device,
    ):
        self.config, self.settings, self.device = config, config.to_dict(), device
        self.model, self.averaged, self.stepper, self.order = model, averaged, stepper, order
        self.context = distributed.context()
        self.folder = None if config.out is None else Path(config.out)
        self.data: dict[str, dict] = {}
        self.history, self.losses = History(), LossMeter()
        self.best_weights: dict[str, torch.Tensor] = {}
        self.thresholds: list[float] | None = None
        self._starts: list[dict] = []
        self._writer = None
        self._stop_asked = False

    @property
    def eval_model(self) -> nn.Module:
        """The model whose weights are evaluated and kept."""
        return self.model if self.averaged is None else self.averaged.module

    @property
    def goes_on(self) -> bool:
        """Whether there is an epoch to come: not all are done, and the validation loss hasn't stood still too long."""
        done, patience = len(self.history.rows), self.config.patience
        is_stuck = 0 < patience <= done and done - self.history.best_epoch >= patience
        return done < self.config.epochs and not is_stuck

    @contextmanager
    def opened(self, parts: dict[str, Dataset], resume: bool) -> Iterator[None]:
        """Hold the folder, and take up what it keeps of this run.

        Parameters
        ----------
        parts : dict of datasets
            By name; only the same ones let a run go on.
        resume : bool
            Go on with the run in the folder, if it has come to a checkpoint.

        Raises
        ------
        SettingError
            The folder holds another run, or this one with other settings.
        DataError
            This run on other data; processes that don't see the same; another process that trains there.
        CheckpointError
            A damaged checkpoint, or none but results.
        """
        if self.folder is None:
            if resume:
                raise SettingError("resume=True, but out=None: name the folder of the run to go on with")
            yield
            return
        self.data = {name: fingerprint(dataset) for name, dataset in parts.items()}
        with _held(self.folder, self.context):
            # Before anything is written, in case it is damaged.
            self._starts = process_starts(self.folder)
            saved = read_progress(self.folder / LAST) if self._has_begun(resume) else None
            if saved is None:
                self._agree(saved)
            else:
                self._take_up(saved)
                self._take_up_best()
            with self._tensorboard():
                yield

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM wait for the end of a step, so that what was trained can be kept.

        Several processes would come to different steps, so they stop at once, and keep their last checkpoint.
        """
        own_thread = threading.current_thread() is threading.main_thread()
        if self.folder is None or self.context.world_size > 1 or not own_thread:
            yield
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._stop_asked:
            raise KeyboardInterrupt

    def write_start(self, about: dict) -> None:
        """Write config.json, with `about` beside the data's fingerprints, and add this start to environment.json."""
        if self.folder is None or not self.context.is_first:
            return
        config = {"training": self.settings, "model": getattr(self.model, "settings", None)}
        config |= self._fed() | {"data": about | self.data}
        done = {"epochs_done": len(self.history.rows), "steps_done": len(self.losses) // self.config.accumulate}
        start = environment(self.device, self.context) | done
        write_json(self.folder / CONFIG, config)
        write_json(self.folder / ENVIRONMENT, {"starts": [*self._starts, start]})

    def watch_training(self, batches: Iterable) -> Iterator:
        """Yield each batch, and keep the state after its step where that is due."""
        every, accumulate = self.config.checkpoint_every, self.config.accumulate
        for batch in batches:
            yield batch
            if len(self.losses) % accumulate:
                # Gradients that wait for a step aren't kept.
                continue
            self._stop_if_asked()
            if every and len(self.losses) % (every * accumulate) == 0:
                self.save()

    def watch_validation(self, batches: Iterable) -> Iterator:
        """Yield each batch, and stop between two where that was asked for."""
        for batch in batches:
            yield batch
            self._stop_if_asked()

    def end_epoch(self, train_loss: float, validated: tuple[float, np.ndarray, np.ndarray] | None) -> None:
        """Add an epoch to the history, and keep the state after it and, if it is the best so far, its weights.

        Parameters
        ----------
        train_loss : float
        validated : (float, (N, K) array, (N, K) array), optional
            Loss, labels and probabilities of the validation set; None without one.
        """
        task = getattr(self.model, "task", None)
        if validated is None:
            self.history.add_unvalidated(train_loss)
        else:
            self.history.add(train_loss, *validated, task)
        if self.stepper.scaler.is_enabled():
            before = sum(row["skipped_steps"] for row in self.history.rows[:-1])
            self.history.rows[-1]["skipped_steps"] = self.stepper.skipped - before
        if self.history.is_best():
            self.best_weights = _copy_of_weights(self.eval_model)
            has_thresholds = validated is not None and not (task and task.is_multiclass)
            self.thresholds = metrics.fit_thresholds(*validated[1:]).tolist() if has_thresholds else None
        self.losses = LossMeter()
        self.save()
        self._write_results()

    def save(self) -> None:
        """Write last.pt, whole or not at all; every process must call this after the same step."""
        if self.folder is None:
            return
        self.losses.settle()
        randoms = self.context.gather(random_state(self.device)[None])
        if self.context.is_first:
            content = self._content() | {"random": torch.cat(randoms)}
            save_tensors(self.folder / LAST, content)

    def _write_results(self) -> None:
        """Write history.csv and, if the last epoch is the best, best.pt."""
        if self.folder is None or not self.context.is_first:
            return
        if self.history.is_best():
            row = self.history.rows[-1]
            kept = {
                "thresholds": self.thresholds,
                # Of other weights, if there is one.
                "calibration": None,
                "data": self.data,
                "synthetic": getattr(self.model, "synthetic", None),
                "seconds": getattr(self.model, "seconds", None),
            }
            kept |= {"epoch": row["epoch"], "val_loss": row.get("val_loss")}
            save_checkpoint(self.folder / BEST, self.eval_model, **kept)
        self.history.to_csv(self.folder / HISTORY)
        if self._writer is not None:
            write_row(self._writer, self.history.rows[-1])

    @contextmanager
    def _tensorboard(self) -> Iterator[None]:
        if not self.config.tensorboard or not self.context.is_first or not self.goes_on:
            yield
            return
        with tensorboard_writer(self.folder, self.history) as self._writer:
            yield

    def _fed(self) -> dict:
        """Recipe and task of the model as plain values."""
        parts = {name: getattr(self.model, name, None) for name in ("recipe", "task")}
        return {name: None if part is None else part.to_dict() for name, part in parts.items()}

    def _content(self) -> dict:
        return {
            "format": PROGRESS_FORMAT,
            "training": self.settings,
            "settings": getattr(self.model, "settings", None),
            **self._fed(),
            "thresholds": self.thresholds,
            "data": self.data,
            "rows": self.history.rows,
            "losses": self.losses.losses,
            "counts": self.losses.counts,
            "order": self.order.state(len(self.losses)),
            "state_dict": self.model.state_dict(),
            **self.stepper.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
        }

    def _has_begun(self, resume: bool) -> bool:
        begun = (self.folder / LAST).exists()
        if begun and not resume:
            raise SettingError(
                f"{self.folder} holds a run that has begun ({LAST}); resume it, name another folder, or remove it"
            )
        if resume and not begun and (self.folder / BEST).exists():
            raise CheckpointError(f"{self.folder} holds {BEST} but no {LAST} to go on from; name another folder")
        return begun

    def _agree(self, saved: dict | None) -> None:
        """All processes must go on from the same place with the same data and settings."""
        place = None if saved is None else (len(saved["rows"]), len(saved["losses"]))
        settings = {name: value for name, value in self.settings.items() if name not in ("device", "progress")}
        text = json.dumps([place, self.data, settings])
        self.context.assert_same_across_ranks(text, f"state, data or settings of {self.folder}")

    def _check(self, saved: dict) -> None:
        """Refuse a run that was begun with other settings, another model or other data."""
        # A learning rate that follows a cycle depends on where the cycle ends.
        free = set(RESUMABLE_OVERRIDES) - ({"epochs"} if self.settings["schedule"] == "one_cycle" else set())
        # A setting that is younger than the run was as it is by default.
        before = {each.name: each.default for each in dataclasses.fields(TrainConfig)} | saved["training"]
        _check_equal(before, self.settings, f"{self.folder} was trained with", free)
        model = getattr(self.model, "settings", None) or {}
        before = with_present_names(saved.get("settings") or {})
        _check_equal(before, model, f"{self.folder} trains a model with")
        before = {name: saved.get(name) for name in ("recipe", "task")}
        _check_equal(_plain(before), _plain(self._fed()), f"{self.folder} trains a model with")
        for name, now in self.data.items():
            before = saved["data"].get(name, {})
            if before != now:
                raise DataError(
                    f"the {name} records are not those that {self.folder} was trained on: "
                    f"{brief(str(before.get('records')))} of fingerprint {brief(str(before.get('sha256')), 12)} then, "
                    f"{now['records']} of {brief(now['sha256'], 12)} "
                    "now; resume with the same data"
                )

    def _take_up(self, saved: dict) -> None:
        try:
            self._agree(saved)
            self._check(saved)
            self.model.load_state_dict(saved["state_dict"])
            self.stepper.load_state_dict(saved)
            self.history, self.thresholds = History(saved["rows"]), saved["thresholds"]
            self.losses = LossMeter(saved["losses"], saved["counts"])
            if self.averaged is not None:
                self.averaged.load_state_dict(saved["averaged"])
            self.order.seek(saved["order"])
            restore_random_state(saved["random"], self.device, self.context.rank)
        except EcgCourseError:
            raise
        # What parts of a wrong kind raise depends on where PyTorch stumbles.
        except Exception as error:
            raise CheckpointError(f"{self.folder / LAST} doesn't fit this run: {in_words(error)}") from error

    def _take_up_best(self) -> None:
        """Take up the weights of the best epoch."""
        if not self.history.rows:
            return
        if not len(self.losses):
            # The process may have ended after writing last.pt, before it wrote best.pt and history.csv.
            self._write_results()
            if self.history.is_best():
                self.best_weights = _copy_of_weights(self.eval_model)
                return
        path, best = self.folder / BEST, self.history.best_epoch
        content = read_checkpoint(path)
        if content.get("epoch") != best:
            raise CheckpointError(f"{path} holds epoch {shown(content.get('epoch'))}, but epoch {best} is the best")
        self.best_weights = {name: tensor.to(self.device) for name, tensor in content["state_dict"].items()}

    def _ask(self, number: int, frame: object) -> None:
        if self._stop_asked:
            # Asked twice: whoever asks doesn't want to wait for the step.
            raise KeyboardInterrupt
        self._stop_asked = True

    def _stop_if_asked(self) -> None:
        if self._stop_asked:
            self._stop_asked = False
            self.save()
            raise KeyboardInterrupt


def precision_of(folder: str | os.PathLike) -> str:
    """What a run was trained in, in which it is judged too; CheckpointError for a damaged config.json."""
    path = Path(folder) / CONFIG
    if not os.path.lexists(path):
        return "float32"
    try:
        found = TrainConfig.from_dict(read_json(path)["training"]).precision
        return "float32" if found == "auto" else found
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds no settings of a training; train again") from error


def fingerprint(dataset: Dataset) -> dict:
    """What tells one dataset from another.

    Parameters
    ----------
    dataset : RenderedImages, TiffImages, Signals, SignalsAndImages, Part or Batched

    Returns
    -------
    dict
        records: N; sha256: over labels, image size, recipes, and the signals or inputs or, of images on disk, the
        size of each file.
    """
    digest = hashlib.sha256(f"{len(dataset)}".encode())
    digest.update(dataset.labels.cpu().numpy().tobytes())
    for part in getattr(dataset, "parts", (dataset,)):
        digest.update(f"{part.size} {getattr(part, 'recipe', None)}".encode())
        if isinstance(part, Part):
            digest.update(f"{part.digest} {fingerprint(part.dataset)}".encode())
        elif hasattr(part, "digest"):
            digest.update(part.digest.encode())
        elif hasattr(part, "signals"):
            digest.update(part.signals.cpu().reshape(-1).numpy())
        else:
            files = sorted((path.name, path.stat().st_size) for path in (Path(part.folder) / "images").iterdir())
            digest.update(json.dumps(files).encode())
    return {"records": len(dataset), "sha256": digest.hexdigest()}


def environment(device: torch.device, context: DistributedContext) -> dict:
    """What a result may depend on beside data and settings: versions, device, threads, processes; plain values."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "ecgcourse": ecgcourse.__version__,
        "python": platform.python_version(),
        # Only PyTorch itself tells its build, such as 2.13.0+cu130.
        "packages": {name: _version(name) for name in PACKAGES} | {"torch": str(torch.__version__)},
        "system": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "processes": context.world_size,
        "torchrun": os.environ.get("TORCHELASTIC_RUN_ID"),
    }


def process_starts(folder: str | os.PathLike) -> list[dict]:
    """Each start of a run, first to last, as :func:`environment` told it; DataError for a damaged file."""
    path = Path(folder) / ENVIRONMENT
    if not os.path.lexists(path):
        return []
    try:
        begun = list(read_json(path)["starts"])
        right = all(start["torchrun"] is None or isinstance(start["torchrun"], str) for start in begun)
    except (DataError, TypeError, KeyError) as error:
        raise DataError(f"{path} doesn't list the starts of a run; move it away") from error
    if not right:
        raise DataError(f"{path} doesn't list the starts of a run; move it away")
    return begun


def _check_equal(before: dict, now: dict, words: str, free: Iterable[str] = ()) -> None:
    for name in sorted(before.keys() | now.keys()):
        if name not in free and before.get(name) != now.get(name):
            raise SettingError(
                f"{words} {name}={shown(before.get(name))}, but {name}={shown(now.get(name))} is asked for now; "
                "resume with the same settings, or name another folder"
            )


@contextmanager
def _held(folder: Path, context: DistributedContext) -> Iterator[None]:
    """Keep a second training out of the folder, and what killed ones have left."""
    if not context.is_first:
        yield
        return
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            busy = f"another process trains in {folder}; wait for it, or name another folder"
            stack.enter_context(lock(folder / LOCK, busy, LOCK_WAIT))
        except OSError as error:
            raise DataError(f"can't write in {folder}: {error.strerror or error}; name another folder") from error
        for name in FILES:
            staging(folder / name).unlink(missing_ok=True)
        yield


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _copy_of_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _plain(content: dict) -> dict:
    """With lists in place of tuples, as a file may give them."""
    return json.loads(json.dumps(content))


__getattr__ = former_names(globals(), {"starts": "process_starts"})
