"""What every network of the course offers: :class:`Model` says it, :class:`Network` does most of it. Chapter 09."""

import inspect
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from ecgcourse.recipe import Recipe, Task


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
    """Base of the networks here: notes the arguments that one is made with as its `settings`.

    A subclass says what it takes (`inputs`) and has `forward`, `embed` and `embedding_size`, see :class:`Model`.
    """

    inputs: ClassVar[tuple[str, ...]] = ("images",)
    scaling: str = "z_score"
    """How the signals come that it takes by default, see :class:`ecgcourse.images.signals.SignalRecipe`."""
    all_fields: ClassVar[bool] = False
    """Whether it needs one image of each of the three fields for every lead."""

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
    """What learning leaves: of which probability on a class is predicted; of which data, synthetic or not, how long."""

    def __new__(cls, *arguments: object, **settings: object) -> "Network":
        """Note the arguments, those left out with their defaults."""
        model = super().__new__(cls)
        # Partial: a copy is made without arguments and gets its settings later.
        bound = inspect.signature(cls).bind_partial(*arguments, **settings)
        bound.apply_defaults()
        model.__dict__["settings"] = dict(bound.arguments)
        return model
