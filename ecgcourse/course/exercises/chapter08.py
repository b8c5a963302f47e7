"""Answers to the exercises of chapter 8, datasets and loaders."""

import io
import pickle
import zipfile
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from ecgcourse.course.exercises.judging import conditions, function
from ecgcourse.records import ptbxl


def batches_of(n_records: int, batch_size: int) -> tuple[int, int]:
    """How many batches an epoch has, and how many records are in the last one."""
    n_batches = -(-n_records // batch_size)
    return n_batches, n_records - (n_batches - 1) * batch_size


def standardized(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Leads (N, L, T) minus the mean of each lead in folds 1 to 8, divided by its standard deviation there."""
    return _standardized(x, x[fold <= 8])


def _standardized(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    return (x - known.mean(axis=(0, 2), keepdims=True)) / known.std(axis=(0, 2), keepdims=True)


def _each_part_by_itself(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    found = np.empty_like(x)
    for part in (fold <= 8, fold == 9, fold == 10):
        found[part] = _standardized(x[part], x[part])
    return found


def _each_record_by_itself(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=2, keepdims=True)) / x.std(axis=2, keepdims=True)


def _folded() -> list[tuple[np.ndarray, np.ndarray]]:
    """Leads (N, L, T) whose later folds have other voltages, and the folds."""
    rng = np.random.default_rng(0)
    found = []
    for fold in (np.repeat(np.arange(1, 11), 2), rng.permutation(np.repeat(np.arange(1, 11), 3))):
        size = 1 + 0.2 * fold[:, None, None]
        found.append((size * rng.normal([[0.1], [0.2], [-0.1]], [[0.5], [1], [0.7]], (len(fold), 3, 40)), fold))
    return found


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


LEAST_SHARE = 0.2
"""What share of the records drawn each class must have at least."""

LEAST_NUMBER = 0.7
"""The least effective number of records, as a share of all."""


def drawing_weights(labels: np.ndarray) -> np.ndarray:
    """The most even weights (N,) with which no class is rarer than LEAST_SHARE: the shortest vector that does it."""
    rare = labels[:, labels.mean(axis=0) < LEAST_SHARE]
    wanted = np.append(np.full(rare.shape[1], LEAST_SHARE + 1e-6), 1)
    return np.linalg.pinv(np.column_stack([rare, np.ones(len(rare))]).T) @ wanted


def _by_the_rarest(labels: np.ndarray) -> np.ndarray:
    none = ~labels.any(axis=1)
    return np.where(none, 1 / none.mean(), (labels / labels.mean(axis=0)).max(axis=1))


@lru_cache(maxsize=1)
def _rare() -> np.ndarray:
    """Labels (400, 4), of which the last class is rare and comes with the second half of the time."""
    rng = np.random.default_rng(0)
    labels = rng.random((400, 4)) < [0.18, 0.22, 0.18, 0.05]
    labels[:, 1] |= labels[:, 3] & (rng.random(400) < 0.5)
    return labels.astype(np.float32)


def _weights(answer: Callable) -> np.ndarray:
    return np.asarray(answer(_rare().copy()), dtype=float)


def _shares(answer: Callable) -> np.ndarray:
    return _weights(answer) @ _rare() / _weights(answer).sum()


def _effective(answer: Callable) -> float:
    weights = _weights(answer)
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def _rarest(answer: Callable) -> str:
    shares = _shares(answer)
    return f"{ptbxl.CLASSES[shares.argmin()]} is in {shares.min():.1%} of the records drawn, not in {LEAST_SHARE:.0%}."


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
        standardized,
        (lambda x, fold: _standardized(x, x), "that is still theirs. Which records do its two numbers come from?"),
        (
            _each_part_by_itself,
            "each part has its own mean now. In use a record comes alone, and the network knows the one of training.",
        ),
        (
            lambda x, fold: _standardized(x, x[fold <= 9]),
            "fold 9 chooses settings. It isn't there to be learned from, either.",
        ),
        (_each_record_by_itself, "each record is scaled by itself, which forgets its voltage. That isn't asked for."),
        (lambda x, fold: standardized(x, fold)[fold <= 8], "the records of all folds are to be scaled."),
        tries=_folded,
        what="a function that takes leads (N, L, T) and folds (N,), and returns scaled leads (N, L, T)",
        hint="what may a network know of the records that judge it?",
        rtol=1e-4,
        atol=1e-6,
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
        hint="an epoch draws one random order of all records. What does this chapter draw it with?",
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
            lambda answer: _weights(answer).shape == (len(_rare()),),
            lambda: lambda labels: 1 / labels.mean(axis=0),
            "the sampler wants one weight per record, not one per class.",
        ),
        (
            lambda answer: np.isfinite(_weights(answer)).all() and (_weights(answer) > 0).all(),
            lambda: lambda labels: labels.any(axis=1).astype(float),
            "each weight has to be above 0, or its record is never drawn.",
        ),
        (lambda answer: _shares(answer).min() >= LEAST_SHARE, lambda: lambda labels: np.ones(len(labels)), _rarest),
        (
            lambda answer: _effective(answer) >= LEAST_NUMBER,
            lambda: _by_the_rarest,
            lambda answer: (
                f"no class is too rare, but the effective number is {_effective(answer):.2f} N. The bar is "
                f"{LEAST_NUMBER} N."
            ),
        ),
        what="a function that takes labels (N, K) and returns one weight per record (N,)",
    ),
}
