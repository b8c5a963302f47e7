"""Write the hours of the routes on the first page and in the teacher's guide, from the time that each chapter takes.

    python -m tools.routes

The last cell of each row that links to chapters gets the sum of their minutes.
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


def filled(page: str) -> str:
    """Return the page with the hours of every row of a table that links to chapters, in its last cell."""
    lines = []
    for line in page.splitlines():
        names = CHAPTER.findall(line) if line.startswith("|") else []
        if names:
            before, _ = line.removesuffix("|").rsplit("|", 1)
            line = f"{before}| {in_words(sum(map(chapter_minutes, names)))} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fill the pages in place."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main()
