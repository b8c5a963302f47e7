"""Say on the pages of a book that was built on real records what these changed.

The prose of a chapter was written for the practice set, and so were the outputs that are committed with it. Where the
build's records gave another text, the committed one is put in a fold below the cell. No caption calls a patient's
record synthetic.
"""

from functools import cache
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

from ecgcourse import practice, ptbxl
from ecgcourse.errors import DataError

BUILT_ON = (
    "This page was built on {records:,} records of PTB-XL, and its figures and outputs are of these patients. The text "
    "and the captions were written for the synthetic practice set: what they say of a number, a picture or one record "
    "may not hold here, and what a chapter asserts of the practice set alone was not asked. {cells}"
)
DIFFERENT = (
    "Of {printing} cells that print something, {n} printed something else than on the practice set, if only other "
    "times; a fold below each of them shows what it printed there."
)
SAME = "Each cell printed what it prints on the practice set."
FOLD = "On the practice set this cell printed"
# Such pages bring synthetic records of their own, whatever the others are built on.
OWN_RECORDS = "quiz_"


@cache
def n_real_records() -> int:
    """Return how many records of PTB-XL the chapters use; 0 for the practice set."""
    try:
        root = practice.data_root()
    except DataError as error:
        raise ConfigError(str(error)) from error
    return 0 if practice.is_practice(root) else len(ptbxl.read_table(root))


def printed(cell: nbformat.NotebookNode) -> str:
    """Join the text that a cell shows, figures left out."""
    texts = (
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.get("outputs", [])
        if "image/png" not in output.get("data", {})
    )
    return "\n".join(text.rstrip() for text in texts if text)


def differing(committed: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> tuple[dict[int, str], int]:
    """Return what the cells that differ printed before, by the number of the cell, and how many print at all."""
    pairs = [(printed(before), printed(now)) for before, now in zip(committed.cells, executed.cells, strict=True)]
    return {number: before for number, (before, now) in enumerate(pairs) if before != now}, sum(map(any, pairs))


def of_patients(words: str) -> str:
    """Call records real that a caption calls synthetic."""
    words = words.replace("the synthetic practice set", "real records")
    return words.replace("synthetic", "real").replace("Synthetic", "Real")


def describe(page: nodes.document) -> None:
    """Let captions and alternative texts of a page speak of real records."""
    for caption in page.findall(nodes.caption):
        for text in list(caption.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(of_patients(text.astext())))
    for image in page.findall(lambda node: isinstance(node, nodes.image) and "alt" in node):
        image["alt"] = of_patients(image["alt"])


def annotate(page: nodes.document, before: dict[int, str], printing: int, n_records: int) -> None:
    """Put the note under a page's title, and a fold below each cell that differs."""
    for cell in page.findall(lambda node: getattr(node, "get", {}.get)("nb_element") == "cell_code"):
        if cell["cell_index"] in before:
            text = before[cell["cell_index"]] or "nothing"
            fold = nodes.admonition("", nodes.title("", FOLD), nodes.literal_block(text, text, language="text"))
            fold["classes"] += ["tip", "dropdown", "practice-set"]
            cell.parent.insert(cell.parent.index(cell) + 1, fold)
    cells = DIFFERENT.format(printing=printing, n=len(before)) if before else SAME
    words = BUILT_ON.format(records=n_records, cells=cells)
    note = nodes.admonition("", nodes.title("", "Built on real records"), nodes.paragraph("", words))
    note["classes"] += ["important", "built-on"]
    next(page.findall(nodes.section)).insert(1, note)


def compare(app: Sphinx, page: nodes.document) -> None:
    """Annotate a page that is a notebook, in a book built on real records."""
    source = Path(app.env.doc2path(app.env.docname))
    executed = Path(app.outdir).parent / "jupyter_execute" / source.name
    if source.suffix == ".ipynb" and not source.name.startswith(OWN_RECORDS) and n_real_records():
        read = (nbformat.read(path, as_version=4) for path in (source, executed))
        describe(page)
        annotate(page, *differing(*read), n_real_records())


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("doctree-read", compare)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
