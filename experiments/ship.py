"""Train a network on real records and put it into the package, with its card.

python experiments/ship.py NAME FOLDER [FOLDER …]

NAME is one of `NETWORKS`. The folders are of PTB-XL's form; their records are taken together. Folds 1 to 7 train, fold
8 calibrates the probabilities and sets the thresholds, folds 9 and 10 judge and have no say in anything. The weights go
to ``ecgcourse/models/pretrained/NAME.pt``, what is known of them to ``NAME.md`` beside it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse import comparison, datasets, models, ptbxl, subgroups, training
from ecgcourse.analysis.baselines import BASELINES
from ecgcourse.analysis.pooled import Pooled
from ecgcourse.analysis.predictions import Predictions
from ecgcourse.classifier import Classifier
from ecgcourse.errors import EcgCourseError
from ecgcourse.models import pretrained
from ecgcourse.recipe import ImageRecipe, Recipe, SignalRecipe
from ecgcourse.support.files import atomic_write

TRAIN, CALIBRATE, JUDGE = range(1, 8), (8,), (9, 10)
BASELINE = "median beat of 3 leads"
CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
STEPS = {
    "epochs": 40,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "ema_decay": 0.99,
    "device": "cpu",
    "progress": False,
}
# Both scale each record for itself, so that records whose voltages are lost can teach, too.
NETWORKS = {
    "signals": (
        "resnet1d",
        {"filters": 30},
        Recipe(signals=SignalRecipe(leads=ptbxl.LEADS, scaling="z_score", crop=500, eval_crops=3)),
        {"gain": 0.25},
        "the samples of 12 leads, three crops of 5 s of each record",
    ),
    "images": (
        "compact_differences",
        {},
        Recipe(ImageRecipe(ptbxl.LEADS, ("DIF",), 64, scaling="min_max", crop=128, eval_crops=8)),
        {},
        "images of the signed differences within 12 leads, eight crops of 1.28 s of each record",
    ),
}


def train(name: str, voltages: np.ndarray, labels: np.ndarray, seed: int = 0) -> Classifier:
    """Train on (N, 12, T) voltages in mV at 100 Hz with (N, K) labels."""
    model_name, settings, recipe, more, _ = NETWORKS[name]
    training.seed_everything(seed)
    model = models.create(model_name, recipe, **settings)
    train_set = datasets.from_arrays(voltages, labels, recipe=recipe, task=model.task)
    training.fit(model, train_set, None, training.TrainConfig(**STEPS, **more, seed=seed))
    return Classifier(model, "cpu")


def card(name: str, classifier: Classifier, voltages: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> str:
    """Judge a network on the folds that had no say, and write down what is known of it."""
    folds = {part: table["strat_fold"].isin(part).to_numpy() for part in (TRAIN, CALIBRATE, JUDGE)}
    judged, (model_name, *_, reads) = folds[JUDGE], NETWORKS[name]
    said = classifier.predictions(_dataset(classifier, voltages[judged], labels[judged]))
    by_beat = BASELINES[BASELINE].make().fit(voltages[folds[TRAIN]], labels[folds[TRAIN]].astype(int))
    beat = Predictions(said.y_true, by_beat.predict_proba(voltages[judged]), said.task, said.ecg_id)
    about = table[judged].reset_index(drop=True)
    known = about[["age", "sex"]].notna().all(axis=1).to_numpy()
    groups = {by: found[known] for by, found in subgroups.of_table(about).items() if by in ("sex", "age")}
    grouped = Predictions(said.y_true[known], said.y_prob[known], said.task, said.ecg_id[known])
    return CARD.format(
        name=name,
        model=model_name,
        weights=sum(each.numel() for each in classifier.model.parameters()),
        reads=reads,
        n_train=folds[TRAIN].sum(),
        n_calibrate=folds[CALIBRATE].sum(),
        n_judge=judged.sum(),
        n_known=known.sum(),
        least=subgroups.LEAST,
        scores=_scores(comparison.compare({BASELINE: beat, name: said}), {BASELINE: beat, name: said}),
        groups=_groups(subgroups.table(grouped, groups, classifier.thresholds)),
    )


def _dataset(classifier: Classifier, voltages: np.ndarray, labels: np.ndarray) -> datasets.AnyDataset:
    return datasets.from_arrays(voltages, labels, recipe=classifier.recipe, task=classifier.task)


def _scores(compared: pd.DataFrame, said: dict[str, Predictions]) -> str:
    classes = next(iter(said.values())).task.classes
    lines = [
        f"| | macro AUROC | difference | {' | '.join(classes)} | Brier score | ECE | by chance |",
        "|---|---|---|" + "--:|" * (len(classes) + 3),
    ]
    for name, row in compared.iterrows():
        areas = training.metrics.auroc(said[name].y_true, said[name].y_prob)
        low, high = row["difference_low"], row["difference_high"]
        far = "–" if np.isnan(row["difference"]) else f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        cells = [
            name,
            f"{row['auroc']:.3f} ({row['low']:.3f}–{row['high']:.3f})",
            far,
            *(f"{area:.3f}" for area in areas),
        ]
        lines.append("| " + " | ".join([*cells, *(f"{row[c]:.3f}" for c in ("brier", "ece", "ece_by_chance"))]) + " |")
    return "\n".join(lines)


def _groups(found: pd.DataFrame) -> str:
    lines = ["| group | class | records | with it | AUROC | sensitivity |", "|---|---|--:|--:|---|---|"]
    for row in found.to_dict("records"):
        cells = [f"{row[m]:.2f} ({row[f'{m}_low']:.2f}–{row[f'{m}_high']:.2f})" for m in ("auroc", "sensitivity")]
        cells = ["too few", "too few"] if row["note"] else cells
        lines.append(
            f"| {row['group']} | {row['class']} | {row['records']} | {row['positives']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Train, calibrate, judge and write what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(NETWORKS))
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    try:
        records = Pooled.open(options.folders)
        voltages, labels, table = records.voltages, records.labels, records.table.reset_index(drop=True)
        inside, calibrates = (table["strat_fold"].isin(part).to_numpy() for part in (TRAIN, CALIBRATE))
        classifier = train(options.name, voltages[inside], labels[inside])
        classifier.calibrate(_dataset(classifier, voltages[calibrates], labels[calibrates]), "platt")
        training.save_checkpoint(pretrained.FOLDER / f"{options.name}.pt", classifier.model)
        with atomic_write(pretrained.FOLDER / f"{options.name}.md") as temporary:
            temporary.write_text(card(options.name, classifier, voltages, labels, table), encoding="utf-8")
    except EcgCourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
