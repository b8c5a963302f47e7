"""The course's figures. Every function checks what it is given and returns a Matplotlib Figure.

A figure is closed before it is returned: as the last expression of a notebook cell it is shown once, and no
figure stays in memory. Save one with ``figure.savefig(path)``. Colours are those of Okabe and Ito, which
people with colour-blindness can tell apart (https://jfly.uni-koeln.de/color/); images are grey, as they are stored.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Real
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline
from scipy.signal import welch
from sklearn.metrics import precision_recall_curve, roc_curve

from ecgcourse.analysis import calibration, decisions
from ecgcourse.errors import DataError, brief
from ecgcourse.images.fields import FIELDS
from ecgcourse.learning.metrics import COLUMNS, auroc, average_precision, check_pair, names_of, sensitivity, specificity
from ecgcourse.recipe import Task
from ecgcourse.records.ptbxl import CLASSES, LEADS

ORANGE, SKY_BLUE, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, YELLOW)
LINE_STYLES = ("-", "--", "-.", ":")
# Against, nothing, for: grey in the middle, so that a trace stays visible where nothing is attributed to it.
FOR_AND_AGAINST = LinearSegmentedColormap.from_list("for_and_against", [BLUE, "#C8C8C8", VERMILION])
# For fields that are to be read: dark is low and light is high, as in the stored image, but nothing is near black.
LIGHTENED = LinearSegmentedColormap.from_list("lightened", plt.get_cmap("GnBu_r")(np.linspace(0.25, 1, 256)))

_WIDTH = 7.2  # inches; at 100 dpi as wide as a page of the book, so that text keeps its size
_STYLE = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "lines.linewidth": 1.5,
    "lines.dotted_pattern": [1.5, 1.0],
}

_TABLES_IN_A_ROW = 4  # of 2 x 2, which is as many as the page has room for
_MOST_TOGETHER = 8  # classes whose curves one pair of axes, and whose tables one figure, can hold
_MOST_WITH_SHARES, _MOST_WITH_COUNTS = 8, 24  # classes up to which the cells of a K x K table have room for both
_LONGEST_NAME = 28  # characters of a class's name that are drawn
_LETTER = 0.085  # inches of a tick label per character, about

_MM_PER_S, _MM_PER_MV, _MM_PER_INCH = 25, 10, 25.4
_PAPER_SECONDS, _COLUMN_SECONDS = 10, 2.5
_PAPER_LAYOUT = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_RHYTHM_LEAD = "II"
_PULSE_WIDTH_S, _PULSE_HEIGHT_MV = 0.2, 1.0
_PULSE_X = 2.5  # mm from the left edge
_TRACE_X = 12.5  # mm from the left edge, where second 0 is
_LEAD_NAME_SPACE = 6  # mm above a trace
_ROW_LIMIT = 50  # mm above and below a baseline that a row may claim: 5 mV
_LEAST_WIDTH = 200  # mm; of what stands below the traces
_SMALL_BOX, _LARGE_BOX = 1, 5
_PAPER_DPI = 4 * _MM_PER_INCH  # whole pixels per mm, or the boxes would look uneven
_SYNTHETIC = "SYNTHETIC: made by a program, no patient"
_PAPER, _PAPER_MINOR, _PAPER_MAJOR = "#FFFAFA", "#F8DADA", "#EBA9A9"

# What is active in a beat, in the order of time.
_ACTIVE = {
    "atria activated": to_rgba(SKY_BLUE, 0.7),
    "AV node, bundles": to_rgba(GREEN, 0.5),
    "ventricles activated": to_rgba(VERMILION, 0.5),
    "ventricles recover": to_rgba(VERMILION, 0.17),
}
# A heart from the front, cut open, so the patient's right is at the left: muscle and cavities, points of closed curves.
_ATRIA = ((18, 62), (11, 70), (11, 84), (19, 93), (30, 94), (41, 90), (52, 92), (66, 95), (81, 91), (88, 82), (86, 69))
_ATRIA += ((79, 63), (66, 63), (50, 62), (34, 62))
_VENTRICLES = ((17, 55), (14, 46), (19, 31), (34, 17), (54, 7), (71, 2), (84, 11), (91, 30), (89, 48), (81, 57))
_VENTRICLES += ((66, 58), (51, 57), (34, 57))
_CAVITIES = {
    "right\natrium": ((21, 66), (16, 72), (16, 82), (22, 89), (31, 89), (41, 85), (45, 76), (43, 67), (33, 66)),
    "left\natrium": ((53, 67), (50, 76), (52, 85), (62, 90), (76, 88), (83, 81), (82, 71), (76, 67), (65, 67)),
    "left\nventricle": ((58, 50), (59, 39), (63, 27), (68, 17), (73, 17), (78, 27), (79, 40), (77, 50), (67, 53)),
    "right\nventricle": ((22, 51), (19, 45), (24, 32), (38, 20), (53, 14), (55, 18), (49, 29), (46, 40), (44, 50)),
}
_NAMES_AT = ((30, 77), (67, 77.5), (68.8, 41), (33, 42))
_SINUS_NODE, _AV_NODE, _DIVISION = (19.5, 91.5), (46.5, 64), (51.5, 53)
_ATRIAL_WAYS = (
    (_SINUS_NODE, (15.2, 86), (13, 79), (13.6, 69)),
    (_SINUS_NODE, (30, 91.8), (42, 87.8), (55, 91.3), (68, 92.8), (83, 86)),
    ((43, 87.9), (47, 83), (47.7, 75), (46.9, 67)),
)
_BUNDLES = {
    "His": (_AV_NODE, (49, 59), _DIVISION),
    "right": (_DIVISION, (48.5, 44), (50.5, 32), (55, 21), (57, 13)),
    "left": (_DIVISION, (55.5, 46), (57, 36), (60.5, 26), (65.5, 15)),
}
_FIBERS = (
    ((57, 13), (46, 14), (33, 21), (22, 32), (17, 43)),
    ((65.5, 15), (72, 11.5), (79, 19), (83, 32), (82, 45)),
)


def _figure(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the course's style, whatever the caller's, and close the figure, also when drawing fails."""

    @wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Figure:
        open_before = set(plt.get_fignums())
        try:
            with plt.style.context(["default", _STYLE]):
                return function(*args, **kwargs)
        finally:
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)

    return draw


@_figure
def ecg_paper(record: ArrayLike, fs: float, title: str | None = None, synthetic: bool = False) -> Figure:
    """Draw a 12-lead ECG on paper, true to scale: 25 mm/s, 10 mm/mV.

    Three rows of four leads, 2.5 s each, one after the other in time, and lead II over 10 s as rhythm strip.
    Each row starts with a calibration pulse of 1 mV and 200 ms. Small boxes are 1 mm (40 ms, 0.1 mV), large
    ones 5 mm (200 ms, 0.5 mV). The axes' data units are millimetres, and a millimetre of the figure is a
    millimetre on paper. Rows are as tall as their traces need, up to 5 mV above and below the baseline; what
    lies beyond runs into the neighbouring row.

    Parameters
    ----------
    record : (12, T) array
        Signal in mV, leads in the order of `ptbxl.LEADS`, at least 10 s. The first 10 s are drawn.
    fs : float
        Sampling rate in Hz.
    title : str, optional
        Written above the grid, at the left.
    synthetic : bool
        Mark the paper, so that nobody takes it for a patient's.

    Raises
    ------
    DataError
        Another shape, a sample that isn't finite, or fewer than 10 s.
    """
    fs = _sampling_rate(fs)
    record = _array(record, "record", (len(LEADS), "T"))
    if record.shape[1] < _PAPER_SECONDS * fs:
        raise DataError(
            f"record has {record.shape[1]} samples, {record.shape[1] / fs:g} s at {fs:g} Hz; ECG paper shows "
            f"{_PAPER_SECONDS} s: give a longer record, or check the sampling rate"
        )
    return _on_paper(_rows_of_twelve(record, fs), fs, title, synthetic)


