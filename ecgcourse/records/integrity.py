"""Prove that a folder of PTB-XL is right, file by file, against the sums of its version; no network is needed.

``SHA256SUMS.txt`` names every file of a version with its SHA-256. A folder of the first n records, or of chosen ones,
has a table of just these; the whole table, which has the sum, then lies beside it as ``ptbxl_database_whole.csv``, and
the table in use must be its first rows, or the chosen ones, byte for byte. ``download.json`` says which version
:mod:`ecgcourse.records.download` brought, how many records at each sampling rate, and which, where they were chosen.
"""

import csv
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from ecgcourse.errors import DataError, SettingError, shown
from ecgcourse.records.ptbxl_tables import DATABASE, NAME_COLUMN, STATEMENTS
from ecgcourse.support.files import read_json, stat_file
from ecgcourse.support.progress_bar import progress_bar
from ecgcourse.support.renamed import former_names

SAMPLING_RATES = tuple(NAME_COLUMN)
"""Those that PTB-XL has, in Hz."""

SUMS = "SHA256SUMS.txt"
WHOLE = "ptbxl_database_whole.csv"
MANIFEST = "download.json"
ID_COLUMN = "ecg_id"

_LICENSE = "LICENSE.txt"
_LARGEST_SUMS = 2**26  # bytes; those of PTB-XL have 4 million
_SHOWN = 10  # problems that are listed by name


class Problem(NamedTuple):
    """A file that isn't as it should be, by its path in the folder, and what is the matter."""

    name: str
    what: str


@dataclasses.dataclass(frozen=True)
class Verification:
    """What `verify` found; as text, a summary and the first problems.

    Attributes
    ----------
    root : Path
        The folder.
    version : str or None
        Of PTB-XL; None where no download recorded it.
    n_records : dict of int to int
        Records that were checked, by sampling rate in Hz.
    n_files : int
        Files that were checked, tables included.
    problems : list of Problem
        What isn't as it should be; empty if all is right.
    """

    root: Path
    version: str | None
    n_records: dict[int, int]
    n_files: int
    problems: list[Problem]

    @property
    def n_missing(self) -> int:
        """Number of files that aren't there."""
        return sum(problem.what == "missing" for problem in self.problems)

    @property
    def n_wrong(self) -> int:
        """Number of files that are there and aren't right."""
        return len(self.problems) - self.n_missing

    def __str__(self) -> str:
        records = [f"{number:,} records at {rate} Hz" for rate, number in self.n_records.items() if number]
        lines = [
            f"{self.root}: PTB-XL{f' {self.version}' if self.version else ''}, {', '.join(records) or 'no records'}",
            f"{self.n_files:,} files checked: {self.n_missing:,} missing, {self.n_wrong:,} wrong",
        ]
        lines += [f"  {problem.name}: {problem.what}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  and {len(self.problems) - _SHOWN:,} more")
        return "\n".join(lines)


