"""Answers to the exercises of chapter 12, the signal sub-network."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from ecgcourse.course.exercises.judging import conditions, function, values

GATES = ("input", "forget", "proposal", "output")
THRESHOLD = 2
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "1"), ("false", "no", "0")

Gates = dict[str, tuple[float, float]]


# --- 1: counting


def gru_weights(hidden: int = 64, leads: int = 12, directions: int = 2, matrices: int = 3, biases: int = 2) -> int:
    one_direction = matrices * hidden * (leads + hidden + biases)
    return directions * one_direction + 4 * (directions * hidden + 1)


# --- 2: a second of memory


def bias_for(seconds: float, fs: float) -> float:
    """Bias of the update gate with which half of the hidden state is left after `seconds`."""
    return float(logit(_share_kept(seconds, fs)))


def _share_kept(seconds: float, fs: float) -> float:
    return 0.5 ** (1 / (seconds * fs))


def _half_at_every_sample(seconds: float, fs: float) -> float:
    return 0.0


def _logarithm_alone(seconds: float, fs: float) -> float:
    return float(np.log(_share_kept(seconds, fs)))


def _for_what_is_lost(seconds: float, fs: float) -> float:
    return -bias_for(seconds, fs)


def _a_third_is_left(seconds: float, fs: float) -> float:
    return float(logit(np.exp(-1 / (seconds * fs))))


def _without_the_rate(seconds: float, fs: float) -> float:
    return float(logit(0.5 ** (1 / seconds)))


# --- 3: a counter


def counting_gates() -> Gates:
    """For each gate of an LSTM unit the weight of the sample and the bias."""
    return {"input": (1e4, -2e4), "forget": (0.0, 1e3), "proposal": (0.0, 20.0), "output": (0.0, 0.0)}


def _counting_but(**other: tuple[float, float]) -> Callable[[], Gates]:
    return lambda: counting_gates() | other


def _gate(gates: Gates, name: str, x: np.ndarray) -> np.ndarray:
    weight, bias = gates[name]
    return np.asarray(x, dtype=float) * weight + bias


def _has_four_pairs(gates: Gates) -> bool:
    return isinstance(gates, dict) and set(gates) == set(GATES) and all(np.shape(gates[name]) == (2,) for name in GATES)


def _keeps_all(gates: Gates) -> bool:
    return bool((expit(_gate(gates, "forget", np.linspace(-6, 8, 50))) > 1 - 1e-6).all())


def _adds_one(gates: Gates) -> bool:
    return bool((np.tanh(_gate(gates, "proposal", np.linspace(THRESHOLD, 8, 50))) > 0.999).all())


def _opens_at_the_threshold(gates: Gates) -> bool:
    below, above = expit(_gate(gates, "input", [THRESHOLD - 0.1, THRESHOLD + 0.1]))
    return bool(below < 0.5 < above)


def _counts(gates: Gates) -> bool:
    rng = np.random.default_rng(0)
    return all(_is_right_count(gates, rng.normal(0, 2, 500)) for _ in range(3))


def _is_right_count(gates: Gates, lead: np.ndarray) -> bool:
    # The other weights are zero, so the gates don't depend on the hidden state.
    kept, let_in = (expit(_gate(gates, name, lead)) for name in ("forget", "input"))
    cell = 0.0
    for share, added in zip(kept, let_in * np.tanh(_gate(gates, "proposal", lead)), strict=True):
        cell = share * cell + added
    return abs(cell - np.count_nonzero(lead > THRESHOLD)) < 0.5


# --- 4: find the fault: false is true


def as_bool(text: str) -> bool:
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise ArgumentTypeError(f"{text} is neither yes nor no")


def _never(text: str) -> bool:
    return False


def _as_it_is_spelled(text: str) -> bool:
    return text not in ("False", "no", "0")


def _in_the_list(text: str) -> bool:
    return text.lower() in TRUE_WORDS


def _refuses(answer: Callable[[str], bool], text: str) -> bool:
    try:
        answer(text)
    except (ArgumentTypeError, TypeError, ValueError):
        return True
    return False


EXERCISES = {
    1: values(
        gru_weights,
        (
            lambda: gru_weights(directions=1),
            "that is one direction. The other has matrices of its own, and the linear layer reads from both.",
        ),
        (
            lambda: gru_weights() - 4 * 64,
            "the linear layer is too small: it reads 64 numbers from each direction.",
        ),
        (
            lambda: gru_weights(biases=1),
            "PyTorch gives both gates and the candidate two biases each: one for the input, one for the hidden state.",
        ),
        (
            lambda: gru_weights(matrices=4),
            "four matrices of each kind are an LSTM's. A GRU has two gates and a proposal.",
        ),
        (
            lambda: gru_weights() - 4,
            "the four logits have biases, too.",
        ),
        what="a whole number",
        hint="one direction first: three matrices of 64 × 12, three of 64 × 64, two biases of 3 · 64. Then the logits.",
        rtol=0,
    ),
    2: function(
        bias_for,
        (
            _half_at_every_sample,
            "with this bias the gate is 1/2 at every sample, so half is gone after one sample, not after a second.",
        ),
        (_share_kept, "that is the share that a sample keeps. The bias is what the sigmoid makes this share of."),
        (_logarithm_alone, "the logarithm of the share is not enough: undo the sigmoid, log(z / (1 − z))."),
        (
            _for_what_is_lost,
            "the sign is the other way round: in PyTorch the update gate is the share that stays, near 1 here.",
        ),
        (_a_third_is_left, "after this time 1/e is left, about 37 %. Asked for is a half."),
        (_without_the_rate, "how many steps are that many seconds? The unit takes fs of them each second."),
        tries=lambda: [(1, 100), (0.25, 100), (2, 500)],
        what="a function that takes seconds and a sampling rate in Hz and returns a bias",
        hint="after n steps zⁿ is left. Solve zⁿ = 1/2 for z, then σ(b) = z for b.",
    ),
    3: conditions(
        counting_gates,
        (
            _has_four_pairs,
            lambda: {"input": (1e4, -2e4)},
            "needed is a dict with a pair (weight, bias) for each of 'input', 'forget', 'proposal' and 'output'.",
        ),
        (
            _keeps_all,
            _counting_but(forget=(0.0, 0.0)),
            "the forget gate lets the count fade. Which bias keeps it at 1, whatever the sample?",
        ),
        (
            _adds_one,
            _counting_but(proposal=(0.0, 0.0)),
            "each counted sample must add 1, so the proposal, a tanh, has to be near 1 above the threshold.",
        ),
        (
            _opens_at_the_threshold,
            _counting_but(input=(1e4, 0.0)),
            f"the input gate must be shut below {THRESHOLD} and open above: weight · {THRESHOLD} + bias = 0.",
        ),
        (
            _counts,
            _counting_but(input=(5.0, -10.0)),
            "the input gate opens at the right place but too gently: samples near the threshold count in part.",
        ),
        what="a dict with a pair (weight, bias) for each gate",
    ),
    4: conditions(
        lambda: as_bool,
        (
            lambda answer: not answer("False"),
            lambda: bool,
            "it calls 'False' true. A text is true unless it is empty: compare what is written there.",
        ),
        (
            lambda answer: bool(answer("True")),
            lambda: _never,
            "it calls 'True' false.",
        ),
        (
            lambda answer: not any(answer(text) for text in ("false", "FALSE", "no", "0")),
            lambda: _as_it_is_spelled,
            "people write 'false' and 'FALSE', too, and 'no' and '0': compare without capitals.",
        ),
        (
            lambda answer: all(answer(text) for text in ("true", "yes", "1")) and _refuses(answer, "ture"),
            lambda: _in_the_list,
            "'true', 'yes' and '1' are true, and 'ture' is neither: a slip must not mean no. Raise ValueError.",
        ),
        what="a function that takes a text and returns True or False, or raises ValueError",
    ),
    5: conditions(
        lambda: {"before": 0.74, "after": 0.78},
        (
            lambda areas: all(0 < areas[name] <= 1 for name in ("before", "after")),
            lambda: {"before": 74.0, "after": 78.0},
            "AUROCs lie between 0 and 1.",
        ),
        (
            lambda areas: 0.6 < areas["before"] < 0.9,
            lambda: {"before": 0.5, "after": 0.78},
            "the chapter's GRU came to something else: it is in `areas`.",
        ),
        (
            lambda areas: areas["after"] < 0.98,
            lambda: {"before": 0.74, "after": 0.99},
            "some labels are wrong, so nobody gets that far. Which records did you ask about?",
        ),
        (
            lambda areas: areas["after"] > areas["before"],
            lambda: {"before": 0.74, "after": 0.73},
            "that isn't better. Must it be the last hidden state that decides, or can others have a say?",
        ),
        what='{"before": …, "after": …}, two macro AUROCs',
    ),
}
