"""A page that asks a network about an ECG inside the browser: the file never leaves the computer.

Python writes the network's numbers into the page: its weights, its filter, its calibration. JavaScript reads the file,
prepares the signals, and computes what :class:`ecgcourse.classifier.Classifier` would. The page *Try it* of the book
holds it; :func:`page` makes it as one file.
"""

import base64
import re
import tempfile
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ecgcourse.analysis.calibration import Calibration
from ecgcourse.course.interactive import Page, make_page
from ecgcourse.errors import SettingError
from ecgcourse.images import fields, signals
from ecgcourse.learning.own_sets import USUAL_SECONDS
from ecgcourse.models import pretrained
from ecgcourse.models.checkpoint import load_checkpoint
from ecgcourse.models.resnet1d import Block1d, ResNet1d
from ecgcourse.records import practice, ptbxl
from ecgcourse.records.own_words import UNITS

NETWORK = "signals"
"""The shipped network that the page asks."""

SIZE = 128
"""Side S of the images on the page, in pixels."""

BINS = 10
"""Bins of the Markov transition field."""

EXAMPLES = {
    "NORM": "called normal",
    "IMI": "inferior myocardial infarction",
    "ISC_": "ischemic ST/T changes",
    "CRBBB": "complete right bundle branch block",
    "LVH": "left ventricular hypertrophy",
}
"""The practice records on the page: an SCP code that the record has, and what it is in words."""

