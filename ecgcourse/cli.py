"""The command line: ``python -m ecgcourse`` practice, download, import-original, images, train, evaluate or predict.

One thin function per command.

Exit status: 0 done, 1 a mistake in this package (one line on stderr; --debug shows where), 2 bad input or usage (one
line says what to do), 130 stopped with Ctrl-C (one line says how to go on). A process that torchrun started ends with
the same; torchrun itself ends with 1 if one of its processes fails.
"""

import argparse
import json
import math
import os
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ecgcourse import download, flags, original, practice
from ecgcourse.config import TrainConfig
from ecgcourse.errors import (
    CheckpointError,
    DataError,
    EcgCourseError,
    SettingError,
    brief,
    check_name,
    in_words,
    shown,
)
from ecgcourse.files import read_json, whole_file
from ecgcourse.ptbxl import FOLDS, LABEL_SETS, LEADS, is_ptbxl, label_classes, read_table
from ecgcourse.recipe import ImageRecipe, Recipe, SignalRecipe, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from ecgcourse.datasets import AnyDataset
    from ecgcourse.distributed import Team
    from ecgcourse.history import History
    from ecgcourse.training import Inputs

# Characters of a line on stderr, and of that part of it which argparse writes.
LONGEST_LINE, LONGEST_USAGE = 900, 300
DATA_HELP = (
    "a PTB-XL folder, or a folder that `images` wrote (default: $ECGCOURSE_DATA, else the synthetic practice set)"
)
STATUSES = """exit status:
  0    done
  1    something that this package should have foreseen; --debug shows where
  2    bad input or usage; one line on stderr says what and where, and what to do
  130  stopped with Ctrl-C; one line on stderr says how to go on
"""
CONFIG_PARTS = ("training", "model", "task", "recipe", "images", "signals")
GOES_ON = "stopped; the same command goes on from here"
EXAMPLES = """examples:
  python -m ecgcourse train                                  train on the synthetic practice set
  python -m ecgcourse download PTB-XL --records 500          bring the first 500 records of PTB-XL
  python -m ecgcourse train PTB-XL --out runs/first          train on PTB-XL, images made on the fly
  python -m ecgcourse train PTB-XL --out runs/first --resume go on with it after an interruption
  python -m ecgcourse train PTB-XL --model resnet1d --leads 12 --optimizer adamw --learning-rate 0.003
  python -m ecgcourse evaluate runs/first --data PTB-XL      judge the best weights on the test fold
  python -m ecgcourse predict runs/first mine.hea yours.csv  ask it about ECGs of your own
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
            options = _parse(arguments)
            options.run_command(options)
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
    out = options.out or practice.default_folder(options.records, options.seed)
    print(practice.write(out, options.records, options.seed, progress=_progress(options)))


def download_ptbxl(options: argparse.Namespace) -> None:
    """Download PTB-XL or go on with it, or only verify what is there; print the folder or what was found."""
    progress = _progress(options)
    if options.verify_only:
        found = download.verify(options.out, options.records, options.sampling_rate, progress)
        print(found)
        if found.problems:
            faults = f"{found.n_missing:,} missing, {found.n_wrong:,} wrong"
            raise DataError(f"{options.out} isn't complete: {faults}; download into it again to put that right")
        return
    source = {"version": options.version, "base_url": options.base_url, "connections": options.connections}
    rate = options.sampling_rate or download.SAMPLING_RATES[0]
    print(download.ptbxl(options.out, options.records, rate, **source, progress=progress))


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
    data = _data(options)
    settings = {"progress": _progress(options), "skip_bad": options.skip_bad, "task": _task(options, data)}
    settings |= {"images": ImageRecipe(**_image_flags(options)), "sampling_rate": options.sampling_rate or 100}
    out = datasets.write_images(data, options.out, partitions, **settings)
    for partition in partitions:
        print(out / partition)


def train(options: argparse.Namespace) -> None:
    """Train a model; write weights, history, curves, settings and thresholds. Or go on with that."""
    from ecgcourse import distributed

    asked = _asked_for(options)
    asked["training"]["device"] = distributed.own_device(asked["training"].get("device", TrainConfig.device))
    with distributed.joined(asked["training"]["device"]) as team, _only_first_speaks(team):
        options.data = distributed.in_turn(lambda: _data(options))
        _train(options, asked, team)


def _train(options: argparse.Namespace, asked: dict[str, dict], team: "Team") -> None:
    from ecgcourse import datasets, models, training

    config = _train_config(options, asked["training"])
    # Before the signals, whose reading takes longer, so that an impossible setting is found at once.
    name, settings, recipe, task = _model_asked_for(options, asked)
    n_weights = _count_weights(name, recipe, task, settings)
    training.seed_everything(config.seed)
    model = models.create(name, recipe, task, **settings)
    train_set, val_set = _training_data(options, config, model, team)
    _say(options, f"model: {name}, {n_weights:,} weights, on {training.pick_device(config.device)}")
    about = {"folder": str(options.data), "synthetic": datasets.is_synthetic(options.data)}
    history = training.fit(model, train_set, val_set, config, _reporter(options, config), options.resume, about)
    if team.is_first:
        _finish_run(options, config, model, val_set, history)


def evaluate(options: argparse.Namespace) -> None:
    """Judge the best weights of a run; print the report, write metrics and figures."""
    from ecgcourse import datasets, evaluation, plots, runs, training

    run, data = Path(options.run), _data(options)
    model = training.load_checkpoint(run / runs.BEST, options.device)
    if model.recipe is None:
        raise SettingError(
            f"{run} learned from a dataset of its own kind, which can't be made again from a folder of records; "
            "training.predict judges it in Python"
        )
    thresholds, source = _thresholds(model, run / runs.THRESHOLDS)
    place, precision = training.pick_device(options.device), runs.precision_of(run)
    settings = {"progress": _progress(options), "skip_bad": options.skip_bad}
    settings |= {"device": place, "dtype": _image_dtype(precision, place)}
    dataset = datasets.from_data(data, options.partition, recipe=model.recipe, task=model.task, **settings)
    if options.skip_bad:
        _list_bad([dataset], run / f"bad_records_{options.partition}.csv")
    with _watched(dataset, options) as watched:
        y_true, y_prob = training.predict(model, watched, options.batch_size, options.device, precision)
    report = evaluation.report(y_true, y_prob, thresholds, task=model.task)
    left_out = _left_out([dataset], model.task)
    print(f"data: {_describe(data)}, partition {options.partition}{left_out}\nthresholds: {source}\n\n{report}\n")
    if options.json:
        about = {"run": str(run), "data": str(data), "synthetic": datasets.is_synthetic(data)}
        about |= {"partition": options.partition, "thresholds_from": source}
        _write_json(Path(options.json), about | report.to_dict())
    title, classes = f"{_title(data)}, {options.partition}", model.task.classes
    _save_figure(plots.roc(y_true, y_prob, title, classes=classes), run / f"roc_{options.partition}.png")
    if model.task.is_multiclass:
        figure = plots.confusion_matrix(report.matrix, classes, title)
    else:
        figure = plots.confusion_tables(report.confusion, title, classes=classes)
    _save_figure(figure, run / f"confusion_{options.partition}.png")


def predict(options: argparse.Namespace) -> None:
    """Ask a trained network about files of ECGs; print or write a table of probabilities."""
    from ecgcourse.classifier import Classifier

    classifier = Classifier.load(options.run, options.device)
    settings = {"sampling_rate": options.sampling_rate, "unit": options.unit, "windows": options.windows}
    table = classifier.predict_files(options.files, **settings, skip_bad=True, progress=_progress(options))
    if options.csv:
        with whole_file(Path(options.csv)) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")
    else:
        print(table.to_csv(index=False, lineterminator="\n", float_format="%.4f"), end="")
    bad = table.attrs["bad_files"]
    for reason in bad.values():
        _tell(f"warning: left out {reason}")
    if bad:
        raise DataError(f"{len(bad)} of {len(bad) + table['file'].nunique()} files couldn't be used; see above")


# --- the parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print the usage before it; here every error is one line.
        raise SettingError(f"{brief(message, LONGEST_USAGE)}; see `{self.prog} --help`")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        parser = _parser()
        options = parser.parse_args(arguments)
        for name, value in vars(options).items():
            # What some versions of argparse make of `--name=--`.
            if isinstance(value, list) and name not in ("set", "files"):
                parser.error(f"--{name.replace('_', '-')} needs a value")
        return options
    except SettingError as error:
        # torchrun gives each process the same words, so that one of them is enough to tell what is wrong.
        if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":
            raise SystemExit(2) from error
        raise


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ecgcourse",
        description="From a PTB-XL folder to nine images per ECG to a trained classifier.",
        epilog=EXAMPLES + "\n" + STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_practice, _add_download, _add_import, _add_images, _add_train, _add_evaluate, _add_predict):
        add(commands)
    return parser


def _add_practice(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "practice",
        make_practice,
        "write the synthetic practice set, in the layout of PTB-XL",
        "python -m ecgcourse practice my-practice --records 100",
        GOES_ON,
    )
    place = "folder to make (default: in the user's cache folder)"
    parser.add_argument("out", metavar="OUT", nargs="?", help=place)
    _option(parser, "--records", practice.DEFAULT_RECORDS, "number of records", _whole(1, practice.MOST_RECORDS))
    _option(parser, "--seed", 0, "chooses the records", _whole(0, 2**63 - 1))


def _add_download(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "download",
        download_ptbxl,
        "download PTB-XL or its first records, or what is missing of them, and check every file",
        "python -m ecgcourse download PTB-XL --records 500",
        GOES_ON,
    )
    parser.add_argument("out", metavar="OUT", help="folder to fill, or to verify")
    number, take = _whole(1, practice.MOST_RECORDS), "take the first N records (default: all)"
    parser.add_argument("--records", type=number, metavar="N", help=take)
    rate = "in Hz (default: 100; with --verify-only all that the folder should have)"
    parser.add_argument("--sampling-rate", type=int, choices=download.SAMPLING_RATES, help=rate)
    _option(parser, "--version", download.VERSION, "of PTB-XL")
    place = "folder of SHA256SUMS.txt on a web server, or the folder above VERSION/ or ptb-xl/VERSION/"
    _option(parser, "--base-url", download.BASE_URL, place)
    _option(
        parser,
        "--connections",
        download.CONNECTIONS,
        "files on their way at a time",
        _whole(1, download.MOST_CONNECTIONS),
    )
    nothing = "fetch nothing: check the folder against its SHA256SUMS.txt, and list what is missing or wrong"
    parser.add_argument("--verify-only", action="store_true", help=nothing)


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "import-original",
        import_original,
        "write the pickled arrays of the original repository as .npy files, running nothing that is in them",
        "python -m ecgcourse import-original Processed arrays",
        "stopped; nothing was written",
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
        GOES_ON,
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="a PTB-XL folder (default: as for `train`)")
    parser.add_argument("out", metavar="OUT", help="gets one folder per partition")
    _option(parser, "--partition", "train", "records to write", choices=(*FOLDS, "all"))
    _add_skip_bad(parser, "OUT/PARTITION/bad_records.csv")
    _add_task(parser)
    _add_recipe(parser, {"images": ImageRecipe})


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "train",
        train,
        "train a model, and keep the weights with the lowest validation loss",
        "python -m ecgcourse train PTB-XL --optimizer adam --learning-rate 0.0001 --out runs/adam",
        # Once the folder is chosen, train knows better.
        "stopped; nothing was trained yet",
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    _add_skip_bad(parser, "RUN/bad_records.csv")
    parser.add_argument("--out", metavar="RUN", help="folder for the results (default: runs/DATE_TIME)")
    resume_help = "go on with the interrupted run in --out: the same command, settings and data; else begin it"
    parser.add_argument("--resume", action="store_true", help=resume_help)
    config_help = "settings from a TOML file, or from a run's config.json; options given besides go before them"
    parser.add_argument("--config", metavar="FILE", help=config_help)
    group = parser.add_argument_group("training")
    flags.add(group, TrainConfig, leave_out=("out", "progress"))
    group.add_argument("--l2-decay", dest="weight_decay", type=float, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME", help="an unknown one lists them all (default: alexnet)")
    _setting(group, "--filters", "filters of the model's first convolution; 8 for alexnet", _whole(1, 4096))
    _setting(group, "--dropout", "dropout probability", _real(least=0, below=1))
    _setting(group, "--initialisation", "how weights start; he wants adam", choices=("pytorch", "he"))
    other_help = "another setting of the model, such as hidden=64; may be given several times"
    group.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], type=_pair, help=other_help)
    _add_task(parser)
    _add_recipe(parser, {"images": ImageRecipe, "signals": SignalRecipe})


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "evaluate",
        evaluate,
        "judge the best weights of a run, with the thresholds that it fitted on its validation set",
        "python -m ecgcourse evaluate runs/first --data PTB-XL --json metrics.json",
        "stopped; the same command starts anew, with what was read of the data",
    )
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote; gets the figures")
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    _option(parser, "--partition", "test", "records to judge", choices=tuple(FOLDS))
    _add_skip_bad(parser, "RUN/bad_records_PARTITION.csv")
    parser.add_argument("--json", metavar="FILE", help="write everything that is printed, and more, as JSON")
    _option(parser, "--batch-size", 64, "records at a time", _whole(1, 10**5))
    _option(parser, "--device", "auto", "as for `train`")


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "predict",
        predict,
        "ask a trained network about ECGs of your own: WFDB, CSV, NumPy, EDF",
        "python -m ecgcourse predict runs/first mine.hea yours.csv --csv answers.csv",
        "stopped; nothing was written",
    )
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote, or a checkpoint in it")
    parser.add_argument("files", metavar="FILE", nargs="+", help="ECGs, and folders in which all are looked for")
    parser.add_argument("--csv", metavar="OUT", help="write the table into a file rather than print it")
    parser.add_argument("--windows", action="store_true", help="a row for each window of a longer record")
    rate = "in Hz, of files that don't tell theirs"
    parser.add_argument("--sampling-rate", metavar="HZ", type=_real(above=0), help=rate)
    parser.add_argument("--unit", choices=("mV", "uV"), help="of files that don't tell theirs")
    _option(parser, "--device", "auto", "as for `train`")


def _command(
    commands: argparse._SubParsersAction, name: str, run_command: object, summary: str, example: str, on_stop: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run_command=run_command, on_stop=on_stop)
    parser.add_argument("--quiet", action="store_true", help="print results, warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="let an unforeseen error show where in the code it arose")
    return parser


def _option(
    parser: argparse.ArgumentParser,
    flag: str,
    default: object,
    words: str,
    value: Callable[[str], object] = str,
    choices: Sequence[str] | None = None,
) -> None:
    metavar = None if choices else flag.strip("-").rsplit("-", 1)[-1].upper()
    parser.add_argument(
        flag,
        type=value,
        default=default,
        choices=choices,
        metavar=metavar,
        help=f"{words} (default: %(default)s)",
    )


def _setting(
    parser: argparse.ArgumentParser,
    flag: str,
    words: str,
    value: Callable[[str], object] = str,
    choices: Sequence[str] | None = None,
) -> None:
    """An option that a model has, or has not, and whose default is the model's own."""
    metavar = None if choices else flag.strip("-").upper()
    words = f"{words} (default: the model's own)"
    parser.add_argument(flag, type=value, choices=choices, metavar=metavar, help=words)


