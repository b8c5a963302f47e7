"""The training loop, against arithmetic in NumPy and against scikit-learn."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, recall_score, roc_auc_score
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import Dataset, TensorDataset

from ecgcourse import datasets, models, optimization, training
from ecgcourse.errors import CheckpointError, DataError, EcgCourseWarning, SettingError
from ecgcourse.images.signals import SignalRecipe
from ecgcourse.learning.training import TrainConfig
from ecgcourse.recipe import Task

SIZE = 8
CPU = torch.device("cpu")


class Linear(nn.Module):
    """The mean grey level of each channel, and one linear layer: small enough for arithmetic by hand."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.settings = {"name": "linear", "dropout": dropout}
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.Linear(9, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(self.dropout(images.mean(dim=(2, 3))))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.REGISTRY, "linear", Linear)


def a_dataset(n_records: int = 20, seed: int = 0, size: int = SIZE) -> datasets.RenderedImages:
    rng = np.random.default_rng(seed)
    # The first two rows give every class a positive and a negative.
    labels = np.vstack([np.zeros(4), np.ones(4), rng.integers(0, 2, (n_records - 2, 4))])
    return datasets.RenderedImages(rng.random((n_records, 3, 50)) ** 2, labels, size)


def a_model(dropout: float = 0.0) -> Linear:
    training.seed_everything(0)
    return models.create("linear", dropout=dropout)


def a_config(**settings) -> TrainConfig:
    return TrainConfig(**{"epochs": 3, "batch_size": 8, "device": "cpu"} | settings)


def features(dataset: datasets.RenderedImages) -> np.ndarray:
    return dataset[:][0].numpy().mean(axis=(2, 3), dtype=np.float64) / 255


def parameters(model: Linear) -> tuple[np.ndarray, np.ndarray]:
    return tuple(p.detach().numpy().astype(np.float64).copy() for p in (model.layer.weight, model.layer.bias))


def probabilities(dataset: datasets.RenderedImages, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(features(dataset) @ weight.T + bias)))


def weighted_loss(y_true: np.ndarray, y_prob: np.ndarray, weights: np.ndarray) -> float:
    """scikit-learn's cross-entropy, each positive counted as often as its weight says."""
    sums = [
        log_loss(t, p, sample_weight=np.where(t == 1, w, 1), normalize=False)
        for t, p, w in zip(y_true.T, y_prob.T, weights, strict=True)
    ]
    return sum(sums) / y_true.size


def script_losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[dict[str, torch.Tensor]]:
    """Let `validate` report given losses; return the weights that it was asked about, as they come."""
    seen = []
    validate = training.validate

    def scripted(model: nn.Module, *rest: object) -> tuple[float, np.ndarray, np.ndarray]:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return losses[len(seen) - 1], *validate(model, *rest)[1:]

    monkeypatch.setattr(training, "validate", scripted)
    return seen


def gradients(dataset: datasets.RenderedImages, model: Linear) -> tuple[np.ndarray, np.ndarray]:
    """Of the weighted cross-entropy over the whole dataset, by the chain rule."""
    y, x = dataset.labels.numpy().astype(np.float64), features(dataset)
    w = (y == 0).sum(axis=0) / (y == 1).sum(axis=0)
    p = probabilities(dataset, *parameters(model))
    errors = (p * (w * y + 1 - y) - w * y) / y.size
    return errors.T @ x, errors.sum(axis=0)


