"""The shipped networks: small, with a card, and as good on real records as the card says."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import ecgcourse as ecg
from ecgcourse import ptbxl
from ecgcourse.cli import main
from ecgcourse.errors import SettingError
from ecgcourse.models import pretrained


@pytest.mark.parametrize("name", ["images", "signals"])
def test_each_is_small_calibrated_and_has_a_card(name):
    assert pretrained.path_of(name).stat().st_size < 1_000_000
    classifier, card = ecg.Classifier.pretrained(name, "cpu"), pretrained.card(name)
    assert classifier.task.classes == ptbxl.CLASSES and classifier.recipe.leads == ptbxl.LEADS
    assert classifier.model.calibration["method"] == "platt" and len(set(classifier.thresholds)) == 4
    for words in ("no medical device", "doi:10.13026/kfzx-aw45", "Commons Attribution 4.0", "What it can't do"):
        assert words in card


def test_only_shipped_networks_have_a_name():
    assert pretrained.names() == ("images", "signals")
    with pytest.raises(SettingError, match="no shipped network is called 'signal'; did you mean 'signals'"):
        ecg.Classifier.pretrained("signal")


def test_a_shipped_network_is_asked_by_its_name(practice_root, tmp_path, capsys):
    record = next((practice_root / "records100").rglob("*.hea"))
    assert main(["predict", "signals", str(record), "--quiet", "--csv", str(tmp_path / "said.csv")]) == 0
    said = pd.read_csv(tmp_path / "said.csv")
    assert ((said[list(ptbxl.CLASSES)] > 0) & (said[list(ptbxl.CLASSES)] < 1)).all(axis=None)


@pytest.mark.parametrize("name", ["images", "signals"])
def test_on_real_records_that_it_has_not_seen_it_is_as_good_as_its_card_says(real_root, name):
    table = ptbxl.read_table(real_root)
    table = table[table["labelled"] & (table["strat_fold"] >= 9)]
    said = ecg.Classifier.pretrained(name, "cpu").predict_proba(ptbxl.read_signals(real_root, table))
    row = next(line for line in pretrained.card(name).splitlines() if line.startswith(f"| {name} |"))
    low, high = (float(number) for number in row.split("(")[1].split(")")[0].split("–"))
    # These records are a part of those of the card, and fewer.
    assert low - 0.04 < roc_auc_score(ptbxl.labels(table), said) < high + 0.04
    assert np.abs(said.mean(axis=0) - ptbxl.labels(table).mean(axis=0)).max() < 0.15