def _pair(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{shown(text)} isn't NAME=VALUE, such as hidden=64")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        # A word, such as the name of another model.
        return name, value


def _add_task(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("classes")
    words = f"which of PTB-XL's labels: {', '.join(LABEL_SETS)} (default: {LABEL_SETS[0]})"
    group.add_argument("--task", metavar="SET", choices=LABEL_SETS, help=words)
    words = "leave out classes that fewer records have (default: none)"
    group.add_argument("--min-records", metavar="N", type=_whole(0, 10**6), help=words)


def _add_recipe(parser: argparse.ArgumentParser, kinds: dict[str, type]) -> None:
    """What a network is fed; the defaults in the help are those of the recipes, a model may have its own."""
    for name, kind in kinds.items():
        group = parser.add_argument_group(f"{name} that a network is fed (default: the model's own)")
        flags.add(group, kind, f"{name}.", leads=_leads, fields=flags.names)
        if name == "images":
            words = "short for --images.size"
            group.add_argument("--size", dest="images.size", type=int, default=argparse.SUPPRESS, help=words)
    group.add_argument("--sampling-rate", metavar="HZ", type=_real(above=0), help="of the records (default: 100)")
    if "signals" in kinds:
        words = "short for --signals.leads, or --images.leads of a model without signals"
        group.add_argument("--leads", metavar="LEADS", type=_leads, help=words)


def _leads(text: str) -> tuple[str, ...]:
    """Names of leads, or 3 for those of the images, or 12 for all."""
    known = {"3": ImageRecipe.leads, "12": LEADS}
    return known.get(text) or flags.names(text)


def _add_skip_bad(parser: argparse.ArgumentParser, place: str) -> None:
    words = f"leave damaged records out and list them in {place}, rather than stop at the first one"
    parser.add_argument("--skip-bad", action="store_true", help=words)


def _whole(least: int, most: int) -> Callable[[str], int]:
    return _number(int, lambda number: least <= number <= most, f"a whole number from {least} to {most}")


def _real(least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> Callable[[str], float]:
    limits = {"of at least": least, "above": above, "below": below}
    words = " and ".join(f"{word} {limit}" for word, limit in limits.items() if math.isfinite(limit))
    return _number(float, lambda number: least <= number < below and above < number, f"a number {words}")


def _number(kind: type, is_right: Callable[[float], bool], allowed: str) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            # Python would also take 1_000, and the digits of other scripts.
            number = kind(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            number = math.nan
        # Written so that NaN fails too.
        if not is_right(number):
            raise argparse.ArgumentTypeError(f"{shown(text)} isn't allowed; it must be {allowed}")
        return number

    return convert


# --- training


@contextmanager
def _only_first_speaks(team: "Team") -> Iterator[None]:
    if team.is_first:
        yield
        return
    warnings.showwarning = lambda *_, **__: None
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _asked_for(options: argparse.Namespace) -> dict[str, dict]:
    """What was asked for, from --config and from options, which go before: training, model, images, signals, …"""
    asked = _read_config(options.config) if options.config else {name: {} for name in CONFIG_PARTS}
    given = flags.chosen(options)
    asked["training"] |= {each.name: given[each.name] for each in fields(TrainConfig) if each.name in given}
    settings = {name: given[name] for name in ("filters", "dropout", "initialisation") if given[name] is not None}
    if options.model and options.model != asked["model"].get("name"):
        # Settings of another network.
        asked["model"] = {"name": options.model}
    asked["model"] |= settings | dict(options.set)
    for part in ("images", "signals"):
        asked[part] |= flags.chosen(options, f"{part}.")
    if options.sampling_rate is not None:
        asked["recipe"]["sampling_rate"] = options.sampling_rate
    # Before the data, which may take longer to find.
    TrainConfig.from_dict(asked["training"])
    return asked


def _read_config(path: str) -> dict[str, dict]:
    """Settings from a TOML file, or from the config.json of a run; DataError or SettingError for anything else."""
    if path.endswith(".json"):
        content = read_json(Path(path))
    else:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} isn't TOML: {in_words(error)}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no settings: a table of them is needed")
    # What a run notes of its data is nothing to ask for.
    content.pop("data", None)
    if isinstance(content.get("model"), str):
        content["model"] = {"name": content["model"]}
    recipe = content.pop("recipe", None) or {}
    if recipe and isinstance(content.get("model"), dict):
        # What follows from recipe and task, which options may change.
        for setting in ("leads", "in_channels", "size", "n_classes"):
            content["model"].pop(setting, None)
    content |= {name: recipe.pop(name) for name in ("images", "signals") if isinstance(recipe.get(name), dict)}
    content["recipe"] = {name: value for name, value in recipe.items() if value is not None}
    for name, part in content.items():
        if name not in CONFIG_PARTS or not isinstance(part, dict):
            raise SettingError(f"{path}: {shown(name)} isn't a table of settings; there are {', '.join(CONFIG_PARTS)}")
    asked = {name: dict(content.get(name, {})) for name in CONFIG_PARTS}
    # Where a run's own folder was, and what it showed, is not what it did.
    for name in ("out", "progress"):
        asked["training"].pop(name, None)
    return asked


def _train_config(options: argparse.Namespace, asked: dict) -> TrainConfig:
    out = _run_folder(options)
    options.resume = options.resume or _is_restarted(out)
    options.on_stop = f"stopped; the same command with --resume --out {out} goes on from the last checkpoint"
    return TrainConfig.from_dict(asked | {"out": str(out), "progress": _progress(options)})


def _model_asked_for(options: argparse.Namespace, asked: dict[str, dict]) -> tuple[str, dict, Recipe, Task]:
    """Name and settings of the model, what it is to be fed, and what it is to answer."""
    import torch

    from ecgcourse import datasets, models

    name, settings = asked["model"].pop("name", "alexnet"), asked["model"]
    if name == "alexnet":
        # The smaller of the two that the original trained.
        settings.setdefault("filters", 8)
    noted = None if is_ptbxl(options.data) else datasets.noted(options.data)
    task = _task(options, options.data) if noted is None or asked["task"] else noted.task
    task = Task.from_dict(asked["task"]) if asked["task"] and not (options.task or options.min_records) else task
    kinds = models.inputs(name)
    # Recipe and classes decide them; where they were named besides, making the model finds a contradiction.
    own_settings = {
        setting: value for setting, value in settings.items() if setting not in ("in_channels", "n_classes")
    }
    if "size" in asked["images"] and models.has_setting(name, "size"):
        own_settings["size"] = asked["images"]["size"]
    with torch.device("meta"):
        own = models.create(name, classes=task, **own_settings).recipe
    if options.leads:
        asked["signals" if "signals" in kinds else "images"]["leads"] = options.leads
    base = own if noted is None or noted.recipe is None or "signals" in kinds else noted.recipe
    recipe = _changed(name, base, asked)
    return name, settings, recipe, task


def _changed(name: str, recipe: "Recipe | None", asked: dict[str, dict]) -> Recipe:
    """A recipe with what was asked for."""
    parts = {}
    for part, kind in (("images", ImageRecipe), ("signals", SignalRecipe)):
        before = None if recipe is None else getattr(recipe, part)
        if recipe is not None and before is None and asked[part]:
            raise SettingError(f"model {name!r} takes no {part}; leave --{part}.{next(iter(asked[part]))} out")
        known = [each.name for each in fields(kind)]
        for setting in asked[part]:
            check_name(setting, known, f"{part} have no setting")
        if before is not None or asked[part]:
            parts[part] = replace(before, **asked[part]) if before is not None else kind(**asked[part])
    return replace(recipe, **parts, **asked["recipe"]) if recipe is not None else Recipe(**parts, **asked["recipe"])


def _image_flags(options: argparse.Namespace) -> dict:
    return flags.chosen(options, "images.")


def _task(options: argparse.Namespace, data: Path) -> Task:
    """The classes that were asked for, those of the data that enough records have."""
    if not (options.task or options.min_records):
        return Task()
    label_set = options.task or LABEL_SETS[0]
    # A class that no record has can't be learned.
    least = options.min_records or int(label_set != LABEL_SETS[0])
    return Task(label_classes(read_table(data), label_set, least), label_set=label_set)


def _count_weights(name: str, recipe: Recipe, task: Task, settings: dict) -> int:
    """Weights of a model, counted without making it; SettingError if training it needs more memory than there is."""
    import torch

    from ecgcourse import models

    with torch.device("meta"):
        n_weights = sum(weights.numel() for weights in models.create(name, recipe, task, **settings).parameters())
    # Four bytes each, for the weights, their gradients and the best epoch's weights.
    needed, there = 12 * n_weights, _memory()
    if needed > there:
        raise SettingError(
            f"the model would have {n_weights:,} weights, and training it needs {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {there / 1e9:,.0f} GB: choose a smaller --size or --filters"
        )
    return n_weights


def _memory() -> float:
    """Bytes of memory of this machine, or infinity where nobody tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def _run_folder(options: argparse.Namespace) -> Path:
    from ecgcourse import distributed, runs

    if not options.out and (options.resume or distributed.is_launched()):
        raise SettingError("--out RUN is needed: with --resume and with torchrun, the folder must be named")
    folder = Path(options.out) if options.out else Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    found = [name for name in (runs.BEST, runs.LAST) if (folder / name).exists()]
    if found and not options.resume and not _is_restarted(folder):
        raise SettingError(
            f"{folder} holds another run ({found[0]}); go on with it (--resume), name another --out, or remove it first"
        )
    return folder


def _is_restarted(folder: Path) -> bool:
    """Whether torchrun started these processes anew after a failure, and the run in the folder was theirs."""
    from ecgcourse import runs

    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return False
    begun = runs.starts(folder)
    return bool(begun) and begun[-1]["torchrun"] == os.environ["TORCHELASTIC_RUN_ID"]


def _training_data(
    options: argparse.Namespace, config: TrainConfig, model: "nn.Module", team: "Team"
) -> "tuple[AnyDataset, AnyDataset]":
    from ecgcourse import datasets, training

    place = "cpu" if config.workers else training.pick_device(config.device)
    data = options.data
    how = {"device": place, "dtype": _image_dtype(config.precision, place), "recipe": model.recipe, "task": model.task}
    how |= {"progress": _progress(options), "skip_bad": options.skip_bad}
    train_set, val_set = (datasets.from_data(data, name, **how) for name in ("train", "val"))
    if options.skip_bad and team.is_first:
        _list_bad([train_set, val_set], Path(config.out) / datasets.BAD_RECORDS)
    words = f"data: {_describe(data)}, {len(train_set)} training and {len(val_set)} validation records"
    words += _left_out([train_set, val_set], model.task)
    _say(options, words)
    return train_set, val_set


def _left_out(opened: "Sequence[AnyDataset]", task: Task) -> str:
    """How many records have no label, in words; nothing where all have one."""
    count = sum(getattr(dataset, "n_unlabelled", 0) for dataset in opened)
    verb = "others have" if count > 1 else "other has"
    return f"; {count} {verb} no label of the set {task.label_set} and stay out" if count else ""


def _image_dtype(precision: str, place: "str | torch.device") -> "torch.dtype":
    import torch

    from ecgcourse.training import PRECISIONS

    # A GPU writes the floats that the network reads; on a CPU, bytes are quicker to write and to divide later.
    return PRECISIONS[precision] if torch.device(place).type == "cuda" else torch.uint8


def _reporter(options: argparse.Namespace, config: TrainConfig) -> Callable[[dict[str, float]], None]:
    from ecgcourse import runs

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
    from ecgcourse import plots, runs

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
    figure.suptitle(_title(data))
    _save_figure(figure, out / runs.CURVES)
    # The last file of a run: where it is, all are.
    _write_json(out / runs.THRESHOLDS, content)
    best = history.rows[history.best_epoch - 1]
    _say(options, f"best epoch: {best['epoch']} (val loss {best['val_loss']:.4f}, macro AUROC {best['auroc']:.3f})")
    print(f"results: {out} ({', '.join(sorted(path.name for path in out.iterdir()))})")


def _is_finished(out: Path, history: "History") -> bool:
    from ecgcourse import runs

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


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _save_figure(figure: "Figure", path: Path) -> None:
    with whole_file(path) as temporary, warnings.catch_warnings():
        # The name of a folder may have characters that the font hasn't.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(temporary, dpi=150)


def _list_bad(opened: "Sequence[AnyDataset]", path: Path) -> None:
    """Write the records that were left out of these datasets, and say on stderr where."""
    import pandas as pd

    bad = pd.concat([dataset.bad_records for dataset in opened])
    with whole_file(path) as temporary:
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
    from tqdm import tqdm

    hidden = True if options.quiet else None
    with tqdm(total=len(dataset), desc="predicting", unit="record", disable=hidden, delay=2) as bar:
        yield _Watched(dataset, bar)


def _data(options: argparse.Namespace) -> Path:
    """The folder that was named, or the default one."""
    return practice.find(options.data, progress=_progress(options))


def _progress(options: argparse.Namespace) -> bool | None:
    return False if options.quiet else None


def _say(options: argparse.Namespace, words: str) -> None:
    if not options.quiet:
        print(words)


def _describe(data: str | Path) -> str:
    from ecgcourse import datasets

    return f"{data} (synthetic practice set)" if datasets.is_synthetic(data) else str(data)


def _title(data: str | Path) -> str:
    # Between two dollar signs, Matplotlib reads formulas.
    return brief(_describe(data)).replace("$", r"\$")


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
