"""Downloading PTB-XL: every byte compared with the source, over connections that fail in every way."""

import hashlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock
import mirror as server
import numpy as np
import pandas as pd
import pytest
from mirror import N_RECORDS, Mirror, write_sums

from ecgcourse import download, practice, ptbxl
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError

PROJECT = Path(__file__).parents[1]
# Without a cause to warn, there is no warning.
pytestmark = pytest.mark.filterwarnings("error::ecgcourse.errors.EcgCourseWarning")

DAT = "records100/00000/00003_lr.dat"
TABLES = {"LICENSE.txt", "SHA256SUMS.txt", "ptbxl_database.csv", "scp_statements.csv"}
OURS = {"download.json", "ptbxl_database_whole.csv"}


def bring(mirror: Mirror, root: Path, n_records: int | None = None, **settings: object) -> Path:
    return download.ptbxl(root, n_records, **{"base_url": mirror.url} | settings)


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def records(n_records: int, sampling_rate: int = 100) -> set[str]:
    ending = {100: "lr", 500: "hr"}[sampling_rate]
    stems = [f"records{sampling_rate}/00000/{number:05d}_{ending}" for number in range(1, n_records + 1)]
    return {stem + suffix for stem in stems for suffix in (".dat", ".hea")}


def assert_is_a_copy(root: Path, source: Path, names: set[str]) -> None:
    """All of these files and no others, each with the source's bytes."""
    assert files(root) - OURS == names
    for name in names - {"ptbxl_database.csv"}:
        assert (root / name).read_bytes() == (source / name).read_bytes(), name
    assert not list(root.glob(".*"))


def assert_reads_as(root: Path, source: Path, n_records: int, sampling_rate: int = 100) -> None:
    """The package reads the folder as it reads the first records of the source."""
    expected = ptbxl.read_table(source).head(n_records)
    table = ptbxl.read_table(root)
    pd.testing.assert_frame_equal(table.head(n_records), expected, check_dtype=False)
    signals = ptbxl.read_signals(root, table.head(n_records), sampling_rate, cache=False)
    assert np.array_equal(signals, ptbxl.read_signals(source, expected, sampling_rate, cache=False))
    assert download.verify(root).problems == []


# --- what arrives


def test_the_whole_data_set_arrives(mirror: Mirror, tmp_path: Path):
    root = bring(mirror, tmp_path / "out")
    assert root == tmp_path / "out"
    assert_is_a_copy(root, mirror.root, TABLES | records(N_RECORDS))
    assert (root / "ptbxl_database.csv").read_bytes() == (mirror.root / "ptbxl_database.csv").read_bytes()
    assert not (root / "ptbxl_database_whole.csv").exists()
    assert_reads_as(root, mirror.root, N_RECORDS)


@pytest.mark.parametrize(("n_records", "sampling_rate"), [(1, 100), (8, 100), (8, 500)])
def test_the_first_records_arrive(n_records: int, sampling_rate: int, mirror: Mirror, tmp_path: Path):
    root = bring(mirror, tmp_path / "out", n_records, sampling_rate=sampling_rate)
    assert_is_a_copy(root, mirror.root, TABLES | records(n_records, sampling_rate))
    assert len(ptbxl.read_table(root)) == n_records
    assert_reads_as(root, mirror.root, n_records, sampling_rate)


def chosen(ids: tuple[int, ...], sampling_rate: int = 100) -> set[str]:
    return {name for name in records(N_RECORDS, sampling_rate) if int(Path(name).stem[:5]) in ids}


