"""A PTB-XL folder on disk: its table of records, labels, folds, and the signals in mV.

PTB-XL: Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7,
154 (2020), https://doi.org/10.1038/s41597-020-0495-6. The files are in the WFDB format.
"""

import hashlib
import io
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, NamedTuple

import joblib
import numpy as np
import pandas as pd
import wfdb
from tqdm import tqdm

from ecgcourse.errors import (
    DataError,
    EcgCourseWarning,
    SettingError,
    brief,
    check_name,
    check_setting,
    in_words,
    is_whole,
    shown,
)
from ecgcourse.files import cache_folder, check_inside, load_array, remove_leftovers, stat_file, workplace
from ecgcourse.workers import spread

CLASSES = ("MI", "STTC", "CD", "HYP")
LABEL_SETS = ("superclass", "superclass5", "subclass", "diagnostic", "form", "rhythm", "all")
"""The sets of classes that PTB-XL's records have labels of, as in Strodthoff et al., "Deep learning for ECG analysis:
benchmarks and insights from PTB-XL", IEEE J. Biomed. Health Inform. 25, 1519 (2021), doi:10.1109/JBHI.2020.3022989.

- ``superclass``: the four diagnostic superclasses of `CLASSES`. A normal ECG has none of them.
- ``superclass5``: the same with NORM in front, the paper's "super-diagnostic".
- ``subclass``: ``diagnostic_subclass`` of ``scp_statements.csv``, the paper's "sub-diagnostic"; 23 in PTB-XL.
- ``diagnostic``, ``form``, ``rhythm``: the SCP codes whose statement is marked so; 44, 19 and 12. A code may be of
  two sets: NDT is a diagnosis and a form.
- ``all``: every SCP code of ``scp_statements.csv``; 71.
"""
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
BAD_COLUMNS = ("ecg_id", "file", "reason")
FOLDS = {"train": (1, 2, 3, 4, 5, 6, 7, 8), "val": (9,), "test": (10,)}

_SUPERCLASSES = ("NORM", *CLASSES)
_IN_COLUMNS = {"superclass": CLASSES, "superclass5": _SUPERCLASSES}
_MOST_CLASSES = 1000  # of a label set; PTB-XL has 71 codes
_LONGEST_CLASS = 40  # characters of a code or a subclass; those of PTB-XL have 9
_DATABASE = "ptbxl_database.csv"
_STATEMENTS = "scp_statements.csv"
_NAME_COLUMN = {100: "filename_lr", 500: "filename_hr"}
_OTHER_RATE = {100: 500, 500: 100}

_WFDB_DEFAULT_GAIN = 200.0  # per mV; what wfdb puts where a header has no gain
_LONGEST_NAME = 200  # characters of a record's name; those of PTB-XL have 26
_LONGEST_HEADER = 2**16  # bytes; those of PTB-XL have 600
_LARGEST_TABLE = 2**30  # bytes; those of PTB-XL have 7 million
# Stricter than wfdb's own patterns, so that both find the same numbers in a damaged header.
_HEADER_START = re.compile(
    r"[-\w]+\s+(?P<leads>\d{1,6})"
    r"(?:\s+\d+(?:\.\d*)?(?:/\d+(?:\.\d*)?(?:\(\d+\))?)?(?:\s+(?P<samples>\d{1,12})(?:\s.*)?)?)?",
    re.ASCII,
)
_HEADER_LEAD = re.compile(r"(?P<file>\S+)\s+(?:8|16|24|32|61|80|160|212|310|311)(?:\s.*)?")

_AGAIN = "download the .hea and the .dat file again."
_CORRECT = "correct the header or download the record again."

# The likelihoods of SCP codes as PTB-XL writes them. Matched rather than evaluated: Python's parser needs memory and
# stack for what a damaged field can hold, and a table that came over the network must not run code.
_LIKELIHOOD = r"""(?:'([^'"\\]*)'|"([^'"\\]*)")\s*:\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"""
_ONE_CODE = re.compile(_LIKELIHOOD)
_CODES = re.compile(rf"\s*\{{\s*(?:{_LIKELIHOOD}\s*(?:,\s*{_LIKELIHOOD}\s*)*,?\s*)?\}}\s*")

