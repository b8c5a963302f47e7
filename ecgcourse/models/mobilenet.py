"""MobileNetV2 for nine images."""

import torch
from torch import nn

from ecgcourse.models.network import Network

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first block of each stage (Sandler et al. 2018, table 2)."""

FULL_FILTERS, LAST_CHANNELS = 32, 1280


class InvertedResidual(nn.Module):
    """Widen with a 1 × 1 convolution, filter each channel by itself, narrow without a ReLU.

    The input is added where shapes allow (Sandler et al. 2018, table 1 and section 3.3).

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the input and of the output.
    expansion : int
        How many times wider the middle is; 1 leaves the widening out.
    stride : int
        Step of the convolution in the middle.
    """

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int):
        super().__init__()
        middle = channels_in * expansion
        widening = _convolution(channels_in, middle, 1) if expansion > 1 else []
        self.layers = nn.Sequential(
            *widening,
            *_convolution(middle, middle, 3, stride, groups=middle),
            nn.Conv2d(middle, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.adds_input = stride == 1 and channels_in == channels_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, `channels_in`, h, w) to (B, `channels_out`, h / `stride`, w / `stride`), rounded up."""
        return x + self.layers(x) if self.adds_input else self.layers(x)


class MobileNet(Network):
    """One convolution, seventeen inverted residuals, a mean over the pixels, one linear layer.

    Parameters
    ----------
    filters : int
        Filters of the first convolution. All widths but the last grow and shrink with them, rounded to
        multiples of 8; 32, which Narotamo et al. 2024 took too, is the network of Sandler et al. (2018).
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 32.
    dropout : float
        Dropout probability before the last layer.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Sandler, M., Howard, A., Zhu, M., Zhmoginov, A., Chen, L.-C. (2018). MobileNetV2: inverted residuals and
    linear bottlenecks. CVPR. doi:10.1109/CVPR.2018.00474.
    """

    inputs = ("images",)
    smallest = 32

    def __init__(
        self, filters: int = 32, in_channels: int = 9, n_classes: int = 4, image_size: int = 256, dropout: float = 0.2
    ):
        super().__init__()
        share = filters / FULL_FILTERS
        self.embedding_size = _to_eights(LAST_CHANNELS * max(1.0, share))
        self.features = nn.Sequential(
            *_convolution(in_channels, _to_eights(filters), 3, stride=2),
            *_blocks(share),
            *_convolution(_to_eights(STAGES[-1][1] * share), self.embedding_size, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(self.embedding_size, n_classes)
        self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `embedding_size`)."""
        self.check_images(images)
        return self.features(images)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU6(inplace=True)]


def _blocks(share: float) -> list[nn.Module]:
    blocks, channels = [], _to_eights(FULL_FILTERS * share)
    for expansion, width, count, stride in STAGES:
        for place in range(count):
            blocks.append(InvertedResidual(channels, _to_eights(width * share), expansion, stride if place == 0 else 1))
            channels = _to_eights(width * share)
    return blocks


def _to_eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and never less than nine tenths of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
