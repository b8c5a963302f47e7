"""The command ``parameters``, and the settings that the original recommends, as files for ``train --config``."""

import re
from pathlib import Path

import pytest
import torch

from ecgcourse import cli, models
from ecgcourse.cli_asked import asked_for, model_asked_for, train_config
from ecgcourse.cli_words import parse
from ecgcourse.recipe import ImageRecipe, Recipe, Task

FOLDER = Path(__file__).parents[1] / "configs" / "original"
# Their README of April 2024: filters, batch size, learning rate, dropout; and how many weights their own networks have.
RECOMMENDED = {
    "alexnet": ({"filters": 16, "dropout": 0.0}, 256, 0.01, 46_569_476),
    "resnet": ({"filters": 16, "depth": 50, "bias": True, "init": "pytorch"}, 128, 0.01, 1_494_356),
    "vgg": ({"filters": 16, "dropout": 0.3, "depth": 10, "init": "pytorch"}, 128, 0.1, 285_347_124),
    "mobilenet": ({"filters": 32, "dropout": 0.0}, 16, 0.1, 2_230_724),
    "alexnet_attention": ({"filters": 8, "dropout": 0.0, "softmax_over": "queries"}, 16, 0.01, 46_335_880),
}


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> list[list[str]]:
    assert cli.main(["parameters", *map(str, words)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_there_is_a_file_for_each_of_their_rows():
    assert {path.stem for path in FOLDER.iterdir()} == set(RECOMMENDED)


@pytest.mark.parametrize("name", RECOMMENDED)
def test_train_reads_what_they_recommend(name, practice_root, tmp_path, capsys):
    settings, batch_size, learning_rate, n_weights = RECOMMENDED[name]
    path = FOLDER / f"{name}.toml"
    options = parse(["train", str(practice_root), "--config", str(path), "--out", str(tmp_path / "run")])
    options.data = practice_root
    asked = asked_for(options)
    config = train_config(options, asked["training"])
    assert (config.batch_size, config.learning_rate, config.optimizer) == (batch_size, learning_rate, "sgd")
    assert (config.epochs, config.weight_decay, config.seed) == (100, 0.0, 42)
    assert config.patience == (0 if name in ("resnet", "vgg") else 20)
    expected = [17111 / count for count in (4389, 3136, 1915, 417)]
    assert config.positive_weights == pytest.approx(expected, rel=1e-4)
    found, given, recipe, task = model_asked_for(options, asked)
    assert (found, recipe, task) == (name, Recipe(images=ImageRecipe()), Task())
    with torch.device("meta"):
        model = models.create(found, recipe, task, **given)
        assert model.settings == models.create(name, **settings).settings
    assert sum(weights.numel() for weights in model.parameters()) == n_weights
    assert printed(capsys, "--config", path)[-1] == ["all", f"{n_weights:,}"]


def test_all_models_are_counted_without_making_them(capsys):
    rows = {row[0]: row[-1] for row in printed(capsys)[1:]}
    assert tuple(rows) == models.names()
    # GRU: 3 layers of 3 gates; each has two tables and two biases.
    assert rows["gru"] == f"{3 * 128 * (3 + 128 + 2) + 2 * 3 * 128 * (128 + 128 + 2) + 129 * 4:,}"


def test_layers_of_one_add_up(capsys):
    first, _, _, *layers, total = printed(capsys, "cnn_lstm", "--set", "hidden=5", "--set", "leads=12")
    assert "hidden=5," in first and "leads=12," in first
    counts = [int(row[-1].replace(",", "")) for row in layers]
    assert counts == [12 * 24 * 5 + 24, 24 * 48 * 5 + 48, 48 * 96 * 5 + 96, 4 * 5 * (96 + 5 + 2), 6 * 4]
    assert total == ["all", f"{sum(counts):,}"]
    assert [row[1] for row in layers] == ["Conv1d", "Conv1d", "Conv1d", "LSTM", "Linear"]


def test_a_runs_own_settings_are_counted(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(
        '{"model": {"name": "compact", "filters": 2, "in_channels": 3, "n_classes": 2, "image_size": 64}, '
        '"task": {"classes": ["a", "b"]}, "recipe": {"images": {"leads": ["II"], "size": 64}}, "data": {"a": 1}}'
    )
    expected = sum(w.numel() for w in models.create("compact", filters=2, in_channels=3, n_classes=2).parameters())
    assert printed(capsys, "--config", path)[-1] == ["all", f"{expected:,}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nix"], "no model is called 'nix'"),
        (["gru", "--set", "hidden=0"], "hidden=0 isn't allowed"),
        (["gru", "--set", "hidden=99999999999"], "model 'gru' would be too large"),
        (["gru", "--config", str(FOLDER / "vgg.toml")], "names a model; leave gru out"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_line(words, message, capsys):
    assert cli.main(["parameters", *words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and re.search(re.escape(message), told[0])
