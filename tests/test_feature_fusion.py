"""Feature fusion, weights of torchvision's ResNet-18, and a support vector machine: by PyTorch and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch.nn import functional as f

from ecgcourse import datasets, models
from ecgcourse.analysis.feature_svm import FeatureSVM, features
from ecgcourse.errors import CheckpointError, SettingError
from ecgcourse.models.torchvision_weights import load_resnet18
from ecgcourse.recipe import ImageRecipe, Recipe, Task

TASK = Task(("N", "S", "V"), "multiclass")
RECIPE = Recipe(ImageRecipe(("MLII",), ("GAF", "RP"), 32, filtered=False), None, 125)


def torchvision_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random numbers under the names and in the shapes of torchvision's resnet18."""
    generator, state = torch.Generator().manual_seed(seed), {}

    def convolution(name: str, n_out: int, n_in: int, kernel: int) -> None:
        spread = (2 / (n_in * kernel * kernel)) ** 0.5
        state[f"{name}.weight"] = torch.randn(n_out, n_in, kernel, kernel, generator=generator) * spread

    def normalization(name: str, n: int) -> None:
        for part in ("weight", "running_var"):
            state[f"{name}.{part}"] = 0.5 + torch.rand(n, generator=generator)
        for part in ("bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(n, generator=generator) * 0.1
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    convolution("conv1", 64, 3, 7)
    normalization("bn1", 64)
    n_in = 64
    for stage, n_out in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1", n_out, n_in, 3)
            normalization(f"{name}.bn1", n_out)
            convolution(f"{name}.conv2", n_out, n_out, 3)
            normalization(f"{name}.bn2", n_out)
            if n_in != n_out:
                convolution(f"{name}.downsample.0", n_out, n_in, 1)
                normalization(f"{name}.downsample.1", n_out)
            n_in = n_out
    state["fc.weight"], state["fc.bias"] = torch.randn(1000, 512, generator=generator), torch.zeros(1000)
    return state


def resnet18_by_hand(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What torchvision's resnet18 finds, (B, 512), from its documented architecture."""

    def normalized(name: str, x: torch.Tensor) -> torch.Tensor:
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return f.batch_norm(x, *parts)

    x = f.relu(normalized("bn1", f.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = f.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            way = f.relu(normalized(f"{name}.bn1", f.conv2d(x, state[f"{name}.conv1.weight"], None, stride, 1)))
            way = normalized(f"{name}.bn2", f.conv2d(way, state[f"{name}.conv2.weight"], None, 1, 1))
            if f"{name}.downsample.0.weight" in state:
                x = normalized(f"{name}.downsample.1", f.conv2d(x, state[f"{name}.downsample.0.weight"], None, stride))
            x = f.relu(x + way)
    return x.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision_state(), path)
    return path


def test_weights_of_torchvision_give_what_its_resnet18_finds(weights):
    """In each network of a fusion, and with three colours; one image is looked at three times."""
    state, images = torchvision_state(), torch.rand(1, 3, 32, 32)
    fusion = models.create("feature_fusion", image_settings={"filters": 64}, leads=1, in_channels=2, image_size=32)
    colours = models.create(
        "image_fusion", image="resnet", image_settings={"filters": 64}, in_channels=3, image_size=32
    )
    assert load_resnet18(weights, fusion) == 2 and load_resnet18(weights, colours) == 1
    with torch.no_grad():
        found, expected = fusion.eval().features(images[:, :2]), [images[:, [k] * 3] for k in range(2)]
        for part, three in zip(found.split(512, dim=1), expected, strict=True):
            torch.testing.assert_close(part, resnet18_by_hand(state, three), rtol=1e-3, atol=1e-3)
        alone = colours.eval().embed(images)
        torch.testing.assert_close(alone, resnet18_by_hand(state, images), rtol=1e-3, atol=1e-3)


def test_other_files_and_other_models_are_refused(weights, tmp_path):
    network = models.create("resnet", filters=64, in_channels=3, image_size=32)
    with pytest.raises(SettingError, match="holds no resnet with depth=18, filters=64"):
        load_resnet18(weights, models.create("resnet", in_channels=3, image_size=32))
    state = torchvision_state()
    for change in ({"layer3.0.bn2.weight": torch.ones(3)}, {"layer5.0.conv1.weight": torch.ones(1)}):
        torch.save(state | change, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match="isn't torchvision's resnet18"):
            load_resnet18(tmp_path / "other.pth", network)
    with pytest.raises(CheckpointError, match="isn't there"):
        load_resnet18(tmp_path / "none.pth", network)


def test_fields_go_to_their_own_networks_and_frozen_ones_hold_still():
    settings = {"image": "compact", "image_settings": {"filters": 4}, "width": 16}
    model = models.create("feature_fusion", RECIPE, TASK, **settings, freeze=True)
    trained = [models.create("compact", filters=4, in_channels=1, image_size=32, n_classes=3) for _ in range(2)]
    model.load_pretrained(*trained)
    images = torch.rand(5, 2, 32, 32)
    model.train()
    with torch.no_grad():
        side_by_side = torch.cat([each.eval().embed(images[:, [k]]) for k, each in enumerate(trained)], dim=1)
        torch.testing.assert_close(model.features(images), side_by_side)
        x = side_by_side
        for layer in (0, 3, 6):
            x = f.relu(f.linear(x, model.joint_layers[layer].weight, model.joint_layers[layer].bias))
        torch.testing.assert_close(model(images), f.linear(x, model.head.weight, model.head.bias))
    learning = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert learning == (128 * 16 + 16) + (16 * 8 + 8) + (8 * 4 + 4) + (4 * 3 + 3)
    with pytest.raises(SettingError, match="1 models for 2 fields"):
        model.load_pretrained(trained[0])
    with pytest.raises(SettingError, match="make both alike"):
        model.load_pretrained(trained[0], models.create("compact", in_channels=1, image_size=32))


def test_support_vectors_are_scikit_learns_on_what_the_networks_found():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.sin(np.arange(187) / (6 + 4 * y[:, None])) + rng.normal(0, 0.3, (60, 187))
    dataset = datasets.from_arrays(x[:, None], np.eye(3)[y], 125, recipe=RECIPE, task=TASK, leads=("MLII",))
    model = models.create("feature_fusion", RECIPE, TASK, image="compact", image_settings={"filters": 4})
    with torch.no_grad():
        found = model.eval().features(datasets.to_float(dataset[np.arange(60)][0])).double().numpy()
    labels, said = features(model, dataset)
    np.testing.assert_allclose(said, found, atol=1e-5)
    assert (labels.argmax(axis=1) == y).all()
    machine = FeatureSVM(model, c=2.0).fit(dataset)
    scaler = StandardScaler().fit(found)
    expected = SVC(C=2.0).fit(scaler.transform(found), y).predict(scaler.transform(found))
    assert (machine.predict(dataset) == expected).mean() > 0.98
    with pytest.raises(SettingError, match="nothing was learned"):
        FeatureSVM(model).predict(dataset)
    with pytest.raises(SettingError, match="exactly one"):
        FeatureSVM(models.create("compact", image_size=32))
