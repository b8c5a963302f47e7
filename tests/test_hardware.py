"""What is chosen for a card, by its compute capability; no card is needed for that."""

from contextlib import nullcontext

import pytest
import torch

from ecgcourse import hardware
from ecgcourse.errors import EcgCourseWarning
from ecgcourse.learning.config import TrainConfig

GPU = torch.device("cuda")


@pytest.fixture(params=[(6, 1), (7, 0), (7, 5), (8, 0), (8, 9), (9, 0), (12, 0)], ids=str)
def card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A card that is not there. As on a T4, PyTorch says that bfloat16 is supported, by emulation."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: request.param)
    return request.param


def test_the_precision_is_one_that_the_card_has(card: tuple[int, int]):
    major, _ = card
    expected = {6: "float32", 7: "float16"}.get(major, "bfloat16")
    chosen = hardware.resolve(TrainConfig())
    assert chosen.precision == expected and chosen.channels_last is (major > 6)
    asked = TrainConfig(precision="float32", channels_last=True)
    assert hardware.resolve(asked) == asked
    assert hardware.resolve(TrainConfig(precision="float32")).channels_last is (major >= 8)
    scaled = " with a gradient scaler" if major == 7 else ""
    assert hardware.describe(chosen).startswith(f"cuda (a card, {card[0]}.{card[1]}): {expected}{scaled}, channels ")


@pytest.mark.filterwarnings("error")
def test_a_card_that_imitates_bfloat16_is_named(card: tuple[int, int]):
    warned = pytest.warns(EcgCourseWarning, match="this GPU can't calculate in bfloat16.*precision='float(16|32)'")
    with warned if card < (8, 0) else nullcontext():
        hardware.warn_of_emulation("bfloat16", GPU)


def test_a_processor_calculates_in_float32():
    chosen = hardware.resolve(TrainConfig(device="cpu"))
    assert (chosen.precision, chosen.channels_last) == ("float32", True)
    assert hardware.describe(chosen) == "cpu: float32, channels last"
