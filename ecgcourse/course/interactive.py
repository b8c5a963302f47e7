"""Pages to play with: a notebook shows them in a frame, a browser opens them as a file.

Each page is one piece of HTML that holds its numbers, its style and its script, and contacts no server.
The frame keeps it apart from the page around it, so several stand side by side, in the built book, in JupyterLab
and in Colab. Introduced on the page Play of the book, the filter explorer in chapter 3.
"""

import base64
import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from ecgcourse.errors import DataError, SettingError
from ecgcourse.images import fields
from ecgcourse.images.signals import IMAGE_LEADS
from ecgcourse.records import dipole
from ecgcourse.records.ptbxl import LEADS
from ecgcourse.support.files import atomic_write

MAX_BYTES = 1_500_000
"""Largest page in bytes: more would make the notebook around it slow to open."""

QRS_WAVES = ("Q", "R", "S")
"""Waves of a beat that the QRS complex consists of, in the order of time."""

FIRST_PEAK = 0.4
"""Time in s of an R peak of the beat morph; the others follow from the heart rate."""

BEAT = (-0.25, 0.45)
"""Start and end of the turning dipole's beat, in s after the R wave's peak."""

_BEAT_RATE = 500  # Hz

# The browser itself refuses whatever a page would ask for or send.
_NOTHING_FROM_ELSEWHERE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; form-action 'none'"
)
_SHORTEST = 100  # samples; the longest trajectory spans 81
_LARGEST_SIDE = 512  # pixels; a browser computes every image anew when something is chosen
# Lower corners in Hz that have a button, with what is said of them (Kligfield et al. 2007).
_CORNERS = {0.05: ": routine", 0.5: "", 0.67: ": zero-phase limit", 1: ": this course", 2: ""}
_STEPS = (28, 4, 5, 8)  # of the slider from one of them to the next, each by about 8 %
_HIGH = 45  # Hz, the course's upper corner
_ST_POINTS = (-0.06, 0.12)  # s from R, before the beat and after it, as in chapter 3
_ST_DEPRESSION = -0.05  # mV that count (Thygesen et al. 2018)
_SHORTEST_RECORD = 3  # s, as many as are shown


@dataclass(frozen=True)
class Page:
    """A page of HTML that needs nothing but itself.

    Parameters
    ----------
    title : str
    source : str
        The HTML of the page.
    height : int
        Height in CSS pixels that the frame has before the page has measured itself.
    """

    title: str
    source: str = field(repr=False)
    height: int = field(default=700, repr=False)

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{html.escape(self.title)}" srcdoc="{html.escape(self.source)}" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )

    def write(self, path: str | os.PathLike) -> Path:
        """Write the page to a file that any browser opens. DataError where that isn't possible."""
        with atomic_write(path) as place:
            place.write_text(self.source, encoding="utf-8", newline="\n")
        return Path(path)


def pixel_explorer(
    x: np.ndarray,
    fs: float = 100,
    *,
    records: Sequence[str] | None = None,
    leads: Sequence[str] = IMAGE_LEADS,
    synthetic: bool = False,
    size: int = 256,
    bins: int = 10,
    mtf_white: float = fields.MTF_WHITE,
) -> Page:
    """Make a page that shows, for each pixel of an image, the two moments of the ECG that made it.

    Point at a pixel, and both moments are marked on the lead, with times, samples and the arithmetic from the
    samples to the grey level; point at the lead, and the row and the column of that moment light up. The browser
    computes the images from the samples as :func:`ecgcourse.images.fields.images` does.

    Parameters
    ----------
    x : (N, L, T) array
        Signals in [0, 1], as :func:`ecgcourse.images.signals.preprocess` returns them. They are kept as float32.
    fs : float
        Sampling rate in Hz.
    records : N strings, optional
        What the records are called; without it they are numbered from 1.
    leads : L strings
    synthetic : bool
        Say on the page that the records come from no patient.
    size : int
        Side S of an image in pixels, 16 to 512.
    bins, mtf_white
        As for :func:`ecgcourse.images.render.render`.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        Another shape, samples outside [0, 1], or names that aren't as many as records or leads.
    SettingError
        A `size`, `bins`, `mtf_white` or `fs` that isn't allowed, or so many records that the page would be larger
        than :data:`MAX_BYTES`.
    """
    x = _signals(x)
    records, leads = _names(records, len(x), "record"), _names(leads, x.shape[1], "lead")
    _check_settings(size, bins, mtf_white, fs)
    numbers = {
        "length": x.shape[2],
        "size": size,
        "fs": fs,
        "bins": bins,
        "mtfWhite": mtf_white,
        "records": records,
        "leads": leads,
        "samples": [[_base64(lead) for lead in record] for record in x],
        "synthetic": synthetic,
    }
    return make_page("Pixel explorer", "explorer", numbers, 820)