# --- one step


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_a_step_of_sgd_is_the_arithmetic_of_its_definition(weight_decay: float):
    dataset, model = a_dataset(), a_model()
    expected = [
        value - 0.5 * (slope + weight_decay * value)
        for value, slope in zip(parameters(model), gradients(dataset, model), strict=True)
    ]
    config = a_config(epochs=1, batch_size=20, learning_rate=0.5, weight_decay=weight_decay)
    training.fit(model, dataset, dataset, config)
    for value, wanted in zip(parameters(model), expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate():
    dataset, model = a_dataset(), a_model()
    # Kingma and Ba 2015: with both moments corrected, the first step is g / (|g| + eps).
    expected = [
        value - 0.01 * slope / (np.abs(slope) + 1e-8)
        for value, slope in zip(parameters(model), gradients(dataset, model), strict=True)
    ]
    config = a_config(epochs=1, batch_size=20, learning_rate=0.01, optimizer="adam")
    training.fit(model, dataset, dataset, config)
    for value, wanted in zip(parameters(model), expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_positive_weights_are_negatives_over_positives():
    labels = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    weights = training.positive_weights(labels)
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights.numpy(), [3, 3, 1 / 3, 1], rtol=1e-7)


@pytest.mark.parametrize(("value", "word"), [(0, "positive"), (1, "negative")])
def test_a_class_with_one_outcome_only_is_named(value: int, word: str):
    dataset = a_dataset()
    labels = dataset.labels.clone()
    labels[:, 2] = value
    poor = datasets.RenderedImages(dataset.signals, labels, SIZE)
    with pytest.raises(DataError, match=f"none of the 20 records is {word} for CD"):
        training.positive_weights(labels)
    with pytest.raises(DataError, match="training labels.* CD"):
        training.fit(a_model(), poor, dataset, a_config())
    with pytest.raises(DataError, match="validation labels.* CD"):
        training.fit(a_model(), dataset, poor, a_config())


# --- losses and metrics of an epoch


def test_losses_are_means_over_records_whatever_the_batches():
    train, val, model = a_dataset(), a_dataset(11, seed=1), a_model()
    history = training.fit(model, train, val, a_config(learning_rate=1e-12, batch_size=8))
    y_true = train.labels.numpy()
    weights = (y_true == 0).sum(axis=0) / (y_true == 1).sum(axis=0)
    for row in history.rows:
        for name, dataset in (("train_loss", train), ("val_loss", val)):
            expected = weighted_loss(dataset.labels.numpy(), probabilities(dataset, *parameters(model)), weights)
            assert row[name] == pytest.approx(expected, rel=1e-5)


def test_the_training_loss_is_of_this_epoch_alone():
    losses = iter([4.0, 1.0, 7.0])
    model = a_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss_function(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return 0 * logits.sum() + next(losses)

    two, one = (torch.zeros(n, 9, 4, 4, dtype=torch.uint8) for n in (2, 1))
    first = [(two, torch.zeros(2, 4)), (one, torch.zeros(1, 4))]
    assert training.train_one_epoch(model, first, loss_function, optimizer, CPU) == pytest.approx(3.0)
    second = [(one, torch.zeros(1, 4))]
    assert training.train_one_epoch(model, second, loss_function, optimizer, CPU) == pytest.approx(7.0)


def test_the_metrics_of_an_epoch_are_those_of_its_predictions():
    train, val, model = a_dataset(), a_dataset(30, seed=1), a_model()
    row = training.fit(model, train, val, a_config(epochs=1)).rows[0]
    y_true, y_prob = training.predict(model, val, device="cpu")
    predicted = y_prob >= 0.5
    areas = [roc_auc_score(y_true[:, k], y_prob[:, k]) for k in range(4)]
    assert row["epoch"] == 1
    assert row["auroc"] == pytest.approx(np.mean(areas))
    assert [row[f"auroc_{name}"] for name in ("MI", "STTC", "CD", "HYP")] == pytest.approx(areas)
    assert row["sensitivity"] == pytest.approx(recall_score(y_true, predicted, average="macro"))
    assert row["specificity"] == pytest.approx(recall_score(1 - y_true, ~predicted, average="macro"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "capability, precision, warned",
    [
        ("AVX2", "bfloat16", True),
        ("AVX512", "bfloat16", False),
        ("AVX2", "float32", False),
    ],
)
def test_a_processor_that_imitates_bfloat16_is_named(
    capability: str, precision: str, warned: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    expected = pytest.warns(EcgCourseWarning, match="precision='float32' is the better") if warned else nullcontext()
    with expected:
        training.fit(a_model(), a_dataset(), None, a_config(epochs=1, precision=precision))


@pytest.mark.filterwarnings("ignore:this processor")
def test_bfloat16_is_float32_to_eight_bits():
    """Weights stay float32, so that a step of 0.1 % of a weight is not lost."""
    dataset = a_dataset()
    in_full, in_half = a_model(), a_model()
    training.fit(in_full, dataset, dataset, a_config(learning_rate=0.01))
    training.fit(in_half, dataset, dataset, a_config(learning_rate=0.01, precision="bfloat16"))
    for wanted, value in zip(in_full.parameters(), in_half.parameters(), strict=True):
        assert value.dtype == torch.float32
        assert 0 < (wanted - value).abs().max() < 2**-8 * wanted.abs().max()
    y_true, y_prob = training.predict(in_half, dataset, device="cpu", precision="bfloat16")
    np.testing.assert_allclose(y_prob, training.predict(in_half, dataset, device="cpu")[1], atol=2**-8)
    with pytest.raises(SettingError, match="precision='float8' isn't allowed"):
        training.predict(in_half, dataset, device="cpu", precision="float8")


def test_a_compiled_network_learns_the_same(tmp_path: Path):
    dataset = a_dataset()
    plain, compiled = a_model(), a_model()
    training.fit(plain, dataset, dataset, a_config())
    training.fit(compiled, dataset, dataset, a_config(compile=True, out=tmp_path))
    for wanted, value in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-6, rtol=1e-5)
    assert training.load_checkpoint(tmp_path / "best.pt").state_dict().keys() == plain.state_dict().keys()


def test_images_that_come_as_floats_are_not_divided_again():
    bytes_, floats = a_dataset(), a_dataset()
    floats.dtype = torch.float32
    models_ = [a_model(), a_model()]
    histories = [
        training.fit(model, dataset, dataset, a_config())
        for model, dataset in zip(models_, (bytes_, floats), strict=True)
    ]
    assert histories[0].rows == histories[1].rows


# --- when to stop, what to keep


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 4, 3, 4, 4, 4, 1], 3, 6, 3),
        ([5, 4, 4, 4], 2, 4, 2),
        ([1, 2, 3], 1, 2, 1),
        ([1, 2, 3, 4], 0, 4, 1),
        ([4, 3, 5, 2], 2, 4, 4),
    ],
)
def test_training_stops_when_patience_ends(
    losses: list[float], patience: int, epochs: int, best: int, monkeypatch: pytest.MonkeyPatch
):
    script_losses(monkeypatch, losses)
    config = a_config(epochs=len(losses), patience=patience)
    history = training.fit(a_model(), a_dataset(), a_dataset(), config)
    assert [row["epoch"] for row in history.rows] == list(range(1, epochs + 1))
    assert history.best_epoch == best


