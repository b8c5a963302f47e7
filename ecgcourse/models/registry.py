"""Models by name: what there is, how to make one, and what it wants to be fed. Introduced in chapter 9."""

import inspect
import warnings
from collections.abc import Callable, Sequence

from torch import nn

from ecgcourse.errors import EcgCourseWarning, SettingError, check_name, in_words, shown
from ecgcourse.images.fields import FIELDS
from ecgcourse.images.signals import IMAGE_LEADS, SignalRecipe
from ecgcourse.recipe import ImageRecipe, Recipe, Task, class_names
from ecgcourse.records.ptbxl_names import CLASSES, LEADS

REGISTRY: dict[str, Callable[..., nn.Module]] = {}
"""The models by name; filled when :mod:`ecgcourse.models` is imported."""

FORMER_SETTINGS = {"size": "image_size", "initialisation": "init", "standardise": "standardize"}
"""What settings of architectures were called, and are called now."""

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
    return _inputs(_registered(name))


def has_setting(name: str, setting: str) -> bool:
    """Whether the architecture of that name can be made with such a setting."""
    return setting in inspect.signature(_registered(name)).parameters


def signal_recipe(model: nn.Module) -> SignalRecipe | None:
    """How the signals are prepared that a model reads; None for a model that takes images alone."""
    recipe = getattr(model, "recipe", None) or own_recipe(model)
    return None if recipe is None else recipe.signals


def image_recipe(model: nn.Module) -> ImageRecipe | None:
    """How the images are made that a model sees; None for a model that takes signals alone."""
    recipe = getattr(model, "recipe", None) or own_recipe(model)
    return None if recipe is None else recipe.images


def own_recipe(model: nn.Module) -> Recipe | None:
    """What a model takes that was told nothing else, as its settings say; None where these leave it open."""
    settings, wanted, found = getattr(model, "settings", None) or {}, _inputs(model), {}
    if "signals" in wanted:
        leads = LEADS_BY_COUNT.get(settings.get("leads"))
        found["signals"] = leads and SignalRecipe(leads, model.scaling)
    if "images" in wanted:
        found["images"] = _own_images(model, settings)
    return Recipe(**found) if all(found.values()) else None


def create(
    name: str, recipe: Recipe | None = None, classes: Sequence[str] | Task | None = None, **settings
) -> nn.Module:
    """Build a model by name, with random weights.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    recipe : Recipe, optional
        What it is to be fed, which decides the settings `leads`, `in_channels` and `image_size`; None: what the
        architecture takes by default, until it learns from something else.
    classes : sequence of str or Task, optional
        What it is to answer, which decides the setting `n_classes`; names are classes of which a record has any
        number. None: MI, STTC, CD and HYP, or as many classes as `n_classes` says.
    **settings
        Other arguments of the architecture, such as ``filters=16``.

    Returns
    -------
    nn.Module
        Its `forward` takes one float tensor for each of its :func:`inputs`, signals (B, L, T) and images
        (B, C, S, S) in [0, 1], and returns logits (B, K). Its `embed` takes the same and returns the numbers
        (B, `embedding_size`) that the last layer decides on. It carries its `recipe`, `task` and `settings`.

    Raises
    ------
    SettingError
        An unknown name, a setting that the architecture does not have or cannot take, or one that contradicts the
        recipe or the classes.
    """
    task = classes if classes is None or isinstance(classes, Task) else Task(tuple(classes))
    model = make(name, **_settled(name, recipe, task, _told_of_former(name, settings)))
    model.recipe = own_recipe(model) if recipe is None else recipe
    model.task = Task(class_names(model.settings.get("n_classes", len(CLASSES)))) if task is None else task
    model.recipe_given, model.task_given = recipe is not None, task is not None
    return model


