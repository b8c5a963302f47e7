"""A trained network is asked: arrays of any rate and order of leads, labels of any kind, the doors of the package."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal as scipy_signal
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch.utils.data import Subset, TensorDataset

import ecgcourse as ecg
from ecgcourse import classifier as classifiers
from ecgcourse import datasets, models, ptbxl, training
from ecgcourse.cli import main
from ecgcourse.errors import DataError, SettingError

RECIPES = {
    "resnet1d": ecg.Recipe(signals=ecg.SignalRecipe(ecg.LEADS, "millivolt", crop=500, eval_crops=3)),
    "compact": ecg.Recipe(ecg.ImageRecipe(("V5", "II"), ("RP", "DIF"), 24, "fixed_scale", zero_phase=True)),
    "gated_fusion": ecg.Recipe(ecg.ImageRecipe(size=16), ecg.SignalRecipe(("aVF", "I"))),
}
SMALL = {"resnet1d": {"filters": 4}, "compact": {"filters": 2}, "gated_fusion": {"width": 8}}


def test_the_ten_lines(practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a user writes, on few records and for few epochs."""
    monkeypatch.setenv("ECGCOURSE_DATA", str(practice_root))
    recipe = ecg.Recipe(signals=ecg.SignalRecipe(leads=ecg.LEADS, crop=500, eval_crops=3))
    data = ecg.load("ptb-xl", recipe)
    model = ecg.create("resnet1d", recipe, data.classes, filters=4)
    settings = {"optimizer": "adamw", "learning_rate": 3e-3, "ema_decay": 0.99, "gain": 0.25}
    history = ecg.fit(model, data, ecg.TrainConfig(epochs=2, **settings, device="cpu", out=tmp_path / "a"))
    classifier = ecg.Classifier.load(tmp_path / "a", device="cpu")
    assert classifier.recipe == recipe and classifier.task.classes == data.classes == ptbxl.CLASSES
    report = classifier.evaluate(data.val, n_bootstrap=20)
    assert report.macro["auroc"] == pytest.approx(history.rows[history.best_epoch - 1]["auroc"], abs=1e-9)
    np.testing.assert_array_equal(report.thresholds, classifier.thresholds)
    x = ptbxl.read_signals(practice_root, ptbxl.split(ptbxl.read_table(practice_root))["val"])
    probabilities = classifier.predict_proba(x, sampling_rate=100)
    np.testing.assert_allclose(probabilities, training.predict(model, data.val, device="cpu")[1], atol=1e-6)
    assert np.array_equal(classifier.predict(x), probabilities >= classifier.thresholds)
    frame = classifier.predict_files(practice_root / "records100")
    assert len(frame) == 60 and list(frame)[:5] == ["file", *data.classes]


@pytest.fixture(scope="module", params=RECIPES)
def asked(request: pytest.FixtureRequest, practice_root: Path) -> tuple[ecg.Classifier, np.ndarray]:
    """A network of each kind with some records."""
    torch.manual_seed(0)
    name = request.param
    model = models.create(name, RECIPES[name], ("a", "b"), **SMALL[name])
    x = ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root)[:7])
    return ecg.Classifier(model, device="cpu"), x.astype(float)


def test_leads_go_by_their_names_in_any_order(asked: tuple[ecg.Classifier, np.ndarray]):
    classifier, x = asked
    expected = classifier.predict_proba(x)
    assert expected.shape == (7, 2)
    order = np.random.default_rng(0).permutation(12)
    shuffled = [ecg.LEADS[place] for place in order]
    np.testing.assert_array_equal(classifier.predict_proba(x[:, order], leads=shuffled), expected)
    needed = classifier.recipe.leads
    alone = x[:, [ecg.LEADS.index(name) for name in needed]]
    np.testing.assert_array_equal(classifier.predict_proba(alone, leads=needed), expected)
    np.testing.assert_allclose(classifier.predict_proba(x[3]), expected[3], atol=1e-6)
    with pytest.raises(DataError, match=f"lead {needed[0]}.* is needed"):
        classifier.predict_proba(alone[:, 1:], leads=needed[1:])


