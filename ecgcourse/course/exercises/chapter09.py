"""Answers to the exercises of chapter 9, AlexNet."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ecgcourse.course.exercises.judging import conditions, function

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


# --- 4: fewer parameters

MOST_PARAMETERS = 100_000
SIDES = (128, 256)


def small_network() -> nn.Module:
    """Two convolutions, the mean of each map, and one linear layer."""
    return _network(16, 32)


def _network(*channels: int, kernel: int = 5) -> nn.Module:
    pairs = zip((9, *channels), channels, strict=False)
    layers = [layer for pair in pairs for layer in (nn.Conv2d(*pair, kernel, stride=4), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 4))


class _WithoutUse(nn.Module):
    """A network with a layer that nothing goes through."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = small_network(), nn.Linear(5, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.used(images)


class _OneImage(nn.Module):
    """A network that looks at the first of the images alone."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images[:, :1])


def _makes_anew(answer: object) -> bool:
    return callable(answer) and not isinstance(getattr(answer, "function", answer), nn.Module)


def _built(answer: Callable) -> nn.Module:
    """The network, which is made anew at each call: from the same random numbers, and on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return answer().to("cpu").eval()


def _images(side: int) -> torch.Tensor:
    return torch.rand(2, 9, side, side, generator=torch.Generator().manual_seed(0))


def _takes_both_sides(answer: Callable) -> bool:
    network = _built(answer)
    with torch.no_grad():
        return all(network(_images(side)).shape == (2, 4) for side in SIDES)


def _n_parameters(answer: Callable) -> int:
    return sum(parameter.numel() for parameter in _built(answer).parameters())


def _gradients(answer: Callable) -> tuple[int, torch.Tensor]:
    """How many parameters get no gradient at all, and the largest gradient in each of the nine images."""
    network, images = _built(answer), _images(SIDES[0]).requires_grad_()
    network(images).square().sum().backward()
    idle = [each.numel() for each in network.parameters() if each.grad is None or not each.grad.any()]
    return sum(idle), images.grad.abs().amax(dim=(0, 2, 3))


# --- 5: a loss that never gets small


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, labels)


def _sigmoid_twice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return mean_loss(torch.sigmoid(logits), labels)


def _sigmoid_outside(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy(torch.sigmoid(logits), labels)


def _softmax(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, labels)


def _logits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits (N, 4) and labels; the second are so sure that float32 has no logarithm of the probability left."""
    labels = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1]])
    few = torch.tensor([[2.0, -1, 0.5, -3], [-2, 0, 1, 4]])
    return [(few, labels), (50 * few, labels)]


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
    4: conditions(
        lambda: small_network,
        (_makes_anew, small_network, "a function is needed that makes the network, without arguments."),
        (
            lambda answer: isinstance(answer(), nn.Module),
            lambda: lambda: 86_000,
            "the function has to return the network, an nn.Module: its parameters are counted here.",
        ),
        (
            _takes_both_sides,
            lambda: lambda: _network(16, 32)[:-1],
            f"four logits for each record are needed, from images of {SIDES[0]} and of {SIDES[1]} pixels.",
        ),
        (
            lambda answer: _n_parameters(answer) < MOST_PARAMETERS,
            lambda: lambda: _network(16, 256),
            lambda answer: f"it has {_n_parameters(answer):,} parameters, not less than {MOST_PARAMETERS:,}.",
        ),
        (
            lambda answer: _gradients(answer)[0] == 0,
            lambda: _WithoutUse,
            lambda answer: f"{_gradients(answer)[0]} parameters get no gradient: nothing goes through them.",
        ),
        (
            lambda answer: bool((_gradients(answer)[1] > 0).all()),
            lambda: _OneImage,
            lambda answer: f"it looks at {int((_gradients(answer)[1] > 0).sum())} of the nine images.",
        ),
        what="a function without arguments that returns a network: images (N, 9, S, S) to logits (N, 4)",
    ),
    5: function(
        mean_loss,
        (_sigmoid_twice, "that is still theirs. What does it take for a logit of 100 and a label of 1?"),
        (
            _sigmoid_outside,
            "nearly: but try a logit of −200 and a label of 1. The loss is 200, and yours stays at 100.",
        ),
        (_softmax, "that is the loss of one class out of four. These labels can be true together."),
        (
            lambda logits, labels: 4 * mean_loss(logits, labels),
            "that is the sum over the classes. The mean over records and classes is asked for.",
        ),
        tries=_logits,
        what="a function that takes logits (N, K) and labels (N, K) and returns one number",
        hint="compare with the loss by hand of this chapter.",
        rtol=1e-4,
    ),
}
