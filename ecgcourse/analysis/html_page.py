"""The frame of the pages of HTML: tables, pictures, sections, in one self-contained file.

Figures are drawn into the page, the colours follow the reader's light or dark theme, and the page can be printed.
"""

import base64
import html
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import Dataset

from ecgcourse import __version__
from ecgcourse.analysis import explain, plots
from ecgcourse.learning.samples import Signals
from ecgcourse.recipe import Recipe
from ecgcourse.support.files import atomic_write

TEMPLATE = Path(__file__).with_name("html_page.html")
NOT_DRAWN = "–"
"""What stands in a cell that has no value."""


@dataclass(frozen=True)
class Table:
    """A table: its heads, and rows of a name and of cells, each a value and what stands small below it."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence]
    words: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure, as lines in the colours of the theme or as pixels, and what a reader who can't see it is told."""

    caption: str
    alt: str
    svg: str = ""
    png: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what is below it: tables, pictures, and dicts of `words`, of a `heading` or of `points`."""

    id: str
    title: str
    parts: list = field(default_factory=list)


def render(title: str, sections: Sequence[Section], warnings: Sequence[tuple[str, str]] = ()) -> str:
    """Make a page; each of the warnings at its top is a few bold words and a sentence."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(title=title, sections=sections, warnings=warnings, version=__version__)


def write(path: str | os.PathLike, page: str) -> None:
    """Write a page, whole or not at all."""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


# --- tables and figures that several pages have


def facts_table(caption: str, facts: Mapping[str, object]) -> Table:
    """What is told in words, a line each."""
    return Table(caption, ("what", "value"), [(name, (str(value), "")) for name, value in facts.items()], words=True)


def fed(recipe: Recipe) -> Table:
    """What a network is fed."""
    settings = recipe.to_dict()
    facts = {"sampling rate": f"{settings['sampling_rate']:g} Hz"}
    for kind in ("images", "signals"):
        for name, value in (settings[kind] or {}).items():
            shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else value
            facts[f"{kind}: {name.replace('_', ' ')}"] = shown
    return facts_table("What the network is fed", facts)


def explained(model: nn.Module, dataset: Dataset, place: int, name: str) -> tuple[Figure, np.ndarray]:
    """What in one record speaks for a class: the leads that the network sees, coloured, and the attribution, (L, T)."""
    found = explain.over_time(model, dataset, [place], name)[0]
    part = next(iter(getattr(dataset, "parts", (dataset,))))
    signal = np.asarray(part.signals[place].cpu(), dtype=np.float64)
    rate = model.recipe.sampling_rate
    units = "scaled" if isinstance(part, Signals) else "0 to 1"
    return plots.attribution(signal, found, rate, part.recipe.leads, units), found


def as_lines(figure: Figure, name: str, caption: str, alt: str) -> Picture:
    """A figure as SVG whose black is the page's ink, and whose ids are its own."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", drawn)
    # Lines and letters that Matplotlib draws without naming a colour are black, too.
    drawn = drawn.replace("#000000", "currentColor").replace("<text ", '<text fill="currentColor" ')
    label = f'<svg role="img" aria-label="{html.escape(alt)}" '
    return Picture(caption, alt, svg=drawn.replace("<svg ", label, 1))


def as_pixels(figure: Figure, caption: str, alt: str, dpi: float) -> Picture:
    """A figure as PNG, on white in either theme."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return Picture(caption, alt, png=base64.b64encode(file.getvalue()).decode("ascii"))
