"""Files and folders that appear whole or not at all, even if the process is killed, and the place of the cache.

Everything is made in a hidden folder beside its target (:func:`workplace`) that one process at a time may hold, and
renamed when it is complete. A killed process leaves that folder behind; the next one that makes the same target
goes on in it, or empties it.
"""

import json
import math
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import numpy as np
import platformdirs

from ecgcourse.errors import DataError, StorageError, in_words, shown

# Seconds that a process waits for another one that writes the same file: even gigabytes are written sooner.
_FILE_WAIT = 60
_SETTINGS = ".settings.json"
_LARGEST_JSON = 2**26  # bytes; those of the package have some thousands


@contextmanager
def workplace(path: str | os.PathLike, settings: object = None, wait: float = 0) -> Iterator[Path]:
    """Hold the hidden folder beside a target, in which this process alone makes it.

    The folder is called ``.NAME.partial``; a lock beside it, ``.NAME.lock``, ends with its process however that
    ends. Both are removed at the end. With `settings`, the folder and its content stay if the work is cut short (the
    process is killed or stopped with Ctrl-C, the operating system refuses), and whoever comes next with equal
    settings finds it as it was left. Left by other settings, it is emptied first.

    Only the process that holds the workplace may write there: helpers of a killed process live a little longer.

    Parameters
    ----------
    path
        The target, which isn't touched. Missing parent folders are created.
    settings
        All that the content depends on, as values that JSON has; None never keeps anything.
    wait
        Seconds to wait for another process that holds the folder.

    Yields
    ------
    Path
        The folder, on the same file system as `path`.

    Raises
    ------
    DataError
        If another process holds the folder.
    StorageError
        If the operating system refuses: folder not writable, disk full.
    """
    path = Path(path)
    folder = path.parent / f".{path.name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path, wait):
            keep = False
            try:
                _take_over(folder, settings)
                yield folder
            except BaseException as error:
                # After any other error something else must change first, so nothing could go on from here.
                cut_short = isinstance(error, OSError | StorageError) or not isinstance(error, Exception)
                keep = settings is not None and cut_short
                raise
            finally:
                if not keep:
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _refused(path, error) from error


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove what a killed process left of a target that it was making, but not what another one is making now."""
    path = Path(path)
    if (path.parent / f".{path.name}.partial").exists():
        # Whoever holds the place without settings leaves nothing.
        with suppress(DataError), workplace(path):
            pass


@contextmanager
def whole_files(folder: str | os.PathLike, names: Sequence[str]) -> Iterator[Path]:
    """Write files that belong together under another place and move them once all are complete.

    Parameters
    ----------
    folder
        Where the files will be. It is created if missing; files already there are replaced.
    names
        File names in the order in which they are moved: where the last one is, all are.

    Yields
    ------
    Path
        An empty folder; write all the files there.

    Raises
    ------
    DataError
        As `workplace`. After this, or any other exception before the moving, nothing new lies in `folder`.
    """
    folder = Path(folder)
    with workplace(folder / names[-1], wait=_FILE_WAIT) as place:
        yield place
        for name in names:
            os.replace(place / name, folder / name)


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
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
        As `workplace`, or if `path` is a folder. After this, or after any other exception, nothing new lies at
        `path`.
    """
    path = Path(path)
    with whole_files(path.parent, [path.name]) as place:
        yield place / path.name


@contextmanager
def whole_folder(path: str | os.PathLike, settings: object = None, wait: float = 0) -> Iterator[Path]:
    """Fill a folder under another name and rename it once it is complete.

    Parameters
    ----------
    path
        Where the folder will be. It must not exist yet, or be empty.
    settings, wait
        As for `workplace`: with settings, an interrupted filling is found again by the next one. Write each file
        there with `whole_file` or `whole_files`, so that a file that is there is complete.

    Yields
    ------
    Path
        A folder beside `path`; write there.

    Raises
    ------
    DataError
        If `path` is a file or a folder with something in it; also as `workplace`. After this, or after any other
        exception, nothing new lies at `path`.
    """
    path = Path(path)
    _refuse_unless_free(path)
    with workplace(path, settings, wait) as place:
        _refuse_unless_free(path)
        filled = place / path.name
        filled.mkdir(exist_ok=True)
        yield filled
        _sweep(filled)
        if path.is_dir():
            path.rmdir()
        os.replace(filled, path)


def cache_folder() -> Path:
    """Return the folder for what can be made again; it isn't created here.

    Returns
    -------
    Path
        ``$ECGCOURSE_CACHE`` if set, else the user's cache folder of the operating system.
    """
    chosen = os.environ.get("ECGCOURSE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("ecgcourse")


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
    """Read an array of numbers from a ``.npy`` file, after holding its header against the file's size.

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
            shape, dtype = _array_header(file)
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


def _array_header(file) -> tuple[tuple[int, ...], np.dtype]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it is of version {version}; versions (1, 0) and (2, 0) can be read")
    shape, _, dtype = readers[version](file)
    return shape, dtype


@contextmanager
def _locked(path: Path, wait: float) -> Iterator[None]:
    name = path.parent / f".{path.name}.lock"
    lock = filelock.FileLock(name, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise DataError(
            f"{path} is being written by another process; wait until that is done, or name another place"
        ) from error
    try:
        yield
    finally:
        # While the lock is still held: whoever waits for it then sees that the file is gone, and makes its own.
        with suppress(OSError):
            name.unlink()
        lock.release()


def _take_over(folder: Path, settings: object) -> None:
    """Make `folder` ready: as it was left if it was left with these settings, else empty."""
    # Through JSON, so that a tuple equals the list that it comes back as.
    settings = json.loads(json.dumps(settings))
    if settings is not None and _settings_of(folder) == settings:
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    if settings is not None:
        (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


def _settings_of(folder: Path) -> object:
    try:
        return read_json(folder / _SETTINGS)
    except DataError:
        return None


def _sweep(folder: Path) -> None:
    """Remove what a process left that was killed just after a file had come to its place."""
    for path in [*folder.rglob(".*.partial"), *folder.rglob(".*.lock")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_unless_free(path: Path) -> None:
    if path.is_symlink():
        # A folder can't be renamed into its place, which would be found only after the work.
        raise DataError(f"{path} is a link; name the folder that it leads to, or remove it first.")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise DataError(f"{path} already exists and isn't an empty folder; name another folder or remove it first.")


def _refused(path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageError(
        f"can't write {path.name} in the folder {path.parent}: {reason}; choose a folder you can write to."
    )
