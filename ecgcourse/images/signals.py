"""From raw leads to what the images are made of: band-pass, choose leads, scale.

Every function takes time on the last axis and leads on the one before it, so that one record ``(L, T)``
and a whole set ``(N, L, T)`` go through the same code. Introduced in chapter 3.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ecgcourse.errors import (
    DataError,
    EcgCourseWarning,
    SettingError,
    as_names,
    check_setting,
    is_real,
    is_whole,
    shown,
)
from ecgcourse.records.ptbxl_names import ALL_LEADS, LEADS

IMAGE_LEADS = ("I", "II", "V2")
"""The three leads whose images the course builds, after Narotamo et al. 2024."""

LARGEST_VOLTAGE = 2.5
"""What one fixed scale has room for, in mV, above and below 0."""


NO_HEART = 50.0
"""No electrode on the skin sees so many mV of a heart; what PTB-XL's files can hold ends at 33."""


def bandpass(
    x: np.ndarray, fs: float, low: float = 1, high: float = 45, order: int = 2, zero_phase: bool = False
) -> np.ndarray:
    """Keep what lies between two frequencies with a Butterworth filter.

    Parameters
    ----------
    x : (..., T) array
        Signals in any unit, time last.
    fs : float
        Sampling rate in Hz.
    low, high : float
        Corner frequencies in Hz, where the gain is 1/√2 (1/2 with ``zero_phase``).
    order : int
        Order of the low-pass prototype.
    zero_phase : bool
        False filters forward in time, as a monitor must and as Narotamo et al. do: waves are delayed and
        bent. True filters forward and back (``sosfiltfilt``): nothing moves, but the future is needed.

    Returns
    -------
    (..., T) float64 array
        In the unit of ``x``.

    Raises
    ------
    SettingError
        Corner frequencies that are not ``0 < low < high < fs / 2``, or an order below 1.
    DataError
        NaN or infinite samples, or a signal too short for the zero-phase filter.
    """
    x = _finite(x, "bandpass")
    check_setting("bandpass", "order", order, order >= 1, "at least 1")
    if not 0 < low < high < fs / 2:
        raise SettingError(
            f"bandpass: low={low} Hz and high={high} Hz at a sampling rate of {fs} Hz, but 0 < low < high < "
            f"{fs / 2:g} Hz (half the sampling rate) is needed"
        )
    from scipy import signal as scipy_signal  # not above: a second's import, which only filtering needs

    parts = sections(fs, low, high, order)
    if not zero_phase:
        return scipy_signal.sosfilt(parts, x, axis=-1)
    try:
        return scipy_signal.sosfiltfilt(parts, x, axis=-1)
    except ValueError as error:
        raise DataError(f"bandpass: {x.shape[-1]} samples are too few for zero_phase=True: {error}") from error


def sections(fs: float, low: float = 1, high: float = 45, order: int = 2) -> np.ndarray:
    """Second-order sections of the filter of :func:`bandpass`, (order, 6): b0, b1, b2, a0, a1, a2 of each."""
    from scipy import signal as scipy_signal

    return scipy_signal.butter(order, [low, high], "bandpass", fs=fs, output="sos")


def resample(x: np.ndarray, fs: float, wanted: float) -> np.ndarray:
    """Bring signals to another sampling rate, without aliasing: a polyphase FIR filter, as SciPy designs it.

    Parameters
    ----------
    x : (..., T) array
        Signals in any unit, time last.
    fs, wanted : float
        The sampling rate that they have and the one that they are to have, in Hz.

    Returns
    -------
    (..., ceil(T · wanted / fs)) float64 array
        The first sample stays at its place. ``x`` itself, as float64, where the rates are equal.

    Raises
    ------
    SettingError
        A rate that isn't above 0, or rates whose ratio has no fraction with parts up to 10,000.
    DataError
        NaN or infinite samples.

    References
    ----------
    Crochiere, R. E. (1979). A general program to perform sampling rate conversion of data by rational ratios.
    In: Programs for digital signal processing, IEEE Press.
    """
    x = _finite(x, "resample")
    if not (is_real(fs, 0) and is_real(wanted, 0)):
        raise SettingError(f"resample: from {shown(fs)} to {shown(wanted)} Hz, but both must be numbers above 0")
    ratio = (Fraction(wanted).limit_denominator(10**6) / Fraction(fs).limit_denominator(10**6)).limit_denominator(10**4)
    if max(ratio.numerator, ratio.denominator) > 10**4 or abs(ratio * fs / wanted - 1) > 1e-6:
        raise SettingError(f"resample: {fs:g} to {wanted:g} Hz is no ratio of whole numbers up to 10,000")
    if ratio == 1:
        return x
    from scipy import signal as scipy_signal

    # Beyond its ends a record goes on along the line from its first sample to its last, not with zeros.
    return scipy_signal.resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="line")