def make(name: str, **settings) -> nn.Module:
    """Build a model by name from the settings of its architecture alone; SettingError as for :func:`create`."""
    architecture, settings = _registered(name), _told_of_former(name, settings)
    try:
        model = architecture(**settings)
    except TypeError as error:
        raise SettingError(f"model {name!r} cannot be made with {shown(settings, 200)}: {in_words(error)}") from error
    model.settings = {"name": name, **getattr(model, "settings", settings)}
    return model


def with_present_names(settings: dict) -> dict:
    """The settings of a model, among them its `name`, with those that were renamed under their names of today."""
    name = settings.get("name")
    known = inspect.signature(REGISTRY[name]).parameters if isinstance(name, str) and name in REGISTRY else {}
    renamed = {}
    for setting, value in settings.items():
        now = FORMER_SETTINGS.get(setting)
        if setting in ("signal_settings", "image_settings") and isinstance(value, dict):
            part = {"name": settings.get(setting.removesuffix("_settings"))}
            value = {each: kept for each, kept in with_present_names(part | value).items() if each != "name"}
        renamed[now if now in known and setting not in known else setting] = value
    return renamed


def _told_of_former(name: str, settings: dict) -> dict:
    renamed = with_present_names({"name": name} | settings)
    for former in sorted(settings.keys() - renamed.keys()):
        # Behind create or make.
        warnings.warn(f"{former} is called {FORMER_SETTINGS[former]} now", EcgCourseWarning, stacklevel=3)
    return {setting: value for setting, value in renamed.items() if setting != "name"}


def _registered(name: str) -> Callable[..., nn.Module]:
    check_name(name, names(), "no model is")
    return REGISTRY[name]


def _inputs(model: object) -> tuple[str, ...]:
    return getattr(model, "inputs", ("images",))


def _own_images(model: nn.Module, settings: dict) -> ImageRecipe | None:
    if hasattr(model, "own_images"):
        return model.own_images(settings)
    leads = LEADS_BY_COUNT.get(settings.get("in_channels", len(IMAGE_LEADS) * len(FIELDS)) / len(FIELDS))
    return leads and ImageRecipe(leads, size=settings.get("image_size", ImageRecipe.size))


def _settled(name: str, recipe: Recipe | None, task: Task | None, settings: dict) -> dict:
    """The settings with those that recipe and task decide; SettingError where they contradict each other."""
    architecture = _registered(name)
    decided = {} if task is None else {"n_classes": len(task.classes)}
    if recipe is not None:
        parts = {"signals": recipe.signals, "images": recipe.images}
        given, wanted = tuple(kind for kind, part in parts.items() if part is not None), _inputs(architecture)
        if given != wanted:
            raise SettingError(
                f"model {name!r} takes {' and '.join(wanted)}, but the recipe makes {' and '.join(given)}"
            )
        decided |= {"leads": len((recipe.signals or recipe.images).leads)}
        if recipe.images is not None:
            decided |= {"in_channels": recipe.images.channels, "image_size": recipe.images.size}
            _check_fields(name, architecture, recipe.images)
    known = inspect.signature(architecture).parameters
    decided = {setting: value for setting, value in decided.items() if setting in known}
    for setting in sorted(decided.keys() & settings.keys()):
        if settings[setting] != decided[setting]:
            raise SettingError(
                f"model {name!r}: {setting}={shown(settings[setting])}, but recipe and classes need "
                f"{setting}={decided[setting]}; leave it out, or change them"
            )
    return settings | decided


def _check_fields(name: str, architecture: Callable, images: ImageRecipe) -> None:
    if getattr(architecture, "all_fields", False) and len(images.fields) != len(FIELDS):
        raise SettingError(f"model {name!r} needs {len(FIELDS)} fields of every lead, not {', '.join(images.fields)}")
    known = inspect.signature(architecture).parameters
    if "leads" in known and "in_channels" not in known and len(images.fields) != 1:
        raise SettingError(f"model {name!r} needs one field of every lead, not {', '.join(images.fields)}")
