"""What a network said to ECGs, one section each, in one self-contained page of HTML."""

import warnings
from collections.abc import Mapping

import numpy as np
from torch import nn

from ecgcourse.analysis import drawings, plots, quality
from ecgcourse.analysis.answers import NO_DEVICE, Answer, Answers, seconds_of
from ecgcourse.analysis.html_page import (
    NOT_DRAWN,
    Picture,
    Section,
    Table,
    as_lines,
    as_pixels,
    explained,
    facts_table,
    fed,
    render,
)
from ecgcourse.errors import EcgCourseError, EcgCourseWarning
from ecgcourse.learning import datasets
from ecgcourse.records import own_files
from ecgcourse.records.own_files import Ecg
from ecgcourse.support.progress_bar import progress_bar

MOMENT = 0.5
"""Seconds that are taken together when it is told which mattered most."""


def make(
    title: str,
    facts: Mapping[str, object],
    answers: Answers,
    model: nn.Module,
    sampling_rate: float | None = None,
    unit: str | None = None,
    progress: bool | None = None,
) -> str:
    """Make the page: what was said, each record, the files that couldn't be used, the network.

    Parameters
    ----------
    title : str
    facts : dict
        What is told of the network beside what it tells itself, such as the folder of the run.
    answers : Answers
    model : nn.Module
        That gave them, which is asked why.
    sampling_rate, unit
        Of files that don't tell theirs, as they were given when the network was asked.
    progress : bool, optional
        Show a progress bar; None shows it on a terminal only, once this takes a while.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    DataError
        A file that can't be read again.
    """
    sections = [_overview(answers)]
    bar = progress_bar(progress, delay=2, iterable=answers.files, desc="drawing", unit="file")
    for number, answer in enumerate(bar, start=1):
        ecg = own_files.read(answer.file, sampling_rate, unit)
        sections.append(_Record(number, answer, ecg, answers, model).section())
    if answers.bad_files:
        rows = [(file, (reason, "")) for file, reason in answers.bad_files.items()]
        parts = [Table("Files that are left out", ("file", "reason"), rows, words=True)]
        sections.append(Section("bad-files", "Files that couldn't be used", parts))
    sections += [_network(facts, answers, model), _limits(answers)]
    at_the_top = [("No medical device.", "For teaching and research; nobody's treatment may depend on this page.")]
    if answers.network["learned_from"]["synthetic"]:
        words = "A program made the records that this network learned from; of patients it knows nothing."
        at_the_top.append(("Learned from synthetic records.", words))
    return render(title, sections, at_the_top)


def _overview(answers: Answers) -> Section:
    rows = []
    for number, answer in enumerate(answers.files, start=1):
        decided = answers.decide(answer.probabilities[None])[0]
        cells = [(f"{p:.3f}", "predicted" if yes else "") for p, yes in zip(answer.probabilities, decided, strict=True)]
        rows.append((f"{number}. {answer.file}", *cells))
    parts = [{"words": _counted(answers)}]
    if rows:
        parts.append(Table(_kind_of_probability(answers), ("record", *answers.task.classes), rows))
    return Section("answers", "Answers", parts)


def _counted(answers: Answers) -> str:
    asked, bad = len(answers.files), len(answers.bad_files)
    words = f"The network was asked about {asked} record{'' if asked == 1 else 's'}."
    return words + (f" {bad} file{'' if bad == 1 else 's'} couldn't be used." if bad else "")


def _kind_of_probability(answers: Answers) -> str:
    calibration = answers.network["calibration"]
    if calibration is None:
        return "Probability of each class, as the network gives it: not calibrated"
    return f"Probability of each class, calibrated on the validation set ({calibration['method']})"


