"""The nine images of a record straight from its three leads, exactly, with no T×T field on the way.

Bilinear resizing is linear: an S×S image is ``R = A F Aᵀ``, where A (S×T) mixes two samples per pixel. So

* GAF is ``F = c cᵀ − s sᵀ`` (c the signal in [−1, 1], s = √(1 − c²)), and ``R = (A c)(A c)ᵀ − (A s)(A s)ᵀ``:
  two outer products of S numbers;
* MTF is ``F = Q P Qᵀ`` (Q one-hot, T×bins), and ``R = (A Q) P (A Q)ᵀ``: three thin matrices;
* RP is ``F_ij = |x_i − x_j|``, which does not factor; each pixel needs the four samples it mixes, no more.

:mod:`ecgcourse.fields` defines the same images the long way. Introduced in chapter 07.
"""

import numpy as np
import torch

from ecgcourse import fields, fused
from ecgcourse.errors import DataError

# Records worked on at once where the algebra runs as torch operations: bounds the workspace whatever N is.
CHUNK = 8


def render(x: np.ndarray | torch.Tensor, size: int = 256, bins: int = 10) -> np.ndarray | torch.Tensor:
    """Turn preprocessed signals into image stacks.

    Parameters
    ----------
    x : (N, L, T) float array or tensor
        Signals in [0, 1], as :func:`ecgcourse.signals.preprocess` returns them.
    size : int
        Side S of an image in pixels.
    bins : int
        Bins of the Markov transition field.

    Returns
    -------
    (N, 3 L, S, S) uint8 array or tensor
        Lead-major: GAF, MTF, RP of the first lead, then of the next. A tensor stays on its own device.
        At most one grey level from :func:`ecgcourse.fields.images` anywhere: the arithmetic runs in another
        order, and where a grey level is all but a whole number, cutting it off may go either way.

    Raises
    ------
    DataError
        ``x`` has another shape, is not a float type, or leaves [0, 1] (NaN included).
    SettingError
        ``size`` below 1 or fewer than 2 bins.

    Notes
    -----
    The images are those of Narotamo et al. 2024, after Ahmad et al. (2021),
    doi:10.1109/ACCESS.2021.3097614.
    """
    if not isinstance(x, torch.Tensor):
        return _on_cpu(np.asarray(x), size, bins)
    if x.device.type != "cpu":
        return _on_device(x.detach(), size, bins)
    # NumPy knows no bfloat16.
    plain = x.detach().float() if x.dtype == torch.bfloat16 else x.detach()
    return torch.from_numpy(_on_cpu(plain.numpy(), size, bins))


def _on_cpu(x: np.ndarray, size: int, bins: int) -> np.ndarray:
    """One fused pass per lead, see :mod:`ecgcourse.fused`.

    NumPy to the last step: torch's own threads do not survive a fork, and this must.
    """
    _check(x.shape, x.dtype, x.dtype.kind == "f")
    if len(x):
        _check_range(x.min(), x.max())
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    n_records, n_leads, length = x.shape
    # NumPy asks the system for huge pages, torch does not; with small ones, first touching the memory would
    # cost more than computing what goes into it.
    images = np.empty((n_records, 3 * n_leads, size, size), np.uint8)
    fused.fill(
        np.ascontiguousarray(x).reshape(-1, length),
        *fields.taps(length, size),
        fields.bin_edges(bins),
        images.reshape(-1, 3, size, size),
    )
    return images


@torch.no_grad()
def _on_device(x: torch.Tensor, size: int, bins: int) -> torch.Tensor:
    """The algebra above as plain torch operations, on the device where ``x`` is."""
    _check(tuple(x.shape), x.dtype, x.is_floating_point())
    if len(x):
        _check_range(x.min(), x.max())
    resampler = _Resampler(x.shape[-1], size, x.device)
    edges = torch.from_numpy(fields.bin_edges(bins)).to(x.device, resampler.weight.dtype)
    n_records, n_leads, _ = x.shape
    images = torch.empty((n_records, n_leads, 3, size, size), dtype=torch.uint8, device=x.device)
    for start in range(0, n_records, CHUNK):
        signals = x[start : start + CHUNK].to(resampler.weight.dtype)
        out = images[start : start + CHUNK]
        out[:, :, 0] = _grey_levels((_gramian_angular(signals, resampler) + 1) / 2)
        out[:, :, 1] = _grey_levels(_markov_transition(signals, resampler, edges) / 5)
        out[:, :, 2] = _grey_levels(_recurrence(signals, resampler))
    return images.flatten(1, 2)


