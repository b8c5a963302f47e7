"""Signals kept on the disk from one reading to the next, and a limit to how much is kept.

A file's name says of which records it holds the signals, and in which state these were: :func:`fingerprint`.
"""

import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ecgcourse.errors import DataError, EcgCourseWarning
from ecgcourse.support.files import cache_folder, load_array, remove_leftovers, workplace

_VERSION = 2
_MOST_BYTES = 8 * 2**30  # all of PTB-XL at both rates is 6 GB
_WAIT = 3600  # seconds to wait for another process that reads the same records


def fingerprint(root: Path, sampling_rate: int, files: Iterable[tuple[str, Sequence[os.stat_result]]]) -> str:
    """Name records as they are now, in 32 hexadecimal digits: from each one's name and the state of its files."""
    known = hashlib.sha256(repr((_VERSION, str(root.resolve()), sampling_rate)).encode())
    for name, found in files:
        # The change time too: a copying tool can set the modification time back, but not this one.
        stats = [(each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found]
        known.update(repr((name, stats)).encode())
    return known.hexdigest()[:32]


def path_of(name: str) -> Path:
    """Where the signals of records with this fingerprint are kept."""
    return cache_folder() / f"signals-{name}.npy"


def load(path: Path, n_records: int, n_leads: int) -> np.ndarray | None:
    """The signals that are kept, (N, L, T); None if there are none that can be used."""
    try:
        signals = load_array(path)
        os.utime(path)  # it was used: see make_room
    except (DataError, OSError):
        return None
    usable = signals.dtype == np.float32 and signals.ndim == 3 and signals.shape[:2] == (n_records, n_leads)
    return signals if usable else None


def hold(path: Path) -> AbstractContextManager[Path]:
    """Hold the folder in which signals are collected, once no other process does; it stays if reading is cut short."""
    return workplace(path, settings=path.name, wait=_WAIT)


class GrowingCache:
    """A file of signals that grows record by record, so that what a killed process read isn't read again."""

    def __init__(self, path: Path):
        self.path = path
        self.file: BinaryIO | None = None
        self.problem: OSError | None = None

    def __enter__(self) -> "GrowingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def fill(self, signals: np.ndarray) -> int:
        """Copy what the file has into `signals`, (N, L, T); return the number of records."""
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
        """Add a record, (L, T), while the disk takes it."""
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


def warn_not_kept(reason: object) -> None:
    """Warn that the signals weren't kept; the warning is for who called the function three calls further up."""
    warnings.warn(
        f"the signals were read but not kept for next time: {reason} ECGCOURSE_CACHE names the folder.",
        EcgCourseWarning,
        stacklevel=5,  # whoever called the public function
    )


def make_room(newest: Path) -> None:
    """Remove what was used least lately, finished or not, until the cache is small enough."""
    finished = list(newest.parent.glob("signals-*.npy"))
    begun = list(newest.parent.glob(".signals-*.npy.partial/signals-*.npy"))
    total = 0
    for path in sorted([*finished, *begun], key=_last_use, reverse=True):
        with suppress(OSError):
            total += path.stat().st_size
        if total > _MOST_BYTES and path != newest:
            _remove(path)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> None:
    if not path.parent.name.startswith("."):
        path.unlink(missing_ok=True)
        return
    remove_leftovers(path.parent.parent / path.name)
