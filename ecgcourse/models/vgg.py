"""VGG-11, VGG-16, and the ten layers of Narotamo et al. 2024, for nine images."""

import torch
from torch import nn

from ecgcourse.models.network import Network

CONVOLUTIONS = {10: (2, 2, 3), 11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
"""Convolutions before each of the poolings (11 and 16: Simonyan and Zisserman 2015, table 1, columns A and D)."""

FACTORS = (1, 2, 4, 8, 8)
"""How many times more filters than before the first pooling there are before each."""


class VGG(Network):
    """3 × 3 convolutions between poolings that halve the side, then three linear layers.

    Narotamo et al. 2024 call theirs VGG16, but their code runs seven convolutions and three poolings only:
    ``depth=10``. The side is left at 32, so that 65,536 numbers meet the first linear layer, and 285,347,124 weights
    come together, more than five times as many as in all 16 layers. (One of their two versions makes the other six
    convolutions, too, which nothing runs; with them it has 286,158,900.) They took 16 filters and dropout 0.3; Simonyan
    and Zisserman (2015) had 64 filters and dropout 0.5. The original drops 0.3 among the convolutions and 0.5 between
    the linear layers, in evaluation too; here dropout is between the linear layers, and in training only.

    Parameters
    ----------
    depth : {10, 11, 16}
        Layers with weights.
    filters : int
        Filters f before the first pooling; then 2f and 4f, and, but for a depth of 10, 8f and 8f.
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
    init : {"he", "pytorch"}
        How the random weights of convolutions start: by He et al. (2015), or in PyTorch's own way, as those of
        Narotamo et al. Sixteen layers learn nothing from the latter, which shrinks signals.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Simonyan, K., Zisserman, A. (2015). Very deep convolutional networks for large-scale image recognition.
    ICLR. arXiv:1409.1556.

    He, K., Zhang, X., Ren, S., Sun, J. (2015). Delving deep into rectifiers. ICCV. doi:10.1109/ICCV.2015.123.
    """

    inputs = ("images",)
    smallest = 32
    choices = {"depth": tuple(CONVOLUTIONS), "init": ("he", "pytorch")}

    def __init__(
        self,
        depth: int = 16,
        filters: int = 16,
        hidden: int = 4096,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.3,
        init: str = "he",
    ):
        super().__init__()
        self.embedding_size = hidden
        counts = CONVOLUTIONS[depth]
        self.features = nn.Sequential(
            *_convolutions(in_channels, filters, counts),
            nn.Flatten(),
            *_linear(FACTORS[len(counts) - 1] * filters * (image_size // 2 ** len(counts)) ** 2, hidden, dropout),
            *_linear(hidden, hidden, dropout),
        )
        self.head = nn.Linear(hidden, n_classes)
        if init == "he":
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
    for count, factor in zip(counts, FACTORS, strict=False):
        for _ in range(count):
            layers += [nn.Conv2d(channels, factor * filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = factor * filters
        layers.append(nn.MaxPool2d(2))
    return layers


def _linear(n_in: int, n_out: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]


def _init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
