"""Run the experiments: one TOML file per question, one row of results per arm, with an interval.

python experiments/run.py NAME             train what is missing of NAME.toml, write results/NAME_DATA.csv
python experiments/run.py NAME --cv        the same by cross-validation inside the training folds: for choices
python experiments/run.py NAME --processes 2
                                           the same, two networks at a time, each on its share of the CPU's cores
python experiments/run.py --tables         write the tables of book/experiments.md anew from results/

Data are those of $ECGCOURSE_DATA, else the practice set; DATA is "real" or "practice". Training takes folds 1 to 8,
judging folds 9 and 10. Nothing may be chosen by what the judging folds say: that is what --cv is for. Probabilities
of finished trainings are kept in runs/, so that a run that was stopped goes on where it was.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit

from ecgcourse import datasets, metrics, models, practice, ptbxl, training
from ecgcourse.analysis import bootstrap
from ecgcourse.analysis.stacking import Stacking
from ecgcourse.errors import EcgCourseError, SettingError, check_name
from ecgcourse.recipe import Recipe
from ecgcourse.support.files import atomic_write
from ecgcourse.support.workers import parallel_map

HERE = Path(__file__).resolve().parent
RESULTS, RUNS = HERE / "results", HERE / "runs"
PAGE = HERE.parent / "book" / "experiments.md"
TRAIN_FOLDS, TEST_FOLDS = range(1, 9), (9, 10)
CV_GROUPS = ((1, 2), (3, 4), (5, 6), (7, 8))
RESAMPLES = 500


@dataclass(frozen=True)
class Arm:
    """One row of an experiment.

    Parameters
    ----------
    model : str
        Name of a model; "" where `mean_of` is given.
    settings : dict
        Of the model.
    images, signals : dict
        Of :class:`ecgcourse.recipe.ImageRecipe` and :class:`ecgcourse.recipe.SignalRecipe`, other than what the
        model decides.
    training : dict
        Of :class:`ecgcourse.learning.config.TrainConfig`.
    pretraining : dict
        What differs from `training` in a training on the whole practice set before; empty for no such training. Every
        seed goes on from the same weights. Not for judging on the practice set, whose judged records were seen.
    against : str
        The arm that this one is compared with; "" for the experiment's.
    mean_of : list of str
        Other arms, whose logits are averaged, seed by seed; nothing is trained.
    stacked_of : list of str
        Other arms, whose logits are weighed by :class:`ecgcourse.analysis.stacking.Stacking`, seed by seed. The weights
        are learned from records that no part was trained on: by cross-validation inside the training folds.
    """

    model: str = ""
    settings: dict = field(default_factory=dict)
    images: dict = field(default_factory=dict)
    signals: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    pretraining: dict = field(default_factory=dict)
    against: str = ""
    mean_of: list = field(default_factory=list)
    stacked_of: list = field(default_factory=list)

    @property
    def parts(self) -> list[str]:
        """The arms that this one joins."""
        return self.mean_of or self.stacked_of


@dataclass(frozen=True)
class Experiment:
    """A question, the arms that answer it, and the one that the others are compared with unless they name another.

    `practice` says what is other on the practice set: seeds, how many; epochs, which share of each arm's epochs.
    """

    question: str
    seeds: int
    arms: dict[str, Arm]
    against: str = ""
    practice: dict = field(default_factory=dict)

    def on(self, data_name: str) -> "Experiment":
        """The experiment as it is run on these data; SettingError for practice records that an arm has seen."""
        if data_name != "practice":
            return self
        for name, arm in self.arms.items():
            if arm.pretraining:
                raise SettingError(
                    f"arm {name!r} learns from the practice set beforehand, so it can't be judged there; "
                    "name real records by ECGCOURSE_DATA"
                )
        share = self.practice.get("epochs", 1)
        arms = {name: arm if arm.parts else _with_epochs(arm, share) for name, arm in self.arms.items()}
        return dataclasses.replace(self, seeds=self.practice.get("seeds", self.seeds), arms=arms)


def _with_epochs(arm: Arm, share: float) -> Arm:
    epochs = training.TrainConfig.from_dict(arm.training).epochs
    return dataclasses.replace(arm, training=arm.training | {"epochs": max(1, round(share * epochs))})


def read(path: Path) -> Experiment:
    """Read an experiment; SettingError for a key that isn't known or an arm that can't be made."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} can't be read as an experiment: {error}") from error
    _check_keys(content, ("question", "seeds", "against", "practice", "defaults", "arms"), path)
    on_practice = content.get("practice", {})
    _check_keys(on_practice, ("seeds", "epochs"), f"{path}, practice")
    _check_seeds(content.get("seeds"), path)
    _check_seeds(on_practice.get("seeds", 1), f"{path}, practice")
    share = on_practice.get("epochs", 1)
    if type(share) not in (int, float) or not 0 < share < np.inf:
        raise SettingError(f"{path}, practice: epochs={share!r}, but a share of the epochs, above 0, is needed")
    for name in ("question", "arms"):
        if not content.get(name):
            raise SettingError(f"{path}: there is no {name!r}")
    names = [each.name for each in dataclasses.fields(Arm)]
    defaults = content.get("defaults", {})
    _check_keys(defaults, names, f"{path}, defaults")
    arms = {}
    for name, own in content["arms"].items():
        _check_keys(own, names, f"{path}, arm {name!r}")
        arms[name] = Arm(**_merged({} if own.keys() & {"mean_of", "stacked_of"} else defaults, own))
        _try(arms[name], arms, f"{path}, arm {name!r}")
    against = content.get("against", "")
    for each in [against, *(arm.against for arm in arms.values())]:
        if each and each not in arms:
            raise SettingError(f"{path}: against={each!r}, but there is no such arm")
    return Experiment(content["question"], content["seeds"], arms, against, on_practice)


