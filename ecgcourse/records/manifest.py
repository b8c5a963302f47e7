"""A manifest: a CSV file with a row per ECG file of one's own, which says what the record shows and whose it is.

One column has the files: ``file`` or ``path``, absolute or relative to the manifest's folder. What else is known of a
record may stand in the columns of :data:`ABOUT`. Which columns are labels follows from their names alone:

- If there is a column ``label`` or ``class``, it has the name of the one class that each record has, and no column
  may be left over.
- Else every column whose name isn't one of those above is a class, which a record has (1) or hasn't (0).

Nothing is guessed: a column that could be either is refused, and so is any value that can't be right.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, brief, in_words, shown
from ecgcourse.records.own_words import SEXES
from ecgcourse.records.ptbxl import FOLDS
from ecgcourse.support.files import stat_file

SUFFIXES = (".csv", ".tsv")
ABOUT = {
    "file": "the ECG, of any format that :func:`ecgcourse.records.own_files.read` takes; or path",
    "patient": "whose record it is, any text; without it each file counts as a patient of its own; or patient_id",
    "fold": "1 to 10, of which 1–8 train, 9 validates and 10 tests; or strat_fold",
    "split": "train, val or test, in place of fold",
    "sampling_rate": "in Hz, where the file doesn't say",
    "unit": "mV, uV, V or nV, where the file doesn't say",
    "age": "in years",
    "sex": "male or female; 0 or 1, as PTB-XL has it",
    "site": "a number",
    "device": "any text",
}
"""The columns that aren't labels, and what they hold. Of all but the file, a manifest needs none."""

_OTHER_NAMES = {"path": "file", "patient_id": "patient", "strat_fold": "fold", "class": "label"}
# What a table has besides; no class can be called so.
_TAKEN = {*ABOUT, *_OTHER_NAMES, "label", "record", "start", "labelled"}
_LARGEST = 2**30  # bytes
_LONGEST_CLASS = 80  # characters
_YES_OR_NO = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_FOLD_OF_SPLIT = {name: folds[0] for name, folds in FOLDS.items()}


def is_manifest(data: str | os.PathLike) -> bool:
    """Whether a path is that of a CSV or TSV file, or would be if it were there."""
    return Path(data).suffix.lower() in SUFFIXES and not Path(data).is_dir()


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """Read a manifest and check every value of it; no ECG is opened.

    Parameters
    ----------
    path
        The manifest: fields separated by commas, semicolons or tabs, names of the columns in the first line.

    Returns
    -------
    pandas.DataFrame
        N rows, index ``record``: 1 for the first. Columns: ``file`` and ``patient`` as the manifest has them, ``path``
        (where the file is), ``patient_id`` (numbers from 1 on), a bool column for each class, and ``strat_fold``
        (1–10), ``sampling_rate``, ``unit``, ``age``, ``sex`` (0 male, 1 female), ``site`` and ``device`` where the
        manifest tells them.
        ``attrs["classes"]`` has the names of the classes: those of columns in their order, those in a column in
        alphabetical order; ``attrs["multiclass"]`` whether each record has exactly one.

    Raises
    ------
    DataError
        If the file can't be read, it isn't clear which columns are labels, a value can't be right, a file comes twice,
        or a patient is in two partitions.
    """
    path = Path(path)
    raw = _read_texts(path)
    columns, labels = _parted(path, raw)
    table = pd.DataFrame(index=pd.RangeIndex(1, len(raw) + 1, name="record"))
    table["file"] = _filled(path, columns["file"])
    table["path"] = [str(path.parent / name) for name in table["file"]]
    _refuse_twice(path, table)
    table["patient"] = _filled(path, columns["patient"]) if "patient" in columns else table["file"]
    table["patient_id"] = pd.factorize(table["patient"])[0] + 1
    table = pd.concat([table, pd.DataFrame(labels, index=table.index)], axis=1)
    _add_fold(path, table, columns)
    _add_about(path, table, columns)
    if "strat_fold" in table:
        refuse_shared_patients(path, table)
    table.attrs = {"classes": tuple(labels), "multiclass": "label" in columns, "patients": "patient" in columns}
    return table


