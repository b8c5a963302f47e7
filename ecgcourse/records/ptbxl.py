"""A PTB-XL folder on disk: its table of records, labels, folds, and the signals in mV.

PTB-XL: Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7,
154 (2020), https://doi.org/10.1038/s41597-020-0495-6. The files are in the WFDB format. Introduced in
chapters 1 and 2.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, SettingError, brief, check_name, check_setting, is_whole, shown
from ecgcourse.records import wfdb_records
from ecgcourse.records.ptbxl_names import CLASSES as CLASSES
from ecgcourse.records.ptbxl_names import FOLDS as FOLDS
from ecgcourse.records.ptbxl_names import LABEL_SETS as LABEL_SETS
from ecgcourse.records.ptbxl_names import LEADS as LEADS
from ecgcourse.records.ptbxl_tables import (
    DATABASE,
    NAME_COLUMN,
    STATEMENTS,
    classes_of_codes,
    diagnostic_classes,
    need_columns,
    read_database,
    read_statements,
    table_paths,
)
from ecgcourse.records.wfdb_records import Entry, Job
from ecgcourse.support.renamed import former_names

BAD_COLUMNS = ("ecg_id", "file", "reason")

_SUPERCLASSES = ("NORM", *CLASSES)
_IN_COLUMNS = {"superclass": CLASSES, "superclass5": _SUPERCLASSES}
_OTHER_RATE = {100: 500, 500: 100}


def is_ptbxl(root: str | os.PathLike) -> bool:
    """Tell whether a folder holds the two tables of PTB-XL."""
    return all((Path(root) / name).is_file() for name in (DATABASE, STATEMENTS))


def read_table(root: str | os.PathLike) -> pd.DataFrame:
    """Read the table of records with one column per diagnostic superclass.

    A record belongs to every superclass that one of its SCP codes has as `diagnostic_class`, counting the
    codes whose statement is marked `diagnostic`, whatever their likelihood. That is the rule of Strodthoff et al.
    (2021) for all of the `LABEL_SETS`: 0 means that the likelihood is unknown, not that the finding is absent (Wagner
    et al. 2020). No function here drops codes by likelihood; ``scp_codes`` has what that needs.

    Parameters
    ----------
    root
        A folder with ``ptbxl_database.csv`` and ``scp_statements.csv``.

    Returns
    -------
    pandas.DataFrame
        N rows, index ``ecg_id``. The columns of ``ptbxl_database.csv``, with ``scp_codes`` as dict of
        code to likelihood (percent); a bool column for each of `CLASSES` and for NORM; and ``labelled``,
        true where a record has at least one of these five superclasses. ``attrs["label_sets"]`` says to which
        classes of the other `LABEL_SETS` the codes belong; rows of the table keep it, as does a pickle.

    Raises
    ------
    DataError
        If the folder isn't PTB-XL or a table lacks a column or holds a value that can't be right.
    """
    database, meanings = table_paths(Path(root))
    statements = read_statements(meanings)
    class_of = diagnostic_classes(statements, _SUPERCLASSES)
    table = read_database(database)
    found = [
        {class_of[code] for code in _known(codes, class_of, database, ecg_id)}
        for ecg_id, codes in table["scp_codes"].items()
    ]
    for name in _SUPERCLASSES:
        table[name] = [name in superclasses for superclasses in found]
    table["labelled"] = table[list(_SUPERCLASSES)].any(axis=1)
    table.attrs["label_sets"] = _LabelSets(
        (name, classes_of_codes(statements, name)) for name in LABEL_SETS if name not in _IN_COLUMNS
    )
    return table


def clearest_example(table: pd.DataFrame, code: str) -> int:
    """Find a record that shows one SCP code and little else.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`read_table` returns it.
    code : str
        SCP code, such as "CLBBB".

    Returns
    -------
    int
        ecg_id of the first record whose only other code is SR, sinus rhythm; where there is none, of the first with
        the fewest codes.

    Raises
    ------
    DataError
        No record has the code.
    """
    found = table["scp_codes"].map(set)
    has_it = table.index[found.map(lambda codes: code in codes)]
    if not len(has_it):
        raise DataError(f"none of the {len(table)} records has the code {shown(code)}")
    return int(min(has_it, key=lambda ecg_id: (found[ecg_id] != {code, "SR"}, len(found[ecg_id]))))


def label_classes(table: pd.DataFrame, label_set: str = "superclass", min_records: int = 0) -> tuple[str, ...]:
    """Name the classes of a label set, those that enough of a table's records have.

    Parameters
    ----------
    table
        From `read_table`, or part of it.
    label_set
        One of `LABEL_SETS`.
    min_records
        How many of the table's records must have a class. 0 gives all classes that the set has in
        ``scp_statements.csv``, so that they don't depend on which records a folder has; 1 leaves out those that no
        record has. Strodthoff et al. take 1 and count in all ten folds.

    Returns
    -------
    tuple of str
        K names: of the superclasses in the order of `CLASSES`, with NORM in front, of the other sets in alphabetical
        order.

    Raises
    ------
    DataError
        If ``scp_statements.csv`` doesn't have the set, or no class has enough records.
    SettingError
        If there is no such set, or `min_records` is below 0.
    """
    right = is_whole(min_records, 0)
    check_setting("label_classes", "min_records", min_records, right, "a whole number, 0 or more")
    names, found = _memberships(table, label_set)
    counts = found.sum(axis=0, dtype=np.int64)
    enough = tuple(name for name, count in zip(names, counts, strict=True) if count >= min_records)
    if not enough:
        raise DataError(
            f"no class of the label set {label_set!r} has {min_records} of the {len(table)} records, the most common "
            f"one has {counts.max()}; ask for fewer with min_records, or take another set."
        )
    return enough


def labels(table: pd.DataFrame, classes: Sequence[str] | None = None, label_set: str = "superclass") -> np.ndarray:
    """Return the targets, (N, K) float32 of zeros and ones.

    Parameters
    ----------
    table
        N records, from `read_table`.
    classes
        Names of K classes of the label set, which the columns follow; by default all that `label_classes` names: of
        the superclasses the four of `CLASSES`.
    label_set
        One of `LABEL_SETS`.

    Raises
    ------
    DataError
        If the table has no column for a class, ``scp_statements.csv`` doesn't have the set, or the set doesn't have
        a class.
    SettingError
        If there is no such set.
    """
    names, found = _memberships(table, label_set)
    if classes is None:
        return found
    # Not by an index, which would leave the columns, not the rows, together in memory.
    return np.take(found, _places(classes, names, label_set), axis=1)


def split(
    table: pd.DataFrame, label_set: str = "superclass", classes: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """Split the records that have a label by `FOLDS`; the others are left out.

    Parameters
    ----------
    table
        From `read_table`.
    label_set
        One of `LABEL_SETS`. A record has a label if it has at least one class of the set. NORM is a label in
        ``superclass`` too, although it isn't one of the four classes.
    classes
        Leave out records that have none of these classes either, as Strodthoff et al. do with records whose only
        classes are too rare. By default all classes of the set count, however rare. Not for singling out one class:
        AFIB alone would leave no record without it.

    Returns
    -------
    dict
        ``"train"``, ``"val"``, ``"test"``: DataFrame. A partition may have no records. What the three lack of the
        table are the records without a label.

    Raises
    ------
    DataError
        If the table lacks a column that is needed, ``scp_statements.csv`` doesn't have the set, or the set doesn't
        have a class.
    SettingError
        If there is no such set.
    """
    if label_set == "superclass" and classes is None:
        need_columns(table.columns, ("labelled", "strat_fold"), "the table of records")
        labelled = table[table["labelled"]]
    else:
        need_columns(table.columns, ("strat_fold",), "the table of records")
        labelled = table[_has_label(table, label_set, classes)]
    return {name: labelled[labelled["strat_fold"].isin(folds)] for name, folds in FOLDS.items()}


def read_signals(
    root: str | os.PathLike,
    table: pd.DataFrame,
    sampling_rate: int = 100,
    workers: int | None = None,
    cache: bool = True,
    progress: bool | None = None,
) -> np.ndarray:
    """Read the signals of a table's records, checked sample by sample against their headers.

    Parameters
    ----------
    root
        The folder that the table was read from.
    table
        N records, from `read_table` or part of it.
    sampling_rate
        100 or 500 Hz.
    workers
        Processes that read; by default none beside this one for a small table and for records as PTB-XL's own, 12 leads
        of format 16 in one file, and one per CPU core for others.
    cache
        Keep what was read in :func:`ecgcourse.support.files.cache_folder` and read it from there next time. The
        cache is for these records as they are: if one of their files changes, all are read anew. Nothing is kept if
        reading is cut short, or a record can't be used. Beyond 8 GB in all, what was used least lately is removed.
    progress
        Show a bar; by default on a terminal, once reading takes longer than a moment.

    Returns
    -------
    numpy.ndarray
        (N, 12, T) float32, mV, leads in the order of `LEADS`.

    Raises
    ------
    DataError
        If a record is missing, truncated, in disagreement with its header, without one of the leads, of
        another sampling rate, length or unit, or has samples without a value; if a link leads out of `root`;
        or if there are no records.
    SettingError
        If the sampling rate or the number of workers isn't possible.

    Warns
    -----
    EcgCourseWarning
        If the cache can't be written.
    """
    return wfdb_records.read(_job(root, table, sampling_rate, workers, progress), cache)[0]


def read_usable_signals(
    root: str | os.PathLike,
    table: pd.DataFrame,
    sampling_rate: int = 100,
    workers: int | None = None,
    cache: bool = True,
    progress: bool | None = None,
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Read the signals of those records that can be read, and list the others.

    Parameters
    ----------
    root, table, sampling_rate, workers, cache, progress
        As for `read_signals`.

    Returns
    -------
    signals : numpy.ndarray
        (M, 12, T) float32, mV, of the M records that can be used.
    usable : pandas.DataFrame
        The M rows of `table` that belong to them, in the same order.
    bad : pandas.DataFrame
        The other N − M, with the columns ``ecg_id``, ``file`` (the name in `root`) and ``reason``.

    Raises
    ------
    DataError
        If no record can be used, or there are none.
    SettingError
        As `read_signals`.

    Warns
    -----
    EcgCourseWarning
        If the cache can't be written.
    """
    signals, errors = wfdb_records.read(_job(root, table, sampling_rate, workers, progress, skip_bad=True), cache)
    usable = ~np.isin(np.arange(len(table)), list(errors))
    names = table[NAME_COLUMN[sampling_rate]]
    rows = [(table.index[row], names.iloc[row], str(errors[row])) for row in sorted(errors)]
    # Most often all are usable, and then a copy would double the memory.
    return (signals if usable.all() else signals[usable]), table[usable], pd.DataFrame(rows, columns=list(BAD_COLUMNS))


