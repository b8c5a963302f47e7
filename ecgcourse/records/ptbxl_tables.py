"""The two tables of a PTB-XL folder, read and checked: its records, and what their SCP codes mean."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecgcourse.errors import DataError, in_words, shown
from ecgcourse.records.ptbxl_names import DATABASE as DATABASE
from ecgcourse.records.ptbxl_names import STATEMENTS as STATEMENTS
from ecgcourse.support.files import stat_file

NAME_COLUMN = {100: "filename_lr", 500: "filename_hr"}
"""Which column has the names of the records at a sampling rate in Hz."""

_MOST_CLASSES = 1000  # of a label set; PTB-XL has 71 codes
_LONGEST_CLASS = 40  # characters of a code or a subclass; those of PTB-XL have 9
_LARGEST_TABLE = 2**30  # bytes; those of PTB-XL have 7 million

# The likelihoods of SCP codes as PTB-XL writes them. Matched rather than evaluated: Python's parser needs memory and
# stack for what a damaged field can hold, and a table that came over the network must not run code.
_LIKELIHOOD = r"""(?:'([^'"\\]*)'|"([^'"\\]*)")\s*:\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"""
_ONE_CODE = re.compile(_LIKELIHOOD)
_CODES = re.compile(rf"\s*\{{\s*(?:{_LIKELIHOOD}\s*(?:,\s*{_LIKELIHOOD}\s*)*,?\s*)?\}}\s*")

_DOWNLOAD = (
    "bring PTB-XL from https://physionet.org/content/ptb-xl with `python -m ecgcourse download` and set "
    "ECGCOURSE_DATA to its folder, or make a synthetic set with ecgcourse.practice.write"
)


class Statements(NamedTuple):
    """The SCP codes, the table of what they mean row by row, and the file that says so."""

    path: Path
    codes: pd.Series
    meanings: pd.DataFrame


def table_paths(root: Path) -> tuple[Path, Path]:
    """The paths of both tables, of which each is there."""
    for name in (DATABASE, STATEMENTS):
        if not (root / name).is_file():
            raise DataError(
                f"{root} isn't a PTB-XL folder: it has no {name}; expected {DATABASE}, {STATEMENTS} and "
                f"the folders of records beside them; {_DOWNLOAD}."
            )
    return root / DATABASE, root / STATEMENTS


def need_columns(columns: Iterable[str], needed: Sequence[str], where: object) -> None:
    """Raise DataError unless a table, which `where` names, has the columns."""
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}; it needs {', '.join(needed)}.")


def read_database(path: Path) -> pd.DataFrame:
    """The table of records by ``ecg_id``, with ``scp_codes`` as dict of code to likelihood."""
    table = _read_csv(path, dtype={"scp_codes": "str"})
    need_columns(table.columns, ("ecg_id", "scp_codes", "strat_fold", *NAME_COLUMN.values()), path)
    if table.empty:
        raise DataError(f"{path} has no records; download it again.")
    lines = [f"line {line}" for line in range(2, len(table) + 2)]
    table["ecg_id"] = _whole_numbers(table["ecg_id"], path, lines, low=0, high=10**9)
    repeated = table["ecg_id"][table["ecg_id"].duplicated()]
    if len(repeated):
        raise DataError(f"{path}: ecg_id {repeated.iloc[0]} occurs more than once; keep one row for each record.")
    rows = [f"ecg_id {ecg_id}" for ecg_id in table["ecg_id"]]
    table["strat_fold"] = _whole_numbers(table["strat_fold"], path, rows, low=1, high=10)
    table = table.set_index("ecg_id")
    table["scp_codes"] = [_parse_codes(path, *item) for item in table["scp_codes"].items()]
    return table


def read_statements(path: Path) -> Statements:
    """The SCP codes and what they mean."""
    meanings = _read_csv(path)
    need_columns(meanings.columns, ("diagnostic", "diagnostic_class"), path)
    codes = meanings.iloc[:, 0].astype(str)
    repeated = codes[codes.duplicated()]
    if len(repeated):
        raise DataError(f"{path}: the code {shown(repeated.iloc[0])} occurs more than once; keep one row for each.")
    return Statements(path, codes, meanings)


def diagnostic_classes(statements: Statements, superclasses: Sequence[str]) -> dict[str, str | None]:
    """Map each SCP code to its superclass, or to None if its statement isn't a diagnosis."""
    path, codes, meanings = statements
    diagnostic = _marked(statements, "diagnostic")
    for code, superclass in zip(codes[diagnostic], meanings["diagnostic_class"][diagnostic], strict=True):
        if superclass not in superclasses:
            raise DataError(
                f"{path}: the diagnostic statement {shown(code)} has diagnostic_class {shown(superclass)}; expected "
                f"one of {', '.join(superclasses)}: correct it or download the file again."
            )
    classes = meanings["diagnostic_class"].where(diagnostic, None)
    return dict(zip(codes, classes, strict=True))


def classes_of_codes(statements: Statements, label_set: str) -> dict[str, str] | str:
    """Map the SCP codes of a label set to their classes, or tell why that can't be: who doesn't ask needn't know."""
    try:
        return _checked_classes(statements, label_set)
    except DataError as error:
        return f"the label set {label_set!r} can't be had: {error}"


def _checked_classes(statements: Statements, label_set: str) -> dict[str, str]:
    path, codes, meanings = statements
    needed = {"all": (), "subclass": ("diagnostic", "diagnostic_subclass")}.get(label_set, (label_set,))
    need_columns(meanings.columns, needed, path)
    marked = _marked(statements, needed[0]) if needed else pd.Series(True, codes.index)
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


def _marked(statements: Statements, column: str) -> pd.Series:
    """Which statements are marked as `column` says, with 1; the others have 0 or nothing there."""
    rows = [f"statement {shown(code)}" for code in statements.codes]
    stated = statements.meanings[column].astype(object)
    return _whole_numbers(stated.where(stated.notna(), 0), statements.path, rows, low=0, high=1) == 1


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
