"""Answers to the exercises of chapter 9, AlexNet."""

import numpy as np

from ecgcourse.course.exercises.judging import function

# kernel, stride, padding of the eight layers that change a side or a number of channels
_LAYERS = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0))
_KERNELS = (11, 5, 3, 3, 3)


def side_and_parameters(size: int) -> tuple[int, int]:
    """Side of the last maps, and parameters of the network at eight filters, for images of `size` pixels."""
    side = _side(size)
    return side, _in_convolutions(8) + _in_linear_layers(side * side)


def _side(size: int, one: int = 1, with_padding: bool = True) -> int:
    for kernel, stride, padding in _LAYERS:
        size = (size + 2 * padding * with_padding - kernel) // stride + one
    return size


def _in_convolutions(filters: int, biases: bool = True, images: int = 9) -> int:
    channels = (images, filters, 2 * filters, 4 * filters, 8 * filters, 256)
    pairs = zip(channels, channels[1:], _KERNELS, strict=False)
    return sum(after * (before * kernel**2 + biases) for before, after, kernel in pairs)


def _in_linear_layers(positions: int, biases: bool = True) -> int:
    widths = (256 * positions, 4096, 2048, 4)
    return sum(outputs * (inputs + biases) for inputs, outputs in zip(widths, widths[1:], strict=False))


def _without_padding(size: int) -> tuple[int, int]:
    side = _side(size, with_padding=False)
    return side, _in_convolutions(8) + _in_linear_layers(side * side)


def _without_biases(size: int) -> tuple[int, int]:
    side = _side(size)
    return side, _in_convolutions(8, biases=False) + _in_linear_layers(side * side, biases=False)


def constant_logits(labels: np.ndarray) -> np.ndarray:
    """The logits (K,) that cost least if every record gets the same ones."""
    share = labels.mean(axis=0, dtype=float)
    return np.log(share / (1 - share))


def _shares(labels: np.ndarray) -> np.ndarray:
    return labels.mean(axis=0, dtype=float)


def _labels() -> list[tuple[np.ndarray]]:
    rows = np.arange(40)[:, None]
    return [(np.array([[1, 0], [0, 1], [0, 1], [0, 1]]),), ((rows % np.array([2, 3, 5, 8]) == 0).astype(np.float32),)]


def unseen_rows(size: int) -> int:
    """How many pixel rows at the bottom of an image can be overwritten without any effect on the logits."""
    positions = (size - 11) // 4 + 1
    reached = (positions - 3) // 2 * 2 + 3
    return size - ((reached - 1) * 4 + 11)


def parameters_without_large_layers(filters: int) -> int:
    return _in_convolutions(filters) + 256 * 4 + 4


EXERCISES = {
    1: function(
        side_and_parameters,
        (
            lambda size: (_side(size), side_and_parameters(256)[1]),
            "the side is right. But the first linear layer looks at every position of the last maps, so it shrinks.",
        ),
        (
            lambda size: (_side(size), _in_convolutions(8) + _in_linear_layers(_side(size))),
            "the side is right. The last maps have side · side positions, not side.",
        ),
        (
            _without_biases,
            "the side is right. Every filter, and every output of a linear layer, has a bias too.",
        ),
        (
            _without_padding,
            "the convolutions after the first have padding: it keeps the side as it is.",
        ),
        tries=lambda: [(256,), (128,), (224,), (67,)],
        what="a function that takes the side of an image and returns two whole numbers: the side of the last maps, and "
        "the number of parameters at eight filters",
        hint="follow the side through LAYERS first. Only the first linear layer depends on it, by its "
        "256 · side · side inputs.",
    ),
    2: function(
        constant_logits,
        (
            _shares,
            "those are the best probabilities. Which logit does the sigmoid turn into such a probability?",
        ),
        (
            lambda labels: _shares(labels) / (1 - _shares(labels)),
            "those are the odds. The logit is their logarithm.",
        ),
        (
            lambda labels: -constant_logits(labels),
            "the sign is the other way round: a rare class needs a logit below 0.",
        ),
        (
            lambda labels: np.log(_shares(labels)),
            "the sigmoid of log p isn't p: solve 1 / (1 + exp(−z)) = p for z.",
        ),
        (
            lambda labels: np.zeros(labels.shape[1]),
            "that is the answer of a network that knows nothing. This one knows how frequent each class is.",
        ),
        tries=_labels,
        what="a function that takes labels (N, K) and returns one logit per class (K,)",
        hint="for one class with the share p of positives, set the derivative of the mean loss to 0.",
    ),
    3: function(
        unseen_rows,
        (
            lambda size: (size - 11) % 4,
            "those are the rows that no window of the first convolution reaches. The pooling after it leaves "
            "something over as well.",
        ),
        (
            lambda size: (size - 11) % 4 + ((size - 11) // 4 + 1 - 3) % 2,
            "what the pooling leaves over is a row of the map. How many pixel rows further does one such row reach?",
        ),
        (
            lambda size: size - unseen_rows(size),
            "that is how many rows are seen. How many are not?",
        ),
        (
            lambda size: size - 1 - unseen_rows(size),
            "that is the number of the last row that is seen. How many come after it?",
        ),
        tries=lambda: [(256,), (255,), (260,), (128,), (67,)],
        what="a function that takes the side of an image and returns a number of rows",
        hint="find the last position of the first convolution that a pooling window reaches, and the last pixel that "
        "this position reaches.",
    ),
    4: function(
        parameters_without_large_layers,
        (
            _in_convolutions,
            "those are the convolutions alone. The new linear layer has parameters too.",
        ),
        (
            lambda filters: _in_convolutions(filters) + 256 * 4,
            "the new linear layer has a bias for each class as well.",
        ),
        (
            lambda filters: _in_convolutions(filters, biases=False) + 256 * 4 + 4,
            "each filter of a convolution has a bias as well.",
        ),
        (
            lambda filters: _in_convolutions(filters) + 9216 * 4 + 4,
            "a mean of 6 · 6 positions is one number per map: 256 numbers go into the new layer.",
        ),
        (
            lambda filters: _in_convolutions(filters, images=1) + 256 * 4 + 4,
            "a filter of the first convolution has a table of weights for each of the nine images.",
        ),
        tries=lambda: [(8,), (4,), (16,)],
        what="a function that takes the number of filters of the first convolution and returns a number of parameters",
        hint="from c to d channels a convolution has d (c k² + 1) parameters; the channels are 9, f, 2f, 4f, 8f, 256.",
    ),
}
