"""From a 12-lead ECG to nine images to a diagnosis: the code behind the course.

Submodules load on first use (``ecgcourse.ptbxl.read_table(…)``), so importing the package is quick
and changes nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

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
    "signals",
    "fields",
    "recipe",
    "fused",
    "fused_gpu",
    "render",
    "datasets",
    "models",
    "metrics",
    "distributed",
    "runs",
    "training",
    "evaluation",
    "explain",
    "plots",
    "exercises",
    "interactive",
    "cli",
)

__all__ = ["__version__", *_SUBMODULES]

try:
    __version__ = version("ecgcourse")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> ModuleType:
    """Import a submodule when it is first asked for (PEP 562)."""
    if name in _SUBMODULES:
        return import_module(f"ecgcourse.{name}")
    raise AttributeError(f"module 'ecgcourse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
