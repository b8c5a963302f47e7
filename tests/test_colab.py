"""The proof that chapters run in a fresh environment: its wheel, its versions, its settings. Nothing is downloaded."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from tools import colab

PROJECT = tomllib.loads((colab.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = yaml.safe_load((colab.ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what the wheel is made of, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(colab.ROOT / name, folder)
    shutil.copytree(colab.ROOT / "ecgcourse", folder / "ecgcourse", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "book"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return colab.build_wheel(source, tmp_path_factory.mktemp("wheel"), "--no-build-isolation", "--no-index")


def test_wheel_is_small_and_holds_the_package_and_nothing_else(source, wheel):
    assert colab.wheel_problems(wheel, source) == []


def test_wheel_declares_what_the_setup_cell_asks_for(wheel):
    (name,) = [name for name in ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA")]
    lines = ZipFile(wheel).read(name).decode("utf-8").splitlines()
    assert f"Provides-Extra: {colab.EXTRA}" in lines
    assert f"Requires-Python: {PROJECT['requires-python']}" in lines


def test_wheel_problems_are_found(source, wheel, tmp_path, monkeypatch):
    copy = Path(shutil.copy(wheel, tmp_path))
    with ZipFile(copy, "a") as archive:
        archive.writestr("tests/test_x.py", "")
    assert colab.wheel_problems(copy, source) == ["holds tests/test_x.py, which isn't the package's"]
    (source / "ecgcourse" / "table.json").touch()
    assert colab.wheel_problems(wheel, source) == ["lacks ecgcourse/table.json"]
    (source / "ecgcourse" / "table.json").unlink()
    monkeypatch.setattr(colab, "MAX_WHEEL_BYTES", 1000)
    assert [problem.endswith("at most 1000") for problem in colab.wheel_problems(wheel, source)] == [True]


def test_what_the_setup_cell_installs_is_the_last_commit(tmp_path, monkeypatch):
    """git itself says so: a partial clone, as pip makes it, of the repository's address has this checkout's files."""
    monkeypatch.setenv("ECGCOURSE_DATA", "/somewhere")
    env = colab.environment(tmp_path, colab.publish(tmp_path / "source"))
    subprocess.run(
        ["git", "clone", "--quiet", "--filter=blob:none", ADDRESS, tmp_path / "clone"],
        env=env,
        check=True,
        timeout=60,
    )
    trees = [colab.call("git", "-C", place, "rev-parse", "HEAD^{tree}") for place in (colab.ROOT, tmp_path / "clone")]
    assert trees[0] == trees[1]
    assert "ECGCOURSE_DATA" not in env


def test_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)'git frobnicate' ended with status 1:.*frobnicate"):
        colab.call("git", "frobnicate")