_CACHE_VERSION = 2
_CACHE_BYTES = 8 * 2**30  # all of PTB-XL at both rates is 6 GB
_CACHE_WAIT = 3600  # seconds to wait for another process that reads the same records
_CACHED_FROM = 64  # records; fewer are read sooner than a cache file is worth keeping
_PARALLEL_FROM = 400  # records; starting worker processes takes as long as reading this many
_CHUNK = 32  # records per task

_DOWNLOAD = (
    "bring PTB-XL from https://physionet.org/content/ptb-xl with `python -m ecgcourse download` and set "
    "ECGCOURSE_DATA to its folder, or make a synthetic set with ecgcourse.practice.write"
)


def is_ptbxl(root: str | os.PathLike) -> bool:
    """Tell whether a folder holds the two tables of PTB-XL."""
    return all((Path(root) / name).is_file() for name in (_DATABASE, _STATEMENTS))


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
    database, statements = _table_paths(Path(root))
    codes, meanings = _read_statements(statements)
    class_of = _diagnostic_classes(statements, codes, meanings)
    table = _read_database(database)
    table["scp_codes"] = [_parse_codes(database, *item) for item in table["scp_codes"].items()]
    found = [
        {class_of[code] for code in _known(codes, class_of, database, ecg_id)}
        for ecg_id, codes in table["scp_codes"].items()
    ]
    for name in _SUPERCLASSES:
        table[name] = [name in superclasses for superclasses in found]
    table["labelled"] = table[list(_SUPERCLASSES)].any(axis=1)
    table.attrs["label_sets"] = _LabelSets(
        (name, _classes_of_codes(statements, codes, meanings, name)) for name in LABEL_SETS if name not in _IN_COLUMNS
    )
    return table


def plainest(table: pd.DataFrame, code: str) -> int:
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
        _need_columns(table.columns, ("labelled", "strat_fold"), "the table of records")
        labelled = table[table["labelled"]]
    else:
        _need_columns(table.columns, ("strat_fold",), "the table of records")
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
        Processes that read; by default one per CPU core, and none beside this one for a small table.
    cache
        Keep what was read in `ecgcourse.files.cache_folder` and read it from there next time. The cache is
        for these records as they are: if one of their files changes, all are read anew. If reading is cut
        short, the next time goes on from there. Beyond 8 GB in all, what was used least lately is removed.
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
    return _read(_job(root, table, sampling_rate, workers, progress), cache)[0]


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
    signals, errors = _read(_job(root, table, sampling_rate, workers, progress, skip_bad=True), cache)
    usable = ~np.isin(np.arange(len(table)), list(errors))
    names = table[_NAME_COLUMN[sampling_rate]]
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
    return _fingerprint(_job(root, table, sampling_rate, skip_bad=True))


# --- the two tables


def _table_paths(root: Path) -> tuple[Path, Path]:
    for name in (_DATABASE, _STATEMENTS):
        if not (root / name).is_file():
            raise DataError(
                f"{root} isn't a PTB-XL folder: it has no {name}; expected {_DATABASE}, {_STATEMENTS} and "
                f"the folders of records beside them; {_DOWNLOAD}."
            )
    return root / _DATABASE, root / _STATEMENTS


def _read_csv(path: Path, **settings) -> pd.DataFrame:
    stat_file(path, path.parent, _LARGEST_TABLE)
    try:
        # Opened here: pandas takes a name with "::" or "file:" for an address.
        with path.open("rb") as file:
            table = pd.read_csv(file, low_memory=False, **settings)
    # pandas raises a ParserError, a UnicodeError, an OverflowError and more, as the damage may be.
    except Exception as error:
        raise DataError(f"{path} can't be read as a table: {in_words(error)}; download it again.") from error
    if len(table.columns) == 1 and (separator := next((one for one in ";\t" if one in table.columns[0]), None)):
        raise DataError(
            f"{path} separates its fields by {separator!r}, but PTB-XL's tables do by ','; a spreadsheet program may "
            "have saved it anew: download it again."
        )
    if not isinstance(table.index, pd.RangeIndex):
        # pandas would take the first columns for row names, and every value would stand under another's name.
        raise DataError(
            f"{path} can't be read as a table: its rows have more fields than its first line names; download it again."
        )
    return table


def _need_columns(columns: Iterable[str], needed: Sequence[str], where: object) -> None:
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}; it needs {', '.join(needed)}.")