def beat_morph(lead: str = "II", fs: float = 100, seconds: float = 3, *, size: int = 256, bins: int = 10) -> Page:
    """Make a page with a synthetic lead whose heart rate, ST level, QRS width and T wave have sliders.

    The lead and its three images change at once. Its beats are those of :func:`ecgcourse.records.dipole.normal_beat` as
    one lead sees them: each wave is a bell in time. Rhythm is regular, and there is no noise and no filter.

    Parameters
    ----------
    lead : {"I", "II", "V1" … "V6"}
        The lead; those that others are formed from.
    fs : float
        Sampling rate in Hz.
    seconds : float
        Length of the lead in s, 1 to 10.
    size : int
        Side S of an image in pixels, 16 to 512.
    bins : int
        Bins of the Markov transition field.

    Returns
    -------
    Page

    Raises
    ------
    SettingError
        A lead or a number that isn't allowed.
    """
    if lead not in dipole.PROJECTED_LEADS:
        raise SettingError(f"beat_morph: lead={lead!r}, but it must be one of {', '.join(dipole.PROJECTED_LEADS)}")
    if not 1 <= seconds <= 10:
        raise SettingError(f"beat_morph: seconds={seconds}, but 1 to 10 are allowed")
    _check_settings(size, bins, fields.MTF_WHITE, fs)
    bells = _bells(lead)
    numbers = {
        "fs": fs,
        "length": round(seconds * fs),
        "size": size,
        "bins": bins,
        "mtfWhite": fields.MTF_WHITE,
        "firstPeak": FIRST_PEAK,
        "lateAfter": dipole.LATE_AFTER,
        "reach": dipole.REACH,
        "bells": bells,
        "qrs": {"waves": QRS_WAVES, "duration": _qrs_duration(bells)},
        "sliders": _sliders(bells),
    }
    return make_page("Beat morph", "morph", numbers, 620)


def field_sliders(signal: np.ndarray, fs: float = 100, *, name: str = "The lead", synthetic: bool = False) -> Page:
    """Make a page with sliders for what two fields of a lead depend on.

    The Markov transition field has one for the number of bins, the recurrence plot three: the threshold below which two
    moments recur, and the embedding dimension and the delay of the trajectories that are compared. The browser computes
    both from the samples, one pixel for each pair, as :mod:`ecgcourse.images.fields` and pyts do.

    Parameters
    ----------
    signal : (T,) array
        A lead as recorded, in mV; 100 to 512 samples. The page scales it to [0, 1]. They are kept as float32.
    fs : float
        Sampling rate in Hz.
    name : str
        What the lead is called on the page.
    synthetic : bool
        Say on the page that the lead comes from no patient.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        Another shape, or samples that aren't finite.
    SettingError
        An `fs` that isn't allowed.

    References
    ----------
    Marwan, N. et al. (2007). Recurrence plots for the analysis of complex systems. Physics Reports 438(5–6), 237–329.
    doi:10.1016/j.physrep.2006.11.001 (embedding dimension, delay and threshold).
    """
    signal = np.asarray(signal)
    if signal.ndim != 1 or not _SHORTEST <= len(signal) <= _LARGEST_SIDE or signal.dtype.kind != "f":
        raise DataError(
            f"field_sliders: signal is {signal.dtype} of shape {signal.shape}, but {_SHORTEST} to {_LARGEST_SIDE} "
            "samples of one lead (T,) are needed, as floats"
        )
    if not np.isfinite(signal).all():
        raise DataError("field_sliders: signal holds samples that are not finite; choose a stretch without gaps")
    _check_rate(fs)
    numbers = {"fs": fs, "name": name, "samples": _base64(signal), "synthetic": synthetic}
    return make_page("Field sliders", "field_sliders", numbers, 1100)


