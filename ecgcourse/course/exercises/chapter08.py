"""Answers to the exercises of chapter 8, datasets and loaders."""

import io
import pickle
import zipfile
from collections.abc import Callable

import numpy as np
import torch

from ecgcourse.course.exercises.judging import conditions, function
from ecgcourse.records import ptbxl


def batches_of(n_records: int, batch_size: int) -> tuple[int, int]:
    """How many batches an epoch has, and how many records are in the last one."""
    n_batches = -(-n_records // batch_size)
    return n_batches, n_records - (n_batches - 1) * batch_size


def rows_with_any(labels: np.ndarray) -> np.ndarray:
    return np.flatnonzero(labels.any(axis=1))


def _labels() -> list[tuple[np.ndarray]]:
    made = np.random.default_rng(0).integers(2, size=(20, 4)) * np.array([1, 0, 1, 1])
    made[::4] = 0
    return [(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]),), (made.astype(np.float32),)]


def shuffled_batch(n_records: int, batch_size: int, seed: int, number: int) -> torch.Tensor:
    """The numbers of the records in one batch, counted from 0, of the first epoch."""
    return _batch(_order(n_records, seed), batch_size, number)


def _order(n_records: int, seed: int) -> torch.Tensor:
    return torch.randperm(n_records, generator=torch.Generator().manual_seed(seed))


def _batch(order: np.ndarray | torch.Tensor, batch_size: int, number: int) -> np.ndarray | torch.Tensor:
    return order[number * batch_size : (number + 1) * batch_size]


def _drawn_with_replacement(n_records: int, batch_size: int, seed: int, number: int) -> torch.Tensor:
    drawn = torch.randint(n_records, (n_records,), generator=torch.Generator().manual_seed(seed))
    return _batch(drawn, batch_size, number)


def _shuffled_by_numpy(n_records: int, batch_size: int, seed: int, number: int) -> np.ndarray:
    return _batch(np.random.default_rng(seed).permutation(n_records), batch_size, number)


# The last batch of 60 records has 12.
_CALLS = [(60, 16, 7, 0), (60, 16, 7, 1), (60, 16, 0, 3), (10, 4, 3, 2)]


def packed(x: np.ndarray, labels: np.ndarray) -> bytes:
    return _npz(signals=x, labels=labels, classes=np.array(ptbxl.CLASSES))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _records() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(size=(5, 3, 50)).astype(np.float32), rng.integers(2, size=(5, 4)).astype(np.float32)


def _unpacked(pack: Callable) -> dict[str, np.ndarray]:
    """The arrays of an .npz archive, read as a careful receiver does; empty for any other file."""
    try:
        with np.load(io.BytesIO(pack(*_records())), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, AttributeError, zipfile.BadZipFile):
        return {}


def _came_through(pack: Callable) -> bool:
    found, (x, labels) = _unpacked(pack), _records()
    return np.array_equal(found["signals"], x) and np.array_equal(found["labels"], labels)


def drawing_weights(has_class: np.ndarray) -> np.ndarray:
    """One weight per record (N,): half of the records drawn have the class."""
    return np.where(has_class, 1 / has_class.sum(), 1 / (~has_class).sum())


def _rare() -> np.ndarray:
    return np.arange(40) % 5 == 2


def _weights(answer: Callable) -> np.ndarray:
    return np.asarray(answer(_rare()), dtype=float)


def _drawn_share(answer: Callable) -> float:
    return float(_weights(answer)[_rare()].sum() / _weights(answer).sum())


def _is_even(answer: Callable) -> bool:
    return all(np.allclose(group, group[0]) for group in (_weights(answer)[_rare()], _weights(answer)[~_rare()]))


