"""Feature fusion after Ahmad et al. 2021: one network for each field, what they find side by side. Chapter 16."""

import torch
from torch import nn

from ecgcourse.errors import SettingError, check_setting
from ecgcourse.models.fusion import hidden_layers, make_part, remove_classifier, side_by_side
from ecgcourse.models.network import Network


class FeatureFusion(Network):
    """A network of its own for each field; what the last layer of each would decide on goes side by side into an MLP.

    Ahmad et al. (2021) call this "multimodal feature fusion". According to their abstract, features of the penultimate
    layers of CNNs are fused and given to a support vector machine. Their published notebooks do it as here, with two
    ResNet-18, one for the Gramian angular field and one for the recurrence plot, both trained before and then frozen;
    512 + 512 features go through three hidden layers of 512, 256 and 128. There is neither a gate nor a support vector
    machine in that code. Here there are as many networks as fields; :mod:`ecgcourse.analysis.feature_svm` has the
    support vector machine.

    Parameters
    ----------
    image : str
        Name of a model that takes images alone.
    width : int
        Outputs of the first hidden layer; the next two have half and a quarter.
    image_settings : dict or None
        Settings of the networks, other than those below.
    leads : int
        Leads per record, L: each network sees one field of all of them.
    in_channels : int
        Images per record, C: the same fields of each lead.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels.
    freeze : bool
        Keep the networks as they are, and train the hidden layers only. Give them trained weights first, with
        :meth:`load_pretrained` or :func:`ecgcourse.models.torchvision_weights.load_resnet18`.

    Raises
    ------
    SettingError
        An unknown or unsuitable model, or a setting outside its range.

    References
    ----------
    Ahmad, Z., Tabassum, A., Guan, L., Khan, N. M. (2021). ECG heartbeat classification using multimodal fusion.
    IEEE Access 9. doi:10.1109/ACCESS.2021.3097614.
    """

    inputs = ("images",)
    choices = {"freeze": (False, True)}

    def __init__(
        self,
        image: str = "resnet",
        width: int = 512,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        freeze: bool = False,
    ):
        super().__init__()
        self.settings["image_settings"] = dict(image_settings or {})
        check_setting(
            "FeatureFusion", "in_channels", in_channels, in_channels % leads == 0, f"so many for each of {leads}"
        )
        self.n_fields = in_channels // leads
        common = {"in_channels": leads, "n_classes": n_classes, "image_size": image_size}
        parts = [make_part("FeatureFusion", self.settings, "image", common) for _ in range(self.n_fields)]
        for part in parts:
            remove_classifier(part)
        self.field_models = nn.ModuleList(parts).requires_grad_(not freeze)
        sizes = [sum(part.embedding_size for part in parts), width, max(1, width // 2), max(1, width // 4)]
        self.joint_layers = nn.Sequential(*hidden_layers(sizes, 0.0))
        self.embedding_size = sizes[-1]
        self.head = nn.Linear(sizes[-1], n_classes)
        self.train()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, `width` / 4)."""
        return self.joint_layers(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the networks found, side by side: (B, numbers of all networks)."""
        self.check_images(images)
        # Lead after lead, the fields follow each other.
        by_field = (images[:, place :: self.n_fields] for place in range(self.n_fields))
        found = [model.embed(field) for model, field in zip(self.field_models, by_field, strict=True)]
        return side_by_side(*found)

    def load_pretrained(self, *trained: nn.Module) -> None:
        """Take over the weights of trained models, one for each field in the order of the recipe, as copies.

        Raises
        ------
        SettingError
            Another number of models, or one with other settings.
        """
        if len(trained) != self.n_fields:
            raise SettingError(f"FeatureFusion: {len(trained)} models for {self.n_fields} fields; give one for each")
        for part, model in zip(self.field_models, trained, strict=True):
            if getattr(model, "settings", None) != part.settings:
                raise SettingError(
                    f"FeatureFusion: a network with the settings {part.settings} can't take over the weights of one "
                    f"with {getattr(model, 'settings', None)}; make both alike"
                )
            # The parts lack their last layer.
            weights = model.state_dict()
            part.load_state_dict({name: weights[name] for name in part.state_dict()})

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training or evaluation mode; frozen networks always stay in evaluation mode."""
        super().train(mode)
        if self.settings["freeze"]:
            self.field_models.eval()
        return self