def test_chosen_records_arrive_at_both_rates(mirror: Mirror, tmp_path: Path):
    ids, root = (17, 3, 9), tmp_path / "out"
    bring(mirror, root, ids=ids)
    assert_is_a_copy(root, mirror.root, TABLES | chosen(ids))
    bring(mirror, root, ids=(3, 9, 17, 9), sampling_rate=500)
    assert_is_a_copy(root, mirror.root, TABLES | chosen(ids) | chosen(ids, 500))
    expected = ptbxl.read_table(mirror.root).loc[sorted(ids)]
    pd.testing.assert_frame_equal(ptbxl.read_table(root), expected, check_dtype=False)
    signals = ptbxl.read_signals(root, ptbxl.read_table(root), cache=False)
    assert np.array_equal(signals, ptbxl.read_signals(mirror.root, expected, cache=False))
    found = download.verify(root)
    assert found.problems == [] and found.n_records == {100: 3, 500: 3}
    (root / "records100/00000/00009_lr.dat").unlink()
    assert download.verify(root).n_missing == 1
    mirror.requests.clear()
    bring(mirror, root, ids=ids)
    assert mirror.requests == ["SHA256SUMS.txt", "records100/00000/00009_lr.dat"]


def test_a_choice_of_records_keeps_its_folder(mirror: Mirror, tmp_path: Path):
    first, few = bring(mirror, tmp_path / "first", 3), bring(mirror, tmp_path / "few", ids=(3, 9))
    whole = Path(shutil.copytree(mirror.root, tmp_path / "whole"))
    for root, others in (
        (few, {"ids": (3, 17)}),
        (few, {"n_records": 3}),
        (first, {"ids": (3,)}),
        (whole, {"ids": (3,)}),
    ):
        before = files(root)
        with pytest.raises(DataError, match="can't hold both; name another folder"):
            bring(mirror, root, **others)
        assert files(root) == before
    with pytest.raises(DataError, match="holds chosen records, not the first 2"):
        download.verify(few, n_records=2)
    with pytest.raises(DataError, match="PTB-XL has no record 4711; choose others"):
        bring(mirror, tmp_path / "none", ids=(3, 4711))
    with pytest.raises(SettingError, match="how many records, or which"):
        bring(mirror, tmp_path / "none", 3, ids=(3,))
    with pytest.raises(SettingError, match="ids names no record"):
        bring(mirror, tmp_path / "none", ids=())


def test_real_records_arrive(real_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Mirror(real_root) as mirror:
        root = bring(mirror, tmp_path / "out", 60)
        assert_is_a_copy(root, real_root, TABLES | records(60))
        with pytest.warns(EcgCourseWarning, match="only the first 5 are there at 500 Hz"):
            bring(mirror, root, 5, sampling_rate=500)
    assert_is_a_copy(root, real_root, TABLES | records(60) | records(5, 500))
    assert_reads_as(root, real_root, 60)
    assert_reads_as(root, real_root, 5, 500)


def test_more_than_all_is_all(mirror: Mirror, tmp_path: Path):
    assert_is_a_copy(bring(mirror, tmp_path, 999), mirror.root, TABLES | records(N_RECORDS))


def test_a_licence_is_taken_only_where_there_is_one(ptbxl_tree: Path, mirror: Mirror, tmp_path: Path):
    mirror.root = Path(shutil.copytree(ptbxl_tree, tmp_path / "tree"))
    (mirror.root / "LICENSE.txt").unlink()
    write_sums(mirror.root)
    assert_is_a_copy(bring(mirror, tmp_path / "out", 2), mirror.root, TABLES - {"LICENSE.txt"} | records(2))


# --- going on


def test_a_folder_grows_by_what_is_missing(mirror: Mirror, tmp_path: Path):
    for n_records, n_listed in ((3, 3), (7, 7), (2, 7), (None, N_RECORDS), (5, N_RECORDS)):
        before = files(tmp_path)
        mirror.requests.clear()
        bring(mirror, tmp_path, n_records)
        assert_is_a_copy(tmp_path, mirror.root, TABLES | records(n_listed))
        assert_reads_as(tmp_path, mirror.root, n_listed)
        assert len(ptbxl.read_table(tmp_path)) == n_listed
        assert not before & set(mirror.requests) - {"SHA256SUMS.txt"}


def test_the_other_sampling_rate_is_added(mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path, 6)
    mirror.requests.clear()
    bring(mirror, tmp_path, 6, sampling_rate=500)
    assert set(mirror.requests) == {"SHA256SUMS.txt"} | records(6, 500)
    for rate in (100, 500):
        assert_reads_as(tmp_path, mirror.root, 6, rate)


def test_records_at_one_rate_only_are_warned_of(mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path, 3)
    with pytest.warns(EcgCourseWarning, match="lists 6 records, but only the first 3 are there at 100 Hz"):
        bring(mirror, tmp_path, 6, sampling_rate=500)
    assert download.verify(tmp_path).n_records == {100: 3, 500: 6}
    assert_reads_as(tmp_path, mirror.root, 6, 500)


def test_a_finished_download_needs_no_network(mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path, 4)
    mirror.requests.clear()
    bring(mirror, tmp_path, 4)
    assert mirror.requests == []


def test_only_what_is_missing_or_wrong_is_fetched_again(mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path, 4)
    mirror.requests.clear()
    missing, wrong = "records100/00000/00002_lr.hea", DAT
    (tmp_path / missing).unlink()
    (tmp_path / wrong).write_bytes((tmp_path / wrong).read_bytes()[:-1] + b"?")
    bring(mirror, tmp_path, 4)
    assert set(mirror.requests) == {"SHA256SUMS.txt", missing, wrong}
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(4))


