"""The three image transforms *defined*: one signal (T,) in, one field (T, T) out.

Written to be read and to be checked against, not to be fast: :mod:`ecgcourse.images.render` gives the same images
without ever building a field. Introduced in chapters 4 (Gramian angular field), 5 (Markov transition field)
and 6 (recurrence plot).
"""

import numpy as np

from ecgcourse.errors import DataError, SettingError

FIELDS = ("GAF", "MTF", "RP")
"""The order of the fields inside an image stack."""

DIFFERENCE = "DIF"
"""A fourth field, which knows up from down; not among the images of Narotamo et al. 2024."""

ALL_FIELDS = (*FIELDS, DIFFERENCE)

MTF_WHITE = 5.0
"""Share of transitions that is white in the images of Narotamo et al. 2024. No share is above 1."""

LARGEST = 4096
"""Largest side S of an image in pixels that is written or read: nine such images have 151 MB."""


def gramian_angular(x: np.ndarray) -> np.ndarray:
    """Gramian angular summation field.

    The signal is rescaled to [−1, 1] by its own smallest and largest sample, read as the cosine of an angle
    φ, and compared with itself: ``G[i, j] = cos(φ_i + φ_j) = x_i x_j − √(1 − x_i²) √(1 − x_j²)``.

    Parameters
    ----------
    x : (T,) array
        Signal in [0, 1].

    Returns
    -------
    (T, T) float64 array
        In [−1, 1]. A flat signal counts as −1 throughout, and its field is 1 everywhere.

    Raises
    ------
    DataError
        ``x`` is not one signal in [0, 1].

    References
    ----------
    Wang, Z., Oates, T. (2015). Imaging time-series to improve classification and imputation. IJCAI,
    equation 4. arXiv:1506.00327.
    """
    cosine = to_cosine(_signal(x, "gramian_angular"))
    sine = np.sqrt(1 - cosine**2)
    return np.outer(cosine, cosine) - np.outer(sine, sine)


def to_cosine(x: np.ndarray) -> np.ndarray:
    """Rescale signals (..., T) to [−1, 1] by their own range; a flat signal becomes −1 throughout."""
    x = np.asarray(x, dtype=np.float64)
    lowest = x.min(axis=-1, keepdims=True)
    span = x.max(axis=-1, keepdims=True) - lowest
    # Rounding may leave ±(1 + 2⁻⁵²), and the root of 1 − x² would then be NaN.
    return np.clip(2 * (x - lowest) / np.where(span == 0, 1, span) - 1, -1, 1)


def markov_transition(x: np.ndarray, bins: int = 10) -> np.ndarray:
    """Markov transition field with equal-width bins.

    Every sample falls into one of ``bins`` bins of [0, 1]; ``P[a, b]`` is the share of steps out of bin a
    that lead to bin b; the field holds, for each pair of moments, ``P`` of their bins.

    Parameters
    ----------
    x : (T,) array
        Signal in [0, 1].
    bins : int
        Number of bins, at least 2.

    Returns
    -------
    (T, T) float64 array
        ``P[q_i, q_j]``, transition probabilities in [0, 1]. Not symmetric.

    Raises
    ------
    DataError
        ``x`` is not one signal in [0, 1].
    SettingError
        Fewer than 2 bins.

    References
    ----------
    Wang, Z., Oates, T. (2015). Imaging time-series to improve classification and imputation. IJCAI,
    section 2.2. arXiv:1506.00327. They bin by quantiles; equal-width bins follow Ahmad et al. (2021), IEEE
    Access 9, doi:10.1109/ACCESS.2021.3097614.
    """
    q = bin_numbers(_signal(x, "markov_transition"), bins)
    return transition_matrix(q, bins)[np.ix_(q, q)]


def bin_edges(bins: int) -> np.ndarray:
    """Upper edges (bins,) of equal-width bins of [0, 1]: repeated addition of ``1 / bins``, the last one exactly 1."""
    if bins < 2:
        raise SettingError(f"markov_transition: bins={bins}, but at least 2 are needed")
    edges = np.cumsum(np.full(bins, 1 / bins))
    # Ten times 0.1 adds up to 0.9999999999999999, and the largest sample of every lead is 1.
    edges[-1] = 1
    return edges


def bin_numbers(x: np.ndarray, bins: int = 10) -> np.ndarray:
    """Number of the bin that each sample (..., T) in [0, 1] falls into: int64, 0 … bins − 1, right-closed."""
    return np.searchsorted(bin_edges(bins), np.asarray(x, dtype=np.float64), side="left")


def transition_matrix(q: np.ndarray, bins: int = 10) -> np.ndarray:
    """Share of steps from each bin to each: (T,) bin numbers to (bins, bins) float64.

    Rows sum to 1, except the rows of bins that no step leaves: those are zero.
    """
    counts = np.zeros((bins, bins))
    np.add.at(counts, (q[:-1], q[1:]), 1)
    leaving = counts.sum(axis=1, keepdims=True)
    return counts / np.where(leaving == 0, 1, leaving)


