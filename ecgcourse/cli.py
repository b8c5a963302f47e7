"""The command line: ``python -m ecgcourse`` practice, download, import-original, images, train, calibrate,
evaluate, compare, sweep, contest, predict, export or parameters.

One thin function per command.

Exit status: 0 done, 1 a mistake in this package (one line on stderr; ``--debug`` shows where), 2 bad input or usage
(one line says what to do), 130 stopped with Ctrl-C (one line says how to go on). A process that torchrun started ends
with the same; torchrun itself ends with 1 if one of its processes fails.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from ecgcourse import cli_export, cli_judge, cli_parameters, cli_predict, cli_sweep
from ecgcourse.cli_asked import asked_for, count_weights, model_asked_for, task_asked_for, train_config
from ecgcourse.cli_judge import describe, left_out, save_figure, title
from ecgcourse.cli_words import parse, progress_of
from ecgcourse.errors import (
    CheckpointError,
    DataError,
    EcgCourseError,
    SettingError,
    brief,
    in_words,
)
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import ImageRecipe
from ecgcourse.records.ptbxl_names import FOLDS
from ecgcourse.support import flags
from ecgcourse.support.files import atomic_write, read_json, write_json
from ecgcourse.support.progress_bar import progress_bar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from ecgcourse.learning.datasets import AnyDataset
    from ecgcourse.learning.distributed import DistributedContext
    from ecgcourse.learning.history import History
    from ecgcourse.learning.training import Inputs

# Characters of a line on stderr.
LONGEST_LINE = 900


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind ``python -m ecgcourse``; by default the words of this process's command line.

    Returns
    -------
    int
        The exit status: 0 done, 1 an unforeseen error, 2 bad input or usage, 130 stopped with Ctrl-C.
    """
    options = argparse.Namespace(on_stop="stopped", debug=False)
    if "matplotlib" not in sys.modules:
        # Figures go to files. A backend that a notebook left in the environment may not be installed here, which
        # Matplotlib would find after all the training.
        os.environ["MPLBACKEND"] = "agg"
    with warnings.catch_warnings(), _any_name_printable():
        warnings.showwarning = _show_warning
        try:
            options = parse(arguments)
            COMMANDS[options.command](options)
        except (EcgCourseError, OSError) as error:
            return _refuse(_last_line(error))
        except KeyboardInterrupt:
            _tell(options.on_stop)
            return 130
        except Exception as error:
            if _is_lack_of_memory(error):
                return _refuse("there isn't enough memory for this; choose a smaller --size, --filters or --batch-size")
            if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
                return _refuse(f"a process that prepares batches ended: {in_words(error)}; use fewer --workers, or 0")
            if options.debug:
                raise
            kind = type(error).__name__
            _tell(f"error: unforeseen {kind}: {in_words(error, 400)}; the same command with --debug shows where")
            return 1
    return 0


def make_practice(options: argparse.Namespace) -> None:
    """Write a synthetic data set and print its folder."""
    # Here and below: what nobody who asks for --help should wait for.
    from ecgcourse.records import practice, practice_beats

    settings = {name: getattr(options, name) for name in ("seed", "hospital", "shortcut", "beats")}
    if options.holter:
        if settings != {"seed": options.seed, "hospital": "A", "shortcut": None, "beats": False}:
            raise SettingError(
                "--holter writes other records, annotated anyway; leave --hospital, --shortcut, --beats out"
            )
        number = options.records or practice_beats.DEFAULT_PATIENTS
        print(practice_beats.write(options.out, number, options.seed))
        return
    number = options.records or practice.DEFAULT_RECORDS
    print(practice.write(options.out, number, progress=progress_of(options), **settings))


def download_ptbxl(options: argparse.Namespace) -> None:
    """Download PTB-XL or go on with it, or only verify what is there; print the folder or what was found."""
    from ecgcourse.records import download

    progress = progress_of(options)
    if options.verify_only and options.ids:
        raise SettingError(
            "--ids says what to fetch; --verify-only checks what the folder should have, so leave it out"
        )
    if options.verify_only:
        found = download.verify(options.out, options.records, options.sampling_rate, progress)
        print(found)
        if found.problems:
            faults = f"{found.n_missing:,} missing, {found.n_wrong:,} wrong"
            raise DataError(f"{options.out} isn't complete: {faults}; download into it again to put that right")
        return
    source = {"version": options.version, "base_url": options.base_url, "connections": options.connections}
    rate = options.sampling_rate or download.SAMPLING_RATES[0]
    print(download.ptbxl(options.out, options.records, rate, **source, progress=progress, ids=options.ids))


