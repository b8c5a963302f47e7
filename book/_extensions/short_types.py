"""Keep out of the API pages what says nothing to their reader.

Signatures have ``ArrayLike`` for the long union of NumPy's own types that it names, fields of named tuples lose the
docstring that Python gives them, which holds nothing but their number, and what is said of a constant stays a sentence.
"""

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

SPELLED_OUT = {stringify_annotation(ArrayLike, mode) for mode in ("smart", "fully-qualified-except-typing")}


def shorten(text: str | None) -> str | None:
    """Replace the union by its name."""
    for long in SPELLED_OUT:
        text = text and text.replace(long, "ArrayLike")
    return text


def shorten_signature(app, what, name, found, options, signature, returned) -> tuple[str | None, str | None]:
    """Do so in what autodoc has made of a function."""
    return shorten(signature), shorten(returned)


def drop_field_number(app, what, name, found, options, lines: list[str]) -> None:
    """Clear the docstring that Python gives each field."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def keep_sentence(app, what, name, found, options, lines: list[str]) -> None:
    """Put an empty comment first: Napoleon takes what comes before a colon in the first line for the value's type."""
    if what in ("data", "attribute", "property") and lines and ":" in lines[0]:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", drop_field_number)
    # Before Napoleon, which is connected with 500.
    app.connect("autodoc-process-docstring", keep_sentence, priority=400)
    return {"version": "3", "parallel_read_safe": True, "parallel_write_safe": True}
