"""The loops of :mod:`ecgcourse.images.fused` for a GPU, as two Triton kernels.

The first takes one lead a program and leaves what a lead needs: a few rows of S numbers. The second takes some
rows of pixels a program and writes all three images of them, cut to grey levels, in the type that was asked for.
Nothing else of any size is written. Where Triton is missing, :mod:`ecgcourse.images.render` runs the same algebra as
torch operations. With ``TRITON_INTERPRET=1`` the kernels run on CPU tensors, which is how they are tested.
Introduced in chapter 7.
"""

import numpy as np
import torch
import triton
import triton.language as tl

from ecgcourse.images.fields import MTF_WHITE
from ecgcourse.images.fused import rounded_down

MAX_BINS = 63
"""Most bins that the kernels take: more would need tables that a multiprocessor has no room for."""

# What the first kernel leaves for the second stays in a GPU's second-level cache.
SCRATCH_BYTES = 24 * 2**20
SAMPLES = 1024
ROWS, COLUMNS = 16, 256


def can_fill(bins: int) -> bool:
    """Whether the kernels take this number of bins."""
    return bins <= MAX_BINS


def fill(
    x: torch.Tensor,
    taps: tuple[np.ndarray, np.ndarray, np.ndarray],
    edges: np.ndarray,
    images: torch.Tensor,
    mtf_white: float = MTF_WHITE,
) -> None:
    """Write the images of many leads.

    Parameters
    ----------
    x : (N, L, T) float32 tensor
        Signals in [0, 1], contiguous, on a GPU.
    taps : three (S,) arrays
        As :func:`ecgcourse.images.fields.taps` gives them.
    edges : (bins,) float64 array
        As :func:`ecgcourse.images.fields.bin_edges` gives them; at most `MAX_BINS`.
    images : (N, 3 L, S, S) uint8, float16, bfloat16 or float32 tensor
        Written, with any strides: GAF, MTF, RP of each lead. Grey levels 0 … 255 as uint8, in [0, 1] as floats.
    mtf_white : float
        As for :func:`ecgcourse.images.render.render`.
    """
    n_records, n_leads, length = x.shape
    size, bins = images.shape[-1], len(edges)
    bin_block = triton.next_power_of_2(bins + 1)
    first, second = (torch.from_numpy(each.astype(np.int32)).to(x.device) for each in taps[:2])
    weight = torch.from_numpy(taps[2].astype(np.float32)).to(x.device)
    edges = torch.from_numpy(rounded_down(edges, np.dtype(np.float32))).to(x.device)
    numbers_a_lead = (6 + bins) * size + bin_block**2
    records = min(n_records, max(1, SCRATCH_BYTES // (4 * n_leads * numbers_a_lead)))
    curves = torch.empty((records * n_leads, 4, size), dtype=torch.float32, device=x.device)
    numbers = torch.empty((records * n_leads, 2, size), dtype=torch.int32, device=x.device)
    levels = torch.empty((records * n_leads, bin_block, bin_block), dtype=torch.float32, device=x.device)
    rows = torch.empty((records * n_leads, bins, size), dtype=torch.float32, device=x.device)
    for start in range(0, n_records, max(1, records)):
        out = images[start : start + records]
        leads = len(out) * n_leads
        _prepare[(leads,)](
            x[start:],
            first,
            second,
            weight,
            edges,
            curves,
            numbers,
            levels,
            rows,
            length,
            size,
            mtf_white,
            BINS=bins,
            BIN_BLOCK=bin_block,
            SAMPLES=SAMPLES,
            PIXELS=min(COLUMNS, triton.next_power_of_2(size)),
        )
        _draw[(leads, triton.cdiv(size, ROWS))](
            weight,
            curves,
            numbers,
            rows,
            out,
            n_leads,
            size,
            *out.stride(),
            BINS=bins,
            ROWS=ROWS,
            COLUMNS=min(COLUMNS, triton.next_power_of_2(size)),
        )


@triton.jit
def _prepare(
    x,
    first,
    second,
    weight,
    edges,
    curves,
    numbers,
    levels,
    rows,
    length,
    size,
    mtf_white,
    BINS: tl.constexpr,
    BIN_BLOCK: tl.constexpr,
    SAMPLES: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """One lead: 127.5 A c and 127.5 A s, 255 times both samples of each pixel, their bins, the rows of all bins."""
    lead = tl.program_id(0).to(tl.int64)
    x += lead * length
    curves += lead * 4 * size
    numbers += lead * 2 * size
    rows += lead * BINS * size
    levels += lead * BIN_BLOCK * BIN_BLOCK
    lowest, highest, table = _look_through(x, edges, length, mtf_white, BINS, BIN_BLOCK, SAMPLES)
    bin_number = tl.arange(0, BIN_BLOCK)[:, None]
    tl.store(levels + bin_number * BIN_BLOCK + tl.arange(0, BIN_BLOCK)[None, :], table)
    # The table is read below by other threads than those that wrote it.
    tl.debug_barrier()
    for start in range(0, size, PIXELS):
        k = start + tl.arange(0, PIXELS)
        inside = k < size
        share = tl.load(weight + k, inside, 0.0)
        near = tl.load(x + tl.load(first + k, inside, 0))
        far = tl.load(x + tl.load(second + k, inside, 0))
        _write_curves(curves, near, far, share, lowest, highest, k, inside, size)
        a, b = _bin_numbers(near, edges, BINS), _bin_numbers(far, edges, BINS)
        tl.store(numbers + k, a, inside)
        tl.store(numbers + size + k, b, inside)
        wanted = (bin_number < BINS) & inside[None, :]
        at_a = tl.load(levels + bin_number * BIN_BLOCK + a[None, :], wanted, 0.0)
        at_b = tl.load(levels + bin_number * BIN_BLOCK + b[None, :], wanted, 0.0)
        mixed = at_a + (at_b - at_a) * share[None, :]
        tl.store(rows + bin_number * size + k[None, :], mixed, wanted)


@triton.jit
def _look_through(x, edges, length, mtf_white, BINS: tl.constexpr, BIN_BLOCK: tl.constexpr, SAMPLES: tl.constexpr):
    """Smallest and largest sample, and 255 P / mtf_white."""
    lowest = tl.full((SAMPLES,), 1.0, tl.float32)
    highest = tl.full((SAMPLES,), 0.0, tl.float32)
    steps = tl.zeros((BIN_BLOCK * BIN_BLOCK,), tl.int32)
    for start in range(0, length, SAMPLES):
        t = start + tl.arange(0, SAMPLES)
        now = tl.load(x + t, t < length, 0.0)
        then = tl.load(x + t + 1, t + 1 < length, 0.0)
        lowest = tl.minimum(lowest, tl.where(t < length, now, 1.0))
        highest = tl.maximum(highest, now)
        step = _bin_numbers(now, edges, BINS) * BIN_BLOCK + _bin_numbers(then, edges, BINS)
        # What lies behind the last step is counted in the last place of the table, which no bin has.
        step = tl.where(t + 1 < length, step, BIN_BLOCK * BIN_BLOCK - 1)
        steps += tl.histogram(step, BIN_BLOCK * BIN_BLOCK)
    counts = tl.reshape(steps, (BIN_BLOCK, BIN_BLOCK)).to(tl.float64)
    leaving = tl.maximum(tl.sum(counts, 1), 1.0)
    exact = counts / leaving[:, None] / mtf_white * 255
    levels = exact.to(tl.float32)
    # As on a CPU: 16.999… must not become 17 by being rounded to float32. The next number below has the next bits.
    below = (levels.to(tl.int32, bitcast=True) - 1).to(tl.float32, bitcast=True)
    levels = tl.where(tl.floor(levels).to(tl.float64) > exact, below, levels)
    return tl.min(lowest), tl.max(highest), levels


@triton.jit
def _bin_numbers(x, edges, BINS: tl.constexpr):
    numbers = tl.zeros_like(x).to(tl.int32)
    for k in tl.static_range(BINS - 1):
        numbers += (x > tl.load(edges + k)).to(tl.int32)
    return numbers


@triton.jit
def _write_curves(curves, near, far, share, lowest, highest, k, inside, size):
    span = highest - lowest
    is_flat = span == 0
    scale = tl.where(is_flat, 0.0, 127.5 / tl.where(is_flat, 1.0, span))
    above_a, below_a, above_b, below_b = near - lowest, highest - near, far - lowest, highest - far
    c_a, c_b = above_a - below_a, above_b - below_b
    s_a, s_b = 2 * tl.sqrt_rn(above_a * below_a), 2 * tl.sqrt_rn(above_b * below_b)
    cosine = scale * (c_a + (c_b - c_a) * share) - tl.where(is_flat, 127.5, 0.0)
    tl.store(curves + k, cosine, inside)
    tl.store(curves + size + k, scale * (s_a + (s_b - s_a) * share), inside)
    tl.store(curves + 2 * size + k, 255 * near, inside)
    tl.store(curves + 3 * size + k, 255 * far, inside)


@triton.jit
def _draw(
    weight,
    curves,
    numbers,
    rows,
    images,
    n_leads,
    size,
    record_stride,
    channel_stride,
    row_stride,
    column_stride,
    BINS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Some rows of the three images of a lead."""
    lead = tl.program_id(0).to(tl.int64)
    curves += lead * 4 * size
    numbers += lead * 2 * size
    rows += lead * BINS * size
    images += (lead // n_leads) * record_stride + (lead % n_leads) * 3 * channel_stride
    i = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    for start in range(0, size, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        inside = (i < size)[:, None] & (j < size)[None, :]
        place = images + i[:, None] * row_stride + j[None, :] * column_stride
        _store_grey(place, _gramian_angular(curves, i, j, size), inside)
        _store_grey(place + channel_stride, _markov_transition(weight, numbers, rows, i, j, inside, size), inside)
        _store_grey(place + 2 * channel_stride, _recurrence(weight, curves + 2 * size, i, j, size), inside)


@triton.jit
def _store_grey(place, level, inside):
    # Rounding leaves at most a few ten-thousandths outside [0, 255], which cutting off takes back.
    whole = level.to(tl.int32)
    kind = place.dtype.element_ty
    if kind == tl.uint8:
        tl.store(place, whole.to(tl.uint8), inside)
    elif kind == tl.float32:
        tl.store(place, tl.div_rn(whole.to(tl.float32), 255.0), inside)
    else:
        # In half precision the product is the same number as the quotient for all 256 grey levels, and cheaper.
        tl.store(place, (whole.to(tl.float32) * (1 / 255)).to(kind), inside)


@triton.jit
def _gramian_angular(curves, i, j, size):
    cosine, sine = tl.load(curves + j, j < size, 0.0), tl.load(curves + size + j, j < size, 0.0)
    c, s = tl.load(curves + i, i < size, 0.0) / 127.5, tl.load(curves + size + i, i < size, 0.0) / 127.5
    return c[:, None] * cosine[None, :] - s[:, None] * sine[None, :] + 127.5


@triton.jit
def _markov_transition(weight, numbers, rows, i, j, inside, size):
    a, b = tl.load(numbers + i, i < size, 0), tl.load(numbers + size + i, i < size, 0)
    at_a = tl.load(rows + a[:, None] * size + j[None, :], inside, 0.0)
    at_b = tl.load(rows + b[:, None] * size + j[None, :], inside, 0.0)
    return at_a + (at_b - at_a) * tl.load(weight + i, i < size, 0.0)[:, None]


@triton.jit
def _recurrence(weight, samples, i, j, size):
    """See ``_bends`` in :mod:`ecgcourse.images.fused`."""
    share = tl.load(weight + i, i < size, 0.0)
    a, b = tl.load(samples + i, i < size, 0.0), tl.load(samples + size + i, i < size, 0.0)
    at_high = tl.where(b < a, 1 - share, share)
    at_low = 1 - at_high
    low, high = tl.minimum(a, b), tl.maximum(a, b)
    middle, slope, offset = at_low * low + at_high * high, at_low - at_high, at_high * high - at_low * low
    near, far = tl.load(samples + j, j < size, 0.0), tl.load(samples + size + j, j < size, 0.0)
    to_near = _distance(middle[:, None], slope[:, None], offset[:, None], near[None, :])
    to_far = _distance(middle[:, None], slope[:, None], offset[:, None], far[None, :])
    return to_near + (to_far - to_near) * tl.load(weight + j, j < size, 0.0)[None, :]


@triton.jit
def _distance(middle, slope, offset, v):
    return tl.maximum(tl.abs(middle - v), slope * v + offset)
