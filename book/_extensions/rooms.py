"""Let code links find what chapters take by short names: ``ecgcourse.ptbxl`` is ``ecgcourse.records.ptbxl``."""

from sphinx.application import Sphinx

import ecgcourse


class Rooms(dict):
    """Where a name of the package is described, for sphinx-codeautolink; other names stay as they are."""

    def get(self, name: str, default: str | None = None) -> str | None:
        """Map ``ecgcourse.ptbxl.LEADS`` to ``ecgcourse.records.ptbxl.LEADS``."""
        package, _, rest = name.partition(".")
        module, dot, inside = rest.partition(".")
        if package != "ecgcourse" or module not in ecgcourse._SUBMODULES:
            return default
        return f"ecgcourse.{ecgcourse._SUBMODULES[module]}{dot}{inside}"


def set_map(app: Sphinx) -> None:
    """Hand the map over before codeautolink reads it."""
    app.config.codeautolink_inventory_map = Rooms()


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    # Late, since Sphinx compares the types of settings, for which a kind of dict is no dict; but before codeautolink.
    app.connect("builder-inited", set_map, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
