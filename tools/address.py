"""Change the repository's address everywhere it stands: book settings, notebooks, README, package metadata.

    python tools/address.py https://github.com/OWNER/REPOSITORY

The address of now is read from ``_config.yml``.
"""

import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".cff", ".ipynb", ".md", ".toml", ".yml"}
SKIPPED = {"_build", "build", "dist", "node_modules", "runs"}
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+?)(?:\.git)?/?")


def slug(address: str) -> str:
    """Return OWNER/REPOSITORY of a GitHub address; raise ValueError when it is not one."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"Not an address of the form https://github.com/OWNER/REPOSITORY: {address!r}")
    return match[1]


def files(root: Path) -> list[Path]:
    """List the project's text files in which the address may stand, links to them left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        found += [Path(folder, name) for name in sorted(names) if Path(name).suffix in SUFFIXES]
    return [path for path in found if not path.is_symlink()]


def replace(text: str, old: str, new: str) -> str:
    """Replace the OWNER/REPOSITORY `old` in links to GitHub and to Colab."""
    return re.sub(rf"(github(?:\.com)?/){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)


def change(root: Path, address: str) -> list[Path]:
    """Put `address` in the place of the one that ``_config.yml`` names; return the files that changed."""
    new = slug(address)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    old = slug(config["repository"]["url"])
    changed = []
    for path in files(root):
        before = path.read_bytes().decode("utf-8")
        after = replace(before, old, new)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> str | None:
    values = sys.argv[1:] if arguments is None else arguments
    if len(values) != 1:
        return __doc__
    try:
        changed = change(ROOT, values[0])
    except ValueError as error:
        return str(error)
    for path in changed:
        print(path.relative_to(ROOT))
    return None


if __name__ == "__main__":
    sys.exit(main())
