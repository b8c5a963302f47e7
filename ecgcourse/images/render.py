"""The nine images of a record straight from its three leads, exactly, with no T×T field on the way.

Bilinear resizing is linear: an S×S image is ``R = A F Aᵀ``, where A (S×T) mixes two samples per pixel. So

* GAF is ``F = c cᵀ − s sᵀ`` (c the signal in [−1, 1], s = √(1 − c²)), and ``R = (A c)(A c)ᵀ − (A s)(A s)ᵀ``:
  two outer products of S numbers;
* MTF is ``F = Q P Qᵀ`` (Q one-hot, T×bins), and ``R = (A Q) P (A Q)ᵀ``: three thin matrices;
* RP is ``F_ij = |x_i − x_j|``, which does not factor; each pixel needs the four samples it mixes, no more.

:mod:`ecgcourse.images.fields` defines the same images the long way. Introduced in chapter 7.
"""

import warnings
from importlib.util import find_spec

import numpy as np
import torch

from ecgcourse.errors import DataError, EcgCourseWarning, SettingError, check_setting, in_words
from ecgcourse.images import fields, fused

DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
"""What a tensor of images may hold: grey levels 0 … 255, or the same divided by 255."""

# Signals converted at once, and images that wait to be converted: bounds the workspace whatever N is.
CHUNK_BYTES = 8 * 2**20
# Records worked on at once where the algebra runs as torch operations, for the same reason.
CHUNK = 8

# The error that the kernels for a GPU ended with. They aren't tried again in this process: compiling takes seconds.
_TRITON_FAILED: list[Exception] = []


def render(
    x: np.ndarray | torch.Tensor,
    size: int = 256,
    bins: int = 10,
    *,
    mtf_white: float = fields.MTF_WHITE,
    out: np.ndarray | torch.Tensor | None = None,
    dtype: torch.dtype = torch.uint8,
    memory_format: torch.memory_format = torch.contiguous_format,
    check: bool = True,
) -> np.ndarray | torch.Tensor:
    """Turn preprocessed signals into image stacks, those of Narotamo et al. 2024 after Ahmad et al. (2021).

    Parameters
    ----------
    x : (N, L, T) float array or tensor
        Signals in [0, 1], as :func:`ecgcourse.images.signals.preprocess` returns them.
    size : int
        Side S of an image in pixels.
    bins : int
        Bins of the Markov transition field.
    mtf_white : float
        Share of transitions that is white in the image of a Markov transition field. 5, that of Narotamo et
        al. 2024, leaves the grey levels above 51 unused; 1 uses all of them. At least 1.
    out : (N, 3 L, S, S) array or tensor, optional
        Written and returned: of the same kind as `x` and on its device, with a `dtype` of its own.
    dtype : torch.dtype
        For tensors: uint8 (grey levels), or float16, bfloat16 or float32 (grey levels / 255, in [0, 1], ready
        for a network). Not looked at where `out` is given.
    memory_format : torch.memory_format
        For tensors: how a new stack lies in memory. ``torch.channels_last`` puts the channels of a pixel side
        by side, which suits convolutions. Not looked at where `out` is given.
    check : bool
        Look for samples outside [0, 1] first. Without it they give wrong images and no error; on a GPU,
        looking means waiting for everything that was asked of it before.

    Returns
    -------
    (N, 3 L, S, S) uint8 array, or tensor of `dtype`
        Lead-major: GAF, MTF, RP of the first lead, then of the next. A tensor stays on its own device.
        At most one grey level from :func:`ecgcourse.images.fields.images` anywhere: the arithmetic runs in another
        order, and where a grey level is all but a whole number, cutting it off may go either way.

    Raises
    ------
    DataError
        ``x`` has another shape, is not a float type, or leaves [0, 1] (NaN included); or `out` doesn't fit.
    SettingError
        ``size`` below 1, fewer than 2 bins, `mtf_white` below 1, or a `dtype` that images can't have.
    """
    in_torch = isinstance(x, torch.Tensor)
    x = x.detach() if in_torch else np.asarray(x)
    _check(x, x.is_floating_point() if in_torch else x.dtype.kind == "f", check)
    check_setting("render", "mtf_white", mtf_white, 1 <= mtf_white < float("inf"), "a number, at least 1")
    taps, edges = fields.taps(x.shape[-1], size), fields.bin_edges(bins)
    if out is not None:
        images = _checked_out(out, x, size)
    else:
        images = _new_tensor(x, size, dtype, memory_format) if in_torch else _new_array(x, size)
    fill = _fill_tensor if in_torch else _fill_on_cpu
    fill(x, taps, edges, images, float(mtf_white))
    return images


