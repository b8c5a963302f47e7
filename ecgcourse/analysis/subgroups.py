"""Whether a model serves everybody: its scores by sex, age, site and device, and the records it is most wrong about.

Introduced in chapter 11. A difference between groups isn't yet a fault of the model, and none seen isn't yet fairness:
the groups differ in illness, and most are small.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgcourse.analysis import bootstrap
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import DataError
from ecgcourse.learning import metrics

LEAST = 10
"""Patients with a class, and without it, that a group must have to be judged."""

_AGES = (-np.inf, 40, 60, 80, np.inf)
_AGE_NAMES = ("under 40", "40 to 59", "60 to 79", "80 and over")
_SEXES = {0.0: "male", 1.0: "female"}
_UNKNOWN = "unknown"
MEASURES = ("auroc", "sensitivity", "calibration")


def of_table(table: pd.DataFrame) -> dict[str, NDArray]:
    """The groups that PTB-XL's table tells of.

    Parameters
    ----------
    table : DataFrame
        N rows, from :func:`ecgcourse.records.ptbxl.read_table`.

    Returns
    -------
    dict of name to (N,) array of str
        sex, age (bands of 20 years), site, device; those of which the table has a column.
    """
    found = {}
    if "sex" in table:
        found["sex"] = table["sex"].map(_SEXES)
    if "age" in table:
        found["age"] = pd.cut(table["age"], _AGES, right=False, labels=_AGE_NAMES).astype(object)
    if "site" in table:
        found["site"] = table["site"].map(lambda site: f"site {site:g}", na_action="ignore")
    if "device" in table:
        found["device"] = table["device"].map(lambda name: " ".join(str(name).split()), na_action="ignore")
    return {name: column.astype(object).fillna(_UNKNOWN).to_numpy(str) for name, column in found.items()}


def table(
    predictions: Predictions,
    groups: Mapping[str, ArrayLike],
    thresholds: ArrayLike = 0.5,
    n_bootstrap: int = 1000,
    seed: int = 0,
    least: int = LEAST,
) -> pd.DataFrame:
    """Judge each class in each group.

    Parameters
    ----------
    predictions : Predictions
        Of N records.
    groups : dict of name to (N,) array
        Which group each record is in, as :func:`of_table` tells.
    thresholds : float or (K,) array in [0, 1]
        Of no account where each record has exactly one class.
    n_bootstrap, seed : int
        As for :func:`ecgcourse.analysis.evaluation.report`; patients of the group are drawn.
    least : int
        Patients with the class, and without it, below which a group isn't judged.

    Returns
    -------
    DataFrame
        A row per kind of group (by), group and class: records, patients, positives (records); auroc, sensitivity and
        calibration (mean probability minus share of positives: above 0 too much is predicted), each with _low and
        _high, ends of its 95 % interval; note, which says why a group isn't judged and its numbers are NaN.

    Raises
    ------
    DataError
        Groups of another number of records; also as :func:`ecgcourse.learning.metrics.decide`.
    """
    task, n_records = predictions.task, len(predictions)
    decided = metrics.decide(predictions.y_prob, thresholds, task.is_multiclass)
    patients = bootstrap.numbered(predictions.patient_id, n_records)
    rows = []
    for by, names in groups.items():
        names = np.asarray(names)
        if names.shape != (n_records,):
            raise DataError(f"groups by {by} have shape {names.shape}; name the group of each of {n_records} records")
        for group in np.unique(names):
            inside = names == group
            for k, name in enumerate(task.classes):
                answers = [each[inside, k] for each in (predictions.y_true, predictions.y_prob, decided)]
                rows.append(
                    {"by": by, "group": str(group), "class": name}
                    | _judged(*answers, patients[inside], n_bootstrap, seed, least)
                )
    return pd.DataFrame(rows)


def _judged(
    y_true: NDArray, y_prob: NDArray, decided: NDArray, patients: NDArray, n_bootstrap: int, seed: int, least: int
) -> dict:
    """Counts and measures of one class in one group, (M,) records each."""
    row = {"records": len(y_true), "patients": len(np.unique(patients)), "positives": int(y_true.sum())}
    found = {f"{measure}{end}": np.nan for measure in MEASURES for end in ("", "_low", "_high")} | {"note": ""}
    have, lack = (len(np.unique(patients[y_true == value])) for value in (1, 0))
    if min(have, lack) < max(least, 1):
        return row | found | {"note": f"too few: {have} patients have it, {lack} haven't"}
    ranking, drawn = bootstrap.Ranking(y_true, y_prob), []
    for weights in bootstrap.resamples(len(y_true), n_bootstrap, seed, patients, y_true[:, None]):
        drawn.append(_measures(ranking, y_true, y_prob, decided, weights))
    low, high = bootstrap.interval(np.concatenate(drawn))
    values = _measures(ranking, y_true, y_prob, decided, np.ones((len(y_true), 1)))[0]
    for measure, *ends in zip(MEASURES, values, low, high, strict=True):
        found |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), ends, strict=True))
    return row | found


def _measures(
    ranking: bootstrap.Ranking, y_true: NDArray, y_prob: NDArray, decided: NDArray, weights: NDArray
) -> NDArray[np.float64]:
    """AUROC, sensitivity and calibration in B resamples: (M, B) weights -> (B, 3)."""
    sensitivity = (y_true * decided) @ weights / (y_true @ weights)
    return np.column_stack(
        [ranking.areas(weights)[:, 0], sensitivity, bootstrap.mean((y_prob - y_true)[:, None], weights)]
    )


def worst(predictions: Predictions, n: int = 10) -> pd.DataFrame:
    """List the records whose answers are furthest from their labels: mistakes of the model, or of a label.

    Parameters
    ----------
    predictions : Predictions
    n : int
        How many.

    Returns
    -------
    DataFrame
        At most n rows, the largest loss first: ecg_id, loss (cross-entropy over all classes), class (which adds most to
        it), has_it (1 or 0), probability (of that class).
    """
    loss = predictions.losses()
    rows = np.argsort(-loss, kind="stable")[:n]
    off = np.abs(predictions.y_true - predictions.y_prob)
    if predictions.task.is_multiclass:
        off = off * predictions.y_true
    k = off[rows].argmax(axis=1)
    return pd.DataFrame(
        {
            "ecg_id": predictions.ecg_id[rows],
            "loss": loss[rows],
            "class": np.array(predictions.task.classes)[k],
            "has_it": predictions.y_true[rows, k],
            "probability": predictions.y_prob[rows, k],
        }
    )
