"""From raw leads to what the images are made of: band-pass, choose leads, scale.

Every function takes time on the last axis and leads on the one before it, so that one record ``(L, T)``
and a whole set ``(N, L, T)`` go through the same code. Introduced in chapter 03.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal as scipy_signal

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.ptbxl import LEADS

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
    if order < 1:
        raise SettingError(f"bandpass: order={order}, but it must be at least 1")
    if not 0 < low < high < fs / 2:
        raise SettingError(
            f"bandpass: low={low} Hz and high={high} Hz at a sampling rate of {fs} Hz, but 0 < low < high < "
            f"{fs / 2:g} Hz (half the sampling rate) is needed"
        )
    sections = scipy_signal.butter(order, [low, high], "bandpass", fs=fs, output="sos")
    if not zero_phase:
        return scipy_signal.sosfilt(sections, x, axis=-1)
    try:
        return scipy_signal.sosfiltfilt(sections, x, axis=-1)
    except ValueError as error:
        raise DataError(f"bandpass: {x.shape[-1]} samples are too few for zero_phase=True: {error}") from error


def select_leads(x: np.ndarray, leads: Sequence[str] = IMAGE_LEADS) -> np.ndarray:
    """Take leads by name out of 12-lead records.

    Parameters
    ----------
    x : (..., 12, T) array
        Records whose leads stand in the order of :data:`ecgcourse.ptbxl.LEADS`.
    leads : sequence of str
        Names to take, in the order wanted.

    Returns
    -------
    (..., len(leads), T) array
        A copy, of the dtype of ``x``.

    Raises
    ------
    SettingError
        A name that is no lead.
    DataError
        ``x`` has not 12 leads.
    """
    x = np.asarray(x)
    if x.ndim < 2 or x.shape[-2] != len(LEADS):
        raise DataError(f"select_leads: x has shape {x.shape}, but (..., 12, T) is needed, one row per lead")
    unknown = [name for name in leads if name not in LEADS]
    if unknown:
        raise SettingError(f"select_leads: no lead is called {', '.join(unknown)}; the leads are {', '.join(LEADS)}")
    return x[..., [LEADS.index(name) for name in leads], :]


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
    if not 0 < largest < np.inf:
        raise SettingError(f"fixed_scale: largest={largest} mV, but it must be above 0")
    return np.clip((x / largest + 1) / 2, 0, 1)


def millivolt(x: np.ndarray) -> np.ndarray:
    """Leave signals (..., T) in mV as they are, as float64; DataError for NaN or infinite samples."""
    return _finite(x, "millivolt")


SCALINGS = {"min_max": min_max, "z_score": z_score, "fixed_scale": fixed_scale, "millivolt": millivolt}
"""How :func:`preprocess` can scale. Images need numbers in [0, 1], which the first and the third give."""


def preprocess(
    x: np.ndarray,
    fs: float = 100,
    leads: Sequence[str] = IMAGE_LEADS,
    zero_phase: bool = False,
    scaling: str = "min_max",
) -> np.ndarray:
    """Choose leads, band-pass 1–45 Hz, scale: by default to [0, 1], the input of every image.

    Parameters
    ----------
    x : (..., 12, T) array
        Records in mV, as :func:`ecgcourse.ptbxl.read_signals` returns them.
    fs : float
        Sampling rate in Hz.
    leads : sequence of str
        Leads to keep.
    zero_phase : bool
        As in :func:`bandpass`.
    scaling : {"min_max", "z_score", "fixed_scale", "millivolt"}
        One of the functions of this module.

    Returns
    -------
    (..., len(leads), T) float32 array
        With "min_max" and "fixed_scale" in [0, 1]. With the first two, a lead that is flat before the filter
        becomes zeros, with one warning.

    Raises
    ------
    DataError, SettingError
        As :func:`bandpass`, :func:`select_leads` and the scaling do; SettingError for an unknown one. DataError for
        voltages above :data:`NO_HEART`: they can't be in mV.

    Notes
    -----
    Steps 2 and 3 of the method of Narotamo et al. 2024.
    """
    if scaling not in SCALINGS:
        raise SettingError(f"preprocess: scaling={scaling!r}, but it must be {' or '.join(SCALINGS)}")
    chosen = select_leads(x, leads)
    _refuse_other_units(chosen)
    filtered = bandpass(chosen, fs, zero_phase=zero_phase)
    # A constant that is not zero leaves the causal filter as a decaying step, which scaling would blow up
    # to a full-size wave that nobody's heart made.
    flat = np.ptp(chosen, axis=-1, keepdims=True) == 0
    return SCALINGS[scaling](np.where(flat, 0, filtered)).astype(np.float32)


@dataclass(frozen=True)
class SignalRecipe:
    """How the signals that a network reads are prepared.

    Parameters
    ----------
    leads : tuple of str
        Names of the L leads, in order.
    scaling : {"min_max", "z_score", "fixed_scale", "millivolt"}
        As for :func:`preprocess`, after the band-pass.
    zero_phase : bool
        As for :func:`bandpass`.
    window : int, optional
        Samples that the network reads at a time; None: all.
    views : int
        With a window: 0 takes one at a random place each time a record is asked for, which PyTorch's global
        random numbers choose; V takes V of them at equal distances, from the first sample to the last.
    gain : float
        With a window at a random place: each lead is multiplied by a random number between 1 / (1 + gain) and
        1 + gain, on a logarithmic scale. 0 leaves voltages as they are.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    leads: tuple[str, ...] = IMAGE_LEADS
    scaling: str = "z_score"
    zero_phase: bool = False
    window: int | None = None
    views: int = 0
    gain: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "leads", tuple(self.leads))
        right = self.leads and set(self.leads) <= set(LEADS)
        self._need("leads", right, f"some of {', '.join(LEADS)}")
        self._need("scaling", self.scaling in SCALINGS, " or ".join(SCALINGS))
        self._need("window", self.window is None or self.window >= 2, "at least 2 samples, or None")
        self._need("views", self.views >= 0 and (self.window or not self.views), "0 or more, and 0 without a window")
        is_drawn = self.window is not None and not self.views
        self._need("gain", self.gain == 0 or (is_drawn and 0 < self.gain < np.inf), "0, or above with random windows")

    def _need(self, name: str, right: object, allowed: str) -> None:
        if not right:
            raise SettingError(f"signals: {name}={getattr(self, name)!r} isn't allowed; it must be {allowed}")

    def apply(self, x: np.ndarray, fs: float = 100) -> np.ndarray:
        """Prepare records (N, 12, T) in mV, sampled at `fs` Hz: (N, L, T) float32. Errors as :func:`preprocess`."""
        return preprocess(x, fs, self.leads, self.zero_phase, self.scaling)


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