def _read_statements(path: Path) -> tuple[pd.Series, pd.DataFrame]:
    """The SCP codes, and the table of what they mean, row by row."""
    meanings = _read_csv(path)
    _need_columns(meanings.columns, ("diagnostic", "diagnostic_class"), path)
    codes = meanings.iloc[:, 0].astype(str)
    repeated = codes[codes.duplicated()]
    if len(repeated):
        raise DataError(f"{path}: the code {shown(repeated.iloc[0])} occurs more than once; keep one row for each.")
    return codes, meanings


def _marked(path: Path, codes: pd.Series, meanings: pd.DataFrame, column: str) -> pd.Series:
    """Which statements are marked as `column` says, with 1; the others have 0 or nothing there."""
    rows = [f"statement {shown(code)}" for code in codes]
    stated = meanings[column].astype(object)
    return _whole_numbers(stated.where(stated.notna(), 0), path, rows, low=0, high=1) == 1


def _diagnostic_classes(path: Path, codes: pd.Series, meanings: pd.DataFrame) -> dict[str, str | None]:
    """Map each SCP code to its superclass, or to None if its statement isn't a diagnosis."""
    diagnostic = _marked(path, codes, meanings, "diagnostic")
    for code, superclass in zip(codes[diagnostic], meanings["diagnostic_class"][diagnostic], strict=True):
        if superclass not in _SUPERCLASSES:
            raise DataError(
                f"{path}: the diagnostic statement {shown(code)} has diagnostic_class {shown(superclass)}; expected "
                f"one of {', '.join(_SUPERCLASSES)}: correct it or download the file again."
            )
    classes = meanings["diagnostic_class"].where(diagnostic, None)
    return dict(zip(codes, classes, strict=True))


class _LabelSets(dict):
    """For each label set a dict of SCP code to class, or a text that says why the folder doesn't have the set.

    Nobody changes it, so a copy needn't be another one: pandas copies `attrs` deeply whenever it takes rows or a
    column of a table.
    """

    def __deepcopy__(self, memo: dict) -> "_LabelSets":
        return self


def _classes_of_codes(path: Path, codes: pd.Series, meanings: pd.DataFrame, label_set: str) -> dict[str, str] | str:
    """Map the SCP codes of a label set to their classes, or tell why that can't be: who doesn't ask needn't know."""
    try:
        return _checked_classes(path, codes, meanings, label_set)
    except DataError as error:
        return f"the label set {label_set!r} can't be had: {error}"


def _checked_classes(path: Path, codes: pd.Series, meanings: pd.DataFrame, label_set: str) -> dict[str, str]:
    needed = {"all": (), "subclass": ("diagnostic", "diagnostic_subclass")}.get(label_set, (label_set,))
    _need_columns(meanings.columns, needed, path)
    marked = _marked(path, codes, meanings, needed[0]) if needed else pd.Series(True, codes.index)
    classes = meanings["diagnostic_subclass"] if label_set == "subclass" else codes
    marked &= classes.notna()
    class_of = dict(zip(codes[marked], classes[marked], strict=True))
    if not class_of:
        raise DataError(f"none of the statements in {path} is of it.")
    for name in class_of.values():
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST_CLASS:
            raise DataError(
                f"{path} has a class {shown(name)}; expected a name of 1 to {_LONGEST_CLASS} characters such as "
                "'LAFB/LPFB': correct it or download the file again."
            )
    if len(set(class_of.values())) > _MOST_CLASSES:
        raise DataError(f"{path} has more than {_MOST_CLASSES} classes; download it again.")
    return class_of


def _memberships(table: pd.DataFrame, label_set: str) -> tuple[Sequence[str], np.ndarray]:
    """All K classes of a label set in order, and which of them each record has: (N, K) float32 of zeros and ones."""
    check_name(label_set, LABEL_SETS, "no label set is")
    if label_set in _IN_COLUMNS:
        names = _IN_COLUMNS[label_set]
        _need_columns(table.columns, names, "the table of records")
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
    _need_columns(table.columns, ("scp_codes",), "the table of records")
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
        # A record that is normal is labeled: as one that has none of the four.
        _need_columns(table.columns, ("NORM",), "the table of records")
        has_label |= np.array(table["NORM"], dtype=bool)
    return has_label