def verify(
    root: str | os.PathLike,
    n_records: int | None = None,
    sampling_rate: int | None = None,
    progress: bool | None = None,
) -> Verification:
    """Check a folder of PTB-XL against the ``SHA256SUMS.txt`` in it.

    Checked are both tables, the licence, and each record that the folder should have: as many as were downloaded at
    each sampling rate; in a folder that came another way, all of the table at every sampling rate that has a folder of
    records, as far as the sums name them. Other files in the folder don't matter.

    Parameters
    ----------
    root
        The folder.
    n_records
        Check that the first N records of PTB-XL are there, whatever the folder should have.
    sampling_rate
        Check that the records are there at this rate, 100 or 500 Hz.
    progress
        Show a bar; by default on a terminal.

    Returns
    -------
    Verification
        What was checked, and every file that is missing or wrong.

    Raises
    ------
    DataError
        If the folder has no usable ``SHA256SUMS.txt``, or a file there can't be read; or if it holds chosen records and
        the first N are asked for.
    SettingError
        If the number of records or the sampling rate isn't possible.
    """
    root = Path(root)
    check_choice(n_records, sampling_rate or SAMPLING_RATES[0])
    with disk_errors_told(root):
        manifest, checksums = read_manifest(root), folder_checksums(root)
        chosen = manifest.ids if manifest else ()
        if chosen and n_records:
            raise DataError(f"{root} holds chosen records, not the first {n_records:,}; verify it without a number")
        others = other_files(checksums)
        problems = find_corrupt(root, others, checksums, progress)
        wanted, names = {}, []
        table = read_whole_table(root, checksums)
        if table is None:
            name = WHOLE if (root / WHOLE).exists() else DATABASE
            problems.append(Problem(name, "missing or wrong, so the records that it lists weren't checked"))
        else:
            table = table.only(chosen)
            wanted = _wanted(root, checksums, manifest, table, n_records, sampling_rate)
            names = [name for rate, number in wanted.items() for name in table.files(rate, number)]
            problems += _table_problems(root, table, manifest, n_records)
            problems += find_corrupt(root, names, checksums, progress)
    n_files = len(names) + len(others) + 1 + (root / WHOLE).exists()
    return Verification(root, manifest.version if manifest else None, wanted, n_files, problems)


def find_corrupt(
    root: Path, names: Sequence[str], checksums: dict[str, str], progress: bool | None = None
) -> list[Problem]:
    """Find those of some files in a folder that are missing, wrong, or without a checksum."""
    problems = []
    for name in progress_bar(progress, delay=1, iterable=names, desc="checking", unit="file"):
        found = sha256_of(root / name) if name in checksums else None
        if name not in checksums:
            problems.append(Problem(name, f"not named in {SUMS}"))
        elif found != checksums[name]:
            problems.append(Problem(name, "wrong content" if found else "missing"))
    return problems


def check_choice(n_records: int | None, sampling_rate: int) -> None:
    """Raise SettingError for a number below 1, or a rate that isn't one of `SAMPLING_RATES`."""
    if n_records is not None and n_records < 1:
        raise SettingError(f"n_records={n_records}; expected 1 or more, or None for all")
    if sampling_rate not in SAMPLING_RATES:
        raise SettingError(f"sampling_rate={sampling_rate}; PTB-XL has records at 100 and 500 Hz")


