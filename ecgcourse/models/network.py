"""What every network of the course offers: :class:`Model` says it, :class:`Network` does most of it. Chapter 9."""

import inspect
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from ecgcourse.errors import DataError, check_setting, is_real, is_whole
from ecgcourse.images.fields import LARGEST
from ecgcourse.recipe import Recipe, Task

COUNTS = ("filters", "in_channels", "n_classes", "leads", "hidden", "layers", "kernel", "width")
"""Settings that are whole numbers, at least 1, in every network that has them."""


@runtime_checkable
class Model(Protocol):
    """A network that can be trained, asked, fused and explained.

    Attributes
    ----------
    inputs : tuple of {"signals", "images"}
        What its `forward` takes, in this order: signals (B, L, T), images (B, C, S, S) in [0, 1].
    settings : dict
        Its name and the arguments that it was made with, all plain values: enough to make it again.
    recipe : Recipe or None
        What it is fed; None where nobody knows, as after learning from a foreign dataset.
    task : Task or None
        What it answers.
    embedding_size : int
        Numbers that its last layer decides on.
    """

    inputs: tuple[str, ...]
    settings: dict
    recipe: Recipe | None
    task: Task | None
    embedding_size: int

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K)."""

    def embed(self, *inputs: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on, (B, `embedding_size`); fusions join it."""


class Network(nn.Module):
    """Base of the networks here: notes the arguments that one is made with as its `settings`, and checks them.

    A subclass says what it takes (`inputs`) and has `forward`, `embed` and `embedding_size`, see :class:`Model`.
    Arguments of the same name mean the same in each: :data:`COUNTS`, probabilities `dropout` and `head_dropout`,
    `image_size` in pixels.
    """

    inputs: ClassVar[tuple[str, ...]] = ("images",)
    scaling: str = "z_score"
    """How the signals that it takes are scaled by default, see :class:`ecgcourse.images.signals.SignalRecipe`."""
    all_fields: ClassVar[bool] = False
    """Whether it needs one image of each of the three fields for every lead."""
    smallest: ClassVar[int] = 1
    """Side in pixels of the smallest images that its layers don't shrink to nothing."""
    choices: ClassVar[Mapping[str, tuple]] = {}
    """Settings that take one of a few values."""

    settings: dict
    recipe: Recipe | None = None
    task: Task | None = None
    recipe_given: bool = False
    task_given: bool = False
    """Whether recipe and task are settled: asked for, or those it has learned with."""
    thresholds: tuple[float, ...] | None = None
    calibration: dict | None = None
    data: dict | None = None
    synthetic: bool | None = None
    seconds: float | None = None
    """Length in s of the records that it has learned from; None before."""

    def __new__(cls, *arguments: object, **settings: object) -> "Network":
        """Note the arguments, those left out with their defaults; SettingError for one outside its range."""
        model = super().__new__(cls)
        # Partial: a copy is made without arguments and gets its settings later.
        signature = inspect.signature(cls)
        bound = signature.bind_partial(*arguments, **settings)
        for name, value in bound.arguments.items():
            if value is not signature.parameters[name].default:
                cls._check_setting(name, value)
        bound.apply_defaults()
        model.__dict__["settings"] = dict(bound.arguments)
        return model

    @classmethod
    def _check_setting(cls, name: str, value: object) -> None:
        right, allowed = True, ""
        if name in cls.choices:
            # By type too, so that neither 1 nor a list passes for True.
            right = any(value == choice and type(value) is type(choice) for choice in cls.choices[name])
            allowed = " or ".join(map(repr, cls.choices[name]))
        elif name in COUNTS:
            right, allowed = is_whole(value, 1), "a whole number, at least 1"
        elif name in ("dropout", "head_dropout"):
            right, allowed = is_real(value, -1) and 0 <= value < 1, "a probability in [0, 1)"
        elif name == "image_size":
            right = is_whole(value, cls.smallest, LARGEST)
            allowed = f"a whole number of pixels from {cls.smallest} to {LARGEST}"
        check_setting(cls.__name__, name, value, right, allowed)

    def check_images(self, images: torch.Tensor) -> None:
        """DataError unless images have the shape (B, C, S, S) that the network was made for."""
        channels = self.settings.get("in_channels") or self.settings["leads"]
        shape = channels, self.settings["image_size"], self.settings["image_size"]
        if images.ndim != 4 or images.shape[1:] != shape:
            raise DataError(
                f"{type(self).__name__}: images of shape {tuple(images.shape)}, but this one was made for "
                f"(B, {', '.join(map(str, shape))}); render at that size or make a model for yours"
            )

    def check_signals(self, signals: torch.Tensor, shortest: int = 1) -> None:
        """DataError unless signals have the shape (B, L, T) for the network's L, T not below `shortest`."""
        leads = self.settings["leads"]
        if signals.ndim != 3 or signals.shape[1] != leads or signals.shape[2] < shortest:
            raise DataError(
                f"{type(self).__name__}: signals of shape {tuple(signals.shape)}, but this one was made for "
                f"(B, {leads}, T) with at least {shortest} samples; choose the leads that it wants or make a model for "
                "yours"
            )
