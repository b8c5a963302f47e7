"""ECGs of one's own as pictures: on paper as they were recorded, and as the images that a network is fed."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgcourse.analysis import plots
from ecgcourse.errors import DataError
from ecgcourse.learning import datasets
from ecgcourse.recipe import ImageRecipe, Recipe
from ecgcourse.records.own_files import Ecg, windows, with_leads
from ecgcourse.records.ptbxl import LEADS

SECONDS = 10
"""Of a record that are drawn, at most; as on the usual paper."""

DERIVED = ("III", "aVR", "aVL", "aVF")
"""Leads that follow from I and II."""


def paper_and_images(ecg: Ecg, images: ImageRecipe, sampling_rate: float = 100) -> Figure:
    """Draw an ECG on paper, and below it the images that a network would be fed.

    The paper has the voltages as they were recorded; the images are of filtered and scaled ones. Drawn are the first
    10 s in which no sample is missing, or all of a shorter record.

    Parameters
    ----------
    ecg : Ecg
    images : ImageRecipe
    sampling_rate : float
        In Hz, at which the images are made.

    Raises
    ------
    DataError
        A lead that the images need isn't there, or every window has a gap.
    SettingError
        A crop of the recipe that is longer than the record.
    """
    duration = ecg.signal.shape[1] / ecg.sampling_rate
    found = windows(with_leads(ecg, images.leads), min(SECONDS, duration))
    start, n_samples = float(found.starts[0]), found.signals.shape[-1]
    fed = image_arguments(found.signals[0], ecg.sampling_rate, images.leads, images, sampling_rate)
    title = ecg.name
    if n_samples < ecg.signal.shape[1]:
        title += f", {start:g} to {start + n_samples / ecg.sampling_rate:g} s of {duration:g} s"
    return paper(ecg, start, n_samples / ecg.sampling_rate, title, fed)


def paper(ecg: Ecg, start: float, n_seconds: float, title: str | None, fed: dict[str, Any] | None = None) -> Figure:
    """Draw a part of a record on paper: twelve leads where it has them, or they follow from I and II.

    Parameters
    ----------
    ecg : Ecg
    start, n_seconds : float
        The part, in s.
    title : str or None
    fed : dict, optional
        As for :func:`ecgcourse.analysis.plots.paper`.

    Raises
    ------
    DataError
        Every lead has a gap there.
    """
    own = ecg.leads
    if {"I", "II"} <= set(own):
        ecg = with_leads(ecg, [name for name in LEADS if name in own or name in DERIVED])
        derived = [name for name in ecg.leads if name not in own]
        title = f"{title}; {', '.join(derived)} from I and II" if derived and title else title
    first = round(start * ecg.sampling_rate)
    part = ecg.signal[:, first : first + round(n_seconds * ecg.sampling_rate)]
    whole = np.isfinite(part).all(axis=1)
    if not whole.any():
        raise DataError(f"{ecg.name}: each lead has a gap from {start:g} s to {start + n_seconds:g} s")
    names = [name for name, has_all in zip(ecg.leads, whole, strict=True) if has_all]
    # Between two dollar signs, Matplotlib reads formulas.
    title = title and title.replace("$", r"\$")
    with warnings.catch_warnings():
        # The name of a file may have characters that the font hasn't.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        return plots.paper(part[whole], ecg.sampling_rate, names, title, is_synthetic(ecg), fed)


def image_arguments(
    x: np.ndarray, fs: float, leads: tuple[str, ...], images: ImageRecipe, sampling_rate: float
) -> dict[str, Any]:
    """The images of one record, as arguments of :func:`ecgcourse.analysis.plots.nine_images`.

    Parameters
    ----------
    x : (L', T) array
        In mV.
    fs : float
        Of `x`, in Hz.
    leads : tuple of str
        Names of its rows.
    images : ImageRecipe
        Where it has crops, the images are of the crop in the middle.
    sampling_rate : float
        In Hz, at which they are made.

    Raises
    ------
    DataError, SettingError
        As :func:`ecgcourse.learning.datasets.from_arrays`.
    """
    recipe = Recipe(replace(images, eval_crops=1), sampling_rate=sampling_rate)
    dataset = datasets.from_arrays(x[None], np.zeros((1, 1)), fs, recipe=recipe, leads=list(leads))
    signals = dataset.signals[0].cpu().numpy()
    if images.crop:
        first = (signals.shape[1] - images.crop) // 2
        signals = signals[:, first : first + images.crop]
    white = max(1, round(255 / images.mtf_white))
    made = {"images": dataset[0][0].cpu().numpy(), "signals": signals, "fs": sampling_rate, "names": images.leads}
    return made | {"mtf_white": white, "fields": images.fields}


def is_synthetic(ecg: Ecg) -> bool:
    """Whether a file says that this package made it."""
    return any("synthetic ECG made by ecgcourse" in str(each) for each in ecg.about.get("comments", ()))