def test_a_folder_that_came_another_way_is_taken_over(mirror: Mirror, tmp_path: Path):
    root = Path(shutil.copytree(mirror.root, tmp_path / "copy"))
    (root / DAT).unlink()
    with pytest.warns(EcgCourseWarning, match="only the first 20 are there at 500 Hz"):
        bring(mirror, root)
    assert set(mirror.requests) == {"SHA256SUMS.txt", DAT}
    found = download.verify(root)
    assert found.problems == [] and found.n_records == {100: N_RECORDS, 500: practice.N_HIGH_RATE_RECORDS}


def test_half_of_another_download_is_taken_over(mirror: Mirror, tmp_path: Path):
    shutil.copytree(mirror.root / "records100", tmp_path / "records100")
    bring(mirror, tmp_path, 5)
    assert not set(mirror.requests) & records(5)
    assert_reads_as(tmp_path, mirror.root, 5)


# --- a connection that fails


PASSING = [server.hang_up, server.drop, server.overstate, server.stall, server.status(429), server.status(503)]
# The last one isn't noticed in the list of sums itself; that has a test of its own.
WRONG = [server.cut_short, server.send_nothing, server.send_page, server.corrupt]


@pytest.mark.parametrize(
    ("fault", "name"),
    [(fault, name) for fault in PASSING + WRONG for name in (DAT, "ptbxl_database.csv", "SHA256SUMS.txt")][:-1],
)
def test_a_fault_that_passes_changes_nothing(fault: server.Fault, name: str, mirror: Mirror, tmp_path: Path):
    mirror.faults[name] = [fault]
    bring(mirror, tmp_path, 3)
    assert mirror.requests.count(name) == 2
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(3))


def test_a_wrong_sum_is_told_and_can_be_fetched_again(mirror: Mirror, tmp_path: Path):
    digest = hashlib.sha256((mirror.root / DAT).read_bytes()).hexdigest().encode()
    mirror.faults["SHA256SUMS.txt"] = [
        lambda handler, content: server.answer(handler, content.replace(digest, b"0" * 64))
    ]
    with pytest.raises(
        DataError, match=f"{DAT} came wrong 3 times: .* remove .*SHA256SUMS.txt, in case that came wrong"
    ):
        bring(mirror, tmp_path, 3)
    (tmp_path / "SHA256SUMS.txt").unlink()
    bring(mirror, tmp_path, 3)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(3))


