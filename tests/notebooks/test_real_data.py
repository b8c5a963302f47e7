"""Every chapter that reads ECGCOURSE_DATA runs to its end on real records, when that names a folder of them.

What the cells then print differs from the committed outputs, so nothing is compared; but no cell may raise.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import rules

from ecgcourse import practice
from tools.notebooks import failure

# The others (quizzes, single heartbeats) bring their own records, whatever ECGCOURSE_DATA names.
NOTEBOOKS = [
    path for path in sorted(rules.BOOK.glob("*.ipynb")) if "practice.data_root()" in path.read_text(encoding="utf-8")
]
# As many kernels at once, each with one thread: chapters that wait leave a core to others.
KERNELS = 2
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
# The tests draw off screen and interpret kernels for a GPU; a learner's notebook does neither.
SETTINGS_OF_TESTS = ("MPLBACKEND", "TRITON_INTERPRET")


def environment(root: Path) -> dict[str, str]:
    """The environment of a learner who has PTB-XL in `root`, and this checkout's package."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_TESTS}
    return kept | ONE_THREAD | {"ECGCOURSE_DATA": str(root.resolve()), "PYTHONPATH": str(rules.ROOT)}


@pytest.fixture(scope="module")
def failures(
    request: pytest.FixtureRequest, real_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future]]:
    """Run the chapters that this session tests, and hold for each what will have failed in it."""
    if practice.is_practice(real_root):
        pytest.skip(f"ECGCOURSE_DATA names {real_root}, a practice set: no real records to run the chapters on")
    env = environment(real_root)
    tests = [item for item in request.session.items if item.path == request.path]
    chosen = [test.callspec.params["chapter"] for test in tests if hasattr(test, "callspec")]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(KERNELS) as pool:
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        yield {path: pool.submit(failure, path, tmp_path_factory.mktemp(path.stem), env) for path in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("chapter", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_runs_on_real_records(chapter, failures):
    failed = failures[chapter].result()
    assert failed is None, failed
