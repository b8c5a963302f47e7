"""A real browser: Chromium as the system has it, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from complaints import note_complaints
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

# No name of another computer is found: what a page asks of one fails, and can be seen. A route that stops it would keep
# pages from sharing what the browser has stored.
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without telling of each one. Browsers ask for an icon of their own accord; there is none."""

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module of tests: while it runs, nothing else in this process may use asyncio."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        message = f"none of {', '.join(NAMES)} is installed: nothing was tried in a browser"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--disable-gpu", "--disable-quic", ALONE])
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that nobody used before."""
    with browser.new_context(viewport={"width": 1000, "height": 900}) as fresh:
        fresh.set_default_timeout(10_000)
        yield fresh


@pytest.fixture
def open_page(context: BrowserContext, tmp_path: Path) -> Callable[[str], Page]:
    """Open HTML as a file; whatever it complains of or asks from elsewhere fails the test at its end."""
    complaints = []

    def open_it(html: str) -> Page:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        page = context.new_page()
        note_complaints(page, complaints)
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield open_it
    assert complaints == []


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve a folder on this machine; returns its address."""
    servers = []

    def serve_it(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve_it
    for server in servers:
        server.shutdown()
        server.server_close()