def fingerprint(root: str | os.PathLike, table: pd.DataFrame, sampling_rate: int = 100) -> str:
    """Name a table's records as they are now: any change to one of their files gives another name.

    Parameters
    ----------
    root, table, sampling_rate
        As for `read_signals`.

    Returns
    -------
    str
        32 hexadecimal digits. The same files in another folder have another name.

    Raises
    ------
    DataError
        If there are no records.
    SettingError
        If the sampling rate isn't possible.
    """
    return wfdb_records.fingerprint(_job(root, table, sampling_rate, skip_bad=True))


# --- label sets


class _LabelSets(dict):
    """For each label set a dict of SCP code to class, or a text that says why the folder doesn't have the set.

    Nobody changes it, so a copy needn't be another one: pandas copies `attrs` deeply whenever it takes rows or a
    column of a table.
    """

    def __deepcopy__(self, memo: dict) -> "_LabelSets":
        return self


def _known(codes: Iterable[str], class_of: dict, path: Path, ecg_id: int) -> Iterator[str]:
    for code in codes:
        if code not in class_of:
            raise DataError(
                f"{path}, ecg_id {ecg_id}: the SCP code {shown(code)} isn't in {STATEMENTS}; correct it, or take "
                "both files from the same version of PTB-XL."
            )
        yield code