def test_another_sampling_rate_is_resampled(asked: tuple[ecg.Classifier, np.ndarray]):
    """Against SciPy's other way, by Fourier series, for signals that are periodic and have nothing above 40 Hz."""
    classifier, x = asked
    spectrum = np.fft.rfft(x)
    spectrum[..., 400:] = 0
    x = np.fft.irfft(spectrum, 1000)
    fast = scipy_signal.resample(x, 5000, axis=-1)
    expected, found = classifier.predict_proba(x, 100), classifier.predict_proba(fast, 500)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_large_arrays_are_asked_part_by_part(asked: tuple[ecg.Classifier, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    classifier, x = asked
    expected = classifier.predict_proba(x)
    monkeypatch.setattr(classifiers, "AT_A_TIME", 3)
    np.testing.assert_allclose(classifier.predict_proba(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * 1000, "no heart makes so many mV; these may be µV"),
        (lambda x: x[:, :11], r"shape \(7, 11, 1000\), but \(N, 12, T\)"),
        (lambda x: x[:0], r"N > 0"),
        (lambda x: np.where(np.arange(1000) == 5, np.nan, x), "NaN"),
    ],
)
def test_what_is_no_ecg_is_refused(change, words: str, asked: tuple[ecg.Classifier, np.ndarray]):
    classifier, x = asked
    with pytest.raises(DataError, match=words):
        classifier.predict_proba(change(x))
    with pytest.raises(SettingError, match="no lead is called 'X'"):
        classifier.predict_proba(x, leads=[*ecg.LEADS[:-1], "X"])


@pytest.mark.parametrize(("crop", "eval_crops"), [(None, 1), (400, 1), (400, 4)])
def test_explanations_add_up_to_the_logit(practice_root: Path, crop: int | None, eval_crops: int):
    """Integrated gradients are complete (Sundararajan et al. 2017): here from a record of zeros, also over crops."""
    torch.manual_seed(0)
    recipe = ecg.Recipe(signals=ecg.SignalRecipe(scaling="millivolt", crop=crop, eval_crops=eval_crops))
    classifier = ecg.Classifier(models.create("cnn1d", recipe, ["a", "b"], filters=4), device="cpu")
    x = ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root)[:2])
    found = classifier.explain(x, "b", steps=200)
    assert found.shape == (2, 3, 1000)
    logits = np.log(classifier.predict_proba(x) / (1 - classifier.predict_proba(x)))[:, 1]
    with torch.inference_mode():
        start = classifier.model(torch.zeros(1, 3, crop or 1000))[0, 1].item()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), logits - start, atol=0.02)
    if (crop, eval_crops) == (400, 1):
        # The one in the middle.
        assert found[..., :300].any() == found[..., 700:].any() == 0 and found[..., 300:700].any()


# --- labels of any kind

THREE = ("low", "middle", "high")


