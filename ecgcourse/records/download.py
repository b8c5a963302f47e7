"""Bring PTB-XL, whole or its first records, onto the disk, with every file checked against the sums of its version.

The source is a tree of files on a web server, by default PhysioNet's. Nothing counts as downloaded before what lies on
the disk has the sum that ``SHA256SUMS.txt`` gives. Downloading again brings only what is missing or wrong, so a
download that was stopped goes on with the same command.

The table of the first n records is cut from the whole one, which stays beside it; see
:mod:`ecgcourse.records.integrity`. A folder only grows: its table lists as many records as the largest download into it
asked for.
"""

import multiprocessing
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from urllib.parse import quote, urlsplit

import filelock
from tqdm import tqdm

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, brief, shown
from ecgcourse.records import practice
from ecgcourse.records.integrity import (
    DATABASE,
    MARK,
    SAMPLING_RATES,
    SUMS,
    WHOLE,
    Mark,
    Tables,
    check_choice,
    disk_errors_told,
    judge,
    parse_sums,
    present,
    quiet,
    read_mark,
    read_whole_table,
    small_files,
    sum_of,
    sums_of_folder,
)
from ecgcourse.records.integrity import verify as verify
from ecgcourse.records.transfer import DEFAULT_PATIENCE, Absent, Patience, Transfer, WrongContent

BASE_URL = "https://physionet.org/files/ptb-xl/"
VERSION = "1.0.3"
CONNECTIONS, MOST_CONNECTIONS = 4, 32

_WORK = ".download"  # holds files on their way; gone once a download has ended
_FIRST_TRIES = 3  # for the first file, so that a wrong address is told soon
_LARGEST_RECORD_FILE = 1 << 20  # bytes; PTB-XL's have 120,000 at most
_LARGEST_OTHER_FILE = 1 << 26  # bytes; PTB-XL's have some millions


