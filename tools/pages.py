"""Check that a built book has a page for every entry of its table of contents, and print where it starts.

python tools/pages.py book/_build/html
"""

import sys
from pathlib import Path

import yaml

TOC = Path(__file__).resolve().parents[1] / "_toc.yml"


def entries(toc: dict) -> list[str]:
    """List the files that a table of contents names, in reading order, its root first."""
    return [toc["root"], *(file for part in toc["parts"] for file in _files(part["chapters"]))]


def _files(chapters: list[dict]) -> list[str]:
    return [file for chapter in chapters for file in (chapter["file"], *_files(chapter.get("sections", [])))]


def missing(html: Path, files: list[str]) -> list[str]:
    """List the entries without a page in the folder `html`."""
    return [file for file in files if not (html / f"{file}.html").is_file()]


def main(arguments: list[str] | None = None) -> str | None:
    """Print the path of ``index.html``; return a message when a page is missing."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    html = Path(folder).resolve()
    absent = missing(html, entries(yaml.safe_load(TOC.read_text(encoding="utf-8"))))
    if absent:
        return f"The book in {html} lacks a page for: {', '.join(absent)}."
    print(html / "index.html")
    return None


if __name__ == "__main__":
    sys.exit(main())
