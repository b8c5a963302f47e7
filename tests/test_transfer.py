"""One file over HTTP: which faults pass, which are final, and what a server that lies can't do."""

import time
from email.utils import formatdate
from pathlib import Path

import mirror as server
import pytest
from mirror import QUICK, Mirror

from ecgcourse.errors import DataError, SettingError
from ecgcourse.records.transfer import Absent, Patience, Transfer, WrongContent

NAME = "records100/00000/00001_lr.dat"
CEILING = 1 << 20
PASSING = [
    server.hang_up,
    server.drop,
    server.overstate,
    server.stall,
    server.say_nothing,
    *(server.status(code) for code in (408, 425, 429, 500, 502, 503, 504)),
]


def fetch(mirror: Mirror, path: Path, patience: Patience = QUICK, **settings: object) -> Transfer:
    with Transfer(patience=patience) as transfer:
        transfer.fetch(mirror.url + NAME, path, **{"ceiling": CEILING} | settings)
    return transfer


def test_a_file_arrives_as_it_lies_on_the_server(mirror: Mirror, tmp_path: Path):
    transfer = fetch(mirror, tmp_path / "file")
    content = (mirror.root / NAME).read_bytes()
    assert (tmp_path / "file").read_bytes() == content
    assert transfer.n_bytes == len(content)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_tried_again(fault: server.Fault, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [fault]
    fetch(mirror, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == (mirror.root / NAME).read_bytes()
    assert mirror.requests == [NAME] * 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [(server.status(503), "503"), (server.stall, "no byte for 0.4 s"), (server.drop, "bytes")],
)
def test_a_fault_that_stays_is_told_with_the_file(fault: server.Fault, told: str, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [fault] * 9
    with pytest.raises(DataError, match=f"{NAME} .*{told}.* 3 times") as refused:
        fetch(mirror, tmp_path / "file", tries=3)
    assert "\n" not in str(refused.value)
    assert mirror.requests == [NAME] * 3


def test_nobody_there_is_told_as_such(mirror: Mirror, tmp_path: Path):
    with Mirror(tmp_path) as gone:
        pass
    with pytest.raises(DataError, match="Connection refused"):
        fetch(gone, tmp_path / "file")


def test_pauses_double(mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.status(500)] * 3
    fetch(mirror, tmp_path / "file", Patience(tries=4, first_wait=0.1, longest_wait=0.2))
    first, second, third = (
        late - early for early, late in zip(mirror.times[NAME], mirror.times[NAME][1:], strict=False)
    )
    assert 0.1 <= first and 0.2 <= second and 0.2 <= third < 0.4 + 0.3


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_pause_that_the_server_asks_for_is_kept(code: int, form: str, mirror: Mirror, tmp_path: Path):
    # A date has whole seconds.
    asked = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    mirror.faults[NAME] = [server.status(code, Retry_After=asked)]
    fetch(mirror, tmp_path / "file")
    early, late = mirror.times[NAME]
    assert 0.9 <= late - early < 4


def test_a_pause_of_an_hour_is_not_kept(mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.status(429, Retry_After="3600")]
    with pytest.raises(DataError, match="asks to wait 3600 s"):
        fetch(mirror, tmp_path / "file")


@pytest.mark.parametrize("asked", ["soon", "-5", "", "Wed, 99 Foo 2020"])
def test_a_pause_that_makes_no_sense_is_ignored(asked: str, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.status(429, Retry_After=asked)]
    fetch(mirror, tmp_path / "file")
    assert mirror.requests == [NAME] * 2


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_file_that_is_not_there_is_final(code: int, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.status(code)]
    with pytest.raises(Absent, match=f"{NAME} .* {code}"):
        fetch(mirror, tmp_path / "file")
    assert mirror.requests == [NAME]


@pytest.mark.parametrize("code", [204, 304, 400, 401, 451])
def test_other_answers_are_final_too(code: int, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.status(code)]
    with pytest.raises(DataError, match=f"{NAME} .* {code}"):
        fetch(mirror, tmp_path / "file")
    assert mirror.requests == [NAME]


def test_redirects_are_followed(mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.redirect(f"{mirror.host}/moved/{NAME}")]
    fetch(mirror, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == (mirror.root / NAME).read_bytes()


@pytest.mark.parametrize("target", [server.PREFIX + NAME, "file:///etc/passwd", "http://"])
def test_a_redirect_to_nowhere_is_final(target: str, mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.redirect(target)] * 99
    with pytest.raises(DataError, match=NAME):
        fetch(mirror, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_an_endless_answer_ends_at_the_ceiling(mirror: Mirror, tmp_path: Path):
    mirror.faults[NAME] = [server.endless]
    with pytest.raises(WrongContent, match="more than 1,048,576 bytes"):
        fetch(mirror, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size <= CEILING
    assert mirror.n_sent < 1 << 25


def test_the_proxy_of_the_environment_is_used(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", mirror.host)
    with Transfer(patience=QUICK) as transfer:
        transfer.fetch(f"http://ptbxl.invalid{server.PREFIX}{NAME}", tmp_path / "file", CEILING)
    assert (tmp_path / "file").read_bytes() == (mirror.root / NAME).read_bytes()


def test_a_password_in_the_address_is_not_shown(mirror: Mirror, tmp_path: Path):
    with Transfer(patience=QUICK) as transfer, pytest.raises(Absent) as refused:
        transfer.fetch(mirror.url.replace("//", "//me:secret@") + "none", tmp_path / "file", CEILING)
    assert "secret" not in str(refused.value)


def test_a_stopped_transfer_fetches_nothing(mirror: Mirror, tmp_path: Path):
    transfer = Transfer(patience=QUICK)
    transfer.stop()
    with pytest.raises(DataError, match="stopped"):
        transfer.fetch(mirror.url + NAME, tmp_path / "file", CEILING)
    assert mirror.requests == []


@pytest.mark.parametrize("setting", [{"tries": 0}, {"timeout": 0}, {"first_wait": -1}, {"longest_asked": -1}])
def test_impossible_patience_is_refused(setting: dict):
    with pytest.raises(SettingError, match=next(iter(setting))):
        Patience(**setting)
