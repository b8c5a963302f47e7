"""Weights in the original's own format: right ones are read to the last bit, and nothing else is."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ecgcourse import Classifier, metrics, models, ptbxl, training
from ecgcourse.errors import CheckpointError
from ecgcourse.models import alexnet, load_original
from ecgcourse.recipe import ImageRecipe, Recipe, SignalRecipe

State = dict[str, torch.Tensor]

# --- their networks: names and shapes as in the published files and code, how they calculate written anew


def weights_and_bias(name: str, *shape: int) -> State:
    fan_in = torch.Size(shape[1:]).numel()
    # Millions of random numbers would take most of the time here.
    many = shape[0] * fan_in > 10**6
    weights = torch.randn(shape[0], 1) * torch.randn(shape[1]) if many else torch.randn(shape)
    return {f"{name}.weight": weights * (2 / fan_in) ** 0.5, f"{name}.bias": torch.randn(shape[0]) / 10}


def normalization(name: str, channels: int) -> State:
    state = {f"{name}.{part}": torch.rand(channels) + 0.5 for part in ("weight", "bias", "running_mean", "running_var")}
    return state | {f"{name}.num_batches_tracked": torch.tensor(7)}


def convolve(state: State, name: str, x: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
    return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)


def normalize(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def decide(state: State, names: tuple[str, str, str], x: torch.Tensor) -> torch.Tensor:
    for place, name in enumerate(names):
        x = functional.linear(x.flatten(1), state[f"{name}.weight"], state[f"{name}.bias"])
        x = x.relu() if place < 2 else x
    return x


LINEAR = ("linear_1", "linear_2", "linear_3")


def alexnet_state(filters: int) -> State:
    widths, state = [9, filters, 2 * filters, 4 * filters, 8 * filters, 256], {}
    for place, kernel in enumerate((11, 5, 3, 3, 3)):
        state |= weights_and_bias(f"conv2d_{place + 1}", widths[place + 1], widths[place], kernel, kernel)
    for name, shape in zip(LINEAR, [(4096, 9216), (2048, 4096), (4, 2048)], strict=True):
        state |= weights_and_bias(name, *shape)
    return state


def attend(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    if f"{name}.gamma" not in state:
        return x
    query, key, value = (convolve(state, f"{name}.{part}_conv", x).flatten(2) for part in ("query", "key", "value"))
    # likeness[b, i, j] of pixel i, which attends, and pixel j; what i gets of j is a share of all that attend to j.
    shares = torch.einsum("bci,bcj->bij", query, key).softmax(dim=1)
    return x + state[f"{name}.gamma"] * torch.einsum("bij,bcj->bci", shares, value).reshape(x.shape)


def run_alexnet(state: State, x: torch.Tensor) -> torch.Tensor:
    for place, (stride, padding) in enumerate([(4, 0), (1, 2), (1, 1), (1, 1), (1, 1)], start=1):
        x = attend(state, f"attention{place}", convolve(state, f"conv2d_{place}", x, stride, padding).relu())
        x = functional.max_pool2d(x, 3, 2) if place in (1, 2, 5) else x
    return decide(state, LINEAR, x)


def attention_state() -> State:
    state = alexnet_state(8)
    for name, channels in (("attention1", 8), ("attention3", 32)):
        for part, out in (("query", channels // 8), ("key", channels // 8), ("value", channels)):
            state |= weights_and_bias(f"{name}.{part}_conv", out, channels, 1, 1)
        state[f"{name}.gamma"] = torch.tensor([0.7])
    return state


def cnn_state() -> State:
    state = {}
    for place, (n_in, n_out) in enumerate([(9, 2), (2, 4), (4, 8)], start=1):
        state |= weights_and_bias(f"conv2d_{place}", n_out, n_in, 3, 3)
    for name, shape in zip(LINEAR, [(4, 8 * 62 * 62), (2, 4), (4, 2)], strict=True):
        state |= weights_and_bias(name, *shape)
    return state


def run_cnn(state: State, x: torch.Tensor) -> torch.Tensor:
    x = functional.max_pool2d(convolve(state, "conv2d_1", x).relu(), 4, 2)
    x = convolve(state, "conv2d_2", x, padding=1).relu()
    x = functional.max_pool2d(convolve(state, "conv2d_3", x, padding=1).relu(), 4, 2)
    return decide(state, LINEAR, x)


BLOCKS = [(stage, place) for stage, count in enumerate((3, 4, 6, 3), start=1) for place in range(count)]


def resnet_state() -> State:
    state, n_in = {"conv1.weight": torch.randn(16, 9, 7, 7) / 20} | normalization("batch_norm1", 16), 16
    for stage, place in BLOCKS:
        narrow, name = 16 * 2 ** (stage - 1), f"layer{stage}.{place}"
        shapes = [(narrow, n_in, 1), (narrow, narrow, 3), (4 * narrow, narrow, 1)]
        for part, (n_out, channels, kernel) in enumerate(shapes, start=1):
            state |= weights_and_bias(f"{name}.conv{part}", n_out, channels, kernel, kernel)
            state |= normalization(f"{name}.batch_norm{part}", n_out)
        if place == 0:
            state |= weights_and_bias(f"{name}.i_downsample.0", 4 * narrow, n_in, 1, 1)
            state |= normalization(f"{name}.i_downsample.1", 4 * narrow)
        n_in = 4 * narrow
    return state | weights_and_bias("fc", 4, 512)


def run_resnet(state: State, x: torch.Tensor) -> torch.Tensor:
    x = normalize(state, "batch_norm1", convolve(state, "conv1", x, 2, 3)).relu()
    x = functional.max_pool2d(x, 3, 2, padding=1)
    for stage, place in BLOCKS:
        name, stride, before = f"layer{stage}.{place}", 2 if place == 0 and stage > 1 else 1, x
        x = normalize(state, f"{name}.batch_norm1", convolve(state, f"{name}.conv1", x)).relu()
        x = normalize(state, f"{name}.batch_norm2", convolve(state, f"{name}.conv2", x, stride, 1)).relu()
        x = normalize(state, f"{name}.batch_norm3", convolve(state, f"{name}.conv3", x))
        if place == 0:
            before = convolve(state, f"{name}.i_downsample.0", before, stride)
            before = normalize(state, f"{name}.i_downsample.1", before)
        x = (x + before).relu()
    return functional.linear(x.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])


VGG = {"1_1": (9, 2), "1_2": (2, 2), "2_1": (2, 4), "2_2": (4, 4), "3_1": (4, 8), "3_2": (8, 8), "3_3": (8, 8)}


def vgg_state() -> State:
    """Narrower than theirs, with the layers that one of their two versions makes and never runs."""
    state = weights_and_bias("fc1", 8, 8 * 32 * 32) | weights_and_bias("fc2", 8, 8) | weights_and_bias("fc3", 4, 8)
    never = {"4_1": (8, 16), "4_2": (16, 16), "4_3": (16, 16), "5_1": (16, 16), "5_2": (16, 16), "5_3": (16, 16)}
    for place, (n_in, n_out) in {**VGG, **never}.items():
        state |= weights_and_bias(f"conv{place}", n_out, n_in, 3, 3)
    return state


def run_vgg(state: State, x: torch.Tensor) -> torch.Tensor:
    for place in VGG:
        x = convolve(state, f"conv{place}", x, padding=1).relu()
        x = functional.max_pool2d(x, 2) if place in ("1_2", "2_2", "3_3") else x
    return decide(state, ("fc1", "fc2", "fc3"), x)


def recurrent(
    kind: type[nn.RNNBase], name: str, layers: int, two: bool = False, attention: bool = False
) -> tuple[State, Callable]:
    rnn, d = kind(3, 8, layers, bidirectional=two, batch_first=True), 2 if two else 1
    state = {f"{name}.{part}": each for part, each in rnn.state_dict().items()} | weights_and_bias("fc", 4, 8 * d)
    state |= weights_and_bias("attention.attention", 1, 8 * d) if attention else {}

    def run(state: State, signals: torch.Tensor) -> torch.Tensor:
        states, _ = rnn(signals.transpose(1, 2))
        if attention:
            scores = functional.linear(states, *(state[f"attention.attention.{part}"] for part in ("weight", "bias")))
            kept = torch.einsum("bti,bth->bh", scores.softmax(dim=1), states)
        else:
            kept = torch.cat([states[:, -1, :8], *([states[:, 0, 8:]] if two else [])], dim=1)
        return functional.linear(kept, state["fc.weight"], state["fc.bias"])

    return state, run


def cnn_recurrent(kind: type[nn.RNNBase], name: str) -> tuple[State, Callable]:
    rnn = kind(24, 8, batch_first=True)
    state = {f"{name}.{part}": each for part, each in rnn.state_dict().items()} | weights_and_bias("fc", 4, 8)
    for place in (1, 2, 3):
        state |= weights_and_bias(f"cnn1d_{place}", 3 * 2**place, 3 * 2 ** (place - 1), 5)

    def run(state: State, signals: torch.Tensor) -> torch.Tensor:
        # Their signals are (B, T, L), and their numbers are counted off anew, where a transpose was meant.
        x = signals.transpose(1, 2).contiguous().view(signals.shape)
        for place in (1, 2, 3):
            x = functional.conv1d(x, state[f"cnn1d_{place}.weight"], state[f"cnn1d_{place}.bias"]).relu()
            x = functional.max_pool1d(x, 2)
        states, _ = rnn(x.contiguous().view(len(x), x.shape[2], x.shape[1]))
        return functional.linear(states[:, -1], state["fc.weight"], state["fc.bias"])

    return state, run


EIGHT = {"hidden": 8}
ATTENDED = {"softmax_over": "queries"}
TEN_LAYERS = {"depth": 10, "filters": 2, "hidden": 8, "dropout": 0.5, "init": "pytorch"}
# Of each: its state and how it runs, and the network here that it has to become.
THEIRS = {
    "AlexNet": (lambda: (alexnet_state(8), run_alexnet), "alexnet", {"filters": 8, "dropout": 0.0}),
    "AlexNet with attention": (lambda: (attention_state(), run_alexnet), "alexnet_attention", ATTENDED),
    "CNN": (lambda: (cnn_state(), run_cnn), "cnn", {"filters": 2, "hidden": 4}),
    "ResNet50": (lambda: (resnet_state(), run_resnet), "resnet", {"depth": 50, "bias": True, "init": "pytorch"}),
    "VGG16": (lambda: (vgg_state(), run_vgg), "vgg", TEN_LAYERS),
    "RNN": (lambda: recurrent(nn.RNN, "rnn", 2), "rnn", EIGHT),
    "GRU": (lambda: recurrent(nn.GRU, "rnn", 3), "gru", EIGHT),
    "BiGRU": (lambda: recurrent(nn.GRU, "rnn", 2, two=True), "gru", EIGHT | {"layers": 2, "bidirectional": True}),
    "LSTM": (lambda: recurrent(nn.LSTM, "lstm", 2), "lstm", EIGHT),
    "BiLSTM": (lambda: recurrent(nn.LSTM, "lstm", 1, two=True), "lstm", EIGHT | {"layers": 1, "bidirectional": True}),
    "GRU with attention": (
        lambda: recurrent(nn.GRU, "rnn", 2, attention=True),
        "gru",
        EIGHT | {"layers": 2, "attention": True},
    ),
    "BiGRU with attention": (
        lambda: recurrent(nn.GRU, "rnn", 1, two=True, attention=True),
        "gru",
        EIGHT | {"layers": 1, "bidirectional": True, "attention": True},
    ),
    "CNN-LSTM": (lambda: cnn_recurrent(nn.LSTM, "lstm"), "cnn_lstm", EIGHT | {"mixed_axes": True}),
    "CNN-GRU": (lambda: cnn_recurrent(nn.GRU, "gru"), "cnn_gru", EIGHT | {"mixed_axes": True}),
}
FED = {
    "images": Recipe(images=ImageRecipe(("I", "II", "V2"), ("GAF", "MTF", "RP"), 256, "min_max")),
    "signals": Recipe(signals=SignalRecipe(("I", "II", "V2"), "z_score")),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small are slower on several threads, and much slower where other processes want them too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def state():
    """Of the right names."""
    with torch.device("meta"):
        return dict.fromkeys(alexnet_state(8), torch.zeros(1, device="cpu"))


def saved(state: object, path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize("which", THEIRS)
def test_each_of_their_networks_answers_as_theirs_does(which, tmp_path):
    make, name, settings = THEIRS[which]
    torch.manual_seed(0)
    with torch.no_grad():
        state, run = make()
    path = saved(state, tmp_path / "weights")
    model = load_original(path)
    # What was read no longer needs the file.
    path.write_bytes(b"")
    with torch.device("meta"):
        assert model.settings == models.create(name, **settings).settings
    assert not model.training and all(weights.requires_grad for weights in model.parameters())
    (kind,) = model.inputs
    assert model.recipe == FED[kind] and model.task.classes == ptbxl.CLASSES and model.synthetic is False
    x = torch.rand(2, 9, 256, 256) if kind == "images" else torch.randn(2, 3, 100)
    with torch.no_grad():
        expected = run(state, x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


def test_what_was_read_can_be_kept_and_asked(tmp_path):
    state, run = recurrent(nn.GRU, "rnn", 1, attention=True)
    training.save_checkpoint(tmp_path / "best.pt", load_original(saved(state, tmp_path / "gru")))
    classifier = Classifier.load(tmp_path / "best.pt")
    x = np.random.default_rng(0).normal(size=(2, 12, 1000)).cumsum(axis=2) / 100
    prepared = torch.from_numpy(FED["signals"].signals.apply(x))
    np.testing.assert_allclose(classifier.predict_proba(x), run(state, prepared).sigmoid().detach().numpy(), atol=1e-5)


def test_of_their_vgg_seven_convolutions_run():
    shapes = [(9, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
    runs = sum(9 * n_in * n_out + n_out for n_in, n_out in shapes)
    runs += sum(n_in * n_out + n_out for n_in, n_out in [(65536, 4096), (4096, 4096), (4096, 4)])
    made = runs + sum(9 * n_in * n_out + n_out for n_in, n_out in [(64, 128), *[(128, 128)] * 5])
    with torch.device("meta"):
        model = models.create("vgg", depth=10)
        assert sum(weights.numel() for weights in model.parameters()) == runs == 285_347_124
    # What counting the weights of their `vgg.py` gives.
    assert made == 286_158_900


@pytest.fixture(scope="module")
def published(real_root):
    """Signals and labels of validation and test set of the first 500 records, and the folder of the published files."""
    folder = Path(os.environ.get("ECGCOURSE_ORIGINAL_WEIGHTS", real_root.parent / "original-weights"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: no published weights to test with")
    parts = ptbxl.split(ptbxl.read_table(real_root))
    labels = np.concatenate([ptbxl.labels(parts[name]) for name in ("val", "test")])
    if labels.shape != (136, 4):
        pytest.skip("the areas were measured on the first 500 records of PTB-XL")
    x = np.concatenate([ptbxl.read_signals(real_root, parts[name], progress=False) for name in ("val", "test")])
    return folder, torch.from_numpy(FED["signals"].signals.apply(x)), labels


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("gru_3layers_dropout0_model8", 0.929),
        ("grubi_dropout05_lr0005_model5", 0.928),
        ("gru_3lay_128hu", 0.933),
        ("lstm_2lay_128hu", 0.933),
        ("cnn_lstm_128hu", 0.883),
    ],
)
def test_published_weights_find_the_classes_of_real_records(name, area, published):
    folder, signals, labels = published
    if not (folder / name).exists():
        pytest.skip(f"{folder} has no {name}")
    model = load_original(folder / name)
    with torch.inference_mode():
        found = metrics.auroc(labels, metrics.probabilities(model(signals))).mean()
    assert round(found, 3) == area


def test_the_former_place_still_knows_it():
    with pytest.warns(DeprecationWarning, match=r"is called models.load_original now"):
        assert alexnet.load_original is load_original
    with pytest.raises(AttributeError, match="no attribute 'load_orignal'"):
        _ = alexnet.load_orignal


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", pickle.dumps({"conv2d_1.weight": [1.0]})])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "alexnet"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{path} isn't a checkpoint"):
        load_original(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError, match="isn't there"):
            load_original(path)


@pytest.mark.parametrize("content", [[1.0, 2.0], torch.zeros(3), {"conv2d_1.weight": "much"}, "weights"])
def test_something_else_than_tensors_by_name_is_refused(content, tmp_path):
    with pytest.raises(CheckpointError, match="weights are missing or no tensors"):
        load_original(saved(content, tmp_path / "alexnet"))


@pytest.mark.parametrize("content", [{}, {"head.weight": torch.zeros(4, 8)}, {7: torch.zeros(1)}])
def test_none_of_their_networks_is_told_which_can_be_read(content, tmp_path):
    path = saved(content, tmp_path / "mine")
    with pytest.raises(CheckpointError, match=f"{path} is none of the original's .*ResNet50.*CNN-GRU") as error:
        load_original(path)
    assert "\n" not in str(error.value)


def test_a_whole_network_is_refused_and_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it ran",)

    with pytest.raises(CheckpointError, match="isn't a checkpoint"):
        load_original(saved({"conv2d_1.weight": Payload()}, tmp_path / "alexnet"))
    assert not (tmp_path / "it ran").exists()


def test_a_missing_layer_is_named(state, tmp_path):
    rest = {name: weights for name, weights in state.items() if name != "linear_2.bias"}
    with pytest.raises(CheckpointError, match="linear_2.bias is missing"):
        load_original(saved(rest, tmp_path / "alexnet"))


def test_a_layer_too_many_is_named(state, tmp_path):
    more = state | {"attention2.gamma": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="attention2.gamma is no part of it"):
        load_original(saved(more, tmp_path / "alexnet"))


def test_few_numbers_that_pretend_to_be_many_are_refused(state, tmp_path):
    vast = state | {"conv2d_1.weight": torch.zeros(1).expand(10**15, 9, 11, 11)}
    with pytest.raises(CheckpointError, match="isn't a checkpoint, or is damaged"):
        load_original(saved(vast, tmp_path / "alexnet"))


@pytest.mark.parametrize(
    ("which", "name", "weights", "words"),
    [
        ("CNN", "linear_3.weight", torch.zeros(5, 2), r"linear_3.weight has the shape \(5, 2\), but \(4, 2\)"),
        ("CNN", "conv2d_1.weight", torch.zeros(()), r"conv2d_1.weight has the shape \(\)"),
        ("CNN", "conv2d_1.bias", torch.zeros(()), r"conv2d_1.\w+ has the shape"),
        ("CNN", "conv2d_1.bias", torch.zeros(0), r"conv2d_1.\w+ has the shape"),
        ("CNN", "conv2d_1.bias", torch.zeros(2, 3), r"conv2d_1.\w+ has the shape"),
        ("CNN", "conv2d_2.bias", torch.zeros(17), r"conv2d_2.bias has the shape \(17,\)"),
        ("CNN", "conv2d_2.bias", torch.full((4,), torch.nan), "finite"),
        ("GRU", "rnn.weight_hh_l0", torch.zeros(()), r"rnn.\w+ has the shape"),
        ("GRU", "rnn.weight_hh_l0", torch.zeros(0, 8), r"rnn.\w+ has the shape"),
        ("GRU", "rnn.weight_hh_l0", torch.zeros(16, 8), r"rnn.\w+ has the shape"),
        ("CNN-LSTM", "fc.weight", torch.zeros(4, 0), r"has the shape"),
    ],
)
def test_wrong_shapes_and_numbers_are_named(which, name, weights, words, tmp_path):
    state, _ = THEIRS[which][0]()
    with pytest.raises(CheckpointError, match=words):
        load_original(saved(state | {name: weights}, tmp_path / "weights"))
