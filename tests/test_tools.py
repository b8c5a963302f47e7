"""The small scripts behind the Makefile."""

import json
import os
import sys
import time

import nbformat
import pytest
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import address, notebooks, pages

OLD = "https://github.com/-owner-/ecgcourse"
NEW = "https://github.com/somebody/ecg-course"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "_config.yml").write_text(f"repository:\n  url: {OLD}\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "https://colab.research.google.com/github/-owner-/ecgcourse/blob/main/book/01.ipynb\n"
        "https://github.com/-owner-/ecgcourse-data https://github.com/other/ecgcourse\n",
        encoding="utf-8",
    )
    (tmp_path / "book" / "_build").mkdir(parents=True)
    (tmp_path / "book" / "_build" / "old.md").write_text(OLD, encoding="utf-8")
    (tmp_path / "book" / "_config.yml").symlink_to("../_config.yml")
    (tmp_path / "book" / "01.ipynb").write_text(json.dumps({"source": f'%pip install "git+{OLD}"'}), encoding="utf-8")
    return tmp_path


def test_address_changes_everywhere(project):
    changed = address.change(project, NEW)
    assert [path.name for path in changed] == ["README.md", "_config.yml", "01.ipynb"]
    assert (project / "_config.yml").read_text(encoding="utf-8") == f"repository:\n  url: {NEW}\n"
    notebook = json.loads((project / "book" / "01.ipynb").read_text(encoding="utf-8"))
    assert notebook["source"] == f'%pip install "git+{NEW}"'


def test_address_leaves_other_repositories_and_built_pages(project):
    address.change(project, NEW)
    colab, others = (project / "README.md").read_text(encoding="utf-8").splitlines()
    assert colab == "https://colab.research.google.com/github/somebody/ecg-course/blob/main/book/01.ipynb"
    assert others == "https://github.com/-owner-/ecgcourse-data https://github.com/other/ecgcourse"
    assert (project / "book" / "_build" / "old.md").read_text(encoding="utf-8") == OLD
    assert (project / "book" / "_config.yml").is_symlink()


def test_address_can_change_back(project):
    before = (project / "README.md").read_bytes()
    address.change(project, NEW)
    address.change(project, OLD)
    assert (project / "README.md").read_bytes() == before


@pytest.mark.parametrize("ending", ["", "/", ".git"])
def test_slug_of_an_address(ending):
    assert address.slug(OLD + ending) == "-owner-/ecgcourse"


@pytest.mark.parametrize("wrong", ["", "somebody/ecgcourse", "https://example.org/a/b", "https://github.com/a"])
def test_wrong_address_changes_nothing(project, wrong):
    with pytest.raises(ValueError, match="OWNER/REPOSITORY"):
        address.change(project, wrong)
    assert OLD in (project / "_config.yml").read_text(encoding="utf-8")


def test_address_explains_itself_without_an_argument():
    assert "OWNER/REPOSITORY" in address.main([])
    assert "OWNER/REPOSITORY" in address.main(["somewhere"])


def test_pages_names_what_is_missing(tmp_path):
    (tmp_path / "index.html").touch()
    assert pages.missing(tmp_path, ["index", "01_reading"]) == ["01_reading"]
    assert "01_reading_an_ecg" in pages.main([str(tmp_path)])


def test_pages_prints_where_the_book_starts(tmp_path, capsys):
    toc = yaml.safe_load(pages.TOC.read_text(encoding="utf-8"))
    for entry in pages.entries(toc):
        (tmp_path / f"{entry}.html").touch()
    assert pages.main([str(tmp_path)]) is None
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")


def test_run_executes_and_tidies(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("ECGCOURSE_DATA", str(tmp_path))
    path = tmp_path / "a.ipynb"
    cells = [
        new_code_cell("import os, sys\nprint(os.environ.get('ECGCOURSE_DATA'))"),
        new_code_cell("sys.executable", metadata={"tags": ["kept"], "collapsed": True}),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    notebooks.main(["run", str(path)])
    first, second = nbformat.read(path, as_version=4).cells
    assert first.outputs[0].text == "None\n"
    assert second.outputs[0].data["text/plain"] == repr(sys.executable)
    assert [cell.execution_count for cell in (first, second)] == [1, 2]
    assert (first.id, second.id) == ("cell-00", "cell-01")
    assert second.metadata == {"tags": ["kept"]}


def test_run_leaves_a_failing_notebook_as_it_was(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.main(["run", str(path)])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A notebook, a package of one file, both older than the build that has executed the notebook."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "CACHE", tmp_path / "cache")
    (tmp_path / "ecgcourse").mkdir()
    for name in ("constraints.txt", "ecgcourse/signals.py"):
        (tmp_path / name).touch()
    path = tmp_path / "01.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")]), path)

    def build(**told):
        executed = nbformat.read(path, as_version=4)
        executed.cells[0].outputs = [new_output("execute_result", {"text/plain": "2"})]
        bundle = CacheBundleIn(executed, str(path), data={"begun": time.time() + 1, "records": None} | told)
        get_cache(tmp_path / "cache").cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    return path, build


def test_what_the_book_executed_counts_for_the_state_that_it_was_of(built, capsys):
    path, build = built
    assert notebooks.as_built(path) is None, "nothing was built"
    build()
    assert notebooks.as_built(path).cells[0].outputs[0].data == {"text/plain": "2"}
    notebooks.main(["new", str(path)])
    assert capsys.readouterr().out == ""
    build(records="ptb-xl")
    assert notebooks.as_built(path) is None, "on other records"
    build(begun=time.time() - 60)
    assert notebooks.as_built(path) is None, "the package is newer"
    build()
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 2")]), path)
    assert notebooks.as_built(path) is None, "another cell"
    notebooks.main(["new", str(path)])
    assert capsys.readouterr().out == f"{path}\n"


def written(path, *sources):
    nbformat.write(
        new_notebook(cells=[new_code_cell(source, id=f"cell-{k:02d}") for k, source in enumerate(sources)]), path
    )
    return path


def test_failure_names_chapter_cell_error_and_code(tmp_path):
    path = written(tmp_path / "03_leads.ipynb", "leads = 12", "leads / 0", "leads = 3")
    before = path.read_bytes()
    assert notebooks.failure(path, tmp_path) == "03_leads, cell-01: ZeroDivisionError: division by zero\n\nleads / 0"
    assert path.read_bytes() == before


def test_failure_of_a_cell_that_takes_too_long_or_ends_the_kernel(tmp_path):
    slow = written(tmp_path / "slow.ipynb", "import time", "time.sleep(60)")
    assert "slow, cell-01: CellTimeoutError" in notebooks.failure(slow, tmp_path, timeout=1)
    dead = written(tmp_path / "dead.ipynb", "import os", "os._exit(1)")
    assert "dead, cell-01: DeadKernelError" in notebooks.failure(dead, tmp_path)


def test_no_failure_in_the_folder_and_the_environment_that_were_named(tmp_path):
    path = written(tmp_path / "a.ipynb", "from pathlib import Path", "import os", "Path(os.environ['NAME']).touch()")
    (tmp_path / "elsewhere").mkdir()
    assert notebooks.failure(path, tmp_path / "elsewhere", env=os.environ | {"NAME": "here"}) is None
    assert (tmp_path / "elsewhere" / "here").exists()
