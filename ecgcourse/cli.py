"""The command line: ``python -m ecgcourse`` practice, download, import-original, images, train or evaluate.

One thin function per command.

Exit status: 0 done, 2 bad input or usage (one line on stderr says what to do), 130 stopped with Ctrl-C.
"""

import argparse
import dataclasses
import json
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ecgcourse import download, original, practice
from ecgcourse.errors import CheckpointError, DataError, EcgCourseError, SettingError
from ecgcourse.files import whole_file
from ecgcourse.ptbxl import CLASSES, FOLDS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from ecgcourse.datasets import RenderedImages, TiffImages
    from ecgcourse.training import History, TrainConfig

THRESHOLDS, CURVES = "thresholds.json", "curves.png"
"""What `train` adds to the files of :func:`ecgcourse.training.fit`."""

DATA_HELP = (
    "a PTB-XL folder, or a folder that `images` wrote (default: $ECGCOURSE_DATA, else the synthetic practice set)"
)
EXAMPLES = """examples:
  python -m ecgcourse train                                  train on the synthetic practice set
  python -m ecgcourse download PTB-XL --records 500          bring the first 500 records of PTB-XL
  python -m ecgcourse train PTB-XL --out runs/first          train on PTB-XL, images made on the fly
  python -m ecgcourse evaluate runs/first --data PTB-XL      judge the best weights on the test fold
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind ``python -m ecgcourse``; by default the words of this process's command line.

    Returns
    -------
    int
        The exit status: 0 done, 2 bad input or usage, 130 stopped with Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options = _parser().parse_args(arguments)
            options.run_command(options)
        except (EcgCourseError, OSError) as error:
            print(f"error: {_last_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
    return 0


def make_practice(options: argparse.Namespace) -> None:
    """Write a synthetic data set and print its folder."""
    out = options.out or practice.default_folder(options.records, options.seed)
    print(practice.write(out, options.records, options.seed, progress=sys.stderr.isatty()))


def download_ptbxl(options: argparse.Namespace) -> None:
    """Download PTB-XL or go on with it, or only verify what is there; print the folder or what was found."""
    progress = False if options.quiet else None
    if options.verify_only:
        found = download.verify(options.out, options.records, options.sampling_rate, progress)
        print(found)
        if found.problems:
            faults = f"{found.n_missing:,} missing, {found.n_wrong:,} wrong"
            raise DataError(f"{options.out} isn't complete: {faults}; download into it again to put that right")
        return
    source = {"version": options.version, "base_url": options.base_url, "connections": options.connections}
    try:
        rate = options.sampling_rate or download.SAMPLING_RATES[0]
        print(download.ptbxl(options.out, options.records, rate, **source, progress=progress))
    except KeyboardInterrupt:
        print("the same command goes on from here", file=sys.stderr)
        raise


def import_original(options: argparse.Namespace) -> None:
    """Write the original's pickled arrays as ``.npy`` files; print their names, shapes and dtypes."""
    import numpy as np

    for path in original.write_arrays(options.folder, options.out):
        array = np.load(path, mmap_mode="r")
        print(f"{path}  {array.shape} {array.dtype}")


def write_images(options: argparse.Namespace) -> None:
    """Write images as TIFF files and print where they are."""
    # PyTorch takes seconds to import, which nobody who asks for --help should wait for.
    from ecgcourse import datasets

    partitions = tuple(FOLDS) if options.partition == "all" else (options.partition,)
    out = datasets.write_images(options.data or practice.data_root(), options.out, partitions, options.size)
    for partition in partitions:
        print(out / partition)


def train(options: argparse.Namespace) -> None:
    """Train a model; write weights, history, curves, settings and thresholds."""
    from ecgcourse import models, training

    config = _train_config(options)
    training.seed_everything(config.seed)
    # Before the data, which take longer, so that an impossible setting is found at once.
    settings = {name: getattr(options, name) for name in ("filters", "size", "dropout", "initialisation")}
    model = models.create(options.model, **settings)
    n_weights = sum(weights.numel() for weights in model.parameters())
    train_set, val_set = _training_data(options, config)
    print(f"model: {options.model}, {n_weights:,} weights, on {training.pick_device(config.device)}")
    history = training.fit(model, train_set, val_set, config, report=_print_epoch)
    _finish_run(options, config, model, val_set, history)


def evaluate(options: argparse.Namespace) -> None:
    """Judge the best weights of a run; print the report, write metrics and figures."""
    from ecgcourse import datasets, evaluation, plots, training

    run, data = Path(options.run), Path(options.data or practice.data_root())
    model = training.load_checkpoint(run / training.BEST, options.device)
    thresholds, source = _read_thresholds(run / THRESHOLDS)
    place = training.pick_device(options.device)
    precision = _precision_of(run)
    dtype = _image_dtype(precision, place)
    dataset = datasets.from_data(data, options.partition, model.settings["size"], place, dtype=dtype)
    y_true, y_prob = training.predict(model, dataset, options.batch_size, options.device, precision)
    report = evaluation.report(y_true, y_prob, thresholds)
    print(f"data: {_describe(data)}, partition {options.partition}\nthresholds: {source}\n\n{report}\n")
    if options.json:
        about = {"run": str(run), "data": str(data), "synthetic": datasets.is_synthetic(data)}
        about |= {"partition": options.partition, "thresholds_from": source}
        _write_json(Path(options.json), about | report.to_dict())
    title = f"{_describe(data)}, {options.partition}"
    _save_figure(plots.roc(y_true, y_prob, title), run / f"roc_{options.partition}.png")
    _save_figure(plots.confusion_tables(report.confusion, title), run / f"confusion_{options.partition}.png")


