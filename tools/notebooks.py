"""Execute the book's notebooks in place, or bring them into the one form in which they are committed.

    python tools/notebooks.py run  [FILE ...]    execute with the practice set, then tidy
    python tools/notebooks.py tidy [FILE ...]    only tidy
    python tools/notebooks.py new  [FILE ...]    list those that the last build of the book hasn't executed as they are

Without FILE, every notebook of the book.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
CACHE = BOOK / "_build" / ".jupyter_cache"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_CELL_METADATA = ("mystnb", "tags")
TIMEOUT_S = 600
# A slow reader's pace, for text that has to be understood.
WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_AN_EXERCISE = 120, 10, 6
# Set by a user or an outer tool, these would change the outputs.
OUTSIDE_SETTINGS = ("ECGCOURSE_DATA", "ECGCOURSE_BEATS", "MPLBACKEND")


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop from a notebook what differs between machines and runs: timings, versions, random cell ids."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        )
    return notebook


def minutes(notebook: nbformat.NotebookNode) -> int:
    """Estimate how long a chapter takes, in minutes, to the nearest five: reading, code and exercises."""
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    shown = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "hide-cell" not in cell.metadata.get("tags", [])
    ]
    lines = sum(len(cell.source.splitlines()) for cell in shown)
    exercises = sum(cell.source.count("### Exercise ") for cell in notebook.cells if cell.cell_type == "markdown")
    return 5 * round((words / WORDS_A_MINUTE + lines / LINES_A_MINUTE + exercises * MINUTES_AN_EXERCISE) / 5)


def run(
    notebook: nbformat.NotebookNode, folder: Path, env: dict[str, str] | None = None, **options
) -> nbformat.NotebookNode:
    """Execute a notebook in `folder`, top to bottom in a fresh kernel, and stop at the first error.

    The kernel's environment is `env`, by default that of this process; `options` go to nbclient's NotebookClient.
    """
    settings = {"timeout": TIMEOUT_S, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, **(settings | options))
    return client.execute(**({} if env is None else {"env": env}))


def failure(path: Path, folder: Path, env: dict[str, str] | None = None, **options) -> str | None:
    """Execute a notebook file in `folder` as :func:`run` does; the file stays as it is.

    Returns
    -------
    str or None
        Chapter, cell, error and the cell's code; None where every cell ran.
    """
    notebook = nbformat.read(path, as_version=4)
    started: list[nbformat.NotebookNode] = []
    try:
        run(notebook, folder, env, on_cell_start=lambda cell, cell_index: started.append(cell), **options)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        cell = started[-1]
        return f"{path.stem}, {cell.id}: {_words(error)}\n\n{cell.source}"
    return None


def _words(error: Exception) -> str:
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def as_built(path: Path) -> nbformat.NotebookNode | None:
    """Return a notebook's code cells as the last build of the book executed them, on the practice set.

    None where it didn't, or where the cells, the package or a pinned version have changed since it began.
    """
    if not CACHE.is_dir():
        return None
    # Loaded here, since notebooks can be tidied without what builds the book.
    from jupyter_cache import get_cache

    cache = get_cache(CACHE)
    try:
        record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
    except KeyError:
        return None
    sources = [ROOT / "constraints.txt", *(ROOT / "ecgcourse").rglob("*")]
    newest = max(each.stat().st_mtime for each in sources if each.is_file() and "__pycache__" not in each.parts)
    if record.data.get("records") or newest > record.data.get("begun", 0):
        return None
    return cache.get_cache_bundle(record.pk).nb


def rewrite(path: Path, execute: bool) -> None:
    """Execute (if asked) and tidy one notebook file; the file changes only when all of that succeeded."""
    notebook = nbformat.read(path, as_version=4)
    if execute:
        notebook = run(notebook, path.parent)
    temporary = path.with_name(f".{path.name}.part")
    nbformat.write(tidy(notebook), temporary)
    os.replace(temporary, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "tidy", "new"])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    for setting in OUTSIDE_SETTINGS:
        os.environ.pop(setting, None)
    for path in options.files or sorted(BOOK.glob("*.ipynb")):
        if options.action != "new" or as_built(path) is None:
            print(path, flush=True)
        if options.action != "new":
            rewrite(path, execute=options.action == "run")


if __name__ == "__main__":
    main()
