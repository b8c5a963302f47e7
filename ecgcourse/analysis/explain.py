"""What a network looked at: attributions to pixels and samples, and the way back to seconds.

An attribution gives every input number its part in one logit. :func:`integrated_gradients` and :func:`grad_cam`
make them, :func:`to_time` brings those of images back to leads and samples, :func:`over_time` does all of that for
records of a dataset. Whether an attribution means anything is another question, for
:mod:`ecgcourse.analysis.sanity`. Introduced in chapter 14.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from ecgcourse.analysis.sanity import Localisation, check_finite, localisation, randomised, rank_correlation
from ecgcourse.errors import DataError, SettingError, brief, shown
from ecgcourse.images.fields import FIELDS, taps
from ecgcourse.learning.datasets import Index, RenderedImages, Signals, SignalsAndImages, to_float
from ecgcourse.learning.samples import crop_starts
from ecgcourse.learning.training import Inputs, crops_side_by_side, in_evaluation_mode
from ecgcourse.recipe import class_names

__all__ = [
    "METHODS",
    "SPREADS",
    "Localisation",
    "Maps",
    "grad_cam",
    "integrated_gradients",
    "localisation",
    "map_layer",
    "over_time",
    "randomised",
    "rank_correlation",
    "to_time",
]

Maps = NDArray[np.float64]


def integrated_gradients(
    model: nn.Module,
    inputs: Inputs,
    target: str,
    baseline: Inputs | float = 0.0,
    steps: int = 64,
) -> Maps | tuple[Maps, ...]:
    """Share out the difference of a logit between a record and a baseline among the input numbers.

    The gradient of the logit is averaged along the straight line from the baseline to the record, and multiplied by
    what each number changed on the way. Exactly averaged, the attributions of a record sum to the difference
    of its logits at both ends (Sundararajan et al. 2017, proposition 1). Here the average is a Gauss–Legendre sum,
    so compare the two, and take more steps where they differ too much.

    Parameters
    ----------
    model : nn.Module
        Evaluated in evaluation mode, on its own device; its mode, weights and gradients stay as they are.
    inputs : (B, L, T) or (B, C, S, S) tensor, or one tensor for each input of the model
        Signals or images as a dataset gives them: uint8 images become floats in [0, 1].
    target : str
        Name of the class whose logit is explained, of those that the model's `task` has; in a multiclass task this is
        its logit before the softmax. A model without a task answers what :func:`ecgcourse.recipe.class_names` says.
    baseline : number or tensor, or one for each input
        Where the line begins, broadcast to the inputs' shape: numbers as the model takes them.
    steps : int
        Points on the line at which the gradient is taken.

    Returns
    -------
    float64 array of the inputs' shape, or a tuple of such arrays
        In units of the logit.

    Raises
    ------
    SettingError
        An unknown target, or fewer than 1 step.
    DataError
        A baseline that doesn't fit the inputs, or inputs that the model refuses.

    References
    ----------
    Sundararajan, M., Taly, A., Yan, Q. (2017). Axiomatic attribution for deep networks. ICML. arXiv:1703.01365.
    """
    if steps < 1:
        raise SettingError(f"integrated_gradients: steps={steps}, but it must be at least 1")
    ends = _prepared(model, inputs)
    starts = _baselines(baseline, ends)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    means = [torch.zeros(end.shape, dtype=torch.float64) for end in ends]
    with _gradients_through(model):
        for node, weight in zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
            points = [(start + node * (end - start)).requires_grad_() for start, end in zip(starts, ends, strict=True)]
            found = torch.autograd.grad(_logits(model, points, target).sum(), points)
            for mean, gradient in zip(means, found, strict=True):
                mean += weight * gradient.cpu()
    parts = [(mean * (end - start).cpu()).numpy() for mean, start, end in zip(means, starts, ends, strict=True)]
    return parts[0] if isinstance(inputs, torch.Tensor) else tuple(parts)


def grad_cam(model: nn.Module, inputs: torch.Tensor, target: str, layer: str | None = None) -> Maps:
    """Where the last convolution found what speaks for a class: gradient-weighted class activation mapping.

    Each map of a layer is weighted with the mean of the logit's gradient over it; what the weighted sum has above
    0 is enlarged to the input's size, linearly with half-pixel centres (Selvaraju et al. 2017, equations 1 and 2).

    Parameters
    ----------
    model : nn.Module
        Takes signals alone or images alone. As for :func:`integrated_gradients`.
    inputs : (B, L, T) or (B, C, S, S) tensor
        As for :func:`integrated_gradients`.
    target : str
        As for :func:`integrated_gradients`.
    layer : str, optional
        Name of the layer, as ``model.named_modules()`` has it; None takes :func:`map_layer`.

    Returns
    -------
    (B, P, T) or (B, P, S, S) float64 array
        Not negative. P = 1, since a convolution mixes all leads or images, except for a network that looks at
        each lead by itself: that one gives a map for each lead.

    Raises
    ------
    SettingError
        An unknown target or layer, a layer whose outputs are no maps, a network without convolution, or one that
        takes signals and images.

    References
    ----------
    Selvaraju, R. R., Cogswell, M., Das, A., Vedantam, R., Parikh, D., Batra, D. (2017). Grad-CAM: visual
    explanations from deep networks via gradient-based localization. ICCV. doi:10.1109/ICCV.2017.74.
    """
    x = _only(_prepared(model, inputs)).requires_grad_()
    name = map_layer(model, x) if layer is None else layer
    with _gradients_through(model), _outputs_of(model, [name]) as outputs:
        logits = _logits(model, [x], target)
        maps = _checked_maps(outputs, name, x)
        (gradient,) = torch.autograd.grad(logits.sum(), maps)
    weights = gradient.flatten(2).mean(dim=2)
    heat = torch.einsum("bc...,bc->b...", maps.detach(), weights).clamp(min=0)
    mode = "linear" if x.ndim == 3 else "bilinear"
    enlarged = functional.interpolate(heat[:, None], size=x.shape[2:], mode=mode, align_corners=False)
    return enlarged.reshape(len(x), -1, *x.shape[2:]).cpu().double().numpy()


def map_layer(model: nn.Module, inputs: torch.Tensor) -> str:
    """Name of the layer that :func:`grad_cam` looks at: the last convolution, with all that keeps its maps' shape.

    Normalization and ReLU after the convolution, and a sum with what goes around it, belong to its maps; the
    first layer that changes their shape ends the search. The order is that in which the layers compute.

    Parameters
    ----------
    model : nn.Module
    inputs : (B, L, T) or (B, C, S, S) tensor
        Any that the model takes.

    Returns
    -------
    str
        As in ``model.named_modules()``.

    Raises
    ------
    SettingError
        The model has no convolution, or takes signals and images.
    """
    x = _only(_prepared(model, inputs))
    names = {module: name for name, module in model.named_modules() if name}
    with in_evaluation_mode(model), torch.no_grad(), _outputs_of(model, names.values()) as outputs:
        model(x)
    shapes = [(name, output.shape) for name, output in outputs]
    places = [k for k, (name, _) in enumerate(shapes) if isinstance(model.get_submodule(name), nn.Conv1d | nn.Conv2d)]
    if not places:
        raise SettingError(f"{type(model).__name__} has no convolution for Grad-CAM; use integrated_gradients")
    chosen, shape = shapes[places[-1]]
    for name, following in shapes[places[-1] :]:
        if following != shape:
            break
        chosen = name
    return chosen


def to_time(
    attribution: ArrayLike, n_samples: int, fields: Sequence[str] = FIELDS, spread: str = "taps"
) -> NDArray[np.float64]:
    """Bring attributions of images back to the leads and samples that the images were made of.

    Both axes of an image are time, so pixel (i, j) stands for two moments of one lead, i and j: each gets half
    of its attribution. The images of a lead add up. The total of each record stays the same.

    Parameters
    ----------
    attribution : (B, C, S, S) array
        Lead-major: all fields of the first lead, then those of the next.
    n_samples : int
        Samples T that an image shows.
    fields : sequence of str
        The fields that each lead has images of.
    spread : {"taps", "pixel"}
        Which samples are a pixel's moment. "taps": the two that it mixes, by their weights
        (:func:`ecgcourse.images.fields.taps`); samples that no pixel looks at get exactly 0. "pixel": all T/S that it
        is drawn over, equally, which is easier to look at.

    Returns
    -------
    (B, L, T) float64 array

    Raises
    ------
    DataError
        Another shape, or a value that isn't finite.
    SettingError
        An unknown `spread`, or fewer than 1 sample.
    """
    if spread not in SPREADS:
        raise SettingError(f"to_time: spread={spread!r} isn't allowed; it must be {' or '.join(SPREADS)}")
    attribution = np.asarray(attribution, dtype=np.float64)
    shape = attribution.shape
    if attribution.ndim != 4 or shape[2] != shape[3] or shape[1] % len(fields):
        raise DataError(
            f"to_time: the attribution has shape {shape}, but (B, C, S, S) with {len(fields)} images per lead is needed"
        )
    check_finite(attribution, "to_time")
    by_moment = (attribution.sum(axis=3) + attribution.sum(axis=2)) / 2
    by_sample = by_moment @ SPREADS[spread](n_samples, shape[-1])
    return by_sample.reshape(shape[0], -1, len(fields), n_samples).sum(axis=2)


def over_time(
    model: nn.Module,
    dataset: RenderedImages | Signals | SignalsAndImages,
    rows: Index,
    target: str,
    method: str = "integrated_gradients",
    spread: str = "taps",
    batch_size: int = 16,
    **settings,
) -> NDArray[np.float64]:
    """Explain one class's logit for records of a dataset, lead by lead and sample by sample.

    Parameters
    ----------
    model : nn.Module
    dataset : RenderedImages, Signals or SignalsAndImages
        What the model takes.
    rows : sequence of B ints, slice or mask
        Which records.
    target : str
        As for :func:`integrated_gradients`.
    method : {"integrated_gradients", "grad_cam"}
        A map of Grad-CAM belongs to no lead; each gets an equal part.
    spread : {"taps", "pixel"}
        As for :func:`to_time`; matters for images only.
    batch_size : int
        Records that go through the network together.
    **settings
        Of the method, such as ``steps=128``.

    Returns
    -------
    (B, L, T) float64 array
        With signals and images, the sum of what both got. Of crops, whose logits are averaged, each is explained by
        itself and put back at its place; samples between them get nothing.

    Raises
    ------
    SettingError
        An unknown method; images from files, which don't say which samples they show; signals and images of
        different leads; also as the method does.
    """
    if method not in METHODS:
        raise SettingError(f"over_time: method={method!r} isn't allowed; it must be {' or '.join(METHODS)}")
    parts = dataset.parts if isinstance(dataset, SignalsAndImages) else (dataset,)
    _check_parts(parts)
    rows = torch.arange(len(dataset))[rows].reshape(-1)
    batches = []
    for batch in rows.split(batch_size):
        inputs = crops_side_by_side(dataset[batch][0])
        found = METHODS[method](model, inputs[0] if len(inputs) == 1 else inputs, target, **settings)
        found = found if isinstance(found, tuple) else (found,)
        batches.append(sum(_in_time(part, maps, spread, len(batch)) for part, maps in zip(parts, found, strict=True)))
    return np.concatenate(batches)


def _by_taps(n_samples: int, size: int) -> NDArray[np.float64]:
    """Share of each sample in each pixel's value: (S, T), rows sum to 1."""
    first, second, weight = taps(n_samples, size)
    shares = np.zeros((size, n_samples))
    pixels = np.arange(size)
    np.add.at(shares, (pixels, first), 1 - weight)
    np.add.at(shares, (pixels, second), weight)
    return shares


