"""The command line: what it writes, what it prints, and how it says no."""

import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import mirror as server
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from matplotlib import image as matplotlib_image
from mirror import Mirror
from sklearn.metrics import confusion_matrix, roc_auc_score

from ecgcourse import datasets, evaluation, practice, ptbxl, tiff, training
from ecgcourse.cli import main
from ecgcourse.cli_words import parse
from ecgcourse.errors import EcgCourseWarning
from ecgcourse.support.files import write_json

SIZE = 16
QUICK = (
    f"--model compact --filters 2 --size {SIZE} --epochs 2 --batch-size 16 --learning-rate 0.01 --device cpu".split()
)
RUN_FILES = [
    "best.pt",
    "config.json",
    "curves.png",
    "environment.json",
    "history.csv",
    "last.pt",
    "thresholds.json",
]
PROJECT = Path(__file__).parents[1]


def command(*words: object) -> int:
    return main([str(word) for word in words])


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must be refused; return the one line that says why."""
    capsys.readouterr()
    assert command(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and error.endswith("\n")
    return error.removeprefix("error: ").rstrip()


@pytest.fixture(scope="module")
def images(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("images") / "out"
    assert command("images", practice_root, out, "--partition", "all", "--size", SIZE) == 0
    return out


@pytest.fixture(scope="module")
def run(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert command("train", practice_root, *QUICK, "--out", out) == 0
    return out


@pytest.fixture
def copied_run(run: Path, tmp_path: Path) -> Path:
    """A run of which a test may change all but the weights."""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "best.pt").symlink_to(run / "best.pt")
    shutil.copy(run / "thresholds.json", folder)
    return folder


# --- practice


def test_practice_writes_the_set_and_prints_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command("practice", tmp_path / "a", "--records", 12, "--seed", 3) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'a'}\n", ""), "no progress where no terminal is"
    expected = practice.write(tmp_path / "b", n_records=12, seed=3)
    for path in expected.rglob("*"):
        if path.is_file():
            assert (tmp_path / "a" / path.relative_to(expected)).read_bytes() == path.read_bytes()


def test_practice_without_a_folder_makes_the_default_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path))
    monkeypatch.delenv("ECGCOURSE_DATA", raising=False)
    # Only what says which set it is: the records would take seconds.
    monkeypatch.setattr(practice, "_fill", lambda folder, mark, *_: write_json(folder / practice.MARK, mark))
    assert command("practice") == 0
    assert capsys.readouterr().out == f"{practice.data_root()}\n"


def test_practice_refuses_a_folder_with_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "letter.txt").touch()
    assert str(tmp_path) in refusal(capsys, "practice", tmp_path, "--records", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# --- download


def test_download_brings_the_records_and_prints_where(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("download", tmp_path / "out", "--base-url", mirror.url, "--connections", 2)
    assert command(*words, "--records", 3, "--quiet") == 0
    assert capsys.readouterr() == (f"{tmp_path / 'out'}\n", "")
    assert len(ptbxl.read_table(tmp_path / "out")) == 3
    assert command(*words, "--records", 4, "--sampling-rate", 500) == 0
    lists = "lists 4 records, but only the first 3 are there at 100 Hz"
    assert lists in capsys.readouterr().err
    assert ptbxl.read_signals(tmp_path / "out", ptbxl.read_table(tmp_path / "out"), 500).shape == (4, 12, 5000)


def test_download_brings_chosen_records(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("download", tmp_path / "out", "--base-url", mirror.url, "--ids")
    assert command(*words, "9,3", "--quiet") == 0
    assert ptbxl.read_table(tmp_path / "out").index.tolist() == [3, 9]
    for wrong, named in (("3,x", "x"), ("3,,9", "''"), ("0", "0")):
        assert named in refusal(capsys, *words, wrong)
    assert command("download", tmp_path / "out", "--ids", "3", "--verify-only") == 2


def test_download_verifies_without_fetching(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("download", tmp_path, "--base-url", mirror.url, "--records", 8)
    assert command(*words) == 0
    capsys.readouterr()
    mirror.requests.clear()
    assert command(*words, "--verify-only") == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}: PTB-XL 1.0.3, 8 records at 100 Hz\n20 files checked: 0 missing, 0 wrong\n"
    )
    (tmp_path / "records100" / "00000" / "00002_lr.dat").unlink()
    (tmp_path / "records100" / "00000" / "00003_lr.hea").write_text("wrong")
    assert command("download", tmp_path, "--verify-only") == 2
    out, error = capsys.readouterr()
    assert out.splitlines()[1:] == [
        "20 files checked: 1 missing, 1 wrong",
        "  records100/00000/00002_lr.dat: missing",
        "  records100/00000/00003_lr.hea: wrong content",
    ]
    assert error == f"error: {tmp_path} isn't complete: 1 missing, 1 wrong; download into it again to put that right\n"
    assert mirror.requests == []


def test_a_download_that_fails_is_one_line(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mirror.faults["scp_statements.csv"] = [server.status(404)]
    words = ("download", tmp_path / "out", "--base-url", mirror.url)
    assert "scp_statements.csv can't be fetched: the server answers 404" in refusal(capsys, *words)
    assert "aren't PTB-XL" in refusal(capsys, "download", Path(__file__).parent)
    assert "has no SHA256SUMS.txt" in refusal(capsys, "download", tmp_path, "--verify-only")


# --- import-original


def test_the_originals_arrays_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "X_dev_processed.pickle").write_bytes(pickle.dumps(list(np.ones((2, 5, 12))), protocol=3))
    (tmp_path / "y_dev_processed.pickle").write_bytes(pickle.dumps(list(np.eye(4)[:2]), protocol=3))
    out = tmp_path / "out"
    assert command("import-original", tmp_path, out) == 0
    lines = [f"{out}/X_dev_processed.npy  (2, 5, 12) float64", f"{out}/y_dev_processed.npy  (2, 4) float64"]
    assert capsys.readouterr() == ("\n".join(lines) + "\n", "")
    assert np.array_equal(np.load(out / "X_dev_processed.npy"), np.ones((2, 5, 12)))


def test_a_pickle_that_asks_for_more_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "X_dev_processed.pickle"
    path.write_bytes(pickle.dumps(print))
    assert refusal(capsys, "import-original", tmp_path, tmp_path / "out").startswith(
        f"{path} asks for 'builtins.print', which arrays of numbers don't need; nothing in the file was run; "
    )
    assert list(tmp_path.iterdir()) == [path]


# --- images


def test_images_are_written_for_every_record_of_a_partition(images: Path, practice_root: Path):
    for partition, table in ptbxl.split(ptbxl.read_table(practice_root)).items():
        numbers = [str(number) for number in range(len(table))]
        for kind, suffix in (("images", ".tif"), ("labels", ".npy")):
            names = sorted(path.name for path in (images / partition / kind).iterdir())
            assert names == sorted(number + suffix for number in numbers)
        labels = [np.load(images / partition / "labels" / f"{number}.npy") for number in numbers]
        assert np.array_equal(labels, table[list(ptbxl.CLASSES)])
    image = tifffile.imread(images / "train" / "images" / "0.tif")
    assert image.shape == (9, SIZE, SIZE) and image.dtype == np.uint8


def test_images_are_of_the_training_records_unless_asked(
    practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    assert command("images", tmp_path / "out", "--size", 4) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'train'}\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train"]


# --- train


def test_a_run_holds_all_its_results(run: Path):
    assert sorted(path.name for path in run.iterdir()) == RUN_FILES
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history.to_numpy()).all()
    assert {"train_loss", "val_loss", "sensitivity", "specificity", "auroc"} <= set(history)
    assert matplotlib_image.imread(run / "curves.png").ndim == 3
    assert json.loads((run / "config.json").read_text())["training"]["learning_rate"] == 0.01


def test_the_thresholds_are_fitted_on_the_whole_validation_set(run: Path, practice_root: Path):
    model = training.load_checkpoint(run / "best.pt")
    val = datasets.from_data(practice_root, "val", SIZE)
    expected = evaluation.fit_thresholds(*training.predict(model, val, device="cpu"))
    content = json.loads((run / "thresholds.json").read_text())
    assert list(content["thresholds"]) == list(ptbxl.CLASSES)
    np.testing.assert_allclose(list(content["thresholds"].values()), expected, rtol=1e-6)
    assert content["n_records"] == len(val)


def test_training_prints_each_epoch_the_data_and_the_place(
    practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    assert command("train", *QUICK, "--out", tmp_path / "run") == 0
    lines = capsys.readouterr().out.splitlines()
    n_train, n_val = (len(ptbxl.split(ptbxl.read_table(practice_root))[name]) for name in ("train", "val"))
    assert lines[0] == (
        f"data: {practice_root} (synthetic practice set), {n_train} training and {n_val} validation records"
    )
    assert [line.split()[:2] for line in lines[2:4]] == [["epoch", "1"], ["epoch", "2"]]
    assert lines[-1] == f"results: {tmp_path / 'run'} ({', '.join(RUN_FILES)})"


def test_written_images_train_as_rendered_ones_do(images: Path, run: Path, tmp_path: Path):
    assert command("train", images, *QUICK, "--workers", 1, "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "history.csv").read_bytes() == (run / "history.csv").read_bytes()


def test_a_run_without_a_name_gets_one_of_its_own(practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "fit", lambda model, train, val, config, *_: pytest.fail(str(config.out)))
    with pytest.raises(pytest.fail.Exception, match=r"runs/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"):
        command("train", practice_root, *QUICK)


def test_another_run_is_not_overwritten(copied_run: Path, practice_root: Path, capsys: pytest.CaptureFixture[str]):
    before = sorted(copied_run.iterdir())
    message = refusal(capsys, "train", practice_root, *QUICK, "--out", copied_run)
    assert "holds another run" in message and "--out" in message
    assert sorted(copied_run.iterdir()) == before


# --- evaluate


def test_a_report_is_scikit_learns_arithmetic_on_the_predictions(
    run: Path, practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "deep" / "metrics.json"
    assert command("evaluate", run, "--data", practice_root, "--json", path) == 0
    printed = capsys.readouterr().out
    content = json.loads(path.read_text())
    test = datasets.from_data(practice_root, "test", SIZE)
    y_true, y_prob = training.predict(training.load_checkpoint(run / "best.pt"), test, device="cpu")
    thresholds = json.loads((run / "thresholds.json").read_text())["thresholds"]
    for k, name in enumerate(ptbxl.CLASSES):
        tn, fp, fn, tp = confusion_matrix(y_true[:, k], y_prob[:, k] >= thresholds[name]).ravel().tolist()
        assert content["confusion"][name] == {"TP": tp, "FN": fn, "FP": fp, "TN": tn}
        expected = roc_auc_score(y_true[:, k], y_prob[:, k])
        assert content["per_class"][name]["auroc"]["value"] == pytest.approx(expected)
    assert content["thresholds"] == thresholds and content["partition"] == "test"
    assert content["n_records"] == len(test) and content["synthetic"] is True
    assert content["data"] == str(practice_root) and str(run / "best.pt") in content["thresholds_from"]
    assert "synthetic practice set" in printed and f"{content['macro']['auroc']['value']:.3f}" in printed
    for name in ("roc_test.png", "confusion_test.png"):
        assert matplotlib_image.imread(run / name).ndim == 3
        (run / name).unlink()


def test_written_images_are_judged_like_rendered_ones(
    copied_run: Path, practice_root: Path, images: Path, tmp_path: Path
):
    reports = []
    for number, data in enumerate((practice_root, images)):
        path = tmp_path / f"{number}.json"
        assert command("evaluate", copied_run, "--data", data, "--partition", "val", "--json", path) == 0
        reports.append(json.loads(path.read_text()) | {"data": None})
    assert reports[0] == reports[1]


def test_without_thresholds_one_half_is_used_and_said(
    copied_run: Path, practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    content = torch.load(copied_run / "best.pt", weights_only=True)
    torch.save(content | {"thresholds": None}, copied_run / "best.pt")
    (copied_run / "thresholds.json").unlink()
    assert command("evaluate", copied_run, "--data", practice_root, "--json", tmp_path / "m.json") == 0
    assert "thresholds: 0.5 for every class" in capsys.readouterr().out
    content = json.loads((tmp_path / "m.json").read_text())
    assert set(content["thresholds"].values()) == {0.5} and "0.5" in content["thresholds_from"]


def test_a_run_is_judged_in_the_precision_that_it_was_trained_in(
    practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Or in float32, where the other one is only emulated, as by a processor without AVX-512."""
    run = tmp_path / "run"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert command("train", practice_root, *QUICK, "--precision", "bfloat16", "--out", run) == 0
    model, val = training.load_checkpoint(run / "best.pt"), datasets.from_data(practice_root, "val", SIZE)
    in_half, in_full = (
        evaluation.fit_thresholds(*training.predict(model, val, device="cpu", precision=name))
        for name in ("bfloat16", "float32")
    )
    found = list(json.loads((run / "thresholds.json").read_text())["thresholds"].values())
    np.testing.assert_allclose(found, in_half, rtol=1e-9)
    assert not np.allclose(in_half, in_full, rtol=1e-9)

    precisions, predict = [], training.predict_logits
    monkeypatch.setattr(training, "predict_logits", lambda *given: precisions.append(given[4]) or predict(*given))
    assert command("evaluate", run, "--data", practice_root, "--device", "cpu") == 0
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert command("evaluate", run, "--data", practice_root, "--device", "cpu") == 0
    assert precisions == ["bfloat16", "float32"]


