"""Every notebook keeps every rule, and every rule catches the fault that it is there for."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import rules
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.notebooks import tidy
from tools.pages import entries

TOC = yaml.safe_load((rules.ROOT / "_toc.yml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted(rules.BOOK.glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if rules.is_chapter(path)]
PAGES = [path for path in NOTEBOOKS if not rules.is_chapter(path)]


def by_name(values):
    return pytest.mark.parametrize("rule", values, ids=lambda rule: rule.__name__)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@by_name(rules.RULES)
def test_notebook_keeps_rule(path, rule):
    assert rule(rules.read(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@by_name(rules.PAGE_RULES)
def test_page_keeps_rule(path, rule):
    assert rule(rules.read(path)) == []


def test_every_page_of_the_contents_exists():
    notebooks = {path.stem for path in NOTEBOOKS}
    files = [rules.BOOK / f"{name}.md" for name in entries(TOC) if name not in notebooks]
    assert [file.name for file in files if not file.is_file()] == []


def test_every_notebook_is_in_the_contents():
    listed = entries(TOC)
    assert [path.stem for path in CHAPTERS] == [name for name in listed if re.match(r"\d\d_", name)]
    assert [path.stem for path in PAGES if path.stem not in listed] == []


def test_figure_names_are_unique():
    cells = [cell for path in NOTEBOOKS for cell in rules.read(path).cells]
    names = Counter(cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells)
    assert [name for name, count in names.items() if name and count > 1] == []


def test_few_cells_are_ignored():
    ignored = [f"{path.stem} {cell.id}" for path in NOTEBOOKS for cell in rules.ignored_cells(rules.read(path))]
    assert len(ignored) <= rules.MAX_IGNORED_CELLS, ignored


def solution(source):
    return new_code_cell(source, metadata={"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Show solution"}})


def figure_cell():
    settings = {
        "image": {"alt": "A line that rises from the lower left to the upper right."},
        "figure": {"caption": "A line.", "name": "fig-ch01-line"},
    }
    image = new_output("display_data", data={"image/png": "", "text/plain": "<Figure size 640x480>"})
    return new_code_cell("fig = draw()", metadata={"mystnb": settings}, outputs=[image])


@pytest.fixture
def good(tmp_path) -> nbformat.NotebookNode:
    """A notebook without a fault. Its cells by number: 2 installs, 5 imports, 6 draws, 12 and 14 solve."""
    markdown = new_markdown_cell
    install = new_code_cell(rules.INSTALL.format(address=rules.address()), metadata={"tags": ["hide-input"]})
    cells = [
        markdown("# 1. An example"),
        markdown("## What you will be able to do"),
        install,
        markdown("## What you need"),
        markdown("## A section of its own\n\nSee [the glossary](glossary.md)."),
        new_code_cell("from ecgcourse import fields\n\nprint(1)", outputs=[new_output("stream", text="1\n")]),
        figure_cell(),
        markdown("The line rises."),
        new_code_cell("def scale_by_hand(x):\n    return x"),
        markdown("## What to remember"),
        markdown("## Exercises"),
        markdown("### Exercise 1: count"),
        solution("assert 1 + 1 == 2"),
        markdown("### Exercise 2"),
        solution("assert 2 + 2 == 4"),
        markdown("## Where to read on"),
    ]
    notebook = tidy(new_notebook(cells=cells))
    for count, cell in enumerate(rules.code_cells(notebook), start=1):
        cell.execution_count = count
    path = tmp_path / "01_example.ipynb"
    nbformat.write(notebook, path)
    return rules.read(path)


@by_name(rules.RULES)
def test_rules_accept_a_good_notebook(good, rule):
    assert rule(good) == []


def as_page(notebook):
    """Turn the good chapter into a good page."""
    notebook.cells[0].source = "# An example"
    notebook.cells[6].metadata["mystnb"]["figure"]["name"] = "fig-example-line"
    notebook.path = notebook.path.rename(notebook.path.with_name("example.ipynb"))
    return notebook


@by_name(rules.PAGE_RULES)
def test_rules_accept_a_good_page(good, rule):
    assert rule(as_page(good)) == []


@pytest.mark.parametrize("title", ["# 1. An example", "An example", "# An example\n\n# Another", "#  "])
def test_a_page_has_one_title_without_a_number(good, title):
    page = as_page(good)
    page.cells[0].source = title
    assert rules.starts_with_title(page) != []


def test_a_pages_figures_are_named_after_it(good):
    page = as_page(good)
    page.cells[6].metadata["mystnb"]["figure"]["name"] = "fig-ch01-line"
    assert rules.describes_its_figures(page) != []


def test_only_the_title_is_a_rule_of_pages_alone():
    assert set(rules.PAGE_RULES) - set(rules.RULES) == {rules.starts_with_title}


def source(number, text):
    def plant(notebook):
        notebook.cells[number].source = text

    return plant


def tag(number, *names):
    def plant(notebook):
        notebook.cells[number].metadata["tags"] = list(names)

    return plant


def output(number, output):
    def plant(notebook):
        notebook.cells[number].outputs.append(output)

    return plant


def add_version(notebook):
    notebook.metadata["language_info"]["version"] = "3.11.7"


def add_timing(notebook):
    notebook.cells[5].metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}


def random_id(notebook):
    notebook.cells[5].id = "3f9a11c0"


def grow(notebook):
    with Path(notebook.path).open("a") as file:
        file.write(" " * rules.MAX_BYTES)


def run_out_of_order(notebook):
    notebook.cells[5].execution_count = 9


def never_run(notebook):
    notebook.cells[5].execution_count = None


def no_alt(notebook):
    del notebook.cells[6].metadata["mystnb"]["image"]


def no_caption(notebook):
    del notebook.cells[6].metadata["mystnb"]["figure"]["caption"]


def other_name(notebook):
    notebook.cells[6].metadata["mystnb"]["figure"]["name"] = "fig-ch02-line"


def no_reading(notebook):
    del notebook.cells[7]


def no_prompt(notebook):
    del notebook.cells[12].metadata["mystnb"]


INSTALL_PINNED = rules.INSTALL.format(address=rules.address()).replace('ecgcourse"', 'ecgcourse==0.1.0"')
INSTALL_UPGRADE = rules.INSTALL.format(address=rules.address()).replace("--quiet", "--quiet --upgrade")
INSTALL_ELSEWHERE = rules.INSTALL.format(address="https://github.com/someone-else/ecgcourse")
ERROR = new_output("error", ename="ValueError", evalue="", traceback=[])
WARNING = new_output("stream", name="stderr", text="UserWarning")
SECOND_FIGURE = new_output("display_data", data={"image/png": ""})
FAULTS = [
    (rules.is_tidy, add_version),
    (rules.is_tidy, add_timing),
    (rules.is_tidy, random_id),
    (rules.is_small, grow),
    (rules.starts_with_numbered_title, source(0, "# An example")),
    (rules.starts_with_numbered_title, source(0, "# 2. An example")),
    (rules.starts_with_numbered_title, source(4, "# Another title")),
    (rules.installs_only_where_missing, source(2, INSTALL_PINNED)),
    (rules.installs_only_where_missing, source(2, INSTALL_UPGRADE)),
    (rules.installs_only_where_missing, source(2, INSTALL_ELSEWHERE)),
    (rules.installs_only_where_missing, source(5, "%pip install --upgrade ecgcourse")),
    (rules.installs_only_where_missing, source(5, "if True:\n    !pip install ecgcourse")),
    (rules.was_run_top_to_bottom, run_out_of_order),
    (rules.was_run_top_to_bottom, never_run),
    (rules.ended_without_complaint, output(5, ERROR)),
    (rules.ended_without_complaint, output(5, WARNING)),
    (rules.names_no_machine, source(5, 'open("/home/somebody/x")')),
    (rules.names_no_machine, output(5, new_output("stream", text="/tmp/xyz/records"))),
    (rules.names_no_machine, output(5, new_output("stream", text="<Thing at 0x7f00deadbeef>"))),
    (rules.has_short_cells, source(5, "x = 1\n" * (rules.MAX_LINES + 1))),
    (rules.has_short_cells, source(5, " ")),
    (rules.uses_the_package, source(5, "import numpy")),
    (rules.defines_nothing_of_the_package, source(5, "def recurrence(x):\n    return x")),
    (rules.is_portable, source(4, "```{note}\nx\n```")),
    (rules.is_portable, source(4, ":::{note}\nx\n:::")),
    (rules.is_portable, source(4, "See {ref}`somewhere`.")),
    (rules.is_portable, source(4, "(somewhere)=")),
    (rules.links_to_what_exists, source(4, "[gone](99_gone.ipynb)")),
    (rules.describes_its_figures, no_alt),
    (rules.describes_its_figures, no_caption),
    (rules.describes_its_figures, other_name),
    (rules.describes_its_figures, no_reading),
    (rules.describes_its_figures, output(6, SECOND_FIGURE)),
    (rules.has_the_sections, source(9, "## Summary")),
    (rules.has_the_sections, source(4, "#### Deep down")),
    (rules.has_the_sections, source(15, "## Where to read on\n\n## Appendix")),
    (rules.solves_its_exercises, tag(12)),
    (rules.solves_its_exercises, no_prompt),
    (rules.solves_its_exercises, source(13, "### Exercise 3")),
    (rules.solves_its_exercises, source(13, "Another one.")),
    (rules.compares_its_outputs, tag(5, "nbval-ignore-output")),
    (rules.compares_its_outputs, tag(6, "nbval-skip")),
]


@pytest.mark.parametrize(("rule", "plant"), FAULTS)
def test_rule_catches_fault(good, rule, plant):
    plant(good)
    assert rule(good) != []


def test_training_cell_may_be_ignored(good):
    good.cells[5].source = "history = training.fit(model, train, val, config)"
    good.cells[5].metadata["tags"] = ["nbval-ignore-output"]
    assert rules.compares_its_outputs(good) == []


def test_every_rule_has_a_fault():
    assert {rule for rule, _ in FAULTS} == set(rules.RULES)
