"""Late fusion: a small network on the probabilities of two networks. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.fusion import Fusion, hidden_layers, side_by_side


class LateFusion(Fusion):
    """Decide on the 2K probabilities of a signal network and an image network with one hidden layer.

    As in Narotamo et al. 2024, who train both networks first, see
    :meth:`~ecgcourse.models.fusion.Fusion.load_pretrained`, and keep them frozen; the
    hidden layer has 512 outputs by default. :mod:`ecgcourse.analysis.stacking` does the same with a logistic
    regression. Parameters and errors are those of :class:`ecgcourse.models.fusion.Fusion`.
    """

    default_hidden, default_dropout = 512, 0.0

    def _join(self, hidden: int, dropout: float) -> None:
        self.joint_layers = nn.Sequential(*hidden_layers([2 * self.settings["n_classes"], hidden], dropout))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        logits = side_by_side(self.signal_model(signals), self.image_model(images))
        return self.joint_layers(torch.sigmoid(logits))
