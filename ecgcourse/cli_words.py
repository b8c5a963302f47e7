"""The words of the command line: which commands and options there are, what they mean, and what is allowed."""

import argparse
import functools
import json
import os
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from ecgcourse.errors import EcgCourseWarning, SettingError, brief, is_real, is_whole, shown
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import ImageRecipe, SignalRecipe
from ecgcourse.records.beat_names import SPLITS
from ecgcourse.records.ptbxl_names import CLASSES, FOLDS, LABEL_SETS, LEADS
from ecgcourse.support import flags

# Characters that argparse writes of an error.
LONGEST_USAGE = 300
DATA_HELP = (
    "a PTB-XL folder, a manifest (CSV) of ECGs of your own, a folder of a PhysioNet Challenge, one of annotated beats "
    "(.atr, or Kachuee's CSV files), or a folder that `images` wrote (default: $ECGCOURSE_DATA, else the synthetic "
    "practice set)"
)
STATUSES = """exit status:
  0    done
  1    something that this package should have foreseen; --debug shows where
  2    bad input or usage; one line on stderr says what and where, and what to do
  130  stopped with Ctrl-C; one line on stderr says how to go on
"""
GOES_ON = "stopped; the same command goes on from here"
EXAMPLES = """examples:
  python -m ecgcourse train                                  train on the synthetic practice set
  python -m ecgcourse download PTB-XL --records 500          bring the first 500 records of PTB-XL
  python -m ecgcourse train PTB-XL --out runs/first          train on PTB-XL, images made on the fly
  python -m ecgcourse train PTB-XL --out runs/first --resume go on with it after an interruption
  python -m ecgcourse train PTB-XL --model resnet1d --leads 12 --optimizer adamw --learning-rate 0.003
  python -m ecgcourse train mine.csv --out runs/mine         train on ECGs of your own, listed in a table
  python -m ecgcourse evaluate runs/first --data PTB-XL      evaluate the best weights on the test fold
  python -m ecgcourse compare runs/first runs/second         tell whether one is better
  python -m ecgcourse sweep grid.toml PTB-XL --seeds 3       train all arms of a grid, and compare them
  python -m ecgcourse contest PTB-XL --add runs/first        see how far it gets beside others
  python -m ecgcourse predict runs/first mine.hea yours.csv  ask it about ECGs of your own
  python -m ecgcourse images mine.hea mine.png               draw one: paper and nine images
  python -m ecgcourse export runs/first first.onnx           take it along in one file
  python -m ecgcourse parameters resnet --set depth=50       count the weights of a model, layer by layer
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print the usage before it; here every error is one line.
        raise SettingError(f"{brief(message, LONGEST_USAGE)}; see `{self.prog} --help`")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        words = sys.argv[1:] if arguments is None else arguments
        # What the others may be told is looked up in modules whose import takes its time.
        parser = make_parser([name for name in COMMANDS if name in words])
        options = parser.parse_args(arguments)
        for name, value in vars(options).items():
            # What some versions of argparse make of `--name=--`.
            if isinstance(value, list) and name not in ("set", "files", "runs", "models", "folders", "add"):
                parser.error(f"--{name.replace('_', '-')} needs a value")
        return options
    except SettingError:
        # torchrun gives each process the same words, so that one of them is enough to tell what is wrong.
        if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":
            from ecgcourse.learning import distributed

            distributed.end_silently()
        raise


def progress_of(options: argparse.Namespace) -> bool | None:
    """Whether a command shows progress bars: with ``--quiet`` none, else on a terminal."""
    return False if options.quiet else None


def make_parser(filled: Collection[str] | None = None) -> argparse.ArgumentParser:
    """All commands, each with its options or, of those not to be `filled`, without."""
    parser = _Parser(
        prog="python -m ecgcourse",
        description="From a PTB-XL folder to nine images per ECG to a trained classifier.",
        epilog=EXAMPLES + "\n" + STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (summary, example, on_stop, add_options) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}\n\n{STATUSES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=name, on_stop=on_stop)
        command.add_argument("--quiet", action="store_true", help="print results, warnings and errors only")
        trace = "let an unforeseen error show where in the code it arose"
        command.add_argument("--debug", action="store_true", help=trace)
        if filled is None or name in filled:
            add_options(command)
    return parser


def _practice_options(parser: argparse.ArgumentParser) -> None:
    from ecgcourse.records import practice, practice_beats
    from ecgcourse.records.practice_people import HOSPITALS

    place = "folder to make (default: in the user's cache folder)"
    parser.add_argument("out", metavar="OUT", nargs="?", help=place)
    words = f"number of records; with --holter of patients, {practice_beats.DEFAULT_PATIENTS} if nobody says"
    words += f" (default: {practice.DEFAULT_RECORDS})"
    parser.add_argument("--records", metavar="RECORDS", type=_whole(1, practice.MOST_RECORDS), help=words)
    _option(parser, "--seed", 0, "chooses the patients", _whole(0, 2**63 - 1))
    other = "B is another hospital: other recorder, other patients, 500 Hz (default: A)"
    parser.add_argument("--hospital", choices=tuple(HOSPITALS), default="A", help=other)
    planted = "plant a shortcut: a hum of 16.7 Hz at the site where most patients with CLASS are recorded"
    parser.add_argument("--shortcut", metavar="CLASS", choices=CLASSES, help=planted)
    parser.add_argument("--beats", action="store_true", help="annotate each beat, in files .atr as MIT-BIH has them")
    words = "write two minutes of two leads of each patient instead, in MIT-BIH's form, to learn single beats"
    parser.add_argument("--holter", action="store_true", help=words)


def _download_options(parser: argparse.ArgumentParser) -> None:
    from ecgcourse.records import download, practice

    parser.add_argument("out", metavar="OUT", help="folder to fill, or to verify")
    number, take = _whole(1, practice.MOST_RECORDS), "take the first N records (default: all)"
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--records", type=number, metavar="N", help=take)
    these = "take these records, by their ecg_id: a list such as 1,9,17"
    choice.add_argument("--ids", type=_several(number), metavar="IDS", help=these)
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


def _import_original_options(parser: argparse.ArgumentParser) -> None:
    from ecgcourse.records import original

    parser.add_argument("folder", metavar="FOLDER", help=f"holds {', '.join(original.FILES[:2])}, …")
    parser.add_argument("out", metavar="OUT", help="folder to make, for X_train_processed.npy and its like")


def _images_options(parser: argparse.ArgumentParser) -> None:
    words = "a PTB-XL folder (default: as for `train`); for a drawing, ECGs, and folders in which all are looked for"
    parser.add_argument("files", metavar="DATA", nargs="*", help=words)
    words = (
        "gets one folder per partition; if it ends in .png, .pdf or .svg, a drawing of each ECG: paper, and the images "
        "of it (of several ECGs: OUT-NAME.png)"
    )
    parser.add_argument("out", metavar="OUT", help=words)
    parser.add_argument("--unit", choices=("mV", "uV"), help="for drawings, of files that don't tell theirs")
    _option(parser, "--partition", "train", "records to write", choices=(*FOLDS, "all"))
    _add_skip_bad(parser, "OUT/PARTITION/bad_records.csv")
    _add_task(parser)
    _add_recipe(parser, {"images": ImageRecipe})


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    _add_skip_bad(parser, "RUN/bad_records.csv")
    words = "cut records of your own into windows of SECONDS; shorter ones can't be used (default: 10)"
    parser.add_argument("--seconds", metavar="SECONDS", type=_seconds, help=words)
    parser.add_argument("--out", metavar="RUN", help="folder for the results (default: runs/DATE_TIME)")
    resume_help = "go on with the interrupted run in --out: the same command, settings and data; else begin it"
    parser.add_argument("--resume", action="store_true", help=resume_help)
    config_help = "settings from a TOML file, or from a run's config.json; options given besides go before them"
    parser.add_argument("--config", metavar="FILE", help=config_help)
    group = parser.add_argument_group("training")
    flags.add(group, TrainConfig, leave_out=("out", "progress"))
    group.add_argument("--l2-decay", dest="weight_decay", type=_as_float, action=_Former)
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME", help="an unknown one lists them all (default: alexnet)")
    own = "(default: the model's own)"
    words = f"filters of the model's first convolution; 8 for alexnet {own}"
    group.add_argument("--filters", metavar="FILTERS", type=_whole(1, 4096), help=words)
    group.add_argument("--dropout", metavar="DROPOUT", type=_as_float, help=f"dropout probability {own}")
    starts = ("pytorch", "he")
    group.add_argument("--init", choices=starts, help=f"how weights start; he wants adam {own}")
    group.add_argument("--initialisation", dest="init", choices=starts, action=_Former)
    words = "start each resnet of 64 filters from a state_dict of torchvision's resnet18, such as ImageNet's"
    group.add_argument("--image-weights", metavar="FILE", help=words)
    _add_set(group, "another setting of the model")
    _add_task(parser)
    _add_recipe(parser, {"images": ImageRecipe, "signals": SignalRecipe})


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote; gets the figures")
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    words = "records to evaluate; all of other data than the run's own"
    _option(parser, "--partition", "test", words, choices=(*FOLDS, "all"))
    _add_skip_bad(parser, "RUN/bad_records_PARTITION.csv")
    parser.add_argument("--json", metavar="FILE", help="write everything that is printed, and more, as JSON")
    words = "write one page of HTML: scores beside baselines, calibration, decisions, subgroups, the worst records"
    parser.add_argument("--report", metavar="FILE", help=words)
    _option(parser, "--batch-size", 64, "records at a time", _whole(1, 10**5))
    _option(parser, "--device", "auto", "as for `train`")


def _calibrate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote; its best.pt keeps the calibration")
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    words = "one number for all classes, or a slope and an offset for each"
    _option(parser, "--method", "temperature", words, choices=("temperature", "platt"))
    _option(parser, "--device", "auto", "as for `train`")


def _compare_options(parser: argparse.ArgumentParser) -> None:
    words = "folders that `evaluate` has judged, or CSV files of predictions like theirs"
    parser.add_argument("runs", metavar="RUN", nargs="+", help=words)
    _option(parser, "--partition", "test", "that was judged", choices=("val", "test"))
    words = "put models that see little in front: prevalence, age and sex, quantiles, one beat"
    parser.add_argument("--baselines", action="store_true", help=words)
    parser.add_argument("--data", metavar="DATA", help="a PTB-XL folder, for the baselines (default: as for `train`)")
    words = "which row the others are compared with, by its name (default: the first)"
    parser.add_argument("--against", metavar="NAME", help=words)
    _option(parser, "--n-bootstrap", 1000, "resamples of the patients", _whole(1, 10**6))
    parser.add_argument("--csv", metavar="OUT", help="write the table into a file, too")


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    words = "TOML file of arms, or of a grid of settings: see ecgcourse.analysis.grids"
    parser.add_argument("grid", metavar="GRID.toml", help=words)
    _add_folders(parser)
    words = "trainings of each arm (default: as many as the file says)"
    parser.add_argument("--seeds", metavar="SEEDS", type=_whole(1, 1000), help=words)
    _option(parser, "--processes", 1, "networks that are trained at a time", _whole(1, 256))
    words = "judge by cross-validation inside the folds 1 to 8, for choices, rather than by the folds 9 and 10"
    parser.add_argument("--cv", action="store_true", help=words)
    words = "enter models that see little, too: prevalence, age and sex, quantiles, one beat"
    parser.add_argument("--baselines", action="store_true", help=words)
    words = "folder for the table and for runs/, what is finished (default: runs/NAME of the file)"
    parser.add_argument("--out", metavar="OUT", help=words)
    _option(parser, "--n-bootstrap", 1000, "resamples of the patients", _whole(1, 10**6))


def _contest_options(parser: argparse.ArgumentParser) -> None:
    _add_folders(parser)
    words = "folder of a run, checkpoint, shipped network, or CSV file of answers; may be given several times"
    parser.add_argument("--add", metavar="ENTRY", action="append", help=words)
    words = "which row the others are compared with, by its name (default: median beat of 3 leads)"
    parser.add_argument("--against", metavar="NAME", help=words)
    _option(parser, "--n-bootstrap", 1000, "resamples of the patients", _whole(1, 10**6))
    parser.add_argument("--csv", metavar="OUT", help="write the table into a file, too")


def _add_folders(parser: argparse.ArgumentParser) -> None:
    words = "PTB-XL folders, whose records are taken together (default: $ECGCOURSE_DATA, else the practice set)"
    parser.add_argument("folders", metavar="DATA", nargs="*", help=words)


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote, or a checkpoint in it")
    parser.add_argument("files", metavar="FILE", nargs="+", help="ECGs, and folders in which all are looked for")
    parser.add_argument("--csv", metavar="OUT", help="write the table into a file rather than print it")
    words = "write it as JSON, with thresholds, calibration, what the network learned from; print that without OUT.json"
    parser.add_argument("--json", metavar="OUT.json", nargs="?", const="-", type=_json_file, help=words)
    words = "write one page of HTML: of each record paper, probabilities, images, which seconds mattered, quality"
    parser.add_argument("--report", metavar="OUT.html", help=words)
    parser.add_argument("--windows", action="store_true", help="a row for each window of a longer record")
    rate = "in Hz, of files that don't tell theirs"
    parser.add_argument("--sampling-rate", metavar="HZ", type=_hertz, help=rate)
    parser.add_argument("--unit", choices=("mV", "uV"), help="of files that don't tell theirs")
    _option(parser, "--device", "auto", "as for `train`")


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder that `train` wrote, or a checkpoint in it")
    words = "file to write: .pt2 for PyTorch; .onnx for ONNX Runtime, which needs ecgcourse[onnx]"
    parser.add_argument("out", metavar="OUT", help=words)
    words = "a PTB-XL folder, with whose records file and network are compared (default: as for `train`)"
    parser.add_argument("--data", metavar="DATA", help=words)


def _parameters_options(parser: argparse.ArgumentParser) -> None:
    words = "of one the layers are listed; an unknown one lists them all (default: all)"
    parser.add_argument("models", metavar="MODEL", nargs="*", help=words)
    _add_set(parser, "a setting of the models")
    words = "the model of a TOML file, or of a run's config.json, as for `train`"
    parser.add_argument("--config", metavar="FILE", help=words)


def _add_set(parser: argparse._ActionsContainer, words: str) -> None:
    words += ", such as hidden=64; may be given several times"
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], type=_pair, help=words)


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
    words += f"; of single beats, who judges: {' or '.join(SPLITS)}"
    group.add_argument("--task", metavar="SET", choices=(*LABEL_SETS, *SPLITS), help=words)
    words = "leave out classes that fewer records have (default: none)"
    group.add_argument("--min-records", metavar="N", type=_whole(0, 10**6), help=words)


def _add_recipe(parser: argparse.ArgumentParser, kinds: dict[str, type]) -> None:
    """What a network is fed; the defaults in the help are those of the recipes, a model may have its own."""
    for name, kind in kinds.items():
        group = parser.add_argument_group(f"{name} that a network is fed (default: the model's own)")
        flags.add(group, kind, f"{name}.", leads=_leads, fields=flags.names)
        if name == "images":
            words = "short for --images.size"
            group.add_argument("--size", dest="images.size", type=_as_int, default=argparse.SUPPRESS, help=words)
    words = "of the records (default: 100)" + ("" if "signals" in kinds else "; for drawings, of files without theirs")
    group.add_argument("--sampling-rate", metavar="HZ", type=_hertz, help=words)
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


_as_int, _as_float = (functools.partial(flags.number, kind) for kind in (int, float))


def _whole(least: int, most: int) -> Callable[[str], int]:
    return _number(int, lambda number: is_whole(number, least, most), f"a whole number from {least} to {most}")


def _number(kind: type, is_right: Callable[[float], bool], allowed: str) -> Callable[[str], float]:
    def convert(text: str) -> float:
        number = flags.number(kind, text)
        if not is_right(number):
            raise argparse.ArgumentTypeError(f"{shown(text)} isn't allowed; it must be {allowed}")
        return number

    return convert


def _several(convert: Callable[[str], int]) -> Callable[[str], tuple[int, ...]]:
    def convert_each(text: str) -> tuple[int, ...]:
        return tuple(convert(part.strip()) for part in text.split(","))

    return convert_each


_seconds = _number(float, lambda number: is_real(number, 0), "a number above 0")


def _json_file(text: str) -> str:
    # Else `--json mine.hea` would take an ECG for the file to write.
    if text != "-" and not text.lower().endswith(".json"):
        raise argparse.ArgumentTypeError(f"{shown(text)} doesn't end in .json; name the ECGs before --json")
    return text


_hertz = _number(float, lambda number: is_real(number, 0), "a number above 0")


class _Former(argparse.Action):
    """A hidden option under the name that it had, which warns with the new one."""

    def __init__(self, option_strings: Sequence[str], dest: str, **how):
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **how)

    def __call__(self, parser: object, options: argparse.Namespace, value: object, option: str | None = None) -> None:
        warnings.warn(f"{option} is called --{self.dest.replace('_', '-')} now", EcgCourseWarning, stacklevel=2)
        setattr(options, self.dest, value)


COMMANDS = {
    "practice": (
        "write the synthetic practice set, in the layout of PTB-XL",
        "python -m ecgcourse practice my-practice --records 100",
        "stopped; nothing was written",
        _practice_options,
    ),
    "download": (
        "download PTB-XL or its first records, or what is missing of them, and check every file",
        "python -m ecgcourse download PTB-XL --records 500",
        GOES_ON,
        _download_options,
    ),
    "import-original": (
        "write the pickled arrays of the original repository as .npy files, running nothing that is in them",
        "python -m ecgcourse import-original Processed arrays",
        "stopped; nothing was written",
        _import_original_options,
    ),
    "images": (
        "write the images as TIFF files: OUT/train/images/0.tif, …, OUT/train/labels/0.npy, …; or draw ECGs",
        "python -m ecgcourse images PTB-XL my-images --partition all\n  python -m ecgcourse images mine.hea mine.png",
        GOES_ON,
        _images_options,
    ),
    "train": (
        "train a model, and keep the weights with the lowest validation loss",
        "python -m ecgcourse train PTB-XL --optimizer adam --learning-rate 0.0001 --out runs/adam",
        "stopped; nothing was trained yet",
        _train_options,
    ),
    "calibrate": (
        "make a run's probabilities mean what they say, and fit its thresholds anew, on its validation set",
        "python -m ecgcourse calibrate runs/first --data PTB-XL",
        "stopped; the same command starts anew",
        _calibrate_options,
    ),
    "evaluate": (
        "evaluate the best weights of a run, with the thresholds that it fitted on its validation set",
        "python -m ecgcourse evaluate runs/first --data PTB-XL --json metrics.json",
        "stopped; the same command starts anew, with what was read of the data",
        _evaluate_options,
    ),
    "compare": (
        "compare runs by the same patients: scores, and differences with simultaneous intervals",
        "python -m ecgcourse compare runs/first runs/second --baselines --data PTB-XL",
        "stopped; nothing was written",
        _compare_options,
    ),
    "sweep": (
        "train all arms of a grid with several seeds, and compare them by the same patients",
        "python -m ecgcourse sweep grid.toml PTB-XL --seeds 5 --processes 2",
        GOES_ON,
        _sweep_options,
    ),
    "contest": (
        "hold networks of yours against baselines, shipped networks and each other, on the folds 9 and 10",
        "python -m ecgcourse contest PTB-XL --add runs/first --add answers.csv --add signals",
        "stopped; nothing was written",
        _contest_options,
    ),
    "predict": (
        "ask a trained network about ECGs of your own: WFDB, CSV, NumPy, EDF",
        "python -m ecgcourse predict runs/first mine.hea yours.csv --csv answers.csv --report answers.html",
        "stopped; nothing was written",
        _predict_options,
    ),
    "export": (
        "write a trained network into one file that needs no more of this package: millivolts in, probabilities out",
        "python -m ecgcourse export runs/first first.onnx --data PTB-XL",
        "stopped; nothing was written",
        _export_options,
    ),
    "parameters": (
        "count the weights of models without making them: of all, of some, or of one layer by layer",
        "python -m ecgcourse parameters resnet --set depth=50",
        "stopped",
        _parameters_options,
    ),
}
"""What each command does, an example, what it says when it is stopped, and its options."""
