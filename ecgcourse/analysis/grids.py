"""What is to be trained and compared, read from a TOML file: arms written one by one, or a grid of settings.

.. code-block:: toml

    question = "How wide, and at which rate?"
    seeds = 3
    against = "filters=16, learning_rate=0.01"

    [defaults]
    model = "resnet1d"
    training = { epochs = 30, optimizer = "adamw" }

    [grid]                                      # 2 × 2 arms: the product of all lists
    settings.filters = [16, 32]
    training.learning_rate = [0.01, 0.001]

    [arms."both ends"]                          # further arms, with any settings of Arm
    mean_of = ["filters=16, learning_rate=0.01", "filters=32, learning_rate=0.001"]
"""

import dataclasses
import itertools
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ecgcourse import models
from ecgcourse.errors import EcgCourseError, SettingError, check_name, in_words, is_real, is_whole, shown
from ecgcourse.learning.config import TrainConfig
from ecgcourse.records.ptbxl_names import FOLDS

MOST_ARMS = 1000
"""Arms that a file may have."""


@dataclass(frozen=True)
class Arm:
    """One row of a comparison: a network and how it learns, or what joins the answers of others.

    Parameters
    ----------
    model : str
        Name of a model; "" where the answers of others are joined.
    settings : dict
        Of the model.
    images, signals : dict
        Of :class:`ecgcourse.recipe.ImageRecipe` and :class:`ecgcourse.images.signals.SignalRecipe`, other than what the
        model decides.
    training : dict
        Of :class:`ecgcourse.learning.config.TrainConfig`.
    parts_training : dict
        Of a fusion: what differs from `training` while its parts learn alone, before they are joined. Parts that are
        frozen always learn first, others if this is given.
    pretraining : dict
        What differs from `training` in a training on the whole practice set before; empty for no such training. Every
        seed goes on from the same weights. Not for judging on the practice set, whose judged records were seen.
    against : str
        The arm that this one is compared with; "" for that of the file.
    note : str
        What a reader of the table should know of this row.
    mean_of : list of str
        Other arms, whose logits are averaged, seed by seed; nothing is trained.
    stacked_of : list of str
        Other arms, whose logits are weighed by :class:`ecgcourse.analysis.stacking.Stacking`, seed by seed. The weights
        are learned from records that no part was trained on: by cross-validation inside the training folds.
    """

    model: str = ""
    settings: dict = field(default_factory=dict)
    images: dict = field(default_factory=dict)
    signals: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    parts_training: dict = field(default_factory=dict)
    pretraining: dict = field(default_factory=dict)
    against: str = ""
    note: str = ""
    mean_of: list = field(default_factory=list)
    stacked_of: list = field(default_factory=list)

    @property
    def parts(self) -> list[str]:
        """The arms that this one joins."""
        return self.mean_of or self.stacked_of

    def make(self) -> torch.nn.Module:
        """The model, with random weights, for its recipe; SettingError or TypeError for one that can't be made."""
        settings = {name: value for name, value in self.settings.items() if name != "in_channels"}
        with torch.device("meta"):
            own = models.create(self.model, **settings).recipe
        parts = {name: getattr(own, name) for name in ("images", "signals")}
        changed = {
            name: dataclasses.replace(part, **getattr(self, name)) for name, part in parts.items() if part is not None
        }
        settings = {name: value for name, value in settings.items() if name not in ("leads", "image_size")}
        return models.create(self.model, dataclasses.replace(own, **changed), **settings)

    def weights(self) -> int:
        """How many weights the model has."""
        with torch.device("meta"):
            return sum(weights.numel() for weights in self.make().parameters())


@dataclass(frozen=True)
class Grid:
    """A question and the arms that answer it.

    Parameters
    ----------
    question : str
    seeds : int
        Trainings of each arm.
    arms : dict of name to Arm
    against : str
        The arm that the others are compared with unless they name another; "" for none.
    practice : dict
        What is other on the practice set: ``seeds``, how many; ``epochs``, which share of each arm's epochs.
    validation : tuple of int
        Folds whose loss chooses each training's best epoch, and ends it after `patience` epochs; 9 or 10, which then
        doesn't judge. None: each training has its number of epochs, and the last weights are judged.
    """

    question: str
    seeds: int
    arms: dict[str, Arm]
    against: str = ""
    practice: dict = field(default_factory=dict)
    validation: tuple[int, ...] = ()

    def on(self, synthetic: bool) -> "Grid":
        """The grid as it is run on the practice set or on others; SettingError for an arm that has seen the former."""
        if not synthetic:
            return self
        for name, arm in self.arms.items():
            if arm.pretraining:
                raise SettingError(
                    f"arm {name!r} learns from the practice set beforehand, so it can't be judged there; "
                    "name real records"
                )
        share = self.practice.get("epochs", 1)
        arms = {name: arm if arm.parts else _with_epochs(arm, share) for name, arm in self.arms.items()}
        return dataclasses.replace(self, seeds=self.practice.get("seeds", self.seeds), arms=arms)

    @property
    def judged(self) -> tuple[int, ...]:
        """The folds that judge: 9 and 10, but for those of `validation`."""
        return tuple(fold for fold in (*FOLDS["val"], *FOLDS["test"]) if fold not in self.validation)

    def references(self) -> dict[str, str]:
        """For each arm the one that it is compared with, if there is any other."""
        found = {name: arm.against or self.against for name, arm in self.arms.items()}
        return {name: other for name, other in found.items() if other not in ("", name)}


