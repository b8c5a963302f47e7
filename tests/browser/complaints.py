"""What a page complains of while it is open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page


def note_complaints(page: Page, complaints: list[str]) -> None:
    """Append each error on the page's console, and each one that nobody caught, with where it comes from."""

    def note(told: ConsoleMessage) -> None:
        if told.type == "error":
            complaints.append(f"{told.text} ({told.location['url']})")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))


@contextmanager
def opened(browser: Browser, path: Path) -> Iterator[Page]:
    """A page that is a file, for all tests of a module; at the end it has complained of nothing and asked nobody."""
    complaints = []
    with browser.new_context(viewport={"width": 1000, "height": 900}, color_scheme="light") as context:
        context.set_default_timeout(10_000)
        page = context.new_page()
        note_complaints(page, complaints)
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url != path.as_uri() else None)
        page.goto(path.as_uri())
        yield page
    assert complaints == []