def _read_database(path: Path) -> pd.DataFrame:
    table = _read_csv(path, dtype={"scp_codes": "str"})
    _need_columns(table.columns, ("ecg_id", "scp_codes", "strat_fold", *_NAME_COLUMN.values()), path)
    if table.empty:
        raise DataError(f"{path} has no records; download it again.")
    lines = [f"line {line}" for line in range(2, len(table) + 2)]
    table["ecg_id"] = _whole_numbers(table["ecg_id"], path, lines, low=0, high=10**9)
    repeated = table["ecg_id"][table["ecg_id"].duplicated()]
    if len(repeated):
        raise DataError(f"{path}: ecg_id {repeated.iloc[0]} occurs more than once; keep one row for each record.")
    rows = [f"ecg_id {ecg_id}" for ecg_id in table["ecg_id"]]
    table["strat_fold"] = _whole_numbers(table["strat_fold"], path, rows, low=1, high=10)
    return table.set_index("ecg_id")


def _whole_numbers(column: pd.Series, path: Path, rows: Sequence[str], low: int, high: int) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    right = (numbers >= low) & (numbers <= high) & (numbers % 1 == 0)
    if not right.all():
        first = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{path}, {rows[first]}: {column.name} is {shown(column.iloc[first])}; expected a whole number from "
            f"{low} to {high}: correct it or download the file again."
        )
    return numbers.astype(int)


def _parse_codes(path: Path, ecg_id: int, text: object) -> dict[str, float]:
    codes = None
    if isinstance(text, str) and _CODES.fullmatch(text):
        codes = {single or double: float(number) for single, double, number in _ONE_CODE.findall(text)}
    if codes is None or not all(map(math.isfinite, codes.values())):
        raise DataError(
            f"{path}, ecg_id {ecg_id}: scp_codes is {shown(text)}; expected a dict of SCP code to likelihood such "
            "as {'NORM': 100.0}: correct it or download the file again."
        )
    return codes


def _known(codes: Iterable[str], class_of: dict, path: Path, ecg_id: int) -> Iterator[str]:
    for code in codes:
        if code not in class_of:
            raise DataError(
                f"{path}, ecg_id {ecg_id}: the SCP code {shown(code)} isn't in {_STATEMENTS}; correct it, or take "
                "both files from the same version of PTB-XL."
            )
        yield code


# --- the records


class _Entry(NamedTuple):
    """A record as the table names it."""

    name: str
    where: str  # which field of the table that is


@dataclass(frozen=True)
class _Job:
    """What is read and how."""

    root: Path
    entries: list[_Entry]
    found: "list[_Found | DataError]"
    sampling_rate: int
    workers: int | None
    progress: bool | None
    skip_bad: bool
    elsewhere: DataError | None  # set if most of the records are missing at this rate and more are there at the other


_Found = tuple[os.stat_result, os.stat_result]
_Errors = dict[int, DataError]


def _job(
    root: str | os.PathLike,
    table: pd.DataFrame,
    sampling_rate: int,
    workers: int | None = None,
    progress: bool | None = None,
    skip_bad: bool = False,
) -> _Job:
    entries = _entries(Path(root), table, sampling_rate)
    found = _look_at_all(Path(root), entries)
    if workers is not None and workers < 1:
        raise SettingError(f"workers is {workers}; expected 1 or more, or None for one per CPU core.")
    wrong = [each for each in found if isinstance(each, DataError)]
    elsewhere = _elsewhere(Path(root), table, entries, sampling_rate) if wrong else None
    if wrong and not skip_bad:
        raise elsewhere or wrong[0]
    return _Job(Path(root), entries, found, sampling_rate, workers, progress, skip_bad, elsewhere)


def _entries(root: Path, table: pd.DataFrame, sampling_rate: int) -> list[_Entry]:
    if sampling_rate not in _NAME_COLUMN:
        raise SettingError(f"sampling_rate is {sampling_rate!r}; PTB-XL has records at 100 and 500 Hz.")
    column = _NAME_COLUMN[sampling_rate]
    _need_columns(table.columns, (column,), "the table of records")
    if table.empty:
        raise DataError("the table has no records, so there are no signals to read; choose another partition.")
    return [_Entry(name, f"{root / _DATABASE}, ecg_id {ecg_id}: {column}") for ecg_id, name in table[column].items()]