def _memberships(table: pd.DataFrame, label_set: str) -> tuple[Sequence[str], np.ndarray]:
    """All K classes of a label set in order, and which of them each record has: (N, K) float32 of zeros and ones."""
    check_name(label_set, LABEL_SETS, "no label set is")
    if label_set in _IN_COLUMNS:
        names = _IN_COLUMNS[label_set]
        need_columns(table.columns, names, "the table of records")
        # A copy: pandas hands out arrays that can't be written to, about which PyTorch complains.
        return names, np.array(table[list(names)], dtype=np.float32, order="C")
    class_of = _meanings(table, label_set)
    names = sorted(set(class_of.values()))
    place_of = {code: names.index(name) for code, name in class_of.items()}
    found = np.zeros((len(table), len(names)), dtype=np.float32)
    for row, codes in enumerate(table["scp_codes"]):
        found[row, [place_of[code] for code in codes if code in place_of]] = 1
    return names, found


def _meanings(table: pd.DataFrame, label_set: str) -> Mapping[str, str]:
    need_columns(table.columns, ("scp_codes",), "the table of records")
    known = table.attrs.get("label_sets", {}).get(label_set)
    if known is None:
        raise DataError(
            f"the table of records doesn't say which codes are of the label set {label_set!r} (attrs['label_sets']); "
            "take the one that ptbxl.read_table returns, or rows of it."
        )
    if isinstance(known, str):
        raise DataError(known)
    return known


