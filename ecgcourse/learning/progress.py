"""The ``last.pt`` of a run: how it is read, and the state of the random numbers in it."""

import math
import random
from pathlib import Path

import numpy as np
import torch

from ecgcourse.errors import CheckpointError
from ecgcourse.models.checkpoint import check_weights, load_tensors

PROGRESS_FORMAT = "ecgcourse-progress/2"

# Words of the state of Python's generator.
PYTHON_WORDS = 625


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
    check_weights(path, content.get("state_dict"))
    return content


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
