"""The commands that judge beside ``evaluate``: ``compare`` and ``calibrate``; and the page of its ``--report``."""

import argparse
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgcourse.cli_words import progress_of
from ecgcourse.errors import SettingError, brief
from ecgcourse.recipe import Task
from ecgcourse.records.ptbxl_names import FOLDS
from ecgcourse.support.files import atomic_write, read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import nn

    from ecgcourse.analysis.evaluation import Report
    from ecgcourse.analysis.predictions import Predictions
    from ecgcourse.learning.datasets import AnyDataset

_LONGEST_NAME = 40


def compare(options: argparse.Namespace) -> None:
    """Compare runs, and baselines if asked for, on the records that all of them were asked about; print a table."""
    from ecgcourse.analysis import baselines, comparison
    from ecgcourse.records import practice

    models = {str(run): _read(Path(run), options.partition) for run in options.runs}
    if options.baselines:
        first = next(iter(models.values()))
        data = practice.find(options.data, progress=progress_of(options))
        where = {"judged_folds": FOLDS[options.partition], "task": first.task, "progress": progress_of(options)}
        models = {name: each.of(first.ecg_id) for name, each in baselines.predict(data, **where).items()} | models
    table = comparison.compare(models, options.against, options.n_bootstrap)
    print(table_in_words(table))
    if options.csv:
        with atomic_write(Path(options.csv)) as temporary:
            table.to_csv(temporary, lineterminator="\n", errors="backslashreplace")


def calibrate(options: argparse.Namespace) -> None:
    """Fit a calibration of a run's best weights to its validation set, and keep it with them."""
    from ecgcourse.analysis import calibration
    from ecgcourse.classifier import Classifier
    from ecgcourse.learning import datasets, runs, training
    from ecgcourse.models.checkpoint import read_checkpoint
    from ecgcourse.records import practice

    run = Path(options.run)
    path = run / runs.BEST
    classifier, content = Classifier.load(run, options.device), read_checkpoint(path)
    data = practice.find(options.data, progress=progress_of(options))
    settings = {"recipe": classifier.recipe, "task": classifier.task, "progress": progress_of(options)}
    dataset = datasets.from_data(data, "val", device=training.pick_device(options.device), **settings)
    classifier.model.calibration = None
    before = classifier.predictions(dataset)
    fitted = classifier.calibrate(dataset, options.method)
    after = classifier.predictions(dataset)
    # Of the epoch that they are of, as training noted it.
    training.save_checkpoint(path, classifier.model, **{name: content.get(name) for name in ("epoch", "val_loss")})
    if classifier.thresholds is not None and (run / runs.THRESHOLDS).exists():
        thresholds = dict(zip(classifier.task.classes, classifier.thresholds.tolist(), strict=True))
        noted = read_json(run / runs.THRESHOLDS) | {"thresholds": thresholds, "calibration": fitted.to_dict()}
        write_json(run / runs.THRESHOLDS, noted)
    print(f"{options.method}, fitted to {len(before)} validation records; kept in {path}")
    for name, slope, offset in zip(classifier.task.classes, fitted.slopes, fitted.offsets, strict=True):
        print(f"{name}: logit x {slope:.3f} {offset:+.3f}")
    for words, each in (("before", before), ("after", after)):
        error = calibration.expected_error(each.y_true, each.y_prob)
        print(f"{words}: Brier score {calibration.brier(each.y_true, each.y_prob):.4f}, calibration error {error:.4f}")


def tell(
    options: argparse.Namespace,
    data: Path,
    learned: str | None,
    dataset: "AnyDataset",
    model: "nn.Module",
    said: "Predictions",
    thresholds: "np.ndarray | float",
    source: str,
) -> None:
    """Print the report of ``evaluate``, and write what it was asked for: JSON, a page, figures.

    `learned` names the data that the run has learned from, where these are others.
    """
    from ecgcourse.analysis import evaluation, plots
    from ecgcourse.learning import datasets, sources

    heading, run = "", Path(options.run)
    if learned:
        heading = f"external validation on {describe(data)} of what was learned from {learned}\n"
        classes = sources.judged_classes(said.y_true, said.task)
        if classes != said.task.classes:
            kept = [said.task.classes.index(name) for name in classes]
            thresholds = thresholds if isinstance(thresholds, float) else thresholds[kept]
            said = said.of_classes(classes)
    y_true, y_prob, task = said.y_true, said.y_prob, said.task
    report = evaluation.report(y_true, y_prob, thresholds, task=task, groups=said.patient_id)
    heading += f"data: {describe(data)}, partition {options.partition}{left_out([dataset], task)}\nthresholds: {source}"
    print(f"{heading}\n\n{report}\n")
    if options.json:
        about = {"run": str(run), "data": str(data), "synthetic": datasets.is_synthetic(data)}
        about |= {"partition": options.partition, "thresholds_from": source, "external": learned is not None}
        about |= {"learned_from": learned} if learned else {}
        write_json(Path(options.json), about | report.to_dict())
    if options.report:
        write_report(options, data, source, dataset, model, said, report)
    words = f"{title(data)}, {options.partition}"
    if learned:
        words = f"External validation on {words}\nof what was learned from {brief(learned)}".replace("$", r"\$")
    save_figure(plots.roc(y_true, y_prob, words, classes=task.classes), run / f"roc_{options.partition}.png")
    if task.is_multiclass:
        figure = plots.confusion_matrix(report.matrix, task.classes, words)
    else:
        figure = plots.confusion_tables(report.confusion, words, classes=task.classes)
    save_figure(figure, run / f"confusion_{options.partition}.png")


