"""A run that is killed, stopped or moved goes on to what it would have come to, to the last bit."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from torch import nn

from ecgcourse import datasets, models, optimization, runs, training
from ecgcourse.cli import main
from ecgcourse.errors import CheckpointError, DataError, SettingError
from ecgcourse.learning.training import TrainConfig

SIZE = 8
STEPS = 4
"""Per epoch: 19 records in batches of 5."""

TESTS = Path(__file__).parent


class Drawing(nn.Module):
    """Draws from both generators that a network may draw from, and keeps running means."""

    def __init__(self):
        super().__init__()
        self.settings = {"name": "drawing"}
        self.layers = nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        noise = random.gauss(0, 0.01) if self.training else 0
        return self.layers(images.mean(dim=(2, 3)) + noise)


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.REGISTRY, "drawing", Drawing)


def a_dataset(n_records: int = 19, seed: int = 0) -> datasets.RenderedImages:
    rng = np.random.default_rng(seed)
    labels = np.vstack([np.zeros(4), np.ones(4), rng.integers(0, 2, (n_records - 2, 4))])
    return datasets.RenderedImages(rng.random((n_records, 3, 50)), labels, SIZE)


TRAIN, VAL = a_dataset(), a_dataset(11, seed=1)


def fit(
    out: Path | None,
    resume: bool = False,
    model: nn.Module | None = None,
    train: datasets.RenderedImages = TRAIN,
    report: Callable | None = None,
    val: datasets.RenderedImages | None = VAL,
    **settings,
) -> tuple[training.History, nn.Module]:
    training.seed_everything(3)
    model = model or models.create("drawing")
    usual = {"epochs": 3, "batch_size": 5, "optimizer": "adam", "learning_rate": 0.03, "seed": 3, "device": "cpu"}
    config = TrainConfig(**usual | {"out": out} | settings)
    return training.fit(model, train, val, config, report, resume=resume), model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.REGISTRY, "drawing", Drawing)
        out = tmp_path_factory.mktemp("whole") / "run"
        fit(out)
        return out


def assert_same(one: object, other: object) -> None:
    """All tensors and values of two checkpoints are equal to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    else:
        assert one == other


def assert_same_run(one: Path, other: Path) -> None:
    for name in (runs.BEST, runs.LAST):
        contents = [torch.load(run / name, weights_only=True) for run in (one, other)]
        for content in contents:
            content.pop("training", None)
        assert_same(*contents)
    assert (one / runs.HISTORY).read_bytes() == (other / runs.HISTORY).read_bytes()


def interrupt(monkeypatch: pytest.MonkeyPatch, name: str, call: int, action: Callable[[], None]) -> None:
    """Let something happen just before the `call`-th call of a function of `training` or `runs`."""
    module = training if hasattr(training, name) and name != "save_checkpoint" else runs
    function, calls = getattr(module, name), iter(range(1, 1000))

    def watched(*args, **kwargs) -> object:
        if next(calls) == call:
            action()
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, watched)


def die() -> None:
    raise Killed


