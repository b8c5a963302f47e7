"""Let portable Markdown link to a single word of the glossary: ``[QRS complex](glossary.md#qrs-complex)``.

Sphinx gives each word of a glossary an anchor, but MyST only knows the anchors of headings. This adds the words',
in the form that headings have, without what stands in brackets: "recurrence plot (RP)" is ``recurrence-plot``.
"""

import re

from docutils import nodes
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx.application import Sphinx


def slug(word: str) -> str:
    """Return the anchor of a word."""
    return default_slugify(re.sub(r"\s*\(.*?\)", "", word))


def add_slugs(app: Sphinx, document: nodes.document) -> None:
    """Put the words of a page's glossaries beside the anchors of its headings."""
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for word in document.findall(nodes.term):
        for anchor in word["ids"]:
            slugs.setdefault(slug(word.astext()), (word.line, anchor, word.astext()))


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("doctree-read", add_slugs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