@_figure
def paper(
    record: ArrayLike,
    fs: float,
    names: Sequence[str] = LEADS,
    title: str | None = None,
    synthetic: bool = False,
    fed: dict[str, Any] | None = None,
) -> Figure:
    """Draw any ECG on paper, true to scale, and below it the images that a network is fed.

    Twelve leads of 10 s or more are laid out as by `ecg_paper`. Of others, each lead has a row of its own, with all
    of its samples.

    Parameters
    ----------
    record : (L, T) array
        Signal in mV, one row per name.
    fs : float
        Sampling rate in Hz.
    names : L strings
    title, synthetic
        As for `ecg_paper`.
    fed : dict, optional
        Arguments of `nine_images` by their names: `images`, `signals`, `fs`, `names`, `mtf_white`, `fields`.

    Raises
    ------
    DataError
        Another shape, a sample that isn't finite; and as `nine_images`.
    """
    fs = _sampling_rate(fs)
    record = _array(record, "record", (len(names), "T"))
    if set(names) == set(LEADS) and record.shape[1] >= _PAPER_SECONDS * fs:
        rows = _rows_of_twelve(record[[list(names).index(name) for name in LEADS]], fs)
    else:
        rows = [
            [(name, _TRACE_X + np.arange(len(x)) / fs * _MM_PER_S, x * _MM_PER_MV)]
            for name, x in zip(names, record, strict=True)
        ]
    if fed is None:
        return _on_paper(rows, fs, title, synthetic)
    below = _images_height(len(fed["names"])) + 0.2
    figure = _on_paper(rows, fs, title, synthetic, below)
    _draw_images(figure, **fed)
    words = "What a network is fed: the images of the filtered and scaled signals at their left"
    figure.text(
        _PULSE_X / _MM_PER_INCH / figure.get_figwidth(), (below - 0.12) / figure.get_figheight(), words, va="top"
    )
    return figure


@_figure
def leads(
    x: ArrayLike,
    fs: float,
    names: Sequence[str] = ("I", "II", "V2"),
    units: str = "mV",
    title: str | None = None,
) -> Figure:
    """Draw leads below each other over one time axis.

    Parameters
    ----------
    x : (L, T) array
        One row per name, in `units`.
    fs : float
        Sampling rate in Hz.
    names : L strings
    units : str
        Unit of the samples, for the axis labels; "" where they have none.
    title : str, optional

    Raises
    ------
    DataError
        Another shape, or a sample that isn't finite.
    """
    fs = _sampling_rate(fs)
    x = _array(x, "x", (len(names), "T"))
    time = np.arange(x.shape[1]) / fs
    figure, axes = plt.subplots(
        len(names),
        1,
        sharex=True,
        squeeze=False,
        figsize=(_WIDTH, 0.9 + 1.15 * len(names)),
        layout="constrained",
    )
    for ax, name, signal in zip(axes[:, 0], names, x, strict=True):
        ax.plot(time, signal, color=BLACK, linewidth=1)
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set_ylabel(f"{name} ({units})" if units else name)
        ax.grid(color="0.9")
    ax.set_xlim(0, x.shape[1] / fs)
    ax.set_xlabel("time (s)")
    figure.align_ylabels()
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@_figure
def attribution(
    signal: ArrayLike,
    attribution: ArrayLike,
    fs: float,
    names: Sequence[str] = ("I", "II", "V2"),
    units: str = "mV",
    mask: ArrayLike | None = None,
    title: str | None = None,
    label: str = "attribution (logit)",
    seconds: tuple[float, float] | None = None,
) -> Figure:
    """Draw leads below each other, each sample in the colour of what an explanation attributes to it.

    Vermilion speaks for the class, blue against it, grey for nothing; the line is thicker the larger the
    attribution is. All leads share one scale, from minus to plus the largest absolute attribution that is drawn.

    Parameters
    ----------
    signal : (L, T) array
        One row per name, in `units`.
    attribution : (L, T) array
        As :func:`ecgcourse.analysis.explain.over_time` gives it for a record.
    fs : float
        Sampling rate in Hz.
    names : L strings
    units : str
        Unit of the samples, for the axis labels; "" where they have none.
    mask : (L, T) array of bool, optional
        Samples behind which the background is shaded, such as those that carry a class's signs.
    title : str, optional
    label : str
        What the attribution is, for the colour bar.
    seconds : (start, end), optional
        Part of the record that is drawn; None draws all.

    Raises
    ------
    DataError
        Shapes that differ, a value that isn't finite, or `seconds` that hold no sample.
    """
    fs = _sampling_rate(fs)
    signal = _array(signal, "signal", (len(names), "T"))
    attribution = _array(attribution, "attribution", signal.shape)
    mask = np.zeros(signal.shape, dtype=bool) if mask is None else _array(mask, "mask", signal.shape).astype(bool)
    time = np.arange(signal.shape[1]) / fs
    start, end = seconds or _span(len(time), fs)
    drawn = (time >= start) & (time <= end)
    if not drawn.any():
        raise DataError(f"seconds are {seconds}, but the record runs from 0 to {time[-1]:g} s; choose a part of it")
    scale = _even_scale(attribution[:, drawn])
    figure, axes = plt.subplots(
        len(names), 1, sharex=True, squeeze=False, figsize=(_WIDTH, 1.1 + 1.3 * len(names)), layout="constrained"
    )
    for ax, name, x, parts, marked in zip(axes[:, 0], names, signal, attribution, mask, strict=True):
        _draw_coloured(ax, time[drawn], x[drawn], scale.cmap(scale.norm(parts[drawn])), _widths(parts[drawn], scale))
        ax.fill_between(
            time, 0, 1, where=marked, step="mid", transform=ax.get_xaxis_transform(), color=YELLOW, alpha=0.35, lw=0
        )
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set_ylabel(f"{name} ({units})" if units else name)
    ax.set_xlim(start, end)
    ax.set_xlabel("time (s)")
    figure.align_ylabels()
    figure.colorbar(scale, ax=list(axes[:, 0]), label=label, aspect=max(30, 10 * len(names)), pad=0.01)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@_figure
def field_image(
    image: ArrayLike,
    signal: ArrayLike,
    fs: float,
    title: str | None = None,
    label: str = "value",
    limits: tuple[float, float] | None = None,
    cmap: str | Colormap = "gray",
) -> Figure:
    """Draw a field, or an image made from it, with its signal above and at the left.

    Row i of the array is drawn i steps below the top edge, column j is j steps to the right, as the array is
    printed and as a network sees it: time runs downwards and to the right, and the main diagonal from the top
    left to the bottom right. The signal at the left is the one above, mirrored at that diagonal: it runs
    downwards, and larger samples are further from the image on both sides.

    Parameters
    ----------
    image : (S, S) array
        A field (S = T) or an image of any side; it spans the same time as the signal. Of a bool array, the colour
        bar shows two colours: 0 for False, 1 for True.
    signal : (T,) array
    fs : float
        Sampling rate of the signal in Hz.
    title : str, optional
    label : str
        What the image's values are, for the colour bar.
    limits : (low, high), optional
        Values at the two ends of the colour map. Without it 0 and 255 for uint8 images, else the smallest and
        largest value.
    cmap : str or Colormap
        A colour map of Matplotlib. Grey, from black to white, shows an image as it is stored. To read a field, take
        one that diverges from its middle for the Gramian angular field, such as "RdBu_r" with limits (-1, 1), and
        :data:`LIGHTENED` for the other two.

    Raises
    ------
    DataError
        An image that isn't square, a signal that isn't (T,), a value that isn't finite, limits in the wrong order,
        or a colour map that Matplotlib doesn't have.
    """
    fs = _sampling_rate(fs)
    image, signal = _square(image, "image"), _array(signal, "signal", ("T",))
    low, high = _limits(image, limits)
    side, band, left, bottom, gap = 4.2, 0.95, 0.75, 0.6, 0.12
    figure = plt.figure(
        figsize=(left + band + gap + side + 1.15, bottom + side + gap + band + (0.4 if title else 0.15))
    )
    corner = (left + band + gap, bottom)
    ax = _place(figure, *corner, side, side)
    # The colour of the mean of what a dot covers, so that there is none that the bar lacks.
    shown = _show(ax, image, len(signal), fs, low, high, cmap=_colour_map(cmap), interpolation_stage="data")
    above = _place(figure, corner[0], bottom + side + gap, side, band, sharex=ax)
    # Narrower than the curve above is high, so that its last tick label keeps clear of the image's first.
    beside = _place(figure, left, bottom, band - gap, side, sharey=ax)
    _plot_above(above, signal, fs)
    _plot_beside(beside, signal, fs)
    ax.tick_params(labelleft=False)
    ax.set_xlabel("time (s)")
    beside.set_ylabel("time (s)")
    two_colours = {"boundaries": (-0.5, 0.5, 1.5), "values": (0, 1), "ticks": (0, 1)}
    bar = _place(figure, corner[0] + side + gap, bottom, 0.15, side)
    figure.colorbar(shown, cax=bar, label=label, **(two_colours if image.dtype == bool else {}))
    if title:
        above.set_title(title)
    return figure


