"""ResNet-18, ResNet-34 and ResNet-50 for nine images. Introduced in chapter 16."""

import torch
from torch import nn

from ecgcourse.models.network import Network

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks per stage of each depth (He et al. 2016, table 1)."""


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions whose result is added to what came in (He et al. 2016, figure 2).

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the input and of the output.
    stride : int
        Step of the first convolution, and of the 1 × 1 convolution that fits the input where shapes differ.
    bias : bool
        Whether the convolutions have biases.
    """

    expansion = 1

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, bias: bool = False):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(channels_in, channels_out, 3, stride, bias),
            nn.ReLU(inplace=True),
            *_convolution(channels_out, channels_out, 3, bias=bias),
        )
        self.shortcut = _shortcut(channels_in, channels_out, stride, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, `channels_in`, h, w) to (B, `channels_out`, h / `stride`, w / `stride`), rounded up."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A 1 × 1 convolution, one of 3 × 3, and one of 1 × 1 that makes it four times as wide (He et al. 2016, figure 5).

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the input and of the output; in the middle there are a fourth of the latter.
    stride : int
        Step of the 3 × 3 convolution, and of the 1 × 1 convolution that fits the input where shapes differ.
    bias : bool
        Whether the convolutions have biases.
    """

    expansion = 4

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, bias: bool = False):
        super().__init__()
        narrow = channels_out // self.expansion
        self.residual = nn.Sequential(
            *_convolution(channels_in, narrow, 1, bias=bias),
            nn.ReLU(inplace=True),
            *_convolution(narrow, narrow, 3, stride, bias),
            nn.ReLU(inplace=True),
            *_convolution(narrow, channels_out, 1, bias=bias),
        )
        self.shortcut = _shortcut(channels_in, channels_out, stride, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, `channels_in`, h, w) to (B, `channels_out`, h / `stride`, w / `stride`), rounded up."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet(Network):
    """A 7 × 7 convolution, a pooling, four stages of residual blocks, a mean over the pixels, one linear layer.

    Narotamo et al. 2024 took 16 filters, as is the default here; He et al. (2016) had 64. Theirs is
    ``depth=50, bias=True, init="pytorch"``, with 1,494,356 weights.

    Parameters
    ----------
    depth : {18, 34, 50}
        Layers with weights. The blocks of 50 are bottlenecks.
    filters : int
        Filters f of the first stage; the next three have 2f, 4f and 8f. A bottleneck ends in four times as many.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 32.
    bias : bool
        Biases in the convolutions of the blocks. The normalization behind each takes them away again.
    init : {"he", "pytorch"}
        How the random weights start: by He et al. (2015), or in PyTorch's own way.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    He, K., Zhang, X., Ren, S., Sun, J. (2016). Deep residual learning for image recognition. CVPR.
    doi:10.1109/CVPR.2016.90.

    He, K., Zhang, X., Ren, S., Sun, J. (2015). Delving deep into rectifiers. ICCV. doi:10.1109/ICCV.2015.123.
    """

    inputs = ("images",)
    smallest = 32
    choices = {"depth": tuple(BLOCKS), "bias": (False, True), "init": ("he", "pytorch")}

    def __init__(
        self,
        depth: int = 18,
        filters: int = 16,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        bias: bool = False,
        init: str = "he",
    ):
        super().__init__()
        block = Bottleneck if depth == 50 else BasicBlock
        self.embedding_size = 8 * filters * block.expansion
        self.features = nn.Sequential(
            *_convolution(in_channels, filters, 7, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_stages(block, filters, BLOCKS[depth], bias),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(self.embedding_size, n_classes)
        if init == "he":
            self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, 8 · `filters`), four times as many at depth 50."""
        self.check_images(images)
        return self.features(images)


def _convolution(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    # The normalization that follows has a bias of its own.
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=bias)
    return [convolution, nn.BatchNorm2d(channels_out)]


def _shortcut(channels_in: int, channels_out: int, stride: int, bias: bool) -> nn.Sequential:
    if stride == 1 and channels_in == channels_out:
        return nn.Sequential()
    return nn.Sequential(*_convolution(channels_in, channels_out, 1, stride, bias))


def _stages(
    block: type[BasicBlock | Bottleneck], filters: int, n_blocks: tuple[int, ...], bias: bool
) -> list[nn.Module]:
    blocks, channels = [], filters
    for stage, count in enumerate(n_blocks):
        wide = filters * 2**stage * block.expansion
        for place in range(count):
            blocks.append(block(channels, wide, 2 if stage > 0 and place == 0 else 1, bias))
            channels = wide
    return blocks


def _init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
