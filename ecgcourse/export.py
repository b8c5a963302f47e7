"""A trained network in one file that needs nothing of this package: from millivolts to calibrated probabilities.

``.pt2`` is loaded by :func:`torch.export.load`, ``.onnx`` by ONNX Runtime in any language. Band-pass, scaling, crops,
images, network and calibration lie in the file; what the numbers mean is written beside them.

.. code-block:: python

    about = {"ecgcourse.json": ""}
    network = torch.export.load("first.pt2", extra_files=about).module()
    print(about["ecgcourse.json"])
    probabilities = network(torch.from_numpy(millivolts))  # (N, L, T) float32 -> (N, K) float32

    session = onnxruntime.InferenceSession("first.onnx")
    print(session.get_modelmeta().custom_metadata_map["ecgcourse.json"])
    (probabilities,) = session.run(None, {"millivolts": millivolts})
"""

import copy
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ecgcourse.analysis.answers import NO_DEVICE, seconds_of
from ecgcourse.classifier import Classifier
from ecgcourse.errors import DataError, SettingError, in_words, shown
from ecgcourse.images.signals import NO_HEART
from ecgcourse.learning.samples import crop_starts
from ecgcourse.learning.traced import Preprocess, Render
from ecgcourse.support.files import atomic_write

FORMAT = "ecgcourse-export/1"

ABOUT = "ecgcourse.json"
"""Name under which a file keeps what its numbers mean, as JSON."""

SUFFIXES = (".pt2", ".onnx")

NEEDED_FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")
"""Packages that ``.onnx`` needs."""

TOLERANCE = 1e-5
"""How far a probability may be from that of :class:`ecgcourse.classifier.Classifier`."""

INPUT, OUTPUT = "millivolts", "probabilities"


class MillivoltsToProbabilities(nn.Module):
    """All that a classifier does with records of one length, as a module that PyTorch can export.

    Parameters
    ----------
    classifier : Classifier
        On the CPU. Its model becomes a part of the module.
    length : int
        Samples per record, T, at the sampling rate of the recipe.

    Raises
    ------
    SettingError
        Records shorter than a crop of the recipe.
    """

    def __init__(self, classifier: Classifier, length: int):
        super().__init__()
        recipe, task = classifier.recipe, classifier.task
        parts = [part for part in (recipe.signals, recipe.images) if part is not None]
        longest = max(part.crop or 0 for part in parts)
        if longest > length:
            raise SettingError(f"crop={longest}, but records of {length} samples are to be exported")
        self.network, self.multiclass = classifier.model, task.is_multiclass
        self.n_crops = max(part.eval_crops for part in parts)
        self.crops = [part.crop for part in parts]
        self.starts = [crop_starts(length - (crop or length), self.n_crops).tolist() for crop in self.crops]
        self.preprocess = nn.ModuleList(Preprocess(part, recipe.sampling_rate, length, recipe.leads) for part in parts)
        rendering = [None] * len(parts)
        if recipe.images is not None:
            rendering[-1] = Render(recipe.images, recipe.images.crop or length)
        self.render = nn.ModuleList(nn.Identity() if each is None else each for each in rendering)
        fitted = getattr(self.network, "calibration", None) or {}
        for name, default in (("slopes", 1.0), ("offsets", 0.0)):
            numbers = fitted.get(name, [default] * len(task.classes))
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64))

    def forward(self, millivolts: torch.Tensor) -> torch.Tensor:
        """Map records (N, L, T) in mV to probabilities (N, K) float32.

        NaN for a record with a sample that isn't finite, or above :data:`ecgcourse.images.signals.NO_HEART`: those a
        classifier refuses.
        """
        right = (millivolts.abs() <= NO_HEART).flatten(1).all(dim=1)
        voltages = torch.where(right[:, None, None], millivolts, 0.0).double()
        inputs = [self._input(place, voltages) for place in range(len(self.crops))]
        logits = self.network(*inputs).float().unflatten(0, (-1, self.n_crops)).mean(dim=1)
        logits = logits.double() * self.slopes + self.offsets
        probabilities = logits.softmax(dim=1) if self.multiclass else logits.sigmoid()
        return torch.where(right[:, None], probabilities, float("nan")).float()

    def _input(self, place: int, voltages: torch.Tensor) -> torch.Tensor:
        """Signals or images of all crops of all records, (N V, …); what has no crops, as often as the other has."""
        x, crop, starts = self.preprocess[place](voltages), self.crops[place], self.starts[place]
        if crop is not None:
            x = torch.stack([x[..., start : start + crop] for start in starts], dim=1).flatten(0, 1)
            return self.render[place](x)
        made = self.render[place](x)
        return made if self.n_crops == 1 else torch.stack([made] * self.n_crops, dim=1).flatten(0, 1)


