"""Change the repository's address everywhere it stands: book settings, notebooks, README, package metadata.

    python tools/address.py https://github.com/OWNER/REPOSITORY [BRANCH]
    python tools/address.py --check

The address of now is read from ``_config.yml``. With BRANCH, Colab opens the notebooks of that branch. The check fails
as long as somewhere the placeholder stands that this repository has instead of an owner.
"""

import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".cff", ".ipynb", ".md", ".toml", ".yml"}
SKIPPED = {"_build", "build", "dist", "node_modules", "runs"}
# No account can have this name: none begins with a hyphen.
PLACEHOLDER = "-owner-"
# The names of accounts that a company manages have an underscore.
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9_-]+/[A-Za-z0-9._-]+?)(?:\.git)?/?")


def slug(address: str) -> str:
    """Return OWNER/REPOSITORY of a GitHub address; raise ValueError when it is not one."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"Not an address of the form https://github.com/OWNER/REPOSITORY: {address!r}")
    return match[1]


def walk(root: Path, skipped: set[str]) -> list[Path]:
    """List the project's files in order, links and hidden folders left out, and folders with a name in `skipped`."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in skipped)
        found += [Path(folder, name) for name in sorted(names)]
    return [path for path in found if not path.is_symlink()]


def files(root: Path) -> list[Path]:
    """List the project's text files in which the address may stand, links to them left out."""
    return [path for path in walk(root, SKIPPED) if path.suffix in SUFFIXES]


def left(root: Path) -> list[Path]:
    """List the files of every kind in which the placeholder is left.

    Not asked: tests, which nobody is given an address by, and ``*.egg-info``, which pip writes.
    """
    found = walk(root, SKIPPED | {"tests"} | {path.name for path in root.glob("*.egg-info")})
    return [path for path in found if f"/{PLACEHOLDER}/".encode() in path.read_bytes()]


def replace(text: str, old: str, new: str) -> str:
    """Replace the OWNER/REPOSITORY `old` in links to GitHub, to Colab and to Binder."""
    return re.sub(rf"((?:github(?:\.com)?|/gh)/){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)


def replace_branch(text: str, repository: str, old: str, new: str) -> str:
    """Replace the branch `old` in links to files of `repository`, and in the book's settings."""
    text = re.sub(rf"(github(?:\.com)?/{re.escape(repository)}/(?:blob|tree)/){re.escape(old)}/", rf"\g<1>{new}/", text)
    return re.sub(rf"^(  branch: ){re.escape(old)}$", rf"\g<1>{new}", text, flags=re.MULTILINE)


def change(root: Path, address: str, branch: str | None = None) -> list[Path]:
    """Put `address` in the place of the one that ``_config.yml`` names; return the files that changed.

    With `branch`, links to files lead to that branch instead of the one that ``_config.yml`` names.
    """
    new = slug(address)
    if branch is not None and not re.fullmatch(r"\w[\w./-]*", branch):
        raise ValueError(f"Not the name of a branch: {branch!r}")
    settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    old = slug(settings["url"])
    changed = []
    for path in files(root):
        before = path.read_bytes().decode("utf-8")
        after = replace(before, old, new)
        if branch is not None:
            after = replace_branch(after, new, settings["branch"], branch)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def check(root: Path) -> str | None:
    """Say where the placeholder is left, and what to do; None where it is nowhere."""
    names = [str(path.relative_to(root)) for path in left(root)]
    if not names:
        return None
    return (
        f"The placeholder {PLACEHOLDER} stands where this repository's owner should: {', '.join(names)}.\n"
        "Put the address in its place and commit: make address URL=https://github.com/OWNER/REPOSITORY"
    )


def main(arguments: list[str] | None = None) -> str | None:
    values = sys.argv[1:] if arguments is None else arguments
    if values == ["--check"]:
        return check(ROOT)
    if len(values) not in (1, 2):
        return __doc__
    try:
        changed = change(ROOT, *values)
    except ValueError as error:
        return str(error)
    for path in changed:
        print(path.relative_to(ROOT))
    return None


if __name__ == "__main__":
    sys.exit(main())
