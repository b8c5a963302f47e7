"""The AlexNet variant of Narotamo et al. 2024. Introduced in chapter 9."""

import warnings

import torch
from torch import nn

from ecgcourse.models.network import Network


class AlexNet(Network):
    """Five convolutions, three poolings, three linear layers: nine images in, four logits out.

    After Krizhevsky et al. (2012), narrower, with nine input channels. At ``image_size=256`` the side shrinks
    256 → 62 → 30 → 14 → 6, so 256 · 6 · 6 = 9216 numbers reach the first linear layer.

    Parameters
    ----------
    filters : int
        Filters f of the first convolution; the next three have 2f, 4f and 8f.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels, at least 67.
    dropout : float
        Dropout probability of whole channels after each pooling.
    init : {"pytorch", "he"}
        How the random weights start. "pytorch" is PyTorch's own way, which Narotamo et al. used: signals
        shrink from layer to layer, and the loss stands still for the first epochs. "he" keeps their size
        through the ReLUs (He et al. 2015) and learns at once; it wants Adam, or a low learning rate.
    standardize : bool
        Bring each channel to mean 0 and standard deviation 1 before the first convolution, by the running statistics
        of batch normalization (Ioffe and Szegedy 2015) without weights. Grey levels are never negative, so that
        without it all weights of a filter are pushed the same way (LeCun et al. 1998). Narotamo et al. did without.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Krizhevsky, A., Sutskever, I., Hinton, G. E. (2012). ImageNet classification with deep convolutional
    neural networks. NeurIPS 25. doi:10.1145/3065386.

    He, K., Zhang, X., Ren, S., Sun, J. (2015). Delving deep into rectifiers. ICCV. doi:10.1109/ICCV.2015.123.

    Ioffe, S., Szegedy, C. (2015). Batch normalization. ICML. arXiv:1502.03167.

    LeCun, Y., Bottou, L., Orr, G. B., Müller, K.-R. (1998). Efficient BackProp. In: Neural networks: tricks of the
    trade. doi:10.1007/3-540-49430-8_2.
    """

    inputs = ("images",)
    smallest = 67
    choices = {"init": ("pytorch", "he"), "standardize": (False, True)}

    def __init__(
        self,
        filters: int = 16,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        dropout: float = 0.3,
        init: str = "pytorch",
        standardize: bool = False,
    ):
        super().__init__()
        f, side = filters, last_side(image_size)
        # Of the former name of its setting, under which checkpoints have it.
        self.standardised = nn.BatchNorm2d(in_channels, affine=False) if standardize else None
        self.features = nn.Sequential(
            *_convolution(in_channels, f, kernel=11, stride=4, padding=0),
            *_pooling(dropout),
            *_convolution(f, 2 * f, kernel=5, padding=2),
            *_pooling(dropout),
            *_convolution(2 * f, 4 * f, kernel=3, padding=1),
            *_convolution(4 * f, 8 * f, kernel=3, padding=1),
            *_convolution(8 * f, 256, kernel=3, padding=1),
            *_pooling(dropout),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * side * side, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 2048),
            nn.ReLU(inplace=True),
            nn.Linear(2048, n_classes),
        )
        self.embedding_size = 2048
        if init == "he":
            self.apply(_he_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.classifier(self.features(self._checked(images)))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, 2048)."""
        return self.classifier[:-1](self.features(self._checked(images)))

    def last_map(self, images: torch.Tensor) -> torch.Tensor:
        """The output of the last convolution, before its ReLU: (B, 256, side, side); at 256 pixels 14 a side."""
        return self.features[:-3](self._checked(images))

    def _checked(self, images: torch.Tensor) -> torch.Tensor:
        """The images as the first convolution takes them."""
        self.check_images(images)
        return images if self.standardised is None else self.standardised(images)


def last_side(image_size: int, poolings: int = 3) -> int:
    """Side that is left of an image after the first convolution and some of the poolings."""
    side = (image_size - 11) // 4 + 1
    for _ in range(poolings):
        side = (side - 3) // 2 + 1
    return side


def __getattr__(name: str) -> object:
    """What stood here once: ``load_original``, which reads all of the original's networks now (PEP 562)."""
    if name != "load_original":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ecgcourse.models.original_weights import load_original

    warnings.warn(f"{__name__}.{name} is called models.{name} now", DeprecationWarning, stacklevel=2)
    return load_original


def _convolution(channels_in: int, channels_out: int, kernel: int, padding: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, kernel, stride, padding), nn.ReLU(inplace=True)]


def _pooling(dropout: float) -> list[nn.Module]:
    return [nn.MaxPool2d(3, stride=2), nn.Dropout2d(dropout)]


def _he_init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
