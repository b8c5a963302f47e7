"""The beat morph in a real browser: its lead against the package's generator, its images against the fields."""

import base64

import cv2
import numpy as np
import pytest
from accessibility import too_faint, violations

from ecgcourse import dipole, fields, interactive, signals

SIZE, FS, SECONDS = 256, 100, 3
USUAL = {"rate": 70, "st": 0.02, "qrs": 88, "t": 0.34}
SETTINGS = [
    {},
    {"rate": 125},
    {"rate": 45, "t": -0.5},
    {"st": 0.3},
    {"st": -0.25, "t": 0.1},
    {"qrs": 180},
    {"rate": 100, "st": 0.15, "qrs": 120, "t": 0.6},
]


class Even:
    """Random numbers that are all the mean: every beat is as strong as the others."""

    def normal(self, mean, _, *size):
        return np.full(size[0], float(mean)) if size else mean

    def uniform(self, low, high, *size):
        return (low + high) / 2


@pytest.fixture
def page(open_page):
    return open_page(interactive.beat_morph().source)


def slide(page, settings) -> None:
    for name, value in settings.items():
        page.locator(f"#{name}").fill(str(value))


def samples(page) -> np.ndarray:
    """The lead in mV that the page draws."""
    return np.array(page.evaluate("Array.from(lead)"))


def shown(page, name: str) -> np.ndarray:
    url = page.evaluate(f"document.querySelector('#{name}').toDataURL('image/png')")
    colours = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    return colours[..., 0]


def generated(rate, st, qrs, t, lead="II") -> np.ndarray:
    """The same lead from the package's generator: the waves' vectors are changed, not what a lead sees of them."""
    direction = dipole.DOWER[dipole.PROJECTED_LEADS.index(lead)]
    heart = dipole.Heart(dipole.normal_beat(), rate=rate)
    for name, wanted in (("ST", st), ("T", t)):
        heart.adjust(name, scale=wanted / (direction @ heart.waves[name].vector))
    for name in ("Q", "R", "S"):
        wave = heart.waves[name]
        heart.change(name, centre=wave.centre * qrs / 88, width=wave.width * qrs / 88)
    beats = [dipole.Beat(0.4 + 60 / rate * k, False) for k in range(-2, 12)]
    times = np.arange(SECONDS * FS) / FS
    return direction @ dipole.dipole(heart, beats, times, Even())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_lead_is_the_generators(page, settings):
    slide(page, settings)
    np.testing.assert_allclose(samples(page), generated(**USUAL | settings), atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_images_are_the_packages(page, settings):
    slide(page, settings)
    expected = fields.images(signals.min_max(samples(page)))
    for name, image in zip(fields.FIELDS, expected, strict=True):
        assert np.abs(shown(page, name).astype(int) - image).max() <= 1


def test_other_leads_are_seen_from_elsewhere(open_page):
    page = open_page(interactive.beat_morph("V2").source)
    usual = {name: float(page.locator(f"#{name}").input_value()) for name in USUAL}
    assert usual["rate"] == USUAL["rate"] and usual["t"] != USUAL["t"]
    np.testing.assert_allclose(samples(page), generated(**usual, lead="V2"), atol=1e-12)


def test_the_usual_qrs_complex_is_as_wide_as_the_bells_are():
    """Two widths to each side hold 95 % of a Gaussian."""
    waves = dipole.normal_beat()
    start, end = waves["Q"].centre - 2 * waves["Q"].width, waves["S"].centre + 2 * waves["S"].width
    assert 1000 * (end - start) == pytest.approx(USUAL["qrs"])


def test_keys_move_a_slider_and_the_button_brings_it_back(page):
    before = shown(page, "RP")
    page.get_by_role("slider", name="Heart rate").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("#sliders output").first.inner_text() == "75 per minute"
    assert (shown(page, "RP") != before).any()
    page.get_by_role("button").click()
    np.testing.assert_array_equal(shown(page, "RP"), before)


def test_it_tells_the_voltages(page):
    slide(page, {"t": 0.8, "st": -0.3})
    lowest, highest = samples(page).min(), samples(page).max()
    told = f"The lead runs from −{-lowest:.2f} to {highest:.2f} mV."
    assert page.locator("#measured").inner_text() == told


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.emulate_media(color_scheme=theme)
    page.locator(f"html[data-theme={theme}]").wait_for()
    assert violations(page) == []
    assert too_faint(page) == []


@pytest.mark.parametrize("width", [320, 390, 700])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
