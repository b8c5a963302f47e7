"""What a network is fed, and what it answers: which images, which signals, at which sampling rate; which classes.

Both are part of the network: :func:`ecgcourse.models.create` gives them to it, a checkpoint keeps them, and whoever
judges, explains or asks the network makes its input from them. Nothing here needs PyTorch. Introduced in chapter 8.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ecgcourse.errors import DataError, SettingError, as_names, check_setting, in_words, is_real, is_whole, shown
from ecgcourse.images.fields import ALL_FIELDS, FIELDS, LARGEST, MTF_WHITE
from ecgcourse.images.signals import IMAGE_LEADS, SignalRecipe, check_common, preprocess, resample
from ecgcourse.records.ptbxl_names import ALL_LEADS, CLASSES, LEADS

KINDS = ("multilabel", "multiclass")
"""Whether a record may have any number of the classes, or has exactly one."""


@dataclass(frozen=True)
class ImageRecipe:
    """How the images are made that a network sees; the defaults are those of Narotamo et al. 2024.

    Parameters
    ----------
    leads : tuple of str
        Names of the L leads, in order.
    fields : tuple of {"GAF", "MTF", "RP", "DIF"}
        Which images of each lead there are, in this order. DIF is :func:`ecgcourse.images.fields.difference`.
    size : int
        Side S of an image in pixels.
    scaling : {"min_max", "fixed_scale"}
        How voltages come to [0, 1]: each lead by its own extremes, or all by one scale. See
        :func:`ecgcourse.images.signals.preprocess`.
    zero_phase : bool
        Filter forward and back, so that no wave moves. See :func:`ecgcourse.images.signals.bandpass`.
    mtf_white : float
        Number w of the Markov transition field, at least 1: a transition of probability P has the grey level P / w. See
        :func:`ecgcourse.images.render.render`.
    crop : int, optional
        Samples that an image shows, at a random place while the network learns; by default all. A crop as long as
        the image is wide leaves no sample out.
    eval_crops : int
        Number V of crops whose logits are averaged when the network is asked. They lie at equal distances, from the
        first sample to the last; a single one lies in the middle.
    filtered : bool
        Band-pass before scaling; not for single beats, which are too short.

    Raises
    ------
    SettingError
        A setting outside its range.
    """

    leads: tuple[str, ...] = IMAGE_LEADS
    fields: tuple[str, ...] = FIELDS
    size: int = 256
    scaling: str = "min_max"
    zero_phase: bool = False
    mtf_white: float = MTF_WHITE
    crop: int | None = None
    eval_crops: int = 1
    filtered: bool = True

    def __post_init__(self):
        check_common(self, "images", ("min_max", "fixed_scale"))
        object.__setattr__(self, "fields", as_names("images", "fields", self.fields))
        right = self.fields and set(self.fields) <= set(ALL_FIELDS) and len(set(self.fields)) == len(self.fields)
        check_setting("images", "fields", self.fields, right, f"some of {', '.join(ALL_FIELDS)}, each once")
        right = is_whole(self.size, 1) and self.size <= LARGEST
        check_setting("images", "size", self.size, right, f"a whole number of pixels from 1 to {LARGEST}")
        right = is_real(self.mtf_white, 0) and self.mtf_white >= 1
        check_setting("images", "mtf_white", self.mtf_white, right, "a number, at least 1")

    @property
    def channels(self) -> int:
        """Images per record, C: leads times fields."""
        return len(self.leads) * len(self.fields)

    def apply(self, x: np.ndarray, fs: float = 100, given: Sequence[str] = LEADS) -> np.ndarray:
        """Records (N, L', T) in mV, sampled at `fs` Hz, as signals (N, L, T) float32 in [0, 1] to render.

        The L' leads are called as `given` says. Errors as :func:`ecgcourse.images.signals.preprocess`.
        """
        return preprocess(x, fs, self.leads, self.zero_phase, self.scaling, given, self.filtered)


@dataclass(frozen=True)
class Recipe:
    """All that a network is fed; equal recipes make the same input of the same record.

    Parameters
    ----------
    images : ImageRecipe, optional
        How its images are made; None: it sees none.
    signals : SignalRecipe, optional
        How its signals are prepared; None: it reads none.
    sampling_rate : float
        Of the records that both are made of, in Hz.

    Raises
    ------
    SettingError
        Neither images nor signals, a sampling rate that leaves no room for the band-pass, which ends at 45 Hz, or
        crops of both in different numbers.
    """

    images: ImageRecipe | None = None
    signals: SignalRecipe | None = None
    sampling_rate: float = 100

    def __post_init__(self):
        if self.images is None and self.signals is None:
            raise SettingError("a recipe needs images or signals; name at least one")
        for name, kind in (("images", ImageRecipe), ("signals", SignalRecipe)):
            part = getattr(self, name)
            check_setting("", name, part, part is None or isinstance(part, kind), f"a {kind.__name__} or None")
        rate = self.sampling_rate
        check_setting("", "sampling_rate", rate, is_real(rate, 90), "a number of Hz above 90: the band-pass ends at 45")
        crops = {part.eval_crops for part in (self.images, self.signals) if part is not None and part.crop}
        if len(crops) > 1:
            raise SettingError(
                f"images.eval_crops={self.images.eval_crops}, but signals.eval_crops={self.signals.eval_crops}: crops "
                "of both go into the network together, so they need the same number"
            )

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of all leads that are needed of a record, ordered as `ecgcourse.records.ptbxl_names.ALL_LEADS`."""
        parts = [part.leads for part in (self.images, self.signals) if part is not None]
        return tuple(name for name in ALL_LEADS if any(name in leads for leads in parts))

    def prepare(self, x: np.ndarray, sampling_rate: float | None = None, leads: Sequence[str] = LEADS) -> np.ndarray:
        """Bring records to the sampling rate of the recipe, still in mV.

        Parameters
        ----------
        x : (N, L', T) array
            In mV.
        sampling_rate : float, optional
            In Hz; None: that of the recipe.
        leads : sequence of str
            Names of the L' leads, in the order of ``x``.

        Returns
        -------
        (N, L', T') float64 array

        Raises
        ------
        DataError
            Another number of axes or leads, or a sample that isn't a finite number.
        SettingError
            Sampling rates as for :func:`ecgcourse.images.signals.resample`.
        """
        x = np.asarray(x)
        if x.ndim != 3 or x.shape[1] != len(leads) or 0 in x.shape:
            raise DataError(
                f"records of shape {x.shape}, but (N, {len(leads)}, T) is needed: a row for each of {', '.join(leads)}"
            )
        return resample(x, self.sampling_rate if sampling_rate is None else sampling_rate, self.sampling_rate)

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


def class_names(n_classes: int) -> tuple[str, ...]:
    """Name K classes: `ptbxl.CLASSES` when there are as many, else "class 0", "class 1", and so on."""
    return CLASSES if n_classes == len(CLASSES) else tuple(f"class {k}" for k in range(n_classes))


@dataclass(frozen=True)
class Task:
    """What a network answers: a probability for each of K classes.

    Parameters
    ----------
    classes : tuple of str
        Names of the K classes, in the order of the labels.
    kind : {"multilabel", "multiclass"}
        Whether a record may have any number of the classes (sigmoid, binary cross-entropy, a threshold for each), or
        has exactly one (softmax, cross-entropy, the most probable).
    label_set : str
        Where the labels come from in PTB-XL, one of :data:`ecgcourse.records.ptbxl.LABEL_SETS`: the same name is a
        class in several of them. Of no account for labels from elsewhere.

    Raises
    ------
    SettingError
        No class, names that aren't texts or occur twice, one class alone of which each record has exactly one, or an
        unknown kind.
    """

    classes: tuple[str, ...] = CLASSES
    kind: str = "multilabel"
    label_set: str = "superclass"

    def __post_init__(self):
        object.__setattr__(self, "classes", as_names("task", "classes", self.classes))
        right = self.classes and all(self.classes)
        right = right and len(set(self.classes)) == len(self.classes)
        check_setting("task", "classes", self.classes, right, "names, each once")
        check_setting("task", "kind", self.kind, self.kind in KINDS, " or ".join(KINDS))
        enough = self.kind == "multilabel" or len(self.classes) > 1
        check_setting("task", "classes", self.classes, enough, "two or more where a record has exactly one")
        check_setting("task", "label_set", self.label_set, isinstance(self.label_set, str), "a name")

    @property
    def is_multiclass(self) -> bool:
        """Whether each record has exactly one of the classes."""
        return self.kind == "multiclass"

    def to_dict(self) -> dict:
        """All of it as plain values, ready for `json.dump` and for :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: dict) -> "Task":
        """Make a task of what :meth:`to_dict` gave; SettingError for anything else."""
        try:
            return cls(**settings)
        except (TypeError, ValueError) as error:
            raise SettingError(f"{shown(settings, 200)} isn't a task: {in_words(error)}") from error
