"""Early fusion: maps inside the image network beside the memory of the signal network. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.alexnet import last_side
from ecgcourse.models.checks import check_choice, check_counts, check_shares
from ecgcourse.models.fusion import Fusion, drop_head, hidden_layers, side_by_side


class EarlyFusion(Fusion):
    """Join what a recurrent network remembers with the last convolution of an AlexNet.

    As in Narotamo et al. 2024: the 256 maps of that convolution, pooled over 3 × 3 pixels, become as many
    numbers as the signal network remembers; both go through two hidden layers. They train both networks
    first and keep them frozen. Of two directions they take the memory at the last sample, where the one that
    reads backwards has taken a single step; here each is taken where it has read all.

    Parameters
    ----------
    signal : {"gru", "lstm"}
    image : {"alexnet", "alexnet_attention"}
    hidden : int
        Numbers after the second hidden layer; the first has twice as many.
    dropout : float
        Share of numbers silenced after each hidden layer, in training only.
    signal_settings, image_settings, leads, in_channels, n_classes, size, freeze
        As for :class:`ecgcourse.models.fusion.Fusion`.

    Raises
    ------
    SettingError
        An unknown or unsuitable model, or a setting outside its range.
    """

    def __init__(
        self,
        signal: str = "gru",
        image: str = "alexnet",
        hidden: int = 128,
        dropout: float = 0.3,
        signal_settings: dict | None = None,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        size: int = 256,
        freeze: bool = False,
    ):
        check_choice("EarlyFusion", ("gru", "lstm"), signal=signal)
        check_choice("EarlyFusion", ("alexnet", "alexnet_attention"), image=image)
        check_counts("EarlyFusion", hidden=hidden)
        check_shares("EarlyFusion", dropout=dropout)
        super().__init__(signal, image, signal_settings, image_settings, leads, in_channels, n_classes, size, freeze)
        drop_head(self.signal_model)
        self.image_model.classifier = nn.Identity()
        n_signal = self.signal_model.embedding_size
        side = last_side(size, poolings=2) // 3
        self.image_layers = nn.Sequential(
            nn.MaxPool2d(3), nn.Flatten(), *hidden_layers([256 * side * side, n_signal], dropout)
        )
        self.embedding_size = hidden
        self.joint_layers = nn.Sequential(*hidden_layers([2 * n_signal, 2 * hidden, hidden], dropout))
        self.head = nn.Linear(hidden, n_classes)
        self.train()

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) and images (B, C, S, S) to logits (B, K); DataError for other shapes."""
        return self.head(self.embed(signals, images))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        from_images = self.image_layers(self.image_model.last_map(images))
        return self.joint_layers(side_by_side(self.signal_model.embed(signals), from_images))
