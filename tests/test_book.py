"""The pages around the chapters."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from tools.address import slug

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
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
    address = slug(CONFIG["repository"]["url"])
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


@pytest.mark.parametrize("page", ["glossary.md", "references.md", "index.md", "status.md", "api.md"])
def test_page_links_to_what_exists(page):
    text = (ROOT / "book" / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text)
    assert [target for target in targets if not (ROOT / "book" / target).exists()] == []


def test_glossary_defines_each_word_once():
    lines = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8").splitlines()
    words = [line for line, after in zip(lines, lines[1:], strict=False) if line and after.startswith("    ")]
    words = [word for word in words if not word.startswith(" ")]
    assert len(words) > 50
    assert len(words) == len(set(words))


def test_every_reference_with_a_doi_links_to_it():
    text = (ROOT / "book" / "references.md").read_text(encoding="utf-8")
    shown = re.findall(r"\[doi:(\S+?)\]\(https://doi\.org/(\S+)\)(?=[.,;]|$)", text, flags=re.MULTILINE)
    assert len(shown) > 15
    for name, target in shown:
        assert target.replace("%3C", "<").replace("%3E", ">") == name
