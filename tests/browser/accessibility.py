"""What axe-core, the usual checker of accessibility, finds on a page that is open in a browser."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

IMPACTS = ("serious", "critical")
# What depends on the look of a text: its contrast, and whether a link differs from the text around it.
LOOKS = ("color-contrast", "link-in-text-block")
# Never more than moderate, and it takes long.
LEFT_OUT = ("region",)

# Texts of one kind look the same wherever they stand, and a page may have thousands: a few of each are enough. What
# kind a text is of, the elements around it and their classes say.
_KEEP_A_FEW_OF_EACH = """(seen) => {
    const kinds = new Map([[document.body, 'body']]);
    const kind = (element) => {
        if (!element) return '';
        if (!kinds.has(element)) {
            const own = `${element.tagName}.${element.className}.${element.getAttribute('style')}`;
            kinds.set(element, `${kind(element.parentElement)}>${own}`);
        }
        return kinds.get(element);
    };
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts.filter((one) => one.data.trim())) {
        const name = kind(text.parentElement);
        seen[name] = (seen[name] ?? 0) + 1;
        // The third and fourth too, since rows of tables take turns.
        if (seen[name] > 4) text.remove();
    }
    // What is left without a text only takes axe's time.
    const holds = 'img, svg, input, button, iframe, canvas, video';
    for (const one of document.querySelectorAll('body *')) {
        if (!one.textContent.trim() && !one.matches(holds) && !one.querySelector(holds)) one.remove();
    }
    return seen;
}"""


def violations(page: Page) -> list[str]:
    """List what is serious or critical, looks left out: the rule, and the first elements that break it."""
    return _run(page, {"rules": {name: {"enabled": False} for name in (*LOOKS, *LEFT_OUT)}})


def thin_out(page: Page, seen: dict[str, int]) -> None:
    """Leave a few texts of each kind, fewer where `seen` counts some, and count them there; no other use is left."""
    seen |= page.evaluate(_KEEP_A_FEW_OF_EACH, seen)


def too_faint(page: Page) -> list[str]:
    """List texts without the contrast that WCAG 2 AA asks for, and links that only a colour tells from their text."""
    # A colour that is still changing is neither the old one nor the new one.
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    return _run(page, {"runOnly": {"type": "rule", "values": LOOKS}})


def can_be_read_and_fits_a_phone(page: Page) -> None:
    """Check rules, widths of phones, and both themes' contrast. The page is of no use for anything else afterwards."""
    assert violations(page) == []
    for width in (320, 390, 700):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    thin_out(page, {})
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.locator(f"html[data-theme={theme}]").wait_for()
        assert too_faint(page) == []


def _run(page: Page, options: dict) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    # Without preload: axe would read style sheets anew, from where their imports lead nowhere.
    options |= {"resultTypes": ["violations"], "preload": False}
    found = page.evaluate("(options) => axe.run(document, options).then((results) => results.violations)", options)
    return [_in_words(one) for one in found if one["impact"] in IMPACTS]


def _in_words(violation: dict) -> str:
    places = [f"{node['target']} {node['html'][:120]}" for node in violation["nodes"]]
    return f"{violation['id']}, {len(places)} times: {'; '.join(places[:4])}"
