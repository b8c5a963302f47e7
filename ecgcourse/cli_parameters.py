"""The command ``parameters``: how many weights models have, and where they are."""

import argparse
from typing import TYPE_CHECKING

from ecgcourse.cli_asked import changed, model_settings, read_config
from ecgcourse.errors import SettingError, in_words
from ecgcourse.recipe import Task

if TYPE_CHECKING:
    from torch import nn


def parameters(options: argparse.Namespace) -> None:
    """Print a table of models and their weights or, of one model, of its layers. Nothing is trained or made."""
    from ecgcourse import models

    given = dict(options.set)
    if options.config:
        if options.models:
            raise SettingError(f"--config names a model; leave {', '.join(options.models)} out")
        made = {options.config: _of_config(options.config, given)}
    else:
        made = {name: _made(name, **given) for name in options.models or models.names()}
    if len(made) == 1:
        print_layers(*made.values())
    else:
        print_models(made)


def _of_config(path: str, given: dict) -> "nn.Module":
    asked = read_config(path)
    asked["model"] |= given
    name, settings = model_settings(asked)
    recipe = None
    if asked["images"] or asked["signals"] or asked["recipe"]:
        recipe = changed(name, _made(name, **settings).recipe, asked)
    return _made(name, recipe=recipe, classes=Task.from_dict(asked["task"]) if asked["task"] else None, **settings)


def _made(name: str, **settings) -> "nn.Module":
    import torch

    from ecgcourse import models

    try:
        # Shapes alone, so that the largest takes no memory.
        with torch.device("meta"):
            return models.create(name, **settings)
    # What PyTorch makes of shapes with more numbers than it can count.
    except (RuntimeError, OverflowError) as error:
        raise SettingError(f"model {name!r} would be too large: {in_words(error)}") from error


def print_models(made: "dict[str, nn.Module]") -> None:
    """Print a line for each model: what it takes, and how many weights it has."""
    print(f"{'model':<{_width(made)}}{'takes':<20}{'weights':>13}")
    for name, model in made.items():
        print(f"{name:<{_width(made)}}{' and '.join(model.inputs):<20}{_count(model):>13,}")


def print_layers(model: "nn.Module") -> None:
    """Print a model's settings, and a line for each of its layers that has weights."""
    layers = {name: layer for name, layer in model.named_modules() if list(layer.parameters(recurse=False))}
    width, settings = _width(layers), ", ".join(f"{name}={value}" for name, value in model.settings.items())
    print(f"{settings}\n\n{'layer':<{width}}{'kind':<20}{'weights':>13}")
    for name, layer in layers.items():
        print(f"{name:<{width}}{type(layer).__name__:<20}{_count(layer, whole=False):>13,}")
    print(f"{'all':<{width + 20}}{_count(model):>13,}")


def _count(layer: "nn.Module", whole: bool = True) -> int:
    return sum(weights.numel() for weights in layer.parameters(recurse=whole))


def _width(names: dict) -> int:
    return max(map(len, names)) + 2
