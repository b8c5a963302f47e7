"""What a command was asked for: settings from options and from ``--config``, and the model that they make."""

import argparse
import math
import os
import tomllib
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

from ecgcourse.errors import DataError, SettingError, check_name, in_words, shown
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import ImageRecipe, Recipe, SignalRecipe, Task
from ecgcourse.records.beat_names import SPLITS
from ecgcourse.records.ptbxl_names import LABEL_SETS
from ecgcourse.support import flags
from ecgcourse.support.files import read_json

CONFIG_PARTS = ("training", "model", "task", "recipe", "images", "signals")


def asked_for(options: argparse.Namespace) -> dict[str, dict]:
    """What was asked for, from ``--config`` and from options, which go before: training, model, images, signals, …"""
    asked = read_config(options.config) if options.config else {name: {} for name in CONFIG_PARTS}
    given = flags.chosen(options)
    asked["training"] |= {each.name: given[each.name] for each in fields(TrainConfig) if each.name in given}
    settings = {name: given[name] for name in ("filters", "dropout", "init") if given[name] is not None}
    if options.model and options.model != asked["model"].get("name"):
        # Settings of another network.
        asked["model"] = {"name": options.model}
    asked["model"] |= settings | dict(options.set)
    for part in ("images", "signals"):
        asked[part] |= flags.chosen(options, f"{part}.")
    if options.sampling_rate is not None:
        asked["recipe"]["sampling_rate"] = options.sampling_rate
    # Before the data, which may take longer to find.
    TrainConfig.from_dict(asked["training"])
    return asked


def read_config(path: str) -> dict[str, dict]:
    """Settings from a TOML file, or from the config.json of a run; DataError or SettingError for anything else."""
    if path.endswith(".json"):
        content = read_json(Path(path))
    else:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} isn't TOML: {in_words(error)}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no settings: a table of them is needed")
    # What a run notes of its data is nothing to ask for.
    content.pop("data", None)
    if isinstance(content.get("model"), str):
        content["model"] = {"name": content["model"]}
    recipe = content.pop("recipe", None) or {}
    if recipe and isinstance(content.get("model"), dict):
        # What follows from recipe and task, which options may change.
        for setting in ("leads", "in_channels", "image_size", "size", "n_classes"):
            content["model"].pop(setting, None)
    content |= {name: recipe.pop(name) for name in ("images", "signals") if isinstance(recipe.get(name), dict)}
    content["recipe"] = {name: value for name, value in recipe.items() if value is not None}
    for name, part in content.items():
        if name not in CONFIG_PARTS or not isinstance(part, dict):
            raise SettingError(f"{path}: {shown(name)} isn't a table of settings; there are {', '.join(CONFIG_PARTS)}")
    asked = {name: dict(content.get(name, {})) for name in CONFIG_PARTS}
    # Where a run's own folder was, and what it showed, is not what it did.
    for name in ("out", "progress"):
        asked["training"].pop(name, None)
    return asked


def train_config(options: argparse.Namespace, asked: dict) -> TrainConfig:
    out = _run_folder(options)
    options.resume = options.resume or is_restarted(out)
    options.on_stop = f"stopped; the same command with --resume --out {out} goes on from the last checkpoint"
    return TrainConfig.from_dict(asked | {"out": str(out), "progress": False if options.quiet else None})


def model_asked_for(options: argparse.Namespace, asked: dict[str, dict]) -> tuple[str, dict, Recipe, Task]:
    """Name and settings of the model, what it is to be fed, and what it is to answer."""
    import torch

    from ecgcourse import models
    from ecgcourse.learning import beat_sets, datasets
    from ecgcourse.records import heartbeats
    from ecgcourse.records.ptbxl import is_ptbxl

    name, settings = model_settings(asked)
    noted = None if is_ptbxl(options.data) else datasets.noted(options.data)
    task = task_asked_for(options, options.data) if noted is None or asked["task"] else noted.task
    task = Task.from_dict(asked["task"]) if asked["task"] and not (options.task or options.min_records) else task
    kinds = models.inputs(name)
    # Recipe and classes decide them; where they were named besides, making the model finds a contradiction.
    own_settings = {
        setting: value for setting, value in settings.items() if setting not in ("in_channels", "n_classes")
    }
    if "size" in asked["images"] and models.has_setting(name, "image_size"):
        own_settings["image_size"] = asked["images"]["size"]
    with torch.device("meta"):
        own = models.create(name, classes=task, **own_settings).recipe
    if own is not None and heartbeats.is_heartbeats(options.data):
        own = beat_sets.recipe_for(options.data, own)
    if options.leads:
        asked["signals" if "signals" in kinds else "images"]["leads"] = options.leads
    base = own if noted is None or "signals" in kinds else noted.recipe
    recipe = changed(name, base, asked)
    return name, settings, recipe, task


