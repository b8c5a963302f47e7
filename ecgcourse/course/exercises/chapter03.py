"""Answers to the exercises of chapter 3, cleaning signals."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import median_filter
from scipy.signal import butter, find_peaks, group_delay, sos2tf, sosfilt, sosfreqz

from ecgcourse.course.exercises.judging import conditions, function
from ecgcourse.images import signals

FINE = 500  # Hz, the sampling rate of the triangles and sines
ASIDE = 0.12  # s: how far from a triangle's peak the line is quiet


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


def _leads() -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=300), 100), (np.cumsum(rng.normal(size=600)), 500)]


def _with_corners(low: float, high: float) -> Callable[[np.ndarray, float], np.ndarray]:
    """The causal filter of second order with corners as shares of fs / 2, which depend on fs (Hz) as 1 / fs."""
    return lambda x, fs: sosfilt(butter(2, [low / fs, high / fs], "bandpass", output="sos"), x)


LARGEST_REST = 0.010  # mV; the zero-phase 1 Hz filter leaves 0.022


@lru_cache(maxsize=1)
def _wandering() -> list[np.ndarray]:
    """Six leads of triangles at 500 Hz, each on three waves of 0.05 to 0.4 Hz and 0.1 to 0.4 mV."""
    rng = np.random.default_rng(0)
    time, clean = triangles()
    drawn = [rng.uniform([0.1, 0.05, 0], [0.4, 0.4, 2 * np.pi], size=(3, 3)) for _ in range(6)]
    return [clean + sum(a * np.sin(2 * np.pi * f * time + p) for a, f, p in waves) for waves in drawn]


def _rest(answer: Callable) -> float:
    """The mean root mean square, in mV, of what a function leaves or adds; a constant voltage doesn't count."""
    apart = [np.asarray(answer(lead.copy(), FINE)) - triangles()[1] for lead in _wandering()]
    return float(np.mean([np.sqrt(np.mean((each - np.median(each)) ** 2)) for each in apart]))


def spline_baseline(x: np.ndarray, fs: float) -> np.ndarray:
    """Subtract a curve through quiet places: the middles between beats, and shortly before and after each beat."""
    peaks, _ = find_peaks(x - median_filter(x, size=round(0.3 * fs)), height=0.5, distance=0.3 * fs)
    aside = round(ASIDE * fs)
    knots = np.unique(np.concatenate([[0, len(x) - 1], peaks - aside, peaks + aside, (peaks[1:] + peaks[:-1]) // 2]))
    knots = knots[(knots >= 0) & (knots < len(x))]
    return x - CubicSpline(knots, x[knots])(np.arange(len(x)))


def fixed_range(x: np.ndarray) -> np.ndarray:
    return np.clip((x + 2.5) / 5, 0, 1)


def _voltages() -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(np.array([-4, -2.5, -1, 0, 0.5, 2, 2.5, 3]),), (rng.normal(0, 1.5, size=(3, 50)),)]


EXERCISES = {
    1: function(
        signals.bandpass,
        (
            _with_corners(1, 45),
            "that is still theirs. Send sines through it: at which two frequencies is the gain 1/√2?",
        ),
        (
            lambda x, fs: sosfilt(butter(2, [1 / 50, 45 / 50], "bandpass", output="sos"), x),
            "now it is right at 100 Hz alone. Try 500 Hz.",
        ),
        (_with_corners(1, 90), "the upper corner is right. And the lower one?"),
        (
            lambda x, fs: signals.bandpass(x, fs, zero_phase=True),
            "that is the zero-phase filter. The causal one is asked for, with the right corners.",
        ),
        tries=_leads,
        what="a function that takes a lead (T,) and its sampling rate in Hz, and returns the filtered lead (T,)",
        hint="compare it with signals.bandpass, at 100 Hz and at 500 Hz.",
        atol=1e-6,
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
        hint="draw 10, 60, 90, 110 and 160 Hz, sampled at 100 Hz. Which of them have the same samples?",
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
        hint="gain_by_hand keeps the length of a complex number. What does its angle say?",
        # A sine that is filtered for some seconds, rather than for ever, comes as near as this.
        atol=0.25,
    ),
    4: conditions(
        lambda: spline_baseline,
        (callable, lambda: triangles()[1], "a function is needed that takes a lead and its sampling rate."),
        (
            lambda answer: np.shape(answer(_wandering()[0].copy(), FINE)) == _wandering()[0].shape,
            lambda: lambda x, fs: x[::5],
            "as many samples are needed as the lead has.",
        ),
        (
            lambda answer: np.isfinite(_rest(answer)),
            lambda: lambda x, fs: np.where(np.arange(len(x)) > 0, x, np.nan),
            "some samples came out as NaN or infinite.",
        ),
        (
            lambda answer: _rest(answer) < LARGEST_REST,
            lambda: lambda x, fs: signals.bandpass(x, fs, zero_phase=True),
            lambda answer: f"it errs by {_rest(answer):.3f} mV, and the bar is {LARGEST_REST:.3f} mV.",
        ),
        what="a function that takes a lead (T,) and its sampling rate in Hz, and returns it without wander (T,)",
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
