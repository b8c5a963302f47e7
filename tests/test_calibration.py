import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from scipy.stats import binomtest
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve

from ecgcourse import calibration
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import Task

RNG = np.random.default_rng(0)


def truthful(n_records, n_classes=3, seed=0):
    """Labels drawn as the logits say: their sigmoids are the true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 1.5, (n_records, n_classes))
    return (rng.random(logits.shape) < expit(logits)).astype(int), logits


class Says(ClassifierMixin, BaseEstimator):
    """For scikit-learn: a fitted classifier whose decision function is its only feature."""

    classes_ = np.array([0, 1])

    def fit(self, x, y):
        return self

    def decision_function(self, x):
        return x[:, 0]

    def predict(self, x):
        return (x[:, 0] > 0).astype(int)

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize("strategy", calibration.STRATEGIES)
def test_the_reliability_curve_is_scikit_learns(strategy):
    y_true, logits = truthful(500, 1)
    y_true, y_prob = y_true[:, 0], expit(logits[:, 0])
    found = calibration.reliability(y_true, y_prob, 8, strategy)
    observed, predicted = calibration_curve(y_true, y_prob, n_bins=8, strategy=strategy)
    np.testing.assert_allclose(found["observed"], observed)
    np.testing.assert_allclose(found["predicted"], predicted)
    assert found["n"].sum() == 500
    first = found.iloc[0]
    span = binomtest(round(first["observed"] * first["n"]), int(first["n"])).proportion_ci(method="wilson")
    assert (first["low"], first["high"]) == (span.low, span.high)


def test_murphys_parts_of_the_brier_score_sum_to_it():
    # Six records on paper: 0.2 three times with one positive, 0.8 three times with two.
    y_true, y_prob = np.array([1, 0, 0, 1, 1, 0]), np.array([0.2] * 3 + [0.8] * 3)
    parts = calibration.brier_parts(y_true, y_prob, 5, "uniform")
    assert parts["reliability"] == pytest.approx((1 / 3 - 0.2) ** 2)
    assert parts["resolution"] == pytest.approx((1 / 3 - 1 / 2) ** 2)
    assert parts["uncertainty"] == 1 / 4
    assert parts["within"] == pytest.approx(0, abs=1e-12)
    assert parts["brier"] == pytest.approx(sk.brier_score_loss(y_true, y_prob))
    # Five levels, a bin for each: still nothing is left.
    y_true, y_prob = RNG.integers(0, 2, 300), RNG.choice([0.1, 0.3, 0.5, 0.7, 0.9], 300)
    assert calibration.brier_parts(y_true, y_prob, 5, "uniform")["within"] == pytest.approx(0, abs=1e-12)


def test_the_calibration_error_by_hand():
    y_true, y_prob = np.array([1, 0, 0, 1, 1, 0]), np.array([0.2] * 2 + [0.8] * 4)
    # Two records at 0.2, half positive; four at 0.8, half positive.
    expected = 2 / 6 * 0.3 + 4 / 6 * 0.3
    assert calibration.expected_error(y_true, y_prob, 5, "uniform") == pytest.approx(expected)
    both = calibration.expected_error(np.c_[y_true, y_true], np.c_[y_prob, np.full(6, 0.5)], 5, "uniform")
    assert both == pytest.approx(expected / 2)


def test_the_calibration_error_of_true_probabilities_is_never_zero():
    """Its pitfall: it grows with bins and shrinks with records, where nothing is wrong at all."""
    error = {
        (n, bins): np.mean(
            [calibration.expected_error(*_probable(truthful(n, 1, seed=seed)), n_bins=bins) for seed in range(30)]
        )
        for n in (200, 3200)
        for bins in (5, 50)
    }
    assert error[200, 50] > 2 * error[200, 5] > 0.04
    # Sixteen times as many records, a quarter of the error.
    assert error[3200, 50] == pytest.approx(error[200, 50] / 4, rel=0.25)
    _, y_prob = _probable(truthful(200, 1))
    assert calibration.expected_error_by_chance(y_prob, 50) == pytest.approx(error[200, 50], rel=0.1)


def _probable(drawn):
    y_true, logits = drawn
    return y_true[:, 0], expit(logits[:, 0])


def test_platt_scaling_is_scikit_learns():
    y_true, logits = truthful(400)
    logits = 2.5 * logits + 1
    found = calibration.fit(y_true, logits, "platt")
    for k in range(3):
        platt = CalibratedClassifierCV(_frozen(Says()), method="sigmoid").fit(logits[:, [k]], y_true[:, k])
        expected = platt.predict_proba(logits[:, [k]])[:, 1]
        np.testing.assert_allclose(found.apply(logits)[:, k], expected, atol=1e-4)
        assert found.slopes[k] == pytest.approx(1 / 2.5, rel=0.3)


def _frozen(model):
    frozen = pytest.importorskip("sklearn.frozen", reason="needs scikit-learn 1.6")
    return frozen.FrozenEstimator(model)


def test_a_temperature_is_found_again():
    y_true, logits = truthful(20_000)
    found = calibration.fit(y_true, 3 * logits)
    assert len(set(found.slopes)) == 1 and set(found.offsets) == {0}
    assert found.slopes[0] == pytest.approx(1 / 3, rel=0.03)
    # No other temperature has a lower loss.
    losses = [sk.log_loss(y_true.ravel(), expit(t * found.slopes[0] * 3 * logits).ravel()) for t in (0.98, 1, 1.02)]
    assert losses[1] == min(losses)


def test_a_temperature_of_a_softmax_is_found_again():
    task, logits = Task(("a", "b", "c"), "multiclass"), RNG.normal(0, 1.5, (20_000, 3))
    chosen = (logits + RNG.gumbel(size=logits.shape)).argmax(axis=1)
    y_true = np.eye(3, dtype=int)[chosen]
    found = calibration.fit(y_true, 2 * logits, task=task)
    assert found.slopes[0] == pytest.approx(1 / 2, rel=0.05)
    np.testing.assert_allclose(found.apply(2 * logits, task), softmax(2 * found.slopes[0] * logits, axis=1))


def test_class_weights_are_undone():
    # The loss for a class of prevalence 0.1 with weight 9 is smallest, on paper, at 0.9 / (0.9 + 0.9).
    share, weight = 0.1, 9
    p = np.linspace(0.001, 0.999, 999)
    best = p[np.argmin(-weight * share * np.log(p) - (1 - share) * np.log(1 - p))]
    assert best == pytest.approx(0.5)
    undone = calibration.without_class_weights([weight, 1]).apply(logit([[best, best]]))
    np.testing.assert_allclose(undone, [[share, best]])


def test_a_class_told_apart_without_a_mistake_stays_finite():
    y_true = np.array([[1], [1], [0], [0], [0]])
    found = calibration.fit(y_true, 5.0 * y_true, "platt")
    assert 0 < found.slopes[0] < 10
    # Platt's targets of the two and of the three.
    np.testing.assert_allclose(found.apply(5.0 * y_true)[:, 0], [3 / 4] * 2 + [1 / 5] * 3, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda y, z: calibration.fit(y, z, "temperatur"), SettingError, "did you mean 'temperature'"),
        (lambda y, z: calibration.fit(y, -3 * z), DataError, "turn the network round"),
        (lambda y, z: calibration.fit(y, z * np.inf), DataError, "NaN or infinite"),
        (lambda y, z: calibration.fit(y, z, "platt", Task(("a", "b", "c"), "multiclass")), SettingError, "use temper"),
        (lambda y, z: calibration.Calibration([1, -1], [0, 0]), SettingError, "every slope above 0"),
        (lambda y, z: calibration.without_class_weights([0]), SettingError, "above 0"),
        (lambda y, z: calibration.reliability(y[:, 0], expit(z[:, 0]), 0), SettingError, "n_bins=0"),
        (lambda y, z: calibration.reliability(y, expit(z)), DataError, "class by class"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(*truthful(50))
