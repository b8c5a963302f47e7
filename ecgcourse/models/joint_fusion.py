"""Joint fusion: what both networks decide on, side by side, trained together. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.checks import check_counts, check_shares
from ecgcourse.models.fusion import Fusion, drop_head, hidden_layers, side_by_side


class JointFusion(Fusion):
    """Join what the last layers of both networks decide on, and train everything together.

    As in Narotamo et al. 2024: F numbers of the signal network stay as they are, those of the image network
    become 3F; both go through two hidden layers. They start from trained networks, see :meth:`adopt`.

    Parameters
    ----------
    signal, image : str
        Names of two models; "gru" and "alexnet" are theirs.
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
        hidden: int = 256,
        dropout: float = 0.0,
        signal_settings: dict | None = None,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        size: int = 256,
        freeze: bool = False,
    ):
        check_counts("JointFusion", hidden=hidden)
        check_shares("JointFusion", dropout=dropout)
        super().__init__(signal, image, signal_settings, image_settings, leads, in_channels, n_classes, size, freeze)
        drop_head(self.signal_model)
        drop_head(self.image_model)
        n_signal = self.signal_model.embedding_size
        self.image_layers = nn.Sequential(*hidden_layers([self.image_model.embedding_size, 3 * n_signal], dropout))
        self.embedding_size = hidden
        self.joint_layers = nn.Sequential(*hidden_layers([4 * n_signal, 2 * hidden, hidden], dropout))
        self.head = nn.Linear(hidden, n_classes)
        self.train()

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) and images (B, C, S, S) to logits (B, K); DataError for other shapes."""
        return self.head(self.embed(signals, images))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        from_images = self.image_layers(self.image_model.embed(images))
        return self.joint_layers(side_by_side(self.signal_model.embed(signals), from_images))
