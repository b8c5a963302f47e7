"""Weights in the original's own format: right ones are read to the last bit, and nothing else is."""

import pickle
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
    """Of the right names."""
    with torch.device("meta"):
        return dict.fromkeys(TheirAlexNet(8).state_dict(), torch.zeros(1, device="cpu"))


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
    vast = state | {"conv2d_1.weight": torch.zeros(1).expand(10**15, 9, 11, 11)}
    with pytest.raises(CheckpointError, match="isn't a checkpoint, or is damaged"):
        load_original(saved(vast, tmp_path / "alexnet"))


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
    ],
)
@pytest.mark.parametrize("theirs", [8], indirect=True)
def test_wrong_shapes_and_numbers_are_named(name, weights, words, theirs, tmp_path):
    _, network = theirs
    with pytest.raises(CheckpointError, match=words):
        load_original(saved(network.state_dict() | {name: weights}, tmp_path / "alexnet"))
