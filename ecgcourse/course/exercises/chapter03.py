"""Answers to the exercises of chapter 3, cleaning signals."""

import numpy as np
from scipy.optimize import brentq
from scipy.signal import butter, group_delay, sos2tf, sosfreqz

from ecgcourse.course.exercises.judging import function, values
from ecgcourse.images import signals
from ecgcourse.records.ptbxl import LEADS

FINE = 500  # Hz, the sampling rate of the triangles and sines
LIMIT = 0.05  # mV, a false ST shift that may stay
AT, ASIDE = 6.9, 0.12  # s: the triangle that is looked at, and how far from its peak


def appears_at(frequency: float, fs: float) -> float:
    """The frequency in Hz, at most fs / 2, at which a sine comes out when it is sampled at fs Hz without a filter."""
    return abs(frequency - fs * round(frequency / fs))


def _sections(fs: float) -> np.ndarray:
    return butter(2, [1, 45], "bandpass", fs=fs, output="sos")


def _phase(frequency: float, fs: float = FINE) -> float:
    _, gain = sosfreqz(_sections(fs), [frequency], fs=fs)
    return float(np.angle(gain[0]))


def earlier_by(frequency: float) -> float:
    """By how many ms the causal filter of the chapter brings a sine of this frequency in Hz forward, at 500 Hz."""
    return 1000 * _phase(frequency) / (2 * np.pi * frequency)


def _without_two_pi(frequency: float) -> float:
    return 1000 * _phase(frequency) / frequency


def _at_100_hz(frequency: float) -> float:
    return 1000 * _phase(frequency, fs=100) / (2 * np.pi * frequency)


def _by_group_delay(frequency: float) -> float:
    _, delay = group_delay(sos2tf(_sections(FINE)), [frequency], fs=FINE)
    return -1000 * float(delay[0]) / FINE


def triangles() -> tuple[np.ndarray, np.ndarray]:
    """Times in s and voltages in mV, (T,) each, of triangles 1 mV high and 80 ms wide, one each 0.8 s, at 500 Hz."""
    time = np.arange(10 * FINE) / FINE
    nearest = np.abs(time[:, None] - np.arange(0.5, 10, 0.8)).min(axis=1)
    return time, np.clip(1 - nearest / 0.04, 0, None)


def _filtered(low: float) -> np.ndarray:
    return signals.bandpass(triangles()[1], FINE, low=low)


def _false_shift(low: float) -> float:
    before, after = (_filtered(low)[round((AT + side) * FINE)] for side in (-ASIDE, ASIDE))
    return after - before


def _level_after(low: float) -> float:
    return _filtered(low)[round((AT + ASIDE) * FINE)]


def highest_corner() -> float:
    """The highest lower corner in Hz at which the causal filter's false ST shift stays within LIMIT."""
    return brentq(lambda low: _false_shift(low) + LIMIT, 0.02, 1)


def fixed_range(x: np.ndarray) -> np.ndarray:
    return np.clip((x + 2.5) / 5, 0, 1)


def _voltages() -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(np.array([-4, -2.5, -1, 0, 0.5, 2, 2.5, 3]),), (rng.normal(0, 1.5, size=(3, 50)),)]


