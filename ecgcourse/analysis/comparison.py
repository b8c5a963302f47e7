"""Whether one model is better than another, on the same records: by the interval of their difference.

Their own intervals may overlap although one is surely better: what is hard for both moves both. Introduced in
chapter 11.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgcourse.analysis import bootstrap, calibration
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import DataError, check_name
from ecgcourse.learning import metrics

Trainings = Predictions | Sequence[Predictions]
"""The answers of one model, or those of several trainings of it, such as with other seeds."""


def compare(
    models: Mapping[str, Trainings],
    against: str | Mapping[str, str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare models by the same patients.

    Parameters
    ----------
    models : dict of name to Predictions, or to a list of them
        Of the same records and classes, in any order of the records. Of several trainings of a model each score is the
        mean over them, in every resample too.
    against : str or dict of name to name, optional
        The model that all others are compared with, or for each model that is compared its own; None: the first.
    n_bootstrap, seed : int
        As for :func:`ecgcourse.analysis.evaluation.report`. Each resample draws the same patients for all models.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        A row per model, in the given order: auroc, low, high (macro AUROC and its interval); difference,
        difference_low, difference_high (to `against`, NaN where there is nothing to compare with; simultaneous, see
        :func:`simultaneous`); brier; ece and ece_by_chance (as in :mod:`ecgcourse.analysis.calibration`). ``attrs`` has
        records, patients, against and notes, as in a report.

    Raises
    ------
    DataError
        No model, other records, labels or classes, or as :func:`ecgcourse.analysis.evaluation.report`.
    SettingError
        `against` isn't one of the models.
    """
    names, paired = list(models), _paired(models)
    pairs = _pairs(names, against)
    first = paired[0][0]
    metrics.check_both_present(first.y_true, first.task.classes)
    drawn = _drawn(paired, n_bootstrap, seed)
    areas = _means(paired, lambda each: metrics.auroc(each.y_true, each.y_prob).mean())
    table = pd.DataFrame({"auroc": areas}, index=pd.Index(names, name="model"))
    table["low"], table["high"] = bootstrap.interval(drawn, level)
    table[["difference", "difference_low", "difference_high"]] = _differences(areas, drawn, pairs, level)
    table["brier"] = _means(paired, lambda each: calibration.brier(each.y_true, each.y_prob))
    table["ece"] = _means(paired, lambda each: calibration.expected_error(each.y_true, each.y_prob))
    table["ece_by_chance"] = _means(paired, lambda each: calibration.expected_error_by_chance(each.y_prob, n_draws=50))
    patients = None if first.patient_id is None else len(np.unique(first.patient_id))
    shared = {names[other] for _, other in pairs}
    against = shared.pop() if len(shared) == 1 else (names[0] if against is None else None)
    table.attrs |= {"records": len(first), "patients": patients, "against": against}
    table.attrs["notes"] = bootstrap.thin_classes(first.y_true, first.task.classes, first.patient_id) + [
        f"{name}: the same macro AUROC in every resample, so its interval says nothing"
        for name, area, spread in zip(names, areas, np.ptp(drawn, axis=0), strict=True)
        # A half is what any guess that is the same for all records has, and has always.
        if spread == 0 and area != 0.5
    ]
    return table


def _pairs(names: list[str], against: str | Mapping[str, str] | None) -> list[tuple[int, int]]:
    """Numbers of the models that are compared, and of those that they are compared with."""
    if not isinstance(against, Mapping):
        reference = names[0] if against is None else against
        against = {name: reference for name in names}
        check_name(reference, names, "no model to compare with is")
    for name in (*against, *against.values()):
        check_name(name, names, "no model to compare with is")
    return [(names.index(name), names.index(other)) for name, other in against.items() if name != other]


