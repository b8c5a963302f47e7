"""The runner of the experiments: what it reads, what it trains on, what it says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgcourse import bootstrap, practice, ptbxl
from ecgcourse.errors import SettingError

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
QUICK = """
question = "Does it run?"
seeds = 2
[defaults]
model = "resnet1d"
settings = { filters = 2 }
training = { epochs = 1, device = "cpu", optimizer = "adamw" }
[arms.plain]
[arms.windows]
settings = { leads = 12 }
signals = { crop = 300, eval_crops = 3 }
training = { gain = 0.2 }
[arms.both]
mean_of = ["plain", "windows"]
[arms.weighed]
stacked_of = ["plain", "windows"]
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    sys.modules.pop("run", None)
    module = __import__("run")
    monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    yield module
    sys.modules.pop("run", None)


@pytest.fixture
def quick(run, tmp_path: Path):
    (tmp_path / "quick.toml").write_text(QUICK)
    return run.read(tmp_path / "quick.toml")


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return practice.write(tmp_path_factory.mktemp("data") / "small", n_records=150, seed=2)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_experiments_can_be_read(run, path: Path):
    experiment = run.read(path)
    assert experiment.question.endswith("?") and experiment.seeds >= 5 and len(experiment.arms) > 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = 2", "seed = 2", "'seed'; did you mean 'seeds'"),
        ("signals = {", "signal = {", "arm 'windows'.*'signal'; did you mean 'signals'"),
        ("epochs = 1", "epoch = 1", "'epoch'; did you mean 'epochs'"),
        ("crop = 300", "window = 300", "arm 'windows': .*window"),
        ("filters = 2", "filter = 2", "arm 'plain': .*filter"),
        ('"plain", "windows"', '"plain", "window"', "no arm 'window' above it"),
        ("crop = 300, ", "", "arm 'windows': .*eval_crops=3"),
        ('model = "resnet1d"', 'model = "resnet9d"', "no model is called 'resnet9d'"),
        ("seeds = 2", "seeds = ", "can't be read"),
        ("seeds = 2", "seeds = 0", "seeds=0, but a whole number"),
        ("seeds = 2", "", "seeds=None, but a whole number"),
        ('question = "Does it run?"', "", "there is no 'question'"),
        ("[defaults]", "[practice]\nseeds = 2.5\n[defaults]", "practice: seeds=2.5, but a whole number"),
        ("[defaults]", "[practice]\nepochs = -1\n[defaults]", "practice: epochs=-1, but a share"),
        ("[defaults]", '[practice]\nepochs = "half"\n[defaults]', "practice: epochs='half', but a share"),
        ("seeds = 2", "seeds = 2\nagainst = 'plane'", "against='plane', but there is no such arm"),
        ("[arms.windows]", "[arms.windows]\nagainst = 'plane'", "against='plane', but there is no such arm"),
        ("[defaults]", "[practice]\nepoch = 1\n[defaults]", "practice: .*'epoch'; did you mean 'epochs'"),
        ("[arms.windows]", "[arms.windows]\npretraining = { epoch = 1 }", "arm 'windows': .*did you mean 'epochs'"),
    ],
)
def test_unknown_keys_and_impossible_arms_are_refused(run, tmp_path: Path, old: str, new: str, words: str):
    (tmp_path / "other.toml").write_text(QUICK.replace(old, new))
    with pytest.raises(SettingError, match=words):
        run.read(tmp_path / "other.toml")


def test_a_model_is_made_for_the_recipe_of_its_arm(run):
    made = run._made(run.Arm(model="compact", settings={"image_size": 64}, images={"fields": ["RP"], "crop": 128}))
    assert made.recipe.images == run.datasets.ImageRecipe(size=64, fields=("RP",), crop=128)
    assert made.settings["in_channels"] == 3


def test_folds_are_kept_apart(run, small_root: Path):
    data = run.Records.open(small_root)
    (train, test), *others = data.splits(cross_validated=False)
    assert not others and set(data.folds[train]) == set(range(1, 9)) and set(data.folds[test]) == {9, 10}
    groups = data.splits(cross_validated=True)
    judged = np.concatenate([rows for _, rows in groups])
    assert sorted(judged) == sorted(train)
    assert all(not set(data.folds[inside]) & {9, 10, *data.folds[rows]} for inside, rows in groups)


