"""Keep out of the API pages what says nothing to their reader.

Signatures have short forms of long types and defaults, and show what a network is made with. Fields of named tuples, of
which Python says nothing but their number, are left out, as are values that can't be read at a glance; short tables of
words become lists. What is said of a constant stays a sentence.
"""

import inspect
import re

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import stringify_annotation

from ecgcourse.images.signals import SignalRecipe
from ecgcourse.models.network import Network
from ecgcourse.recipe import ImageRecipe, Task
from ecgcourse.records.ptbxl_names import LEADS

SPELLED_OUT = {
    stringify_annotation(ArrayLike, mode): "ArrayLike" for mode in ("smart", "fully-qualified-except-typing")
}
SPELLED_OUT |= {repr(kind()): f"{kind.__name__}()" for kind in (ImageRecipe, SignalRecipe, Task)}
SPELLED_OUT[repr(LEADS)] = "LEADS"
PATTERNS = {
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[(~?[\w.]+)\]\]": r"NDArray[\1]",
    r"NDArray\[[\w.~]*_ScalarT\]": "NDArray",
    r"\b(np|pd|nn)\.": "",
    r"dataclasses\.InitVar\[([^][]*)\]": r"\1",
    # What isn't Python, so that Sphinx would show all types with tildes; and an array of many numbers.
    r"<(factory|function [^ ]+)( at 0x\w+)?>": "...",
    r"array\(\[[^\]]{60,}\]\)": "...",
}
LONGEST_TABLE, LONGEST_VALUE = 100, 200
MOST_WORDS = 12


def shorten(text: str | None) -> str | None:
    """Replace what is long by its short form."""
    if text is None:
        return None
    for long, short in SPELLED_OUT.items():
        text = text.replace(long, short)
    for pattern, short in PATTERNS.items():
        text = re.sub(pattern, short, text)
    return text


def shorten_signature(app, what, name, found, options, signature, returned) -> tuple[str | None, str | None]:
    """Do so in what autodoc has made of a function or class.

    A network notes its arguments, whichever they are: show those that it takes. What a class of another library is made
    with is not ours to say.
    """
    if what == "class" and issubclass(found, Network) and found is not Network:
        made_with = inspect.signature(found.__init__)
        made_with = made_with.replace(parameters=list(made_with.parameters.values())[1:])
        signature = stringify_signature(made_with, show_return_annotation=False, unqualified_typehints=True)
    elif what == "class" and not belongs_here(found.__init__):
        signature = ""
    return shorten(signature), shorten(returned)


def belongs_here(found: object) -> bool:
    """Whether something is not of another library."""
    return getattr(found, "__module__", "ecgcourse").startswith("ecgcourse")


def skip_number_or_alias(app, what, name, found, skipped, options) -> bool | None:
    """Leave out the fields of named tuples, which stand in the signature, and other libraries' classes."""
    number = (inspect.getdoc(found) or "").startswith("Alias for field number")
    return True if number or (inspect.isclass(found) and not belongs_here(found)) else None


def list_words(app, what, name, found, options, lines: list[str]) -> None:
    """Add the words of a short table of texts, one below the other."""
    if what == "data" and isinstance(found, dict) and len(repr(found)) > LONGEST_TABLE and len(found) <= MOST_WORDS:
        if all(isinstance(text, str) for pair in found.items() for text in pair):
            lines += ["", *(f"- ``{key}``: {text}" for key, text in found.items()), ""]


def keep_sentence(app, what, name, found, options, lines: list[str]) -> None:
    """Put an empty comment first: Napoleon takes what comes before a colon in the first line for the value's type."""
    if what in ("data", "attribute", "property") and lines and ":" in lines[0]:
        lines[:0] = ["..", ""]


def shorten_values(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Shorten types of properties; take values off constants that are long, have many digits, or are functions."""
    for note in list(content.parent.findall(addnodes.desc_annotation)):
        text = note.astext()
        if kind == "property" and shorten(text) != text:
            note[:] = [nodes.Text(shorten(text))]
        elif kind in ("data", "attribute") and text.lstrip().startswith("="):
            longest = LONGEST_TABLE if "{" in text else LONGEST_VALUE
            if len(text) > longest or re.search(r"<function|\.\d{6}", text):
                note.parent.remove(note)


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", skip_number_or_alias)
    app.connect("autodoc-process-docstring", list_words)
    # Before Napoleon, which is connected with 500.
    app.connect("autodoc-process-docstring", keep_sentence, priority=400)
    app.connect("object-description-transform", shorten_values)
    return {"version": "4", "parallel_read_safe": True, "parallel_write_safe": True}
