"""The cell that installs the package: it asks pip for the right thing where the package is missing, and only there."""

import importlib.util
import shlex
import tomllib

import pytest
import rules
from IPython.core.interactiveshell import InteractiveShell
from packaging.requirements import Requirement

PROJECT = tomllib.loads((rules.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETUP_CELLS = {rules.code_cells(rules.read(path))[0].source for path in rules.BOOK.glob("*.ipynb")}


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Run the setup cell with a ``%pip`` that installs nothing; return what the magic was asked for."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    asked = []
    shell = InteractiveShell()
    shell.register_magic_function(asked.append, magic_name="pip")
    (cell,) = SETUP_CELLS

    def run_setup_cell():
        shell.run_cell(cell).raise_error()
        return [shlex.split(line) for line in asked]

    yield run_setup_cell
    shell.history_manager.end_session()


def hide(monkeypatch, name):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == name else find(asked))


def test_every_chapter_has_the_same_setup_cell():
    assert len(SETUP_CELLS) == 1


def test_nothing_is_installed_where_the_package_is(pip):
    assert pip() == []


def test_package_is_installed_where_it_is_missing(pip, monkeypatch):
    hide(monkeypatch, "ecgcourse")
    ((command, *options, wanted),) = pip()
    # No --upgrade: what is there already stays, as long as it is new enough.
    assert (command, options) == ("install", ["--quiet"])
    requirement = Requirement(wanted)
    assert (requirement.name, requirement.url) == (PROJECT["name"], f"git+{rules.address()}")
    assert requirement.extras == {"chapters"} <= set(PROJECT["optional-dependencies"])


def test_what_colab_has_stays_where_it_is_new_enough():
    """Neither the package nor what the chapters need besides pins a version or forbids a newer one."""
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["chapters"]]
    assert {one.operator for line in lines for one in Requirement(line).specifier} == {">="}
