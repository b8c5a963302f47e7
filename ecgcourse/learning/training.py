"""One plain training loop: :func:`seed_everything`, :func:`train_one_epoch`, :func:`validate`, :func:`fit`,
:func:`predict`. Introduced in chapter 10.

:func:`fit` seeds, makes loaders, loss and optimizer, and goes through the epochs: train, validate, keep the result.
What lets a run be interrupted and go on is :mod:`ecgcourse.learning.runs`; what lets several processes train one model
is :mod:`ecgcourse.learning.distributed`. Alone and without a folder, neither does anything.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ecgcourse.errors import SettingError, check_setting
from ecgcourse.learning import distributed, hardware, metrics
from ecgcourse.learning.config import TrainConfig
from ecgcourse.learning.derived import batched, recipe_of, seconds_of
from ecgcourse.learning.hardware import PRECISIONS
from ecgcourse.learning.history import History
from ecgcourse.learning.loader import loader
from ecgcourse.learning.losses import LossMeter, loss_function_of, positive_weights
from ecgcourse.learning.optimization import Stepper, moving_average, stepper_of
from ecgcourse.learning.runs import Run
from ecgcourse.learning.samples import Augmentation, Crops, to_float
from ecgcourse.models.checkpoint import CHECKPOINT_FORMAT, load_checkpoint, save_checkpoint
from ecgcourse.recipe import Task, class_names
from ecgcourse.support.device import pick_device
from ecgcourse.support.progress_bar import progress_bar

__all__ = [
    "CHECKPOINT_FORMAT",
    "PRECISIONS",
    "History",
    "TrainConfig",
    "fit",
    "in_evaluation_mode",
    "load_checkpoint",
    "pick_device",
    "positive_weights",
    "predict",
    "predict_logits",
    "save_checkpoint",
    "seed_everything",
    "train_one_epoch",
    "validate",
]

Inputs = torch.Tensor | Crops | Sequence[torch.Tensor | Crops]

Batches = Iterable[tuple[Inputs, torch.Tensor]]


def seed_everything(seed: int) -> None:
    """Seed the global random numbers of Python and of PyTorch on every device.

    On a CPU the same seed gives the same weights to the last bit, with the same number of threads and the
    same version of PyTorch. GPU kernels may add in another order, so that only close results can be expected.
    """
    random.seed(seed)
    torch.manual_seed(seed)


def train_one_epoch(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    stepper: Stepper | None = None,
    losses: LossMeter | None = None,
) -> float:
    """Take one step for each batch, or as a stepper says.

    Inside :func:`ecgcourse.learning.distributed.process_group` all processes take it together, each with its share of
    the batch.

    Parameters
    ----------
    model : nn.Module
        Maps (B, C, S, S) float images, or whatever it takes, to (B, K) logits; on `device`. Left in training mode.
    batches : iterable of (inputs, labels)
        What the model takes, as one tensor or several in its order, and (B, K) float32. Images may be uint8, or
        floats in [0, 1]. Of :class:`ecgcourse.learning.samples.Crops` the logits are averaged.
    loss_function : nn.Module
        Mean loss of logits and labels, on `device`.
    optimizer : torch.optim.Optimizer
    device : torch.device
    precision : torch.dtype
        Of convolutions and matrix products: float32, bfloat16 or float16.
    stepper : Stepper, optional
        Takes the steps of the optimizer, which it has, too.
    losses : LossMeter, optional
        Steps that the epoch has taken already; gets the new ones.

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
    stepper = Stepper(optimizer) if stepper is None else stepper
    rate = stepper.learning_rate
    losses = LossMeter() if losses is None else losses
    for inputs, labels in batches:
        stepper.zero_grad()
        logits = _logits(model, inputs, device, precision)
        # A process without a record of the last batch still takes part in the step.
        loss = loss_function(logits, labels.to(device, non_blocking=True)) if len(labels) else logits.sum()
        losses.add(loss, len(labels))
        if device.type == "cpu":
            # Checked for NaN before step(), while the weights are finite. On a GPU, .item() would synchronize with it.
            _finite(loss.item(), f"training loss at learning rate {rate:g}")
        stepper.backward(loss, len(labels))
        stepper.step()
    stepper.step(early=True)
    return _finite(losses.mean(), f"training loss at learning rate {rate:g}")