def test_many_faults_at_once_change_nothing(mirror: Mirror, tmp_path: Path):
    rng = random.Random(0)
    for name in sorted(records(N_RECORDS) | TABLES):
        wrong = WRONG[:-1] if name == "SHA256SUMS.txt" else WRONG
        mirror.faults[name] = rng.sample([*PASSING, *wrong], rng.randint(0, 2))
    bring(mirror, tmp_path, connections=16)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(N_RECORDS))


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("name", [DAT, "ptbxl_database.csv"])
def test_a_file_that_is_wrong_three_times_is_given_up(fault: server.Fault, name: str, mirror: Mirror, tmp_path: Path):
    mirror.faults[name] = [fault] * 3
    with pytest.raises(DataError, match=f"{name} came wrong 3 times"):
        bring(mirror, tmp_path, 3)
    assert mirror.requests.count(name) == 3
    assert not (tmp_path / name).exists() and not ptbxl.is_ptbxl(tmp_path)
    bring(mirror, tmp_path, 3)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(3))


@pytest.mark.parametrize("fault", [server.status(404), server.status(403), server.status(410)])
def test_a_file_that_the_source_lacks_is_named(fault: server.Fault, mirror: Mirror, tmp_path: Path):
    mirror.faults[DAT] = [fault]
    with pytest.raises(DataError, match=DAT):
        bring(mirror, tmp_path, 3)
    assert mirror.requests.count(DAT) == 1


def test_a_server_that_never_ends_fills_no_disk(mirror: Mirror, tmp_path: Path):
    mirror.faults[DAT] = [server.endless] * 3
    with pytest.raises(DataError, match=f"{DAT} came wrong 3 times: more than 1,048,576 bytes"):
        bring(mirror, tmp_path, 3)
    assert mirror.n_sent < 1 << 26
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 20


# --- sources


@pytest.mark.parametrize("below", ["/files/ptb-xl/1.0.3", "/files/ptb-xl/1.0.3/", "/files/ptb-xl", "/files/", "/files"])
def test_any_sensible_address_will_do(below: str, mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path, 1, base_url=mirror.host + below)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(1))


@pytest.mark.parametrize("fault", [server.send_page, server.status(403)])
def test_a_folder_that_is_named_otherwise_is_found(
    fault: server.Fault, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The server answers something for addresses that it doesn't have.
    monkeypatch.setattr(server, "PREFIX", "/lecture/data/")
    for place in ("1.0.3/", "ptb-xl/1.0.3/"):
        mirror.faults[f"{place}SHA256SUMS.txt"] = [fault] * 3
    bring(mirror, tmp_path, 1, base_url=f"{mirror.host}/lecture/data")
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(1))


def test_an_address_without_ptbxl_is_told_with_all_that_was_tried(mirror: Mirror, tmp_path: Path):
    with pytest.raises(DataError, match="no PTB-XL 1.0.3 found") as refused:
        bring(mirror, tmp_path / "out", base_url=f"{mirror.host}/none")
    for place in ("none/", "none/1.0.3/", "none/ptb-xl/1.0.3/"):
        assert f"{mirror.host}/{place}SHA256SUMS.txt" in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"n_records": 0}, "n_records=0"),
        ({"sampling_rate": 250}, "sampling_rate=250"),
        ({"connections": 0}, "connections=0"),
        ({"connections": 33}, "connections=33"),
        ({"version": "../1"}, "version='../1'"),
        ({"base_url": "ftp://host/"}, "ftp://host/"),
        ({"base_url": "physionet.org"}, "physionet.org"),
        ({"base_url": "http://host/?x=1"}, "x=1"),
        ({"base_url": "http://host/ptb-xl/1.0.1/"}, "is of version 1.0.1, not of version=1.0.3"),
    ],
)
def test_impossible_settings_are_refused(setting: dict, named: str, mirror: Mirror, tmp_path: Path):
    with pytest.raises(SettingError) as refused:
        bring(mirror, tmp_path / "out", **setting)
    assert named in str(refused.value) and not (tmp_path / "out").exists()


def test_a_file_without_a_sum_is_refused(mirror: Mirror, tmp_path: Path):
    # At 500 Hz the source has only the first records.
    with pytest.raises(DataError, match="00021_hr.dat is not named in SHA256SUMS.txt"):
        bring(mirror, tmp_path, 21, sampling_rate=500)
    assert not set(mirror.requests) & records(N_RECORDS, 500)


