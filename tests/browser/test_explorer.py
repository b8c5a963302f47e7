"""The pixel explorer in a real browser, held against ecgcourse.fields and ecgcourse.render."""

import base64
import re

import cv2
import numpy as np
import pytest
from accessibility import too_faint, violations

from ecgcourse import fields, interactive, ptbxl, render, signals

LEADS = signals.IMAGE_LEADS
SIZE = 256
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def x(practice_root):
    table = ptbxl.read_table(practice_root).head(2)
    return signals.preprocess(ptbxl.read_signals(practice_root, table))


@pytest.fixture
def page(open_page, x):
    return open_page(interactive.pixel_explorer(x, records=["first", "<second>"], synthetic=True).source)


def shown(page) -> np.ndarray:
    """The grey levels on the canvas: (S, S) uint8."""
    url = page.evaluate("document.querySelector('#picture canvas').toDataURL('image/png')")
    colours = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert (colours == colours[..., :1]).all()
    return colours[..., 0]


def point(page, row: int, column: int, selector: str = "#picture") -> None:
    """Move the mouse over a pixel, or to the same height and width of another element."""
    box = page.locator(selector).bounding_box()
    page.mouse.move(box["x"] + (column + 0.5) / SIZE * box["width"], box["y"] + (row + 0.5) / SIZE * box["height"])


def pixel(page) -> list[int]:
    """Row, column and grey level as the page tells them."""
    return [int(number) for number in re.findall(r"\d+", page.locator("#pixel").inner_text())]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


@pytest.mark.parametrize("record", [0, 1])
@pytest.mark.parametrize("lead", [0, 1, 2])
def test_images_are_those_of_the_package(page, x, record, lead):
    page.select_option("#record", str(record))
    page.select_option("#lead", str(lead))
    rendered = render.render(x[record : record + 1])[0]
    for channel, name in enumerate(fields.FIELDS):
        page.select_option("#field", name)
        difference = np.abs(shown(page).astype(int) - rendered[3 * lead + channel])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001
        np.testing.assert_array_equal(shown(page), fields.images(x[record, lead])[channel])


@pytest.mark.parametrize(
    "signal",
    [np.zeros(1000), np.linspace(0, 1, 1000), np.arange(1000) % 2, np.arange(1000) % 11 / 10],
    ids=["flat", "ramp", "alternating", "bin edges"],
)
def test_images_of_odd_signals_are_those_of_the_package(open_page, signal):
    x = signal.astype(np.float32)
    page = open_page(interactive.pixel_explorer(x[None, None], leads=["odd"]).source)
    for image, name in zip(fields.images(x), fields.FIELDS, strict=True):
        page.select_option("#field", name)
        assert np.abs(shown(page).astype(int) - image).max() <= 1


def test_settings_reach_the_browser(open_page, x):
    explorer = interactive.pixel_explorer(x[:, :1, :500], leads=["I"], size=SIZE, bins=4, mtf_white=1)
    page = open_page(explorer.source)
    page.select_option("#field", "MTF")
    expected = render.render(x[:1, :1, :500], bins=4, mtf_white=1)[0, 1]
    assert np.abs(shown(page).astype(int) - expected).max() <= 1
    assert not page.locator("#brighten").is_visible()


@pytest.mark.parametrize("name", fields.FIELDS)
def test_mouse_tells_the_two_moments_and_the_arithmetic(page, x, name):
    page.select_option("#lead", "1")
    page.select_option("#field", name)
    point(page, 40, 200)
    image = fields.images(x[0, 1])[fields.FIELDS.index(name)]
    assert pixel(page) == [40, 200, image[40, 200]]
    first, second, weight = fields.taps(1000, SIZE)
    for words, k in (("#of-row", 40), ("#of-column", 200)):
        value = x[0, 1, first[k]] * (1 - weight[k]) + x[0, 1, second[k]] * weight[k]
        told = numbers(page.locator(words).inner_text())
        np.testing.assert_allclose(told, [(first[k] + weight[k]) / 100, value], atol=6e-4)
    transforms = {"GAF": fields.gramian_angular, "MTF": fields.markov_transition, "RP": fields.recurrence}
    field = transforms[name](x[0, 1])
    mixed, *_, exact = numbers(page.locator("#sum").inner_text())
    assert mixed == pytest.approx(fields.resize(field, SIZE)[40, 200], abs=6e-4)
    assert exact == pytest.approx(255 * fields.resize(fields.grey(name, field), SIZE)[40, 200], abs=6e-3)
    rows = [line.inner_text() for line in page.locator("#terms tr").all()]
    values = [numbers(row.split("=")[-1]) for row in rows]
    pairs = [(m, n) for m in (first[40], second[40]) for n in (first[200], second[200])]
    assert [tuple(int(sample) for sample in re.findall(r"(\d+)\nx = ", row)) for row in rows] == pairs
    np.testing.assert_allclose([value for value, _ in values], [field[pair] for pair in pairs], atol=6e-4)
    assert sum(share for _, share in values) == pytest.approx(100, abs=0.2)


def test_marks_stand_where_the_moments_are(page):
    """The dots on the curve above are over the pixel's column, and at the left beside its row."""
    point(page, 40, 200)
    image = page.locator("#picture").bounding_box()
    step = image["width"] / SIZE
    above = page.locator("#above .column.mark").bounding_box()
    beside = page.locator("#beside .row.mark").bounding_box()
    assert above["x"] + above["width"] / 2 == pytest.approx(image["x"] + 200.5 * step, abs=step)
    assert beside["y"] + beside["height"] / 2 == pytest.approx(image["y"] + 40.5 * step, abs=step)


