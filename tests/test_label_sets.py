"""PTB-XL's label sets, held to a count that anyone would write with pandas."""

import ast
import copy
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from ecgcourse import ptbxl
from ecgcourse.errors import DataError, SettingError

SUPERCLASSES = ["NORM", "MI", "STTC", "CD", "HYP"]


@pytest.fixture(scope="module")
def table(root):
    return ptbxl.read_table(root)


@pytest.fixture
def tables(practice_root, tmp_path):
    """The two tables of the practice set without its records, to be changed."""
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(practice_root / name, tmp_path)
    return tmp_path


def pairs_of(root, label_set):
    """One row per record and class that it has."""
    codes = pd.read_csv(root / "ptbxl_database.csv", index_col="ecg_id")["scp_codes"]
    codes = codes.map(ast.literal_eval).map(list).explode().dropna()
    meanings = pd.read_csv(root / "scp_statements.csv", index_col=0)
    if label_set in ("superclass", "superclass5"):
        wanted = meanings.loc[meanings["diagnostic"] == 1, "diagnostic_class"]
        wanted = wanted[wanted.isin(SUPERCLASSES[0 if label_set == "superclass5" else 1 :])]
    elif label_set == "subclass":
        wanted = meanings.loc[meanings["diagnostic"] == 1, "diagnostic_subclass"].dropna()
    else:
        marked = meanings[meanings[label_set] == 1] if label_set != "all" else meanings
        wanted = pd.Series(marked.index, marked.index)
    return codes.map(wanted).dropna().reset_index(name="name").drop_duplicates(), wanted


def there(root, label_set):
    return label_set != "form" or pd.read_csv(root / "scp_statements.csv")["form"].notna().any()


@pytest.mark.parametrize("label_set", ptbxl.LABEL_SETS)
def test_classes_labels_and_partitions_are_those_of_a_plain_count(root, table, label_set):
    if not there(root, label_set):
        pytest.skip(f"no record has a class of {label_set}")
    pairs, wanted = pairs_of(root, label_set)
    counts = pairs["name"].value_counts()
    order = SUPERCLASSES if label_set.startswith("super") else sorted(set(wanted))
    assert ptbxl.label_classes(table, label_set) == tuple(name for name in order if name in set(wanted))
    for least in (1, 5, int(counts.max())):
        expected = [name for name in order if counts.get(name, 0) >= least]
        assert list(ptbxl.label_classes(table, label_set, min_records=least)) == expected

    classes = ptbxl.label_classes(table, label_set)[::-1]
    expected = pd.crosstab(pairs["ecg_id"], pairs["name"]).clip(upper=1)
    expected = expected.reindex(index=table.index, columns=list(classes), fill_value=0)
    found = ptbxl.labels(table, classes, label_set)
    assert found.dtype == np.float32 and found.flags.c_contiguous and found.flags.writeable
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ptbxl.labels(table, label_set=label_set), found[:, ::-1])

    has_label = pairs_of(root, "superclass5" if label_set == "superclass" else label_set)[0]["ecg_id"]
    parts = ptbxl.split(table, label_set)
    for name, part in parts.items():
        assert set(part.index) == set(has_label) & set(table.index[table["strat_fold"].isin(ptbxl.FOLDS[name])])
    assert len(table) - sum(map(len, parts.values())) == len(table) - has_label.nunique()


def test_the_whole_of_ptb_xl_has_the_classes_of_the_paper(real_root):
    """Strodthoff et al. 2021: 71 statements, 44 of them diagnostic, in 23 subclasses, 19 on form, 12 on rhythm."""
    table = ptbxl.read_table(real_root)
    numbers = {label_set: len(ptbxl.label_classes(table, label_set)) for label_set in ptbxl.LABEL_SETS}
    assert list(numbers.values()) == [4, 5, 23, 44, 19, 12, 71]


def test_unasked_all_is_as_without_label_sets(root, table):
    assert ptbxl.label_classes(table) == ptbxl.label_classes(table.head(1)) == ptbxl.CLASSES
    np.testing.assert_array_equal(ptbxl.labels(table), table[list(ptbxl.CLASSES)])
    for settings in ({}, {"label_set": "superclass"}, {"classes": ptbxl.CLASSES}, {"label_set": "superclass5"}):
        for name, part in ptbxl.split(table, **settings).items():
            expected = table[table["labelled"] & table["strat_fold"].isin(ptbxl.FOLDS[name])]
            pd.testing.assert_frame_equal(part, expected)