def _check_keys(found: dict, known: "tuple | list", where: object) -> None:
    for name in found:
        check_name(name, known, f"{where}: no key is")


def _check_seeds(seeds: object, where: object) -> None:
    if type(seeds) is not int or seeds < 1:
        raise SettingError(f"{where}: seeds={seeds!r}, but a whole number, at least 1, is needed")


def _merged(defaults: dict, own: dict) -> dict:
    """Own values before defaults, one level down too."""
    both = defaults.keys() & own.keys()
    joined = {name: defaults[name] | own[name] for name in both if isinstance(own[name], dict)}
    return defaults | own | joined


def _try(arm: Arm, before: dict[str, Arm], where: str) -> None:
    """Make everything that an arm names, so that a mistake is found before hours of training."""
    if arm.parts:
        missing = [name for name in arm.parts if name not in before]
        if missing:
            raise SettingError(f"{where}: there is no arm {missing[0]!r} above it")
        return
    try:
        with torch.device("meta"):
            model = _made(arm)
        training.TrainConfig.from_dict(arm.training)
        training.TrainConfig.from_dict(arm.training | arm.pretraining)
    except (EcgCourseError, TypeError) as error:
        raise SettingError(f"{where}: {error}") from error
    if arm.pretraining and model.settings.get("freeze"):
        raise SettingError(f"{where}: frozen parts and pretraining don't go together; leave one of them out")


def _made(arm: Arm) -> torch.nn.Module:
    """The model of an arm, with random weights, for its recipe."""
    settings = {name: value for name, value in arm.settings.items() if name != "in_channels"}
    with torch.device("meta"):
        own = models.create(arm.model, **settings).recipe
    parts = {name: getattr(own, name) for name in ("images", "signals")}
    changed = {
        name: dataclasses.replace(part, **getattr(arm, name)) for name, part in parts.items() if part is not None
    }
    settings = {name: value for name, value in settings.items() if name not in ("leads", "image_size")}
    return models.create(arm.model, dataclasses.replace(own, **changed), **settings)


# --- training and judging


