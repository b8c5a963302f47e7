"""Answers to the exercises of chapter 18, attention and pretraining."""

import numpy as np
from numpy.typing import NDArray

from ecgcourse.course.exercises.judging import function, word

Array = NDArray[np.float64]


# --- 1: only what came before


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """Attention in which a patch sees itself and those before it: three arrays (P, d) -> (P, d)."""
    return _attention(q, k, v, np.tri(len(q), dtype=bool))


def _attention(q: Array, k: Array, v: Array, seen: NDArray[np.bool_]) -> Array:
    return _softmax(np.where(seen, q @ k.T / np.sqrt(q.shape[-1]), -np.inf), 1) @ v


def _softmax(scores: Array, axis: int) -> Array:
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _sees_all(q: Array, k: Array, v: Array) -> Array:
    return _attention(q, k, v, np.ones((len(q), len(q)), bool))


def _sees_the_future(q: Array, k: Array, v: Array) -> Array:
    return _attention(q, k, v, np.tri(len(q), dtype=bool).T)


def _zero_scores(q: Array, k: Array, v: Array) -> Array:
    return _softmax(np.tri(len(q)) * (q @ k.T / np.sqrt(q.shape[-1])), 1) @ v


def _zero_weights(q: Array, k: Array, v: Array) -> Array:
    return np.tri(len(q)) * _softmax(q @ k.T / np.sqrt(q.shape[-1]), 1) @ v


def _unscaled(q: Array, k: Array, v: Array) -> Array:
    return causal_attention(q * np.sqrt(q.shape[-1]), k, v)


def _vectors() -> list[tuple[Array, Array, Array]]:
    rng = np.random.default_rng(0)
    return [tuple(rng.normal(size=(3, n, d))) for n, d in ((5, 4), (8, 3))]


# --- 2: weights of a transformer


def transformer_weights(width: int, layers: int) -> int:
    """Weights of the chapter's patch transformer: 12 leads, patches of 25 samples, 8 positions, 4 classes."""
    return _counted(width, layers)


def _counted(width: int, layers: int, biases: int = 1, positions: int = 8, norms: int = 1, output: int = 1) -> int:
    embedding = 12 * 25 * width + biases * width
    attention = (3 + output) * (width * width + biases * width)
    mlp = 4 * width * width + biases * 3 * width
    inner = layers * (attention + mlp + norms * 4 * width) + norms * 2 * width
    return embedding + positions * width + inner + 4 * (width + biases)


def _one_lead(width: int, layers: int) -> int:
    return _counted(width, layers) - 11 * 25 * width


# --- 4: arithmetic in place of a network


def limb_leads(first: Array, second: Array) -> Array:
    """Leads III, aVR, aVL and aVF of leads I and II, each (T,): (4, T)."""
    return np.stack([second - first, -(first + second) / 2, first - second / 2, second - first / 2])


def _third_turned(first: Array, second: Array) -> Array:
    return limb_leads(first, second) * np.array([-1, 1, 1, 1])[:, None]


def _right_arm_turned(first: Array, second: Array) -> Array:
    return limb_leads(first, second) * np.array([1, -1, 1, 1])[:, None]


def _not_halved(first: Array, second: Array) -> Array:
    return limb_leads(first, second) * np.array([1, 2, 2, 2])[:, None]


def _exchanged(first: Array, second: Array) -> Array:
    return limb_leads(first, second)[[0, 1, 3, 2]]


EXERCISES = {
    1: function(
        causal_attention,
        (_sees_all, "every patch still sees all others. Hide those that come after it before the softmax."),
        (_sees_the_future, "each patch sees itself and those after it: the triangle is the other way round."),
        (
            _zero_scores,
            "a score of 0 isn't a weight of 0: exp(0) is 1. What score becomes a weight of 0?",
        ),
        (
            _zero_weights,
            "the weights of hidden patches are 0, but the others no longer sum to 1. Hide before the softmax.",
        ),
        (_unscaled, "the scores aren't divided by the square root of the vectors' length."),
        tries=_vectors,
        what="a function that takes three arrays (P, d) and returns one, (P, d)",
        hint="scores above the diagonal become -np.inf; then softmax over each row, then times v.",
    ),
    2: function(
        transformer_weights,
        (lambda width, layers: _counted(width, layers, biases=0), "the biases are missing."),
        (
            lambda width, layers: _counted(width, layers, positions=0),
            "the positional embedding is missing: 8 vectors, which are learned too.",
        ),
        (
            lambda width, layers: _counted(width, layers, norms=0),
            "the normalizations are missing: two in each layer and one at the end, each with a scale and a shift.",
        ),
        (
            lambda width, layers: _counted(width, layers, output=0),
            "attention has four linear maps: of query, key and value, and one of what the heads found.",
        ),
        (_one_lead, "a patch has 25 samples of each of twelve leads."),
        tries=lambda: [(64, 2), (32, 3), (16, 0)],
        what="a function that takes width and layers, and returns a whole number",
        hint="add up: embedding, positions, for each layer attention, MLP and two normalizations, then the last "
        "normalization and the head.",
    ),
    3: word(
        "axis",
        ("scale", "the division by the square root of d is there, and the right one."),
        ("transpose", "q @ k.T is right: row i has the products of query i with all keys."),
        ("values", "weights @ v is a weighted sum of the rows of v, as it should be. Are the weights those of a mean?"),
        what="'scale', 'axis', 'transpose' or 'values'",
    ),
    4: function(
        limb_leads,
        (_third_turned, "lead III is upside down: by Einthoven, II = I + III."),
        (_right_arm_turned, "aVR is upside down: it looks from the right arm, away from both leads."),
        (_not_halved, "the augmented leads are half of what you have."),
        (_exchanged, "aVL and aVF are exchanged: aVL is nearer to lead I, aVF to lead II."),
        tries=lambda: [tuple(np.random.default_rng(1).normal(size=(2, 7))), (np.ones(3), np.zeros(3))],
        what="a function that takes two arrays (T,) and returns four leads, (4, T)",
        hint="II = I + III; aVR = -(I + II) / 2, aVL = (I - III) / 2, aVF = (II + III) / 2.",
    ),
}
