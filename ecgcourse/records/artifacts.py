"""What disturbs a synthetic record: baseline wander, muscle noise, hum, and an electrode that comes loose.

Everything is added at the nine electrodes, before the leads are formed, so that a disturbance of one limb shows in
all leads that use it. :mod:`ecgcourse.records.practice` draws them; chapter 3 filters them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The nine electrodes: right arm, left arm, left leg, and six on the chest."""

# Standard deviation of unit white noise after the filter of `_muscle_filter`, at 500 Hz.
_AFTER_FILTER = 0.65


@dataclass(frozen=True)
class Disturbances:
    """How much of each disturbance a record has; all amplitudes in mV."""

    wander: float = 0.04
    muscle: float = 0.015
    hum: float = 0.010
    hum_frequency: float = 50.0
    # Seconds from start to end of a burst of muscle noise; none if both are 0.
    burst: tuple[float, float] = (0.0, 0.0)
    # The electrode that is loose, as in `ELECTRODES`.
    loose: str | None = None


def electrode_noise(times: np.ndarray, fs: float, how: Disturbances, rng: np.random.Generator) -> np.ndarray:
    """What each electrode adds.

    Parameters
    ----------
    times : (T,) array
        In s, at equal distances.
    fs : float
        Sampling rate in Hz.
    how : Disturbances
        How much of each there is.
    rng : numpy.random.Generator
        Chooses the noise.

    Returns
    -------
    (9, T) float64 array
        In mV, electrodes as in `ELECTRODES`.
    """
    from scipy import signal as scipy_signal  # not above: a second's import, which only the noise needs

    n = len(ELECTRODES)
    noise = np.zeros((n, len(times)))
    # In place: new memory of this size costs as much as what is put there.
    for low, high, share in ((0.05, 0.15, 1.0), (0.15, 0.45, 0.7)):
        waves = _sines(rng.uniform(low, high, (n, 1)), 2 * np.pi * rng.uniform(0, 1, (n, 1)), times)
        waves *= rng.exponential(share * how.wander, (n, 1))
        noise += waves
    muscle = scipy_signal.sosfilt(_muscle_filter(fs), rng.standard_normal((n, len(times))), axis=-1)
    muscle *= how.muscle / _AFTER_FILTER
    start, end = how.burst
    muscle[:, (times >= start) & (times < end)] *= 6.0
    noise += muscle
    mains = how.hum_frequency + rng.normal(0, 0.02)
    hum = rng.exponential(how.hum, (n, 1))
    waves = _sines(mains, rng.uniform(0, 0.5, (n, 1)), times)
    waves *= hum
    noise += waves
    if how.loose is not None:
        noise[ELECTRODES.index(how.loose)] += _loose_contact(times, rng)
    return noise


def to_leads(noise: np.ndarray) -> np.ndarray:
    """What the electrodes' noise adds to the leads V1 … V6, I, II: (9, T) to (8, T).

    Chest leads are measured against Wilson's central terminal, the mean of the three limbs.
    """
    right_arm, left_arm, left_leg = noise[:3]
    return np.concatenate([noise[3:] - noise[:3].mean(axis=0), [left_arm - right_arm, left_leg - right_arm]])


def _sines(frequencies: np.ndarray | float, phases: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Sines of frequencies in Hz, (n, 1) or one, and phases in radians, (n, 1): (n, T).

    By the sum of two angles: when a block of times starts and how far into it one is. That takes few sines, which
    would be half the time that a record takes.
    """
    block = int(len(times) ** 0.5) + 1
    turn = 2 * np.pi * frequencies
    starts, within = turn * times[::block] + phases, turn * (times[:block] - times[0])
    waves = np.stack([np.sin(starts), np.cos(starts)], axis=-1) @ np.stack([np.cos(within), np.sin(within)], axis=-2)
    return waves.reshape(len(phases), -1)[:, : len(times)]


@cache
def _muscle_filter(fs: float) -> np.ndarray:
    from scipy import signal as scipy_signal

    return scipy_signal.butter(2, [15, 120], "bandpass", fs=fs, output="sos")


def _loose_contact(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Jumps of the voltage that relax within a second or so, a few in ten seconds: (T,) mV."""
    out = np.zeros(len(times))
    for start in rng.uniform(times[0], times[-1], rng.integers(2, 6)):
        after = times - start
        out += rng.normal(0, 0.9) * np.where(after >= 0, np.exp(-np.maximum(after, 0) / rng.uniform(0.2, 1.2)), 0)
    return out
