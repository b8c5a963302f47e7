"""Image fusion after Ahmad et al. 2021: the fields of one lead as the colours of one image. Chapter 16."""

import torch
from torch import nn

from ecgcourse.errors import check_setting
from ecgcourse.images.fields import FIELDS
from ecgcourse.models.fusion import make_part, remove_classifier
from ecgcourse.models.network import Network


class ImageFusion(Network):
    """One network looks at each lead's three fields as one image of three colours; one layer joins the leads.

    Ahmad et al. (2021) turn one heartbeat of one lead into a Gramian angular field, a recurrence plot and a
    Markov transition field, take these as the three channels of one image, and let an AlexNet classify it
    ("multimodal image fusion"). Theirs are the three channels and the AlexNet. Our reading for several
    leads: all leads share that one network, and what it decides on stands side by side, lead after lead,
    before the last layer.

    Parameters
    ----------
    image : str
        Name of a model that takes images alone.
    image_settings : dict or None
        Its settings, other than those below.
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
    """

    inputs = ("images",)
    all_fields = True

    def __init__(
        self,
        image: str = "alexnet",
        image_settings: dict | None = None,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
    ):
        super().__init__()
        self.settings["image_settings"] = dict(image_settings or {})
        check_fields("ImageFusion", in_channels)
        common = {"in_channels": len(FIELDS), "n_classes": n_classes, "image_size": image_size}
        self.image_model = make_part("ImageFusion", self.settings, "image", common)
        remove_classifier(self.image_model)
        self.embedding_size = in_channels // len(FIELDS) * self.image_model.embedding_size
        self.head = nn.Linear(self.embedding_size, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float images (B, C, S, S) in [0, 1] to logits (B, K); DataError for another C or S."""
        return self.head(self.embed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer decides on: (B, C/3 · numbers of the shared network)."""
        self.check_images(images)
        each_lead = images.reshape(-1, len(FIELDS), *images.shape[2:])
        return self.image_model.embed(each_lead).reshape(len(images), self.embedding_size)


def check_fields(model: str, in_channels: int) -> None:
    """SettingError unless there are three images, one of each field, for each lead."""
    right = in_channels % len(FIELDS) == 0
    check_setting(model, "in_channels", in_channels, right, f"{len(FIELDS)} for each lead")