def test_records_without_any_of_some_classes_can_be_left_out(root, table):
    pairs = pairs_of(root, "rhythm")[0]
    classes = ptbxl.label_classes(table, "rhythm", min_records=5)
    with_one = set(pairs.loc[pairs["name"].isin(classes), "ecg_id"])
    parts = ptbxl.split(table, "rhythm", classes)
    assert set().union(*(part.index for part in parts.values())) == with_one
    healthy_or_mi = table.index[table["NORM"] | table["MI"]]
    assert set().union(*(part.index for part in ptbxl.split(table, classes=["MI"]).values())) == set(healthy_or_mi)


def test_a_part_of_the_table_knows_its_classes(table):
    expected = ptbxl.labels(table, label_set="all")
    rows = np.arange(len(table)) % 3 == 0
    parts = {
        "mask": table[rows],
        "loc": table.loc[table.index[rows]],
        "iloc": table.iloc[np.flatnonzero(rows)],
        "query": table.assign(taken=rows).query("taken"),
        "pickle": pickle.loads(pickle.dumps(table[rows])),
        "copy": copy.deepcopy(table[rows]),
        "concat": pd.concat([table[rows].head(4), table[rows].iloc[4:]]),
        "split": pd.concat(ptbxl.split(table, "all").values()).loc[lambda part: part.index.isin(table.index[rows])],
    }
    for name, part in parts.items():
        rows_of_part = table.index.get_indexer(part.index)
        assert len(part), name
        np.testing.assert_array_equal(ptbxl.labels(part, label_set="all"), expected[rows_of_part], err_msg=name)
        assert ptbxl.label_classes(part, "all") == ptbxl.label_classes(table, "all")


def test_a_code_counts_with_likelihood_0_and_may_be_of_two_sets(tables):
    meanings = pd.read_csv(tables / "scp_statements.csv", index_col=0)
    meanings.loc["NDT", "form"] = 1
    meanings.loc["CLBBB", "diagnostic_subclass"] = None
    meanings.to_csv(tables / "scp_statements.csv")
    rows = pd.read_csv(tables / "ptbxl_database.csv").head(3)
    rows.assign(scp_codes=["{'NDT': 0.0, 'SR': 0.0}", "{'CLBBB': 100.0}", "{}"]).to_csv(
        tables / "ptbxl_database.csv", index=False
    )
    table = ptbxl.read_table(tables)
    names = {label_set: ptbxl.label_classes(table, label_set, min_records=1) for label_set in ptbxl.LABEL_SETS[2:]}
    assert names == {
        "subclass": ("STTC",),
        "diagnostic": ("CLBBB", "NDT"),
        "form": ("NDT",),
        "rhythm": ("SR",),
        "all": ("CLBBB", "NDT", "SR"),
    }
    numbers = {label_set: sum(map(len, ptbxl.split(table, label_set).values())) for label_set in names}
    assert numbers == {"subclass": 1, "diagnostic": 2, "form": 1, "rhythm": 1, "all": 2}
    np.testing.assert_array_equal(ptbxl.labels(table, ["SR", "NDT"], "all"), [[1, 1], [0, 0], [0, 0]])


# --- bad input


def one_line(error):
    message = str(error.value)
    assert "\n" not in message and len(message) < 1000
    return message


def test_what_is_not_there_is_named(root, table):
    for work in (ptbxl.label_classes, ptbxl.split, lambda table, name: ptbxl.labels(table, None, name)):
        with pytest.raises(SettingError) as error:
            work(table, "rythm")
        assert "no label set is called 'rythm'; did you mean 'rhythm'?" in one_line(error)
    for work in (lambda: ptbxl.labels(table, ["MI", "AFLB"], "all"), lambda: ptbxl.split(table, "all", ["AFLB"])):
        with pytest.raises(DataError) as error:
            work()
        assert "the label set 'all' has no class" in one_line(error) and "SR" in one_line(error)
    with pytest.raises(DataError) as error:
        ptbxl.label_classes(table, "rhythm", min_records=len(table) + 1)
    assert f"no class of the label set 'rhythm' has {len(table) + 1} of the {len(table)} records" in one_line(error)
    for least in (-1, 2.5, True):
        with pytest.raises(SettingError, match="label_classes: min_records="):
            ptbxl.label_classes(table, "rhythm", least)


def test_a_folder_without_statements_of_form_says_so(practice_root, tmp_path):
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(practice_root / name, tmp_path)
    statements = pd.read_csv(tmp_path / "scp_statements.csv", index_col=0)
    statements.assign(form=np.nan).to_csv(tmp_path / "scp_statements.csv")
    with pytest.raises(DataError) as error:
        ptbxl.label_classes(ptbxl.read_table(tmp_path), "form")
    assert "'form' can't be had: none of the statements in" in one_line(error)


