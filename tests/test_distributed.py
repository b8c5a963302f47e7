"""Two real processes under torchrun learn what one learns, and survive the loss of one of them."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchrun_training
from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch

from ecgcourse import cli, cli_asked, distributed, models, ptbxl, runs
from ecgcourse.errors import SettingError
from ecgcourse.learning.distributed import DistributedContext

SHARED = "--dropout 0 --optimizer adam --device cpu"
SMALL = f"{SHARED} --model small --size 8 --epochs 6 --batch-size 7 --learning-rate 0.02"
SMALL += " --accumulate 2 --clip-norm 0.2 --warmup-epochs 1"
ALEXNET = f"{SHARED} --filters 8 --size 67 --epochs 2 --batch-size 13 --learning-rate 0.0002"

# What torchrun's agent answers by ending its processes.
STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)

# One process adds up a batch in another order than two: after a few steps, the sixth digit may differ.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes know, this one knows, too; and no thread of one waits for the other's core."""
    monkeypatch.setitem(models.REGISTRY, "small", torchrun_training.Small)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def torchrun(words: list[str], logs: Path, restarts: int = 0, **surroundings: str) -> None:
    """Run a command in two processes under torchrun's agent, which is in this one.

    They are forked from a process that has imported what they need, which would take most of the time.
    """
    asked = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", f"--rdzv-id={logs.name}", "--nproc-per-node=2"]
    asked += [f"--max-restarts={restarts}", "--redirects=3", f"--log-dir={logs}", "no script"]
    config, _, _ = run.config_from_args(run.parse_args(asked))
    config.start_method = "forkserver"
    multiprocessing.set_forkserver_preload(["torchrun_training", "ecgcourse.learning.datasets", "torch._dynamo"])
    # The agent leaves its own handlers behind.
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        elastic_launch(config, torchrun_training.work)(words, surroundings)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def refused(words: list[str], logs: Path, **surroundings: str) -> str:
    """What the two print to stderr when a command fails."""
    with pytest.raises(ChildFailedError):
        torchrun(words, logs, **surroundings)
    return "".join(path.read_text() for path in logs.rglob("stderr.log"))


def train(root: Path, out: Path, settings: str = SMALL, *more: str) -> list[str]:
    return ["train", str(root), "--out", str(out), *settings.split(), *more]


def assert_learned_the_same(one: Path, other: Path) -> None:
    frames = [pd.read_csv(run / runs.HISTORY) for run in (one, other)]
    pd.testing.assert_frame_equal(*frames, rtol=TOLERANCE)
    weights = [torch.load(run / runs.LAST, weights_only=True)["state_dict"] for run in (one, other)]
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=1e-3, atol=TOLERANCE)


def n_train(root: Path) -> int:
    return len(ptbxl.split(ptbxl.read_table(root))["train"])


