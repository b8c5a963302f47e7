"""A trained network in one file says what the classifier says; its signals and images are those of the package."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cli_judge import QUICK, command
from torch import nn

import ecgcourse as ecg
from ecgcourse import export, models, ptbxl, render, signals
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError
from ecgcourse.learning import traced

ALL_FIELDS = ("DIF", "RP", "GAF", "MTF")
PLATT = {"method": "platt", "slopes": (0.5, 2.0), "offsets": (0.3, -1.0)}
BOTH = ecg.Recipe(ecg.ImageRecipe(size=16, crop=250, eval_crops=2), ecg.SignalRecipe(("aVF", "I")))
NETWORKS = {
    "resnet1d": (ecg.Recipe(signals=ecg.SignalRecipe(ecg.LEADS, "millivolt", crop=500, eval_crops=3)), {"filters": 4}),
    "gru": (ecg.Recipe(signals=ecg.SignalRecipe(("V6", "I"))), {"hidden": 8, "layers": 1, "bidirectional": True}),
    "compact": (ecg.Recipe(ecg.ImageRecipe(("V5", "II"), ("RP", "DIF"), 24, "fixed_scale", True)), {"filters": 2}),
    "compact_differences": (ecg.Recipe(ecg.ImageRecipe(ecg.LEADS, ("DIF",), 64, crop=64, eval_crops=5)), {}),
    "alexnet": (ecg.Recipe(ecg.ImageRecipe(size=67, mtf_white=1)), {"filters": 2}),
    "gated_fusion": (BOTH, {"width": 8, "signal": "resnet1d", "image": "compact", "signal_settings": {"filters": 4}}),
}


@pytest.fixture(scope="module")
def x(practice_root: Path) -> np.ndarray:
    """Five records, one with a flat lead, one that ends in a standstill."""
    read = ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root)[:5]).astype(np.float32)
    read[1, ecg.LEADS.index("V5")] = 0.7
    read[2, :, 600:] = 0
    return read


def classifier_of(name: str, task: ecg.Task) -> ecg.Classifier:
    torch.manual_seed(0)
    recipe, settings = NETWORKS[name]
    model = models.create(name, recipe, task, **settings)
    for weights in model.parameters():
        # So that what goes in makes a difference, as after learning.
        if weights.ndim > 1:
            nn.init.kaiming_normal_(weights)
    model.calibration, model.thresholds, model.synthetic = PLATT, (0.4, 0.7), True
    # PyTorch goes through every sample to export a recurrent network.
    model.seconds = 0.3 if name == "gru" else 10.0
    return ecg.Classifier(model, device="cpu")


def leads_of(classifier: ecg.Classifier, x: np.ndarray) -> np.ndarray:
    return x[:, [ecg.LEADS.index(name) for name in classifier.recipe.leads], : export.samples_of(classifier)]


def expected_of(classifier: ecg.Classifier, x: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcgCourseWarning)
        return classifier.predict_proba(x, leads=classifier.recipe.leads)


def exported(classifier: ecg.Classifier, out: Path, x: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcgCourseWarning)
        return export.export(classifier, out, x)


@pytest.mark.parametrize(("name", "kind"), [*((name, "multilabel") for name in NETWORKS), ("compact", "multiclass")])
def test_a_file_says_what_the_classifier_says(name: str, kind: str, x: np.ndarray, tmp_path: Path):
    classifier, out = classifier_of(name, ecg.Task(("a", "b"), kind)), tmp_path / "a.pt2"
    x = leads_of(classifier, x)
    expected = expected_of(classifier, x)
    assert exported(classifier, out, x[:2]) <= 1e-5
    words = {"ecgcourse.json": ""}
    network = torch.export.load(out, extra_files=words).module()
    for some in (slice(0, 5), slice(2, 3), slice(1, 4)):
        found = network(torch.from_numpy(x[some])).detach()
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected[some], atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3, "records that are all alike show nothing"
    told = json.loads(words["ecgcourse.json"])
    assert told["input"]["leads"] == list(classifier.recipe.leads)
    assert (told["input"]["unit"], told["input"]["sampling_rate"], told["input"]["samples"]) == ("mV", 100, x.shape[2])
    assert (told["output"]["classes"], told["output"]["kind"]) == (["a", "b"], kind)
    assert told["output"]["thresholds"] == ([0.4, 0.7] if kind == "multilabel" else None)
    assert told["learned_from_synthetic_records"] is True and told["calibration"] == "platt"
    assert ecg.Recipe.from_dict(told["recipe"]) == classifier.recipe and "no medical device" in told["note"]


@pytest.mark.parametrize("name", ["gru", "compact_differences", "alexnet", "gated_fusion"])
def test_onnx_runtime_says_the_same(name: str, x: np.ndarray, tmp_path: Path):
    for package in export.NEEDED_FOR_ONNX:
        pytest.importorskip(package)
    import onnxruntime

    classifier, out = classifier_of(name, ecg.Task(("a", "b"))), tmp_path / "a.onnx"
    x = leads_of(classifier, x)
    assert exported(classifier, out, x[:2]) <= 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"], "weights lie in the file itself"
    session = onnxruntime.InferenceSession(out)
    for some in (slice(0, 5), slice(2, 3)):
        (found,) = session.run(None, {"millivolts": x[some]})
        np.testing.assert_allclose(found, expected_of(classifier, x)[some], atol=1e-5)
    told = json.loads(session.get_modelmeta().custom_metadata_map["ecgcourse.json"])
    assert told == json.loads(json.dumps(export.about(classifier)))


def test_a_file_needs_nothing_of_the_package_and_refuses_with_nan(x: np.ndarray, tmp_path: Path):
    classifier, out = classifier_of("resnet1d", ecg.Task(("a", "b"))), tmp_path / "a.pt2"
    exported(classifier, out, x)
    wrong = x.copy()
    wrong[0, 3, 5], wrong[2] = np.nan, wrong[2] * 1000
    np.save(tmp_path / "x.npy", wrong)
    code = """
