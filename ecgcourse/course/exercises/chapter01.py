"""Answers to the exercises of chapter 1, reading an ECG."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from ecgcourse.course.exercises.judging import conditions, function
from ecgcourse.records import dipole


def heart_rate(lead: np.ndarray, fs: float) -> float:
    """Beats per minute of a lead (T,), at any sampling rate in Hz."""
    return _rate(lead, fs, distance=0.4 * fs)


def _rate(lead: np.ndarray, fs: float, distance: float, height: float = 0.5) -> float:
    x = lead - median_filter(lead, size=round(fs))
    peaks, _ = find_peaks(x, height=height * x.max(), distance=distance)
    return float(60 * fs / np.diff(peaks).mean())


def _drawn_lead(beats: np.ndarray, fs: float, t_height: float, sizes: np.ndarray) -> np.ndarray:
    """Ten seconds of beats of P, R, S and T, whose later waves follow R sooner where beats follow each other sooner."""
    time = np.arange(10 * fs) / fs
    shorter = min(1, np.diff(beats).mean() / 0.8)
    waves = ((0.12, -0.16 * shorter, 0.02), (1, 0, 0.011), (-0.2, 0.026, 0.01), (t_height, 0.27 * shorter, 0.04))
    return sum(
        size * height * np.exp(-(((time - beat - centre) / width) ** 2) / 2)
        for beat, size in zip(beats, sizes, strict=True)
        for height, centre, width in waves
    )


def _sampled_leads() -> list[tuple[np.ndarray, int]]:
    """Tall and low T waves at several sampling rates; R waves that breathing changes."""
    beats = np.arange(0.4, 10, 60 / 72)
    sizes = 1 + 0.25 * np.sin(2 * np.pi * 0.25 * beats)
    return [(_drawn_lead(beats, fs, t, sizes), fs) for fs, t in ((500, 0.65), (100, 0.2), (500, 0.2), (250, 0.65))]


N_LEADS = 30
LARGEST_ERROR = 1.5  # beats per minute, on average


@lru_cache(maxsize=1)
def _hearts() -> list[tuple[np.ndarray, float]]:
    """Leads at 100 Hz of hearts from 42 to 200 beats a minute, with wander and noise, and their rates."""
    rng = np.random.default_rng(0)
    found = []
    for rate in np.linspace(42, 200, N_LEADS):
        beats = np.cumsum(60 / rate * rng.normal(1, 0.02, size=round(14 * rate / 60))) - 1.5
        sizes = 1 + 0.25 * np.sin(2 * np.pi * 0.25 * beats + rng.uniform(0, 6))
        lead = _drawn_lead(beats, 100, rng.uniform(0.15, 0.55), sizes)
        time = np.arange(len(lead)) / 100
        lead += 0.3 * np.sin(2 * np.pi * rng.uniform(0.15, 0.35) * time + rng.uniform(0, 6))
        inside = beats[(beats > 0) & (beats < 10)]
        found.append((lead + rng.normal(0, 0.03, len(lead)), float(60 / np.diff(inside).mean())))
    return found


def _rates(answer: Callable) -> tuple[np.ndarray, np.ndarray]:
    """What a function says of the leads, and their rates."""
    said = [float(answer(lead.copy(), 100)) for lead, _ in _hearts()]
    return np.array(said), np.array([rate for _, rate in _hearts()])


def _is_near(answer: Callable) -> bool:
    said, rates = _rates(answer)
    return bool(np.abs(said - rates).mean() < LARGEST_ERROR)


def _how_near(answer: Callable) -> str:
    said, rates = _rates(answer)
    wrong = np.abs(said - rates)
    worst = wrong.argmax()
    return (
        f"your mean error is {wrong.mean():.1f} per minute, the bar {LARGEST_ERROR}. Farthest off: you say "
        f"{said[worst]:.0f} of a heart that beats {rates[worst]:.0f} times."
    )


def steepest(lead: np.ndarray, fs: float) -> float:
    """The rate from where a lead (T,) is steep, which T waves, wander and breathing hardly are."""
    steep = np.convolve(np.gradient(lead) ** 2, np.ones(round(0.08 * fs)), "same")
    peaks, _ = find_peaks(steep, height=0.3 * np.quantile(steep, 0.98), distance=0.25 * fs)
    return float(60 * fs / np.median(np.diff(peaks)))


def arms_exchanged(record: np.ndarray) -> np.ndarray:
    """What a record (12, T) becomes when the cables of both arms are exchanged."""
    one, two, three, avr, avl, avf = record[:6]
    return np.concatenate([[-one, three, two, avl, avr, avf], record[6:]])


def _unchanged(record: np.ndarray) -> np.ndarray:
    return record


def _only_lead_one(record: np.ndarray) -> np.ndarray:
    return np.concatenate([-record[:1], record[1:]])


def _augmented_leads_stay(record: np.ndarray) -> np.ndarray:
    return np.concatenate([arms_exchanged(record)[:3], record[3:]])


def _lead_one_stays(record: np.ndarray) -> np.ndarray:
    return np.concatenate([record[:1], arms_exchanged(record)[1:]])


def _all_turned(record: np.ndarray) -> np.ndarray:
    return -record


def _chest_turned(record: np.ndarray) -> np.ndarray:
    return np.concatenate([arms_exchanged(record)[:6], -record[6:]])


def _records() -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(dipole.twelve_leads(rng.normal(size=(8, samples))) / 1000,) for samples in (5, 50)]


def axis_of(one: float, two: float) -> float:
    """The angle in degrees of an arrow that gives leads I and II these voltages."""
    return np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))


def _arrows() -> list[tuple[float, float]]:
    """Leads I and II of arrows in all four quarters."""
    angles = np.radians([55, -20, 110, -150, 170])
    return [(2 * np.cos(angle), 2 * np.cos(angle - np.pi / 3)) for angle in angles]


def share_of_three(leads: np.ndarray) -> float:
    """The share of the variance of leads (L, T) that three directions explain."""
    return _share(leads, mean_over=1)


def _singular_values(leads: np.ndarray, mean_over: int | None = 1) -> np.ndarray:
    mean = 0 if mean_over is None else leads.mean(axis=mean_over, keepdims=True)
    return np.linalg.svd(leads - mean, compute_uv=False)


def _share(leads: np.ndarray, mean_over: int | None) -> float:
    squared = _singular_values(leads, mean_over) ** 2
    return squared[:3].sum() / squared.sum()


def _not_squared(leads: np.ndarray) -> float:
    found = _singular_values(leads)
    return found[:3].sum() / found.sum()


def _third_alone(leads: np.ndarray) -> float:
    squared = _singular_values(leads) ** 2
    return squared[2] / squared.sum()


def _the_rest(leads: np.ndarray) -> float:
    return 1 - share_of_three(leads)


def _lead_sets() -> list[tuple[np.ndarray]]:
    """Leads that stand off 0 mV, of an arrow and noise, and of noise alone."""
    rng = np.random.default_rng(2)
    arrow = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 400))
    return [(arrow + 0.5 * rng.normal(size=(8, 400)) + rng.normal(size=(8, 1)),), (rng.normal(1, 1, size=(6, 50)),)]


EXERCISES = {
    1: function(
        heart_rate,
        (
            lambda lead, fs: _rate(lead, fs, distance=40),
            "that is still theirs. Mark the peaks that it finds at both rates in the curve.",
        ),
        (
            lambda lead, fs: _rate(lead, fs, distance=200),
            "now it is right at 500 Hz alone: at 100 Hz it passes over beats.",
        ),
        (
            lambda lead, fs: _rate(lead, fs, distance=40) / 2,
            "half of it is right for this patient, and wrong for all whose T waves are low.",
        ),
        (
            lambda lead, fs: _rate(lead, fs, distance=40, height=0.75),
            "a higher threshold passes over the lower ones of the R peaks. Mend the cause.",
        ),
        tries=_sampled_leads,
        what="a function that takes a lead (T,) and its sampling rate in Hz, and returns beats per minute",
        hint="compare the times of its peaks with those of the beats, at several sampling rates.",
        rtol=0.02,
    ),
    2: conditions(
        lambda: steepest,
        (
            callable,
            lambda: 68.0,
            "a function is needed that takes a lead and its sampling rate, so that it can be tried.",
        ),
        (
            lambda answer: np.ndim(answer(_hearts()[0][0].copy(), 100)) == 0,
            lambda: lambda lead, fs: np.flatnonzero(lead > lead.max() / 2),
            "one number is needed for each lead: its beats per minute.",
        ),
        (
            lambda answer: np.isfinite(_rates(answer)[0]).all(),
            lambda: lambda lead, fs: _rate(lead, fs, distance=0.4 * fs) if np.ptp(lead) < 1.7 else np.nan,
            "for some lead it returns no number: what does it do where it finds fewer than two peaks?",
        ),
        (_is_near, lambda: heart_rate, _how_near),
        what="a function that takes a lead (T,) and its sampling rate in Hz, and returns beats per minute",
    ),
    3: function(
        arms_exchanged,
        (
            _unchanged,
            "that is the record as it was. Lead I is LA − RA: what does it become when LA and RA are exchanged?",
        ),
        (_only_lead_one, "lead I is right. Now every other row of the table that has RA or LA in it."),
        (_augmented_leads_stay, "I, II and III are right. aVR and aVL have RA and LA in different places, too."),
        (_lead_one_stays, "all but lead I are right. It is LA − RA: exchange the two."),
        (_all_turned, "only lead I is inverted. The others exchange places, or stay."),
        (
            _chest_turned,
            "the limb leads are right. RA and LA enter V1 to V6 through their sum alone, which doesn't change.",
        ),
        tries=_records,
        what="a function that takes a record (12, T) and returns a record (12, T)",
        hint="write down each lead's difference, put RA in place of LA and LA in place of RA, and look it up again.",
        # Each lead of a record is rounded to whole microvolts by itself.
        atol=0.003,
    ),
    4: function(
        axis_of,
        (
            lambda one, two: np.degrees(np.arctan2(two, one)),
            "that takes lead II as if it looked straight down. It looks at 60°; aVF looks down.",
        ),
        (
            lambda one, two: np.degrees(np.arctan2(two - one / 2, one)),
            "aVF is right, but it is shorter than the arrow's part that points down, by √3/2.",
        ),
        (lambda one, two: np.radians(axis_of(one, two)), "that angle is in radians. The question asks for degrees."),
        (
            lambda one, two: np.degrees(np.arctan((2 * two - one) / np.sqrt(3) / one)),
            "arctan can't tell an arrow from its opposite. Use np.arctan2.",
        ),
        (lambda one, two: -axis_of(one, two), "the sign is the other way round: down is positive, as aVF is."),
        (lambda one, two: axis_of(one, two) % 360, "axes are counted from −180° to 180°, so that aVL is at −30°."),
        tries=_arrows,
        what="a function that takes the voltages of leads I and II and returns an angle in degrees",
        hint="find aVF from I and II first: aVF = (II + III)/2, and III = II − I.",
        rtol=1e-4,
    ),
    5: function(
        share_of_three,
        (_not_squared, "a direction's variance is its singular value squared."),
        (
            lambda leads: _share(leads, None),
            "the mean of each lead is still in there. A constant voltage isn't variance: subtract it.",
        ),
        (
            lambda leads: _share(leads, 0),
            "you subtracted the mean over the leads. Subtract each lead's own mean over time, axis 1.",
        ),
        (_third_alone, "that is the share of the third direction alone. Sum the first three."),
        (_the_rest, "that is the rest, which three directions leave unexplained."),
        tries=_lead_sets,
        what="a function that takes leads (L, T) and returns a share between 0 and 1",
        hint="try leads that are multiples of three curves: the share is 1.",
        rtol=1e-4,
    ),
}