def import_original(options: argparse.Namespace) -> None:
    """Write the original's pickled arrays as ``.npy`` files; print their names, shapes and dtypes."""
    import numpy as np

    from ecgcourse.records import original

    for path in original.write_arrays(options.folder, options.out):
        array = np.load(path, mmap_mode="r")
        print(f"{path}  {array.shape} {array.dtype}")


def write_images(options: argparse.Namespace) -> None:
    """Write images as TIFF files, or draw ECGs with theirs, and print where they are."""
    if cli_predict.is_drawing(options.out):
        _list_left_out(*cli_predict.draw(options))
        return
    if len(options.files) > 1:
        raise SettingError(
            f"{options.out} gets the images of one PTB-XL folder, but {len(options.files)} are named; to draw single "
            f"ECGs, let OUT end in one of {', '.join(cli_predict.DRAWINGS)}"
        )
    options.data = next(iter(options.files), None)
    # PyTorch takes seconds to import, which nobody who asks for --help should wait for.
    from ecgcourse.learning import datasets

    partitions = tuple(FOLDS) if options.partition == "all" else (options.partition,)
    data = _data(options)
    settings = {"progress": progress_of(options), "skip_bad": options.skip_bad, "task": task_asked_for(options, data)}
    settings |= {
        "images": ImageRecipe(**flags.chosen(options, "images.")),
        "sampling_rate": options.sampling_rate or 100,
    }
    out = datasets.write_images(data, options.out, partitions, **settings)
    for partition in partitions:
        print(out / partition)


def train(options: argparse.Namespace) -> None:
    """Train a model; write weights, history, curves, settings and thresholds. Or go on with that."""
    from ecgcourse.learning import distributed

    asked = asked_for(options)
    asked["training"]["device"] = distributed.local_device(asked["training"].get("device", TrainConfig.device))
    with distributed.process_group(asked["training"]["device"]) as context, _only_first_speaks(context):
        options.data = distributed.local_rank_zero_first(lambda: _data(options))
        _train(options, asked, context)


def _train(options: argparse.Namespace, asked: dict[str, dict], context: "DistributedContext") -> None:
    from ecgcourse import models
    from ecgcourse.learning import datasets, hardware, sources, training
    from ecgcourse.models import torchvision_weights

    config = train_config(options, asked["training"])
    config = hardware.resolve(config, options.resume)
    # Before the signals, whose reading takes longer, so that an impossible setting is found at once.
    name, settings, recipe, task = model_asked_for(options, asked)
    n_weights = count_weights(name, recipe, task, settings)
    training.seed_everything(config.seed)
    model = models.create(name, recipe, task, **settings)
    if options.image_weights is not None:
        torchvision_weights.load_resnet18(options.image_weights, model)
    train_set, val_set = _training_data(options, config, model, context)
    _say(options, f"model: {name}, {n_weights:,} weights, on {hardware.describe(config)}")
    about = {"folder": str(options.data), "synthetic": datasets.is_synthetic(options.data)}
    about["source"] = sources.identity(options.data)
    history = training.fit(model, train_set, val_set, config, _reporter(options, config), options.resume, about)
    if context.is_first:
        _finish_run(options, config, model, val_set, history)


def evaluate(options: argparse.Namespace) -> None:
    """Judge the best weights of a run; print the report, write predictions, metrics and figures."""
    from ecgcourse.analysis.predictions import Predictions, file_name
    from ecgcourse.learning import datasets, hardware, own_sets, runs, sources, training

    run, data = Path(options.run), _data(options)
    model = training.load_checkpoint(run / runs.BEST, options.device)
    if model.recipe is None:
        raise SettingError(
            f"{run} learned from a dataset of its own kind, which can't be made again from a folder of records; "
            "training.predict evaluates it in Python"
        )
    thresholds, source = _thresholds(model, run / runs.THRESHOLDS)
    learned = sources.external(run, data)
    if options.partition == "all" and learned is None:
        raise SettingError(f"--partition all has what {run} learned from, as far as is known; name val or test")
    place = training.pick_device(options.device)
    precision = hardware.precision_to_judge(run, place)
    settings = {"progress": progress_of(options), "skip_bad": options.skip_bad}
    layout = hardware.pick_channels_last(place, precision)
    settings |= {"device": place, "dtype": _image_dtype(precision, layout, place)}
    settings |= {"seconds": getattr(model, "seconds", None)} if own_sets.is_own(data) else {}
    dataset = datasets.from_data(data, options.partition, recipe=model.recipe, task=model.task, **settings)
    if options.skip_bad:
        _list_bad([dataset], run / f"bad_records_{options.partition}.csv")
    with _watched(dataset, options) as watched:
        answers = training.predict_logits(model, watched, options.batch_size, options.device, precision)
    said = Predictions.of_dataset(dataset, *answers, model.task, model.calibration)
    said.write(run / file_name(options.partition))
    cli_judge.tell(options, data, learned, dataset, model, said, thresholds, source)


