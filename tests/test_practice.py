"""The synthetic set: read by wfdb and pandas, which know nothing of how it was made."""

import filecmp
import os

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy import signal as scipy_signal

from ecgcourse import practice, ptbxl
from ecgcourse.errors import DataError, SettingError


@pytest.fixture(scope="module")
def table(practice_root):
    return ptbxl.read_table(practice_root)


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
    for code, (_, kind, superclass, subclass) in practice.STATEMENTS.items():
        row = real.loc[code]
        assert row[kind] == 1
        assert (row["diagnostic_class"], row["diagnostic_subclass"]) == (superclass, subclass) or kind == "rhythm"


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
    kinds = practice._mixture(1000)
    for kind, share in practice.MIXTURE.items():
        assert kinds.count(kind) == pytest.approx(1000 * share, abs=1)


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
    monkeypatch.setattr(practice, "_statements", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        practice.write(tmp_path / "set", 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n_records", "seed"), [(0, 0), (-5, 0), (5, -1)])
def test_bad_settings(tmp_path, n_records, seed):
    with pytest.raises(SettingError, match=f"n_records={n_records}, seed={seed}"):
        practice.write(tmp_path / "set", n_records, seed)


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


def near_beats(root, table, ecg_id, before, after):
    """Samples (T,) from `before` to `after` seconds around each beat of lead II, its largest deflections."""
    size = np.abs(ptbxl.read_signals(root, table.loc[[ecg_id]])[0, 1])
    peaks, _ = scipy_signal.find_peaks(size, height=0.6 * size.max(), distance=35)
    mask = np.zeros(len(size), dtype=bool)
    for peak in peaks:
        mask[max(0, peak + round(before * 100)) : max(0, peak + round(after * 100))] = True
    return mask


def only(table, name):
    """Records with this superclass and no other."""
    return table.index[table[name] & (table[list(ptbxl.CLASSES)].sum(axis=1) == 1)]


def test_signs_of_st_and_t_lie_between_the_qrs_complexes(practice_root, table):
    ids = only(table, "STTC")
    for ecg_id, signs in zip(ids, practice.signs(practice_root, ids, "STTC"), strict=True):
        qrs = near_beats(practice_root, table, ecg_id, -0.05, 0.03)
        recovery = near_beats(practice_root, table, ecg_id, 0.05, 0.55)
        assert np.abs(signs[:, qrs]).max() < 0.1 < np.abs(signs[:, recovery]).max(), ecg_id


def test_without_its_signs_a_record_is_what_it_would_have_been(practice_root, table):
    """The T wave, which ischaemia turns over in lead II, stands upright again."""
    codes = table["scp_codes"].astype(str)
    ids = [ecg_id for ecg_id in only(table, "STTC") if "ISC_" in codes[ecg_id]]
    assert len(ids) > 1
    lead_ii = ptbxl.read_signals(practice_root, table.loc[ids])[:, 1]
    without = lead_ii - practice.signs(practice_root, ids, "STTC")[:, 1]
    for ecg_id, ill, well in zip(ids, lead_ii, without, strict=True):
        t_wave = near_beats(practice_root, table, ecg_id, 0.22, 0.32)
        rest = near_beats(practice_root, table, ecg_id, -0.10, -0.06)
        assert ill[t_wave].mean() - ill[rest].mean() < 0 < well[t_wave].mean() - well[rest].mean(), ecg_id


def test_signs_keep_the_relations_of_the_leads(practice_root, table):
    ids = table.index[table["CD"]]
    one, two, three, avr, avl, avf = np.rint(1000 * practice.signs(practice_root, ids, "CD"))[:, :6].swapaxes(0, 1)
    assert np.abs(one).max() > 100
    np.testing.assert_array_equal(one + three, two)
    np.testing.assert_array_equal(2 * avr, -(one + two))
    np.testing.assert_array_equal(avl + avf, (one + two) / 2)


def test_there_are_signs_where_the_superclass_is_and_nowhere_else(practice_root, table):
    for name in ptbxl.CLASSES:
        signs = practice.signs(practice_root, table.index, name)
        assert signs.shape == (60, 12, 1000)
        np.testing.assert_array_equal((signs != 0).any(axis=(1, 2)), table[name])


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
