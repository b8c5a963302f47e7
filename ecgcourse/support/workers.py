"""Work that several processes share, which end when the one that asked for it ends, however that ends."""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

import joblib

from ecgcourse.support.renamed import former_names

# Seconds between two looks at whether the process that asked for the work is still there.
_LOOK = 1.0


def parallel_map(work: Callable, pieces: Iterable[tuple], n_jobs: int) -> Iterator:
    """Call a function for each piece, in several processes.

    Parameters
    ----------
    work : callable
        A function of a module, so that other processes find it. It must only return something: its process may end
        at any moment.
    pieces : iterable of tuples
        The arguments of each call.
    n_jobs : int
        Number of processes; -1 for one per CPU core, 1 for this process alone.

    Returns
    -------
    iterator
        What the calls return, in the order of the pieces; begun at once, so that the next results are made while the
        first ones are used.
    """
    tasks = (joblib.delayed(_do)(work, piece, os.getpid()) for piece in pieces)
    return joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that are started meanwhile never hear Ctrl-C, which a terminal sends to all of them.

    The process that started them hears it and ends them; they would each print where they were.
    """
    # Windows can't have its processes started deaf.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started later, by the first process, this would open the signal for it again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do(work: Callable, piece: tuple, asked_by: int) -> object:
    if os.getpid() != asked_by:
        _end_with(asked_by)
    return work(*piece)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end soon after its parent; without that, it waits for work for five minutes more."""
    # Windows never gives a process another parent. There the five minutes stay.
    if sys.platform != "win32":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    # Not sys.exit, which would end this thread alone.
    os._exit(1)


__getattr__ = former_names(globals(), {"spread": "parallel_map"})
