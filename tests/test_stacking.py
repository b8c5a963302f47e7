import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgcourse.analysis.stacking import Stacking
from ecgcourse.errors import DataError, SettingError


@pytest.fixture
def answers():
    """Three models of 400 records and 4 classes: a good one, a poor one, and one that guesses."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=(400, 4))
    truth = 2.0 * labels - 1
    noise = rng.normal(size=(3, 400, 4))
    logits = [truth + noise[0], 0.3 * truth + noise[1], noise[2]]
    return expit(np.stack(logits, axis=1)), labels


def test_each_class_is_a_logistic_regression_on_logits(answers):
    probabilities, labels = answers
    stacking = Stacking(regularisation=0.5).fit(probabilities, labels)
    joined = stacking.predict(probabilities)
    assert stacking.weights.shape == (4, 3) and stacking.offsets.shape == (4,)
    for k in range(4):
        expected = LogisticRegression(C=2.0).fit(logit(probabilities[:, :, k]), labels[:, k])
        np.testing.assert_allclose(stacking.weights[k], expected.coef_[0], rtol=1e-3)
        np.testing.assert_allclose(joined[:, k], expected.predict_proba(logit(probabilities[:, :, k]))[:, 1], rtol=1e-3)


def test_the_good_model_counts_most_and_all_together_beat_it(answers):
    probabilities, labels = answers
    train, test = slice(0, 200), slice(200, 400)
    stacking = Stacking().fit(probabilities[train], labels[train])
    assert (stacking.weights.argmax(axis=1) == 0).all() and (np.abs(stacking.weights[:, 2]) < 0.5).all()
    alone = roc_auc_score(labels[test], probabilities[test, 0])
    assert roc_auc_score(labels[test], stacking.predict(probabilities[test])) > alone


def test_certain_models_are_no_harm(answers):
    probabilities, labels = answers
    certain = np.concatenate([probabilities, np.round(probabilities[:, :1])], axis=1)
    joined = Stacking().fit(certain, labels).predict(certain)
    assert np.isfinite(joined).all() and ((joined > 0) & (joined < 1)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, y: (p[:, 0], y), r"\(N, M, K\)"),
        (lambda p, y: (p[:0], y[:0]), r"\(N, M, K\)"),
        (lambda p, y: (2 * p, y), "leaves"),
        (lambda p, y: (np.where(p > 0.9, np.nan, p), y), "NaN"),
        (lambda p, y: (p[:10], y), "don't fit"),
        (lambda p, y: (p, y[:, :3]), "don't fit"),
        (lambda p, y: (p, y + 1), "not 0 or 1"),
        (lambda p, y: (p, np.ones_like(y)), "MI"),
    ],
)
def test_what_does_not_fit_is_refused(answers, change, words):
    with pytest.raises(DataError, match=words):
        Stacking().fit(*change(*answers))


def test_predicting_needs_the_models_it_was_fitted_to(answers):
    probabilities, labels = answers
    with pytest.raises(DataError, match="call fit first"):
        Stacking().predict(probabilities)
    stacking = Stacking().fit(probabilities, labels)
    with pytest.raises(DataError, match="3 models and 4 classes"):
        stacking.predict(probabilities[:, :2])


@pytest.mark.parametrize("regularisation", [0, -1.0, np.inf, np.nan, "strong", True])
def test_regularisation_is_above_zero(regularisation):
    with pytest.raises(SettingError, match="regularisation"):
        Stacking(regularisation)