def test_the_weights_of_the_best_epoch_are_kept_in_the_model_and_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    seen = script_losses(monkeypatch, [3, 1, 2])
    model = a_model()
    training.fit(model, a_dataset(), a_dataset(), a_config(out=tmp_path))
    loaded = training.load_checkpoint(tmp_path / "best.pt")
    for name, wanted in seen[1].items():
        assert torch.equal(model.state_dict()[name], wanted)
        assert torch.equal(loaded.state_dict()[name], wanted)
        assert not torch.equal(seen[2][name], wanted)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["epoch"] == 2


def test_the_history_grows_with_each_epoch_and_is_reported(tmp_path: Path):
    lines, reported = [], []

    def report(row: dict[str, float]) -> None:
        reported.append(row)
        lines.append(len(pd.read_csv(tmp_path / "history.csv")))

    history = training.fit(a_model(), a_dataset(), a_dataset(), a_config(out=tmp_path), report)
    assert lines == [1, 2, 3] and reported == history.rows
    assert training.History.from_csv(tmp_path / "history.csv") == history


def test_the_configuration_can_be_read_back(tmp_path: Path):
    config = a_config(out=tmp_path / "deep" / "run", weight_decay=0.01)
    training.fit(a_model(), a_dataset(), a_dataset(), config)
    content = json.loads((tmp_path / "deep" / "run" / "config.json").read_text())
    # Of what was left to the device, config.json has what was chosen.
    chosen = {"precision": "float32", "channels_last": True}
    assert TrainConfig.from_dict(content["training"]).to_dict() == config.to_dict() | chosen
    assert models.create(**content["model"]).settings == a_model().settings


def test_a_folder_that_can_not_be_written_is_found_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(training, "train_one_epoch", lambda *_: pytest.fail("trained for nothing"))
    with pytest.raises(DataError, match="file"):
        training.fit(a_model(), a_dataset(), a_dataset(), a_config(out=tmp_path / "file" / "run"))


def test_a_history_without_epochs_has_no_best_one():
    with pytest.raises(DataError):
        _ = training.History().best_epoch


# --- seeds


