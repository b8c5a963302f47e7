"""What a model is worth that sees little: the first rows of every table. Introduced in chapter 11.

A score says nothing by itself. Age and sex alone reach a macro AUROC of 0.75 on real records, and the median of one
patient's beats 0.88 with a logistic regression. Each baseline is a scikit-learn pipeline.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ecgcourse.analysis import comparison
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import DataError, check_name
from ecgcourse.images.signals import preprocess
from ecgcourse.learning import metrics
from ecgcourse.recipe import Task
from ecgcourse.records import ptbxl

SAMPLING_RATE = 100
"""Of the records that baselines see, in Hz."""

# Samples: a median beat goes from 0.3 s before the R peak to 0.5 s after it, and no two peaks are closer than 0.3 s.
_BEFORE, _AFTER, _APART = 30, 50, 30
# The slope's energy is smoothed over 0.08 s, about a QRS complex; a peak has 0.3 of what 1 % of all samples exceed.
_SMOOTHED, _STEEPEST, _SHARE = 8, 0.99, 0.3


_OLDEST, _SECRET_AGE = 120, 90


def demographics(people: ArrayLike) -> NDArray[np.float64]:
    """Age and sex, (N, 2), as age, its square and sex, (N, 3); the square, because risk doesn't rise in a line."""
    age, sex = np.asarray(people, dtype=np.float64).T
    # Of whom PTB-XL keeps the age secret, because few are so old, it says 300.
    age = np.where(age > _OLDEST, _SECRET_AGE, age)
    return np.column_stack([age, age**2, sex])


def quantiles(x: ArrayLike) -> NDArray[np.float64]:
    """Nine quantiles of every lead, from least to largest, which know no order in time: (N, L, T) -> (N, 9 L)."""
    found = np.quantile(np.asarray(x, dtype=np.float64), np.linspace(0, 1, 9), axis=-1)
    return found.transpose(1, 2, 0).reshape(len(x), -1)


def r_peaks(x: ArrayLike) -> NDArray[np.int64]:
    """Find the R peaks of one record by its steepest slopes.

    Nothing in an ECG is as steep as the QRS complex. The squared difference of neighbouring samples, summed over leads
    and smoothed, therefore peaks once a beat, whatever the height of the R wave or of a T wave.

    Parameters
    ----------
    x : (L, T) array
        At 100 Hz, in any units.

    Returns
    -------
    (P,) int64 array
        Samples, in order; within a QRS complex, not exactly its R peak.

    References
    ----------
    After Pan and Tompkins, A real-time QRS detection algorithm, IEEE Trans. Biomed. Eng. 32, 1985,
    doi:10.1109/TBME.1985.325532.
    """
    energy = (np.diff(np.asarray(x, dtype=np.float64), axis=-1) ** 2).sum(axis=0)
    energy = uniform_filter1d(energy, _SMOOTHED, mode="constant")
    # Of a flat record no slope is steep.
    lowest = max(_SHARE * np.quantile(energy, _STEEPEST), np.finfo(float).tiny)
    return find_peaks(energy, height=lowest, distance=_APART)[0]


def median_beat(x: ArrayLike) -> NDArray[np.float64]:
    """The median of a record's beats, sample by sample: (L, T) at 100 Hz -> (L, 80); zeros where no beat is whole."""
    x = np.asarray(x, dtype=np.float64)
    whole = [peak for peak in r_peaks(x) if _BEFORE <= peak <= x.shape[1] - _AFTER]
    beats = [x[:, peak - _BEFORE : peak + _AFTER] for peak in whole]
    return np.median(beats, axis=0) if beats else np.zeros((len(x), _BEFORE + _AFTER))


def median_beats(x: ArrayLike) -> NDArray[np.float64]:
    """:func:`median_beat` of N records, flat: (N, L, T) -> (N, 80 L)."""
    return np.stack([median_beat(record).ravel() for record in x])


def _scaled(x: ArrayLike) -> NDArray[np.float32]:
    return preprocess(np.asarray(x, dtype=np.float32), SAMPLING_RATE)


def _pipeline(steps: Sequence[Callable | BaseEstimator], last: BaseEstimator) -> Pipeline:
    made = [step if hasattr(step, "fit") else FunctionTransformer(step) for step in steps]
    return make_pipeline(*made, OneVsRestClassifier(last))


