"""A corpus of damaged and hostile files, through the command line: status 2, one line, nothing half-written."""

import functools
import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from multiprocessing import Queue
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from damage import SIZE, Small, check_message, in_time, little_memory

from ecgcourse import models, ptbxl, runs, training
from ecgcourse.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")

QUICK = ["--model", "small", "--size", str(SIZE), "--epochs", "1", "--device", "cpu", "--quiet"]
DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
TESTS = Path(__file__).parent
HUGE = 10 * 2**30

# What a command reads, damaged, is DATA (PTB-XL), IMAGES or RUN; OUT must stay empty.
COMMANDS = {
    "train": ["train", "DATA", *QUICK, "--out", "OUT"],
    "images": ["images", "DATA", "OUT", "--partition", "all", "--size", str(SIZE), "--quiet"],
    "train on images": ["train", "IMAGES", *QUICK, "--out", "OUT"],
    "evaluate": ["evaluate", "RUN", "--data", "DATA", "--device", "cpu", "--quiet"],
    "resume": ["train", "DATA", *QUICK, "--out", "RUN", "--resume", "--epochs", "2"],
}


class Case(NamedTuple):
    """How a folder is damaged, and the words that the error must have."""

    where: str
    damage: Callable[[Path], object]
    words: tuple[str, ...]
    commands: tuple[str, ...]


def records(damage: Callable[[Path], object], *words: str) -> Case:
    """A damaged PTB-XL folder."""
    return Case("DATA", damage, words, ("train", "images"))


def written(damage: Callable[[Path], object], *words: str) -> Case:
    """A damaged folder of images."""
    return Case("IMAGES", damage, words, ("train on images",))


def weights(damage: Callable[[Path], object], *words: str) -> Case:
    """A run that can't be judged."""
    return Case("RUN", damage, words, ("evaluate",))


def state(damage: Callable[[Path], object], *words: str) -> Case:
    """A run that can't go on."""
    return Case("RUN", damage, words, ("resume",))


# --- ways to damage


def record(data: Path, suffix: str) -> Path:
    """A file of the first training record."""
    return data / f"{ptbxl.split(ptbxl.read_table(data))['train']['filename_lr'].iloc[0]}{suffix}"


