"""The synthetic set: read by wfdb and pandas, which know nothing of how it was made."""

import filecmp
import os

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy import signal as scipy_signal
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgcourse import practice, practice_people, ptbxl, signals
from ecgcourse.errors import DataError, SettingError


@pytest.fixture(scope="module")
def table(practice_root):
    return ptbxl.read_table(practice_root)


@pytest.fixture(scope="module")
def large_root(tmp_path_factory):
    return practice.write(tmp_path_factory.mktemp("large") / "practice")


def every_file(root):
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def same_bytes(a, b):
    files = every_file(a)
    assert files == every_file(b)
    _, different, unreadable = filecmp.cmpfiles(a, b, files, shallow=False)
    return not different and not unreadable


def test_the_same_seed_gives_the_same_bytes(practice_root, tmp_path):
    again = practice.write(tmp_path / "again", n_records=60)
    assert same_bytes(practice_root, again)


def test_the_number_of_processes_changes_nothing(practice_root, tmp_path, monkeypatch):
    monkeypatch.setattr(practice, "CHUNK", 7)
    assert same_bytes(practice_root, practice.write(tmp_path / "chunks", n_records=60))


def test_another_seed_gives_other_records(tmp_path):
    one, two = (practice.write(tmp_path / str(seed), 3, seed) for seed in (1, 2))
    assert not same_bytes(one, two)


def test_wfdb_reads_every_record(practice_root, table):
    for name in table["filename_lr"]:
        record = wfdb.rdrecord(practice_root / name, physical=False)
        assert (record.fs, record.sig_len, record.n_sig) == (100, 1000, 12)
        assert record.sig_name == [lead.upper() for lead in ptbxl.LEADS]
        assert set(record.units) == {"mV"} and set(record.adc_gain) == {1000.0}
        assert [int(sum_) % 65536 for sum_ in record.calc_checksum()] == [sum_ % 65536 for sum_ in record.checksum]
        assert any("synthetic" in comment for comment in record.comments)


def test_the_first_records_are_there_at_500_hz_too(practice_root, table):
    for ecg_id, row in table.head(practice.N_HIGH_RATE_RECORDS).iterrows():
        record = wfdb.rdrecord(practice_root / row["filename_hr"])
        assert (record.fs, record.sig_len) == (500, 5000), ecg_id
        slow = wfdb.rdrecord(practice_root / row["filename_lr"]).p_signal
        # Each lead was rounded to whole or even microvolts at both rates.
        expected = scipy_signal.resample_poly(record.p_signal, 1, 5, axis=0)
        np.testing.assert_allclose(slow, expected, atol=0.004)


def test_einthoven_and_goldberger_hold_to_the_last_digit(practice_root, table):
    for name in table["filename_lr"]:
        one, two, three, avr, avl, avf = wfdb.rdrecord(practice_root / name, physical=False).d_signal.T[:6].astype(int)
        np.testing.assert_array_equal(one + three, two)
        np.testing.assert_array_equal(2 * avr, -(one + two))
        np.testing.assert_array_equal(2 * avl, one - three)
        np.testing.assert_array_equal(2 * avf, two + three)


def test_voltages_are_those_of_an_ecg(practice_root, table):
    signals = ptbxl.read_signals(practice_root, table)
    span = np.ptp(signals, axis=-1)
    assert 0.1 < span.min() and span.max() < 15
    assert 0.5 < np.median(span) < 3


def test_the_layout_is_ptb_xls(practice_root):
    database = pd.read_csv(practice_root / "ptbxl_database.csv")
    assert tuple(database.columns) == practice.COLUMNS
    assert database["ecg_id"].tolist() == list(range(1, 61))
    statements = pd.read_csv(practice_root / "scp_statements.csv", index_col=0)
    assert set(statements["diagnostic_class"].dropna()) == {"NORM", *ptbxl.CLASSES}
    assert database["filename_lr"].iloc[0] == "records100/00000/00001_lr"


def test_columns_and_codes_are_those_of_the_real_set(real_root):
    assert tuple(pd.read_csv(real_root / "ptbxl_database.csv", nrows=1).columns) == practice.COLUMNS
    real = pd.read_csv(real_root / "scp_statements.csv", index_col=0)
    columns = ["description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"]
    ours = practice_people.statements()
    pd.testing.assert_frame_equal(ours.replace("", np.nan)[columns], real.loc[ours.index, columns], check_dtype=False)


