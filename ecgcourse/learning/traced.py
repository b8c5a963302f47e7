"""Preprocessing and images as plain operations on tensors, which ``torch.export`` can take along with a network.

The same numbers as :mod:`ecgcourse.images.signals` and :mod:`ecgcourse.images.render`, for records of one length: the
band-pass is linear, so for T samples it is one matrix (T, T), made by filtering an identity matrix with SciPy's own
filter. A grey level is cut off to a whole number, and where it is all but one, the last bit of the arithmetic decides.
Hence the images follow :mod:`ecgcourse.images.fused` operation by operation, in float64 that is rounded to float32
wherever its numbers are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ecgcourse.images import fields
from ecgcourse.images.fused import rounded_down
from ecgcourse.images.signals import LARGEST_VOLTAGE, SignalRecipe, bandpass
from ecgcourse.recipe import ImageRecipe

# Of the whole numbers n up to 255, n · SHRINK is rounded to the next float32 below n.
SHRINK = 1 - 2.0**-24


class Preprocess(nn.Module):
    """Choose leads, band-pass, scale: :func:`ecgcourse.images.signals.preprocess` for records of one length.

    Parameters
    ----------
    part : SignalRecipe or ImageRecipe
    fs : float
        Sampling rate in Hz.
    length : int
        Samples per record, T.
    given : sequence of str
        Names of the L' leads of the records.
    """

    def __init__(self, part: SignalRecipe | ImageRecipe, fs: float, length: int, given: Sequence[str]):
        super().__init__()
        self.scaling, self.rows = part.scaling, [list(given).index(name) for name in part.leads]
        # Row t is what an impulse at sample t becomes.
        impulses = np.eye(length)
        if part.filtered:
            impulses = bandpass(impulses, fs, zero_phase=part.zero_phase)
        self.register_buffer("impulses", torch.from_numpy(np.ascontiguousarray(impulses)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map records (N, L', T) in mV, float64, to signals (N, L, T) float32."""
        chosen = torch.stack([x[:, row] for row in self.rows], dim=1)
        flat = chosen.amax(-1, keepdim=True) == chosen.amin(-1, keepdim=True)
        return _SCALINGS[self.scaling](torch.where(flat, 0.0, chosen @ self.impulses)).float()


def _min_max(x: torch.Tensor) -> torch.Tensor:
    lowest = x.amin(-1, keepdim=True)
    span = x.amax(-1, keepdim=True) - lowest
    return (x - lowest) / torch.where(span == 0, 1.0, span)