def filter_explorer(
    x: np.ndarray,
    peaks: Sequence[Sequence[int]],
    fs: float = 100,
    *,
    names: Sequence[str] | None = None,
    synthetic: bool = False,
) -> Page:
    """Make a page on which the band-pass filter's lower corner is moved, and the ST level follows.

    A lead on millimetre paper, as recorded and after the filter; the filter's gain; and the ST level of both in mm (0.1
    mV), the median over the record's beats of the sample 120 ms after R less the one 60 ms before it. The lower corner
    runs from 0.05 to 2 Hz, the upper one is 45 Hz, and the filter is causal or zero-phase. The browser computes it as
    :func:`ecgcourse.images.signals.bandpass` does, from the whole record, of which three seconds are shown.

    Parameters
    ----------
    x : (N, T) array
        One lead of each of N records in mV, as recorded. They are kept as float32.
    peaks : N sequences of int
        Samples of the R peaks of each.
    fs : float
        Sampling rate in Hz, above 90.
    names : N strings, optional
        What the leads are called; without it they are numbered from 1.
    synthetic : bool
        Say on the page that the records come from no patient.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        Another shape, less than 3 s, samples that aren't finite, names or peaks that aren't as many as leads, or a
        lead's R peaks that are none or are too near to an end to be measured.
    SettingError
        An `fs` that isn't allowed, or so many records that the page would be larger than :data:`MAX_BYTES`.

    References
    ----------
    Kligfield, P. et al. (2007). Recommendations for the standardization and interpretation of the electrocardiogram,
    part I. Circulation 115(10), 1306–1324. doi:10.1161/CIRCULATIONAHA.106.180200 (lower corners).

    Thygesen, K. et al. (2018). Fourth universal definition of myocardial infarction (2018). Circulation 138(20),
    e618–e651. doi:10.1161/CIR.0000000000000617 (ST depression that counts).
    """
    if not 2 * _HIGH < fs < float("inf"):
        raise SettingError(f"fs={fs}, but the filter's upper corner of {_HIGH} Hz needs more than {2 * _HIGH} Hz")
    x = np.asarray(x)
    if x.ndim != 2 or 0 in x.shape or x.shape[1] < _SHORTEST_RECORD * fs or x.dtype.kind != "f":
        raise DataError(
            f"filter_explorer: x is {x.dtype} of shape {x.shape}, but floats (N, T) of at least {_SHORTEST_RECORD} s "
            "are needed, one lead of each record"
        )
    if not np.isfinite(x).all():
        raise DataError("filter_explorer: x holds samples that are not finite; choose records without gaps")
    names = _names(names, len(x), "lead", "filter_explorer")
    if len(peaks) != len(x):
        raise DataError(f"filter_explorer: R peaks of {len(peaks)} leads for {len(x)}; give a list for each")
    rows = zip(names, x, peaks, strict=True)
    numbers = {
        "fs": fs,
        "high": _HIGH,
        "corners": _lower_corners(),
        "marks": list(_CORNERS.items()),
        "stPoints": _ST_POINTS,
        "depression": _ST_DEPRESSION,
        "records": [{"name": name, "samples": _base64(lead), "peaks": _measured(p, x, fs)} for name, lead, p in rows],
        "synthetic": synthetic,
    }
    scripts = ("paper.js", "filters.js")
    return make_page("Filter explorer", "filter_explorer", numbers, 900, scripts, styles=("paper.css",))


