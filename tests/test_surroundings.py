"""Machines as people have them: another backend, no cache, a full disk, little shared memory, odd names and units."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgcourse
from ecgcourse import cli, datasets, loader, models, practice, ptbxl, render, runs, signals, training
from ecgcourse.errors import DataError, SettingError, StorageError

PACKAGE = Path(ecgcourse.__file__).parent
Room = namedtuple("Room", "total used free")


def test_figures_need_no_backend_that_a_notebook_left(practice_root: Path, tmp_path: Path):
    """Neither one that isn't installed nor a word that is none at all."""
    words = f"train --model compact --size 16 --epochs 1 --device cpu --quiet --out {tmp_path / 'run'}"
    surroundings = os.environ | {"MPLBACKEND": "module://not_installed.backend", "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "ecgcourse", *words.split(), str(practice_root)]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / runs.CURVES).is_file()


def test_without_a_place_for_compiled_loops_images_are_made_with_one_warning(tmp_path: Path):
    copy = Path(shutil.copytree(PACKAGE, tmp_path / "ecgcourse", ignore=shutil.ignore_patterns("__pycache__")))
    # Where folders of caches would be made, files lie; that stops root, too.
    (copy / "images" / "__pycache__").touch()
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    surroundings |= {"PYTHONPATH": str(tmp_path), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    code = (
        "import numpy; from ecgcourse import render as r; "
        "print(int(r.render(numpy.linspace(0, 1, 90).reshape(1, 3, 30), 8).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("EcgCourseWarning") == 1 and "NUMBA_CACHE_DIR" in done.stderr
    assert int(done.stdout) == render.render(np.linspace(0, 1, 90).reshape(1, 3, 30), 8).sum()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 20 kB, which the operating system refuses as it refuses on a full disk.

    For no longer than it takes: pytest's own output may be such a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_leaves_the_older_checkpoint(tmp_path: Path):
    path = tmp_path / "best.pt"
    runs.save_tensors(path, {"weights": torch.zeros(10)})
    before = path.read_bytes()
    model = models.create("compact", image_size=16)
    with full_disk(), pytest.raises(StorageError, match=f"can't write best.pt in the folder {tmp_path}.*full"):
        training.save_checkpoint(path, model)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_workers_beyond_the_shared_memory_are_refused(monkeypatch: pytest.MonkeyPatch):
    """A container's 64 MB: the workers would fail one by one, and the command wait for them for ever."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room(2**26, 0, 2**26))
    dataset = datasets.RenderedImages(torch.zeros(20, 3, 50), torch.zeros(20, 4))
    datasets.loader(dataset, 16, workers=1)
    # Two workers with two batches each, of nine images and four float32 labels a record, and the signals.
    needed = 2 * 2 * 64 * (9 * 256**2 + 16) + 20 * 4 * (3 * 50 + 4)
    with pytest.raises(SettingError, match=f"workers=2 need {needed / 1e6:.0f} MB .* 67 MB free.*--shm-size"):
        datasets.loader(dataset, 64, workers=2)


def test_a_killed_worker_is_told(
    monkeypatch: pytest.MonkeyPatch, practice_root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """As the system does that runs out of memory."""
    start = loader._Loader.__iter__

    def start_and_kill(given: loader._Loader):
        others = {child.pid for child in multiprocessing.active_children()}
        batches = start(given)
        for child in multiprocessing.active_children():
            if child.pid not in others:
                os.kill(child.pid, signal.SIGKILL)
        return batches

    monkeypatch.setattr(loader._Loader, "__iter__", start_and_kill)
    words = f"train --model compact --size 16 --epochs 1 --device cpu --workers 1 --out {tmp_path / 'run'}"
    assert cli.main([*words.split(), str(practice_root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a process that prepares batches ended: ") and error.count("\n") == 1


def test_what_nobody_foresaw_is_one_line_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    def write(*_: object, **__: object) -> None:
        raise KeyError("ecg\nid")

    monkeypatch.setattr(practice, "write", write)
    words = ["practice", str(tmp_path / "out")]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: unforeseen KeyError: ") and "--debug" in error and error.count("\n") == 1
    with pytest.raises(KeyError):
        cli.main([*words, "--debug"])


@pytest.mark.parametrize("name", ["a::b", "file:x", "http:y"])
def test_a_folder_may_be_called_like_an_address(name: str, practice_root: Path, tmp_path: Path):
    folder = shutil.copytree(practice_root, tmp_path / name)
    assert ptbxl.read_table(folder).equals(ptbxl.read_table(practice_root))


def test_a_table_with_semicolons_is_told(practice_root: Path, tmp_path: Path):
    folder = shutil.copytree(practice_root, tmp_path / "data")
    table = folder / "ptbxl_database.csv"
    table.write_text(table.read_text("utf-8").replace(",", ";"), "utf-8")
    with pytest.raises(DataError, match=r"ptbxl_database.csv separates its fields by ';'.*download"):
        ptbxl.read_table(folder)


def test_a_relative_folder_is_told_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECGCOURSE_DATA", "data/ptb-xl")
    with pytest.raises(DataError, match=f"from here is {tmp_path}/data/ptb-xl.*whole path"):
        practice.data_root()


def test_other_units_are_refused(practice_root: Path):
    in_mv = ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root).head(3))
    signals.preprocess(in_mv)
    with pytest.raises(DataError, match="no heart makes so many mV.*µV"):
        signals.preprocess(1000 * in_mv)
