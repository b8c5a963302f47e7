import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk

from ecgcourse import bootstrap, evaluation
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import Task
from ecgcourse.records.ptbxl import CLASSES

SHARES = (0.3, 0.25, 0.2, 0.12)


SIX = ("normal", "infarction", "ST/T change", "bundle branch block", "macro", "HYP")


def predictions(n_records, seed=0, decimals=2, shares=SHARES):
    """Labels of K classes and probabilities that know something about them; rounding makes ties."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random((n_records, len(shares))) < shares).astype(int)
    y_true[0], y_true[1] = 0, 1
    y_prob = np.clip(0.25 * y_true + rng.normal(0.4, 0.2, y_true.shape), 0, 1)
    return y_true, np.round(y_prob, decimals)


def exactly_one(n_records, seed=0, n_classes=6):
    """Labels of which each record has one, and probabilities that sum to 1, with ties."""
    rng = np.random.default_rng(seed)
    y_true = np.eye(n_classes, dtype=int)[np.r_[:n_classes, rng.integers(n_classes, size=n_records - n_classes)]]
    y_prob = np.round(rng.random(y_true.shape) + 0.4 * y_true, 1) + 1e-3
    return y_true, y_prob / y_prob.sum(axis=1, keepdims=True)


def scikit_learn_rows(y_true, y_prob, y_pred):
    """The table of `to_frame`, values only, every number from scikit-learn."""
    rows = [
        [
            sk.recall_score(t, h),
            sk.recall_score(t, h, pos_label=0),
            sk.accuracy_score(t, h),
            sk.f1_score(t, h),
            sk.roc_auc_score(t, p),
            sk.average_precision_score(t, p),
        ]
        for t, p, h in [
            *zip(y_true.T, y_prob.T, y_pred.T, strict=True),
            (y_true.ravel(), y_prob.ravel(), y_pred.ravel()),
        ]
    ]
    return np.array([*rows[:-1], np.mean(rows[:-1], axis=0), rows[-1]])


def test_report_equals_scikit_learn():
    y_true, y_prob = predictions(300)
    result = evaluation.report(y_true, y_prob, thresholds=0.5, n_bootstrap=20)
    values = result.to_frame()[list(evaluation.METRICS)]
    np.testing.assert_allclose(values, scikit_learn_rows(y_true, y_prob, y_prob >= 0.5))
    assert list(values.index) == [*CLASSES, "macro", "pooled"]
    assert result.macro["auroc"] == pytest.approx(sk.roc_auc_score(y_true, y_prob, average="macro"))
    assert result.pooled["auroc"] == pytest.approx(sk.roc_auc_score(y_true, y_prob, average="micro"))
    assert result.pooled["f1"] == pytest.approx(sk.f1_score(y_true, y_prob >= 0.5, average="micro"))
    np.testing.assert_array_equal(result.confusion, evaluation.confusion(y_true, y_prob >= 0.5))


@pytest.mark.parametrize("decimals", [1, 12])
def test_intervals_are_percentiles_of_plain_resamples(decimals):
    y_true, y_prob = predictions(60, decimals=decimals)
    result = evaluation.report(y_true, y_prob, n_bootstrap=40, seed=7)
    rng = np.random.default_rng(7)
    draws = []
    for picks in rng.integers(60, size=(40, 60)):
        t, p = y_true[picks], y_prob[picks]
        assert t.any(axis=0).all() and not t.all(axis=0).any(), "this seed needs no second draw"
        draws.append(scikit_learn_rows(t, p, p >= 0.5))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(result.low, low, atol=1e-12)
    np.testing.assert_allclose(result.high, high, atol=1e-12)


def test_batches_change_nothing(monkeypatch):
    y_true, y_prob = predictions(80)
    whole = evaluation.report(y_true, y_prob, n_bootstrap=30).to_frame()
    monkeypatch.setattr(bootstrap, "_BLOCK", 7 * len(y_true))
    pd.testing.assert_frame_equal(evaluation.report(y_true, y_prob, n_bootstrap=30).to_frame(), whole)


def test_intervals_agree_with_the_binomial_ones():
    y_true, y_prob = predictions(2000)
    result = evaluation.report(y_true, y_prob, thresholds=0.5, n_bootstrap=2000)
    for k, name in enumerate(CLASSES):
        tp, fn, fp, tn = (int(count) for count in result.confusion[k])
        for metric, hits, trials in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp)):
            expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
            width = expected.high - expected.low
            assert result.low.at[name, metric] == pytest.approx(expected.low, abs=0.1 * width)
            assert result.high.at[name, metric] == pytest.approx(expected.high, abs=0.1 * width)


def test_intervals_hold_the_truth_about_95_times_in_100():
    # A positive's probability is normal, mean 0.65 and deviation 0.2; from 0.495 on it is rounded to 0.5.
    truth = 0.5 * (1 + math.erf((0.65 - 0.495) / 0.2 / math.sqrt(2)))
    held = []
    for seed in range(60):
        y_true, y_prob = predictions(300, seed=1000 + seed)
        result = evaluation.report(y_true, y_prob, n_bootstrap=200)
        low, high = (ends.loc[list(CLASSES), "sensitivity"] for ends in (result.low, result.high))
        held.extend((low <= truth) & (truth <= high))
    assert 0.91 <= np.mean(held) <= 0.98


def test_a_rare_class_never_gives_nan():
    rng = np.random.default_rng(3)
    y_true = np.zeros((30, 4), dtype=int)
    y_true[:15] = 1
    y_true[:, 3] = 0
    y_true[4, 3] = 1
    frame = evaluation.report(y_true, rng.random((30, 4)), n_bootstrap=300).to_frame()
    assert np.isfinite(frame.to_numpy()).all()


def test_hopelessly_few_records_are_an_error_not_an_endless_loop():
    y_true = np.eye(40, dtype=int)
    with pytest.raises(DataError, match="40 records are too few"):
        evaluation.report(y_true, np.full((40, 40), 0.5), n_bootstrap=1)


def test_same_seed_same_intervals_another_seed_others():
    y_true, y_prob = predictions(100)
    first, again, other = (evaluation.report(y_true, y_prob, n_bootstrap=50, seed=seed) for seed in (1, 1, 2))
    assert str(first) == str(again)
    assert not first.low.equals(other.low)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_thresholds_equal_trying_every_one(seed, decimals):
    y_true, y_prob = predictions(120, seed, decimals)
    for k, threshold in enumerate(evaluation.fit_thresholds(y_true, y_prob)):
        best, best_threshold = -1, None
        for candidate in sorted(set(y_prob[:, k]), reverse=True):
            tn, fp, fn, tp = sk.confusion_matrix(y_true[:, k], y_prob[:, k] >= candidate).ravel()
            if tp * tn > best:
                best, best_threshold = tp * tn, candidate
        assert threshold == best_threshold


def test_of_equal_thresholds_the_highest_is_taken():
    # At 0.9: sensitivity 1/2, specificity 2/2. At 0.5: 2/2 and 1/2. Their products are equal.
    thresholds = evaluation.fit_thresholds([[1], [0], [1], [0]], [[0.9], [0.7], [0.5], [0.1]])
    np.testing.assert_array_equal(thresholds, [0.9])


def test_thresholds_are_finite_where_nothing_can_be_told_apart():
    np.testing.assert_array_equal(evaluation.fit_thresholds([[1], [0], [0]], [[0.4], [0.4], [0.4]]), [0.4])
    np.testing.assert_array_equal(evaluation.fit_thresholds([[1], [0], [0]], [[0.0], [1.0], [1.0]]), [1.0])


def test_apply_thresholds_is_at_least():
    y_prob = np.array([[0.2, 0.5, 0.5, 0.9], [0.3, 0.4, 0.6, 0.1]], dtype=np.float32)
    expected = [[0, 1, 1, 1], [1, 0, 1, 0]]
    np.testing.assert_array_equal(evaluation.apply_thresholds(y_prob, [0.25, 0.5, 0.5, 0.5]), expected)
    expected_own = [[0, 1, 0, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(evaluation.apply_thresholds(y_prob, y_prob[1]), expected_own)
    np.testing.assert_array_equal(evaluation.apply_thresholds(y_prob, 0.5), [[0, 1, 1, 1], [0, 0, 1, 0]])


@pytest.mark.parametrize(
    "thresholds", [[0.5, 0.5], np.nan, np.inf, -0.1, [[0.5] * 4], [0, 0, 0, 1.2], "test", {}], ids=str
)
def test_bad_thresholds(thresholds):
    y_true, y_prob = predictions(20)
    with pytest.raises(DataError, match="thresholds"):
        evaluation.apply_thresholds(y_prob, thresholds)
    with pytest.raises(DataError, match="thresholds"):
        evaluation.report(y_true, y_prob, thresholds)


@pytest.mark.parametrize("function", [evaluation.fit_thresholds, evaluation.report])
def test_bad_predictions(function):
    y_true, y_prob = predictions(20)
    with pytest.raises(DataError, match=r"y_true has shape \(20, 4\) and y_prob has shape \(19, 4\)"):
        function(y_true, y_prob[:-1])
    with pytest.raises(DataError, match=r"y_prob\[0, 0\] \(MI\) is .*logits"):
        function(y_true, y_prob + 2)
    y_true[:, 2] = 0
    with pytest.raises(DataError, match="no positive record among 20 for CD"):
        function(y_true, y_prob)


@pytest.mark.parametrize("n_bootstrap", [0, -1, 10.5, "many"])
def test_bad_number_of_resamples(n_bootstrap):
    with pytest.raises(SettingError, match="n_bootstrap"):
        evaluation.report(*predictions(20), n_bootstrap=n_bootstrap)


def test_to_dict_survives_json():
    y_true, y_prob = predictions(100)
    result = evaluation.report(y_true, y_prob, thresholds=[0.4, 0.5, 0.6, 0.7], n_bootstrap=30)
    loaded = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert loaded == result.to_dict()
    frame = result.to_frame()
    assert loaded["n_records"] == 100
    assert loaded["n_bootstrap"] == 30
    assert loaded["thresholds"] == {"MI": 0.4, "STTC": 0.5, "CD": 0.6, "HYP": 0.7}
    assert list(loaded["confusion"]["HYP"].items()) == list(
        zip(("TP", "FN", "FP", "TN"), result.confusion[3].tolist(), strict=True)
    )
    assert tuple(loaded["none"].values()) == tuple(result.none)
    assert loaded["cross_table"]["HYP"]["none of these"] == result.cross[3, 4]
    assert loaded["per_class"]["CD"]["f1"]["low"] == frame.at["CD", "f1_low"]
    assert loaded["macro"]["auroc"]["value"] == frame.at["macro", "auroc"]
    assert loaded["pooled"]["average_precision"]["high"] == frame.at["pooled", "average_precision_high"]


def test_printed_report_holds_its_numbers():
    y_true, y_prob = predictions(100)
    result = evaluation.report(y_true, y_prob, thresholds=0.45, n_bootstrap=30)
    lines = str(result).splitlines()
    assert repr(result) == str(result)
    assert max(map(len, lines)) <= 90
    for name, counts in zip(CLASSES, result.confusion, strict=True):
        assert [name, "0.450", *map(str, counts)] in [line.split() for line in lines]
    assert ["none", "of", "these", *map(str, result.none)] in [line.split() for line in lines]
    row = next(line for line in lines if line.startswith("AUROC")).split()
    assert row[1:] == [f"{value:.3f}" for value in result.to_frame()["auroc"]]
    span = lines[[line.startswith("AUROC") for line in lines].index(True) + 1].split()
    assert span[5] == f"{result.low.at['pooled', 'auroc']:.3f}-{result.high.at['pooled', 'auroc']:.3f}"


@pytest.mark.parametrize("names", [("AFIB",), ("NORM", "MI", "STTC", "CD", "HYP")], ids=len)
def test_classes_of_any_number_and_name(names):
    y_true, y_prob = predictions(300, shares=np.linspace(0.2, 0.4, len(names)))
    result = evaluation.report(y_true, y_prob, n_bootstrap=20, task=Task(names))
    frame = result.to_frame()
    np.testing.assert_allclose(frame[list(evaluation.METRICS)], scikit_learn_rows(y_true, y_prob, y_prob >= 0.5))
    assert list(frame.index) == [*names, "macro", "pooled"]
    assert result.classes == names == tuple(result.to_dict()["per_class"]) == tuple(result.to_dict()["thresholds"])
    assert all(name in str(result) for name in names)
    assert result.matrix is None is result.overall_accuracy
    assert not {"matrix", "overall_accuracy"} & result.to_dict().keys()


def test_multiclass_equals_scikit_learn():
    y_true, y_prob = exactly_one(400)
    result = evaluation.report(y_true, y_prob, thresholds="ignored", n_bootstrap=20, task=Task(SIX, "multiclass"))
    true, predicted = y_true.argmax(axis=1), y_prob.argmax(axis=1)
    np.testing.assert_array_equal(result.matrix, sk.confusion_matrix(true, predicted))
    assert result.overall_accuracy["value"] == pytest.approx(sk.accuracy_score(true, predicted))
    for average, found in (("macro", result.macro), ("micro", result.pooled)):
        assert found["f1"] == pytest.approx(sk.f1_score(true, predicted, average=average))
        assert found["sensitivity"] == pytest.approx(sk.recall_score(true, predicted, average=average))
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(true, y_prob, multi_class="ovr", average=average))
    y_pred = np.eye(6)[predicted]
    np.testing.assert_allclose(result.to_frame()[list(evaluation.METRICS)], scikit_learn_rows(y_true, y_prob, y_pred))
    assert result.thresholds is None


def test_multiclass_intervals_are_percentiles_of_plain_resamples():
    y_true, y_prob = exactly_one(60, n_classes=3)
    result = evaluation.report(y_true, y_prob, n_bootstrap=40, seed=7, task=Task(SIX[:3], "multiclass"))
    picks = np.random.default_rng(7).integers(60, size=(40, 60))
    draws = (y_true.argmax(axis=1) == y_prob.argmax(axis=1))[picks].mean(axis=1)
    found = result.overall_accuracy
    np.testing.assert_allclose([found["low"], found["high"]], np.percentile(draws, [2.5, 97.5]))


def test_multiclass_report_in_print_and_json():
    y_true, y_prob = exactly_one(400)
    result = evaluation.report(y_true, y_prob, n_bootstrap=20, task=Task(SIX, "multiclass"))
    loaded = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert loaded["thresholds"] is None
    assert result.none is None is result.cross and not {"none", "cross_table"} & loaded.keys()
    assert loaded["matrix"]["HYP"]["macro"] == result.matrix[5, 4]
    assert loaded["overall_accuracy"] == result.overall_accuracy
    # A class may be called as a row of means is.
    assert loaded["per_class"]["macro"]["f1"]["value"] == pytest.approx(result.per_class["f1"].iloc[4])
    assert loaded["macro"]["f1"]["value"] == pytest.approx(result.per_class["f1"].mean())
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= 120
    assert f"accuracy {result.overall_accuracy['value']:.3f}" in lines[2]
    # Six columns of 21 don't fit beside each other.
    halves = [line.removeprefix("bundle branch block").split() for line in lines if line.startswith("bundle")]
    assert [int(count) for half in halves[:2] for count in half] == result.matrix[3].tolist()
    assert [int(count) for count in halves[2]] == result.confusion[3].tolist()


def test_what_a_task_refuses():
    y_true, y_prob = predictions(20)
    with pytest.raises(SettingError, match=r"2 classes are named \(AFIB, PVC\), but the data have 4"):
        evaluation.report(y_true, y_prob, task=Task(("AFIB", "PVC")))
    one_hot, y_prob = exactly_one(20, n_classes=3)
    one_hot[5] = [1, 0, 1]
    with pytest.raises(DataError, match=r"y_true\[5\] has 2 classes, normal, ST/T change; .* exactly one"):
        evaluation.report(one_hot, y_prob, task=Task(SIX[:3], "multiclass"))
