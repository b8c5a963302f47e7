"""The inner loops of :mod:`ecgcourse.images.render` on a CPU: one pass per lead that writes the grey levels themselves.

Everything a lead needs lies in a few rows of S numbers, which stay in the first-level cache; the only memory
that is touched at length is the image. The loops run in float32, sixteen pixels at a time where the processor
can. Compiled by Numba at the first call and kept on disk after it. Introduced in chapter 7.
"""

import functools
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch

from ecgcourse.errors import EcgCourseWarning
from ecgcourse.images.fields import MTF_WHITE

# About half a millisecond of work: small enough to share out evenly, large enough to be worth handing over.
LEADS_A_TASK = 48
# Below this many leads a thread, starting threads costs more than they save.
LEADS_A_THREAD = 8

# Of float32, like all that meets them: a plain number would turn the arithmetic to float64, at half the speed.
ONE, TWO, HALF, WHITE = (np.float32(value) for value in (1, 2, 127.5, 255))
# Counts of steps that are kept apart and added up at the end.
N_ACCUMULATORS = 4

# "contract" lets a product and a sum become one instruction; "nnan" and "nsz" let a search for the smallest
# sample run sixteen samples at a time, and `render` looks for NaN unless it is told not to.
_COMPILATION = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nnan", "nsz"}}


def compiled(function: Callable) -> Callable:
    """Let Numba compile a function at its first call, and keep the result on disk where there is a place for it."""
    try:
        return numba.njit(cache=True, **_COMPILATION)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written: no home in a container, say.
        _warn_of_no_place()
        return numba.njit(**_COMPILATION)(function)


@functools.cache
def _warn_of_no_place() -> None:
    warnings.warn(
        "compiled loops can't be kept on disk, so each start compiles them again; NUMBA_CACHE_DIR=FOLDER names a place",
        EcgCourseWarning,
        stacklevel=3,
    )


def fill(
    x: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    weight: np.ndarray,
    edges: np.ndarray,
    images: np.ndarray,
    mtf_white: float = MTF_WHITE,
) -> None:
    """Write the images of many leads, on as many threads as torch and Numba allow.

    Plain threads, not Numba's own: those can be neither forked (as DataLoader workers are) nor called from two
    threads at once, whichever of its threading layers is installed.

    Parameters
    ----------
    x : (M, T) float32 or float64 array
        Signals in [0, 1], C-contiguous.
    first, second, weight : (S,) arrays
        As :func:`ecgcourse.images.fields.taps` gives them.
    edges : (bins,) float64 array
        As :func:`ecgcourse.images.fields.bin_edges` gives them.
    images : (M, 3, S, S) uint8 array
        Written: GAF, MTF, RP of each lead. C-contiguous.
    mtf_white : float
        As for :func:`ecgcourse.images.render.render`.
    """
    settings = (first, second, weight.astype(np.float32), rounded_down(edges, x.dtype), mtf_white)
    threads = min(n_threads(), len(x) // LEADS_A_THREAD)
    if threads < 2:
        _fill(x, *settings, images)
        return
    tasks = -(-len(x) // min(LEADS_A_TASK, -(-len(x) // threads)))
    ends = np.linspace(0, len(x), tasks + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_fill, x[start:end], *settings, images[start:end])
            for start, end in zip(ends[:-1], ends[1:], strict=True)
        ]
    for part in parts:
        part.result()


def n_threads() -> int:
    """How many threads :func:`fill` may use: the smaller of torch's and Numba's settings, and the cores there are."""
    # numba.get_num_threads() would start Numba's own threads.
    return min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1)


