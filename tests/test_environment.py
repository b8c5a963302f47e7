"""pyproject.toml, constraints.txt, environment.yml, the Makefile and README speak of one environment."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
BUILD_TOOLS = {"ipykernel", "jupyter-book", "nbval", "pytest", "ruff", "sphinx-codeautolink"}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in parsed if one.name != PROJECT["name"]}


def pins() -> list[Requirement]:
    """The lines of constraints.txt; a package has several where one version doesn't suit every Python or system."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


RUN_TIME = requirements(PROJECT["dependencies"])
DIRECT = RUN_TIME | requirements([line for lines in EXTRAS.values() for line in lines])


def versions(name: str) -> list[Version]:
    found = [one.specifier for one in pins() if canonicalize_name(one.name) == name]
    assert found and all([each.operator for each in one] == ["=="] for one in found)
    return [Version(each.version) for one in found for each in one]


@pytest.mark.parametrize("name", sorted(DIRECT))
def test_pinned_version_is_within_bounds(name):
    assert all(DIRECT[name].specifier.contains(version, prereleases=True) for version in versions(name))


def test_every_constraint_is_an_exact_public_version():
    assert {version.local for one in pins() for version in versions(canonicalize_name(one.name))} == {None}


def test_torch_is_the_tested_one():
    assert list(map(str, versions("torch"))) == ["2.13.0"]


@pytest.mark.parametrize("name", sorted(RUN_TIME))
def test_run_time_has_lower_bounds_only(name):
    assert [one.operator for one in RUN_TIME[name].specifier] == [">="]


def test_run_time_needs_no_build_tools():
    assert not BUILD_TOOLS & set(RUN_TIME)


def test_run_time_is_what_the_package_imports():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "ecgcourse").rglob("*.py")]
    imported = {name for text in sources for name in re.findall(r"^\s*(?:import|from) (\w+)", text, re.M)}
    distributions = {"sklearn": "scikit-learn"}
    # A GPU build of torch brings triton along; without it, the package does without it.
    others = imported - set(sys.stdlib_module_names) - {PROJECT["name"], "triton"}
    assert {distributions.get(name, name) for name in others} == set(RUN_TIME)


def test_book_and_test_include_what_the_chapters_compare_with():
    assert all("ecgcourse[chapters]" in EXTRAS[extra] for extra in ("book", "test"))


def test_conda_environment_installs_the_same():
    """conda brings Python, pip installs the rest: with the same constraints and extras as the Makefile."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, with_pip = environment["dependencies"]
    python = next(Version(line.removeprefix("python=")) for line in conda if line.startswith("python="))
    assert environment["name"] == PROJECT["name"]
    assert "pip" in conda
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert with_pip["pip"] == ["--constraint constraints.txt", "--editable .[book,test]"]


def plan(goal: str, *settings: str) -> str:
    """What make would do in a fresh clone."""
    command = ["make", "--dry-run", goal, "VENV=not-there", *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_makefile_installs_the_same():
    book, test = (re.findall("pip (install .*?) >>", plan(goal)) for goal in ("book", "test"))
    minimum = Version(PROJECT["requires-python"].removeprefix(">="))
    assert f"sys.version_info < ({minimum.major}, {minimum.minor})" in plan("book")
    # The book needs nothing of what only tests need.
    assert book == ['install --constraint constraints.txt --editable ".[book]"']
    assert test == [*book, 'install --constraint constraints.txt --editable ".[book,test]"']


def test_makefile_takes_another_build_of_torch_from_its_own_index():
    torch, _ = re.findall("pip (install .*?) >>", plan("book", "TORCH=cpu"))
    index = "https://download.pytorch.org/whl/cpu"
    assert torch == f"install --constraint constraints.txt --no-deps --index-url {index} torch"


def test_an_installation_that_fails_names_its_step_and_its_log(tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    # Nothing is asked of any network: these pins can't be read.
    (tmp_path / "constraints.txt").write_text("no such line\n", encoding="utf-8")
    command = ["make", "book", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such line" in done.stdout and "no such line" in (tmp_path / ".venv" / "install.log").read_text("utf-8")
    assert "Installing the package and what the book needs failed." in done.stdout
    assert ".venv/install.log" in done.stdout
    assert not (tmp_path / ".venv" / ".book").exists()


def test_readme_states_the_same():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {minimum} or later" in readme
    assert f"torch {versions('torch')[0]}" in readme