def turning_dipole() -> Page:
    """Make a page on which the heart vector turns through one beat and draws the six limb leads.

    The beat is :func:`ecgcourse.records.dipole.normal_beat`, in whole microvolts of leads I and aVF. In Einthoven's
    triangle lead I is the vector's part to the left, and aVF √3/2 of its part downwards; I, II and III are projections
    onto 0°, 60° and 120°, aVR, aVL and aVF √3/2 of those onto −150°, −30° and 90°. A slider turns the axis.

    Returns
    -------
    Page

    References
    ----------
    Surawicz, B. et al. (2009). AHA/ACCF/HRS recommendations for the standardization and interpretation of the
    electrocardiogram, part III. Journal of the American College of Cardiology 53(11), 976–981.
    doi:10.1016/j.jacc.2008.12.013 (normal axis −30° to +90°).
    """
    waves = dipole.normal_beat()
    first, end = (round(edge * _BEAT_RATE) for edge in BEAT)
    times = np.arange(first, end) / _BEAT_RATE
    drawn = [(wave, 1.0) for wave in waves.values()]
    vector = dipole.draw(drawn, np.array([wave.centre for wave in waves.values()]), times)
    leads = dipole.twelve_leads(dipole.DOWER @ vector)
    one, avf = leads[LEADS.index("I")], leads[LEADS.index("aVF")]
    parts = [
        _part_of_beat(waves, *names)
        for names in (("P wave", "P", "P"), ("QRS complex", "Q", "S"), ("T wave", "T", "T"))
    ]
    qrs = (times - BEAT[0] >= parts[1]["from"]) & (times - BEAT[0] <= parts[1]["to"])
    axis = np.degrees(np.arctan2(2 / np.sqrt(3) * avf[qrs].mean(), one[qrs].mean()))
    numbers = {"fs": _BEAT_RATE, "one": one.tolist(), "avf": avf.tolist(), "axis": float(axis), "parts": parts}
    return make_page("Turning dipole", "turning_dipole", numbers, 760, ("paper.js",), styles=("paper.css",))


def _lower_corners() -> list[float]:
    """The slider's corners in Hz, in even steps on a logarithmic axis from one corner with a button to the next."""
    marks = list(_CORNERS)
    steps = zip(marks, marks[1:], _STEPS, strict=False)
    parts = [np.geomspace(low, high, count, endpoint=False) for low, high, count in steps]
    return [*np.concatenate(parts).round(3).tolist(), marks[-1]]


def _measured(peaks: Sequence[int], x: np.ndarray, fs: float) -> list[int]:
    """R peaks as a page is given them; DataError where the ST level can't be measured at each."""
    peaks = np.asarray(peaks)
    before, after = (round(shift * fs) for shift in _ST_POINTS)
    right = peaks.ndim == 1 and peaks.dtype.kind in "iu" and len(peaks)
    if not (right and peaks.min() + before >= 0 and peaks.max() + after < x.shape[1]):
        raise DataError(
            f"filter_explorer: R peaks at {peaks.tolist()}, but each lead needs one or more, as whole numbers from "
            f"{-before} to {x.shape[1] - after - 1}"
        )
    return peaks.tolist()


def _part_of_beat(waves: dict[str, dipole.Wave], name: str, first: str, last: str) -> dict[str, str | float]:
    """A part of the beat in s from its start: from two widths before one wave's centre to two after another's."""
    return {
        "name": name,
        "from": waves[first].centre - 2 * waves[first].width - BEAT[0],
        "to": waves[last].centre + 2 * waves[last].width - BEAT[0],
    }


def _bells(lead: str) -> dict[str, dict[str, float]]:
    """The waves of a normal beat as one lead sees them, each a bell: s after R, s, mV, and the bell's power."""
    direction = dipole.DOWER[dipole.PROJECTED_LEADS.index(lead)]
    return {
        name: {
            "centre": wave.centre,
            "width": wave.width,
            "amplitude": float(direction @ wave.vector),
            "power": wave.power,
        }
        for name, wave in dipole.normal_beat().items()
    }


def _qrs_duration(bells: dict[str, dict[str, float]]) -> float:
    """Width of the QRS complex in ms: from two widths before the first bell's centre to two after the last's."""
    first, *_, last = (bells[name] for name in QRS_WAVES)
    return round(1000 * (last["centre"] + 2 * last["width"] - first["centre"] + 2 * first["width"]))


