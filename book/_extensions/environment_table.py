"""The directive ``environment-table``: versions and hardware of the machine that builds the book, at that moment.

No path and no name of the machine is among them.
"""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ecgcourse import practice

PACKAGES = ("ecgcourse", "torch", "numpy", "scipy", "numba", "pandas", "scikit-learn", "wfdb", "jupyter-book")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result may depend on."""
    found = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    # Only PyTorch itself tells its build, such as 2.13.0+cu130.
    return found | {"torch": torch.__version__}


def processor() -> str:
    """Return the processor's name; where the system doesn't tell, its kind."""
    told = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", told.read_text(), flags=re.MULTILINE) if told.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return how many processor cores the build may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> str:
    """Return the size of the main memory."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return "not told"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def hardware() -> dict[str, str]:
    """Return what the run times depend on, and which data they were measured with."""
    named = os.environ.get("ECGCOURSE_DATA")
    return {
        "built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": str(cores()),
        "memory": memory(),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "data": "PTB-XL" if named and not practice.is_practice(named) else "the practice set",
    }


class EnvironmentTable(SphinxDirective):
    """Two columns: what, and its version or kind."""

    def run(self) -> list[nodes.Node]:
        group = nodes.tgroup("", cols=2)
        group += [nodes.colspec(colwidth=width) for width in (1, 3)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row("what", "at this build")
        body += [_row(*pair) for pair in {**hardware(), **versions()}.items()]
        group += [head, body]
        return [nodes.table("", group)]


def _row(*texts: str) -> nodes.row:
    entries = (nodes.entry("", nodes.paragraph(text=text)) for text in texts)
    return nodes.row("", *entries)


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_directive("environment-table", EnvironmentTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
