"""Work in several processes: the same results in the same order, and nobody left when the one who asked is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgcourse import ptbxl_tables
from ecgcourse.errors import DataError
from ecgcourse.support.workers import parallel_map


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_pieces(n_jobs: int):
    pieces = [(number, 3) for number in range(40)]
    assert list(parallel_map(pow, pieces, n_jobs)) == [number**3 for number in range(40)]


def test_several_processes_take_part_and_one_alone_stays_in_this_one():
    assert set(parallel_map(os.getpid, [()] * 4, 1)) == {os.getpid()}
    assert os.getpid() not in set(parallel_map(os.getpid, [()] * 4, 2))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_comes_back_as_it_was(n_jobs: int):
    with pytest.raises(DataError, match="has no column MI"):
        list(parallel_map(ptbxl_tables.need_columns, [(["ecg_id"], ["MI"], "the table")] * 3, n_jobs))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Linux keeps what has ended until somebody asks; some containers have nobody who does.
        stat = Path(f"/proc/{pid}/stat")
        return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to interrupt")
def test_ctrl_c_while_loader_workers_start_is_one_line(practice_root: Path, tmp_path: Path):
    """A terminal sends it to every process of the command; only the first one answers."""
    words = (
        f"train --model compact --size 16 --epochs 500 --patience 500 --workers 2 --device cpu --out {tmp_path / 'run'}"
    )
    command = subprocess.Popen(
        [sys.executable, "-m", "ecgcourse", *words.split(), str(practice_root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests may have put Ctrl-C aside, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not command.stdout.readline().startswith("model: "):
        assert command.poll() is None
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    while children.exists() and not children.read_text():
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(command.pid, signal.SIGINT)
    _, error = command.communicate(timeout=60)
    assert command.returncode == 130
    assert error.startswith("stopped; ") and error.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't tell a process that its parent has ended")
def test_workers_end_soon_after_a_killed_parent():
    code = (
        "import os, time; from ecgcourse.support.workers import parallel_map\n"
        "print(*set(parallel_map(os.getpid, [()] * 20, 2)), flush=True); time.sleep(100)"
    )
    # As a leader of its own group, so that nothing else ends with it.
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert workers and all(is_there(pid) for pid in workers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 20
    while any(is_there(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(is_there(pid) for pid in workers)