class _Resampler:
    """The matrix A of bilinear resizing, kept as two sample numbers and a weight per pixel."""

    def __init__(self, length: int, size: int, device: torch.device):
        first, second, weight = fields.taps(length, size)
        # Apple's GPUs have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.first = torch.from_numpy(first).to(device)
        self.second = torch.from_numpy(second).to(device)
        self.weight = torch.from_numpy(weight).to(device, dtype)

    def pick(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The two samples (…, S) that each pixel mixes."""
        return x[..., self.first], x[..., self.second]

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        """A x: (…, T) to (…, S)."""
        first, second = self.pick(x)
        return first * (1 - self.weight) + second * self.weight


def _gramian_angular(x: torch.Tensor, resampler: _Resampler) -> torch.Tensor:
    lowest, highest = x.aminmax(dim=-1, keepdim=True)
    span = highest - lowest
    cosine = (2 * (x - lowest) / torch.where(span == 0, 1, span) - 1).clamp(-1, 1)
    c = resampler.mix(cosine)
    s = resampler.mix((1 - cosine**2).sqrt())
    return c[..., :, None] * c[..., None, :] - s[..., :, None] * s[..., None, :]


def _markov_transition(x: torch.Tensor, resampler: _Resampler, edges: torch.Tensor) -> torch.Tensor:
    bins = len(edges)
    q = torch.bucketize(x.contiguous(), edges)
    probabilities = _transition_matrices(q, bins).to(x.dtype)
    first, second = resampler.pick(q)
    mixed = torch.zeros((*first.shape, bins), dtype=x.dtype, device=x.device)
    mixed.scatter_add_(-1, first[..., None], (1 - resampler.weight).expand_as(first)[..., None])
    mixed.scatter_add_(-1, second[..., None], resampler.weight.expand_as(second)[..., None])
    return mixed @ probabilities @ mixed.transpose(-1, -2)


def _transition_matrices(q: torch.Tensor, bins: int) -> torch.Tensor:
    """Bin numbers (…, T) to transition shares (…, bins, bins)."""
    steps = q[..., :-1] * bins + q[..., 1:]
    counts = torch.zeros((*q.shape[:-1], bins * bins), dtype=torch.float32, device=q.device)
    # float32 counts exactly up to 2²⁴ steps, and adds on every device.
    counts.scatter_add_(-1, steps, torch.ones_like(steps, dtype=torch.float32))
    counts = counts.unflatten(-1, (bins, bins)).to(torch.float32 if q.device.type == "mps" else torch.float64)
    return counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)


def _recurrence(x: torch.Tensor, resampler: _Resampler) -> torch.Tensor:
    first, second = resampler.pick(x)
    # Distances to both samples of the column, mixed over the column, then mixed over the row.
    w = resampler.weight
    rows = [
        (part[..., :, None] - first[..., None, :]).abs() * (1 - w)
        + (part[..., :, None] - second[..., None, :]).abs() * w
        for part in (first, second)
    ]
    return rows[0] * (1 - w)[:, None] + rows[1] * w[:, None]


def _grey_levels(image: torch.Tensor) -> torch.Tensor:
    # Rounding may leave −1e-17 or 255 + 3e-14, and casting those to uint8 would wrap round.
    return (image * 255).clamp_(0, 255).to(torch.uint8)


def _check(shape: tuple[int, ...], dtype: object, is_float: bool) -> None:
    if len(shape) != 3 or 0 in shape[1:]:
        raise DataError(f"render: x has shape {shape}, but (N, L, T) is needed")
    if not is_float:
        raise DataError(f"render: x is {dtype}, but a float type in [0, 1] is needed; see signals.preprocess")


def _check_range(lowest: float, highest: float) -> None:
    # Written so that NaN fails too.
    if not (lowest >= 0 and highest <= 1):
        raise DataError("render: x must lie in [0, 1] and hold no NaN; scale it with signals.preprocess")
