"""The AlexNet variant of Narotamo et al. 2024. Introduced in chapter 09."""

import torch
from torch import nn

from ecgcourse.errors import DataError, SettingError


class AlexNet(nn.Module):
    """Five convolutions, three poolings, three linear layers: nine images in, four logits out.

    After Krizhevsky et al. (2012), narrower, with nine input channels. At ``size=256`` the side shrinks
    256 → 62 → 30 → 14 → 6, so 256 · 6 · 6 = 9216 numbers reach the first linear layer.

    Parameters
    ----------
    filters : int
        Filters f of the first convolution; the next three have 2f, 4f and 8f.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    size : int
        Side S of an image in pixels, at least 67.
    dropout : float
        Share of whole channels silenced after each pooling, in training only.
    initialisation : {"pytorch", "he"}
        How the random weights start. "pytorch" is PyTorch's own way, which Narotamo et al. used: signals
        shrink from layer to layer, and the loss stands still for the first epochs. "he" keeps their size
        through the ReLUs (He et al. 2015) and learns at once; it wants Adam, or a low learning rate.

    Raises
    ------
    SettingError
        A setting outside its range.

    References
    ----------
    Krizhevsky, A., Sutskever, I., Hinton, G. E. (2012). ImageNet classification with deep convolutional
    neural networks. NeurIPS 25. doi:10.1145/3065386.
    He, K., Zhang, X., Ren, S., Sun, J. (2015). Delving deep into rectifiers. ICCV. doi:10.1109/ICCV.2015.123.
    """

    def __init__(
        self,
        filters: int = 16,
        in_channels: int = 9,
        n_classes: int = 4,
        size: int = 256,
        dropout: float = 0.3,
        initialisation: str = "pytorch",
    ):
        super().__init__()
        self.settings = {
            "filters": filters,
            "in_channels": in_channels,
            "n_classes": n_classes,
            "size": size,
            "dropout": dropout,
            "initialisation": initialisation,
        }
        side = _check(self.settings)
        f = filters
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
        if initialisation == "he":
            self.apply(_initialise_after_he)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        wanted = (self.settings["in_channels"], self.settings["size"], self.settings["size"])
        if images.ndim != 4 or images.shape[1:] != wanted:
            raise DataError(
                f"AlexNet: images of shape {tuple(images.shape)}, but this one was made for (B, {wanted[0]}, "
                f"{wanted[1]}, {wanted[2]}); render at that size or make a model for yours"
            )
        return self.classifier(self.features(images))


def _convolution(channels_in: int, channels_out: int, kernel: int, padding: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, kernel, stride, padding), nn.ReLU(inplace=True)]


def _pooling(dropout: float) -> list[nn.Module]:
    return [nn.MaxPool2d(3, stride=2), nn.Dropout2d(dropout)]


def _initialise_after_he(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def _check(settings: dict) -> int:
    """Refuse settings out of range; return the side that is left after the last pooling."""
    for name in ("filters", "in_channels", "n_classes"):
        if settings[name] < 1:
            raise SettingError(f"AlexNet: {name}={settings[name]}, but it must be at least 1")
    if not 0 <= settings["dropout"] < 1:
        raise SettingError(f"AlexNet: dropout={settings['dropout']}, but it must be in [0, 1)")
    if settings["initialisation"] not in ("pytorch", "he"):
        raise SettingError(f"AlexNet: initialisation={settings['initialisation']!r}, but it must be 'pytorch' or 'he'")
    side = (settings["size"] - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    if side < 1:
        raise SettingError(f"AlexNet: size={settings['size']}, but images need at least 67 pixels a side")
    return side
