"""Write the hours of the routes on the first page and in the teacher's guide, from the time that each chapter takes.

    python -m tools.routes

Each cell of a table that names chapters gets the sum of their minutes, and each column of the routes its total.
"""

import re

import nbformat

from tools.notebooks import BOOK, minutes

PAGES = (BOOK / "index.md", BOOK / "teaching.md")
CHAPTER = re.compile(r"\]\((\d\d_\w+)\.ipynb\)")


def in_words(total: int) -> str:
    """Write minutes as hours and minutes: 190 is "3 h 10 min"."""
    hours, rest = divmod(total, 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0)
    return " ".join(parts).replace(" ", "\N{NO-BREAK SPACE}")


def chapter_minutes(name: str) -> int:
    """Return the minutes that the chapter of this name takes."""
    return minutes(nbformat.read(BOOK / f"{name}.ipynb", as_version=4))


def cell_minutes(cell: str) -> int:
    """Add up the minutes of all chapters that a cell of a table links to."""
    return sum(chapter_minutes(name) for name in CHAPTER.findall(cell))


def filled(page: str) -> str:
    """Return the page with the hours of every route: in its parts' cells, in their sums and in the last columns."""
    totals: list[int] = []
    lines = []
    for line in page.splitlines():
        cells = line.strip("|").split("|") if line.startswith("|") else []
        if cells and cells[0].strip() == "in all":
            line = f"|{cells[0]}|" + "".join(f" {in_words(total)} |" for total in totals)
        elif CHAPTER.search(line) and " · " in line:
            parts = [cell_minutes(cell) for cell in cells[1:]]
            totals = [before + part for before, part in zip(totals or [0] * len(parts), parts, strict=True)]
            line = f"|{cells[0]}|" + "".join(map(_with_time, cells[1:], parts))
        elif CHAPTER.search(line) and cells:
            line = "|".join(["", *cells[:-1], f" {in_words(cell_minutes(line))} |"])
        lines.append(line)
    return "\n".join(lines) + "\n"


def _with_time(cell: str, total: int) -> str:
    return re.sub(r" · .*", f" · {in_words(total)} |", cell) if total else f"{cell}|"


def main() -> None:
    """Fill the pages in place."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main()
