"""Commands killed with SIGKILL again and again, then run to their end: the bytes are those of a run in one go."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecgcourse import cli, datasets, practice, tiff

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

# Processes are forked from one that has imported the package: real ones, but there at once.
SERVER = multiprocessing.get_context("forkserver")
KILLS = 7
RECORDS, SIZE = 70, 32


@pytest.fixture(scope="module", autouse=True)
def preloaded() -> None:
    SERVER.set_forkserver_preload(["ecgcourse.cli", "ecgcourse.learning.datasets", "ecgcourse.records.practice"])


def run(words: list[str], cache: Path) -> None:
    os.environ["ECGCOURSE_CACHE"] = str(cache)
    # One process alone, so that each is killed at a moment of its own work.
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    # Small portions, so that there is something to go on with wherever the process is killed.
    practice.CHUNK = 4
    tiff.WRITE_PIXELS = 1
    sys.exit(cli.main(words))


def kill_often(work: Callable, arguments: tuple, progress: Callable[[], int], most: int) -> list[int]:
    """Start the work again and again, and kill it at random moments, the later the further it came.

    Returns what `progress` said after each kill.
    """
    rng = random.Random(sum(map(ord, work.__name__)) + most)
    seen = []
    for wanted in sorted(rng.randrange(most) for _ in range(KILLS)):
        process = SERVER.Process(target=work, args=arguments)
        process.start()
        while progress() < wanted and process.is_alive():
            time.sleep(0.0005)
        time.sleep(rng.random() * 0.003)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        seen.append(progress())
    return seen


def to_the_end(work: Callable, arguments: tuple) -> None:
    process = SERVER.Process(target=work, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def every_file(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def identities(folder: Path, pattern: str) -> dict[str, tuple[int, int]]:
    """Which files are complete, and which they are: number and time of change of their content."""
    found = {}
    for path in folder.rglob(pattern):
        if not path.name.startswith("."):
            found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def count(folder: Path, pattern: str) -> int:
    try:
        return len(identities(folder, pattern))
    except FileNotFoundError:  # moved between listing and asking
        return 0


@pytest.fixture(scope="module")
def expected_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return practice.write(tmp_path_factory.mktemp("expected") / "set", RECORDS, seed=5)


def test_the_practice_set_is_whole_or_absent(expected_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    for seed in ("6", "5"):
        work = (["practice", str(out / "set"), "--records", str(RECORDS), "--seed", seed], tmp_path / "cache")
        kill_often(run, work, lambda: count(out, "*_lr.hea"), RECORDS - 5)
        assert not (out / "set").exists()
    to_the_end(run, work)
    assert every_file(out / "set") == every_file(expected_set)
    assert list(out.iterdir()) == [out / "set"]


def test_images_are_gone_on_with(expected_set: Path, tmp_path: Path):
    datasets.write_images(expected_set, tmp_path / "expected", ("train", "val"), SIZE)
    expected = every_file(tmp_path / "expected")
    out = tmp_path / "out"
    n_images = sum(name.endswith(".tif") for name in expected)
    words = ["images", str(expected_set), str(out), "--partition", "all", "--size", str(SIZE)]
    work = (words, tmp_path / "cache")
    kill_often(run, work, lambda: count(out, "*.tif"), int(0.8 * n_images))
    before = [identities(out / f".{part}.partial", "*.tif") for part in ("train", "val")]
    to_the_end(run, work)
    found = every_file(out)
    assert {name: found[name] for name in expected} == expected
    assert {name.split("/")[0] for name in found} == {"train", "val", "test"}
    for part, old in zip(("train", "val"), before, strict=True):
        new = identities(out / part, "*.tif")
        assert {name: new[name] for name in old} == old
    assert sum(map(len, before)) > n_images // 3
    assert sorted(path.name for path in out.iterdir()) == ["test", "train", "val"]
