"""Answers to the exercises of chapter 15, all of PTB-XL."""

import numpy as np
from numpy.typing import NDArray

from ecgcourse.course.exercises.judging import conditions, function, values

Array = NDArray[np.float64]
N_RECORDS = 21_799
MULTIPLICATIONS, MACRO_AUROC = 23_451_136, 0.86  # of the chapter's network; what the small one must reach


# --- 1: at 500 Hz


def bytes_in_memory(n_leads: int = 12, fs: int = 500, sample_bytes: int = 4) -> int:
    """Bytes of ten seconds of all records."""
    return N_RECORDS * n_leads * 10 * fs * sample_bytes


# --- 3: find the fault: shares of a batch


def loss_factors(n_records: int, n_processes: int) -> Array:
    """Factor on each process's loss, the records of the batch being dealt out in turn."""
    return _dealt(n_records, n_processes) * n_processes / n_records


def _dealt(n_records: int, n_processes: int) -> Array:
    return np.array([len(range(rank, n_records, n_processes)) for rank in range(n_processes)], dtype=float)


def _plain_mean(n_records: int, n_processes: int) -> Array:
    return np.ones(n_processes)


def _shares(n_records: int, n_processes: int) -> Array:
    return _dealt(n_records, n_processes) / n_records


def _counts(n_records: int, n_processes: int) -> Array:
    return _dealt(n_records, n_processes)


def _inverse(n_records: int, n_processes: int) -> Array:
    return n_records / (_dealt(n_records, n_processes) * n_processes)


def _rest_to_the_last(n_records: int, n_processes: int) -> Array:
    counts = np.full(n_processes, float(n_records // n_processes))
    counts[-1] += n_records % n_processes
    return counts * n_processes / n_records


EXERCISES = {
    1: values(
        bytes_in_memory,
        (lambda: bytes_in_memory(sample_bytes=2), "two bytes a sample is what lies on disk. A float32 has four."),
        (lambda: bytes_in_memory(fs=100), "that is at 100 Hz."),
        (lambda: bytes_in_memory(sample_bytes=8), "eight bytes a sample is a float64. Asked for is float32."),
        (lambda: bytes_in_memory(n_leads=3), "those are three leads. Asked for are all twelve."),
        (lambda: bytes_in_memory() / 1e9, "that is in GB. Asked for are bytes."),
        (lambda: bytes_in_memory() / 10, "that is one second of each record. A record has ten."),
        what="a whole number of bytes",
        hint="records times leads times samples times four bytes; at 500 Hz ten seconds are 5000 samples.",
        rtol=0,
    ),
    2: conditions(
        lambda: {"multiplications": 2_200_000, "auroc": 0.88},
        (
            lambda answer: answer["multiplications"] > 0 and answer["multiplications"] % 1 == 0,
            lambda: {"multiplications": 0.09, "auroc": 0.88},
            "asked is how many multiplications the forward pass of one record takes: a whole number.",
        ),
        (
            lambda answer: answer["multiplications"] < MULTIPLICATIONS / 10,
            lambda: {"multiplications": MULTIPLICATIONS // 2, "auroc": 0.88},
            "that is a tenth of 23,451,136 or more. A convolution's multiplications go with its filters times those of "
            "the layer before.",
        ),
        (
            lambda answer: answer["auroc"] <= 1,
            lambda: {"multiplications": 2_200_000, "auroc": 88.0},
            "an AUROC lies between 0 and 1.",
        ),
        (
            lambda answer: answer["auroc"] < 0.99,
            lambda: {"multiplications": 2_200_000, "auroc": 0.995},
            "some labels are wrong, so even perfect answers stay below that. Were these records among the training's?",
        ),
        (
            lambda answer: answer["auroc"] >= MACRO_AUROC,
            lambda: {"multiplications": 2_200_000, "auroc": 0.79},
            "the macro AUROC is below 0.86. A small network may need another learning rate, or more epochs.",
        ),
        what='{"multiplications": …, "auroc": …}, a whole number and a macro AUROC',
    ),
    3: function(
        loss_factors,
        (_plain_mean, "that is the plain mean. It gives the records of a smaller share more weight."),
        (_shares, "these sum to 1, but the mean of the gradients divides by the number of processes once more."),
        (_counts, "those are the counts. The factor is count · R / B."),
        (_inverse, "upside down: the process with more records needs the larger factor."),
        (
            _rest_to_the_last,
            "that is the function as it was shown. Compare its counts with the lengths in batches_of(rank, 3)[-1].",
        ),
        tries=lambda: [(5, 3), (8, 2), (13, 4), (11, 8)],
        what="a function that takes the numbers of records and of processes, and returns a factor for each process",
        hint="write down who gets which of 5 records when three processes take turns. The formula is count · R / B.",
    ),
}
