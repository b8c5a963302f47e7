"""Answers to the exercises of chapter 15, all of PTB-XL."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from ecgcourse.course.exercises.judging import function, values, word
from ecgcourse.records.ptbxl import LEADS

Array = NDArray[np.float64]
N_RECORDS = 21_799


# --- 1: at 500 Hz


def bytes_in_memory(n_leads: int = 12, fs: int = 500, sample_bytes: int = 4) -> int:
    """Bytes of ten seconds of all records."""
    return N_RECORDS * n_leads * 10 * fs * sample_bytes


# --- 3: shares of a batch


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


# --- 4: the weights taken out again


def weights_taken_out(p: Array, weights: Array) -> Array:
    """Probabilities (N, K) whose odds are those of p, divided by the positive weights (K,)."""
    return p / (p + weights * (1 - p))


def _probability_divided(p: Array, weights: Array) -> Array:
    return p / weights


def _odds(p: Array, weights: Array) -> Array:
    return p / (1 - p) / weights


def _put_in_again(p: Array, weights: Array) -> Array:
    return p * weights / (p * weights + 1 - p)


def _weight_off_the_logit(p: Array, weights: Array) -> Array:
    return expit(logit(p) - weights)


def _sum_of_one(p: Array, weights: Array) -> Array:
    return p / weights / (p / weights).sum(axis=1, keepdims=True)


def _probabilities() -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    return [(rng.uniform(0.05, 0.95, (6, k)), rng.uniform(1.5, 8, k)) for k in (5, 4)]


# --- 5: two electrodes swapped


def arms_swapped(x: Array) -> Array:
    """Twelve leads (N, 12, T) as they are recorded with the electrodes of both arms exchanged."""
    return _taken(x, {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}, turned=("I",))


def _taken(x: Array, source: dict[str, str], turned: tuple[str, ...] = ()) -> Array:
    signs = np.array([-1.0 if name in turned else 1.0 for name in LEADS])
    return x[:, [LEADS.index(source.get(name, name)) for name in LEADS]] * signs[:, None]


def _only_turned(x: Array) -> Array:
    return _taken(x, {}, turned=("I",))


def _not_turned(x: Array) -> Array:
    return _taken(x, {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"})


def _augmented_forgotten(x: Array) -> Array:
    return _taken(x, {"II": "III", "III": "II"}, turned=("I",))


def _limb_leads_turned(x: Array) -> Array:
    return _taken(x, {}, turned=LEADS[:6])


def _all_turned(x: Array) -> Array:
    return -x


def _arm_and_leg(x: Array) -> Array:
    return _taken(x, {"I": "II", "II": "I", "aVL": "aVF", "aVF": "aVL"}, turned=("III",))


def _twelve_leads() -> list[tuple[Array]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(2, 12, 7)),), (rng.normal(size=(3, 12, 4)),)]


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
    2: word(
        "refuses",
        (
            "trains with 0.5",
            "one history would then come from two different trainings. The command looks before it goes on.",
        ),
        ("trains with 0.01", "doing silently something else than what was asked for would be no better."),
        ("starts again", "that would throw two epochs away. Nothing is lost without being asked for."),
        what="'refuses', 'trains with 0.5', 'trains with 0.01' or 'starts again'",
    ),
    3: function(
        loss_factors,
        (_plain_mean, "that is the plain mean. It gives the records of a smaller share more weight."),
        (_shares, "these sum to 1, but the mean of the gradients divides by the number of processes once more."),
        (_counts, "those are the counts. The factor is count · R / B."),
        (_inverse, "upside down: the process with more records needs the larger factor."),
        (
            _rest_to_the_last,
            "records are dealt out like cards, one to each process in turn: what is left goes to the first ones.",
        ),
        tries=lambda: [(5, 3), (8, 2), (13, 4), (11, 8)],
        what="a function that takes the numbers of records and of processes, and returns a factor for each process",
        hint="deal the records out in turn and count: 5 records and 3 processes are 2, 2 and 1. Then count · R / B.",
    ),
    4: function(
        weights_taken_out,
        (_probability_divided, "you divided the probability. Divide its odds, p / (1 − p)."),
        (_odds, "those are the odds. Go back to a probability: odds / (1 + odds)."),
        (_put_in_again, "that multiplies the odds by the weights once more. They have to be taken out."),
        (_weight_off_the_logit, "on the logit a factor of the odds is a sum, but of its logarithm: subtract log w."),
        (_sum_of_one, "a record may have several classes or none: the probabilities need not sum to 1."),
        tries=_probabilities,
        what="a function that takes probabilities (N, K) and weights (K,), and returns probabilities (N, K)",
        hint="three steps: odds = p / (1 − p), divided by the weight of their class, then odds / (1 + odds).",
    ),
    5: function(
        arms_swapped,
        (_only_turned, "lead I is turned over, yes. II and III use one arm each: what becomes of them?"),
        (_not_turned, "lead I is left arm minus right arm. Exchange the two, and its sign changes."),
        (_augmented_forgotten, "aVR looks at the right arm and aVL at the left one: they change places, too."),
        (
            _limb_leads_turned,
            "not all limb leads are turned over: aVF looks at the foot, and that electrode has not moved.",
        ),
        (_all_turned, "the chest electrodes have not moved: V1 to V6 stay as they are."),
        (_arm_and_leg, "that is the left arm exchanged with the left leg. Exchange the two arms."),
        tries=_twelve_leads,
        what="a function that takes (N, 12, T), leads in the order of PTB-XL, and returns the same shape",
        hint="write each limb lead as a difference of potentials: I = LA − RA, II = LL − RA, III = LL − LA. "
        "Then exchange LA and RA.",
    ),
}
