"""Late fusion: a small network on the probabilities of two networks. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.checks import check_counts, check_shares
from ecgcourse.models.fusion import Fusion, hidden_layers, side_by_side


class LateFusion(Fusion):
    """Decide on the 2K probabilities of a signal network and an image network with one hidden layer.

    As in Narotamo et al. 2024, who train both networks first, see :meth:`adopt`, and keep them frozen.
    :mod:`ecgcourse.analysis.stacking` does the same with a logistic regression.

    Parameters
    ----------
    signal, image : str
        Names of two models; "gru" and "alexnet" are theirs.
    hidden : int
        Numbers in the hidden layer.
    dropout : float
        Share of them silenced, in training only.
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
        hidden: int = 512,
        dropout: float = 0.0,
        signal_settings: dict | None = None,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        size: int = 256,
        freeze: bool = False,
    ):
        check_counts("LateFusion", hidden=hidden)
        check_shares("LateFusion", dropout=dropout)
        super().__init__(signal, image, signal_settings, image_settings, leads, in_channels, n_classes, size, freeze)
        self.embedding_size = hidden
        self.joint_layers = nn.Sequential(*hidden_layers([2 * n_classes, hidden], dropout))
        self.head = nn.Linear(hidden, n_classes)
        self.train()

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) and images (B, C, S, S) to logits (B, K); DataError for other shapes."""
        return self.head(self.embed(signals, images))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        logits = side_by_side(self.signal_model(signals), self.image_model(images))
        return self.joint_layers(torch.sigmoid(logits))