def differences(
    x: np.ndarray | torch.Tensor,
    size: int = 256,
    *,
    dtype: torch.dtype = torch.uint8,
    memory_format: torch.memory_format = torch.contiguous_format,
    check: bool = True,
) -> np.ndarray | torch.Tensor:
    """Turn preprocessed signals into images of their signed differences, one per lead.

    The field is ``F = x 1ᵀ − 1 xᵀ``, so the image is ``R = (A x) 1ᵀ − 1 (A x)ᵀ``: S numbers decide all S² pixels.

    Parameters
    ----------
    x, size, dtype, memory_format, check
        As for :func:`render`.

    Returns
    -------
    (N, L, S, S) uint8 array, or tensor of `dtype`
        Zero difference is grey level 127. At most one grey level from :func:`ecgcourse.images.fields.difference`,
        resized.

    Raises
    ------
    DataError, SettingError
        As :func:`render` does.
    """
    in_torch = isinstance(x, torch.Tensor)
    x = x.detach() if in_torch else np.asarray(x)
    _check(x, x.is_floating_point() if in_torch else x.dtype.kind == "f", check)
    _check_dtype(dtype)
    signals = x if in_torch else torch.from_numpy(np.ascontiguousarray(x))
    resampler = _Resampler(fields.taps(x.shape[-1], size), signals.device)
    images = torch.empty((*x.shape[:2], size, size), dtype=dtype, device=signals.device, memory_format=memory_format)
    for part in _chunks(len(x), 8 * x.shape[1] * size * size):
        level = resampler.mix(signals[part].to(resampler.weight.dtype))
        grey = (level[..., :, None] - level[..., None, :] + 1) / 2
        images[part] = _as_type(_grey_levels(grey), dtype)
    return images if in_torch else images.numpy()


def _new_array(x: np.ndarray, size: int) -> np.ndarray:
    return np.empty((len(x), 3 * x.shape[1], size, size), np.uint8)


def _new_tensor(x: torch.Tensor, size: int, dtype: torch.dtype, memory_format: torch.memory_format) -> torch.Tensor:
    _check_dtype(dtype)
    if x.device.type == "cpu" and dtype == torch.uint8 and memory_format == torch.contiguous_format:
        # NumPy asks the system for huge pages, torch does not; with small ones it takes longer to touch new memory.
        return torch.from_numpy(_new_array(x, size))
    shape = (len(x), 3 * x.shape[1], size, size)
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=memory_format)


def _fill_tensor(x: torch.Tensor, taps: tuple, edges: np.ndarray, images: torch.Tensor, mtf_white: float) -> None:
    if x.device.type == "cpu" and images.dtype == torch.uint8 and images.is_contiguous():
        _fill_on_cpu(x, taps, edges, images.numpy(), mtf_white)
    elif x.device.type == "cpu":
        _fill_and_convert(x, taps, edges, images, mtf_white)
    elif x.device.type == "cuda" and x.dtype != torch.float64:
        _fill_on_gpu(x, taps, edges, images, mtf_white)
    else:
        _fill_by_torch(x, taps, edges, images, mtf_white)


def _fill_on_gpu(x: torch.Tensor, taps: tuple, edges: np.ndarray, images: torch.Tensor, mtf_white: float) -> None:
    """By Triton's kernels, or where they can't be had by torch, which is slower."""
    if not _TRITON_FAILED and find_spec("triton") is not None:
        try:
            from ecgcourse.images import fused_gpu

            if fused_gpu.can_fill(len(edges)):
                fused_gpu.fill(x.float().contiguous(), taps, edges, images, mtf_white)
                return
        except torch.cuda.OutOfMemoryError:
            raise
        # A compiler that is missing or too old for the card, a kernel that the card has no room for: of many kinds.
        except Exception as error:
            _TRITON_FAILED.append(error)
            reason = f"{type(error).__name__}: {in_words(error)}"
            warnings.warn(
                f"the kernels for a GPU don't run here ({reason}); images are made by torch operations, more slowly",
                EcgCourseWarning,
                stacklevel=4,
            )
    _fill_by_torch(x, taps, edges, images, mtf_white)


