"""Everything that is known of a run in one self-contained page of HTML.

It stands on stored predictions; the network itself is asked only why it was wrong.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import nn
from torch.utils.data import Dataset

from ecgcourse.analysis import baselines, calibration, comparison, decisions, plots, subgroups
from ecgcourse.analysis.answers import NO_DEVICE
from ecgcourse.analysis.evaluation import METRICS, NONE, Report
from ecgcourse.analysis.html_page import (
    NOT_DRAWN,
    Section,
    Table,
    as_lines,
    as_pixels,
    explained,
    facts_table,
    fed,
    render,
)
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.errors import EcgCourseError
from ecgcourse.learning import metrics
from ecgcourse.recipe import Task
from ecgcourse.records import ptbxl

COSTS = (1, 5, 20)
"""How much worse a missed diagnosis is than a false alarm, in the table of thresholds."""

MOST_COLUMNS = 12
"""Of a table of classes against classes; a wider one can't be read."""

_COUNTS = "True and false positives and negatives at the first thresholds above"
_CROSS = (
    "Records that have a class (row) and for which another was predicted (column), at the same thresholds; a record is "
    "in as many rows as it has classes"
)
_TITLES = {"auroc": "AUROC", "average_precision": "average precision", "f1": "F1"}


def make(
    title: str,
    facts: Mapping[str, object],
    predictions: Predictions,
    report: Report,
    model: nn.Module,
    dataset: Dataset,
    root: str | os.PathLike | None = None,
    compared: pd.DataFrame | None = None,
    n_worst: int = 4,
) -> str:
    """Make the page of one model on one partition.

    Parameters
    ----------
    title : str
    facts : dict
        What is told of data and training, such as the folder of the data.
    predictions : Predictions
        Of the judged records.
    report : Report
        Of these.
    model : nn.Module
        Which is asked why it was wrong.
    dataset : Dataset
        That it was judged on, with a ``table`` if it is of PTB-XL.
    root : path, optional
        The PTB-XL folder behind it, for subgroups and drawings of records; None for neither.
    compared : DataFrame, optional
        From :func:`ecgcourse.analysis.comparison.compare`; None for no such table.
    n_worst : int
        How many of the worst records are drawn.

    Returns
    -------
    str
        HTML.
    """
    sections = [
        _about(facts, predictions, model),
        _scores(predictions, report, compared),
        _calibrated(predictions),
        _decided(predictions, report),
    ]
    if root is not None:
        sections += [_by_group(predictions, report, dataset.table), _worst(predictions, model, dataset, root, n_worst)]
    synthetic = bool(getattr(dataset, "synthetic", False))
    sections.append(_limits(predictions, synthetic))
    words = ("Synthetic records.", "A program made them; no score here says anything about patients.")
    return render(title, sections, [words] if synthetic else [])


def with_baselines(
    predictions: Predictions, root: str | os.PathLike, judged_folds: Sequence[int], name: str, progress: bool | None
) -> pd.DataFrame:
    """Compare a model with all baselines on its records, each with the first of them."""
    asked = baselines.predict(root, judged_folds=judged_folds, task=predictions.task, progress=progress)
    of_these = {each: said.of(predictions.ecg_id) for each, said in asked.items()}
    return comparison.compare(of_these | {name: predictions})


# --- sections


def _about(facts: Mapping[str, object], predictions: Predictions, model: nn.Module) -> Section:
    task = predictions.task
    kind = "exactly one class for each record" if task.is_multiclass else "any number of classes for each record"
    classes = [
        (name, (int(count), f"{count / len(predictions):.1%}"))
        for name, count in zip(task.classes, predictions.y_true.sum(axis=0), strict=True)
    ]
    return Section(
        "about",
        "Data, recipe and task",
        [
            facts_table("What was judged", facts),
            fed(model.recipe),
            {"words": f"It answers a probability for each of {len(task.classes)} classes: {kind}."},
            Table("Records that have each class", ("class", "records"), classes),
        ],
    )


