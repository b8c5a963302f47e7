"""Whether an attribution means anything: two checks, by samples that are known to matter, and by a random network.

:func:`localisation` compares attributions with samples that are known to matter, :func:`rank_correlation` with those
of a :func:`randomised` network. :mod:`ecgcourse.analysis.explain` makes them, and has these names, too. Introduced in
chapter 14.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import nn

from ecgcourse import models
from ecgcourse.analysis import bootstrap
from ecgcourse.errors import DataError, SettingError


@dataclass(frozen=True)
class Localisation:
    """What :func:`localisation` found.

    Attributes
    ----------
    shares : (N,) float64
        Share of each record's absolute attribution that lies on the marked samples.
    chances : (N,) float64
        The same for an attribution that is equal everywhere: the share of samples that are marked.
    summary : DataFrame
        Rows "share", "chance" and "difference" (share minus chance); columns mean, low and high: the mean over
        the records and the ends of its 95 % bootstrap interval.
    left_out : int
        Records without a marked sample or without any attribution.
    """

    shares: NDArray[np.float64]
    chances: NDArray[np.float64]
    summary: pd.DataFrame
    left_out: int

    def __str__(self) -> str:
        lines = [f"{len(self.shares)} records, {self.left_out} left out; means and their 95 % bootstrap intervals"]
        for name, row in self.summary.iterrows():
            lines.append(f"{name:<11}{row['mean']:7.3f}  {row['low']:.3f} to {row['high']:.3f}")
        return "\n".join(lines)


def localisation(
    attribution: ArrayLike,
    mask: ArrayLike,
    seen: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Localisation:
    """How much of an attribution lies on the samples that are known to carry a class's signs.

    Parameters
    ----------
    attribution : (N, L, T) array
        Its absolute values count.
    mask : (N, L, T) array of bool
        True where the signs are.
    seen : (L, T) or (N, L, T) array, optional
        What an attribution without any preference would be, for the chance; None: the same everywhere. Images that
        leave samples out need ``to_time(np.ones_like(images), T)``.
    n_bootstrap : int
        Number of resamples.
    seed : int
        The same seed gives the same intervals.
    groups : (N,) array, optional
        The patient of each record; patients are drawn. None: each record is of another one.

    Returns
    -------
    Localisation

    Raises
    ------
    DataError
        Shapes that differ, values that aren't finite, or no record with a marked sample and an attribution.
    SettingError
        `n_bootstrap` below 1.
    """
    bootstrap.check_number(n_bootstrap)
    size, mask = np.abs(np.asarray(attribution, dtype=np.float64)), np.asarray(mask, dtype=bool)
    if size.ndim != 3 or mask.shape != size.shape:
        raise DataError(f"localisation: attribution {size.shape} and mask {mask.shape} must both be (N, L, T)")
    check_finite(size, "localisation")
    groups = None if groups is None else bootstrap.numbered(groups, len(size))
    even = np.broadcast_to(1.0 if seen is None else np.asarray(seen, dtype=np.float64), size.shape)
    usable = (size.sum(axis=(1, 2)) > 0) & ((mask * even).sum(axis=(1, 2)) > 0)
    if not usable.any():
        raise DataError(f"localisation: none of {len(size)} records has a marked sample and an attribution")
    shares, chances = (_share_on(mask[usable], each[usable]) for each in (size, even))
    values = {"share": shares, "chance": chances, "difference": shares - chances}
    columns = np.column_stack(list(values.values()))
    drawn = [
        bootstrap.mean(columns, weights)
        for weights in bootstrap.resamples(len(columns), n_bootstrap, seed, None if groups is None else groups[usable])
    ]
    low, high = bootstrap.interval(np.concatenate(drawn))
    summary = pd.DataFrame.from_dict(
        dict(zip(values, np.c_[columns.mean(axis=0), low, high], strict=True)),
        orient="index",
        columns=["mean", "low", "high"],
    )
    return Localisation(shares, chances, summary, int((~usable).sum()))


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Make the same network with fresh random weights, for the model randomization test.

    Parameters
    ----------
    model : nn.Module
        From :func:`ecgcourse.models.create`.
    seed : int
        Chooses the weights: another one than the training began with.

    Returns
    -------
    nn.Module
        Of the same recipe and task, on the model's device, in the mode that new networks have. Running means of
        normalizations are as new.

    Raises
    ------
    SettingError
        The model doesn't carry the settings that it was made with.

    References
    ----------
    Adebayo, J., Gilmer, J., Muelly, M., Goodfellow, I., Hardt, M., Kim, B. (2018). Sanity checks for saliency maps.
    NeurIPS. arXiv:1810.03292.
    """
    settings = dict(getattr(model, "settings", {}))
    if "name" not in settings:
        raise SettingError(f"randomised: this {type(model).__name__} wasn't made with models.create; make it so")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        recipe, task = (getattr(model, name, None) for name in ("recipe", "task"))
        fresh = models.create(settings.pop("name"), recipe, task, **settings)
    return fresh.to(next(model.parameters()).device)


def rank_correlation(one: ArrayLike, other: ArrayLike, absolute: bool = True) -> NDArray[np.float64]:
    """Spearman's rank correlation between two attributions of each record.

    Parameters
    ----------
    one, other : (N, …) arrays
        Of the same shape. For images take the pixels, not what
        :func:`~ecgcourse.analysis.explain.to_time` makes of them: samples that no
        pixel looks at are 0 in both, and would agree.
    absolute : bool
        Compare sizes rather than signed values, as one does who only looks for bright places.

    Returns
    -------
    (N,) float64 array
        In [−1, 1]; NaN for a record where one of the two is the same everywhere.

    Raises
    ------
    DataError
        Shapes that differ, or values that aren't finite.
    """
    pair = [np.asarray(each, dtype=np.float64) for each in (one, other)]
    if pair[0].shape != pair[1].shape or pair[0].ndim < 2:
        raise DataError(f"rank_correlation: shapes {pair[0].shape} and {pair[1].shape}; the same (N, …) is needed")
    for each in pair:
        check_finite(each, "rank_correlation")
    flat = [(np.abs(each) if absolute else each).reshape(len(each), -1) for each in pair]
    ranks = [rankdata(each, axis=1) for each in flat]
    one, other = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    sizes = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.divide((one * other).sum(axis=1), sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)


def _share_on(mask: NDArray[np.bool_], size: NDArray[np.float64]) -> NDArray[np.float64]:
    return (mask * size).sum(axis=(1, 2)) / size.sum(axis=(1, 2))


def check_finite(values: NDArray[np.float64], caller: str) -> None:
    """Refuse an attribution with NaN or infinite values; the error names the caller."""
    if not np.isfinite(values).all():
        raise DataError(f"{caller}: the attribution holds NaN or infinite values")
