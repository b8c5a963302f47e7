"""How well an ECG was recorded, lead by lead, in a few simple measures."""

import numpy as np
import pandas as pd
from scipy import signal as scipy_signal

from ecgcourse.errors import DataError
from ecgcourse.images.signals import resample
from ecgcourse.records.own_files import Ecg
from ecgcourse.records.ptbxl import LEADS

RATE = 100
"""Hz at which leads are measured, so that records of any rate compare."""

FLAT = 0.05
"""Height in mV below which a lead is flat; in the first 500 records of PTB-XL no lead is."""

WANDERING = 0.5
"""Wander in mV above which a baseline drifts: in their worst lead, 87 % of those records in which a cardiologist noted
a baseline drift, and 30 % of the others, lie above it."""

NOISY = 0.005
"""Noise in mV above which a lead is noisy: in their worst lead, 84 % of those records with static noise, and 23 % of
the others, lie above it."""

_DRIFT_HZ, _NOISE_HZ = 0.5, 30.0
_TO_DEVIATION = 1.4826  # of the median absolute value of normal noise


def measure(ecg: Ecg, start: float = 0.0, n_seconds: float | None = None) -> pd.DataFrame:
    """Measure a record or a part of it.

    Parameters
    ----------
    ecg : Ecg
    start, n_seconds : float
        The part, in s; None: up to the end.

    Returns
    -------
    DataFrame
        A row per lead: `height`, from its lowest to its highest sample; `wander`, the same of what is below 0.5 Hz, the
        baseline; `noise`, 1.4826 times the median absolute value of what is above 30 Hz, which is the standard
        deviation of noise between the beats; all in mV, NaN where the lead has a gap. `words` tells what is wrong: gap,
        flat, wandering or noisy (:data:`FLAT`, :data:`WANDERING`, :data:`NOISY`), or nothing.

    Raises
    ------
    DataError
        No sample in that part.
    """
    first = round(start * ecg.sampling_rate)
    stop = None if n_seconds is None else first + round(n_seconds * ecg.sampling_rate)
    part = ecg.signal[:, first:stop]
    if not part.shape[1]:
        raise DataError(f"{ecg.name}: has no sample {start:g} s after its start; it lasts {_seconds(ecg):g} s")
    rows = [_of_lead(lead, ecg.sampling_rate) for lead in part]
    return pd.DataFrame(rows, index=list(ecg.leads), columns=["height", "wander", "noise", "words"])


def in_words(ecg: Ecg, measured: pd.DataFrame) -> list[str]:
    """What :func:`measure` found and which leads are missing, in sentences; "Nothing" where all is well."""
    missing = [name for name in LEADS if name not in ecg.leads]
    points = [f"Not recorded: {', '.join(missing)}."] if missing else []
    sentences = {
        "gap": "Samples are missing in {}.",
        "flat": f"Flat, less than {FLAT:g} mV tall, as of an electrode that is off: {{}}.",
        "wandering": f"The baseline wanders by more than {WANDERING:g} mV in {{}}.",
        "noisy": f"Noise above {_NOISE_HZ:g} Hz has more than {NOISY * 1000:g} µV in {{}}.",
    }
    for word, sentence in sentences.items():
        leads = [name for name, words in measured["words"].items() if word in words.split(", ")]
        points += [sentence.format(_listed(leads, len(measured)))] if leads else []
    return points or ["Nothing is missing, flat, wandering or noisy."]


def _listed(leads: list[str], n_leads: int) -> str:
    return "all leads" if len(leads) == n_leads > 1 else ", ".join(leads)


def _of_lead(x: np.ndarray, rate: float) -> tuple[float, float, float, str]:
    if not np.isfinite(x).all():
        return np.nan, np.nan, np.nan, "gap"
    height = float(np.ptp(x))
    if height < FLAT:
        return height, 0.0, 0.0, "flat"
    x = resample(x, rate, RATE)
    wander = float(np.ptp(_filtered(x, _DRIFT_HZ, "lowpass")))
    noise = _TO_DEVIATION * float(np.median(np.abs(_filtered(x, _NOISE_HZ, "highpass"))))
    words = ["wandering"] * (wander > WANDERING) + ["noisy"] * (noise > NOISY)
    return height, wander, noise, ", ".join(words)


def _filtered(x: np.ndarray, corner: float, kind: str) -> np.ndarray:
    sections = scipy_signal.butter(2, corner, kind, fs=RATE, output="sos")
    # Beyond the ends, the record goes on as its own mirror image, which makes no steps.
    return scipy_signal.sosfiltfilt(sections, x, padtype="even", padlen=min(len(x) - 1, 3 * RATE))


def _seconds(ecg: Ecg) -> float:
    return ecg.signal.shape[1] / ecg.sampling_rate
