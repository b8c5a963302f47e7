from pathlib import Path

import platformdirs
import pytest

from ecgcourse import files
from ecgcourse.errors import DataError


def test_a_whole_file_appears_with_its_parents_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "table.csv"
    with files.whole_file(target) as temporary:
        temporary.write_text("a,b")
        assert temporary.suffix == ".csv"
        assert not target.exists()
    assert target.read_text() == "a,b"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, interruption):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(interruption), files.whole_file(target) as temporary:
        temporary.write_text("half")
        raise interruption
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_whole_file_replaces_the_old_one(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with files.whole_file(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_new_file_has_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    with files.whole_file(tmp_path / "whole") as temporary:
        temporary.write_text("")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("write", [files.whole_file, files.whole_folder])
def test_a_place_that_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    with pytest.raises(DataError, match="blocked.*choose a folder"), write(tmp_path / "blocked" / "out"):
        raise AssertionError("the body must not run")


def test_a_full_disk_is_told_as_such(tmp_path):
    with pytest.raises(DataError, match="No space left on device"), files.whole_file(tmp_path / "table.csv"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_folder_appears_at_once(tmp_path):
    target = tmp_path / "parent" / "data"
    with files.whole_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "record.dat").write_bytes(b"1")
        assert not target.exists()
    assert [path.relative_to(target) for path in target.rglob("*")] == [Path("sub"), Path("sub/record.dat")]
    assert list(target.parent.iterdir()) == [target]


def test_a_whole_folder_takes_the_place_of_an_empty_one(tmp_path):
    (tmp_path / "data").mkdir()
    with files.whole_folder(tmp_path / "data") as temporary:
        (temporary / "record.dat").write_bytes(b"1")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["record.dat"]


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.whole_folder(tmp_path / "data") as temporary:
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
    with pytest.raises(DataError, match="already exists"), files.whole_folder(target):
        raise AssertionError("the body must not run")
    assert (target if kind == "file" else target / "mine").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [target]


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path / "mine"))
    assert files.cache_folder() == tmp_path / "mine"
    assert not files.cache_folder().exists()


def test_the_cache_is_else_where_the_system_says(monkeypatch):
    monkeypatch.delenv("ECGCOURSE_CACHE")
    assert files.cache_folder() == platformdirs.user_cache_path("ecgcourse")