@contextmanager
def disk_errors_told(root: Path) -> Iterator[None]:
    """Turn what the operating system refuses in a folder into a `DataError`."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)) + (f" ({error.filename})" if error.filename else "")
        raise DataError(
            f"can't work in {root}: {reason}; make space or choose a folder you may write to, and run the same again"
        ) from error


# --- the checksums


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of what lies on the disk, in hexadecimal; None where no file is."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_checksums(content: bytes) -> dict[str, str]:
    """Read a list of checksums.

    Parameters
    ----------
    content
        Lines of a SHA-256 and a path, as ``sha256sum`` writes them or with one space between.

    Returns
    -------
    dict
        Path in the folder: SHA-256 in lower case.

    Raises
    ------
    DataError
        If a line is anything else, a path leads out of the folder, a path has two sums, or the tables aren't named.
    """
    checksums: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        parts = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)", line)
        if not parts:
            raise DataError(f"line {number} of {SUMS} isn't a SHA-256 and a path")
        digest, name = parts[1].lower(), _checked_path(parts[2], f"{SUMS}, line {number}")
        if checksums.setdefault(name, digest) != digest:
            raise DataError(f"{SUMS} has two sums for {name}")
    # The second is the last of PTB-XL's paths, so this also finds a list that was cut short.
    if not {DATABASE, STATEMENTS} <= set(checksums):
        raise DataError(f"{SUMS} doesn't name {DATABASE} and {STATEMENTS}")
    return checksums


def folder_checksums(root: Path) -> dict[str, str]:
    """Read the checksums that lie in a folder; DataError if there are none, or `parse_checksums` refuses them."""
    advice = "download again, or put the list of this version of PTB-XL there"
    if not (root / SUMS).is_file():
        raise DataError(f"{root} has no {SUMS}, without which nothing can be checked; {advice}")
    try:
        stat_file(root / SUMS, largest=_LARGEST_SUMS)
        return parse_checksums((root / SUMS).read_bytes())
    except DataError as error:
        raise DataError(f"{root}: {error}; {advice}") from error


def other_files(checksums: dict[str, str]) -> list[str]:
    """List the files besides records and their table; the licence only where the checksums name one."""
    return [name for name in (STATEMENTS, _LICENSE) if name in checksums]


def _checked_path(name: str, where: str) -> str:
    # An absolute path begins with an empty part; a colon stands in those with a drive.
    leaves = any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or ":" in name
    if leaves or not name.isprintable():
        raise DataError(f"{where}: {shown(name)} isn't a path inside the data folder; don't use this source")
    return name


# --- the table of records


class WholeTable:
    """The whole table of records, and the tables of the first records that can be cut from it.

    Parameters
    ----------
    content : bytes
        ``ptbxl_database.csv`` as the source has it.

    Attributes
    ----------
    n_records : int
        Number of records in all.

    Raises
    ------
    DataError
        If it isn't a table of records, or names a record outside the folder.
    """

    def __init__(self, content: bytes):
        self._content = content
        self._ends, (columns, *rows) = _rows_with_ends(content)
        if not rows or not set(NAME_COLUMN.values()) <= set(columns):
            names = " and ".join(NAME_COLUMN.values())
            raise DataError(f"{DATABASE} has no records, or no column {names}; don't use this source")
        places = {rate: columns.index(name) for rate, name in NAME_COLUMN.items()}
        self._names = {rate: [_record_name(row, place) for row in rows] for rate, place in places.items()}
        self._ids = [row[columns.index(ID_COLUMN)] for row in rows] if ID_COLUMN in columns else []
        self.n_records = len(rows)

    def first(self, n_records: int) -> bytes:
        """Return the table of the first records, byte for byte."""
        return self._content[: self._ends[n_records]]

    def only(self, ids: Sequence[int]) -> "WholeTable":
        """Return the table of the records with these ``ecg_id``, in its own order; of no ids, the table itself.

        Raises
        ------
        DataError
            If the table lacks one of them.
        """
        wanted = set(map(str, ids))
        rows = [k for k, ecg_id in enumerate(self._ids) if ecg_id in wanted]
        unknown = sorted(map(int, wanted.difference(self._ids)))
        if unknown:
            raise DataError(f"PTB-XL has no record {', '.join(map(str, unknown[:_SHOWN]))}; choose others")
        parts = [self._content[: self._ends[0]], *(self._content[self._ends[k] : self._ends[k + 1]] for k in rows)]
        return WholeTable(b"".join(parts)) if ids else self

    def files(self, sampling_rate: int, n_records: int) -> list[str]:
        """Return the paths of the first records' files."""
        return [name + suffix for name in self._names[sampling_rate][:n_records] for suffix in (".dat", ".hea")]

    def n_listed(self, path: Path) -> int:
        """Count the records in another table; 0 if it is missing, or isn't the beginning of the whole one."""
        content = path.read_bytes() if path.is_file() else b""
        is_first = self._content.startswith(content) and len(content) in self._ends
        return self._ends.index(len(content)) if is_first else 0

    def n_named(self, sampling_rate: int, checksums: dict[str, str]) -> int:
        """Count the first records that the checksums name without a gap."""
        named = [f"{name}.dat" in checksums for name in self._names[sampling_rate]]
        return [*named, False].index(False)


def read_whole_table(root: Path, checksums: dict[str, str]) -> WholeTable | None:
    """Read the whole table of records, under either of its names; None if neither has the right checksum."""
    for name in (WHOLE, DATABASE):
        if sha256_of(root / name) == checksums[DATABASE]:
            return WholeTable((root / name).read_bytes())
    return None


