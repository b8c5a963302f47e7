"""The plain convolutional network of Narotamo et al. 2024."""

import torch
from torch import nn

from ecgcourse.models.network import Network


class CNN(Network):
    """Three convolutions, two poolings, three linear layers.

    With few layers, but not small: at ``image_size=256`` the last map is 62 a side, so 64 · 62 · 62 = 246,016
    numbers meet 2048 others in the first linear layer, which alone has 503,842,816 weights and takes 2 GB.
    Half the side leaves 118 million.

    Parameters
    ----------
    filters : int
        Filters f of the first convolution; the next two have 2f and 4f.
    hidden : int
        Outputs of the first linear layer; the second has half as many.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 12.
    dropout : float
        Dropout probability, of whole channels before the first linear layer and of its outputs.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    inputs = ("images",)
    smallest = 12

    def __init__(
        self,
        filters: int = 16,
        hidden: int = 2048,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.3,
    ):
        super().__init__()
        f, side = filters, _half(_half(image_size - 2))
        self.embedding_size = max(1, hidden // 2)
        self.features = nn.Sequential(
            *_convolution(in_channels, f, padding=0),
            nn.MaxPool2d(4, stride=2),
            *_convolution(f, 2 * f),
            *_convolution(2 * f, 4 * f),
            nn.MaxPool2d(4, stride=2),
            nn.Dropout2d(dropout),
            nn.Flatten(),
            nn.Linear(4 * f * side * side, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, self.embedding_size),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(self.embedding_size, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `embedding_size`)."""
        self.check_images(images)
        return self.features(images)


def _convolution(channels_in: int, channels_out: int, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, padding=padding), nn.ReLU(inplace=True)]


def _half(side: int) -> int:
    """Side after a pooling of 4 pixels in steps of 2."""
    return (side - 4) // 2 + 1
