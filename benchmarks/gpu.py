"""All that is measured on a GPU, in one call of less than ten minutes: rendering, steps of training, a whole training.

    PYTHONPATH=. python benchmarks/gpu.py [--device cuda] [--budget 100] [--quick] [--out benchmarks/results/gpu.json]

Needs no data, no network and of this package only a checkout; besides PyTorch with Triton: NumPy, SciPy, pandas,
scikit-learn, joblib, Numba, tifffile, tqdm and filelock. The signals are random walks, whose images cost what those of
ECGs do. Images are compared with those of the CPU before anything is timed; times are those of the GPU's own events.
``--device cpu --quick`` tries the script.
"""

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import measuring
import numpy as np
import torch
from measuring import Rate, check, rate, seconds
from torch import nn
from torch.utils.data import DataLoader

from ecgcourse import hardware, losses, models, optimization, render, training
from ecgcourse.learning.config import TrainConfig
from ecgcourse.learning.loader import loader
from ecgcourse.learning.samples import RenderedImages

PTBXL_TRAINING_RECORDS = 17_111
EPOCHS = 100

Batch = tuple[torch.Tensor, torch.Tensor]


def walks(n_records: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random walks (N, 3, 1000) float32 in [0, 1], and labels (N, 4)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_records, 3, 1000), np.float32).cumsum(axis=2)
    x -= x.min(axis=2, keepdims=True)
    labels = rng.integers(0, 2, (n_records, 4))
    labels[:2] = [[0], [1]]
    return x / x.max(axis=2, keepdims=True), labels


def repeated(batches: Iterable[Batch], steps: int) -> Iterator[Batch]:
    """Batches for some steps, from the beginning again where they end."""
    return itertools.islice(itertools.chain.from_iterable(itertools.repeat(batches)), steps)


def through(batches: Iterable[Batch]) -> None:
    """Take every batch, and do nothing with it."""
    for _ in batches:
        pass


class Trainer:
    """An AlexNet with all that a step needs, as `fit` makes it of the settings."""

    def __init__(self, labels: np.ndarray | torch.Tensor, filters: int, size: int, config: TrainConfig):
        training.seed_everything(0)
        config = hardware.resolve(config)
        self.device, self.precision = training.pick_device(config.device), training.PRECISIONS[config.precision]
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = models.create("alexnet", filters=filters, image_size=size).to(self.device, memory_format=layout)
        self.network = torch.compile(self.model) if config.compile else self.model
        self.stepper = optimization.stepper_of(self.model, config, self.device, 1)
        self.loss_function = nn.BCEWithLogitsLoss(pos_weight=losses.positive_weights(labels)).to(self.device)

    def train(self, batches: Iterable[Batch]) -> float:
        """One epoch over these batches, by the package's own loop."""
        step = self.loss_function, self.stepper.optimizer, self.device, self.precision, self.stepper
        return training.train_one_epoch(self.network, batches, *step)


def rendering(x: np.ndarray, options: argparse.Namespace) -> dict[str, dict]:
    """GB per second written by `render` on the device, and by filling the same memory."""
    few = x[:64]
    images = render.render(torch.from_numpy(few).to(options.device), options.size)
    check("render on the device", images.cpu().numpy(), render.render(few, options.size))
    tables = {}
    for dtype in (torch.uint8, torch.float16, torch.bfloat16, torch.float32):
        signals = torch.from_numpy(np.resize(x, (options.rendered, *x.shape[1:]))).to(options.device)
        out = render.render(signals, options.size, dtype=dtype)
        work = {
            "render": lambda s=signals, o=out: render.render(s, options.size, out=o, check=False),
            "filling": lambda o=out: o.fill_(1),
        }
        rates = {name: rate(each, out.nbytes / 1e9, options.repeats, options.device) for name, each in work.items()}
        name = f"GB per second: {options.rendered:,} records, {str(dtype).removeprefix('torch.')}"
        tables[name] = {"ours": "render", "rates": rates}
    return tables


def batches_of(x: np.ndarray, labels: np.ndarray, config: TrainConfig, options: argparse.Namespace) -> DataLoader:
    """As `train` makes them: on a GPU, of the floats that the network reads."""
    config = hardware.resolve(config)
    floats = torch.device(options.device).type == "cuda" and config.channels_last
    dtype = training.PRECISIONS[config.precision] if floats else torch.uint8
    dataset = RenderedImages(x, labels, options.size, options.device, dtype)
    return loader(dataset, options.batch_size, shuffle=True)


def variants(options: argparse.Namespace) -> dict[str, TrainConfig]:
    """The default for this device, and what could be done in its place."""
    default = hardware.resolve(TrainConfig(device=options.device, learning_rate=0.01))
    found = {"the default": default}
    if default.precision != "float32":
        found["float32"] = hardware.resolve(replace(default, precision="float32", channels_last=None))
    found["the other order of channels"] = replace(default, channels_last=not default.channels_last)
    if not options.quick:
        found["torch.compile"] = replace(default, compile=True)
    return found


