"""Joint fusion: what both networks decide on, side by side, trained together. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.models.fusion import Fusion, hidden_layers, remove_classifier, side_by_side


class JointFusion(Fusion):
    """Join what the last layers of both networks decide on, and train everything together.

    As in Narotamo et al. 2024: the F features of the signal network stay as they are, those of the image network
    become 3F; both go through two hidden layers, of 512 and 256 outputs by default, the first always twice as wide as
    the second. They start from trained networks, see
    :meth:`~ecgcourse.models.fusion.Fusion.load_pretrained`. Parameters and errors are those of
    :class:`ecgcourse.models.fusion.Fusion`.
    """

    default_hidden, default_dropout = 256, 0.0

    def _join(self, hidden: int, dropout: float) -> None:
        remove_classifier(self.signal_model)
        remove_classifier(self.image_model)
        n_signal = self.signal_model.embedding_size
        self.image_layers = nn.Sequential(*hidden_layers([self.image_model.embedding_size, 3 * n_signal], dropout))
        self.joint_layers = nn.Sequential(*hidden_layers([4 * n_signal, 2 * hidden, hidden], dropout))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `hidden`)."""
        from_images = self.image_layers(self.image_model.embed(images))
        return self.joint_layers(side_by_side(self.signal_model.embed(signals), from_images))