# --- the parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print the usage before it; here every error is one line.
        raise SettingError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ecgcourse",
        description="From a PTB-XL folder to nine images per ECG to a trained classifier.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_practice, _add_download, _add_import, _add_images, _add_train, _add_evaluate):
        add(commands)
    return parser


def _add_practice(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "practice",
        make_practice,
        "write the synthetic practice set, in the layout of PTB-XL",
        "python -m ecgcourse practice my-practice --records 100",
    )
    place = "folder to make (default: in the user's cache folder)"
    parser.add_argument("out", metavar="OUT", nargs="?", help=place)
    _option(parser, "--records", practice.DEFAULT_RECORDS, "number of records")
    _option(parser, "--seed", 0, "chooses the records")


def _add_download(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "download",
        download_ptbxl,
        "download PTB-XL or its first records, or what is missing of them, and check every file",
        "python -m ecgcourse download PTB-XL --records 500",
    )
    parser.add_argument("out", metavar="OUT", help="folder to fill, or to verify")
    parser.add_argument("--records", type=int, metavar="N", help="take the first N records (default: all)")
    rate = "in Hz (default: 100; with --verify-only all that the folder should have)"
    parser.add_argument("--sampling-rate", type=int, choices=download.SAMPLING_RATES, help=rate)
    _option(parser, "--version", download.VERSION, "of PTB-XL")
    place = "folder of SHA256SUMS.txt on a web server, or the folder above VERSION/ or ptb-xl/VERSION/"
    _option(parser, "--base-url", download.BASE_URL, place)
    _option(parser, "--connections", download.CONNECTIONS, "files on their way at a time")
    nothing = "fetch nothing: check the folder against its SHA256SUMS.txt, and list what is missing or wrong"
    parser.add_argument("--verify-only", action="store_true", help=nothing)
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "import-original",
        import_original,
        "write the pickled arrays of the original repository as .npy files, running nothing that is in them",
        "python -m ecgcourse import-original Processed arrays",
    )
    parser.add_argument("folder", metavar="FOLDER", help=f"holds {', '.join(original.FILES[:2])}, …")
    parser.add_argument("out", metavar="OUT", help="folder to make, for X_train_processed.npy and its like")


def _add_images(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "images",
        write_images,
        "write the images as TIFF files: OUT/train/images/0.tif, …, OUT/train/labels/0.npy, …",
        "python -m ecgcourse images PTB-XL my-images --partition all",
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="a PTB-XL folder (default: as for `train`)")
    parser.add_argument("out", metavar="OUT", help="gets one folder per partition")
    _option(parser, "--partition", "train", "records to write", choices=(*FOLDS, "all"))
    _option(parser, "--size", 256, "side of an image in pixels")


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "train",
        train,
        "train a model, and keep the weights with the lowest validation loss",
        "python -m ecgcourse train PTB-XL --optimizer adam --learning-rate 0.0001 --out runs/adam",
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    parser.add_argument("--out", metavar="RUN", help="folder for the results (default: runs/DATE_TIME)")
    _option(parser, "--epochs", 100, "largest number of times through the training set")
    _option(parser, "--batch-size", 64, "records per step")
    _option(parser, "--learning-rate", 0.1, "step size; adam wants about 0.0001")
    _option(parser, "--optimizer", "sgd", "how to step", choices=("sgd", "adam"))
    _option(parser, "--l2-decay", 0.0, "pull of every weight towards zero")
    _option(parser, "--patience", 20, "stop after so many epochs without a lower validation loss, 0: never")
    _option(parser, "--model", "alexnet", "name of the model")
    _option(parser, "--filters", 8, "filters of the model's first convolution")
    _option(parser, "--dropout", 0.3, "share of channels silenced while training")
    _option(parser, "--initialisation", "pytorch", "how weights start; he wants adam", choices=("pytorch", "he"))
    _option(parser, "--size", 256, "side of an image in pixels")
    _option(parser, "--device", "auto", "cpu, cuda, cuda:1 or mps; auto takes the fastest there is")
    _option(parser, "--precision", "float32", "what is calculated in", choices=("float32", "bfloat16"))
    compile_help = "translate the network with torch.compile; whether that pays depends on the hardware"
    parser.add_argument("--compile", action="store_true", help=compile_help)
    _option(parser, "--seed", 0, "decides first weights, order of records and dropout")
    _option(parser, "--workers", 0, "processes that prepare batches; above 0 images are made on the CPU")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "evaluate",
        evaluate,
        "judge the best weights of a run, with the thresholds that it fitted on its validation set",
        "python -m ecgcourse evaluate runs/first --data PTB-XL --json metrics.json",
    )
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote; gets the figures")
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    _option(parser, "--partition", "test", "records to judge", choices=tuple(FOLDS))
    parser.add_argument("--json", metavar="FILE", help="write everything that is printed, and more, as JSON")
    _option(parser, "--batch-size", 64, "records at a time")
    _option(parser, "--device", "auto", "as for `train`")