def select_leads(x: np.ndarray, leads: Sequence[str] = IMAGE_LEADS, given: Sequence[str] = LEADS) -> np.ndarray:
    """Take leads by name out of records.

    Parameters
    ----------
    x : (..., L', T) array
        Records of any unit.
    leads : sequence of str
        Names to take, in the order wanted.
    given : sequence of str
        Names of the L' leads of ``x``, in their order; by default the twelve of :data:`ecgcourse.records.ptbxl.LEADS`.

    Returns
    -------
    (..., len(leads), T) array
        A copy, of the dtype of ``x``.

    Raises
    ------
    SettingError
        A name that is no lead.
    DataError
        ``x`` has another number of leads than names are given, or lacks one that is asked for.
    """
    x = np.asarray(x)
    if x.ndim < 2 or x.shape[-2] != len(given):
        raise DataError(
            f"select_leads: x has shape {x.shape}, but (..., {len(given)}, T) is needed, one row per lead "
            f"({', '.join(map(str, given))})"
        )
    unknown = [name for name in leads if name not in ALL_LEADS]
    if unknown:
        raise SettingError(
            f"select_leads: no lead is called {', '.join(unknown)}; the leads are {', '.join(ALL_LEADS)}"
        )
    missing = [name for name in leads if name not in given]
    if missing:
        raise DataError(
            f"select_leads: lead {', '.join(missing)} is needed, but x has {', '.join(map(str, given))}; give it, or "
            "make a network for the leads that there are"
        )
    return x[..., [list(given).index(name) for name in leads], :]


def min_max(x: np.ndarray) -> np.ndarray:
    """Scale each lead to [0, 1] by its own smallest and largest sample.

    A flat lead has no range to divide by. It becomes zeros, and one warning tells how many there were.

    Parameters
    ----------
    x : (..., T) array
        Signals in any unit, time last.

    Returns
    -------
    (..., T) float64 array
        Dimensionless, in [0, 1]; every lead that is not flat touches both ends.

    Raises
    ------
    DataError
        NaN or infinite samples.
    """
    x = _finite(x, "min_max")
    lowest = x.min(axis=-1, keepdims=True)
    span = x.max(axis=-1, keepdims=True) - lowest
    _warn_of_flat_leads(int((span == 0).sum()))
    return (x - lowest) / np.where(span == 0, 1, span)


def z_score(x: np.ndarray) -> np.ndarray:
    """Scale each lead to mean 0 and standard deviation 1.

    Parameters
    ----------
    x : (..., T) array
        Signals in any unit, time last.

    Returns
    -------
    (..., T) float64 array
        Dimensionless. A flat lead becomes zeros, and one warning tells how many there were.

    Raises
    ------
    DataError
        NaN or infinite samples.
    """
    x = _finite(x, "z_score")
    # Rounding leaves a flat lead with a deviation that isn't quite 0.
    flat = np.ptp(x, axis=-1, keepdims=True) == 0
    _warn_of_flat_leads(int(flat.sum()))
    deviation = np.where(flat, 1, x.std(axis=-1, keepdims=True))
    return np.where(flat, 0, (x - x.mean(axis=-1, keepdims=True)) / deviation)


def fixed_scale(x: np.ndarray, largest: float = LARGEST_VOLTAGE) -> np.ndarray:
    """Scale all leads alike to [0, 1], so that a tall wave stays taller than a low one.

    Parameters
    ----------
    x : (..., T) array
        Signals in mV, time last.
    largest : float
        Voltage in mV that becomes 1; its negative becomes 0, 0 mV becomes 1/2. What lies outside is cut off.

    Returns
    -------
    (..., T) float64 array
        Dimensionless.

    Raises
    ------
    DataError
        NaN or infinite samples.
    SettingError
        `largest` isn't a number above 0.
    """
    x = _finite(x, "fixed_scale")
    check_setting("fixed_scale", "largest", largest, 0 < largest < np.inf, "a number of mV above 0")
    return np.clip((x / largest + 1) / 2, 0, 1)


def millivolt(x: np.ndarray) -> np.ndarray:
    """Leave signals (..., T) in mV as they are, as float64; DataError for NaN or infinite samples."""
    return _finite(x, "millivolt")


SCALINGS = {"min_max": min_max, "z_score": z_score, "fixed_scale": fixed_scale, "millivolt": millivolt}
"""How :func:`preprocess` can scale, by name. Images need numbers in [0, 1], from "min_max" or "fixed_scale"."""