def test_two_processes_learn_what_one_does_with_the_real_network(
    practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Under torchrun as people start it. The last batch has one record, so that one of the processes has none."""
    assert n_train(practice_root) % 13 == 1
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ecgcourse"]
    with subprocess.Popen(
        [sys.executable, *launcher, *train(practice_root, tmp_path / "two", ALEXNET)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as two:
        assert cli.main(train(practice_root, tmp_path / "one", ALEXNET)) == 0
        out, error = two.communicate(timeout=240)
    assert two.returncode == 0, error
    assert_learned_the_same(tmp_path / "two", tmp_path / "one")
    # One of the two speaks: each line once, and the same lines as one process alone.
    expected = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == [line.split()[0] for line in expected.splitlines()]
    assert runs.process_starts(tmp_path / "two")[0]["processes"] == 2
    thresholds = [json.loads((tmp_path / name / runs.THRESHOLDS).read_text())["thresholds"] for name in ("one", "two")]
    np.testing.assert_allclose(*[list(each.values()) for each in thresholds], rtol=1e-4)


def test_after_a_kill_torchrun_starts_the_processes_again_and_a_run_goes_on_in_one_and_back(
    practice_root: Path, tmp_path: Path
):
    """The kill comes in the third epoch, in a step of two batches; the new processes go on without being told to."""
    out, steps = tmp_path / "run", -(-n_train(practice_root) // 7)
    words = train(practice_root, out, SMALL, "--epochs", "4", "--checkpoint-every", "2")
    torchrun(words, tmp_path / "killed", restarts=1, KILL_AT=str(2 * steps + 6))
    assert cli.main(train(practice_root, out, SMALL, "--epochs", "5", "--resume")) == 0
    torchrun(train(practice_root, out, SMALL, "--resume"), tmp_path / "back")
    assert cli.main(train(practice_root, tmp_path / "alone")) == 0
    assert_learned_the_same(out, tmp_path / "alone")
    begun = [(each["epochs_done"], each["steps_done"], each["processes"]) for each in runs.process_starts(out)]
    assert begun == [(0, 0, 2), (2, 2, 2), (4, 0, 1), (5, 0, 2)]


def test_a_failure_is_told_once_and_a_silent_process_is_not_waited_for(practice_root: Path, tmp_path: Path):
    error = refused(train(practice_root, tmp_path / "fails"), tmp_path / "logs", FAIL_AT="3")
    assert error.count("error: the second process fails on purpose\n") == 1
    assert error.count("error: ") == 1
    error = refused(train(practice_root, tmp_path / "hangs"), tmp_path / "others", HANG_AT="3", TEAM_TIMEOUT="3")
    assert error.count("error: another process stopped answering") == 1 and "--resume" in error


def test_wrong_words_are_told_once(practice_root: Path, tmp_path: Path):
    """Also where the process that tells them comes last: torchrun ends it as soon as another one has ended."""
    error = refused(["train", str(practice_root)], tmp_path / "logs", LATE="0")
    assert error.count("error: ") == 1 and "--out RUN is needed" in error
    error = refused(train(practice_root, tmp_path / "run", SMALL, "--epochs", "many"), tmp_path / "others", LATE="0")
    assert error.count("error: ") == 1 and "--epochs" in error


# --- in this process


def test_alone_everything_is_free():
    context = distributed.context()
    values = torch.arange(6.0).reshape(3, 2)
    assert context == DistributedContext(0, 1) and context.is_first and context.loss_scale(5) == 1.0
    assert torch.equal(context.gather_interleaved(values), values) and len(context.gather(values)) == 1
    context.assert_same_across_ranks("anything", "text")
    model = torch.nn.Linear(2, 2)
    assert distributed.wrap_ddp(model, torch.device("cpu")) is model
    with distributed.process_group("cpu") as joined:
        assert joined == context
    assert distributed.local_device("auto") == "auto"


@pytest.mark.parametrize(
    ("name", "cuda", "own"),
    [("auto", True, "cuda:3"), ("cuda", True, "cuda:3"), ("auto", False, "cpu"), ("cpu", True, "cpu")],
)
def test_each_process_has_a_gpu_of_its_own(name: str, cuda: bool, own: str, monkeypatch: pytest.MonkeyPatch):
    for variable in ("TORCHELASTIC_RUN_ID", "LOCAL_RANK"):
        monkeypatch.setenv(variable, "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert distributed.local_device(name) == own


@pytest.mark.parametrize("name", ["mps", "cuda:1"])
def test_one_device_for_several_processes_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(distributed, "context", lambda: DistributedContext(0, 2))
    with pytest.raises(SettingError, match="each takes its own GPU"):
        distributed._check_device(name)


def test_a_restart_goes_on_with_its_own_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert not cli_asked.is_restarted(tmp_path)
    for job, restarted in (("mine", True), ("another", False), (None, False)):
        (tmp_path / runs.ENVIRONMENT).write_text(json.dumps({"starts": [{"torchrun": job}]}))
        assert cli_asked.is_restarted(tmp_path) is restarted