def _command(
    commands: argparse._SubParsersAction, name: str, run_command: object, summary: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run_command=run_command)
    return parser


def _option(
    parser: argparse.ArgumentParser,
    flag: str,
    default: object,
    words: str,
    choices: Sequence[str] | None = None,
) -> None:
    metavar = None if choices else flag.strip("-").rsplit("-", 1)[-1].upper()
    parser.add_argument(
        flag,
        type=type(default),
        default=default,
        choices=choices,
        metavar=metavar,
        help=f"{words} (default: %(default)s)",
    )


# --- training


def _train_config(options: argparse.Namespace) -> "TrainConfig":
    from ecgcourse.training import TrainConfig

    names = {each.name for each in dataclasses.fields(TrainConfig)}
    chosen = {name: value for name, value in vars(options).items() if name in names}
    return TrainConfig(**chosen | {"out": _run_folder(options.out)})


def _run_folder(out: str | None) -> Path:
    from ecgcourse.training import BEST

    folder = Path(out) if out else Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if (folder / BEST).exists():
        raise SettingError(f"{folder} holds another run ({BEST}); name another --out, or remove it first")
    return folder


def _training_data(
    options: argparse.Namespace, config: "TrainConfig"
) -> "tuple[RenderedImages | TiffImages, RenderedImages | TiffImages]":
    from ecgcourse import datasets, training

    place = "cpu" if config.workers else training.pick_device(config.device)
    data = options.data or practice.data_root()
    dtype = _image_dtype(config.precision, place)
    train_set, val_set = (datasets.from_data(data, name, options.size, place, dtype=dtype) for name in ("train", "val"))
    print(f"data: {_describe(data)}, {len(train_set)} training and {len(val_set)} validation records")
    return train_set, val_set


def _image_dtype(precision: str, place: "str | torch.device") -> "torch.dtype":
    import torch

    from ecgcourse.training import PRECISIONS

    # A GPU writes the floats that the network reads; on a CPU, bytes are quicker to write and to divide later.
    return PRECISIONS[precision] if torch.device(place).type == "cuda" else torch.uint8


def _precision_of(run: Path) -> str:
    """What a run was trained in, in which it is judged too."""
    from ecgcourse import training

    path = run / training.CONFIG
    if not path.exists():
        return training.TrainConfig.precision
    try:
        return training.TrainConfig.from_dict(json.loads(path.read_text(encoding="utf-8"))["training"]).precision
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds no settings of a training; train again") from error


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
    config: "TrainConfig",
    model: "nn.Module",
    val_set: "RenderedImages | TiffImages",
    history: "History",
) -> None:
    from ecgcourse import evaluation, plots, training

    out, data = Path(config.out), options.data or practice.data_root()
    y_true, y_prob = training.predict(model, val_set, config.batch_size, config.device, config.precision)
    thresholds = evaluation.fit_thresholds(y_true, y_prob)
    content = {
        "thresholds": dict(zip(CLASSES, thresholds.tolist(), strict=True)),
        "fitted_on": "val",
        "n_records": len(val_set),
        "data": str(data),
        "epoch": history.best_epoch,
    }
    _write_json(out / THRESHOLDS, content)
    figure = plots.training_curves(history)
    figure.suptitle(_describe(data))
    _save_figure(figure, out / CURVES)
    best = history.rows[history.best_epoch - 1]
    print(f"best epoch: {best['epoch']} (val loss {best['val_loss']:.4f}, macro AUROC {best['auroc']:.3f})")
    print(f"results: {out} ({', '.join(sorted(path.name for path in out.iterdir()))})")


# --- files and words


def _read_thresholds(path: Path) -> "tuple[np.ndarray | float, str]":
    import numpy as np

    if not path.exists():
        return 0.5, f"0.5 for every class, since {path} isn't there: training did not come to its end"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["thresholds"]
        thresholds = np.array([float(found[name]) for name in CLASSES])
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds no thresholds for {', '.join(CLASSES)}; train again") from error
    return thresholds, f"fitted on the validation set ({path})"


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _save_figure(figure: "Figure", path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _describe(data: str | Path) -> str:
    from ecgcourse import datasets

    return f"{data} (synthetic practice set)" if datasets.is_synthetic(data) else str(data)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _last_line(error: Exception) -> str:
    # What a worker process raises arrives with its whole traceback as text; the last line is the message.
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    return str(error).strip().split("\n")[-1].removeprefix(kind)