@pytest.mark.parametrize("curve", ["#above", "#beside"])
def test_a_moment_on_the_curve_lights_its_row_and_its_column(page, curve):
    point(page, 90, 90, curve)
    assert pixel(page)[:2] == [90, 90]
    image = page.locator("#picture").bounding_box()
    row = page.locator("#picture .row").bounding_box()
    column = page.locator("#picture .column").bounding_box()
    assert row["width"] == pytest.approx(image["width"], rel=0.02)
    assert column["height"] == pytest.approx(image["height"], rel=0.02)


def test_keys_move_the_pixel(page):
    point(page, 100, 100)
    page.locator("#picture").focus()
    steps = [
        ("ArrowRight", [100, 101]),
        ("ArrowDown", [101, 101]),
        ("Shift+ArrowLeft", [101, 91]),
        ("Shift+ArrowUp", [91, 91]),
        ("Home", [91, 0]),
        ("ArrowLeft", [91, 0]),
        ("d", [0, 0]),
        ("End", [0, SIZE - 1]),
        ("PageDown", [SIZE - 1, SIZE - 1]),
        ("ArrowDown", [SIZE - 1, SIZE - 1]),
        ("PageUp", [0, SIZE - 1]),
    ]
    for key, expected in steps:
        page.keyboard.press(key)
        assert pixel(page)[:2] == expected, key


def test_keys_move_a_moment_of_the_curve(page):
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    assert pixel(page)[:2] == [10, 10]
    assert slider.get_attribute("aria-valuenow") == "10"
    assert slider.get_attribute("aria-valuetext").startswith("0.405 s")


def test_focus_is_visible_and_goes_through_everything(page):
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        look = "() => [document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]"
        order.append(page.evaluate(look))
    assert order == [[name, "solid"] for name in ("record", "lead", "field", "above", "picture")]


def test_the_pixel_is_spoken_once_it_stays(page):
    point(page, 40, 200)
    level = pixel(page)[2]
    spoken = page.get_by_text(re.compile(rf"^Row 40 at .*grey level {level}\.$"))
    spoken.wait_for(state="attached")
    assert spoken.get_attribute("aria-live") == "polite"


def test_touch_points_too(browser, x, tmp_path):
    path = interactive.pixel_explorer(x).write(tmp_path / "explorer.html")
    with browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        box = page.locator("#picture").bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
        assert pixel(page)[:2] == [SIZE // 4, SIZE // 2]


def test_names_are_text_not_html(page):
    assert page.locator("#record option").all_inner_texts() == ["first", "<second>"]


def test_a_name_cannot_end_the_script(open_page, x):
    name = "</script><script>document.body.remove()</script>"
    page = open_page(interactive.pixel_explorer(x, records=[name, "b"]).source)
    assert page.locator("#record option").first.inner_text() == name


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_records_are_called_so(open_page, x, synthetic):
    page = open_page(interactive.pixel_explorer(x, synthetic=synthetic).source)
    assert page.get_by_text("come from no patient").is_visible() == synthetic


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing(page, theme):
    page.emulate_media(color_scheme=theme)
    page.locator(f"html[data-theme={theme}]").wait_for()
    assert violations(page) == []
    assert too_faint(page) == []


@pytest.mark.parametrize("width", [320, 390, 700, 1400])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    for name in fields.FIELDS:
        page.select_option("#field", name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def framed(x, attributes="") -> str:
    """HTML of a page that holds the explorer twice, as a notebook does."""
    frame = interactive.pixel_explorer(x)._repr_html_()
    return f'<!doctype html><html lang="en" {attributes}><title>t</title><main>{frame}{frame}</main></html>'


def test_two_on_one_page_do_not_know_of_each_other(open_page, x):
    page = open_page(framed(x))
    first, second = page.frames[1:]
    before = second.locator("#pixel").inner_text()
    first.locator("#picture").focus()
    page.keyboard.press("Home")
    assert "(64, 0)" in first.locator("#pixel").inner_text()
    assert second.locator("#pixel").inner_text() == before


def test_the_frame_is_as_tall_as_what_it_holds(open_page, x):
    page = open_page(framed(x))
    page.wait_for_timeout(100)
    for frame in page.frames[1:]:
        inner, outer = frame.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
        assert inner <= outer < inner + 40


@pytest.mark.parametrize(
    ("attributes", "theme"),
    [('data-theme="dark"', "dark"), ('data-theme="light"', "light"), ("theme=dark", "dark"), ("", "light")],
    ids=["book, dark", "book, light", "Colab, dark", "unknown"],
)
def test_the_frame_looks_like_the_page_around_it(open_page, x, attributes, theme):
    frame = open_page(framed(x, attributes)).frames[1]
    assert frame.evaluate("document.documentElement.dataset.theme") == theme


def test_the_frame_follows_a_change_of_the_theme(open_page, x):
    page = open_page(framed(x, 'data-theme="light"'))
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.frames[1].locator("html[data-theme=dark]").wait_for()


def test_the_frame_follows_jupyterlab(open_page, x):
    page = open_page(framed(x))
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.frames[1].locator("html[data-theme=dark]").wait_for()
