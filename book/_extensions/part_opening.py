"""What the page that opens a part shows: its concepts as one drawing, and the time that its chapters take.

``concept-map`` draws rows of boxes; its argument is the text for those who can't see them::

    ```{concept-map} The heart makes voltages; electrodes measure them.
    the heart / a current that turns (1)
    > nine electrodes
    leads I, II, III (1) | chest leads (1)
    ```

A row holds boxes between ``|``; in a box, ``/`` starts a second line and a number in brackets names the chapter. A line
after ``>`` is written beside the arrows from the row before. As many boxes as in the row before: one arrow each; else
every box has an arrow to every other. ``part-time`` counts anew with each build, so no page keeps a number that a
changed chapter makes wrong.
"""

import html
import re
import sys
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# The tools lie in the repository and are no part of the package.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from tools.notebooks import BOOK, minutes  # noqa: E402
from tools.routes import in_words  # noqa: E402

NEWCOMERS = (1.5, 2)
"""How many times the counted minutes a reader without cardiology should plan who does every exercise."""

WIDTH, GAP, TEXT = 360, 10, 16  # as wide as a phone, so that letters keep their size there
BOX, ARROW = 50, 40
_CHAPTER = re.compile(r"\s*\((\d[\d, –]*)\)$")


def rows_of(content: list[str]) -> list[tuple[str, list[tuple[list[str], str]]]]:
    """Read the rows of a map: the words beside the arrows that lead to it, and for each box its lines and chapter."""
    rows, beside = [], ""
    for line in filter(str.strip, content):
        if line.startswith(">"):
            beside = line[1:].strip()
            continue
        boxes = []
        for box in map(str.strip, line.split("|")):
            chapter = _CHAPTER.search(box)
            lines = [part.strip() for part in _CHAPTER.sub("", box).split(" / ")]
            boxes.append((lines, chapter[1] if chapter else ""))
        rows.append((beside, boxes))
        beside = ""
    return rows


def drawing(rows: list[tuple[str, list[tuple[list[str], str]]]], words: str) -> str:
    """Draw a map as SVG, whose colours are the theme's."""
    parts: list[str] = []
    above: list[float] = []
    y = 1
    for beside, boxes in rows:
        # One box alone needn't be as wide as the page.
        width = min((WIDTH - 2 - GAP * (len(boxes) - 1)) / len(boxes), 220)
        left = (WIDTH - width * len(boxes) - GAP * (len(boxes) - 1)) / 2
        centres = [left + width / 2 + k * (width + GAP) for k in range(len(boxes))]
        if above:
            parts += _arrows(above, centres, y, beside)
            y += ARROW
        for centre, box in zip(centres, boxes, strict=True):
            parts += _box(centre, y, width, *box)
        above, y = centres, y + BOX
    label = html.escape(words)
    return (
        f'<svg class="concept-map" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {y + 1}">{"".join(parts)}</svg>'
    )


def _arrows(above: list[float], below: list[float], y: int, beside: str) -> list[str]:
    """Arrows from boxes to those of the next row, and the words beside them."""
    straight = len(above) == len(below)
    pairs = zip(above, below, strict=True) if straight else [(start, end) for start in above for end in below]
    tip, middle = y + ARROW - 2, y + ARROW / 2
    parts = []
    for start, end in pairs:
        parts.append(f'<path d="M{start:g} {y}C{start:g} {middle:g} {end:g} {middle:g} {end:g} {tip}"/>')
        parts.append(f'<path d="M{end - 4:g} {tip - 6}L{end:g} {tip}L{end + 4:g} {tip - 6}"/>')
    if beside:
        parts.append(f'<text class="beside" x="{WIDTH / 2:g}" y="{middle + 4:g}">{html.escape(beside)}</text>')
    return parts


def _box(centre: float, y: int, width: float, lines: list[str], chapter: str) -> list[str]:
    parts = [f'<rect x="{centre - width / 2:g}" y="{y}" width="{width:g}" height="{BOX}" rx="6"/>']
    first = y + BOX / 2 + 5 - (len(lines) - 1) * TEXT / 2
    for k, line in enumerate(lines):
        kind = "second" if k else "first"
        parts.append(f'<text class="{kind}" x="{centre:g}" y="{first + k * TEXT:g}">{html.escape(line)}</text>')
    if chapter:
        parts.append(f'<text class="chapter" x="{centre + width / 2 - 5:g}" y="{y + 12}">{chapter}</text>')
    return parts


def chapters_of(page: str) -> list[Path]:
    """The chapters of the part in which a page stands; all chapters for a page that stands with none."""
    parts = yaml.safe_load((BOOK.parent / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    files = [[chapter["file"] for chapter in part["chapters"]] for part in parts]
    own = next((part for part in files if page in part), [])
    numbered = [name for name in own if re.match(r"\d\d_", name)]
    return [BOOK / f"{name}.ipynb" for name in numbered or [n for part in files for n in part if re.match(r"\d\d_", n)]]


def time_of(page: str) -> str:
    """Say how long the chapters of a page's part take: as they count it themselves, and what to plan."""
    counted = sum(minutes(nbformat.read(path, as_version=4)) for path in chapters_of(page))
    least, most = (in_words(15 * round(factor * counted / 15)) for factor in NEWCOMERS)
    return (
        f"{in_words(counted)}, counted from words, lines of code and exercises. If medicine is new to you and you do "
        f"every exercise, plan {least} to {most}."
    )


class ConceptMap(SphinxDirective):
    """Rows of boxes and the arrows between them."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        words = " ".join(self.arguments[0].split())
        return [nodes.raw("", drawing(rows_of(list(self.content)), words), format="html")]


class PartTime(SphinxDirective):
    """A paragraph with the time of the part's chapters."""

    def run(self) -> list[nodes.Node]:
        # Whatever changes in a chapter changes this page.
        for path in chapters_of(self.env.docname):
            self.env.note_dependency(str(path))
        words = nodes.strong("", "Time: ")
        return [nodes.paragraph("", "", words, nodes.Text(time_of(self.env.docname)))]


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_directive("concept-map", ConceptMap)
    app.add_directive("part-time", PartTime)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
