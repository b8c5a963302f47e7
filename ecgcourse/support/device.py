"""Which device PyTorch calculates on: :func:`pick_device`."""

import re
from typing import TYPE_CHECKING

from ecgcourse.errors import SettingError, check_setting

if TYPE_CHECKING:
    import torch

NAME = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
WORDS = "auto, cpu, mps, cuda or cuda:NUMBER"


def pick_device(name: str = "auto") -> "torch.device":
    """Turn the name of a device into a device that is there.

    Parameters
    ----------
    name : str
        "auto" is the first of cuda, mps and cpu that is there; else "cpu", "mps", "cuda" or "cuda:1".

    Raises
    ------
    SettingError
        An unknown name, or a device that this machine doesn't have.
    """
    # Takes seconds, which nobody who asks for --help should wait for.
    import torch

    check_setting("", "device", name, NAME.fullmatch(name), WORDS)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    device = torch.device(name)
    if not there[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        found = ", ".join(kind for kind in there if there[kind])
        raise SettingError(f"device={name!r} isn't there: PyTorch finds {found} here; use device='auto'")
    return device