def test_every_class_is_in_every_part(table):
    for part, rows in ptbxl.split(table).items():
        assert (ptbxl.labels(rows).sum(axis=0) > 0).all(), part
        assert (ptbxl.labels(rows).sum(axis=1) == 0).any(), part


def test_patients_stay_in_one_fold_and_some_come_back(table):
    assert (table.groupby("patient_id")["strat_fold"].nunique() == 1).all()
    assert table["patient_id"].nunique() < len(table)


def test_classes_come_together_and_some_records_have_none(table):
    assert (ptbxl.labels(table).sum(axis=1) >= 2).any()
    assert not table["labelled"].all()


def test_shares_are_those_of_the_mixture():
    kinds = practice_people._kinds(1000, practice_people.HOSPITALS["A"], np.random.default_rng(0))
    whole = sum(practice_people.MIXTURE.values())
    for kind, share in practice_people.MIXTURE.items():
        assert kinds.count(kind) == pytest.approx(1000 * share / whole, abs=1)


def test_reports_miss_and_invent_the_documented_share(large_root):
    table = ptbxl.read_table(large_root)
    said, true = table[list(ptbxl.CLASSES)].to_numpy(), practice.truth(large_root).loc[table.index].to_numpy()
    missed, invented = (true & ~said).sum() / true.sum(), (said & ~true).any(axis=1).mean()
    assert missed == pytest.approx(practice_people.MISSED, abs=0.025)
    # Some of the invented diseases are there after all.
    assert 0.5 * practice_people.INVENTED < invented < 1.5 * practice_people.INVENTED


def test_superclasses_come_together_as_in_the_real_set(large_root, real_root):
    names = ["NORM", *ptbxl.CLASSES]
    shares = []
    for root in (large_root, real_root):
        table = ptbxl.read_table(root)
        classes = table[names].to_numpy().astype(float)
        shares.append(classes.T @ classes / len(table))
    ours, real = shares
    off_diagonal = ~np.eye(len(names), dtype=bool)
    assert np.abs(ours - real)[off_diagonal].max() < 0.05
    assert (ours[off_diagonal & (real > 0.01)] > 0).all()


def test_it_is_as_hard_as_life(large_root):
    """Macro AUROC of models that see little, inside the windows that 500 real records of PTB-XL set."""
    table = ptbxl.read_table(large_root)
    table = table[table["labelled"]]
    y, x = ptbxl.labels(table), ptbxl.read_signals(large_root, table)
    quantiles = np.linspace(0, 1, 9)
    ages = table["age"].to_numpy()
    seen = {
        "age and sex": np.c_[ages, ages**2, table["sex"]],
        "scaled": np.quantile(signals.preprocess(x), quantiles, axis=-1).transpose(1, 2, 0).reshape(len(x), -1),
        "voltages": np.quantile(x, quantiles, axis=-1).transpose(1, 2, 0).reshape(len(x), -1),
    }
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=0)
    learns, windows = table["strat_fold"] <= 8, {"age and sex": (0.68, 0.82), "scaled": (0.70, 0.85)}
    for name, (low, high) in (windows | {"voltages": (0.80, 0.92)}).items():
        model, features = forest if name == "voltages" else linear, seen[name]
        scores = []
        for k in range(len(ptbxl.CLASSES)):
            model.fit(features[learns], y[learns, k])
            scores.append(roc_auc_score(y[~learns, k], model.predict_proba(features[~learns])[:, 1]))
        assert low < np.mean(scores) < high, name


def test_records_of_one_patient_resemble_each_other(large_root):
    """A nearest-neighbor rule scores higher where the records are split, and not the patients."""
    table = ptbxl.read_table(large_root)
    table = table[table["labelled"]]
    y = ptbxl.labels(table)
    features = np.array([mean_beat(lead) for lead in ptbxl.read_signals(large_root, table)[:, [0, 1, 7]]])
    scores = {}
    owners = {"records": np.arange(len(table)), "patients": table["patient_id"]}
    for name, groups in owners.items():
        for learns, judges in GroupShuffleSplit(8, test_size=0.2, random_state=0).split(features, y, groups):
            near = KNeighborsClassifier(1).fit(features[learns], y[learns]).predict(features[judges])
            scores.setdefault(name, []).append(roc_auc_score(y[judges], near))
    assert np.mean(scores["records"]) > np.mean(scores["patients"]) + 0.03


