"""Explanations, held against captum, SciPy, OpenCV and arithmetic."""

import captum.attr
import cv2
import numpy as np
import pytest
import torch
from scipy import stats
from test_models import batch, one_thread, small  # noqa: F401 (one_thread holds here too)
from torch import nn

from ecgcourse import datasets, explain, models, signals
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import Task
from ecgcourse.records.ptbxl import CLASSES

RNG = np.random.default_rng(0)
WITH_MAPS = [name for name in models.names() if models.inputs(name) in (("images",), ("signals",))]
WITH_MAPS = [name for name in WITH_MAPS if name not in ("gru", "lstm", "rnn")]


class Linear(nn.Module):
    """Logits that are weighted sums of the input numbers."""

    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(shape)), 4)

    def forward(self, x):
        return self.layer(x.flatten(1))


class MeanOfMaps(nn.Module):
    """One convolution with ReLU, mean over the places, linear layer: Grad-CAM is its class activation map."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(9, 5, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.maps(x).mean(dim=(2, 3)))


def settled(name):
    """A network whose normalizations have the means and variances of some records, as after training."""
    model = small(name).train()
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    with torch.no_grad():
        model(*batch(model, 8))
    return model.eval()


def single(model, inputs):
    return inputs[0] if len(model.inputs) == 1 else tuple(inputs)


def as_tuple(found):
    return found if isinstance(found, tuple) else (found,)


def logits(model, inputs, column=0):
    with torch.no_grad():
        return model(*inputs)[:, column].double().numpy()


def grad_cam_of_captum(model, x, layer, column):
    oracle = captum.attr.LayerGradCam(model, model.get_submodule(layer))
    maps = oracle.attribute(x, target=column, relu_attributions=True)
    mode = "linear" if x.ndim == 3 else "bilinear"
    return captum.attr.LayerAttribution.interpolate(maps, x.shape[2:], interpolate_mode=mode)


def assert_close(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape and np.abs(theirs).max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_a_linear_model_gives_weight_times_change():
    torch.manual_seed(0)
    model, x = Linear((3, 20)), torch.randn(5, 3, 20)
    baseline = torch.randn(3, 20)
    found = explain.integrated_gradients(model, x, "CD", baseline, steps=1)
    expected = model.layer.weight[2].detach().reshape(3, 20) * (x - baseline)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["compact", "gated_fusion", "gru", "lstm", "resnet1d"])
def test_attributions_sum_to_the_difference_of_logits(name):
    model = settled(name)
    inputs = batch(model, 3)
    found = as_tuple(explain.integrated_gradients(model, single(model, inputs), "STTC", steps=64))
    assert [part.shape for part in found] == [tuple(each.shape) for each in inputs]
    total = sum(part.reshape(3, -1).sum(axis=1) for part in found)
    expected = logits(model, inputs, 1) - logits(model, [torch.zeros_like(each) for each in inputs], 1)
    # At a ReLU or a maximum the gradient jumps, and a sum over points comes near only; a recurrent layer is smooth.
    share = 1e-3 if name in ("gru", "lstm", "rnn") else 0.15
    np.testing.assert_allclose(total, expected, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("name", models.names())
def test_integrated_gradients_are_captums(name):
    """With any number of steps; the more there are, the nearer both come to the difference of logits."""
    model = settled(name)
    inputs = tuple(batch(model, 2))
    baseline = tuple(torch.full_like(each, 0.3) for each in inputs)
    found = as_tuple(explain.integrated_gradients(model, single(model, inputs), "HYP", 0.3, steps=5))
    oracle = captum.attr.IntegratedGradients(model)
    expected = oracle.attribute(inputs, baseline, target=3, n_steps=5, method="gausslegendre")
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["alexnet", "cnn", "compact", "resnet", "vgg", "cnn1d", "resnet1d"])
def test_grad_cam_is_captums(name):
    model = settled(name)
    (x,) = batch(model, 3)
    layer = explain.map_layer(model, x)
    found = np.stack([explain.grad_cam(model, x, target) for target in CLASSES])
    expected = torch.stack([grad_cam_of_captum(model, x, layer, column) for column in range(4)])
    assert_close(found, expected)


def test_grad_cam_of_a_mean_of_maps_is_its_class_activation_map():
    torch.manual_seed(0)
    model, x = MeanOfMaps(), torch.rand(2, 9, 12, 12)
    with torch.no_grad():
        heat = torch.einsum("bchw,c->bhw", model.maps(x), model.head.weight[2]) / 144
    expected = heat.clamp(min=0)[:, None].numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(explain.grad_cam(model, x, "CD"), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "name, layer",
    [
        ("alexnet", "features.13"),
        ("cnn", "features.6"),
        ("compact", "features"),
        ("cnn1d", "features.11"),
        ("image_fusion", "image_model.features"),
    ],
)
def test_the_last_maps_are_those_before_the_first_pooling_after_the_last_convolution(name, layer):
    model = settled(name)
    assert explain.map_layer(model, *batch(model)) == layer


@pytest.mark.parametrize("name", ["resnet", "resnet1d"])
def test_the_last_maps_of_a_residual_network_are_sums(name):
    """In a block with a convolution on the way around, that one computes last; the sum comes after it."""
    model = settled(name)
    (x,) = batch(model)
    layer = model.get_submodule(explain.map_layer(model, x))
    seen = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    model(x)
    handle.remove()
    pooled = seen[0].flatten(2).mean(dim=2)
    torch.testing.assert_close(model.embed(x)[:, : pooled.shape[1]], pooled)


@pytest.mark.parametrize("name", WITH_MAPS)
def test_every_network_of_convolutions_has_maps(name):
    model = settled(name)
    (x,) = batch(model, 2)
    found = explain.grad_cam(model, x, "MI")
    maps = 3 if name == "image_fusion" else 1
    assert found.shape == (2, maps, *x.shape[2:])
    assert np.isfinite(found).all() and (found >= 0).all()


def test_a_network_that_looks_at_each_lead_by_itself_maps_each_lead():
    model = settled("image_fusion")
    (x,) = batch(model, 2)
    changed = x.clone()
    changed[:, 3:6] = torch.rand(x[:, 3:6].shape, generator=torch.Generator().manual_seed(5))
    before, after = (explain.grad_cam(model, each, "STTC") for each in (x, changed))
    np.testing.assert_allclose(before[:, [0, 2]], after[:, [0, 2]], rtol=1e-4, atol=1e-8)
    assert np.abs(before[:, 1] - after[:, 1]).max() > 1e-4 * before.max()


def test_an_earlier_layer_can_be_named():
    model = settled("compact")
    (x,) = batch(model)
    found = explain.grad_cam(model, x, "STTC", layer="features.1")
    assert_close(found, grad_cam_of_captum(model, x, "features.1", 1))


def test_grey_levels_are_read_as_the_network_reads_them():
    model = settled("compact")
    grey = torch.randint(0, 256, (2, 9, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for method in explain.METHODS.values():
        np.testing.assert_array_equal(method(model, grey, "MI"), method(model, datasets.to_float(grey), "MI"))


def test_the_model_stays_as_it_was():
    model = settled("resnet1d").train()
    model.features[0].eval()
    modes = [part.training for part in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    (x,) = batch(model)
    explain.integrated_gradients(model, x, "MI", steps=3)
    explain.grad_cam(model, x, "MI")
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(weights.grad is None for weights in model.parameters())
    assert not any(part._forward_hooks for part in model.modules()) and not x.requires_grad


def test_frozen_networks_are_explained_too():
    model = settled("resnet1d")
    (x,) = batch(model)
    expected = explain.grad_cam(model, x, "MI")
    np.testing.assert_array_equal(explain.grad_cam(model.requires_grad_(False), x, "MI"), expected)


@pytest.mark.parametrize("spread", explain.SPREADS)
@pytest.mark.parametrize("size, n_samples", [(64, 1000), (17, 100), (256, 1000), (40, 30), (1, 7), (5, 5)])
def test_time_keeps_the_total_of_every_lead(spread, size, n_samples):
    attribution = RNG.normal(size=(2, 9, size, size))
    found = explain.to_time(attribution, n_samples, spread=spread)
    assert found.shape == (2, 3, n_samples)
    by_lead = attribution.reshape(2, 3, 3, -1).sum(axis=(2, 3))
    np.testing.assert_allclose(found.sum(axis=2), by_lead, rtol=1e-9, atol=1e-9)


def test_time_is_where_the_pixels_looked():
    """A field x_i + x_j, resized by OpenCV: weighting its pixels weights the samples twice as `to_time` says."""
    x, attribution = RNG.normal(size=300), RNG.normal(size=(1, 3, 64, 64))
    image = cv2.resize(x[:, None] + x[None, :], (64, 64), interpolation=cv2.INTER_LINEAR)
    by_sample = explain.to_time(attribution, 300)[0, 0]
    np.testing.assert_allclose(2 * by_sample @ x, (attribution[0].sum(axis=0) * image).sum(), rtol=1e-6)


def test_one_pixel_stands_for_two_moments():
    attribution = np.zeros((1, 9, 10, 10))
    attribution[0, 4, 2, 7] = 1
    drawn = explain.to_time(attribution, 100, spread="pixel")[0]
    np.testing.assert_allclose(drawn[1, 20:30], 0.05)
    np.testing.assert_allclose(drawn[1, 70:80], 0.05)
    assert np.count_nonzero(drawn) == 20
    # Pixel 2 of 10 looks at position 2.5 · 10 − 0.5 = 24.5, half at each neighbour.
    looked_at = explain.to_time(attribution, 100)[0]
    np.testing.assert_allclose(looked_at[1, [24, 25, 74, 75]], 0.25)
    assert np.count_nonzero(looked_at) == 4


def test_fields_say_how_many_images_a_lead_has():
    attribution = RNG.normal(size=(1, 6, 8, 8))
    assert explain.to_time(attribution, 20, fields=("GAF", "RP")).shape == (1, 3, 20)
    assert explain.to_time(attribution, 20).shape == (1, 2, 20)


@pytest.fixture(scope="module")
def records():
    voltages = np.cumsum(RNG.normal(0, 0.05, (6, 12, 200)), axis=-1)
    return voltages, np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]] * 2, dtype=np.float32)


def test_over_time_is_the_method_and_the_way_back(records):
    images = datasets.from_arrays(*records, size=32)
    model = settled("compact")
    found = explain.over_time(model, images, slice(1, 6), "CD", batch_size=2, steps=5)
    whole = explain.integrated_gradients(model, images[[1, 2, 3, 4, 5]][0], "CD", steps=5)
    np.testing.assert_allclose(found, explain.to_time(whole, 200), rtol=1e-3, atol=1e-6)


def test_over_time_shares_a_map_among_leads(records):
    model = settled("resnet1d")
    data = datasets.from_arrays(*records, images=None, signals=models.signal_recipe(model))
    found = explain.over_time(model, data, [0, 3], "MI", method="grad_cam")
    heat = explain.grad_cam(model, data[[0, 3]][0], "MI")
    np.testing.assert_allclose(found, np.repeat(heat, 3, axis=1) / 3)
    images = datasets.from_arrays(*records, size=32, images=datasets.ImageRecipe(fields=("RP",)))
    model = small("compact", in_channels=3).eval()
    found = explain.over_time(model, images, [0, 3], "MI", method="grad_cam")
    heat = explain.grad_cam(model, images[[0, 3]][0], "MI")
    assert found.shape == (2, 3, 200)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), heat.sum(axis=(1, 2, 3)))


def test_signals_and_images_add_up(records):
    model = settled("gated_fusion")
    data = datasets.from_arrays(*records, size=32, signals=models.signal_recipe(model))
    found = explain.over_time(model, data, [0, 1], "HYP", steps=100)
    inputs = [data[[0, 1]][0][0], datasets.to_float(data[[0, 1]][0][1])]
    expected = logits(model, inputs, 3) - logits(model, [torch.zeros_like(each) for each in inputs], 3)
    assert found.shape == (2, 3, 200)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, atol=0.05 * np.abs(expected).max())


def test_localisation_counts_what_lies_on_the_mask():
    attribution = np.zeros((3, 2, 10))
    attribution[0, 0, :4] = [1, -3, 2, 2]
    attribution[1, 1, 5:] = 1
    mask = np.zeros((3, 2, 10), dtype=bool)
    mask[:, 0, :2] = True
    found = explain.localisation(attribution, mask)
    np.testing.assert_allclose(found.shares, [4 / 8, 0])
    np.testing.assert_allclose(found.chances, [2 / 20, 2 / 20])
    assert found.left_out == 1
    np.testing.assert_allclose(found.summary["mean"], [0.25, 0.1, 0.15])
    seen = np.zeros((2, 10))
    seen[0] = [1, 0] * 5
    np.testing.assert_allclose(explain.localisation(attribution, mask, seen).chances, [1 / 5, 1 / 5])
    assert "2 records, 1 left out" in str(found)


def test_an_even_attribution_is_chance_and_the_signs_alone_are_everything():
    mask = RNG.random((30, 3, 50)) < RNG.uniform(0.1, 0.9, (30, 1, 1))
    even = explain.localisation(np.ones(mask.shape), mask)
    np.testing.assert_allclose(even.shares, mask.mean(axis=(1, 2)))
    np.testing.assert_allclose(even.summary.loc["difference"], 0, atol=1e-12)
    np.testing.assert_allclose(explain.localisation(-2.0 * mask, mask).shares, 1)


def test_intervals_are_scipys():
    mask = RNG.random((40, 3, 50)) < 0.3
    found = explain.localisation(RNG.normal(size=mask.shape) ** 3, mask, n_bootstrap=20_000)
    expected = stats.bootstrap((found.shares,), np.mean, n_resamples=20_000, method="percentile")
    low, high = expected.confidence_interval
    row = found.summary.loc["share"]
    np.testing.assert_allclose([row["low"], row["high"]], [low, high], atol=0.05 * (high - low))


def test_rank_correlation_is_scipys():
    one = RNG.normal(size=(4, 3, 20)).round(1)
    other = one + RNG.normal(size=one.shape)
    signed = explain.rank_correlation(one, other, absolute=False)
    sizes = explain.rank_correlation(one, other)
    for k in range(4):
        assert signed[k] == pytest.approx(stats.spearmanr(one[k].ravel(), other[k].ravel()).statistic)
        assert sizes[k] == pytest.approx(stats.spearmanr(np.abs(one[k]).ravel(), np.abs(other[k]).ravel()).statistic)


def test_an_explanation_without_order_has_no_correlation():
    found = explain.rank_correlation([[0.0, 0, 0], [1, 2, 3]], [[1.0, 2, 3], [3, 2, 1]])
    assert np.isnan(found[0]) and found[1] == pytest.approx(-1)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_classes_are_those_of_the_task(kind):
    task = Task(("AFIB", "NORM", "MI", "PVC", "LBBB"), kind)
    torch.manual_seed(0)
    model = models.create("resnet1d", classes=task, filters=4).eval()
    (x,) = batch(model, 2)
    oracle = captum.attr.IntegratedGradients(model).attribute(x, target=4, n_steps=8, method="gausslegendre")
    assert_close(explain.integrated_gradients(model, x, "LBBB", steps=8), oracle)
    oracle = grad_cam_of_captum(model, x, explain.map_layer(model, x), 1)
    np.testing.assert_allclose(explain.grad_cam(model, x, "NORM"), oracle.detach().numpy(), rtol=1e-3, atol=1e-6)
    for method in explain.METHODS.values():
        with pytest.raises(SettingError, match="no class is called 'CD'; the classes are AFIB, NORM, MI, PVC, LBBB$"):
            method(model, x, "CD")
    assert explain.randomised(model, 1).task == task


def test_classes_without_a_task_are_numbered():
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 2))
    x = torch.ones(1, 3, 20)
    found = explain.integrated_gradients(model, x, "class 1", steps=1)
    np.testing.assert_allclose(found.ravel(), model[1].weight[1].detach().numpy(), rtol=1e-5)
    with pytest.raises(SettingError, match="the classes are class 0, class 1$"):
        explain.integrated_gradients(model, x, "MI")


def test_randomised_weights_are_others_and_repeatable():
    model = settled("resnet1d")
    state = torch.get_rng_state()
    one, again, other = (explain.randomised(model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert (one.settings, one.recipe, one.task) == (model.settings, model.recipe, model.task)
    weights = [each.features[1].weight for each in (model, one, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[0]) and not torch.equal(weights[1], weights[3])
    (x,) = batch(model)
    between = explain.rank_correlation(
        *(explain.integrated_gradients(each, x, "MI", steps=8) for each in (model, one)), absolute=False
    )
    assert np.abs(between).max() < 0.9


def test_a_trained_network_looks_where_the_only_difference_is():
    """Records with a bump in the middle, or none: the explanation must find the bump."""
    generator = torch.Generator().manual_seed(0)
    x, y = 0.3 * torch.randn(64, 3, 100, generator=generator), torch.zeros(64, 4)
    y[::2] = 1
    mask = torch.zeros(64, 3, 100, dtype=torch.bool)
    mask[:, 1, 40:60] = True
    x += 1.5 * (mask & (y[:, :1, None] == 1))
    torch.manual_seed(0)
    model = models.create("cnn1d", filters=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()
    data = datasets.Signals(x, y)
    for method in explain.METHODS:
        found = explain.over_time(model, data, range(0, 64, 2), "MI", method=method)
        in_time = np.broadcast_to(mask[::2].any(dim=1, keepdim=True), found.shape)
        summary = explain.localisation(found, in_time).summary
        assert summary.loc["difference", "low"] > 0.3, method


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda model, x: explain.integrated_gradients(model, x, "NORM"), "no class is called 'NORM'"),
        (lambda model, x: explain.integrated_gradients(model, x, "MI", steps=0), "steps=0"),
        (lambda model, x: explain.grad_cam(model, x, "MI", layer="features.99"), "no layer 'features.99'"),
        (lambda model, x: explain.grad_cam(model, x, "MI", layer="head"), "gives no maps"),
        (lambda model, x: explain.grad_cam(small("gru"), torch.rand(2, 3, 32), "MI"), "GRU has no convolution"),
        (lambda model, x: explain.map_layer(small("gated_fusion"), batch(small("gated_fusion"))), "signals and images"),
        (lambda model, x: explain.to_time(x, 100, spread="far"), "taps or pixel"),
        (lambda model, x: explain.to_time(x, 0, spread="pixel"), "n_samples=0"),
        (lambda model, x: explain.over_time(model, None, [0], "MI", method="guess"), "method='guess'"),
        (lambda model, x: explain.randomised(nn.Linear(2, 2), 1), "models.create"),
        (lambda model, x: explain.localisation(x[:, 0], x[:, 0], n_bootstrap=0), "n_bootstrap is 0"),
    ],
)
def test_bad_settings(call, words):
    model = small("compact")
    with pytest.raises(SettingError, match=words):
        call(model, *batch(model))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda model, x: explain.integrated_gradients(model, x, "MI", torch.zeros(5)), r"shape \(5,\)"),
        (lambda model, x: explain.integrated_gradients(model, x, "MI", [0.0, 0.0]), "2 baselines for 1 inputs"),
        (lambda model, x: explain.integrated_gradients(model, x, "MI", float("nan")), "NaN"),
        (lambda model, x: explain.integrated_gradients(model, x[:, :3], "MI"), "Compact"),
        (lambda model, x: explain.to_time(x[:, :4], 100), r"3 images per lead"),
        (lambda model, x: explain.to_time(x * np.nan, 100), "NaN"),
        (lambda model, x: explain.localisation(x[:, 0], x[:, 1, :8] > 0), "must both be"),
        (lambda model, x: explain.localisation(x[:, 0], x[:, 0] > 2), "none of 4 records"),
        (lambda model, x: explain.rank_correlation(x, x[:2]), "shapes"),
    ],
)
def test_bad_data(call, words):
    model = small("compact")
    with pytest.raises(DataError, match=words):
        call(model, *batch(model))


def test_signals_and_images_of_different_leads_are_refused(records):
    recipe = signals.SignalRecipe(leads=("I", "II", "V1", "V2"), scaling="millivolt")
    both = datasets.from_arrays(*records, size=32, signals=recipe)
    with pytest.raises(SettingError, match="different leads"):
        explain.over_time(small("gated_fusion"), both, [0], "MI")
