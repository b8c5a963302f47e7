"""A trained network on disk: weights, and all that is needed to make it again and to feed it. Introduced in chapter 10.

Format "ecgcourse-checkpoint/2": settings, recipe, task, thresholds, calibration, data and whether they were synthetic,
versions, weights. Opening one runs no code that the file may hold.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ecgcourse import __version__
from ecgcourse.errors import CheckpointError, DataError, SettingError, StorageError, brief, in_words, shown
from ecgcourse.models import registry
from ecgcourse.recipe import Recipe, Task
from ecgcourse.support.device import pick_device
from ecgcourse.support.files import atomic_write, check_zip, read_json

KEPT = ("thresholds", "calibration", "data", "synthetic", "seconds")
"""What learning leaves in a model beside weights."""

CHECKPOINT_FORMAT, FORMER_FORMAT = "ecgcourse-checkpoint/2", "ecgcourse-checkpoint/1"


def save_checkpoint(path: str | os.PathLike, model: nn.Module, **extra) -> None:
    """Write a model's weights with all that is needed to make it again and to feed it, whole or not at all.

    Parameters
    ----------
    path : path
    model : nn.Module
        Carries `settings`, as :func:`ecgcourse.models.create` gives them; its `recipe`, `task`, `thresholds`,
        `calibration`, `data`, `synthetic` and `seconds` are kept where it has them.
    **extra
        Plain values to keep beside or in place of those, such as ``epoch=12``.

    Raises
    ------
    CheckpointError
        The model has no `settings`.
    DataError
        The file can't be written.
    """
    if not isinstance(getattr(model, "settings", None), dict):
        raise CheckpointError(f"{type(model).__name__} has no settings; make the model with models.create")
    recipe, task = getattr(model, "recipe", None), getattr(model, "task", None)
    kept = {name: getattr(model, name, None) for name in KEPT}
    content = {
        "format": CHECKPOINT_FORMAT,
        "settings": model.settings,
        "recipe": None if recipe is None else recipe.to_dict(),
        # Not given: what it takes by default, which it may never have learned from.
        "recipe_given": getattr(model, "recipe_given", False),
        "task": None if task is None else task.to_dict(),
        "versions": {"ecgcourse": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        "state_dict": model.state_dict(),
    }
    save_tensors(path, content | kept | extra)


def load_checkpoint(path: str | os.PathLike, device: str = "cpu", recipe: Recipe | None = None) -> nn.Module:
    """Make the model of a checkpoint again, in evaluation mode.

    Parameters
    ----------
    path : path
        From :func:`save_checkpoint`. Opening it runs no code that the file may hold.
    device : str
        As in :func:`ecgcourse.support.device.pick_device`.
    recipe : Recipe, optional
        What the network was fed, for a file of format 1, which doesn't say it.

    Returns
    -------
    nn.Module
        With its `settings`, `recipe`, `task`, `thresholds` (K numbers, or None), `calibration`, `data`, `synthetic`
        and `seconds` (of the records it learned from). Of format 1, from before recipes, without `recipe`, only what
        ``train`` on the command line wrote is read: it fed every network in the network's own way.

    Raises
    ------
    CheckpointError
        No such file, a file that isn't a checkpoint or doesn't tell what the network was fed, or one whose parts
        don't fit together.
    SettingError
        A device that isn't there, or a recipe that isn't the one of the file.
    """
    place, path = pick_device(device), Path(path)
    content = read_checkpoint(path)
    if recipe is not None and content["format"] == CHECKPOINT_FORMAT and recipe != content["recipe"]:
        raise SettingError(f"{path} was fed {content['recipe']}, not {recipe}; leave recipe out")
    recipe = content["recipe"] if recipe is None else recipe
    try:
        # First with sizes alone: damaged settings can ask for more memory than there is.
        with torch.device("meta"):
            _made(content, recipe).load_state_dict(content["state_dict"], assign=True)
        model = _made(content, recipe)
        model.load_state_dict(content["state_dict"])
    # What settings or weights of a wrong kind raise depends on where PyTorch stumbles.
    except Exception as error:
        # PyTorch lists every weight that doesn't fit, one a line; the first two lines say enough.
        reason = " ".join(str(error).split("\n")[:2])
        raise CheckpointError(
            f"{path}: its weights don't fit the model {shown(content['settings'], 200)}: {brief(reason, 300)}"
        ) from error
    if recipe is None and content["format"] == FORMER_FORMAT:
        recipe = _recipe_before_recipes(path, model)
    model.recipe, model.task_given = recipe, True
    model.recipe_given = content.get("recipe_given") is not False
    for name in KEPT:
        setattr(model, name, content.get(name))
    return model.to(place).eval()


def read_checkpoint(path: Path) -> dict:
    """What a checkpoint holds, its `recipe` and `task` made again; CheckpointError for anything else."""
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there; train first, or name the folder of a finished run")
    content = load_tensors(path)
    if not isinstance(content, dict) or content.get("format") not in (CHECKPOINT_FORMAT, FORMER_FORMAT):
        raise CheckpointError(f"{path} isn't a checkpoint of this package: no format {CHECKPOINT_FORMAT!r}")
    if not isinstance(content.get("settings"), dict) or "state_dict" not in content:
        raise CheckpointError(f"{path} holds no settings or no weights; train again")
    check_weights(path, content["state_dict"])
    try:
        if content["format"] == FORMER_FORMAT:
            task = Task(content["classes"])
        else:
            task = Task() if content["task"] is None else Task.from_dict(content["task"])
        recipe = None if content.get("recipe") is None else Recipe.from_dict(content["recipe"])
        thresholds = _checked_thresholds(content.get("thresholds"), task)
        _check_calibration(content.get("calibration"), task)
    # What values of a wrong kind raise depends on which of them is met first.
    except Exception as error:
        raise CheckpointError(
            f"{path}: its recipe, task, thresholds or calibration are damaged: {in_words(error)}"
        ) from error
    made = {"task": task, "recipe": recipe, "thresholds": thresholds}
    return content | made | {"settings": registry.with_present_names(content["settings"])}


def load_tensors(path: Path) -> object:
    """Read what torch.save wrote: tensors and plain values, to the CPU, running no code that the file may hold.

    Raises
    ------
    CheckpointError
        The file is damaged or something else, or promises more than it holds.
    """
    try:
        check_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        for value in _values(content):
            _check_held(value)
        return content
    # What a damaged file raises depends on where the unpickler stumbles.
    except Exception as error:
        raise CheckpointError(f"{path} isn't a checkpoint, or is damaged ({type(error).__name__})") from error


def check_weights(path: Path, weights: object) -> None:
    """Refuse what isn't the state of a network: a dict of tensors of finite numbers; CheckpointError names the file."""
    if not isinstance(weights, dict) or not all(isinstance(each, torch.Tensor) for each in weights.values()):
        raise CheckpointError(f"{path}: its weights are missing or no tensors, which don't fit a model")
    if not all(torch.isfinite(each).all() for each in weights.values()):
        raise CheckpointError(f"{path} holds weights that aren't finite numbers: it is damaged, or training diverged")