class _Record:
    """One record, the window of it that is drawn, and what is told of both."""

    def __init__(self, number: int, answer: Answer, ecg: Ecg, answers: Answers, model: nn.Module):
        self.number, self.answer, self.ecg, self.answers, self.model = number, answer, ecg, answers, model
        self.classes = answers.task.classes
        limits = np.zeros(len(self.classes)) if answers.thresholds is None else answers.thresholds
        self.decided = answers.decide(answer.probabilities[None])[0].astype(bool)
        # The class that is furthest above its threshold, or the least below it.
        k = int(np.argmax(answer.probabilities - limits))
        self.target, self.window = self.classes[k], int(np.argmax(answer.of_windows[:, k]))
        self.start, self.n_seconds = float(answer.starts[self.window]), seconds_of(model)
        with warnings.catch_warnings():
            # Of leads that are taken for others, which was said when the network was asked.
            warnings.simplefilter("ignore", EcgCourseWarning)
            needed = own_files.with_leads(ecg, model.recipe.leads)
        first = round(self.start * ecg.sampling_rate)
        x = needed.signal[:, first : first + round(self.n_seconds * ecg.sampling_rate)]
        self.x, self.leads = x, needed.leads

    def section(self) -> Section:
        parts = [facts_table("The record", self._facts()), self._table(), self._bars()]
        parts += [{"heading": "The ECG"}, *self._drawn_window(), self._paper()]
        if self.model.recipe.images is not None:
            parts += [{"heading": "The images that the network was fed"}, *self._images()]
        parts += [{"heading": f"Which seconds mattered for {self.target}"}, *self._seconds()]
        parts += [{"heading": "Quality of the recording"}, *self._quality()]
        return Section(f"record-{self.number}", f"{self.number}. {self.ecg.name}", parts)

    def _facts(self) -> dict[str, object]:
        ecg, about = self.ecg, self.ecg.about
        facts = {"file": self.answer.file, "format": about.get("format", "unknown")}
        facts["leads"] = ", ".join(ecg.leads)
        facts["length"] = f"{ecg.signal.shape[1] / ecg.sampling_rate:g} s at {ecg.sampling_rate:g} Hz"
        facts |= {name: about[name] for name in ("age", "sex") if about.get(name) not in (None, "")}
        windows, left_out = len(self.answer.starts), self.answer.left_out
        facts["windows"] = f"{windows} of {self.n_seconds:g} s" + (f"; {left_out} left out, with gaps" * bool(left_out))
        derived = [name for name in self.leads if name not in ecg.leads]
        if derived:
            facts["leads taken from others"] = ", ".join(derived)
        if drawings.is_synthetic(ecg):
            facts["synthetic"] = "a program made this record; it is nobody's"
        return facts

    def _table(self) -> Table:
        limits, rows = self.answers.thresholds, []
        for k, name in enumerate(self.classes):
            of_windows = self.answer.of_windows[:, k]
            spread = f"windows: {of_windows.min():.3f} to {of_windows.max():.3f}" if len(of_windows) > 1 else ""
            limit = NOT_DRAWN if limits is None else f"{limits[k]:.3f}"
            rows.append(
                (
                    name,
                    (f"{self.answer.probabilities[k]:.3f}", spread),
                    (limit, ""),
                    ("yes" if self.decided[k] else "no", ""),
                )
            )
        return Table(_kind_of_probability(self.answers), ("class", "probability", "threshold", "predicted"), rows)

    def _bars(self) -> Picture:
        said = self.answer.probabilities
        calibrated = "" if self.answers.network["calibration"] is None else "calibrated "
        figure = plots.probabilities(said, self.answers.thresholds, self.classes, f"{calibrated}probability")
        ticks = "" if self.answers.thresholds is None else "; the upright line is the threshold of each class"
        caption = f"Orange: predicted, blue: not predicted{ticks}"
        told = ", ".join(f"{name} {value:.3f}" for name, value in zip(self.classes, said, strict=True))
        return as_lines(figure, f"bars-{self.number}", caption, f"Bars of the probabilities: {told}.")

    def _drawn_window(self) -> list[dict]:
        if len(self.answer.starts) == 1 and self.ecg.signal.shape[1] == self.x.shape[1]:
            return []
        here = self.answer.of_windows[self.window, self.classes.index(self.target)]
        words = (
            f"The record is longer than what the network sees at a time. Drawn here and below is the window with the "
            f"highest probability of {self.target}, {here:.3f}: from {self.start:g} to {self.start + self.n_seconds:g} "
            f"s. The probabilities above are of all its {len(self.answer.starts)} windows."
        )
        return [{"words": words}]

    def _paper(self) -> Picture:
        figure = drawings.paper(self.ecg, self.start, self.n_seconds, self.ecg.name)
        caption = "As it was recorded, unfiltered; 25 mm/s, 10 mm/mV"
        own = f"its leads are {', '.join(self.ecg.leads)}"
        return as_pixels(figure, caption, f"The ECG on paper, {caption[0].lower()}{caption[1:]}; {own}.", 80)

    def _images(self) -> list:
        recipe = self.model.recipe
        images = recipe.images
        made = drawings.image_arguments(self.x, self.ecg.sampling_rate, self.leads, images, recipe.sampling_rate)
        caption = f"{', '.join(images.fields)} of {', '.join(images.leads)}; at the left the scaled signal"
        if images.crop and images.eval_crops > 1:
            caption += f"; the middle one of {images.eval_crops} crops"
        if "MTF" in images.fields:
            caption += ". Those of MTF are drawn brighter than they are"
        alt = f"{len(made['images'])} grey images, a row for each lead: {caption}."
        return [as_pixels(plots.nine_images(**made), caption, alt, 100)]

    def _seconds(self) -> list:
        recipe = self.model.recipe
        labels = np.zeros((1, len(self.classes)))
        try:
            dataset = datasets.from_arrays(
                self.x[None], labels, self.ecg.sampling_rate, recipe=recipe, leads=list(self.leads)
            )
            figure, found = explained(self.model, dataset, 0, self.target)
        except EcgCourseError as error:
            return [{"words": f"Isn't shown: {error}"}]
        at = _strongest(found.sum(axis=0), recipe.sampling_rate, self.start)
        offset = f"; second 0 of the picture is second {self.start:g} of the record" if self.start else ""
        words = f"What spoke for {self.target} (red) and against it (blue), by integrated gradients{offset}"
        told = f"Most of what spoke for {self.target} lies at {at}." if at else f"Nothing spoke for {self.target}."
        picture = as_pixels(figure, words, f"The leads that the network sees, coloured. {words}. {told}", 100)
        k = self.classes.index(self.target)
        asked = (
            "the class furthest above its threshold" if self.decided[k] else "the class that is nearest to predicted"
        )
        asked = "the most probable class" if self.answers.thresholds is None else asked
        told = f"{self.target} is {asked}. {told} That is what the network used, not a medical reason."
        return [{"words": told}, picture]

    def _quality(self) -> list:
        measured = quality.measure(self.ecg, self.start, self.n_seconds)
        rows = []
        for name, row in zip(measured.index, measured.to_dict("records"), strict=True):
            cells = [(NOT_DRAWN if np.isnan(row["height"]) else f"{row['height']:.2f} mV", "")]
            cells += [(NOT_DRAWN if np.isnan(row["wander"]) else f"{row['wander']:.2f} mV", "")]
            cells += [(NOT_DRAWN if np.isnan(row["noise"]) else f"{1000 * row['noise']:.1f} µV", "")]
            rows.append((name, *cells, (row["words"] or NOT_DRAWN, "")))
        heads = ("lead", "height", "wander of the baseline", "noise", "remark")
        caption = "From lowest to highest sample; the same below 0.5 Hz; standard deviation of noise above 30 Hz"
        return [{"points": quality.in_words(self.ecg, measured)}, Table(caption, heads, rows)]


