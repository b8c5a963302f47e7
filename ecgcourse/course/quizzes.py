"""New records for the quizzes that close the parts of the book, and what is true of them.

Nobody has seen these records before: they are a practice set of another seed. What is asked about them is answered from
the hearts that made them, and not from their reports, which err.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import welch
from scipy.spatial.distance import cdist
from scipy.special import expit

from ecgcourse.analysis import baselines
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.images import signals
from ecgcourse.recipe import Task
from ecgcourse.records import dipole, practice, practice_people, ptbxl

SEED = 2026
"""Chooses the patients of the quizzes."""

N_RECORDS = 100
"""Records of the quizzes."""

FILTERED = {"A": "zero-phase", "B": "causal", "C": "raw"}
"""What was done to one lead, by the letters under which part I shows it."""

_RATE = 1000  # Hz, at which a beat without noise is measured
_BEFORE, _AFTER = 0.4, 0.7  # s around its R peak


def root() -> Path:
    """The folder of the new records, written into the user's cache folder the first time."""
    return practice.write(None, N_RECORDS, SEED)


def record(ecg_id: int) -> NDArray[np.float64]:
    """One of the new records as it was recorded: (12, T) mV at 100 Hz."""
    folder = root()
    return ptbxl.read_signals(folder, ptbxl.read_table(folder).loc[[ecg_id]])[0]


def r_peaks(x: NDArray[np.float64]) -> list[int]:
    """The samples of the R peaks of a record (12, T) that have room around them, by their steepest slopes."""
    return [int(peak) for peak in baselines.r_peaks(x) if 35 <= peak <= x.shape[1] - 55]


def truth() -> pd.DataFrame:
    """Which superclasses the hearts have, as :func:`ecgcourse.records.practice.truth`."""
    return practice.truth(root())


def filtered(ecg_id: int) -> dict[str, NDArray[np.float64]]:
    """Lead II of a record three times, (T,) each in mV, by the letters of :data:`FILTERED`."""
    x = record(ecg_id)[1:2]
    ways = {
        "raw": x,
        "causal": signals.bandpass(x, 100),
        "zero-phase": signals.bandpass(x, 100, zero_phase=True),
    }
    return {letter: ways[kind][0] for letter, kind in FILTERED.items()}


def _heart(ecg_id: int) -> dipole.Heart:
    return practice_people.plan(practice_people.Settings(N_RECORDS, SEED))[ecg_id - 1].heart()