def recurrence(x: np.ndarray) -> np.ndarray:
    """Recurrence plot without a threshold: the distance between every pair of samples.

    Parameters
    ----------
    x : (T,) array
        Signal in [0, 1].

    Returns
    -------
    (T, T) float64 array
        ``|x_i − x_j|`` in [0, 1]: symmetric, zero on the diagonal.

    Raises
    ------
    DataError
        ``x`` is not one signal in [0, 1].

    References
    ----------
    Eckmann, J.-P., Oliffson Kamphorst, S., Ruelle, D. (1987). Recurrence plots of dynamical systems. Europhysics
    Letters 4(9), 973–977. doi:10.1209/0295-5075/4/9/004. Their plot is the thresholded form of this one.
    """
    x = _signal(x, "recurrence")
    return np.abs(x[:, None] - x[None, :])


def difference(x: np.ndarray) -> np.ndarray:
    """Signed difference of every pair of samples: the recurrence plot before its absolute value is taken.

    The other three fields are the same for a signal and for the signal upside down. This one changes its sign.

    Parameters
    ----------
    x : (T,) array
        Signal in [0, 1].

    Returns
    -------
    (T, T) float64 array
        ``x_i − x_j`` in [−1, 1]: zero on the diagonal, antisymmetric.

    Raises
    ------
    DataError
        ``x`` is not one signal in [0, 1].
    """
    x = _signal(x, "difference")
    return x[:, None] - x[None, :]


def grey(name: str, field: np.ndarray, mtf_white: float = MTF_WHITE) -> np.ndarray:
    """Scale a field (T, T) to the [0, 1] in which its image is stored.

    ``(g + 1) / 2`` for GAF and DIF; ``P / mtf_white`` for MTF, so that by default its grey levels stop at 51 of 255; RP
    as it is. The defaults are the scales of Narotamo et al. 2024.
    """
    if name in ("GAF", DIFFERENCE):
        return (field + 1) / 2
    if name == "MTF":
        return field / mtf_white
    if name == "RP":
        return field
    raise SettingError(f"grey: no field is called {name!r}; the fields are {', '.join(ALL_FIELDS)}")


def taps(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which two samples each of ``size`` pixels mixes, and how, when ``length`` samples are resized.

    Half-pixel centres: pixel k looks at position ``(k + 0.5) · length / size − 0.5``; outside the signal
    the nearest sample counts.

    Returns
    -------
    first, second : (S,) int64 arrays
        Sample numbers.
    weight : (S,) float64 array
        Share of ``second``; ``first`` has the rest.
    """
    if size < 1 or length < 1:
        raise SettingError(f"resize: {length} samples to {size} pixels, but both must be at least 1")
    position = (np.arange(size) + 0.5) * (length / size) - 0.5
    first = np.floor(position).astype(np.int64)
    weight = np.where((first < 0) | (first >= length - 1), 0, position - first)
    first = np.clip(first, 0, length - 1)
    return first, np.minimum(first + 1, length - 1), weight


def resize(field: np.ndarray, size: int) -> np.ndarray:
    """Bilinear resizing with half-pixel centres and no antialias, as ``cv2.resize`` does by default.

    Parameters
    ----------
    field : (T, T) array
    size : int
        Side of the image in pixels.

    Returns
    -------
    (S, S) float64 array

    Raises
    ------
    SettingError
        ``size`` below 1.
    DataError
        ``field`` is not square.
    """
    field = np.asarray(field, dtype=np.float64)
    if field.ndim != 2 or field.shape[0] != field.shape[1]:
        raise DataError(f"resize: the field has shape {field.shape}, but (T, T) is needed")
    first, second, weight = taps(len(field), size)
    rows = field[first] * (1 - weight)[:, None] + field[second] * weight[:, None]
    return rows[:, first] * (1 - weight) + rows[:, second] * weight


def images(x: np.ndarray, size: int = 256, mtf_white: float = MTF_WHITE) -> np.ndarray:
    """All images of one record, the long way: each field in full, resized, cut to whole grey levels.

    Parameters
    ----------
    x : (L, T) array
        Signals in [0, 1].
    size : int
        Side of an image in pixels.
    mtf_white : float
        As for :func:`ecgcourse.images.render.render`.

    Returns
    -------
    (3 L, S, S) uint8 array
        Lead-major: GAF, MTF, RP of the first lead, then of the next.
    """
    transforms = {"GAF": gramian_angular, "MTF": markov_transition, "RP": recurrence}
    leads = np.atleast_2d(x)
    stack = [resize(grey(name, transforms[name](lead), mtf_white), size) for lead in leads for name in FIELDS]
    return (np.stack(stack) * 255).astype(np.uint8)


def _signal(x: np.ndarray, caller: str) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0:
        raise DataError(f"{caller}: x has shape {x.shape}, but one signal (T,) is needed")
    # Written so that NaN fails too.
    if not (x.min() >= 0 and x.max() <= 1):
        raise DataError(f"{caller}: x must lie in [0, 1]; scale it with signals.min_max (got {x.min()} … {x.max()})")
    return x