def _elsewhere(root: Path, table: pd.DataFrame, entries: Sequence[_Entry], sampling_rate: int) -> DataError | None:
    """Tell that the records are there at the other rate, if that is what is wrong."""
    other = _OTHER_RATE[sampling_rate]
    missing = sum(
        not isinstance(_attempt(_check_name, entry), DataError) and not os.path.lexists(root / f"{entry.name}.hea")
        for entry in entries
    )
    here = len(entries) - missing
    # Where only some are missing, the name of the first of them says more.
    if 2 * here >= len(entries) or _NAME_COLUMN[other] not in table.columns:
        return None
    found = _look_at_all(root, _entries(root, table, other))
    there = sum(not isinstance(each, DataError) for each in found)
    if there <= here:
        return None
    return DataError(
        f"{root} has {here or 'none'} of the {len(entries)} records at {sampling_rate} Hz, but {there} at {other} Hz: "
        f"ask for these with sampling_rate={other}, on the command line --sampling-rate {other}, or download those "
        f"of {sampling_rate} Hz too."
    )


def _look_at_all(root: Path, entries: Sequence[_Entry]) -> list[_Found | DataError]:
    """The size and times of each record's two files, or what is wrong with them."""
    checked: set[Path] = set()
    return [_attempt(_look_at, root, entry, checked) for entry in entries]


def _attempt(work: Callable, *arguments: object) -> object:
    """What `work` returns, or the error that it raises."""
    try:
        return work(*arguments)
    except DataError as error:
        return error


def _look_at(root: Path, entry: _Entry, checked: set[Path]) -> _Found:
    """Find a record's .hea and .dat inside `root`; `checked` are folders that were found to lie there."""
    _check_name(entry)
    path = root / entry.name
    if path.parent not in checked:
        check_inside(path.parent, root)
        checked.add(path.parent)
    try:
        return stat_file(f"{path}.hea", root), stat_file(f"{path}.dat", root)
    except DataError as error:
        raise DataError(f"{error}; download the record again, or leave it out of the table.") from error


def _check_name(entry: _Entry) -> None:
    name = entry.name
    inside = isinstance(name, str) and name.isprintable() and len(name) <= _LONGEST_NAME
    inside = inside and not any(
        path.is_absolute() or path.drive or ".." in path.parts or not path.name
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )
    if not inside:
        raise DataError(
            f"{entry.where} is {shown(name)}; expected the name of a record inside the "
            "data folder, such as records100/00000/00001_lr: correct it or download the file again."
        )


def _read(job: _Job, cache: bool) -> tuple[np.ndarray, _Errors]:
    """Signals of all records, (N, 12, T), and what is wrong with those whose place is filled with NaN."""
    if not cache or len(job.entries) < _CACHED_FROM:
        return _read_records(job)
    path = cache_folder() / f"signals-{_fingerprint(job)}.npy"
    signals = _from_cache(path, len(job.entries))
    if signals is not None:
        return signals, _explain(job, signals)
    return _read_into_cache(job, path)


def _read_records(job: _Job, cache: "_GrowingCache | None" = None) -> tuple[np.ndarray, _Errors]:
    """Read all records, or those that a cache doesn't have yet, which it then gets."""
    model, samples = _model_record(job)
    signals = np.empty((len(job.entries), len(LEADS), samples), dtype=np.float32)
    start = cache.fill(signals) if cache else 0
    errors = _explain(job, signals[:start])
    with _bar(len(signals), start, job.progress) as bar:
        for row, result in enumerate(_results(job, start), start):
            result = _checked_length(result, job, row, model, samples)
            if isinstance(result, DataError):
                errors[row], result = _accepted(result, job), np.nan
            signals[row] = result
            if cache:
                cache.append(signals[row])
            bar.update()
    return signals, errors


def _accepted(error: DataError, job: _Job) -> DataError:
    if not job.skip_bad:
        raise error
    return error


