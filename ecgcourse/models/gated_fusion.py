"""Gated fusion of features: gates decide which network to listen to. Chapter 13."""

import torch
from torch import nn

from ecgcourse.images.fields import FIELDS
from ecgcourse.models.fusion import copies, make_part, remove_classifier, side_by_side
from ecgcourse.models.image_fusion import check_fields
from ecgcourse.models.network import Network


class GatedFusion(Network):
    """A signal network and one image network for each field; gates weigh what each has found.

    The gates are those of Arevalo et al. (2017), the gated multimodal unit. One network per field and the fusion of
    their features follow Ahmad et al. (2021): according to their abstract they fuse features of the penultimate layers
    of CNNs and classify with a support vector machine. It doesn't say whether the fusion has gates; the code that they
    published puts features side by side, without any, as :class:`ecgcourse.models.feature_fusion.FeatureFusion` does.
    This course's own are the signal as a fourth modality, networks of any kind, and a linear layer in place of the
    support vector machine, so that all is trained at once. With eᵢ what network i
    embeds and [e] all of them side by side, the fused features are Σᵢ σ(Vᵢ [e]) · tanh(Wᵢ eᵢ).

    Parameters
    ----------
    signal, image : str
        Names of a model that takes signals alone and of one that takes images alone.
    width : int
        Fused features.
    signal_settings, image_settings : dict or None
        Settings of the networks, other than those below.
    leads : int
        Leads per record that the signal network takes, L.
    in_channels : int
        Images per record, C: three for each lead.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels.

    Raises
    ------
    SettingError
        An unknown or unsuitable model, or a setting outside its range.

    References
    ----------
    Ahmad, Z., Tabassum, A., Guan, L., Khan, N. M. (2021). ECG heartbeat classification using multimodal fusion.
    IEEE Access 9. doi:10.1109/ACCESS.2021.3097614.

    Arevalo, J., Solorio, T., Montes-y-Gómez, M., González, F. A. (2017). Gated multimodal units for information
    fusion. ICLR workshop. arXiv:1702.01992.
    """

    inputs = ("signals", "images")
    all_fields = True

    def __init__(
        self,
        signal: str = "resnet1d",
        image: str = "compact",
        width: int = 128,
        signal_settings: dict | None = None,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
    ):
        super().__init__()
        self.settings |= copies(signal_settings, image_settings)
        check_fields("GatedFusion", in_channels)
        self.signal_model = make_part("GatedFusion", self.settings, "signal", {"leads": leads, "n_classes": n_classes})
        self.scaling = self.signal_model.scaling
        common = {"in_channels": in_channels // len(FIELDS), "n_classes": n_classes, "image_size": image_size}
        self.field_models = nn.ModuleList(make_part("GatedFusion", self.settings, "image", common) for _ in FIELDS)
        parts = [self.signal_model, *self.field_models]
        for part in parts:
            remove_classifier(part)
        self.embedding_size = width
        self.gates = nn.Linear(sum(part.embedding_size for part in parts), width * len(parts))
        # Projections of the modalities, under the name that they have in checkpoints.
        self.views = nn.ModuleList(nn.Linear(part.embedding_size, width) for part in parts)
        self.head = nn.Linear(width, n_classes)

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) and images (B, C, S, S) to logits (B, K); DataError for other shapes."""
        return self.head(self.embed(signals, images))

    def embed(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The fused features, (B, `width`)."""
        self.check_images(images)
        # Lead after lead, the fields follow each other.
        by_field = [images[:, place :: len(FIELDS)] for place in range(len(FIELDS))]
        found = [self.signal_model.embed(signals)]
        found += [model.embed(field) for model, field in zip(self.field_models, by_field, strict=True)]
        gates = torch.sigmoid(self.gates(side_by_side(*found))).chunk(len(found), dim=1)
        projected = [torch.tanh(project(features)) for project, features in zip(self.views, found, strict=True)]
        return sum(gate * features for gate, features in zip(gates, projected, strict=True))
