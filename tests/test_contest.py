"""The contest: who may enter, how they are asked, and what the leaderboard says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from ecgcourse import LEADS, Classifier, Recipe, SignalRecipe, baselines, models, ptbxl, training
from ecgcourse.analysis.contest import BASELINE, Contest
from ecgcourse.analysis.pooled import Pooled
from ecgcourse.cli import main
from ecgcourse.errors import DataError, SettingError

CLASSES = list(ptbxl.CLASSES)


@pytest.fixture(scope="module")
def opened(small_root: Path) -> Contest:
    return Contest.open(small_root, progress=False)


@pytest.fixture
def contest(opened: Contest) -> Contest:
    """One of its own for each test, with the baselines that were fitted once."""
    made = Contest(opened.records, opened.splits)
    made.entries |= opened.entries
    return made


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    training.seed_everything(0)
    return Classifier(models.create("cnn1d", Recipe(signals=SignalRecipe(leads=LEADS)), filters=2), "cpu")


def test_baselines_are_those_of_the_package(opened: Contest, small_root: Path):
    assert list(opened.entries) == list(baselines.BASELINES) and opened.notes == []
    for name, said in baselines.predict(small_root, judged_folds=(9, 10), names=["age and sex", BASELINE]).items():
        np.testing.assert_array_equal(opened.entries[name].said[0].y_prob, said.y_prob)
        np.testing.assert_array_equal(opened.ecg_ids, said.ecg_id)
        assert opened.entries[name].cpu_seconds > 0


def test_the_leaderboard_has_scikit_learns_scores_and_says_who_is_compared(contest: Contest, classifier: Classifier):
    x = contest.voltages()
    contest.add(classifier, "mine").add(classifier.model, "the same network", note="twice")
    two = [contest.predictions(np.random.default_rng(k).random(contest.y_true.shape)) for k in (0, 1)]
    contest.add(two, "two guesses", weights=7, cpu_seconds=3.5, cpu_ms=1.0)
    board = contest.leaderboard(n_bootstrap=50)
    y_prob = classifier.predict_proba(x, 100)
    assert board.loc["mine", "auroc"] == pytest.approx(roc_auc_score(contest.y_true, y_prob, average="macro"))
    brier = np.mean([brier_score_loss(t, p) for t, p in zip(contest.y_true.T, y_prob.T, strict=True)])
    assert board.loc["mine", "brier"] == pytest.approx(brier)
    assert board.loc["the same network", "auroc"] == board.loc["mine", "auroc"]
    assert board.loc["mine", "weights"] == sum(each.numel() for each in classifier.model.parameters())
    areas = [roc_auc_score(contest.y_true, each.y_prob, average=None) for each in two]
    row = board.loc["two guesses"]
    assert row["auroc"] == pytest.approx(np.mean(areas)) and row["auroc_CD"] == pytest.approx(np.mean(areas, axis=0)[2])
    assert row["sd"] == pytest.approx(np.std(np.mean(areas, axis=1), ddof=1))
    assert row[["weights", "cpu_seconds", "cpu_ms", "trainings"]].tolist() == [7, 3.5, 1, 2]
    assert board["auroc"].is_monotonic_decreasing and set(board["records"]) == {len(contest.rows)}
    assert board.loc[BASELINE, "compared_with"] == "" and np.isnan(board.loc[BASELINE, "difference"])
    others = board.drop(index=BASELINE)
    assert set(others["compared_with"]) == {BASELINE}
    np.testing.assert_allclose(others["difference"], others["auroc"] - board.loc[BASELINE, "auroc"])


def test_answers_may_come_in_any_of_the_forms_that_the_commands_write(contest, classifier, small_root, tmp_path):
    said = classifier.predictions(_asked(contest, classifier))
    y_prob = pd.DataFrame(said.y_prob, columns=CLASSES).assign(ecg_id=contest.ecg_ids)
    y_prob.sample(frac=1, random_state=0).to_csv(tmp_path / "short.csv", index=False)
    contest.predictions(said.y_prob).write(tmp_path / "stored.csv")
    files = [str(small_root / name) for name in contest.records.table.loc[contest.ecg_ids, "filename_lr"]]
    files = pd.DataFrame(said.y_prob, columns=CLASSES).assign(file=files)
    pd.concat([files, files.head(2).assign(file="elsewhere/x.csv")]).to_csv(tmp_path / "files.csv", index=False)
    training.save_checkpoint(tmp_path / "run" / "best.pt", classifier.model)
    for path in ("short.csv", "stored.csv", "files.csv", "run"):
        contest.add(tmp_path / path)
        np.testing.assert_allclose(contest.entries[str(tmp_path / path)].said[0].y_prob, said.y_prob, atol=1e-6)
    for name, broken, words in (
        ("lacks.csv", y_prob.head(-3), "no answer for ecg_id .* 2 others"),
        ("twice.csv", pd.concat([y_prob, y_prob.head(1)]), "comes twice"),
        ("words.csv", y_prob.assign(MI="much"), "isn't a number"),
        ("class.csv", y_prob.drop(columns="HYP"), "a column for each of MI, STTC, CD, HYP"),
        ("above.csv", y_prob.assign(MI=1.5), r"\[0, 1\]"),
        ("labels.csv", y_prob.assign(label_MI=1 - contest.y_true[:, 0]), "label_MI of ecg_id .* isn't that of these"),
    ):
        broken.to_csv(tmp_path / name, index=False)
        with pytest.raises(DataError, match=words):
            contest.add(tmp_path / name)


def _asked(contest: Contest, classifier: Classifier):
    from ecgcourse import datasets

    return datasets.from_arrays(contest.voltages(), contest.y_true, recipe=classifier.recipe, task=classifier.task)


def test_who_cannot_be_asked_is_refused(contest: Contest, classifier: Classifier, tmp_path: Path):
    class Short:
        def predict_proba(self, x):
            return np.zeros((len(x), 3))

    for entry, error, words in (
        (object(), SettingError, "can't be asked"),
        (Short(), DataError, r"answers of shape .*, 3\)"),
        ([], SettingError, "no entry"),
        (tmp_path / "none", DataError, "isn't there; .* signals"),
        (models.create("cnn1d", classes=("MI", "CD")), DataError, "for each of MI, STTC, CD, HYP"),
    ):
        with pytest.raises(error, match=words):
            contest.add(entry)
    with pytest.raises(SettingError, match="called 'prevalence' already"):
        contest.add(classifier, "prevalence")


def test_folders_are_taken_together_and_voltages_that_are_lost_are_noticed(small_root, practice_root, tmp_path):
    one = Pooled.open([small_root])
    with pytest.raises(DataError, match="ecg_id 1 is in two of"):
        Pooled.open([small_root, practice_root])
    table = one.table.copy()
    table.loc[table.index[:5], ["patient_id", "age", "sex"]] = np.nan
    scaled = Pooled(one.voltages / one.voltages.std(axis=2, keepdims=True), table, True)
    assert one.in_millivolts and not scaled.in_millivolts
    assert len(set(scaled.patients[:5])) == 5 and (scaled.patients[:5] < 0).all()
    np.testing.assert_array_equal(scaled.patients[5:], one.patients[5:])
    contest = Contest(scaled, scaled.splits()).add_baselines()
    assert "quantiles of 12 leads in mV" not in contest.entries
    assert [note.split(":")[0] for note in contest.notes] == ["quantiles of 12 leads in mV", "age and sex"]
    assert "unknown of 5 of" in contest.notes[1]


def test_folds_are_kept_apart(small_root: Path):
    records = Pooled.open([small_root])
    (train, stops, judged), *others = records.splits((10,), (9,))
    folds = records.folds
    assert not others and [set(folds[rows]) for rows in (train, stops, judged)] == [set(range(1, 9)), {9}, {10}]
    groups = records.splits(cross_validated=True)
    assert sorted(np.concatenate([split.judged for split in groups])) == sorted(train)
    assert all(not set(folds[split.train]) & {9, 10, *folds[split.judged]} for split in groups)


def test_the_command_enters_what_it_is_told(small_root, contest, tmp_path, capsys):
    contest.predictions(contest.entries[BASELINE].said[0].y_prob).write(tmp_path / "mine.csv")
    words = ("contest", small_root, "--add", tmp_path / "mine.csv", "--add", "signals", "--n-bootstrap", 50)
    assert main([*map(str, words), "--csv", str(tmp_path / "out.csv")]) == 0
    printed, board = capsys.readouterr().out, pd.read_csv(tmp_path / "out.csv", index_col="model")
    assert f"{len(contest.rows)} that judge" in printed and "synthetic practice set" in printed
    assert set(board.index) == {*baselines.BASELINES, str(tmp_path / "mine.csv"), "signals"}
    assert (
        board.loc[str(tmp_path / "mine.csv"), ["difference", "difference_low", "difference_high"]].tolist() == [0] * 3
    )
    assert main(["contest", str(small_root), "--add", "nothing"]) == 2
    assert "nothing isn't there" in capsys.readouterr().err
