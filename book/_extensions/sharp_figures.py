"""Draw the figures of this book at twice the pixels, on pages where they keep their size.

The kernels of the build read settings of their own, not the user's. Notebooks that somebody runs and commits keep
figures of single resolution, which take a third of the room.
"""

import os
from pathlib import Path

from sphinx.application import Sphinx

# Pictures of noise take less time at this level of compression than at the usual one, and less room.
SETTINGS = """\
c.InlineBackend.figure_formats = {"retina"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "pil_kwargs": {"compress_level": 3}}
"""


def set_up_kernels(app: Sphinx) -> None:
    """Write the settings beside the built pages, and name their folder to every kernel that starts from now on."""
    folder = Path(app.doctreedir).resolve().parent / ".ipython"
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(SETTINGS, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder)


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("builder-inited", set_up_kernels)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