def _differences(
    areas: NDArray[np.float64], drawn: NDArray[np.float64], pairs: list[tuple[int, int]], level: float
) -> NDArray[np.float64]:
    """Difference, low and high of each of M models, (M, 3); NaN of one that isn't compared."""
    found = np.full((len(areas), 3), np.nan)
    if pairs:
        rows, others = (np.array(places) for places in zip(*pairs, strict=True))
        difference = areas[rows] - areas[others]
        ends = simultaneous(difference, drawn[:, rows] - drawn[:, others], level)
        found[rows] = np.column_stack([difference, *ends])
    return found


def _drawn(paired: list[list[Predictions]], n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Macro AUROC of M models in B resamples, the mean over the trainings of each: (B, M)."""
    first = paired[0][0]
    ranked = [[bootstrap.rankings(each.y_true, each.y_prob) for each in trainings] for trainings in paired]
    blocks = bootstrap.resamples(len(first), n_bootstrap, seed, first.patient_id, first.y_true)
    return np.concatenate(
        [
            np.stack(
                [np.mean([bootstrap.macro_auroc(each, weights) for each in model], axis=0) for model in ranked], axis=1
            )
            for weights in blocks
        ]
    )


def _means(paired: list[list[Predictions]], measure: Callable[[Predictions], float]) -> NDArray[np.float64]:
    return np.array([np.mean([measure(each) for each in trainings]) for trainings in paired])


def simultaneous(
    estimates: ArrayLike, drawn: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intervals that cover all M true values at once in `level` of all cases, however the estimates are correlated.

    Of many models one looks better by chance. Each interval is estimate ± c · s, with s the standard deviation of its
    resamples, and c the quantile of the largest of M deviations ``|drawn − estimate| / s`` within a resample: the
    single-step max-t method. With one model c is near 1.96; models that resemble each other cost little.

    Parameters
    ----------
    estimates : (M,) array
    drawn : (B, M) array
        The same in B resamples.
    level : float

    Returns
    -------
    low, high : (M,) float64 arrays
        A point where no resample differs.

    References
    ----------
    Westfall and Young, Resampling-based multiple testing, chapter 2, 1993.

    Hothorn, Bretz and Westfall, Simultaneous inference in general parametric models, Biometrical Journal 50, 2008,
    doi:10.1002/bimj.200810425.
    """
    estimates, moves = np.asarray(estimates, dtype=np.float64), np.ptp(drawn, axis=0) > 0
    if not moves.any():
        return estimates, estimates
    # Of numbers that are all the same, rounding leaves a deviation of its own.
    spread = np.where(moves, drawn.std(axis=0, ddof=1), 0)
    largest = (np.abs(drawn - drawn.mean(axis=0))[:, moves] / spread[moves]).max(axis=1)
    reach = np.quantile(largest, level) * spread
    return estimates - reach, estimates + reach


def _paired(models: Mapping[str, Trainings]) -> list[list[Predictions]]:
    """The same records for all trainings of all models, in the order of the first."""
    trainings = {name: [each] if isinstance(each, Predictions) else list(each) for name, each in models.items()}
    if not all(trainings.values()) or not trainings:
        raise DataError("no predictions to compare; give at least one model's")
    first_name, (first, *_) = next(iter(trainings.items()))
    return [[_as_first(first_name, first, name, each) for each in found] for name, found in trainings.items()]


def _as_first(first_name: str, first: Predictions, name: str, each: Predictions) -> Predictions:
    """Predictions in the order of the first; DataError unless of the same classes, records and labels."""
    if each.task.classes != first.task.classes:
        raise DataError(
            f"{name} answers {', '.join(each.task.classes)}, but {first_name} {', '.join(first.task.classes)}; "
            "only the same classes can be compared"
        )
    if set(each.ecg_id) != set(first.ecg_id):
        raise DataError(
            f"{name} was asked about {len(each)} records, {first_name} about {len(first)}, and they aren't the "
            "same; evaluate both on the same partition of the same data"
        )
    paired = each.of(first.ecg_id)
    if (paired.y_true != first.y_true).any():
        record = first.ecg_id[(paired.y_true != first.y_true).any(axis=1)][0]
        raise DataError(f"{name} and {first_name} have other labels for ecg_id {record}; evaluate both anew")
    return paired