def _sliders(bells: dict[str, dict[str, float]]) -> list[dict]:
    """What can be changed, between which ends, in which unit; `value` is the usual beat's."""
    names = ("name", "label", "unit", "lowest", "highest", "step", "digits", "value")
    rows = (
        ("rate", "Heart rate", "per minute", 40, 130, 1, 0, 70),
        ("st", "ST level", "mV", -0.3, 0.3, 0.01, 2, round(bells["ST"]["amplitude"], 2)),
        ("qrs", "QRS width", "ms", 60, 200, 1, 0, _qrs_duration(bells)),
        ("t", "T wave", "mV", -0.6, 0.8, 0.01, 2, round(bells["T"]["amplitude"], 2)),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def make_page(
    title: str, name: str, numbers: dict, height: int, scripts: Sequence[str] = (), styles: Sequence[str] = ()
) -> Page:
    """Put a page together from its parts in the folder ``web``.

    Parameters
    ----------
    title : str
    name : str
        Of its own parts: ``NAME.html``, ``NAME.css`` and ``NAME.js``.
    numbers : dict
        What Python hands over, ready for `json.dump`.
    height : int
        As for :class:`Page`.
    scripts : sequence of str
        Further scripts that it needs, in their order.
    styles : sequence of str
        Further style sheets.

    Raises
    ------
    SettingError
        The page would be larger than :data:`MAX_BYTES`.
    """
    style = "".join(_part(part) for part in ("page.css", *styles, f"{name}.css"))
    # "<" ends a script wherever it stands; JSON may write it another way.
    data = json.dumps(numbers, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = [_part(part) for part in ("fields.js", "page.js", *scripts, f"{name}.js")]
    source = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_ELSEWHERE}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{_part(f'{name}.html')}"
        f'<script type="application/json" id="data">{data}</script>\n'
        + "".join(f"<script>\n{script}</script>\n" for script in parts)
        + "</body>\n</html>\n"
    )
    if len(source.encode()) > MAX_BYTES:
        raise SettingError(
            f"{title}: the page would have {len(source.encode()):,} bytes, but at most {MAX_BYTES:,} are allowed; "
            "give fewer records or leads"
        )
    return Page(title, source, height)


def _part(name: str) -> str:
    return (package_files("ecgcourse") / "course" / "web" / name).read_text(encoding="utf-8")


def _base64(signal: np.ndarray) -> str:
    return base64.b64encode(signal.astype("<f4").tobytes()).decode("ascii")


def _signals(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 3 or 0 in x.shape or x.dtype.kind != "f":
        raise DataError(f"pixel_explorer: x is {x.dtype} of shape {x.shape}, but floats (N, L, T) are needed")
    # Written so that NaN fails too.
    if not (x.min() >= 0 and x.max() <= 1):
        raise DataError("pixel_explorer: x must lie in [0, 1] and hold no NaN; scale it with signals.preprocess")
    return x


def _names(names: Sequence[str] | None, count: int, what: str, caller: str = "pixel_explorer") -> list[str]:
    names = [f"{what} {number}" for number in range(1, count + 1)] if names is None else list(names)
    if len(names) != count:
        raise DataError(f"{caller}: {len(names)} names of {what}s for {count}; give one for each")
    return names


def _check_settings(size: int, bins: int, mtf_white: float, fs: float) -> None:
    if not 16 <= size <= _LARGEST_SIDE:
        raise SettingError(f"size={size}, but the browser draws images of 16 to {_LARGEST_SIDE} pixels")
    if not 2 <= bins <= 256:
        raise SettingError(f"bins={bins}, but 2 to 256 are allowed")
    if not 1 <= mtf_white < float("inf"):
        raise SettingError(f"mtf_white={mtf_white}, but it must be a number and at least 1")
    _check_rate(fs)


def _check_rate(fs: float) -> None:
    if not 0 < fs < float("inf"):
        raise SettingError(f"fs={fs}, but a sampling rate is a positive number of Hz")
