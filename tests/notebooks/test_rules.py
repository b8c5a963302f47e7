"""Every notebook keeps every rule, and every rule catches the fault that it is there for."""

import re
from collections import Counter
from functools import cache
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


@cache
def read(path):
    """A notebook of the book, which rules only read."""
    return rules.read(path)


def by_name(values):
    return pytest.mark.parametrize("rule", values, ids=lambda rule: rule.__name__)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@by_name(rules.RULES)
def test_notebook_keeps_rule(path, rule):
    assert rule(read(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@by_name(rules.PAGE_RULES)
def test_page_keeps_rule(path, rule):
    assert rule(read(path)) == []


def test_every_page_of_the_contents_exists():
    notebooks = {path.stem for path in NOTEBOOKS}
    files = [rules.BOOK / f"{name}.md" for name in entries(TOC) if name not in notebooks]
    assert [file.name for file in files if not file.is_file()] == []


def test_every_notebook_is_in_the_contents():
    listed = entries(TOC)
    assert [path.stem for path in CHAPTERS] == [name for name in listed if re.match(r"\d\d_", name)]
    assert [path.stem for path in PAGES if path.stem not in listed] == []


def test_figure_names_are_unique():
    cells = [cell for path in NOTEBOOKS for cell in read(path).cells]
    names = Counter(cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells)
    assert [name for name, count in names.items() if name and count > 1] == []


def test_few_cells_are_ignored():
    ignored = [f"{path.stem} {cell.id}" for path in NOTEBOOKS for cell in rules.ignored_cells(read(path))]
    assert len(ignored) <= rules.MAX_IGNORED_CELLS, ignored


WORDS = " ".join(f"[word {number}](glossary.md#word-{number})" for number in range(rules.FEWEST_WORDS))
QUESTION = "<details>\n<summary>Is it so?</summary>\n\nYes.\n\n</details>"
NEEDED = """\
## What you need

| concept | why | where |
|---|---|---|
| lead | it is drawn | [glossary](glossary.md) |

Time: about 20 minutes."""


def exercise(number):
    """Return the three cells of an exercise: its text, an open stub, a folded solution."""
    check = f'exercises.check("3.{number}", answer)'
    said = [new_output("stream", text=f"Exercise 3.{number}: {word}\n") for word in ("no answer yet. Put", "right.")]
    folded = {"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Show solution"}}
    return [
        new_markdown_cell(f"### Exercise {number}: {('count', *rules.KINDS)[number - 1]}count"),
        new_code_cell(f"answer = ...\n\n{check}", outputs=[said[0]]),
        new_code_cell(f"answer = {number}\n\n{check}", metadata=folded, outputs=[said[1]]),
    ]


def figure_cell():
    settings = {
        "image": {"alt": "A line that rises from the lower left to the upper right."},
        "figure": {"caption": "A line.", "name": "fig-ch03-line"},
    }
    image = new_output("display_data", data={"image/png": "", "text/plain": "<Figure size 640x480>"})
    return new_code_cell("fig = draw()", metadata={"mystnb": settings}, outputs=[image])


@pytest.fixture
def good(tmp_path) -> nbformat.NotebookNode:
    """A notebook without a fault. Its cells by number: 2 installs, 5 imports, 6 draws, 13 is a stub, 14 a solution."""
    markdown = new_markdown_cell
    install = new_code_cell(rules.INSTALL.format(address=rules.address()), metadata={"tags": ["hide-input"]})
    cells = [
        markdown("# 3. An example"),
        markdown("## What you will be able to do"),
        install,
        markdown(NEEDED),
        markdown(f"## A case: of its own\n\n{WORDS}\n\n**With real records.** The line falls."),
        new_code_cell("from ecgcourse import fields\n\nprint(1)", outputs=[new_output("stream", text="1\n")]),
        figure_cell(),
        markdown("The line rises."),
        new_code_cell("def scale_by_hand(x):\n    return x"),
        markdown("## What to remember\n\n- One.\n- Two."),
        markdown("## Test yourself\n\n" + "\n\n".join([QUESTION] * 3)),
        markdown("## Exercises"),
        *exercise(1),
        *exercise(2),
        *exercise(3),
        markdown("## Where to read on\n\n- [A paper](https://doi.org/10.1000/1)"),
    ]
    notebook = tidy(new_notebook(cells=cells))
    for count, cell in enumerate(rules.code_cells(notebook), start=1):
        cell.execution_count = count
    path = tmp_path / "03_example.ipynb"
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


def go_on_and_on(notebook):
    notebook.cells += [new_code_cell("1 + 1") for _ in range(rules.MAX_OPEN_CELLS)]


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


def draw(before, drawing):
    """Plant a drawing of what an earlier cell has made."""

    def plant(notebook):
        notebook.cells[5].source, notebook.cells[6].source = before, drawing

    return plant


def no_reading(notebook):
    del notebook.cells[7]


def no_prompt(notebook):
    del notebook.cells[14].metadata["mystnb"]


def answered_stub(notebook):
    notebook.cells[13].outputs[0]["text"] = "Exercise 3.1: right.\n"


def wrong_solution(notebook):
    notebook.cells[14].outputs[0]["text"] = "Exercise 3.1: not yet: count again.\n"


def without(*numbers):
    def plant(notebook):
        notebook.cells = [cell for number, cell in enumerate(notebook.cells) if number not in numbers]

    return plant


INSTALL_PINNED = rules.INSTALL.format(address=rules.address()).replace('ecgcourse"', 'ecgcourse==0.1.0"')
INSTALL_UPGRADE = rules.INSTALL.format(address=rules.address()).replace("--quiet", "--quiet --upgrade")
INSTALL_ELSEWHERE = rules.INSTALL.format(address="https://github.com/someone-else/ecgcourse")
ERROR = new_output("error", ename="ValueError", evalue="", traceback=[])
WARNING = new_output("stream", name="stderr", text="UserWarning")
SECOND_FIGURE = new_output("display_data", data={"image/png": ""})
FAULTS = [
    (rules.says_where_it_calculates, source(5, "config = training.TrainConfig(epochs=1)")),
    (rules.says_where_it_calculates, source(5, "training.predict(model, data)")),
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
    (rules.says_what_is_fed, draw("x = signals.bandpass(y, fs)", "plots.leads(x, fs)")),
    (
        rules.says_what_is_fed,
        draw("x = {1: bandpass(y)}\nx[2] = y", "for a in x.values():\n    plot(a, 'mV')"),
    ),
    (rules.says_what_is_fed, draw("def show(y):\n    plots.leads(bandpass(y), fs)", "show(y)")),
    (rules.says_what_is_fed, draw("r = SignalRecipe(scaling='millivolt')", "plots.attribution(r.apply(y), a, fs)")),
    (rules.has_the_sections, source(9, "## Summary")),
    (rules.has_the_sections, source(4, "#### Deep down")),
    (rules.has_the_sections, source(21, "## Where to read on\n\n## Appendix")),
    (rules.says_what_is_needed, source(3, NEEDED.replace("why", "because"))),
    (rules.says_what_is_needed, source(3, NEEDED.replace("20", "40"))),
    (rules.says_what_is_needed, source(3, NEEDED.replace("Time", "Takes"))),
    (rules.teaches_its_case, source(4, "## A section of its own")),
    (rules.is_short, source(7, "word " * rules.MAX_WORDS)),
    (rules.is_short, go_on_and_on),
    (rules.names_real_records, source(4, "## A case: of its own")),
    (rules.links_its_words, source(7, "The line of [word 1](glossary.md#word-1) rises.")),
    (rules.links_its_words, source(4, "## A case: of its own")),
    (rules.can_be_remembered, source(9, "## What to remember\n" + "\n- One." * 6)),
    (rules.can_be_remembered, source(9, "## What to remember\n\nA lot.")),
    (rules.asks_questions, source(10, "## Test yourself\n\n" + QUESTION)),
    (rules.asks_questions, source(10, "## Test yourself\n\nIs it so?")),
    (rules.solves_its_exercises, tag(14)),
    (rules.solves_its_exercises, tag(13, "hide-cell")),
    (rules.solves_its_exercises, no_prompt),
    (rules.solves_its_exercises, answered_stub),
    (rules.solves_its_exercises, wrong_solution),
    (rules.solves_its_exercises, without(13)),
    (rules.solves_its_exercises, without(18, 19, 20)),
    (rules.solves_its_exercises, source(15, "### Exercise 3: count")),
    (rules.solves_its_exercises, source(15, "Another one.")),
    (rules.solves_its_exercises, source(16, 'exercises.check("3.3", ...)')),
    (rules.sets_both_kinds, source(15, "### Exercise 2: count")),
    (rules.sets_both_kinds, source(18, "### Exercise 3: count")),
    (rules.reads_on_with_dois, source(21, "## Where to read on\n\n- [A page](https://example.org)")),
    (rules.compares_its_outputs, tag(5, "nbval-ignore-output")),
    (rules.compares_its_outputs, tag(6, "nbval-skip")),
]


@pytest.mark.parametrize(("rule", "plant"), FAULTS)
def test_rule_catches_fault(good, rule, plant):
    plant(good)
    assert rule(good) != []


@pytest.mark.parametrize(
    ("before", "drawing"),
    [
        ("x = signals.bandpass(y, fs, zero_phase=True)", "plots.leads(x, fs)"),
        ("x = signals.bandpass(y, fs)\nx = y", "plots.leads(x, fs)"),
        ("x = signals.bandpass(y, fs)", "plots.leads(signals.min_max(x), fs, units='')"),
        ("raw, x = y, signals.bandpass(y, fs)", "plots.leads(raw, fs)"),
    ],
)
def test_other_voltages_need_no_such_caption(good, before, drawing):
    draw(before, drawing)(good)
    assert rules.says_what_is_fed(good) == []


def test_a_caption_may_say_that_voltages_are_fed(good):
    draw("x = signals.bandpass(y, fs)", "plots.leads(x, fs)")(good)
    good.cells[6].metadata["mystnb"]["figure"]["caption"] = "A record as a network is fed it."
    assert rules.says_what_is_fed(good) == []


def test_training_cell_may_be_ignored(good):
    good.cells[5].source = "history = training.fit(model, train, val, config)"
    good.cells[5].metadata["tags"] = ["nbval-ignore-output"]
    assert rules.compares_its_outputs(good) == []


def test_every_rule_has_a_fault():
    assert {rule for rule, _ in FAULTS} == set(rules.RULES)
