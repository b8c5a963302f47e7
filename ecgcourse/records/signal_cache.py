"""Signals kept on the disk from one reading to the next, and a limit to how much is kept.

A file's name says of which records it holds the signals, and in which state these were: :func:`fingerprint`.
"""

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ecgcourse.errors import DataError, EcgCourseWarning
from ecgcourse.support.files import atomic_write, cache_folder, load_array

_VERSION = 2
_MOST_BYTES = 8 * 2**30  # all of PTB-XL at both rates is 6 GB


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
        os.utime(path)  # it was used: see _make_room
    except (DataError, OSError):
        return None
    usable = signals.dtype == np.float32 and signals.ndim == 3 and signals.shape[:2] == (n_records, n_leads)
    return signals if usable else None


def save(path: Path, signals: np.ndarray) -> None:
    """Keep signals, (N, L, T), and remove others if that is too much; an EcgCourseWarning where it can't be done."""
    try:
        with atomic_write(path) as temporary:
            np.save(temporary, signals)
    except DataError as error:
        warnings.warn(
            f"the signals were read but not kept for next time: {error} ECGCOURSE_CACHE names the folder.",
            EcgCourseWarning,
            stacklevel=4,  # whoever called the public function
        )
    else:
        _make_room(path)


def _make_room(newest: Path) -> None:
    """Remove what was used least lately, and what killed processes left, until the cache is small enough."""
    total = 0
    # Whoever else uses the cache may remove a file at any moment.
    with suppress(OSError):
        for path in sorted(newest.parent.glob("*signals-*.npy"), key=lambda path: -path.stat().st_mtime_ns):
            total += path.stat().st_size
            if total > _MOST_BYTES and path != newest:
                path.unlink()
