import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgcourse import bootstrap, evaluation, explain
from ecgcourse.errors import DataError, SettingError

RNG = np.random.default_rng(0)


def two_per_patient(n_patients, seed=0):
    """Labels and probabilities of pairs of records that are copies of each other, and whose they are."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), 2)
    y_true = rng.integers(0, 2, (n_patients, 3))
    return y_true[patients], np.clip(rng.normal(0.4 + 0.2 * y_true, 0.2), 0, 1)[patients], patients


@pytest.mark.parametrize("decimals", [1, 12])
@pytest.mark.parametrize("draw", [lambda: RNG.random((60, 20)), lambda: RNG.integers(0, 3, (60, 20)).astype(float)])
def test_weighted_areas_are_scikit_learns(decimals, draw):
    y_true, y_prob, weights = RNG.integers(0, 2, 60), np.round(RNG.random(60), decimals), draw()
    found = bootstrap.Ranking(y_true, y_prob).areas(weights)
    expected = [
        [score(y_true, y_prob, sample_weight=column) for score in (roc_auc_score, average_precision_score)]
        for column in weights.T
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_all_decisions_together_share_the_weights_of_their_records():
    y_true, y_prob, weights = RNG.integers(0, 2, (40, 5)), RNG.random((40, 5)).round(1), RNG.integers(0, 3, (40, 9))
    pooled = bootstrap.Ranking(y_true.ravel(), y_prob.ravel(), np.repeat(np.arange(40), 5)).areas(weights.astype(float))
    for column, (area, precision) in zip(weights.T, pooled, strict=True):
        of_each = np.repeat(column, 5)
        assert area == pytest.approx(roc_auc_score(y_true.ravel(), y_prob.ravel(), sample_weight=of_each))
        expected = average_precision_score(y_true.ravel(), y_prob.ravel(), sample_weight=of_each)
        assert precision == pytest.approx(expected)


def test_patients_are_drawn_with_all_their_records():
    names = np.array(["b", "a", "b", "c", "a", "b"])
    weights = np.hstack(list(bootstrap.resamples(6, 500, groups=names)))
    np.testing.assert_array_equal(weights[0], weights[2])
    np.testing.assert_array_equal(weights[1], weights[4])
    # Three patients are drawn each time, each as often as another.
    np.testing.assert_array_equal(weights[[0, 1, 3]].sum(axis=0), 3)
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=0.1)


def test_a_copy_of_every_record_makes_nobody_surer():
    y_true, y_prob, patients = two_per_patient(80)
    once = evaluation.report(y_true[::2], y_prob[::2], seed=3)
    by_patient = evaluation.report(y_true, y_prob, seed=3, groups=patients)
    np.testing.assert_allclose(by_patient.low, once.low, atol=1e-12)
    np.testing.assert_allclose(by_patient.high, once.high, atol=1e-12)
    by_record = evaluation.report(y_true, y_prob, seed=3)
    ratio = (by_record.high - by_record.low).loc["macro"] / (once.high - once.low).loc["macro"]
    np.testing.assert_allclose(ratio, 1 / np.sqrt(2), atol=0.1)
    assert (by_patient.n_records, by_patient.n_patients, by_record.n_patients) == (160, 80, None)
    assert "160 records of 80 patients" in str(by_patient)


def test_a_clustered_mean_has_the_error_that_a_formula_gives_it():
    patients, n_patients = np.repeat(np.arange(50), 4), 50
    shares = RNG.beta(2, 5, 50)[patients] + RNG.normal(0, 0.02, 200)
    mask = np.zeros((200, 1, 100), dtype=bool)
    mask[:, :, :50] = True
    attribution = np.where(mask, shares[:, None, None], 1 - shares[:, None, None])
    row = explain.localisation(attribution, mask, n_bootstrap=4000, groups=patients).summary.loc["share"]
    of_each = shares.reshape(n_patients, 4).mean(axis=1)
    error = of_each.std(ddof=1) / np.sqrt(n_patients)
    assert row["high"] - row["low"] == pytest.approx(2 * stats.norm.ppf(0.975) * error, rel=0.1)


def test_an_interval_that_says_nothing_is_said_to():
    y_true = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 1]])
    perfect = np.column_stack([y_true[:, 0], RNG.random(6)]).astype(float)
    found = evaluation.report(y_true, perfect, n_bootstrap=50, groups=[1, 1, 2, 3, 4, 5])
    assert (found.low["auroc"].iloc[0], found.high["auroc"].iloc[0]) == (1, 1)
    assert any("a single patient has it" in note for note in found.notes)
    assert any("auroc" in note and "the same in every resample" in note for note in found.notes)
    assert f"note: {found.notes[0]}" in str(found)
    assert found.to_dict()["notes"] == list(found.notes)
    assert evaluation.report(*two_per_patient(100)[:2]).notes == ()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"n_bootstrap": 0}, SettingError, "n_bootstrap is 0"),
        ({"groups": [1, 2]}, DataError, "patient of each of the 5 records"),
        ({"groups": [1, 2, np.nan, 3, 4]}, DataError, r"groups\[2\] is NaN"),
    ],
)
def test_bad_settings(settings, error, words):
    with pytest.raises(error, match=words):
        list(bootstrap.resamples(5, **settings))
