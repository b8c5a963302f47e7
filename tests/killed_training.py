"""Train a small network while it is killed again and again: ``killed_training.py FOLDER SEED NAME:EVERY:KILLS …``.

Each attempt is a fork of this process, which has imported PyTorch but calculated nothing, so that it starts within
milliseconds. Learns from FOLDER/data. Runs that end are FOLDER/NAME/0, FOLDER/NAME/1, …; after KILLS kills the last one
is left alone. Prints, for each name, how many kills there were, and how many of them hit a file that was being written.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # which the first optimizer would import, at length, in each fork
from torch import nn

from ecgcourse import models, plots, training  # noqa: F401  (imported for the forks)
from ecgcourse.cli import main

SIZE = 8
# Tells whether a process has ended, and leaves it to be waited for.
WATCH = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Small(nn.Module):
    """The mean grey level of each channel, dropout, two linear layers."""

    def __init__(self, image_size: int, dropout: float = 0.3):
        super().__init__()
        self.settings = {"image_size": image_size, "dropout": dropout}
        self.layers = nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.mean(dim=(2, 3)))


models.REGISTRY["small"] = Small


def words(data: Path, out: Path, every: int) -> list[str]:
    """The command of every attempt but `--resume`."""
    settings = "--model small --epochs 20 --patience 0 --batch-size 5 --optimizer adam --learning-rate 0.01 --seed 7"
    where = f"--size {SIZE} --device cpu --checkpoint-every {every}"
    return ["train", str(data), "--out", str(out), *settings.split(), *where.split()]


def start(command: list[str]) -> int:
    """Fork a process that runs the command, and return its number."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        torch.set_num_threads(1)
        os._exit(main(command))
    return pid


def is_writing(out: Path) -> bool:
    """Whether a killed process has left a file half-way."""
    return any(".partial" in path.name for path in out.glob(".*"))


def rain(data: Path, out: Path, every: int, kills: int, seed: int) -> tuple[int, int]:
    """Start, kill and resume; return how many kills came in time, and how many of them hit a file."""
    delays, ended, killed, hit = random.Random(seed), 0, 0, 0
    while True:
        run = out / str(ended)
        pid = start([*words(data, run, every), "--resume"])
        is_last = killed == kills
        if not is_last:
            time.sleep(delays.uniform(0.0, 0.35))
            # Chance alone seldom meets the moment in which a file is written; so every third kill waits for it.
            while killed % 3 == 2 and not is_writing(run) and os.waitid(os.P_PID, pid, WATCH) is None:
                time.sleep(0.0002)
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == -signal.SIGKILL:
            killed += 1
            hit += is_writing(run)
        elif status != 0:
            sys.exit(f"an attempt ended with {status}")
        elif is_last:
            return killed, hit
        else:
            ended += 1


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, every, kills in (plan.split(":") for plan in sys.argv[3:]):
        print(*rain(folder / "data", folder / name, int(every), int(kills), int(sys.argv[2])))
