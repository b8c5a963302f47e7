"""How fast training goes, with the original's way to the images and with this package's.

    python benchmarks/training.py [--records 256] [--batch-size 64] [--steps 5] [--device cpu] [--out FILE]

Both ways run in one process on the same records; that they give the network the same numbers is checked before
either is timed.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import measuring
import numpy as np
import tifffile
import torch
from gpu import Batch, Trainer, repeated, through
from measuring import Rate, rate
from torch.utils.data import DataLoader, Dataset

from ecgcourse import datasets, training
from ecgcourse.learning.config import TrainConfig

SIZE = 256


class FilePerRecord(Dataset):
    """The original's way, written here from its description: a TIFF and an npy file a record, divided in float64."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.count = len(list((folder / "labels").glob("*.npy")))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        image = tifffile.imread(self.folder / "images" / f"{number}.tif") / 255
        label = np.load(self.folder / "labels" / f"{number}.npy", allow_pickle=False)
        return torch.tensor(image).float(), torch.tensor(label).float()


def with_files(x: np.ndarray, labels: np.ndarray, folder: Path) -> FilePerRecord:
    """Write the files that the original's way reads."""
    rendered = datasets.RenderedImages(x, labels, SIZE)
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for number in range(len(rendered)):
        image, label = rendered[number]
        tifffile.imwrite(folder / "images" / f"{number}.tif", image.numpy(), photometric="minisblack")
        np.save(folder / "labels" / f"{number}.npy", label.numpy())
    return FilePerRecord(folder)


def check_alike(ours: Iterable[Batch], theirs: Iterable[Batch]) -> None:
    """Stop unless both ways give the network the same numbers, to a last digit of float32."""
    for (images, labels), (wanted, right) in zip(ours, theirs, strict=True):
        images = images.cpu() if images.is_floating_point() else datasets.to_float(images)
        # bfloat16 has 8 significant bits.
        allowed = 2**-8 if images.dtype == torch.bfloat16 else 1e-6
        if not torch.allclose(images.float(), wanted, atol=allowed) or not torch.equal(labels.cpu(), right):
            raise SystemExit("the two ways do not give the network the same images and labels")


def train_their_way(trainer: Trainer, batches: Iterable[Batch]) -> float:
    """The original's loop: floats as they come, and the loss fetched in every step."""
    losses, optimizer = [], trainer.stepper.optimizer
    for images, labels in batches:
        optimizer.zero_grad()
        loss = trainer.loss_function(trainer.network(images.to(trainer.device)), labels.to(trainer.device))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def measure(x: np.ndarray, labels: np.ndarray, folder: Path, options: argparse.Namespace) -> dict[str, dict]:
    """Records per second of both ways alone and with the network, and of what else may be in the way."""
    device, size = options.device, options.batch_size
    kinds = {name: training.PRECISIONS[name] for name in ("float32", "bfloat16")}
    on_gpu = torch.device(device).type == "cuda"
    ours = {
        name: datasets.loader(
            datasets.RenderedImages(x, labels, SIZE, device, dtype if on_gpu else torch.uint8), size, shuffle=True
        )
        for name, dtype in kinds.items()
    }
    files = with_files(x, labels, folder)
    theirs = DataLoader(files, batch_size=size, shuffle=True, num_workers=1, persistent_workers=True)
    check_alike(
        datasets.loader(ours["float32"].dataset, size),
        DataLoader(files, batch_size=size),
    )
    alone = {
        "the original's way": rate(lambda: through(theirs), len(x), options.repeats, device),
        "rendered": rate(lambda: through(ours["float32"]), len(x), options.repeats, device),
    }
    steps = {"the original's way and loop": _with_network(theirs, labels, options, "float32", False, their_way=True)}
    for precision, compiled in itertools.product(kinds, (False, True)):
        name = f"rendered, {precision}" + (", torch.compile" if compiled else "")
        steps[name] = _with_network(ours[precision], labels, options, precision, compiled)
    return {"alone": alone, "with the network": steps}


def _with_network(
    batches: DataLoader,
    labels: np.ndarray,
    options: argparse.Namespace,
    precision: str,
    compiled: bool,
    their_way: bool = False,
) -> Rate:
    config = TrainConfig(device=options.device, precision=precision, compile=compiled, learning_rate=0.01)
    trainer = Trainer(labels, options.filters, SIZE, config)

    def train() -> None:
        some = repeated(batches, options.steps)
        train_their_way(trainer, some) if their_way else trainer.train(some)

    return rate(train, options.batch_size * options.steps, options.repeats, options.device)


def share_of_rendering(rates: dict[str, dict], name: str) -> str:
    """How much of a step goes into the images, in percent."""
    return f"{100 * rates['with the network'][name]['median'] / rates['alone']['rendered']['median']:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=256, help="records of the set (default: 256)")
    parser.add_argument("--batch-size", type=int, default=64, help="records a step (default: 64)")
    parser.add_argument("--steps", type=int, default=4, help="steps a run with the network (default: 4)")
    parser.add_argument("--repeats", type=int, default=5, help="counted runs of each way (default: 5)")
    parser.add_argument("--filters", type=int, default=16, help="filters of the first convolution (default: 16)")
    parser.add_argument("--device", default="auto", help="as for `python -m ecgcourse train` (default: auto)")
    parser.add_argument("--out", type=Path, help="file for the results (default: by the device)")
    options = parser.parse_args()
    options.device = str(training.pick_device(options.device))
    x, labels, data = measuring.some_signals(options.records)
    kept = ("batch_size", "filters", "device")
    machine = measuring.about(records=len(x), data=data, **{name: getattr(options, name) for name in kept})
    print("  ".join(f"{name}: {value}" for name, value in machine.items()))
    with tempfile.TemporaryDirectory() as folder:
        rates = measure(x, labels, Path(folder), options)
    fastest = max(rates["with the network"], key=lambda name: rates["with the network"][name]["median"])
    besides = {
        f"Share of a step that rendering takes, {name}": share_of_rendering(rates, name)
        for name in ("rendered, float32", fastest)
    }
    titles = {"alone": "records per second, images alone", "with the network": "records per second, whole steps"}
    ours = {"alone": "rendered", "with the network": fastest}
    tables = {titles[kind]: {"ours": ours[kind], "rates": rates[kind]} for kind in titles}
    stem = "training" if options.device == "cpu" else "training_" + options.device.split(":")[0]
    out = options.out or measuring.RESULTS / f"{stem}.json"
    measuring.finish(out, {"machine": machine, "tables": tables, "besides": besides})


if __name__ == "__main__":
    main()