import sys, numpy, torch
network = torch.export.load("a.pt2").module()
numpy.save("y.npy", network(torch.from_numpy(numpy.load("x.npy"))).detach().numpy())
assert not any(name.split(".")[0] == "ecgcourse" for name in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    found, right = np.load(tmp_path / "y.npy"), [1, 3, 4]
    assert np.isnan(found[[0, 2]]).all()
    np.testing.assert_allclose(found[right], expected_of(classifier, x)[right], atol=1e-5)


def test_a_file_that_says_something_else_never_appears(x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    classifier, out = classifier_of("compact", ecg.Task(("a", "b"))), tmp_path / "a.pt2"
    x = leads_of(classifier, x)
    with pytest.raises(DataError, match=r"records of shape \(5, 2, 999\), but \(M, 2, 1000\)"):
        export.export(classifier, out, x[..., 1:])
    out.write_bytes(b"what was there before")
    monkeypatch.setattr(traced, "LARGEST_VOLTAGE", 2.0)
    with pytest.raises(DataError, match="wasn't written: of record"):
        exported(classifier, out, x)
    assert out.read_bytes() == b"what was there before" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_exported_is_refused(x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Hesitant(nn.Module):
        recipe, task = NETWORKS["gru"][0], ecg.Task(("a", "b"))

        def forward(self, signals: torch.Tensor) -> torch.Tensor:
            return signals[:, :, 0] if signals.sum() > 0 else signals[:, :, 1]

    classifier = ecg.Classifier(Hesitant(), device="cpu")
    with pytest.raises(SettingError, match="Hesitant can't be exported as .pt2: "):
        exported(classifier, tmp_path / "a.pt2", leads_of(classifier, x))
    with pytest.raises(SettingError, match="ends neither in .pt2 nor in .onnx"):
        export.export(classifier, tmp_path / "a.pt", x)
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"ecgcourse\[onnx\]"):
        export.export(classifier, tmp_path / "a.onnx", x)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_exported_by_command(practice_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, out = tmp_path / "run", tmp_path / "a.pt2"
    assert command("train", practice_root, *QUICK, "--out", run, "--quiet") == 0
    assert command("export", run, out, "--data", practice_root) == 0
    printed = capsys.readouterr().out
    assert "in: millivolts (N, 3, 1000), float32: I, II, V2 at 100 Hz" in printed
    assert "synthetic" in printed and "no medical device" in printed
    classifier = ecg.Classifier.load(run, device="cpu")
    x = leads_of(classifier, ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root)))
    found = torch.export.load(out).module()(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(found, classifier.predict_proba(x, leads=classifier.recipe.leads), atol=1e-5)
    assert command("export", run, tmp_path / "a.bin", "--data", practice_root) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("scaling", traced._SCALINGS)
@pytest.mark.parametrize(("zero_phase", "filtered"), [(False, True), (True, True), (False, False)])
def test_signals_are_those_of_the_package(scaling: str, zero_phase: bool, filtered: bool, root: Path):
    read = ptbxl.read_signals(root, ptbxl.read_table(root)[:8])
    read[0, 1] = -0.3
    recipe = ecg.SignalRecipe(("V3", "I", "II"), scaling, zero_phase, filtered=filtered)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcgCourseWarning)
        expected = recipe.apply(read)
    found = traced.Preprocess(recipe, 100, 1000, ecg.LEADS)(torch.from_numpy(read).double())
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [24, 128, 300])
def test_images_are_those_of_the_package(size: int, root: Path):
    """To the last grey level; one in 100,000 may differ by one where a processor has no fused instructions."""
    x = torch.from_numpy(ecg.ImageRecipe().apply(ptbxl.read_signals(root, ptbxl.read_table(root)[:6])))[..., 100:357]
    x[0, 0] = 0
    of_package = render.render(x, size, mtf_white=2.0).unflatten(1, (3, 3))
    of_package = torch.cat([of_package, render.differences(x, size)[:, :, None]], dim=2)
    expected = of_package[:, :, [3, 2, 0, 1]].flatten(1, 2)
    found = traced.Render(ecg.ImageRecipe(fields=ALL_FIELDS, size=size, mtf_white=2.0), 257)(x)
    difference = (found * 255 - expected).abs()
    assert difference.max() < 1.001
    assert (difference > 0.001).float().mean() <= 1e-5


def test_onnx_runtime_makes_the_same_images(tmp_path: Path):
    """Of random walks, whose few steps out of the outer bins make grey levels that are all but whole numbers."""
    for package in export.NEEDED_FOR_ONNX:
        pytest.importorskip(package)
    import onnxruntime

    walks = torch.randn(200, 2, 300, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    x = torch.from_numpy(signals.min_max(walks.numpy())).float()
    example = {"args": (x[:2],), "dynamic_shapes": ({0: torch.export.Dim("N", min=1)},)}
    program = torch.export.export(traced.Render(ecg.ImageRecipe(size=32), 300).eval(), **example)
    export._write_onnx(tmp_path / "a.onnx", program, "")
    (found,) = onnxruntime.InferenceSession(tmp_path / "a.onnx").run(None, {"millivolts": x.numpy()})
    difference = np.abs(found * 255 - render.render(x, 32).numpy())
    assert difference.max() < 1.001 and (difference > 0.001).mean() <= 1e-5
