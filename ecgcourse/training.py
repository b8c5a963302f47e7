"""One plain training loop: :func:`seed_everything`, :func:`train_one_epoch`, :func:`validate`, :func:`fit`,
:func:`save_checkpoint`. Introduced in chapter 10.

:func:`fit` seeds, makes loaders, loss and optimizer, and goes through the epochs: train, validate, add a row to the
history, keep the best weights. What lets a run be interrupted and go on is :mod:`ecgcourse.runs`; what lets several
processes train one model is :mod:`ecgcourse.distributed`. Alone and without a folder, neither does anything.
"""

import dataclasses
import difflib
import math
import os
import random
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset
from tqdm import tqdm

from ecgcourse import distributed, metrics, models
from ecgcourse.datasets import Views, batched, loader, recipe_of, to_float
from ecgcourse.distributed import Team
from ecgcourse.errors import CheckpointError, DataError, EcgCourseWarning, SettingError, brief, in_words, shown
from ecgcourse.files import stat_file, whole_file
from ecgcourse.ptbxl import CLASSES
from ecgcourse.recipe import Recipe
from ecgcourse.runs import BEST, HISTORY, Run, Tally, check_parts, load_tensors, save_tensors

CHECKPOINT_FORMAT = "ecgcourse-checkpoint/1"

LARGEST_TASK = 10_000
"""Classes that a checkpoint may claim to have."""

LARGEST_HISTORY = 2**28
"""Bytes; a million epochs have 200 million."""

# The threshold behind the sensitivity and specificity of each epoch; the final ones are fitted by evaluation.
EPOCH_THRESHOLD = 0.5

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SCHEDULES = ("constant", "one_cycle")
DEVICE_NAME = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
DEVICE_WORDS = "auto, cpu, mps, cuda or cuda:NUMBER"

