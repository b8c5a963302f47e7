"""What the benchmarks share: rates, the machine, the data, results as JSON, and the tables of README.md.

python benchmarks/measuring.py     write the tables of benchmarks/README.md anew from benchmarks/results/
"""

import json
import os
import platform
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from ecgcourse import fused, practice, ptbxl, signals

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
PACKAGES = ("ecgcourse", "numpy", "numba", "torch", "pyts", "opencv-python-headless")

Rate = dict[str, float]


def rate(work: Callable[[], object], amount: int, repeats: int, device: str = "cpu") -> Rate:
    """Amount of work per second: median, lowest and highest of some runs after one that isn't counted."""
    work()
    found = [amount / seconds(work, device) for _ in range(repeats)]
    return {"median": median(found), "lowest": min(found), "highest": max(found)}


def seconds(work: Callable[[], object], device: str = "cpu") -> float:
    """How long a piece of work takes; on a GPU by the events that it records itself."""
    if torch.device(device).type != "cuda":
        start = perf_counter()
        work()
        return perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def check(name: str, images: np.ndarray, expected: np.ndarray) -> None:
    """Stop unless two stacks of images are the same to one grey level, and all but the same in each record."""
    difference = np.abs(images.astype(np.int16) - expected)
    identical = (difference == 0).reshape(len(difference), -1).mean(axis=1)
    if difference.max() > 1 or identical.min() < 0.999:
        raise SystemExit(f"{name}: up to {difference.max()} grey levels off, {identical.min():.4%} identical")


def some_signals(n_records: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Signals (N, L, T), labels (N, K), and what they are of."""
    root = practice.data_root()
    table = ptbxl.read_table(root)
    table = table[table["labelled"]].head(n_records)
    x = signals.preprocess(ptbxl.read_signals(root, table))
    return x, ptbxl.labels(table), "practice set" if practice.is_practice(root) else "PTB-XL"


def about(**more: object) -> dict[str, object]:
    """What the figures depend on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "cpu": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "threads": fused.n_threads(),
        # Of the last minute; above 1 here, others had the cores too.
        **({"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {}),
        **gpu,
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
        **more,
    }


def show(results: dict[str, Rate], ours: str, unit: str) -> None:
    """Print rates with their spread, and how many times as fast as each of them `ours` is."""
    print(f"{unit:<44}{'median':>12}{'lowest':>12}{'highest':>12}{ours + ' is':>16}")
    for name, one in results.items():
        ratio = results[ours]["median"] / one["median"]
        spread = "".join(f"{one[which]:12,.1f}" for which in ("median", "lowest", "highest"))
        print(f"{name:<44}{spread}{ratio:14,.2f} ×")


def finish(out: Path, content: dict) -> None:
    """Print the results and keep them."""
    for title, part in content["tables"].items():
        show(part["rates"], part["ours"], title)
    for name, value in content["besides"].items():
        print(f"{name}: {value}")
    write(out, content)


def write(path: Path, content: dict) -> None:
    """Keep the results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def with_tables(text: str) -> str:
    """A README whose tables, between the marks that name a file of results, are made anew from those files."""

    def table(found: re.Match) -> str:
        name = found.group(1)
        return f"<!-- from {name} -->\n{_table(json.loads((RESULTS / name).read_text(encoding='utf-8')))}<!-- end -->"

    return re.sub(r"<!-- from (\S+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def _table(content: dict) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in content["machine"].items())
    lines = [machine + ".", ""]
    for title, part in content["tables"].items():
        lines += [f"| {title} | median | lowest – highest | {part['ours']} is |", "|---|--:|--:|--:|"]
        ours = part["rates"][part["ours"]]["median"]
        lines += [_row(name, one, ours) for name, one in part["rates"].items()]
        lines.append("")
    lines += [f"{name}: {value}." for name, value in content.get("besides", {}).items()]
    return "\n".join(lines) + "\n"


def _row(name: str, one: Rate, ours: float) -> str:
    low, middle, high = (_number(one[which]) for which in ("lowest", "median", "highest"))
    return f"| {name} | {middle} | {low} – {high} | {_number(ours / one['median'])} × |"


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