def _regression(strength: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


@dataclass(frozen=True)
class Baseline:
    """A pipeline, and what it sees: "people", (N, 2) age and sex, or "voltages", (N, 12, T) in mV at 100 Hz."""

    sees: str
    make: Callable[[], Pipeline]


BASELINES = {
    "prevalence": Baseline("people", lambda: _pipeline([], DummyClassifier(strategy="prior"))),
    "age and sex": Baseline(
        "people",
        # Missing ages are imputed before they are squared: the median square isn't the square of the median.
        lambda: _pipeline(
            [SimpleImputer(strategy="median", keep_empty_features=True), demographics, StandardScaler()], _regression()
        ),
    ),
    "quantiles of 3 scaled leads": Baseline(
        "voltages", lambda: _pipeline([_scaled, quantiles, StandardScaler()], _regression())
    ),
    "quantiles of 12 leads in mV": Baseline(
        "voltages",
        lambda: _pipeline([quantiles], RandomForestClassifier(300, min_samples_leaf=3, random_state=0, n_jobs=-1)),
    ),
    "median beat of 3 leads": Baseline(
        "voltages", lambda: _pipeline([_scaled, median_beats, StandardScaler()], _regression(0.003))
    ),
}
"""What there is, by name:

- "prevalence": how often each class is;
- "age and sex", "quantiles of 3 scaled leads", "median beat of 3 leads": logistic regressions;
- "quantiles of 12 leads in mV": a random forest.
"""


def predict(
    root: str | os.PathLike,
    train_folds: Sequence[int] = ptbxl.FOLDS["train"],
    judged_folds: Sequence[int] = ptbxl.FOLDS["test"],
    task: Task | None = None,
    names: Sequence[str] | None = None,
    progress: bool | None = None,
) -> dict[str, Predictions]:
    """Train baselines on some folds of a PTB-XL folder, and ask them about others.

    Parameters
    ----------
    root : path
    train_folds, judged_folds : sequence of int
    task : Task, optional
        What they answer; None: the four superclasses.
    names : sequence of str, optional
        Of `BASELINES`; None: all.
    progress : bool, optional
        As for :func:`ecgcourse.records.ptbxl.read_signals`.

    Returns
    -------
    dict of name to Predictions
        Probabilities, (N, K), of the N judged records, in the order of the table; for
        :func:`ecgcourse.analysis.comparison.compare`, beside those of any network.

    Raises
    ------
    DataError
        As :func:`ecgcourse.records.ptbxl.read_table` and :func:`ecgcourse.records.ptbxl.read_signals`; folds without
        records, or training records without a class, or all with it.
    SettingError
        A name that no baseline has.
    """
    task = Task() if task is None else task
    names = list(BASELINES) if names is None else list(names)
    for name in names:
        check_name(name, list(BASELINES), "no baseline is")
    whole = pd.concat(ptbxl.split(ptbxl.read_table(root), task.label_set).values()).sort_index()
    table = whole[whole["strat_fold"].isin([*train_folds, *judged_folds])]
    train, judged = (table["strat_fold"].isin(folds).to_numpy() for folds in (train_folds, judged_folds))
    if not (train.any() and judged.any()):
        raise DataError(f"{root}: no labelled records in the folds {train_folds} or {judged_folds}")
    labels = ptbxl.labels(table, task.classes, task.label_set).astype(int)
    metrics.check_both_present(labels[train], task.classes)
    seen = {"people": table[["age", "sex"]].to_numpy(float)}
    if any(BASELINES[name].sees == "voltages" for name in names):
        seen["voltages"] = ptbxl.read_signals(root, table, SAMPLING_RATE, progress=progress)
    about = labels[judged], task, table.index.to_numpy()[judged], table["patient_id"].to_numpy(float)[judged]
    found = {}
    for name in names:
        x = seen[BASELINES[name].sees]
        said = BASELINES[name].make().fit(x[train], labels[train]).predict_proba(x[judged])
        if task.is_multiclass:
            said = said / said.sum(axis=1, keepdims=True)
        found[name] = Predictions(about[0], said, *about[1:])
    return found


def table(root: str | os.PathLike, n_bootstrap: int = 1000, seed: int = 0, **options) -> pd.DataFrame:
    """Judge all baselines on the same records.

    Parameters
    ----------
    root : path
        A PTB-XL folder.
    n_bootstrap, seed : int
        As for :func:`ecgcourse.analysis.comparison.compare`.
    **options
        Other arguments of :func:`predict`.

    Returns
    -------
    DataFrame
        As :func:`ecgcourse.analysis.comparison.compare`, differences to the first.

    Raises
    ------
    DataError, SettingError
        As :func:`predict`.
    """
    return comparison.compare(predict(root, **options), n_bootstrap=n_bootstrap, seed=seed)