def test_arms_are_trained_judged_and_averaged(run, quick, small_root: Path, monkeypatch: pytest.MonkeyPatch):
    data = run.Records.open(small_root)
    rows = run.run(quick, data, cross_validated=False).set_index("arm")
    assert rows.index.tolist() == ["plain", "windows", "both", "weighed"]
    assert (rows["low"] <= rows["auroc"]).all() and (rows["auroc"] <= rows["high"]).all()
    parts = []
    for name in ("plain", "windows"):
        found = [run.probabilities(quick.arms[name], seed, data, False) for seed in (0, 1)]
        y_true = found[0][0]
        areas = [roc_auc_score(y_true, y_prob, average="macro") for _, y_prob in found]
        assert rows.loc[name, "auroc"] == pytest.approx(np.mean(areas))
        assert rows.loc[name, "sd"] == pytest.approx(np.std(areas, ddof=1))
        parts.append(np.stack([np.log(y_prob / (1 - y_prob)) for _, y_prob in found]))
    areas = [roc_auc_score(y_true, one, average="macro") for one in expit(np.mean(parts, axis=0))]
    assert rows.loc["both", "auroc"] == pytest.approx(np.mean(areas))
    # Weighed by a logistic regression per class, which learned from records that no part was trained on.
    areas = []
    for seed in (0, 1):
        unseen, judged = (
            [run.probabilities(quick.arms[name], seed, data, inside) for name in ("plain", "windows")]
            for inside in (True, False)
        )
        for k in range(4):
            x, x_judged = (logit(np.stack([y_prob[:, k] for _, y_prob in part], axis=1)) for part in (unseen, judged))
            regression = LogisticRegression().fit(x, unseen[0][0][:, k])
            areas.append(roc_auc_score(y_true[:, k], regression.decision_function(x_judged)))
    assert rows.loc["weighed", "auroc"] == pytest.approx(np.mean(areas))
    # What was trained isn't trained again.
    monkeypatch.setattr(run, "train_and_judge", lambda *_: pytest.fail("trained twice"))
    pd.testing.assert_frame_equal(run.run(quick, data, cross_validated=False).set_index("arm"), rows)


def test_weights_of_a_joint_arm_are_learned_on_other_groups_in_cross_validation(run, quick, small_root: Path):
    data = run.Records.open(small_root)
    rows = run.run(quick, data, cross_validated=True).set_index("arm")
    found = [run.probabilities(quick.arms[name], 0, data, True) for name in ("plain", "windows")]
    folds = np.concatenate([data.folds[test] for _, test in data.splits(True)])
    y_true, y_prob = run.joined(quick.arms["weighed"], quick.arms, 0, data, True)
    inside = np.isin(folds, (3, 4))
    for k in range(4):
        x = logit(np.stack([part[:, k] for _, part in found], axis=1))
        regression = LogisticRegression().fit(x[~inside], y_true[~inside, k])
        np.testing.assert_allclose(y_prob[inside, k], regression.predict_proba(x[inside])[:, 1], atol=1e-6)
    assert np.isfinite(rows["auroc"]).all()


def test_frozen_parts_are_trained_first(run, small_root: Path, tmp_path: Path):
    (tmp_path / "late.toml").write_text("""
question = "Does it run?"
seeds = 1
[arms.late]
model = "late_fusion"
[arms.late.settings]
signal = "cnn1d"
image = "compact"
hidden = 8
image_size = 16
freeze = true
signal_settings = { filters = 2 }
image_settings = { filters = 2 }
[arms.late.training]
epochs = 1
device = "cpu"
optimizer = "adamw"
""")
    data, arm = run.Records.open(small_root), run.read(tmp_path / "late.toml").arms["late"]
    trained = []
    original = run._trained

    def watched(make, *others):
        trained.append(make().settings["name"])
        return original(make, *others)

    run._trained = watched
    assert run.train_and_judge(arm, 0, data, *data.splits(False)[0]).shape[1] == 4
    assert trained == ["cnn1d", "compact"]


