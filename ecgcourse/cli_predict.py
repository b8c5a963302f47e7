"""The commands for ECGs of one's own: ``predict``, and ``images`` where it draws."""

import argparse
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ecgcourse.cli_words import progress_of
from ecgcourse.errors import DataError, SettingError
from ecgcourse.recipe import ImageRecipe
from ecgcourse.support import flags
from ecgcourse.support.files import atomic_write, read_json, write_json
from ecgcourse.support.progress_bar import progress_bar

if TYPE_CHECKING:
    from ecgcourse.analysis.answers import Answers
    from ecgcourse.classifier import Classifier

DRAWINGS = (".png", ".pdf", ".svg")
"""Endings of what `images` draws into; any other OUT is a folder of TIFF files."""

STDOUT = "-"
_DPI = 100


def predict(options: argparse.Namespace) -> tuple[int, list[str]]:
    """Ask a trained network about files of ECGs; print or write it; how many could be used, and why others not."""
    from ecgcourse.classifier import Classifier

    classifier = Classifier.load(options.run, options.device)
    how = {"sampling_rate": options.sampling_rate, "unit": options.unit, "progress": progress_of(options)}
    said = classifier.ask_files(options.files, **how, skip_bad=True)
    said.network["run"] = str(options.run)
    said.network["learned_from"]["folder"] = _folder(Path(options.run))
    table = said.to_frame(options.windows)
    if options.csv:
        with atomic_write(Path(options.csv)) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")
    elif options.json is None and said.files:
        print(table.to_csv(index=False, lineterminator="\n", float_format="%.4f"), end="")
    if options.json == STDOUT:
        print(json.dumps(said.to_dict(options.windows), indent=1))
    elif options.json is not None:
        write_json(Path(options.json), said.to_dict(options.windows))
    if options.report:
        _write_report(options, classifier, said, how)
    return len(said.files), list(said.bad_files.values())


def _write_report(options: argparse.Namespace, classifier: "Classifier", said: "Answers", how: dict) -> None:
    from ecgcourse.analysis import answers_page, html_page

    facts = {"run": options.run, "data it learned from": said.network["learned_from"]["folder"] or "unknown"}
    title = f"{Path(options.run).name} on {len(said.files)} ECG{'' if len(said.files) == 1 else 's'}"
    html_page.write(options.report, answers_page.make(title, facts, said, classifier.model, **how))


def _folder(run: Path) -> str | None:
    """Of the data that a run learned from, as its settings note it."""
    folder = run if run.is_dir() else run.parent
    try:
        found = read_json(folder / "config.json")["data"]["folder"]
    except (DataError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None


def is_drawing(out: str) -> bool:
    """Whether `images` draws, rather than write a folder of TIFF files."""
    return Path(out).suffix.lower() in DRAWINGS


def draw(options: argparse.Namespace) -> tuple[int, list[str]]:
    """Draw files of ECGs as paper and images, print the names of the drawings; return as :func:`predict` does.

    Several files become several drawings, OUT-NAME.png after the name of each.
    """
    from ecgcourse.analysis import drawings
    from ecgcourse.records import own_files

    if not options.files:
        raise SettingError(f"{options.out} is to be a drawing; name the ECGs before it")
    images = ImageRecipe(**flags.chosen(options, "images."))
    paths, bad, taken = own_files.find(options.files), [], set()
    for path in progress_bar(progress_of(options), delay=2, iterable=paths, desc="drawing", unit="file"):
        try:
            figure = drawings.paper_and_images(own_files.read(path, options.sampling_rate, options.unit), images)
        except (DataError, SettingError) as error:
            bad.append(str(error))
            continue
        out = Path(options.out) if len(paths) == 1 else _beside(Path(options.out), path.stem, taken)
        with atomic_write(out) as temporary:
            figure.savefig(temporary, dpi=_DPI, format=out.suffix[1:].lower())
        print(out)
    return len(paths) - len(bad), bad


def _beside(out: Path, name: str, taken: set[str]) -> Path:
    """OUT-NAME with the ending of OUT; files of one name in several folders are numbered."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    free = next(each for each in numbered if each.casefold() not in taken)
    taken.add(free.casefold())
    return out.with_name(f"{out.stem}-{free}{out.suffix}")