def write_report(
    options: argparse.Namespace,
    data: Path,
    source: str,
    dataset: "AnyDataset",
    model: "nn.Module",
    said: "Predictions",
    report: "Report",
) -> None:
    """Write the page of ``evaluate --report``: of a PTB-XL folder with baselines, subgroups and the worst records."""
    from ecgcourse.analysis import html_page, report_page
    from ecgcourse.records import ptbxl

    run, compared = Path(options.run), None
    whole, synthetic = ptbxl.is_ptbxl(data), bool(getattr(dataset, "synthetic", False))
    if whole and options.partition != "train":
        folds = FOLDS[options.partition]
        compared = report_page.with_baselines(said, data, folds, run.name, progress_of(options))
    facts = {
        "run": run,
        "model": type(model).__name__,
        "weights": f"{sum(weights.numel() for weights in model.parameters()):,}",
        "data": f"{data} ({'synthetic practice set' if synthetic else 'not made by this package'})",
        "partition": options.partition,
        "records": len(said),
        "patients": "unknown" if report.n_patients is None else report.n_patients,
        "thresholds": source,
        "calibration": (model.calibration or {}).get("method", "none: the network's own probabilities"),
    }
    heading = f"{run.name} on {data.name}, {options.partition}"
    page = report_page.make(heading, facts, said, report, model, dataset, data if whole else None, compared)
    html_page.write(options.report, page)


def left_out(opened: "Sequence[AnyDataset]", task: Task) -> str:
    """How many records have no label, in words; nothing where all have one."""
    count = sum(getattr(dataset, "n_unlabelled", 0) for dataset in opened)
    words = "others have" if count > 1 else "other has"
    ends = "stay" if count > 1 else "stays"
    return f"; {count} {words} no label of the set {task.label_set} and {ends} out" if count else ""


def save_figure(figure: "Figure", path: Path) -> None:
    with atomic_write(path) as temporary, warnings.catch_warnings():
        # The name of a folder may have characters that the font hasn't.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(temporary, dpi=150)


def describe(data: str | Path) -> str:
    from ecgcourse.learning import datasets

    return f"{data} (synthetic practice set)" if datasets.is_synthetic(data) else str(data)


def title(data: str | Path) -> str:
    # Between two dollar signs, Matplotlib reads formulas.
    return brief(describe(data)).replace("$", r"\$")


def table_in_words(table: "pd.DataFrame") -> str:
    """The table of a comparison, or of a contest, which has costs too, as lines for a terminal."""
    about, width = table.attrs, max(14, *(len(_short(name)) for name in table.index)) + 2
    drawn = "" if about["patients"] is None else f" of {about['patients']} patients"
    against = "" if about["against"] is None else f"differences to {_short(about['against'])}; "
    columns = {"weights": ("weights", 12, ",.0f"), "cpu_seconds": ("CPU s", 10, ",.1f"), "cpu_ms": ("CPU ms", 9, ".1f")}
    costs = {name: how for name, how in columns.items() if name in table}
    lines = [
        f"{about['records']} records{drawn}; {against}95 % intervals, those of differences for all at once (max-t)",
        "",
        f"{'':<{width}}{'macro AUROC':>22}{'difference':>26}{'Brier':>9}{'ECE':>9}{'by chance':>11}"
        + "".join(f"{words:>{wide}}" for words, wide, _ in costs.values()),
    ]
    for name, row in table.iterrows():
        ends = f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
        lines.append(
            f"{_short(name):<{width}}"
            f"{row['auroc']:>8.3f} ({row['low']:.3f}-{row['high']:.3f})"
            f"{'-' if math.isnan(row['difference']) else ends:>26}"
            f"{row['brier']:>9.3f}{row['ece']:>9.3f}{row['ece_by_chance']:>11.3f}"
            + "".join(f"{_known(row[cost], how):>{wide}}" for cost, (_, wide, how) in costs.items())
        )
    return "\n".join([*lines, *(f"note: {brief(note, 300)}" for note in about["notes"])])


def _known(number: float, how: str) -> str:
    return "-" if math.isnan(number) else f"{number:{how}}"


def _short(name: str) -> str:
    """A name that fits the table: of a path the end, which says more than its beginning does."""
    too_long = len(name) > _LONGEST_NAME and os.sep in name
    return brief(f"…{name[1 - _LONGEST_NAME :]}" if too_long else name, _LONGEST_NAME)


def _read(run: Path, partition: str) -> "Predictions":
    """Stored predictions: of a run, or of a CSV file that anybody made."""
    from ecgcourse.analysis.predictions import Predictions, file_name

    if not run.is_dir():
        return Predictions.read(run)
    path = run / file_name(partition)
    if not path.exists():
        raise SettingError(f"{run} has no {path.name}; `python -m ecgcourse evaluate {run}` writes it")
    return Predictions.read(path, _task(run))


def _task(run: Path) -> "Task | None":
    from ecgcourse.learning import runs
    from ecgcourse.models.checkpoint import read_checkpoint

    path = run / runs.BEST
    return read_checkpoint(path)["task"] if path.exists() else None
