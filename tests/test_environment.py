"""pyproject.toml, constraints.txt, environment.yml, the Makefile and README speak of one environment."""

import re
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


def pins() -> dict[str, SpecifierSet]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one.specifier for one in parsed}


RUN_TIME = requirements(PROJECT["dependencies"])
DIRECT = RUN_TIME | requirements([line for lines in EXTRAS.values() for line in lines])


def pinned(name: str) -> Version:
    (specifier,) = pins()[name]
    assert specifier.operator == "=="
    return Version(specifier.version)


@pytest.mark.parametrize("name", sorted(DIRECT))
def test_pinned_version_is_within_bounds(name):
    assert DIRECT[name].specifier.contains(pinned(name), prereleases=True)


@pytest.mark.parametrize("name", sorted(pins()))
def test_every_constraint_is_an_exact_public_version(name):
    assert pinned(name).local is None


def test_torch_is_the_tested_one():
    assert str(pinned("torch")) == "2.13.0"


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


def test_makefile_installs_the_same():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    minimum = Version(PROJECT["requires-python"].removeprefix(">="))
    assert '--constraint constraints.txt --editable ".[book,test]"' in makefile
    assert f"sys.version_info < ({minimum.major}, {minimum.minor})" in makefile


def test_readme_states_the_same():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {minimum} or later" in readme
    assert f"torch {pinned('torch')}" in readme
