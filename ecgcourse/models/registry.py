"""Models by name: what there is, how to make one, and what it wants to be fed. Introduced in chapter 09."""

from collections.abc import Callable

from torch import nn

from ecgcourse.errors import SettingError, in_words, shown
from ecgcourse.ptbxl import LEADS
from ecgcourse.recipe import ImageRecipe
from ecgcourse.signals import IMAGE_LEADS, SignalRecipe

REGISTRY: dict[str, Callable[..., nn.Module]] = {}
"""The models by name; filled when :mod:`ecgcourse.models` is imported."""

LEADS_BY_COUNT = {len(leads): leads for leads in (IMAGE_LEADS, LEADS)}


def names() -> tuple[str, ...]:
    """Names that :func:`create` knows."""
    return tuple(sorted(REGISTRY))


def inputs(name: str) -> tuple[str, ...]:
    """What a model takes, in the order of the arguments of its `forward`.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Returns
    -------
    tuple of str
        ``("images",)``, ``("signals",)`` or ``("signals", "images")``. A class in the registry that doesn't
        say takes images.

    Raises
    ------
    SettingError
        An unknown name.
    """
    return getattr(_registered(name), "inputs", ("images",))


def signal_recipe(model: nn.Module) -> SignalRecipe | None:
    """Which leads a model takes and how they are scaled; None for a model that takes images alone."""
    if "signals" not in getattr(model, "inputs", ()):
        return None
    return SignalRecipe(LEADS_BY_COUNT[model.settings["leads"]], model.scaling)


def image_recipe(model: nn.Module, judging: bool = False) -> ImageRecipe | None:
    """Which images a model takes and how they are made; None for a model that takes signals alone.

    Parameters
    ----------
    model : nn.Module
        As :func:`create` makes them.
    judging : bool
        For a model that learns from windows at random places: several windows at fixed places, from the first
        sample to the last, over which logits are averaged.

    Returns
    -------
    ImageRecipe or None
    """
    if "images" not in getattr(model, "inputs", ("images",)):
        return None
    make = getattr(model, "image_recipe", None)
    return ImageRecipe() if make is None else make(judging)


def create(name: str, **settings) -> nn.Module:
    """Build a model by name, with random weights.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    **settings
        Arguments of the architecture, such as ``filters=16``.

    Returns
    -------
    nn.Module
        Its `forward` takes one float tensor for each of its :func:`inputs`, signals (B, L, T) and images
        (B, C, S, S) in [0, 1], and returns logits (B, K). Its `embed` takes the same and returns the numbers
        (B, `embedding_size`) that the last layer decides on.

    Raises
    ------
    SettingError
        An unknown name, or a setting that the architecture does not have or cannot take.
    """
    architecture = _registered(name)
    try:
        model = architecture(**settings)
    except TypeError as error:
        raise SettingError(f"model {name!r} cannot be made with {shown(settings, 200)}: {in_words(error)}") from error
    model.settings = {"name": name, **model.settings}
    return model


def _registered(name: str) -> Callable[..., nn.Module]:
    if name not in REGISTRY:
        raise SettingError(f"no model is called {shown(name)}; the models are {', '.join(names())}")
    return REGISTRY[name]
