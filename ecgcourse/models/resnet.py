"""ResNet-18 and ResNet-34 for nine images. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.network import Network

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks per stage of each depth (He et al. 2016, table 1)."""


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions whose result is added to what came in (He et al. 2016, figure 2).

    Parameters
    ----------
    channels_in, channels_out : int
    stride : int
        Step of the first convolution, and of the 1 × 1 convolution that fits the input where shapes differ.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(channels_in, channels_out, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(channels_out, channels_out, 3),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(*_convolution(channels_in, channels_out, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet(Network):
    """A 7 × 7 convolution, a pooling, four stages of residual blocks, a mean over the pixels, one linear layer.

    Narotamo et al. 2024 took 16 filters, as is the default here; He et al. (2016) had 64.

    Parameters
    ----------
    depth : {18, 34}
        Layers with weights.
    filters : int
        Filters f of the first stage; the next three have 2f, 4f and 8f.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 32.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    He, K., Zhang, X., Ren, S., Sun, J. (2016). Deep residual learning for image recognition. CVPR.
    doi:10.1109/CVPR.2016.90.
    """

    inputs = ("images",)
    smallest = 32
    choices = {"depth": tuple(BLOCKS)}

    def __init__(
        self, depth: int = 18, filters: int = 16, in_channels: int = 9, n_classes: int = 4, image_size: int = 256
    ):
        super().__init__()
        self.embedding_size = 8 * filters
        self.features = nn.Sequential(
            *_convolution(in_channels, filters, 7, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_stages(filters, BLOCKS[depth]),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(self.embedding_size, n_classes)
        self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, 8 · `filters`)."""
        self.check_images(images)
        return self.features(images)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    # The normalization that follows has a bias of its own.
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out)]


def _stages(filters: int, n_blocks: tuple[int, ...]) -> list[nn.Module]:
    blocks, channels = [], filters
    for stage, count in enumerate(n_blocks):
        for place in range(count):
            stride = 2 if stage > 0 and place == 0 else 1
            blocks.append(BasicBlock(channels, filters * 2**stage, stride))
            channels = filters * 2**stage
    return blocks


def _init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
