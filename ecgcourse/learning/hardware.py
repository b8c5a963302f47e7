"""What suits the device that a training runs on: in which precision to calculate, and how channels lie in memory.

By the compute capability of an NVIDIA GPU, as NVIDIA documents its cards; nothing is measured at the start.
``benchmarks/gpu.py`` measures what pays on a card. Introduced in chapter 19.
"""

import dataclasses
import os
import warnings

import torch

from ecgcourse.errors import EcgCourseWarning
from ecgcourse.learning import runs
from ecgcourse.learning.config import PRECISIONS as NAMES
from ecgcourse.learning.config import TrainConfig
from ecgcourse.learning.history import check_tensorboard
from ecgcourse.support.device import pick_device

PRECISIONS = {name: getattr(torch, name) for name in NAMES}

BFLOAT16_SINCE = (8, 0)
"""Compute capability from which on NVIDIA's GPUs calculate in bfloat16 themselves: A100, RTX 30, H100."""

TENSOR_CORES_SINCE = (7, 0)
"""Compute capability of the first GPUs with units for matrix products in float16: V100; the T4 has 7.5."""


def capability(device: torch.device) -> tuple[int, int]:
    """Compute capability of an NVIDIA GPU, (0, 0) of any other device."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def pick_precision(device: torch.device) -> str:
    """What to calculate in where nobody says: bfloat16 from compute capability 8.0 on, float16 on 7.x, else float32.

    ``torch.cuda.is_bf16_supported`` isn't asked: it counts emulation, which a T4 does slowly.
    """
    found = capability(device)
    if found >= BFLOAT16_SINCE:
        return "bfloat16"
    return "float16" if found >= TENSOR_CORES_SINCE else "float32"


def pick_channels_last(device: torch.device, precision: str) -> bool:
    """Whether convolutions had better find the channels of a pixel side by side, where nobody says.

    That is how processors (oneDNN) and tensor cores read. On a GPU they have a part from compute capability 8.0 on,
    where float32 may go through them as TF32, and below that in half precision; without them, it would cost a copy.
    """
    found = capability(device)
    on_tensor_cores = found >= BFLOAT16_SINCE or (found >= TENSOR_CORES_SINCE and precision != "float32")
    return device.type == "cpu" or on_tensor_cores


def resolve(config: TrainConfig, resume: bool = False) -> TrainConfig:
    """Settings in which nothing is left to the device; those of a run that goes on are kept.

    Raises
    ------
    SettingError
        A device that isn't there; TensorBoard is asked for and isn't installed.
    """
    if config.tensorboard:
        check_tensorboard()
    device, precision, channels_last = pick_device(config.device), config.precision, config.channels_last
    if precision == "auto":
        begun = resume and config.out is not None and os.path.lexists(os.path.join(config.out, runs.CONFIG))
        precision = runs.precision_of(config.out) if begun else pick_precision(device)
    if channels_last is None:
        channels_last = pick_channels_last(device, precision)
    return dataclasses.replace(config, precision=precision, channels_last=channels_last)


def describe(config: TrainConfig) -> str:
    """What was chosen for the device, in a few words; of settings without "auto"."""
    device, parts = pick_device(config.device), [config.precision]
    if config.precision == "float16":
        parts[0] += " with a gradient scaler"
    parts.append("channels last" if config.channels_last else "channels first")
    if config.compile:
        parts.append("torch.compile")
    name = str(device)
    if device.type == "cuda":
        name += f" ({torch.cuda.get_device_name(device)}, {'.'.join(map(str, capability(device)))})"
    return f"{name}: {', '.join(parts)}"


def emulates(precision: str, device: torch.device) -> bool:
    """Whether numbers of a precision go through float32, one by one, on a device."""
    on_old_cpu = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    on_old_gpu = device.type == "cuda" and capability(device) < BFLOAT16_SINCE
    return precision == "bfloat16" and (on_old_cpu or on_old_gpu)


def precision_to_judge(folder: str | os.PathLike, device: torch.device) -> str:
    """What a run is judged in: that which it was trained in, or float32 on a device that only emulates that."""
    precision = runs.precision_of(folder)
    return "float32" if emulates(precision, device) else precision


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Warn where bfloat16 is emulated."""
    if emulates(precision, device):
        what = "processor can't calculate in bfloat16 and emulates it, many times more slowly than float32"
        what = what if device.type == "cpu" else "GPU can't calculate in bfloat16 and emulates it"
        warnings.warn(
            f"this {what}; precision={pick_precision(device)!r} is the better choice here",
            EcgCourseWarning,
            stacklevel=3,
        )
