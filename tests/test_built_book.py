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

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "book" / "_build" / "html"
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
def test_api_pages_say_nothing_of_types_inside_numpy_or_numbers_of_fields():
    pages = "".join(path.read_text(encoding="utf-8") for path in BUILT.glob("api*.html"))
    assert "ArrayLike" in pages and "_SupportsArray" not in pages and "Alias for field number" not in pages
