"""constraints.txt fits every system and Python that README names, and Colab keeps what it has: uv works it out.

Only metadata are read, from the package index itself; a wheel that lies on this machine is not looked at.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
COLAB = (Path(__file__).with_name("colab.txt")).read_text(encoding="utf-8")
SYSTEMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin")
# 3.12 means 3.12.0; Debian 12 has 3.11.2.
PYTHONS = ("3.11", "3.11.2", "3.12", "3.13", "3.14")
LINUX = SYSTEMS[0]


def resolve(*options: str | Path, system: str = LINUX, python: str = "3.13", text: str = "") -> dict[str, str]:
    """The version of each package that would be installed; what uv says of a conflict fails the test."""
    env = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    # The first macOS that torch has wheels for; uv would take 13.
    env["MACOSX_DEPLOYMENT_TARGET"] = "14.0"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"]
    command += ["--python", sys.executable, "--python-platform", system, "--python-version", python, *options]
    done = subprocess.run(command, cwd=ROOT, env=env, input=text, capture_output=True, text=True)
    # uv breaks its lines to fit a terminal.
    assert done.returncode == 0, f"{system}, Python {python}: {' '.join(done.stderr.split())}"
    lines = [Requirement(line) for line in done.stdout.splitlines()]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in lines}


@pytest.fixture(scope="module", autouse=True)
def index() -> None:
    """Where no package index answers, there is nothing to hold the pins against."""
    try:
        resolve("-", text="iniconfig\n")
    except AssertionError as error:
        message = f"no package index answers: {error}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


@pytest.fixture
def constrained(tmp_path: Path):
    """Resolve the package with extras under constraints."""

    def resolve_it(extras: tuple[str, ...], constraints: str, **where: str) -> dict[str, str]:
        (tmp_path / "constraints.txt").write_text(constraints, encoding="utf-8")
        wanted = [f"--extra={extra}" for extra in extras]
        return resolve("pyproject.toml", *wanted, "--constraint", tmp_path / "constraints.txt", **where)

    return resolve_it


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_pins_resolve_and_are_complete(system, python, constrained):
    found = constrained(("book", "test"), PINS, system=system, python=python)
    loose = {f"{name}=={version}" for name, version in found.items()} - set(re.findall(r"^[^\s#]+", PINS, re.M))
    assert loose == set()
    # PyTorch's build for the CPU, which may lie on this machine, would not ask for it.
    assert system not in SYSTEMS[:2] or "nvidia-cublas" in found


def test_a_conflict_is_named(constrained):
    wrong = re.sub("^triton==[^ ]*", "triton==3.9.0", PINS, flags=re.M)
    with pytest.raises(AssertionError, match=r"torch==2.13.0 depends on triton.*==3.7.1 and triton.*==3.9.0"):
        constrained(("book",), wrong)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_book_needs_nothing_that_only_tests_need(system, constrained):
    assert not {"playwright", "captum", "pytest", "uv"} & set(constrained(("book",), PINS, system=system))


def test_colab_keeps_what_it_has(constrained):
    has = dict(line.split("==") for line in COLAB.splitlines() if not line.startswith("#"))
    found = constrained(("chapters",), COLAB)
    assert {name: found.get(name) for name in has} == has
    # New there are only these, and what torch itself brings, which Colab's own build of it has inside.
    new = {name for name in found if name not in has and not name.startswith(("cuda-", "nvidia-", "triton"))}
    assert new == {"pyts", "wfdb"}