@pytest.mark.parametrize("path", ["../out.dat", "/tmp/out.dat", "C:/out.dat", "a\\..\\out.dat", "a/../../out.dat"])
def test_a_path_that_leaves_the_folder_is_refused(path: str, ptbxl_tree: Path, mirror: Mirror, tmp_path: Path):
    mirror.root = Path(shutil.copytree(ptbxl_tree, tmp_path / "tree"))
    sums = (mirror.root / "SHA256SUMS.txt").read_text()
    (mirror.root / "SHA256SUMS.txt").write_text(f"{'0' * 64} {path}\n{sums}")
    with pytest.raises(DataError, match="isn't a path inside the data folder"):
        bring(mirror, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_outside_the_folder_is_refused(ptbxl_tree: Path, mirror: Mirror, tmp_path: Path):
    mirror.root = Path(shutil.copytree(ptbxl_tree, tmp_path / "tree"))
    table = mirror.root / "ptbxl_database.csv"
    table.write_bytes(table.read_bytes().replace(b"records100/00000/00002_lr", b"../records100/00002_lr"))
    write_sums(mirror.root)
    with pytest.raises(DataError, match="ptbxl_database.csv: '../records100/00002_lr' isn't a path inside"):
        bring(mirror, tmp_path / "out")
    assert not set(mirror.requests) & records(N_RECORDS)


# --- folders that are refused


@pytest.mark.parametrize("name", ["records100", "records100/00000", ".download-1"])
def test_a_link_that_leads_out_is_refused(name: str, mirror: Mirror, tmp_path: Path):
    outside, root = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (root / name).parent.mkdir(parents=True)
    (root / name).symlink_to(outside)
    with pytest.raises(DataError, match=r"(?i)link"):
        bring(mirror, root, 2)
    assert list(outside.iterdir()) == []


def test_a_linked_file_is_replaced_and_its_target_left_alone(mirror: Mirror, tmp_path: Path):
    (tmp_path / "precious").write_text("mine")
    bring(mirror, tmp_path / "out", 3)
    (tmp_path / "out" / DAT).unlink()
    (tmp_path / "out" / DAT).symlink_to(tmp_path / "precious")
    bring(mirror, tmp_path / "out", 3)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "out" / DAT).is_symlink()
    assert_is_a_copy(tmp_path / "out", mirror.root, TABLES | records(3))