def _model_record(job: _Job) -> tuple[int, int]:
    """The first record that can be read among those of the most common size, and its number of samples T."""
    sizes = [each[1].st_size if not isinstance(each, DataError) else -1 for each in job.found]
    counts = Counter(sizes)
    # Of sizes that are equally common the smallest, so that one bloated file doesn't decide for all.
    rows = sorted(range(len(sizes)), key=lambda row: (-counts[sizes[row]], sizes[row], row))
    for row in rows:
        result = _attempt(_read_record, job.root, job.entries[row], job.sampling_rate)
        if not isinstance(_accepted(result, job) if isinstance(result, DataError) else result, DataError):
            return row, result.shape[1]
    if job.elsewhere is not None:
        raise job.elsewhere
    first = _attempt(_read_record, job.root, job.entries[0], job.sampling_rate)
    raise DataError(f"none of the {len(rows)} records in {job.root} can be used; the first: {first}")


def _checked_length(
    result: np.ndarray | DataError, job: _Job, row: int, model: int, samples: int
) -> np.ndarray | DataError:
    if isinstance(result, DataError) or result.shape[1] == samples:
        return result
    return DataError(
        f"record {job.root / job.entries[row].name} has {result.shape[1]} samples, but "
        f"{job.root / job.entries[model].name} has {samples} samples; records read together must be equally long: "
        "leave one out of the table."
    )


def _results(job: _Job, start: int) -> Iterator[np.ndarray | DataError]:
    """Read from row `start` on, on several processes where it pays."""
    entries = job.entries[start:]
    workers = job.workers
    if workers is None:
        workers = joblib.cpu_count() if len(entries) >= _PARALLEL_FROM else 1
    chunks = [entries[first : first + _CHUNK] for first in range(0, len(entries), _CHUNK)]
    # Generators, so that the signals are in memory once, not once in parts and once whole.
    pieces = [(job.root, chunk, job.sampling_rate) for chunk in chunks]
    return chain.from_iterable(spread(_read_chunk, pieces, workers))


def _explain(job: _Job, signals: np.ndarray) -> _Errors:
    """What is wrong with the records that earlier reading gave no signals."""
    rows = np.flatnonzero(np.isnan(signals[:, 0, 0]))
    model, samples = _model_record(job) if len(rows) else (0, 0)
    errors = {}
    for row in rows.tolist():
        result = _attempt(_read_record, job.root, job.entries[row], job.sampling_rate)
        result = _checked_length(result, job, row, model, samples)
        if isinstance(result, DataError):
            errors[row] = _accepted(result, job)
        else:
            signals[row] = result
    return errors


def _bar(total: int, start: int, progress: bool | None) -> tqdm:
    # Unasked, a bar appears on a terminal only, and not for what takes no longer than a moment.
    shown_how = {"disable": None, "delay": 2} if progress is None else {"disable": not progress}
    return tqdm(total=total, initial=start, desc="reading", unit="record", **shown_how)


def _read_chunk(root: Path, entries: Sequence[_Entry], sampling_rate: int) -> list[np.ndarray | DataError]:
    return [_attempt(_read_record, root, entry, sampling_rate) for entry in entries]


def _read_record(root: Path, entry: _Entry, sampling_rate: int) -> np.ndarray:
    """Read one record, (12, T) float32 in mV, and hold everything its header says against the data."""
    path = root / entry.name
    header, data = (each.st_size for each in _look_at(root, entry, set()))
    lines = _header_lines(path, header)
    _check_claims(path, lines, data)
    record, voltages = _read_wfdb(path)
    _check_header(path, record, lines, sampling_rate)
    _check_data(path, record, voltages, data)
    order = [[lead.lower() for lead in record.sig_name].index(lead.lower()) for lead in LEADS]
    return voltages[order]


