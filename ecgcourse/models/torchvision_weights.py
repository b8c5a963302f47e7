"""Start networks of images from weights of torchvision's ResNet-18, such as those of ImageNet. Chapter 16.

``torch.save(torchvision.models.resnet18(weights="DEFAULT").state_dict(), "resnet18.pth")`` writes such a file, where
torchvision is installed; nothing of it is needed here.
"""

import os
import re
from pathlib import Path

import torch
from torch import nn

from ecgcourse.errors import CheckpointError, SettingError
from ecgcourse.models.checkpoint import check_weights, load_tensors
from ecgcourse.models.resnet import BLOCKS, ResNet

DEPTH, FILTERS, COLOURS = 18, 64, 3

_FIRST_BLOCK = 4  # of ResNet.features: a convolution, a normalization, a ReLU and a pooling stand before
_PLACES = {"conv1": "residual.0", "bn1": "residual.1", "conv2": "residual.3", "bn2": "residual.4"}
_PLACES |= {"downsample.0": "shortcut.0", "downsample.1": "shortcut.1"}


def load_resnet18(path: str | os.PathLike, model: nn.Module) -> int:
    """Give each ResNet-18 in a model, or the model itself, the convolutions and normalizations of a file.

    Last layers stay as they are. A network of one image gets the sum of the first layer's three colours: the same as
    looking at the image three times, which is what Ahmad et al. (2021) do.

    Parameters
    ----------
    path : path
        A ``state_dict`` of torchvision's ``resnet18``. Nothing in the file is run.
    model : nn.Module
        Holds one or several ``resnet`` with depth 18 and 64 filters, of one or three images.

    Returns
    -------
    int
        How many networks got the weights.

    Raises
    ------
    CheckpointError
        No such file, or one with other layers.
    SettingError
        A model without such a network.

    References
    ----------
    He, K., Zhang, X., Ren, S., Sun, J. (2016). Deep residual learning for image recognition. CVPR.
    doi:10.1109/CVPR.2016.90.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there; name a file with the state_dict of torchvision's resnet18")
    weights = load_tensors(path)
    check_weights(path, weights)
    found = [each for each in model.modules() if isinstance(each, ResNet) and _is_like_it(each)]
    if not found:
        raise SettingError(
            f"{type(model).__name__} holds no resnet with depth={DEPTH}, filters={FILTERS} and one image or {COLOURS}; "
            'make it with image="resnet" and image_settings={"filters": 64}, or "resnet" with filters=64'
        )
    renamed = {_our_name(name): values for name, values in weights.items() if not name.startswith("fc.")}
    for network in found:
        _load(path, renamed, network)
    return len(found)


def _is_like_it(network: ResNet) -> bool:
    settings = network.settings
    return (settings["depth"], settings["filters"]) == (DEPTH, FILTERS) and settings["in_channels"] in (1, COLOURS)


def _load(path: Path, weights: dict[str, torch.Tensor], network: ResNet) -> None:
    wanted, given = network.features.state_dict(), dict(weights)
    first = given.get("0.weight")
    if first is not None and first.ndim == 4 and network.settings["in_channels"] == 1:
        given["0.weight"] = first.sum(dim=1, keepdim=True)
    for name, values in wanted.items():
        # How many batches were seen is of no account, and older files don't tell.
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, values)
        if name not in given or given[name].shape != values.shape:
            there = "is missing" if name not in given else f"has the shape {tuple(given[name].shape)}"
            raise CheckpointError(f"{path} isn't torchvision's resnet18: what belongs to layer {name} {there}")
    strange = sorted(given.keys() - wanted.keys())
    if strange:
        raise CheckpointError(f"{path} isn't torchvision's resnet18: it has a layer {strange[0]}, too")
    network.features.load_state_dict(given)


def _our_name(name: str) -> str:
    """torchvision's name of a weight, as ``layer2.0.conv1.weight``, as the one in `ResNet.features`."""
    name = re.sub(r"^conv1\.", "0.", re.sub(r"^bn1\.", "1.", name))
    match = re.fullmatch(r"layer([1-4])\.(\d)\.(\w+?(?:\.[01])?)\.(\w+)", name)
    if match is None or match[3] not in _PLACES:
        return name
    place = _FIRST_BLOCK + sum(BLOCKS[DEPTH][: int(match[1]) - 1]) + int(match[2])
    return f"{place}.{_PLACES[match[3]]}.{match[4]}"
