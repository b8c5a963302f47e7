"""A small network of strided convolutions for nine images. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.network import Network


class Compact(Network):
    """Four convolutions that halve the side, mean and maximum over the pixels, one linear layer.

    What costs AlexNet its weights is left out: large linear layers. What it lacks is there: normalization after
    each convolution (Ioffe and Szegedy 2015), steps in place of poolings (Springenberg et al. 2015), and a
    mean over the pixels, to which a beat counts the same wherever it stands (Lin et al. 2014); the maximum
    beside it finds what occurs once.

    Parameters
    ----------
    filters : int
        Filters f of the first convolution; the next three have 2f, 4f and 8f.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 16.
    dropout : float
        Dropout probability of whole channels after each convolution.
    head_dropout : float
        Dropout probability before the last layer.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Lin, M., Chen, Q., Yan, S. (2014). Network in network. ICLR. arXiv:1312.4400.

    Ioffe, S., Szegedy, C. (2015). Batch normalization. ICML. arXiv:1502.03167.

    Springenberg, J. T., Dosovitskiy, A., Brox, T., Riedmiller, M. (2015). Striving for simplicity: the all
    convolutional net. ICLR workshop. arXiv:1412.6806.
    """

    inputs = ("images",)
    smallest = 16

    def __init__(
        self,
        filters: int = 16,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.1,
        head_dropout: float = 0.3,
    ):
        super().__init__()
        f = filters
        self.embedding_size = 16 * f
        self.features = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            *_convolution(in_channels, f, 5, dropout),
            *_convolution(f, 2 * f, 3, dropout),
            *_convolution(2 * f, 4 * f, 3, dropout),
            *_convolution(4 * f, 8 * f, 3, dropout),
        )
        self.head = nn.Sequential(nn.Dropout(head_dropout), nn.Linear(self.embedding_size, n_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, 16 · `filters`)."""
        self.check_images(images)
        found = self.features(images)
        return torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1)


def _convolution(channels_in: int, channels_out: int, kernel: int, dropout: float) -> list[nn.Module]:
    # The normalization that follows has a bias of its own.
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True), nn.Dropout2d(dropout)]
