"""ECGs of one's own on the command line: drawn, asked about, answered as JSON and as a page."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from html_pages import Page
from PIL import Image

import ecgcourse as ecg
from ecgcourse import drawings, models, plots, ptbxl, quality, training
from ecgcourse.cli import main
from ecgcourse.errors import DataError
from ecgcourse.records.own_files import Ecg


@pytest.fixture(scope="module")
def x(practice_root: Path) -> np.ndarray:
    """Three records in mV, (3, 12, 1000) at 100 Hz."""
    return ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root)[:3]).astype(float)


@pytest.fixture(scope="module")
def folder(practice_root: Path, x: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One record as WFDB, one of 30 s as CSV, three leads only, and a file that lacks leads."""
    folder = tmp_path_factory.mktemp("own")
    source = practice_root / ptbxl.read_table(practice_root)["filename_lr"].iloc[0]
    for suffix in (".hea", ".dat"):
        shutil.copy(source.with_suffix(suffix), folder)
    for name, signal, leads in (
        ("long.csv", np.concatenate([x[1], 0.4 * x[2], x[2]], axis=1), ecg.LEADS),
        ("three.csv", x[2][[0, 1, 7]], ("I", "II", "V2")),
        ("bad.csv", x[2][:1], ("V6",)),
    ):
        frame = pd.DataFrame(signal.T, columns=[f"{lead} (mV)" for lead in leads])
        frame.insert(0, "time (s)", np.arange(len(frame)) / 100)
        frame.to_csv(folder / name, index=False)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learned nothing, with thresholds and a calibration."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("run")
    model = models.create("compact", ecg.Recipe(ecg.ImageRecipe(size=24)), ("a<b", "c & d"), filters=2)
    model.thresholds, model.synthetic, model.seconds = (0.2, 0.9), True, 10.0
    model.calibration = {"slopes": [3.0, 3.0], "offsets": [0.5, -0.5], "method": "platt"}
    model.data = {"train": {"records": 1234, "sha256": "0"}}
    training.save_checkpoint(out / "best.pt", model)
    return out


@pytest.fixture(scope="module")
def said(run: Path, folder: Path) -> pd.DataFrame:
    return ecg.Classifier.load(run, "cpu").predict_files(folder, skip_bad=True)


