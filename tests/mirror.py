"""A web server of PTB-XL on this machine that misbehaves as it is told, and the tree of files that it serves."""

import hashlib
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from ecgcourse import practice

PREFIX = "/files/ptb-xl/1.0.3/"
N_RECORDS = 24

Fault = Callable[["Handler", bytes], None]


def write_tree(root: Path) -> Path:
    """Write what PhysioNet has, on a small scale: 24 records at 100 Hz, of which 20 also at 500 Hz."""
    practice.write(root, N_RECORDS)
    (root / practice.MARK).unlink()
    (root / "LICENSE.txt").write_text("Creative Commons Attribution 4.0\n")
    table = pd.read_csv(root / "ptbxl_database.csv", dtype=str)
    # Reports that a line-wise cut would tear apart.
    table.loc[table.index % 3 == 1, "report"] = 'sinus rhythm\n"left" axis,\r\nénd'
    table.to_csv(root / "ptbxl_database.csv", index=False)
    write_sums(root)
    return root


def write_sums(root: Path) -> None:
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "SHA256SUMS.txt")
    sums = [(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(root).as_posix()) for path in paths]
    (root / "SHA256SUMS.txt").write_text("".join(f"{digest} {name}\n" for digest, name in sums))


class Mirror:
    """Serve a folder under `PREFIX` on the loopback interface; a context manager.

    ``faults[name]`` holds what happens at the next requests for a file, one after the other; a request for which
    nothing is left is answered well. ``requests`` lists the names in the order in which they were asked for.
    """

    def __init__(self, root: Path):
        self.root = root
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.requests: list[str] = []
        self.times: dict[str, list[float]] = defaultdict(list)
        self.n_sent = 0
        self.delay = 0.0
        self.released = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.mirror = self

    def __enter__(self) -> "Mirror":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return self.host + PREFIX


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, *request: object) -> None:
        # Clients that are killed break off; anything else has to be seen.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*request)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        mirror = self.server.mirror
        # A proxy gets the whole address.
        path = urlsplit(self.path).path
        name = path.removeprefix(PREFIX) if path.startswith(PREFIX) else path
        mirror.requests.append(name)
        mirror.times[name].append(time.monotonic())
        file = mirror.root / name.removeprefix("/moved/")
        time.sleep(mirror.delay)
        fault = mirror.faults[name].pop(0) if mirror.faults[name] else None
        content = file.read_bytes() if file.is_file() else b""
        if fault:
            fault(self, content)
        elif file.is_file() and (path.startswith(PREFIX) or name.startswith("/moved/")):
            answer(self, content)
        else:
            status(404)(self, content)

    def send(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
            self.server.mirror.n_sent += len(content)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def answer(handler: Handler, content: bytes, code: int = 200, length: int | None = None, **headers: str) -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.send(content)


# --- faults


def hang_up(handler: Handler, content: bytes) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def drop(handler: Handler, content: bytes) -> None:
    """Close the connection in the middle of the file."""
    answer(handler, content[: len(content) // 2], length=len(content))
    handler.close_connection = True


def overstate(handler: Handler, content: bytes) -> None:
    """Send the whole file, but announce more."""
    answer(handler, content, length=len(content) + 10)
    handler.close_connection = True


def stall(handler: Handler, content: bytes) -> None:
    """Send half of the file, then nothing more."""
    answer(handler, content[: len(content) // 2], length=len(content))
    handler.server.mirror.released.wait(30)
    handler.close_connection = True


def say_nothing(handler: Handler, content: bytes) -> None:
    """Accept the request, then nothing more."""
    handler.server.mirror.released.wait(30)
    handler.close_connection = True


def cut_short(handler: Handler, content: bytes) -> None:
    """Send half of the file as if it were all."""
    answer(handler, content[: len(content) // 2])


def corrupt(handler: Handler, content: bytes) -> None:
    """Change one bit."""
    answer(handler, bytes([content[0] ^ 1]) + content[1:])


def send_nothing(handler: Handler, content: bytes) -> None:
    answer(handler, b"")


def send_page(handler: Handler, content: bytes) -> None:
    """What a captive portal answers to every request."""
    answer(handler, b"<html>please log in</html>", Content_Type="text/html")


def endless(handler: Handler, content: bytes) -> None:
    """Send without an end, and without saying how much."""
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = False
    while not handler.close_connection and handler.server.mirror.n_sent < 1 << 28:
        handler.send(b"x" * (1 << 16))
    handler.close_connection = True


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler, content: bytes) -> None:
        answer(handler, b"an error", code, **headers)

    return fault


def redirect(target: str) -> Fault:
    return status(302, Location=target)
