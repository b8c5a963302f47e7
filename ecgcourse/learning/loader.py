"""From a dataset to batches: in which order, by how many processes, with what drawn anew. Introduced in chapter 8."""

import pickle
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from ecgcourse.errors import SettingError, brief, check_setting
from ecgcourse.learning.derived import Batched, Part, batched
from ecgcourse.learning.samples import SIGNAL_AXES, Augmentation, Draw, RenderedImages
from ecgcourse.learning.tiff import TiffImages
from ecgcourse.support.workers import deaf_to_ctrl_c

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share; containers often have only 64 MB of it."""


class BatchOrder(Sampler[list[int]]):
    """Which records make each batch of an epoch: the same ones for any number of processes, from any batch on.

    The record at place p of the epoch's order belongs to process p mod R of the R processes that share the
    batches. So each record is taken exactly once, and the last batch may leave some processes without any.

    Parameters
    ----------
    n_records : int
        Records of the dataset, N.
    batch_size : int
        Records per batch, B, of all processes together; the last batch may have fewer.
    shuffle : bool
        A new order in every epoch.
    seed : int
        Decides the orders.
    share : (int, int)
        Number r of this process, from 0, and number R of processes.
    augmentation : Augmentation, optional
        Let each batch be a :class:`ecgcourse.learning.samples.Draw`, for learning; None: a list of records, for
        judging.
    """

    def __init__(
        self,
        n_records: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        share: tuple[int, int] = (0, 1),
        augmentation: Augmentation | None = None,
    ):
        self.n_records, self.batch_size, self.shuffle, self.share = n_records, batch_size, shuffle, share
        self.augmentation = augmentation
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch_start = self._generator.get_state()
        self._first = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.n_records // self.batch_size)

    def __iter__(self) -> Iterator[list[int] | Draw]:
        """Yield this process's records of each batch of the next epoch, B / R numbers or one more or fewer."""
        self._epoch_start = self._generator.get_state()
        order = self._next_order()
        first, self._first = self._first, 0
        rank, size = self.share
        seed = self._seed_of_draws()
        for start in range(first * self.batch_size, self.n_records, self.batch_size):
            end = min(start + self.batch_size, self.n_records)
            places = range((rank - start) % size, end - start, size)
            rows = [order[start + place] for place in places]
            if self.augmentation is None:
                yield rows
            else:
                # Two seeds a batch, one of them for gains.
                yield Draw(rows, places, end - start, seed + 2 * (start // self.batch_size), self.augmentation)

    def state(self, done: int) -> dict[str, torch.Tensor | int]:
        """Where an epoch stands after `done` of its batches, 0 meaning that it has not begun, for :meth:`seek`."""
        return {"generator": self._epoch_start if done else self._generator.get_state(), "batch": done}

    def seek(self, state: dict[str, torch.Tensor | int]) -> None:
        """Let the next epoch be the one of `state`, from the first batch on that was not done."""
        self._generator.set_state(state["generator"])
        self._first = state["batch"]

    def _seed_of_draws(self) -> int:
        """Of this epoch; from a generator of its own, so that the order is the same with and without draws."""
        source = torch.Generator().set_state(self._epoch_start) if self.shuffle else self._generator
        return 0 if self.augmentation is None else int(torch.randint(2**62, (), generator=source))

    def _next_order(self) -> list[int]:
        places = range(self.n_records)
        return list(RandomSampler(places, generator=self._generator)) if self.shuffle else list(places)


def loader(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    augmentation: Augmentation | None = None,
) -> DataLoader:
    """Go through a dataset in batches, each of which is one call to the dataset.

    Parameters
    ----------
    dataset : Dataset
        One of :mod:`ecgcourse.learning.datasets`, or any other as for :class:`ecgcourse.learning.derived.Batched`.
    batch_size : int
        Records per batch, B; the last batch may have fewer.
    shuffle : bool
        A new order in every epoch, which depends on `seed` alone, whatever the number of workers.
    seed : int
        Of the loader's own generator; PyTorch's global one is neither read nor moved.
    workers : int
        Processes that prepare batches; 0 prepares them in this process, as are those of data that lie on a GPU.
        They are spawned, not forked: the dataset's class must stand in a module, and a script that calls this
        needs ``if __name__ == "__main__":``.
    share : (int, int)
        Number of this process and number of processes that share each batch, as in :class:`BatchOrder`.
    augmentation : Augmentation, optional
        For learning: crops lie at random places, and gain and circular shift are drawn, all from `seed`. None, for
        judging: crops lie at their fixed places.

    Returns
    -------
    DataLoader
        Of what the dataset gives for B records, and labels (B, K). Its `sampler` is a :class:`BatchOrder`.

    Raises
    ------
    SettingError
        `batch_size` below 1, more workers than shared memory has room for, an augmentation that the dataset can't
        have; while going through the batches, a dataset that can't be sent to other processes.
    """
    dataset = batched(dataset)
    _check_augmentation(dataset, augmentation or Augmentation())
    check_setting("", "batch_size", batch_size, batch_size >= 1, "at least 1")
    check_setting("", "workers", workers, workers >= 0, "0 or more")
    workers = workers if dataset.labels.device.type == "cpu" else 0
    if workers:
        _check_shared_memory(dataset, batch_size, workers)
    return _Loader(
        dataset,
        sampler=BatchOrder(len(dataset), batch_size, shuffle, seed, share, augmentation),
        batch_size=None,
        num_workers=workers,
        # A fork of a process with threads, as PyTorch has them, may wait for one of them forever.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        # Of its own: DataLoader draws seeds for its workers from it, which must not change the order.
        generator=torch.Generator().manual_seed(seed),
    )


def _check_shared_memory(dataset: Dataset, batch_size: int, workers: int) -> None:
    """Refuse workers whose batches don't fit into shared memory: they would fail, and this process wait for ever."""
    if not SHARED_MEMORY.is_dir():
        return
    # Each worker prepares two batches ahead; the signals that all of them read lie there too.
    needed = 2 * workers * batch_size * _n_bytes(dataset[[0]]) + _n_bytes(dataset)
    room = shutil.disk_usage(SHARED_MEMORY).free
    if needed > room:
        raise SettingError(
            f"workers={workers} need {needed / 1e6:,.0f} MB of shared memory, but {SHARED_MEMORY} has "
            f"{room / 1e6:,.0f} MB free; use workers=0 or a smaller batch, or give a container more (--shm-size)"
        )


def _n_bytes(value: object) -> int:
    """Bytes of all tensors in a batch, or that a dataset holds."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Dataset):
        value = tuple(vars(value).values())
    return sum(map(_n_bytes, value)) if isinstance(value, tuple) else 0


class _Loader(DataLoader):
    def __iter__(self) -> Iterator:
        with deaf_to_ctrl_c(), warnings.catch_warnings():
            # PyTorch's advice before the error; ours says the same in one line.
            warnings.filterwarnings("ignore", "Got pickle error")
            try:
                return super().__iter__()
            # Python's pickle says so in either way.
            except (AttributeError, pickle.PicklingError) as error:
                raise SettingError(
                    f"workers={self.num_workers}, but this dataset can't be sent to other processes "
                    f"({brief(str(error), 200)}); define its class in a module, or use workers=0"
                ) from error


def _check_augmentation(dataset: Dataset, augmentation: Augmentation) -> None:
    whole = dataset.dataset if isinstance(dataset, Part) else dataset
    parts = getattr(whole, "parts", (whole,))
    if augmentation.gain and all(isinstance(part, RenderedImages | TiffImages) for part in parts):
        raise SettingError(f"gain={augmentation.gain:g}, but there are no signals, only images; use gain=0")
    if augmentation.roll and any(isinstance(part, TiffImages) for part in parts):
        raise SettingError("roll=True, but images on disk can't be shifted; use roll=False, or the records themselves")
    if isinstance(dataset, Batched) and (augmentation.gain or augmentation.roll):
        first = dataset[[0]][0]
        if not (isinstance(first, torch.Tensor) and first.ndim == SIGNAL_AXES):
            raise SettingError(
                "gain and roll change signals of shape (L, T), and this dataset gives something else; use gain=0 and "
                "roll=False"
            )