# --- bad data


def record(root: Path, suffix: str) -> Path:
    """A file of the first training record."""
    name = ptbxl.split(ptbxl.read_table(root))["train"]["filename_lr"].iloc[0]
    return root / f"{name}{suffix}"


def edit_table(root: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = root / "ptbxl_database.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def remove_dat(root: Path) -> str:
    record(root, ".dat").unlink()
    return "_lr.dat"


def truncate_dat(root: Path) -> str:
    path = record(root, ".dat")
    path.write_bytes(path.read_bytes()[:-100])
    return path.stem


def lose_a_sample(root: Path) -> str:
    path = record(root, ".dat")
    samples = np.fromfile(path, "<i2")
    samples[500] = -32768  # what format 16 writes for NaN
    samples.tofile(path)
    return path.stem


def edit_header(old: str, new: str) -> Callable[[Path], str]:
    def edit(root: Path) -> str:
        path = record(root, ".hea")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path.stem

    return edit


def drop_a_column(root: Path) -> str:
    edit_table(root, lambda table: table.drop(columns="strat_fold"))
    return "strat_fold"


def garble_codes(root: Path) -> str:
    edit_table(root, lambda table: table.assign(scp_codes="{'NORM': "))
    return "scp_codes"


def empty_a_fold(root: Path) -> str:
    edit_table(root, lambda table: table[table["strat_fold"] != 9])
    return "'val' is empty"


def lose_a_class(root: Path) -> str:
    edit_table(
        root,
        lambda table: table.assign(scp_codes=table["scp_codes"].str.replace("LVH|RVH", "NORM", regex=True)),
    )
    return "positive for HYP"


def lose_the_tables(root: Path) -> str:
    (root / "scp_statements.csv").unlink()
    return "scp_statements.csv"


@pytest.mark.parametrize(
    "damage",
    [
        remove_dat,
        truncate_dat,
        lose_a_sample,
        edit_header(" 12 100 ", " 12 250 "),
        edit_header(" 12 100 1000", " 12 100 900"),
        edit_header(" V2", " V7"),
        drop_a_column,
        garble_codes,
        empty_a_fold,
        lose_a_class,
        lose_the_tables,
    ],
)
def test_damaged_data_are_named_and_leave_nothing(
    damage: Callable[[Path], str], practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = Path(shutil.copytree(practice_root, tmp_path / "data"))
    named = damage(data)
    assert named in refusal(capsys, "train", data, *QUICK, "--out", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    if damage is not lose_a_class:
        assert named in refusal(capsys, "images", data, tmp_path / "out", "--partition", "all", "--size", 4)
        assert not any((tmp_path / "out").glob("*"))


def test_a_flat_lead_is_a_warning(practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = Path(shutil.copytree(practice_root, tmp_path / "data"))
    path = record(data, ".dat")
    samples = np.fromfile(path, "<i2").reshape(-1, 12)
    samples[:, 1] = 7
    samples.tofile(path)
    header = path.with_suffix(".hea")
    lines = header.read_text().splitlines()
    # File, format, gain, resolution, zero, first sample, checksum, block size, name.
    fields = lines[2].split()
    fields[5:7] = ["7", str(np.int16(7 * len(samples)))]
    header.write_text("\n".join([*lines[:2], " ".join(fields), *lines[3:]]) + "\n")
    assert command("images", data, tmp_path / "out", "--size", 8) == 0
    assert capsys.readouterr().err.startswith("warning: 1 flat lead set to zeros")
    assert len(list((tmp_path / "out" / "train" / "images").iterdir())) > 1


def test_a_damaged_image_is_named_even_from_another_process(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = Path(shutil.copytree(images, tmp_path / "data"))
    path = data / "train" / "images" / "3.tif"
    path.write_bytes(path.read_bytes()[:1000])
    for workers in (0, 1):
        words = ("train", data, *QUICK, "--workers", workers, "--out", tmp_path / "run")
        assert refusal(capsys, *words).startswith(str(path))


def test_a_folder_that_can_not_be_written_is_named(
    practice_root: Path, copied_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    for words in (
        ("practice", tmp_path / "file" / "p", "--records", 2),
        ("images", practice_root, tmp_path / "file" / "out", "--size", 4),
        ("train", practice_root, *QUICK, "--out", tmp_path / "file" / "run"),
        ("evaluate", copied_run, "--data", practice_root, "--json", tmp_path / "file" / "metrics.json"),
    ):
        assert str(tmp_path / "file") in refusal(capsys, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "file"]


# --- bad usage


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["images"], "OUT"),
        (["download"], "OUT"),
        (["download", "OUT", "--records", "0"], "--records: '0' isn't allowed"),
        (["download", "OUT", "--sampling-rate", "250"], "250"),
        (["download", "OUT", "--connections", "0"], "--connections: '0' isn't allowed"),
        (["download", "OUT", "--version", "new"], "version='new'"),
        (["download", "OUT", "--base-url", "ftp://host/"], "ftp://host/"),
        (["evaluate"], "RUN"),
        (["train", "--epoch-count", "3"], "--epoch-count"),
        (["train", "--epochs", "many"], "many"),
        (["train", "--epochs", "0"], "epochs=0 isn't allowed"),
        (["train", "--learning-rate", "nan"], "learning_rate=nan isn't allowed"),
        (["train", "--optimizer", "lbfgs"], "lbfgs"),
        (["train", "--device", "gpu"], "device='gpu'"),
        (["train", "--device", "cuda:99"], "device='cuda:99' isn't there"),
        (["train", "--patience", "-1"], "patience=-1 isn't allowed"),
        (["train", "--size", "0"], "size=0"),
        (["train", "--model", "resnets"], "no model is called 'resnets'"),
        (["train", "--model", "gru", "--size", "64"], "model 'gru' takes no images; leave --images.size out"),
        (["train", "--set", "hidden"], "'hidden' isn't NAME=VALUE"),
        (["train", "--model", "gru", "--set", "hidden=NaN"], "hidden=nan"),
        (["train", "--model", "gated_fusion", "--set", "signal=vgg"], "a model that takes signals alone is needed"),
        (["train", "--filters", "0"], "--filters: '0' isn't allowed"),
        (["train", "--size", "66"], "size=66"),
        (["images", "out", "--partition", "9"], "'9'"),
        (["images", "out", "--size", "0"], "size=0 isn't allowed; it must be a whole number of pixels from 1 to 4096"),
        (["practice", "out", "--records", "0"], "--records: '0' isn't allowed"),
        (["practice", "out", "--seed", "-1"], "--seed: '-1' isn't allowed"),
        (["images", "out", "--size", "-1"], "size=-1"),
        (["train", "--signals.crop", "9"], "model 'alexnet' takes no signals; leave --signals.crop out"),
        (["train", "--images.leads", "I,X"], "leads=('I', 'X')"),
        (["train", "--task", "fun"], "fun"),
        (["train", "--config", "nowhere.toml"], "nowhere.toml"),
        (["train", "--weight-decay", "inf"], "weight_decay=inf"),
        (["train", "--dropout", "1"], "dropout=1.0 isn't allowed; it must be a probability in [0, 1)"),
        (["train", "--learning-rate", "0"], "a number above 0"),
        (["train", "--workers", "9999"], "workers=9999"),
        (["train", "--size", "4096", "--filters", "4096"], "choose a smaller --size or --filters"),
        (["evaluate", "run", "--batch-size", "1e3"], "--batch-size"),
    ],
)
def test_impossible_words_are_named_in_one_line(
    words: list[str],
    named: str,
    practice_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    monkeypatch.chdir(tmp_path)
    assert named in refusal(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("practice", "out"), "nothing was written"),
        (("images", "out", "--size", "4"), "the same command goes on"),
        (("train", *QUICK, "--out", "run"), "--resume --out run goes on"),
    ],
)
def test_ctrl_c_ends_with_130_and_a_line_of_advice(
    words: tuple[str, ...],
    advice: str,
    practice_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    monkeypatch.chdir(tmp_path)
    for module, name in ((practice, "_write_chunk"), (tiff, "_write_tiff"), (training, "train_one_epoch")):
        monkeypatch.setattr(module, name, interrupted)
    assert command(*words) == 130
    error = capsys.readouterr().err
    assert error.startswith("stopped; ") and error.count("\n") == 1 and advice in error
    monkeypatch.undo()
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    monkeypatch.chdir(tmp_path)
    assert command(*words[:2], *(("--records", "3") if words[0] == "practice" else words[2:])) == 0


def raising(error: Exception) -> Callable[..., None]:
    def work(*_: object, **__: object) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1000 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_no_memory_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(practice, "write", raising(error))
    assert "isn't enough memory" in refusal(capsys, "practice", "out")


def test_a_mistake_in_the_package_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(practice, "write", raising(RuntimeError("a mistake")))
    assert command("practice", "out") == 1
    with pytest.raises(RuntimeError, match="a mistake"):
        command("practice", "out", "--debug")


def on_a_terminal(words: list[str], cwd: Path) -> tuple[int, str, str]:
    """Run a command whose stderr is a terminal; return its status, its output and what the terminal got."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-m", "ecgcourse", *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=False,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    return ended.returncode, ended.stdout, seen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_progress_has_a_rate_on_a_terminal(tmp_path: Path):
    words = ["practice", "out", "--records", "5"]
    status, out, seen = on_a_terminal(words, tmp_path)
    assert (status, out) == (0, "out\n") and "5/5" in seen and "record/s" in seen and "<" in seen
    shutil.rmtree(tmp_path / "out")
    assert on_a_terminal([*words, "--quiet"], tmp_path) == (0, "out\n", "")


def test_quiet_prints_results_only(practice_root: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command("train", practice_root, *QUICK, "--out", tmp_path / "run", "--quiet") == 0
    out, err = capsys.readouterr()
    assert out.startswith("results: ") and out.count("\n") == 1 and err == ""
    assert (tmp_path / "run" / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
    assert command("evaluate", tmp_path / "run", "--data", practice_root, "--quiet") == 0
    out, err = capsys.readouterr()
    assert "AUROC" in out and err == ""


@pytest.mark.parametrize("words", [[], ["practice"], ["images"], ["train"], ["evaluate"]])
def test_help_tells_the_exit_statuses(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command(*words, "--help")
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {status} +\w", text, re.M) for status in (0, 2, 130))
    assert not words or "--quiet" in text


# --- skipping bad records


def damaged_copy(practice_root: Path, folder: Path) -> tuple[Path, dict[str, list[int]]]:
    """A copy of the set in which the second and the last record of each partition are damaged."""
    data = Path(shutil.copytree(practice_root, folder))
    bad = {}
    for part, table in ptbxl.split(ptbxl.read_table(data)).items():
        bad[part] = [int(table.index[1]), int(table.index[-1])]
        first, second = (data / table.loc[ecg_id, "filename_lr"] for ecg_id in bad[part])
        first.with_name(f"{first.name}.dat").unlink()
        header = second.with_name(f"{second.name}.hea")
        header.write_text(header.read_text().replace(" 12 100 1000", " 12 100 900"))
    return data, bad


def test_skipping_trains_and_judges_without_the_damaged(
    practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, bad = damaged_copy(practice_root, tmp_path / "data")
    out = tmp_path / "run"
    assert command("train", data, *QUICK, "--out", out, "--skip-bad") == 0
    assert f"left out 4 damaged records: see {out / 'bad_records.csv'}\n" in capsys.readouterr().err
    listed = pd.read_csv(out / "bad_records.csv")
    assert list(listed.columns) == ["ecg_id", "file", "reason"]
    assert sorted(listed["ecg_id"]) == sorted(bad["train"] + bad["val"])
    assert all(name in reason for name, reason in zip(listed["file"], listed["reason"], strict=True))
    # The same as if they had never been in the table.
    edit_table(data, lambda table: table[~table["ecg_id"].isin(sum(bad.values(), []))])
    assert command("train", data, *QUICK, "--out", tmp_path / "without") == 0
    assert (tmp_path / "without" / "history.csv").read_bytes() == (out / "history.csv").read_bytes()


def test_skipping_judges_without_the_damaged(
    practice_root: Path, copied_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, bad = damaged_copy(practice_root, tmp_path / "data")
    assert "_lr" in refusal(capsys, "evaluate", copied_run, "--data", data)
    words = ("evaluate", copied_run, "--data", data, "--partition", "val", "--skip-bad", "--json")
    assert command(*words, tmp_path / "m.json") == 0
    n_val = len(ptbxl.split(ptbxl.read_table(data))["val"])
    assert json.loads((tmp_path / "m.json").read_text())["n_records"] == n_val - 2
    assert pd.read_csv(copied_run / "bad_records_val.csv")["ecg_id"].tolist() == bad["val"]


def test_skipping_keeps_images_labels_and_numbers_together(
    practice_root: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, bad = damaged_copy(practice_root, tmp_path / "data")
    out = tmp_path / "out"
    assert command("images", data, out, "--partition", "all", "--size", SIZE, "--skip-bad") == 0
    for part, table in ptbxl.split(ptbxl.read_table(data)).items():
        numbers = pd.read_csv(out / part / "records.csv", index_col="number")["ecg_id"]
        whole = pd.read_csv(images / part / "records.csv", index_col="ecg_id")["number"]
        assert numbers.tolist() == [ecg_id for ecg_id in table.index if ecg_id not in bad[part]]
        assert pd.read_csv(out / part / "bad_records.csv")["ecg_id"].tolist() == bad[part]
        for number, ecg_id in numbers.items():
            for name in ("images/{}.tif", "labels/{}.npy"):
                expected = images / part / name.format(whole[ecg_id])
                assert (out / part / name.format(number)).read_bytes() == expected.read_bytes()
        assert len(list((out / part / "images").iterdir())) == len(numbers)


def test_skipping_leaves_out_damaged_images(
    images: Path, copied_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = Path(shutil.copytree(images, tmp_path / "data"))
    (data / "val" / "images" / "2.tif").write_bytes(b"II*")
    (data / "val" / "labels" / "0.npy").unlink()
    assert "0.npy is missing" in refusal(capsys, "evaluate", copied_run, "--data", data, "--partition", "val")
    words = ("evaluate", copied_run, "--data", data, "--partition", "val", "--skip-bad")
    assert command(*words) == 0
    ecg_ids = pd.read_csv(data / "val" / "records.csv")["ecg_id"]
    assert pd.read_csv(copied_run / "bad_records_val.csv")["ecg_id"].tolist() == [ecg_ids[0], ecg_ids[2]]
    dataset = datasets.from_data(data, "val", SIZE, skip_bad=True)
    whole = datasets.from_data(images, "val", SIZE)
    kept = [number for number in range(len(whole)) if number not in (0, 2)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(dataset[:], whole[kept], strict=True))


def test_skipping_may_not_lose_everything_or_a_class(
    practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = Path(shutil.copytree(practice_root, tmp_path / "data"))
    table = ptbxl.split(ptbxl.read_table(data))["val"]
    for name in table[table["HYP"]]["filename_lr"]:
        (data / f"{name}.hea").unlink()
    words = ("train", data, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    assert "none is left that is HYP" in refusal(capsys, *words)
    for folder in ("records100", "records500"):
        shutil.rmtree(data / folder)
    assert "none of the" in refusal(capsys, *words)
    assert "none of the" in refusal(capsys, "images", data, tmp_path / "out", "--skip-bad")
    assert [path.name for path in tmp_path.iterdir() if path.name != "out"] == ["data"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("practice", ["OUT", f"(default: {practice.DEFAULT_RECORDS})", "(default: 0)"]),
        ("download", ["OUT", "--records N", "(default: 1.0.3)", "(default: https://physionet.org/files/ptb-xl/)"]),
        ("import-original", ["FOLDER", "OUT", "X_train_processed.pickle"]),
        ("images", ["DATA", "OUT", "{train,val,test,all}", "(default: train)", "(default: 256)"]),
        (
            "train",
            ["DATA", "(default: 100)", "(default: 64)", "(default: 0.1)", "(default: sgd)", "runs/DATE_TIME"],
        ),
        ("evaluate", ["RUN", "--json FILE", "(default: test)"]),
    ],
)
def test_help_tells_the_defaults_and_an_example(name: str, words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command(name, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  python -m ecgcourse {name} " in text
    for word in words:
        assert word in " ".join(text.split())


@pytest.mark.parametrize(
    ("former", "now", "value"), [("--initialisation", "init", "he"), ("--l2-decay", "weight_decay", 2)]
)
def test_former_options_warn(former: str, now: str, value: object):
    with pytest.warns(EcgCourseWarning, match=f"{former} is called --{now.replace('_', '-')} now"):
        assert vars(parse(["train", former, str(value)]))[now] == value


def test_warnings_are_shown_as_before_afterwards(tmp_path: Path):
    show = warnings.showwarning
    command("practice", tmp_path / "out", "--records", 0)
    assert warnings.showwarning is show
    with pytest.warns(EcgCourseWarning):
        warnings.warn("still a warning", EcgCourseWarning, stacklevel=1)


# --- as a process


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, check=False)


def test_the_package_runs_as_a_module(tmp_path: Path):
    missing = str(tmp_path / "run")
    ended = process("-m", "ecgcourse", "evaluate", missing, "--data", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"error: {missing}/best.pt isn't there; train first, or name the folder of a finished run\n"


def test_nobody_waits_for_pytorch_to_read_the_help(tmp_path: Path):
    code = "import sys; from ecgcourse.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    ended = process("-c", code, "practice", str(tmp_path / "out"), "--records", "1")
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path / 'out'}\n")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet1d", ("--leads", "12", "--filters", "4")),
        ("compact", ("--size", "16", "--filters", "2")),
        ("compact_differences", ("--leads", "12", "--size", "16", "--filters", "2")),
        ("gated_fusion", ("--size", "16", "--set", "width=8")),
    ],
)
def test_any_model_is_trained_and_judged(name: str, settings: tuple[str, ...], practice_root: Path, tmp_path: Path):
    words = ("--model", name, *settings, "--epochs", "1", "--optimizer", "adamw", "--schedule", "one_cycle")
    assert command("train", practice_root, "--out", tmp_path, "--device", "cpu", "--quiet", *words) == 0
    assert (
        command("evaluate", tmp_path, "--data", practice_root, "--partition", "val", "--json", tmp_path / "m.json") == 0
    )
    model = training.load_checkpoint(tmp_path / "best.pt")
    dataset = datasets.from_data(practice_root, "val", recipe=model.recipe)
    y_true, y_prob = training.predict(model, dataset, device="cpu")
    report = json.loads((tmp_path / "m.json").read_text())
    found = [report["per_class"][name]["auroc"]["value"] for name in ptbxl.CLASSES]
    np.testing.assert_allclose(found, [roc_auc_score(y_true[:, k], y_prob[:, k]) for k in range(4)])
