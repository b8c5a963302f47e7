"""What the ``last.pt`` of a run holds: how it is checked, and how a training takes it up to go on to the last bit."""

import math
import random
from pathlib import Path

import numpy as np
import torch

from ecgcourse.errors import CheckpointError
from ecgcourse.learning.losses import LossMeter
from ecgcourse.models.checkpoint import check_parts, load_tensors

PROGRESS_FORMAT = "ecgcourse-progress/2"

# Words of the state of Python's generator.
PYTHON_WORDS = 625

# What last.pt holds beside its format, and of which kinds.
_PARTS = {
    "training": dict,
    "settings": dict | None,
    "recipe": dict | None,
    "task": dict | None,
    "thresholds": list | None,
    "data": dict,
    "rows": list,
    "losses": torch.Tensor,
    "counts": torch.Tensor,
    "order": dict,
    "state_dict": dict,
    "optimizer": dict,
    "scheduler": dict,
    "averaged": dict | None,
    "random": torch.Tensor,
}


def read_progress(path: Path) -> dict:
    """Read what :meth:`ecgcourse.learning.runs.Run.save` wrote, running no code that it may hold.

    Raises
    ------
    CheckpointError
        The file is damaged or something else.
    """
    content = load_tensors(path)
    if not isinstance(content, dict) or content.get("format") != PROGRESS_FORMAT:
        raise CheckpointError(f"{path} isn't a checkpoint to go on from: no format {PROGRESS_FORMAT!r}")
    for name, kind in _PARTS.items():
        if not isinstance(content.get(name), kind):
            raise CheckpointError(f"{path} doesn't fit any run: its {name} are missing or damaged")
    check_parts(path, content, ("losses", "counts", "order", "state_dict", "averaged", "optimizer", "random"))
    are_named = all(isinstance(part, dict) for part in content["data"].values())
    if not are_named or not _are_epochs(content["rows"]) or content["losses"].ndim != 1:
        raise CheckpointError(f"{path} doesn't fit any run: its data, rows or losses are damaged")
    return content


def losses_of(saved: dict, n_steps: int) -> LossMeter:
    """The steps that an epoch of `n_steps` had taken; ValueError if they can't be."""
    losses, counts = saved["losses"], saved["counts"]
    right = losses.shape == counts.shape and saved["order"]["batch"] == len(losses) <= n_steps
    if not right or not torch.isfinite(losses).all() or not (counts >= 1).all():
        raise ValueError("its losses, counts and steps aren't those of one epoch")
    return LossMeter(losses, counts)


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict) -> None:
    """Take up the state of an optimizer; ValueError if it is of other settings, or can't be of these weights."""
    settings = _group_settings(optimizer)
    optimizer.load_state_dict(saved)
    if _group_settings(optimizer) != settings:
        raise ValueError("its optimizer has other settings")
    needed = _state_names(optimizer)
    for weights, state in optimizer.state.items():
        tensors = {name: value for name, value in state.items() if value is not None}
        if tensors and tensors.keys() != needed:
            raise ValueError("the state of its optimizer has other parts")
        if not all(getattr(value, "shape", None) in ((), weights.shape) for value in tensors.values()):
            raise ValueError("the state of its optimizer has other shapes than the weights")


def load_scheduler(scheduler: torch.optim.lr_scheduler.LRScheduler, saved: dict, steps: int, highest: float) -> None:
    """Take up the state of a scheduler; ValueError if it isn't that after so many steps, or goes with another rate."""
    own = scheduler.state_dict()
    if saved.keys() != own.keys():
        raise ValueError("its scheduler is of another kind")
    scheduler.load_state_dict(saved)
    rates = [group["lr"] for group in scheduler.optimizer.param_groups]
    if scheduler.last_epoch != steps or scheduler.get_last_lr() != rates:
        raise ValueError("its scheduler is at another step")
    # Written so that NaN fails too.
    if not all(0 <= rate <= highest for rate in rates):
        raise ValueError("its learning rate is none of the schedule")


def random_state(device: torch.device) -> torch.Tensor:
    """Python's and PyTorch's generators as one uint8 tensor, as long for each process on the same kind of device."""
    kind, words, gauss = random.getstate()
    numbers = torch.tensor([kind, *words], dtype=torch.int64), torch.tensor([gauss or math.nan], dtype=torch.float64)
    parts = [*(number.view(torch.uint8) for number in numbers), torch.get_rng_state()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device))
    return torch.cat(parts)


def restore_random_state(states: torch.Tensor, device: torch.device, rank: int) -> None:
    """Put the generators back to what :func:`random_state` told in the process of this number."""
    if rank >= len(states):
        # A process that the run didn't have before keeps the state that its number was seeded with.
        return
    bounds = np.cumsum([8 * (1 + PYTHON_WORDS), 8, len(torch.get_rng_state())])
    words, gauss, on_cpu, on_gpu = (part.clone() for part in states[rank].tensor_split(bounds.tolist()))
    kind, *words = words.view(torch.int64).tolist()
    gauss = gauss.view(torch.float64).item()
    random.setstate((kind, tuple(words), None if math.isnan(gauss) else gauss))
    torch.set_rng_state(on_cpu)
    if device.type == "cuda" and len(on_gpu):
        torch.cuda.set_rng_state(on_gpu, device)


def _are_epochs(rows: list) -> bool:
    """Whether rows are what a history has: dicts of finite numbers, with the epochs 1, 2, 3, …"""
    if not all(isinstance(row, dict) and {"epoch", "train_loss"} <= row.keys() for row in rows):
        return False
    if any(row.keys() != rows[0].keys() for row in rows):
        return False
    values = [value for row in rows for value in row.values()]
    if not all(type(value) in (int, float) and -math.inf < value < math.inf for value in values):
        return False
    return [row["epoch"] for row in rows] == [*range(1, len(rows) + 1)]


def _group_settings(optimizer: torch.optim.Optimizer) -> list[dict]:
    # The learning rate changes with the steps: see load_scheduler.
    changing = ("params", "lr")
    return [{name: value for name, value in group.items() if name not in changing} for group in optimizer.param_groups]


def _state_names(optimizer: torch.optim.Optimizer) -> set[str]:
    """What an optimizer of this kind and these settings keeps for each tensor of weights: another one takes a step."""
    weights = torch.zeros(1, requires_grad=True)
    weights.grad = torch.zeros(1)
    other = type(optimizer)([weights], **optimizer.defaults)
    other.step()
    return {name for name, value in other.state[weights].items() if value is not None}
