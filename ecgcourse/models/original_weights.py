"""Weights that Narotamo et al. published, read into networks of this package.

Their files hold the ``state_dict`` of a network and nothing else. Which network it is, the names of its layers tell;
how wide and how deep it is, their shapes. Every layer there has one here, with the same numbers under another name.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ecgcourse.errors import CheckpointError, SettingError, brief, in_words
from ecgcourse.models import registry
from ecgcourse.models.checkpoint import check_weights, load_tensors
from ecgcourse.models.resnet import BLOCKS

Weights = dict[str, torch.Tensor]

GATES = {1: "rnn", 3: "gru", 4: "lstm"}
"""Tables of weights in a recurrent layer, which tell its kind."""

READABLE = (
    "AlexNet, AlexNet with attention, the plain CNN, ResNet50, VGG16, GRU, LSTM and RNN (of one direction or two, "
    "with attention or without), CNN-LSTM and CNN-GRU"
)


@dataclass(frozen=True)
class Original:
    """A network of theirs.

    Parameters
    ----------
    called : str
        In messages.
    layers : tuple of str
        Its layers, in the order in which the network here has them.
    name : str
        Of the network here.
    settings : dict
        Of that.
    unused : str
        Pattern of layers that their code makes and never runs.
    """

    called: str
    layers: tuple[str, ...]
    name: str
    settings: dict
    unused: str = r"(?!)"


def load_original(path: str | os.PathLike) -> nn.Module:
    """Read weights that Narotamo et al. published, of any of their networks of images or of signals.

    Nothing in the file is run, and no more memory is taken than the file is long and the network large.

    Parameters
    ----------
    path : path
        A file that ``torch.save(model.state_dict(), path)`` wrote.

    Returns
    -------
    nn.Module
        "alexnet", "alexnet_attention", "cnn", "resnet", "vgg", "gru", "lstm", "rnn", "cnn_lstm" or "cnn_gru", in
        evaluation mode, its `settings` read off the file. Its `recipe` is what the original fed it: leads I, II and V2
        at 100 Hz, as nine images of 256 × 256 pixels, or filtered and z-scored; its classes are MI, STTC, CD and HYP.
        It has neither thresholds nor calibration.

    Raises
    ------
    CheckpointError
        No such file, a file that isn't a `state_dict`, layers of other names or shapes, numbers that aren't
        finite, or a file that promises more numbers than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} isn't there; name a file of the original's weights")
    weights = load_tensors(path)
    check_weights(path, weights)
    weights = {str(name): each for name, each in weights.items()}
    original = recognize(path, weights)
    weights = {name: each for name, each in weights.items() if not re.match(original.unused, name)}
    try:
        # Without memory or random numbers: the weights come from the file.
        with torch.device("meta"):
            model = registry.create(original.name, **original.settings)
    except SettingError as error:
        raise CheckpointError(f"{path} isn't the original's {original.called}: {in_words(error)}") from error
    model.load_state_dict(_renamed(path, original, weights, model), assign=True)
    # Settled: it has learned so, from PTB-XL's ten seconds.
    model.recipe_given = model.task_given = True
    model.synthetic, model.seconds = False, 10.0
    return model.requires_grad_(True).eval()


def recognize(path: Path, weights: Weights) -> Original:
    """Which of their networks has such weights; CheckpointError, naming the file, for none of them."""
    for marker, describe in KINDS.items():
        if marker in weights:
            return describe(weights)
    found = brief(", ".join(sorted(weights)[:3])) or "nothing"
    raise CheckpointError(
        f"{path} is none of the original's networks: it holds {found}; what can be read is {READABLE}"
    )


# --- their networks


def _alexnet(weights: Weights) -> Original:
    layers = [*(f"conv2d_{place}" for place in range(1, 6)), *(f"linear_{place}" for place in range(1, 4))]
    return Original("AlexNet", tuple(layers), "alexnet", {"filters": _outputs(weights, "conv2d_1"), "dropout": 0.0})


def _alexnet_attention(weights: Weights) -> Original:
    layers = list(_alexnet(weights).layers)
    for after in (3, 1):
        name = f"attention{after}"
        layers[after:after] = [name, *(f"{name}.{part}_conv" for part in ("query", "key", "value"))]
    settings = {"filters": _outputs(weights, "conv2d_1"), "softmax_over": "queries"}
    return Original("AlexNet with attention", tuple(layers), "alexnet_attention", settings)


def _cnn(weights: Weights) -> Original:
    layers = tuple(f"{kind}_{place}" for kind in ("conv2d", "linear") for place in (1, 2, 3))
    settings = {"filters": _outputs(weights, "conv2d_1"), "hidden": _outputs(weights, "linear_1")}
    return Original("plain CNN", layers, "cnn", settings)