def test_several_processes_train_the_same(small_root: Path, tmp_path: Path):
    found = {}
    for processes in ("1", "2"):
        folder = tmp_path / processes
        folder.mkdir()
        shutil.copy(EXPERIMENTS / "run.py", folder)
        (folder / "quick.toml").write_text(QUICK.replace("seeds = 2", "seeds = 1"))
        command = [sys.executable, "run.py", "quick", "--processes", processes]
        environment = os.environ | {"ECGCOURSE_DATA": str(small_root)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("4 of 4 trainings" in done.stdout) == (processes == "2")
        found[processes] = pd.read_csv(folder / "results" / "quick_practice.csv")
        assert len(list((folder / "runs").iterdir())) == 4
    # Other numbers of threads add in another order.
    pd.testing.assert_frame_equal(found["1"], found["2"], atol=0.03)


def test_pretraining_takes_the_practice_set_and_every_seed_goes_on_from_it(
    run, quick, small_root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run.practice, "default_folder", lambda: small_root)
    monkeypatch.setattr(run.practice, "write", lambda folder: folder)
    seen, fit = [], run.training.fit

    def watched(model, train, val, config):
        before = [weights.clone() for weights in model.parameters()]
        history = fit(model, train, val, config)
        seen.append((len(train), config.seed, before, [weights.clone() for weights in model.parameters()]))
        return history

    monkeypatch.setattr(run.training, "fit", watched)
    arm = run.dataclasses.replace(quick.arms["plain"], pretraining={"epochs": 1, "device": "cpu"})
    data = run.Records.open(small_root)
    real = run.dataclasses.replace(data, name="real")
    train, test = real.splits(False)[0]
    for seed in (3, 4):
        assert run.train_and_judge(arm, seed, real, train, test).shape == (len(test), 4)
    assert [each[:2] for each in seen] == [(len(data.labels), 0), (len(train), 3), (len(train), 4)]
    for _, _, before, _ in seen[1:]:
        assert all(map(run.torch.equal, before, seen[0][3]))


def test_frozen_parts_are_not_pretrained(run):
    arm = run.Arm(model="late_fusion", settings={"freeze": True, "image_size": 67}, pretraining={"epochs": 1})
    with pytest.raises(SettingError, match="here: frozen parts and pretraining don't go together"):
        run._try(arm, {}, "here")


def test_practice_records_are_not_judged_by_who_has_seen_them(run, quick):
    arm = run.dataclasses.replace(quick.arms["plain"], pretraining={"epochs": 1})
    experiment = run.dataclasses.replace(quick, arms={"known": arm})
    with pytest.raises(SettingError, match="arm 'known' learns from the practice set beforehand"):
        experiment.on("practice")
    assert experiment.on("real") is experiment


def test_the_practice_set_may_have_other_seeds_and_a_share_of_the_epochs(run, tmp_path: Path):
    (tmp_path / "two.toml").write_text(
        QUICK.replace("epochs = 1", "epochs = 10").replace(
            "[defaults]", "[practice]\nseeds = 1\nepochs = 0.25\n[defaults]"
        )
    )
    experiment = run.read(tmp_path / "two.toml")
    assert experiment.on("real").seeds == 2 and experiment.on("practice").seeds == 1
    assert [arm.training.get("epochs") for arm in experiment.on("practice").arms.values()] == [2, 2, None, None]
    assert experiment.on("real").arms["plain"].training["epochs"] == 10


def test_a_repeated_training_gives_the_same_probabilities(run, quick, small_root: Path):
    data = run.Records.open(small_root)
    splits = data.splits(cross_validated=False)[0]
    once, again = (run.train_and_judge(quick.arms["windows"], 3, data, *splits) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_difference_is_that_of_the_same_records(run):
    rng = np.random.default_rng(3)
    y_true = rng.integers(0, 2, (60, 4))
    better, worse = (np.stack([expit(k * y_true + rng.normal(size=y_true.shape)) for _ in range(2)]) for k in (2, 0.5))
    found = run.difference(y_true, better, worse)
    areas = [np.mean([roc_auc_score(y_true, one, average="macro") for one in each]) for each in (better, worse)]
    assert found["difference"] == pytest.approx(areas[0] - areas[1])
    # One bootstrap with scikit-learn, record by record the same resamples.
    drawn = []
    for count in np.hstack(list(bootstrap.resamples(60, run.RESAMPLES, y_true=y_true))).T:
        rows = np.repeat(np.arange(60), count.astype(int))
        one, other = (
            np.mean([roc_auc_score(y_true[rows], each[rows], average="macro") for each in arm])
            for arm in (better, worse)
        )
        drawn.append(one - other)
    expected = np.quantile(drawn, (0.025, 0.975))
    np.testing.assert_allclose([found["difference_low"], found["difference_high"]], expected)
    # What is common to both cancels.
    same = run.difference(y_true, better, better)
    assert (same["difference"], same["difference_low"], same["difference_high"]) == (0, 0, 0)


def test_an_experiment_may_compare_its_arms_with_one_of_them(run, quick, small_root: Path):
    data = run.Records.open(small_root)
    compared = run.dataclasses.replace(quick, against="plain")
    rows = run.run(compared, data, cross_validated=False).set_index("arm")
    lines = run.table(rows.reset_index())
    assert rows.loc["plain"].filter(like="difference").isna().all()
    rows = rows.drop(index="plain").assign(plain=rows.loc["plain", "auroc"])
    np.testing.assert_allclose(rows["difference"], rows["auroc"] - rows["plain"], atol=1e-12)
    assert (rows["difference_low"] <= rows["difference"]).all() and (
        rows["difference"] <= rows["difference_high"]
    ).all()
    assert "difference (95 % interval)" in lines[1]
    assert "| – |" in lines[3]


def test_an_arm_may_name_another_to_be_compared_with(run, quick, small_root: Path):
    data = run.Records.open(small_root)
    arms = quick.arms | {"both": run.dataclasses.replace(quick.arms["both"], against="windows")}
    compared = run.dataclasses.replace(quick, against="plain", arms=arms)
    rows = run.run(compared, data, cross_validated=False).set_index("arm")
    expected = rows.loc[["windows", "both"], "auroc"].to_numpy() - rows.loc[["plain", "windows"], "auroc"].to_numpy()
    np.testing.assert_allclose(rows.loc[["windows", "both"], "difference"], expected, atol=1e-12)


def test_the_interval_of_a_perfect_answer_is_one_point(run):
    y_true = np.random.default_rng(0).integers(0, 2, (50, 4))
    found = run.summary(y_true, np.stack([y_true, y_true]).astype(float))
    assert (found["auroc"], found["low"], found["high"], found["sd"]) == (1, 1, 1, 0)
    assert found["n"] == 50 and found["seeds"] == 2


def test_the_tables_of_the_book_are_those_of_the_results(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "RESULTS", EXPERIMENTS / "results")
    text = run.PAGE.read_text(encoding="utf-8")
    assert run.with_tables(text) == text
    # Results of the practice set are nobody's figures: whoever runs it there has a file beside these.
    assert all(f"<!-- results/{path.name} -->" in text for path in run.RESULTS.glob("*_real.csv"))


def test_a_table_shows_what_was_found(run):
    run.RESULTS.mkdir()
    row = {"arm": "one", "weights": 1234, "auroc": 0.81234, "sd": 0.01, "low": 0.7, "high": 0.9, "n": 98, "seeds": 5}
    row |= {f"auroc_{name}": 0.5 + place / 10 for place, name in enumerate(ptbxl.CLASSES)}
    pd.DataFrame([row, row | {"arm": "mean", "weights": 0}]).to_csv(run.RESULTS / "some.csv", index=False)
    text = "before\n<!-- results/some.csv -->\nold\n<!-- end -->\nafter\n"
    made = run.with_tables(text)
    assert "| one | 1,234 | 0.812 (0.700 – 0.900) | 0.010 | 0.500 | 0.600 | 0.700 | 0.800 |" in made
    assert "| mean | – |" in made and "98 records, 5 seeds" in made and "old" not in made
    assert made.startswith("before\n") and made.endswith("<!-- end -->\nafter\n") and run.with_tables(made) == made
