"""One file over HTTP: which faults pass, which are final, and what a server that lies can't do."""

import time
from email.utils import formatdate
from pathlib import Path

import mirror as server
import pytest
from mirror import Mirror

from ecgcourse import transfer
from ecgcourse.errors import DataError
from ecgcourse.records.transfer import Absent, WrongContent

NAME = "records100/00000/00001_lr.dat"
CEILING = 1 << 20
PASSING = [
    server.hang_up,
    server.drop,
    server.overstate,
    server.stall,
    server.say_nothing,
    *(server.status(code) for code in (408, 425, 429, 500, 502, 503, 504)),
    # Pauses that make no sense.
    *(server.status(503, Retry_After=asked) for asked in ("soon", "-5", "", "Wed, 99 Foo 2020")),
]


def fetch(mirror: Mirror, url: str | None = None) -> bytes:
    with transfer.session() as client:
        return transfer.fetch(client, url or mirror.url + NAME, CEILING, lambda content: None)


@pytest.fixture
def content(mirror: Mirror) -> bytes:
    return (mirror.root / NAME).read_bytes()


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_tried_again(fault: server.Fault, mirror: Mirror, content: bytes):
    mirror.faults[NAME] = [fault]
    assert fetch(mirror) == content
    assert mirror.requests == [NAME] * 2


@pytest.mark.parametrize(
    ("fault", "told", "times"),
    [
        (server.status(503), "the server answers 503", 4),
        (server.say_nothing, "no byte for 0.4 s", 4),
        (server.stall, "came wrong 3 times: the connection broke off: no byte for 0.4 s", 3),
        (server.drop, "came wrong 3 times: the connection broke off: .*bytes", 3),
    ],
)
def test_a_fault_that_stays_is_told_with_the_file(fault: server.Fault, told: str, times: int, mirror: Mirror):
    mirror.faults[NAME] = [fault] * 9
    with pytest.raises(DataError, match=f"{NAME} .*{told}") as refused:
        fetch(mirror)
    assert "\n" not in str(refused.value)
    assert mirror.requests == [NAME] * times


def test_nobody_there_is_told_as_such(mirror: Mirror, tmp_path: Path):
    with Mirror(tmp_path) as gone:
        pass
    with pytest.raises(DataError, match="Connection refused"):
        fetch(gone)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_pause_that_the_server_asks_for_is_kept(code: int, form: str, mirror: Mirror):
    # A date has whole seconds.
    asked = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    mirror.faults[NAME] = [server.status(code, Retry_After=asked)]
    fetch(mirror)
    early, late = mirror.times[NAME]
    assert 0.9 <= late - early < 4


def test_a_pause_of_an_hour_is_not_kept(mirror: Mirror):
    mirror.faults[NAME] = [server.status(429, Retry_After="3600")]
    with pytest.raises(DataError, match="asks to wait 3600 s"):
        fetch(mirror)


@pytest.mark.parametrize("code", [403, 404, 410, 204, 304, 400, 401, 451])
def test_other_answers_are_final(code: int, mirror: Mirror):
    mirror.faults[NAME] = [server.status(code)]
    with pytest.raises(DataError, match=f"{NAME} .* {code}") as refused:
        fetch(mirror)
    assert isinstance(refused.value, Absent) == (code in (403, 404, 410))
    assert mirror.requests == [NAME]


def test_redirects_are_followed(mirror: Mirror, content: bytes):
    mirror.faults[NAME] = [server.redirect(f"{mirror.host}/moved/{NAME}")]
    assert fetch(mirror) == content


@pytest.mark.parametrize("target", [server.PREFIX + NAME, "file:///etc/passwd", "http://"])
def test_a_redirect_to_nowhere_is_final(target: str, mirror: Mirror):
    mirror.faults[NAME] = [server.redirect(target)] * 99
    with pytest.raises(DataError, match=NAME):
        fetch(mirror)


def test_an_endless_answer_ends_at_the_ceiling(mirror: Mirror):
    mirror.faults[NAME] = [server.endless] * 3
    with pytest.raises(WrongContent, match="more than 1,048,576 bytes"):
        fetch(mirror)
    assert mirror.n_sent < 1 << 26


def test_the_proxy_of_the_environment_is_used(mirror: Mirror, content: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", mirror.host)
    assert fetch(mirror, f"http://ptbxl.invalid{server.PREFIX}{NAME}") == content


def test_a_password_in_the_address_is_not_shown(mirror: Mirror):
    with pytest.raises(Absent) as refused:
        fetch(mirror, mirror.url.replace("//", "//me:secret@") + "none")
    assert "secret" not in str(refused.value)