@pytest.mark.parametrize("workers", [0, 2])
def test_a_seed_decides_everything_to_the_last_bit(workers: int):
    def run(seed: int, workers: int = 0) -> tuple[training.History, Linear]:
        model = a_model(dropout=0.5)
        config = a_config(seed=seed, workers=workers, batch_size=3)
        return training.fit(model, a_dataset(), a_dataset(12, seed=1), config), model

    (history, model), (same_history, same_model), (other_history, _) = run(1), run(1, workers), run(2)
    assert history == same_history != other_history
    for name, wanted in model.state_dict().items():
        assert torch.equal(same_model.state_dict()[name], wanted)


# --- divergence


class Cubic(Linear):
    """Outgrows every number in a few long steps."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) ** 3


@pytest.mark.parametrize("batch_size", [8, 20])
def test_a_diverging_run_says_so_and_keeps_only_numbers(batch_size: int, tmp_path: Path):
    config = a_config(learning_rate=1e20, batch_size=batch_size, out=tmp_path)
    with pytest.raises(SettingError, match="lower the learning rate"):
        training.fit(Cubic(), a_dataset(), a_dataset(), config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "environment.json"]


def test_a_run_that_fails_later_leaves_its_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script_losses(monkeypatch, [1.0, 2.0])
    with pytest.raises(IndexError):
        training.fit(a_model(), a_dataset(), a_dataset(), a_config(out=tmp_path))
    assert training.History.from_csv(tmp_path / "history.csv").best_epoch == 1
    assert torch.load(tmp_path / "best.pt", weights_only=True)["epoch"] == 1


def test_a_loss_that_is_not_a_number_stops_before_the_step():
    model = a_model()
    before = parameters(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    batches = datasets.loader(a_dataset(), 20)
    with pytest.raises(SettingError, match="nan.*|rate 0.25"):
        training.train_one_epoch(model, batches, lambda logits, labels: logits.sum() * float("nan"), optimizer, CPU)
    for value, wanted in zip(parameters(model), before, strict=True):
        assert np.array_equal(value, wanted)


def test_predictions_that_are_not_numbers_are_refused():
    model = a_model()
    nn.init.constant_(model.layer.bias, float("nan"))
    with pytest.raises(SettingError, match="outputs aren't finite"):
        training.predict(model, a_dataset(), device="cpu")


# --- predict


def test_predictions_are_the_probabilities_in_the_order_of_the_records():
    dataset, model = a_dataset(), a_model(dropout=0.5)
    y_true, y_prob = training.predict(model, dataset, batch_size=7, device="cpu")
    assert y_true.shape == y_prob.shape == (20, 4)
    assert np.array_equal(y_true, dataset.labels.numpy())
    np.testing.assert_allclose(y_prob, probabilities(dataset, *parameters(model)), atol=1e-6)


def test_large_logits_are_not_rounded_to_one_probability():
    model = a_model()
    nn.init.constant_(model.layer.bias, 25.0)
    _, y_prob = training.predict(model, a_dataset(), device="cpu")
    assert (y_prob < 1).all() and len(np.unique(y_prob[:, 0])) > 1


@pytest.mark.parametrize("mode", [True, False])
def test_each_part_of_the_model_keeps_its_mode(mode: bool):
    model = a_model().train(mode)
    model.dropout.train(not mode)
    training.predict(model, a_dataset(), device="cpu")
    assert (model.training, model.layer.training, model.dropout.training) == (mode, mode, not mode)


# --- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", -1),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "0.1"),
        ("optimizer", "lbfgs"),
        ("optimizer", ["sgd"]),
        ("weight_decay", -0.1),
        ("patience", -1),
        ("patience", None),
        ("seed", -1),
        ("seed", 2**63),
        ("device", "gpu"),
        ("device", 0),
        ("workers", -2),
        ("checkpoint_every", -1),
        ("out", 5),
        ("progress", "yes"),
        ("positive_weights", ()),
        ("positive_weights", (1, 1, 1, 0)),
        ("schedule", "x"),
        ("accumulate", 0),
        ("clip_norm", -1),
        ("clip_norm", float("nan")),
        ("warmup_epochs", -0.5),
        ("precision", "half"),
        ("channels_last", "yes"),
        ("tensorboard", None),
    ],
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: object):
    with pytest.raises(SettingError) as caught:
        TrainConfig(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r} isn't allowed; it must be ")


def test_a_warm_up_before_a_cycle_of_rates_is_refused():
    with pytest.raises(SettingError, match="warmup_epochs=1 isn't allowed.*one_cycle"):
        TrainConfig(schedule="one_cycle", warmup_epochs=1)


def test_a_setting_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(SettingError, match="'learnig_rate'; did you mean 'learning_rate'"):
        TrainConfig.from_dict({"epochs": 2, "learnig_rate": 0.1})


@pytest.mark.parametrize(
    ("cuda", "mps", "picked"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_first_device_there_is(cuda: bool, mps: bool, picked: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert training.pick_device("auto").type == picked
    assert training.pick_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps", "cuda:0"):
        with pytest.raises(SettingError, match=f"'{name}' isn't there: PyTorch finds cpu"):
            training.pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert training.pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SettingError, match="'cuda:2' isn't there"):
        training.pick_device("cuda:2")
    with pytest.raises(SettingError, match="'tpu' isn't allowed"):
        training.pick_device("tpu")


@pytest.mark.parametrize(("progress", "shown"), [(None, False), (False, False), (True, True)])
def test_the_bar_is_shown_on_a_terminal_or_on_request(
    progress: bool | None, shown: bool, capsys: pytest.CaptureFixture[str]
):
    training.fit(a_model(), a_dataset(), a_dataset(), a_config(progress=progress))
    output = capsys.readouterr()
    assert output.out == "" and ("9/9" in output.err) == shown


# --- checkpoints


def test_a_checkpoint_makes_the_same_model_again(tmp_path: Path):
    model = a_model(dropout=0.25)
    training.save_checkpoint(tmp_path / "model.pt", model, epoch=7)
    loaded = training.load_checkpoint(tmp_path / "model.pt")
    assert loaded.settings == model.settings and not loaded.training
    dataset = a_dataset()
    assert np.array_equal(training.predict(loaded, dataset)[1], training.predict(model, dataset)[1])
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content["epoch"] == 7 and Task.from_dict(content["task"]) == Task()
    assert {"recipe", "thresholds", "calibration", "data", "synthetic", "versions"} <= content.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other/1"}, "isn't a checkpoint of this package"),
        ({"task": {"classes": ["MI", "MI"]}}, "classes=.*isn't allowed"),
        ({"thresholds": [0.5]}, "thresholds"),
        ({"thresholds": [0.5, 2.0, 0.5, 0.5]}, "thresholds"),
        ({"recipe": {"images": None}}, "isn't a recipe"),
        ({"settings": {"name": "resnet5000"}}, "don't fit.*no model is called 'resnet5000'"),
        ({"settings": {"name": "linear", "depth": 3}}, "don't fit.*depth"),
        ({"settings": None}, "no settings"),
        ({"state_dict": {"layer.weight": torch.zeros(4, 9)}}, "don't fit.*layer.bias"),
        (
            {"state_dict": {"layer.weight": torch.zeros(2, 9), "layer.bias": torch.zeros(4)}},
            "don't fit.*size",
        ),
        ({"state_dict": 5}, "don't fit"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(change: dict, message: str, tmp_path: Path):
    path = tmp_path / "model.pt"
    training.save_checkpoint(path, a_model())
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        training.load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_that_can_not_be_made_again_is_not_saved(tmp_path: Path):
    with pytest.raises(CheckpointError, match="models.create"):
        training.save_checkpoint(tmp_path / "model.pt", nn.Linear(2, 2))
    assert list(tmp_path.iterdir()) == []


# --- other inputs, rates and weights


class Both(nn.Module):
    """Means of signals and of images, side by side."""

    def __init__(self):
        super().__init__()
        self.settings = {"name": "both"}
        self.layer = nn.Linear(12, 4)

    def forward(self, signals: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([signals.mean(dim=2), images.mean(dim=(2, 3))], dim=1))


def signals_and_images(n_records: int = 20, seed: int = 0) -> datasets.SignalsAndImages:
    images = a_dataset(n_records, seed)
    read = np.random.default_rng(seed).normal(size=(n_records, 3, 30))
    return datasets.SignalsAndImages(datasets.Signals(read, images.labels), images)


def test_a_model_of_signals_and_images_gets_both_of_the_same_records():
    dataset = signals_and_images()
    training.seed_everything(0)
    model = Both()
    training.fit(model, dataset, signals_and_images(12, 1), a_config(epochs=2))
    signals, images = dataset.parts
    means = np.hstack([signals.signals.double().mean(dim=2).numpy(), features(images)])
    weight, bias = parameters(model)
    y_true, y_prob = training.predict(model, dataset, batch_size=7, device="cpu")
    np.testing.assert_allclose(y_prob, 1 / (1 + np.exp(-(means @ weight.T + bias))), atol=1e-6)
    np.testing.assert_array_equal(y_true, images.labels)


def test_logits_of_several_crops_are_averaged():
    dataset = a_dataset()
    recipe = datasets.ImageRecipe(crop=20, eval_crops=3)
    crops = datasets.RenderedImages(dataset.signals, dataset.labels, SIZE, recipe=recipe)
    model = a_model()
    _, y_prob = training.predict(model, crops, batch_size=6, device="cpu")
    means = crops[:][0].inputs.double().mean(dim=(3, 4)).numpy() / 255
    weight, bias = parameters(model)
    logits = (means @ weight.T + bias).mean(axis=1)
    np.testing.assert_allclose(y_prob, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_one_cycle_has_the_rates_of_pytorchs_scheduler(monkeypatch: pytest.MonkeyPatch):
    rates = []
    step = torch.optim.SGD.step

    def noted(optimizer: torch.optim.SGD, *arguments: object) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    training.fit(a_model(), a_dataset(), a_dataset(), a_config(epochs=4, schedule="one_cycle", learning_rate=0.2))
    oracle = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(oracle, 0.2, total_steps=12, cycle_momentum=False)
    expected = []
    for _ in range(12):
        expected.append(scheduler.get_last_lr()[0])
        oracle.step()
        if len(expected) < 12:
            scheduler.step()
    assert rates[:12] == pytest.approx(expected)
    assert max(rates[:12]) == pytest.approx(0.2, rel=0.05) and rates[11] < 1e-4


def test_without_validation_all_epochs_are_gone_through_and_the_last_weights_stay(tmp_path: Path):
    model, validated = a_model(), a_model()
    history = training.fit(model, a_dataset(), None, a_config(epochs=4, patience=1, out=tmp_path))
    assert history.to_frame().columns.tolist() == ["epoch", "train_loss"]
    assert len(history.rows) == 4 and history.best_epoch == 4
    loss_function = nn.BCEWithLogitsLoss(pos_weight=training.positive_weights(a_dataset().labels))
    optimizer = torch.optim.SGD(validated.parameters(), lr=0.1)
    batches = datasets.loader(a_dataset(), 8, shuffle=True, seed=0)
    for _ in range(4):
        training.train_one_epoch(validated, batches, loss_function, optimizer, CPU)
    for mine, theirs in zip(parameters(model), parameters(validated), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-7)
    assert training.History.from_csv(tmp_path / "history.csv").best_epoch == 4
    kept = training.load_checkpoint(tmp_path / "best.pt")
    np.testing.assert_array_equal(parameters(kept)[0], parameters(model)[0])


# --- any dataset, any number of classes


class Records(Dataset):
    """A dataset as a user writes it: one record at a time, and nothing more."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> tuple[object, torch.Tensor]:
        return self.dataset[number]


