"""List what the checks said to the exercises of handed-in notebooks, as CSV.

    python -m tools.grade FOLDER          read the outputs that the notebooks were saved with
    python -m tools.grade FOLDER --run    execute each notebook first, in a copy: this runs other people's code

Only open cells count; the folded solutions of the book don't.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tools.notebooks import run as execute

COLUMNS = ("notebook", "exercise", "verdict", "said")
SAID = re.compile(r"^Exercise ((?:\d+|[IV]+)\.\d+): (.+)$", flags=re.MULTILINE)


def verdict(said: str) -> str:
    """Return "right", "open" for an exercise that was left as it was, or "wrong"."""
    if said == "right.":
        return "right"
    return "open" if said.startswith("no answer yet") else "wrong"


def answers(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return what was last said to each exercise in the open cells of a notebook."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = (_text(cell) for cell in cells if "hide-cell" not in cell.metadata.get("tags", []))
    return dict(pair for text in texts for pair in SAID.findall(text))


def _text(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


def rows(folder: Path, run: bool) -> Iterator[tuple[str, str, str, str]]:
    """List notebook, exercise, verdict and what was said, for each notebook below a folder."""
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        notebook = nbformat.read(path, as_version=4)
        # On after errors: one wrong cell must not cost the exercises below it.
        said = answers(execute(notebook, path.parent, allow_errors=True) if run else notebook)
        for exercise, words in said.items():
            yield str(path.relative_to(folder)), exercise, verdict(words), words


def main(arguments: list[str] | None = None) -> str | None:
    """Print the table; return a message where there is nothing to grade."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--run", action="store_true", help="execute the notebooks first")
    options = parser.parse_args(arguments)
    found = list(rows(options.folder, options.run))
    if not found:
        return f"No notebook in {options.folder} shows what a check said. Were they saved after a run?"
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    writer.writerows(found)
    return None


if __name__ == "__main__":
    sys.exit(main())
