"""The pages around the chapters."""

import re
import shlex
import socket
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
import torch
import yaml
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book._extensions import environment_table, part_opening, real_records
from book._extensions.glossary_links import slug
from ecgcourse import cli_words
from tools.address import slug as repository
from tools.notebooks import minutes

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("support", "records", "images", "learning", "analysis", "course")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
PAGES_TO_READ = [path for kind in ("*.ipynb", "*.md") for path in sorted((ROOT / "book").glob(kind))]
READ = [path for path in PAGES_TO_READ if path.name != "references.md"]
# Two journals, a workshop and a law that give no DOIs.
WITHOUT_DOI = (
    "pyts: a Python package",
    "Scikit-learn: machine learning",
    "Encoding time series as images",
    "Regulation (EU) 2017/745",
)
# What stands before a year without being an author.
NOT_AUTHORS = {"April", "May", "Version", "Chapter"}
# Names and societies, units and general words of computing; electrodes and cables, which chapter 1 explains itself.
NOT_EXPLAINED = set(
    "AI CC CSV DOI ESC EU GB HOST HTML ID JSON LA LL MB NASPE NK NVIDIA OK PATH RA SIGTERM TIFF TOML URL".split()
)
LESSON = ["Aim", "Show", "Ask", "What goes wrong", "Set"]
PAGES = ["README.md", "CITATION.cff", "pyproject.toml", "book/running.md"]


def modules() -> list[str]:
    """List the package's modules by their dotted names."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "ecgcourse").rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if name != "ecgcourse" and not name.endswith("__main__")]


def test_settings_beside_the_book_are_links_to_the_real_ones():
    for name in ("_config.yml", "_toc.yml"):
        assert (ROOT / "book" / name).readlink() == Path("..") / name


@pytest.mark.parametrize("page", PAGES)
def test_page_has_the_address_of_the_settings(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    address = repository(CONFIG["repository"]["url"])
    assert address in text
    assert set(re.findall(r"-owner-/[\w-]+", text)) <= {address}


def test_readme_opens_every_chapter_in_colab():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    opened = re.findall(r"\(https://colab[^)]*/blob/main/book/(\w+)\.ipynb\)", readme)
    assert opened == re.findall(r"\d\d_\w+", toc)


def commands_with_torchrun(markdown: str) -> list[str]:
    """List the commands of a page, or of a chapter's prose, that start several processes."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)
    commands = re.findall(r"(?:.*\\\n)*.*\n", "".join(blocks))
    return [command for command in commands if "torchrun " in command]


def test_chapter_15_gives_the_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    notebook = nbformat.read(ROOT / "book" / "15_all_of_ptbxl.ipynb", as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    expected = commands_with_torchrun(readme)
    assert len(expected) == 3
    assert commands_with_torchrun(prose) == expected
    (script,) = re.findall(r"#!/bin/bash\n.*?^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert script in prose


def test_reference_has_every_module_once():
    """Every module but the answers to the exercises and the rooms, which are no more than folders."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("api*.md")]
    described = [name for page in pages for name in re.findall(r"automodule:: ([\w.]+)", page)]
    rooms = {f"ecgcourse.{room}" for room in ROOMS}
    wanted = [
        name for name in modules() if not re.search(r"exercises\.(chapter\d\d|part\d)$", name) and name not in rooms
    ]
    assert sorted(described) == sorted(wanted)


def test_overview_of_the_reference_names_every_module():
    """Those of the models stand on their own page."""
    overview = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    below = re.compile(r"ecgcourse(\.(" + "|".join(ROOMS) + r"))?\.\w+")
    top = [name for name in modules() if below.fullmatch(name) and name.removeprefix("ecgcourse.") not in ROOMS]
    assert sorted(re.findall(r"\{py:mod\}`\w+ <([\w.]+)>`", overview)) == sorted(top)


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda path: path.name)
def test_page_links_to_what_exists(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def prose(path: Path) -> str:
    """Return the text of a page or of a chapter, without code."""
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
    else:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def glossary() -> dict[str, str]:
    """Return the meaning of each word of the glossary."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^(?! |```|:)(\S.*)\n((?:    .+\n)+)", text, flags=re.MULTILINE))