def five_classes(n_records: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = np.vstack([np.zeros(5), np.ones(5), rng.integers(0, 2, (n_records - 2, 5))])
    return torch.from_numpy(rng.normal(size=(n_records, 3, 50))).float(), torch.from_numpy(labels).float()


@pytest.mark.parametrize("kind", [TensorDataset, lambda x, y: Records(TensorDataset(x, y))], ids=["tensors", "records"])
def test_any_dataset_trains_as_those_of_the_package(kind: Callable, tmp_path: Path):
    """Five classes, to the last bit, interrupted and resumed; then judged again from its checkpoint."""
    (x, y), (other_x, other_y) = five_classes(20, 0), five_classes(12, 1)

    def run(make: Callable, epochs: int, **settings) -> tuple[training.History, nn.Module]:
        training.seed_everything(0)
        model = models.create("cnn1d", n_classes=5, filters=4)
        resume = settings.get("out") is not None
        config = a_config(epochs=epochs, **settings)
        return training.fit(model, make(x, y), make(other_x, other_y), config, resume=resume), model

    expected, model = run(datasets.Signals, 3)
    run(kind, 2, out=tmp_path)
    history, resumed = run(kind, 3, out=tmp_path)
    assert history == expected and "auroc_class 4" in history.rows[0]
    assert all(torch.equal(resumed.state_dict()[name], wanted) for name, wanted in model.state_dict().items())
    again = training.load_checkpoint(tmp_path / "best.pt")
    wanted, found = (training.predict(each, kind(other_x, other_y), device="cpu")[1] for each in (model, again))
    np.testing.assert_array_equal(found, wanted)
    changed = kind(x + 1, y)
    with pytest.raises(DataError, match="the train records are not those"):
        training.fit(resumed, changed, kind(other_x, other_y), a_config(epochs=4, out=tmp_path), resume=True)


def test_signals_and_images_of_any_dataset_come_together():
    x = np.random.default_rng(0).normal(size=(6, 12, 100))
    both = datasets.from_arrays(x, np.eye(6, 4), size=8, signals=SignalRecipe())
    rows = [4, 0, 5]
    (signals, images), labels = datasets.batched(Records(both))[rows]
    (expected_signals, expected_images), expected = both[rows]
    assert torch.equal(signals, expected_signals) and torch.equal(images, expected_images)
    assert torch.equal(labels, expected)


@pytest.mark.parametrize("labels", [torch.zeros(20), torch.full((20, 4), 2.0)], ids=["(N,)", "2"])
def test_labels_that_are_no_table_of_zeros_and_ones_are_refused(labels: torch.Tensor):
    with pytest.raises(DataError, match="TensorDataset.*label"):
        training.fit(a_model(), TensorDataset(torch.zeros(20, 9, 8, 8), labels), None, a_config())


def test_another_number_of_classes_is_refused():
    data = TensorDataset(*five_classes(20, 0))
    with pytest.raises(SettingError, match="n_classes=4.*5 classes"):
        training.fit(models.create("cnn1d", filters=4), data, None, a_config())
    with pytest.raises(SettingError, match="each of the 5 classes"):
        model = models.create("cnn1d", n_classes=5, filters=4)
        training.fit(model, data, None, a_config(positive_weights=(1, 2)))


def test_positive_weights_can_be_chosen():
    chosen = (41.0, 1.0, 2.0, 0.5)
    val = a_dataset(12, 1)
    model = a_model()
    before = parameters(model)
    rate = 1e-12
    history = training.fit(model, a_dataset(), val, a_config(epochs=1, positive_weights=chosen, learning_rate=rate))
    y_prob = probabilities(val, *before)
    expected = weighted_loss(val.labels.numpy(), y_prob, np.array(chosen))
    assert history.rows[0]["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_running_mean_forgets_where_it_began():
    model = nn.BatchNorm1d(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    averaged = optimization.moving_average(model, optimizer, 0.99)
    for _ in range(300):
        # Of a variance of 0.01, where running variances begin with 1.
        model(torch.tensor([[-0.1], [0.1]]) / 2**0.5).sum().backward()
        optimizer.step()
    assert averaged.module.running_var.item() == pytest.approx(0.01, rel=0.05)


def test_the_running_mean_of_the_weights_is_judged_and_kept(tmp_path: Path):
    passed, model, val = [], a_model(), a_dataset(12, 1)
    watch = register_optimizer_step_post_hook(lambda *_: passed.append(parameters(model)))
    history = training.fit(model, a_dataset(), val, a_config(epochs=1, ema_decay=0.6, out=tmp_path))
    watch.remove()
    assert len(passed) == 3
    weight, bias = passed[0]
    for kept, now in zip((2 / 11, 3 / 12), passed[1:], strict=True):
        weight, bias = kept * weight + (1 - kept) * now[0], kept * bias + (1 - kept) * now[1]
    np.testing.assert_allclose(parameters(model)[0], weight, atol=1e-7)
    np.testing.assert_allclose(parameters(training.load_checkpoint(tmp_path / "best.pt"))[1], bias, atol=1e-7)
    weights = training.positive_weights(a_dataset().labels).numpy()
    expected = weighted_loss(val.labels.numpy(), probabilities(val, weight, bias), weights)
    assert history.rows[0]["val_loss"] == pytest.approx(expected, rel=1e-5)
