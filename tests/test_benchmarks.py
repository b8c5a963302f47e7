"""What the benchmarks say is what they measured."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield pytest.importorskip("measuring")
    for name in ("measuring", "gpu"):
        sys.modules.pop(name, None)


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


def test_the_script_for_a_gpu_runs_without_one(measuring, tmp_path, capsys):
    gpu = pytest.importorskip("gpu")
    gpu.main(["--device", "cpu", "--quick", "--out", str(tmp_path / "gpu.json")])
    content = json.loads((tmp_path / "gpu.json").read_text())
    steps = content["tables"].pop("records per second, whole steps")["rates"]
    assert steps.keys() >= {"the default", "the optimizer not fused", "the other order of channels"}
    for title, part in content["tables"].items():
        share = part["rates"]["render"]["median"] / part["rates"]["filling"]["median"]
        name = f"{title.removeprefix('GB per second: ')}, rendering, part of the bandwidth of filling"
        assert content["besides"][name] == f"{100 * share:.2f} %"
    long = next(words for name, words in content["besides"].items() if name.startswith("100 epochs of 17,111 records"))
    assert " of 107,000 steps)" in long and "extrapolated" in long
    assert 0 < sum(row["percent"] for row in content["profile"]) <= 101
    assert "calls" in capsys.readouterr().out


def test_results_that_differ_are_not_timed(measuring):
    import numpy as np

    images = np.zeros((2, 9, 8, 8), np.uint8)
    measuring.check("same", images, images)
    with pytest.raises(SystemExit, match="2 grey levels"):
        measuring.check("off", images, images + np.uint8(2))