@pytest.fixture(scope="module")
def written(run: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `predict` writes into a folder in all its ways."""
    out = tmp_path_factory.mktemp("written")
    words = ["--csv", out / "a.csv", "--json", out / "a.json", "--report", out / "a.html", "--device", "cpu", "--quiet"]
    assert main(["predict", *map(str, [run, folder, *words])]) == 2
    return out


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "a.html").read_text(encoding="utf-8"))


def test_json_has_what_the_table_has_and_what_it_rests_on(written: Path, folder: Path):
    table, content = pd.read_csv(written / "a.csv"), json.loads((written / "a.json").read_text())
    assert [each["file"] for each in content["records"]] == table["file"].tolist() and len(table) == 3
    for name in content["classes"]:
        assert [each["probabilities"][name] for each in content["records"]] == pytest.approx(table[name].tolist())
        assert [each["predicted"][name] for each in content["records"]] == table[f"predicted_{name}"].tolist()
    assert content["thresholds"] == {"a<b": 0.2, "c & d": 0.9}
    network = content["network"]
    assert network["calibration"]["method"] == "platt" and network["recipe"]["images"]["size"] == 24
    assert network["learned_from"]["synthetic"] is True
    assert network["learned_from"]["data"]["train"]["records"] == 1234
    (bad,) = content["bad_files"]
    assert bad["file"] == str(folder / "bad.csv") and "no lead I, II, V2, only V6" in bad["reason"]


def test_json_is_printed_in_place_of_the_table(run: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    long = str(folder / "long.csv")
    assert main(["predict", str(run), long, "--windows", "--device", "cpu", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [each["start"] for each in content["records"]] == [0, 10, 20]
    # An ECG is never taken for the file to write.
    before = Path(long).read_bytes()
    assert main(["predict", str(run), "--json", long, str(folder)]) == 2
    assert "name the ECGs before --json" in capsys.readouterr().err and Path(long).read_bytes() == before


def test_when_no_file_can_be_used_all_is_written_that_can_be(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--json", tmp_path / "a.json", "--report", tmp_path / "a.html", "--device", "cpu"]
    assert main(["predict", *map(str, [run, folder / "bad.csv", *words])]) == 2
    assert "1 of 1 files couldn't be used" in capsys.readouterr().err
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["records"] == [] and len(content["bad_files"]) == 1
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert content["bad_files"][0]["reason"] in page.words


def test_the_page_stands_alone_and_can_be_read_without_eyes(page: Page):
    page.check_that_it_asks_no_other_place()
    page.check_that_it_can_be_read_without_eyes()
    # Of each of three records: paper, images, seconds; bars.
    assert len(page.all("img")) == 9 and len(page.all("svg")) == 3


def test_the_page_says_what_was_asked_and_answered(page: Page, said: pd.DataFrame, folder: Path):
    words = " ".join(" ".join(page.words).split())
    for row in said.to_dict("records"):
        assert row["file"] in words and Path(row["file"]).stem in words
        for name, threshold in (("a<b", "0.200"), ("c & d", "0.900")):
            verdict = "yes" if row[f"predicted_{name}"] else "no"
            spread = r"( windows: 0\.\d+ to 0\.\d+)?"
            assert re.search(rf"{name} {row[name]:.3f}{spread} {threshold} {verdict}", words)
    assert str(folder / "bad.csv") in words and "only V6" in words
    assert "No medical device." in words and "Learned from synthetic records." in words and "1,234" in words
    assert "calibrated on the validation set (platt)" in words and "it is nobody's" in words
    assert "Not recorded: III, aVR, aVL, aVF, V1, V3, V4, V5, V6." in words


def test_of_a_long_record_the_window_is_drawn_that_speaks_most_for_the_class(page: Page, run: Path, folder: Path):
    words = " ".join(" ".join(page.words).split())
    classifier = ecg.Classifier.load(run, "cpu")
    whole, each = (classifier.predict_files(folder / "long.csv", windows=which) for which in (False, True))
    name = "a<b" if whole["a<b"][0] - 0.2 > whole["c & d"][0] - 0.9 else "c & d"
    best = each.loc[each[name].idxmax()]
    start = f"{best['start']:g}"
    assert f"highest probability of {name}, {best[name]:.3f}: from {start} to {best['start'] + 10:g} s." in words


def test_any_file_is_drawn_as_paper_and_images(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["images", str(folder), str(tmp_path / "a.png"), "--images.size", "24", "--quiet"]) == 2
    out, error = capsys.readouterr()
    names = ["00001_lr", "long", "three"]
    assert sorted(Path(line).name for line in out.splitlines()) == [f"a-{name}.png" for name in names]
    assert "left out bad: has no lead" in error and "1 of 4 files" in error
    for name in names:
        with Image.open(tmp_path / f"a-{name}.png") as image:
            assert image.format == "PNG"
            # Ten seconds are 250 mm, with 17.5 mm for the pulse and the margin, at 100 dpi.
            assert image.width == pytest.approx(267.5 / 25.4 * 100, abs=1)
    assert main(["images", str(folder / "00001_lr.hea"), str(tmp_path / "one.SVG"), "--images.size", "24"]) == 0
    assert "<svg" in (tmp_path / "one.SVG").read_text()


def test_drawn_voltages_are_those_of_the_file_and_images_those_of_the_recipe(x: np.ndarray):
    recipe = ecg.ImageRecipe(("II", "V5"), ("RP",), 24, crop=500, eval_crops=3)
    figure = drawings.paper_and_images(Ecg(x[0], ecg.LEADS, 100.0, "a $ b $ c"), recipe)
    paper, *others = figure.axes
    traces = {line.get_label(): line for line in paper.lines}
    height = traces["V6"].get_ydata() - traces["V6"].get_ydata()[0]
    np.testing.assert_allclose(height, 10 * (x[0][11, 750:] - x[0][11, 750]))
    expected = ecg.datasets.from_arrays(x[:1], np.zeros((1, 4)), images=recipe)[0][0].inputs[1]
    np.testing.assert_array_equal([ax.images[0].get_array() for ax in others if ax.images], expected)


def test_an_image_command_that_names_nothing_to_draw_or_too_much_says_so(capsys: pytest.CaptureFixture[str]):
    assert main(["images", "out.png"]) == 2
    assert "out.png is to be a drawing; name the ECGs before it" in capsys.readouterr().err
    assert main(["images", "a", "b", "out"]) == 2
    assert "let OUT end in one of .png, .pdf, .svg" in capsys.readouterr().err


def test_quality_measures_what_was_put_in():
    """A sine of 1 mV, 0.1 Hz; white noise of 20 µV, through a Butterworth filter twice; a flat lead; a gap."""
    times = np.arange(2000) / 100
    noise = 0.02 * np.random.default_rng(0).standard_normal(2000)
    wander = 0.5 * np.sin(2 * np.pi * 0.1 * times)
    gap = np.where(times < 1, np.nan, times)
    made = Ecg(np.stack([wander, noise, 0.01 * np.cos(times), gap]), ("I", "II", "V1", "V2"), 100.0, "made")
    measured = quality.measure(made)
    assert measured["words"].tolist() == ["wandering", "noisy", "flat", "gap"]
    assert measured.loc["I", "wander"] == pytest.approx(1, abs=0.02)
    assert measured.loc["I", "height"] == pytest.approx(1, abs=1e-3)
    # Power gain of a Butterworth high-pass of order 2 at 30 Hz, by the bilinear transform, forward and back.
    ratio = np.tan(np.pi * 0.3) / np.tan(np.pi * np.arange(1, 1000) / 2000)
    gain = 1 / (1 + ratio**4)
    assert measured.loc["II", "noise"] == pytest.approx(0.02 * np.sqrt(np.mean(gain**2)), rel=0.05)
    fine = Ecg(np.repeat(made.signal[:3], 5, axis=1), made.leads[:3], 500.0, "the same in steps, at another rate")
    assert quality.measure(fine)["words"].tolist() == ["wandering", "noisy", "flat"]
    with pytest.raises(DataError, match="has no sample 30 s after its start; it lasts 20 s"):
        quality.measure(made, 30)


def test_bars_end_at_the_probabilities_and_lines_at_the_thresholds():
    ax = plots.probabilities([0.25, 0.5], [0.3, 0.1], ["a", "b"]).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.5]
    assert [segment[0, 0] for segment in ax.collections[0].get_segments()] == [0.3, 0.1]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
