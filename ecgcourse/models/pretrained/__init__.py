"""Networks that are shipped with the package: their weights, and a card for each that says what is known of it.

``python experiments/ship.py`` made them, from records of PTB-XL (Wagner et al. 2022, doi:10.13026/kfzx-aw45, Creative
Commons Attribution 4.0).
"""

from pathlib import Path

from ecgcourse.errors import check_name

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The shipped networks."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.pt")))


def path_of(name: str) -> Path:
    """The checkpoint of a shipped network.

    Raises
    ------
    SettingError
        If none is called so.
    """
    check_name(name, names(), "no shipped network is")
    return FOLDER / f"{name}.pt"


def card(name: str) -> str:
    """What a network learned from, how good it is and what it can't do, in Markdown.

    Raises
    ------
    SettingError
        If none is called so.
    """
    return path_of(name).with_suffix(".md").read_text(encoding="utf-8")
