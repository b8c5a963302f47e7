import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from ecgcourse import files
from ecgcourse.errors import DataError, StorageError

# Each process is forked from one that has imported the package, and shares no thread with pytest.
SERVER = multiprocessing.get_context("forkserver")


def test_a_file_appears_whole_with_its_parents_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "table.csv"
    for text in ("old", "new"):
        with files.atomic_write(target) as temporary:
            temporary.write_text(text)
            assert temporary.suffix == ".csv"
            assert text == "new" or not target.exists()
        assert target.read_text() == text
        assert list(target.parent.iterdir()) == [target]
    (tmp_path / "plain").write_text("")
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, interruption):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(interruption), files.atomic_write(target) as temporary:
        temporary.write_text("half")
        raise interruption
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", [files.atomic_write, files.atomic_folder])
def test_a_place_that_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    with pytest.raises(DataError, match="blocked.*choose a folder"), write(tmp_path / "blocked" / "out"):
        raise AssertionError("the body must not run")


def test_a_full_disk_is_told_as_such(tmp_path):
    with pytest.raises(DataError, match="No space left on device"), files.atomic_write(tmp_path / "table.csv"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_folder_appears_at_once(tmp_path):
    target = tmp_path / "parent" / "data"
    with files.atomic_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "record.dat").write_bytes(b"1")
        assert not target.exists()
    assert [path.relative_to(target) for path in target.rglob("*")] == [Path("sub"), Path("sub/record.dat")]
    assert list(target.parent.iterdir()) == [target]


def test_a_whole_folder_takes_the_place_of_an_empty_one(tmp_path):
    (tmp_path / "data").mkdir()
    with files.atomic_folder(tmp_path / "data") as temporary:
        (temporary / "record.dat").write_bytes(b"1")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["record.dat"]


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "data") as temporary:
        (temporary / "record.dat").write_bytes(b"1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_a_whole_folder_never_replaces_anything(tmp_path, kind):
    target = tmp_path / "data"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with pytest.raises(DataError, match="already exists"), files.atomic_folder(target):
        raise AssertionError("the body must not run")
    assert (target if kind == "file" else target / "mine").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [target]


# --- what is cut short


def fill(target: Path, seed: int, names: str, stop: BaseException | None = None) -> list[str]:
    """Write a file for each letter that isn't there yet, then stop or end; return what was written."""
    written = []
    with files.atomic_folder(target, resumes=lambda folder: (folder / f"seed {seed}").exists()) as folder:
        (folder / f"seed {seed}").touch()
        for name in names:
            if not (folder / name).exists():
                with files.atomic_write(folder / name) as temporary:
                    temporary.write_text(f"{name} {seed}")
                written.append(name)
        if stop is not None:
            raise stop
    return written


CUTS = [KeyboardInterrupt(), OSError(28, "No space left on device"), StorageError("can't write elsewhere")]


@pytest.mark.parametrize("stop", CUTS)
def test_a_folder_that_was_cut_short_is_gone_on_with(tmp_path, stop):
    with pytest.raises((KeyboardInterrupt, StorageError)):
        fill(tmp_path / "data", 1, "ab", stop)
    assert not (tmp_path / "data").exists()
    assert fill(tmp_path / "data", 1, "abc") == ["c"]
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"seed 1", "a", "b", "c"}
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_what_has_another_origin_is_not_mixed_in(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "data", 1, "ab", KeyboardInterrupt())
    assert fill(tmp_path / "data", 2, "bc") == ["b", "c"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["b", "c", "seed 2"]
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_helpers_of_a_killed_process_do_not_mix_in(tmp_path):
    """They live a little longer, and go on writing where it did."""
    left = tmp_path / ".data.partial-0"
    left.mkdir()
    with files.atomic_folder(tmp_path / "data") as folder:
        assert not left.exists() and folder != left
        left.mkdir()
        (left / "late").touch()
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "data"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_an_error_in_the_work_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="bad record"):
        fill(tmp_path / "data", 1, "ab", DataError("bad record"))
    assert list(tmp_path.iterdir()) == []


