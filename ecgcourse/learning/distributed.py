"""Several processes that train one model together, as torchrun starts them: who they are and what they exchange.

The processes are PyTorch's own (``torch.distributed``): gloo carries messages between CPUs, nccl between GPUs. A
process that torchrun did not start is alone, for which everything here is free.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
from torch import distributed, nn

from ecgcourse.errors import DataError, EcgCourseError, SettingError, shown
from ecgcourse.support.renamed import former_names

TIMEOUT = 600
"""Seconds after which a process that waits for another one gives up."""
# Seconds that an error message may take; torchrun's signal ends the wait as soon as it is out.
_PATIENCE = 10


@dataclass(frozen=True)
class DistributedContext:
    """The processes that work together, seen from one of them.

    Parameters
    ----------
    rank : int
        Number r of this process, from 0. The first one writes all files and speaks for all.
    world_size : int
        Number of processes, R.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def total(self, count: int) -> int | torch.Tensor:
        """Add up what each process counts; a () float32 tensor where there are several."""
        if self.world_size == 1:
            return count
        total = torch.tensor(float(count), device=_device_of_messages())
        distributed.all_reduce(total)
        return total

    def loss_scale(self, count: int, total: float | torch.Tensor | None = None) -> float | torch.Tensor:
        """Factor of this process's mean loss that turns the mean of all gradients into that of the whole batch.

        Processes have unequal shares of some batches, but DistributedDataParallel weighs their gradients equally.

        Parameters
        ----------
        count : int
            Records that this process has of the batch.
        total : float or tensor, optional
            Records over which the mean is taken, B; by default those of all processes in this batch.

        Returns
        -------
        float or () float32 tensor
            count · R / B.
        """
        return count * self.world_size / (self.total(count) if total is None else total)

    def gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Bring together what each process has.

        Parameters
        ----------
        values : (N_r, …) tensor
            The first dimension may differ between processes.

        Returns
        -------
        list of R tensors
            On the CPU, in the order of the processes.
        """
        if self.world_size == 1:
            return [values.cpu()]
        values = values.to(_device_of_messages())
        lengths = [int(length) for length in self._gather_equal(torch.tensor([len(values)], device=values.device))]
        padded = values.new_zeros((max(lengths), *values.shape[1:]))
        padded[: len(values)] = values
        parts = self._gather_equal(padded)
        return [part[:length].cpu() for part, length in zip(parts, lengths, strict=True)]

    def broadcast(self, number: float) -> float:
        """Give all processes the number of the first, so that no rounding lets them decide differently."""
        return self.gather(torch.tensor([number], dtype=torch.float64))[0].item()

    def gather_interleaved(self, values: torch.Tensor) -> torch.Tensor:
        """Gather the records of all processes in the order from which they were dealt out, one after another.

        Parameters
        ----------
        values : (N_r, …) tensor

        Returns
        -------
        (N, …) tensor
            On the CPU; the same in each process.
        """
        parts = self.gather(values)
        merged = torch.empty((sum(map(len, parts)), *values.shape[1:]), dtype=values.dtype)
        for rank, part in enumerate(parts):
            merged[rank :: self.world_size] = part
        return merged

    def assert_same_across_ranks(self, text: str, what: str) -> None:
        """Raise DataError in every process unless all of them have the same `text`; `what` says of what."""
        digest = torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
        for rank, other in enumerate(self.gather(digest)):
            if not torch.equal(other, digest):
                raise DataError(
                    f"process {rank} finds another {what} than process {self.rank}; give all processes the same "
                    "command, the same data, and a run folder on a disk that all machines share"
                )

    def _gather_equal(self, values: torch.Tensor) -> list[torch.Tensor]:
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        distributed.all_gather(parts, values)
        return parts


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def context() -> DistributedContext:
    """Return the processes that work together; this one alone outside :func:`process_group`."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return DistributedContext()
    return DistributedContext(distributed.get_rank(), distributed.get_world_size())