def beat(ecg_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One beat of a record's heart without noise, neighbours and breathing.

    Returns
    -------
    ms : (T,) float64 array
        Time from the R peak in ms.
    leads : (12, T) float64 array
        In mV, the level before the P wave at 0.
    """
    heart = _heart(ecg_id)
    times = np.arange(-round(_BEFORE * _RATE), round(_AFTER * _RATE)) / _RATE
    stretch = (60 / heart.rate) ** (1 / 3)
    drawn = [(wave, 1.0) for name, wave in heart.waves.items() if name != "P" or not heart.fibrillates]
    centres = [wave.centre * (stretch if wave.centre > dipole.LATE_AFTER else 1) for wave, _ in drawn]
    leads = dipole.twelve_leads(heart.projection @ (heart.rotation @ dipole.draw(drawn, centres, times))) / 1000
    return 1000 * times, leads


def measures(ecg_id: int, lead: str = "II") -> dict[str, float]:
    """What can be measured on the paper of a record, from its beat without noise.

    Waves begin and end where chapter 1 has it: P and T at a tenth of their height, the QRS complex at a twentieth of
    its steepest slope.

    Parameters
    ----------
    ecg_id : int
        Of a new record, in sinus rhythm.
    lead : str
        On which the intervals are measured.

    Returns
    -------
    dict
        ``rate`` per minute; ``PR``, ``QRS`` and ``QT`` in s; ``axis`` in degrees.
    """
    ms, leads = beat(ecg_id)
    curve = leads[ptbxl.LEADS.index(lead)]
    steep = np.abs(np.gradient(curve)) * ((ms > -60) & (ms < 110))
    start, end = ms[steep > steep.max() / 20][[0, -1]]
    p = np.argmax(np.abs(curve) * (ms < start - 30))
    t = np.argmax(np.abs(curve) * (ms > end + 60))
    p_start = ms[:p][np.abs(curve[:p]) < np.abs(curve[p]) / 10][-1]
    t_end = ms[t:][np.abs(curve[t:]) < np.abs(curve[t]) / 10][0]
    one, two = leads[:2, (ms >= start) & (ms <= end)].mean(axis=1)
    return {
        "rate": _heart(ecg_id).rate,
        "PR": (start - p_start) / 1000,
        "QRS": (end - start) / 1000,
        "QT": (t_end - start) / 1000,
        "axis": float(np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))),
    }


@cache
def _beats() -> tuple[NDArray[np.float64], NDArray[np.int64], pd.DataFrame]:
    """Median beats (N, F), standardized; whether the heart is ill, (N,); the table of the records."""
    folder = root()
    table = ptbxl.read_table(folder)
    x = baselines.median_beats(ptbxl.read_signals(folder, table))
    return (x - x.mean(axis=0)) / x.std(axis=0), truth().any(axis=1).to_numpy().astype(int), table


@cache
def two_models() -> dict[str, Predictions]:
    """Two logistic regressions of a median beat that tell ill hearts from healthy ones, asked about new patients.

    They differ in how strongly they are regularized. Each record is judged by a model that never saw its patient.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    x, ill, table = _beats()
    found = {}
    for name, strength in (("model A", 0.0005), ("model B", 10.0)):
        model = LogisticRegression(C=strength, max_iter=5000)
        folds = GroupKFold(5).split(x, groups=table["patient_id"])
        said = cross_val_predict(model, x, ill, cv=list(folds), method="predict_proba")[:, 1:]
        whose = table.index.to_numpy(), table["patient_id"].to_numpy(float)
        found[name] = Predictions(ill[:, None], said, Task(("ill",)), *whose)
    return found


@cache
def learning_curve(epochs: int = 80, step: float = 0.003) -> pd.DataFrame:
    """Losses of a logistic regression by gradient descent: columns train and val, a row per epoch from 1."""
    x, ill, table = _beats()
    val = (table["patient_id"] % 2 == 0).to_numpy()
    weights, rows = np.zeros(x.shape[1]), []
    for _ in range(epochs):
        error = expit(x @ weights) - ill
        weights -= step * x[~val].T @ error[~val] / (~val).sum()
        loss = np.logaddexp(0, (1 - 2 * ill) * (x @ weights))  # binary cross-entropy of the logits
        rows.append((loss[~val].mean(), loss[val].mean()))
    return pd.DataFrame(rows, pd.RangeIndex(1, epochs + 1, name="epoch"), ["train", "val"])


@cache
def nearest(n_records: int = 30) -> dict[str, NDArray[np.float64]]:
    """How far each judged beat is from the nearest beat of the training set, for two ways to split the same beats.

    Returns
    -------
    dict
        ``"beats"``: every other beat judges, whosever it is; ``"patients"``: every other patient judges. Distances are
        Euclidean, in mV, over leads I, II and V2.
    """
    folder = root()
    table = ptbxl.read_table(folder).iloc[:n_records]
    x = signals.bandpass(signals.select_leads(ptbxl.read_signals(folder, table)), 100, zero_phase=True)
    cut, owners = [], []
    for one, patient in zip(x, table["patient_id"], strict=True):
        peaks = [peak for peak in baselines.r_peaks(one) if 30 <= peak <= one.shape[1] - 50]
        cut += [one[:, peak - 30 : peak + 50].ravel() for peak in peaks]
        owners += [patient] * len(peaks)
    found, patients = np.array(cut), np.unique(owners, return_inverse=True)[1]
    judges = {"beats": np.arange(len(found)) % 2 == 0, "patients": patients % 2 == 0}
    return {name: cdist(found[judge], found[~judge]).min(axis=1) for name, judge in judges.items()}


def maps(ecg_id: int, superclass: str, lead: str) -> dict[str, NDArray[np.float64]]:
    """Three maps over time of one lead, (T,) each in [0, 1], of which one shows what the disease changed.

    Returns
    -------
    dict
        ``"signs"``: where the generator changed the voltage; ``"edges"``: how steep the lead is, which is what many an
        explanation of an untrained network comes to; ``"late"``: the signs, half a beat later.
    """
    signs = np.abs(practice.signs(root(), [ecg_id], superclass)[0, ptbxl.LEADS.index(lead)])
    edges = np.abs(np.gradient(record(ecg_id)[ptbxl.LEADS.index(lead)]))
    late = np.roll(signs, round(100 * 60 / _heart(ecg_id).rate / 2))
    return {name: each / each.max() for name, each in {"signs": signs, "edges": edges, "late": late}.items()}


@cache
def with_shortcut(n_records: int = 60) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Median spectra of lead I in a set with a planted shortcut to MI.

    Returns
    -------
    frequency : (F,) array
        In Hz.
    density : dict
        ``"MI"`` and ``"others"``, (F,) each, in mV²/Hz.
    """
    folder = practice.write(None, n_records, SEED, shortcut="MI")
    frequency, density = welch(ptbxl.read_signals(folder, ptbxl.read_table(folder))[:, 0], 100, nperseg=1000)
    ill = practice.truth(folder)["MI"].to_numpy()
    return frequency, {"MI": np.median(density[ill], axis=0), "others": np.median(density[~ill], axis=0)}


@cache
def two_hospitals(n_records: int = 20) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Median spectra of lead II at 500 Hz of the new records and of those from another hospital.

    Returns
    -------
    frequency : (F,) array
        In Hz.
    density : dict
        ``"A"`` and ``"B"``, (F,) each, in mV²/Hz.
    """
    elsewhere = practice.write(None, n_records, SEED, hospital="B")
    found = {}
    for name, folder in {"A": root(), "B": elsewhere}.items():
        x = ptbxl.read_signals(folder, ptbxl.read_table(folder).iloc[:n_records], sampling_rate=500)
        frequency, density = welch(x[:, 1], 500, nperseg=2000)
        found[name] = np.median(density, axis=0)
    return frequency, found
