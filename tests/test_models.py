import re
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from ecgcourse import datasets, distributed, models, training
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.images.fields import taps
from ecgcourse.images.signals import SignalRecipe
from ecgcourse.learning.datasets import from_arrays, to_float
from ecgcourse.models.alexnet_attention import SelfAttention
from ecgcourse.models.network import Model
from ecgcourse.recipe import ImageRecipe, Recipe, Task

# Narrow and for small images, so that all of them are quick; what the defaults come to is counted without memory.
SMALL = {
    "alexnet": {"filters": 2, "image_size": 67},
    "alexnet_attention": {"filters": 2, "image_size": 67},
    "cnn": {"filters": 2, "hidden": 8, "image_size": 32},
    "cnn1d": {"filters": 4},
    "cnn_gru": {"hidden": 8},
    "cnn_lstm": {"hidden": 8},
    "compact": {"filters": 2, "image_size": 32},
    "compact_differences": {"filters": 2, "image_size": 32},
    "early_fusion": {"signal_settings": {"hidden": 8}, "image_settings": {"filters": 2}, "hidden": 8, "image_size": 67},
    "gated_fusion": {
        "signal_settings": {"filters": 4},
        "image_settings": {"filters": 2},
        "width": 8,
        "image_size": 32,
    },
    "gru": {"hidden": 8},
    "image_fusion": {"image": "compact", "image_settings": {"filters": 2}, "image_size": 32},
    "joint_fusion": {"image": "compact", "signal_settings": {"hidden": 8}, "hidden": 8, "image_size": 32},
    "late_fusion": {"image": "compact", "signal_settings": {"hidden": 8}, "hidden": 8, "image_size": 32},
    "lstm": {"hidden": 8},
    "mobilenet": {"filters": 8, "image_size": 64},
    "resnet": {"filters": 2, "image_size": 64},
    "resnet1d": {"filters": 4},
    "rnn": {"hidden": 8},
    "vgg": {"depth": 11, "filters": 2, "hidden": 16, "image_size": 32},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small are slower on several threads, and much slower where other processes want them too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str, seed: int = 0, **settings) -> nn.Module:
    torch.manual_seed(seed)
    given = {
        setting: value for setting, value in SMALL[name].items() if setting != "image_size" or "recipe" not in settings
    }
    return models.create(name, **given | settings)


def batch(model: nn.Module, n_records: int = 4) -> list[torch.Tensor]:
    """Random signals, images or both, as the model takes them."""
    generator = torch.Generator().manual_seed(1)
    size, leads = (model.settings.get(name, 1) for name in ("image_size", "leads"))
    channels = model.settings.get("in_channels", leads)
    shapes = {"signals": (n_records, leads, 48), "images": (n_records, channels, size, size)}
    return [torch.rand(shapes[kind], generator=generator) for kind in model.inputs]