WORDS = {
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
"""The classes in words."""

_PRACTICE_RECORDS = 60  # of which the examples are chosen


@lru_cache(maxsize=1)
def page() -> Page:
    """Make the page: drop an ECG, and see it on paper, its images, and what the shipped network says.

    Returns
    -------
    Page
        About 1.4 MB. It contacts no server, which its own content security policy has the browser enforce.
    """
    model = load_checkpoint(pretrained.path_of(NETWORK))
    layers, weights = network(model)
    recipe, task = model.recipe.signals, model.task
    calibration = Calibration(**model.calibration)
    numbers = {
        "rate": model.recipe.sampling_rate,
        "seconds": getattr(model, "seconds", None) or USUAL_SECONDS,
        "leads": recipe.leads,
        "crop": recipe.crop,
        "crops": recipe.eval_crops,
        "sections": signals.sections(model.recipe.sampling_rate).tolist(),
        "classes": [
            {"name": name, "words": WORDS.get(name, ""), "slope": slope, "offset": offset, "threshold": threshold}
            for name, slope, offset, threshold in zip(
                task.classes, calibration.slopes, calibration.offsets, model.thresholds, strict=True
            )
        ],
        "layers": layers,
        "weights": _base64(weights.astype("<f4")),
        "images": {"leads": signals.IMAGE_LEADS, "size": SIZE, "bins": BINS, "mtfWhite": fields.MTF_WHITE},
        "units": UNITS,
        "noHeart": signals.NO_HEART,
        "examples": examples(),
        "card": _card(),
    }
    scripts = ("records.js", "tables.js", "filters.js", "network.js", "paper.js")
    return make_page("Try it", "try_it", numbers, 1500, scripts, styles=("paper.css",))


def network(model: ResNet1d) -> tuple[dict, np.ndarray]:
    """Take a network apart into what JavaScript computes: layers in words, and all their weights in one row.

    Each convolution takes the normalization that follows it into its weights and gets a bias, which is exact; the first
    normalization, which comes before a convolution with its zeros at the ends, stays a scale and a shift of each lead.

    Parameters
    ----------
    model : ResNet1d
        In evaluation mode.

    Returns
    -------
    layers : dict
        ``scale`` and ``shift`` of the leads; ``stem``, ``blocks`` and ``head``, each with the shapes of the
        arrays that it takes from the weights, in this order.
    weights : (P,) float32 array

    Raises
    ------
    SettingError
        Another network, or one that is fed other signals than the page prepares, or that has no calibration.
    """
    _check(model)
    weights: list[np.ndarray] = []
    scale, shift = _scale_and_shift(model.features[0])
    stem = _convolution(model.features[1], model.features[2], weights)
    blocks = [_block(each, weights) for each in model.features if isinstance(each, Block1d)]
    head = model.head[-1]
    weights += [head.weight.detach().double().numpy(), head.bias.detach().double().numpy()]
    layers = {"scale": scale.tolist(), "shift": shift.tolist(), "stem": stem, "blocks": blocks}
    layers["head"] = {"inputs": head.in_features, "outputs": head.out_features}
    return layers, np.concatenate([each.ravel() for each in weights]).astype(np.float32)


def examples() -> list[dict[str, str]]:
    """The practice records of the page: ``name``, and the two files of WFDB, ``header`` as text, ``data`` in base64."""
    with tempfile.TemporaryDirectory() as folder:
        root = practice.write(Path(folder) / "practice", _PRACTICE_RECORDS)
        table = ptbxl.read_table(root)
        found = []
        for code, words in EXAMPLES.items():
            path = root / table.loc[ptbxl.clearest_example(table, code), "filename_lr"]
            header, data = path.with_suffix(".hea").read_text("ascii"), path.with_suffix(".dat").read_bytes()
            found.append({"name": path.name, "words": words, "header": header, "data": _base64(data)})
    return found


def _check(model: nn.Module) -> None:
    recipe = getattr(model, "recipe", None)
    part = None if recipe is None else recipe.signals
    right = isinstance(model, ResNet1d) and part is not None and recipe.images is None and not model.task.is_multiclass
    right = right and part.scaling == "z_score" and not part.zero_phase and part.crop
    if not right or not getattr(model, "calibration", None) or getattr(model, "thresholds", None) is None:
        told = type(model).__name__ if recipe is None else f"{type(model).__name__} of {asdict(recipe)}"
        raise SettingError(
            f"the page computes a ResNet1d of z-scored crops with calibration and thresholds, not a {told}"
        )


def _block(block: Block1d, weights: list[np.ndarray]) -> dict:
    convolutions, norms = (
        [each for each in block.residual if isinstance(each, kind)] for kind in (nn.Conv1d, nn.BatchNorm1d)
    )
    found = {
        "first": _convolution(convolutions[0], norms[0], weights),
        "second": _convolution(convolutions[1], norms[1], weights),
        "pool": next((each.kernel_size[0] for each in block.shortcut if isinstance(each, nn.AvgPool1d)), 1),
    }
    if isinstance(block.shortcut[-1] if len(block.shortcut) else None, nn.BatchNorm1d):
        found["shortcut"] = _convolution(block.shortcut[-2], block.shortcut[-1], weights)
    return found


def _convolution(convolution: nn.Conv1d, norm: nn.BatchNorm1d, weights: list[np.ndarray]) -> dict[str, int]:
    """Append a convolution's weights (C', C, k) and its bias (C',), normalized; return its shape in words."""
    scale, shift = _scale_and_shift(norm)
    weights += [convolution.weight.detach().double().numpy() * scale[:, None, None], shift]
    return {
        "filters": convolution.out_channels,
        "inputs": convolution.in_channels,
        "kernel": convolution.kernel_size[0],
        "stride": convolution.stride[0],
    }


def _scale_and_shift(norm: nn.BatchNorm1d) -> tuple[np.ndarray, np.ndarray]:
    """What a normalization multiplies each channel by in evaluation, and what it adds: (C,) float64 each."""
    with torch.no_grad():
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        return scale.numpy(), (norm.bias.double() - norm.running_mean.double() * scale).numpy()


def _card() -> list[str]:
    """The paragraphs of the network's card that say what it learned from, as plain text."""
    (section,) = re.findall(r"^## What it learned from\n+(.*?)\n+^## ", pretrained.card(NETWORK), re.DOTALL | re.M)
    return [" ".join(paragraph.split()) for paragraph in section.split("\n\n")]


def _base64(content: bytes | np.ndarray) -> str:
    return base64.b64encode(content.tobytes() if isinstance(content, np.ndarray) else content).decode("ascii")
