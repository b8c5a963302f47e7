"""The filter explorer in a real browser: its curves, gains and ST levels against SciPy's filters."""

import re

import numpy as np
import pytest
from accessibility import can_be_read_and_fits_a_phone
from scipy.signal import butter, sosfilt, sosfiltfilt, sosfreqz

from ecgcourse import interactive

MARKS = (0.05, 0.5, 0.67, 1, 2)
PHASES = {"causal": sosfilt, "zero-phase": sosfiltfilt}
VERDICTS = {
    (False, False): "Neither reaches",
    (False, True): "The filter has made",
    (True, False): "The filter hides",
    (True, True): "Both reach",
}


def lead(fs: float, st: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles on a slow wave that begins far from 0 mV, then `st` mV for 200 ms; and the samples of their tips."""
    time = np.arange(round(10 * fs)) / fs
    tips = np.arange(0.5, 9.6, 0.7)
    x = 0.4 * np.cos(1.1 * time) + 0.2 + 0.02 * np.random.default_rng(0).standard_normal(len(time))
    for r in tips:
        x += np.clip(1 - np.abs(time - r) / 0.04, 0, None) + st * ((time > r + 0.05) & (time < r + 0.25))
    return x.astype(np.float32), np.round(tips * fs).astype(int)


def explorer(fs: float) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    leads = [lead(fs, st) for st in (0.05, -0.08)]
    x, peaks = zip(*leads, strict=True)
    return interactive.filter_explorer(np.stack(x), peaks, fs, names=["one", "two"], synthetic=True).source, leads


def sections(low: float, fs: float) -> np.ndarray:
    return butter(2, [low, 45], "bandpass", fs=fs, output="sos")


def st_level(y: np.ndarray, peaks: np.ndarray, fs: float) -> float:
    """In mm: 120 ms after R against 60 ms before it, the median of all beats."""
    return 10 * np.median(y[peaks + round(0.12 * fs)] - y[peaks - round(0.06 * fs)])


def choose(page, low: float, phase: str, record: int = 0) -> None:
    page.get_by_label("Lead").select_option(str(record))
    page.get_by_role("radio", name=phase).check()
    page.get_by_role("button", name=re.compile(rf"^{low} Hz")).click()


@pytest.mark.parametrize(("fs", "corners"), [(100, MARKS), (500, (0.05, 1))])
def test_curves_and_levels_are_scipys(open_page, fs, corners):
    source, leads = explorer(fs)
    page = open_page(source)
    seen = set()
    for record, (x, peaks) in enumerate(leads):
        for phase, apply in PHASES.items():
            for low in corners:
                choose(page, low, phase, record)
                expected = apply(sections(low, fs), x.astype(float))
                np.testing.assert_allclose(page.evaluate("Array.from(after)"), expected, rtol=0, atol=1e-9)
                levels = [st_level(y, peaks, fs) for y in (x, expected)]
                shown = page.locator("#levels td").all_inner_texts()
                assert shown[::2] == [f"{level:+.2f} mm".replace("-", "−") for level in levels]
                counts = tuple(level <= -0.5 for level in levels)
                assert shown[1::2] == ["yes" if one else "no" for one in counts]
                assert VERDICTS[counts] in page.locator("#verdict").inner_text()
                seen.add(counts)
    assert len(seen) >= 3


def test_every_corner_of_the_slider_is_scipys(open_page):
    source, leads = explorer(100)
    page = open_page(source)
    x = leads[0][0].astype(float)
    corners = page.evaluate("corners")
    assert set(MARKS) < set(corners) and np.abs(np.diff(np.log(corners)) - 0.082).max() < 0.015
    for phase, apply in PHASES.items():
        found = page.evaluate("phase => corners.map((low) => Array.from(passed(leads[0], low, phase)))", phase)
        np.testing.assert_allclose(found, [apply(sections(low, 100), x) for low in corners], rtol=0, atol=1e-9)


def points(page, selector: str) -> np.ndarray:
    return np.array([pair.split() for pair in re.split("[ML]", page.locator(selector).get_attribute("d"))[1:]], float)


def test_the_paper_has_25_millimetres_a_second_and_10_a_millivolt(open_page):
    source, leads = explorer(100)
    page = open_page(source)
    choose(page, 0.67, "zero-phase")
    zero = page.evaluate("tops[0]")
    for kind, y in (("trace", leads[0][0]), ("row:not(.dot)", sosfiltfilt(sections(0.67, 100), leads[0][0]))):
        drawn = points(page, f"#beats path.{kind}")
        np.testing.assert_allclose(drawn[:, 0], 2.5 + 25 * np.arange(301) / 100, atol=0.006)
        np.testing.assert_allclose(drawn[:, 1], zero - 10 * y[350:651], atol=0.006)
    boxes = page.locator("#beats path.minor").get_attribute("d")
    assert boxes.startswith("M0 0V") and "M1 0V" in boxes and zero % 5 == 0


@pytest.mark.parametrize("phase", PHASES)
def test_the_gain_is_scipys(open_page, phase):
    page = open_page(explorer(100)[0])
    choose(page, 0.5, phase)
    power = {"causal": 1, "zero-phase": 2}[phase]
    left, right, top, bottom, lowest, highest = page.evaluate("Object.values(GAIN)")
    drawn = points(page, "#gain path.row")
    frequency = lowest * (highest / lowest) ** ((drawn[:, 0] - left) / (right - left))
    _, response = sosfreqz(sections(0.5, 100), 2 * np.pi * frequency / 100)
    expected = bottom - (bottom - top) * np.abs(response) ** power
    np.testing.assert_allclose(drawn[frequency < 40, 1], expected[frequency < 40], atol=0.6)
    assert f"{0.5 ** (power / 2):.2f} at the corner of 0.5 Hz" in page.locator("#gain-told").inner_text()


def test_keys_are_enough_and_it_is_told(open_page):
    page = open_page(explorer(100)[0])
    assert "Causal filter, 1 to 45 Hz" in page.locator("#verdict").inner_text()
    slider = page.get_by_role("slider", name="Lower corner frequency")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0.05 Hz"
    page.keyboard.press("ArrowRight")
    assert page.locator("#low-told").inner_text() == "0.054 Hz"
    assert page.locator("#marks [aria-pressed=true]").count() == 0
    page.keyboard.press("End")
    assert page.locator("#marks [aria-pressed=true]").inner_text() == "2 Hz"
    page.get_by_role("radio", name="causal").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#spoken").get_by_text("Zero-phase filter, 2 to 45 Hz").wait_for(state="attached")


def test_it_can_be_read_and_fits_a_phone(open_page):
    can_be_read_and_fits_a_phone(open_page(explorer(100)[0]))