# --- killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_any_moment_a_run_comes_to_the_same_bits(practice_root: Path, tmp_path: Path):
    """Real processes and kills, some of which hit a file that is being written."""
    assert main(["images", str(practice_root), str(tmp_path / "data"), "--partition", "all", "--size", str(SIZE)]) == 0
    # After so many steps each writes a checkpoint; 0 is after each epoch.
    plans = {"undisturbed": "0:0", "epochs": "0:10", "steps": "1:10", "some steps": "3:10"}
    script = [sys.executable, str(TESTS / "killed_training.py"), str(tmp_path), "5"]
    surroundings = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    words = [f"{name}:{plan}" for name, plan in plans.items()]
    ended = subprocess.run(
        [*script, *words], env=surroundings, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    counts = np.array([[int(word) for word in line.split()] for line in ended.stdout.splitlines()])
    assert counts[:, 0].sum() == 30 and counts[:, 1].sum() >= 1
    expected = tmp_path / "undisturbed" / "0"
    for name in ("epochs", "steps", "some steps"):
        for run in (tmp_path / name).iterdir():
            assert_same_run(run, expected)
            assert (run / "thresholds.json").read_bytes() == (expected / "thresholds.json").read_bytes()
            assert {path.name for path in run.iterdir() if "lock" not in path.name} >= set(runs.FILES)


@pytest.mark.parametrize("step", range(1, 3 * STEPS + 1))
def test_killed_before_any_step_a_run_comes_to_the_same_bits(
    step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        # One call for each batch that is trained on, and three for those that validate.
        validated = 3 * ((step - 1) // STEPS)
        interrupt(patch, "_logits", step + validated, die)
        fit(tmp_path, checkpoint_every=1)
    # Once also with other processes, which take time to start.
    fit(tmp_path, resume=True, workers=int(step == 2))
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("name", ["validate", "save_checkpoint", "save_tensors", "_show"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_after_the_steps_of_an_epoch_a_run_comes_to_the_same_bits(
    name: str, epoch: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, name, epoch, die)
        try:
            fit(tmp_path, checkpoint_every=2)
        except Killed:
            pass
        else:
            assert name == "save_checkpoint"  # which not every epoch calls
    history, model = fit(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)
    best = torch.load(whole / runs.BEST, weights_only=True)["state_dict"]
    assert_same(dict(model.state_dict()), dict(best))
    assert history == training.History.from_csv(whole / runs.HISTORY)


def test_a_run_that_has_ended_can_go_on_for_more_epochs(whole: Path, tmp_path: Path):
    fit(tmp_path, epochs=1)
    fit(tmp_path, resume=True, epochs=2)
    fit(tmp_path, resume=True, epochs=3)
    assert_same_run(tmp_path, whole)
    assert [start["epochs_done"] for start in runs.process_starts(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("more", [{}, {"precision": "float16", "accumulate": 3, "clip_norm": 0.1}], ids=["", "float16"])
def test_crops_and_a_cycle_of_rates_without_validation_come_to_the_same_bits(
    more: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In float16 with a first scale so large that some steps are skipped; each epoch has a group of one batch, too."""
    monkeypatch.setattr(optimization, "FIRST_SCALE", 2.0**22)
    crops = datasets.RenderedImages(TRAIN.signals, TRAIN.labels, SIZE, recipe=datasets.ImageRecipe(crop=20))
    settings = {"train": crops, "val": None, "schedule": "one_cycle", "ema_decay": 0.9, "checkpoint_every": 1}
    settings |= {"roll": True} | more
    history, _ = fit(tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        interrupt(patch, "_logits", STEPS + 4, die)
        with pytest.raises(Killed):
            fit(tmp_path / "cut", **settings)
    saved = runs.read_progress(tmp_path / "cut" / runs.LAST)
    assert len(saved["losses"]) == 3
    if more:
        assert saved["skipped"] and sum(row["skipped_steps"] for row in history.rows) > saved["skipped"]
    fit(tmp_path / "cut", resume=True, **settings)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
    with pytest.raises(SettingError, match="epochs"):
        fit(tmp_path / "cut", resume=True, **settings | {"epochs": 9})


def test_patience_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    validate = training.validate
    monkeypatch.setattr(training, "validate", lambda *args: (next(losses), *validate(*args)[1:]))
    fit(tmp_path, epochs=3, patience=3)
    history, _ = fit(tmp_path, resume=True, epochs=10, patience=3)
    assert len(history.rows) == 5 and history.best_epoch == 2


def test_what_a_killed_process_left_is_swept_away(whole: Path, tmp_path: Path):
    fit(tmp_path, epochs=1)
    for name in (".last.partial.pt", ".best.partial.pt"):
        (tmp_path / name).write_bytes(b"half")
    fit(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in whole.iterdir())


# --- stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("call", "steps"), [(2, 2), (STEPS, STEPS), (STEPS + 2, STEPS), (STEPS + 3 + 1, 1)])
def test_stopped_it_keeps_the_step_that_it_was_in(
    number: signal.Signals, call: int, steps: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, "_logits", call, lambda: signal.raise_signal(number))
        fit(tmp_path)
    assert signal.getsignal(number) is before
    assert len(runs.read_progress(tmp_path / runs.LAST)["losses"]) == steps
    fit(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_stopped_after_the_last_step_it_says_so(whole: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, report=lambda row: row["epoch"] == 3 and signal.raise_signal(signal.SIGINT))
    assert_same_run(tmp_path, whole)


def test_asked_twice_it_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def ask_twice() -> Iterator[None]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupt(monkeypatch, "_logits", 2, ask_twice)
        fit(tmp_path)
    assert not (tmp_path / runs.LAST).exists()


# --- refused


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 4), ("learning_rate", 0.02), ("optimizer", "sgd"), ("seed", 4), ("weight_decay", 0.1)],
)
def test_other_settings_are_refused(name: str, value: object, whole: Path):
    with pytest.raises(SettingError, match=f"trained with {name}=.*, but {name}={value!r} is asked for now"):
        fit(whole, resume=True, **{name: value})


def test_another_model_is_refused(whole: Path):
    model = models.create("drawing")
    model.settings["filters"] = 9
    with pytest.raises(SettingError, match="trains a model with filters=None, but filters=9"):
        fit(whole, resume=True, model=model)


def other_signals() -> tuple[np.ndarray, np.ndarray]:
    signals = TRAIN.signals.clone()
    signals[3, 1, 7] += 2**-20
    return signals, TRAIN.labels


def other_labels() -> tuple[np.ndarray, np.ndarray]:
    labels = TRAIN.labels.clone()
    labels[5, 2] = 1 - labels[5, 2]
    return TRAIN.signals, labels


def fewer_records() -> tuple[np.ndarray, np.ndarray]:
    return TRAIN.signals[:-1], TRAIN.labels[:-1]


@pytest.mark.parametrize("change", [other_signals, other_labels, fewer_records])
def test_other_data_are_refused(change: Callable, whole: Path):
    before = (whole / runs.LAST).read_bytes()
    with pytest.raises(DataError, match="the train records are not those .*resume with the same data"):
        fit(whole, resume=True, train=datasets.RenderedImages(*change(), SIZE))
    assert (whole / runs.LAST).read_bytes() == before


def test_a_run_that_has_begun_is_not_begun_again(whole: Path):
    with pytest.raises(SettingError, match="holds a run that has begun.*resume it"):
        fit(whole)


def test_without_a_checkpoint_it_begins(whole: Path, tmp_path: Path):
    fit(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_results_without_a_checkpoint_are_not_overwritten(whole: Path, tmp_path: Path):
    (tmp_path / runs.BEST).write_bytes((whole / runs.BEST).read_bytes())
    with pytest.raises(CheckpointError, match="holds best.pt but no last.pt"):
        fit(tmp_path, resume=True)


def test_resuming_needs_a_folder():
    with pytest.raises(SettingError, match="name the folder"):
        fit(None, resume=True)


@pytest.mark.parametrize("name", ["state_dict", "optimizer", "order", "random", "rows"])
def test_a_checkpoint_with_a_damaged_part_is_refused(name: str, whole: Path, tmp_path: Path):
    content = torch.load(whole / runs.LAST, weights_only=True) | {name: 5}
    torch.save(content, tmp_path / runs.LAST)
    with pytest.raises(CheckpointError, match="last.pt.* fit "):
        fit(tmp_path, resume=True)


def test_a_checkpoint_of_something_else_is_refused(whole: Path, tmp_path: Path):
    (tmp_path / runs.LAST).write_bytes((whole / runs.BEST).read_bytes())
    with pytest.raises(CheckpointError, match="isn't a checkpoint to go on from"):
        fit(tmp_path, resume=True)


def test_two_processes_do_not_train_in_one_folder(whole: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "LOCK_WAIT", 0.1)
    with filelock.FileLock(whole / runs.LOCK), pytest.raises(DataError, match="another process trains in"):
        fit(whole, resume=True)


# --- on the command line

COMMAND = "--model drawing --size 8 --epochs 3 --batch-size 10 --learning-rate 0.01 --device cpu --checkpoint-every 1"


@pytest.fixture
def command(practice_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def drawing_of_size(image_size: int) -> Drawing:
        model = Drawing()
        model.settings |= {"image_size": image_size}
        return model

    monkeypatch.setitem(models.REGISTRY, "drawing", drawing_of_size)
    return lambda *words: main(["train", str(practice_root), *COMMAND.split(), *map(str, words)])


def test_ctrl_c_ends_with_130_and_tells_how_to_go_on(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert command("--out", tmp_path / "whole") == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        interrupt(patch, "_logits", 3, lambda: signal.raise_signal(signal.SIGINT))
        assert command("--out", tmp_path / "run") == 130
    error = capsys.readouterr().err
    assert (
        error == f"stopped; the same command with --resume --out {tmp_path / 'run'} goes on from the last checkpoint\n"
    )
    assert command("--out", tmp_path / "run", "--resume") == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    names = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("run", "whole")]
    assert names[0] == names[1] == sorted(runs.FILES)
    assert (tmp_path / "run" / "curves.png").read_bytes() == (tmp_path / "whole" / "curves.png").read_bytes()


def test_a_finished_run_says_so_and_stays(command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command("--out", tmp_path) == 0
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    del before["history.csv"], before["best.pt"]  # made sure of, with the same content
    capsys.readouterr()
    assert command("--out", tmp_path, "--resume") == 0
    assert f"{tmp_path} is finished: 3 epochs, nothing to do\n" in capsys.readouterr().out
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()


def test_ended_after_its_last_epoch_a_run_still_gets_its_thresholds(command: Callable, tmp_path: Path):
    assert command("--out", tmp_path) == 0
    expected = (tmp_path / runs.THRESHOLDS).read_bytes()
    (tmp_path / runs.THRESHOLDS).unlink()
    assert command("--out", tmp_path, "--resume") == 0
    assert (tmp_path / runs.THRESHOLDS).read_bytes() == expected
    assert command("--out", tmp_path, "--resume", "--epochs", 4) == 0
    assert json.loads((tmp_path / runs.THRESHOLDS).read_text())["epochs"] == 4


def test_what_can_not_be_resumed_is_one_line(command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command("--out", tmp_path, "--epochs", 1) == 0
    for words, reason in (
        (["--out", tmp_path], "holds another run (best.pt); go on with it (--resume)"),
        (["--out", tmp_path, "--resume", "--seed", 9], "trained with seed=0, but seed=9"),
        (["--resume"], "--out RUN is needed"),
    ):
        capsys.readouterr()
        assert command(*words) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and reason in error


def test_the_data_of_a_run_are_named(command: Callable, practice_root: Path, tmp_path: Path):
    assert command("--out", tmp_path, "--epochs", 1) == 0
    data = json.loads((tmp_path / runs.CONFIG).read_text())["data"]
    assert data["folder"] == str(practice_root) and data["synthetic"] is True
    assert data["val"] == runs.fingerprint(datasets.from_data(practice_root, "val", SIZE))


# --- traced


def test_a_run_tells_what_it_was_made_of(whole: Path):
    config = json.loads((whole / runs.CONFIG).read_text())
    assert config["data"] == {"train": runs.fingerprint(TRAIN), "val": runs.fingerprint(VAL)}
    assert config["data"]["train"]["records"] == 19
    (start,) = runs.process_starts(whole)
    assert start["packages"]["torch"] == torch.__version__ and start["python"] == sys.version.split()[0]
    assert start["packages"]["numpy"] == np.__version__
    assert (start["device"], start["threads"], start["processes"]) == ("cpu", torch.get_num_threads(), 1)


def test_images_on_disk_have_a_fingerprint_of_their_files(practice_root: Path, tmp_path: Path):
    datasets.write_images(practice_root, tmp_path, ("val",), SIZE)
    before = runs.fingerprint(datasets.TiffImages(tmp_path / "val"))
    assert runs.fingerprint(datasets.TiffImages(tmp_path / "val")) == before
    with (tmp_path / "val" / "images" / "3.tif").open("ab") as file:
        file.write(b"\0")
    assert runs.fingerprint(datasets.TiffImages(tmp_path / "val")) != before


def test_a_damaged_list_of_starts_is_named(tmp_path: Path):
    (tmp_path / runs.ENVIRONMENT).write_text("[]")
    with pytest.raises(DataError, match="environment.json doesn't list the starts"):
        runs.process_starts(tmp_path)