@_figure
def nine_images(
    images: ArrayLike,
    signals: ArrayLike,
    fs: float,
    names: Sequence[str] = ("I", "II", "V2"),
    mtf_white: int = 51,
    title: str | None = None,
    fields: Sequence[str] = FIELDS,
) -> Figure:
    """Draw a record's nine images, one row per lead with the signal at its left, columns GAF, MTF, RP.

    Time runs downwards and to the right, as in `field_image`. Black is grey level 0; white is 255 for GAF and
    RP, and `mtf_white` for MTF, whose levels stop at 51. The column titles say which range is shown. The
    signals have one scale in common.

    Parameters
    ----------
    images : (9, S, S) uint8 array
        Lead-major, as `render.render` gives them: GAF, MTF, RP of the first lead, then of the second, then
        of the third. Of other leads or fields, as many as there are.
    signals : (3, T) array
    fs : float
        Sampling rate of the signals in Hz.
    names : 3 strings
        The leads' names.
    mtf_white : int
        Grey level that is drawn white in the MTF column; 255 shows what the network sees.
    title : str, optional
    fields : sequence of str
        The columns.

    Raises
    ------
    DataError
        Other shapes or types, a sample that isn't finite, or `mtf_white` outside 1 to 255.
    """
    height = _images_height(len(names)) + (0.2 if title else 0)
    figure = plt.figure(figsize=(_images_width(len(fields)), height))
    _draw_images(figure, images, signals, fs, names, mtf_white, fields)
    if title:
        figure.suptitle(title, y=1 - 0.05 / height, va="top", fontsize=11)
    return figure


@_figure
def leads_and_images(
    signals: ArrayLike,
    images: ArrayLike,
    fs: float,
    names: Sequence[str] = ("I", "II", "V2"),
    units: str = "mV",
    mtf_white: int = 51,
    title: str | None = None,
    synthetic: bool = False,
    made_from: ArrayLike | None = None,
) -> Figure:
    """Draw a record's leads over the full width, and its nine images below: one column per lead, rows GAF, MTF, RP.

    In the images time runs downwards and to the right, as in `field_image`; grey levels are shown as in
    `nine_images`. The leads have one scale in common.

    Parameters
    ----------
    signals : (3, T) array
        One row per name, in `units`; they need not be scaled as the images' signals are.
    images : (9, S, S) uint8 array
        As for `nine_images`.
    fs : float
        Sampling rate of the signals in Hz.
    names : 3 strings
        The leads' names.
    units : str
        Unit of the samples, for the axis labels; "" where they have none.
    mtf_white : int
        Grey level that is drawn white in the MTF row; 255 shows what the network sees.
    title : str, optional
    synthetic : bool
        Mark the figure, so that nobody takes it for a patient's.
    made_from : (3, T) array, optional
        What the images are made from, in `units`, as a thin line over the signals; a filter may have bent it.

    Raises
    ------
    DataError
        As `nine_images`.
    """
    fs = _sampling_rate(fs)
    signals = _array(signals, "signals", (len(names), "T"))
    images = _grey_images(images, len(names))
    white = _whites(mtf_white)
    left, side, lead_height, gap, bottom = 0.8, 1.5, 0.65, 0.1, 0.5
    across = left + len(names) * (side + gap)
    images_top = bottom + len(FIELDS) * (side + gap)
    top = images_top + 0.55 + len(names) * (lead_height + gap)
    figure = plt.figure(figsize=(across, top + (0.55 if synthetic else 0.3)))
    traces = [
        _place(figure, left, top - (row + 1) * (lead_height + gap), across - left - gap, lead_height)
        for row in range(len(names))
    ]
    _draw_traces(traces, signals, fs, names, units)
    if made_from is not None:
        _draw_over(traces, signals, _array(made_from, "made_from", signals.shape), fs)
    for column, name in enumerate(names):
        axes = [
            _place(figure, left + column * (side + gap), images_top - (row + 1) * (side + gap) + gap, side, side)
            for row in range(len(FIELDS))
        ]
        _draw_column(axes, images[column * len(FIELDS) : (column + 1) * len(FIELDS)], signals.shape[1], fs, white)
        axes[-1].set_xlabel(f"lead {name}: time (s)")
        for ax, field, level in zip(axes, FIELDS, white, strict=True):
            ax.tick_params(labelleft=column == 0, labelbottom=ax is axes[-1])
            if column == 0:
                ax.set_ylabel(f"{field}\ngrey 0 to {level}")
    _write_above(figure, title, synthetic)
    return figure


