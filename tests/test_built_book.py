"""The book as it was built; skipped where none was built."""

import ast
import html
import re
from collections import Counter
from collections.abc import Iterator
from inspect import isclass, ismodule
from pathlib import Path
from pkgutil import resolve_name

import nbformat
import pytest

from tools import notebooks

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "book" / "_build" / "html"
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))

needs_book = pytest.mark.skipif(not BUILT.is_dir(), reason="no built book; 'make book' makes one")


def page(name: str) -> str:
    return (BUILT / f"{name}.html").read_text(encoding="utf-8")


def trees(notebook: nbformat.NotebookNode) -> list[ast.Module]:
    """Parse the code cells, but the one that installs, whose ``%pip`` isn't Python."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "%pip" not in cell.source]
    return [ast.parse(cell.source) for cell in cells]


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """List (name as written, dotted name) of what is imported from the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ecgcourse":
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def dotted_names(tree: ast.AST) -> Iterator[str]:
    """List the names that a cell reads, whole: ``fields.resize`` once, and not ``fields`` again."""
    words, inner = [], tree
    while isinstance(inner, ast.Attribute):
        words, inner = [inner.attr, *words], inner.value
    if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
        yield ".".join([inner.id, *words])
    else:
        for child in ast.iter_child_nodes(tree):
            yield from dotted_names(child)


def is_described(name: str) -> bool:
    """Tell whether something in a module or a class has this name.

    ``CLASSES.index`` isn't, and neither is what a variable has that is called like a module.
    """
    try:
        parent, found = resolve_name(name.rpartition(".")[0]), resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return (ismodule(parent) or isclass(parent)) and not ismodule(found)


def names_used(notebook: nbformat.NotebookNode) -> Counter[str]:
    """Count the package's names in a chapter's code, as they are written."""
    cells = trees(notebook)
    imported = [pair for cell in cells for pair in imports(cell)]
    known = dict(imported)
    used = Counter(name for name, _ in imported)
    for name in (name for cell in cells for name in dotted_names(cell)):
        first, dot, rest = name.partition(".")
        if first in known and is_described(known[first] + dot + rest):
            used[name] += 1
    return used


def names_linked(text: str) -> Counter[str]:
    """Count the names in a page's code that lead to a description of the package."""
    links = re.findall(r'<a class="sphinx-codeautolink-a" href="[^"]*#(?:module-)?ecgcourse[^"]*".*?>(.*?)</a>', text)
    return Counter(html.unescape(re.sub(r"<[^>]+>", "", link)) for link in links)


def test_names_of_a_cell():
    source = "from ecgcourse import fields, ptbxl as data\nfields.resize(data.LEADS, data.CLASSES.index('MI'), fields)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    assert names_used(notebook) == {"fields": 1, "data": 1, "fields.resize": 1, "data.LEADS": 1}


@needs_book
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_name_of_the_package_is_linked(path):
    used = names_used(nbformat.read(path, as_version=4))
    assert used.total() > 10
    assert used - names_linked(page(path.stem)) == Counter()


@needs_book
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "book").glob("api*.md")))
def test_references_and_signatures_of_the_api_are_whole(name):
    """Sphinx gives a short name that it doesn't find no link and, unlike a long one, no warning.

    Where a default isn't Python, it shows all types of the signature raw.
    """
    without_link = re.findall(r'(?<!">)<code class="xref py [^>]*>(?:<span class="pre">)?([^<]*)', page(name))
    assert [each for each in without_link if not each.startswith(("numpy.", "torch."))] == []
    assert re.findall(r"&lt;(?:factory|function)\b", page(name)) == []


def said(cell: nbformat.NotebookNode) -> tuple[dict[str, str], list[dict]]:
    """What a cell printed, by stream, and what it showed; pixels differ between machines and are left out."""
    printed: dict[str, str] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            printed[output.name] = printed.get(output.name, "") + output.text
    shown = [output.data for output in cell.outputs if "data" in output]
    return printed, [{kind: each[kind] for kind in each if not kind.startswith("image/")} for each in shown]


@needs_book
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_those_that_were_committed(path):
    """As ``pytest --nbval`` compares them, without executing everything once more."""
    built = notebooks.as_built(path)
    if built is None:
        pytest.skip("not executed by the last build as it is now: make test leaves it to nbval")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) == len(built.cells)
    for cell, executed in zip(cells, built.cells, strict=True):
        if "nbval-ignore-output" not in cell.metadata.get("tags", []):
            assert said(executed) == said(cell), f"{cell.id} says something else than when it was committed"


@needs_book
def test_api_pages_say_nothing_of_types_inside_numpy_or_numbers_of_fields():
    pages = "".join(path.read_text(encoding="utf-8") for path in BUILT.glob("api*.html"))
    assert "ArrayLike" in pages and "_SupportsArray" not in pages and "Alias for field number" not in pages
    assert ">Type<" not in pages, "the words of a constant are torn at their colon"
