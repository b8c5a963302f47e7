"""What all models refuse: settings out of range, and inputs of another shape. Introduced in chapter 09."""

from collections.abc import Collection

import torch

from ecgcourse.errors import DataError, SettingError, shown
from ecgcourse.images.fields import LARGEST


def check_counts(model: str, **settings: int) -> None:
    """SettingError for a setting that isn't a whole number, at least 1."""
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingError(f"{model}: {name}={value!r}, but it must be a whole number and at least 1")


def check_shares(model: str, **settings: float) -> None:
    """SettingError for a setting that isn't a number in [0, 1)."""
    for name, value in settings.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise SettingError(f"{model}: {name}={value!r}, but it must be in [0, 1)")


def check_choice(model: str, allowed: Collection, **settings: object) -> None:
    """SettingError for a setting that isn't one of the allowed values."""
    for name, value in settings.items():
        # By equality and type, so that neither 1 nor a list passes for True.
        if not any(value == choice and type(value) is type(choice) for choice in allowed):
            raise SettingError(f"{model}: {name}={value!r}, but it must be {' or '.join(map(repr, allowed))}")


def check_size(model: str, size: int, smallest: int) -> None:
    """SettingError for a side of images, in pixels, that the model's layers would shrink to nothing."""
    check_counts(model, size=size)
    if not smallest <= size <= LARGEST:
        raise SettingError(
            f"{model}: size={shown(size)}, but images need at least {smallest} pixels a side, at most {LARGEST}"
        )


def check_images(model: str, images: torch.Tensor, in_channels: int, size: int) -> None:
    """DataError unless images have the shape (B, in_channels, size, size)."""
    if images.ndim != 4 or images.shape[1:] != (in_channels, size, size):
        raise DataError(
            f"{model}: images of shape {tuple(images.shape)}, but this one was made for (B, {in_channels}, "
            f"{size}, {size}); render at that size or make a model for yours"
        )


def check_signals(model: str, signals: torch.Tensor, leads: int, shortest: int = 1) -> None:
    """DataError unless signals have the shape (B, leads, T), T not below `shortest`."""
    if signals.ndim != 3 or signals.shape[1] != leads or signals.shape[2] < shortest:
        raise DataError(
            f"{model}: signals of shape {tuple(signals.shape)}, but this one was made for (B, {leads}, T) with at "
            f"least {shortest} samples; choose the leads that it wants or make a model for yours"
        )