EXERCISES = {
    1: function(
        batches_of,
        (
            lambda n, size: (n // size, n % size),
            "the records that are left over make a batch of their own: round the number of batches up.",
        ),
        (
            lambda n, size: (n // size + 1, n % size),
            "try 64 records in batches of 16. Nothing is left over, so there is no further batch.",
        ),
        (
            lambda n, size: (-(-n // size), n % size),
            "try 64 records in batches of 16. The last batch is full, not empty.",
        ),
        (
            lambda n, size: (n // size, size),
            "that is what drop_last=True does: the records that are left over are never used.",
        ),
        tries=lambda: [(17_111, 64), (60, 16), (64, 16), (5, 8)],
        what="a function that takes the number of records and the batch size, and returns two whole numbers: how many "
        "batches there are, and how many records the last one has",
        hint="count by hand for 60 records in batches of 16: 16, 16, 16, 12.",
    ),
    2: function(
        rows_with_any,
        (
            lambda labels: np.flatnonzero(labels.sum(axis=1) == 1),
            "those are the records with exactly one class. A record may have several.",
        ),
        (
            lambda labels: labels.any(axis=1),
            "that is one yes or no per record. Their numbers are needed: np.flatnonzero finds them.",
        ),
        (
            lambda labels: np.flatnonzero(labels.any(axis=0)),
            "those are the numbers of classes. Look along the other axis: one row per record.",
        ),
        (
            lambda labels: np.flatnonzero(~labels.any(axis=1)),
            "those are the records with none of the four classes.",
        ),
        (
            lambda labels: rows_with_any(labels) + 1,
            "Python counts records from 0.",
        ),
        tries=_labels,
        what="a function that takes labels (N, K) and returns the numbers of some of the N records",
        hint="a record is in if its row of labels holds a 1 anywhere.",
    ),
    3: function(
        shuffled_batch,
        (
            lambda n, size, seed, number: _batch(np.arange(n), size, number),
            "those are the batches without shuffling.",
        ),
        (
            lambda n, size, seed, number: _order(n, seed)[number : number + size],
            "batch number 1 starts where batch number 0 ends, not one record later.",
        ),
        (
            _shuffled_by_numpy,
            "NumPy's generator makes another order from the same seed. The loader uses PyTorch's.",
        ),
        (
            _drawn_with_replacement,
            "so some records come twice and others never. An epoch is a permutation: torch.randperm.",
        ),
        tries=lambda: _CALLS,
        what="a function that takes the number of records, the batch size, the seed and the batch's number, and "
        "returns record numbers",
        hint="draw the whole permutation from torch.Generator().manual_seed(seed), then cut the batch out of it.",
    ),
    4: conditions(
        lambda: packed,
        (
            callable,
            lambda: packed(*_records()),
            "a function is needed that takes signals and labels, so that it can be tried on others.",
        ),
        (
            lambda pack: isinstance(pack(*_records()), bytes),
            lambda: lambda x, labels: {"signals": x, "labels": labels},
            "what it returns has to be bytes, as they would stand in the file: buffer.getvalue().",
        ),
        (
            lambda pack: not pack(*_records()).startswith(b"\x80"),
            lambda: lambda x, labels: pickle.dumps({"signals": x, "labels": labels}),
            "this is a pickle: the receiver has to run its instructions to read it.",
        ),
        (
            lambda pack: bool(_unpacked(pack)),
            lambda: lambda x, labels: _npz(both=np.array([{"signals": x, "labels": labels}], dtype=object)),
            "np.load(…, allow_pickle=False) finds no arrays by name. Use np.savez, on arrays of numbers only.",
        ),
        (
            lambda pack: {"signals", "labels"} <= _unpacked(pack).keys(),
            lambda: lambda x, labels: _npz(x=x, y=labels),
            "name the arrays: np.savez(buffer, signals=…, labels=…, classes=…).",
        ),
        (
            _came_through,
            lambda: lambda x, labels: _npz(signals=x.astype(np.float16), labels=labels),
            "the signals and the labels that are read back differ from those that were given.",
        ),
        (
            lambda pack: _unpacked(pack)["classes"].tolist() == list(ptbxl.CLASSES),
            lambda: lambda x, labels: _npz(signals=x, labels=labels, classes=np.array(sorted(ptbxl.CLASSES))),
            "the receiver can't know which column of the labels is which class: classes holds their names in order.",
        ),
        what="a function that takes signals (N, L, T) and labels (N, K) and returns the bytes of an .npz file with "
        "signals, labels and classes",
    ),
    5: conditions(
        lambda: drawing_weights,
        (
            callable,
            lambda: drawing_weights(_rare()),
            "a function is needed, so that it can be tried on other records.",
        ),
        (
            lambda answer: _weights(answer).shape == _rare().shape,
            lambda: lambda has_class: [1 / has_class.sum(), 1 / (~has_class).sum()],
            "the sampler wants one weight per record, not one per kind of record.",
        ),
        (
            lambda answer: np.isfinite(_weights(answer)).all() and (_weights(answer) > 0).all(),
            lambda: lambda has_class: has_class / has_class.sum(),
            "so the records without the class are never drawn. Half of those drawn should be of them.",
        ),
        (
            _is_even,
            lambda: lambda has_class: np.where(has_class, 1.0, np.arange(len(has_class)) + 1),
            "two records of the same kind should be drawn equally often.",
        ),
        (
            lambda answer: not np.isclose(_drawn_share(answer), _rare().mean()),
            lambda: lambda has_class: np.full(len(has_class), 1 / len(has_class)),
            "with equal weights the class stays as rare as it is.",
        ),
        (
            lambda answer: np.isclose(_drawn_share(answer), 0.5),
            lambda: lambda has_class: np.where(has_class, 2.0, 1.0),
            "add up the weights of the records with the class, and those of the others: the two sums must be equal.",
        ),
        what="a function that takes has_class (N,), True or False, and returns one weight per record (N,)",
    ),
}