def _scores(predictions: Predictions, report: Report, compared: pd.DataFrame | None) -> Section:
    frame, task = report.to_frame(), predictions.task
    heads = ("class", *(_TITLES.get(metric, metric) for metric in METRICS))
    rows = [
        (name, *(_with_ends(row, metric) for metric in METRICS))
        for name, row in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    drawn = "records" if report.n_patients is None else "patients"
    caption = f"Scores; below each its 95 % interval, from {report.n_bootstrap} bootstrap resamples of {drawn}"
    parts = [Table(caption, heads, rows), {"points": report.notes}] if report.notes else [Table(caption, heads, rows)]
    if compared is not None:
        parts.append(_comparison(compared))
    truth, said = predictions.y_true, predictions.y_prob
    areas = ", ".join(f"{name} {area:.2f}" for name, area in report.per_class["auroc"].items())
    found = ", ".join(f"{name} {area:.2f}" for name, area in report.per_class["average_precision"].items())
    parts.append(
        as_lines(
            plots.roc(truth, said, classes=task.classes),
            "roc",
            "ROC curves",
            f"ROC curve of each class; AUROC: {areas}.",
        )
    )
    words = "Precision against sensitivity; above each its average precision, grey: what guessing reaches"
    figure = plots.precision_recall(truth, said, classes=task.classes)
    parts.append(as_lines(figure, "pr", words, f"Precision-recall curve of each class; average precision: {found}."))
    return Section("scores", "Scores", parts)


def _comparison(compared: pd.DataFrame) -> Table:
    rows = []
    for name, row in zip(compared.index, compared.to_dict("records"), strict=True):
        first = name == compared.attrs["against"]
        rows.append(
            (
                name,
                (f"{row['auroc']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"),
                (NOT_DRAWN, "")
                if first
                else (f"{row['difference']:+.3f}", f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"),
                (f"{row['brier']:.3f}", ""),
                (f"{row['ece']:.3f}", f"{row['ece_by_chance']:.3f} by chance"),
            )
        )
    caption = (
        f"Beside models that see little; differences to {compared.attrs['against']}, of the same patients, with 95 % "
        "intervals for all at once"
    )
    return Table(caption, ("model", "macro AUROC", "difference", "Brier score", "calibration error"), rows)


def _calibrated(predictions: Predictions) -> Section:
    rows, task = [], predictions.task
    for name, t, p in zip(task.classes, predictions.y_true.T, predictions.y_prob.T, strict=True):
        parts = calibration.brier_parts(t, p)
        error, by_chance = calibration.expected_error(t, p), calibration.expected_error_by_chance(p)
        cells = [(f"{value:.3f}", "") for value in parts.values()]
        rows.append((name, *cells, (f"{error:.3f}", f"{by_chance:.3f} by chance")))
    heads = ("class", "Brier score", "reliability", "resolution", "uncertainty", "within bins", "calibration error")
    words = "Bars: 95 % intervals. On the diagonal, probabilities mean what they say"
    figure = plots.reliability(predictions.y_true, predictions.y_prob, classes=task.classes)
    return Section(
        "calibration",
        "Calibration",
        [
            {
                "words": "Of all records that are given 0.3, three in ten should have the class. The calibration error "
                "is never zero: by chance it would be as large as the small number says."
            },
            Table("Brier score = reliability − resolution + uncertainty + within bins", heads, rows),
            as_lines(
                figure, "reliability", words, "Reliability curve of each class; its numbers are in the table above."
            ),
        ],
    )


def _decided(predictions: Predictions, report: Report) -> Section:
    task = predictions.task
    words = "Net benefit, in true positives per record; a model is of use where it lies above both rules"
    figure = plots.decision_curve(predictions.y_true, predictions.y_prob, classes=task.classes)
    curve = as_lines(
        figure, "decisions", words, "Decision curve of each class: the model, treating all, treating none."
    )
    if report.thresholds is None:
        return Section("decisions", "Decisions", [{"words": "The most probable class is predicted."}, curve])
    chosen = {"G-mean, fitted on the validation set": report.thresholds}
    chosen |= {f"false negative : false positive = {cost} : 1": decisions.cost_threshold(cost) for cost in COSTS}
    rows = []
    for rule, thresholds in chosen.items():
        table = metrics.confusion(predictions.y_true, metrics.apply_thresholds(predictions.y_prob, thresholds))
        rates = zip(
            np.broadcast_to(thresholds, len(task.classes)), metrics.sensitivity(table), metrics.specificity(table),
            strict=True,
        )  # fmt: skip
        rows.append((rule, *((f"{at:.3f}", f"{found:.2f} / {spared:.2f}") for at, found, spared in rates)))
    caption = (
        "Thresholds; below each sensitivity / specificity. Those from costs hold for calibrated probabilities only"
    )
    parts = [Table(caption, ("rule", *task.classes), rows), *_counted(task, report)]
    return Section("decisions", "Decisions", [*parts, curve])


def _counted(task: Task, report: Report) -> list[Table]:
    """Right and wrong decisions of each class and of none, and which classes were said for which."""
    names = (*task.classes, NONE)

    def table(caption: str, heads: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
        rows = [(name, *((count, "") for count in row)) for name, row in zip(names, counts, strict=True)]
        return Table(caption, heads, rows)

    made = [table(_COUNTS, ("class", *metrics.COLUMNS), [*report.confusion.tolist(), report.none.tolist()])]
    if len(names) <= MOST_COLUMNS:
        made.append(table(_CROSS, ("has", *names), report.cross.tolist()))
    return made


def _by_group(predictions: Predictions, report: Report, table: pd.DataFrame) -> Section:
    thresholds = 0.5 if report.thresholds is None else report.thresholds
    found = subgroups.table(predictions, subgroups.of_table(table), thresholds)
    rows = []
    for row in found.to_dict("records"):
        cells = [(row["records"], f"{row['positives']} have it"), (row["patients"], "")]
        if row["note"]:
            cells += [tuple(row["note"].split(": ")), (NOT_DRAWN, ""), (NOT_DRAWN, "")]
        else:
            cells += [_with_ends(row, measure) for measure in subgroups.MEASURES]
        rows.append((f"{row['by']}: {row['group']}, {row['class']}", *cells))
    heads = ("group and class", "records", "patients", "AUROC", "sensitivity", "predicted − observed")
    words = (
        f"A group is judged where at least {subgroups.LEAST} of its patients have the class and as many haven't. "
        "Intervals are of each group alone; with so many of them, some look apart by chance."
    )
    caption = "Scores by subgroup; below each its 95 % interval"
    return Section("subgroups", "Subgroups", [{"words": words}, Table(caption, heads, rows)])


def _worst(
    predictions: Predictions, model: nn.Module, dataset: Dataset, root: str | os.PathLike, n_worst: int
) -> Section:
    worst = subgroups.worst(predictions, n_worst)
    voltages = ptbxl.read_signals(root, dataset.table.loc[worst["ecg_id"]], progress=False)
    parts = [{"words": "Their answers are furthest from their labels: mistakes of the network, or of a label."}]
    synthetic = bool(getattr(dataset, "synthetic", False))
    for record, row in zip(voltages, worst.to_dict("records"), strict=True):
        has = "has" if row["has_it"] else "doesn't have"
        words = f"Record {row['ecg_id']} {has} {row['class']}; the network says {row['probability']:.3f}"
        parts.append({"heading": f"Record {row['ecg_id']}"})
        paper = plots.ecg_paper(record, 100, synthetic=synthetic)
        parts.append(as_pixels(paper, words, f"12-lead ECG on paper, 25 mm/s, 10 mm/mV. {words}.", 80))
        place = int(np.flatnonzero(predictions.ecg_id == row["ecg_id"])[0])
        try:
            figure, _ = explained(model, dataset, place, row["class"])
        except EcgCourseError as error:
            parts.append({"words": f"Why, isn't shown: {error}"})
            continue
        words = f"What spoke for {row['class']} (red) and against it (blue), by integrated gradients"
        parts.append(as_pixels(figure, words, f"The leads that the network sees, coloured. {words}.", 100))
    return Section("worst", "Worst records", parts)


def _limits(predictions: Predictions, synthetic: bool) -> Section:
    points = [
        NO_DEVICE,
        "Intervals hold the chance by which these patients came to be judged, not that of training, nor of choosing "
        "this model among others on the same records.",
        "Scores are of one source of records. Elsewhere devices, patients and labels differ, and scores fall.",
        "Labels are of cardiologists, who err and disagree; a class that isn't named may still be there.",
    ]
    if synthetic:
        points.insert(0, "The records are synthetic: the scores say nothing about patients.")
    if predictions.patient_id is None:
        points.append("Nobody told whose records they are, so intervals take each for another patient's.")
    return Section("limits", "Limits of use", [{"points": points}])


# --- cells


def _with_ends(row: Mapping[str, float], name: str) -> tuple[str, str]:
    return f"{row[name]:.3f}", f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
