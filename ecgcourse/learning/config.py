"""Settings of a training: all that :func:`ecgcourse.learning.training.fit` can be told. Nothing here needs PyTorch.

Introduced in chapter 10.
"""

import dataclasses
import os
import warnings
from dataclasses import InitVar, dataclass

from ecgcourse.errors import EcgCourseWarning, check_name, check_setting, is_real, is_whole
from ecgcourse.support import device

PRECISIONS = ("float32", "bfloat16", "float16")
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "one_cycle")
FORMER = ("l2_decay", "average")
"""Names that settings had in the first edition."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`~ecgcourse.learning.training.fit`, checked when made.

    Parameters
    ----------
    epochs : int
        Largest number of times the training set is gone through.
    batch_size : int
        Records per batch, B, of all processes together.
    accumulate : int
        Gradient accumulation: batches whose gradients are added up before a step is taken, which is the step of
        one batch of so many times the records; batch normalization still sees each batch alone.
    clip_norm : float
        Gradient clipping: shrink all gradients together to this Euclidean norm where theirs is larger; 0 never does.
        Pascanu et al. 2013, arXiv:1211.5063.
    learning_rate : float
        Step size; adam and adamw want a smaller one than sgd, about 0.0001 for the AlexNet.
    optimizer : {"sgd", "adam", "adamw"}
        How to step: plain stochastic gradient descent, Adam, or Adam with decoupled weight decay. AdamW: Loshchilov
        and Hutter 2019, arXiv:1711.05101.
    ema_decay : float
        Judge and keep an exponential moving average of the weights, of which each step leaves this share: 0.99 averages
        over about the last 100 steps, 0 over none. Polyak and Juditsky 1992, doi:10.1137/0330046. Step
        n leaves at most n / (9 + n), so that the beginning is soon forgotten. Running statistics of
        normalization layers are averaged too.
    schedule : {"constant", "one_cycle"}
        Whether the learning rate stays, or rises over the first 30 % of all steps and falls to nearly 0 at the last of
        `epochs`. Smith and Topin 2018, arXiv:1708.07120.
    warmup_epochs : float
        Warm-up: let a constant learning rate rise linearly over the steps of so many epochs, of which it may be a
        part, too; 0 for none. Goyal et al. 2017, arXiv:1706.02677.
    weight_decay : float
        Pull of every weight towards zero: sgd and adam add this times the weight to each gradient, adamw takes this
        times the weight and the learning rate off the weight itself.
    patience : int
        Stop after this many epochs in a row without a lower validation loss; 0 never stops early.
    seed : int
        Decides the order of records, crops, gains and shifts, and the dropout.
    device : str
        Where to calculate: auto (the first of cuda, mps and cpu that is there), cpu, mps, cuda or cuda:1.
    workers : int
        Processes that prepare batches; 0 prepares them in this process. The result is the same.
    precision : {"auto", "float32", "bfloat16", "float16"}
        What convolutions and matrix products are calculated in. Weights, losses and steps stay float32. auto goes by
        the device, see :func:`ecgcourse.learning.hardware.pick_precision`; a run that goes on keeps what it began with.
        bfloat16 has 8 significant bits, float16 has 11 and a small range, for which the loss is scaled, and a step
        whose gradients leave it is skipped. Where a device only emulates bfloat16, a warning says so.
    channels_last : bool, optional
        Keep the channels of a pixel side by side in weights and images. None goes by the device, see
        :func:`ecgcourse.learning.hardware.pick_channels_last`.
    compile : bool
        Translate the network with torch.compile. That takes a while at the start. Whether the steps after it
        are faster depends on the hardware: on two CPU cores they were not (``benchmarks/README.md``).
    gain : float
        Data augmentation: multiply each lead of a signal by a random number between 1 / (1 + gain) and 1 + gain. It is
        drawn on a logarithmic scale, each time that the network learns from the record. Not for images.
    roll : bool
        Data augmentation by circular shift: let a record begin at a random sample and go on from its end to its
        beginning, each time that the network learns from it.
    positive_weights : tuple of float, optional
        How much a positive record of each class weighs in the loss. None takes negatives over positives of the
        training set, as :func:`ecgcourse.learning.losses.positive_weights` does. Where each record has exactly one
        class, how much its records weigh; None weighs all classes alike in total.
    checkpoint_every : int
        Write last.pt after this many steps too, not only after each epoch; 0 for epochs only.
    tensorboard : bool
        Write each row of the history for TensorBoard, too, as event files in `out`; needs ``ecgcourse[tensorboard]``.
    out : path, optional
        Folder for best.pt, last.pt, history.csv, config.json and environment.json; None writes nothing.
    progress : bool, optional
        Show a progress bar; None shows it on a terminal only.
    l2_decay, average : float, optional
        Former names of `weight_decay` and `ema_decay`, with a warning.

    Raises
    ------
    SettingError
        A value that isn't allowed.
    """

    epochs: int = 100
    batch_size: int = 64
    accumulate: int = 1
    clip_norm: float = 0.0
    learning_rate: float = 0.1
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    patience: int = 20
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    precision: str = "auto"
    channels_last: bool | None = None
    compile: bool = False
    ema_decay: float = 0.0
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    gain: float = 0.0
    roll: bool = False
    positive_weights: tuple[float, ...] | None = None
    checkpoint_every: int = 0
    tensorboard: bool = False
    out: str | os.PathLike | None = None
    progress: bool | None = None
    l2_decay: InitVar[float | None] = None
    average: InitVar[float | None] = None

    def __post_init__(self, l2_decay: float | None, average: float | None):
        for old, name, value in (("l2_decay", "weight_decay", l2_decay), ("average", "ema_decay", average)):
            if value is not None:
                warnings.warn(f"{old} is called {name} now", EcgCourseWarning, stacklevel=3)
                object.__setattr__(self, name, value)
        if isinstance(self.positive_weights, list):
            object.__setattr__(self, "positive_weights", tuple(self.positive_weights))
        self._need("epochs", is_whole(self.epochs, 1, 10**6), "a whole number from 1 to a million")
        self._need("batch_size", is_whole(self.batch_size, 1, 10**6), "a whole number from 1 to a million")
        self._need("accumulate", is_whole(self.accumulate, 1, 10**6), "a whole number from 1 to a million")
        self._need("clip_norm", is_real(self.clip_norm, -1) and self.clip_norm >= 0, "a number, 0 or more")
        self._need("learning_rate", is_real(self.learning_rate, above=0), "a number above 0")
        self._need("optimizer", self.optimizer in OPTIMIZERS, " or ".join(OPTIMIZERS))
        self._need("weight_decay", is_real(self.weight_decay, -1) and self.weight_decay >= 0, "a number, 0 or more")
        self._need("patience", is_whole(self.patience, 0, 10**6), "a whole number from 0 to a million")
        self._need("seed", is_whole(self.seed, 0), "a whole number from 0 to 2⁶³ − 1")
        self._need("device", device.NAME.fullmatch(str(self.device)), device.WORDS)
        self._need("workers", is_whole(self.workers, 0, 256), "a whole number from 0 to 256")
        self._need("precision", self.precision in ("auto", *PRECISIONS), " or ".join(("auto", *PRECISIONS)))
        self._need("channels_last", self.channels_last in (None, True, False), "True, False or None")
        self._need("compile", isinstance(self.compile, bool), "True or False")
        self._need("ema_decay", is_real(self.ema_decay, -1) and 0 <= self.ema_decay < 1, "in [0, 1)")
        self._need("gain", is_real(self.gain, -1) and self.gain >= 0, "a number, 0 or more")
        self._need("roll", isinstance(self.roll, bool), "True or False")
        self._need("schedule", self.schedule in SCHEDULES, " or ".join(SCHEDULES))
        self._need("warmup_epochs", is_real(self.warmup_epochs, -1) and self.warmup_epochs >= 0, "a number, 0 or more")
        rises = self.schedule == "one_cycle" and self.warmup_epochs
        self._need("warmup_epochs", not rises, "0 with the schedule one_cycle, which has a rise of its own")
        self._need(
            "positive_weights", _are_weights(self.positive_weights), "one number above 0 for each class, or None"
        )
        self._need("checkpoint_every", is_whole(self.checkpoint_every, 0), "a whole number, 0 or more")
        self._need("tensorboard", isinstance(self.tensorboard, bool), "True or False")
        self._need("out", self.out is None or isinstance(self.out, str | os.PathLike), "a path or None")
        self._need("progress", self.progress in (None, True, False), "True, False or None")

    def _need(self, name: str, right: object, allowed: str) -> None:
        check_setting("", name, getattr(self, name), right, allowed)

    @classmethod
    def from_dict(cls, settings: dict) -> "TrainConfig":
        """Make a configuration from a dict; SettingError for a name that isn't a setting."""
        known = [each.name for each in dataclasses.fields(cls)] + list(FORMER)
        for name in settings:
            check_name(name, known, "no setting is")
        return cls(**settings)

    def to_dict(self) -> dict:
        """All settings as plain values, ready for `json.dump` and for :meth:`from_dict`."""
        settings = dataclasses.asdict(self)
        return settings | {"out": None if self.out is None else os.fspath(self.out)}


def _are_weights(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, tuple | list) and len(value) > 0 and all(is_real(each, 0) for each in value)
