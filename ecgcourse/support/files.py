"""Files and folders that appear whole or not at all, even if the process is killed, and the place of the cache.

A file or folder is made beside its target under a hidden name, :func:`staging`, which one process at a time may hold,
and renamed when it is complete. What a killed process leaves there, the next one that makes the same target replaces.
"""

import glob
import json
import math
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import filelock
import numpy as np

from ecgcourse.errors import DataError, StorageError, in_words, shown
from ecgcourse.support.renamed import former_names

# Seconds that a process waits for another one that writes the same file: even gigabytes are written sooner.
_FILE_WAIT = 60
_LARGEST_JSON = 2**26  # bytes; those of the package have some thousands


def staging(path: Path) -> Path:
    """Where a file or folder is made: hidden, on the same file system, with the same suffix."""
    return path.parent / f".{path.stem}.partial{path.suffix}"


@contextmanager
def lock(path: Path, busy: str, wait: float = 0) -> Iterator[None]:
    """Hold a lock file, which ends with its process however that ends.

    Parameters
    ----------
    path
        The lock file, in a folder that is there. It is removed at the end.
    busy
        What to say if another process holds it.
    wait
        Seconds to wait for that process.

    Raises
    ------
    DataError
        If another process holds the lock.
    """
    held = filelock.FileLock(path, timeout=wait)
    try:
        held.acquire()
    except filelock.Timeout as error:
        raise DataError(busy) from error
    try:
        yield
    finally:
        # While the lock is still held: whoever waits for it then sees that the file is gone, and makes its own.
        with suppress(OSError):
            path.unlink()
        held.release()


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file under another name and rename it once it is complete.

    Parameters
    ----------
    path
        Where the file will be. Missing parent folders are created; a file already there is replaced.

    Yields
    ------
    Path
        A new name on the same file system, with the same suffix; write there.

    Raises
    ------
    DataError
        If `path` is a folder, or another process writes it for a minute.
    StorageError
        If the operating system refuses: folder not writable, disk full. After this, or after any other exception,
        what lay at `path` before still does.
    """
    path = Path(path)
    with _staged(path, _FILE_WAIT) as temporary:
        try:
            temporary.unlink(missing_ok=True)
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(
    path: str | os.PathLike, resumes: Callable[[Path], bool] | None = None, wait: float = 0
) -> Iterator[Path]:
    """Fill a folder under another name and rename it once it is complete.

    Parameters
    ----------
    path
        Where the folder will be. It must not exist yet, or be empty.
    resumes
        Tells of a folder that was cut short (the process was killed or stopped with Ctrl-C, the operating system
        refused) whether the work can go on in it; else it is emptied first. None keeps none. Write each file there
        with `atomic_write`, so that a file that is there is complete, and from this process alone.
    wait
        Seconds to wait for another process that makes the same folder.

    Yields
    ------
    Path
        A folder beside `path`; write there.

    Raises
    ------
    DataError
        If `path` is a file, a link, or a folder with something in it, or if another process makes it. After this, or
        after any other exception, nothing new lies at `path`.
    StorageError
        If the operating system refuses.
    """
    path = Path(path)
    _refuse_unless_free(path)
    with _staged(path, wait) as place:
        _refuse_unless_free(path)
        # Helpers of a killed process live a little longer, and may go on writing where it did.
        filled = place if resumes else place.parent / f"{place.name}-{os.getpid()}"
        for left in (place, *place.parent.glob(f"{glob.escape(place.name)}-*")):
            if left.is_dir() and not (left == filled and resumes and resumes(left)):
                shutil.rmtree(left, ignore_errors=True)
        filled.mkdir(exist_ok=True)
        try:
            yield filled
        except BaseException as error:
            # After any other error something else must change first, so nothing could go on from here.
            cut_short = isinstance(error, OSError | StorageError) or not isinstance(error, Exception)
            if not (resumes and cut_short):
                shutil.rmtree(filled, ignore_errors=True)
            raise
        # A process may have been killed just after a file had come to its place.
        for left in filled.rglob(".*.lock"):
            left.unlink()
        if path.is_dir():
            path.rmdir()
        os.replace(filled, path)


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write a JSON file for `read_json`, whole or not at all; ValueError for NaN and infinite numbers."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def cache_folder() -> Path:
    """Return the folder for what can be made again; it isn't created here.

    Returns
    -------
    Path
        ``$ECGCOURSE_CACHE`` if set, else the user's cache folder of the operating system.
    """
    chosen = os.environ.get("ECGCOURSE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    # Not above: most of the package never asks for the folder, and runs without this, too.
    import platformdirs

    return platformdirs.user_cache_path("ecgcourse")


def check_inside(path: Path, root: Path) -> None:
    """Raise DataError if links lead `path` out of the folder `root`, which may itself be a link."""
    real, real_root = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not real.is_relative_to(real_root):
        raise DataError(
            f"{path} leads to {real}, outside the data folder {root}; put the file or folder itself there instead of "
            "a link"
        )


def stat_file(
    path: str | os.PathLike, root: str | os.PathLike | None = None, largest: int | None = None
) -> os.stat_result:
    """Look at a file before it is opened, since opening a pipe hangs and some devices never end.

    Parameters
    ----------
    path
        The file.
    root
        A folder that `path` must not leave through a link of its own; the folders above it are
        `check_inside`'s business.
    largest
        Bytes that such a file may have, if it will be read as a whole.

    Returns
    -------
    os.stat_result

    Raises
    ------
    DataError
        If `path` isn't there, isn't an ordinary file, is larger than `largest`, or is a link that leads out of
        `root`.
    """
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            if root is not None:
                check_inside(Path(path), Path(root))
            found = os.stat(path)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be opened: {in_words(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} can't be opened: it isn't an ordinary file")
    if largest is not None and found.st_size > largest:
        raise DataError(f"{path} can't be read: it has {found.st_size:,} bytes, and no such file has over {largest:,}")
    return found


def load_array(
    path: str | os.PathLike, root: str | os.PathLike | None = None, largest: int | None = None
) -> np.ndarray:
    """Read an array of numbers from a ``.npy`` file, once its header is checked against the file's size.

    Parameters
    ----------
    path, root, largest
        As for `stat_file`.

    Returns
    -------
    numpy.ndarray
        Of a boolean, integer or floating type.

    Raises
    ------
    DataError
        If the file can't be read, is something else, holds no numbers, or promises more or fewer than it holds.
    """
    size = stat_file(path, root, largest).st_size
    try:
        # NumPy's parser would talk about what it finds in a damaged header.
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            shape, dtype = array_header(file)
            held, promised = size - file.tell(), math.prod(shape) * dtype.itemsize
            if dtype.kind not in "biuf":
                raise ValueError(f"it holds {dtype}, not numbers")
            if held != promised:
                raise ValueError(f"its header promises {promised} bytes, but it holds {held}")
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    # What a damaged header raises depends on where NumPy's parser stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as an array: {in_words(error)}") from error


def check_zip(path: str | os.PathLike) -> None:
    """Raise DataError unless a file is a zip archive whose members are stored as they are, fit into it, and are whole.

    A packed member may unfold to a thousand times the size of the file.
    """
    size = stat_file(path).st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if packed or sum(member.file_size for member in members) > size:
                raise ValueError("it promises more than it holds")
            # PyTorch doesn't look at the sums, and a wrong bit is a wrong weight.
            if damaged := archive.testzip():
                raise ValueError(f"its member {shown(damaged)} is damaged")
    # What a damaged archive raises depends on where zipfile stumbles.
    except Exception as error:
        raise DataError(f"{path} can't be read as a zip archive: {in_words(error)}") from error


def read_json(path: str | os.PathLike) -> object:
    """Read a JSON file; DataError if it can't be read, isn't JSON, or holds NaN or an infinite number."""
    stat_file(path, largest=_LARGEST_JSON)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read as JSON: {in_words(error)}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} isn't a number")


def array_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that a ``.npy`` file promises, read up to where its numbers begin; ValueError for others."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it is of version {version}; versions (1, 0) and (2, 0) can be read")
    shape, _, dtype = readers[version](file)
    return shape, dtype


@contextmanager
def _staged(path: Path, wait: float) -> Iterator[Path]:
    """Hold the place in which this process alone makes `path`; what the operating system refuses becomes our error."""
    busy = f"{path} is being written by another process; wait until that is done, or name another place"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.parent / f".{path.name}.lock", busy, wait):
            yield staging(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"can't write {path.name} in the folder {path.parent}: {reason}; choose a folder you can write to."
        ) from error


def _refuse_unless_free(path: Path) -> None:
    if path.is_symlink():
        # A folder can't be renamed into its place, which would be found only after the work.
        raise DataError(f"{path} is a link; name the folder that it leads to, or remove it first.")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise DataError(f"{path} already exists and isn't an empty folder; name another folder or remove it first.")


__getattr__ = former_names(globals(), {"whole_file": "atomic_write"})