def ptbxl(
    root: str | os.PathLike,
    n_records: int | None = None,
    sampling_rate: int = SAMPLING_RATES[0],
    version: str = VERSION,
    base_url: str = BASE_URL,
    connections: int = CONNECTIONS,
    progress: bool | None = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> Path:
    """Download PTB-XL, or what is missing of it, and check every file against the sums of its version.

    Parameters
    ----------
    root
        The folder to fill: a new or empty one, one that this function filled, or PTB-XL that came another way.
    n_records
        Take the first N records of ``ptbxl_database.csv``; by default, and if there are fewer, all.
    sampling_rate
        Of the records to take, 100 or 500 Hz.
    version
        Of PTB-XL, such as "1.0.3".
    base_url
        Where the files lie, http or https: the folder of ``SHA256SUMS.txt`` itself, or one that has it in
        ``<version>/`` or in ``ptb-xl/<version>/``.
    connections
        Number of files on their way at a time.
    progress
        Show a bar; by default on a terminal.
    patience
        How long to wait for a server that fails for the moment.

    Returns
    -------
    Path
        `root`. The table is written there last, so a folder that reads as PTB-XL has all records that it lists.

    Raises
    ------
    DataError
        If the source lacks a file, gives a wrong one twice, names one that can't be, or doesn't answer; if `root` holds
        something else, is being filled by another process, has links that lead out, or can't be written.
    SettingError
        If a parameter has a value that isn't possible.

    Warns
    -----
    EcgCourseWarning
        If the table now lists records that are there at one sampling rate only.
    """
    root = Path(root)
    check_choice(n_records, sampling_rate)
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise SettingError(f"connections={connections}; expected 1 to {MOST_CONNECTIONS}")
    candidates = _source_candidates(base_url, version)
    with disk_errors_told(root):
        _refuse_other_content(root, version)
        with _work_folder(root) as work, Transfer(connections, patience) as transfer:
            _Download(root, work, version, candidates, transfer, progress).run(n_records, sampling_rate)
    return root


def _source_candidates(base_url: str, version: str) -> list[str]:
    """The addresses at which a base may have the sums, the likeliest first."""
    if not re.fullmatch(r"\d+(\.\d+)+", version):
        raise SettingError(f"version={shown(version)}; expected numbers and dots such as {VERSION}")
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise SettingError(f"base_url={shown(base_url)}; expected the address of a folder, such as {BASE_URL}")
    base = base_url.rstrip("/")
    last = base.rpartition("/")[2]
    if last == version:
        return [f"{base}/"]
    # One version never lies inside another.
    if re.fullmatch(r"\d+\.\d+\.\d+", last):
        raise SettingError(
            f"base_url={shown(base_url)} is of version {brief(last)}, not of version={brief(version)}; "
            "correct one of them"
        )
    return [f"{base}/{version}/", f"{base}/ptb-xl/{version}/", f"{base}/"]


# --- the folder


def _refuse_other_content(root: Path, version: str) -> None:
    if practice.is_practice(root):
        raise DataError(f"{root} is a synthetic practice set; name another folder for PTB-XL")
    mark = read_mark(root)
    if mark and mark.version != version:
        raise DataError(
            f"{root} holds PTB-XL {mark.version}, not {version}; name another folder, or ask for version {mark.version}"
        )
    if mark is None and root.is_dir():
        content = {path.name for path in root.iterdir() if not path.name.startswith(".")}
        if content and not content & {SUMS, DATABASE, WHOLE, *(f"records{rate}" for rate in SAMPLING_RATES)}:
            raise DataError(f"{root} holds files that aren't PTB-XL; name a new or an empty folder")


@contextmanager
def _work_folder(root: Path) -> Iterator[Path]:
    """A folder in `root` for files on their way; what a killed process left in its own is removed.

    A lock keeps two processes from removing each other's.
    """
    is_new, work = not root.exists(), root / _WORK
    root.mkdir(parents=True, exist_ok=True)
    if work.is_symlink():
        raise DataError(f"{work} is a link; remove it")
    work.mkdir(exist_ok=True)
    try:
        with _held(root, filelock.FileLock(work / "lock", timeout=0)):
            for left in work.glob("run-*"):
                shutil.rmtree(left)
            try:
                # A folder of its own: a thread of a download that was stopped in this very process may still write.
                yield Path(tempfile.mkdtemp(prefix="run-", dir=work))
            finally:
                shutil.rmtree(work, ignore_errors=True)
    finally:
        if is_new:
            with suppress(OSError):  # unless something came
                root.rmdir()


@contextmanager
def _held(root: Path, lock: filelock.FileLock) -> Iterator[None]:
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise DataError(f"another download into {root} is running; wait for it, or stop it") from error
    except (OSError, NotImplementedError):
        # Some network drives have no locks; whoever downloads into one twice at a time may have to start again.
        pass
    try:
        yield
    finally:
        lock.release()


def _place(temporary: Path, root: Path, name: str) -> None:
    """Give a finished file its name in the folder, all at once."""
    target = root / name
    if not target.parent.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{target.parent} leads out of {root} through a link; remove the link")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)


# --- the download


class _Download:
    """One download into one folder, from the first of some addresses that has the sums."""

    def __init__(
        self,
        root: Path,
        work: Path,
        version: str,
        candidates: Sequence[str],
        transfer: Transfer,
        progress: bool | None,
    ):
        self.root, self.work, self.version, self.candidates = root, work, version, candidates
        self.transfer, self.progress = transfer, progress
        self.bar = partial(tqdm, desc=f"PTB-XL {version}", unit="file", disable=quiet(progress))
        self.mark = read_mark(root)
        self.source: str | None = None
        self.sums: dict[str, str] = {}

    def run(self, n_records: int | None, sampling_rate: int) -> None:
        self._get_sums()
        tables = self._get_tables()
        number = min(n_records or tables.n_records, tables.n_records)
        self._get_files(tables.files(sampling_rate, number))
        before = self.mark.n_records
        self._write_mark(before | {sampling_rate: max(number, before.get(sampling_rate, 0))})
        # The table comes last: a folder that reads as PTB-XL has all that its table lists.
        self._write_table(tables, max(self.mark.n_records.values()))
        _warn_of_uneven_rates(self.root, self.mark.n_records)

    def _get_sums(self) -> None:
        """Take the sums from the folder if they are those of an earlier download, else from the source."""
        if self.mark and sum_of(self.root / SUMS) == self.mark.sums:
            self.sums = sums_of_folder(self.root)
        else:
            self._find_source()

    def _get_tables(self) -> Tables:
        self._get_files(small_files(self.sums))
        tables = read_whole_table(self.root, self.sums)
        if tables is None:
            self._fetch_all([(DATABASE, WHOLE)])
            tables = Tables((self.root / WHOLE).read_bytes())
        if self.mark is None:
            has_records = any((self.root / f"records{rate}").exists() for rate in SAMPLING_RATES)
            self._write_mark(present(self.root, self.sums, tables) if has_records else {})
        return tables

    def _get_files(self, names: Sequence[str]) -> None:
        """Fetch those files that aren't there or aren't right."""
        problems = judge(self.root, names, self.sums, self.progress)
        for name, what in problems:
            if name not in self.sums:
                raise DataError(f"{name} is {what}, so it can't be checked; use another source")
        if problems:
            self._fetch_all([(name, name) for name, _ in problems], n_there=len(names) - len(problems))

    def _fetch_all(self, jobs: Sequence[tuple[str, str]], n_there: int = 0) -> None:
        if self.source is None:
            self._find_source()
        # The threads of this pool end with the process: after Ctrl-C nobody waits for a silent server.
        with (
            self.bar(total=n_there + len(jobs), initial=n_there) as bar,
            ThreadPool(min(self.transfer.connections, len(jobs))) as pool,
        ):
            done = pool.imap_unordered(self._fetch, jobs)
            for _ in jobs:
                self._wait_for_next(done, bar)
                bar.update()

    def _wait_for_next(self, done: Iterator, bar: tqdm) -> None:
        while True:
            bar.set_postfix_str(f"{self.transfer.n_bytes / 1e6:.1f} MB")
            try:
                # Not for ever, since that can't be stopped on every system.
                done.next(timeout=0.5)
                return
            except multiprocessing.TimeoutError:
                continue

    def _fetch(self, job: tuple[str, str]) -> None:
        name, target = job
        temporary = self.work / name.replace("/", "_")
        ceiling = _LARGEST_RECORD_FILE if temporary.suffix in (".dat", ".hea") else _LARGEST_OTHER_FILE
        check = partial(_check_sum, digest=self.sums[name])
        self._fetch_right(self.source + quote(name), temporary, ceiling, check)
        _place(temporary, self.root, target)

    def _fetch_right(
        self, url: str, path: Path, ceiling: int, check: Callable[[Path], None], tries: int | None = None
    ) -> None:
        """Fetch a file, and once more if it is wrong."""
        for _ in range(2):
            try:
                self.transfer.fetch(url, path, ceiling, tries)
                check(path)
                return
            except WrongContent as error:
                wrong = error
        raise WrongContent(
            f"{url} came wrong twice: {wrong}; use another source, or remove {self.root / SUMS}, in case that came "
            "wrong, and run the same again"
        )

    # --- the source

    def _find_source(self) -> None:
        reasons = []
        with self.bar(total=1) as bar:
            for source in self.candidates:
                try:
                    self._take_sums(source)
                    bar.update()
                    return
                except (Absent, WrongContent) as error:
                    reasons.append(str(error))
        raise DataError(f"no PTB-XL {self.version} found: {' | '.join(reasons)}")

    def _take_sums(self, source: str) -> None:
        temporary = self.work / SUMS
        tries = min(_FIRST_TRIES, self.transfer.patience.tries)
        self._fetch_right(source + SUMS, temporary, _LARGEST_OTHER_FILE, _check_list, tries)
        found = parse_sums(temporary)
        if not (self.mark and self.mark.sums == sum_of(temporary)):
            self._refuse_other_version(found)
        self.source = source
        if not self.sums:
            self.sums = found
            _place(temporary, self.root, SUMS)
            if self.mark:
                self._write_mark(self.mark.n_records)

    def _refuse_other_version(self, found: dict[str, str]) -> None:
        """Refuse a folder in which the sums or the table of another version lie."""
        there = self.sums or _sums_if_any(self.root)
        differing = [name for name, digest in there.items() if found.get(name, digest) != digest]
        if differing:
            raise DataError(
                f"{self.root} holds another version: its {SUMS} has another sum for {differing[0]}; name another "
                f"folder, or remove {SUMS} there if it is damaged"
            )
        if self.mark is None and (self.root / DATABASE).exists():
            tables = read_whole_table(self.root, found)
            if tables is None or not tables.n_listed(self.root / DATABASE):
                raise DataError(f"{self.root / DATABASE} isn't that of PTB-XL {self.version}; name another folder")

    # --- what is written besides

    def _write_mark(self, n_records: dict[int, int]) -> None:
        self.mark = Mark(self.version, sum_of(self.root / SUMS), n_records)
        self._write(MARK, self.mark.to_json().encode())

    def _write_table(self, tables: Tables, n_records: int) -> None:
        """Leave the table of the first records under its usual name, and the whole one beside it or in its place."""
        is_whole = tables.n_listed(self.root / WHOLE) == tables.n_records
        if n_records == tables.n_records:
            if is_whole:
                _place(self.root / WHOLE, self.root, DATABASE)
            return
        if not is_whole:
            self._write(WHOLE, tables.first(tables.n_records))
        if tables.n_listed(self.root / DATABASE) != n_records:
            self._write(DATABASE, tables.first(n_records))

    def _write(self, name: str, content: bytes) -> None:
        (self.work / name).write_bytes(content)
        _place(self.work / name, self.root, name)


def _check_sum(path: Path, digest: str) -> None:
    if sum_of(path) != digest:
        raise WrongContent(f"its SHA-256 isn't the one in {SUMS}")


def _check_list(path: Path) -> None:
    try:
        parse_sums(path)
    except DataError as error:
        raise WrongContent(str(error)) from error


def _sums_if_any(root: Path) -> dict[str, str]:
    try:
        return sums_of_folder(root)
    except DataError:
        return {}


def _warn_of_uneven_rates(root: Path, n_records: dict[int, int]) -> None:
    most = max(n_records.values())
    for rate, number in n_records.items():
        if number < most:
            warnings.warn(
                f"the table in {root} lists {most:,} records, but only the first {number:,} are there at {rate} Hz; "
                f"download {most:,} records at {rate} Hz to have them all",
                EcgCourseWarning,
                stacklevel=4,
            )