def test_glossary_defines_each_word_once():
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^(\S.*)\n    ", text, flags=re.MULTILINE)
    assert len(words) == len(set(words)) == len(glossary()) > 100


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_abbreviations_are_in_the_glossary(path):
    """Words in capitals, in a chapter's text, that aren't names or general words of computing."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|\*\*Exercise.*", " ", prose(path), flags=re.DOTALL)
    explained = " ".join([*glossary(), *glossary().values()])
    found = set(re.findall(r"(?<![\w/.-])[A-Z]{2,6}(?![\w-])", text))
    assert {word for word in found - NOT_EXPLAINED if not re.search(rf"\b{word}\b", explained)} == set()


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_links_into_the_glossary_lead_to_a_word(path):
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", (ROOT / "book" / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {slug(word) for word in [*glossary(), *headings]}
    assert set(re.findall(r"glossary\.md#([\w-]+)", text)) <= anchors
    assert set(re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text)) <= set(glossary())


def references() -> list[str]:
    text = (ROOT / "book" / "references.md").read_text(encoding="utf-8")
    return [" ".join(entry.split()) for entry in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", text, flags=re.MULTILINE)]


def test_every_reference_shows_its_doi():
    entries = references()
    assert len(entries) > 50
    for entry in entries:
        shown = re.findall(r"\[doi:(\S+?)\]\(https://doi\.org/(\S+)\)(?=[.,;]|$)", entry)
        assert shown or any(work in entry for work in WITHOUT_DOI), entry
        for name, target in shown:
            assert target.replace("%3C", "<").replace("%3E", ">") == name


def test_references_stand_once():
    dois = [doi for entry in references() for doi in re.findall(r"\[doi:(\S+?)\]\(", entry)]
    assert len(dois) == len(set(dois))


def citations(text: str) -> set[tuple[str, str]]:
    """List (first author, year) of what is cited: "Wang and Oates ([2015](…))", "Efron 1979", "Cho et al."."""
    # Of the surnames of two words only those that are cited.
    name = r"(?:[Vv]an (?:der )?|[Dd]e |Oliffson )?[A-Z][a-zà-ž]+(?:-?[A-Z][a-z]+)?"
    found = re.findall(rf"({name})(?:(?:,\s{name})*,?\sand\s{name}|\set\sal\.)?,?\s+[(\[]*((?:19|20)\d\d)\b", text)
    return {(author, year) for author, year in found if author not in NOT_AUTHORS}


def test_citations_are_found():
    text = "Wang and Oates ([2015](x)), [Efron 1979](x), Cho et al. 2014, McKee and Wulf 1995. Van Calster et al. 2019"
    text += ", Moreno-Torres et al. 2012"
    expected = {("Wang", "2015"), ("Efron", "1979"), ("Cho", "2014"), ("McKee", "1995"), ("Van Calster", "2019")}
    expected |= {("Moreno-Torres", "2012")}
    assert citations(text) == expected


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_what_is_cited_is_in_the_references(path):
    listed = {
        (re.match(r"(?:[\w.‑-]+\. )*(.+?)[,(]", entry).group(1).strip(), year)
        for entry in references()
        for year in re.findall(r"\((\d{4})\)", entry)[:1]
    }
    assert citations(prose(path)) <= listed


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_every_linked_paper_is_in_the_references(path):
    listed = " ".join(references()).replace("%3C", "<").replace("%3E", ">")
    text = path.read_text(encoding="utf-8").replace("%3C", "<").replace("%3E", ">")
    papers = re.findall(r"doi\.org/([^\s\")]+(?:\([^\s)]*\)[^\s\")]*)*)|arxiv\.org/abs/([\d.]+\d)", text)
    assert [doi or arxiv for doi, arxiv in papers if (doi or arxiv) not in listed] == []


def minutes_shown(text: str) -> int:
    """Read "3 h 10 min" as 190."""
    hours, rest = re.search(r"(?:(\d+)\s*h)?\s*(?:(\d+)\s*min)?\s*$", text.strip()).groups()
    return 60 * int(hours or 0) + int(rest or 0)


def rows_with_chapters(page: str) -> list[list[str]]:
    text = (ROOT / "book" / page).read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if ".ipynb)" in "".join(row)]


def chapters_of(text: str) -> list[str]:
    return re.findall(r"\((\d\d_\w+)\.ipynb\)", text)


@pytest.fixture(scope="module")
def chapter_minutes() -> dict[str, int]:
    """What each chapter's time is, which the rules of the notebooks hold it to."""
    return {path.stem: minutes(nbformat.read(path, as_version=4)) for path in CHAPTERS}


@pytest.mark.parametrize("page", ["index.md", "teaching.md"])
def test_times_in_the_last_column_are_sums_of_the_chapters_times(page, chapter_minutes):
    rows = rows_with_chapters(page)
    assert len(rows) >= 4
    for row in rows:
        assert minutes_shown(row[-1]) == sum(chapter_minutes[name] for name in chapters_of("".join(row)))


def test_the_longest_route_goes_through_every_chapter_in_order(chapter_minutes):
    assert [chapters_of("".join(row)) for row in rows_with_chapters("index.md")][2] == list(chapter_minutes)