def train_and_judge(arm: Arm, seed: int, data: "Records", train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Train on some records, (N,) numbers, and return the probabilities (M, K) of M others."""
    config = _config(arm.training, seed)
    training.seed_everything(seed)
    model = _pretrained(arm) if arm.pretraining else _made(arm)
    if model.settings.get("freeze"):
        # Parts that stay as they are have to know something first.
        parts = {name: getattr(model, name) for name in ("signal_model", "image_model")}
        model.load_pretrained(
            **{name: _trained(_part(model, part), config, data, train) for name, part in parts.items()}
        )
    training.fit(model, _prepared(model, config, data, train), None, config)
    test_set = _prepared(model, config, data, test)
    return training.predict(model, test_set, config.batch_size, config.device, config.precision)[1]


def _config(settings: dict, seed: int) -> training.TrainConfig:
    return training.TrainConfig.from_dict({"progress": False, "device": "auto"} | settings | {"seed": seed})


def _pretrained(arm: Arm) -> torch.nn.Module:
    """The model of an arm after its training on the practice set, trained only where runs/ has none of that making."""
    before = dataclasses.replace(arm, training=arm.training | arm.pretraining, pretraining={})
    made_of = [arm.model, arm.settings, arm.images, arm.signals, before.training]
    path = RUNS / f"{_digest(made_of)}.pt"
    if not path.exists():
        data = Records.open(practice.write(practice.default_folder()))
        config = _config(before.training, seed=0)
        training.save_checkpoint(path, _trained(lambda: _made(before), config, data, slice(None)))
    return training.load_checkpoint(path)


def _digest(made_of: list, more: bytes = b"") -> str:
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode() + more).hexdigest()[:24]


def _part(whole: torch.nn.Module, part: torch.nn.Module) -> Callable[[], torch.nn.Module]:
    """What makes a part of a fusion alone, fed as it is there."""
    kinds = {name: getattr(whole.recipe, name) for name in part.inputs}
    settings = {
        name: value for name, value in part.settings.items() if name not in ("leads", "in_channels", "image_size")
    }
    return lambda: models.create(recipe=Recipe(**kinds), **settings)


def _trained(
    make: Callable[[], torch.nn.Module], config: training.TrainConfig, data: "Records", train: np.ndarray | slice
) -> torch.nn.Module:
    training.seed_everything(config.seed)
    model = make()
    training.fit(model, _prepared(model, config, data, train), None, config)
    return model


def _prepared(
    model: torch.nn.Module, config: training.TrainConfig, data: "Records", rows: np.ndarray | slice
) -> datasets.AnyDataset:
    place = training.pick_device(config.device)
    return datasets.from_arrays(data.voltages[rows], data.labels[rows], device=place, recipe=model.recipe)


@dataclass(frozen=True)
class Records:
    """All labelled records: voltages (N, 12, T) in mV, labels (N, K), folds and patients (N,); their data's name."""

    voltages: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    patients: np.ndarray
    name: str

    @classmethod
    def open(cls, root: Path) -> "Records":
        table = ptbxl.read_table(root)
        table = table[table["labelled"]]
        name = "practice" if practice.is_practice(root) else "real"
        voltages, (folds, patients) = ptbxl.read_signals(root, table), table[["strat_fold", "patient_id"]].to_numpy().T
        return cls(voltages, ptbxl.labels(table), folds, patients, name)

    def splits(self, cross_validated: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """Record numbers for training and for judging: one pair, or one for each group of training folds."""
        inside = np.isin(self.folds, TRAIN_FOLDS)
        groups = CV_GROUPS if cross_validated else (TEST_FOLDS,)
        return [
            (np.flatnonzero(inside & ~np.isin(self.folds, group)), np.flatnonzero(np.isin(self.folds, group)))
            for group in groups
        ]


def probabilities(arm: Arm, seed: int, data: Records, cross_validated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities (M, K) of the judged records; trained only where runs/ has none of the same making."""
    splits = data.splits(cross_validated)
    y_true = np.concatenate([data.labels[test] for _, test in splits])
    path = _place(arm, seed, data, cross_validated)
    if not path.exists():
        found = np.concatenate([train_and_judge(arm, seed, data, *split) for split in splits])
        with atomic_write(path) as temporary:
            np.save(temporary, found)
    return y_true, np.load(path, allow_pickle=False)


def _place(arm: Arm, seed: int, data: Records, cross_validated: bool) -> Path:
    """Where in runs/ the probabilities of a training are kept."""
    own = {name: value for name, value in dataclasses.asdict(arm).items() if name not in ("stacked_of", "against")}
    made_of = [own, seed, data.name, cross_validated, len(data.labels)]
    return RUNS / f"{_digest(made_of, data.voltages.tobytes())}.npy"


def train_all(experiment: Experiment, data: Records, cross_validated: bool, processes: int) -> None:
    """Train what is missing in runs/, in several processes."""
    wanted = [(arm, seed, data, inside) for arm, seed, inside in _trainings(experiment, cross_validated)]
    missing = [each for each in wanted if not _place(*each).exists()]
    for arm, *_ in missing:
        if arm.pretraining:
            # One after the other, on all cores: the processes would each train their own.
            _pretrained(arm)
    threads = max(1, (os.cpu_count() or 1) // processes)
    finished = parallel_map(_train_one, [(threads, *each) for each in missing], processes)
    for number, _ in enumerate(finished, start=1):
        print(f"{number} of {len(missing)} trainings", flush=True)


def _trainings(experiment: Experiment, cross_validated: bool) -> list[tuple[Arm, int, bool]]:
    """Arm, seed and whether by cross-validation, of everything that an experiment trains, each once."""
    arms = experiment.arms
    wanted = [(arm, cross_validated) for arm in arms.values() if not arm.parts]
    # Stacking learns from answers on records that its parts didn't see.
    wanted += [(arms[part], True) for arm in arms.values() for part in arm.stacked_of if not cross_validated]
    return [(arm, seed, inside) for seed in range(experiment.seeds) for arm, inside in wanted]


def _train_one(threads: int, arm: Arm, seed: int, data: Records, cross_validated: bool) -> None:
    torch.set_num_threads(threads)
    probabilities(arm, seed, data, cross_validated)


def joined(
    arm: Arm, arms: dict[str, Arm], seed: int, data: Records, cross_validated: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities (M, K) of the judged records, of an arm that joins others."""
    found = [probabilities(arms[name], seed, data, cross_validated) for name in arm.parts]
    y_true, parts = found[0][0], np.stack([y_prob for _, y_prob in found], axis=1)
    if arm.mean_of:
        return y_true, expit(logit(parts).mean(axis=1))
    if cross_validated:
        folds = np.concatenate([data.folds[test] for _, test in data.splits(True)])
        y_prob = np.empty(y_true.shape)
        for group in CV_GROUPS:
            inside = np.isin(folds, group)
            y_prob[inside] = Stacking().fit(parts[~inside], y_true[~inside]).predict(parts[inside])
        return y_true, y_prob
    unseen = [probabilities(arms[name], seed, data, cross_validated=True) for name in arm.parts]
    weighed = Stacking().fit(np.stack([y_prob for _, y_prob in unseen], axis=1), unseen[0][0])
    return y_true, weighed.predict(parts)


def run(experiment: Experiment, data: Records, cross_validated: bool) -> pd.DataFrame:
    """One row per arm: mean over the seeds of the macro AUROC, its spread and its interval over patients."""
    rows, found = [], {}
    patients = np.concatenate([data.patients[test] for _, test in data.splits(cross_validated)])
    for name, arm in experiment.arms.items():
        start = perf_counter()
        each = [
            joined(arm, experiment.arms, seed, data, cross_validated)
            if arm.parts
            else probabilities(arm, seed, data, cross_validated)
            for seed in range(experiment.seeds)
        ]
        y_true, found[name] = each[0][0], np.stack([y_prob for _, y_prob in each])
        row = {"arm": name, "weights": _count(arm)} | summary(y_true, found[name], patients)
        rows.append(row)
        seconds = perf_counter() - start
        print(f"{name:<36} {row['auroc']:.3f} ({row['low']:.3f} – {row['high']:.3f})  {seconds:.0f} s", flush=True)
    for row in rows:
        reference = experiment.arms[row["arm"]].against or experiment.against
        if reference and reference != row["arm"]:
            row |= difference(y_true, found[row["arm"]], found[reference], patients)
    return pd.DataFrame(rows)


def _count(arm: Arm) -> int:
    if arm.parts:
        return 0
    with torch.device("meta"):
        return sum(weights.numel() for weights in models.create(arm.model, **arm.settings).parameters())


def summary(y_true: np.ndarray, y_prob: np.ndarray, patients: np.ndarray | None = None) -> dict[str, float]:
    """Macro AUROC of labels (N, K) and probabilities (R, N, K) of R seeds.

    Returns
    -------
    dict
        auroc: mean over the seeds; sd: standard deviation over them; low, high: 95 % bootstrap interval of that mean
        over patients, (N,) numbers; auroc_MI and so on: mean over the seeds; n, seeds: how many records and seeds.
    """
    areas = np.stack([metrics.auroc(y_true, one) for one in y_prob])
    low, high = bootstrap.interval(_drawn_auroc(y_true, y_prob, patients))
    result = {"auroc": areas.mean(), "sd": areas.mean(axis=1).std(ddof=1) if len(areas) > 1 else 0.0}
    result |= {"low": low, "high": high}
    result |= {f"auroc_{name}": area for name, area in zip(ptbxl.CLASSES, areas.mean(axis=0), strict=True)}
    return result | {"n": len(y_true), "seeds": len(y_prob)}


def difference(
    y_true: np.ndarray, y_prob: np.ndarray, reference: np.ndarray, patients: np.ndarray | None = None
) -> dict[str, float]:
    """How far the macro AUROC of probabilities (R, N, K) is above that of a reference (R, N, K), on the same records.

    Returns
    -------
    dict
        difference: of the means over the seeds; difference_low, difference_high: its 95 % bootstrap interval. Each
        resample draws the same patients for both, so that records which are hard for both don't widen it.
    """
    means = [np.mean([metrics.auroc(y_true, one) for one in each]) for each in (y_prob, reference)]
    drawn = _drawn_auroc(y_true, y_prob, patients) - _drawn_auroc(y_true, reference, patients)
    low, high = bootstrap.interval(drawn)
    return {"difference": means[0] - means[1], "difference_low": low, "difference_high": high}


def _drawn_auroc(y_true: np.ndarray, y_prob: np.ndarray, patients: np.ndarray | None) -> np.ndarray:
    """Macro AUROC in each resample, mean over the seeds, (RESAMPLES,), of probabilities (R, N, K)."""
    blocks = bootstrap.resamples(len(y_true), RESAMPLES, 0, patients, y_true.astype(int))
    ranked = [bootstrap.rankings(y_true, one) for one in y_prob]
    each = [[bootstrap.macro_auroc(one, weights) for one in ranked] for weights in blocks]
    return np.concatenate([np.mean(block, axis=0) for block in each])


# --- the book's tables


def with_tables(text: str) -> str:
    """The page with the table behind each mark ``<!-- results/FILE.csv -->`` made anew."""
    lines, skipping = [], False
    for line in text.splitlines():
        skipping = skipping and line != "<!-- end -->"
        if not skipping:
            lines.append(line)
        if line.startswith("<!-- results/"):
            name = line.removeprefix("<!-- results/").removesuffix(" -->")
            lines += table(pd.read_csv(RESULTS / name))
            skipping = True
    return "\n".join(lines) + "\n"


def table(rows: pd.DataFrame) -> list[str]:
    """Results as the lines of a Markdown table."""
    classes = [f"auroc_{name}" for name in ptbxl.CLASSES]
    compared = ["difference (95 % interval)"] if "difference" in rows else []
    heads = ["weights", "macro AUROC (95 % interval)", *compared, "sd", *ptbxl.CLASSES]
    lines = [
        "",
        f"| {rows['n'].iloc[0]} records, {rows['seeds'].iloc[0]} seeds | " + " | ".join(heads) + " |",
        "|---|--:|---|" + "---|" * len(compared) + "--:|" + "--:|" * len(classes),
    ]
    for row in rows.to_dict("records"):
        cells = [
            row["arm"],
            f"{row['weights']:,}" if row["weights"] else "–",
            f"{row['auroc']:.3f} ({row['low']:.3f} – {row['high']:.3f})",
        ]
        if compared:
            cells.append("–" if pd.isna(row["difference"]) else _signed(row))
        cells += [f"{row[name]:.3f}" for name in ("sd", *classes)]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _signed(row: dict) -> str:
    names = ("difference", "difference_low", "difference_high")
    # A zero is added, so that none is shown as −0.000.
    mean, low, high = (f"{round(row[name], 3) + 0.0:+.3f}".replace("-", "−") for name in names)
    return f"{mean} ({low} – {high})"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=sorted(path.stem for path in HERE.glob("*.toml")))
    parser.add_argument("--cv", action="store_true", help="judge by cross-validation inside folds 1 to 8")
    parser.add_argument("--seeds", type=int, help="other number of seeds than the file says")
    parser.add_argument("--processes", type=int, default=1, help="networks that are trained at a time (default: 1)")
    parser.add_argument("--tables", action="store_true", help="only write the book's tables anew")
    options = parser.parse_args()
    if options.tables:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if not options.name:
        parser.error("name an experiment")
    if options.processes < 1 or (options.seeds is not None and options.seeds < 1):
        parser.error("--processes and --seeds are whole numbers, at least 1")
    try:
        data = Records.open(practice.data_root())
        experiment = read(HERE / f"{options.name}.toml").on(data.name)
        if options.seeds:
            experiment = dataclasses.replace(experiment, seeds=options.seeds)
        print(f"{experiment.question} ({data.name}, {os.cpu_count()} cores)", flush=True)
        if options.processes > 1:
            train_all(experiment, data, options.cv, options.processes)
        rows = run(experiment, data, options.cv)
    except EcgCourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with atomic_write(RESULTS / f"{options.name}_{data.name}{'_cv' if options.cv else ''}.csv") as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n", float_format="%.4f")
    return 0


if __name__ == "__main__":
    sys.exit(main())
