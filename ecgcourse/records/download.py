"""Bring PTB-XL, all or some of it, onto the disk, with every file checked against the sums of its version.

The source is a tree of files on a web server, by default PhysioNet's. Nothing counts as downloaded before what lies on
the disk has the sum that ``SHA256SUMS.txt`` gives. Downloading again brings only what is missing or wrong, so a
download that was stopped goes on with the same command.

The table of fewer records is cut from the whole one, which stays beside it; see :mod:`ecgcourse.records.integrity`. A
folder of first records only grows: its table lists as many as the largest download into it asked for. A folder of
chosen records stays with its choice.
"""

import hashlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, brief, shown
from ecgcourse.records import practice, transfer
from ecgcourse.records.integrity import (
    MANIFEST,
    SAMPLING_RATES,
    SUMS,
    WHOLE,
    WholeTable,
    check_choice,
    disk_errors_told,
    find_corrupt,
    folder_checksums,
    other_files,
    parse_checksums,
    present,
    read_manifest,
    read_whole_table,
)
from ecgcourse.records.integrity import verify as verify
from ecgcourse.records.ptbxl_tables import DATABASE
from ecgcourse.support.files import lock, write_json
from ecgcourse.support.progress_bar import progress_bar

BASE_URL = "https://physionet.org/files/ptb-xl/"
VERSION = "1.0.3"
CONNECTIONS, MOST_CONNECTIONS = 4, 32