def predict(options: argparse.Namespace) -> None:
    """Ask a trained network about files of ECGs; print or write probabilities, or a page about each record."""
    _list_left_out(*cli_predict.predict(options))


def _list_left_out(n_used: int, bad: Sequence[str]) -> None:
    for reason in bad:
        _tell(f"warning: left out {reason}")
    if bad:
        raise DataError(f"{len(bad)} of {len(bad) + n_used} files couldn't be used; see above")


COMMANDS = {
    "practice": make_practice,
    "download": download_ptbxl,
    "import-original": import_original,
    "images": write_images,
    "train": train,
    "calibrate": cli_judge.calibrate,
    "evaluate": evaluate,
    "compare": cli_judge.compare,
    "sweep": cli_sweep.sweep,
    "contest": cli_sweep.contest,
    "predict": predict,
    "export": cli_export.export,
    "parameters": cli_parameters.parameters,
}


# --- training


@contextmanager
def _only_first_speaks(context: "DistributedContext") -> Iterator[None]:
    if context.is_first:
        yield
        return
    warnings.showwarning = lambda *_, **__: None
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _training_data(
    options: argparse.Namespace, config: TrainConfig, model: "nn.Module", context: "DistributedContext"
) -> "tuple[AnyDataset, AnyDataset]":
    from ecgcourse.learning import datasets, training

    place = "cpu" if config.workers else training.pick_device(config.device)
    data = options.data
    how = {"device": place, "dtype": _image_dtype(config.precision, config.channels_last, place)}
    how |= {"recipe": model.recipe, "task": model.task}
    how |= {"progress": progress_of(options), "skip_bad": options.skip_bad, "seconds": options.seconds}
    train_set, val_set = (datasets.from_data(data, name, **how) for name in ("train", "val"))
    if options.skip_bad and context.is_first:
        _list_bad([train_set, val_set], Path(config.out) / datasets.BAD_RECORDS)
    words = f"data: {describe(data)}, {len(train_set)} training and {len(val_set)} validation records"
    words += left_out([train_set, val_set], model.task)
    _say(options, words)
    return train_set, val_set


def _image_dtype(precision: str, channels_last: bool, place: "str | torch.device") -> "torch.dtype":
    import torch

    from ecgcourse.learning.training import PRECISIONS

    # A GPU writes the floats that the network reads, channels last; bytes have them first. On a CPU, bytes are quicker
    # to write and to divide later.
    return PRECISIONS[precision] if torch.device(place).type == "cuda" and channels_last else torch.uint8


def _reporter(options: argparse.Namespace, config: TrainConfig) -> Callable[[dict[str, float]], None]:
    from ecgcourse.learning import runs

    def report(row: dict[str, float]) -> None:
        # Those of a run that had ended and now goes on for more epochs.
        (Path(config.out) / runs.THRESHOLDS).unlink(missing_ok=True)
        if not options.quiet:
            _print_epoch(row)

    return report


def _print_epoch(row: dict[str, float]) -> None:
    from tqdm import tqdm

    # Not print, which would cut through the progress bar.
    tqdm.write(
        f"epoch {row['epoch']:>3}  train loss {row['train_loss']:.4f}  val loss {row['val_loss']:.4f}"
        f"  sensitivity {row['sensitivity']:.3f}  specificity {row['specificity']:.3f}"
        f"  AUROC {row['auroc']:.3f}"
    )


def _finish_run(
    options: argparse.Namespace,
    config: TrainConfig,
    model: "nn.Module",
    val_set: "AnyDataset",
    history: "History",
) -> None:
    from ecgcourse.analysis import plots
    from ecgcourse.learning import runs

    out, data = Path(config.out), options.data
    if _is_finished(out, history):
        _say(options, f"{out} is finished: {len(history.rows)} epochs, nothing to do")
        return
    thresholds = dict(zip(model.task.classes, model.thresholds, strict=True)) if model.thresholds else None
    content = {
        "thresholds": thresholds,
        "fitted_on": "val",
        "n_records": len(val_set),
        "data": str(data),
        "epoch": history.best_epoch,
        "epochs": len(history.rows),
    }
    figure = plots.training_curves(history, model.task)
    figure.suptitle(title(data))
    save_figure(figure, out / runs.CURVES)
    # The last file of a run: where it is, all are.
    write_json(out / runs.THRESHOLDS, content)
    best = history.rows[history.best_epoch - 1]
    skipped = sum(row.get("skipped_steps", 0) for row in history.rows)
    if skipped:
        _say(options, f"skipped steps: {skipped}, whose gradients left the range of float16")
    _say(options, f"best epoch: {best['epoch']} (val loss {best['val_loss']:.4f}, macro AUROC {best['auroc']:.3f})")
    print(f"results: {out} ({', '.join(sorted(path.name for path in out.iterdir()))})")