def header(old: str, new: str) -> Callable[[Path], None]:
    return lambda data: edit(record(data, ".hea"), old, new)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def sparse(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    return lambda folder: os.truncate(find(folder), HUGE)


def at(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / name


def of_record(suffix: str) -> Callable[[Path], Path]:
    return lambda data: record(data, suffix)


def pipe(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = find(folder)
        path.unlink()
        os.mkfifo(path)

    return damage


def folder_instead(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = find(folder)
        path.unlink()
        path.mkdir()

    return damage


def link_out(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    """Move something out of the folder and leave a link to it."""

    def damage(folder: Path) -> None:
        path, away = find(folder), folder.parent / "away"
        shutil.move(path, away)
        path.symlink_to(away)

    return damage


def link_to_itself(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = find(folder)
        path.unlink()
        path.symlink_to(path)

    return damage


def cell(column: str, value: object, name: str = DATABASE) -> Callable[[Path], None]:
    """Put a value into the first row of a table."""

    def damage(data: Path) -> None:
        table = pd.read_csv(data / name).astype({column: object})
        table.loc[0, column] = value
        table.to_csv(data / name, index=False)

    return damage


def giant_cell(column: str) -> Callable[[Path], None]:
    """Put 20 MB into the first row of the table."""

    def damage(data: Path) -> None:
        cell(column, "PLACE")(data)
        path = data / DATABASE
        path.write_bytes(path.read_bytes().replace(b"PLACE", b"x" * (2 * 10**7), 1))

    return damage


def lines(change: Callable[[list[str]], list[str]], name: str = DATABASE) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        path = data / name
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return damage


def content(name: str, make: Callable[[], bytes]) -> Callable[[Path], None]:
    made = functools.cache(make)
    return lambda folder: (folder / name).write_bytes(made())


def tags(**values: int) -> Callable[[Path], None]:
    """Let an image promise something else."""

    def damage(images: Path) -> None:
        with tifffile.TiffFile(images / "train/images/0.tif", mode="r+b") as file:
            for page in file.pages:
                for name, value in values.items():
                    page.tags[name].overwrite(value)

    return damage


def tiff(pixels: np.ndarray, **settings) -> Callable[[], bytes]:
    def make() -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **settings)
        return buffer.getvalue()

    return make


def npy(array: np.ndarray) -> Callable[[], bytes]:
    def make() -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        return buffer.getvalue()

    return make


def npy_header(text: str) -> Callable[[], bytes]:
    return lambda: b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(16)


def npz_bomb() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, label=np.zeros(10**7))
    return buffer.getvalue()


@functools.cache
def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))
    return buffer.getvalue()


class Opened:
    """What a harmful pickle does: it runs a command when it is opened."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.trace}'",)


def harmful(name: str, bare: bool) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        harm = {"format": training.CHECKPOINT_FORMAT, "settings": Opened(run.parent / "trace")}
        if bare:
            (run / name).write_bytes(pickle.dumps(harm))
        else:
            torch.save(harm, run / name)

    return damage


def checkpoint(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        found = torch.load(run / name, weights_only=True)
        change(found)
        torch.save(found, run / name)

    return damage


def nested(found: dict) -> None:
    """A few hundred bytes that unfold to 2¹⁰⁰ parts."""
    part: list = []
    for _ in range(100):
        part = [part, part]
    found["rows"] = part


def flipped(name: str) -> Callable[[Path], None]:
    """Change one bit of a weight."""

    def damage(run: Path) -> None:
        held = bytearray((run / name).read_bytes())
        weight = torch.load(run / name, weights_only=True)["state_dict"]["layers.0.weight"]
        held[held.index(weight.numpy().tobytes()) + 3] ^= 1
        (run / name).write_bytes(held)

    return damage


# --- the corpus

PROMISES = {
    "header of a million million samples": records(header(" 12 100 1000", f" 12 100 {10**11}"), "holds 24000 bytes"),
    "header of too many samples to count": records(header(" 12 100 1000", f" 12 100 {10**30}"), "header is damaged"),
    "header of a million leads": records(header(" 12 100 1000", " 999999 100 1000"), "header is damaged"),
    "header of ten gigabytes": records(sparse(of_record(".hea")), ".hea can't be read", "no header"),
    "samples of ten gigabytes": records(sparse(of_record(".dat")), "_lr.dat holds 10737418240 bytes"),
    "table of ten gigabytes": records(sparse(at(DATABASE)), DATABASE, "10,737,418,240 bytes"),
    "statements of ten gigabytes": records(sparse(at(STATEMENTS)), STATEMENTS, "10,737,418,240 bytes"),
    "image of a million by a million": written(tags(ImageWidth=10**6, ImageLength=10**6), "0.tif"),
    "image of many samples": written(tags(SamplesPerPixel=65535), "0.tif"),
    "image that unfolds": written(
        content("train/images/0.tif", tiff(np.zeros((9, 4096, 4096), np.uint8), compression="zlib")),
        "0.tif has",
        "uncompressed",
    ),
    "label of a million million": written(
        content(
            "train/labels/0.npy", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,), }" + " " * 9)
        ),
        "0.npy",
    ),
    "label of many numbers": written(
        content(
            "train/labels/0.npy",
            npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"),
        ),
        "0.npy",
        "promises",
    ),
    "label of ten gigabytes": written(sparse(at("train/labels/0.npy")), "0.npy", "10,737,418,240 bytes"),
    "label that unfolds": written(content("train/labels/0.npy", npz_bomb), "0.npy"),
    "weights that unfold": weights(content(runs.BEST, zip_bomb), "best.pt isn't a checkpoint"),
    "state that unfolds": state(content(runs.LAST, zip_bomb), "last.pt isn't a checkpoint"),
    "parts within parts": state(checkpoint(runs.LAST, nested), "last.pt isn't a checkpoint"),
    "weights of ten gigabytes": weights(sparse(at(runs.BEST)), "best.pt isn't a checkpoint"),
    "thresholds of ten gigabytes": weights(sparse(at(runs.THRESHOLDS)), "thresholds.json"),
    "a thousand million filters": weights(
        checkpoint(runs.BEST, lambda found: found["settings"].update(name="alexnet", filters=10**9)),
        "best.pt: its weights don't fit the model",
    ),
    "more filters than any number": weights(
        checkpoint(runs.BEST, lambda found: found["settings"].update(filters=10**40)), "best.pt: its weights don't fit"
    ),
    "one loss said to be a million million": state(
        checkpoint(runs.LAST, lambda found: found.update(losses=torch.zeros(1).expand(10**12))),
        "last.pt isn't a checkpoint",
    ),
}
"""They promise more than they hold."""

HARM = {
    "codes that are code": records(cell("scp_codes", "__import__('os').system('touch trace')"), DATABASE, "scp_codes"),
    "codes in 100,000 brackets": records(cell("scp_codes", "[" * 10**5 + "]" * 10**5), DATABASE, "expected a dict"),
    "codes of 20 MB": records(giant_cell("scp_codes"), DATABASE, "expected a dict"),
    "a fold of 20 MB": records(giant_cell("strat_fold"), DATABASE, "strat_fold"),
    "a name of 20 MB": records(giant_cell("filename_lr"), DATABASE, "filename_lr"),
    "a name with an escape": records(cell("filename_lr", "\x1b[2Jx"), DATABASE, "filename_lr"),
    "a name that leads out": records(cell("filename_lr", "../../etc/passwd"), "inside the data folder"),
    "a name from the root": records(cell("filename_lr", "/etc/passwd"), "inside the data folder"),
    "a name of another system": records(cell("filename_lr", "C:\\data\\x"), "inside the data folder"),
    "weights that run a command": weights(harmful(runs.BEST, bare=False), "best.pt isn't a checkpoint"),
    "a pickle that runs a command": weights(harmful(runs.BEST, bare=True), "best.pt isn't a checkpoint"),
    "a state that runs a command": state(harmful(runs.LAST, bare=False), "last.pt isn't a checkpoint"),
    "a label that is an object": written(content("train/labels/0.npy", npy(np.array([{}]))), "0.npy", "not numbers"),
    "an image that names others": written(
        content(
            "train/images/0.tif",
            tiff(
                np.zeros((9, 8, 8), np.uint8)[:1],
                description='<?xml version="1.0"?><OME><Image ID="/etc/passwd"/></OME>',
            ),
        ),
        "0.tif",
    ),
}
"""They would do something, or lead somewhere."""

MISTAKES = {
    "a likelihood that is no number": records(cell("scp_codes", "{'NORM': nan}"), "expected a dict"),
    "a likelihood without end": records(cell("scp_codes", "{'NORM': 1e999}"), "expected a dict"),
    "a record twice": records(cell("ecg_id", 2), "ecg_id 2 occurs more than once"),
    "half a record": records(cell("ecg_id", 1.5), "ecg_id is 1.5"),
    "an eleventh fold": records(cell("strat_fold", 11), "strat_fold is 11"),
    "a row with more fields": records(lines(lambda rows: [*rows[:3], "x," * 40 + "x\n", *rows[3:]]), DATABASE),
    "a row with fewer fields": records(lines(lambda rows: [*rows[:3], "9999,1\n", *rows[3:]]), DATABASE, "strat_fold"),
    "rows with one field more": records(
        lines(lambda rows: [rows[0], *(f"0,{row}" for row in rows[1:])]), "more fields than its first line"
    ),
    "an open quote": records(lines(lambda rows: [*rows[:5], '"' + rows[5], *rows[6:]]), DATABASE),
    "a code twice": records(lines(lambda rows: [*rows, rows[1]], STATEMENTS), STATEMENTS, "more than once"),
    "thresholds that are no number": weights(
        content(runs.THRESHOLDS, lambda: b'{"thresholds": {"MI": NaN, "STTC": 0.5, "CD": 0.5, "HYP": 0.5}}'),
        "thresholds.json",
    ),
    "thresholds in 100,000 brackets": weights(content(runs.THRESHOLDS, lambda: b"[" * 10**5), "thresholds.json"),
    "settings in 100,000 brackets": weights(content(runs.CONFIG, lambda: b'{"a":' * 10**5), "config.json"),
    "one bit of a weight": weights(flipped(runs.BEST), "best.pt", "damaged"),
    "one bit of a weight to go on from": state(flipped(runs.LAST), "last.pt", "damaged"),
    "weights that are no numbers": weights(
        checkpoint(runs.BEST, lambda found: found["state_dict"]["layers.0.weight"].fill_(np.nan)),
        "best.pt holds weights that aren't finite",
    ),
    "starts that are none": state(content(runs.ENVIRONMENT, lambda: b'{"starts": 7}'), "environment.json"),
    "an image cut short": written(lambda images: os.truncate(images / "train/images/0.tif", 300), "0.tif"),
    "a label that is neither": written(content("train/labels/1.npy", npy(np.full(4, 0.5))), "1.npy", "0 or 1"),
}
"""What a careless hand or a failing disk does."""

REPLACED = {
    f"{way.__name__.replace('_', ' ')} for {name}": make(way(find), *words)
    for name, make, find, words in (
        ("a header", records, of_record(".hea"), ("_lr.hea",)),
        ("samples", records, of_record(".dat"), ("_lr.dat",)),
        ("the table", records, at(DATABASE), ()),
        ("the statements", records, at(STATEMENTS), ()),
        ("an image", written, at("train/images/0.tif"), ("0.tif",)),
        ("a label", written, at("train/labels/0.npy"), ("0.npy",)),
    )
    for way in (pipe, folder_instead, link_out, link_to_itself)
}
REPLACED |= {
    f"{way.__name__.replace('_', ' ')} for {name}": make(way(at(name)), name)
    for name, make in (
        (runs.BEST, weights),
        (runs.THRESHOLDS, weights),
        (runs.CONFIG, weights),
        (runs.LAST, state),
        (runs.ENVIRONMENT, state),
    )
    for way in (pipe, folder_instead, link_to_itself)
}
REPLACED |= {
    "records that lie elsewhere": records(link_out(at("records100/00000")), "outside the data folder"),
    "all records that lie elsewhere": records(link_out(at("records100")), "outside the data folder"),
    "a partition that lies elsewhere": written(link_out(at("train")), "outside the data folder"),
    "images that lie elsewhere": written(link_out(at("train/images")), "outside the data folder"),
    "labels that lie elsewhere": written(link_out(at("train/labels")), "outside the data folder"),
}
"""Something else stands in the place of a file."""

CORPUS = PROMISES | HARM | MISTAKES | REPLACED


# --- the tests


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """A small model that checkpoints may be of, and little memory."""
    with pytest.MonkeyPatch.context() as patch, little_memory():
        patch.setitem(models.REGISTRY, "small", Small)
        yield


@pytest.fixture(scope="module")
def right(bounded: None, practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An undamaged folder of each kind."""
    here = tmp_path_factory.mktemp("right")
    places = {"DATA": practice_root, "IMAGES": here / "images", "RUN": here / "run"}
    words = ["images", practice_root, places["IMAGES"], "--partition", "all", "--size", SIZE]
    assert command(*words) == 0
    assert command("train", practice_root, *QUICK, "--out", places["RUN"]) == 0
    # As of the first edition, whose thresholds stand beside the weights alone.
    content = torch.load(places["RUN"] / runs.BEST, weights_only=True)
    torch.save(content | {"thresholds": None}, places["RUN"] / runs.BEST)
    return places


def command(*words: object) -> int:
    return main([str(word) for word in words])


def snapshot(folder: Path) -> dict[str, tuple]:
    """Every name under a folder, with what would change if something wrote there."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {str(path): (each.st_mode, each.st_ino, each.st_size, each.st_mtime_ns) for path, each in found.items()}


def refuse(words: list[str], places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must refuse, and change nothing; return the line that says why."""
    before = {name: snapshot(folder) for name, folder in places.items()}
    capsys.readouterr()
    with in_time():
        status = command(*(places.get(word, word) for word in words))
    out, error = capsys.readouterr()
    assert (status, out) == (2, ""), error
    assert error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1
    check_message(error[:-1], [str(folder) for folder in places.values()])
    assert {name: snapshot(folder) for name, folder in places.items()} == before
    return error


@pytest.mark.parametrize("name", CORPUS)
def test_it_is_refused_in_one_line_and_leaves_nothing(
    name: str, right: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    case = CORPUS[name]
    places = right | {"OUT": tmp_path / "out", case.where: tmp_path / "damaged"}
    places["OUT"].mkdir()
    shutil.copytree(right[case.where], places[case.where])
    case.damage(places[case.where])
    for each in case.commands:
        error = refuse(COMMANDS[each], places, capsys)
        for word in case.words:
            assert word in error
    assert not (tmp_path / "trace").exists()


def test_what_would_do_harm_is_harmful(tmp_path: Path):
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Opened(trace)))
    assert trace.exists()


# --- what looks odd and is right


ODD = {
    "an image of ten gigabytes": sparse(at("train/images/1.tif")),
    "an image with wide addresses": lambda images: tifffile.imwrite(
        images / "train/images/1.tif", tifffile.imread(images / "train/images/1.tif"), bigtiff=True
    ),
    "a label of another kind": lambda images: np.save(
        images / "train/labels/1.npy", np.load(images / "train/labels/1.npy").astype(np.int8)
    ),
    "a link within": lambda images: (images / "val/images/0.tif").symlink_to(
        (images / "val/images/0.tif").rename(images / "val/elsewhere.tif")
    ),
    "no list of records": lambda images: (images / "train/records.csv").unlink(),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_right_in_an_odd_way_is_read(name: str, right: dict[str, Path], tmp_path: Path):
    images = Path(shutil.copytree(right["IMAGES"], tmp_path / "images"))
    ODD[name](images)
    assert command("train", images, *QUICK, "--out", tmp_path / "odd") == 0
    assert (tmp_path / "odd" / runs.HISTORY).read_bytes() == (right["RUN"] / runs.HISTORY).read_bytes()


def test_data_found_damaged_while_training_leave_a_run_that_can_begin_again(
    right: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    images = Path(shutil.copytree(right["IMAGES"], tmp_path / "images"))
    place = images / "train/images/1.tif"
    held = place.read_bytes()
    place.write_bytes(tiff(np.zeros((9, 16, 16), np.uint8), photometric="minisblack")())
    words = ("train", images, *QUICK, "--out", tmp_path / "run")
    assert command(*words) == 2
    assert "1.tif is 16 pixels wide" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {runs.CONFIG, runs.ENVIRONMENT}
    place.write_bytes(held)
    assert command(*words) == 0


# --- links where results go


def test_results_take_the_place_of_links_and_never_go_through(right: dict[str, Path], tmp_path: Path):
    letter = tmp_path / "letter"
    letter.write_text("precious")
    for name in ("run", "judged"):
        (tmp_path / name).mkdir()
    for name in (runs.HISTORY, runs.CONFIG, runs.CURVES, runs.THRESHOLDS):
        (tmp_path / "run" / name).symlink_to(letter)
    (tmp_path / "metrics.json").symlink_to(letter)
    assert command("train", right["DATA"], *QUICK, "--out", tmp_path / "run") == 0
    words = ("--data", right["DATA"], "--json", tmp_path / "metrics.json", "--quiet")
    assert command("evaluate", tmp_path / "run", *words) == 0
    assert letter.read_text() == "precious"
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("words", [["practice", "OUT/train", "--records", "3"], COMMANDS["images"]])
def test_a_folder_is_not_written_through_a_link(
    words: list[str], right: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    places = right | {"OUT": tmp_path / "out", "OUT/train": tmp_path / "out" / "train"}
    (tmp_path / "elsewhere").mkdir()
    places["OUT"].mkdir()
    places["OUT/train"].symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refuse(words, places, capsys)
    assert not any((tmp_path / "elsewhere").iterdir())


# --- leaving out what is damaged


def change_a_sample(path: Path) -> None:
    samples = np.fromfile(path, "<i2")
    samples[500] += 1
    samples.tofile(path)


def itself(path: Path) -> Path:
    return path


def move_out(path: Path) -> None:
    """Move a record's file out of its data folder and leave a link to it."""
    away = path.parents[3] / path.name
    path.symlink_to(path.rename(away))


# A record's file, how it is damaged, and the words that the reason must have.
SKIPPED: list[tuple[str, Callable[[Path], object], str]] = [
    (".hea", lambda path: edit(path, " 12 100 1000", f" 12 100 {10**11}"), "its header says 100000000000 samples"),
    (".hea", lambda path: edit(path, " V3", ""), "misses lead V3"),
    (".hea", lambda path: edit(path, "/mV", "/uV"), "the unit is uV"),
    (".hea", lambda path: path.write_bytes(b""), "its header is damaged"),
    (".hea", link_to_itself(itself), "_lr.hea can't be opened"),
    (".dat", Path.unlink, "_lr.dat can't be opened"),
    (".dat", pipe(itself), "isn't an ordinary file"),
    (".dat", move_out, "outside the data folder"),
    (".dat", lambda path: os.truncate(path, 23_000), "can't be read: its header is damaged or doesn't agree"),
    (".dat", sparse(itself), "holds 10737418240 bytes"),
    (".dat", change_a_sample, "the checksum is"),
]


def test_training_leaves_out_just_the_damaged_and_says_why(
    right: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, run = Path(shutil.copytree(right["DATA"], tmp_path / "a" / "data")), tmp_path / "run"
    parts = ptbxl.split(ptbxl.read_table(data))
    # Every third training record, and one that training is judged by.
    names = pd.concat([parts["train"]["filename_lr"][::3], parts["val"]["filename_lr"][-1:]])[-len(SKIPPED) :]
    for name, (suffix, damage, _) in zip(names, SKIPPED, strict=True):
        damage(data / f"{name}{suffix}")
    capsys.readouterr()
    with in_time():
        assert command("train", data, *QUICK, "--out", run, "--skip-bad") == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == f"left out {len(SKIPPED)} damaged records: see {run / 'bad_records.csv'}"
    listed = pd.read_csv(run / "bad_records.csv")
    assert listed["ecg_id"].tolist() == names.index.tolist() and listed["file"].tolist() == names.tolist()
    for reason, name, (_, _, words) in zip(listed["reason"], names, SKIPPED, strict=True):
        check_message(reason, [name])
        assert words in reason


# --- names that are odd


NAMES = ("$x^{$ %s {0} é ✓ 🎉", "new\nline a\udcffb")


def test_folders_may_have_any_name(right: dict[str, Path], tmp_path: Path):
    """In a process of its own, since what it prints need not be text."""
    commands = []
    for here in (tmp_path / name for name in NAMES):
        data = Path(shutil.copytree(right["DATA"], here / "data"))
        record(data, ".dat").unlink()
        commands += [
            ["train", data, *QUICK, "--out", here / "run", "--skip-bad"],
            ["evaluate", here / "run", "--data", data, "--json", here / "m.json"],
            ["images", data, here / "images", "--size", SIZE, "--skip-bad"],
        ]
    code = (
        "import sys; from damage import Small; from ecgcourse import cli, models; models.REGISTRY['small'] = Small\n"
        "sys.exit(max(cli.main(words.split('|')) for words in sys.argv[1:]))"
    )
    words = ["|".join(map(str, words)) for words in commands]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent)))}
    ended = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    told = ended.stderr.decode().splitlines()
    assert len(told) == 3 * len(NAMES) and all(line.startswith(("warning: ", "left out 1 ")) for line in told)
    for name in NAMES:
        assert os.fsencode(tmp_path / name / "images" / "train") + b"\n" in ended.stdout
        found = json.loads((tmp_path / name / "m.json").read_text())
        assert found["data"] == str(tmp_path / name / "data")


# --- memory

MOST_FOR_A_LIE = 100 * 2**20
"""Bytes of memory that a command may need beyond what it needs for right files. Each lie promises more than that."""


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def run_and_measure(right_words: list[list[str]], lying_words: list[list[str]], answer: Queue) -> None:
    models.REGISTRY["small"] = Small
    statuses = [main(words) for words in right_words]
    before = peak()
    statuses += [main(words) for words in lying_words]
    answer.put((statuses, peak() - before))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a fresh process")
def test_a_lie_takes_no_memory(right: dict[str, Path], tmp_path: Path):
    def words(name: str, places: dict[str, Path], out: str) -> list[str]:
        return [str((places | {"OUT": tmp_path / out}).get(word, word)) for word in COMMANDS[name]]

    copied = {name: Path(shutil.copytree(folder, tmp_path / "right" / name)) for name, folder in right.items()}
    right_words = [words(name, copied, f"out {name}") for name in COMMANDS]
    lying_words = []
    for number, case in enumerate(PROMISES.values()):
        lying = Path(shutil.copytree(right[case.where], tmp_path / str(number) / "damaged"))
        case.damage(lying)
        lying_words += [words(name, right | {case.where: lying}, f"{number}/out") for name in case.commands]
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=run_and_measure, args=(right_words, lying_words, answer))
    child.start()
    statuses, more = answer.get(timeout=120)
    child.join()
    assert statuses == [0] * len(right_words) + [2] * len(lying_words)
    assert more < MOST_FOR_A_LIE
