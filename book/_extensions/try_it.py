"""The directives ``try-it`` and ``guess-the-class``: pages with the shipped network, made while the book is built.

So the weights are kept once, with the package, and not in the book's sources too; and no probability is typed in.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ecgcourse import guess, try_it


class TryIt(SphinxDirective):
    """A frame that holds all that it needs."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", try_it.page()._repr_html_(), format="html")]


class Guess(SphinxDirective):
    """A frame with the deck of :mod:`ecgcourse.course.guess`."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", guess.page()._repr_html_(), format="html")]


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_directive("try-it", TryIt)
    app.add_directive("guess-the-class", Guess)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
