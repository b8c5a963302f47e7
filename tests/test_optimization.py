"""The steps that losses become, against plain PyTorch: big batches, its own clipping, schedules and gradient scaler."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import TensorDataset

from ecgcourse import datasets, optimization, training
from ecgcourse.learning.config import TrainConfig

N_RECORDS, BATCH = 44, 8
"""Six batches an epoch, the last of four records."""


class Small(nn.Module):
    """Nothing that sees a batch as a whole."""

    def __init__(self):
        super().__init__()
        self.settings = {"name": "small"}
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def a_model() -> Small:
    training.seed_everything(0)
    return Small()


@pytest.fixture(scope="module")
def records() -> TensorDataset:
    rng = np.random.default_rng(0)
    labels = np.vstack([np.zeros(4), np.ones(4), rng.integers(0, 2, (N_RECORDS - 2, 4))])
    return TensorDataset(
        torch.from_numpy(rng.normal(size=(N_RECORDS, 3, 10))).float(), torch.from_numpy(labels).float()
    )


@pytest.fixture
def steps_taken():
    """The learning rate of each step that an optimizer takes."""
    rates = []
    watch = register_optimizer_step_post_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    yield rates
    watch.remove()


def batches_of(records: TensorDataset, epochs: int) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Those of each epoch, as training gets them with seed 0."""
    loader = datasets.loader(datasets.batched(records), BATCH, shuffle=True, seed=0)
    return [list(loader) for _ in range(epochs)]


def assert_same_weights(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_accumulated_gradients_are_those_of_one_big_batch(kind: str, records: TensorDataset, steps_taken: list[float]):
    """Four batches a step, so that the second step of an epoch has twelve records; clipped, and warmed up."""
    epochs, rise = 3, 4
    model, oracle = a_model(), a_model()
    config = TrainConfig(
        epochs, BATCH, accumulate=4, clip_norm=0.05, learning_rate=0.1, optimizer=kind, warmup_epochs=2, device="cpu"
    )
    training.fit(model, records, None, config)
    found, steps_taken[:] = list(steps_taken), []

    loss_function = nn.BCEWithLogitsLoss(pos_weight=training.positive_weights(records.tensors[1]))
    optimizer = optimization.OPTIMIZERS[kind](oracle.parameters(), lr=0.1)
    schedule, norms = LinearLR(optimizer, 1 / rise, total_iters=rise - 1), []
    for batches in batches_of(records, epochs):
        for group in (batches[:4], batches[4:]):
            x, y = (torch.cat(parts) for parts in zip(*group, strict=True))
            optimizer.zero_grad()
            loss_function(oracle(x), y).backward()
            norms.append(nn.utils.clip_grad_norm_(oracle.parameters(), 0.05).item())
            optimizer.step()
            schedule.step()
    assert_same_weights(model, oracle, atol=1e-6, rtol=1e-5)
    assert found == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1]) == steps_taken
    assert min(norms) > 0.05


def test_float16_skips_steps_as_pytorch_does(
    records: TensorDataset, steps_taken: list[float], monkeypatch: pytest.MonkeyPatch
):
    """A skipped step moves neither weights nor their average nor the schedule, and is counted."""
    monkeypatch.setattr(optimization, "FIRST_SCALE", 2.0**24)
    epochs, decay = 3, 0.5
    model = a_model()
    oracle = copy.deepcopy(model)
    config = TrainConfig(
        epochs,
        BATCH,
        precision="float16",
        learning_rate=0.05,
        clip_norm=1,
        warmup_epochs=2,
        ema_decay=decay,
        device="cpu",
    )
    found = training.fit(model, records, None, config)
    taken, steps_taken[:] = list(steps_taken), []

    loss_function = nn.BCEWithLogitsLoss(pos_weight=training.positive_weights(records.tensors[1]))
    optimizer = torch.optim.SGD(oracle.parameters(), lr=0.05)
    schedule, scaler = LinearLR(optimizer, 1 / 12, total_iters=11), torch.amp.GradScaler("cpu", 2.0**24)
    average, n_averaged, skipped = copy.deepcopy(oracle), 0, []
    for batches in batches_of(records, epochs):
        skipped.append(0)
        for x, y in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                logits = oracle(x)
            scaler.scale(loss_function(logits.float(), y)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(oracle.parameters(), 1)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() < before:
                skipped[-1] += 1
                continue
            schedule.step()
            kept = min(decay, (1 + n_averaged) / (10 + n_averaged)) if n_averaged else 0.0
            n_averaged += 1
            with torch.no_grad():
                for mean, now in zip(average.parameters(), oracle.parameters(), strict=True):
                    mean.mul_(kept).add_((1 - kept) * now)
    assert [row["skipped_steps"] for row in found.rows] == skipped and 0 < sum(skipped) < 12
    assert taken == pytest.approx(steps_taken) and len(taken) == 18 - sum(skipped)
    assert_same_weights(model, average, atol=1e-6, rtol=1e-5)