def local_device(name: str) -> str:
    """The GPU of this process, ``cuda:LOCAL_RANK``, where torchrun started it and `name` leaves the choice.

    Parameters
    ----------
    name : str
        As in :func:`ecgcourse.support.device.pick_device`.

    Returns
    -------
    str
        Else `name` itself; "cpu" for "auto" where there is no GPU.
    """
    if not is_launched() or name not in ("auto", "cuda"):
        return name
    return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else name.replace("auto", "cpu")


def end_silently() -> NoReturn:
    """End with status 2 after the process that tells why, since torchrun stops all others as soon as one has ended."""
    time.sleep(_PATIENCE)
    raise SystemExit(2)


@contextmanager
def process_group(device: str) -> Iterator[DistributedContext]:
    """Join the other processes that torchrun started; do nothing where it started none.

    If one process fails, the others end too: none waits longer than `TIMEOUT` seconds, and only the first one to
    fail raises its error. The others, whose errors are but its consequence, exit with status 2 and say nothing.

    Parameters
    ----------
    device : str
        From :func:`local_device`; decides between gloo and nccl.

    Yields
    ------
    DistributedContext

    Raises
    ------
    SettingError
        A device that several processes can't share.
    EcgCourseError
        Another process stopped answering without an error of its own: it was killed, or its machine is gone.
    """
    if not is_launched():
        yield DistributedContext()
        return
    store = _start(device)
    try:
        _check_device(device)
        yield context()
    except BaseException as error:
        if _was_told(store):
            # Nothing is cleaned up: the other end may be gone, and waiting for it would hide the error.
            end_silently()
        if _comes_from_a_lost_process(error):
            raise EcgCourseError(
                "another process stopped answering; the run goes on from its last checkpoint with --resume"
            ) from error
        raise
    distributed.destroy_process_group()


def local_rank_zero_first(work: Callable[[], Path]) -> Path:
    """Let the process of local rank 0 on each machine make something before the others, who then find it made."""
    if context().world_size == 1:
        return work()
    is_early = os.environ["LOCAL_RANK"] == "0"
    result = work() if is_early else None
    distributed.barrier()
    return result if is_early else work()


def wrap_ddp(model: nn.Module, device: torch.device) -> nn.Module:
    """Let each backward pass average the gradients of all processes; the model itself where this one is alone."""
    if context().world_size == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def _start(device: str) -> "distributed.Store":
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(torch.device(device))
    timeout = timedelta(seconds=TIMEOUT)
    store, rank, size = next(distributed.rendezvous("env://", timeout=timeout))
    # torchrun may keep one store for all attempts, in which the addresses of killed processes would be found.
    attempt = distributed.PrefixStore(f"ecgcourse/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    group = distributed.PrefixStore("group", attempt)
    backend = "nccl" if on_gpu else "gloo"
    distributed.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=timeout)
    return attempt


def _check_device(device: str) -> None:
    if context().world_size > 1 and device not in ("cpu", f"cuda:{os.environ['LOCAL_RANK']}"):
        raise SettingError(
            f"device={shown(device)}, but several processes need auto, cpu or cuda: each takes its own GPU"
        )


def _device_of_messages() -> torch.device:
    on_gpu = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _was_told(store: "distributed.Store") -> bool:
    """Whether another process has claimed before this one to tell what went wrong."""
    # Without the store there is nobody to ask, and an error told twice is better than one told never.
    with suppress(RuntimeError):
        return store.add("failed", 1) > 1
    return False


def _comes_from_a_lost_process(error: BaseException) -> bool:
    # What gloo raises is a plain RuntimeError.
    words = ("gloo", "Connection closed by peer", "Connection reset by peer")
    known = isinstance(error, distributed.DistError)
    return known or (isinstance(error, RuntimeError) and any(word in str(error) for word in words))


__getattr__ = former_names(
    globals(),
    {
        "Team": "DistributedContext",
        "team": "context",
        "own_device": "local_device",
        "joined": "process_group",
        "in_turn": "local_rank_zero_first",
        "wrapped": "wrap_ddp",
    },
)
