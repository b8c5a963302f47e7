"""Settings for every pytest run: the tests of the package and, with ``--nbval``, the notebooks."""

import os

import pytest

# Set by a user or an outer tool, these would change the notebooks' outputs, which were computed without them.
_OUTSIDE_SETTINGS = ("ECGCOURSE_DATA", "ECGCOURSE_BEATS", "MPLBACKEND")
# Files whose tests take longest, by --durations: begun last, one of them would keep all other processes waiting.
_LONG = (
    "test_real_data",
    "test_book_in_browser",
    "test_distributed",
    "test_export",
    "test_interruption",
    "test_cli_judge",
    "test_runs",
    "test_damaged_files",
)


def _compares_notebooks(config: pytest.Config) -> bool:
    return bool(config.getoption("nbval", False) or config.getoption("nbval_lax", False))


def pytest_configure(config: pytest.Config) -> None:
    """Run notebooks as they were committed, in this environment's kernel; draw off screen, interpret kernels."""
    if _compares_notebooks(config):
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
        for setting in _OUTSIDE_SETTINGS:
            os.environ.pop(setting, None)
    else:
        os.environ["MPLBACKEND"] = "agg"
        # The kernels for a GPU run on CPU tensors then. Triton reads this once, when it is imported.
        os.environ["TRITON_INTERPRET"] = "1"
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Where as many of them run at a time as there are cores, their threads would only wait for each other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the files that take longest begin: of the notebooks, the later chapters, which train."""
    if _compares_notebooks(config):
        items.sort(key=lambda item: item.path, reverse=True)
    else:
        items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))


def pytest_report_header(config: pytest.Config) -> str:
    """Say which data the run uses."""
    if _compares_notebooks(config):
        return "ecgcourse data: the practice set, as in the committed notebooks (ECGCOURSE_DATA is ignored)"
    return f"ecgcourse data: {os.environ.get('ECGCOURSE_DATA') or 'the practice set'}"
