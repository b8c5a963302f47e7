"""Sweeps: what they train on, what they keep, and how they join answers."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from test_grids import QUICK, read

from ecgcourse import contest, practice, sweep, training
from ecgcourse.analysis.pooled import Pooled, Split
from ecgcourse.cli import main
from ecgcourse.errors import DataError

LATE = """
question = "Does it run?"
seeds = 1
validation = [9]
[defaults]
model = "late_fusion"
parts_training = { epochs = 1, learning_rate = 0.002 }
training = { epochs = 2, device = "cpu", optimizer = "adamw" }
[defaults.settings]
signal = "cnn1d"
image = "compact"
image_size = 16
freeze = true
signal_settings = { filters = 2 }
image_settings = { filters = 2 }
[grid]
settings.hidden = [4, 8]
"""


@pytest.fixture(scope="module")
def records(small_root: Path) -> Pooled:
    return Pooled.open([small_root])


@pytest.fixture(scope="module")
def quick(records: Pooled, tmp_path_factory: pytest.TempPathFactory) -> sweep.Sweep:
    folder = tmp_path_factory.mktemp("sweep")
    return sweep.Sweep(read(folder, QUICK), records, folder)


def entered(work: sweep.Sweep) -> contest.Contest:
    made = contest.Contest(work.records, work.splits)
    work.enter(made)
    return made


def test_arms_are_trained_judged_and_averaged(quick: sweep.Sweep, records: Pooled, monkeypatch: pytest.MonkeyPatch):
    rows = entered(quick).leaderboard({}, n_bootstrap=50)
    assert set(rows.index) == {"plain", "windows", "both", "weighed"}
    y_true = records.labels[quick.splits[0].judged]
    parts = {}
    for name in ("plain", "windows"):
        found = [quick.finished(quick.grid.arms[name], seed).y_prob for seed in (0, 1)]
        areas = [roc_auc_score(y_true, y_prob, average="macro") for y_prob in found]
        assert rows.loc[name, "auroc"] == pytest.approx(np.mean(areas))
        assert rows.loc[name, "sd"] == pytest.approx(np.std(areas, ddof=1))
        parts[name] = np.stack(found)
    joined = expit((logit(parts["plain"]) + logit(parts["windows"])) / 2)
    areas = [roc_auc_score(y_true, one, average="macro") for one in joined]
    assert rows.loc["both", "auroc"] == pytest.approx(np.mean(areas))
    assert rows.loc["both", "weights"] == rows.loc[["plain", "windows"], "weights"].sum()
    # Weighed by a logistic regression per class, which learned from records that no part was trained on.
    areas, labels = [], np.concatenate([records.labels[split.judged] for split in records.splits(cross_validated=True)])
    for seed in (0, 1):
        unseen = [quick.finished(quick.grid.arms[name], seed, cross_validated=True).y_prob for name in parts]
        for k in range(4):
            x, x_judged = (
                logit(np.stack([each[:, k] for each in them], axis=1))
                for them in (unseen, [each[seed] for each in parts.values()])
            )
            regression = LogisticRegression().fit(x, labels[:, k])
            areas.append(roc_auc_score(y_true[:, k], regression.decision_function(x_judged)))
    assert rows.loc["weighed", "auroc"] == pytest.approx(np.mean(areas))
    # What was trained isn't trained again.
    monkeypatch.setattr(sweep, "train_and_judge", lambda *_: pytest.fail("trained twice"))
    quick.train()
    np.testing.assert_array_equal(entered(quick).leaderboard({}, n_bootstrap=50)["auroc"], rows["auroc"])


def test_weights_of_a_joint_arm_are_learned_on_other_groups_in_cross_validation(quick: sweep.Sweep, records: Pooled):
    inside = dataclasses.replace(quick, cross_validated=True)
    said = entered(inside).entries["weighed"].said[0]
    found = [inside.finished(inside.grid.arms[name], 0).y_prob for name in ("plain", "windows")]
    rows = np.concatenate([split.judged for split in inside.splits])
    np.testing.assert_array_equal(said.ecg_id, records.ecg_ids[rows])
    group = np.isin(records.folds[rows], (3, 4))
    for k in range(4):
        x = logit(np.stack([part[:, k] for part in found], axis=1))
        regression = LogisticRegression().fit(x[~group], said.y_true[~group, k])
        np.testing.assert_allclose(said.y_prob[group, k], regression.predict_proba(x[group])[:, 1], atol=1e-6)


def test_parts_learn_first_and_once_and_a_fold_chooses_the_epoch(records: Pooled, tmp_path, monkeypatch):
    seen, fit = [], training.fit

    def watched(model, train, val, config):
        seen.append((model.settings["name"], config.learning_rate, len(train), len(val)))
        return fit(model, train, val, config)

    monkeypatch.setattr(training, "fit", watched)
    work = sweep.Sweep(read(tmp_path, LATE), records, tmp_path)
    work.train()
    folds = records.folds
    sizes = int((folds <= 8).sum()), int((folds == 9).sum())
    parts = [("cnn1d", 0.002, *sizes), ("compact", 0.002, *sizes)]
    assert seen == [*parts, ("late_fusion", 0.1, *sizes), ("late_fusion", 0.1, *sizes)]
    assert entered(work).entries["hidden=4"].said[0].y_true.shape == ((folds == 10).sum(), 4)
    kept = [training.load_checkpoint(path) for path in sorted((tmp_path / "runs").glob("before-*.pt"))]
    assert {each.settings["name"] for each in kept} == {"cnn1d", "compact"}


def test_what_diverges_stops_nothing_and_is_told(records: Pooled, tmp_path: Path):
    text = QUICK.replace("[arms.plain]", '[arms.plain]\nagainst = "windows"')
    text += "[arms.wild]\nagainst = 'plain'\ntraining = { optimizer = 'sgd', learning_rate = 1e30 }\n"
    text += "[arms.mixed]\nmean_of = ['plain', 'wild']\n"
    work = sweep.Sweep(read(tmp_path, text.replace("seeds = 2", "seeds = 1")), records, tmp_path)
    board = entered(work)
    assert set(board.entries) == {"plain", "windows", "both", "weighed"}
    assert [note.split(":")[0] for note in board.notes] == ["wild", "mixed"]
    assert "1 of 1 trainings failed (the training loss" in board.notes[0]
    assert work.references(board) == {"plain": "windows"}


def test_pretraining_takes_the_practice_set_and_every_seed_goes_on_from_it(
    quick, records, small_root, tmp_path, monkeypatch
):
    monkeypatch.setattr(practice, "default_folder", lambda: small_root)
    monkeypatch.setattr(practice, "write", lambda folder: folder)
    seen, fit = [], training.fit

    def watched(model, train, val, config):
        before = [weights.clone() for weights in model.parameters()]
        history = fit(model, train, val, config)
        seen.append((len(train), config.seed, before, [weights.clone() for weights in model.parameters()]))
        return history

    monkeypatch.setattr(training, "fit", watched)
    arm = dataclasses.replace(quick.grid.arms["plain"], pretraining={"epochs": 1})
    work = dataclasses.replace(quick, out=tmp_path)
    split = work.splits[0]
    for seed in (3, 4):
        assert work.finished(arm, seed).y_prob.shape == (len(split.judged), 4)
    assert [each[:2] for each in seen] == [(len(records), 0), (len(split.train), 3), (len(split.train), 4)]
    for _, _, before, _ in seen[1:]:
        assert all((one == other).all() for one, other in zip(before, seen[0][3], strict=True))


def test_a_repeated_training_gives_the_same_probabilities(quick: sweep.Sweep, records: Pooled):
    split = Split(*(rows[:64] for rows in quick.splits[0]))
    once, again = (sweep.train_and_judge(quick.grid.arms["windows"], 3, records, split) for _ in range(2))
    np.testing.assert_array_equal(once.y_prob, again.y_prob)
    assert once.cpu_seconds > 0 and once.cpu_ms > 0


def test_a_damaged_result_names_its_file(quick: sweep.Sweep, tmp_path: Path):
    work = dataclasses.replace(quick, out=tmp_path)
    path = work.place(quick.grid.arms["plain"], 0, False)
    path.parent.mkdir()
    path.write_bytes(b"PK no")
    with pytest.raises(DataError, match=f"{path} isn't a finished training: .*; remove it"):
        work.finished(quick.grid.arms["plain"], 0)


def test_the_command_trains_in_several_processes_and_goes_on(quick, small_root, tmp_path, monkeypatch, capsys):
    used = []

    def in_this_process(work, pieces, n_jobs):
        used.append((n_jobs, len(pieces)))
        # As it goes to another process and back.
        return (work(None, *pickle.loads(pickle.dumps(piece))[1:]) for piece in pieces)

    monkeypatch.setattr(sweep, "parallel_map", in_this_process)
    text = QUICK.split("[arms.weighed]")[0].replace("seeds = 2", "seeds = 2\nagainst = 'plain'")
    (tmp_path / "q.toml").write_text(text)
    words = ["sweep", str(tmp_path / "q.toml"), str(small_root), "--out", str(tmp_path / "out"), "--n-bootstrap", "50"]
    assert main([*words, "--processes", "2", "--seeds", "1"]) == 0
    assert "differences to plain" in capsys.readouterr().out
    found = sorted(path.name for path in (tmp_path / "out" / "runs").iterdir())
    assert found == sorted(quick.place(quick.grid.arms[name], 0, False).name for name in ("plain", "windows"))
    assert main(words) == 0
    assert "2 of 2 trainings" in capsys.readouterr().out and used == [(2, 2), (1, 2)]
    lines = (tmp_path / "out" / "q_practice.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["model", "plain", "windows", "both"]
