import pytest
import torch
from torch import nn

from ecgcourse import models
from ecgcourse.errors import DataError, SettingError


@pytest.mark.parametrize("name", models.names())
def test_every_model_turns_images_into_finite_logits_and_learns(name):
    torch.manual_seed(0)
    model = models.create(name)
    images = torch.rand(2, 9, 256, 256)
    logits = model(images)
    assert logits.shape == (2, 4) and logits.isfinite().all()
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", models.names())
def test_every_model_can_be_built_again_from_its_settings(name):
    model = models.create(name)
    again = models.create(**model.settings)
    assert model.settings["name"] == name
    assert [p.shape for p in model.parameters()] == [p.shape for p in again.parameters()]


@pytest.mark.parametrize("filters", [8, 16])
def test_alexnets_parameters_are_those_of_arithmetic(filters):
    f = filters
    convolutions = [(9, f, 11), (f, 2 * f, 5), (2 * f, 4 * f, 3), (4 * f, 8 * f, 3), (8 * f, 256, 3)]
    linear = [(9216, 4096), (4096, 2048), (2048, 4)]
    expected = sum(a * b * k * k + b for a, b, k in convolutions) + sum(a * b + b for a, b in linear)
    model = models.create("alexnet", filters=filters)
    assert sum(p.numel() for p in model.parameters()) == expected
    if filters == 8:
        assert expected == 46_334_468


def test_alexnets_sides_shrink_as_documented():
    model = models.create("alexnet", filters=8)
    sides = []
    for layer in model.features:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    model.eval()(torch.zeros(1, 9, 256, 256))
    assert sides == [62, 30, 30, 14, 14, 14, 14, 6]


def test_alexnet_drops_whole_channels_after_each_pooling():
    layers = list(models.create("alexnet", dropout=0.25).features)
    after = [layers[k + 1] for k, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert len(after) == 3 and all(isinstance(layer, nn.Dropout2d) and layer.p == 0.25 for layer in after)


@pytest.mark.parametrize("size", [67, 100, 128])
def test_alexnet_takes_other_sizes(size):
    assert models.create("alexnet", filters=2, size=size)(torch.zeros(1, 9, size, size)).shape == (1, 4)


@pytest.mark.parametrize("shape", [(1, 9, 128, 128), (1, 3, 67, 67), (9, 67, 67)])
def test_alexnet_refuses_images_of_another_shape(shape):
    with pytest.raises(DataError, match="67, 67"):
        models.create("alexnet", filters=2, size=67)(torch.zeros(shape))


def test_he_start_keeps_the_size_of_signals():
    torch.manual_seed(0)
    images = torch.rand(4, 9, 256, 256)
    spread = {
        start: models.create("alexnet", filters=8, initialisation=start).eval()(images).std().item()
        for start in ("pytorch", "he")
    }
    assert spread["he"] > 10 * spread["pytorch"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "resnet5000"}, "alexnet"),
        ({"name": "alexnet", "filter": 8}, "filter"),
        ({"name": "alexnet", "filters": 0}, "filters=0"),
        ({"name": "alexnet", "dropout": 1.0}, "dropout=1.0"),
        ({"name": "alexnet", "size": 66}, "size=66"),
        ({"name": "alexnet", "initialisation": "xavier"}, "xavier"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        models.create(**settings)
