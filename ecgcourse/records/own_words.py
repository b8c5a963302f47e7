"""What ECG files call things: names of leads and units as people and recorders write them, and what comments say."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ecgcourse.errors import brief
from ecgcourse.records.ptbxl_names import ALL_LEADS

UNITS = {"mV": 1.0, "uV": 1e3, "V": 1e-3, "nV": 1e6}
"""The units that voltages may come in: how many of each make a millivolt."""

_WORDS = {"millivolt": "mv", "microvolt": "uv", "nanovolt": "nv", "volt": "v"}
_VOLT = r"(?:[munµμ]?v|(?:milli|micro|nano)?volts?)"
_LEAD = re.compile(
    r"(?:(?:mdc_ecg_lead|ecg|ekg|lead|channel|ch)[\s_:.-]*)*"
    r"(?P<lead>d?i{1,3}|av[rlf]|v[1-6]|mlii|ml2)(?:\s*\(einthoven\))?"
    rf"(?:[\s_/:]*[\[(]\s*(?P<inside>[^\])]*?)\s*[\])]|[\s_/:]+(?P<after>{_VOLT}))?",
    re.IGNORECASE,
)
_FIELDS = {"age": "age", "sex": "sex", "gender": "sex", "dx": "dx"}
SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}


class Raw(NamedTuple):
    """What a file holds, as it names it; where it names no unit or rate, there is None."""

    signals: Sequence[np.ndarray]
    names: Sequence[str]
    units: Sequence[str | None]
    rate: float | None
    about: dict[str, Any]


def lead_of(name: object) -> tuple[str | None, str | None]:
    """Our name of a lead, and the unit that stands with it; None and None for what is no lead."""
    match = _LEAD.fullmatch(str(name).strip().strip("'\"").strip()[:80])
    if match is None:
        return None, None
    plain = match["lead"].lower()
    plain = {"ml2": "mlii"}.get(plain, plain.removeprefix("d"))
    lead = next(lead for lead in ALL_LEADS if lead.lower() == plain)
    return lead, match["inside"] or match["after"]


def unit_of(text: str) -> str | None:
    """Our name of a unit; None for what is none of :data:`UNITS`."""
    plain = str(text).strip().lower().replace("µ", "u").replace("μ", "u").removesuffix("s")
    plain = _WORDS.get(plain, plain)
    return next((unit for unit in UNITS if unit.lower() == plain), None)


def about_of(form: str, comments: Iterable[str]) -> dict[str, Any]:
    """What comments such as ``Age: 56`` say."""
    about: dict[str, Any] = {"format": form}
    comments = tuple(filter(None, (brief(comment.strip().lstrip("#").strip(), 1000) for comment in comments)))
    for comment in comments:
        key, _, value = (part.strip() for part in comment.partition(":"))
        key = _FIELDS.get(key.lower())
        if key == "age" and re.fullmatch(r"\d{1,3}(?:\.\d*)?", value):
            about["age"] = float(value)
        elif key == "sex" and value:
            about["sex"] = SEXES.get(value.lower(), value)
        elif key == "dx" and value:
            about["dx"] = tuple(code.strip() for code in value.split(","))
    return about | ({"comments": comments} if comments else {})


def text_of(content: bytes) -> str:
    """The text in a file's bytes; empty if they are none."""
    for code in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "latin-1"):
        try:
            return content.decode(code)
        except UnicodeDecodeError:
            continue
    return ""
