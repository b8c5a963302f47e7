"""Weights in the original's own format: right ones are read to the last bit, and nothing else is."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from ecgcourse import models, training
from ecgcourse.errors import CheckpointError
from ecgcourse.models.alexnet import load_original


class TheirAlexNet(nn.Module):
    """A network with the names that the published files hold; how it calculates is written anew."""

    def __init__(self, filters: int):
        super().__init__()
        widths = [9, filters, 2 * filters, 4 * filters, 8 * filters, 256]
        for place, kernel in enumerate((11, 5, 3, 3, 3)):
            shape = (widths[place + 1], widths[place], kernel, kernel)
            setattr(self, f"conv2d_{place + 1}", weights_and_bias(shape))
        for place, shape in enumerate([(4096, 9216), (2048, 4096), (4, 2048)]):
            setattr(self, f"linear_{place + 1}", weights_and_bias(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, (stride, padding) in enumerate([(4, 0), (1, 2), (1, 1), (1, 1), (1, 1)], start=1):
            layer = getattr(self, f"conv2d_{place}")
            x = functional.conv2d(x, layer.weight, layer.bias, stride, padding).relu()
            if place in (1, 2, 5):
                x = functional.max_pool2d(x, 3, 2)
        x = x.flatten(1)
        for place in (1, 2, 3):
            layer = getattr(self, f"linear_{place}")
            x = functional.linear(x, layer.weight, layer.bias)
            x = x.relu() if place < 3 else x
        return x


def weights_and_bias(shape: tuple[int, ...]) -> nn.ParameterDict:
    fan_in = torch.Size(shape[1:]).numel()
    return nn.ParameterDict({"weight": torch.randn(shape) * (2 / fan_in) ** 0.5, "bias": torch.randn(shape[0])})


@pytest.fixture(scope="module", params=[8, 16])
def theirs(request):
    torch.manual_seed(request.param)
    return request.param, TheirAlexNet(request.param)


@pytest.fixture(scope="module")
def state():
    """Of the right names and shapes, in little memory: every weight is the same number."""
    with torch.device("meta"):
        shapes = {name: weights.shape for name, weights in TheirAlexNet(8).state_dict().items()}
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


def saved(state: object, path: Path) -> Path:
    torch.save(state, path)
    return path


def test_published_weights_give_the_published_answers(theirs, tmp_path):
    filters, network = theirs
    model = load_original(saved(network.state_dict(), tmp_path / "alexnet"))
    assert model.settings == models.create("alexnet", filters=filters).settings
    assert not model.training and all(weights.requires_grad for weights in model.parameters())
    images = torch.rand(2, 9, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(model(images), network(images))


def test_what_was_read_no_longer_needs_the_file(theirs, tmp_path):
    _, network = theirs
    path = saved(network.state_dict(), tmp_path / "alexnet")
    model = load_original(path)
    path.write_bytes(b"")
    assert torch.equal(model.classifier[5].weight, network.linear_3["weight"])
    training.save_checkpoint(tmp_path / "best.pt", model)
    assert torch.equal(training.load_checkpoint(tmp_path / "best.pt").features[0].bias, network.conv2d_1["bias"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "1.6"),
        (b"PK\x03\x04 and then nothing", "1.6"),
        (pickle.dumps({"conv2d_1.weight": [1.0]}), "1.6"),
    ],
)
def test_other_files_are_refused(content, words, tmp_path):
    path = tmp_path / "alexnet"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{path}.*{words}"):
        load_original(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError, match="isn't there"):
            load_original(path)


@pytest.mark.parametrize("content", [[1.0, 2.0], torch.zeros(3), {"conv2d_1.weight": "much"}, "weights"])
def test_something_else_than_tensors_by_name_is_refused(content, tmp_path):
    with pytest.raises(CheckpointError, match="isn't the state_dict"):
        load_original(saved(content, tmp_path / "alexnet"))


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
    more = state | {"attention1.gamma": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="attention1.gamma is no part of it"):
        load_original(saved(more, tmp_path / "alexnet"))


def test_few_numbers_that_pretend_to_be_many_are_refused(state, tmp_path):
    path = saved(state, tmp_path / "alexnet")
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="claims 185,337,872 bytes"):
        load_original(path)


def test_a_claim_beyond_all_memory_is_refused(state, tmp_path):
    vast = state | {"conv2d_1.weight": torch.zeros(1).expand(10**15, 9, 11, 11)}
    with pytest.raises(CheckpointError, match="claims"):
        load_original(saved(vast, tmp_path / "alexnet"))


def test_a_tensor_longer_than_its_bytes_is_refused(tmp_path):
    """The file says that a tensor has a thousand times the numbers that stand there for it."""
    path = saved(OrderedDict({"conv2d_1.weight": torch.zeros(7, 7)}), tmp_path / "small")
    forged = tmp_path / "alexnet"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(forged, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                # 49 numbers in rows of 7, as the pickle has them: BININT1 is "K" and one byte.
                assert content.count(b"K1") == 1 and content.count(b"K\x07K\x07") == 1
                content = content.replace(b"K1", b"M1\xff").replace(b"K\x07K\x07", b"M\x07\xffK\x07")
            new.writestr(entry, content)
    with pytest.raises(CheckpointError, match="alexnet isn't a checkpoint, or is damaged"):
        load_original(forged)


def test_compressed_weights_are_refused(state, tmp_path):
    packed = tmp_path / "alexnet"
    with zipfile.ZipFile(saved(state, tmp_path / "plain")) as old:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
    with pytest.raises(CheckpointError, match="compressed"):
        load_original(packed)


def test_a_file_cut_short_is_refused(state, tmp_path):
    path = saved(state, tmp_path / "alexnet")
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=str(path)):
            load_original(path)


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("linear_3.weight", torch.zeros(5, 2048), r"linear_3.weight has the shape \(5, 2048\), but \(4, 2048\)"),
        ("conv2d_1.weight", torch.zeros(()), r"conv2d_1.weight has the shape \(\)"),
        ("conv2d_1.bias", torch.zeros(()), r"conv2d_1.\w+ has the shape"),
        ("conv2d_1.bias", torch.zeros(0), r"conv2d_1.\w+ has the shape"),
        ("conv2d_1.bias", torch.zeros(2, 3), r"conv2d_1.\w+ has the shape"),
        ("conv2d_2.bias", torch.zeros(17), r"conv2d_2.bias has the shape \(17,\)"),
        ("conv2d_2.bias", torch.full((16,), torch.nan), "finite"),
        ("conv2d_2.bias", torch.zeros(16, dtype=torch.int64), "finite"),
    ],
)
@pytest.mark.parametrize("theirs", [8], indirect=True)
def test_wrong_shapes_and_numbers_are_named(name, weights, words, theirs, tmp_path):
    _, network = theirs
    with pytest.raises(CheckpointError, match=words):
        load_original(saved(network.state_dict() | {name: weights}, tmp_path / "alexnet"))