def test_a_folder_behind_a_link_is_filled(mirror: Mirror, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    bring(mirror, tmp_path / "out", 2)
    assert_is_a_copy(tmp_path / "disk", mirror.root, TABLES | records(2))


def test_a_practice_set_is_refused(mirror: Mirror, practice_root: Path):
    with pytest.raises(DataError, match="synthetic practice set; name another folder"):
        bring(mirror, practice_root)


def test_other_files_are_left_alone(mirror: Mirror, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="aren't PTB-XL; name a new or an empty folder"):
        bring(mirror, tmp_path)
    assert files(tmp_path) == {"thesis.txt"}


def test_another_version_is_refused(ptbxl_tree: Path, mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path / "out", 2)
    before = files(tmp_path / "out")
    with pytest.raises(DataError, match="holds PTB-XL 1.0.3, not 1.0.1; name another folder, or ask for version 1.0.3"):
        bring(mirror, tmp_path / "out", 2, version="1.0.1", base_url=mirror.host)
    (tmp_path / "out" / "download.json").unlink()
    mirror.root = Path(shutil.copytree(ptbxl_tree, tmp_path / "tree"))
    (mirror.root / "scp_statements.csv").write_text("of another version")
    write_sums(mirror.root)
    with pytest.raises(DataError, match="holds another version: .* another sum for scp_statements.csv"):
        bring(mirror, tmp_path / "out", 2)
    assert files(tmp_path / "out") == before - {"download.json"}


def test_another_source_of_the_same_version_must_agree(ptbxl_tree: Path, mirror: Mirror, tmp_path: Path):
    bring(mirror, tmp_path / "out", 2)
    mirror.root = Path(shutil.copytree(ptbxl_tree, tmp_path / "tree"))
    (mirror.root / DAT).write_text("different")
    write_sums(mirror.root)
    with pytest.raises(DataError, match=f"another sum for {DAT}"):
        bring(mirror, tmp_path / "out", 3)


def test_a_table_of_another_version_is_refused(mirror: Mirror, tmp_path: Path):
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id\n1\n")
    with pytest.raises(DataError, match="ptbxl_database.csv isn't that of PTB-XL 1.0.3"):
        bring(mirror, tmp_path, 2)
    assert files(tmp_path) == {"ptbxl_database.csv"}


def test_two_downloads_into_one_folder_are_refused(mirror: Mirror, tmp_path: Path):
    with filelock.FileLock(tmp_path / ".download.lock"):
        with pytest.raises(DataError, match="another download into .* is running"):
            bring(mirror, tmp_path, 2)
    bring(mirror, tmp_path, 2)


def test_a_file_in_the_way_is_told(mirror: Mirror, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for root in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(DataError, match="file"):
            bring(mirror, root, 2)
    assert (tmp_path / "file").read_text() == "mine"


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Let the operating system refuse files above a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_told_and_the_rest_goes_on(mirror: Mirror, tmp_path: Path):
    with largest_file(20_000), pytest.raises(DataError, match="can't work in .*File too large.* make space"):
        bring(mirror, tmp_path, 3)
    assert not ptbxl.is_ptbxl(tmp_path)
    bring(mirror, tmp_path, 3)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(3))


# --- progress


def test_progress_counts_files_and_bytes(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bring(mirror, tmp_path, 3, progress=True)
    shown = capsys.readouterr().err
    assert "PTB-XL 1.0.3" in shown and "6/6" in shown and "MB" in shown


def test_without_a_terminal_nothing_is_printed(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bring(mirror, tmp_path, 3)
    assert capsys.readouterr() == ("", "")


# --- processes that are stopped


def start(mirror: Mirror, root: Path) -> subprocess.Popen:
    words = ("download", str(root), "--base-url", mirror.url)
    return subprocess.Popen(
        [sys.executable, "-m", "ecgcourse", *words],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, a shell has them and all they start ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        time.sleep(0.002)


def test_a_killed_download_goes_on(mirror: Mirror, tmp_path: Path):
    rng = random.Random(1)
    mirror.delay = 0.05
    litter = []
    for n_more in rng.sample(range(1, 14), 5):
        seen = len(mirror.requests)
        process = start(mirror, tmp_path)
        wait_until(lambda least=seen + n_more: len(mirror.requests) >= least)
        time.sleep(rng.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        for name in files(tmp_path) & files(mirror.root):
            assert (tmp_path / name).read_bytes() == (mirror.root / name).read_bytes(), name
        litter.append(len([path for left in tmp_path.glob(".download*") for path in (left, *left.rglob("*"))]))
    # The lock, one folder, and at most one file for each of four connections.
    assert max(litter) <= 6
    mirror.delay = 0
    before = files(tmp_path) & records(N_RECORDS)
    mirror.requests.clear()
    bring(mirror, tmp_path)
    assert before and not before & set(mirror.requests)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(N_RECORDS))
    assert_reads_as(tmp_path, mirror.root, N_RECORDS)


def test_ctrl_c_ends_at_once_though_the_server_is_silent(mirror: Mirror, tmp_path: Path):
    mirror.faults[DAT] = [server.stall]
    process = start(mirror, tmp_path)
    wait_until(lambda: DAT in mirror.requests)
    time.sleep(0.1)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=10)
    assert time.monotonic() - asked < 3
    assert (process.returncode, out) == (130, "")
    assert error == "stopped; the same command goes on from here\n"
    assert not list(tmp_path.glob(".*")) and not ptbxl.is_ptbxl(tmp_path)
    bring(mirror, tmp_path)
    assert_is_a_copy(tmp_path, mirror.root, TABLES | records(N_RECORDS))
