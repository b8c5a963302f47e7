"""A support vector machine on what networks find: the classifier of Ahmad et al. 2021. Introduced in chapter 16."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import Dataset

from ecgcourse.errors import SettingError, check_setting, is_real
from ecgcourse.learning import training
from ecgcourse.models.feature_fusion import FeatureFusion


class _Features(nn.Module):
    """Answers with what a model finds rather than with what it decides."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model, self.recipe, self.task = model, model.recipe, model.task
        self.find = model.features if isinstance(model, FeatureFusion) else model.embed

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.find(*inputs)


def features(
    model: nn.Module, dataset: Dataset, batch_size: int = 64, device: str = "auto"
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Tell what a trained model finds in each record, before it decides.

    Parameters
    ----------
    model : nn.Module
        Of :mod:`ecgcourse.models`. Of :class:`ecgcourse.models.feature_fusion.FeatureFusion` it is what its networks
        found, side by side, else what the last layer decides on.
    dataset, batch_size, device
        As for :func:`ecgcourse.learning.training.predict`.

    Returns
    -------
    labels : (N, K) float32 array
    found : (N, F) float64 array

    Raises
    ------
    SettingError
        As `predict`.
    """
    return training.predict_logits(_Features(model), dataset, batch_size, device)


class FeatureSVM:
    """A support vector machine with a radial kernel on the standardized features of a trained model.

    For tasks in which each record has exactly one class. Ahmad et al. (2021) name a support vector machine, but not its
    settings, in their abstract; their published code has none. These are scikit-learn's.

    Parameters
    ----------
    model : nn.Module
        Trained; stays as it is.
    c : float
        Price of a record on the wrong side, scikit-learn's C.

    Attributes
    ----------
    machine : sklearn.pipeline.Pipeline or None
        Set by :meth:`fit`.

    Raises
    ------
    SettingError
        A model for records with any number of classes, or a price that isn't above 0.

    References
    ----------
    Cortes, C., Vapnik, V. (1995). Support-vector networks. Machine Learning 20, 273–297. doi:10.1007/BF00994018.
    """

    def __init__(self, model: nn.Module, c: float = 1.0):
        check_setting("FeatureSVM", "c", c, is_real(c, 0), "a number above 0")
        if model.task is None or not model.task.is_multiclass:
            raise SettingError("FeatureSVM is for records of which each has exactly one class; this model's have any")
        self.model, self.c = model, c
        self.machine: Pipeline | None = None

    def fit(self, dataset: Dataset) -> "FeatureSVM":
        """Learn from a dataset of the model's recipe and classes; returns itself."""
        labels, found = features(self.model, dataset)
        self.machine = make_pipeline(StandardScaler(), SVC(C=self.c)).fit(found, labels.argmax(axis=1))
        return self

    def predict(self, dataset: Dataset) -> NDArray[np.int64]:
        """The number of each record's class, (N,); SettingError before :meth:`fit`."""
        if self.machine is None:
            raise SettingError("FeatureSVM: nothing was learned yet; call fit first")
        return self.machine.predict(features(self.model, dataset)[1])