def _header_lines(path: Path, n_bytes: int) -> list[str]:
    """The lines of a header as wfdb takes them: ASCII, no comments."""
    if n_bytes > _LONGEST_HEADER:
        raise DataError(
            f"{path}.hea can't be read: it has {n_bytes} bytes, which no header of 12 leads needs; {_AGAIN}"
        )
    try:
        text = Path(f"{path}.hea").read_text(encoding="ascii", errors="ignore")
    except OSError as error:
        raise DataError(f"{path}.hea can't be read: {in_words(error)}; {_AGAIN}") from error
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _check_claims(path: Path, lines: Sequence[str], n_bytes: int) -> None:
    """Hold what a header promises against the size of its data, before wfdb makes room for it."""
    first = _HEADER_START.fullmatch(lines[0]) if lines else None
    leads = [_HEADER_LEAD.fullmatch(line) for line in lines[1:]]
    if first is None or not all(leads) or int(first["leads"]) != len(leads) or not leads:
        raise DataError(
            f"record {path} can't be read: its header is damaged, or uses a format that PTB-XL doesn't; {_AGAIN}"
        )
    if {lead["file"] for lead in leads} != {f"{path.name}.dat"}:
        raise DataError(f"{path}.hea doesn't keep all its leads in {path.name}.dat; {_CORRECT}")
    # No format of those admitted has less than a byte for a sample.
    if int(first["samples"] or 0) * len(leads) > n_bytes:
        raise DataError(
            f"{path}.dat holds {n_bytes} bytes, but its header says {first['samples']} samples of "
            f"{len(leads)} leads; {_AGAIN}"
        )


def _read_wfdb(path: Path) -> tuple[wfdb.Record, np.ndarray]:
    """The record with its whole numbers, and its leads in mV, (L, T) float32."""
    try:
        record = wfdb.rdrecord(str(path), physical=False)
        with np.errstate(all="ignore"):
            return record, record.dac().T.astype(np.float32)
    # wfdb has no error of its own: what a damaged file raises depends on where its parser stumbles.
    except Exception as error:
        raise DataError(
            f"record {path} can't be read: its header is damaged or doesn't agree with its data "
            f"({type(error).__name__}: {in_words(error)}); {_AGAIN}"
        ) from error


def _check_header(path: Path, record: wfdb.Record, lines: Sequence[str], sampling_rate: int) -> None:
    if record.fs != sampling_rate:
        raise DataError(f"{path}.hea says {record.fs} Hz; expected {sampling_rate} Hz: choose that rate or {_CORRECT}")
    _check_leads(path, record.sig_name)
    for lead, unit, gain in zip(record.sig_name, record.units, record.adc_gain, strict=True):
        if unit != "mV":
            raise DataError(f"{path}.hea, lead {lead}: the unit is {brief(unit)}; expected mV: {_CORRECT}")
        if not np.isfinite(gain) or (gain == _WFDB_DEFAULT_GAIN and _is_uncalibrated(lines)):
            raise DataError(f"{path}.hea, lead {lead}: the gain is missing, zero or infinite; {_CORRECT}")


def _check_leads(path: Path, names: Sequence[str | None]) -> None:
    names = [name or "(no name)" for name in names]
    present = [name.lower() for name in names]
    missing = [lead for lead in LEADS if lead.lower() not in present]
    if missing or len(names) != len(LEADS):
        lack = f"misses lead {', '.join(missing)}" if missing else f"has {len(names)} leads"
        raise DataError(
            f"{path}.hea {lack}; expected each of {', '.join(LEADS)} once, found {brief(', '.join(names))}: "
            "download the record again, or leave it out of the table."
        )


def _is_uncalibrated(lines: Sequence[str]) -> bool:
    """Tell whether a lead has no gain or gain 0, which wfdb replaces by a default without a word."""
    return any(_gain(line.split()) == 0 for line in lines[1:])


def _gain(fields: Sequence[str]) -> float:
    try:
        return float(re.match(r"[-+.\deE]*", fields[2]).group())
    except (IndexError, ValueError):
        return 0.0


def _check_data(path: Path, record: wfdb.Record, voltages: np.ndarray, n_bytes: int) -> None:
    if set(record.fmt) == {"16"} and n_bytes != 2 * record.sig_len * record.n_sig:
        raise DataError(
            f"{path}.dat holds {n_bytes} bytes, but its header says {record.sig_len} samples of "
            f"{record.n_sig} leads, two bytes each; {_AGAIN}"
        )
    for lead, signal, stated, found in zip(
        record.sig_name, voltages, record.checksum, record.calc_checksum(), strict=True
    ):
        if not np.isfinite(signal).all():
            sample = int(np.flatnonzero(~np.isfinite(signal))[0])
            lack = "has no value (NaN)" if np.isnan(signal[sample]) else "is infinite"
            raise DataError(f"record {path}, lead {lead}: sample {sample} {lack}; leave the record out of the table.")
        if stated is not None and (stated - found) % 65536:
            raise DataError(f"{path}.dat, lead {lead}: the checksum is {found}, but the header says {stated}; {_AGAIN}")


