"""Manifests and Challenge folders: the same records give the same numbers as from a PTB-XL folder."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

import ecgcourse
from ecgcourse import challenge, datasets, manifest, own_sets, own_split, plots, practice, ptbxl, ptbxl_tables, sources
from ecgcourse.cli import main
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.recipe import Recipe, SignalRecipe, Task
from ecgcourse.records.ptbxl import CLASSES, FOLDS, LEADS

SIGNALS = Recipe(signals=SignalRecipe(leads=LEADS))
QUICK = "--model cnn1d --filters 4 --leads 12 --epochs 2 --batch-size 16 --device cpu".split()


def command(*words: object) -> int:
    return main([str(word) for word in words])


def refusal(capsys, *words: object) -> str:
    capsys.readouterr()
    assert command(*words) == 2
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("error: ")


def table_of(root: Path) -> pd.DataFrame:
    table = ptbxl.read_table(root)
    return table[table["labelled"]]


def listed(root: Path, **columns) -> pd.DataFrame:
    """A manifest of a PTB-XL folder's records with labels."""
    table = table_of(root)
    labels = {name: table[name].astype(int) for name in CLASSES}
    files = [str(root / name) for name in table["filename_lr"]]
    return pd.DataFrame({"file": files, "patient": table["patient_id"], "fold": table["strat_fold"]} | labels | columns)


def write(path: Path, frame: pd.DataFrame, **how) -> Path:
    frame.to_csv(path, index=False, **how)
    return path


@pytest.fixture(scope="module")
def listing(practice_root, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("own") / "mine.csv", listed(practice_root))