_WORK = ".download"  # begins the names of what is hidden; nothing of it is left once a download has ended
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
    ids: Sequence[int] | None = None,
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
    ids
        Take these records, by their ``ecg_id``, instead of the first ones.

    Returns
    -------
    Path
        `root`. The table is written there last, so a folder that reads as PTB-XL has all records that it lists.

    Raises
    ------
    DataError
        If the source lacks a file or a record, gives a wrong one three times, names one that can't be, or doesn't
        answer; if `root` holds something else or another choice of records, is being filled by another process, has
        links that lead out, or can't be written.
    SettingError
        If a parameter has a value that isn't possible.

    Warns
    -----
    EcgCourseWarning
        If the table now lists records that are there at one sampling rate only.
    """
    root = Path(root)
    check_choice(n_records, sampling_rate)
    chosen = tuple(sorted(set(ids or ())))
    if ids is not None and (n_records is not None or not chosen):
        raise SettingError("ids names no record, or n_records is given, too; say how many records, or which")
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise SettingError(f"connections={connections}; expected 1 to {MOST_CONNECTIONS}")
    candidates = _source_candidates(base_url, version)
    with disk_errors_told(root):
        _refuse_other_content(root, version, chosen)
        with _work_folder(root) as work, transfer.session(connections) as client:
            one = _Download(root, work, version, candidates, client, connections, progress)
            one.run(n_records, sampling_rate, chosen)
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


def _refuse_other_content(root: Path, version: str, ids: tuple[int, ...]) -> None:
    if practice.is_practice(root):
        raise DataError(f"{root} is a synthetic practice set; name another folder for PTB-XL")
    manifest = read_manifest(root)
    if manifest and manifest.version != version:
        raise DataError(
            f"{root} holds PTB-XL {manifest.version}, not {version}; name another folder, or ask for version "
            f"{manifest.version}"
        )
    if (ids and manifest is None and (root / DATABASE).exists()) or (manifest and manifest.ids != ids):
        kind = "another choice of records" if manifest and manifest.ids else "PTB-XL or its first records"
        raise DataError(f"{root} holds {kind}, and can't hold both; name another folder")
    if manifest is None and root.is_dir():
        content = {path.name for path in root.iterdir() if not path.name.startswith(".")}
        if content and not content & {SUMS, DATABASE, WHOLE, *(f"records{rate}" for rate in SAMPLING_RATES)}:
            raise DataError(f"{root} holds files that aren't PTB-XL; name a new or an empty folder")


@contextmanager
def _work_folder(root: Path) -> Iterator[Path]:
    """A folder in `root` for files on their way, for one process at a time; what killed ones left is removed."""
    is_new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with lock(root / f"{_WORK}.lock", f"another download into {root} is running; wait for it, or stop it"):
            for left in root.glob(f"{_WORK}-*"):
                shutil.rmtree(left)
            # Of its own: a thread of a download that was stopped in this very process may still write.
            with tempfile.TemporaryDirectory(prefix=f"{_WORK}-", dir=root, ignore_cleanup_errors=True) as work:
                yield Path(work)
    finally:
        if is_new:
            with suppress(OSError):  # unless something came
                root.rmdir()


# --- the download


class _Download:
    """One download into one folder, from the first of some addresses that has the checksums."""

    def __init__(
        self,
        root: Path,
        work: Path,
        version: str,
        candidates: Sequence[str],
        client: requests.Session,
        connections: int,
        progress: bool | None,
    ):
        self.root, self.work, self.version, self.candidates = root, work, version, candidates
        self.client, self.connections, self.progress = client, connections, progress
        self.source: str | None = None
        self.checksums: dict[str, str] = {}

    def run(self, n_records: int | None, sampling_rate: int, ids: tuple[int, ...]) -> None:
        manifest = read_manifest(self.root)
        if manifest:
            self.checksums = self._checksums_there()
        if not self.checksums:
            self._find_source()
        self._get_files(other_files(self.checksums))
        whole = self._get_table()
        table = whole.only(ids)
        number = min(n_records or table.n_records, table.n_records)
        there = manifest.n_records if manifest else present(self.root, self.checksums, table)
        self._get_files(table.files(sampling_rate, number))
        counts = {rate: n for rate, n in there.items() if n} | {sampling_rate: max(number, there.get(sampling_rate, 0))}
        choice = {"ids": list(ids)} if ids else {}
        write_json(self.root / MANIFEST, {"data_set": "PTB-XL", "version": self.version, "n_records": counts} | choice)
        # The table comes last: a folder that reads as PTB-XL has all that its table lists.
        self._write_table(whole, table, max(counts.values()))
        _warn_of_uneven_rates(self.root, counts)

    def _checksums_there(self) -> dict[str, str]:
        try:
            return folder_checksums(self.root)
        except DataError:
            return {}

    def _get_table(self) -> WholeTable:
        table = read_whole_table(self.root, self.checksums)
        if table is None:
            self._fetch_all([(DATABASE, WHOLE)])
            table = WholeTable((self.root / WHOLE).read_bytes())
        return table

    def _get_files(self, names: Sequence[str]) -> None:
        """Fetch those files that aren't there or aren't right."""
        problems = find_corrupt(self.root, names, self.checksums, self.progress)
        for name, what in problems:
            if name not in self.checksums:
                raise DataError(f"{name} is {what}, so it can't be checked; use another source")
        if problems:
            self._fetch_all([(name, name) for name, _ in problems], n_there=len(names) - len(problems))

    def _fetch_all(self, jobs: Sequence[tuple[str, str]], n_there: int = 0) -> None:
        if self.source is None:
            self._find_source()
        n_bytes = 0
        # The threads of this pool end with the process: after Ctrl-C nobody waits for a silent server.
        with (
            progress_bar(
                self.progress, total=n_there + len(jobs), initial=n_there, desc=f"PTB-XL {self.version}", unit="file"
            ) as bar,
            ThreadPool(min(self.connections, len(jobs))) as pool,
        ):
            for size in pool.imap_unordered(self._fetch, jobs):
                n_bytes += size
                bar.set_postfix_str(f"{n_bytes / 1e6:.1f} MB", refresh=False)
                bar.update()

    def _fetch(self, job: tuple[str, str]) -> int:
        """Bring a file to its place; return its size."""
        name, target = job
        ceiling = _LARGEST_RECORD_FILE if name.endswith((".dat", ".hea")) else _LARGEST_OTHER_FILE

        def check(content: bytes) -> None:
            if hashlib.sha256(content).hexdigest() != self.checksums[name]:
                raise transfer.WrongContent(
                    f"its SHA-256 isn't the one in {SUMS}; use another source, or remove {self.root / SUMS}, in case "
                    "that came wrong, and run the same again"
                )

        content = transfer.fetch(self.client, self.source + quote(name), ceiling, check)
        self._write(target, content)
        return len(content)

    def _find_source(self) -> None:
        """Take the checksums from the first address that has them."""
        reasons = []
        for source in self.candidates:
            # With fewer tries than the files, so that a wrong address is told soon.
            self.client.mount(source + SUMS, requests.adapters.HTTPAdapter(max_retries=transfer.RETRY.new(total=2)))
            try:
                content = transfer.fetch(self.client, source + SUMS, _LARGEST_OTHER_FILE, _check_list)
            except (transfer.Absent, transfer.WrongContent) as error:
                reasons.append(str(error))
                continue
            found = parse_checksums(content)
            self._refuse_other_version(found)
            self.source = source
            if not self.checksums:
                self.checksums = found
                self._write(SUMS, content)
            return
        raise DataError(f"no PTB-XL {self.version} found: {' | '.join(reasons)}")

    def _refuse_other_version(self, found: dict[str, str]) -> None:
        """Refuse a folder in which the checksums or the table of another version lie."""
        there = self.checksums or self._checksums_there()
        differing = [name for name, digest in there.items() if found.get(name, digest) != digest]
        if differing:
            raise DataError(
                f"{self.root} holds another version: its {SUMS} has another sum for {differing[0]}; name another "
                f"folder, or remove {SUMS} there if it is damaged"
            )
        if not there and (self.root / DATABASE).exists():
            table = read_whole_table(self.root, found)
            if table is None or not table.n_listed(self.root / DATABASE):
                raise DataError(f"{self.root / DATABASE} isn't that of PTB-XL {self.version}; name another folder")

    def _write_table(self, whole: WholeTable, table: WholeTable, n_records: int) -> None:
        """Leave the table of the records under its usual name, and the whole one beside it or in its place."""
        is_part = n_records < whole.n_records
        if is_part and whole.n_listed(self.root / WHOLE) != whole.n_records:
            self._write(WHOLE, whole.first(whole.n_records))
        if table.n_listed(self.root / DATABASE) != n_records:
            self._write(DATABASE, table.first(n_records))
        if not is_part:
            (self.root / WHOLE).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all, over whatever is there."""
        target = self.root / name
        if not target.parent.resolve().is_relative_to(self.root.resolve()):
            raise DataError(f"{target.parent} leads out of {self.root} through a link; remove the link")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.work / name.replace("/", "_")
        temporary.write_bytes(content)
        os.replace(temporary, target)


def _check_list(content: bytes) -> None:
    try:
        parse_checksums(content)
    except DataError as error:
        raise transfer.WrongContent(str(error)) from error


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
