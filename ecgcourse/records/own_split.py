"""Ten folds for records that nobody has split: by patient, stratified by class, and kept in a file.

Folds 1–8 train, 9 validates and 10 tests, as in PTB-XL.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ecgcourse.errors import DataError, EcgCourseWarning, in_words, shown
from ecgcourse.records.manifest import refuse_shared_patients
from ecgcourse.support.files import atomic_write, stat_file

N_FOLDS = 10
_LARGEST = 2**30  # bytes


def split_path(data: Path) -> Path:
    """Where the folds of a manifest or folder are kept: beside it, as NAME_split.csv."""
    data = Path(data).absolute()
    return data.with_name(f"{data.name if data.is_dir() else data.stem}_split.csv")


def add_folds(table: pd.DataFrame, data: Path) -> pd.DataFrame:
    """Give records the folds that are kept beside their manifest or folder, or make them and keep them there.

    Parameters
    ----------
    table
        N records with the columns ``file``, ``patient_id`` and one per class, which ``attrs["classes"]`` names.
    data
        The manifest or folder that they are from.

    Returns
    -------
    pandas.DataFrame
        The same with ``strat_fold``, 1–10. All records of a patient have the same.

    Raises
    ------
    DataError
        If there are fewer patients than folds, or what is kept isn't of these records.
    StorageError
        If the folds can't be written.

    Warns
    -----
    EcgCourseWarning
        When folds were made.
    """
    place = split_path(data)
    if place.exists():
        return _kept(table, place)
    table = table.assign(strat_fold=stratified_folds(table[list(table.attrs["classes"])], table["patient_id"], data))
    with atomic_write(place) as temporary:
        table[["file", "strat_fold"]].rename(columns={"strat_fold": "fold"}).to_csv(
            temporary, index=False, lineterminator="\n", errors="surrogateescape"
        )
    who = "" if table.attrs.get("patients") else "; nothing says whose the records are, so each counts as a patient"
    warnings.warn(
        f"{data} says no folds: it was split by patient, with each class in its share, and {place} keeps that{who}",
        EcgCourseWarning,
        stacklevel=2,
    )
    return table


def stratified_folds(labels: pd.DataFrame, patients: pd.Series, data: Path) -> np.ndarray:
    """Folds (N,) from 1 to 10 of N records with bool labels (N, K), the same each time.

    Records are stratified by the rarest of their classes, so that this one comes to every fold if it can, with
    scikit-learn's ``StratifiedGroupKFold``. The two folds in which the rarest class is most common are 9 and 10.
    """
    n_patients = patients.nunique()
    if n_patients < N_FOLDS:
        raise DataError(
            f"{data}: {n_patients} patients are too few to be split into {N_FOLDS} folds; name a split (train, val or "
            "test) in a column of the manifest"
        )
    rarest_first = labels.sum().sort_values(kind="stable").index
    strata = np.full(len(labels), len(rarest_first))
    for number, name in reversed(list(enumerate(rarest_first))):
        strata[labels[name].to_numpy(dtype=bool)] = number
    # Where no stratum has ten records, there is nothing to stratify by.
    strata = strata if np.unique(strata, return_counts=True)[1].max() >= N_FOLDS else np.zeros(len(labels), dtype=int)
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class of fewer records than folds.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, part) in enumerate(splitter.split(strata, strata, patients.to_numpy()), start=1):
            folds[part] = number
    # Among so few records that a class is missing in some folds, these are to learn from.
    rarest = labels.groupby(folds).sum().reindex(range(1, N_FOLDS + 1), fill_value=0).min(axis=1)
    place = rarest.sort_values(kind="stable").index.argsort() + 1
    return place[folds - 1]


def _kept(table: pd.DataFrame, place: Path) -> pd.DataFrame:
    stat_file(place, largest=_LARGEST)
    try:
        kept = pd.read_csv(
            place, dtype={"file": str}, keep_default_na=False, encoding="utf-8", encoding_errors="surrogateescape"
        )
        folds = kept.set_index("file")["fold"].astype(int)
        right = folds.between(1, N_FOLDS).all() and folds.index.is_unique
    # What a damaged table raises depends on where pandas stumbles.
    except Exception as error:
        raise DataError(f"{place} can't be read as folds: {in_words(error)}; remove it to split anew") from error
    strange = sorted(set(table["file"]) ^ set(folds.index))
    if strange or not right:
        what = f"one of them has {shown(strange[0])}" if strange else "a fold isn't from 1 to 10, or a file comes twice"
        raise DataError(
            f"{place} keeps the folds of other records ({what}); remove it to split anew, or bring back the manifest "
            "that it was made for"
        )
    table = table.assign(strat_fold=table["file"].map(folds).astype(int))
    refuse_shared_patients(place, table)
    return table