def model_settings(asked: dict[str, dict]) -> tuple[str, dict]:
    """Name and settings of the model that was asked for."""
    from ecgcourse import models

    # A file of settings may have former names.
    settings = models.with_present_names({"name": "alexnet"} | asked["model"])
    name = settings.pop("name")
    if name == "alexnet":
        # The smaller of the two that the original trained.
        settings.setdefault("filters", 8)
    return name, settings


def changed(name: str, recipe: "Recipe | None", asked: dict[str, dict]) -> Recipe:
    """A recipe with what was asked for."""
    parts = {}
    for setting in asked["recipe"]:
        check_name(setting, ["sampling_rate"], "a recipe has no setting")
    for part, kind in (("images", ImageRecipe), ("signals", SignalRecipe)):
        before = None if recipe is None else getattr(recipe, part)
        if recipe is not None and before is None and asked[part]:
            raise SettingError(f"model {name!r} takes no {part}; leave --{part}.{next(iter(asked[part]))} out")
        known = [each.name for each in fields(kind)]
        for setting in asked[part]:
            check_name(setting, known, f"{part} have no setting")
        if before is not None or asked[part]:
            parts[part] = replace(before, **asked[part]) if before is not None else kind(**asked[part])
    return replace(recipe, **parts, **asked["recipe"]) if recipe is not None else Recipe(**parts, **asked["recipe"])


def task_asked_for(options: argparse.Namespace, data: Path) -> Task:
    """The classes that were asked for, those of the data that enough records have."""
    from ecgcourse.learning import own_sets

    if own_sets.is_own(data):
        return own_sets.task_of(data, options.task, options.min_records)
    if options.task in SPLITS:
        raise SettingError(f"--task {options.task} is of single beats, which {data} doesn't have; leave it out")
    if not (options.task or options.min_records):
        return Task()
    from ecgcourse.records.ptbxl import label_classes, read_table

    label_set = options.task or LABEL_SETS[0]
    # A class that no record has can't be learned.
    least = options.min_records or int(label_set != LABEL_SETS[0])
    return Task(label_classes(read_table(data), label_set, least), label_set=label_set)


def count_weights(name: str, recipe: Recipe, task: Task, settings: dict) -> int:
    """Weights of a model, counted without making it; SettingError if training it needs more memory than there is."""
    import torch

    from ecgcourse import models

    with torch.device("meta"):
        n_weights = sum(weights.numel() for weights in models.create(name, recipe, task, **settings).parameters())
    # Four bytes each, for the weights, their gradients and the best epoch's weights.
    needed, there = 12 * n_weights, _memory()
    if needed > there:
        raise SettingError(
            f"the model would have {n_weights:,} weights, and training it needs {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {there / 1e9:,.0f} GB: choose a smaller --size or --filters"
        )
    return n_weights


def _memory() -> float:
    """Bytes of memory of this machine, inf if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def _run_folder(options: argparse.Namespace) -> Path:
    from ecgcourse.learning import distributed, runs

    if not options.out and (options.resume or distributed.is_launched()):
        raise SettingError("--out RUN is needed: with --resume and with torchrun, the folder must be named")
    folder = Path(options.out) if options.out else Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    found = [name for name in (runs.BEST, runs.LAST) if (folder / name).exists()]
    if found and not options.resume and not is_restarted(folder):
        raise SettingError(
            f"{folder} holds another run ({found[0]}); go on with it (--resume), name another --out, or remove it first"
        )
    return folder


def is_restarted(folder: Path) -> bool:
    """Whether torchrun started these processes anew after a failure, and the run in the folder was theirs."""
    from ecgcourse.learning import runs

    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return False
    begun = runs.process_starts(folder)
    return bool(begun) and begun[-1]["torchrun"] == os.environ["TORCHELASTIC_RUN_ID"]
