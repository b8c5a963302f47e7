"""From a 12-lead ECG to nine images to a diagnosis: the code behind the course.

Submodules load on first use (``ecgcourse.ptbxl.read_table(…)``), so importing the package is quick
and changes nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

_SUBMODULES = (
    "errors",
    "files",
    "workers",
    "ptbxl",
    "dipole",
    "practice",
    "integrity",
    "transfer",
    "download",
    "original",
    "own_files",
    "signals",
    "fields",
    "recipe",
    "config",
    "device",
    "fused",
    "fused_gpu",
    "render",
    "datasets",
    "models",
    "metrics",
    "distributed",
    "flags",
    "history",
    "runs",
    "training",
    "evaluation",
    "explain",
    "plots",
    "classifier",
    "exercises",
    "interactive",
    "cli",
)

# What a user of the package meets first, and where it is.
_NAMES = {
    "LEADS": "ptbxl",
    "Recipe": "recipe",
    "ImageRecipe": "recipe",
    "SignalRecipe": "recipe",
    "Task": "recipe",
    "TrainConfig": "config",
    "create": "models",
    "load": "classifier",
    "fit": "classifier",
    "Classifier": "classifier",
}

__all__ = ["__version__", *_NAMES, *_SUBMODULES]

try:
    __version__ = version("ecgcourse")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    """Import a submodule, or what one holds, when it is first asked for (PEP 562)."""
    if name in _SUBMODULES:
        return import_module(f"ecgcourse.{name}")
    if name in _NAMES:
        return getattr(import_module(f"ecgcourse.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'ecgcourse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_NAMES})