Inputs = torch.Tensor | Sequence[torch.Tensor] | Views
Batches = Iterable[tuple[Inputs, torch.Tensor]]
ALONE = Team()


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`fit`, checked when made.

    Parameters
    ----------
    epochs : int
        Largest number of times the training set is gone through.
    batch_size : int
        Records per step, B, of all processes together.
    learning_rate : float
    optimizer : {"sgd", "adam", "adamw"}
        Plain stochastic gradient descent, or Adam (which wants a learning rate near 0.0001 here), or Adam with
        decay apart from its steps (Loshchilov and Hutter 2019, arXiv:1711.05101).
    average : float
        Judge and keep a running mean of the weights in place of the weights themselves, of which each step leaves
        this share: 0.99 averages over about the last 100 steps, 0 over none (Polyak and Juditsky 1992,
        doi:10.1137/0330046). Step n leaves at most n / (9 + n), so that the beginning is soon forgotten.
        Running statistics of normalisation layers are averaged too.
    schedule : {"constant", "one_cycle"}
        Whether the learning rate stays, or rises to `learning_rate` over the first 30 % of all steps and falls
        to nearly 0 at the end (Smith and Topin 2018, arXiv:1708.07120).
    l2_decay : float
        Added to each gradient: this times the weight.
    patience : int
        Stop after this many epochs in a row without a lower validation loss; 0 never stops early.
    seed : int
        Decides the order of records and the dropout.
    device : str
        "auto" (the first of cuda, mps, cpu that is there), "cpu", "mps", "cuda" or "cuda:1".
    workers : int
        Processes that prepare batches; 0 prepares them in this process.
    precision : {"float32", "bfloat16"}
        What convolutions and matrix products are calculated in. Weights, losses and steps stay float32.
        bfloat16 has 8 significant bits; how much faster it is depends on the hardware. An x86 processor without
        AVX-512 imitates it, many times more slowly than float32, and :func:`fit` warns.
    compile : bool
        Translate the network with torch.compile, which takes a while at the start. Whether the steps after it
        are faster depends on the hardware: on two CPU cores they were not (``benchmarks/README.md``).
    positive_weights : tuple of float, optional
        How much a positive record of each class weighs in the loss; None takes negatives over positives of the
        training set, as :func:`positive_weights` does.
    checkpoint_every : int
        Write last.pt after this many steps too, not only after each epoch; 0 for epochs only.
    out : path, optional
        Folder for best.pt, last.pt, history.csv, config.json and environment.json; None writes nothing.
    progress : bool, optional
        Show a progress bar; None shows it on a terminal only.

    Raises
    ------
    SettingError
        A value that isn't allowed.
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 0.1
    optimizer: str = "sgd"
    l2_decay: float = 0.0
    patience: int = 20
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    precision: str = "float32"
    compile: bool = False
    average: float = 0.0
    schedule: str = "constant"
    positive_weights: tuple[float, ...] | None = None
    checkpoint_every: int = 0
    out: str | os.PathLike | None = None
    progress: bool | None = None

    def __post_init__(self):
        if isinstance(self.positive_weights, list):
            object.__setattr__(self, "positive_weights", tuple(self.positive_weights))
        self._need("epochs", _is_whole(self.epochs, 1), "a whole number, at least 1")
        self._need("batch_size", _is_whole(self.batch_size, 1), "a whole number, at least 1")
        self._need("learning_rate", _is_real(self.learning_rate, above=0), "a number above 0")
        self._need("optimizer", self.optimizer in tuple(OPTIMIZERS), " or ".join(OPTIMIZERS))
        self._need("l2_decay", self.l2_decay == 0 or _is_real(self.l2_decay, above=0), "a number, 0 or more")
        self._need("patience", _is_whole(self.patience, 0), "a whole number, 0 or more")
        self._need("seed", _is_whole(self.seed, 0) and self.seed < 2**63, "a whole number from 0 to 2⁶³ − 1")
        self._need("device", DEVICE_NAME.fullmatch(str(self.device)), DEVICE_WORDS)
        self._need("workers", _is_whole(self.workers, 0), "a whole number, 0 or more")
        self._need("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS))
        self._need("compile", isinstance(self.compile, bool), "True or False")
        self._need("average", _is_real(self.average, -1) and 0 <= self.average < 1, "in [0, 1)")
        self._need("schedule", self.schedule in SCHEDULES, " or ".join(SCHEDULES))
        self._need(
            "positive_weights", _are_weights(self.positive_weights), "one number above 0 for each class, or None"
        )
        self._need("checkpoint_every", _is_whole(self.checkpoint_every, 0), "a whole number, 0 or more")
        self._need("out", self.out is None or isinstance(self.out, str | os.PathLike), "a path or None")
        self._need("progress", self.progress in (None, True, False), "True, False or None")

    def _need(self, name: str, right: object, allowed: str) -> None:
        if not right:
            raise SettingError(f"{name}={shown(getattr(self, name))} isn't allowed; it must be {allowed}")

    @classmethod
    def from_dict(cls, settings: dict) -> "TrainConfig":
        """Make a configuration from a dict; SettingError for a name that isn't a setting."""
        known = [each.name for each in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
                raise SettingError(
                    f"no setting is called {shown(name)}; did you mean {close[0]!r}? All are: {', '.join(known)}"
                )
        return cls(**settings)

    def to_dict(self) -> dict:
        """All settings as plain values, ready for `json.dump` and for :meth:`from_dict`."""
        settings = dataclasses.asdict(self)
        return settings | {"out": None if self.out is None else os.fspath(self.out)}


@dataclass
class History:
    """What each epoch came to.

    Attributes
    ----------
    rows : list of dict
        One per epoch: epoch (from 1), train_loss and val_loss (mean over the records, each with the weights
        it met), and on the validation set sensitivity and specificity (threshold 0.5) and auroc, as means
        over the classes, then auroc_MI and so on. Without a validation set, epoch and train_loss only.
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

    def add(self, train_loss: float, val_loss: float, y_true: np.ndarray, y_prob: np.ndarray) -> None:
        """Add the next epoch: its two losses, and the metrics of (N, K) labels and probabilities."""
        table = metrics.confusion(y_true, y_prob >= EPOCH_THRESHOLD)
        auroc = metrics.auroc(y_true, y_prob)
        row = {
            "epoch": len(self.rows) + 1,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "sensitivity": float(metrics.sensitivity(table).mean()),
            "specificity": float(metrics.specificity(table).mean()),
            "auroc": float(auroc.mean()),
        }
        names = metrics.class_names(len(auroc))
        row |= {f"auroc_{name}": float(area) for name, area in zip(names, auroc, strict=True)}
        self.rows.append(row)

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        return pd.DataFrame(self.rows)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the rows to a CSV file, whole or not at all."""
        with whole_file(path) as temporary:
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


def seed_everything(seed: int) -> None:
    """Seed the global random numbers of Python and of PyTorch on every device.

    On a CPU the same seed gives the same weights to the last bit, with the same number of threads and the
    same version of PyTorch. GPU kernels may add in another order, so that only close results can be expected.
    """
    random.seed(seed)
    torch.manual_seed(seed)


def pick_device(name: str = "auto") -> torch.device:
    """Turn the name of a device into a device that is there.

    Parameters
    ----------
    name : str
        "auto" is the first of cuda, mps and cpu that is there; else "cpu", "mps", "cuda" or "cuda:1".

    Raises
    ------
    SettingError
        An unknown name, or a device that this machine doesn't have.
    """
    if not DEVICE_NAME.fullmatch(name):
        raise SettingError(f"device={shown(name)} isn't allowed; it must be {DEVICE_WORDS}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    device = torch.device(name)
    if not there[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        found = ", ".join(kind for kind in there if there[kind])
        raise SettingError(f"device={name!r} isn't there: PyTorch finds {found} here; use device='auto'")
    return device


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


def train_one_epoch(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    tally: Tally | None = None,
    team: Team = ALONE,
    scheduler: LRScheduler | None = None,
) -> float:
    """Take one step for each batch.

    Parameters
    ----------
    model : nn.Module
        Maps (B, C, S, S) float images, or whatever it takes, to (B, K) logits; on `device`. Left in training
        mode.
    batches : iterable of (inputs, labels)
        What the model takes, as one tensor or several in its order, and (B, K) float32. Images may be uint8, or
        floats in [0, 1]. Of :class:`ecgcourse.datasets.Views` the logits are averaged.
    loss_function : nn.Module
        Mean loss of logits and labels, on `device`.
    optimizer : torch.optim.Optimizer
    device : torch.device
    precision : torch.dtype
        Of convolutions and matrix products: float32 or bfloat16.
    tally : Tally, optional
        Steps that the epoch has taken already; gets the new ones.
    team : Team
        Who takes the steps together, each with its share of the batch.
    scheduler : torch.optim.lr_scheduler.LRScheduler, optional
        Told after each step.

    Returns
    -------
    float
        Mean loss over the records of this epoch, each counted once, with the weights that it met.

    Raises
    ------
    SettingError
        The loss is no longer a finite number.
    """
    model.train()
    rate = optimizer.param_groups[0]["lr"]
    tally = Tally() if tally is None else tally
    for inputs, labels in batches:
        optimizer.zero_grad()
        logits = _logits(model, inputs, device, precision)
        # A process without a record of the last batch still takes part in the step.
        loss = loss_function(logits, labels.to(device, non_blocking=True)) if len(labels) else logits.sum()
        tally.add(loss, len(labels))
        if device.type == "cpu":
            # Asked before the step, while the weights are still numbers. A GPU would have to come to rest for it.
            _finite(loss.item(), f"training loss at learning rate {rate:g}")
        (loss * team.weight(len(labels))).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return _finite(tally.mean(team), f"training loss at learning rate {rate:g}")


def validate(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    team: Team = ALONE,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Ask the model about each batch, with dropout off and no gradients.

    Parameters
    ----------
    model, batches, loss_function, device, precision, team
        As in :func:`train_one_epoch`. The model keeps its mode. Each process of a team gets the whole result.

    Returns
    -------
    loss : float
        Mean over all records.
    y_true : (N, K) float32 array
    y_prob : (N, K) float64 array
        Probabilities in [0, 1].

    Raises
    ------
    SettingError
        Outputs or loss are not finite numbers.
    """
    logits, labels = _answers(model, batches, device, precision, team)
    loss = team.of_first(loss_function(logits.to(device), labels.to(device)).item())
    return _finite(loss, "validation loss"), labels.numpy(), _probabilities(logits)


def fit(
    model: nn.Module,
    train: Dataset,
    val: Dataset | None,
    config: TrainConfig,
    report: Callable[[dict[str, float]], None] | None = None,
    resume: bool = False,
    about: dict | None = None,
) -> History:
    """Train a model, and leave it with the weights of its best epoch.

    The best epoch is the one with the lowest validation loss. With `config.out` its weights are written to
    best.pt each time they improve, history.csv grows with each epoch, config.json holds settings and
    fingerprints of the data, environment.json versions and hardware.

    last.pt holds the state after each epoch, and after `config.checkpoint_every` steps. If the process ends
    before its time, the same call with `resume=True` goes on from there: on a CPU, to the same weights and
    history to the last bit. Ctrl-C and SIGTERM write it once the step is done, and raise KeyboardInterrupt.

    The model gets the attribute `recipe`, an :class:`ecgcourse.recipe.Recipe`: what it is fed when it is judged. None
    for a dataset that isn't of :mod:`ecgcourse.datasets`.

    Inside :func:`ecgcourse.distributed.joined` each process of the team calls this. They share each batch, so
    that any number of them learns the same up to rounding; but for dropout, which is different in each, and for
    batch normalisation, which sees each process's share alone.

    Parameters
    ----------
    model : nn.Module
        Maps (B, C, S, S) float images, or whatever it takes, to (B, K) logits; moved to the device. To repeat a
        run exactly, call :func:`seed_everything` before making the model too. With `config.out` it needs
        `settings`.
    train : Dataset
        What the model takes, and labels (K,) of 0 and 1: a dataset of :mod:`ecgcourse.datasets`, or any other of
        PyTorch's kind, such as a ``TensorDataset``.
    val : dataset, optional
        Of the same kind. Without it all epochs are gone through, and the weights are those of the last.
    config : TrainConfig
    report : callable, optional
        Called with the new row of the history after each epoch.
    resume : bool
        Go on with the run in `config.out`, if it has come to a checkpoint; else begin it. Only patience, device,
        workers, checkpoint_every, out, progress and, at a constant rate, epochs may differ from its settings.
    about : dict, optional
        Plain values about the data, to be kept in config.json.

    Returns
    -------
    History

    Raises
    ------
    DataError
        A class without positives or negatives in either set, an unwritable `config.out`, other data than the
        run to resume was trained on, or another process that trains there.
    SettingError
        A model of another number of classes, a device that isn't there, workers for images on a GPU, a folder with
        another run or with this one under other settings, or a loss that is no longer a finite number, which a lower
        learning rate cures.
    CheckpointError
        A checkpoint to resume that is damaged.
    """
    team, device = distributed.team(), pick_device(config.device)
    train, val = batched(train), None if val is None else batched(val)
    _check_classes(model, train, val)
    # Before any copy of the model is made.
    model.recipe = recipe_of(train if val is None else val)
    _warn_of_imitated_numbers(config.precision, device)
    # Each process draws its own dropout; the first one draws what it would draw alone.
    seed_everything(config.seed + team.rank)
    options = {"workers": config.workers, "share": team.share}
    train_batches = loader(train, config.batch_size, shuffle=True, seed=config.seed, **options)
    val_batches = None if val is None else loader(val, config.batch_size, **options)
    loss_function = _loss_function(train, val, config).to(device)
    # Convolutions read images and weights faster with the channels of a pixel side by side.
    optimizer = _optimizer(model.to(device, memory_format=torch.channels_last), config)
    scheduler = _scheduler(optimizer, config, len(train_batches))
    averaged = _running_mean(model, optimizer, config.average)
    run = Run(config.to_dict(), model, averaged, optimizer, scheduler, train_batches.sampler, device, team)
    with run.opened({"train": train} | ({} if val is None else {"val": val}), resume):
        history, best_weights = History(run.rows), _best_weights_so_far(run, train.size)
        if _goes_on(history, config):
            run.write_start(about or {})
        network = torch.compile(model) if config.compile else model
        learner = distributed.wrapped(network, device)
        judged = network if run.averaged is None else run.averaged.module
        precision = PRECISIONS[config.precision]
        with _bar(config, len(train_batches), run) as bar, run.interruptible():
            while _goes_on(history, config):
                batches = _counted(run.watch_training(train_batches), bar)
                train_loss = train_one_epoch(
                    learner, batches, loss_function, optimizer, device, precision, run.tally, team, scheduler
                )
                if val_batches is None:
                    history.add_unvalidated(train_loss)
                else:
                    batches = run.watch_validation(val_batches)
                    history.add(train_loss, *validate(judged, batches, loss_function, device, precision, team))
                if history.is_best():
                    best_weights = _copy_of_weights(run.judged)
                run.end_epoch()
                _write_results(run, history, train.size)
                _show(history, bar, report)
    model.load_state_dict(best_weights)
    return history


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, then each of its parts into its own mode again."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def predict(
    model: nn.Module, dataset: Dataset, batch_size: int = 64, device: str = "auto", precision: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a whole dataset, in its order.

    Parameters
    ----------
    model : nn.Module
        Moved to the device; its training or evaluation mode, and that of each part, stays as found.
    dataset : Dataset
        As for :func:`fit`.
    batch_size : int
    device : str
        As in :func:`pick_device`.
    precision : {"float32", "bfloat16"}
        As in :class:`TrainConfig`.

    Returns
    -------
    y_true : (N, K) float32 array
    y_prob : (N, K) float64 array
        In [0, 1].

    Raises
    ------
    SettingError
        The model's outputs are not finite numbers, a device that isn't there, or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise SettingError(f"precision={shown(precision)} isn't allowed; it must be {' or '.join(PRECISIONS)}")
    place = pick_device(device)
    logits, labels = _answers(model.to(place), loader(dataset, batch_size), place, PRECISIONS[precision])
    return labels.numpy(), _probabilities(logits)


def save_checkpoint(path: str | os.PathLike, model: nn.Module, **extra) -> None:
    """Write a model's weights with all that is needed to make it again, whole or not at all.

    Parameters
    ----------
    path : path
    model : nn.Module
        Carries `settings`, as :func:`ecgcourse.models.create` gives them.
    **extra
        Plain values to keep beside, such as ``epoch=12``.

    Raises
    ------
    CheckpointError
        The model has no `settings`.
    DataError
        The file can't be written.
    """
    if not isinstance(getattr(model, "settings", None), dict):
        raise CheckpointError(f"{type(model).__name__} has no settings; make the model with models.create")
    content = extra | {
        "format": CHECKPOINT_FORMAT,
        "settings": model.settings,
        "classes": list(metrics.class_names(model.settings.get("n_classes", len(CLASSES)))),
        "state_dict": model.state_dict(),
    }
    if hasattr(model, "recipe"):
        content["recipe"] = None if model.recipe is None else model.recipe.to_dict()
    save_tensors(path, content)


def load_checkpoint(path: str | os.PathLike, device: str = "cpu") -> nn.Module:
    """Make the model of a checkpoint again, in evaluation mode.

    Parameters
    ----------
    path : path
        From :func:`save_checkpoint`. Opening it runs no code that the file may hold.
    device : str
        As in :func:`pick_device`.

    Returns
    -------
    nn.Module
        With the `recipe` that it had; a checkpoint from before recipes gives none.

    Raises
    ------
    CheckpointError
        No such file, a file that isn't a checkpoint, or one for other classes or another model.
    SettingError
        A device that isn't there.
    """
    place = pick_device(device)
    content = _read_checkpoint(Path(path))
    settings = content["settings"]
    try:
        # First with sizes alone: damaged settings can ask for more memory than there is.
        with torch.device("meta"):
            models.create(**settings).load_state_dict(content["state_dict"], assign=True)
        model = models.create(**settings)
        model.load_state_dict(content["state_dict"])
    # What settings or weights of a wrong kind raise depends on where PyTorch stumbles.
    except Exception as error:
        # PyTorch lists every weight that doesn't fit, one a line; the first two lines say enough.
        reason = " ".join(str(error).split("\n")[:2])
        raise CheckpointError(
            f"{path}: its weights don't fit the model {shown(settings, 200)}: {brief(reason, 300)}"
        ) from error
    if "recipe" in content:
        model.recipe = _recipe_in(path, content["recipe"])
    return model.to(place).eval()


def _recipe_in(path: Path, content: object) -> Recipe | None:
    try:
        return None if content is None else Recipe.from_dict(content)
    except SettingError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_checkpoint(path: Path) -> dict:
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there; train first, or name the folder of a finished run")
    content = load_tensors(path)
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path} isn't a checkpoint of this package: no format {CHECKPOINT_FORMAT!r}")
    if not isinstance(content.get("settings"), dict) or "state_dict" not in content:
        raise CheckpointError(f"{path} holds no settings or no weights; train again")
    n_classes = content["settings"].get("n_classes")
    classes = metrics.class_names(n_classes) if n_classes in range(1, LARGEST_TASK) else CLASSES
    if content.get("classes") != list(classes):
        raise CheckpointError(
            f"{path}: its classes are {shown(content.get('classes'))}, but {list(classes)} are needed; train again"
        )
    check_parts(path, content, ("state_dict",))
    return content


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_weights(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, tuple | list) and len(value) > 0 and all(_is_real(each, 0) for each in value)


def _is_real(value: object, above: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value < math.inf


def _finite(loss: float, name: str) -> float:
    if not math.isfinite(loss):
        raise SettingError(f"the {name} is {loss}: training diverged; lower the learning rate")
    return loss


def _check_classes(model: nn.Module, *datasets: Dataset | None) -> None:
    there = (getattr(model, "settings", None) or {}).get("n_classes")
    for dataset in datasets:
        if dataset is not None and there is not None and dataset.labels.shape[1] != there:
            raise SettingError(
                f"the model has n_classes={there}, but the labels have {dataset.labels.shape[1]} classes; make the "
                "model with as many"
            )


def _check_both_outcomes(labels: torch.Tensor, where: str) -> None:
    labels = metrics.check_labels(labels.cpu().numpy(), where)
    for name, positives in zip(metrics.class_names(labels.shape[1]), labels.sum(axis=0), strict=True):
        if positives in (0, len(labels)):
            lack = "positive" if positives == 0 else "negative"
            raise DataError(
                f"{where}: none of the {len(labels)} records is {lack} for {name}, so neither its weight nor "
                "its AUROC is defined; use more records"
            )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    with in_evaluation_mode(model), torch.inference_mode():
        yield


def _logits(model: nn.Module, inputs: Inputs, device: torch.device, precision: torch.dtype) -> torch.Tensor:
    """Logits (B, K) as float32, whatever the inputs come as and the network calculates in."""
    if isinstance(inputs, Views):
        logits = _logits(model, inputs.inputs.flatten(0, 1), device, precision)
        return logits.unflatten(0, inputs.inputs.shape[:2]).mean(dim=1)
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else inputs
    inputs = [each.to(device, non_blocking=True) for each in inputs]
    inputs = [to_float(each) if each.dtype == torch.uint8 else each for each in inputs]
    with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        return model(*inputs).float()


def _answers(
    model: nn.Module, batches: Batches, device: torch.device, precision: torch.dtype, team: Team = ALONE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of all batches of all processes, (N, K) each, on the CPU."""
    with _evaluating(model):
        answers = [(_logits(model, inputs, device, precision), labels) for inputs, labels in batches]
    logits, labels = (team.merge(torch.cat(parts)) for parts in zip(*answers, strict=True))
    if not torch.isfinite(logits).all():
        raise SettingError("the model's outputs aren't finite: training diverged; lower the learning rate")
    return logits, labels


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    # float32 would round every logit above 17 to a probability of 1, and ties change a ROC curve.
    return torch.sigmoid(logits.double()).numpy()


def _warn_of_imitated_numbers(precision: str, device: torch.device) -> None:
    # What PyTorch calculates in bfloat16 on such a processor goes through float32, number by number.
    if precision == "bfloat16" and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        warnings.warn(
            "this processor can't calculate in bfloat16 and imitates it, many times more slowly than float32; "
            "precision='float32' is the better choice here",
            EcgCourseWarning,
            stacklevel=3,
        )


def _loss_function(train: Dataset, val: Dataset | None, config: TrainConfig) -> nn.Module:
    if val is not None:
        _check_both_outcomes(val.labels, "the validation labels")
    counted = positive_weights(train.labels)
    chosen = counted if config.positive_weights is None else torch.tensor(config.positive_weights)
    if len(chosen) != len(counted):
        raise SettingError(
            f"positive_weights={config.positive_weights} isn't allowed; it must be one number for each of the "
            f"{len(counted)} classes"
        )
    return nn.BCEWithLogitsLoss(pos_weight=chosen)


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    # Fused goes over the weights once: Adam over 46 million takes 0.03 s on two CPU cores, not 0.2 s.
    return OPTIMIZERS[config.optimizer](
        model.parameters(), lr=config.learning_rate, weight_decay=config.l2_decay, fused=True
    )


def _scheduler(optimizer: torch.optim.Optimizer, config: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    if config.schedule == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1.0)
    steps = config.epochs * steps_per_epoch
    # Momentum stays as the optimizer has it.
    return lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False)


def _running_mean(model: nn.Module, optimizer: torch.optim.Optimizer, share: float) -> swa_utils.AveragedModel | None:
    """A copy of the model whose weights follow the model's after each step; None if nothing is to be averaged."""
    if not share:
        return None

    def rule(means: list[torch.Tensor], weights: list[torch.Tensor], n_averaged: torch.Tensor) -> None:
        # At first a mean of few: the starting values, most of all a running variance of 1, would stay for long.
        kept = min(share, (1 + int(n_averaged)) / (10 + int(n_averaged)))
        swa_utils.get_ema_multi_avg_fn(kept)(means, weights, n_averaged)

    averaged = swa_utils.AveragedModel(model, multi_avg_fn=rule, use_buffers=True)
    optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(model))
    return averaged


def _goes_on(history: History, config: TrainConfig) -> bool:
    return len(history.rows) < config.epochs and not _is_stuck(history, config.patience)


def _is_stuck(history: History, patience: int) -> bool:
    return 0 < patience <= len(history.rows) and history.rows[-1]["epoch"] - history.best_epoch >= patience


def _bar(config: TrainConfig, batches_per_epoch: int, run: Run) -> tqdm:
    hidden = None if config.progress is None and run.team.is_first else not (config.progress and run.team.is_first)
    done = len(run.rows) * batches_per_epoch + len(run.tally)
    return tqdm(total=config.epochs * batches_per_epoch, initial=done, unit="batch", disable=hidden)


def _counted(batches: Batches, bar: tqdm) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for batch in batches:
        yield batch
        bar.update()


def _copy_of_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _show(history: History, bar: tqdm, report: Callable[[dict[str, float]], None] | None) -> None:
    row = history.rows[-1]
    shown = {name: f"{row[name]:.4f}" for name in ("train_loss", "val_loss", "auroc") if name in row}
    bar.set_postfix(epoch=row["epoch"], **shown)
    if report is not None:
        report(row)


def _best_weights_so_far(run: Run, image_size: int | None) -> dict[str, torch.Tensor]:
    """Weights of the best epoch of a run that goes on; none of one that begins."""
    history = History(run.rows)
    if not history.rows:
        return {}
    if not len(run.tally):
        # The process may have ended after writing last.pt, before it wrote best.pt and history.csv.
        _write_results(run, history, image_size)
        if history.is_best():
            return _copy_of_weights(run.judged)
    path = run.folder / BEST
    content = _read_checkpoint(path)
    if content.get("epoch") != history.best_epoch:
        raise CheckpointError(
            f"{path} holds epoch {shown(content.get('epoch'))}, but epoch {history.best_epoch} is the best"
        )
    shapes = [
        {name: each.shape for name, each in state.items()} for state in (content["state_dict"], run.model.state_dict())
    ]
    if shapes[0] != shapes[1]:
        raise CheckpointError(f"{path}: its weights don't fit the model of this run; name another folder")
    return {name: tensor.to(run.device) for name, tensor in content["state_dict"].items()}


def _write_results(run: Run, history: History, image_size: int | None) -> None:
    if run.folder is None or not run.team.is_first:
        return
    if history.is_best():
        row = history.rows[-1]
        best = run.folder / BEST
        save_checkpoint(best, run.judged, epoch=row["epoch"], val_loss=row.get("val_loss"), image_size=image_size)
    history.to_csv(run.folder / HISTORY)