def rounded_down(edges: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The largest numbers of a float type that don't exceed the edges (bins,).

    A sample of that type lies above an edge exactly if it lies above this number, so that comparing can stay
    in the type of the samples.
    """
    nearest = edges.astype(dtype)
    return np.where(nearest > edges, np.nextafter(nearest, dtype.type(0)), nearest)


@compiled
def _fill(x, first, second, w, edges, mtf_white, images):
    size, bins = len(first), len(edges)
    near, far = np.empty(size, x.dtype), np.empty(size, x.dtype)
    cosine, sine = np.empty(size, np.float32), np.empty(size, np.float32)
    white_near, white_far = np.empty(size, np.float32), np.empty(size, np.float32)
    q = np.empty(x.shape[1], np.int32)
    counts = np.empty((N_ACCUMULATORS, bins, bins), np.int32)
    levels = np.empty((bins, bins), np.float32)
    shares = np.empty((bins, size), np.float32)
    rows = np.empty((bins, size), np.float32)
    whole = np.empty((bins, size), np.uint8)
    for lead in range(len(x)):
        for k in range(size):
            near[k] = x[lead, first[k]]
            far[k] = x[lead, second[k]]
            white_near[k] = WHITE * np.float32(near[k])
            white_far[k] = WHITE * np.float32(far[k])
        _angles(x[lead], near, far, w, cosine, sine)
        _gramian_angular(cosine, sine, images[lead, 0])
        _bin_numbers(x[lead], edges, q)
        _transition_levels(q, mtf_white, counts, levels)
        _shares(q, first, second, w, shares)
        _rows_of_bins(levels, shares, rows, whole)
        _markov_transition(q, first, second, w, rows, whole, images[lead, 1])
        _recurrence(white_near, white_far, w, images[lead, 2])


@compiled
def _angles(x, near, far, w, cosine, sine):
    """127.5 A c and 127.5 A s, from c = ((x − min) − (max − x)) / span and s = 2 √((x − min)(max − x)) / span.

    Written with differences, the sine of a sample near the smallest or the largest is as exact as any other;
    √(1 − c²) would lose half of its digits there.
    """
    lowest, highest = x[0], x[0]
    for t in range(len(x)):
        lowest = min(lowest, x[t])
        highest = max(highest, x[t])
    span = np.float32(highest - lowest)
    # A flat lead counts as its own smallest sample throughout: c = −1, s = 0.
    scale = HALF / span if span > 0 else np.float32(0)
    flat = np.float32(0) if span > 0 else -HALF
    for k in range(len(near)):
        above_a, below_a = np.float32(near[k] - lowest), np.float32(highest - near[k])
        above_b, below_b = np.float32(far[k] - lowest), np.float32(highest - far[k])
        c_a, c_b = above_a - below_a, above_b - below_b
        s_a, s_b = TWO * np.sqrt(above_a * below_a), TWO * np.sqrt(above_b * below_b)
        cosine[k] = scale * (c_a + (c_b - c_a) * w[k]) + flat
        sine[k] = scale * (s_a + (s_b - s_a) * w[k])


@compiled
def _gramian_angular(cosine, sine, image):
    for i in range(len(cosine)):
        c, s = cosine[i] / HALF, sine[i] / HALF
        for j in range(len(cosine)):
            image[i, j] = _grey(c * cosine[j] - s * sine[j] + HALF)


@compiled
def _grey(level):
    # Rounding leaves at most a few ten-thousandths outside [0, 255], which cutting off takes back.
    return np.uint8(np.int32(level))


@compiled
def _bin_numbers(x, edges, q):
    q[:] = 0
    for k in range(len(edges) - 1):
        for t in range(len(x)):
            q[t] += np.int32(x[t] > edges[k])


@compiled
def _transition_levels(q, mtf_white, counts, levels):
    """255 P / mtf_white for every pair of bins."""
    bins = len(levels)
    counts[:] = 0
    # Several walks at once: a count that has just been raised isn't ready to be raised again.
    stride = (len(q) - 1) // N_ACCUMULATORS
    for t in range(stride):
        for walk in range(N_ACCUMULATORS):
            counts[walk, q[t + walk * stride], q[t + walk * stride + 1]] += 1
    for t in range(N_ACCUMULATORS * stride, len(q) - 1):
        counts[0, q[t], q[t + 1]] += 1
    for a in range(bins):
        for walk in range(1, N_ACCUMULATORS):
            counts[0, a] += counts[walk, a]
        leaving = max(counts[0, a].sum(), 1)
        for b in range(bins):
            levels[a, b] = _level_of(counts[0, a, b], leaving, mtf_white)


@compiled
def _level_of(count, leaving, mtf_white):
    if count == 0:
        return np.float32(0)
    exact = np.float64(count) / np.float64(leaving) / mtf_white * 255
    level = np.float32(exact)
    # 16.999… must not become 17 by being rounded to float32: it would be cut off to another grey level.
    return np.nextafter(level, np.float32(0)) if np.floor(level) > exact else level


@compiled
def _shares(q, first, second, w, shares):
    """(A Q)ᵀ: how much of each bin each pixel holds."""
    shares[:] = 0
    for k in range(len(first)):
        shares[q[first[k]], k] += ONE - w[k]
        shares[q[second[k]], k] += w[k]


@compiled
def _rows_of_bins(levels, shares, rows, whole):
    """255 P (A Q)ᵀ / mtf_white: the row of pixels of a moment that lies in one bin, for each bin; exact and cut off."""
    rows[:] = 0
    for a in range(len(levels)):
        for b in range(len(levels)):
            # Most steps lead to the same bin or the next one.
            if levels[a, b] != 0:
                for j in range(shares.shape[1]):
                    rows[a, j] += levels[a, b] * shares[b, j]
        for j in range(shares.shape[1]):
            whole[a, j] = _grey(rows[a, j])


@compiled
def _markov_transition(q, first, second, w, rows, whole, image):
    for i in range(len(first)):
        a, b = q[first[i]], q[second[i]]
        if a == b:
            _copy_row(whole, a, image, i)
        else:
            _mix_rows(rows, a, b, w[i], image, i)


@compiled
def _copy_row(whole, a, image, i):
    for j in range(image.shape[1]):
        image[i, j] = whole[a, j]


@compiled
def _mix_rows(rows, a, b, share, image, i):
    for j in range(image.shape[1]):
        image[i, j] = _grey(rows[a, j] + (rows[b, j] - rows[a, j]) * share)


@compiled
def _recurrence(near, far, w, image):
    for i in range(len(near)):
        middle, slope, offset = _bends(near[i], far[i], w[i])
        for j in range(len(near)):
            to_near = max(abs(middle - near[j]), slope * near[j] + offset)
            to_far = max(abs(middle - far[j]), slope * far[j] + offset)
            image[i, j] = _grey(to_near + (to_far - to_near) * w[j])


@compiled
def _bends(a, b, share):
    """The distance from v to the two samples of a pixel, mixed, as ``max(|middle − v|, slope v + offset)``.

    ``(1 − share) |a − v| + share |b − v|`` is convex in v and straight but for a bend at a and one at b, so it
    is the largest of three straight lines: falling up to the first bend, between the bends, rising after them.
    """
    low, high, at_high = a, b, share
    if b < a:
        low, high, at_high = b, a, ONE - share
    at_low = ONE - at_high
    return at_low * low + at_high * high, at_low - at_high, at_high * high - at_low * low