def die_at(count: int) -> None:
    """From now on, kill this process just before its `count`th change of the file system."""
    changes = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
    left = count

    def watch(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in changes and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def in_a_process(work: Callable, *arguments: object) -> int:
    process = SERVER.Process(target=work, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def fill_and_die(target: Path, count: int) -> None:
    die_at(count)
    fill(target, 1, "abc")


def rewrite_and_die(target: Path, count: int) -> None:
    die_at(count)
    with files.atomic_write(target) as temporary:
        temporary.write_text("new" * 10_000)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_at_any_change_of_the_disk_a_folder_is_whole_or_absent(tmp_path):
    fill(tmp_path / "expected", 1, "abc")
    expected = {path.name: path.read_text() for path in (tmp_path / "expected").iterdir()}
    ends = []
    while 0 not in ends:
        (tmp_path / str(len(ends))).mkdir()
        target = tmp_path / str(len(ends)) / "data"
        ends.append(in_a_process(fill_and_die, target, len(ends) + 1))
        if not target.exists():
            fill(target, 1, "abc")
        assert {path.name: path.read_text() for path in target.iterdir()} == expected
        if ends[-1] == 0:
            assert list(target.parent.iterdir()) == [target]
    assert set(ends[:-1]) == {-signal.SIGKILL} and len(ends) > 20


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_at_any_change_of_the_disk_a_file_is_old_or_new(tmp_path):
    target, ends, found = tmp_path / "table.csv", [], set()
    while 0 not in ends:
        target.write_text("old")
        ends.append(in_a_process(rewrite_and_die, target, len(ends) + 1))
        found.add(target.read_text())
        assert len(list(tmp_path.iterdir())) <= 3  # the file, one half, one lock: leftovers never add up
    assert list(tmp_path.iterdir()) == [target] and found == {"old", "new" * 10_000}
    assert set(ends[:-1]) == {-signal.SIGKILL} and len(ends) > 5


def hold(path: Path, held, go) -> None:
    with files.atomic_folder(path) as folder:
        (folder / "theirs").touch()
        held.set()
        go.wait(60)


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that holds the place of ``tmp_path / "data"`` until it is told to let go."""
    held, go = SERVER.Event(), SERVER.Event()
    process = SERVER.Process(target=hold, args=(tmp_path / "data", held, go))
    process.start()
    assert held.wait(60)
    yield process, go
    # Not go.set(), which waits for ever for the answer of a process that was killed.
    process.kill()
    process.join(60)


def test_two_processes_do_not_write_the_same(tmp_path, elsewhere):
    process, go = elsewhere
    with pytest.raises(DataError, match="data is being written by another process"):
        fill(tmp_path / "data", 1, "a")
    go.set()
    with pytest.raises(DataError, match="already exists"), files.atomic_folder(tmp_path / "data", wait=60):
        raise AssertionError("the body must not run")
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_killed_process_holds_nothing(tmp_path, elsewhere):
    process, _ = elsewhere
    process.kill()
    process.join(60)
    assert fill(tmp_path / "data", 1, "a") == ["a"]
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


# --- reading


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.zeros((0, 4)), np.float32(3), np.ones(2, bool)])
def test_an_array_comes_back(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = files.load_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_links_may_not_leave_the_folder(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "sub", outside):
        folder.mkdir(parents=True)
        (folder / "file").write_text("content")
    (root / "inwards").symlink_to(root / "sub" / "file")
    (root / "outwards").symlink_to(outside / "file")
    (root / "away").symlink_to(outside)
    (tmp_path / "alias").symlink_to(root)
    for start in (root, tmp_path / "alias"):
        assert files.stat_file(start / "inwards", start).st_size == 7
        files.check_inside(start / "sub", start)
        with pytest.raises(DataError, match="outwards leads to .*outside"):
            files.stat_file(start / "outwards", start)
        with pytest.raises(DataError, match="away leads to .*outside"):
            files.check_inside(start / "away", start)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (files.stat_file, files.load_array, files.read_json):
        for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
            with pytest.raises(DataError, match="isn't an ordinary file"):
                read(path)


@pytest.mark.parametrize("text", ["", "{", "[NaN]", '{"a": Infinity}', "[" * 100_000, "\udc80", "1" * 5000])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="a.json can't be read as JSON"):
        files.read_json(tmp_path / "a.json")


def test_json_comes_back_and_what_is_none_is_not_written(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": [1, 0.5, None, "é"]})
    assert files.read_json(tmp_path / "a.json") == {"a": [1, 0.5, None, "é"]}
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert files.read_json(tmp_path / "a.json") == {"a": [1, 0.5, None, "é"]}


# --- the cache


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path / "mine"))
    assert files.cache_folder() == tmp_path / "mine"
    assert not files.cache_folder().exists()


def test_the_cache_is_else_where_the_system_says(monkeypatch):
    monkeypatch.delenv("ECGCOURSE_CACHE")
    assert files.cache_folder() == platformdirs.user_cache_path("ecgcourse")
