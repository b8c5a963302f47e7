import os
import shutil

import numpy as np
import pandas as pd
import pytest
import wfdb

from ecgcourse import ptbxl, signal_cache, wfdb_records
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError

SMALL = 3  # records in the folder that the bad-input tests damage
COPIES = 22  # of these records make a table long enough for the cache


@pytest.fixture(scope="module")
def table(root):
    return ptbxl.read_table(root)


def copy_first(root, folder):
    folder.mkdir()
    database = pd.read_csv(root / "ptbxl_database.csv").head(SMALL)
    database.to_csv(folder / "ptbxl_database.csv", index=False)
    shutil.copyfile(root / "scp_statements.csv", folder / "scp_statements.csv")
    for name in [*database["filename_lr"], *database["filename_hr"]]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".hea", ".dat"):
            shutil.copyfile(f"{root / name}{suffix}", f"{folder / name}{suffix}")
    return folder


@pytest.fixture
def small(root, tmp_path):
    """A copy of the first records, to be damaged."""
    return copy_first(root, tmp_path / "small")


# --- table, labels, folds


def superclass_pairs(root):
    """Count as anyone would with pandas: one row per record and diagnostic superclass."""
    codes = (
        pd.read_csv(root / "ptbxl_database.csv", index_col="ecg_id")["scp_codes"]
        .str.findall(r"'([^']+)'\s*:")
        .explode()
    )
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    classes = codes.map(statements.loc[statements["diagnostic"] == 1, "diagnostic_class"]).dropna()
    return classes.reset_index(name="superclass").drop_duplicates()


def test_label_counts_are_those_of_a_plain_pandas_count(root, table):
    counts = superclass_pairs(root)["superclass"].value_counts()
    assert (counts > 0).sum() == 5
    for name in ("NORM", *ptbxl.CLASSES):
        assert table[name].sum() == counts[name]
        assert table[name].dtype == bool


def test_every_label_is_that_of_a_plain_pandas_table(root, table):
    pairs = superclass_pairs(root)
    expected = pd.crosstab(pairs["ecg_id"], pairs["superclass"]).reindex(table.index, fill_value=0)
    found = ptbxl.labels(table)
    assert found.dtype == np.float32
    assert found.shape == (len(table), 4)
    np.testing.assert_array_equal(found, expected[["MI", "STTC", "CD", "HYP"]])
    np.testing.assert_array_equal(table["labelled"], expected.any(axis=1))


def test_labels_of_any_part_of_the_table_can_be_written_to(table):
    for part in (table, table.head(2), ptbxl.split(table)["train"].head(2)):
        assert ptbxl.labels(part).flags.writeable


