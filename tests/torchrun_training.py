"""The command line with a small network beside the AlexNet, in the processes that torchrun starts.

``KILL_AT=STEP`` in the environment kills the second process, the first time that it comes to that step.
``FAIL_AT=STEP`` lets it raise an error of the package there, ``HANG_AT=STEP`` lets it sleep. ``LATE=RANK`` lets one
process begin late.
"""

import os
import signal
import sys
import time

import torch
from torch import nn

from ecgcourse import distributed, models
from ecgcourse.cli import main
from ecgcourse.errors import SettingError


class Small(nn.Module):
    """The mean grey level of each channel and two linear layers."""

    def __init__(self, image_size: int, dropout: float = 0.3):
        super().__init__()
        self.settings = {"image_size": image_size, "dropout": dropout}
        self.layers = nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 4))
        self.steps = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
            misbehave(self.steps)
        return self.layers(images.mean(dim=(2, 3)))


def misbehave(step: int) -> None:
    """Kill, fail or hang in the second process, where the environment says so, if it is the first attempt."""
    if os.environ.get("RANK") != "1" or os.environ.get("TORCHELASTIC_RESTART_COUNT") != "0":
        return
    if os.environ.get("KILL_AT") == str(step):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("FAIL_AT") == str(step):
        raise SettingError("the second process fails on purpose")
    if os.environ.get("HANG_AT") == str(step):
        time.sleep(600)


def work(words: list[str], surroundings: dict[str, str]) -> None:
    """Run a command as a process of its own would."""
    os.environ.update(surroundings)
    distributed.TIMEOUT = int(os.environ.get("TEAM_TIMEOUT", distributed.TIMEOUT))
    models.REGISTRY["small"] = Small
    if os.environ.get("LATE") == os.environ["RANK"]:
        time.sleep(1)
    sys.exit(main(words))