def _is_finished(out: Path, history: "History") -> bool:
    from ecgcourse.learning import runs

    try:
        return read_json(out / runs.THRESHOLDS)["epochs"] == len(history.rows)
    except (DataError, TypeError, KeyError):
        return False


# --- files and words


def _thresholds(model: "nn.Module", path: Path) -> "tuple[np.ndarray | float, str]":
    """Those that a model was trained to, or else those of a run of the first edition, which lie beside it."""
    import numpy as np

    if model.task.is_multiclass:
        return 0.5, "none: of each record the most probable class is taken"
    if model.thresholds is not None:
        return np.array(model.thresholds), f"fitted on the validation set ({path.parent / 'best.pt'})"
    if not os.path.lexists(path):
        return 0.5, f"0.5 for every class, since {path.parent} has none: there was no validation set"
    classes = model.task.classes
    try:
        found = read_json(path)["thresholds"]
        thresholds = np.array([float(found[name]) for name in classes])
        right = ((thresholds >= 0) & (thresholds <= 1)).all()
    except (DataError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise CheckpointError(f"{path} holds no thresholds for {', '.join(classes)}; train again") from error
    if not right:
        raise CheckpointError(f"{path} holds thresholds that aren't numbers in [0, 1]; train again")
    return thresholds, f"fitted on the validation set ({path})"


def _list_bad(opened: "Sequence[AnyDataset]", path: Path) -> None:
    """Write the records that were left out of these datasets, and say on stderr where."""
    import pandas as pd

    bad = pd.concat([dataset.bad_records for dataset in opened])
    with atomic_write(path) as temporary:
        # A folder may have a name that isn't text.
        bad.to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")
    if len(bad):
        _tell(f"left out {len(bad)} damaged records: see {path}")


class _Watched:
    """A dataset that moves a progress bar when it is read."""

    def __init__(self, dataset: "AnyDataset", bar: object):
        self.dataset, self.bar = dataset, bar
        self.labels, self.task = dataset.labels, dataset.task

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: object) -> "tuple[Inputs, torch.Tensor]":
        inputs, labels = self.dataset[index]
        self.bar.update(len(labels))
        return inputs, labels


@contextmanager
def _watched(dataset: "AnyDataset", options: argparse.Namespace) -> Iterator[_Watched]:
    with progress_bar(progress_of(options), delay=2, total=len(dataset), desc="predicting", unit="record") as bar:
        yield _Watched(dataset, bar)


def _data(options: argparse.Namespace) -> Path:
    """The folder that was named, or the default one."""
    from ecgcourse.records import practice

    return practice.find(options.data, progress=progress_of(options))


def _say(options: argparse.Namespace, words: str) -> None:
    if not options.quiet:
        print(words)


@contextmanager
def _any_name_printable() -> Iterator[None]:
    """Print names of files that aren't text as the bytes that they are, or as an encoding without them can."""
    out = sys.stdout
    if not hasattr(out, "reconfigure"):
        yield
        return
    before = out.errors
    out.reconfigure(errors="surrogateescape" if out.encoding.lower() == "utf-8" else "backslashreplace")
    try:
        yield
    finally:
        out.reconfigure(errors=before)


def _show_warning(message: Warning | str, *_: object) -> None:
    _tell(f"warning: {message}")


def _tell(words: str) -> None:
    print(brief(words, LONGEST_LINE), file=sys.stderr)


def _refuse(reason: str) -> int:
    _tell(f"error: {reason}")
    return 2


def _is_lack_of_memory(error: Exception) -> bool:
    # PyTorch has an error of its own for GPUs only.
    told = isinstance(error, RuntimeError) and any(word in str(error) for word in ("alloc", "out of memory"))
    return told or isinstance(error, MemoryError)


def _last_line(error: Exception) -> str:
    # What a worker process raises arrives with its whole traceback as text; the last line is the message.
    if "Traceback (most recent call last)" not in str(error):
        return str(error)
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    return str(error).strip().split("\n")[-1].removeprefix(kind)
