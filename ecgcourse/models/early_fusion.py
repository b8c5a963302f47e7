"""Early fusion: feature maps of the image network beside the hidden state of the signal network. Chapter 13."""

from typing import ClassVar

import torch
from torch import nn

from ecgcourse.models.alexnet import last_side
from ecgcourse.models.fusion import Fusion, hidden_layers, remove_classifier, side_by_side


class EarlyFusion(Fusion):
    """Join the hidden state of a recurrent network, "gru" or "lstm", with the last convolution of an AlexNet.

    As in Narotamo et al. 2024: the 256 maps of that convolution, pooled over 3 × 3 pixels, become as many
    numbers as the hidden state has; both go through two hidden layers, of 256 and 128 outputs by default, the first
    always twice as wide as the second. They train both networks first and keep them frozen. Of two directions they
    take the hidden state at the last sample, where the one that reads backwards has taken a single step; here each is
    taken where it has read all. Parameters and errors are those of :class:`ecgcourse.models.fusion.Fusion`.
    """

    choices: ClassVar = Fusion.choices | {"signal": ("gru", "lstm"), "image": ("alexnet", "alexnet_attention")}
    default_hidden, default_dropout = 128, 0.3

    def _join(self, hidden: int, dropout: float) -> None:
        remove_classifier(self.signal_model)
        self.image_model.classifier = nn.Identity()
        n_signal = self.signal_model.embedding_size
        side = last_side(self.settings["image_size"], poolings=2) // 3
        self.image_layers = nn.Sequential(
            nn.MaxPool2d(3), nn.Flatten(), *hidden_layers([256 * side * side, n_signal], dropout)
        )
        self.joint_layers = nn.Sequential(*hidden_layers([2 * n_signal, 2 * hidden, hidden], dropout))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        from_images = self.image_layers(self.image_model.last_map(images))
        return self.joint_layers(side_by_side(self.signal_model.embed(signals), from_images))