def read(path: str | os.PathLike) -> Grid:
    """Read a file of arms.

    Raises
    ------
    SettingError
        A file that can't be read, a key that isn't known, or an arm that can't be made: each is tried out, so that a
        mistake is found before hours of training.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} can't be read as a grid: {in_words(error)}") from error
    known = ("question", "seeds", "against", "validation", "practice", "defaults", "grid", "arms")
    _check_keys(content, known, path)
    _check_numbers(content, path)
    if not content.get("question"):
        raise SettingError(f"{path}: there is no 'question'")
    defaults, own = content.get("defaults", {}), _product(content.get("grid", {}), path) | content.get("arms", {})
    if not 0 < len(own) <= MOST_ARMS:
        raise SettingError(f"{path}: {len(own)} arms, but from 1 to {MOST_ARMS} are needed, in 'arms' or as a 'grid'")
    fields = [each.name for each in dataclasses.fields(Arm)]
    _check_keys(defaults, fields, f"{path}, defaults")
    arms = {}
    for name, settings in own.items():
        where = f"{path}, arm {name!r}"
        _check_keys(settings, fields, where)
        arms[name] = Arm(**_merged({} if settings.keys() & {"mean_of", "stacked_of"} else defaults, settings))
        _try(arms[name], arms, where)
    against = content.get("against", "")
    for each in [against, *(arm.against for arm in arms.values())]:
        if each and each not in list(arms):
            raise SettingError(f"{path}: against={shown(each)}, but there is no such arm")
    validation = tuple(content.get("validation", ()))
    return Grid(content["question"], content["seeds"], arms, against, content.get("practice", {}), validation)


def _check_keys(found: object, known: "tuple | list", where: object) -> None:
    if not isinstance(found, dict):
        raise SettingError(f"{where}: {shown(found)}, but a table of {', '.join(known)} is needed")
    for name in found:
        check_name(name, known, f"{where}: no key is")


def _check_numbers(content: dict, path: object) -> None:
    """Raise SettingError for numbers of seeds, folds and epochs that can't be."""
    on_practice = content.get("practice", {})
    _check_keys(on_practice, ("seeds", "epochs"), f"{path}, practice")
    for seeds, where in ((content.get("seeds"), path), (on_practice.get("seeds", 1), f"{path}, practice")):
        if not is_whole(seeds, 1):
            raise SettingError(f"{where}: seeds={shown(seeds)}, but a whole number, at least 1, is needed")
    share, folds = on_practice.get("epochs", 1), content.get("validation", [])
    if not is_real(share, 0):
        raise SettingError(f"{path}, practice: epochs={shown(share)}, but a share of the epochs, above 0, is needed")
    if folds not in ([], [9], [10]):
        raise SettingError(f"{path}: validation={shown(folds)}, but [9] or [10] is needed, so that the other judges")


def _product(grid: object, path: object) -> dict[str, dict]:
    """The arms of a grid, called by what differs between them."""
    where = f"{path}, grid"
    _check_keys(grid, ("model", "settings", "images", "signals", "training"), where)
    axes = []
    for key, values in grid.items():
        for name, choices in (values if isinstance(values, dict) else {"": values}).items():
            if not (isinstance(choices, list) and choices) or (name == "") != (key == "model"):
                raise SettingError(f"{where}, {key} {name}: {shown(choices)}, but a list of values is needed")
            axes.append([(key, name, value) for value in choices])
    found = {}
    for chosen in itertools.product(*axes) if axes else ():
        arm = {}
        for key, name, value in chosen:
            arm[key] = value if name == "" else arm.get(key, {}) | {name: value}
        found[", ".join(f"{name or key}={value}" for key, name, value in chosen)] = arm
        if len(found) > MOST_ARMS:
            break
    return found


def _merged(defaults: dict, own: dict) -> dict:
    """Own values before defaults, one level down too."""
    both = defaults.keys() & own.keys()
    joined = {name: defaults[name] | own[name] for name in both if isinstance(own[name], dict)}
    return defaults | own | joined


def _with_epochs(arm: Arm, share: float) -> Arm:
    epochs = TrainConfig.from_dict(arm.training).epochs
    return dataclasses.replace(arm, training=arm.training | {"epochs": max(1, round(share * epochs))})


def _try(arm: Arm, before: dict[str, Arm], where: str) -> None:
    """Make everything that an arm names; SettingError for what can't be."""
    if arm.parts:
        missing = [name for name in arm.parts if name not in before]
        if missing:
            raise SettingError(f"{where}: there is no arm {shown(missing[0])} above it")
        return
    try:
        with torch.device("meta"):
            model = arm.make()
        for more in ({}, arm.parts_training, arm.pretraining):
            TrainConfig.from_dict(arm.training | more)
    except (EcgCourseError, TypeError, AttributeError) as error:
        raise SettingError(f"{where}: {in_words(error, 400)}") from error
    fusion = hasattr(model, "load_pretrained")
    if arm.parts_training and not fusion:
        raise SettingError(f"{where}: parts_training is for fusions; {arm.model!r} has no parts that could learn alone")
    if arm.pretraining and (arm.parts_training or model.settings.get("freeze")):
        raise SettingError(f"{where}: parts that learn first and pretraining don't go together; leave one of them out")
