"""The directive ``pixel-explorer``: what the page Play begins with, for two records, on a page that runs no code."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ecgcourse import interactive, practice, ptbxl, signals

CODES = {"NORM": "NORM", "STTC": "ISC_"}
GALLERY = {"NORM": 14, "STTC": 160}


class PixelExplorer(SphinxDirective):
    """A normal record and one with ischaemia, those of the gallery."""

    def run(self) -> list[nodes.Node]:
        root = practice.data_root()
        synthetic, table = practice.is_practice(root), ptbxl.read_table(root)
        chosen = GALLERY if synthetic else {name: ptbxl.clearest_example(table, code) for name, code in CODES.items()}
        x = signals.preprocess(ptbxl.read_signals(root, table.loc[list(chosen.values())]))
        names = [f"{name}, record {ecg_id}" for name, ecg_id in chosen.items()]
        page = interactive.pixel_explorer(x, records=names, synthetic=synthetic)
        return [nodes.raw("", page._repr_html_(), format="html")]


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_directive("pixel-explorer", PixelExplorer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