def validate(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Evaluate the model on all batches, without dropout and without gradients.

    Parameters
    ----------
    model, batches, loss_function, device, precision
        As in :func:`train_one_epoch`; but the model keeps its mode. Each of several processes gets the whole result.

    Returns
    -------
    loss : float
        Mean over all records.
    y_true : (N, K) float32 array
    y_prob : (N, K) float64 array
        Probabilities in [0, 1]; of classes of which a record has exactly one, they add up to 1.

    Raises
    ------
    SettingError
        Outputs or loss are not finite numbers.
    """
    logits, labels = _forward_all(model, batches, device, precision)
    loss = distributed.context().broadcast(loss_function(logits.to(device), labels.to(device)).item())
    return _finite(loss, "validation loss"), labels.numpy(), metrics.probabilities(logits.double(), _task(model))


def fit(
    model: nn.Module,
    train: Dataset,
    val: Dataset | None,
    config: TrainConfig,
    report: Callable[[dict[str, float]], None] | None = None,
    resume: bool = False,
    about: dict | None = None,
) -> History:
    """Train a model, and leave it with the weights of its best epoch, the one with the lowest validation loss.

    :mod:`ecgcourse.learning.runs` says what a run leaves in `config.out`, and how it goes on after an interruption.
    What the model was made for, `recipe` and `task`, must be what the datasets give; a model that was made without
    takes over theirs. It gets `thresholds`, one for each class, fitted to the validation set after its best epoch.

    Inside :func:`ecgcourse.learning.distributed.process_group` each process calls this. They share each batch, so
    that any number of them learns the same up to rounding; but for dropout, which is different in each, and for
    batch normalization, which sees each process's share alone.

    Parameters
    ----------
    model : nn.Module
        As for :func:`train_one_epoch`; moved to the device. To repeat a run exactly, call :func:`seed_everything`
        before making it too. With `config.out` it needs `settings`.
    train : Dataset
        Of inputs and labels: of :mod:`ecgcourse.learning.datasets`, a part of one, or any other of PyTorch's kind, see
        :class:`ecgcourse.learning.derived.Batched`.
    val : dataset, optional
        Of the same kind. Without it all epochs are gone through, and the weights are those of the last.
    config : TrainConfig
    report : callable, optional
        Called with the new row of the history after each epoch.
    resume : bool
        Go on with the run in `config.out`, if it has come to a checkpoint; else begin it. Only the settings
        :data:`ecgcourse.learning.runs.RESUMABLE_OVERRIDES` may differ, `epochs` at a constant rate alone.
    about : dict, optional
        Plain values about the data, to be kept in config.json.

    Returns
    -------
    History

    Raises
    ------
    DataError
        A class with one outcome only, an unwritable `config.out`, other data than those of the run to resume, or
        another process that trains there.
    SettingError
        A model for another recipe or other classes, a device that isn't there, an augmentation that the data can't
        have, a folder with another run or other settings, or a loss that is no longer a finite number, which a lower
        learning rate cures.
    CheckpointError
        A checkpoint to resume that is damaged.
    """
    config, device = hardware.resolve(config, resume), pick_device(config.device)
    train, val = batched(train, _task(model)), None if val is None else batched(val, _task(model))
    _settle(model, train, val)
    hardware.warn_of_emulation(config.precision, device)
    # Each process draws its own dropout; the first one draws what it would draw alone.
    seed_everything(config.seed + distributed.context().rank)
    train_batches, val_batches = _loaders(train, val, config)
    loss_function = loss_function_of(train, val, config, _task(model)).to(device)
    model.to(device, memory_format=torch.channels_last if config.channels_last else torch.contiguous_format)
    stepper = stepper_of(model, config, device, len(train_batches))
    averaged = moving_average(model, stepper.optimizer, config.ema_decay)
    run = Run(config, model, averaged, stepper, train_batches.sampler, device)
    with run.opened({"train": train} | ({} if val is None else {"val": val}), resume):
        if run.goes_on:
            run.write_start(about or {})
        _train_epochs(run, train_batches, val_batches, loss_function, report)
    model.load_state_dict(run.best_weights)
    model.thresholds, model.recipe_given, model.task_given = run.thresholds, True, True
    return run.history


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
        Records that the network sees at a time.
    device : str
        As in :func:`ecgcourse.support.device.pick_device`.
    precision : {"float32", "bfloat16", "float16"}
        As in :class:`ecgcourse.learning.config.TrainConfig`.

    Returns
    -------
    y_true : (N, K) float32 array
    y_prob : (N, K) float64 array
        In [0, 1]; calibrated where the model has a `calibration`, as its `thresholds` are.

    Raises
    ------
    SettingError
        As :func:`predict_logits`.
    """
    y_true, found = predict_logits(model, dataset, batch_size, device, precision)
    return y_true, metrics.probabilities(found, _task(model), getattr(model, "calibration", None))


def predict_logits(
    model: nn.Module, dataset: Dataset, batch_size: int = 64, device: str = "auto", precision: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a whole dataset, in its order: what the network says, before any calibration.

    Parameters
    ----------
    model, dataset, batch_size, device, precision
        As for :func:`predict`.

    Returns
    -------
    y_true : (N, K) float32 array
    logits : (N, K) float64 array

    Raises
    ------
    SettingError
        The model's outputs are not finite numbers, a device that isn't there, an unknown precision, or a dataset of
        another recipe or other classes than the model has learned.
    """
    check_setting("", "precision", precision, precision in PRECISIONS, " or ".join(PRECISIONS))
    place = pick_device(device)
    dataset = batched(dataset, _task(model))
    _check_recipe(model, dataset)
    _check_task(model, dataset)
    logits, labels = _forward_all(model.to(place), loader(dataset, batch_size), place, PRECISIONS[precision])
    # A sigmoid in float32 would round every logit above 17 to a probability of 1, and ties change a ROC curve.
    return labels.numpy(), logits.double().numpy()


def _loaders(train: Dataset, val: Dataset | None, config: TrainConfig) -> tuple[DataLoader, DataLoader | None]:
    context = distributed.context()
    options = {"workers": config.workers, "share": (context.rank, context.world_size)}
    augmentation = Augmentation(config.gain, config.roll)
    train_batches = loader(train, config.batch_size, True, config.seed, **options, augmentation=augmentation)
    return train_batches, None if val is None else loader(val, config.batch_size, **options)


def _train_epochs(
    run: Run,
    train_batches: DataLoader,
    val_batches: DataLoader | None,
    loss_function: nn.Module,
    report: Callable[[dict[str, float]], None] | None,
) -> None:
    """The loop: train, validate, keep the result, until the run is at its end."""
    config, device, precision = run.config, run.device, PRECISIONS[run.config.precision]
    network = torch.compile(run.model) if config.compile else run.model
    ddp_model = distributed.wrap_ddp(network, device)
    eval_model = network if run.averaged is None else run.eval_model
    with _bar(config, len(train_batches), run) as bar, run.interruptible():
        while run.goes_on:
            batches = _counted(run.watch_training(train_batches), bar)
            step = loss_function, run.stepper.optimizer, device, precision, run.stepper, run.losses
            train_loss, validated = train_one_epoch(ddp_model, batches, *step), None
            if val_batches is not None:
                validated = validate(eval_model, run.watch_validation(val_batches), loss_function, device, precision)
            run.end_epoch(train_loss, validated)
            _show(run.history, bar, report)


def _task(model: nn.Module) -> Task | None:
    return getattr(model, "task", None)


def _settle(model: nn.Module, train: Dataset, val: Dataset | None) -> None:
    """Hold what a model was made for against the datasets, or take it over from them, before the model is copied."""
    there = (getattr(model, "settings", None) or {}).get("n_classes")
    datasets = [train] if val is None else [train, val]
    for dataset in datasets:
        if there is not None and dataset.labels.shape[1] != there:
            raise SettingError(
                f"the model has n_classes={there}, but the labels have {dataset.labels.shape[1]} classes; make the "
                "model with as many"
            )
    if val is not None and recipe_of(train) != recipe_of(val):
        raise SettingError(
            f"the training set gives {recipe_of(train)}, but the validation set {recipe_of(val)}; use one recipe"
        )
    if getattr(model, "recipe_given", False):
        _check_recipe(model, train)
    else:
        model.recipe = recipe_of(train)
    tasks = [dataset.task for dataset in datasets if dataset.task is not None]
    if tasks and not getattr(model, "task_given", False):
        model.task = tasks[0]
    elif _task(model) is None:
        model.task = Task(class_names(train.labels.shape[1]))
    for dataset in datasets:
        _check_task(model, dataset, given=True)
    model.synthetic, model.seconds = getattr(train, "synthetic", None), seconds_of(train)


def _check_recipe(model: nn.Module, dataset: Dataset) -> None:
    found = recipe_of(dataset)
    if getattr(model, "recipe_given", False) and found is not None and found != model.recipe:
        raise SettingError(
            f"the model is made for {model.recipe}, but the dataset gives {found}; make the dataset with "
            "recipe=model.recipe"
        )


def _check_task(model: nn.Module, dataset: Dataset, given: bool = False) -> None:
    found, wanted = getattr(dataset, "task", None), _task(model)
    if found is None or wanted is None or not (given or getattr(model, "task_given", False)):
        return
    if (found.classes, found.kind) != (wanted.classes, wanted.kind):
        raise SettingError(
            f"the model answers {', '.join(wanted.classes)} ({wanted.kind}), but the labels are of "
            f"{', '.join(found.classes)} ({found.kind}); make the dataset with task=model.task"
        )


def _finite(loss: float, name: str) -> float:
    if not math.isfinite(loss):
        raise SettingError(f"the {name} is {loss}: training diverged; lower the learning rate")
    return loss


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    with in_evaluation_mode(model), torch.inference_mode():
        yield


def _logits(model: nn.Module, inputs: Inputs, device: torch.device, precision: torch.dtype) -> torch.Tensor:
    """Logits (B, K) as float32, whatever the inputs come as and the network calculates in; of crops their mean."""
    n_crops = _count_crops(inputs)
    inputs = [each.to(device, non_blocking=True) for each in crops_side_by_side(inputs)]
    inputs = [to_float(each) if each.dtype == torch.uint8 else each for each in inputs]
    with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        logits = model(*inputs).float()
    return logits if n_crops == 1 else logits.unflatten(0, (-1, n_crops)).mean(dim=1)


def crops_side_by_side(inputs: Inputs) -> list[torch.Tensor]:
    """The inputs of a model, with the crops of all records as (B V, …); what has none, as often as the others do."""
    n_crops = _count_crops(inputs)
    return [
        each.inputs.flatten(0, 1)
        if isinstance(each, Crops)
        else (each if n_crops == 1 else each.repeat_interleave(n_crops, dim=0))
        for each in _listed(inputs)
    ]


def _count_crops(inputs: Inputs) -> int:
    return max((each.inputs.shape[1] for each in _listed(inputs) if isinstance(each, Crops)), default=1)


def _listed(inputs: Inputs) -> list[torch.Tensor | Crops]:
    return [inputs] if isinstance(inputs, torch.Tensor | Crops) else list(inputs)


def _forward_all(
    model: nn.Module, batches: Batches, device: torch.device, precision: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of all batches of all processes, (N, K) each, on the CPU."""
    with _evaluating(model):
        batched_logits = [(_logits(model, inputs, device, precision), labels) for inputs, labels in batches]
    gather = distributed.context().gather_interleaved
    logits, labels = (gather(torch.cat(parts)) for parts in zip(*batched_logits, strict=True))
    if not torch.isfinite(logits).all():
        raise SettingError("the model's outputs aren't finite: training diverged; lower the learning rate")
    return logits, labels


def _bar(config: TrainConfig, batches_per_epoch: int, run: Run) -> tqdm:
    progress = config.progress if run.context.is_first else False
    done = len(run.history.rows) * batches_per_epoch + len(run.losses)
    return progress_bar(progress, total=config.epochs * batches_per_epoch, initial=done, unit="batch")


def _counted(batches: Batches, bar: tqdm) -> Iterator[tuple[Inputs, torch.Tensor]]:
    for batch in batches:
        yield batch
        bar.update()


def _show(history: History, bar: tqdm, report: Callable[[dict[str, float]], None] | None) -> None:
    row = history.rows[-1]
    shown = {name: f"{row[name]:.4f}" for name in ("train_loss", "val_loss", "auroc") if name in row}
    bar.set_postfix(epoch=row["epoch"], **shown)
    if report is not None:
        report(row)