# --- the cache


def _fingerprint(job: _Job) -> str:
    known = hashlib.sha256(repr((_CACHE_VERSION, str(job.root.resolve()), job.sampling_rate)).encode())
    for entry, found in zip(job.entries, job.found, strict=True):
        # The change time too: a copying tool can set the modification time back, but not this one.
        files = () if isinstance(found, DataError) else found
        stats = [(each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in files]
        known.update(repr((entry.name, stats)).encode())
    return known.hexdigest()[:32]


def _from_cache(path: Path, n_records: int) -> np.ndarray | None:
    try:
        signals = load_array(path)
        os.utime(path)  # it was used: see _make_room
    except (DataError, OSError):
        return None
    usable = signals.dtype == np.float32 and signals.ndim == 3 and signals.shape[:2] == (n_records, len(LEADS))
    return signals if usable else None


def _read_into_cache(job: _Job, path: Path) -> tuple[np.ndarray, _Errors]:
    with ExitStack() as stack:
        try:
            place = stack.enter_context(workplace(path, settings=path.name, wait=_CACHE_WAIT))
        except DataError as error:
            _warn_not_kept(error)
            return _read_records(job)
        # Another process may have read the same records while this one waited.
        signals = _from_cache(path, len(job.entries))
        if signals is not None:
            return signals, _explain(job, signals)
        with _GrowingCache(place / path.name) as cache:
            signals, errors = _read_records(job, cache)
            problem = cache.finish(path)
    if problem is None:
        _make_room(path)
    else:
        _warn_not_kept(f"can't write {path}: {problem.strerror}.")
    return signals, errors


class _GrowingCache:
    """A file of signals that grows record by record, so that what a killed process read isn't read again."""

    def __init__(self, path: Path):
        self.path = path
        self.file: BinaryIO | None = None
        self.problem: OSError | None = None

    def __enter__(self) -> "_GrowingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def fill(self, signals: np.ndarray) -> int:
        """Copy what the file has into `signals`, (N, 12, T); return the number of records."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(signals))
        try:
            self.file = open(self.path, "r+b" if self.path.exists() else "x+b")
            return self._resume(signals, header.getvalue())
        except OSError as error:
            self._give_up(error)
            return 0

    def _resume(self, signals: np.ndarray, header: bytes) -> int:
        there = self.file.read(len(header)) == header
        size = os.fstat(self.file.fileno()).st_size - len(header)
        # A record of which only a part was written doesn't count.
        n_records = min(size // signals[0].nbytes, len(signals)) if there else 0
        self.file.seek(0)
        self.file.write(header)
        if n_records:
            self.file.readinto(memoryview(signals[:n_records]).cast("B"))
        self.file.truncate()
        return n_records

    def append(self, signal: np.ndarray) -> None:
        if self.file is not None:
            try:
                self.file.write(signal.data)
            except OSError as error:
                self._give_up(error)

    def finish(self, path: Path) -> OSError | None:
        """Give the complete file its name, or tell why there is none."""
        try:
            self._close()
            if self.problem is None:
                os.replace(self.path, path)
        except OSError as error:
            self.problem = error
        return self.problem

    def _give_up(self, error: OSError) -> None:
        self.problem = error
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self.path.unlink()

    def _close(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            file.close()


def _warn_not_kept(reason: object) -> None:
    warnings.warn(
        f"the signals were read but not kept for next time: {reason} ECGCOURSE_CACHE names the folder.",
        EcgCourseWarning,
        stacklevel=5,  # whoever called the public function,
    )


def _make_room(newest: Path) -> None:
    """Remove what was used least lately, finished or not, until the cache is small enough."""
    finished = list(newest.parent.glob("signals-*.npy"))
    begun = list(newest.parent.glob(".signals-*.npy.partial/signals-*.npy"))
    total = 0
    for path in sorted([*finished, *begun], key=_last_use, reverse=True):
        with suppress(OSError):
            total += path.stat().st_size
        if total > _CACHE_BYTES and path != newest:
            _remove_cache(path)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove_cache(path: Path) -> None:
    if not path.parent.name.startswith("."):
        path.unlink(missing_ok=True)
        return
    remove_leftovers(path.parent.parent / path.name)