@_figure
def training_curves(history: Any, task: Task | None = None) -> Figure:
    """Draw losses and validation metrics over the epochs, and mark the epoch of lowest validation loss.

    Parameters
    ----------
    history : DataFrame, or an object with ``to_frame()`` such as `training.History`
        One row per epoch; columns epoch, train_loss, val_loss, sensitivity, specificity, auroc.
    task : Task, optional
        What the network learned, which says what the loss is; None: a record may have any number of the classes.

    Raises
    ------
    DataError
        No rows, a missing column, or a value that isn't finite.
    """
    frame = _history_frame(history)
    best = frame["epoch"].iloc[int(np.argmin(frame["val_loss"]))]
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(_WIDTH, 3.1), layout="constrained")
    _curves(losses, frame, {"train_loss": "training", "val_loss": "validation"})
    losses.set(
        title="Loss", ylabel="cross-entropy" if task is not None and task.is_multiclass else "binary cross-entropy"
    )
    losses.set_ylim(0, 1.08 * frame[["train_loss", "val_loss"]].to_numpy().max())
    _curves(scores, frame, {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"})
    scores.set(title="Validation, mean over the classes", ylim=(0, 1.02))
    for ax in (losses, scores):
        ax.axvline(best, color="0.4", linestyle=":", label=f"best epoch ({best})")
        ax.set(xlabel="epoch", xlim=(frame["epoch"].min() - 0.5, frame["epoch"].max() + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(color="0.9")
        ax.legend(frameon=True, framealpha=1, edgecolor="0.6")  # no free corner: lines may run below it
    return figure


@_figure
def roc(y_true: ArrayLike, y_prob: ArrayLike, title: str | None = None, classes: Sequence[str] | None = None) -> Figure:
    """Draw the ROC curve of each class against all other records, with its AUROC.

    Up to eight classes share one pair of axes; more get one each.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]
    title : str, optional
    classes : K strings, optional
        Names of the classes; None: as :func:`ecgcourse.recipe.class_names`.

    Raises
    ------
    DataError
        Shapes that differ, a value out of range, or a class without positives or without negatives.
    SettingError
        Another number of names than of classes.
    """
    areas = auroc(y_true, y_prob, classes)
    y_true, y_prob = check_pair(y_true, y_prob)
    curves = [roc_curve(t, p)[:2] for t, p in zip(y_true.T, y_prob.T, strict=True)]
    draw = _curves_together if len(areas) <= _MOST_TOGETHER else _curves_apart
    return draw(names_of(classes, len(areas)), curves, areas, title)


@_figure
def precision_recall(
    y_true: ArrayLike, y_prob: ArrayLike, title: str | None = None, classes: Sequence[str] | None = None
) -> Figure:
    """Draw precision against sensitivity (recall) for each class, with its average precision and its prevalence.

    Parameters and errors as for :func:`roc`. Each class has its own axes: what a guess reaches, the prevalence, is
    another one for each.
    """
    areas = average_precision(y_true, y_prob, classes)
    y_true, y_prob = check_pair(y_true, y_prob)
    figure, axes = _class_grid(len(areas), title, "sensitivity (recall)", "precision")
    for ax, name, t, p, area in zip(axes, names_of(classes, len(areas)), y_true.T, y_prob.T, areas, strict=True):
        precision, recall, _ = precision_recall_curve(t, p)
        ax.step(recall, precision, where="post", color=BLUE)
        ax.axhline(t.mean(), color="0.6", linewidth=1)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        ax.set_title(f"{_label(name, _LONGEST_NAME // 2)}  {area:.3f}", fontsize=9)
    return figure


@_figure
def reliability(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    title: str | None = None,
    classes: Sequence[str] | None = None,
    n_bins: int = 10,
) -> Figure:
    """Draw the reliability curve of each class: the share of records that have it, of those that were given as much.

    Bars are the intervals of :func:`ecgcourse.analysis.calibration.reliability`; on the diagonal, probabilities mean
    what they say. Bins hold equally many records.

    Parameters
    ----------
    y_true : (N, K) array of 0 and 1
    y_prob : (N, K) array in [0, 1]
    title : str, optional
    classes : K strings, optional
        Names of the classes; None: as :func:`ecgcourse.recipe.class_names`.
    n_bins : int

    Raises
    ------
    DataError
        Shapes that differ, or a value out of range.
    SettingError
        Another number of names than of classes, or of bins.
    """
    y_true, y_prob = check_pair(y_true, y_prob, classes)
    figure, axes = _class_grid(y_true.shape[1], title, "mean predicted probability", "share that have it")
    for ax, name, t, p in zip(axes, names_of(classes, y_true.shape[1]), y_true.T, y_prob.T, strict=True):
        bins = calibration.reliability(t, p, n_bins)
        ends = np.abs(bins[["low", "high"]].to_numpy().T - bins["observed"].to_numpy())
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        ax.errorbar(bins["predicted"], bins["observed"], ends, color=BLUE, marker="o", markersize=3, elinewidth=1)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        ax.set_title(_label(name, _LONGEST_NAME // 2), fontsize=9)
    return figure


@_figure
def decision_curve(
    y_true: ArrayLike, y_prob: ArrayLike, title: str | None = None, classes: Sequence[str] | None = None
) -> Figure:
    """Draw the net benefit of each class against the threshold: of the model, of treating all, of treating none.

    Parameters and errors as for :func:`reliability`; see :func:`ecgcourse.analysis.decisions.net_benefit`.
    """
    y_true, y_prob = check_pair(y_true, y_prob, classes)
    figure, axes = _class_grid(y_true.shape[1], title, "threshold probability", "net benefit")
    looks = {"model": _line_look(0), "all": _line_look(1), "none": {"color": "0.5", "linewidth": 1}}
    for ax, name, t, p in zip(axes, names_of(classes, y_true.shape[1]), y_true.T, y_prob.T, strict=True):
        curve = decisions.net_benefit(t, p)
        for column, look in looks.items():
            ax.plot(curve["threshold"], curve[column], label=column, **look)
        highest = max(t.mean(), 0.01)
        ax.set(xlim=(0, 1), ylim=(-highest / 2, highest * 1.1), xticks=[0, 0.5, 1])
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.set_title(_label(name, _LONGEST_NAME // 2), fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


@_figure
def probabilities(
    y_prob: ArrayLike, thresholds: ArrayLike | None, classes: Sequence[str], label: str = "probability"
) -> Figure:
    """Draw the probability of each class for one record, as bars, with the thresholds from which it is predicted.

    Parameters
    ----------
    y_prob : (K,) array
    thresholds : (K,) array or None
        None where the most probable class is predicted.
    classes : K strings
    label : str
        What the scale is.

    Raises
    ------
    DataError
        Other shapes, or numbers that aren't finite.
    """
    y_prob = _array(y_prob, "y_prob", (len(classes),))
    limits = np.full(len(classes), np.inf) if thresholds is None else _array(thresholds, "thresholds", y_prob.shape)
    predicted = y_prob == y_prob.max() if thresholds is None else y_prob >= limits
    figure, ax = plt.subplots(figsize=(_WIDTH, 0.9 + 0.36 * len(classes)), layout="constrained")
    rows = np.arange(len(classes))
    ax.barh(rows, y_prob, height=0.6, color=[VERMILION if each else SKY_BLUE for each in predicted])
    if thresholds is not None:
        ax.vlines(limits, rows - 0.42, rows + 0.42, color=BLACK, linewidth=2)
    for row, value in enumerate(y_prob):
        ax.text(1.02, row, f"{value:.3f}", va="center", transform=ax.get_yaxis_transform())
    ax.set(xlim=(0, 1), xlabel=label, xticks=np.linspace(0, 1, 6))
    ax.set_yticks(rows, [_label(name) for name in classes])
    ax.set_ylim(len(classes) - 0.5, -0.5)
    return figure


@_figure
def confusion_tables(table: ArrayLike, title: str | None = None, classes: Sequence[str] | None = None) -> Figure:
    """Draw one 2 x 2 table per class: counts, and shares of the records in the same row.

    Rows are what the records have, columns what was predicted, so the share in a class's TP cell is its
    sensitivity and the share in its TN cell its specificity. Darker cells have larger shares. Of more than eight
    classes each gets one line with its four cells beside each other.

    Parameters
    ----------
    table : (K, 4) array of counts
        As `evaluation.confusion` returns it: one row per class; columns TP, FN, FP, TN.
    title : str, optional
    classes : K strings, optional
        Names of the classes; None: as :func:`ecgcourse.recipe.class_names`.

    Raises
    ------
    DataError
        Another shape, a negative count, or a class without positives or without negatives.
    SettingError
        Another number of names than of classes.
    """
    table = _array(table, "table", ("K", len(COLUMNS)))
    # Both raise where a share would be 0 / 0.
    sensitivity(table, classes)
    specificity(table, classes)
    names = names_of(classes, len(table))
    return (_two_by_twos if len(names) <= _MOST_TOGETHER else _lines_of_four)(names, table, title)


@_figure
def confusion_matrix(matrix: ArrayLike, classes: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Draw which class was predicted for the records of each: counts, and shares of the records in the same row.

    Rows are what the records have, columns what was predicted: what lies on the diagonal is right, and a share there
    is the sensitivity of its class. Darker cells have larger shares. Where classes are many, cells have no room for
    shares, and then for no numbers at all.

    Parameters
    ----------
    matrix : (K, K) array of counts
        As `evaluation.Report.matrix` of a multiclass task. The row of a class without records stays white.
    classes : K strings, optional
        Names of the classes; None: as :func:`ecgcourse.recipe.class_names`.
    title : str, optional

    Raises
    ------
    DataError
        A table that isn't square, or a negative count.
    SettingError
        Another number of names than of classes.
    """
    matrix = _square(matrix, "matrix")
    if (matrix < 0).any():
        raise DataError("matrix has a negative number; it must hold counts")
    names = names_of(classes, len(matrix))
    of_class = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, of_class, out=np.zeros(matrix.shape), where=of_class > 0)
    counted, shared = len(names) <= _MOST_WITH_COUNTS, len(names) <= _MOST_WITH_SHARES
    cell = 0.66 if shared else 0.4 if counted else 0.16
    labels = [_label(name) for name in names]
    longest = _LETTER * max(map(len, labels))
    upright = longest > cell
    width, height = (max(1.3, cell * len(names)) + room for room in (longest, longest if upright else 0.2))
    figure, ax = plt.subplots(
        figsize=(width + (0.5 if shared else 1.5), height + (0.75 if title else 0.45)), layout="constrained"
    )
    shown = _show_shares(ax, shares)
    ax.set_aspect("equal")
    for (row, column), count in np.ndenumerate(matrix) if counted else ():
        share = f"\n{shares[row, column]:.1%}" if shared else ""
        ax.text(column, row, f"{int(count):,}{share}", ha="center", va="center", fontsize=9 if shared else 8)
    size = 9 if counted else 7
    ax.set_xticks(range(len(names)), labels, rotation=90 if upright else 0, fontsize=size)
    ax.set_yticks(range(len(names)), labels, fontsize=size)
    ax.set(xlabel="predicted", ylabel="record has it")
    if not shared:
        figure.colorbar(
            shown, ax=ax, label="share of the row", aspect=30, boundaries=np.linspace(0, 1, 101), ticks=[0, 0.5, 1]
        )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@_figure
def class_counts(table: pd.DataFrame, title: str | None = None, classes: Sequence[str] = CLASSES) -> Figure:
    """Draw how many records have each class, and how many have none of the classes.

    Parameters
    ----------
    table : DataFrame
        One row per record, one bool column per class, as `ptbxl.read_table` gives it. A record counts once
        for each class it has, so the bars may sum to more than the records.
    title : str, optional
    classes : sequence of K strings
        The columns that are counted.

    Raises
    ------
    DataError
        No rows, or a class without a column.
    """
    missing = [name for name in classes if name not in table]
    if missing:
        raise DataError(f"the table has no column {brief(', '.join(missing))}; give what ptbxl.read_table returns")
    if table.empty:
        raise DataError("the table has no records, so there is nothing to count")
    flags = table[list(classes)].to_numpy(dtype=bool)
    counts = [*flags.sum(axis=0), (~flags.any(axis=1)).sum()]
    figure, ax = plt.subplots(figsize=(_WIDTH, 1.6 + 0.2 * len(counts)), layout="constrained")
    colors = CYCLE[: len(classes)] if len(classes) <= len(CYCLE) else [BLUE] * len(classes)
    labels = [*(_label(name) for name in classes), "none of them"]
    bars = ax.barh(range(len(counts)), counts, color=[*colors, "0.6"])
    ax.set_yticks(range(len(counts)), labels)
    ax.set_ylim(-0.64, len(counts) - 0.36)
    ax.bar_label(bars, [f"{count:,}  ({count / len(table):.1%})" for count in counts], padding=4)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.2 * max(counts))
    ax.set_xlabel(f"records, of {len(table):,}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(title)
    return figure


@_figure
def spectrum(
    x: ArrayLike,
    fs: float,
    names: Sequence[str] = ("I", "II", "V2"),
    units: str = "mV",
    band: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the power spectral density of signals: Welch's method, Hann windows of 4 s that overlap by half.

    Parameters
    ----------
    x : (L, T) array
        Signals in `units`, one row per name; for example the same lead before and after a filter.
    fs : float
        Sampling rate in Hz.
    names : L strings
    units : str
    band : (low, high), optional
        Frequencies in Hz between which the background is shaded, such as a filter's pass band.
    title : str, optional

    Raises
    ------
    DataError
        Another shape, a sample that isn't finite, a flat signal, or a band outside 0 to fs/2.

    References
    ----------
    Welch, IEEE Transactions on Audio and Electroacoustics 15, 1967, doi:10.1109/TAU.1967.1161901.
    """
    fs = _sampling_rate(fs)
    x = _array(x, "x", (len(names), "T"))
    flat = [name for name, signal in zip(names, x, strict=True) if np.ptp(signal) == 0]
    if flat:
        raise DataError(f"signal {', '.join(flat)} is flat: it has no spectrum; choose another record or lead")
    if band and not 0 <= band[0] < band[1] <= fs / 2:
        raise DataError(f"band is {band}; it must be two frequencies in Hz, 0 <= low < high <= {fs / 2:g}")
    frequency, density = welch(x, fs, nperseg=min(x.shape[1], round(4 * fs)))
    figure, ax = plt.subplots(figsize=(_WIDTH, 3.4), layout="constrained")
    if band:
        ax.axvspan(*band, color="0.92", label=f"{band[0]:g} to {band[1]:g} Hz")
    for k, (name, power) in enumerate(zip(names, density, strict=True)):
        # Frequency 0 is left out: Welch's method takes each window's mean away.
        ax.semilogy(frequency[1:], power[1:], label=name, **_line_look(k))
    ax.set(title=title, xlim=(0, fs / 2), xlabel="frequency (Hz)", ylabel=f"power density ({units}²/Hz)")
    ax.grid(color="0.85")
    ax.legend(frameon=True, framealpha=1, edgecolor="0.6")
    return figure


@_figure
def conduction(beat: ArrayLike, ms: ArrayLike, bounds: ArrayLike, title: str | None = None) -> Figure:
    """Draw the heart's conduction system beside a beat whose parts have the colours of what is active.

    The heart is a scheme, seen from the front and cut open, so that the patient's right is at the left. Between atria
    and ventricles lies tissue that doesn't conduct, through which only the bundle of His leads. A wave Q or S is named
    where the curve dips below 0 mV by more than a fiftieth of R.

    Parameters
    ----------
    beat : (T,) array
        One lead in mV, with the level before P at 0 and R as the highest sample between start and end of QRS.
    ms : (T,) array
        Times of its samples in ms, rising.
    bounds : (5,) array
        Times in ms, rising: start and end of P, start and end of QRS, end of T.
    title : str, optional
        Of the beat.

    Raises
    ------
    DataError
        Other shapes, a value that isn't finite, or times that don't rise, lie outside the beat or enclose no sample.

    References
    ----------
    Sánchez-Quintana and Ho, Anatomy of cardiac nodes and atrioventricular specialized conduction system, Revista
    Española de Cardiología 56, 2003, doi:10.1016/S0300-8932(03)77019-5.
    """
    beat = _array(beat, "beat", ("T",))
    ms, bounds = _array(ms, "ms", beat.shape), _array(bounds, "bounds", (5,))
    places = np.searchsorted(ms, bounds)
    if (np.diff(ms) <= 0).any() or (np.diff(places) <= 0).any() or bounds[0] < ms[0] or bounds[-1] > ms[-1]:
        raise DataError(
            f"bounds are {bounds.tolist()}, and the beat runs from {ms[0]:g} to {ms[-1]:g} ms; give five rising times "
            "within it: start and end of P, start and end of QRS, end of T"
        )
    figure = plt.figure(figsize=(_WIDTH, 4.3))
    _draw_heart(_place(figure, 0, 0, 3.9, 4.3))
    ax = _place(figure, 4.4, 0.6, 2.7, 3.35)
    _draw_activation(ax, beat, ms, bounds, places)
    ax.set(title=title, xlabel="time (ms)", ylabel="mV")
    return figure


def _sampling_rate(fs: float) -> float:
    if not isinstance(fs, Real) or not np.isfinite(fs) or fs <= 0:
        raise DataError(f"the sampling rate is {fs!r}; it must be a positive number of Hz")
    return float(fs)


def _array(values: ArrayLike, name: str, shape: tuple[int | str, ...]) -> NDArray:
    """Return a finite array of this shape, in which letters stand for any length; DataError for another."""
    values = np.asarray(values)
    fits = values.ndim == len(shape) and all(
        n == want if isinstance(want, int) else n > 0 for n, want in zip(values.shape, shape, strict=False)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise DataError(f"{name} has shape {values.shape}; it must be ({wanted})")
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {values.dtype} values; it must hold numbers")
    wrong = np.argwhere(~np.isfinite(values))
    if wrong.size:
        place = ", ".join(map(str, wrong[0]))
        raise DataError(f"{name}[{place}] is {values[tuple(wrong[0])]}; every value must be finite")
    return values


def _square(image: ArrayLike, name: str) -> NDArray:
    image = _array(image, name, ("S", "S"))
    if image.shape[0] != image.shape[1]:
        raise DataError(f"{name} has shape {image.shape}; it must be square, (S, S)")
    return image


def _grey_images(images: ArrayLike, n_leads: int, fields: Sequence[str] = FIELDS) -> NDArray[np.uint8]:
    images = _array(images, "images", (n_leads * len(fields), "S", "S"))
    if images.dtype != np.uint8:
        raise DataError(f"images are {images.dtype}; give the uint8 images that render.render makes")
    _square(images[0], "images[0]")
    return images


def _whites(mtf_white: int, fields: Sequence[str] = FIELDS) -> list[int]:
    """Grey levels that are drawn white, in the order of the fields."""
    if not 1 <= mtf_white <= 255:
        raise DataError(f"mtf_white is {mtf_white}; it is a grey level, 1 to 255")
    return [mtf_white if field == "MTF" else 255 for field in fields]


def _limits(image: NDArray, limits: tuple[float, float] | None) -> tuple[float, float]:
    if limits is None:
        return (0, 255) if image.dtype == np.uint8 else (image.min(), image.max())
    low, high = limits
    if not low < high:
        raise DataError(f"limits are {limits}; the first must be below the second")
    return low, high


def _colour_map(cmap: str | Colormap) -> Colormap:
    try:
        found = plt.get_cmap(cmap)
    except (TypeError, ValueError):
        raise DataError(f"cmap is {brief(repr(cmap))}; give a colour map of Matplotlib, such as 'RdBu_r'") from None
    # All greys of uint8. Of other maps 65 colours, one for the middle: more make a figure's file large, no clearer.
    return found if found.name == "gray" else found.resampled(65)


def _history_frame(history: Any) -> pd.DataFrame:
    frame = history if isinstance(history, pd.DataFrame) else history.to_frame()
    columns = ["epoch", "train_loss", "val_loss", "sensitivity", "specificity", "auroc"]
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(f"the history has no column {', '.join(missing)}; it needs {', '.join(columns)}")
    if frame.empty:
        raise DataError("the history has no epochs; train for at least one")
    for column in columns:
        _array(frame[column], f"history column {column}", ("E",))
    return frame


def _span(n_samples: int, fs: float) -> tuple[float, float]:
    """Time from half a sample before the first to half a sample after the last: what n samples cover."""
    return -0.5 / fs, (n_samples - 0.5) / fs


def _label(name: str, longest: int = _LONGEST_NAME) -> str:
    """A class's name, cut to what there is room for; a dollar sign in it begins no formula."""
    return brief(name, longest).replace("$", r"\$")


def _line_look(k: int) -> dict[str, Any]:
    return {"color": CYCLE[k % len(CYCLE)], "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}


def _even_scale(values: NDArray) -> ScalarMappable:
    """Colours from minus to plus the largest absolute value."""
    largest = float(np.abs(values).max()) or 1.0
    return ScalarMappable(Normalize(-largest, largest), FOR_AND_AGAINST)


def _widths(values: NDArray, scale: ScalarMappable) -> NDArray:
    return 1 + 3 * np.abs(values) / scale.norm.vmax


def _draw_coloured(ax: Axes, time: NDArray, signal: NDArray, colours: NDArray, widths: NDArray) -> None:
    """Draw a line of which each sample has its own colour, up to half the way to its neighbours."""
    points = np.column_stack([time, signal])
    halfway = np.concatenate([points[:1], (points[:-1] + points[1:]) / 2, points[-1:]])
    pieces = np.stack([halfway[:-1], points, halfway[1:]], axis=1)
    ax.add_collection(LineCollection(pieces, colors=colours, linewidths=widths, capstyle="round"))
    ax.autoscale_view()


def _place(figure: Figure, left: float, bottom: float, width: float, height: float, **sharing: Axes) -> Axes:
    """Add axes at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up), **sharing)


def _images_height(n_rows: int) -> float:
    """Inches of what :func:`_draw_images` draws."""
    return 0.85 + 1.9 * n_rows


def _images_width(n_fields: int) -> float:
    return round(1.5 + 1.9 * n_fields, 3)


def _draw_images(
    figure: Figure,
    images: ArrayLike,
    signals: ArrayLike,
    fs: float,
    names: Sequence[str],
    mtf_white: int,
    fields: Sequence[str],
) -> None:
    """Draw a row of images for each lead at the foot of a figure, with the signal at their left."""
    fs = _sampling_rate(fs)
    signals = _array(signals, "signals", (len(names), "T"))
    images = _grey_images(images, len(names), fields)
    white = _whites(mtf_white, fields)
    axes = _image_rows(figure, len(names), len(fields))
    for row, (name, signal) in enumerate(zip(names, signals, strict=True)):
        _plot_beside(axes[row, 0], signal, fs)
        axes[row, 0].set_ylabel(f"lead {name}: time (s)")
        for column, ax in enumerate(axes[row, 1:]):
            _show(ax, images[row * len(fields) + column], len(signal), fs, 0, white[column])
    for column, field in enumerate(fields):
        axes[0, 1 + column].set_title(f"{field}, grey 0 to {white[column]}")
        axes[-1, 1 + column].set_xlabel("time (s)")


def _image_rows(figure: Figure, n_rows: int, n_fields: int) -> NDArray:
    """Add axes for each row's signal and images, (n_rows, 1 + n_fields), with tick labels at the left and below."""
    side, band, bottom, gap = 1.8, 0.6, 0.55, 0.1
    # In the middle of a figure that has more room than they need.
    left = 0.65 + max(0.0, (figure.get_figwidth() - _images_width(n_fields)) / 2)
    axes = np.empty((n_rows, 1 + n_fields), dtype=object)
    for row, column in np.ndindex(axes.shape):
        y = bottom + (n_rows - 1 - row) * (side + gap)
        if column == 0:
            ax = _place(figure, left, y, band, side, sharex=axes[0, 0])
        else:
            x = left + band + 0.2 + (column - 1) * (side + gap)
            ax = _place(figure, x, y, side, side, sharey=axes[row, 0])
        ax.tick_params(labelleft=column == 0, labelbottom=row == n_rows - 1)
        axes[row, column] = ax
    return axes


def _show(
    ax: Axes,
    image: NDArray,
    n_samples: int,
    fs: float,
    low: float,
    high: float,
    cmap: str | Colormap = "gray",
    **look: Any,
) -> Any:
    start, end = _span(n_samples, fs)
    shown = ax.imshow(
        image,
        cmap=cmap,
        vmin=low,
        vmax=high,
        origin="upper",
        extent=(start, end, end, start),
        aspect="auto",
        **look,
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=end > 5))
    return shown


def _plot_above(ax: Axes, signal: NDArray, fs: float) -> None:
    ax.plot(np.arange(len(signal)) / fs, signal, color=BLUE, linewidth=1)
    ax.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    ax.tick_params(labelbottom=False)


def _draw_traces(axes: Sequence[Axes], signals: NDArray, fs: float, names: Sequence[str], units: str) -> None:
    """Plot leads below each other, on one scale."""
    for ax, name, signal in zip(axes, names, signals, strict=True):
        _plot_above(ax, signal, fs)
        ax.set_ylabel(f"{name} ({units})" if units else name)
        ax.set(xlim=_span(signals.shape[1], fs), ylim=_with_margin(signals))
        ax.grid(color="0.9")
    axes[-1].tick_params(labelbottom=True)


def _draw_over(axes: Sequence[Axes], signals: NDArray, made_from: NDArray, fs: float) -> None:
    """Plot thin lines over leads, on a scale that has room for both, and say above which is which."""
    for ax, signal in zip(axes, made_from, strict=True):
        ax.plot(np.arange(len(signal)) / fs, signal, color=VERMILION, linewidth=0.8)
        ax.set_ylim(_with_margin(np.concatenate([signals, made_from])))
    names = ["as recorded", "what the images are made from"]
    axes[0].legend(
        axes[0].lines, names, loc="lower right", bbox_to_anchor=(1, 0.95), ncols=2, frameon=False, borderaxespad=0
    )


def _with_margin(values: NDArray) -> tuple[float, float]:
    margin = 0.05 * (float(np.ptp(values)) or 1.0)
    return float(values.min()) - margin, float(values.max()) + margin


def _draw_column(axes: Sequence[Axes], images: NDArray, n_samples: int, fs: float, white: Sequence[int]) -> None:
    """Show one lead's images below each other."""
    for ax, image, level in zip(axes, images, white, strict=True):
        _show(ax, image, n_samples, fs, 0, level)


def _write_above(figure: Figure, title: str | None, synthetic: bool) -> None:
    height = figure.get_size_inches()[1]
    if title:
        figure.text(0.1, 1 - 0.08 / height, title, fontsize=11, va="top")
    if synthetic:
        figure.text(0.1, 1 - 0.33 / height, _SYNTHETIC, fontsize=9, fontweight="bold", va="top")


def _plot_beside(ax: Axes, signal: NDArray, fs: float) -> None:
    ax.plot(signal, np.arange(len(signal)) / fs, color=BLUE, linewidth=1)
    ax.set_ylim(_span(len(signal), fs)[::-1])
    ax.xaxis.set_inverted(True)
    ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))


def _curves(ax: Axes, frame: pd.DataFrame, labels: dict[str, str]) -> None:
    marker = "o" if len(frame) <= 20 else None
    for k, (column, label) in enumerate(labels.items()):
        ax.plot(frame["epoch"], frame[column], label=label, marker=marker, markersize=3.5, **_line_look(k))


def _curves_together(names: Sequence[str], curves: Sequence, areas: NDArray, title: str | None) -> Figure:
    figure, ax = plt.subplots(figsize=(5, 4.9), layout="constrained")
    for k, (name, curve) in enumerate(zip(names, curves, strict=True)):
        ax.plot(*curve, label=f"{_label(name)}  AUROC {areas[k]:.3f}", **_line_look(k))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="chance  AUROC 0.500")
    ax.set(
        title=title,
        xlabel="1 − specificity (false positive rate)",
        ylabel="sensitivity (true positive rate)",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    ax.grid(color="0.9")
    ax.legend(loc="lower right")
    return figure


def _curves_apart(names: Sequence[str], curves: Sequence, areas: NDArray, title: str | None) -> Figure:
    """One small pair of axes per class."""
    figure, axes = _grid(len(names), 5, (_WIDTH / 5, 1.62), 0.9 if title else 0.6, sharex=True, sharey=True)
    for ax, name, curve, area in zip(axes, names, curves, areas, strict=True):
        ax.plot(*curve, color=BLUE)
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        ax.set_title(_label(name, _LONGEST_NAME // 2), fontsize=9)
        ax.text(0.96, 0.06, f"AUROC\n{area:.3f}", ha="right", fontsize=8, transform=ax.transAxes)
        ax.grid(color="0.9")
    # Shared axes are labelled in the last row, which needn't be full.
    for ax in axes[-axes[0].get_gridspec().ncols :]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("1 − specificity (false positive rate)", fontsize=10)
    figure.supylabel("sensitivity (true positive rate)", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _class_grid(n_classes: int, title: str | None, x: str, y: str) -> tuple[Figure, list[Axes]]:
    """Axes for each class, four in a row."""
    across = min(n_classes, 4)
    down = -(-n_classes // across)
    side = min(6.4 / across, 2.6)
    figure, axes = plt.subplots(
        down,
        across,
        squeeze=False,
        figsize=(min(_WIDTH, 0.8 + (side + 0.4) * across), 0.55 + side * down),
        layout="constrained",
        subplot_kw={"box_aspect": 1},
    )
    for ax in axes.flat[n_classes:]:
        ax.remove()
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure, list(axes.flat[:n_classes])


def _grid(
    n_axes: int, across: int, size: tuple[float, float], around: float, **sharing: bool
) -> tuple[Figure, list[Axes]]:
    """Axes in rows of at most `across`, each `size` inches, and room above and below; those left over are taken out."""
    n_rows = -(-n_axes // across)
    across = -(-n_axes // n_rows)
    figure, axes = plt.subplots(
        n_rows,
        across,
        squeeze=False,
        figsize=(0.45 + size[0] * across, around + size[1] * n_rows),
        layout="constrained",
        **sharing,
    )
    for ax in axes.flat[n_axes:]:
        ax.remove()
    return figure, list(axes.flat[:n_axes])


def _two_by_twos(names: Sequence[str], table: NDArray, title: str | None) -> Figure:
    figure, axes = _grid(len(names), _TABLES_IN_A_ROW, (1.7, 1.75), 0.7 if title else 0.4)
    for ax, name, counts in zip(axes, names, table, strict=True):
        _draw_two_by_two(ax, counts.reshape(2, 2))
        ax.set_title(_label(name, _LONGEST_NAME // 2), fontweight="bold")
        is_first = ax.get_subplotspec().is_first_col()
        ax.tick_params(labelleft=is_first)
        if is_first:
            ax.set_ylabel("record has it")
    figure.supxlabel("predicted", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _lines_of_four(names: Sequence[str], table: NDArray, title: str | None) -> Figure:
    """One line per class, with its true positives, false negatives, false positives and true negatives."""
    pairs = table.reshape(-1, 2, 2)
    shares = (pairs / pairs.sum(axis=2, keepdims=True)).reshape(table.shape)
    figure, ax = plt.subplots(figsize=(_WIDTH, 0.7 + 0.22 * len(names)), layout="constrained")
    _show_shares(ax, shares)
    for (row, column), share in np.ndenumerate(shares):
        ax.text(column, row, f"{int(table[row, column]):,}  ({share:.1%})", ha="center", va="center", fontsize=9)
    ax.axvline(1.5, color="white", linewidth=3)
    heads = ("has it, predicted", "has it, missed", "hasn't, predicted", "hasn't, left alone")
    ax.set_xticks(range(4), [f"{column}\n{head}" for column, head in zip(COLUMNS, heads, strict=True)])
    ax.set_yticks(range(len(names)), [_label(name) for name in names])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _show_shares(ax: Axes, shares: NDArray) -> Any:
    # Half of the color map is enough, and black text stays readable on it.
    shown = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1.8, aspect="auto")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return shown


def _draw_two_by_two(ax: Axes, cells: NDArray) -> None:
    shares = cells / cells.sum(axis=1, keepdims=True)
    _show_shares(ax, shares)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{COLUMNS[2 * row + column]}\n{int(cells[row, column]):,}\n{share:.1%}"
        ax.text(column, row, text, ha="center", va="center", fontsize=9, linespacing=1.25)
    ax.set_xticks([0, 1], ["yes", "no"])
    ax.set_yticks([0, 1], ["yes", "no"])


def _rows_of_twelve(record: NDArray, fs: float) -> list[list[tuple[str, NDArray, NDArray]]]:
    """The rows of the usual paper: three of four leads, and the rhythm strip."""
    rows = [_paper_row(record, fs, names, _COLUMN_SECONDS) for names in _PAPER_LAYOUT]
    return [*rows, _paper_row(record, fs, (_RHYTHM_LEAD,), _PAPER_SECONDS)]


def _paper_row(
    record: NDArray, fs: float, names: tuple[str, ...], seconds: float
) -> list[tuple[str, NDArray, NDArray]]:
    """One row of the paper: for each lead its name, x in mm from the left edge, y in mm from the baseline."""
    row = []
    for column, name in enumerate(names):
        start, stop = (round((column + k) * seconds * fs) for k in (0, 1))
        x = _TRACE_X + np.arange(start, stop) / fs * _MM_PER_S
        row.append((name, x, record[LEADS.index(name), start:stop] * _MM_PER_MV))
    return row


def _on_paper(
    rows: list[list[tuple[str, NDArray, NDArray]]], fs: float, title: str | None, synthetic: bool, below: float = 0.0
) -> Figure:
    """A figure with these rows on paper, and some inches of room below it."""
    baselines, height = _stack_rows(rows)
    # A title has room above the name of a lead that is all the row.
    height += 0 if len(rows[0]) > 1 else _LARGE_BOX
    right = round(max(x[-1] for row in rows for _, x, _ in row) + _MM_PER_S / fs, 3)
    figure, ax = _blank_paper(max(right, _LEAST_WIDTH) + 5, height, below)
    for row, baseline in zip(rows, baselines, strict=True):
        _draw_pulse(ax, baseline)
        for name, x, y in row:
            _draw_paper_lead(ax, name, x, y, baseline)
    _annotate_paper(ax, height, fs, title, synthetic)
    return figure


def _stack_rows(rows: list[list[tuple[str, NDArray, NDArray]]]) -> tuple[list[float], float]:
    """Baselines of the rows, on large boxes, and the height of the paper, both in mm."""
    height, baselines = 2.0 * _LARGE_BOX, []
    for row in reversed(rows):
        below = max(5.0, -min(y.min() for _, _, y in row))
        above = max(_PULSE_HEIGHT_MV * _MM_PER_MV, max(y.max() for _, _, y in row) + _LEAD_NAME_SPACE)
        baselines.append(height + _whole_boxes(below))
        height = baselines[-1] + _whole_boxes(above)
    return baselines[::-1], height + 2 * _LARGE_BOX


def _whole_boxes(length: float) -> float:
    return float(np.ceil(min(length, _ROW_LIMIT) / _LARGE_BOX) * _LARGE_BOX)


def _blank_paper(width: float, height: float, below: float) -> tuple[Figure, Axes]:
    across, up = width / _MM_PER_INCH, height / _MM_PER_INCH
    figure = plt.figure(figsize=(across, up + below), facecolor="white" if below else _PAPER, dpi=_PAPER_DPI)
    ax = _place(figure, 0, below, across, up)
    if below:
        ax.add_patch(Rectangle((0, 0), width, height, color=_PAPER, zorder=0))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    for box, colour, line_width in ((_SMALL_BOX, _PAPER_MINOR, 0.5), (_LARGE_BOX, _PAPER_MAJOR, 0.9)):
        across = [[(x, 0), (x, height)] for x in np.arange(0, width + 0.1, box)]
        down = [[(0, y), (width, y)] for y in np.arange(0, height + 0.1, box)]
        ax.add_collection(LineCollection(across + down, colors=colour, linewidths=line_width), autolim=False)
    return figure, ax


def _draw_pulse(ax: Axes, baseline: float) -> None:
    rise, fall = _PULSE_X, _PULSE_X + _PULSE_WIDTH_S * _MM_PER_S
    top = baseline + _PULSE_HEIGHT_MV * _MM_PER_MV
    ax.plot(
        [rise - 1, rise, rise, fall, fall, fall + 1],
        [*[baseline] * 2, *[top] * 2, *[baseline] * 2],
        color=BLACK,
    )


def _draw_paper_lead(ax: Axes, name: str, x: NDArray, y: NDArray, baseline: float) -> None:
    ax.plot(x, baseline + y, color=BLACK, linewidth=1.1, label=name)
    under_name = y[x < x[0] + 10]
    height = max(_MM_PER_MV / 2, under_name.max()) + 1.5
    ax.text(x[0] + 1, baseline + height, name, fontsize=13, fontweight="bold", va="bottom")


def _annotate_paper(ax: Axes, height: float, fs: float, title: str | None, synthetic: bool) -> None:
    ax.text(_PULSE_X, 5, f"25 mm/s   10 mm/mV   {fs:g} Hz", fontsize=13, va="center")
    if title:
        ax.text(_PULSE_X, height - 5, title, fontsize=14, va="center")
    if synthetic:
        right = ax.get_xlim()[1] - 5
        ax.text(right, 5, _SYNTHETIC, fontsize=13, fontweight="bold", va="center", ha="right")


def _smooth(points: ArrayLike, closed: bool = False) -> NDArray[np.float64]:
    """A smooth curve through points, (P, 2) -> (200, 2)."""
    points = np.array([*points, points[0]] if closed else points, dtype=np.float64)
    # Centripetal: by the root of the distances, so that the curve doesn't swing out between near points.
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1) ** 0.5)])
    spline = make_interp_spline(along, points, min(3, len(points) - 1), bc_type="periodic" if closed else None)
    return spline(np.linspace(0, along[-1], 200))


def _draw_heart(ax: Axes) -> None:
    atria, _, ventricles, _ = _ACTIVE.values()
    ax.set(xlim=(-14, 118), ylim=(-16, 127.7), aspect="equal")
    ax.set_axis_off()
    for points, color in ((_ATRIA, atria), (_VENTRICLES, ventricles)):
        ax.add_patch(Polygon(_smooth(points, closed=True), facecolor=color, edgecolor="0.35"))
    for (name, points), (x, y) in zip(_CAVITIES.items(), _NAMES_AT, strict=True):
        ax.add_patch(Polygon(_smooth(points, closed=True), facecolor="white", edgecolor="0.55", linewidth=0.8))
        ax.text(x, y, name, ha="center", va="center", fontsize=8, color="0.3")
    # The vein opens into the right atrium.
    ax.fill_between([22.5, 31], 88, 108, color="white", zorder=2)
    ax.vlines([22.5, 31], [92.5, 93], 108, color="0.35", linewidth=1)
    look = {"color": GREEN, "solid_capstyle": "round"}
    for name, points in _BUNDLES.items():
        ax.plot(*_smooth(points).T, linewidth=3.5 if name == "His" else 2.2, label=name, **look)
    for points, outwards in zip(_FIBERS, (1, -1), strict=True):
        fiber = _smooth(points)
        ax.plot(*fiber.T, linewidth=1.2, label="Purkinje", **look)
        along = np.gradient(fiber, axis=0)[40::35]
        along *= 2.3 / np.linalg.norm(along, axis=1, keepdims=True)
        twigs = [fiber[40::35], fiber[40::35] + along + outwards * along @ [[0, 1], [-1, 0]]]
        ax.add_collection(LineCollection(np.stack(twigs, axis=1), linewidths=1.2, colors=GREEN))
    for center, color in ((_SINUS_NODE, BLUE), (_AV_NODE, GREEN)):
        ax.add_patch(Circle(center, 3, facecolor=color, edgecolor="white", zorder=5))
    for points in _ATRIAL_WAYS:
        way = Path(_smooth(points))
        ax.add_patch(FancyArrowPatch(path=way, arrowstyle="-|>", mutation_scale=9, color=BLUE, linewidth=1.3))
    _name_parts(ax)


def _name_parts(ax: Axes) -> None:
    ax.text(26.7, 110, "superior\nvena cava", ha="center", va="bottom", fontsize=9, color="0.3")
    words = {
        "sinus\nnode": ((16.7, 92.5), (5, 99), "right"),
        "AV node": ((44.4, 61.6), (5, 58.6), "right"),
        "bundle\nof His": ((51, 59.3), (94, 60), "left"),
        "Purkinje\nfibers": ((83.5, 30), (99, 24), "left"),
        "right bundle\nbranch": ((56, 15), (38, -8), "center"),
        "left bundle\nbranch": ((64.8, 17), (80, -8), "center"),
    }
    for word, (part, place, align) in words.items():
        line = {"arrowstyle": "-", "color": "0.35", "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0}
        ax.annotate(word, part, place, ha=align, va="center", fontsize=9, arrowprops=line)


def _draw_activation(ax: Axes, beat: NDArray, ms: NDArray, bounds: NDArray, places: NDArray) -> None:
    """Draw a beat over spans in the colours of the heart's parts, with its waves and intervals."""
    for start, end, color in zip(bounds[:-1], bounds[1:], _ACTIVE.values(), strict=True):
        ax.axvspan(start, end, color=color, linewidth=0)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle=":")
    ax.plot(ms, beat, color=BLACK)
    height, (p_start, p_end, qrs_start, qrs_end, t_end) = float(np.ptp(beat)), places
    r = qrs_start + beat[qrs_start : qrs_end + 1].argmax()
    q, s = qrs_start + beat[qrs_start : r + 1].argmin(), r + beat[r : qrs_end + 1].argmin()
    p, t = (a + np.abs(beat[a:b]).argmax() for a, b in ((p_start, p_end), (qrs_end, t_end)))
    for name, at in zip("PQRST", (p, q, r, s, t), strict=True):
        if name in "PRT" or beat[at] < -beat[r] / 50:
            side = -1 if name in "QS" or beat[at] < 0 else 1
            x = ms[at] + {"Q": -8, "S": 8}.get(name, 0)
            y = beat[at] + side * 0.02 * height
            ax.text(x, y, name, ha="center", va="bottom" if side > 0 else "top", fontweight="bold")
    lines = {"PR": (bounds[0], bounds[2]), "QRS": (bounds[2], bounds[3]), "QT": (bounds[2], bounds[4])}
    for row, (name, (start, end)) in enumerate(lines.items(), start=1):
        y = beat.min() - (0.06 + 0.085 * row) * height
        ax.plot([start, end], [y, y], color=BLACK, marker="|", linewidth=1.2, label=f"_{name}")
        ax.text(end + 10, y, name, va="center", fontsize=9)
    ax.set(xlim=(bounds[0] - 50, bounds[-1] + 95), ylim=(beat.min() - 0.38 * height, beat.max() + 0.12 * height))
    handles = [Patch(color=color, label=label) for label, color in _ACTIVE.items()]
    ax.legend(handles=handles, loc="upper right", fontsize=8, handlelength=0.9, frameon=True, framealpha=1)