def count(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def counted(name: str, **settings) -> int:
    with torch.device("meta"):
        return count(models.create(name, **settings))


def convolution(channels_in: int, channels_out: int, pixels: int, bias: bool = True) -> int:
    return channels_in * channels_out * pixels + channels_out * bias


def normalized(channels_in: int, channels_out: int, pixels: int) -> int:
    """A convolution without bias, and a factor and an offset per channel behind it."""
    return channels_in * channels_out * pixels + 2 * channels_out


def linear(*sizes: int) -> int:
    return sum(n_in * n_out + n_out for n_in, n_out in pairwise(sizes))


def test_every_model_is_tested():
    assert set(SMALL) == set(models.names())


@pytest.mark.parametrize("name", models.names())
def test_every_model_turns_its_inputs_into_finite_logits_and_learns(name):
    model = small(name)
    logits = model(*batch(model))
    assert logits.shape == (4, 4) and logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", models.names())
def test_a_few_steps_move_every_weight_and_lower_the_loss(name):
    model = small(name, **{"dropout": 0.0} if "dropout" in small(name).settings else {})
    inputs, labels = batch(model), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    before = {key: weights.detach().clone() for key, weights in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(*inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Alike for all pixels, the bias of the keys shifts every likeness of a query by the same, which softmax ignores.
    stuck = [key for key, weights in model.named_parameters() if torch.equal(weights, before[key])]
    assert not [key for key in stuck if not key.endswith("key.bias")]
    assert min(losses[-3:]) < losses[0]


@pytest.mark.parametrize("name", models.names())
def test_every_model_takes_its_default_shape(name):
    with torch.device("meta"):
        model = models.create(name).eval()
        shapes = {"signals": (2, 3, 40), "images": (2, 9, 256, 256)}
        if name == "compact_differences":
            shapes["images"] = (2, 3, 64, 64)
        inputs = [torch.empty(shapes[kind]) for kind in models.inputs(name)]
        assert model(*inputs).shape == (2, 4)
        assert model.embed(*inputs).shape == (2, model.embedding_size)


@pytest.mark.parametrize("name", models.names())
def test_the_same_seed_gives_the_same_weights_and_answers(name):
    first, second, other = small(name).eval(), small(name).eval(), small(name, seed=1).eval()
    inputs = batch(first)
    torch.testing.assert_close(first(*inputs), second(*inputs), rtol=0, atol=0)
    assert not torch.equal(first(*inputs), other(*inputs))


@pytest.mark.parametrize("name", models.names())
def test_a_records_answer_does_not_depend_on_its_batch(name):
    model = small(name).eval()
    inputs = batch(model)
    torch.testing.assert_close(model(*inputs)[1:2], model(*(each[1:2] for each in inputs)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", models.names())
def test_every_model_can_be_saved_and_loaded(name, tmp_path):
    model = small(name, n_classes=4).eval()
    training.save_checkpoint(tmp_path / "best.pt", model)
    again = training.load_checkpoint(tmp_path / "best.pt")
    assert again.settings == model.settings and model.settings["name"] == name
    inputs = batch(model)
    torch.testing.assert_close(again(*inputs), model(*inputs), rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name in models.names() if "images" in models.inputs(name)])
def test_images_of_another_shape_are_refused(name):
    model = small(name).eval()
    size = model.settings["image_size"]
    for shape in [(2, 9, size + 1, size + 1), (2, 5, size, size), (9, size, size), (2, 9, size, size - 1)]:
        inputs = dict(zip(model.inputs, batch(model, 2), strict=True)) | {"images": torch.zeros(shape)}
        with pytest.raises(DataError, match=rf"images of shape .*\(B, \d, {size}, {size}\)"):
            model(*inputs.values())
        with pytest.raises(DataError, match="images of shape"):
            model.embed(*inputs.values())


@pytest.mark.parametrize("name", [name for name in models.names() if "signals" in models.inputs(name)])
def test_signals_of_another_shape_are_refused(name):
    model = small(name).eval()
    for shape in [(2, 12, 40), (3, 40), (2, 40, 3), (2, 3, 0)]:
        inputs = dict(zip(model.inputs, batch(model, 2), strict=True)) | {"signals": torch.zeros(shape)}
        with pytest.raises(DataError, match=r"signals of shape .*\(B, 3, T\)"):
            model(*inputs.values())


@pytest.mark.parametrize("name", [name for name in models.names() if "signals" in models.inputs(name)])
def test_all_leads_or_those_of_the_images(name):
    for leads, names in ((3, ("I", "II", "V2")), (12, models.registry.LEADS)):
        model = small(name, leads=leads).eval()
        wanted = models.signal_recipe(model)
        assert wanted.leads == names and wanted.scaling in ("z_score", "millivolt")
        assert model(*batch(model)).shape == (4, 4)
    assert models.signal_recipe(small(name, leads=5)) is None
    with pytest.raises(SettingError, match="leads=0"):
        small(name, leads=0)


def test_models_say_which_images_they_take():
    assert models.image_recipe(small("gru")) is None and models.signal_recipe(small("compact")) is None
    for name in ("compact", "gated_fusion"):
        model = small(name)
        assert models.image_recipe(model) == ImageRecipe(size=model.settings["image_size"])
    for leads in (3, 12):
        model = small("compact_differences", leads=leads)
        recipe = models.image_recipe(model)
        assert (len(recipe.leads), recipe.fields, recipe.eval_crops) == (leads, ("DIF",), 8)
        x = torch.rand(2, 12, 300).numpy()
        dataset = from_arrays(x, torch.zeros(2, 4), images=replace(recipe, eval_crops=1))
        assert model(to_float(dataset[:][0])).shape == (2, 4)
    assert models.image_recipe(small("compact_differences", leads=5)) is None


RECIPES = {
    "signals": SignalRecipe(("V5", "I"), crop=40, eval_crops=2),
    "images": ImageRecipe(("V1",), ("GAF", "MTF", "RP"), 68),
}


@pytest.mark.parametrize("name", models.names())
def test_recipe_and_classes_make_the_model(name: str):
    images = replace(RECIPES["images"], fields=("RP",)) if name == "compact_differences" else RECIPES["images"]
    parts = {kind: {**RECIPES, "images": images}[kind] for kind in models.inputs(name)}
    recipe, classes = Recipe(**parts), ("a", "b", "c")
    model = small(name, recipe=recipe, classes=classes)
    assert (model.recipe, model.task) == (recipe, Task(classes)) and isinstance(model, Model)
    inputs = {"signals": torch.zeros(2, 2, 40), "images": torch.zeros(2, images.channels, 68, 68)}
    assert model.eval()(*(inputs[kind] for kind in model.inputs)).shape == (2, 3)
    with pytest.raises(SettingError, match="n_classes=4.*n_classes=3"):
        small(name, recipe=recipe, classes=classes, n_classes=4)
    other = Recipe(images=ImageRecipe()) if "images" not in parts else Recipe(signals=SignalRecipe())
    with pytest.raises(SettingError, match=f"'{name}' takes .* but the recipe makes"):
        small(name, recipe=other)


def test_inputs_are_known_by_name():
    assert models.inputs("alexnet") == ("images",)
    assert models.inputs("gru") == ("signals",)
    assert models.inputs("late_fusion") == ("signals", "images")
    with pytest.raises(SettingError, match="no model is called 'gur'"):
        models.inputs("gur")


# --- how many weights, layer by layer


@pytest.mark.parametrize("filters", [8, 16])
def test_weights_of_alexnet(filters):
    f = filters
    shapes = [(9, f, 121), (f, 2 * f, 25), (2 * f, 4 * f, 9), (4 * f, 8 * f, 9), (8 * f, 256, 9)]
    expected = sum(convolution(*shape) for shape in shapes) + linear(9216, 4096, 2048, 4)
    assert counted("alexnet", filters=filters) == expected
    if filters == 8:
        assert expected == 46_334_468


def test_weights_of_alexnet_with_attention():
    def attention(channels, narrow):
        return 2 * convolution(channels, narrow, 1) + convolution(channels, channels, 1) + 1

    expected = counted("alexnet", filters=8) + attention(8, 1) + attention(32, 4)
    assert counted("alexnet_attention") == expected


def test_weights_of_the_plain_network():
    expected = convolution(9, 16, 9) + convolution(16, 32, 9) + convolution(32, 64, 9)
    expected += linear(64 * 62 * 62, 2048, 1024, 4)
    assert counted("cnn") == expected
    assert linear(64 * 62 * 62, 2048) == 503_842_816


def test_weights_of_resnet():
    f = 16
    expected = normalized(9, f, 49) + 4 * normalized(f, f, 9) + linear(8 * f, 4)
    for wide in (2 * f, 4 * f, 8 * f):
        expected += normalized(wide // 2, wide, 9) + 3 * normalized(wide, wide, 9) + normalized(wide // 2, wide, 1)
    assert counted("resnet") == expected


def test_weights_of_vgg():
    f = 16
    widths = [9, f, f, 2 * f, 2 * f, 4 * f, 4 * f, 4 * f, *[8 * f] * 6]
    expected = sum(convolution(a, b, 9) for a, b in pairwise(widths)) + linear(8 * f * 8 * 8, 4096, 4096, 4)
    assert counted("vgg") == expected


def test_weights_of_mobilenet():
    def block(channels_in, channels_out, expansion):
        middle = expansion * channels_in
        widening = normalized(channels_in, middle, 1) if expansion > 1 else 0
        return widening + normalized(1, middle, 9) + normalized(middle, channels_out, 1)

    widths = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    expected = normalized(9, 32, 9) + block(32, 16, 1)
    expected += sum(block(a, b, 6) for a, b in pairwise(widths)) + normalized(320, 1280, 1) + linear(1280, 4)
    assert counted("mobilenet") == expected


@pytest.mark.parametrize(
    ("name", "settings", "published"),
    [
        ("resnet", {"depth": 18, "filters": 64}, 11_689_512),
        ("resnet", {"depth": 34, "filters": 64}, 21_797_672),
        ("resnet", {"depth": 50, "filters": 64}, 25_557_032),
        ("vgg", {"depth": 11, "filters": 64}, 132_863_336),
        ("vgg", {"depth": 16, "filters": 64}, 138_357_544),
        ("mobilenet", {"filters": 32}, 3_504_872),
    ],
)
def test_at_full_width_on_photographs_they_are_the_published_networks(name, settings, published):
    # The counts that torchvision documents for its networks with 1000 classes.
    assert counted(name, **settings, in_channels=3, n_classes=1000, image_size=224) == published


@pytest.mark.parametrize("size", [64, 128, 256])
def test_no_sample_of_a_crop_is_stepped_over(size):
    recipe = models.image_recipe(small("compact_differences"))
    first, second, weight = taps(recipe.crop, size)
    mixed = {*first[weight < 1], *second[weight > 0]}
    assert mixed == set(range(recipe.crop))


def test_weights_of_compact_differences():
    assert counted("compact_differences") == counted("compact", in_channels=3) == 99_482
    assert counted("compact_differences", leads=12) == counted("compact", in_channels=12)


def test_weights_of_compact():
    f = 16
    expected = 2 * 9 + normalized(9, f, 25) + linear(16 * f, 4)
    expected += sum(normalized(wide, 2 * wide, 9) for wide in (f, 2 * f, 4 * f))
    assert counted("compact") == expected
    assert expected < counted("alexnet", filters=8) / 10


def test_weights_of_the_recurrent_networks():
    def recurrent(gates, n_in, hidden, layers, directions):
        total = 0
        for _ in range(layers):
            # PyTorch has two biases for each gate, one for what is read and one for what is remembered.
            total += directions * gates * hidden * (n_in + hidden + 2)
            n_in = directions * hidden
        return total

    assert counted("gru") == recurrent(3, 3, 128, 3, 1) + linear(128, 4)
    assert counted("lstm") == recurrent(4, 3, 128, 2, 1) + linear(128, 4)
    assert counted("rnn") == recurrent(1, 3, 128, 2, 1) + linear(128, 4)
    assert counted("gru", attention=True) == counted("gru") + linear(128, 1)
    convolutions = convolution(3, 6, 5) + convolution(6, 12, 5) + convolution(12, 24, 5)
    for name, gates in (("cnn_lstm", 4), ("cnn_gru", 3)):
        assert counted(name) == convolutions + recurrent(gates, 24, 128, 1, 1) + linear(128, 4)
    both_ways = counted("gru", layers=2, bidirectional=True, leads=12)
    assert both_ways == recurrent(3, 12, 128, 2, 2) + linear(256, 4)


def test_weights_of_the_fully_convolutional_network():
    expected = normalized(3, 128, 8) + normalized(128, 256, 5) + normalized(256, 128, 3) + linear(128, 4)
    assert counted("cnn1d") == expected


@pytest.mark.parametrize("leads", [3, 12])
def test_weights_of_the_residual_network_for_signals(leads):
    f = 32
    expected = 2 * leads + normalized(leads, f, 15) + 2 * normalized(f, f, 7) + linear(8 * f, 4)
    for wide in (2 * f, 4 * f):
        expected += normalized(wide // 2, wide, 7) + normalized(wide, wide, 7) + normalized(wide // 2, wide, 1)
    assert counted("resnet1d", leads=leads) == expected


def test_readme_lists_every_model_with_its_weights():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([a-z ]+) \| ([\d,]+) \|", readme, flags=re.MULTILINE)
    expected = [(name, " and ".join(models.inputs(name)), f"{counted(name):,}") for name in models.names()]
    assert sorted(rows) == expected


# --- single models


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
    assert models.create("alexnet", filters=2, image_size=size)(torch.zeros(1, 9, size, size)).shape == (1, 4)


def test_he_start_keeps_the_size_of_signals():
    torch.manual_seed(0)
    images = torch.rand(4, 9, 256, 256)
    spread = {
        start: models.create("alexnet", filters=8, init=start).eval()(images).std().item()
        for start in ("pytorch", "he")
    }
    assert spread["he"] > 10 * spread["pytorch"]


@pytest.mark.parametrize("name", ["alexnet", "alexnet_attention"])
def test_standardized_images_have_mean_zero_and_deviation_one(name):
    model = small(name, standardize=True)
    assert count(model) == count(small(name))
    seen = []
    model.features[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].transpose(0, 1).flatten(1)))
    images = torch.rand(8, 9, model.settings["image_size"], model.settings["image_size"]) / 5
    expected = (images - images.mean(dim=(0, 2, 3), keepdim=True)) / images.std(dim=(0, 2, 3), keepdim=True)
    model(images)
    torch.testing.assert_close(seen[0], expected.transpose(0, 1).flatten(1), atol=5e-3, rtol=0)
    # While judging, an image doesn't depend on those beside it.
    model.eval()
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_self_attention_is_that_of_its_equations():
    torch.manual_seed(0)
    layer, x = SelfAttention(16).double(), torch.randn(2, 16, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), x)
        layer.gamma.fill_(0.7)
    query, key, value = (part(x).flatten(2) for part in (layer.query, layer.key, layer.value))
    weights = torch.einsum("bcj,bci->bji", query, key).softmax(dim=2)
    seen = torch.einsum("bji,bci->bcj", weights, value)
    torch.testing.assert_close(layer(x), 0.7 * seen.reshape(x.shape) + x)


def test_with_nothing_attended_to_alexnet_stays_alexnet():
    plain, attending = small("alexnet").eval(), small("alexnet_attention").eval()
    places = {0: 0, 4: 5, 8: 9, 10: 12, 12: 14}
    state = {key: weights for key, weights in plain.state_dict().items() if key.startswith("classifier")}
    for old, new in places.items():
        state |= {f"features.{new}.{part}": getattr(plain.features[old], part) for part in ("weight", "bias")}
    kept = attending.load_state_dict(state, strict=False)
    assert not kept.unexpected_keys and {key.split(".")[1] for key in kept.missing_keys} == {"2", "11"}
    images = batch(plain)
    torch.testing.assert_close(attending(*images), plain(*images))


@pytest.mark.parametrize("name", ["gru", "lstm", "rnn"])
def test_both_directions_have_read_the_whole_signal(name):
    model = small(name, bidirectional=True, layers=1)
    signals = batch(model)[0].requires_grad_()
    for half in (slice(0, 8), slice(8, 16)):
        (reached,) = torch.autograd.grad(model.embed(signals)[:, half].sum(), signals)
        assert (reached[..., [0, -1]] != 0).all()


@pytest.mark.parametrize("name", ["cnn1d", "resnet1d", "gru", "lstm", "rnn"])
def test_signals_of_any_length(name):
    model = small(name).eval()
    assert all(model(torch.rand(2, 3, length)).shape == (2, 4) for length in (16, 250, 1001))


@pytest.mark.parametrize("name", ["cnn_gru", "cnn_lstm"])
def test_before_the_recurrent_layer_time_stays_time(name):
    model, signals = small(name).eval(), torch.rand(1, 3, 140)
    late, other_lead = signals.clone(), signals.clone()
    late[..., 40:] += 1
    other_lead[:, 1] += 1
    # What the first steps read: only the beginning of the signal, of all leads.
    first = [model.features(each)[..., :1] for each in (signals, late, other_lead)]
    torch.testing.assert_close(first[1], first[0], rtol=0, atol=0)
    assert not torch.allclose(first[2], first[0])
    states, _ = model.rnn(model.features(signals).transpose(1, 2))
    torch.testing.assert_close(model.embed(signals), states[:, -1])
    with pytest.raises(DataError, match="at least 36 samples"):
        model(signals[..., :35])
    assert model(signals[..., :36]).shape == (1, 4)


def test_millivolts_count_for_the_residual_network():
    model, signals = small("resnet1d").eval(), batch(small("resnet1d"))[0]
    assert not torch.allclose(model.embed(signals), model.embed(2 * signals))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "resnet5000"}, "alexnet"),
        ({"name": "alexnet", "filter": 8}, "filter"),
        ({"name": "alexnet", "filters": 0}, "filters=0"),
        ({"name": "alexnet", "filters": 2.5}, "filters=2.5"),
        ({"name": "alexnet", "dropout": 1.0}, "dropout=1.0"),
        ({"name": "alexnet", "image_size": 66}, "image_size=66 isn't allowed.*from 67 to 4096"),
        ({"name": "alexnet", "init": "xavier"}, "xavier"),
        ({"name": "alexnet", "standardize": 1}, "standardize=1 isn't allowed; it must be False or True"),
        ({"name": "alexnet_attention", "filters": -1}, "filters=-1"),
        ({"name": "cnn", "image_size": 11}, "from 12"),
        ({"name": "cnn", "hidden": 0}, "hidden=0"),
        ({"name": "resnet", "depth": 101}, "18 or 34 or 50"),
        ({"name": "resnet", "bias": 1}, "bias=1"),
        ({"name": "alexnet_attention", "softmax_over": "values"}, "'keys' or 'queries'"),
        ({"name": "cnn_lstm", "mixed_axes": "yes"}, "mixed_axes='yes'"),
        ({"name": "rnn", "attention": None}, "attention=None"),
        ({"name": "resnet", "image_size": 31}, "from 32"),
        ({"name": "vgg", "depth": 19}, "10 or 11 or 16"),
        ({"name": "vgg", "dropout": "much"}, "dropout='much'"),
        ({"name": "mobilenet", "filters": True}, "filters=True"),
        ({"name": "compact", "head_dropout": -0.1}, "head_dropout=-0.1"),
        ({"name": "gru", "layers": 0}, "layers=0"),
        ({"name": "gru", "bidirectional": 1}, "bidirectional=1"),
        ({"name": "lstm", "hidden": 0}, "hidden=0"),
        ({"name": "cnn1d", "filters": 0}, "filters=0"),
        ({"name": "resnet1d", "kernel": 4}, "kernel=4"),
        ({"name": "image_fusion", "in_channels": 8}, "in_channels=8"),
        ({"name": "gated_fusion", "width": 0}, "width=0"),
        ({"name": "early_fusion", "image": "resnet"}, "image='resnet'"),
        ({"name": "early_fusion", "hidden": 0}, "hidden=0"),
        ({"name": "early_fusion", "image_size": 66}, "from 67"),
        ({"name": "joint_fusion", "signal": "compact"}, "takes signals alone"),
        ({"name": "joint_fusion", "image": "late_fusion"}, "takes images alone"),
        ({"name": "joint_fusion", "signal_settings": {"leads": 3}}, "leads is a setting of the fusion"),
        ({"name": "joint_fusion", "image_settings": {"filter": 3}}, "filter"),
        ({"name": "late_fusion", "dropout": 2}, "dropout=2"),
        ({"name": "late_fusion", "freeze": "yes"}, "freeze='yes'"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with torch.device("meta"), pytest.raises(SettingError, match=words):
        models.create(**settings)


# --- former names


def test_former_names_of_settings_warn_and_checkpoints_with_them_are_read(tmp_path):
    given = {"image": "alexnet", "image_settings": {"filters": 2, "init": "he"}, "hidden": 8, "image_size": 67}
    model = models.create("late_fusion", **given)
    former = given | {"image_settings": {"filters": 2, "initialisation": "he"}, "size": 67}
    del former["image_size"]
    with pytest.warns(EcgCourseWarning, match="size is called image_size now"):
        assert models.create("late_fusion", **former).settings == model.settings
    path = tmp_path / "best.pt"
    training.save_checkpoint(path, model)
    content = torch.load(path, weights_only=True)
    content["settings"] = {"name": "late_fusion", **former}
    torch.save(content, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = training.load_checkpoint(path)
    assert again.settings == model.settings
    assert all(torch.equal(again.state_dict()[name], weights) for name, weights in model.state_dict().items())


def test_former_names_of_functions_warn():
    for module, former, now in ((datasets, "prepare", "from_arrays"), (distributed, "Team", "DistributedContext")):
        with pytest.warns(DeprecationWarning, match=f"{former} is called {now} now"):
            assert getattr(module, former) is getattr(module, now)