def _strongest(x: np.ndarray, rate: float, start: float, most: int = 3) -> str:
    """When the moments begin and end that have the largest positive sums, in the order of time; x begins at `start`."""
    length = max(1, round(MOMENT * rate))
    sums = x[: len(x) // length * length].reshape(-1, length).sum(axis=1)
    best = sorted(place for place in np.argsort(-sums)[:most] if sums[place] > 0)
    ends = [start + np.array([place, place + 1]) * length / rate for place in best]
    return ", ".join(f"{begin:g} to {end:g} s" for begin, end in ends)


def _network(facts: Mapping[str, object], answers: Answers, model: nn.Module) -> Section:
    about, task = answers.network, answers.task
    learned = about["learned_from"]
    told = dict(facts) | {"model": about["model"]}
    told["weights"] = f"{sum(weights.numel() for weights in model.parameters()):,}"
    made = {True: "synthetic: a program made them", False: "not made by this package", None: "unknown"}
    told["records it learned from"] = made[learned["synthetic"]]
    for name, part in (learned["data"] or {}).items():
        if isinstance(part, dict) and "records" in part:
            told[f"records, {name}"] = f"{part['records']:,}"
    told["classes"] = ", ".join(task.classes)
    told["answer"] = "exactly one class for each record" if task.is_multiclass else "any number of classes"
    fitted = "fitted on the validation set" if about["thresholds_fitted"] else "0.5 for every class"
    told["thresholds"] = "none: the most probable class" if task.is_multiclass else fitted
    calibration = about["calibration"]
    told["calibration"] = "none: the network's own probabilities" if calibration is None else calibration["method"]
    parts = [facts_table("The network and what it learned from", told), fed(model.recipe)]
    return Section("network", "The network", parts)


def _limits(answers: Answers) -> Section:
    points = [
        NO_DEVICE,
        "A network knows only the classes and the kind of records that it learned from. Of other devices, patients "
        "and diseases it says something all the same, and is wrong more often.",
        "A class that isn't predicted may still be there.",
    ]
    if answers.network["calibration"] is None:
        points.append("The probabilities aren't calibrated: of records with 0.3, it needn't be three in ten.")
    else:
        points.append("Probabilities are calibrated to the validation set; where a class is rarer, they are too high.")
    return Section("limits", "Limits of use", [{"points": points}])
