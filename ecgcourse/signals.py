"""From raw leads to what the images are made of: band-pass, choose leads, scale.

Every function takes time on the last axis and leads on the one before it, so that one record ``(L, T)``
and a whole set ``(N, L, T)`` go through the same code. Introduced in chapter 03.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import signal as scipy_signal

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.ptbxl import LEADS

IMAGE_LEADS = ("I", "II", "V2")
"""The three leads whose images the course builds, after Narotamo et al. 2024."""


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


def preprocess(
    x: np.ndarray, fs: float = 100, leads: Sequence[str] = IMAGE_LEADS, zero_phase: bool = False
) -> np.ndarray:
    """Choose leads, band-pass 1–45 Hz, scale to [0, 1]: the input of every image.

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

    Returns
    -------
    (..., len(leads), T) float32 array
        In [0, 1]. A lead that is flat before the filter becomes zeros, with one warning.

    Raises
    ------
    DataError, SettingError
        As :func:`bandpass`, :func:`select_leads` and :func:`min_max` do.

    Notes
    -----
    Steps 2 and 3 of the method of Narotamo et al. 2024.
    """
    chosen = select_leads(x, leads)
    filtered = bandpass(chosen, fs, zero_phase=zero_phase)
    # A constant that is not zero leaves the causal filter as a decaying step, which scaling would blow up
    # to a full-size wave that nobody's heart made.
    flat = np.ptp(chosen, axis=-1, keepdims=True) == 0
    return min_max(np.where(flat, 0, filtered)).astype(np.float32)


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


def _warn_of_flat_leads(count: int) -> None:
    if count:
        warnings.warn(
            f"{count} flat lead{'s' if count > 1 else ''} set to zeros: no range to scale by",
            EcgCourseWarning,
            stacklevel=3,
        )
