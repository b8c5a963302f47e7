import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score

from ecgcourse import bootstrap, comparison, predictions, subgroups
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import Task

RNG = np.random.default_rng(0)
TWO = Task(("MI", "HYP"))


def model(strength, y_true, seed, shared=0.0):
    """Answers that know more about the labels the greater their strength; `shared` moves those of all models alike."""
    logits = strength * (2 * y_true - 1) + shared + np.random.default_rng(seed).normal(size=y_true.shape)
    ids = np.arange(len(y_true))
    return predictions.Predictions(y_true, expit(logits), TWO, ids + 100, ids // 2, logits)


@pytest.fixture(scope="module")
def models():
    y_true = RNG.integers(0, 2, (300, 2))
    shared = RNG.normal(0, 3, y_true.shape)
    return {name: model(s, y_true, k, shared) for k, (name, s) in enumerate({"a": 0.9, "b": 1.2, "c": 1.3}.items())}


def test_scores_are_scikit_learns_whatever_the_order_of_records(models):
    shuffled = models | {"b": models["b"].of(RNG.permutation(models["b"].ecg_id))}
    found = comparison.compare(shuffled, n_bootstrap=100)
    for name, each in models.items():
        assert found.at[name, "auroc"] == pytest.approx(roc_auc_score(each.y_true, each.y_prob, average="macro"))
        expected = np.mean([brier_score_loss(t, p) for t, p in zip(each.y_true.T, each.y_prob.T, strict=True)])
        assert found.at[name, "brier"] == pytest.approx(expected)
    np.testing.assert_allclose(found, comparison.compare(models, n_bootstrap=100))
    assert (found.attrs["records"], found.attrs["patients"], found.attrs["against"]) == (300, 150, "a")


def test_intervals_overlap_where_the_difference_is_sure(models):
    """What moves both answers alike widens each interval, but not that of their difference."""
    found = comparison.compare(models, against="a")
    assert found.at["b", "low"] < found.at["a", "high"]
    assert found.at["b", "difference_low"] > 0
    own = found.loc["b", "high"] - found.loc["b", "low"]
    assert found.at["b", "difference_high"] - found.at["b", "difference_low"] < own


def test_simultaneous_intervals_follow_sidak_for_independent_and_cost_nothing_for_equal_models():
    """Oracle: of M independent normal deviations the largest has the quantile of Šidák's formula."""
    drawn = RNG.normal(size=(40_000, 8)) * [1, 2, 3, 4, 5, 6, 7, 8]
    low, high = comparison.simultaneous(np.zeros(8), drawn)
    expected = stats.norm.ppf((1 + 0.95 ** (1 / 8)) / 2)
    np.testing.assert_allclose((high - low) / 2 / np.arange(1, 9), expected, rtol=0.02)
    low, high = comparison.simultaneous(np.zeros(8), np.repeat(drawn[:, :1], 8, axis=1))
    np.testing.assert_allclose(high, stats.norm.ppf(0.975), rtol=0.02)
    np.testing.assert_array_equal(comparison.simultaneous([0.3], np.full((10, 1), 0.3)), [[0.3], [0.3]])


def test_several_trainings_count_by_their_mean_and_each_model_may_be_compared_with_another(models):
    """Resample by resample with scikit-learn; one pair alone has the interval ± 1.96 s, or nearly so."""
    a, b, c = models.values()
    found = comparison.compare({"a": a, "bc": [b, c], "c": [c]}, {"bc": "a"}, n_bootstrap=200)
    areas = {name: roc_auc_score(each.y_true, each.y_prob, average="macro") for name, each in models.items()}
    assert found.at["bc", "auroc"] == pytest.approx((areas["b"] + areas["c"]) / 2)
    assert found["difference"].isna().tolist() == [True, False, True] and found.attrs["against"] == "a"
    drawn = []
    for weights in np.hstack(list(bootstrap.resamples(300, 200, 0, a.patient_id, a.y_true))).T:
        rows = np.repeat(np.arange(300), weights.astype(int))
        one, *two = (roc_auc_score(each.y_true[rows], each.y_prob[rows], average="macro") for each in (a, b, c))
        drawn.append(np.mean(two) - one)
    difference, spread = (areas["b"] + areas["c"]) / 2 - areas["a"], np.std(drawn, ddof=1)
    reach = np.quantile(np.abs(drawn - np.mean(drawn)) / spread, 0.95) * spread
    expected = [difference, difference - reach, difference + reach]
    np.testing.assert_allclose(found.loc["bc", ["difference", "difference_low", "difference_high"]].tolist(), expected)


def test_a_perfect_model_is_said_to_have_an_interval_that_says_nothing(models):
    perfect = predictions.Predictions(models["a"].y_true, models["a"].y_true, TWO, models["a"].ecg_id)
    found = comparison.compare({"perfect": perfect, "itself": perfect}, n_bootstrap=20)
    assert found.attrs["notes"] and "perfect: the same macro AUROC in every resample" in found.attrs["notes"][0]
    assert found.loc["itself", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]


def test_what_cannot_be_compared_is_refused(models):
    a, b = models["a"], models["b"]
    other_labels = predictions.Predictions(1 - b.y_true, b.y_prob, TWO, b.ecg_id)
    other_classes = predictions.Predictions(b.y_true, b.y_prob, Task(("MI", "CD")), b.ecg_id)
    for wrong, words in (
        (other_labels, "other labels for ecg_id 100"),
        (other_classes, "same classes"),
        (b.of([101]), "1"),
    ):
        with pytest.raises(DataError, match=words):
            comparison.compare({"a": a, "wrong": wrong}, n_bootstrap=5)
    with pytest.raises(SettingError, match="no model to compare with is called 'd'"):
        comparison.compare(models, against="d")


def test_predictions_come_back_from_their_file_to_the_last_bit(models, tmp_path):
    path = tmp_path / predictions.file_name("test")
    models["b"].write(path)
    back = predictions.Predictions.read(path)
    for name in ("y_true", "y_prob", "ecg_id", "patient_id", "logits"):
        np.testing.assert_array_equal(getattr(back, name), getattr(models["b"], name))
    assert back.task == TWO
    lines = path.read_text().splitlines()
    assert lines[0] == "ecg_id,patient_id,label_MI,label_HYP,probability_MI,probability_HYP,logit_MI,logit_HYP"
    assert lines[1].startswith("100,0,")
    (tmp_path / "other.csv").write_text("ecg_id,label_MI\n1,1\n")
    for name, words in (("none.csv", "can't be read"), ("other.csv", "no column 'probability_MI'")):
        with pytest.raises(DataError, match=words):
            predictions.Predictions.read(tmp_path / name)
    with pytest.raises(DataError, match="ecg_id 5 comes twice"):
        predictions.Predictions(models["a"].y_true[:2], models["a"].y_prob[:2], TWO, np.array([5, 5]))


# --- subgroups


def test_a_subgroup_is_judged_like_a_data_set_of_its_own(models):
    each = models["b"]
    sex = np.where(np.arange(300) % 3 == 0, "female", "male")
    found = subgroups.table(each, {"sex": sex}, thresholds=0.4, n_bootstrap=50).set_index(["group", "class"])
    inside = sex == "female"
    t, p = each.y_true[inside, 1], each.y_prob[inside, 1]
    row = found.loc[("female", "HYP")]
    assert row["auroc"] == pytest.approx(roc_auc_score(t, p))
    assert row["sensitivity"] == pytest.approx((p[t == 1] >= 0.4).mean())
    assert row["calibration"] == pytest.approx(p.mean() - t.mean())
    assert (row["records"], row["patients"], row["positives"]) == (100, len(set(each.patient_id[inside])), t.sum())
    for measure in subgroups.MEASURES:
        assert row[f"{measure}_low"] <= row[measure] <= row[f"{measure}_high"]


def test_a_small_group_is_said_to_be_small_and_not_judged(models):
    site = np.where(np.arange(300) < 12, "site 1", "site 0")
    found = subgroups.table(models["a"], {"site": site}, n_bootstrap=20).set_index("group")
    assert found.loc["site 1", list(subgroups.MEASURES)].isna().all(axis=None)
    assert found.loc["site 1", "note"].str.startswith("too few: ").all()
    assert found.loc["site 0", list(subgroups.MEASURES)].notna().all(axis=None)


def test_groups_of_ptb_xls_table():
    import pandas as pd

    table = pd.DataFrame(
        {"sex": [0, 1, None], "age": [39.9, 60, 300], "site": [0.0, None, 12], "device": ["CS-12   E", None, "AT-6 C"]}
    )
    found = {name: list(column) for name, column in subgroups.of_table(table).items()}
    assert found == {
        "sex": ["male", "female", "unknown"],
        "age": ["under 40", "60 to 79", "80 and over"],
        "site": ["site 0", "unknown", "site 12"],
        "device": ["CS-12 E", "unknown", "AT-6 C"],
    }


def test_the_worst_records_are_those_of_the_largest_loss():
    y_true, y_prob = np.array([[1, 0], [0, 0], [1, 1]]), np.array([[0.9, 0.2], [0.6, 0.99], [0.5, 0.05]])
    each = predictions.Predictions(y_true, y_prob, TWO, np.array([7, 8, 9]))
    found = subgroups.worst(each, 2)
    assert found["ecg_id"].tolist() == [8, 9]
    assert found["class"].tolist() == ["HYP", "HYP"]
    np.testing.assert_allclose(found["loss"], [-np.log(0.4 * 0.01), -np.log(0.5 * 0.05)])
    assert found["has_it"].tolist() == [0, 1] and found["probability"].tolist() == [0.99, 0.05]
