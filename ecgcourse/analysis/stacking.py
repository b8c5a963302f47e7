"""Learned stacking: a logistic regression on the probabilities of several models. Introduced in chapter 13."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ecgcourse.errors import DataError, SettingError
from ecgcourse.learning import metrics

# A probability of exactly 0 or 1 would be an infinite logit.
_SMALLEST = 1e-6


class Stacking:
    """Weigh the answers of M models, for each class with a logistic regression of its own.

    The regression of a class sees the M logits that the models give for that class, log(p / (1 − p)), and
    nothing else: with equal weights and no offset it would be a mean of logits. Fit it on records that no
    model was trained on, such as the validation set: on their training records all models look too good.

    Parameters
    ----------
    regularisation : float
        Strength of the L2 regularization: the inverse of scikit-learn's C. Above 0.

    Attributes
    ----------
    weights : (K, M) float64 array
        How much each model counts for each class; set by :meth:`fit`.
    offsets : (K,) float64 array
        What is added to the weighted logits of each class.

    Raises
    ------
    SettingError
        A strength that isn't a number above 0.

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5. doi:10.1016/S0893-6080(05)80023-1.
    """

    def __init__(self, regularisation: float = 1.0):
        if type(regularisation) not in (int, float) or not 0 < regularisation < np.inf:
            raise SettingError(f"Stacking: regularisation={regularisation!r}, but it must be a number above 0")
        self.regularisation = regularisation
        self.weights: NDArray[np.float64] | None = None
        self.offsets: NDArray[np.float64] | None = None

    def fit(self, probabilities: ArrayLike, labels: ArrayLike) -> "Stacking":
        """Learn weights and offsets.

        Parameters
        ----------
        probabilities : (N, M, K) array in [0, 1]
            Of N records from M models for K classes.
        labels : (N, K) array of 0 and 1

        Returns
        -------
        Stacking
            This one.

        Raises
        ------
        DataError
            Shapes that don't fit, values out of range, or a class without positives or without negatives.
        """
        logits, y_true = _logits(probabilities), metrics.check_labels(labels)
        if y_true.shape != (logits.shape[0], logits.shape[2]):
            raise DataError(
                f"Stacking: labels of shape {y_true.shape} don't fit probabilities of shape {logits.shape}; "
                "(N, K) and (N, M, K) are needed"
            )
        metrics.check_both_present(y_true)
        fits = [
            LogisticRegression(C=1 / self.regularisation, max_iter=1000).fit(logits[:, :, k], y_true[:, k])
            for k in range(y_true.shape[1])
        ]
        self.weights = np.concatenate([fit.coef_ for fit in fits])
        self.offsets = np.concatenate([fit.intercept_ for fit in fits])
        return self

    def predict(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Join the answers of the models.

        Parameters
        ----------
        probabilities : (N, M, K) array in [0, 1]
            The same M models and K classes as in :meth:`fit`, in the same order.

        Returns
        -------
        (N, K) float64 array in [0, 1]

        Raises
        ------
        DataError
            Before :meth:`fit`, or for another number of models or classes, or values out of range.
        """
        if self.weights is None:
            raise DataError("Stacking: nothing was learned yet; call fit first")
        logits = _logits(probabilities)
        if logits.shape[1:] != self.weights.shape[::-1]:
            raise DataError(
                f"Stacking: probabilities of shape {logits.shape}, but it was fitted to {self.weights.shape[1]} "
                f"models and {self.weights.shape[0]} classes"
            )
        joined = np.einsum("nmk,km->nk", logits, self.weights) + self.offsets
        return expit(joined)


def _logits(probabilities: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 3 or 0 in p.shape:
        raise DataError(f"Stacking: probabilities of shape {p.shape}, but (N, M, K), none of them 0, is needed")
    # Written so that NaN fails too.
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Stacking: a probability leaves [0, 1] or is NaN")
    return logit(np.clip(p, _SMALLEST, 1 - _SMALLEST))