EXERCISES = {
    1: values(
        lambda: [LEADS.index("aVF"), LEADS.index("V1")],
        (lambda: [6, 7], "rows are counted from 0: the first lead, I, is row 0."),
        (lambda: [6, 5], "the rows are right, the order is not. aVF comes first."),
        (lambda: [5, 7], "row 7 is V2."),
        (lambda: [4, 6], "row 4 is aVL."),
        what="two whole numbers, the row of aVF and the row of V1",
        hint="print ptbxl.LEADS and count from 0.",
    ),
    2: function(
        appears_at,
        (lambda f, fs: f, "that is the sine's own frequency. Nothing above fs / 2 can be told from a lower one."),
        (
            lambda f, fs: f % fs,
            "taking whole sampling rates away is half of it. What is left above fs / 2 is mirrored at fs / 2.",
        ),
        (
            lambda f, fs: abs(fs - f),
            "a frequency below fs / 2 stays where it is, and there are mirrors at 2 fs, 3 fs, …",
        ),
        (
            lambda f, fs: max(f - fs / 2, 0) if f > fs / 2 else f,
            "fs / 2 is a mirror, not a new zero: 60 Hz isn't 10 Hz.",
        ),
        (
            lambda f, fs: min(f, fs / 2),
            "a frequency above fs / 2 isn't cut to fs / 2. It comes back below it, mirrored.",
        ),
        tries=lambda: [(10, 100), (60, 100), (70, 100), (130, 100), (190, 100), (240, 500), (60, 500), (310, 100)],
        what="a function that takes a frequency and a sampling rate in Hz, and returns a frequency in Hz",
        hint="find the multiple of fs that is nearest to f. How far is f from it?",
    ),
    3: function(
        earlier_by,
        (lambda f: -earlier_by(f), "the sign is the other way round: + means that the wave comes out earlier."),
        (_phase, "that is the phase in radians. A whole turn, 2π, is one period, 1 / f seconds."),
        (lambda f: earlier_by(f) / 1000, "that is in seconds. Asked are milliseconds."),
        (_without_two_pi, "a whole turn is 2π, not 1: divide the phase by 2π f."),
        (lambda f: 0.0, "that is the zero-phase filter, which moves nothing. Asked is the causal one."),
        (_at_100_hz, "that is the filter at 100 Hz. Asked is a sampling rate of 500 Hz."),
        (
            _by_group_delay,
            "that is the group delay: by how much a burst of waves moves. Asked is one endless sine.",
        ),
        tries=lambda: [(0.8,), (2,), (5,), (20,), (40,)],
        what="a function that takes a frequency in Hz and returns milliseconds",
        hint="put z = exp(2πi f / fs) into both sections as gain_by_hand does, and take np.angle in place of np.abs.",
        # A sine that is filtered for some seconds, rather than for ever, comes as near as this.
        atol=0.25,
    ),
    4: values(
        highest_corner,
        (lambda: 0.1, "0.1 Hz is within the limit, but it isn't the highest: search between 0.1 and 0.3 Hz."),
        (
            lambda: brentq(lambda low: _level_after(low) + LIMIT, 0.001, 1),
            "you took the level after the triangle alone. The ST shift is its difference to the level before it.",
        ),
        (
            lambda: brentq(lambda low: _false_shift(low) + 2 * LIMIT, 0.02, 2),
            "that corner allows 0.1 mV, a whole small box. Half of it is the limit.",
        ),
        (
            lambda: 1.0,
            "at 1 Hz, the chapter's own corner, the shift was four times the limit. Go down.",
        ),
        what="one number in Hz",
        hint="write a function that gives the shift of one corner, and halve the interval between 0.1 and 0.3 Hz.",
        atol=0.01,
    ),
    5: function(
        fixed_range,
        (lambda x: (x + 2.5) / 5, "what lies beyond ±2.5 mV must be clipped, or it leaves [0, 1]."),
        (
            lambda x: signals.min_max(x),
            "that is min–max again: each lead by its own range. The range must be the same for all.",
        ),
        (lambda x: np.clip(x / 2.5, 0, 1), "everything below 0 mV became 0. −2.5 mV is 0, and 0 mV is in the middle."),
        (lambda x: np.clip(x / 2.5, -1, 1), "that is [−1, 1]. Shift and halve it to [0, 1]."),
        (lambda x: np.clip((x + 2.5) / 2.5, 0, 1), "the range from −2.5 to 2.5 mV is 5 mV wide: divide by that."),
        tries=_voltages,
        what="a function that takes voltages in mV of any shape and returns numbers in [0, 1]",
        hint="−2.5 mV becomes 0, 0 mV becomes 0.5, 2.5 mV becomes 1. What lies beyond is clipped.",
    ),
}