def refuse_shared_patients(where: Path, table: pd.DataFrame) -> None:
    """Raise DataError if records of one patient are in two partitions, as ``strat_fold`` has it."""
    part_of_fold = {fold: name for name, folds in FOLDS.items() for fold in folds}
    parts = table["strat_fold"].map(part_of_fold)
    spread = parts.groupby(table["patient_id"]).transform("nunique") > 1
    if spread.any():
        first = table["patient_id"] == table["patient_id"][spread].iloc[0]
        one, other = parts[first].drop_duplicates().index[:2]
        raise DataError(
            f"{where}: patient {shown(table['patient'][one])} is in {parts[one]} ({table['file'][one]}) and in "
            f"{parts[other]} ({table['file'][other]}); whom it has learned from would judge a network: keep each "
            "patient's records in one partition"
        )


def _read_texts(path: Path) -> pd.DataFrame:
    """The manifest's fields as texts, "" where there is nothing, under the names of its first line."""
    stat_file(path, largest=_LARGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(",;\t", key=first.count)
            raw = pd.read_csv(file, sep=separator, header=None, dtype=str, keep_default_na=False, index_col=False)
    # pandas raises a ParserError, a UnicodeError, an EmptyDataError and more, as the damage may be.
    except Exception as error:
        raise DataError(f"{path} can't be read as a table: {in_words(error)}; save it as CSV in UTF-8") from error
    raw = raw.fillna("").map(str.strip)
    names = list(raw.iloc[0])
    raw = raw.iloc[1:].reset_index(drop=True).set_axis(names, axis=1)
    repeated = next((name for name in names if names.count(name) > 1 or not name), None)
    if repeated is not None:
        raise DataError(f"{path}: {names.count(repeated)} columns are called {shown(repeated)}; give each its own name")
    if raw.empty:
        raise DataError(f"{path} has no records; it needs a row for each file")
    return raw.set_axis(pd.RangeIndex(1, len(raw) + 1, name="record"))


def _parted(path: Path, raw: pd.DataFrame) -> tuple[dict[str, pd.Series], dict[str, np.ndarray]]:
    """The columns that aren't labels, by their usual names, and each class with whether the records have it."""
    columns: dict[str, pd.Series] = {}
    others = []
    for name in raw:
        usual = _OTHER_NAMES.get(name.lower(), name.lower())
        if usual not in ABOUT and usual != "label":
            others.append(name)
        elif usual in columns:
            raise DataError(
                f"{path}: the columns {columns[usual].name} and {name} mean the same; keep one of them, or give a "
                "label another name"
            )
        else:
            columns[usual] = raw[name]
    if "file" not in columns:
        raise DataError(f"{path} has no column file or path, only {brief(', '.join(raw), 200)}; name the ECGs there")
    if "label" in columns:
        return columns, _named_classes(path, columns["label"], others)
    if not others:
        raise DataError(
            f"{path} has no labels: it needs a column of 0 and 1 for each class, or one column, label, with the names "
            "of classes"
        )
    return columns, {name: _yes_or_no(path, raw[name]) for name in others}


def _named_classes(path: Path, column: pd.Series, others: Sequence[str]) -> dict[str, np.ndarray]:
    if others:
        raise DataError(
            f"{path}: column {column.name} has the classes, so it isn't clear what {brief(', '.join(others), 200)} is; "
            f"remove it, or remove {column.name} and have a column of 0 and 1 for each class"
        )
    names = sorted(set(_filled(path, column)))
    if set(names) <= set(_YES_OR_NO):
        raise DataError(
            f"{path}: column {column.name} holds {' and '.join(names)}, which names no class; call the column what 1 "
            "means, or write the names of the classes into it"
        )
    if len(names) < 2:
        raise DataError(f"{path}: every record has the class {shown(names[0])}; two or more classes are needed")
    for name in names:
        _check_class(path, name)
    return {name: (column == name).to_numpy() for name in names}


def _yes_or_no(path: Path, column: pd.Series) -> np.ndarray:
    _check_class(path, str(column.name))
    values = column.str.lower().map(_YES_OR_NO)
    if values.isna().any():
        raise DataError(
            f"{_line(path, values.isna())}: column {column.name} has {shown(column[values.isna()].iloc[0])}, but a "
            f"label is 0 or 1; correct it, or remove the column if it is none (no labels are {', '.join(ABOUT)})"
        )
    return values.to_numpy(dtype=bool)


def _check_class(path: Path, name: str) -> None:
    if name.lower() in _TAKEN or not name.isprintable() or len(name) > _LONGEST_CLASS:
        raise DataError(f"{path}: a class can't be called {shown(name)}; give it another name")


def _add_fold(path: Path, table: pd.DataFrame, columns: dict[str, pd.Series]) -> None:
    if "fold" in columns and "split" in columns:
        raise DataError(f"{path} has both {columns['fold'].name} and split; keep the one that is to count")
    if "fold" in columns:
        table["strat_fold"] = _numbers(path, columns["fold"], "a whole number from 1 to 10").astype(int)
    elif "split" in columns:
        folds = columns["split"].map(_FOLD_OF_SPLIT)
        if folds.isna().any():
            wrong = shown(columns["split"][folds.isna()].iloc[0])
            raise DataError(f"{_line(path, folds.isna())}: split is {wrong}; it must be {', '.join(FOLDS)}: correct it")
        table["strat_fold"] = folds.astype(int)


def _add_about(path: Path, table: pd.DataFrame, columns: dict[str, pd.Series]) -> None:
    for name, allowed in (("sampling_rate", "a number of Hz above 0"), ("age", "a number"), ("site", "a number")):
        if name in columns:
            table[name] = _numbers(path, columns[name], allowed)
    for name in ("unit", "device"):
        if name in columns:
            table[name] = columns[name].where(columns[name] != "", None)
    if "sex" in columns:
        numbers = {"male": 0.0, "female": 1.0}
        words = columns["sex"].str.lower().replace({"0": "male", "1": "female"} | SEXES)
        table["sex"] = words.map(numbers)
        wrong = table["sex"].isna() & (words != "")
        if wrong.any():
            found = shown(columns["sex"][wrong].iloc[0])
            raise DataError(f"{_line(path, wrong)}: sex is {found}; it must be male, female or nothing: correct it")


def _numbers(path: Path, column: pd.Series, allowed: str) -> pd.Series:
    """A column as numbers; NaN where there is nothing, unless it has folds."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = ~np.isfinite(numbers) & (column != "")
    if "whole" in allowed:
        wrong = ~(numbers.between(1, 10) & (numbers % 1 == 0))
    elif "above" in allowed:
        wrong |= numbers <= 0
    if wrong.any():
        found = shown(column[wrong].iloc[0])
        raise DataError(f"{_line(path, wrong)}: {column.name} is {found}; it must be {allowed}: correct it")
    return numbers


def _filled(path: Path, column: pd.Series) -> pd.Series:
    if (column == "").any():
        raise DataError(f"{_line(path, column == '')}: {column.name} is empty; every record needs one")
    return column


def _refuse_twice(path: Path, table: pd.DataFrame) -> None:
    twice = table["path"].map(os.path.normpath).duplicated()
    if twice.any():
        raise DataError(f"{_line(path, twice)}: {table['file'][twice].iloc[0]} comes twice; keep one row for each file")


def _line(path: Path, wrong: pd.Series) -> str:
    """Where the first of some rows stands."""
    return f"{path}, line {int(np.argmax(wrong.to_numpy())) + 2}"
