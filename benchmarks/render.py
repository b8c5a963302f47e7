"""How fast images are made, against three other ways to have them and against merely filling the memory.

    python benchmarks/render.py [--records 600] [--repeats 7] [--out benchmarks/results/render.json]

All ways run in one process on the same records; what each gives is checked before it is timed.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import tifffile
import torch
from pyts.image import GramianAngularField, MarkovTransitionField
from sklearn.metrics import pairwise_distances

from ecgcourse import fused, practice, ptbxl, render, signals

RESULTS = Path(__file__).parent / "results"
SIZE = 256


def originals_route(x: np.ndarray) -> np.ndarray:
    """One record (L, T) by way of full fields, with the MTF filled entry by entry in Python, then resized."""
    length = x.shape[1]
    stack = []
    for lead in x.astype(np.float64):
        gaf = GramianAngularField(image_size=length, method="summation").fit_transform(lead[None])[0]
        stack += [(gaf + 1) / 2, _markov_field_entry_by_entry(lead) / 5, pairwise_distances(lead[:, None])]
    return _resized(stack)


def pyts_route(x: np.ndarray) -> np.ndarray:
    """One record (L, T) with pyts at full size, then resized."""
    x = x.astype(np.float64)
    length = x.shape[1]
    gaf = GramianAngularField(image_size=length, method="summation").fit_transform(x)
    mtf = MarkovTransitionField(image_size=length, n_bins=10, strategy="uniform").fit_transform(x)
    stack = []
    for lead in range(len(x)):
        stack += [(gaf[lead] + 1) / 2, mtf[lead] / 5, np.abs(x[lead][:, None] - x[lead][None, :])]
    return _resized(stack)


def _markov_field_entry_by_entry(lead: np.ndarray, bins: int = 10) -> np.ndarray:
    q = [min(int(np.ceil(value * bins - 1e-9)) - 1, bins - 1) if value > 0 else 0 for value in lead]
    counts = np.zeros((bins, bins))
    for a, b in zip(q[:-1], q[1:], strict=True):
        counts[a, b] += 1
    probabilities = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    field = np.zeros((len(q), len(q)))
    for i in range(len(q)):
        for j in range(len(q)):
            field[i, j] = probabilities[q[i], q[j]]
    return field


def _resized(stack: list[np.ndarray]) -> np.ndarray:
    return (np.stack([cv2.resize(field, (SIZE, SIZE)) for field in stack]) * 255).astype(np.uint8)


def check(name: str, images: np.ndarray, expected: np.ndarray) -> None:
    """Stop unless two stacks of images are the same to one grey level, and all but the same."""
    difference = np.abs(images.astype(int) - expected)
    if difference.max() > 1 or (difference == 0).mean() < 0.999:
        raise SystemExit(f"{name}: up to {difference.max()} grey levels off, {(difference == 0).mean():.4%} identical")


def rates(work: Callable[[], object], n_records: int, repeats: int) -> dict[str, float]:
    """Records per second: median, lowest and highest of some runs after one that isn't counted."""
    work()
    found = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        found.append(n_records / (perf_counter() - start))
    return {"median": median(found), "lowest": min(found), "highest": max(found)}


def measure(x: np.ndarray, repeats: int, folder: Path) -> dict[str, dict[str, float]]:
    """Time every way on records (N, L, T); the slow ones on the first few."""
    images = render.render(x)
    few, some = x[:1], x[:4]
    for name, route in (("original's route", originals_route), ("pyts and OpenCV", pyts_route)):
        check(name, np.stack([route(record) for record in some]), images[: len(some)])
    paths = [folder / f"{number}.tif" for number in range(len(x))]
    for path, stack in zip(paths, images, strict=True):
        tifffile.imwrite(path, stack)
    check("TIFF files", np.stack([tifffile.imread(path) for path in paths]), images)
    slow = max(2, repeats // 2)
    return {
        "the original's route": rates(lambda: [originals_route(record) for record in few], len(few), slow),
        "pyts at full size, OpenCV": rates(lambda: [pyts_route(record) for record in some], len(some), slow),
        "reading TIFF files": rates(lambda: [tifffile.imread(path) for path in paths], len(x), repeats),
        "render": rates(lambda: render.render(x), len(x), repeats),
        "filling new memory": rates(lambda: np.empty_like(images).fill(7), len(x), repeats),
        "filling the same memory": rates(lambda: images.fill(7), len(x), repeats),
    }


def machine() -> dict[str, object]:
    """What the figures depend on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    return {
        "cpu": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "threads": fused.n_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("ecgcourse", "numpy", "numba", "torch", "pyts", "opencv-python-headless")},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=600, help="how many records (default: 600)")
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each way (default: 7)")
    parser.add_argument("--out", type=Path, default=RESULTS / "render.json", help="file for the results")
    options = parser.parse_args()
    root = practice.data_root()
    x = signals.preprocess(ptbxl.read_signals(root, ptbxl.read_table(root).head(options.records)))
    start = perf_counter()
    render.render(x[:1])
    first_call = perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        results = measure(x, options.repeats, Path(folder))
    about = machine() | {"records": len(x), "data": "practice set" if practice.is_practice(root) else "PTB-XL"}
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    ours = results["render"]["median"]
    for name, rate in results.items():
        ratio = ours / rate["median"]
        print(f"{name:<28}{rate['median']:12,.2f}  ({rate['lowest']:,.2f} to {rate['highest']:,.2f}){ratio:12,.2f} x")
    print(f"first call: {first_call:.2f} s")
    everything = {"machine": about, "records per second": results, "first call, seconds": first_call}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