def _by_pixel(n_samples: int, size: int) -> NDArray[np.float64]:
    """Share of each sample in the stretch of time that each pixel is drawn over: (S, T), rows sum to 1."""
    if n_samples < 1:
        raise SettingError(f"to_time: n_samples={n_samples}, but it must be at least 1")
    edges, samples = np.arange(size + 1)[:, None] * (n_samples / size), np.arange(n_samples)
    overlap = np.minimum(edges[1:], samples + 1) - np.maximum(edges[:-1], samples)
    return np.clip(overlap, 0, None) * (size / n_samples)


SPREADS: dict[str, Callable[[int, int], NDArray[np.float64]]] = {"taps": _by_taps, "pixel": _by_pixel}
METHODS: dict[str, Callable[..., Maps | tuple[Maps, ...]]] = {
    "integrated_gradients": integrated_gradients,
    "grad_cam": grad_cam,
}


def _logits(model: nn.Module, inputs: Sequence[torch.Tensor], target: str) -> torch.Tensor:
    """A class's logit of each record, (B,)."""
    logits = model(*inputs)
    task = getattr(model, "task", None)
    names = class_names(logits.shape[1]) if task is None else task.classes
    if target not in names:
        raise SettingError(f"no class is called {shown(target)}; the classes are {brief(', '.join(names), 200)}")
    return logits[:, names.index(target)]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _prepared(model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    """The model's inputs as float tensors of their own, on its device."""
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else inputs
    inputs = [each.detach().to(_device(model)) for each in inputs]
    return [to_float(each) if each.dtype == torch.uint8 else each.float() for each in inputs]


def _only(inputs: list[torch.Tensor]) -> torch.Tensor:
    if len(inputs) > 1:
        raise SettingError("a network of signals and images has no last map; use integrated_gradients")
    # A leaf of its own, so that asking for gradients changes nobody else's tensor.
    return inputs[0].clone()


def _baselines(baseline: Inputs | float, ends: list[torch.Tensor]) -> list[torch.Tensor]:
    given = baseline if isinstance(baseline, Sequence) else [baseline] * len(ends)
    if len(given) != len(ends):
        raise DataError(f"integrated_gradients: {len(given)} baselines for {len(ends)} inputs")
    starts = []
    for each, end in zip(given, ends, strict=True):
        start = torch.as_tensor(each, dtype=torch.float32, device=end.device)
        try:
            start = start.expand_as(end)
        except RuntimeError as error:
            shapes = f"shape {tuple(start.shape)}, which doesn't fit the input's {tuple(end.shape)}"
            raise DataError(f"integrated_gradients: the baseline has {shapes}") from error
        if not torch.isfinite(start).all():
            raise DataError("integrated_gradients: the baseline holds NaN or infinite numbers")
        starts.append(start)
    return starts


@contextmanager
def _gradients_through(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients, also through recurrent layers on an NVIDIA GPU."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    # cuDNN has the gradient of a recurrent layer in training mode only; PyTorch's own has it always.
    slower = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    with in_evaluation_mode(model), torch.enable_grad(), slower:
        yield


@contextmanager
def _outputs_of(model: nn.Module, names: Sequence[str]) -> Iterator[list[tuple[str, torch.Tensor]]]:
    """Collect what layers return, in the order in which they finish: pairs of name and output."""
    outputs: list[tuple[str, torch.Tensor]] = []

    def keep(name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> torch.Tensor | None:
            if not isinstance(output, torch.Tensor):
                return None
            outputs.append((name, output))
            # The next layer may write in place over what it gets.
            return output.clone()

        return hook

    handles = [_layer(model, name).register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _layer(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise SettingError(f"{type(model).__name__} has no layer {name!r}; see model.named_modules()") from error


def _checked_maps(outputs: list[tuple[str, torch.Tensor]], name: str, x: torch.Tensor) -> torch.Tensor:
    if not outputs or outputs[-1][1].ndim != x.ndim:
        raise SettingError(f"the layer {name!r} gives no maps over the input; name a convolution, or leave it out")
    return outputs[-1][1]


def _check_parts(parts: Sequence[RenderedImages | Signals]) -> None:
    for part in parts:
        if not isinstance(part, RenderedImages | Signals):
            raise SettingError("over_time: images from files don't say which samples they show; render them")
    if len({part.signals.shape[1] for part in parts}) > 1:
        raise SettingError("over_time: signals and images are of different leads; explain them apart")


def _in_time(part: RenderedImages | Signals, maps: Maps, spread: str, n_records: int) -> NDArray[np.float64]:
    """Attributions of one input, or maps that all of its channels share, as (B, L, T)."""
    n_leads, n_samples = part.signals.shape[1:]
    length = part.recipe.crop or n_samples
    if isinstance(part, Signals):
        found = _shared_out(maps, n_leads)
    else:
        fields = part.recipe.fields
        found = to_time(_shared_out(maps, n_leads * len(fields)), length, fields, spread)
    found = found.reshape(n_records, -1, n_leads, length)
    n_crops = found.shape[1]
    whole = np.zeros((n_records, n_leads, n_samples))
    starts = crop_starts(n_samples - length, n_crops).tolist()
    for crop, start in enumerate(starts):
        whole[..., start : start + length] += found[:, crop] / n_crops
    return whole


def _shared_out(maps: Maps, n_channels: int) -> Maps:
    """Give each channel an equal part of the map that it shares: (B, P, …) to (B, n_channels, …)."""
    sharing = n_channels // maps.shape[1]
    return np.repeat(maps, sharing, axis=1) / sharing
