"""Single beats: held to wfdb, SciPy, scikit-learn and pyts, and to tables written by hand."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from plain_pyts import GramianAngularField, RecurrencePlot
from scipy import signal as scipy_signal
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

import ecgcourse as ecg
from ecgcourse import cli, datasets, heartbeats, own_sets, practice, practice_beats
from ecgcourse.errors import DataError, SettingError
from ecgcourse.records.beat_names import AAMI, DS1, DS2, VALIDATION

LEAD = ("MLII",)
SIGNALS = ecg.Recipe(signals=ecg.SignalRecipe(LEAD, "millivolt", filtered=False), sampling_rate=125)
# The MIT-BIH database has these 48 records.
MIT_BIH = [*range(100, 110), *range(111, 120), *range(121, 125), 200, 201, 202, 203, 205, 207, 208, 209, 210, 212]
MIT_BIH += [213, 214, 215, 217, 219, 220, 221, 222, 223, 228, 230, 231, 232, 233, 234]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return practice_beats.write(tmp_path_factory.mktemp("beats") / "set")


@pytest.fixture(scope="module")
def by_split(root):
    return {
        split: ecg.load(root, SIGNALS, own_sets.task_of(root, split)) for split in ("inter-patient", "intra-patient")
    }


def write_record(folder: Path, name: str, x: np.ndarray, beats: list[tuple[int, str]], fs: int = 360) -> None:
    """A record of one lead, (T,) mV, as wfdb writes it."""
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(name, fs, ["mV"], ["MLII"], p_signal=x[:, None], fmt=["16"], write_dir=str(folder))
    samples, symbols = zip(*beats, strict=True)
    wfdb.wrann(name, "atr", np.array(samples), list(symbols), fs=fs, write_dir=str(folder))


def write_csv(folder: Path, name: str, labels: list[int], seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).random((len(labels), 187)).round(4)
    pd.DataFrame(np.column_stack([x, labels])).to_csv(folder / name, header=False, index=False)
    return x


def test_classes_and_splits_are_those_of_the_papers():
    of_hand = dict(zip("N L R e j A a J S V E F / f Q".split(), "NNNNNSSSSVVFQQQ", strict=True))
    assert {symbol: name for name, symbols in AAMI.items() for symbol in symbols} == of_hand
    assert len(DS1) == len(DS2) == 22 and set(VALIDATION) < set(DS1) and not set(DS1) & set(DS2)
    paced = {str(name) for name in MIT_BIH} - set(DS1) - set(DS2)
    assert len(MIT_BIH) == 48 and paced == {"102", "104", "107", "217"}


def test_synthetic_records_are_what_wfdb_reads_and_the_same_each_time(root, tmp_path):
    again = practice_beats.write(tmp_path / "again", 16, 0)
    table = heartbeats.read_table(root)
    paced = 0
    for name in ("s001", "s004", "s016"):
        record, beats = wfdb.rdrecord(str(root / name)), wfdb.rdann(str(root / name), "atr")
        assert record.sig_name == ["MLII", "V1"] and record.fs == beats.fs == 360 and record.fmt == ["212", "212"]
        assert "synthetic" in record.comments[0] and 80 < len(beats.sample) < 300
        paced += "/" in beats.symbol
        rows = table[table["patient"] == name]
        assert "/" in beats.symbol or rows["symbol"].tolist() == beats.symbol
        assert "/" in beats.symbol or (rows["sample"].to_numpy() == beats.sample).all()
        # R peaks are where the voltage changes most.
        slope = np.abs(np.diff(record.p_signal, axis=0)).max(axis=1)
        near = [slope[max(0, at - 20) : at + 20].max() for at in beats.sample[1:-1]]
        assert np.median(near) > 3 * np.median(slope)
        for suffix in ("dat", "hea", "atr"):
            assert (root / f"{name}.{suffix}").read_bytes() == (again / f"{name}.{suffix}").read_bytes()
    assert paced == 1 and practice.is_practice(root) and datasets.is_synthetic(root)
    assert not heartbeats.is_heartbeats(practice.default_folder())


def test_what_a_random_split_promises_a_patient_doesnt_keep(by_split):
    scores = {}
    for split, data in by_split.items():
        assert data.classes == ("N", "S", "V", "F") and data.train.synthetic
        x, y = {}, {}
        for name in ("train", "test"):
            part = getattr(data, name)
            beats = part.signals[:, 0].numpy()
            x[name], y[name] = beats - beats.mean(axis=1, keepdims=True), part.labels.numpy().argmax(axis=1)
        said = KNeighborsClassifier(1).fit(x["train"], y["train"]).predict(x["test"])
        scores[split] = f1_score(y["test"], said, average="macro"), (said == y["test"]).mean()
    assert min(scores["intra-patient"]) > 0.97
    assert scores["inter-patient"][0] < scores["intra-patient"][0] - 0.10


def test_patients_stay_apart_unless_beats_are_asked_for(by_split):
    owners = {}
    for split, data in by_split.items():
        owners[split] = [set(part.table["patient_id"]) for part in (data.train, data.val, data.test)]
    train, val, test = owners["inter-patient"]
    assert not train & val and not train & test and not val & test
    train, val, test = owners["intra-patient"]
    assert test <= train and val <= train


def test_beats_are_cut_around_the_peak_from_the_whole_resampled_record(tmp_path):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(0, 0.02, 3600))
    x -= x.mean()
    beats = [(40, "N"), (900, "+"), (1000, "L"), (1500, "a"), (2222, "V"), (3590, "F")]
    write_record(tmp_path / "own", "101", x, beats)
    write_record(tmp_path / "own", "102", x, [(500, "/"), (900, "N")])
    write_record(tmp_path / "own", "201", x, [(500, "N")])
    write_record(tmp_path / "own", "202", x, [(500, "N")])
    table = heartbeats.read_table(tmp_path / "own")
    assert (
        table["patient"].tolist() == ["101"] * 5 + ["201", "202"] and table["patient_id"].tolist() == [1] * 5 + [2] * 2
    )
    assert table["strat_fold"].tolist() == [1] * 6 + [10]
    assert table[["N", "S", "V", "F", "Q"]].iloc[:5].to_numpy().argmax(axis=1).tolist() == [0, 0, 1, 2, 3]
    stored = wfdb.rdrecord(str(tmp_path / "own" / "101")).p_signal[:, 0]
    expected = scipy_signal.resample_poly(stored, 25, 72, padtype="line")
    read = own_sets.read_signals(table[table["patient"] == "101"], SIGNALS).signals
    assert read.shape == (5, 1, 187)
    for row, (sample, _) in enumerate(beat for beat in beats if beat[1] != "+"):
        places = np.clip(round(sample * 125 / 360) - 62 + np.arange(187), 0, len(expected) - 1)
        np.testing.assert_allclose(read[row, 0], expected[places], atol=1e-6)
    longer = own_sets.read_signals(table.iloc[:1], SIGNALS, seconds=2).signals
    assert longer.shape == (1, 1, 250)


def test_csv_files_are_beats_of_nobody_knows_whom(tmp_path):
    train = write_csv(tmp_path, "mitbih_train.csv", [0, 1, 2, 3, 4] * 18)
    test = write_csv(tmp_path, "mitbih_test.csv", [0, 1, 2, 3, 4] * 2, seed=1)
    task = own_sets.task_of(tmp_path)
    assert task == ecg.Task(("N", "S", "V", "F", "Q"), "multiclass", "intra-patient")
    recipe = ecg.Recipe(signals=ecg.SignalRecipe(("II",), "millivolt", filtered=False), sampling_rate=125)
    data = ecg.load(tmp_path, recipe)
    assert [len(part) for part in (data.train, data.val, data.test)] == [80, 10, 10]
    np.testing.assert_allclose(data.test.signals[:, 0].numpy(), test, atol=1e-6)
    assert data.test.labels.argmax(dim=1).tolist() == [0, 1, 2, 3, 4] * 2
    rows = data.val.table["sample"].to_numpy()
    np.testing.assert_allclose(data.val.signals[:, 0].numpy(), train[rows], atol=1e-6)
    with pytest.raises(SettingError, match="whose a beat is"):
        own_sets.task_of(tmp_path, "inter-patient")
    for number, name in enumerate(("ptbdb_normal.csv", "ptbdb_abnormal.csv")):
        write_csv(tmp_path, name, [number] * 20)
    assert own_sets.task_of(tmp_path / "ptbdb_normal.csv").classes == ("normal", "abnormal")
    assert own_sets.task_of(tmp_path) == task


def test_images_of_beats_are_those_of_pyts_and_of_the_notebooks_formulas(by_split):
    """RP there is |xᵢ − xⱼ| / 0.1, cut at 10, / 5 − 1; MTF is P / 5 − 1."""
    x = by_split["inter-patient"].test.signals[:3].numpy()
    images = ecg.ImageRecipe(LEAD, ("GAF", "RP", "MTF"), 187, mtf_white=1, filtered=False)
    made = datasets.from_arrays(x, np.zeros((3, 4)), 125, recipe=ecg.Recipe(images, sampling_rate=125), leads=LEAD)
    gaf, rp, mtf = made[[0, 1, 2]][0].numpy().swapaxes(0, 1)
    unit = (x - x.min(-1, keepdims=True)) / np.ptp(x, axis=-1, keepdims=True)
    expected = GramianAngularField(method="summation").fit_transform(x[:, 0])
    assert np.abs(gaf - np.floor((expected + 1) / 2 * 255)).max() <= 1
    distance = RecurrencePlot().fit_transform(unit[:, 0])
    theirs = np.minimum(distance / 0.1, 10) / 5 - 1
    assert np.abs(rp - np.floor((theirs + 1) / 2 * 255)).max() <= 1
    edges = [0.1 * k for k in range(1, 10)]
    for beat, image in zip(unit[:, 0].astype(np.float32), mtf, strict=True):
        q = np.array([sum(value > edge for edge in edges) for value in beat])
        counts = np.zeros((10, 10))
        for one, other in zip(q[:-1], q[1:], strict=True):
            counts[one, other] += 1
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        assert np.abs(image - np.floor(shares[q][:, q] * 255)).max() <= 1


def test_a_recipe_without_filter_scales_only():
    x = np.random.default_rng(0).normal(size=(2, 1, 187))
    part = ecg.SignalRecipe(LEAD, "z_score", filtered=False)
    np.testing.assert_allclose(
        part.apply(x, 125, LEAD), (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True), atol=1e-6
    )
    assert ecg.Recipe.from_dict(ecg.Recipe(signals=part).to_dict()).signals == part
    with pytest.raises(SettingError, match="signals: filtered=1"):
        ecg.SignalRecipe(filtered=1)


def test_beats_can_be_trained_and_judged_from_the_command_line(root, tmp_path, capsys):
    run = str(tmp_path / "run")
    model = ["--model", "feature_fusion", "--set", "image=compact", "--set", 'image_settings={"filters": 2}']
    how = [
        "--set",
        "width=8",
        "--size",
        "16",
        "--images.fields",
        "GAF,RP",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--quiet",
    ]
    assert cli.main(["train", str(root), *model, *how, "--out", run]) == 0
    classifier = ecg.Classifier.load(run, "cpu")
    assert classifier.recipe == ecg.Recipe(ecg.ImageRecipe(LEAD, ("GAF", "RP"), 16, filtered=False), None, 125)
    assert classifier.task == ecg.Task(("N", "S", "V", "F"), "multiclass", "inter-patient")
    assert cli.main(["evaluate", run, "--data", str(root), "--device", "cpu"]) == 0
    assert "1212 records of 8 patients" in capsys.readouterr().out
    assert cli.main(["predict", run, str(root / "s001.hea"), "--device", "cpu"]) == 2
    assert "reads single beats" in capsys.readouterr().err


BAD = {
    "no header": lambda folder: (folder / "101.hea").unlink(),
    "annotations cut off": lambda folder: (folder / "101.atr").write_bytes(b""),
    "no beat": lambda folder: (folder / "101.atr").write_bytes((folder / "102.atr").read_bytes()),
    "unknown record": lambda folder: [path.rename(folder / f"x1{path.suffix}") for path in folder.glob("101.*")],
    "split in other words": lambda folder: (folder / "split.csv").write_text("record,split\n101,learn\n"),
    "no split": lambda folder: (folder / "split.csv").write_text("a,b\n1,2\n"),
    "header as CSV": lambda folder: (folder / "mitbih_train.csv").write_text("a," * 187 + "b\n"),
    "few columns": lambda folder: (folder / "mitbih_train.csv").write_text("0,1,2\n"),
    "no such class": lambda folder: write_csv(folder, "mitbih_train.csv", [0, 5]),
    "half a class": lambda folder: write_csv(folder, "mitbih_train.csv", [0, 0.5]),
}


@pytest.mark.parametrize("damage", BAD)
def test_bad_beats_are_refused_in_one_line(tmp_path, damage):
    folder = tmp_path / "own"
    write_record(folder, "101", np.sin(np.arange(2000) / 30), [(500, "N"), (900, "V")])
    write_record(tmp_path / "other", "102", np.sin(np.arange(2000) / 30), [(500, "/"), (900, "+")])
    shutil.copy(tmp_path / "other" / "102.atr", folder)
    BAD[damage](folder)
    if (folder / "mitbih_train.csv").exists():
        write_csv(folder, "mitbih_test.csv", [0, 1])
    with pytest.raises(DataError) as caught:
        own_sets.read_table(folder)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_samples_that_are_no_numbers_from_0_to_1_are_refused(tmp_path):
    x = write_csv(tmp_path, "mitbih_test.csv", [0, 1])
    x[1, 5] = np.nan
    pd.DataFrame(np.column_stack([x, [0, 1]])).to_csv(tmp_path / "mitbih_test.csv", header=False, index=False)
    with pytest.raises(DataError, match="line 2: a sample isn't a number from 0 to 1"):
        heartbeats.read_csv(tmp_path / "mitbih_test.csv")


def test_settings_of_the_synthetic_set_that_cannot_be(tmp_path):
    with pytest.raises(SettingError, match="16 to"):
        practice_beats.write(tmp_path / "few", 3)
    assert cli.main(["practice", str(tmp_path / "few"), "--holter", "--hospital", "B"]) == 2
    assert not (tmp_path / "few").exists()
