"""What the benchmarks say is what they measured."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield pytest.importorskip("measuring")
    sys.modules.pop("measuring", None)


def test_the_tables_are_those_of_the_results(measuring):
    text = measuring.README.read_text(encoding="utf-8")
    assert measuring.with_tables(text) == text
    assert all(f"<!-- from {path.name} -->" in text for path in measuring.RESULTS.glob("*.json"))


def test_a_table_has_every_rate_and_its_ratio(measuring, monkeypatch, tmp_path):
    rates = {
        "ours": {"median": 200.0, "lowest": 150.0, "highest": 250.0},
        "theirs": dict.fromkeys(("median", "lowest", "highest"), 0.5),
    }
    content = {"machine": {"cores": 2}, "tables": {"speed": {"ours": "ours", "rates": rates}}, "besides": {"more": "1"}}
    measuring.write(tmp_path / "some.json", content)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    table = measuring.with_tables("<!-- from some.json -->\nold\n<!-- end -->\n")
    assert "| theirs | 0.5 | 0.5 – 0.5 | 400 × |" in table and "| ours | 200 | 150 – 250 | 1 × |" in table
    assert "old" not in table and "more: 1." in table and "cores 2." in table


def test_results_that_differ_are_not_timed(measuring):
    import numpy as np

    images = np.zeros((2, 9, 8, 8), np.uint8)
    measuring.check("same", images, images)
    with pytest.raises(SystemExit, match="2 grey levels"):
        measuring.check("off", images, images + np.uint8(2))
