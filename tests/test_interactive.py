"""Pages to play with, as far as no browser is needed; ``tests/browser/`` opens them."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ecgcourse import interactive, models, try_it
from ecgcourse.errors import DataError, SettingError

X = np.random.default_rng(0).random((2, 3, 1000)).astype(np.float32)


class Frames(HTMLParser):
    """Collects the attributes of frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag, attributes):
        if tag == "iframe":
            self.found.append(dict(attributes))


def test_a_notebook_shows_the_page_in_a_frame():
    page = interactive.pixel_explorer(X)
    parser = Frames()
    parser.feed(page._repr_html_())
    (frame,) = parser.found
    assert frame["srcdoc"] == page.source
    assert frame["title"] == "Pixel explorer"


def test_the_page_is_written_whole(tmp_path):
    page = interactive.pixel_explorer(X)
    path = page.write(tmp_path / "new" / "explorer.html")
    assert path.read_text(encoding="utf-8") == page.source


def test_the_page_cannot_be_written_over_a_folder(tmp_path):
    with pytest.raises(DataError):
        interactive.pixel_explorer(X).write(tmp_path)


def test_the_same_signals_give_the_same_page():
    assert interactive.pixel_explorer(X).source == interactive.pixel_explorer(X.copy()).source


def test_the_page_names_no_server():
    assert not re.search(r"https?://|//\w+\.|\b(src|href)=|@import|url\(", interactive.pixel_explorer(X).source)


def test_the_page_has_the_browser_refuse_every_server():
    (policy,) = re.findall(
        r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', interactive.beat_morph().source
    )
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'unsafe-inline'",
        "style-src": "'unsafe-inline'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("name", ["resnet1d", "gru"])
def test_a_network_that_the_page_cannot_compute(name):
    """One that is fed millivolts, and one that is no residual network."""
    with pytest.raises(SettingError, match="the page computes a ResNet1d of z-scored crops"):
        try_it.network(models.create(name))


def test_its_name_is_all_that_a_terminal_shows():
    assert repr(interactive.pixel_explorer(X)) == "Page(title='Pixel explorer')"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], r"shape \(3, 1000\)"),
        (X[:0], r"shape \(0, 3, 1000\)"),
        (np.ones((1, 3, 10), int), "int64"),
        (X * 2, r"\[0, 1\]"),
        (X * np.nan, "NaN"),
    ],
)
def test_signals_that_it_cannot_show(x, message):
    with pytest.raises(DataError, match=message):
        interactive.pixel_explorer(x)


def test_names_must_be_as_many_as_what_they_name():
    with pytest.raises(DataError, match="1 names of records for 2"):
        interactive.pixel_explorer(X, records=["one"])
    with pytest.raises(DataError, match="2 names of leads for 3"):
        interactive.pixel_explorer(X, leads=["I", "II"])


@pytest.mark.parametrize(
    "setting",
    [
        {"size": 8},
        {"size": 1024},
        {"bins": 1},
        {"bins": 1000},
        {"mtf_white": 0.5},
        {"mtf_white": float("nan")},
        {"fs": 0},
        {"fs": float("inf")},
    ],
    ids=str,
)
def test_settings_that_it_does_not_have(setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        interactive.pixel_explorer(X, **setting)


def test_a_page_that_would_be_too_large_is_refused():
    with pytest.raises(SettingError, match="fewer records"):
        interactive.pixel_explorer(np.zeros((100, 3, 1000)))


@pytest.mark.parametrize(
    "setting", [{"lead": "aVR"}, {"seconds": 0.5}, {"seconds": 11}, {"size": 8}, {"bins": 1}, {"fs": -1}], ids=str
)
def test_settings_that_the_morph_does_not_have(setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        interactive.beat_morph(**setting)


def test_the_morph_is_the_same_every_time():
    assert interactive.beat_morph().source == interactive.beat_morph().source


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (X[0], r"shape \(3, 1000\)"),
        (X[0, 0], r"shape \(1000,\)"),
        (X[0, 0, :80], r"shape \(80,\)"),
        (np.ones(300, int), "int64"),
        (np.full(300, np.nan), "not finite"),
    ],
)
def test_leads_that_the_sliders_cannot_show(signal, message):
    with pytest.raises(DataError, match=message):
        interactive.field_sliders(signal)


def test_the_sliders_need_a_sampling_rate_and_are_small():
    with pytest.raises(SettingError, match="fs=0"):
        interactive.field_sliders(X[0, 0, :300], fs=0)
    assert len(interactive.field_sliders(X[0, 0, :300]).source.encode()) < 150_000


def test_the_dipole_is_the_same_every_time_and_small():
    assert interactive.turning_dipole().source == interactive.turning_dipole().source
    assert len(interactive.turning_dipole().source.encode()) < 150_000


LEAD = np.random.default_rng(0).standard_normal((1, 1000)).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "peaks", "message"),
    [
        (LEAD[0], [[100]], r"shape \(1000,\)"),
        (LEAD[:, :290], [[100]], "at least 3 s"),
        (LEAD.astype(int), [[100]], "int64"),
        (LEAD * np.nan, [[100]], "not finite"),
        (LEAD, [[100], [200]], "R peaks of 2 leads for 1"),
        (LEAD, [[]], r"R peaks at \[\]"),
        (LEAD, [[5]], "from 6 to 987"),
        (LEAD, [[100, 988]], "from 6 to 987"),
        (LEAD, [[100.0]], "whole numbers"),
    ],
)
def test_leads_that_the_filter_explorer_cannot_show(x, peaks, message):
    with pytest.raises(DataError, match=message):
        interactive.filter_explorer(x, peaks)


def test_the_filter_explorer_needs_its_band_and_is_small():
    with pytest.raises(SettingError, match="fs=90"):
        interactive.filter_explorer(LEAD, [[100]], fs=90)
    with pytest.raises(DataError, match="filter_explorer: 2 names of leads for 1"):
        interactive.filter_explorer(LEAD, [[100]], names=["one", "two"])
    x = np.repeat(LEAD, 4, axis=0)
    page = interactive.filter_explorer(x, [[100]] * 4)
    assert page.source == interactive.filter_explorer(x.copy(), [np.array([100])] * 4).source
    assert len(page.source.encode()) < 150_000
