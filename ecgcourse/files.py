"""Files and folders that appear whole or not at all, and the place of the cache."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ecgcourse.errors import DataError


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
        A new name in the same folder, with the same suffix; write there.

    Raises
    ------
    DataError
        If the operating system refuses: folder not writable, disk full, `path` is a folder.
        After this, or after any other exception, nothing new lies at `path`.
    """
    path = Path(path)
    temporary = None
    try:
        temporary = _new_folder_beside(path)
        yield temporary / path.name
        os.replace(temporary / path.name, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        _remove(temporary)


@contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Fill a folder under another name and rename it once it is complete.

    Parameters
    ----------
    path
        Where the folder will be. It must not exist yet, or be empty.

    Yields
    ------
    Path
        A new empty folder beside `path`; write there.

    Raises
    ------
    DataError
        If `path` is a file or a folder with something in it, or if the operating system refuses.
        After this, or after any other exception, nothing new lies at `path`.
    """
    path = Path(path)
    temporary = None
    try:
        _refuse_unless_free(path)
        temporary = _new_folder_beside(path)
        filled = temporary / path.name
        filled.mkdir()
        yield filled
        if path.is_dir():
            path.rmdir()
        os.replace(filled, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        _remove(temporary)


def cache_folder() -> Path:
    """Return the folder for what can be made again; it isn't created here.

    Returns
    -------
    Path
        ``$ECGCOURSE_CACHE`` if set, else the user's cache folder of the operating system.
    """
    chosen = os.environ.get("ECGCOURSE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("ecgcourse")


def _new_folder_beside(path: Path) -> Path:
    # A rename is only atomic within one file system, so the temporary name lies beside the target;
    # a folder of its own keeps the file's permissions those of the user's umask.
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))


def _refuse_unless_free(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise DataError(f"{path} already exists and isn't an empty folder; name another folder or remove it first.")


def _refused(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"can't write {path.name} in the folder {path.parent}: {reason}; choose a folder you can write to."
    )


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