def _resnet(weights: Weights) -> Original:
    layers = ["conv1", "batch_norm1"]
    for stage, count in enumerate(BLOCKS[50], start=1):
        for place in range(count):
            block = f"layer{stage}.{place}"
            layers += [f"{block}.{kind}{part}" for part in (1, 2, 3) for kind in ("conv", "batch_norm")]
            layers += [f"{block}.i_downsample.{part}" for part in (0, 1) if place == 0]
    settings = {"depth": 50, "filters": _outputs(weights, "batch_norm1"), "bias": True, "init": "pytorch"}
    return Original("ResNet50", (*layers, "fc"), "resnet", settings)


def _vgg(weights: Weights) -> Original:
    counts = enumerate((2, 2, 3), start=1)
    layers = [f"conv{block}_{place}" for block, count in counts for place in range(1, count + 1)]
    settings = {"depth": 10, "filters": _outputs(weights, "conv1_1"), "hidden": _outputs(weights, "fc1")}
    settings |= {"dropout": 0.5, "init": "pytorch"}
    return Original("VGG16", (*layers, "fc1", "fc2", "fc3"), "vgg", settings, unused=r"conv[45]_")


def _recurrent(weights: Weights) -> Original:
    rnn = "lstm" if "lstm.weight_hh_l0" in weights else "rnn"
    table = weights[f"{rnn}.weight_hh_l0"]
    hidden = max(1, table.shape[-1]) if table.ndim else 1
    attention = "attention.attention.weight" in weights
    settings = {
        "hidden": hidden,
        "layers": sum(re.fullmatch(rf"{rnn}\.weight_hh_l\d+", name) is not None for name in weights),
        "bidirectional": f"{rnn}.weight_hh_l0_reverse" in weights,
        "attention": attention,
    }
    name = GATES.get(len(table) // hidden if table.ndim else 0, "gru")
    layers = (rnn, "attention.attention", "fc") if attention else (rnn, "fc")
    return Original(name.upper(), layers, name, settings)


def _cnn_recurrent(weights: Weights) -> Original:
    rnn = "lstm" if "lstm.weight_hh_l0" in weights else "gru"
    settings = {"hidden": _outputs(weights, "fc", "weight"), "mixed_axes": True}
    layers = ("cnn1d_1", "cnn1d_2", "cnn1d_3", rnn, "fc")
    return Original(f"CNN-{rnn.upper()}", layers, f"cnn_{rnn}", settings)


KINDS: dict[str, Callable[[Weights], Original]] = {
    "attention1.gamma": _alexnet_attention,
    "conv2d_5.weight": _alexnet,
    "conv2d_3.weight": _cnn,
    "layer1.0.conv3.weight": _resnet,
    "conv3_3.weight": _vgg,
    "cnn1d_1.weight": _cnn_recurrent,
    "rnn.weight_hh_l0": _recurrent,
    "lstm.weight_hh_l0": _recurrent,
}
"""Weights that tell one of their networks from those below it."""


def _outputs(weights: Weights, layer: str, part: str = "bias") -> int:
    """How many outputs a layer has, or inputs if its `weight` is asked; at least 1, for shapes are checked later."""
    shape = weights[f"{layer}.{part}"].shape if f"{layer}.{part}" in weights else ()
    return max(1, shape[-1]) if shape else 1


def _renamed(path: Path, original: Original, weights: Weights, model: nn.Module) -> Weights:
    """The weights by their names here, as copies, after a look at each name and shape."""
    wanted = model.state_dict()
    here = dict.fromkeys(name.rpartition(".")[0] for name in wanted)
    theirs = dict(zip(here, original.layers, strict=True))
    names = {f"{theirs[layer]}.{part}": name for name in wanted for layer, _, part in [name.rpartition(".")]}
    missing, unknown = sorted(names.keys() - weights.keys()), sorted(weights.keys() - names.keys())
    if missing or unknown:
        complaint = f"{missing[0]} is missing" if missing else f"{brief(unknown[0])} is no part of it"
        raise CheckpointError(f"{path} isn't the original's {original.called}: {complaint}")
    renamed = {}
    for name, tensor in weights.items():
        expected = wanted[names[name]]
        if tensor.shape != expected.shape:
            shapes = f"{tuple(tensor.shape)}, but {tuple(expected.shape)} is needed"
            raise CheckpointError(f"{path} isn't the original's {original.called}: {name} has the shape {shapes}")
        renamed[names[name]] = tensor.to(expected.dtype, copy=True)
    return renamed
