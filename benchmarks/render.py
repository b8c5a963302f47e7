"""How fast images are made, against three other ways to have them and against merely filling the memory.

    python benchmarks/render.py [--records 600] [--repeats 7] [--out benchmarks/results/render.json]

All ways run in one process on the same records; what each gives is checked before it is timed. On the CPU; a GPU is for
gpu.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import measuring
import numpy as np
import tifffile
import torch
from measuring import Rate, check, rate
from pyts.image import GramianAngularField, MarkovTransitionField, RecurrencePlot
from sklearn.metrics import pairwise_distances

from ecgcourse import fields, fused, render

SIZE = 256
FIRST_CALL = """
import numpy as np, time
from ecgcourse import render
start = time.perf_counter()
render.render(np.random.default_rng(0).random((1, 3, 1000), np.float32))
print(time.perf_counter() - start)
"""


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
    plot = RecurrencePlot().fit_transform(x)
    return _resized([part for lead in range(len(x)) for part in ((gaf[lead] + 1) / 2, mtf[lead] / 5, plot[lead])])


def definition(x: np.ndarray) -> np.ndarray:
    """One record (L, T) by `fields`, resized by OpenCV: what every way is checked against."""
    transforms = (fields.gramian_angular, fields.markov_transition, fields.recurrence)
    return _resized(
        [
            fields.grey(name, transform(lead))
            for lead in x
            for name, transform in zip(fields.FIELDS, transforms, strict=True)
        ]
    )


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


def on_the_cpu(x: np.ndarray, repeats: int, folder: Path) -> dict[str, Rate]:
    """Records per second of every way; the slow ones on the first few records (N, L, T)."""
    images = render.render(x)
    check("render", images, np.stack([definition(record) for record in x]))
    few, some = x[:1], x[:4]
    for name, route in (("the original's route", originals_route), ("pyts and OpenCV", pyts_route)):
        check(name, np.stack([route(record) for record in some]), images[: len(some)])
    paths = [folder / f"{number}.tif" for number in range(len(x))]
    for path, stack in zip(paths, images, strict=True):
        tifffile.imwrite(path, stack)
    check("TIFF files", np.stack([tifffile.imread(path) for path in paths]), images)
    slow = max(3, repeats // 2)
    return {
        "the original's route": rate(lambda: [originals_route(record) for record in few], len(few), slow),
        "pyts at full size, OpenCV": rate(lambda: [pyts_route(record) for record in some], len(some), slow),
        "reading TIFF files": rate(lambda: [tifffile.imread(path) for path in paths], len(x), repeats),
        "render": rate(lambda: render.render(x), len(x), repeats),
        "render into the same memory": rate(lambda: render.render(x, out=images), len(x), repeats),
        "filling new memory": rate(lambda: _fill(np.empty_like(images)), len(x), repeats),
        "filling the same memory": rate(lambda: _fill(images), len(x), repeats),
    }


def _fill(images: np.ndarray) -> None:
    """Write one value into every byte, on as many threads as `render` has."""
    parts = np.array_split(images, fused.n_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.fill(7), parts))


def by_size(x: np.ndarray, repeats: int) -> dict[str, Rate]:
    """Millions of pixels per second for several sides and numbers of records: the same, if cost is linear."""
    found = {}
    for size, n_records in ((64, 600), (128, 600), (256, 60), (256, 600), (512, 60), (1024, 30)):
        some = np.resize(x, (n_records, *x.shape[1:]))
        out = render.render(some, size)
        name = f"{n_records} records, {size} pixels a side"
        found[name] = rate(lambda some=some, size=size, out=out: render.render(some, size, out=out), 1, repeats)
        found[name] = {which: value * out.size / 1e6 for which, value in found[name].items()}
    return found


def by_image(x: np.ndarray, repeats: int, n_leads: int = 192) -> dict[str, Rate]:
    """Thousands of leads per second on one thread: whole, and each image alone from rows that are ready."""
    leads = np.ascontiguousarray(np.resize(x, (n_leads, x.shape[-1])))
    images = np.empty((n_leads, 3, SIZE, SIZE), np.uint8)
    first, second, weight = fields.taps(leads.shape[-1], SIZE)
    w, edges = weight.astype(np.float32), fused.rounded_down(fields.bin_edges(10), leads.dtype)
    near, far = leads[0, first], leads[0, second]
    bins, counts = np.empty(len(leads[0]), np.int32), np.empty((fused.N_ACCUMULATORS, 10, 10), np.int32)
    levels, whole = np.empty((10, 10), np.float32), np.empty((10, SIZE), np.uint8)
    cosine, sine, shares, rows = (np.empty(shape, np.float32) for shape in (SIZE, SIZE, (10, SIZE), (10, SIZE)))
    fused._angles(leads[0], near, far, w, cosine, sine)
    fused._bin_numbers(leads[0], edges, bins)
    fused._transition_levels(bins, fields.MTF_WHITE, counts, levels)
    fused._shares(bins, first, second, w, shares)
    fused._rows_of_bins(levels, shares, rows, whole)
    alone = {
        "only the GAF": lambda image: fused._gramian_angular(cosine, sine, image[0]),
        "only the MTF": lambda image: fused._markov_transition(bins, first, second, w, rows, whole, image[1]),
        "only the RP": lambda image: fused._recurrence(fused.WHITE * near, fused.WHITE * far, w, image[2]),
        "filling memory": lambda image: image.fill(7),
    }
    settings = (first, second, w, edges, fields.MTF_WHITE)
    ways = {
        "a lead": lambda: fused._fill(leads, *settings, images),
        "a lead, into the cache": lambda: [fused._fill(lead[None], *settings, images[:1]) for lead in leads],
    }
    ways |= {name: lambda one=one: [one(image) for image in images] for name, one in alone.items()}
    return {name: rate(way, n_leads / 1000, repeats) for name, way in ways.items()}


def first_calls() -> dict[str, str]:
    """Seconds of the first call in a new process: with nothing compiled yet, and with the loops on disk."""
    with tempfile.TemporaryDirectory() as cache:
        settings = os.environ | {"NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", FIRST_CALL]
        runs = [subprocess.run(command, env=settings, capture_output=True, text=True, check=True) for _ in range(2)]
    cold, warm = (float(done.stdout) for done in runs)
    return {
        "First call, seconds, nothing compiled yet": f"{cold:.1f}",
        "First call, seconds, compiled loops on disk": f"{warm:.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=600, help="how many records (default: 600)")
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each way (default: 7)")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "render.json", help="file for the results")
    options = parser.parse_args()
    x, _, data = measuring.some_signals(options.records)
    machine = measuring.about(records=len(x), data=data)
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    with tempfile.TemporaryDirectory() as folder:
        records = on_the_cpu(x, options.repeats, Path(folder))
    tables = {
        "records per second": {"ours": "render into the same memory", "rates": records},
        "million pixels per second": {
            "ours": "600 records, 256 pixels a side",
            "rates": by_size(x, options.repeats),
        },
        "thousand leads per second on one thread": {"ours": "a lead", "rates": by_image(x, options.repeats)},
    }
    measuring.finish(options.out, {"machine": machine, "tables": tables, "besides": first_calls()})


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
