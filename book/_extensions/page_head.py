"""Take out of each page's head what makes a browser complain.

Jupyter Book loads sphinx-thebe whether it is used or not, and its settings come twice: the second declaration of the
same constants is an error on every page. The theme starts without a mode and complains that it has none.
"""

from sphinx.application import Sphinx


def _is_of_thebe(script: object) -> bool:
    attributes = getattr(script, "attributes", {})
    return "thebe" in f"{getattr(script, 'filename', '')} {attributes.get('body', '')}".lower()


def mend(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Leave thebe's scripts out of a page, and let the theme follow the reader's system."""
    context["script_files"] = [script for script in context.get("script_files", []) if not _is_of_thebe(script)]
    context["default_mode"] = "auto"


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx, behind those who add scripts."""
    app.connect("html-page-context", mend, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