def preprocess(
    x: np.ndarray,
    fs: float = 100,
    leads: Sequence[str] = IMAGE_LEADS,
    zero_phase: bool = False,
    scaling: str = "min_max",
    given: Sequence[str] = LEADS,
    filtered: bool = True,
) -> np.ndarray:
    """Choose leads, band-pass 1–45 Hz, scale: by default to [0, 1], the input of every image.

    Parameters
    ----------
    x : (..., L', T) array
        Records in mV, as :func:`ecgcourse.records.ptbxl.read_signals` returns them.
    fs : float
        Sampling rate in Hz.
    leads : sequence of str
        Leads to keep.
    zero_phase : bool
        As in :func:`bandpass`.
    scaling : {"min_max", "z_score", "fixed_scale", "millivolt"}
        One of the functions of this module.
    given : sequence of str
        Names of the leads of ``x``, in their order.
    filtered : bool
        False leaves the band-pass out: for single beats, which are too short to be filtered.

    Returns
    -------
    (..., len(leads), T) float32 array
        With "min_max" and "fixed_scale" in [0, 1]. With "min_max" and "z_score", a lead that is flat before
        the filter becomes zeros, with one warning.

    Raises
    ------
    DataError, SettingError
        As :func:`bandpass`, :func:`select_leads` and the scaling do; SettingError for an unknown one. DataError for
        voltages above :data:`NO_HEART`: they can't be in mV.

    Notes
    -----
    Steps 2 and 3 of the method of Narotamo et al. 2024.
    """
    check_setting("preprocess", "scaling", scaling, scaling in SCALINGS, " or ".join(SCALINGS))
    chosen = select_leads(x, leads, given)
    _refuse_other_units(chosen)
    passed = bandpass(chosen, fs, zero_phase=zero_phase) if filtered else chosen
    # A constant that is not zero leaves the causal filter as a decaying step, which scaling would blow up
    # to a full-size wave that nobody's heart made.
    flat = np.ptp(chosen, axis=-1, keepdims=True) == 0
    return SCALINGS[scaling](np.where(flat, 0, passed)).astype(np.float32)


@dataclass(frozen=True)
class SignalRecipe:
    """How the signals that a network reads are prepared.

    Parameters
    ----------
    leads : tuple of str
        Names of the L leads, in order.
    scaling : {"min_max", "z_score", "fixed_scale", "millivolt"}
        How voltages are scaled after the band-pass. See :func:`preprocess`.
    zero_phase : bool
        Filter forward and back, so that no wave moves. See :func:`bandpass`.
    crop : int, optional
        Samples that the network reads at a time, at a random place while it learns; by default all.
    eval_crops : int
        Number V of crops whose logits are averaged when the network is asked. They lie at equal distances, from the
        first sample to the last; a single one lies in the middle.
    filtered : bool
        Band-pass before scaling; not for single beats, which are too short.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    leads: tuple[str, ...] = IMAGE_LEADS
    scaling: str = "z_score"
    zero_phase: bool = False
    crop: int | None = None
    eval_crops: int = 1
    filtered: bool = True

    def __post_init__(self):
        check_common(self, "signals", SCALINGS)

    def apply(self, x: np.ndarray, fs: float = 100, given: Sequence[str] = LEADS) -> np.ndarray:
        """Prepare records (N, L', T) in mV, sampled at `fs` Hz, whose L' leads are called as `given` says.

        Returns
        -------
        (N, L, T) float32 array

        Raises
        ------
        DataError, SettingError
            As :func:`preprocess`.
        """
        return preprocess(x, fs, self.leads, self.zero_phase, self.scaling, given, self.filtered)


def check_common(recipe: object, part: str, scalings: Collection[str]) -> None:
    """SettingError for a setting of both recipes that isn't allowed; leads become a tuple."""
    object.__setattr__(recipe, "leads", as_names(part, "leads", recipe.leads))
    leads, crop, crops = recipe.leads, recipe.crop, recipe.eval_crops
    right = leads and set(leads) <= set(ALL_LEADS) and len(set(leads)) == len(leads)
    check_setting(part, "leads", leads, right, f"some of {', '.join(ALL_LEADS)}, each once")
    check_setting(part, "scaling", recipe.scaling, recipe.scaling in tuple(scalings), " or ".join(scalings))
    for name in ("zero_phase", "filtered"):
        value = getattr(recipe, name)
        check_setting(part, name, value, isinstance(value, bool), "True or False")
    check_setting(part, "crop", crop, crop is None or is_whole(crop, 2), "at least 2 samples, or None")
    right = is_whole(crops, 1) and (crop or crops == 1)
    check_setting(part, "eval_crops", crops, right, "at least 1, and 1 without a crop")


def _finite(x: np.ndarray, caller: str) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise DataError(f"{caller}: x has shape {x.shape}, but at least one sample on a time axis is needed")
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        raise DataError(
            f"{caller}: {len(bad)} samples are NaN or infinite, the first at index {tuple(bad[0].tolist())} of "
            f"shape {x.shape}; repair or leave out that record"
        )
    return x


def _refuse_other_units(x: np.ndarray) -> None:
    largest = np.abs(x).max(initial=0)
    if NO_HEART < largest < np.inf:
        raise DataError(
            f"preprocess: the largest sample is {largest:g}, and no heart makes so many mV; these may be µV (divide "
            "by 1000) or a converter's whole numbers (divide by its gain)"
        )


def _warn_of_flat_leads(count: int) -> None:
    if count:
        warnings.warn(
            f"{count} flat lead{'s' if count > 1 else ''} set to zeros: no range to scale by",
            EcgCourseWarning,
            stacklevel=3,
        )
