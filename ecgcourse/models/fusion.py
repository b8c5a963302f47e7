"""What all fusions of a signal model and an image model share. Introduced in chapter 13."""

import torch
from torch import nn

from ecgcourse.errors import SettingError
from ecgcourse.models import registry
from ecgcourse.models.checks import check_choice
from ecgcourse.models.network import Network

DECIDED = ("leads", "in_channels", "n_classes", "size")
"""Settings that a fusion and its parts have in common."""


class Fusion(Network):
    """A signal model and an image model whose knowledge a subclass brings together.

    Parameters
    ----------
    signal, image : str
        Names of two models that take signals alone and images alone.
    signal_settings, image_settings : dict or None
        Their settings, other than those below.
    leads : int
        Leads per record, L.
    in_channels : int
        Images per record, C.
    n_classes : int
        Logits per record, K.
    size : int
        Side S of an image in pixels.
    freeze : bool
        Keep the two models as they are and train what joins them. Give them trained weights with
        :meth:`adopt` first.

    Attributes
    ----------
    signal_model, image_model : nn.Module
        The parts.
    scaling : str
        How the signal model wants its signals, see :class:`ecgcourse.images.signals.SignalRecipe`.

    Raises
    ------
    SettingError
        An unknown or unsuitable model, or a setting outside its range.
    """

    inputs = ("signals", "images")

    def __init__(
        self,
        signal: str,
        image: str,
        signal_settings: dict | None,
        image_settings: dict | None,
        leads: int,
        in_channels: int,
        n_classes: int,
        size: int,
        freeze: bool,
    ):
        super().__init__()
        self.settings |= copies(signal_settings, image_settings)
        check_choice(type(self).__name__, (False, True), freeze=freeze)
        common = {"n_classes": n_classes}
        who = type(self).__name__
        self.signal_model = make_part(who, self.settings, "signal", common | {"leads": leads})
        self.image_model = make_part(who, self.settings, "image", common | {"in_channels": in_channels, "size": size})
        self.scaling = self.signal_model.scaling
        if freeze:
            self.signal_model.requires_grad_(False)
            self.image_model.requires_grad_(False)

    def adopt(self, signal_model: nn.Module | None = None, image_model: nn.Module | None = None) -> None:
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

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training or evaluation; frozen parts always stay in evaluation."""
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


def drop_head(model: nn.Module) -> None:
    """Take the last layer off a model that will only embed, so that no weight stands idle."""
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
