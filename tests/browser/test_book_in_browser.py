"""Every page of the built book in a real browser: nothing fails, nothing comes from elsewhere, all can be read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from accessibility import thin_out, too_faint, violations
from complaints import note_complaints
from playwright.sync_api import Browser, Page

from tools.pages import entries

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "book" / "_build" / "html"
NAMES = entries(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
PHONE = {"width": 390, "height": 844}
LAPTOP = {"width": 1400, "height": 900}
DESKTOP = {"width": 1300, "height": 900}

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason=f"no built book in {HTML}; make book builds it")


@dataclass
class Opened:
    """A page that is open, and what came of loading it."""

    page: Page
    name: str = ""
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def address(serve) -> str:
    return serve(HTML)


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Opened]:
    """One tab for all pages, since a new one takes a process of its own and reads every script anew."""
    here = (address, "data:", "about:")
    with browser.new_context() as context:
        one = Opened(context.new_page())
        one.page.on("request", lambda asked: None if asked.url.startswith(here) else one.outside.append(asked.url))
        note_complaints(one.page, one.complaints)
        yield one


@pytest.fixture(scope="module")
def seen() -> dict[str, int]:
    """How many texts of each kind the pages before have shown."""
    return {}


@pytest.fixture(scope="module", params=NAMES)
def opened(request, reader: Opened, address: str) -> Opened:
    """Each page in turn, on a wide screen and in the light theme, and what it asks of other servers."""
    reader.name = request.param
    reader.complaints.clear()
    reader.outside.clear()
    reader.page.set_viewport_size(DESKTOP)
    reader.page.emulate_media(color_scheme="light")
    reader.page.goto(f"{address}/{request.param}.html", wait_until="load")
    reader.page.evaluate("window.MathJax?.startup.promise")
    return reader


def test_loads_without_a_complaint(opened):
    assert opened.complaints == []


def test_asks_nothing_of_other_servers(opened):
    assert opened.outside == []


def test_every_formula_is_set(opened):
    """Each element that Sphinx marks as a formula holds what MathJax made of its TeX, and no error."""
    formulas = opened.page.locator(".math")
    # Chapters, whose names begin with their number, all have some.
    assert formulas.count() or not opened.name[0].isdigit()
    assert formulas.count() == opened.page.locator(".math:has(mjx-container)").count()
    assert opened.page.locator("mjx-merror").count() == 0
    assert not [text for text in formulas.all_inner_texts() if "\\(" in text or "\\[" in text]


def test_has_no_serious_violation(opened):
    assert violations(opened.page) == []


def test_fits_a_phone(opened):
    opened.page.set_viewport_size(PHONE)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_no_code_is_cut_on_a_laptop(opened):
    opened.page.set_viewport_size(LAPTOP)
    opened.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    cut = "pres => pres.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"
    assert opened.page.locator(".cell_input pre, .highlight-bash pre").evaluate_all(cut) == []


def test_figures_of_cells_have_two_pixels_for_each_of_the_page(opened):
    sizes = "images => images.map((one) => [one.naturalWidth, parseFloat(one.style.width)])"
    # The gallery's sheets are pictures that its cells make themselves, of few colours.
    selector = ".cell_output img" if opened.name != "gallery" else "#fig-gallery-beats img"
    for pixels, width in opened.page.locator(selector).evaluate_all(sizes):
        assert pixels // 2 == width


def test_figures_keep_their_grey_levels_in_the_dark(opened):
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    looks = "images => images.map((one) => [getComputedStyle(one).filter, getComputedStyle(one).backgroundColor])"
    found = opened.page.locator(".bd-article img:not(.only-light, .dark-light)").evaluate_all(looks)
    assert {tuple(look) for look in found} <= {("none", "rgb(255, 255, 255)")}


# The last one: it thins the page out.
def test_is_readable(opened, seen):
    """In both themes; of a kind of text that pages before have shown often enough, none is looked at again."""
    thin_out(opened.page, seen)
    for theme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=theme)
        opened.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
        assert too_faint(opened.page) == [], theme


def test_play_has_both_pages_to_play_with(browser, address):
    with browser.new_context() as context:
        context.route(lambda url: not url.startswith(address), lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{address}/play.html")
        explorer, morph = (page.frame_locator(f"iframe[title='{title}']") for title in ("Pixel explorer", "Beat morph"))
        explorer.locator("#picture").focus()
        page.keyboard.press("Home")
        assert "(64, 0)" in explorer.locator("#pixel").inner_text()
        morph.locator("#rate").focus()
        page.keyboard.press("ArrowRight")
        assert morph.locator("#sliders output").first.inner_text() == "71 per minute"
