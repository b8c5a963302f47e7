"""Importing the package changes nothing: each check runs in a fresh interpreter."""

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
    return f"import {', '.join(f'ecgcourse.{name}' for name in WITHOUT_TORCH)}\n"


def test_torch_stays_out_until_it_is_needed(imports, tmp_path):
    result = run(imports + "import sys; assert 'torch' not in sys.modules", tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_package_alone_imports_nothing_heavy(tmp_path):
    heavy = "{'numpy', 'pandas', 'wfdb', 'torch', 'matplotlib'}"
    result = run(f"import sys, ecgcourse; assert not {heavy} & set(sys.modules)", tmp_path)
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
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    public = {name for name in modules if not name.startswith("_")}
    doors = {"LEADS", "Recipe", "ImageRecipe", "SignalRecipe", "Task", "TrainConfig", "create", "load", "fit"}
    doors |= {"Classifier"}
    assert set(ecgcourse.__all__) == public | doors | {"__version__"}
    assert all(getattr(ecgcourse, name) for name in doors)
    assert public <= set(dir(ecgcourse))


def test_the_version_is_known():
    assert isinstance(ecgcourse.__version__, str)
    assert ecgcourse.__version__
