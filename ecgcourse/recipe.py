"""What a network is fed: which images, which signals, made how, at which sampling rate. Introduced in chapter 08.

A network's recipe is part of it: :func:`ecgcourse.training.fit` gives it to the model, a checkpoint keeps it, and
whoever judges the model makes its input from it. Nothing here needs PyTorch.
"""

from dataclasses import asdict, dataclass

import numpy as np

from ecgcourse.errors import SettingError, in_words, shown
from ecgcourse.fields import ALL_FIELDS, FIELDS, MTF_WHITE
from ecgcourse.ptbxl import LEADS
from ecgcourse.signals import IMAGE_LEADS, SignalRecipe, preprocess


@dataclass(frozen=True)
class ImageRecipe:
    """How images are made of records, beside their size; the defaults are those of Narotamo et al. 2024.

    Parameters
    ----------
    scaling : {"min_max", "fixed_scale"}
        How voltages come to [0, 1], as in :func:`ecgcourse.signals.preprocess`.
    zero_phase : bool
        As in :func:`ecgcourse.signals.bandpass`.
    mtf_white : float
        As in :func:`ecgcourse.render.render`.
    fields : tuple of {"GAF", "MTF", "RP", "DIF"}
        Which images of each lead there are, in this order. DIF is :func:`ecgcourse.fields.difference`.
    leads : tuple of str
        Names of the L leads, in order.
    window : int, optional
        Samples that an image shows; None shows all. A window as long as the image is wide leaves no sample out.
    views : int
        With a window: 0 takes one at a random place each time a record is asked for, which PyTorch's global
        random numbers choose; V takes V of them at equal distances, from the first sample to the last.
    shift : bool
        Each time a record is asked for, let it begin at another sample and go on from its end to its beginning. For
        training: an image that looks at a part of the samples sees other ones each time.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    scaling: str = "min_max"
    zero_phase: bool = False
    mtf_white: float = MTF_WHITE
    fields: tuple[str, ...] = FIELDS
    leads: tuple[str, ...] = IMAGE_LEADS
    window: int | None = None
    views: int = 0
    shift: bool = False

    def __post_init__(self):
        object.__setattr__(self, "fields", tuple(self.fields))
        object.__setattr__(self, "leads", tuple(self.leads))
        self._need("leads", self.leads and set(self.leads) <= set(LEADS), f"some of {', '.join(LEADS)}")
        self._need("scaling", self.scaling in ("min_max", "fixed_scale"), "min_max or fixed_scale")
        right = self.fields and set(self.fields) <= set(ALL_FIELDS) and len(set(self.fields)) == len(self.fields)
        self._need("fields", right, f"some of {', '.join(ALL_FIELDS)}, each once")
        self._need("window", self.window is None or self.window >= 2, "at least 2 samples, or None")
        self._need("views", self.views >= 0 and (self.window or not self.views), "0 or more, and 0 without a window")
        self._need("shift", not (self.shift and self.views), "False with views, which lie at fixed places")

    def _need(self, name: str, right: object, allowed: str) -> None:
        if not right:
            raise SettingError(f"images: {name}={getattr(self, name)!r} isn't allowed; it must be {allowed}")

    def apply(self, x: np.ndarray, fs: float = 100) -> np.ndarray:
        """Records (N, 12, T) in mV, sampled at `fs` Hz, as signals (N, L, T) float32 in [0, 1] to render."""
        return preprocess(x, fs, self.leads, zero_phase=self.zero_phase, scaling=self.scaling)


@dataclass(frozen=True)
class Recipe:
    """All that a network is fed; equal recipes make the same input of the same record.

    Parameters
    ----------
    images : ImageRecipe, optional
        How its images are made; None: it takes none.
    signals : SignalRecipe, optional
        How its signals are prepared; None: it takes none.
    sampling_rate : float
        Of the records that both are made of, in Hz.

    Raises
    ------
    SettingError
        Neither images nor signals, or a sampling rate that isn't above 0.
    """

    images: ImageRecipe | None = None
    signals: SignalRecipe | None = None
    sampling_rate: float = 100

    def __post_init__(self):
        if self.images is None and self.signals is None:
            raise SettingError("a recipe needs images or signals; name at least one")
        rate = self.sampling_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < np.inf:
            raise SettingError(f"sampling_rate={shown(rate)} isn't allowed; it must be a number of Hz above 0")

    def to_dict(self) -> dict:
        """All of it as plain values, ready for `json.dump` and for :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: dict) -> "Recipe":
        """Make a recipe of what :meth:`to_dict` gave; SettingError for anything else."""
        parts = {"images": ImageRecipe, "signals": SignalRecipe}
        try:
            made = {name: None if settings[name] is None else kind(**settings[name]) for name, kind in parts.items()}
            return cls(**settings | made)
        # What values of a wrong kind raise depends on which of them is met first.
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(f"{shown(settings, 200)} isn't a recipe: {in_words(error)}") from error
