"""VGG-11 and VGG-16 for nine images. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.network import Network

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
"""Convolutions before each of the five poolings (Simonyan and Zisserman 2015, table 1, columns A and D)."""


class VGG(Network):
    """3 × 3 convolutions between five poolings that halve the side, then three linear layers.

    Narotamo et al. 2024 took 16 layers, 16 filters and dropout 0.3; Simonyan and Zisserman (2015) had 64
    filters and dropout 0.5. The original's code applies dropout in evaluation too; here only in training.

    Parameters
    ----------
    depth : {11, 16}
        Layers with weights.
    filters : int
        Filters f before the first pooling; then 2f, 4f, 8f and 8f.
    hidden : int
        Outputs of each of the first two linear layers.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 32.
    dropout : float
        Dropout probability after each of the first two linear layers.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Simonyan, K., Zisserman, A. (2015). Very deep convolutional networks for large-scale image recognition.
    ICLR. arXiv:1409.1556.
    """

    inputs = ("images",)
    smallest = 32
    choices = {"depth": tuple(CONVOLUTIONS)}

    def __init__(
        self,
        depth: int = 16,
        filters: int = 16,
        hidden: int = 4096,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.embedding_size = hidden
        self.features = nn.Sequential(
            *_convolutions(in_channels, filters, CONVOLUTIONS[depth]),
            nn.Flatten(),
            *_linear(8 * filters * (image_size // 32) ** 2, hidden, dropout),
            *_linear(hidden, hidden, dropout),
        )
        self.head = nn.Linear(hidden, n_classes)
        self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        self.check_images(images)
        return self.features(images)


def _convolutions(channels: int, filters: int, counts: tuple[int, ...]) -> list[nn.Module]:
    layers = []
    for count, factor in zip(counts, (1, 2, 4, 8, 8), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, factor * filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = factor * filters
        layers.append(nn.MaxPool2d(2))
    return layers


def _linear(n_in: int, n_out: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]


def _init(layer: nn.Module) -> None:
    # Sixteen layers without normalization learn nothing from PyTorch's own start, which shrinks signals.
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