def some_signals(n_records: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Three kinds of noise, told apart by their height, and the number of each."""
    kinds = torch.arange(n_records) % 3
    x = torch.randn(n_records, 3, 100, generator=torch.Generator().manual_seed(0)) * (1.0 + 2 * kinds)[:, None, None]
    return x, kinds


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TensorDataset, training.History]:
    """A run on records each of which has exactly one of three classes."""
    out = tmp_path_factory.mktemp("three") / "run"
    data = TensorDataset(*some_signals())
    training.seed_everything(0)
    recipe, task = ecg.Recipe(signals=ecg.SignalRecipe(scaling="millivolt")), ecg.Task(THREE, "multiclass")
    model = models.create("resnet1d", recipe, task, filters=4)
    config = ecg.TrainConfig(epochs=12, optimizer="adam", learning_rate=0.02, device="cpu", out=out, batch_size=16)
    return out, data, training.fit(model, data, data, config)


def test_of_several_classes_exactly_one(of_three: tuple[Path, TensorDataset, training.History]):
    """Softmax and cross-entropy, held to scikit-learn on the network's own answers."""
    out, data, history = of_three
    classifier = ecg.Classifier.load(out, device="cpu")
    assert classifier.task == ecg.Task(THREE, "multiclass") and classifier.thresholds is None
    y_true, y_prob = training.predict(classifier.model, data, device="cpu")
    np.testing.assert_allclose(y_prob.sum(axis=1), 1)
    best = history.rows[history.best_epoch - 1]
    # Twenty records of each class, so that the weights that balance them are all 1.
    assert best["val_loss"] == pytest.approx(log_loss(y_true.argmax(axis=1), y_prob), rel=1e-5)
    assert {"auroc_low", "auroc_middle", "auroc_high"} <= best.keys()
    report = classifier.evaluate(data, n_bootstrap=20)
    predicted = y_prob.argmax(axis=1)
    assert report.overall_accuracy["value"] == accuracy_score(data.tensors[1], predicted) > 0.9
    assert report.macro["f1"] == pytest.approx(f1_score(data.tensors[1], predicted, average="macro"))
    assert report.matrix.sum() == 60 and report.matrix.trace() == (predicted == data.tensors[1].numpy()).sum()


def test_classes_that_a_network_has_not_are_refused(of_three: tuple[Path, TensorDataset, training.History]):
    model = training.load_checkpoint(of_three[0] / "best.pt")
    x, kinds = some_signals()
    with pytest.raises(DataError, match="from 0 to 2"):
        training.predict(model, TensorDataset(x, kinds + 1), device="cpu")
    with pytest.raises(SettingError, match=r"answers low, middle, high \(multiclass\)"):
        known = datasets.Signals(x, torch.eye(3)[kinds], recipe=model.recipe.signals, task=ecg.Task(("a", "b", "c")))
        training.predict(model, known, device="cpu")


def test_a_part_of_a_dataset_is_fed_as_the_whole(practice_root: Path):
    recipe = RECIPES["resnet1d"]
    data = ecg.load(practice_root, recipe)
    model = ecg.create("resnet1d", recipe, data.classes, filters=4)
    some = Subset(data.train, range(5, 30))
    training.fit(model, some, data.val, ecg.TrainConfig(epochs=1, device="cpu", gain=0.1, roll=True))
    y_true, y_prob = training.predict(model, some, device="cpu")
    np.testing.assert_array_equal(y_true, data.train.labels[5:30])
    np.testing.assert_allclose(y_prob, training.predict(model, data.train, device="cpu")[1][5:30], atol=1e-6)


# --- the command line


@pytest.mark.parametrize("label_set", ["superclass5", "rhythm"])
def test_other_labels_on_the_command_line(
    label_set: str, practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = f"train {practice_root} --model cnn1d --filters 4 --epochs 1 --device cpu --out {tmp_path / 'run'}"
    assert main([*words.split(), "--task", label_set, "--min-records", "10"]) == 0
    table = ptbxl.read_table(practice_root)
    expected = ptbxl.label_classes(table, label_set, 10)
    model = training.load_checkpoint(tmp_path / "run" / "best.pt")
    assert model.task == ecg.Task(expected, label_set=label_set)
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(practice_root), "--partition", "val"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in expected)


def test_settings_from_a_file_and_from_a_run(practice_root: Path, tmp_path: Path):
    """What a run notes makes the same run again; options go before the file."""
    (tmp_path / "recipe.toml").write_text(
        """
model = "compact"
[training]
epochs = 1
device = "cpu"
roll = true
[images]
size = 24
fields = ["RP"]
leads = ["I", "V5"]
zero_phase = true
"""
    )
    run, again, other = (tmp_path / name for name in ("run", "again", "other"))
    words = ["train", str(practice_root), "--quiet", "--filters", "2"]
    assert main([*words, "--config", str(tmp_path / "recipe.toml"), "--out", str(run)]) == 0
    model = training.load_checkpoint(run / "best.pt")
    assert model.recipe == ecg.Recipe(ecg.ImageRecipe(("I", "V5"), ("RP",), 24, zero_phase=True))
    assert (
        main(["train", str(practice_root), "--quiet", "--config", str(run / "config.json"), "--out", str(again)]) == 0
    )
    assert (again / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
    words = ["train", str(practice_root), "--quiet", "--config", str(run / "config.json"), "--out", str(other)]
    assert main([*words, "--size", "32", "--images.leads", "12", "--no-roll"]) == 0
    found = training.load_checkpoint(other / "best.pt").recipe
    assert found == replace(model.recipe, images=replace(model.recipe.images, size=32, leads=ecg.LEADS))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[training]\nepoch = 3\n", "no setting is called 'epoch'; did you mean 'epochs'"),
        ("[images]\nsice = 3\n", "images have no setting called 'sice'; did you mean 'size'"),
        ("[trainings]\n", "'trainings' isn't a table of settings"),
        ("[model\n", "isn't TOML"),
        ("[images]\nsize = 'x'\n", "size='x'"),
        ("[task]\nkinds = 1\n", "isn't a task"),
        ("[images]\nleads = 12\n", "leads=12 isn't allowed"),
        ("[images]\nfields = [[1]]\n", "fields=[[1]] isn't allowed"),
        ("[recipe]\nrate = 12\n", "a recipe has no setting called 'rate'"),
    ],
)
def test_a_file_of_settings_that_cannot_be_is_refused(
    content: str, words: str, practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "settings.toml").write_text(content)
    assert main(["train", str(practice_root), "--config", str(tmp_path / "settings.toml"), "--model", "compact"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


# --- files


@pytest.fixture(scope="module")
def small_run(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "run"
    words = f"train {practice_root} --model resnet1d --filters 4 --signals.leads 12 --epochs 1 --device cpu --quiet"
    assert main([*words.split(), "--optimizer", "adamw", "--learning-rate", "0.01", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def of_all_kinds(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """One record in several formats, 100 Hz, and its voltages (12, T)."""
    folder = tmp_path_factory.mktemp("files")
    table = ptbxl.read_table(practice_root)[:1]
    x = ptbxl.read_signals(practice_root, table)[0].astype(float)
    source = practice_root / table["filename_lr"].iloc[0]
    for suffix in (".hea", ".dat"):
        shutil.copy(source.with_suffix(suffix), folder)
    order = np.random.default_rng(1).permutation(12)
    names = [ecg.LEADS[place].lower() for place in order]
    frame = pd.DataFrame(x[order].T * 1000, columns=[f"{name} (uV)" for name in names])
    frame.insert(0, "time", np.arange(1000) / 100)
    frame.to_csv(folder / "comma.csv", index=False)
    frame.to_csv(folder / "semicolon.csv", index=False, sep=";", decimal=",")
    np.savez(folder / "arrays.npz", signal=x, fs=100)
    return folder, x


def test_a_file_of_any_kind_gives_what_its_voltages_give(small_run: Path, of_all_kinds: tuple[Path, np.ndarray]):
    folder, x = of_all_kinds
    classifier = ecg.Classifier.load(small_run, device="cpu")
    table = classifier.predict_files(folder)
    assert sorted(Path(name).suffix for name in table["file"]) == [".csv", ".csv", ".hea", ".npz"]
    assert list(table) == ["file", *ptbxl.CLASSES, *(f"predicted_{name}" for name in ptbxl.CLASSES)]
    expected = classifier.predict_proba(x)
    np.testing.assert_allclose(table[list(ptbxl.CLASSES)], np.tile(expected, (4, 1)), atol=1e-3)
    np.testing.assert_array_equal(table.filter(like="predicted_"), np.tile(classifier.predict(x), (4, 1)))


def test_a_longer_record_is_cut_into_windows(small_run: Path, tmp_path: Path, of_all_kinds: tuple[Path, np.ndarray]):
    """Logits of windows of ten seconds are averaged; what is left at the end is no window."""
    _, x = of_all_kinds
    long = np.concatenate([x, 0.5 * x, -x, x[:, :400]], axis=1)
    np.savez(tmp_path / "long.npz", signal=long, fs=100)
    classifier = ecg.Classifier.load(small_run, device="cpu")
    each = classifier.predict_files(tmp_path, windows=True)
    assert each["start"].tolist() == [0, 10, 20]
    expected = classifier.predict_proba(np.stack([x, 0.5 * x, -x]))
    np.testing.assert_allclose(each[list(ptbxl.CLASSES)], expected, atol=1e-6)
    logits = np.log(expected / (1 - expected)).mean(axis=0)
    found = classifier.predict_files(tmp_path)[list(ptbxl.CLASSES)]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits))[None], atol=1e-6)


def test_the_command_writes_a_table_and_names_what_it_could_not_use(
    small_run: Path, of_all_kinds: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, x = of_all_kinds
    np.savez(tmp_path / "short.npz", signal=x[:, :300], fs=100)
    words = ["predict", str(small_run), str(folder), "--device", "cpu", "--quiet", "--csv", str(tmp_path / "a.csv")]
    assert main(words) == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == 4 and list(table)[:5] == ["file", *ptbxl.CLASSES]
    assert main(["predict", str(small_run), str(folder), str(tmp_path / "short.npz"), "--device", "cpu"]) == 2
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 5 and "short" in error and "10 s" in error
    assert error.endswith("1 of 5 files couldn't be used; see above\n")


def test_real_records_at_500_hz_are_judged_as_at_100_hz(real_root: Path):
    """The same hearts, recorded twice as finely as needed: probabilities within 0.1 for nine in ten."""
    table = ptbxl.read_table(real_root)
    fine = [real_root / f"{name}.hea" for name in table["filename_hr"]]
    there = [path.is_file() for path in fine]
    if sum(there) < 10:
        pytest.skip("no records of 500 Hz")
    classifier = ecg.Classifier.pretrained("signals", device="cpu")
    files = [path for path, is_there in zip(fine, there, strict=True) if is_there]
    coarse = [real_root / f"{name}.hea" for name in table["filename_lr"][there]]
    found, expected = (classifier.predict_files(paths) for paths in (files, coarse))
    classes, decisions = list(ptbxl.CLASSES), [f"predicted_{name}" for name in ptbxl.CLASSES]
    assert (np.abs(found[classes].to_numpy() - expected[classes].to_numpy()).max(axis=1) < 0.1).mean() >= 0.9
    assert (found[decisions].to_numpy() == expected[decisions].to_numpy()).mean() >= 0.95