def mean_beat(leads):
    """Around the R peaks of three leads in mV, each lead less its median: (3 * 80,)."""
    leads = leads - np.median(leads, axis=-1, keepdims=True)
    slope = np.convolve((np.diff(leads, axis=1) ** 2).sum(axis=0), np.ones(8) / 8, "same")
    peaks, _ = scipy_signal.find_peaks(slope, height=0.3 * np.quantile(slope, 0.99), distance=30)
    return np.mean([leads[:, p - 30 : p + 50] for p in peaks if 30 <= p <= leads.shape[1] - 50], axis=0).ravel()


def test_another_hospital_records_otherwise(tmp_path):
    root = practice.write(tmp_path / "b", 40, hospital="B")
    table = ptbxl.read_table(root)
    assert not (root / "records100").exists()
    record = wfdb.rdrecord(root / table["filename_hr"].iloc[0])
    assert record.fs == 500 and record.sig_name[3] == "avr" and set(record.adc_gain) == {200.0}
    assert np.isfinite(ptbxl.read_signals(root, table, sampling_rate=500)).all()


def test_a_planted_shortcut_ties_a_class_to_a_hum_at_one_site(tmp_path):
    root = practice.write(tmp_path / "tied", 400, shortcut="HYP")
    table, ill = ptbxl.read_table(root), practice.truth(root)["HYP"]
    there = table["site"] == practice_people.SHORTCUT_SITE
    assert there[ill].mean() > 0.7 and there[~ill].mean() < 0.1
    frequency, power = scipy_signal.periodogram(ptbxl.read_signals(root, table)[:, 0], 100)
    hum = power[:, np.abs(frequency - practice_people.RAILWAY).argmin()]
    assert np.median(hum[there]) > 10 * np.median(hum[~there])


def test_beats_are_annotated_as_mit_bih_does(tmp_path):
    root = practice.write(tmp_path / "beats", 60, beats=True)
    table = ptbxl.read_table(root)
    symbols = set()
    for name, codes in zip(table["filename_lr"], table["scp_codes"], strict=True):
        beats, record = wfdb.rdann(str(root / name), "atr"), wfdb.rdrecord(str(root / name)).p_signal
        assert beats.fs == 100 and ("V" in beats.symbol) == ("PVC" in codes)
        symbols |= set(beats.symbol)
        # The largest slope of a beat is near its annotation, wherever muscle noise and a loose electrode leave it.
        slope = np.abs(np.diff(np.median(record[:, [1, 9, 10]], axis=1)))
        near = [slope[max(0, at - 6) : at + 6].max() for at in beats.sample if 6 < at < 990]
        assert np.median(near) > 5 * np.median(slope)
    assert {"N", "V"} <= symbols <= {"N", "V", "L", "R"}


def test_a_set_that_is_there_is_not_written_again(practice_root):
    before = {path: os.stat(practice_root / path).st_mtime_ns for path in every_file(practice_root)}
    assert practice.write(practice_root, n_records=60) == practice_root
    assert before == {path: os.stat(practice_root / path).st_mtime_ns for path in every_file(practice_root)}