@pytest.fixture(scope="module")
def run(listing, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "own"
    assert command("train", listing, *QUICK, "--out", out) == 0
    return out


def write_array(folder: Path, x: np.ndarray, name: str) -> str:
    np.save(folder / name, x)
    return name


def write_challenge(folder: Path, name: str, x: np.ndarray, rate: int, codes: str) -> None:
    """As the Challenges have it: a MAT 4 file of whole µV, which WFDB reads from byte 24 on."""
    digital = np.rint(x * 1000).astype(np.int16)
    scipy.io.savemat(folder / f"{name}.mat", {"val": digital}, format="4")
    rows = [f"{name}.mat 16+24 1000/mV 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(LEADS, digital, strict=True)]
    notes = ["#Age: 74", "#Sex: Female", f"#Dx: {codes}", "#Rx: Unknown"]
    (folder / f"{name}.hea").write_text("\n".join([f"{name} 12 {rate} {x.shape[1]}", *rows, *notes]) + "\n")


# --- the same records as in a PTB-XL folder


def test_a_manifest_of_ptbxl_records_trains_to_the_same_numbers(practice_root, run, tmp_path):
    """The folder of records itself is the oracle: other code reads it."""
    assert command("train", practice_root, *QUICK, "--out", tmp_path / "run") == 0
    assert (run / "history.csv").read_text() == (tmp_path / "run" / "history.csv").read_text()
    assert (
        json.loads((run / "thresholds.json").read_text())["thresholds"]
        == (json.loads((tmp_path / "run" / "thresholds.json").read_text())["thresholds"])
    )


@pytest.mark.parametrize("partition", [*FOLDS, "all"])
def test_partitions_hold_the_same_records(practice_root, listing, partition):
    ours = datasets.from_data(listing, partition, recipe=SIGNALS)
    theirs = datasets.from_data(practice_root, partition, recipe=SIGNALS)
    assert ours.signals.equal(theirs.signals) and ours.labels.equal(theirs.labels)
    table = table_of(practice_root)
    table = table if partition == "all" else table[table["strat_fold"].isin(FOLDS[partition])]
    pd.testing.assert_series_equal(
        ours.table["patient_id"].groupby(ours.table["patient_id"]).transform("size").reset_index(drop=True),
        table["patient_id"].groupby(table["patient_id"]).transform("size").reset_index(drop=True),
    )
    assert ours.table.index.is_unique


def test_formats_rates_and_units_come_to_the_same_signals(practice_root, tmp_path):
    """Twenty records have 500 Hz, too: resampled by the reader of PTB-XL, and here from four formats."""
    table = table_of(practice_root).head(12)
    x = ptbxl.read_signals(practice_root, table, 500, cache=False).astype(np.float64)
    files = []
    for number, record in enumerate(x):
        kind = number % 4
        if kind == 0:
            pd.DataFrame(record.T * 1000, columns=LEADS).to_csv(tmp_path / f"{number}.csv", index=False, sep=";")
            files.append((f"{number}.csv", 500, "uV"))
        elif kind == 1:
            files.append((write_array(tmp_path, record, f"{number}.npy"), 500, ""))
        elif kind == 2:
            write_challenge(tmp_path, f"c{number}", record, 500, "1")
            files.append((f"c{number}.mat", "", ""))
        else:
            files.append((str(practice_root / table["filename_hr"].iloc[number]), "", ""))
    frame = pd.DataFrame(files, columns=["path", "sampling_rate", "unit"]).assign(split="train", A=[0, 1] * 6)
    dataset = datasets.from_data(write(tmp_path / "m.tsv", frame, sep="\t"), "train", recipe=SIGNALS, task=Task(("A",)))
    expected = SIGNALS.signals.apply(SIGNALS.prepare(x, 500))
    # Half a microvolt, in standard deviations of a lead.
    np.testing.assert_allclose(dataset.signals, expected, rtol=0, atol=1e-3)
    fewer = Recipe(signals=SignalRecipe(leads=("aVF", "V2")))
    pd.DataFrame(x[0][[1, 7, 0]].T, columns=["ii", "Lead V2 (mV)", "I"]).to_csv(tmp_path / "few.csv", index=False)
    one = pd.DataFrame({"file": ["few.csv"], "A": [1], "sampling_rate": 500})
    derived = datasets.from_data(write(tmp_path / "one.csv", one), "all", recipe=fewer, task=Task(("A",)))
    wanted = np.stack([x[0][1] - x[0][0] / 2, x[0][7]])[None]
    expected = fewer.signals.apply(fewer.prepare(wanted, 500, ("aVF", "V2")), 100, ("aVF", "V2"))
    np.testing.assert_allclose(derived.signals, expected, rtol=0, atol=1e-5)


def test_load_takes_a_manifest(listing):
    data = ecgcourse.load(str(listing), SIGNALS)
    assert data.classes == CLASSES and data.task == Task()
    assert data.test.signals.equal(datasets.from_data(listing, "test", recipe=SIGNALS).signals)


# --- windows, and records that can't be used


@pytest.fixture
def lengths(practice_root, tmp_path) -> Path:
    """Records of 25, 10 and 4 s, sampled at 100 Hz."""
    x = ptbxl.read_signals(practice_root, table_of(practice_root).head(3), cache=False)
    long = np.concatenate([x[0], x[1], x[2][:, :500]], axis=1)
    files = [
        write_array(tmp_path, each, f"{name}.npy")
        for name, each in {"long": long, "usual": x[1], "short": x[2][:, :400]}.items()
    ]
    frame = pd.DataFrame({"file": files, "A": [1, 0, 1], "patient": ["p", "q", "r"], "sampling_rate": 100})
    return write(tmp_path / "m.csv", frame)


def test_longer_records_are_cut_into_windows(lengths, practice_root):
    expected = ptbxl.read_signals(practice_root, table_of(practice_root).head(2), cache=False)
    table = own_sets.read_table(lengths, folds=False)
    read = own_sets.read_signals(table, SIGNALS, skip_bad=True)
    np.testing.assert_array_equal(read.signals, expected[[0, 1, 1]])
    assert read.table["record"].tolist() == [1, 1, 2] and read.table["start"].tolist() == [0, 10, 0]
    assert read.table["patient_id"].tolist() == [1, 1, 2] and read.table["A"].tolist() == [True, True, False]
    assert read.bad["ecg_id"].tolist() == [3] and "10 s (1000 samples) are needed" in read.bad["reason"][0]
    shorter = own_sets.read_signals(table, SIGNALS, seconds=4)
    assert shorter.table["record"].value_counts().to_dict() == {1: 6, 2: 2, 3: 1}
    with pytest.raises(DataError, match="short.npy.*lasts 4 s"):
        own_sets.read_signals(table, SIGNALS)


def test_skip_bad_lists_them_and_goes_on(practice_root, tmp_path, capsys):
    frame = listed(practice_root)
    train = frame.index[(frame["fold"] < 9) & (frame[list(CLASSES)].sum(axis=1) == 0)][:2]
    short = ptbxl.read_signals(practice_root, table_of(practice_root).head(1), cache=False)[0][:, :300]
    np.savez(tmp_path / "short.npz", signal=short, fs=100)
    frame.loc[train, "file"] = ["missing.hea", "short.npz"]
    path = write(tmp_path / "m.csv", frame)
    assert "missing.hea" in refusal(capsys, "train", path, *QUICK, "--out", tmp_path / "no")
    assert command("train", path, *QUICK, "--skip-bad", "--out", tmp_path / "run") == 0
    bad = pd.read_csv(tmp_path / "run" / "bad_records.csv")
    assert bad["file"].tolist() == ["missing.hea", "short.npz"] and bad["reason"].str.contains("10 s").tolist()[1]
    # The network learned from windows of another length, which `evaluate` takes again.
    assert command("train", path, *QUICK, "--skip-bad", "--seconds", 3, "--out", tmp_path / "three") == 0
    capsys.readouterr()
    assert command("evaluate", tmp_path / "three", "--data", path) == 0
    n_test = int((frame["fold"] == 10).sum())
    assert f"{3 * n_test} records" in capsys.readouterr().out
    assert "seconds=3.0" in refusal(capsys, "train", practice_root, *QUICK, "--seconds", 3, "--out", tmp_path / "no")


# --- what a manifest may say


def two_rows(**columns) -> pd.DataFrame:
    return pd.DataFrame({"file": ["a.npy", "b.npy"]} | columns)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (two_rows(A=[0, 2]), ["line 3", "column A has '2'", "0 or 1"]),
        (two_rows(A=[0, None]), ["line 3", "column A has ''"]),
        (two_rows(A=[0, 1], note=["x", "y"]), ["line 2", "column note has 'x'", "remove the column"]),
        (two_rows(label=["x", "y"], A=[0, 1]), ["column label has the classes", "what A is"]),
        (two_rows(label=[0, 1]), ["column label holds 0 and 1", "names no class"]),
        (two_rows(label=["x", "x"]), ["every record has the class 'x'"]),
        (two_rows(label=["x", ""]), ["line 3", "label is empty"]),
        (two_rows(label=["x", "y"], Class=["x", "y"]), ["label and Class mean the same"]),
        (two_rows(), ["no labels"]),
        (pd.DataFrame({"A": [0, 1]}), ["no column file or path"]),
        (pd.DataFrame({"file": ["a.npy", "./a.npy"], "A": [0, 1]}), ["line 3", "comes twice"]),
        (two_rows(A=[0, 1], fold=[0, 1]), ["line 2", "fold is '0'", "1 to 10"]),
        (two_rows(A=[0, 1], fold=[1, None]), ["line 3", "fold is ''"]),
        (two_rows(A=[0, 1], split=["train", "dev"]), ["line 3", "split is 'dev'", "train, val, test"]),
        (two_rows(A=[0, 1], split=["train", "val"], fold=[1, 9]), ["both fold and split"]),
        (two_rows(A=[0, 1], patient=["p", ""]), ["line 3", "patient is empty"]),
        (two_rows(A=[0, 1], sampling_rate=[100, -1]), ["line 3", "sampling_rate is '-1'", "above 0"]),
        (two_rows(A=[0, 1], age=["old", "50"]), ["line 2", "age is 'old'"]),
        (two_rows(A=[0, 1], sex=["m", "x"]), ["line 3", "sex is 'x'"]),
        (two_rows(A=[0, 1], start=[0, 1]), ["can't be called 'start'"]),
        (
            two_rows(A=[0, 1], patient=["p", "p"], fold=[8, 9]),
            ["patient 'p' is in train (a.npy) and in val (b.npy)"],
        ),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(tmp_path, frame, words):
    path = write(tmp_path / "m.csv", frame)
    with pytest.raises(DataError) as caught:
        manifest.read_table(path)
    assert str(path) in str(caught.value) and all(word in str(caught.value) for word in words), caught.value


def test_columns_come_in_other_spellings(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("\ufeffPath;Strat_Fold;Patient_ID;Sex;Größe\r\nx y.hea;1;ä;F;true\r\nb.hea;10;2;;0.0\r\n".encode())
    table = manifest.read_table(path)
    assert table.attrs["classes"] == ("Größe",) and table["Größe"].tolist() == [True, False]
    assert table["strat_fold"].tolist() == [1, 10] and table["patient_id"].tolist() == [1, 2]
    assert table["sex"].iloc[0] == 1 and np.isnan(table["sex"].iloc[1])
    assert table["path"].tolist() == [str(tmp_path / "x y.hea"), str(tmp_path / "b.hea")]


def test_a_class_must_be_in_each_partition(practice_root, tmp_path, capsys):
    frame = listed(practice_root)
    frame.loc[frame["fold"] == 9, "HYP"] = 0
    path = write(tmp_path / "m.csv", frame)
    said = refusal(capsys, "train", path, *QUICK, "--out", tmp_path / "run")
    assert "partition val" in said and "is HYP" in said
    with pytest.raises(DataError, match="partition val: none of the .* is HYP"):
        ecgcourse.load(path, SIGNALS)
    assert own_sets.task_of(path, min_records=int(frame["HYP"].sum()) + 1).classes == tuple(
        name for name in CLASSES if frame[name].sum() > frame["HYP"].sum()
    )
    with pytest.raises(SettingError, match="leave --task out"):
        own_sets.task_of(path, "rhythm")


def test_names_in_one_column_make_a_multiclass_task(practice_root, tmp_path, capsys):
    frame = listed(practice_root).drop(columns=list(CLASSES))
    frame["class"] = np.where(np.arange(len(frame)) % 2, "odd", "even")
    path = write(tmp_path / "m.csv", frame)
    assert own_sets.task_of(path) == Task(("even", "odd"), "multiclass")
    assert command("train", path, *QUICK, "--out", tmp_path / "run") == 0
    capsys.readouterr()
    assert command("evaluate", tmp_path / "run", "--data", path, "--json", tmp_path / "m.json") == 0
    matrix = pd.DataFrame(json.loads((tmp_path / "m.json").read_text())["matrix"])
    test = frame[frame["fold"] == 10]["class"].value_counts()
    assert matrix.sum().to_dict() == test.to_dict()


# --- folds that nobody has named


def test_folds_are_made_by_patient_and_kept(tmp_path):
    rng = np.random.default_rng(4)
    patients = rng.integers(0, 120, 300)
    ill = np.isin(patients, rng.choice(120, 15, replace=False))
    names = [f"{n}.npy" for n in range(300)]
    frame = pd.DataFrame({"file": names, "patient": patients, "rare": ill.astype(int), "common": patients % 2})
    path = write(tmp_path / "m.csv", frame)
    with pytest.warns(EcgCourseWarning, match="m_split.csv keeps that$"):
        table = own_sets.read_table(path)
    assert table.groupby("patient_id")["strat_fold"].nunique().max() == 1
    counts = table.groupby("strat_fold")[["rare", "common"]].sum()
    # In ten equal shares, give or take a patient with all his records.
    assert len(counts) == 10 and counts["rare"].min() >= 1 and counts["common"].between(7, 25).all()
    assert pd.read_csv(tmp_path / "m_split.csv")["fold"].tolist() == table["strat_fold"].tolist()
    with warnings.catch_warnings(action="error"):
        shuffled = own_sets.read_table(write(path, frame[::-1]))
    assert shuffled.set_index("file")["strat_fold"].to_dict() == table.set_index("file")["strat_fold"].to_dict()
    with pytest.raises(DataError, match="folds of other records.*299.npy.*remove it to split anew"):
        own_sets.read_table(write(path, frame[:-1]))
    with pytest.raises(DataError, match="patient .* is in .*"):
        own_sets.read_table(write(path, frame.assign(patient=0)))
    with pytest.raises(DataError, match="9 patients are too few"):
        own_split.stratified_folds(frame[["rare"]].astype(bool), pd.Series(np.arange(300) % 9), path)


# --- Challenge folders

# SNOMED CT codes and the SCP codes that mean the same.
SAME_MEANING = {
    "270492004": "1AVB",
    "195042002": "2AVB",
    "27885002": "3AVB",
    "713427006": "CRBBB",
    "733534002": "CLBBB",
    "713426002": "IRBBB",
    "251120003": "ILBBB",
    "445118002": "LAFB",
    "445211001": "LPFB",
    "698252002": "IVCD",
    "74390002": "WPW",
    "164873001": "LVH",
    "89792004": "RVH",
    "67741000119109": "LAO/LAE",
    "446358003": "RAO/RAE",
    "54329005": "AMI",
    "428750005": "NST_",
    "111975006": "LNGQT",
    "164861001": "ISC_",
    "426434006": "ISCAN",
    "425419005": "ISCIN",
    "425623009": "ISCLA",
    "164889003": "AFIB",
    "427084000": "STACH",
    "10370003": "PACE",
    "251146004": "LVOLT",
    "164947007": "LPR",
    "164917005": "QWAVE",
}


def test_codes_mean_what_ptbxl_says_of_the_same_statements(root):
    statements = ptbxl_tables.read_statements(root / "scp_statements.csv")
    classes = ptbxl_tables.diagnostic_classes(statements, challenge.SUPERCLASSES)
    there = {code: name for code, name in SAME_MEANING.items() if name in classes}
    assert len(there) > 12
    assert {code: challenge.SUPERCLASS_OF.get(code) for code in there} == {
        # A statement of form or rhythm has none.
        code: classes[name] if isinstance(classes[name], str) else None
        for code, name in there.items()
    }


def test_sinus_rhythm_alone_is_normal():
    assert challenge.superclasses(["426783006"]) == dict.fromkeys(CLASSES, False) | {"NORM": True}
    both = challenge.superclasses(["426783006", "164889003"])
    assert not any(both.values())
    found = challenge.superclasses(["426783006", "59118001", "429622005"])
    assert [name for name, has in found.items() if has] == ["STTC", "CD"]


@pytest.fixture(scope="module")
def georgia(practice_root, tmp_path_factory) -> Path:
    """The practice records with labels, as a Challenge has them, in two folders; and one with a rhythm alone."""
    folder = tmp_path_factory.mktemp("challenge") / "georgia"
    code = {"MI": "164865005", "STTC": "164934002", "CD": "59118001", "HYP": "164873001"}
    table = table_of(practice_root)
    x = ptbxl.read_signals(practice_root, table, cache=False)
    for number, ((_, row), record) in enumerate(zip(table.iterrows(), x, strict=True)):
        place = folder / f"g{number % 2 + 1}"
        place.mkdir(parents=True, exist_ok=True)
        codes = ["426783006", *(code[name] for name in CLASSES if row[name])]
        write_challenge(place, f"E{number:05d}", record, 100, ",".join(codes))
    write_challenge(folder / "g1", "E99999", x[0], 100, "427084000,164889003")
    return folder


def test_a_challenge_folder_is_read_as_it_was_written(practice_root, georgia):
    with pytest.warns(EcgCourseWarning, match=r"2 codes .*427084000 \(1\), 164889003 \(1\)"):
        table = challenge.read_table(georgia)
    expected = table_of(practice_root)
    table["number"] = table["file"].str.extract(r"E(\d+)")[0].astype(int).to_numpy()
    ours = table[table["labelled"]].sort_values("number")
    assert (ours[list(CLASSES)].to_numpy() == expected[list(CLASSES)].to_numpy()).all()
    assert len(table) == len(ours) + 1 and table["age"].eq(74).all() and table["sex"].eq(1).all()
    assert challenge.is_challenge(georgia) and challenge.is_challenge(georgia / "g1")
    assert not challenge.is_challenge(practice_root) and not challenge.is_challenge(georgia / "g1" / "E99999.hea")


def test_a_challenge_folder_trains_and_judges(practice_root, georgia, tmp_path, capsys):
    assert command("train", georgia, *QUICK, "--task", "superclass5", "--out", tmp_path / "run") == 0
    said = capsys.readouterr()
    assert "427084000 (1)" in said.err and "georgia_split.csv" in said.err
    assert (georgia.parent / "georgia_split.csv").exists()
    task = json.loads((tmp_path / "run" / "config.json").read_text())["task"]
    assert task["classes"] == ["NORM", *CLASSES] and task["label_set"] == "superclass5"
    # PTB-XL's records have the labels of the same name.
    assert command("evaluate", tmp_path / "run", "--data", practice_root, "--partition", "all") == 0
    out = capsys.readouterr().out
    heading = f"external validation on {practice_root} (synthetic practice set) of what was learned from {georgia}\n"
    assert out.startswith(heading)
    assert "rhythm" in refusal(capsys, "train", georgia, *QUICK, "--task", "rhythm", "--out", tmp_path / "no")


# --- judged on other data


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return practice.write(tmp_path_factory.mktemp("other") / "b", n_records=40, seed=3, hospital="B")


def titles(monkeypatch) -> list[str]:
    """The titles of figures, as they come."""
    found: list[str] = []
    drawn = plots.roc
    monkeypatch.setattr(plots, "roc", lambda *given, **how: (found.append(given[2]), drawn(*given, **how))[1])
    return found


def test_other_data_is_external_validation_and_says_so(run, listing, other, tmp_path, capsys, monkeypatch):
    found = titles(monkeypatch)
    words = ("evaluate", run, "--json", tmp_path / "m.json", "--data")
    capsys.readouterr()
    assert command(*words, other, "--partition", "all") == 0
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading == f"external validation on {other} (synthetic practice set) of what was learned from {listing}"
    about = json.loads((tmp_path / "m.json").read_text())
    assert (
        about["external"] is True
        and about["learned_from"] == str(listing)
        and about["n_records"] == len(table_of(other))
    )
    assert found[0].startswith("External validation on ") and "of what was learned from" in found[0]
    assert command(*words, listing) == 0
    assert capsys.readouterr().out.startswith(f"data: {listing}, partition test\n") and "xternal" not in found[1]
    assert json.loads((tmp_path / "m.json").read_text())["external"] is False
    assert "--partition all has what" in refusal(capsys, *words, listing, "--partition", "all")


def test_the_same_records_elsewhere_are_no_external_validation(run, listing, practice_root, tmp_path, capsys):
    assert command("evaluate", run, "--data", practice_root) == 0
    said = capsys.readouterr()
    assert said.out.startswith("data: ") and "no external validation" in said.err
    copy = write(tmp_path / "copy.csv", pd.read_csv(listing))
    assert sources.external(run, copy) is None
    os.rename(listing, f"{listing}.away")
    try:
        assert sources.external(run, copy) is None
    finally:
        os.rename(f"{listing}.away", listing)


def test_a_class_that_other_data_lack_is_not_judged(run, other, tmp_path, capsys):
    table = table_of(other)
    frame = pd.DataFrame({"file": [str(other / name) for name in table["filename_hr"]]})
    frame = frame.assign(**{name: table[name].astype(int).to_numpy() for name in CLASSES}).assign(HYP=0)
    words = ("evaluate", run, "--partition", "all", "--json", tmp_path / "m.json", "--data")
    assert command(*words, write(tmp_path / "m.csv", frame)) == 0
    assert "HYP: none of these records has it" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "m.json").read_text())["per_class"]) == ["MI", "STTC", "CD"]
    assert not (tmp_path / "m_split.csv").exists()
    said = refusal(capsys, *words, write(tmp_path / "m.csv", frame.rename(columns={"HYP": "LVH"})))
    assert "no labels of HYP, only of MI, STTC, CD, LVH" in said