def _rows_with_ends(content: bytes) -> tuple[list[int], list[list[str]]]:
    """Read a CSV file: where each row ends, which isn't at a newline inside quotes, and the rows."""
    ends, rows, lines = [], [], content.splitlines(keepends=True)
    starts = list(accumulate(map(len, lines), initial=0))
    reader = csv.reader((line.decode("utf-8") for line in lines), strict=True)
    try:
        for row in reader:
            ends.append(starts[reader.line_num])
            rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{DATABASE} can't be read as a table: {error}; don't use this source") from error
    return ends, rows or [[]]


def _record_name(row: Sequence[str], place: int) -> str:
    if len(row) <= place:
        raise DataError(f"{DATABASE}: the row {','.join(row)[:60]!r} is too short; don't use this source")
    return _checked_path(row[place], DATABASE)


# --- what a folder should have


class Manifest(NamedTuple):
    """What ``download.json`` says: version, number of records by sampling rate in Hz, ``ecg_id`` of chosen ones."""

    version: str
    n_records: dict[int, int]
    ids: tuple[int, ...] = ()


def read_manifest(root: Path) -> Manifest | None:
    """Read ``download.json``; None if the folder has none, DataError if it is damaged."""
    path = root / MANIFEST
    if not os.path.lexists(path):
        return None
    try:
        content = read_json(path)
        n_records = {int(rate): int(number) for rate, number in content["n_records"].items()}
        check_choice(None, *(set(n_records) - set(SAMPLING_RATES) or SAMPLING_RATES[:1]))
        return Manifest(str(content["version"]), n_records, tuple(int(ecg_id) for ecg_id in content.get("ids", ())))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(f"{path} is damaged; remove it and download again") from error


def present(root: Path, checksums: dict[str, str], table: WholeTable) -> dict[int, int]:
    """Count what a folder that came another way should have: its table, at each rate that has a folder of records."""
    listed = table.n_listed(root / DATABASE)
    rates = [rate for rate in SAMPLING_RATES if (root / f"records{rate}").exists()] or SAMPLING_RATES[:1]
    counts = {rate: min(listed, table.n_named(rate, checksums)) for rate in rates}
    if max(counts.values()) < listed:
        # A record that the checksums don't name at any rate is a problem to be told, not one to be left out.
        counts[rates[0]] = listed
    return counts


def _wanted(
    root: Path,
    checksums: dict[str, str],
    manifest: Manifest | None,
    table: WholeTable,
    n_records: int | None,
    sampling_rate: int | None,
) -> dict[int, int]:
    """How many of the first records there should be, by sampling rate."""
    wanted = dict(manifest.n_records) if manifest else present(root, checksums, table)
    if sampling_rate:
        wanted = {sampling_rate: wanted.get(sampling_rate, table.n_listed(root / DATABASE))}
    if n_records:
        wanted = {rate: min(n_records, table.n_records) for rate in wanted or SAMPLING_RATES[:1]}
    return wanted


def _table_problems(root: Path, table: WholeTable, manifest: Manifest | None, n_records: int | None) -> list[Problem]:
    """Hold the table in use against the whole one."""
    listed = table.n_listed(root / DATABASE)
    if not (root / DATABASE).exists():
        return [Problem(DATABASE, "missing")]
    if not listed:
        return [Problem(DATABASE, f"not cut from {WHOLE}")]
    if manifest and listed != max(manifest.n_records.values(), default=0):
        return [Problem(DATABASE, f"lists {listed:,} records, which isn't the number in {MANIFEST}")]
    if listed < min(n_records or 0, table.n_records):
        return [Problem(DATABASE, f"lists only {listed:,} records")]
    return []


__getattr__ = former_names(
    globals(),
    {
        "judge": "find_corrupt",
        "Mark": "Manifest",
        "read_mark": "read_manifest",
        "sums_of_folder": "folder_checksums",
        "sum_of": "sha256_of",
        "Tables": "WholeTable",
    },
)
