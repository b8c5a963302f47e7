"""From a 12-lead ECG to nine images to a diagnosis: the code behind the course.

Submodules load on first use (``ecgcourse.ptbxl.read_table(…)``), so importing the package is quick
and changes nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

# The rooms of the house, bottom up, and what is in them: each module is `ecgcourse.NAME`, too.
_ROOMS = {
    "support": ("files", "workers", "device", "flags", "progress_bar", "renamed"),
    "records": (
        *("ptbxl", "ptbxl_names", "ptbxl_tables", "format16", "wfdb_records", "signal_cache"),
        *("own_files", "own_formats", "own_tables", "own_words", "manifest", "challenge", "own_split"),
        *("dipole", "pathologies", "artifacts", "practice_people", "practice", "beat_names", "heartbeats"),
        "practice_beats",
        *("integrity", "transfer", "download", "original"),
    ),
    "images": ("signals", "fields", "fused", "fused_gpu", "render"),
    "models": (),
    "learning": (
        *("config", "metrics", "history", "samples", "tiff", "derived", "loader", "beat_sets", "own_sets", "datasets"),
        *("traced", "distributed", "losses", "hardware", "optimization", "progress", "runs", "sources", "training"),
    ),
    "analysis": (
        *("bootstrap", "evaluation", "calibration", "decisions", "predictions", "baselines", "comparison", "subgroups"),
        *("pooled", "contest", "grids", "sweep", "stacking", "feature_svm", "sanity", "explain", "plots", "quality"),
        *("drawings", "answers", "html_page", "report_page", "answers_page"),
    ),
    "course": ("exercises", "quizzes", "interactive", "try_it", "guess"),
}
_DOORS = ("errors", "recipe", "classifier", "cli", "cli_words", "cli_asked", "cli_judge", "cli_predict", "cli_export")
_DOORS += ("cli_parameters", "cli_sweep", "export")
_SUBMODULES = {name: f"{room}.{name}" for room, names in _ROOMS.items() for name in names}
_SUBMODULES |= {name: name for name in (*_ROOMS, *_DOORS)}

# What a user of the package meets first, and where it is.
_NAMES = {
    "LEADS": "records.ptbxl",
    "Recipe": "recipe",
    "ImageRecipe": "recipe",
    "SignalRecipe": "recipe",
    "Task": "recipe",
    "TrainConfig": "learning.config",
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
        return import_module(f"ecgcourse.{_SUBMODULES[name]}")
    if name in _NAMES:
        return getattr(import_module(f"ecgcourse.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'ecgcourse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_NAMES})