def test_a_code_counts_whatever_its_likelihood_and_only_if_diagnostic(small):
    edit_csv(small, scp_codes=["{'IMI': 0.0, 'LVH': 35.0}", "{'SR': 100.0}", "{'NORM': 100.0}"])
    table = ptbxl.read_table(small)
    np.testing.assert_array_equal(ptbxl.labels(table), [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert table["labelled"].tolist() == [True, False, True]
    assert table["scp_codes"].iloc[0] == {"IMI": 0.0, "LVH": 35.0}


def test_a_statement_that_is_not_diagnostic_gives_no_superclass(small):
    edit_csv(small, scp_codes=["{'IMI': 100.0, 'LVH': 100.0}"] * SMALL)
    statements = pd.read_csv(small / "scp_statements.csv", index_col=0)
    statements.loc["IMI", "diagnostic"] = None
    statements.to_csv(small / "scp_statements.csv")
    np.testing.assert_array_equal(ptbxl.labels(ptbxl.read_table(small)), [[0, 0, 0, 1]] * SMALL)


def test_the_columns_of_the_csv_stay(root, table):
    plain = pd.read_csv(root / "ptbxl_database.csv", index_col="ecg_id", low_memory=False)
    assert table.index.equals(plain.index)
    pd.testing.assert_frame_equal(
        table[plain.columns].drop(columns="scp_codes"), plain.drop(columns="scp_codes"), check_dtype=False
    )


def test_the_partitions_are_the_folds_of_the_labelled_records(root, table):
    folds = pd.read_csv(root / "ptbxl_database.csv", index_col="ecg_id")["strat_fold"]
    labelled = set(superclass_pairs(root)["ecg_id"])
    parts = ptbxl.split(table)
    assert list(parts) == ["train", "val", "test"]
    for name, inside in {"train": folds <= 8, "val": folds == 9, "test": folds == 10}.items():
        assert set(parts[name].index) == set(folds.index[inside]) & labelled
        assert len(parts[name]) > 0


def test_a_partition_may_be_empty(small):
    edit_csv(small, strat_fold=[1] * SMALL, scp_codes=["{'NORM': 100.0}"] * SMALL)
    assert [len(part) for part in ptbxl.split(ptbxl.read_table(small)).values()] == [SMALL, 0, 0]


# --- signals


@pytest.mark.parametrize(("sampling_rate", "column"), [(100, "filename_lr"), (500, "filename_hr")])
def test_signals_are_those_of_wfdb(root, table, sampling_rate, column):
    some = table.iloc[[0, 3, 7]]
    signals = ptbxl.read_signals(root, some, sampling_rate)
    assert signals.dtype == np.float32
    assert signals.shape == (3, 12, 10 * sampling_rate)
    for signal, name in zip(signals, some[column], strict=True):
        record = wfdb.rdrecord(str(root / name))
        assert [lead.upper() for lead in record.sig_name] == [lead.upper() for lead in ptbxl.LEADS]
        np.testing.assert_array_equal(signal, record.p_signal.T.astype(np.float32))


def test_leads_come_in_our_order_whatever_the_file_has(small):
    expected = read(small)
    path = small / first_record(small)
    record = wfdb.rdrecord(str(path), physical=False)
    rewrite(path, record, leads=list(range(12))[::-1])
    assert wfdb.rdheader(str(path)).sig_name[0].upper() == "V6"
    np.testing.assert_array_equal(read(small), expected)


def test_several_processes_read_the_same(root, table):
    some = table.head(40)  # more than one task
    alone = ptbxl.read_signals(root, some, workers=1, cache=False)
    together = ptbxl.read_signals(root, some, workers=2, cache=False)
    np.testing.assert_array_equal(alone, together)
    broken = pd.concat([some, some.iloc[[0]].assign(filename_lr="records100/00000/99999_lr")])
    with pytest.raises(DataError, match="99999_lr"):
        ptbxl.read_signals(root, broken, workers=2, cache=False)


def test_a_bar_is_shown_when_asked_for_and_not_in_a_file(small, capsys):
    table = ptbxl.read_table(small)
    ptbxl.read_signals(small, table)
    assert capsys.readouterr().err == ""
    ptbxl.read_signals(small, table, progress=True)
    assert f"{SMALL}/{SMALL}" in capsys.readouterr().err


# --- bad input: the tables


def edit_csv(folder, name="ptbxl_database.csv", **columns):
    pd.read_csv(folder / name).assign(**columns).to_csv(folder / name, index=False)


def drop_column(folder, column, name="ptbxl_database.csv"):
    pd.read_csv(folder / name).drop(columns=column).to_csv(folder / name, index=False)


def edit_first(folder, column, value):
    database = pd.read_csv(folder / "ptbxl_database.csv").astype({column: object})
    database.loc[0, column] = value
    database.to_csv(folder / "ptbxl_database.csv", index=False)


def keep_header_only(folder):
    path = folder / "ptbxl_database.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")


BAD_TABLES = {
    "no database": (
        lambda f: (f / "ptbxl_database.csv").unlink(),
        ["isn't a PTB-XL folder", "physionet.org"],
    ),
    "no statements": (
        lambda f: (f / "scp_statements.csv").unlink(),
        ["has no scp_statements.csv", "physionet.org"],
    ),
    "no folder": (shutil.rmtree, ["isn't a PTB-XL folder", "practice.write", "ECGCOURSE_DATA"]),
    "empty file": (
        lambda f: (f / "ptbxl_database.csv").write_bytes(b""),
        ["ptbxl_database.csv can't be read"],
    ),
    "not text": (
        lambda f: (f / "ptbxl_database.csv").write_bytes(b"\xff\xfe\x00"),
        ["ptbxl_database.csv can't be read"],
    ),
    "no rows": (keep_header_only, ["ptbxl_database.csv has no records"]),
    "no ecg_id": (lambda f: drop_column(f, "ecg_id"), ["ptbxl_database.csv has no column ecg_id"]),
    "no scp_codes": (lambda f: drop_column(f, "scp_codes"), ["ptbxl_database.csv has no column scp_codes"]),
    "no strat_fold": (lambda f: drop_column(f, "strat_fold"), ["has no column strat_fold"]),
    "no filename_lr": (lambda f: drop_column(f, "filename_lr"), ["has no column filename_lr"]),
    "no filename_hr": (lambda f: drop_column(f, "filename_hr"), ["has no column filename_hr"]),
    "no diagnostic": (
        lambda f: drop_column(f, "diagnostic", "scp_statements.csv"),
        ["scp_statements.csv has no column diagnostic"],
    ),
    "ecg_id twice": (
        lambda f: edit_first(f, "ecg_id", 2),
        ["ptbxl_database.csv", "ecg_id 2 occurs more than once"],
    ),
    "ecg_id no number": (lambda f: edit_first(f, "ecg_id", "x"), ["line 2", "ecg_id is 'x'", "whole number"]),
    "fold 11": (lambda f: edit_first(f, "strat_fold", 11), ["ecg_id 1", "strat_fold is 11", "from 1 to 10"]),
    "fold 0": (lambda f: edit_first(f, "strat_fold", 0), ["ecg_id 1", "strat_fold is 0"]),
    "fold 2.5": (lambda f: edit_first(f, "strat_fold", 2.5), ["ecg_id 1", "strat_fold is 2.5"]),
    "no fold": (lambda f: edit_first(f, "strat_fold", None), ["ecg_id 1", "strat_fold is nan"]),
    "codes cut off": (
        lambda f: edit_first(f, "scp_codes", "{'NORM': 10"),
        ["ecg_id 1", "{'NORM': 10", "expected a dict"],
    ),
    "codes empty": (lambda f: edit_first(f, "scp_codes", None), ["ecg_id 1", "scp_codes is nan"]),
    "codes a list": (lambda f: edit_first(f, "scp_codes", "['NORM']"), ["ecg_id 1", "expected a dict"]),
    "codes without number": (
        lambda f: edit_first(f, "scp_codes", "{'NORM': 'x'}"),
        ["ecg_id 1", "expected a dict"],
    ),
    "codes are code": (
        lambda f: edit_first(f, "scp_codes", "__import__('os').getcwd()"),
        ["ecg_id 1", "expected a dict"],
    ),
    "unknown code": (
        lambda f: edit_first(f, "scp_codes", "{'NOSUCH': 100.0}"),
        ["ecg_id 1", "'NOSUCH'", "scp_statements.csv"],
    ),
    "unknown superclass": (
        lambda f: edit_csv(f, "scp_statements.csv", diagnostic=1, diagnostic_class="ODD"),
        ["scp_statements.csv", "'ODD'", "NORM, MI"],
    ),
}


def assert_tells(error, folder, fragments):
    message = str(error.value)
    for fragment in [str(folder), *fragments]:
        assert fragment in message


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_told_as_such(small, case):
    damage, fragments = BAD_TABLES[case]
    assert len(ptbxl.read_table(small)) == SMALL
    damage(small)
    with pytest.raises(DataError) as error:
        ptbxl.read_table(small)
    assert_tells(error, small, fragments)


def test_is_ptbxl(root, small, tmp_path):
    assert ptbxl.is_ptbxl(root)
    assert not ptbxl.is_ptbxl(tmp_path / "nowhere")
    (small / "scp_statements.csv").unlink()
    assert not ptbxl.is_ptbxl(small)


def test_a_table_that_is_not_ours_is_told_as_such():
    with pytest.raises(DataError, match="no column CD, HYP, MI, STTC"):
        ptbxl.labels(pd.DataFrame({"ecg_id": [1]}))
    with pytest.raises(DataError, match="no column labelled, strat_fold"):
        ptbxl.split(pd.DataFrame({"ecg_id": [1]}))
    with pytest.raises(DataError, match="no column filename_hr"):
        ptbxl.read_signals("data", pd.DataFrame({"filename_lr": ["a"]}), sampling_rate=500)


# --- bad input: the records


def read(folder, **settings):
    return ptbxl.read_signals(folder, ptbxl.read_table(folder), **settings)


def first_record(folder):
    return pd.read_csv(folder / "ptbxl_database.csv")["filename_lr"][0]


def rewrite(path, record, fs=100, leads=range(12), names=None, units="mV", n_samples=None):
    """Write a record again with wfdb, so that header, data and checksums agree."""
    leads = list(leads)
    wfdb.wrsamp(
        path.name,
        fs=fs,
        units=[units] * len(leads),
        sig_name=names or [record.sig_name[lead] for lead in leads],
        d_signal=record.d_signal[:n_samples, leads],
        fmt=["16"] * len(leads),
        adc_gain=[record.adc_gain[lead] for lead in leads],
        baseline=[record.baseline[lead] for lead in leads],
        write_dir=str(path.parent),
    )


def rewritten(**changes):
    return lambda path: rewrite(path, wfdb.rdrecord(str(path), physical=False), **changes)


def edit_header(old, new, count=1):
    def damage(path):
        header = path.with_name(path.name + ".hea")
        text = header.read_text()
        assert old in text
        header.write_text(text.replace(old, new, count))

    return damage


def edit_data(change):
    def damage(path):
        data = path.with_name(path.name + ".dat")
        samples = np.fromfile(data, dtype="<i2").reshape(-1, 12)
        change(samples).astype("<i2").tofile(data)

    return damage


def with_value(row, lead, value):
    def change(samples):
        samples[row, lead] = value
        return samples

    return edit_data(change)


def remove(suffix):
    return lambda path: path.with_name(path.name + suffix).unlink()


def cut_last_byte(path):
    data = path.with_name(path.name + ".dat")
    data.write_bytes(data.read_bytes()[:-1])


def point_elsewhere(path):
    other = path.with_name("other.dat")
    shutil.copyfile(path.with_name(path.name + ".dat"), other)
    edit_header(f"{path.name}.dat", "other.dat", -1)(path)


def write_header(text):
    return lambda path: path.with_name(path.name + ".hea").write_text(text.format(name=path.name))


BAD_RECORDS = {
    "missing .dat": (remove(".dat"), [".dat can't be opened", "download"]),
    "missing .hea": (remove(".hea"), [".hea can't be opened", "download"]),
    "truncated by a sample": (edit_data(lambda samples: samples[:-1]), ["download the .hea and the .dat"]),
    "truncated by a byte": (cut_last_byte, ["download the .hea and the .dat"]),
    "empty .dat": (edit_data(lambda samples: samples[:0]), ["download the .hea and the .dat"]),
    "longer .dat": (
        edit_data(lambda s: np.concatenate([s, s])),
        [".dat holds 48000 bytes", "1000 samples of 12"],
    ),
    "shorter header": (edit_header(" 12 100 1000", " 12 100 900"), [".dat holds 24000 bytes", "900 samples"]),
    "changed sample": (
        edit_data(lambda s: np.concatenate([s[:-1], s[-1:] + np.eye(1, 12, dtype=int)])),
        [".dat, lead I:", "checksum"],
    ),
    "no value": (with_value(17, 7, -32768), ["lead V2", "sample 17 has no value (NaN)"]),
    "250 Hz": (rewritten(fs=250), [".hea says 250 Hz", "expected 100 Hz"]),
    "microvolts": (rewritten(units="uV"), ["lead I:", "the unit is uV", "expected mV"]),
    "lead V6 missing": (rewritten(leads=range(11)), [".hea misses lead V6", "I, II, III"]),
    "lead V2 twice": (edit_header(" V3", " V2"), [".hea misses lead V3"]),
    "a 13th lead": (rewritten(leads=[*range(12), 0], names=[*ptbxl.LEADS, "X"]), [".hea has 13 leads", "X"]),
    "no samples": (write_header("{name} 12 100 0\n"), ["header"]),
    "empty header": (write_header(""), ["can't be read", "header"]),
    "header is prose": (write_header("Once upon a time\nthere was a heart\n"), ["can't be read", "header"]),
    "other data file": (point_elsewhere, [".hea doesn't keep all its leads in"]),
    "shorter record": (rewritten(n_samples=900), ["1000 samples", "has 900", "equally long"]),
}


def set_gain(gain):
    def damage(path):
        header = path.with_name(path.name + ".hea")
        first, *leads = header.read_text().splitlines()
        fields = [lead.split() for lead in leads]
        fields[4][2] = gain
        header.write_text("\n".join([first, *(" ".join(lead) for lead in fields)]) + "\n")

    return damage


BAD_RECORDS |= {
    f"gain {gain}": (set_gain(gain), ["lead AVL", "gain is missing, zero or infinite"])
    for gain in ("0", "0(0)/mV", "1e999(0)/mV")
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_bad_record_is_told_as_such(small, case):
    damage, fragments = BAD_RECORDS[case]
    assert read(small).shape == (SMALL, 12, 1000)
    name = first_record(small)
    damage(small / name)
    with pytest.raises(DataError) as error:
        read(small)
    assert_tells(error, small / name, fragments)


def test_a_gain_of_200_is_a_gain(small):
    path = small / first_record(small)
    record = wfdb.rdrecord(str(path), physical=False)
    record.adc_gain = [200.0] * 12
    rewrite(path, record)
    np.testing.assert_array_equal(read(small)[0], wfdb.rdrecord(str(path)).p_signal.T.astype(np.float32))


@pytest.mark.parametrize("name", ["/etc/passwd", "../small/record", "C:\\data\\record", "a/../../b", "", None, "..", 7])
def test_a_record_outside_the_folder_is_never_opened(small, name):
    table = ptbxl.read_table(small).astype({"filename_lr": object})
    table.iloc[1, table.columns.get_loc("filename_lr")] = name
    with pytest.raises(DataError, match="ecg_id 2: filename_lr is .* inside the data folder"):
        ptbxl.read_signals(small, table)


def test_no_records_is_told_as_such(small):
    with pytest.raises(DataError, match="no records.*another partition"):
        ptbxl.read_signals(small, ptbxl.read_table(small).head(0))


@pytest.mark.parametrize("setting", [{"sampling_rate": 250}, {"workers": 0}, {"workers": -1}])
def test_an_impossible_setting_is_told_as_such(small, setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        read(small, **setting)


# --- the cache


@pytest.fixture
def folder(practice_root, tmp_path):
    """A copy of the first synthetic records; the cache doesn't know where data come from."""
    return copy_first(practice_root, tmp_path / "folder")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def many(folder):
    """A table long enough to be cached: the short one, again and again."""
    return pd.concat([ptbxl.read_table(folder)] * COPIES)


def stop_reading(monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("a record was read although it is in the cache")

    monkeypatch.setattr(wfdb_records, "_read_record", refuse)


def test_the_second_time_no_record_is_read(folder, cache, monkeypatch):
    first = ptbxl.read_signals(folder, many(folder))
    assert len(list(cache.iterdir())) == 1
    stop_reading(monkeypatch)
    second = ptbxl.read_signals(folder, many(folder))
    np.testing.assert_array_equal(first, second)
    assert second.dtype == np.float32
    second[0, 0, 0] = 1.0
    assert type(second) is np.ndarray


def test_changed_data_are_read_again_even_if_size_and_time_are_put_back(folder, cache):
    before = ptbxl.read_signals(folder, many(folder))
    path = folder / first_record(folder)
    data = path.with_name(path.name + ".dat")
    old = data.stat()
    # The same samples in another order, so that header and checksums stay true.
    edit_data(lambda samples: samples[::-1])(path)
    os.utime(data, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert (data.stat().st_size, data.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)
    after = ptbxl.read_signals(folder, many(folder))
    np.testing.assert_array_equal(after[0], before[0][:, ::-1])
    np.testing.assert_array_equal(after[1], before[1])
    assert not np.array_equal(after[0], before[0])


def test_a_removed_record_is_missed_in_spite_of_the_cache(folder, cache):
    ptbxl.read_signals(folder, many(folder))
    path = folder / first_record(folder)
    path.with_name(path.name + ".dat").unlink()
    with pytest.raises(DataError, match=path.name):
        ptbxl.read_signals(folder, many(folder))


def test_other_rows_and_another_rate_have_their_own_cache(folder, cache):
    table = many(folder)
    ptbxl.read_signals(folder, table)
    backwards = ptbxl.read_signals(folder, table[::-1])
    fast = ptbxl.read_signals(folder, table, sampling_rate=500)
    assert fast.shape == (len(table), 12, 5000)
    np.testing.assert_array_equal(backwards, ptbxl.read_signals(folder, table, cache=False)[::-1])
    assert len(list(cache.iterdir())) == 3


def test_a_reading_that_fails_leaves_nothing(folder, cache):
    path = folder / first_record(folder)
    edit_data(lambda samples: samples + 1)(path)
    with pytest.raises(DataError, match="checksum"):
        ptbxl.read_signals(folder, many(folder))
    assert len(ptbxl.read_usable_signals(folder, many(folder))[2]) == COPIES
    assert not cache.exists()


def test_a_disk_that_is_full_is_a_warning(folder, cache, monkeypatch):
    def full(path, signals):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(EcgCourseWarning, match="No space left on device") as caught:
        signals = ptbxl.read_signals(folder, many(folder))
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(signals, ptbxl.read_signals(folder, many(folder), cache=False))
    assert list(cache.iterdir()) == []


def test_the_cache_keeps_to_its_size(folder, cache, monkeypatch):
    table = many(folder)
    for rows in (table, table[::-1]):
        ptbxl.read_signals(folder, rows)
    first, second = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.utime(second, (1, 1))
    ptbxl.read_signals(folder, table)  # from now on the first is the one used last
    size = first.stat().st_size
    monkeypatch.setattr(signal_cache, "_MOST_BYTES", 2 * size)
    begun = cache / ".signals-0.partial.npy"
    begun.write_bytes(b"0")
    os.utime(begun, (0, 0))
    ptbxl.read_signals(folder, table.iloc[1:])
    assert first.exists() and not second.exists() and not begun.exists()
    assert sum(path.stat().st_size for path in cache.iterdir()) <= 2 * size


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


DAMAGED_CACHES = {
    "truncated": truncate,
    "header only": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"PK\x03\x04 not an array"),
    "other shape": lambda path: np.save(path, np.zeros((COPIES * SMALL, 11, 1000), np.float32)),
    "fewer records": lambda path: np.save(path, np.zeros((1, 12, 1000), np.float32)),
    "other type": lambda path: np.save(path, np.zeros((COPIES * SMALL, 12, 1000))),
    "pickle": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
}


@pytest.mark.parametrize("case", DAMAGED_CACHES)
def test_a_damaged_cache_is_made_again(folder, cache, monkeypatch, case):
    expected = ptbxl.read_signals(folder, many(folder))
    (path,) = cache.iterdir()
    DAMAGED_CACHES[case](path)
    np.testing.assert_array_equal(ptbxl.read_signals(folder, many(folder)), expected)
    stop_reading(monkeypatch)
    np.testing.assert_array_equal(ptbxl.read_signals(folder, many(folder)), expected)


def test_without_a_cache_folder_the_work_goes_on_with_a_warning(folder, tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    monkeypatch.setenv("ECGCOURSE_CACHE", str(tmp_path / "blocked" / "cache"))
    with pytest.warns(EcgCourseWarning, match="blocked.*ECGCOURSE_CACHE") as caught:
        signals = ptbxl.read_signals(folder, many(folder))
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(signals, ptbxl.read_signals(folder, many(folder), cache=False))


def test_little_or_unwanted_leaves_no_cache(folder, cache):
    read(folder)
    ptbxl.read_signals(folder, many(folder), cache=False)
    assert not cache.exists()


def test_the_clearest_example_has_the_code_and_little_else():
    codes = [{"SR": 0, "LVH": 100, "ISC_": 50}, {"LVH": 100}, {"LVH": 80, "SR": 0}, {"SR": 0, "LVH": 50}, {"NORM": 100}]
    table = pd.DataFrame({"scp_codes": codes}, index=pd.Index([11, 12, 13, 14, 15], name="ecg_id"))
    assert ptbxl.clearest_example(table, "LVH") == 13
    assert ptbxl.clearest_example(table.drop([13, 14]), "LVH") == 12
    assert ptbxl.clearest_example(table, "ISC_") == 11
    with pytest.raises(DataError, match="none of the 5 records has the code 'CLBBB'"):
        ptbxl.clearest_example(table, "CLBBB")
    with pytest.warns(DeprecationWarning, match="ptbxl.plainest is called clearest_example now") as caught:
        assert ptbxl.plainest is ptbxl.clearest_example
    assert caught[0].filename == __file__
