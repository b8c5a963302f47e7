"""Importing the package changes nothing, and its parts use each other one way."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecgcourse

PACKAGE = Path(ecgcourse.__file__).parent
WITHOUT_TORCH = ("errors", "files", "ptbxl", "practice", "download", "original", "signals", "fields")


def run(code: str, home: Path) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter whose home, caches and working folder are `home`."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ECGCOURSE_"))}
    surroundings |= {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code], cwd=home, env=surroundings, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def imports() -> str:
    return f"from ecgcourse import {', '.join(WITHOUT_TORCH)}\n"


def test_torch_stays_out_until_it_is_needed(imports, tmp_path):
    result = run(imports + "import sys; assert 'torch' not in sys.modules", tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_package_alone_imports_nothing_heavy(tmp_path):
    heavy = "{'numpy', 'pandas', 'wfdb', 'torch', 'matplotlib'}"
    result = run(f"import sys, ecgcourse; assert not {heavy} & set(sys.modules)", tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (
            "from ecgcourse import cli\nwith suppress(SystemExit): cli.main(['--help'])",
            "torch pandas scipy wfdb requests",
        ),
        ("import ecgcourse.models", "pandas scipy wfdb numba"),
    ],
)
def test_what_is_asked_for_often_imports_little(code, heavy, tmp_path):
    code = f"import sys; from contextlib import suppress\n{code}\nassert not {set(heavy.split())} & set(sys.modules)"
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_random_state_and_environment_stay_as_they_were(imports, tmp_path):
    before = (
        "import os, random, numpy\n"
        "random.seed(1); numpy.random.seed(1)\n"
        "state = lambda: (random.getstate(), repr(numpy.random.get_state()), dict(os.environ), os.getcwd())\n"
        "before = state()\n"
    )
    result = run(before + imports + "assert state() == before", tmp_path)
    assert result.returncode == 0, result.stderr


def test_nothing_is_written_or_printed(imports, tmp_path):
    result = run(imports, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*")) == []


def test_a_submodule_loads_on_first_use(tmp_path):
    code = "import ecgcourse; assert ecgcourse.ptbxl.CLASSES == ('MI', 'STTC', 'CD', 'HYP')"
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ptbxxl'"):
        _ = ecgcourse.ptbxxl


def test_the_listed_names_are_the_modules_there_are():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    inside = {path.stem for path in PACKAGE.glob("*/*.py") if path.parent.name != "models"} | {"exercises"}
    modules = {name for name in {path.stem for path in PACKAGE.glob("*.py")} | rooms | inside if name[0] != "_"}
    doors = {"LEADS", "Recipe", "ImageRecipe", "SignalRecipe", "Task", "TrainConfig", "create", "load", "fit"}
    doors |= {"Classifier"}
    assert set(ecgcourse.__all__) == modules | doors | {"__version__"}
    assert all(getattr(ecgcourse, name) for name in doors | modules)


# Lower rooms first: each may use those below it. The recipe stands on the images, below the models; the course hangs at
# the side; the doors may use all.
FLOORS = ("errors", "support", "records", "images", "recipe", "models", "learning", "analysis")


def floor(module: str) -> str:
    """The room of `ecgcourse.room.module`, or the door."""
    return (module.removeprefix("ecgcourse").strip(".") or "__init__").split(".")[0]


def imported(path: Path) -> set[str]:
    """The package's own modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ecgcourse":
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def test_arrows_between_rooms_go_down():
    """No room uses one above it or one of the doors, not even inside a function."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = floor(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        if here not in (*FLOORS, "course"):
            continue
        allowed = FLOORS if here == "course" else FLOORS[: FLOORS.index(here) + 1]
        for module in imported(path):
            there = floor(module)
            if module != "ecgcourse" and there not in (*allowed, here, "__version__"):
                wrong.append(f"{path.relative_to(PACKAGE)} uses {module}")
    assert wrong == []


def test_no_module_uses_one_that_uses_it():
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            graph[name] = imported(path)
    for name in graph:
        graph[name] &= graph.keys()
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_version_is_known():
    assert isinstance(ecgcourse.__version__, str)
    assert ecgcourse.__version__