def _z_score(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    deviation = ((x - mean) ** 2).mean(-1, keepdim=True).sqrt()
    flat = x.amax(-1, keepdim=True) == x.amin(-1, keepdim=True)
    return torch.where(flat, 0.0, (x - mean) / torch.where(flat, 1.0, deviation))


def _fixed_scale(x: torch.Tensor) -> torch.Tensor:
    return ((x / LARGEST_VOLTAGE + 1) / 2).clamp(0, 1)


_SCALINGS = {"min_max": _min_max, "z_score": _z_score, "fixed_scale": _fixed_scale, "millivolt": lambda x: x}


class Render(nn.Module):
    """Images of signals of one length: :func:`ecgcourse.images.render.render` and its sibling ``differences``.

    Parameters
    ----------
    recipe : ImageRecipe
    length : int
        Samples per signal, T.
    """

    def __init__(self, recipe: ImageRecipe, length: int):
        super().__init__()
        self.fields, self.mtf_white = recipe.fields, float(recipe.mtf_white)
        first, second, weight = fields.taps(length, recipe.size)
        edges = rounded_down(fields.bin_edges(10), np.dtype(np.float32))[:-1]
        for name, array in (("first", first), ("second", second), ("weight", weight), ("edges", edges)):
            self.register_buffer(name, torch.from_numpy(array))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map signals (N, L, T) in [0, 1], float32, to images (N, C, S, S) float32 in [0, 1]."""
        made = [_FIELDS[name](self, x).clamp(0, 255).floor() for name in self.fields]
        return torch.stack(made, dim=2).flatten(1, 2).float() / 255

    def near_and_far(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The two samples (…, S) that each pixel mixes, as float64, and the share (S,) of the second."""
        return x[..., self.first].double(), x[..., self.second].double(), _single(self.weight)


def _single(x: torch.Tensor) -> torch.Tensor:
    """Numbers as float32 rounds them; of a product and a sum what a fused instruction gives."""
    return x.float().double()


def _gramian_angular(to: Render, x: torch.Tensor) -> torch.Tensor:
    near, far, w = to.near_and_far(x)
    lowest, highest = x.amin(-1, keepdim=True).double(), x.amax(-1, keepdim=True).double()
    span = _single(highest - lowest)
    scale = torch.where(span > 0, _single(127.5 / torch.where(span > 0, span, 1.0)), 0.0)
    cosines, sines = [], []
    for each in (near, far):
        above, below = _single(each - lowest), _single(highest - each)
        cosines.append(_single(above - below))
        sines.append(2 * _single(_single(above * below).sqrt()))
    c, s = (_single(scale * _single(_single(b - a) * w + a)) for a, b in (cosines, sines))
    c = torch.where(span > 0, c, -127.5)
    rows_c, rows_s = _single(c / 127.5)[..., :, None], _single(s / 127.5)[..., :, None]
    return _single(_single(rows_c * c[..., None, :] - _single(rows_s * s[..., None, :])) + 127.5)


def _markov_transition(to: Render, x: torch.Tensor) -> torch.Tensor:
    bins = len(to.edges) + 1
    q = (x[..., None] > to.edges).sum(-1)
    in_bin = (q[..., None] == torch.arange(bins, device=x.device)).double()
    counts = in_bin[..., :-1, :].transpose(-1, -2) @ in_bin[..., 1:, :]
    exact = counts / counts.sum(-1, keepdim=True).clamp(min=1) / to.mtf_white * 255
    levels = _single(exact)
    levels = torch.where(levels.floor() > exact, _single(levels * SHRINK), levels)
    w = _single(to.weight)
    near, far = in_bin[..., to.first, :], in_bin[..., to.second, :]
    shares = _single(near * _single(1 - w)[:, None] + far * w[:, None])
    rows = torch.zeros_like(levels[..., :1]) * shares[..., None, :, 0]
    for b in range(bins):
        rows = _single(levels[..., b, None] * shares[..., None, :, b] + rows)
    # A product with rows of zeros and one 1 picks.
    of_near, of_far = near @ rows, far @ rows
    return _single(_single(of_far - of_near) * w[:, None] + of_near)


def _recurrence(to: Render, x: torch.Tensor) -> torch.Tensor:
    near, far, w = to.near_and_far(x)
    near, far = _single(255 * near), _single(255 * far)
    at_high = torch.where(far < near, _single(1 - w), w)
    at_low = _single(1 - at_high)
    lower, higher = _single(at_low * torch.minimum(near, far)), _single(at_high * torch.maximum(near, far))
    middle, slope, offset = _single(lower + higher), _single(at_low - at_high), _single(higher - lower)
    middle, slope, offset = (each[..., :, None] for each in (middle, slope, offset))
    to_near, to_far = (
        torch.maximum(_single((middle - each).abs()), _single(slope * each + offset))
        for each in (near[..., None, :], far[..., None, :])
    )
    return _single(_single(to_far - to_near) * w + to_near)


def _difference(to: Render, x: torch.Tensor) -> torch.Tensor:
    level = x[..., to.first].double() * (1 - to.weight) + x[..., to.second].double() * to.weight
    return (level[..., :, None] - level[..., None, :] + 1) / 2 * 255


_FIELDS = {"GAF": _gramian_angular, "MTF": _markov_transition, "RP": _recurrence, "DIF": _difference}
