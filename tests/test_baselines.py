import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgcourse import baselines, ptbxl, signals
from ecgcourse.errors import DataError, SettingError

JUDGED = (9, 10)


def one_class_at_a_time(features, y, train, make):
    """Probabilities of the other records, by scikit-learn alone."""
    return np.stack([make().fit(features[train], t[train]).predict_proba(features[~train])[:, 1] for t in y.T], axis=1)


def by_hand(root):
    """The three rungs without R peaks, written out: features here, models of scikit-learn."""
    table = ptbxl.read_table(root)
    table = table[table["labelled"]]
    y, train = ptbxl.labels(table).astype(int), (table["strat_fold"] <= 8).to_numpy()
    voltages = ptbxl.read_signals(root, table)
    age = table["age"].to_numpy(float, copy=True)
    age[np.isnan(age)] = np.nanmedian(age[train])
    nine = [np.percentile(each, np.linspace(0, 100, 9), axis=2) for each in (signals.preprocess(voltages), voltages)]
    scaled, volts = (np.moveaxis(each.astype(float), 0, 2).reshape(len(table), -1) for each in nine)

    def regression():
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))

    def forest():
        return RandomForestClassifier(300, min_samples_leaf=3, random_state=0, n_jobs=2)

    return {
        "prevalence": np.broadcast_to(y[train].mean(axis=0), y[~train].shape),
        "age and sex": one_class_at_a_time(np.c_[age, age**2, table["sex"]], y, train, regression),
        "quantiles of 3 scaled leads": one_class_at_a_time(scaled, y, train, regression),
        "quantiles of 12 leads in mV": one_class_at_a_time(volts, y, train, forest),
    }


@pytest.fixture(scope="module")
def found(root):
    return baselines.predict(root, judged_folds=JUDGED)


def test_baselines_are_the_models_of_scikit_learn(root, found):
    for name, expected in by_hand(root).items():
        np.testing.assert_allclose(found[name].y_prob, expected, atol=2e-4, err_msg=name)


def test_the_ladder_on_real_records(root, found, monkeypatch):
    """On the first 500 records of PTB-XL 1.0.3; measured by another program, which finds its beats in another way."""
    if len(ptbxl.read_table(root)) != 500:
        pytest.skip("these figures are of the first 500 records")
    monkeypatch.setattr(baselines, "predict", lambda root: found)  # once is enough
    table = baselines.table(root, n_bootstrap=20)
    np.testing.assert_allclose(table["auroc"], [0.5, 0.758, 0.790, 0.866, 0.875], atol=0.0006)
    assert table["difference"].isna().tolist() == [True] + [False] * 4


def test_answers_are_of_the_judged_records_and_can_be_compared(root, found):
    table = ptbxl.read_table(root)
    table = table[table["labelled"] & table["strat_fold"].isin(JUDGED)]
    for each in found.values():
        np.testing.assert_array_equal(each.ecg_id, table.index)
        np.testing.assert_array_equal(each.patient_id, table["patient_id"])
        np.testing.assert_array_equal(each.y_true, ptbxl.labels(table))
    flat = found["prevalence"]
    assert np.mean([roc_auc_score(t, p) for t, p in zip(flat.y_true.T, flat.y_prob.T, strict=True)]) == 0.5


def test_r_peaks_are_where_the_model_of_the_heart_put_them(practice_root):
    """Within a QRS complex of 0.1 s of where lead II, or else any lead, is largest; as many as the rate says."""
    table = ptbxl.read_table(practice_root).head(20)
    for x in ptbxl.read_signals(practice_root, table):
        peaks = baselines.r_peaks(signals.preprocess(x[None])[0])
        gaps = np.diff(peaks)
        assert 5 <= len(peaks) <= 25
        assert gaps.min() >= 30 and np.median(gaps) * 2.6 > gaps.max()
    beat = baselines.median_beat(np.tile(np.eye(1, 100, 40)[0], 10)[None])
    assert beat.shape == (1, 80) and beat.argmax() == pytest.approx(30, abs=5)


def test_a_flat_record_has_no_beat():
    assert len(baselines.r_peaks(np.zeros((3, 1000)))) == 0
    np.testing.assert_array_equal(baselines.median_beats(np.ones((2, 3, 1000))), np.zeros((2, 240)))


def test_bad_input(practice_root):
    with pytest.raises(SettingError, match="did you mean 'age and sex'"):
        baselines.predict(practice_root, names=["age and sx"])
    with pytest.raises(DataError, match="no labelled records in the folds"):
        baselines.predict(practice_root, judged_folds=(), names=["prevalence"])


def test_ages_that_are_kept_secret_count_as_old():
    np.testing.assert_array_equal(baselines.demographics([[300, 1], [40, 0]]), [[90, 8100, 1], [40, 1600, 0]])
