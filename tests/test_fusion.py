"""What is particular to models that join others: their parts, their weights, the order of fields and leads."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from ecgcourse import models
from ecgcourse.errors import SettingError

SMALL_PARTS = {"signal": "gru", "signal_settings": {"hidden": 8, "layers": 1}, "image_settings": {"filters": 2}}
RECORDS = (
    torch.linspace(-1, 1, 2 * 3 * 32).reshape(2, 3, 32),
    torch.linspace(0, 1, 2 * 9 * 67 * 67).reshape(2, 9, 67, 67),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small are slower on several threads, and much slower where other processes want them too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def count(name: str, **settings) -> int:
    with torch.device("meta"):
        return sum(weights.numel() for weights in models.create(name, **settings).parameters())


def linear(*sizes: int) -> int:
    return sum(n_in * n_out + n_out for n_in, n_out in pairwise(sizes))


def part(name: str, fused: dict, role: str, **common) -> torch.nn.Module:
    return models.create(name, **fused.get(f"{role}_settings", {}), **common)


# --- how many weights


def test_weights_of_early_fusion():
    # The AlexNet ends with its last convolution, the recurrent network without its last layer.
    parts = count("alexnet") - linear(9216, 4096, 2048, 4) + count("gru") - linear(128, 4)
    # 14 × 14 pixels pooled by threes are 4 × 4.
    assert count("early_fusion") == parts + linear(256 * 4 * 4, 128) + linear(2 * 128, 256, 128, 4)


def test_early_fusion_has_the_sizes_of_the_original():
    # Two directions of 128: 256 numbers each from signals and images, and 4096 from the last maps.
    settings = {"signal_settings": {"layers": 2, "bidirectional": True}, "image_settings": {"filters": 8}}
    with torch.device("meta"):
        model = models.create("early_fusion", **settings)
    assert [layer.weight.shape for layer in model.image_layers if hasattr(layer, "weight")] == [(256, 4096)]
    assert model.joint_layers[0].weight.shape == (256, 512) and model.joint_layers[3].weight.shape == (128, 256)


def test_weights_of_joint_fusion():
    parts = count("alexnet") - linear(2048, 4) + count("gru") - linear(128, 4)
    assert count("joint_fusion") == parts + linear(2048, 3 * 128) + linear(4 * 128, 512, 256, 4)


def test_weights_of_late_fusion():
    assert count("late_fusion") == count("alexnet") + count("gru") + linear(8, 512, 4)


def test_weights_of_image_fusion():
    one = count("alexnet", in_channels=3) - linear(2048, 4)
    assert count("image_fusion") == one + linear(3 * 2048, 4)


def test_weights_of_gated_fusion():
    one = count("compact", in_channels=3) - linear(256, 4)
    signal = count("resnet1d") - linear(256, 4)
    gates_and_projections = linear(4 * 256, 4 * 128) + 4 * linear(256, 128)
    assert count("gated_fusion") == signal + 3 * one + gates_and_projections + linear(128, 4)


# --- what they calculate


def test_late_fusion_sees_probabilities_of_both():
    torch.manual_seed(0)
    model = models.create("late_fusion", **SMALL_PARTS, hidden=8, image_size=67).eval()
    signals, images = RECORDS
    seen = torch.cat([torch.sigmoid(model.signal_model(signals)), torch.sigmoid(model.image_model(images))], dim=1)
    hidden = functional.linear(seen, model.joint_layers[0].weight, model.joint_layers[0].bias).relu()
    torch.testing.assert_close(model(signals, images), functional.linear(hidden, model.head.weight, model.head.bias))


def test_image_fusion_looks_at_each_lead_with_the_same_network():
    torch.manual_seed(0)
    model = models.create("image_fusion", image="compact", image_size=67).eval()
    images = RECORDS[1]
    each = [model.image_model.embed(images[:, 3 * lead : 3 * lead + 3]) for lead in range(3)]
    torch.testing.assert_close(model.embed(images), torch.cat(each, dim=1))


def test_gated_fusion_is_that_of_its_equation():
    torch.manual_seed(0)
    model = models.create("gated_fusion", width=8, image_size=67).eval()
    signals, images = RECORDS
    # Channels are lead-major: GAF of I, MTF of I, RP of I, GAF of II, …
    fields = [images[:, [0, 3, 6]], images[:, [1, 4, 7]], images[:, [2, 5, 8]]]
    found = [model.signal_model.embed(signals)]
    found += [network.embed(field) for network, field in zip(model.field_models, fields, strict=True)]
    together = torch.cat(found, dim=1)
    expected = torch.zeros(2, 8)
    for place, numbers in enumerate(found):
        rows = slice(8 * place, 8 * place + 8)
        gate = torch.sigmoid(together @ model.gates.weight[rows].T + model.gates.bias[rows])
        expected += gate * torch.tanh(numbers @ model.views[place].weight.T + model.views[place].bias)
    torch.testing.assert_close(model.embed(signals, images), expected)


# --- trained parts


@pytest.mark.parametrize("name", ["early_fusion", "joint_fusion", "late_fusion"])
def test_trained_parts_are_taken_over_as_copies(name):
    torch.manual_seed(0)
    fused = models.create(name, **SMALL_PARTS, hidden=8, image_size=67).eval()
    signal = part("gru", SMALL_PARTS, "signal", leads=3, n_classes=4).eval()
    image = part("alexnet", SMALL_PARTS, "image", in_channels=9, n_classes=4, image_size=67).eval()
    fused.load_pretrained(signal, image)
    torch.testing.assert_close(fused.signal_model.embed(RECORDS[0]), signal.embed(RECORDS[0]))
    torch.testing.assert_close(fused.image_model.last_map(RECORDS[1]), image.last_map(RECORDS[1]))
    with torch.no_grad():
        signal.rnn.weight_ih_l0.add_(1.0)
    assert not torch.allclose(fused.signal_model.embed(RECORDS[0]), signal.embed(RECORDS[0]))


def test_parts_of_other_settings_are_refused():
    fused = models.create("late_fusion", **SMALL_PARTS, image_size=67)
    before = fused.signal_model.rnn.weight_hh_l0.clone()
    with pytest.raises(SettingError, match="make both alike"):
        fused.load_pretrained(signal_model=models.create("gru", hidden=16))
    with pytest.raises(SettingError, match="make both alike"):
        fused.load_pretrained(image_model=torch.nn.Linear(2, 2))
    assert torch.equal(fused.signal_model.rnn.weight_hh_l0, before)


@pytest.mark.parametrize("name", ["early_fusion", "joint_fusion", "late_fusion"])
def test_frozen_parts_stay_as_they_are(name):
    torch.manual_seed(0)
    settings = SMALL_PARTS | {"image_settings": {"filters": 2, "dropout": 0.5}}
    model = models.create(name, **settings, hidden=8, image_size=67, freeze=True).train()
    assert model.training and not model.signal_model.training and not model.image_model.training
    before = {key: weights.clone() for key, weights in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(*RECORDS).square().sum().backward()
        optimizer.step()
    moved = {key.split(".")[0] for key, weights in model.state_dict().items() if not torch.equal(weights, before[key])}
    assert moved == {child for child, _ in model.named_children()} - {"signal_model", "image_model"}