def _fill_on_cpu(
    x: np.ndarray | torch.Tensor, taps: tuple, edges: np.ndarray, images: np.ndarray, mtf_white: float
) -> None:
    """One fused pass per lead, see :mod:`ecgcourse.images.fused`.

    NumPy to the last step: torch's own threads do not survive a fork, and this must.
    """
    for part in _chunks(len(x), 8 * x.shape[1] * x.shape[2]):
        fused.fill(_leads(x[part]), *taps, edges, images[part].reshape(-1, 3, *images.shape[-2:]), mtf_white)


def _leads(x: np.ndarray | torch.Tensor) -> np.ndarray:
    """Signals (N, L, T) as (N·L, T), float32 or float64, C-contiguous; copied only where they must be."""
    if isinstance(x, torch.Tensor):
        # NumPy knows no bfloat16.
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    kept = x.dtype in (np.float32, np.float64)
    return np.ascontiguousarray(x, x.dtype if kept else np.float32).reshape(-1, x.shape[-1])


def _fill_and_convert(x: torch.Tensor, taps: tuple, edges: np.ndarray, images: torch.Tensor, mtf_white: float) -> None:
    """Images of another type or order: as grey levels first, a few records at a time."""
    for part in _chunks(len(x), images[:1].numel()):
        levels = _new_array(x[part], images.shape[-1])
        _fill_on_cpu(x[part], taps, edges, levels, mtf_white)
        images[part] = _as_type(torch.from_numpy(levels), images.dtype)


def _as_type(levels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return levels if dtype == torch.uint8 else (levels.float() / 255).to(dtype)


def _chunks(n_records: int, bytes_a_record: int) -> list[slice]:
    step = max(1, CHUNK_BYTES // bytes_a_record)
    return [slice(start, start + step) for start in range(0, n_records, step)]


@torch.no_grad()
def _fill_by_torch(x: torch.Tensor, taps: tuple, edges: np.ndarray, images: torch.Tensor, mtf_white: float) -> None:
    """The algebra above as plain torch operations, on the device where ``x`` is."""
    resampler = _Resampler(taps, x.device)
    edges = torch.from_numpy(edges).to(x.device, resampler.weight.dtype)
    for start in range(0, len(x), CHUNK):
        signals = x[start : start + CHUNK].to(resampler.weight.dtype)
        stack = (
            (_gramian_angular(signals, resampler) + 1) / 2,
            _markov_transition(signals, resampler, edges) / mtf_white,
            _recurrence(signals, resampler),
        )
        levels = torch.stack([_grey_levels(image) for image in stack], dim=2).flatten(1, 2)
        images[start : start + CHUNK] = _as_type(levels, images.dtype)


class _Resampler:
    """The matrix A of bilinear resizing, kept as two sample numbers and a weight per pixel."""

    def __init__(self, taps: tuple[np.ndarray, np.ndarray, np.ndarray], device: torch.device):
        first, second, weight = taps
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


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype not in DTYPES:
        raise SettingError(f"render: dtype={dtype}, but images are {', '.join(map(str, DTYPES))}")


def _check(x: np.ndarray | torch.Tensor, is_float: bool, values_too: bool) -> None:
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise DataError(f"render: x has shape {tuple(x.shape)}, but (N, L, T) is needed")
    if not is_float:
        raise DataError(f"render: x is {x.dtype}, but a float type in [0, 1] is needed; see signals.preprocess")
    # Written so that NaN fails too.
    if values_too and len(x) and not (x.min() >= 0 and x.max() <= 1):
        raise DataError("render: x must lie in [0, 1] and hold no NaN; scale it with signals.preprocess")


def _checked_out(out: np.ndarray | torch.Tensor, x: np.ndarray | torch.Tensor, size: int) -> np.ndarray | torch.Tensor:
    shape = (len(x), 3 * x.shape[1], size, size)
    if isinstance(x, torch.Tensor):
        fits = isinstance(out, torch.Tensor) and out.device == x.device and out.dtype in DTYPES
        wanted = f"a tensor on {x.device}, {' or '.join(map(str, DTYPES))}"
    else:
        fits = isinstance(out, np.ndarray) and out.dtype == np.uint8 and out.flags.c_contiguous and out.flags.writeable
        wanted = "a C-contiguous, writable NumPy array of uint8"
    if not fits or tuple(out.shape) != shape:
        found = f"{type(out).__name__} of shape {tuple(np.shape(out))}, {getattr(out, 'dtype', 'no dtype')}"
        raise DataError(f"render: out is a {found}, but {wanted} of shape {shape} is needed")
    return out