def _places(classes: Sequence[str], names: Sequence[str], label_set: str) -> list[int]:
    for name in classes:
        if name not in names:
            raise DataError(
                f"the label set {label_set!r} has no class {shown(name)} in this table of records; its classes are "
                f"{brief(', '.join(names), 400)}."
            )
    return [names.index(name) for name in classes]


def _has_label(table: pd.DataFrame, label_set: str, classes: Sequence[str] | None) -> np.ndarray:
    """Whether each record has one of some classes of a label set, by default of all."""
    names, found = _memberships(table, label_set)
    has_label = found[:, _places(names if classes is None else classes, names, label_set)].any(axis=1)
    if label_set == "superclass":
        # A record that is normal is labelled: as one that has none of the four.
        need_columns(table.columns, ("NORM",), "the table of records")
        has_label |= np.array(table["NORM"], dtype=bool)
    return has_label


# --- from the table to the records


def _job(
    root: str | os.PathLike,
    table: pd.DataFrame,
    sampling_rate: int,
    workers: int | None = None,
    progress: bool | None = None,
    skip_bad: bool = False,
) -> Job:
    entries = _entries(Path(root), table, sampling_rate)
    found = wfdb_records.look_at_all(Path(root), entries)
    if workers is not None and workers < 1:
        raise SettingError(f"workers is {workers}; expected 1 or more, or None for one per CPU core.")
    wrong = [each for each in found if isinstance(each, DataError)]
    elsewhere = _elsewhere(Path(root), table, entries, sampling_rate) if wrong else None
    if wrong and not skip_bad:
        raise elsewhere or wrong[0]
    return Job(Path(root), entries, found, sampling_rate, workers, progress, skip_bad, elsewhere)


def _entries(root: Path, table: pd.DataFrame, sampling_rate: int) -> list[Entry]:
    if sampling_rate not in NAME_COLUMN:
        raise SettingError(f"sampling_rate is {sampling_rate!r}; PTB-XL has records at 100 and 500 Hz.")
    column = NAME_COLUMN[sampling_rate]
    need_columns(table.columns, (column,), "the table of records")
    if table.empty:
        raise DataError("the table has no records, so there are no signals to read; choose another partition.")
    database = root / DATABASE
    return [Entry(name, f"{database}, ecg_id {ecg_id}: {column}") for ecg_id, name in table[column].items()]


def _elsewhere(root: Path, table: pd.DataFrame, entries: Sequence[Entry], sampling_rate: int) -> DataError | None:
    """Tell that the records are there at the other rate, if that is what is wrong."""
    other = _OTHER_RATE[sampling_rate]
    here = len(entries) - wfdb_records.count_missing(root, entries)
    # Where only some are missing, the name of the first of them says more.
    if 2 * here >= len(entries) or NAME_COLUMN[other] not in table.columns:
        return None
    found = wfdb_records.look_at_all(root, _entries(root, table, other))
    there = sum(not isinstance(each, DataError) for each in found)
    if there <= here:
        return None
    return DataError(
        f"{root} has {here or 'none'} of the {len(entries)} records at {sampling_rate} Hz, but {there} at {other} Hz: "
        f"ask for these with sampling_rate={other}, on the command line --sampling-rate {other}, or download those "
        f"of {sampling_rate} Hz too."
    )


__getattr__ = former_names(globals(), {"plainest": "clearest_example"})
