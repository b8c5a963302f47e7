"""What is given to a network goes to its device: tried with a second device that is imitated, see `elsewhere`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import imitated
from torch.utils._pytree import tree_leaves, tree_map

from ecgcourse import datasets, explain, models, training
from ecgcourse.classifier import Classifier

FUSION = {"signal": "resnet1d", "signal_settings": {"filters": 4}, "image": "compact", "image_settings": {"filters": 4}}
FUSION |= {"hidden": 8, "image_size": 16}
CONFIG = training.TrainConfig(epochs=2, batch_size=8, learning_rate=0.01, progress=False)


def test_tensors_of_two_devices_are_not_mixed():
    here = torch.arange(6.0).reshape(2, 3)
    with imitated() as device:
        there = here.to(device)
        assert training.pick_device("auto").type == there.device.type == device.type
        assert torch.equal((there @ there.T).cpu(), here @ here.T)
        assert torch.equal(there[torch.tensor([1])].cpu(), here[1:])  # as PyTorch has it: an index may lie on the CPU
        for mixed in (lambda: there + here, lambda: here[there.argmax(dim=1)], there.numpy, there.double):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()


@pytest.mark.parametrize(
    ("name", "settings", "kept"),
    [
        ("resnet1d", {"filters": 4}, "cpu"),
        ("resnet1d", {"filters": 4}, "mps"),
        ("compact", {"filters": 4, "image_size": 16}, "mps"),
        ("late_fusion", FUSION, "cpu"),
    ],
)
def test_a_network_elsewhere_answers_as_on_the_cpu(name: str, settings: dict, kept: str):
    expected = asked("cpu", "cpu", name, settings)
    with imitated():
        found = asked("auto", kept, name, settings)
    # A pixel made elsewhere, in float32, may be one grey level off.
    tolerance = 1e-4 if name == "resnet1d" else 0.02
    for what, values in expected.items():
        assert type(found[what]) is np.ndarray
        np.testing.assert_allclose(found[what], values, atol=tolerance * np.abs(values).max(), err_msg=what)


def asked(device: str, kept: str, name: str, settings: dict) -> dict[str, np.ndarray]:
    """What chapters ask of a network trained on a device, with its records kept on the same one or another."""
    rng = np.random.default_rng(0)
    voltages, labels = rng.normal(size=(16, 12, 200)), np.arange(16)[:, None] // (1, 2, 3, 5) % 2
    training.seed_everything(0)
    model = models.create(name, **settings)
    data = datasets.from_arrays(voltages, labels, recipe=model.recipe, device=kept)
    history = training.fit(model, data, data, replace(CONFIG, device=device))
    assert next(model.parameters()).device.type == training.pick_device(device).type
    given = tree_map(lambda each: datasets.to_float(each) if each.dtype == torch.uint8 else each, data[[0, 1]][0])
    explained = {"the network": model, "another": explain.randomised(model, seed=1)}
    return {
        "training loss": history.to_frame()["train_loss"].to_numpy(),
        "predict": training.predict(model, data, device=device)[1],
        "Classifier": Classifier(model, device).predict_proba(voltages, sampling_rate=100),
        "over time": explain.over_time(model, data, [0, 3], "MI", steps=2),
    } | {
        f"gradients of {which}": np.concatenate(
            [each.ravel() for each in tree_leaves(explain.integrated_gradients(network, given, "CD", steps=4))]
        )
        for which, network in explained.items()
    }
