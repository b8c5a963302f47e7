"""The command ``export``: a trained network in one file."""

import argparse
from pathlib import Path

from ecgcourse.cli_words import progress_of

COMPARED = 32
"""Stored records on which file and network are compared."""


def export(options: argparse.Namespace) -> None:
    """Write a run into one file, compared with the run on stored records; print what goes in and comes out."""
    from ecgcourse import export as exporting
    from ecgcourse.classifier import Classifier
    from ecgcourse.images import signals
    from ecgcourse.learning import datasets
    from ecgcourse.records import practice, ptbxl

    out = Path(options.out)
    exporting.check_suffix(out)
    classifier = Classifier.load(options.run, "cpu")
    recipe, progress = classifier.recipe, progress_of(options)
    data = practice.find(options.data, progress=progress)
    table = ptbxl.read_table(data).head(COMPARED)
    rate = datasets.source_rate(recipe, data, table)
    stored = signals.select_leads(ptbxl.read_signals(data, table, rate, progress=progress), recipe.leads)
    difference = exporting.export(classifier, out, recipe.prepare(stored, rate, recipe.leads))
    told = exporting.about(classifier)
    asked, answered = told["input"], told["output"]
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB\n"
        f"in: {asked['name']} (N, {len(asked['leads'])}, {asked['samples']}), float32: {', '.join(asked['leads'])} at "
        f"{asked['sampling_rate']:g} Hz\n"
        f"out: {answered['name']} (N, {len(answered['classes'])}), float32: {', '.join(answered['classes'])}\n"
        f"compared on {len(table)} records of {data}: the largest difference is {difference:.1g}"
    )
    if told["learned_from_synthetic_records"]:
        print("it learned from synthetic records, and knows nothing of patients")
    print(told["note"])