def stepping(x: np.ndarray, labels: np.ndarray, options: argparse.Namespace) -> tuple[dict[str, Rate], Rate]:
    """Records per second of whole steps with each variant; and of the images alone, with the default."""
    rates, n_records = {}, options.batch_size * options.steps
    for name, config in variants(options).items():
        batches, trainer = (
            batches_of(x, labels, config, options),
            Trainer(labels, options.filters, options.size, config),
        )
        work = partial(_train, trainer, batches, options.steps)
        rates[name] = rate(work, n_records, options.repeats, options.device)
        if name == "the default":
            only = partial(_through, batches, options.steps)
            alone = rate(only, n_records, options.repeats, options.device)
            plain = torch.optim.SGD(trainer.model.parameters(), lr=config.learning_rate)
            trainer.stepper = optimization.Stepper(plain, scaler=trainer.stepper.scaler)
            rates["the optimizer not fused"] = rate(work, n_records, options.repeats, options.device)
    return rates, alone


def _train(trainer: Trainer, batches: DataLoader, steps: int) -> None:
    trainer.train(repeated(batches, steps))


def _through(batches: DataLoader, steps: int) -> None:
    through(repeated(batches, steps))


def a_whole_training(x: np.ndarray, labels: np.ndarray, config: TrainConfig, options: argparse.Namespace) -> dict:
    """Seconds of the steps of 100 epochs of PTB-XL's training folds; from a part of them where that takes too long."""
    batches, trainer = batches_of(x, labels, config, options), Trainer(labels, options.filters, options.size, config)
    _train(trainer, batches, options.steps)
    one = seconds(partial(_train, trainer, batches, options.steps), options.device) / options.steps
    whole = EPOCHS * -(-PTBXL_TRAINING_RECORDS // options.batch_size)
    steps = max(1, min(whole, int(options.budget / one)))
    took = seconds(partial(_train, trainer, batches, steps), options.device)
    how = "all of them measured" if steps == whole else f"extrapolated from {steps:,} of {whole:,} steps"
    return {"seconds": took * whole / steps, "steps": steps, "of": whole, "how": how}


def profile(x: np.ndarray, labels: np.ndarray, config: TrainConfig, options: argparse.Namespace) -> list[dict]:
    """What takes the time of some steps: the dozen kernels or operations with the most of their own."""
    batches, trainer = batches_of(x, labels, config, options), Trainer(labels, options.filters, options.size, config)
    _train(trainer, batches, options.steps)
    with torch.profiler.profile() as watched:
        _train(trainer, batches, options.steps)
    on_gpu = trainer.device.type == "cuda"
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [each for each in watched.key_averages() if not on_gpu or each.device_type.name == "CUDA"]
    total = sum(getattr(each, key) for each in events) or 1
    longest = sorted(events, key=lambda each: -getattr(each, key))[:12]
    return [
        {"name": each.key[:90], "calls": each.count, "percent": round(100 * getattr(each, key) / total, 1)}
        for each in longest
    ]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options; `quick` makes everything small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="as for `python -m ecgcourse train` (default: auto)")
    parser.add_argument("--budget", type=float, default=100, help="seconds for each whole training (default: 100)")
    parser.add_argument("--quick", action="store_true", help="small images, batches and networks, to try the script")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "gpu.json", help="file for the results")
    options = parser.parse_args(arguments)
    options.device = str(training.pick_device(options.device))
    usual = {"size": 256, "records": PTBXL_TRAINING_RECORDS, "rendered": 1024, "batch_size": 256, "filters": 16}
    usual |= {"steps": 10, "repeats": 3}
    small = {"size": 67, "records": 64, "rendered": 64, "batch_size": 16, "filters": 4, "steps": 1, "repeats": 1}
    small |= {"budget": 0.1}
    for name, value in (usual | small if options.quick else usual).items():
        setattr(options, name, value)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    x, labels = walks(options.records)
    kept = {name: getattr(options, name) for name in ("batch_size", "filters", "size", "device", "quick")}
    default = TrainConfig(device=options.device)
    machine = measuring.about(default=hardware.describe(hardware.resolve(default)), **kept)
    print("  ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    tables = rendering(x, options)
    besides = {
        f"{name.removeprefix('GB per second: ')}, rendering, part of the bandwidth of filling": _percent(
            part["rates"]["render"]["median"] / part["rates"]["filling"]["median"]
        )
        for name, part in tables.items()
    }
    rates, alone = stepping(x, labels, options)
    fastest = max(variants(options), key=lambda name: rates[name]["median"])
    tables["records per second, whole steps"] = {"ours": fastest, "rates": rates}
    besides["Share of a step that rendering takes"] = _percent(rates["the default"]["median"] / alone["median"])
    for name in dict.fromkeys(("the default", fastest)):
        training_ = a_whole_training(x, labels, variants(options)[name], options)
        words = f"{EPOCHS} epochs of {PTBXL_TRAINING_RECORDS:,} records, steps alone, with {name}, seconds"
        besides[words] = f"{training_['seconds']:.0f} ({training_['how']})"
    content = {"machine": machine, "tables": tables, "besides": besides}
    content["profile"] = profile(x, labels, variants(options)["the default"], options)
    measuring.finish(options.out, content)
    for row in content["profile"]:
        print(f"{row['percent']:5.1f} %  {row['calls']:>6} calls  {row['name']}")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


if __name__ == "__main__":
    main()
