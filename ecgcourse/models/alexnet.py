"""The AlexNet variant of Narotamo et al. 2024, and how to read the weights that they published. Chapter 09."""

import os
from pathlib import Path

import torch
from torch import nn

from ecgcourse.errors import CheckpointError
from ecgcourse.models.checkpoint import check_weights, load_tensors
from ecgcourse.models.network import Network

ORIGINAL_LAYERS = {
    "conv2d_1": "features.0",
    "conv2d_2": "features.4",
    "conv2d_3": "features.8",
    "conv2d_4": "features.10",
    "conv2d_5": "features.12",
    "linear_1": "classifier.1",
    "linear_2": "classifier.3",
    "linear_3": "classifier.5",
}
"""Layers of the original's AlexNet and their names here."""


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


def load_original(path: str | os.PathLike) -> AlexNet:
    """Read weights that Narotamo et al. published for their AlexNet, with 8 or 16 filters.

    Their files hold the `state_dict` of a network whose layers are called as :data:`ORIGINAL_LAYERS` says.
    Nothing in the file is run, and no more memory is taken than the file is long.

    Parameters
    ----------
    path : path
        A file that ``torch.save(model.state_dict(), path)`` wrote.

    Returns
    -------
    AlexNet
        For nine images of 256 × 256 pixels, in evaluation mode, its `filters` read off the file.

    Raises
    ------
    CheckpointError
        No such file, a file that isn't a `state_dict`, layers of other names or shapes, numbers that aren't
        finite, or a file that promises more numbers than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there; name a file of the original's weights")
    weights = load_tensors(path)
    check_weights(path, weights)
    _check_names(path, weights)
    # Without memory or random numbers: the weights come from the file.
    with torch.device("meta"):
        model = AlexNet(filters=max(1, weights["conv2d_1.bias"].numel()))
    model.settings = {"name": "alexnet", **model.settings}
    model.load_state_dict(_renamed(path, weights, model.state_dict()), assign=True)
    return model.requires_grad_(True).eval()


def _convolution(channels_in: int, channels_out: int, kernel: int, padding: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, kernel, stride, padding), nn.ReLU(inplace=True)]


def _pooling(dropout: float) -> list[nn.Module]:
    return [nn.MaxPool2d(3, stride=2), nn.Dropout2d(dropout)]


def _he_init(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def _check_names(path: Path, weights: dict[str, torch.Tensor]) -> None:
    wanted = {f"{layer}.{part}" for layer in ORIGINAL_LAYERS for part in ("weight", "bias")}
    missing, unknown = sorted(wanted - set(weights)), sorted(map(str, set(weights) - wanted))
    if missing or unknown:
        complaint = f"{missing[0]} is missing" if missing else f"{unknown[0]} is no part of it"
        raise CheckpointError(f"{path} isn't the original's AlexNet: {complaint}; its other networks can't be read")


def _renamed(path: Path, weights: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights by their names here, as copies, after a look at each shape."""
    renamed = {}
    for name, tensor in weights.items():
        layer, part = name.rsplit(".", 1)
        here = f"{ORIGINAL_LAYERS[layer]}.{part}"
        if tensor.shape != wanted[here].shape:
            shapes = f"{tuple(tensor.shape)}, but {tuple(wanted[here].shape)} is needed"
            raise CheckpointError(f"{path} isn't the original's AlexNet: {name} has the shape {shapes}")
        renamed[here] = tensor.to(torch.float32, copy=True)
    return renamed
