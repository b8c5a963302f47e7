"""What a run's predictions are kept for: comparing, calibrating, and the page of a report."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_pages import Page
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from ecgcourse import Classifier, baselines, datasets, metrics, practice, ptbxl, training
from ecgcourse.cli import main
from ecgcourse.errors import CheckpointError

QUICK = "--model cnn1d --filters 8 --epochs 2 --optimizer adam --learning-rate 0.01 --device cpu".split()


def command(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return practice.write(tmp_path_factory.mktemp("practice") / "data", n_records=300, seed=4)


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trainings, judged."""
    made = []
    for seed in (0, 1):
        made.append(tmp_path_factory.mktemp("runs") / f"seed{seed}")
        assert command("train", root, *QUICK, "--seed", seed, "--out", made[-1], "--quiet") == 0
        words = ("--data", root, "--json", made[-1] / "metrics.json", "--device", "cpu", "--quiet")
        assert command("evaluate", made[-1], *words) == 0
    return made


def test_predictions_are_kept_record_by_record(root, runs):
    frame, table = pd.read_csv(runs[0] / "predictions_test.csv", index_col="ecg_id"), ptbxl.read_table(root)
    kept = ptbxl.split(table)["test"]
    np.testing.assert_array_equal(frame.index, kept.index)
    np.testing.assert_array_equal(frame["patient_id"], kept["patient_id"])
    model = training.load_checkpoint(runs[0] / "best.pt")
    dataset = datasets.from_data(root, "test", recipe=model.recipe, task=model.task)
    y_true, y_prob = training.predict(model, dataset, device="cpu")
    for k, name in enumerate(ptbxl.CLASSES):
        np.testing.assert_array_equal(frame[f"label_{name}"], y_true[:, k])
        np.testing.assert_allclose(frame[f"probability_{name}"], y_prob[:, k])
        np.testing.assert_allclose(expit(frame[f"logit_{name}"]), y_prob[:, k])
    printed = json.loads((runs[0] / "metrics.json").read_text())
    assert printed["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(y_true, y_prob, average="macro"))
    assert printed["n_patients"] == kept["patient_id"].nunique()


def test_runs_are_compared_with_baselines_in_front(root, runs, tmp_path, capsys):
    out = tmp_path / "table.csv"
    words = ("--baselines", "--data", root, "--against", runs[0], "--csv", out, "--n-bootstrap", 200, "--quiet")
    assert command("compare", *runs, *words) == 0
    printed, table = capsys.readouterr().out, pd.read_csv(out, index_col="model")
    assert list(table.index) == [*baselines.BASELINES, *map(str, runs)]
    areas = [json.loads((run / "metrics.json").read_text())["macro"]["auroc"]["value"] for run in runs]
    np.testing.assert_allclose(table.loc[[str(run) for run in runs], "auroc"], areas)
    assert table.at[str(runs[1]), "difference"] == pytest.approx(areas[1] - areas[0])
    assert table.loc[str(runs[0])].filter(like="difference").isna().all()
    assert "those of differences for all at once" in printed
    for name in baselines.BASELINES:
        assert re.search(rf"^{re.escape(name)} .*[01]\.\d\d\d \([01]\.\d\d\d-[01]\.\d\d\d\)", printed, re.MULTILINE)


def test_a_table_that_anybody_made_can_be_compared(runs, tmp_path, capsys):
    frame = pd.read_csv(runs[0] / "predictions_test.csv")
    frame.filter(regex="^(ecg_id|label_|probability_)").sample(frac=1, random_state=0).to_csv(tmp_path / "mine.csv")
    assert command("compare", runs[0], tmp_path / "mine.csv", "--n-bootstrap", 50) == 0
    assert "+0.000 (+0.000 to +0.000)" in capsys.readouterr().out


def test_a_run_that_was_not_judged_says_what_to_do(runs, tmp_path, capsys):
    assert command("compare", runs[0], "--partition", "val") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"`python -m ecgcourse evaluate {runs[0]}` writes it" in error


def test_calibrating_changes_probabilities_and_thresholds_but_no_decision(root, runs, capsys):
    run = runs[1]
    before = Classifier.load(run, "cpu")
    val = datasets.from_data(root, "val", recipe=before.recipe, task=before.task)
    test = datasets.from_data(root, "test", recipe=before.recipe, task=before.task)
    said = before.predictions(val), before.predictions(test)
    decided = metrics.decide(said[0].y_prob, before.thresholds)
    assert command("calibrate", run, "--data", root, "--method", "platt", "--device", "cpu", "--quiet") == 0
    assert "before: Brier score" in capsys.readouterr().out
    after = Classifier.load(run, "cpu")
    kept = after.model.calibration
    np.testing.assert_array_equal(metrics.decide(after.predictions(val).y_prob, after.thresholds), decided)
    now = after.predictions(test)
    np.testing.assert_allclose(now.y_prob, expit(said[1].logits * kept["slopes"] + kept["offsets"]))
    np.testing.assert_allclose(now.logits, said[1].logits)
    voltages = ptbxl.read_signals(root, test.table.head(3))
    np.testing.assert_allclose(after.predict_proba(voltages), now.y_prob[:3], atol=1e-6)
    report = after.evaluate(test, n_bootstrap=20)
    assert report.n_patients == test.table["patient_id"].nunique()
    noted = json.loads((run / "thresholds.json").read_text())
    assert list(noted["thresholds"].values()) == after.thresholds.tolist()
    content = training.load_checkpoint(run / "best.pt")
    assert content.data == before.model.data and content.thresholds == tuple(after.thresholds)


@pytest.mark.parametrize("numbers", [[1.0], [1.0, 1.0, 1.0, float("nan")], "four", [True] * 4])
def test_a_damaged_calibration_is_refused(runs, tmp_path, numbers):
    model = training.load_checkpoint(runs[0] / "best.pt")
    training.save_checkpoint(tmp_path / "best.pt", model, calibration={"slopes": [1.0] * 4, "offsets": numbers})
    with pytest.raises(CheckpointError, match="calibration: offsets"):
        training.load_checkpoint(tmp_path / "best.pt")


@pytest.fixture(scope="module")
def page(root: Path, runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("report") / "page.html"
    assert command("evaluate", runs[0], "--data", root, "--report", out, "--device", "cpu", "--quiet") == 0
    return Page(out.read_text(encoding="utf-8"))


def test_the_page_of_a_report_asks_no_other_place(page):
    page.check_that_it_asks_no_other_place()


def test_the_page_can_be_read_without_eyes(page):
    page.check_that_it_can_be_read_without_eyes()
    assert len(page.all("section")) >= 6 and len(page.all("table")) >= 6 and page.all("img")
    assert len(page.all("svg")) == 4


def test_the_page_says_what_the_command_line_says(page, runs):
    words = " ".join(" ".join(page.words).split())
    assert "Synthetic records." in words and "no medical device" in words
    printed = json.loads((runs[0] / "metrics.json").read_text())
    for name in ptbxl.CLASSES:
        assert f"{printed['per_class'][name]['auroc']['value']:.3f}" in words
    assert all(name in words for name in baselines.BASELINES)
    worst = pd.read_csv(runs[0] / "predictions_test.csv")
    p, t = worst.filter(like="probability_").to_numpy(), worst.filter(like="label_").to_numpy()
    loss = -np.log(np.where(t == 1, p, 1 - p)).sum(axis=1)
    assert f"Record {worst['ecg_id'][loss.argmax()]}" in words
    assert " ".join(["none of these", *map(str, printed["none"].values())]) in words
    assert "sex: female, MI" in words and "patients have it" in words