def test_a_table_that_is_not_ours_is_told_as_such():
    plain = pd.DataFrame({"ecg_id": [1], "strat_fold": [1], "scp_codes": [{}]})
    with pytest.raises(DataError, match="doesn't say which codes are of the label set 'rhythm'.*read_table"):
        ptbxl.split(plain, "rhythm")
    with pytest.raises(DataError, match="no column scp_codes"):
        ptbxl.labels(plain.drop(columns="scp_codes"), ["SR"], "rhythm")
    with pytest.raises(DataError, match="no column CD, HYP, MI, NORM, STTC"):
        ptbxl.split(plain, "superclass5")
    # Labels of the superclasses need their columns only.
    by_hand = pd.DataFrame([[1, 0, 0, 1]], columns=list(ptbxl.CLASSES))
    np.testing.assert_array_equal(ptbxl.labels(by_hand), [[1, 0, 0, 1]])


DAMAGE = {
    "no column": (lambda meanings, column: meanings.drop(columns=column), "has no column {column}"),
    "empty": (lambda meanings, column: meanings.assign(**{column: None}), "none of the statements in"),
    "odd": (lambda meanings, column: meanings.assign(**{column: "x\n" * 10**5}), "{column}|a class 'x"),
    "7": (lambda meanings, column: meanings.assign(**{column: 7}), "{column} is 7|a class 7"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("label_set", "column"), [("subclass", "diagnostic_subclass"), ("rhythm", "rhythm")])
def test_only_the_set_whose_column_is_damaged_is_refused(tables, label_set, column, damage):
    before = ptbxl.read_table(tables)
    change, words = DAMAGE[damage]
    change(pd.read_csv(tables / "scp_statements.csv", index_col=0), column).to_csv(tables / "scp_statements.csv")
    table = ptbxl.read_table(tables)
    pd.testing.assert_frame_equal(table, before)
    for work in (ptbxl.label_classes, ptbxl.split, lambda table, name: ptbxl.labels(table, None, name)):
        with pytest.raises(DataError, match=words.format(column=column)) as error:
            work(pickle.loads(pickle.dumps(table)).head(3), label_set)
        assert f"the label set {label_set!r} can't be had: " in one_line(error) and str(tables) in one_line(error)
    for other in {"superclass", "superclass5", "diagnostic", "all", "subclass", "rhythm"} - {label_set}:
        np.testing.assert_array_equal(ptbxl.labels(table, None, other), ptbxl.labels(before, None, other))


def test_more_classes_than_anyone_has_are_refused(tables):
    meanings = pd.read_csv(tables / "scp_statements.csv", index_col=0)
    more = pd.DataFrame({"rhythm": 1}, index=[f"R{k}" for k in range(5000)])
    pd.concat([meanings, more]).to_csv(tables / "scp_statements.csv")
    with pytest.raises(DataError, match="'rhythm' can't be had: .* more than 1000 classes"):
        ptbxl.labels(ptbxl.read_table(tables), None, "rhythm")


# --- the other sampling rate


@pytest.fixture
def at_one_rate(practice_root, tmp_path, request):
    """The practice records that exist at both rates, at one of them only."""
    for name in ("scp_statements.csv", f"records{request.param}"):
        place = practice_root / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    pd.read_csv(practice_root / "ptbxl_database.csv").head(20).to_csv(tmp_path / "ptbxl_database.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(("at_one_rate", "lacking"), [(100, 500), (500, 100)], indirect=["at_one_rate"])
@pytest.mark.parametrize("read", [ptbxl.read_signals, ptbxl.read_usable_signals])
def test_records_of_the_other_rate_are_pointed_out(at_one_rate, lacking, read):
    table, other = ptbxl.read_table(at_one_rate), 600 - lacking
    assert ptbxl.read_signals(at_one_rate, table.head(2), other, cache=False).shape == (2, 12, 10 * other)
    with pytest.raises(DataError) as error:
        read(at_one_rate, table, lacking)
    message = one_line(error)
    assert f"{at_one_rate} has none of the 20 records at {lacking} Hz, but 20 at {other} Hz" in message
    assert f"sampling_rate={other}" in message and f"--sampling-rate {other}" in message
    # Where the records are at neither rate, the first that is missing is named, as ever.
    shutil.rmtree(at_one_rate / f"records{other}")
    with pytest.raises(DataError, match=r"\.hea can't be opened"):
        read(at_one_rate, table, lacking)


def test_the_few_fast_records_of_the_practice_set_are_counted(practice_root):
    table = ptbxl.read_table(practice_root)
    with pytest.raises(DataError, match="has 20 of the 60 records at 500 Hz, but 60 at 100 Hz"):
        ptbxl.read_signals(practice_root, table, 500)
    assert len(ptbxl.read_usable_signals(practice_root, table, 500, cache=False)[1]) == 20
