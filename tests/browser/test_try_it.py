"""The page "Try it" in a real browser, held to the classifier, PyTorch, SciPy and ecgcourse.fields."""

import base64
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import wfdb
from accessibility import can_be_read_and_fits_a_phone
from complaints import opened
from playwright.sync_api import Browser, Page

from ecgcourse import own_files, ptbxl, signals, try_it
from ecgcourse.classifier import Classifier
from ecgcourse.errors import EcgCourseWarning
from ecgcourse.images import fields
from ecgcourse.learning import training
from ecgcourse.records.ptbxl import LEADS

CLASSES = ptbxl.CLASSES
# Weights are rounded to float32 here as there; what is left is the order in which the network's sums are taken.
TOLERANCE = 1e-5
INDEPENDENT = [lead for lead in LEADS if lead not in ("III", "aVR", "aVL", "aVF")]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.pretrained("signals", "cpu")


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page as a file, loaded once for all tests; at the end it has complained of nothing and asked nobody."""
    path = try_it.page().write(tmp_path_factory.mktemp("page") / "try_it.html")
    with opened(browser, path) as page:
        page.set_default_timeout(30_000)
        yield page


@pytest.fixture(scope="module")
def record(practice_root) -> np.ndarray:
    """A practice record at 500 Hz, (12, 5000) in mV."""
    path = practice_root / ptbxl.read_table(practice_root).loc[14, "filename_hr"]
    return wfdb.rdrecord(str(path)).p_signal.T


def settle(page: Page, runs: int) -> None:
    """Wait until something more was read, and all of its windows are computed."""
    page.wait_for_function(
        "runs => state.run > runs && (document.getElementById('found').hidden"
        " || state.windows.starts.every((_, k) => state.answers[k]))",
        arg=runs,
    )


def give(page: Page, *paths: Path) -> None:
    runs = page.evaluate("state.run")
    # As a click does, which isn't needed here: the same name may come again.
    page.evaluate("byId('files').value = ''")
    page.set_input_files("#files", [str(path) for path in paths])
    settle(page, runs)


def told(page: Page, what: str = "probability") -> np.ndarray:
    """The numbers behind the table of probabilities."""
    return np.array(
        page.eval_on_selector_all("#said tbody tr", f"rows => rows.map((row) => Number(row.dataset.{what}))")
    )


def write_csv(path: Path, x: np.ndarray, rate: float, leads=LEADS, **options) -> Path:
    frame = pd.DataFrame(x.T, columns=leads)
    frame.insert(0, "time", np.arange(x.shape[1]) / rate)
    frame.to_csv(path, index=False, **options)
    return path


def write_wfdb(path: Path, x: np.ndarray, rate: float, fmt: str, gain: int = 200) -> tuple[Path, Path]:
    names = [f"lead {name.lower()}" for name in LEADS]
    samples = {"fmt": [fmt] * 12, "adc_gain": [gain] * 12, "baseline": [100] * 12, "write_dir": str(path.parent)}
    wfdb.wrsamp(path.name, fs=rate, units=["mV"] * 12, sig_name=names, p_signal=x.T, **samples)
    return path.with_suffix(".hea"), path.with_suffix(".dat")


def test_probabilities_are_those_of_the_classifier(page, classifier, practice_root, record, tmp_path):
    table, given = ptbxl.read_table(practice_root), []
    for name in (table.loc[8, "filename_lr"], table.loc[14, "filename_hr"]):
        given.append([(practice_root / name).with_suffix(suffix) for suffix in (".hea", ".dat")])
    given.append([write_csv(tmp_path / "low.csv", record[:, ::5], 100, sep=";", decimal=",", float_format="%.4f")])
    # Limb leads are worked out.
    few = [LEADS.index(name) for name in INDEPENDENT]
    micro = [f"ECG {name} (µV)" for name in INDEPENDENT]
    given.append([write_csv(tmp_path / "high.csv", record[few] * 1000, 500, micro, sep="\t", encoding="latin-1")])
    # Three windows at a rate of its own, the second one with a gap.
    long = np.tile(record, (1, 3))[:, : 3 * 3600]
    long[3, 4000] = np.nan
    given.append(write_wfdb(tmp_path / "long", long, 360, "212"))
    for paths in given:
        give(page, *paths)
        with warnings.catch_warnings(action="ignore", category=EcgCourseWarning):
            expected = classifier.predict_files(paths[0])[list(CLASSES)].to_numpy()[0]
        assert page.locator("#found").is_visible(), page.locator("#message").inner_text()
        several = page.evaluate("state.windows.starts.length") > 1
        np.testing.assert_allclose(told(page, "whole" if several else "probability"), expected, rtol=0, atol=TOLERANCE)
        predicted = page.eval_on_selector_all("#said tbody tr", "rows => rows.map((row) => row.lastChild.textContent)")
        assert predicted == ["yes" if said else "no" for said in expected >= classifier.thresholds]
    assert "1 of 3 windows of 10 s have gaps" in page.locator("#notes").inner_text()
    page.locator("#window").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#at").inner_text() == "2 of 2, from 20 s"
    with pytest.warns(EcgCourseWarning, match="1 of 3 windows of 10 s have gaps"):
        by_window = classifier.predict_files(given[-1][0], windows=True)[list(CLASSES)].to_numpy()
    np.testing.assert_allclose(told(page), by_window[1], rtol=0, atol=TOLERANCE)


def test_seconds_and_images_are_those_of_the_package(page, classifier, record, tmp_path):
    give(page, write_csv(tmp_path / "a.csv", record, 500))
    x = classifier.recipe.prepare(record[None], 500)
    prepared = torch.tensor(classifier.recipe.signals.apply(x, 100))
    # The whole record first, then without each of its seconds.
    hidden = prepared.repeat(11, 1, 1)
    for second in range(10):
        hidden[second + 1, :, 100 * second : 100 * (second + 1)] = 0
    crops = torch.stack([hidden[..., start : start + 500] for start in (0, 250, 500)], dim=1)
    with torch.no_grad(), training.in_evaluation_mode(classifier.model):
        logits = classifier.model(crops.flatten(0, 1)).unflatten(0, (11, 3)).mean(dim=1).double().numpy()
    found = page.eval_on_selector_all("#effects tbody tr", "rows => rows.map((row) => JSON.parse(row.dataset.effects))")
    np.testing.assert_allclose(found, logits[0] - logits[1:], rtol=0, atol=1e-4)
    name = CLASSES[page.evaluate("state.target")]
    effects = (logits[0] - logits[1:])[:, CLASSES.index(name)]
    assert page.locator("#most").inner_text().startswith(f"Second {effects.argmax()} to {effects.argmax() + 1} ")
    scaled = signals.preprocess(x)[0]
    for row, lead in zip(scaled, signals.IMAGE_LEADS, strict=True):
        for image, field in zip(fields.images(row, try_it.SIZE), fields.FIELDS, strict=True):
            url = page.evaluate(
                "name => document.querySelector(`[data-image='${name}']`).toDataURL()", f"{lead} {field}"
            )
            shown = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_GRAYSCALE)
            difference = np.abs(shown.astype(int) - image)
            assert difference.max() <= 1 and (difference > 0).mean() < 0.001


def test_resampling_is_that_of_scipy(page, record):
    for rate in (128, 250, 257, 360, 499.5, 1000):
        x = record[1, : round(4 * rate)]
        found = page.evaluate(
            "([x, rate]) => Array.from(resample(Float64Array.from(x), rate, 100))", [x.tolist(), rate]
        )
        np.testing.assert_allclose(found, signals.resample(x, rate, 100), rtol=0, atol=1e-9)


def test_formats_of_wfdb_are_read_as_wfdb_reads_them(page, record, tmp_path):
    for fmt in ("16", "24", "32", "61", "80", "212"):
        # An odd number of samples, so that format 212 ends within three bytes.
        x = record[:, :501] / (20 if fmt == "80" else 1)
        header, data = write_wfdb(tmp_path / f"a{fmt}", x, 500, "16" if fmt == "61" else fmt)
        if fmt == "61":
            # wfdb doesn't write it: the bytes of format 16 the other way round.
            header.write_text(header.read_text().replace(".dat 16 ", ".dat 61 "))
            data.write_bytes(np.frombuffer(data.read_bytes(), "<i2").astype(">i2").tobytes())
        files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in (data, header)]
        found = page.evaluate(
            "files => { const read = readFiles(new Map(files.map(([name, text]) => [name, bytesOf(text)])), {}, given);"
            " return [read.notes, withLeads(read, given.leads).signals.map((lead) => Array.from(lead))]; }",
            files,
        )
        assert found[0] == []
        np.testing.assert_array_equal(found[1], wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T)


def refused(page: Page, *paths: Path) -> str:
    give(page, *paths)
    assert not page.locator("#found").is_visible()
    message = page.locator("#message").inner_text()
    assert message and "\n" not in message
    return message


def test_bad_files_are_refused_in_a_line(page, record, tmp_path):
    low = record[:, ::5]
    plain = write_csv(tmp_path / "a.csv", low, 100).read_text()
    lines = plain.splitlines()
    for content, words in [
        ("", "is empty"),
        (plain.replace("V2", "aux"), "has no lead V2, only"),
        (plain.replace("V2", "v1"), "lead V1 twice"),
        ("\n".join(lines[1:]), "no header"),
        ("\n".join(lines[:901]), "lasts 9 s (900 samples), but 10 s (1000 samples) are needed"),
        ("\n".join([*lines[:500], *lines[501:]]), "equal steps"),
        (plain + "1,2", "cut short"),
        (plain.replace("\n0.01,", "\n0.01,x"), "which is no number"),
        ("a,b\n1,2\n", "is a lead of the ECG"),
        ("\0\1\2", "is no text"),
        ("\n".join([lines[0], *(line.rsplit(",", 1)[0] + "," for line in lines[1:])]), "no lead V6"),
    ]:
        (tmp_path / "a.csv").write_text(content)
        assert words in refused(page, tmp_path / "a.csv")
    header, data = write_wfdb(tmp_path / "b", low, 100, "16")
    text, content = header.read_text(), data.read_bytes()
    assert "choose its header" in refused(page, data)
    # The other half, given afterwards, completes the pair.
    give(page, header)
    assert page.locator("#title").inner_text() == "b: 100 Hz, 10 s"
    assert "choose both files together" in refused(page, header)
    for wrong, words in [
        (text.replace("b.dat 16", "b.dat 310"), "names format 310"),
        (text.replace("b.dat 16", "b.dat 16x2"), "several rates"),
        (text.replace("b 12", "b/2 12"), "several segments"),
        (text.replace("b 12", "b 11"), "describes 12 signals, but says 11"),
        (text.replace("/mV", "/NU"), "has lead I in “NU”"),
        (text.replace("200(100)/mV", "0.01(100)/mV"), "which no heart does"),
        ("", "is no header"),
    ]:
        header.write_text(wrong)
        assert words in refused(page, header, data)
    header.write_text(text)
    data.write_bytes(content[:-2])
    assert "cut short" in refused(page, header, data)
    data.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    give(page, header, data)
    assert "lead lead i don’t add up to the checksum" in page.locator("#notes").inner_text()
    (tmp_path / "c.edf").write_bytes(b"0")
    assert "neither CSV nor WFDB" in refused(page, tmp_path / "c.edf")
    assert "one record at a time" in refused(page, tmp_path / "a.csv", header)


def test_what_a_file_does_not_say_is_asked(page, classifier, record, tmp_path):
    """The sampling rate first, then the unit; the keyboard is enough to answer."""
    path = tmp_path / "a.csv"
    pd.DataFrame(record.T * 1000, columns=LEADS).to_csv(path, index=False)
    give(page, path)
    assert page.locator("#question").inner_text() == "a.csv doesn’t say its sampling rate."
    page.keyboard.press("Enter")
    assert "it is likely uV" in page.locator("#question").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expected = classifier.predict_files(path, sampling_rate=500, unit="uV")[list(CLASSES)].to_numpy()[0]
    np.testing.assert_allclose(told(page), expected, rtol=0, atol=TOLERANCE)
    assert not page.locator("#asked").is_visible() and own_files.read(path, 500, "uV").leads == LEADS


def test_files_can_be_dropped(page, record, tmp_path):
    paths = write_wfdb(tmp_path / "dropped", record, 500, "16")
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    runs = page.evaluate("state.run")
    page.evaluate(
        """files => {
            const dataTransfer = new DataTransfer();
            for (const [name, text] of files) dataTransfer.items.add(new File([bytesOf(text)], name));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        files,
    )
    settle(page, runs)
    assert page.locator("#title").inner_text() == "dropped: 500 Hz, 10 s"


def test_practice_records_are_called_synthetic(page):
    assert len(try_it.examples()) == len(try_it.EXAMPLES) == page.locator("#example option").count() - 1
    page.select_option("#example", "3")
    assert page.locator("#title").inner_text().endswith("100 Hz, 10 s, synthetic")
    assert "SYNTHETIC" in page.locator("#paper").inner_html()
    text = page.locator("body").inner_text()
    for words in ("Not a medical device", "Files stay on this computer", "1,559 records of PTB-XL", "are synthetic"):
        assert words in " ".join(text.split())


# The last one: it thins the page out.
def test_it_can_be_read_and_fits_a_phone(page):
    page.locator("#target input").first.focus()
    page.keyboard.press("ArrowRight")
    assert "STTC" in page.locator("#most").inner_text()
    page.locator("summary").click()
    can_be_read_and_fits_a_phone(page)