def test_another_folder_is_never_written_over(tmp_path, practice_root):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="empty folder"):
        practice.write(tmp_path, 3)
    assert every_file(tmp_path) == [(tmp_path / "thesis.txt").relative_to(tmp_path)]
    with pytest.raises(DataError, match="empty folder"):
        practice.write(practice_root, n_records=3)


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(practice_people, "statements", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        practice.write(tmp_path / "set", 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n_records", "seed"), [(0, 0), (-5, 0), (5, -1)])
def test_bad_numbers(tmp_path, n_records, seed):
    with pytest.raises(SettingError, match=f"n_records={n_records}, seed={seed}"):
        practice.write(tmp_path / "set", n_records, seed)


@pytest.mark.parametrize("settings", [{"hospital": "C"}, {"shortcut": "NORM"}])
def test_bad_names(tmp_path, settings):
    with pytest.raises(SettingError, match="hospital is called 'C'; there are A, B|tied to one of MI, STTC, CD, HYP"):
        practice.write(tmp_path / "set", 3, **settings)


def test_data_root_is_the_folder_named(practice_root, monkeypatch):
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    assert practice.data_root() == practice_root


def test_data_root_refuses_a_folder_that_is_not_ptb_xl(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGCOURSE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="ECGCOURSE_DATA is .*ptbxl_database.csv"):
        practice.data_root()


def test_data_root_makes_the_practice_set_once(tmp_path, monkeypatch):
    monkeypatch.delenv("ECGCOURSE_DATA", raising=False)
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(practice.write, "__defaults__", (4, 0, False))
    root = practice.data_root()
    assert root == practice.default_folder() and root.parent == tmp_path
    assert practice.is_practice(root) and len(ptbxl.read_table(root)) == 4
    assert practice.data_root() == root


def test_a_real_folder_is_not_called_synthetic(real_root):
    assert not practice.is_practice(real_root)


# --- signs ---


def affected(root, name):
    """Records whose hearts have this superclass."""
    true = practice.truth(root)
    return true.index[true[name]]


def test_signs_of_st_and_t_lie_between_the_qrs_complexes(practice_root):
    ids = affected(practice_root, "STTC")
    for ecg_id, signs in zip(ids, practice.signs(practice_root, ids, "STTC"), strict=True):
        beats = dipole_beats(practice_root, ecg_id)
        near = np.abs(np.arange(1000)[:, None] / 100 - beats).min(axis=1)
        # The flat top of an ST segment starts early: its first slope reaches the end of the QRS complex.
        assert np.abs(signs[:, near < 0.02]).max() < 0.15 * np.abs(signs).max() + 0.01, ecg_id


def dipole_beats(root, ecg_id):
    record = practice._records_of(root)[ecg_id - 1]
    return np.array([beat.time for beat in practice._heart_and_beats(record)[1]])


def test_without_its_signs_a_record_is_what_it_would_have_been(large_root):
    """The T wave, which ischemia lowers or inverts in lead II, stands upright again."""
    table = ptbxl.read_table(large_root)
    ids = [k for k in affected(large_root, "STTC") if set(table["scp_codes"][k]) & {"ISC_", "NDT"} == {"ISC_"}][:20]
    lead_ii = ptbxl.read_signals(large_root, table.loc[ids])[:, 1]
    without = lead_ii - practice.signs(large_root, ids, "STTC")[:, 1]
    higher = 0
    for ecg_id, ill, well in zip(ids, lead_ii, without, strict=True):
        after = (np.arange(1000)[:, None] / 100 - dipole_beats(large_root, ecg_id)) % 100
        t_wave = ((after > 0.24) & (after < 0.32)).any(axis=1)
        higher += well[t_wave].mean() > ill[t_wave].mean()
    # A few hardly show this sign.
    assert higher >= 0.85 * len(ids) > 5


def test_signs_keep_the_relations_of_the_leads(practice_root):
    ids = affected(practice_root, "CD")
    one, two, three, avr, avl, avf = np.rint(1000 * practice.signs(practice_root, ids, "CD"))[:, :6].swapaxes(0, 1)
    assert np.abs(one).max() > 100
    np.testing.assert_array_equal(one + three, two)
    np.testing.assert_array_equal(2 * avr, -(one + two))
    np.testing.assert_array_equal(avl + avf, (one + two) / 2)


def test_there_are_signs_where_the_superclass_is_and_nowhere_else(practice_root):
    true = practice.truth(practice_root)
    for name in ptbxl.CLASSES:
        signs = practice.signs(practice_root, true.index, name)
        assert signs.shape == (60, 12, 1000)
        np.testing.assert_array_equal((signs != 0).any(axis=(1, 2)), true[name])


def test_signs_touch_no_file(practice_root, tmp_path):
    root = practice.write(tmp_path / "set", 6)
    practice.signs(root, [1, 2, 3], "MI")
    assert same_bytes(root, practice.write(tmp_path / "again", 6))


def test_bad_signs(practice_root, tmp_path):
    with pytest.raises(SettingError, match="no superclass is called 'NORM'"):
        practice.signs(practice_root, [1], "NORM")
    with pytest.raises(DataError, match="has no record 61; its records are 1 to 60"):
        practice.signs(practice_root, [1, 61], "MI")
    with pytest.raises(DataError, match="is no practice set"):
        practice.signs(tmp_path, [1], "MI")
    old = tmp_path / "old"
    old.mkdir()
    (old / practice.MARK).write_text('{"synthetic": true, "generator": 1, "n_records": 5, "seed": 0}')
    with pytest.raises(DataError, match="is no practice set"):
        practice.signs(old, [1], "MI")