def test_teachers_guide_plans_every_chapter():
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    plans = dict(re.findall(r"^### (\d+\. .+)\n((?:(?!^#).*\n)*)", text, flags=re.MULTILINE))
    titles = [nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ") for path in CHAPTERS]
    assert list(plans) == titles
    for number, plan in enumerate(plans.values(), start=1):
        assert re.findall(r"^- \*\*(.+?):\*\*", plan, flags=re.MULTILINE) == LESSON
        assert set(re.findall(r"\b(\d+)\.\d\b", plan.partition("**Set:**")[2])) == {str(number)}
    said = re.findall(r"^\| (\d+) \| \"", text, flags=re.MULTILINE)
    assert sorted(set(map(int, said))) == list(range(1, len(CHAPTERS) + 1))


def test_teachers_guide_sets_exercises_that_exist():
    text = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    there = {
        f"{int(path.name[:2])}.{number}"
        for path in CHAPTERS
        for number in re.findall(r"### Exercise (\d)", path.read_text(encoding="utf-8"))
    }
    wanted = re.findall(r"\b\d+\.\d\b", " ".join(re.findall(r"\*\*Set:\*\* (.+)", text)))
    assert len(wanted) > 30
    assert set(wanted) <= there


def test_commands_of_the_capstone_exist():
    """The parser of the command line takes each as it stands."""
    text = (ROOT / "book" / "capstone.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m ecgcourse (.+)$", text, flags=re.MULTILINE)
    asked = [cli_words.parse(shlex.split(command)).command for command in commands]
    assert set(asked) == {"sweep", "train", "calibrate", "contest", "evaluate", "predict", "practice"}
    grids = re.findall(r"sweep (\S+\.toml)", text)
    assert [grid for grid in grids if not (ROOT / grid).is_file()] == []


def test_a_concept_map_has_each_box_and_arrow():
    """Two rows of two boxes, one arrow each; then one box that both lead to. An arrow is a line and its tip."""
    rows = part_opening.rows_of(["a / of a & b (1) | c", "> so", "d (2) | e", "f"])
    assert rows[1] == ("so", [(["d"], "2"), (["e"], "")])
    drawn = ElementTree.fromstring(part_opening.drawing(rows, 'all "of" it'))
    assert drawn.attrib["aria-label"] == 'all "of" it' and drawn.attrib["role"] == "img"
    assert [part.text for part in drawn.iter("text")] == ["a", "of a & b", "1", "c", "so", "d", "2", "e", "f"]
    assert (len(list(drawn.iter("rect"))), len(list(drawn.iter("path")))) == (5, 2 * 4)


@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_a_part_opens_and_closes_and_tells_its_time(part, chapter_minutes):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"][part]
    files = [chapter["file"] for chapter in toc["chapters"]]
    assert files[0] == f"part_{part}" and f"quiz_{part}" in files[-2:]
    counted = sum(chapter_minutes[name] for name in files if name in chapter_minutes)
    told = re.search(r"^(.+?), counted .* plan (.+) to (.+)\.$", part_opening.time_of(f"part_{part}")).groups()
    assert minutes_shown(told[0]) == counted
    for factor, planned in zip((1.5, 2), map(minutes_shown, told[1:]), strict=True):
        assert planned == pytest.approx(factor * counted, abs=8)


def test_changelog_has_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", changelog, flags=re.MULTILINE)[:2] == ["Unreleased", project["version"]]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", "book/running.md"])
def test_commands_of_make_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", text, flags=re.MULTILINE))
    assert named and named <= set(targets)


def test_status_page_measures_and_tells_no_path():
    told = {**environment_table.versions(), **environment_table.hardware()}
    assert told["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert told["cores"].isdigit()
    assert not [value for value in told.values() if re.search(r"(^|\s)/|" + re.escape(socket.gethostname()), value)]


def notebook_that_printed(*texts: str) -> nbformat.NotebookNode:
    cells = [new_code_cell(outputs=[new_output("stream", text=text)] if text else []) for text in texts]
    return new_notebook(cells=cells)


def test_page_on_real_records_shows_what_cells_printed_before():
    committed, executed = notebook_that_printed("1\n", "2\n", "", "3"), notebook_that_printed("1", "4\n", "", "")
    picture = new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"})
    executed.cells[0].outputs.append(picture)
    before, printing = real_records.differing(committed, executed)
    assert (before, printing) == ({1: "2", 3: "3"}, 3)
    page = new_document("page", get_default_settings())
    image, caption = nodes.image(alt="A synthetic beat."), nodes.caption("", "Two beats of the synthetic practice set.")
    cells = [nodes.container(nb_element="cell_code", cell_index=number) for number in range(4)]
    page += nodes.section("", nodes.title("", "Title"), *cells, nodes.figure("", image, caption))
    real_records.describe(page)
    real_records.annotate(page, before, printing, 500)
    assert (image["alt"], caption.astext()) == ("A real beat.", "Two beats of real records.")
    shown = [node.astext() for node in page[0]]
    assert "built on 500 records of PTB-XL" in shown[1] and "Of 3 cells that print something, 2" in shown[1]
    folds = [(page[0].index(fold), fold[-1].astext()) for fold in page.findall(nodes.admonition)][1:]
    assert folds == [(page[0].index(cells[1]) + 1, "2"), (page[0].index(cells[3]) + 1, "3")]