def export(classifier: Classifier, out: str | os.PathLike, x: np.ndarray) -> float:
    """Write a classifier into one file, once that file has given the classifier's own probabilities.

    Recurrent networks take minutes: PyTorch goes through every sample.

    Parameters
    ----------
    classifier : Classifier
        Calculated in float32, whatever precision it was trained in.
    out : path
        Ends in ``.pt2`` or ``.onnx``; for the second, the packages :data:`NEEDED_FOR_ONNX` are needed.
    x : (M, L, T) array
        Stored records in mV to compare with: the leads of the recipe, in its order and at its sampling rate, as long as
        those that the network has learned from.

    Returns
    -------
    float
        The largest difference between a probability of the file and one of the classifier.

    Raises
    ------
    SettingError
        Another ending, packages that aren't there, or a network that can't be exported.
    DataError
        Records of another shape, probabilities that differ by more than :data:`TOLERANCE`, or a place where nothing can
        be written.
    """
    out = Path(out)
    check_suffix(out)
    asked = Classifier(copy.deepcopy(classifier.model), "cpu")
    recipe, length = asked.recipe, samples_of(asked)
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 3 or len(x) == 0 or x.shape[1:] != (len(recipe.leads), length):
        raise DataError(
            f"records of shape {x.shape}, but (M, {len(recipe.leads)}, {length}), M > 0, is needed to compare with: "
            f"{', '.join(recipe.leads)} at {recipe.sampling_rate:g} Hz, as long as those that the network learned from"
        )
    expected = asked.predict_proba(x, leads=recipe.leads)
    write, load = (_write_onnx, _load_onnx) if out.suffix.lower() == ".onnx" else (_write_pt2, _load_pt2)
    with atomic_write(out) as temporary:
        try:
            with _silent(), torch.no_grad():
                write(temporary, _program(asked, length), json.dumps(about(asked), indent=1))
                ask = load(temporary)
        except OSError:
            raise
        # What an operator that can't be exported raises depends on PyTorch's version.
        except Exception as error:
            kind = type(asked.model).__name__
            raise SettingError(f"{kind} can't be exported as {out.suffix}: {in_words(error)}") from error
        return _check(out, ask, x, expected)


def about(classifier: Classifier) -> dict:
    """What the numbers mean that go into a file and come out of it, as plain values."""
    recipe, task, model = classifier.recipe, classifier.task, classifier.model
    thresholds = None if classifier.thresholds is None else classifier.thresholds.tolist()
    return {
        "format": FORMAT,
        "input": {
            "name": INPUT,
            "leads": list(recipe.leads),
            "unit": "mV",
            "sampling_rate": recipe.sampling_rate,
            "samples": samples_of(classifier),
        },
        "output": {"name": OUTPUT, "classes": list(task.classes), "kind": task.kind, "thresholds": thresholds},
        "calibration": (getattr(model, "calibration", None) or {}).get("method"),
        "model": getattr(model, "settings", {}).get("name"),
        "recipe": recipe.to_dict(),
        "learned_from_synthetic_records": getattr(model, "synthetic", None),
        "note": NO_DEVICE,
    }


def check_suffix(out: Path) -> None:
    """SettingError for a file that is neither .pt2 nor .onnx, or for .onnx without the packages that it needs."""
    if out.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{shown(str(out))} ends neither in {' nor in '.join(SUFFIXES)}, which say what is written")
    missing = [name for name in NEEDED_FOR_ONNX if find_spec(name) is None]
    if out.suffix.lower() == ".onnx" and missing:
        raise SettingError(f'{", ".join(missing)} isn\'t installed; `pip install "ecgcourse[onnx]"` brings it')


def samples_of(classifier: Classifier) -> int:
    """Samples per record, T, that a classifier has learned from, at the sampling rate of its recipe."""
    seconds = seconds_of(classifier.model)
    return round(seconds * classifier.recipe.sampling_rate)


def _program(classifier: Classifier, length: int) -> torch.export.ExportedProgram:
    module = MillivoltsToProbabilities(classifier, length).eval()
    # Two records: PyTorch takes 0 and 1 for fixed.
    example = torch.zeros(2, len(classifier.recipe.leads), length)
    return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("N", min=1)},))


def _write_pt2(path: Path, program: torch.export.ExportedProgram, words: str) -> None:
    # Into memory first: PyTorch has its own errors where the operating system refuses.
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={ABOUT: words})
    path.write_bytes(buffer.getbuffer())


def _load_pt2(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    network = torch.export.load(path).module()

    def ask(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return ask


def _write_onnx(path: Path, program: torch.export.ExportedProgram, words: str) -> None:
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    # Optimizing here takes roundings to float32 away, on which grey levels depend; the runtime optimizes by itself.
    made = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False, **names)
    made.model.metadata_props[ABOUT] = words
    made.save(path, external_data=False)


def _load_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    # Errors only: it also warns of what it couldn't make faster.
    options.log_severity_level = 3
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run([OUTPUT], {INPUT: x})[0]


def _check(out: Path, ask: Callable[[np.ndarray], np.ndarray], x: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference; one record alone and the others together, since any number must do."""
    found = np.concatenate([ask(part) for part in (x[:1], x[1:]) if len(part)])
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    # Written so that NaN fails too.
    if not differences.max() <= TOLERANCE:
        raise DataError(
            f"{out} wasn't written: of record {worst + 1} of the {len(x)} compared it gives a probability that is "
            f"{differences[worst]:.2g} from the network's own; at most {TOLERANCE:g} is allowed"
        )
    return float(differences.max())


@contextmanager
def _silent() -> Iterator[None]:
    """Neither the warnings of PyTorch's exporters nor what they log: who exports can't mend either."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
