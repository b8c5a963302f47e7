"""The turning dipole in a real browser: its six leads against the generator's and against Einthoven's triangle."""

import numpy as np
import pytest
from accessibility import can_be_read_and_fits_a_phone

from ecgcourse import dipole, interactive

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


@pytest.fixture
def page(open_page):
    return open_page(interactive.turning_dipole().source)


def leads(page) -> np.ndarray:
    """The six curves in mV, (6, T)."""
    return np.array([page.evaluate(f"leads[{name!r}]") for name in LIMB])


def axis_of(six: np.ndarray, times: np.ndarray) -> float:
    """As chapter 1 has it: the mean arrow over the QRS complex, which lasts from 42 ms before R to 46 ms after it."""
    qrs = (times >= -0.0421) & (times <= 0.0461)
    return np.degrees(np.arctan2(2 / np.sqrt(3) * six[5, qrs].mean(), six[0, qrs].mean()))


TIMES = np.arange(-125, 225) / 500


def test_the_projections_are_the_generators_leads(page):
    waves = dipole.normal_beat()
    vector = dipole.draw([(w, 1.0) for w in waves.values()], np.array([w.centre for w in waves.values()]), TIMES)
    np.testing.assert_allclose(leads(page), dipole.twelve_leads(dipole.DOWER @ vector)[:6] / 1000, rtol=0, atol=1e-6)
    assert abs(axis_of(leads(page), TIMES) - int(page.locator("#axis").input_value())) <= 0.5


@pytest.mark.parametrize(
    ("axis", "named"),
    [
        (-90, "left axis deviation"),
        (-31, "left axis deviation"),
        (-30, "normal"),
        (90, "normal"),
        (91, "right axis deviation"),
        (180, "right axis deviation"),
    ],
)
def test_the_axis_is_turned_and_named(page, axis, named):
    before = leads(page)
    page.locator("#axis").fill(str(axis))
    one, two, three, avr, avl, avf = six = leads(page)
    turned = (axis_of(six, TIMES) - axis + 180) % 360 - 180
    assert abs(turned) <= 0.5
    # Einthoven and Goldberger hold whatever the axis, and turning makes no arrow longer.
    for found, expected in ((three, two - one), (avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    lengths = [np.hypot(some[0], 2 / np.sqrt(3) * some[5]) for some in (before, six)]
    np.testing.assert_allclose(*lengths, rtol=0, atol=1e-12)
    assert f"Electrical axis {axis}°: {named} (".replace("-", "−") in page.locator("#deviation").inner_text()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_unasked_and_it_ends_by_itself(page, motion):
    page.emulate_media(reduced_motion=motion)
    page.reload()
    before = page.locator("#at").input_value()
    page.wait_for_timeout(200)
    assert page.locator("#at").input_value() == before
    page.locator("#at").fill("300")
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    assert page.locator("#play").inner_text() == "Pause"
    page.get_by_role("button", name="Play").wait_for()
    assert page.locator("#at").input_value() == "349"


def test_keys_scrub_and_the_curves_grow(page):
    page.get_by_role("slider", name="Time in the beat").focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    drawn = page.locator("#curves path[data-name=II]").get_attribute("d")
    assert drawn.count("L") == 3
    page.locator("#at").fill("125")
    assert page.locator("#at").get_attribute("aria-valuetext") == "0.25 s, QRS complex"
    told = f"II {leads(page)[1, 125]:.2f}, "
    assert told in page.locator("#moment").inner_text()
    page.locator("#spoken").get_by_text(told).wait_for(state="attached")
    page.locator("#axis").fill("-60")
    page.get_by_role("button", name="Back to the heart’s own axis").click()
    assert page.locator("#axis").input_value() == "64"


def test_it_can_be_read_and_fits_a_phone(page):
    can_be_read_and_fits_a_phone(page)
