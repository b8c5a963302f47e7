"""The inner loops of :mod:`ecgcourse.render` on a CPU: one pass per lead that writes the grey levels themselves.

Everything a lead needs lies in a few rows of S numbers, which stay in the first-level cache; the only memory
that is touched at length is the image. The loops run in float32, sixteen pixels at a time where the processor
can. Compiled by Numba at the first call and kept on disk after it.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch

# Rows of the one-hot matrix are taken five at a time, so that sums stay in registers.
GROUP = 5
# Below this many leads a thread, starting threads costs more than they save.
LEADS_A_THREAD = 8

# "contract" lets a product and a sum become one instruction; nothing else of IEEE arithmetic is given up.
compiled = numba.njit(nogil=True, cache=True, fastmath={"contract"})


def fill(
    x: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray, edges: np.ndarray, images: np.ndarray
) -> None:
    """Write the images of many leads, on as many threads as torch and Numba allow.

    Plain threads, not Numba's own: those can be neither forked (as DataLoader workers are) nor called from two
    threads at once, whichever of its threading layers is installed.

    Parameters
    ----------
    x : (M, T) float32 or float64 array
        Signals in [0, 1], C-contiguous.
    first, second, weight : (S,) arrays
        As :func:`ecgcourse.fields.taps` gives them.
    edges : (bins,) float64 array
        As :func:`ecgcourse.fields.bin_edges` gives them.
    images : (M, 3, S, S) uint8 array
        Written: GAF, MTF, RP of each lead. C-contiguous.
    """
    threads = min(n_threads(), len(x) // LEADS_A_THREAD)
    if threads < 2:
        _fill(x, first, second, weight, edges, images)
        return
    ends = np.linspace(0, len(x), threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_fill, x[start:end], first, second, weight, edges, images[start:end])
            for start, end in zip(ends[:-1], ends[1:], strict=True)
        ]
    for part in parts:
        part.result()


def n_threads() -> int:
    """How many threads :func:`fill` may use: the smaller of torch's and Numba's settings, and the cores there are."""
    # numba.get_num_threads() would start Numba's own threads.
    return min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS, os.cpu_count() or 1)


@compiled
def _fill(x, first, second, weight, edges, images):
    size, bins = len(first), len(edges)
    groups = (bins + GROUP - 1) // GROUP
    w = weight.astype(np.float32)
    cosine = np.empty(size, np.float32)
    sine = np.empty(size, np.float32)
    near = np.empty(size, np.float32)
    far = np.empty(size, np.float32)
    levels = np.zeros((bins, groups * GROUP), np.float32)
    shares = np.zeros((groups * GROUP, size), np.float32)
    q = np.empty(x.shape[1], np.int64)
    for lead in range(len(x)):
        _angles(x[lead], first, second, weight, cosine, sine)
        _gramian_angular(cosine, sine, images[lead, 0])
        _bin_numbers(x[lead], edges, q)
        _transition_levels(q, levels)
        _one_hot(q, first, second, weight, shares)
        _markov_transition(q, first, second, w, levels, shares, images[lead, 1])
        for k in range(size):
            near[k] = x[lead, first[k]]
            far[k] = x[lead, second[k]]
        _recurrence(near, far, w, images[lead, 2])


@compiled
def _angles(x, first, second, weight, cosine, sine):
    """A c and A s, in float64 up to the last step."""
    lowest, highest = x[0], x[0]
    for value in x:
        lowest = min(lowest, value)
        highest = max(highest, value)
    span = np.float64(highest) - np.float64(lowest)
    if span == 0:
        span = 1.0
    for k in range(len(first)):
        a = min(max(2 * (np.float64(x[first[k]]) - lowest) / span - 1, -1.0), 1.0)
        b = min(max(2 * (np.float64(x[second[k]]) - lowest) / span - 1, -1.0), 1.0)
        cosine[k] = a * (1 - weight[k]) + b * weight[k]
        sine[k] = np.sqrt(1 - a * a) * (1 - weight[k]) + np.sqrt(1 - b * b) * weight[k]


@compiled
def _gramian_angular(cosine, sine, image):
    half = np.float32(127.5)
    for i in range(len(cosine)):
        c, s, row = half * cosine[i], half * sine[i], image[i]
        for j in range(len(cosine)):
            row[j] = np.uint8(np.int32(min(c * cosine[j] - s * sine[j] + half, np.float32(255))))


@compiled
def _bin_numbers(x, edges, q):
    for t in range(len(x)):
        # The edges are all but equally spaced: guess, then walk to the right one.
        k = min(max(int(x[t] * len(edges)), 0), len(edges) - 1)
        while k > 0 and x[t] <= edges[k - 1]:
            k -= 1
        while x[t] > edges[k]:
            k += 1
        q[t] = k


@compiled
def _transition_levels(q, levels):
    """255 P / 5 for every pair of bins."""
    bins = len(levels)
    counts = np.zeros((bins, bins))
    for t in range(len(q) - 1):
        counts[q[t], q[t + 1]] += 1
    for a in range(bins):
        leaving = max(counts[a].sum(), 1.0)
        for b in range(bins):
            exact = counts[a, b] / leaving / 5 * 255
            level = np.float32(exact)
            # 16.999… must not become 17 by being rounded to float32: it would be cut off to another grey level.
            if np.floor(level) > exact:
                level = np.nextafter(level, np.float32(0))
            levels[a, b] = level


@compiled
def _one_hot(q, first, second, weight, shares):
    """(A Q)ᵀ: how much of each bin each pixel holds."""
    shares[:] = 0
    for k in range(len(first)):
        shares[q[first[k]], k] += 1 - weight[k]
        shares[q[second[k]], k] += weight[k]


@compiled
def _markov_transition(q, first, second, w, levels, shares, image):
    bins, padded = levels.shape
    done = np.full(bins, -1)
    level = np.empty(padded, np.float32)
    total = np.empty(len(first), np.float32)
    for i in range(len(first)):
        a, b = q[first[i]], q[second[i]]
        # While the signal rests in one bin, one row after another is the same.
        if a == b and done[a] >= 0:
            image[i] = image[done[a]]
            continue
        if a == b:
            done[a] = i
            level[:] = levels[a]
        else:
            for k in range(padded):
                level[k] = levels[a, k] * (1 - w[i]) + levels[b, k] * w[i]
        _weighted_sum(level, shares, total)
        row = image[i]
        for j in range(len(total)):
            row[j] = np.uint8(np.int32(min(total[j], np.float32(255))))


@compiled
def _weighted_sum(level, shares, total):
    total[:] = 0
    for k in range(0, len(level), GROUP):
        a, b, c, d, e = level[k], level[k + 1], level[k + 2], level[k + 3], level[k + 4]
        if a == 0 and b == 0 and c == 0 and d == 0 and e == 0:
            continue
        for j in range(len(total)):
            total[j] += (
                a * shares[k, j]
                + b * shares[k + 1, j]
                + c * shares[k + 2, j]
                + d * shares[k + 3, j]
                + e * shares[k + 4, j]
            )


@compiled
def _recurrence(near, far, w, image):
    white, one = np.float32(255), np.float32(1)
    for i in range(len(near)):
        a, b, row = near[i], far[i], image[i]
        share_b = white * w[i]
        share_a = white - share_b
        for j in range(len(near)):
            to_near = share_a * abs(a - near[j]) + share_b * abs(b - near[j])
            to_far = share_a * abs(a - far[j]) + share_b * abs(b - far[j])
            row[j] = np.uint8(np.int32(min(to_near * (one - w[j]) + to_far * w[j], white)))
