"""The tables of the book are those of the results."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from ecgcourse import ptbxl

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    sys.modules.pop("tables", None)
    yield __import__("tables")
    sys.modules.pop("tables", None)


def test_the_tables_of_the_book_are_those_of_the_results(tables):
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.with_tables(text) == text
    # Results of the practice set are nobody's figures: whoever runs it there has a file beside these.
    assert all(f"<!-- results/{path.name} -->" in text for path in tables.RESULTS.glob("*_real.csv"))


def test_a_table_shows_what_was_found(tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    row = {"arm": "one", "weights": 1234, "auroc": 0.81234, "sd": 0.01, "low": 0.7, "high": 0.9, "n": 98, "seeds": 5}
    row |= {f"auroc_{name}": 0.5 + place / 10 for place, name in enumerate(ptbxl.CLASSES)}
    pd.DataFrame([row, row | {"arm": "mean", "weights": 0}]).to_csv(tmp_path / "some.csv", index=False)
    text = "before\n<!-- results/some.csv -->\nold\n<!-- end -->\nafter\n"
    made = tables.with_tables(text)
    assert "| one | 1,234 | 0.812 (0.700 – 0.900) | 0.010 | 0.500 | 0.600 | 0.700 | 0.800 |" in made
    assert "| mean | – |" in made and "98 records, 5 seeds" in made and "old" not in made
    assert made.startswith("before\n") and made.endswith("<!-- end -->\nafter\n") and tables.with_tables(made) == made


def test_a_contest_shows_calibration_and_cost_and_its_pairs_who_is_compared(tables):
    row = {"model": "beat", "note": "baseline", "auroc": 0.88, "low": 0.8, "high": 0.9, "difference": None}
    row |= {"difference_low": None, "difference_high": None, "brier": 0.1, "ece": 0.05, "ece_by_chance": 0.04}
    row |= {"weights": None, "cpu_seconds": 0.4, "cpu_ms": 0.25, "compared_with": None, "records": 314, "trainings": 3}
    row |= {f"auroc_{name}": 0.5 for name in ptbxl.CLASSES}
    other = row | {
        "model": "net",
        "note": None,
        "difference": -0.0204,
        "difference_low": -0.05,
        "difference_high": 0.01,
    }
    other |= {"compared_with": "beat", "weights": 12345.0, "cpu_seconds": 1234.6}
    lines = tables.table(pd.DataFrame([row, other]))
    scores = "0.880 (0.800 – 0.900)"
    assert lines[3] == f"| beat | baseline | {scores} | – | 0.100 | 0.050 (0.040) | 3 | – | 0 | 0.2 |"
    assert lines[4].startswith(f"| net |  | {scores} | −0.020 (−0.050 – +0.010) |") and "| 12,345 | 1,235 |" in lines[4]
    lines = tables.table(pd.DataFrame([row, other, other | {"model": "third", "compared_with": "net"}]))
    assert [line.split(" | ")[1] for line in lines[3:-1]] == ["beat", "net"] and len(lines) == 6
