"""The sliders of the fields in a real browser, against ecgcourse.fields and pyts."""

import base64

import cv2
import numpy as np
import pytest
from accessibility import can_be_read_and_fits_a_phone
from plain_pyts import RecurrencePlot

from ecgcourse import fields, interactive, ptbxl, signals


@pytest.fixture(scope="module")
def lead(practice_root):
    """Three seconds of a raw lead II."""
    return ptbxl.read_signals(practice_root, ptbxl.read_table(practice_root).head(1))[0, 1, :300]


@pytest.fixture
def page(open_page, lead):
    return open_page(interactive.field_sliders(lead, name="Lead <II>", synthetic=True).source)


def slide(page, **settings) -> None:
    for name, value in settings.items():
        page.locator(f"#{name}").fill(str(value))


def values(page, expression: str) -> np.ndarray:
    """A field of the page, (n, n)."""
    flat = np.array(page.evaluate(f"Array.from({expression})"))
    return flat.reshape(round(len(flat) ** 0.5), -1)


def shown(page, name: str) -> np.ndarray:
    url = page.evaluate(f"document.querySelector('#{name}').toDataURL('image/png')")
    return cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)[..., 0]


def scaled(lead) -> np.ndarray:
    """What the page has: samples of 32 bits, scaled in 64."""
    return signals.min_max(lead.astype(np.float32).astype(np.float64))


def test_the_markov_transition_field_is_the_packages(page, lead):
    x = scaled(lead)
    for bins in (2, 10, 20):
        slide(page, bins=bins)
        expected = fields.markov_transition(x, bins)
        np.testing.assert_allclose(values(page, "valuesOf(field, x.length)"), expected, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(shown(page, "MTF"), (255 * expected).astype(np.uint8))
        matrix = fields.transition_matrix(fields.bin_numbers(x, bins), bins)
        np.testing.assert_array_equal(shown(page, "matrix"), (255 * matrix).astype(np.uint8))
        empty = np.count_nonzero(matrix.sum(axis=1) == 0)
        told = page.locator("#mtf-told").inner_text()
        positive = np.count_nonzero(matrix)
        assert f"299 steps give {bins * bins} transition probabilities, of which {positive} are above 0" in told
        assert f"; {empty or 'no'} row" in told


@pytest.mark.parametrize(("dimension", "delay"), [(1, 1), (2, 1), (3, 5), (5, 20)])
def test_the_recurrence_plot_is_that_of_pyts(page, lead, dimension, delay):
    x = scaled(lead)
    slide(page, dimension=dimension, delay=delay)
    distances = RecurrencePlot(dimension=dimension, time_delay=delay).transform(x[None])[0]
    np.testing.assert_allclose(values(page, "valuesOf(plot, plot.count)"), distances, rtol=0, atol=1e-6)
    if dimension == 1:
        np.testing.assert_allclose(distances, fields.recurrence(x), rtol=0, atol=1e-15)
    levels = shown(page, "RP")
    assert levels.shape == distances.shape
    assert np.abs(levels - 255 * distances / np.sqrt(dimension)).max() <= 1
    for threshold in (0.01, 0.1, 0.5):
        slide(page, threshold=threshold)
        near = RecurrencePlot(dimension=dimension, time_delay=delay, threshold=threshold).transform(x[None])[0]
        np.testing.assert_array_equal(shown(page, "RP"), 255 * (1 - near))
        assert f"recurrence rate {100 * near.mean():.1f}\u00a0%." in page.locator("#rp-told").text_content()


def test_embedding_parts_rises_from_falls(page):
    """What the page says to look for: steep samples of one height, one on a rise and one on a fall, hardly recur."""
    slope = np.append(np.diff(page.evaluate("Array.from(x)")), 0)
    steep = np.where(np.abs(slope) > 0.05, np.sign(slope), 0)
    crossing = np.outer(steep, steep) < 0
    slide(page, threshold=0.1)
    before = (shown(page, "RP") == 0)[crossing].mean()
    slide(page, dimension=2)
    count = page.evaluate("plot.count")
    after = (shown(page, "RP") == 0)[crossing[:count, :count]].mean()
    assert before > 0.1 and after < before / 4


def test_keys_move_the_sliders_and_the_button_brings_them_back(page):
    before = [shown(page, name) for name in ("MTF", "RP")]
    for name, key, told in [
        ("Number of bins", "ArrowRight", "11"),
        ("Threshold", "ArrowRight", "0.01"),
        ("Embedding dimension", "End", "5"),
        ("Delay in samples", "End", "20 samples, 0.20 s"),
    ]:
        slider = page.get_by_role("slider", name=name)
        slider.focus()
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") == told
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.locator("#rp-told").inner_text().startswith("220 × 220 moments, the first 2.20 s;")
    page.get_by_role("button").click()
    for name, image in zip(("MTF", "RP"), before, strict=True):
        np.testing.assert_array_equal(shown(page, name), image)


def test_a_pixel_stands_below_its_moment(page):
    """Also in a plot that embedding has shortened."""
    slide(page, dimension=5, delay=20)
    curve, picture, canvas = (page.locator(name).bounding_box() for name in ("#of-rp svg", "#of-rp .picture", "#RP"))
    assert [picture["x"], picture["width"]] == pytest.approx([curve["x"], curve["width"]], abs=0.5)
    expected = [picture["x"], picture["y"], 220 / 300 * picture["width"], 220 / 300 * picture["height"]]
    assert [canvas[key] for key in ("x", "y", "width", "height")] == pytest.approx(expected, abs=1)


def test_it_says_which_signal_it_draws(page):
    told = page.locator("#source").inner_text()
    assert told.startswith("Lead <II>: 3.00 s at 100 Hz, raw as recorded, scaled to [0, 1].") and "no patient" in told


def test_it_can_be_read_and_fits_a_phone(page):
    can_be_read_and_fits_a_phone(page)
