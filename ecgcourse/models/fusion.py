"""What all fusions of a signal model and an image model share. Introduced in chapter 13."""

import warnings
from typing import ClassVar

import torch
from torch import nn

from ecgcourse.errors import EcgCourseWarning, SettingError
from ecgcourse.models import registry
from ecgcourse.models.network import Network
from ecgcourse.support.renamed import former_names

DECIDED = ("leads", "in_channels", "n_classes", "image_size")
"""Settings that a fusion and its parts have in common."""


class Fusion(Network):
    """A signal model and an image model whose knowledge a subclass brings together.

    Parameters
    ----------
    signal, image : str
        Names of two models that take signals alone and images alone; "gru" and "alexnet" are those of Narotamo et al.
        2024.
    hidden : int, optional
        Outputs of the last hidden layer; None: as many as the subclass says.
    dropout : float, optional
        Dropout probability after each hidden layer; None: that of the subclass.
    signal_settings, image_settings : dict or None
        The settings of the two models, other than those below.
    leads : int
        Leads per record, L.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    image_size : int
        Side S of an image in pixels.
    freeze : bool
        Keep the two models as they are and train what joins them. Give them trained weights with
        :meth:`load_pretrained` first.

    Attributes
    ----------
    signal_model : nn.Module
        The part that takes signals.
    image_model : nn.Module
        The part that takes images.
    joint_layers : nn.Sequential
        The hidden layers that end in the embedding.
    scaling : str
        How the signal model wants its signals, see :class:`ecgcourse.images.signals.SignalRecipe`.

    Raises
    ------
    SettingError
        An unknown or unsuitable model, or a setting outside its range.
    """

    inputs = ("signals", "images")
    choices: ClassVar = {"freeze": (False, True)}
    default_hidden: ClassVar[int]
    default_dropout: ClassVar[float]

    def __init__(
        self,
        signal: str = "gru",
        image: str = "alexnet",
        hidden: int | None = None,
        dropout: float | None = None,
        signal_settings: dict | None = None,
        image_settings: dict | None = None,
        leads: int = 3,
        in_channels: int = 9,
        n_classes: int = 4,
        image_size: int = 256,
        freeze: bool = False,
    ):
        super().__init__()
        hidden = self.default_hidden if hidden is None else hidden
        dropout = self.default_dropout if dropout is None else dropout
        self.settings |= copies(signal_settings, image_settings) | {"hidden": hidden, "dropout": dropout}
        who, of_images = type(self).__name__, {"in_channels": in_channels, "image_size": image_size}
        self.signal_model = make_part(who, self.settings, "signal", {"n_classes": n_classes, "leads": leads})
        self.image_model = make_part(who, self.settings, "image", {"n_classes": n_classes} | of_images)
        self.scaling = self.signal_model.scaling
        if freeze:
            self.signal_model.requires_grad_(False)
            self.image_model.requires_grad_(False)
        self._join(hidden, dropout)
        self.embedding_size = hidden
        self.head = nn.Linear(hidden, n_classes)
        self.train()

    def _join(self, hidden: int, dropout: float) -> None:
        """Make the layers between the two models and the last layer, and take off the models what isn't needed."""
        raise NotImplementedError

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Map float signals (B, L, T) and images (B, C, S, S) to logits (B, K); DataError for other shapes."""
        return self.head(self.embed(signals, images))

    def load_pretrained(self, signal_model: nn.Module | None = None, image_model: nn.Module | None = None) -> None:
        """Take over the weights of trained models, as copies.

        Parameters
        ----------
        signal_model, image_model : nn.Module, optional
            Made with the same settings as the parts of this one; None leaves a part as it is.

        Raises
        ------
        SettingError
            A model with other settings, or one that learned from something else than this one is to be fed.
        """
        both = ("signals", self.signal_model, signal_model), ("images", self.image_model, image_model)
        for kind, part, trained in both:
            if trained is None:
                continue
            known = [getattr(getattr(each, "recipe", None), kind, None) for each in (trained, self)]
            if None not in known and known[0] != known[1]:
                raise SettingError(
                    f"{type(self).__name__}: it is to be fed {known[1]}, but the model to take over learned from "
                    f"{known[0]}; make both with the same recipe"
                )
            if getattr(trained, "settings", None) != part.settings:
                raise SettingError(
                    f"{type(self).__name__}: a part with the settings {part.settings} can't take over the weights "
                    f"of a model with {getattr(trained, 'settings', None)}; make both alike"
                )
            # A part may lack layers at the end that the fusion has no use for.
            weights = trained.state_dict()
            part.load_state_dict({name: weights[name] for name in part.state_dict()})

    def adopt(self, signal_model: nn.Module | None = None, image_model: nn.Module | None = None) -> None:
        """Former name of :meth:`load_pretrained`, with a warning."""
        warnings.warn("adopt is called load_pretrained now", EcgCourseWarning, stacklevel=2)
        self.load_pretrained(signal_model, image_model)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training or evaluation mode; frozen parts always stay in evaluation mode."""
        super().train(mode)
        if self.settings["freeze"]:
            self.signal_model.eval()
            self.image_model.eval()
        return self


def copies(signal_settings: dict | None, image_settings: dict | None) -> dict:
    """The settings of both parts as a fusion keeps them: its own, whatever becomes of those that it was given."""
    return {"signal_settings": dict(signal_settings or {}), "image_settings": dict(image_settings or {})}


def make_part(who: str, settings: dict, role: str, common: dict) -> nn.Module:
    """Make one of the models that a fusion consists of.

    Parameters
    ----------
    who : str
        The fusion's name, for messages.
    settings : dict
        The fusion's own; `role` names the part and ``role_settings`` holds its settings.
    role : {"signal", "image"}
    common : dict
        What the fusion decides for its parts, such as the number of classes.

    Raises
    ------
    SettingError
        A model that doesn't take that one input alone, or a setting that it can't take.
    """
    name, own, kind = settings[role], settings[f"{role}_settings"], f"{role}s"
    if registry.inputs(name) != (kind,):
        raise SettingError(f"{who}: {role}={name!r}, but a model that takes {kind} alone is needed")
    twice = [setting for setting in own if setting in DECIDED]
    if twice:
        raise SettingError(f"{who}: {twice[0]} is a setting of the fusion itself; leave it out of {role}_settings")
    return registry.make(name, **own, **common)


def remove_classifier(model: nn.Module) -> None:
    """Take the last layer off a model that will only embed, so that no weight goes untrained."""
    if hasattr(model, "head"):
        model.head = nn.Identity()
    else:
        model.classifier[-1] = nn.Identity()


def hidden_layers(sizes: list[int], dropout: float) -> list[nn.Module]:
    """Linear layers from each size to the next, each with a ReLU and dropout behind it."""
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return layers


def side_by_side(*parts: torch.Tensor) -> torch.Tensor:
    """(B, F₁), (B, F₂), … -> (B, F₁ + F₂ + …)."""
    return torch.cat(parts, dim=1)


__getattr__ = former_names(globals(), {"drop_head": "remove_classifier"})
