"""Verification of a folder of PTB-XL: what passes, what is found, and that each damage is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mirror import N_RECORDS, Mirror, write_sums

from ecgcourse import download, integrity, practice
from ecgcourse.errors import DataError, SettingError

DAT = "records100/00000/00003_lr.dat"
N_HIGH = practice.N_HIGH_RATE_RECORDS


@pytest.fixture
def copy(ptbxl_tree: Path, tmp_path: Path) -> Path:
    """A folder as wget leaves it."""
    return Path(shutil.copytree(ptbxl_tree, tmp_path / "copy"))


@pytest.fixture
def downloaded(mirror: Mirror, tmp_path: Path) -> Path:
    """A folder of the first five records."""
    return download.ptbxl(tmp_path / "downloaded", n_records=5, base_url=mirror.url)


def names(found: integrity.Verification) -> list[str]:
    return [problem.name for problem in found.problems]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_real_records_verify(real_root: Path):
    found = download.verify(real_root)
    n_lines = len((real_root / "SHA256SUMS.txt").read_text().splitlines())
    assert found.problems == []
    if not (real_root / "download.json").exists() and (real_root / "records500").exists():
        assert found.n_files == n_lines
        assert found.n_records[100] == len(pd.read_csv(real_root / "ptbxl_database.csv"))


def test_a_tree_that_came_another_way_verifies_at_both_rates(copy: Path):
    (copy / "index.html").write_text("wget leaves these")
    found = integrity.verify(copy)
    assert (found.problems, found.version) == ([], None)
    assert found.n_records == {100: N_RECORDS, 500: N_HIGH}
    assert found.n_files == 3 + 2 * (N_RECORDS + N_HIGH)


def test_only_rates_that_are_there_are_checked(copy: Path):
    shutil.rmtree(copy / "records500")
    assert integrity.verify(copy).n_records == {100: N_RECORDS}
    assert integrity.verify(copy, sampling_rate=500, n_records=2).n_missing == 4


def test_a_list_as_sha256sum_writes_it_is_understood(copy: Path):
    lines = (copy / "SHA256SUMS.txt").read_text().splitlines()
    starred = [f"{digest.upper()} *{name}" for digest, name in (line.split(maxsplit=1) for line in lines[::2])]
    spaced = [line.replace(" ", "  ") for line in lines[1::2]]
    (copy / "SHA256SUMS.txt").write_text("\r\n".join(starred + spaced) + "\r\n")
    assert integrity.verify(copy).problems == []


@pytest.mark.parametrize("name", [DAT, DAT.replace(".dat", ".hea"), "scp_statements.csv", "LICENSE.txt"])
def test_a_missing_and_a_changed_file_are_named(name: str, copy: Path):
    flip(copy / name)
    assert integrity.verify(copy).problems == [integrity.Problem(name, "wrong content")]
    (copy / name).unlink()
    found = integrity.verify(copy)
    assert found.problems == [integrity.Problem(name, "missing")]
    assert (found.n_missing, found.n_wrong) == (1, 0)


def test_the_first_ten_problems_are_listed_and_all_are_counted(copy: Path):
    dats = sorted(copy.glob("records100/*/*.dat"))
    for path in dats[:12]:
        path.unlink()
    flip(dats[12])
    lines = str(integrity.verify(copy)).splitlines()
    assert "12 missing, 1 wrong" in lines[1]
    assert len(lines) == 2 + 10 + 1 and lines[-1].strip() == "and 3 more"


def test_a_changed_table_is_named_though_no_record_is_checked(copy: Path):
    flip(copy / "ptbxl_database.csv")
    found = integrity.verify(copy)
    assert names(found) == ["ptbxl_database.csv"] and "weren't checked" in str(found)
    assert found.n_records == {}


def test_a_record_that_the_sums_do_not_name_is_a_problem(copy: Path):
    shutil.rmtree(copy / "records500")
    for suffix in (".dat", ".hea"):
        (copy / DAT).with_suffix(suffix).unlink()
    write_sums(copy)
    found = integrity.verify(copy)
    assert names(found) == [DAT, DAT.replace(".dat", ".hea")] and "not named" in str(found)


def change_a_cell(root: Path) -> str:
    path = root / "ptbxl_database.csv"
    path.write_bytes(path.read_bytes().replace(b"synthetic", b"real", 1))
    return path.name


def lose_a_row(root: Path) -> str:
    path = root / "ptbxl_database.csv"
    pd.read_csv(path, dtype=str).head(4).to_csv(path, index=False)
    return path.name


def cut_inside_a_row(root: Path) -> str:
    path = root / "ptbxl_database.csv"
    path.write_bytes(path.read_bytes()[:-5])
    return path.name


def add_a_row(root: Path) -> str:
    path, whole = root / "ptbxl_database.csv", root / "ptbxl_database_whole.csv"
    pd.read_csv(whole, dtype=str).head(6).to_csv(path, index=False)
    return path.name


def lose_the_table(root: Path) -> str:
    (root / "ptbxl_database.csv").unlink()
    return "ptbxl_database.csv"


def change_the_whole_table(root: Path) -> str:
    flip(root / "ptbxl_database_whole.csv")
    return "ptbxl_database_whole.csv"


def lose_a_record(root: Path) -> str:
    (root / DAT).unlink()
    return DAT


@pytest.mark.parametrize(
    "damage",
    [
        change_a_cell,
        lose_a_row,
        cut_inside_a_row,
        add_a_row,
        lose_the_table,
        change_the_whole_table,
        lose_a_record,
    ],
)
def test_damage_to_a_downloaded_folder_is_found_and_mended(
    damage: Callable[[Path], str], downloaded: Path, mirror: Mirror
):
    assert integrity.verify(downloaded).problems == []
    named = damage(downloaded)
    assert names(integrity.verify(downloaded)) == [named]
    download.ptbxl(downloaded, n_records=5, base_url=mirror.url)
    assert integrity.verify(downloaded).problems == []


def test_what_was_downloaded_is_what_should_be_there(downloaded: Path):
    found = integrity.verify(downloaded)
    assert (found.version, found.n_records, found.n_files) == ("1.0.3", {100: 5}, 10 + 4)
    more = integrity.verify(downloaded, n_records=7)
    assert names(more)[0] == "ptbxl_database.csv" and more.n_missing == 4
    assert integrity.verify(downloaded, n_records=2).problems == []


@pytest.mark.parametrize(
    "content", [None, b"", b"<html>", b"\xff\xfe", b"0" * 64 + b" scp_statements.csv\n", b"0" * 63 + b" LICENSE.txt\n"]
)
def test_without_sums_nothing_can_be_verified(content: bytes | None, copy: Path):
    (copy / "SHA256SUMS.txt").unlink()
    if content is not None:
        (copy / "SHA256SUMS.txt").write_bytes(content)
    with pytest.raises(DataError, match="SHA256SUMS.txt"):
        integrity.verify(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "1", "n_records": {"250": 1}}'])
def test_a_damaged_mark_is_refused(content: str, downloaded: Path):
    (downloaded / "download.json").write_text(content)
    with pytest.raises(DataError, match="download.json is damaged; remove it"):
        integrity.verify(downloaded)
    (downloaded / "download.json").unlink()
    assert integrity.verify(downloaded).problems == []


@pytest.mark.parametrize("setting", [{"n_records": 0}, {"sampling_rate": 250}])
def test_impossible_choices_are_refused(setting: dict, copy: Path):
    with pytest.raises(SettingError, match=next(iter(setting))):
        integrity.verify(copy, **setting)


def test_a_table_is_cut_where_pandas_sees_the_end_of_a_record(ptbxl_tree: Path, tmp_path: Path):
    whole = (ptbxl_tree / "ptbxl_database.csv").read_bytes()
    table = integrity.WholeTable(whole)
    for n_records in range(1, N_RECORDS + 1):
        cut = table.first(n_records)
        assert whole.startswith(cut)
        (tmp_path / "cut.csv").write_bytes(cut)
        expected = pd.read_csv(ptbxl_tree / "ptbxl_database.csv").head(n_records)
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "cut.csv"), expected, check_dtype=False)


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"filename_lr,filename_hr\n",
        b"a,b\n1,2\n",
        b'filename_lr,filename_hr\n"records100/1_lr,2\n',
        b"filename_lr,filename_hr\nrecords100/1_lr\n",
        b"filename_lr,filename_hr\n\xff,a\n",
        *(
            b"filename_lr,filename_hr\n%s,records500/1_hr\n" % name
            for name in (b"../a", b"/etc/a", b"C:/a", b"a\\b", b"", b"a/../../b")
        ),
    ],
)
def test_a_table_that_can_not_be_is_refused(whole: bytes):
    with pytest.raises(DataError, match="ptbxl_database.csv"):
        integrity.WholeTable(whole)
