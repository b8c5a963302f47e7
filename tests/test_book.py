"""The pages around the chapters."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from book._extensions.glossary_links import slug
from tools.address import slug as repository

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
READ = [*CHAPTERS, *sorted(path for path in (ROOT / "book").glob("*.md") if path.name != "references.md")]
# Two journals and a law that give no DOIs.
WITHOUT_DOI = ("pyts: a Python package", "Scikit-learn: machine learning", "Regulation (EU) 2017/745")
# What stands before a year without being an author.
NOT_AUTHORS = {"May", "Version", "Chapter"}
# Names, units and general words of computing; electrodes and cables, which chapter 1 explains where it uses them.
NOT_EXPLAINED = set("AI CC CSV DOI EU GB HOST HTML ID JSON LA LL MB NK NVIDIA OK PATH RA SIGTERM TIFF TOML URL".split())
PAGES = ["README.md", "CITATION.cff", "pyproject.toml", "book/index.md"]


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
    """Every module but the answers to the exercises."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("api*.md")]
    described = [name for page in pages for name in re.findall(r"automodule:: ([\w.]+)", page)]
    assert sorted(described) == sorted(name for name in modules() if not re.search(r"exercises\.chapter\d\d$", name))


def test_overview_of_the_reference_names_every_module():
    """Those of the models stand on their own page."""
    overview = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    top = [name for name in modules() if name.count(".") == 1]
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
    anchors = {slug(word) for word in glossary()} | {slug(heading) for heading in re.findall(r"^## (.+)$", text, re.M)}
    assert set(re.findall(r"glossary\.md#([\w-]+)", text)) <= anchors
    assert set(re.findall(r"\{term\}`[^`<]*<?([^`>]+)>?`", text)) <= set(glossary())


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
    name = r"(?:[Vv]an (?:der )?|[Dd]e )?[A-Z][a-zà-ž]+(?:[A-Z][a-z]+)?"
    found = re.findall(rf"({name})(?:(?:, {name})*,? and {name}| et al\.)?,?\s+[(\[]*((?:19|20)\d\d)\b", text)
    return {(author, year) for author, year in found if author not in NOT_AUTHORS}


def test_citations_are_found():
    text = "Wang and Oates ([2015](x)), [Efron 1979](x), Cho et al. 2014, McKee and Wulf 1995. Van Calster et al. 2019"
    expected = {("Wang", "2015"), ("Efron", "1979"), ("Cho", "2014"), ("McKee", "1995"), ("Van Calster", "2019")}
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
