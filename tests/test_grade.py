"""Grading a folder of notebooks."""

import csv
import io
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_book import ROOT

from ecgcourse import exercises
from tools import grade

CHAPTER = ROOT / "book" / "04_gramian_angular_field.ipynb"
IMPORT = "import numpy as np\nfrom ecgcourse import exercises"


def table(capsys) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


@pytest.fixture
def handed_in(tmp_path):
    """Two notebooks: the chapter as it is, and one with an error between a wrong and a right answer, not run yet."""
    shutil.copy(CHAPTER, tmp_path / "untouched.ipynb")
    sources = [
        IMPORT,
        'exercises.check("4.1", np.zeros((3, 3)))',
        "1 / 0",
        'exercises.check("4.4", lambda field, quiet, r, t: field[r, t] > field[r, quiet])',
    ]
    (tmp_path / "group").mkdir()
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    nbformat.write(notebook, tmp_path / "group" / "mine.ipynb")
    return tmp_path


def test_solutions_of_the_book_do_not_count(handed_in, capsys):
    """The chapter as it is committed has a right solution below each open exercise."""
    assert "Exercise 4.1: right." in CHAPTER.read_text(encoding="utf-8")
    assert grade.main([str(handed_in)]) is None
    rows = table(capsys)
    assert {row["notebook"] for row in rows} == {"untouched.ipynb"}
    assert [row["exercise"] for row in rows] == [key for key in exercises.keys() if key.startswith("4.")]
    assert {row["verdict"] for row in rows} == {"open"}


def test_runs_what_was_not_run_and_goes_on_after_an_error(handed_in, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (handed_in / "untouched.ipynb").unlink()
    before = (handed_in / "group" / "mine.ipynb").read_bytes()
    assert grade.main([str(handed_in), "--run"]) is None
    rows = table(capsys)
    assert [(row["notebook"], row["exercise"], row["verdict"]) for row in rows] == [
        ("group/mine.ipynb", "4.1", "wrong"),
        ("group/mine.ipynb", "4.4", "right"),
    ]
    assert rows[0]["said"] == exercises.judge("4.1", [[0] * 3] * 3).said
    assert (handed_in / "group" / "mine.ipynb").read_bytes() == before


def test_says_so_where_there_is_nothing_to_grade(tmp_path):
    assert str(tmp_path) in grade.main([str(tmp_path)])