def save_tensors(path: str | os.PathLike, content: dict) -> None:
    """Write tensors and plain values for :func:`load_tensors`, whole or not at all; StorageError for a full disk."""
    with atomic_write(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:
            # What PyTorch makes of any refusal of the operating system.
            raise StorageError(
                f"can't write {Path(path).name} in the folder {Path(path).parent}: {in_words(error)}; "
                "the disk may be full"
            ) from error


def _made(content: dict, recipe: Recipe | None) -> nn.Module:
    return registry.create(**content["settings"], recipe=recipe, classes=content["task"])


def _recipe_before_recipes(path: Path, model: nn.Module) -> Recipe:
    """What a network was fed whose checkpoint has format 1: its own way, if it was trained on the command line."""
    try:
        # Which notes the folder that it has read.
        by_command = isinstance(read_json(path.parent / "config.json")["data"]["folder"], str)
    except (DataError, TypeError, KeyError):
        by_command = False
    recipe = registry.own_recipe(model)
    if not by_command or recipe is None:
        raise CheckpointError(
            f"{path} has the format {FORMER_FORMAT!r}, which doesn't tell what the network was fed; "
            "load_checkpoint(path, recipe=Recipe(…)) does, or train again"
        )
    return recipe


def _checked_thresholds(thresholds: object, task: Task) -> tuple[float, ...] | None:
    if thresholds is None:
        return None
    right = isinstance(thresholds, list | tuple) and len(thresholds) == len(task.classes)
    # Written so that NaN fails too.
    if not right or not all(type(each) in (int, float) and 0 <= each <= 1 for each in thresholds):
        raise SettingError(f"thresholds {shown(thresholds)} aren't a number in [0, 1] for each class")
    return tuple(thresholds)


def _check_calibration(calibration: object, task: Task) -> None:
    if calibration is None:
        return
    for name in ("slopes", "offsets"):
        numbers = calibration[name]
        right = isinstance(numbers, list | tuple) and len(numbers) == len(task.classes)
        if not right or not all(type(each) in (int, float) and math.isfinite(each) for each in numbers):
            raise SettingError(f"calibration: {name} {shown(numbers)} aren't a number for each class")


def _values(content: object) -> Iterator[object]:
    """All values in nested dicts, lists and tuples; ValueError if one of these is met twice.

    A few hundred bytes of pickle can nest them into themselves, or into each other millions of times.
    """
    seen, left = set(), [content]
    while left:
        value = left.pop()
        if not isinstance(value, dict | list | tuple):
            yield value
        elif value:
            if id(value) in seen:
                raise ValueError("it holds the same part twice")
            seen.add(id(value))
            left += [*value, *value.values()] if isinstance(value, dict) else value


def _check_held(value: object) -> None:
    """Refuse what is neither plain nor a tensor whose numbers the file has: one number can be said to be a million."""
    if type(value) is torch.Tensor:
        if value.layout != torch.strided or value.device.type != "cpu":
            raise ValueError("it holds a tensor without numbers")
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise ValueError("it promises more than it holds")
    elif value is not None and type(value) not in (bool, int, float, str):
        raise ValueError(f"it holds a {type(value).__name__}")
