"""The models of the course: one architecture per file, one registry.

A model takes images (B, C, S, S) as floats in [0, 1] and returns logits (B, K), one per class. It carries
``settings``: its registry name and the arguments it was made with, which is all a checkpoint needs to build
it again.
"""

from collections.abc import Callable

from torch import nn

from ecgcourse.errors import SettingError, in_words, shown
from ecgcourse.models.alexnet import AlexNet

REGISTRY: dict[str, Callable[..., nn.Module]] = {"alexnet": AlexNet}


def names() -> tuple[str, ...]:
    """Names that :func:`create` knows."""
    return tuple(sorted(REGISTRY))


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
        Maps float images (B, C, S, S) in [0, 1] to logits (B, K).

    Raises
    ------
    SettingError
        An unknown name, or a setting that the architecture does not have or cannot take.
    """
    if name not in REGISTRY:
        raise SettingError(f"no model is called {shown(name)}; the models are {', '.join(names())}")
    try:
        model = REGISTRY[name](**settings)
    except TypeError as error:
        raise SettingError(f"model {name!r} cannot be made with {shown(settings, 200)}: {in_words(error)}") from error
    model.settings = {"name": name, **model.settings}
    return model
