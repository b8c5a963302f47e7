"""What a network was fed goes with it: through plain values, and from training into judging."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import wfdb
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_models import SMALL
from torch.utils.data import TensorDataset

from ecgcourse import datasets, models, ptbxl, training
from ecgcourse.classifier import fit, load
from ecgcourse.cli import main
from ecgcourse.errors import CheckpointError, SettingError
from ecgcourse.images.fields import ALL_FIELDS
from ecgcourse.images.signals import IMAGE_LEADS, SCALINGS, SignalRecipe
from ecgcourse.learning.config import TrainConfig
from ecgcourse.recipe import ImageRecipe, Recipe, Task

LEADS = st.sampled_from([IMAGE_LEADS, ptbxl.LEADS]) | st.lists(
    st.sampled_from(ptbxl.LEADS), min_size=1, unique=True
).map(tuple)
# Images have three fields where a network needs them, one where it takes one, else any.
FIELDS = st.lists(st.sampled_from(ALL_FIELDS), min_size=1, unique=True).map(tuple)
RATES = st.sampled_from([100, 500, 257.5])
TASKS = st.sampled_from([Task(), Task(("CD", "HYP")), Task(("NORM", *ptbxl.CLASSES), label_set="superclass5")])


@st.composite
def images(
    draw: st.DrawFn, crops: int | None = None, fields: st.SearchStrategy[tuple[str, ...]] = FIELDS
) -> ImageRecipe:
    """Of every field something; `crops` in a number that others have, too."""
    return ImageRecipe(
        leads=draw(LEADS),
        fields=draw(fields),
        size=draw(st.integers(67, 70)),
        scaling=draw(st.sampled_from(["min_max", "fixed_scale"])),
        zero_phase=draw(st.booleans()),
        mtf_white=draw(st.floats(1, 10)),
        filtered=draw(st.booleans()),
        **draw(crops_of(crops)),
    )


@st.composite
def signals(draw: st.DrawFn, crops: int | None = None) -> SignalRecipe:
    return SignalRecipe(
        draw(LEADS),
        draw(st.sampled_from(list(SCALINGS))),
        draw(st.booleans()),
        filtered=draw(st.booleans()),
        **draw(crops_of(crops)),
    )


def crops_of(number: int) -> st.SearchStrategy[dict]:
    cropped = st.fixed_dictionaries({"crop": st.integers(20, 1000), "eval_crops": st.just(number)})
    return st.just({"crop": None}) | cropped


RECIPES = st.integers(1, 4).flatmap(lambda n: st.builds(Recipe, st.none() | images(n), signals(n), RATES))


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, Recipe, Task]:
    """Any network of the course, with a recipe that it can take."""
    name = draw(st.sampled_from(models.names()))
    kinds, crops = models.inputs(name), draw(st.integers(1, 3))
    fields = {"compact_differences": FIELDS.map(lambda names: names[:1])}.get(name, FIELDS)
    if name in ("image_fusion", "gated_fusion"):
        fields = st.permutations(ALL_FIELDS).map(lambda names: tuple(names[:3]))
    parts = {"images": images(crops, fields), "signals": signals(crops)}
    return name, Recipe(**{kind: draw(parts[kind]) for kind in kinds}, sampling_rate=draw(RATES)), draw(TASKS)


@given(RECIPES, RECIPES)
def test_plain_values_and_back(recipe: Recipe, other: Recipe):
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert (recipe.to_dict() == other.to_dict()) == (recipe == other)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"images": None, "signals": None, "sampling_rate": 100},
        {"images": {"fields": 3}, "signals": None, "sampling_rate": 100},
        {"images": {"colour": 3}, "signals": None, "sampling_rate": 100},
        {"images": None, "signals": {"crop": "x"}, "sampling_rate": 100},
        {"images": {"crop": 9, "eval_crops": 2}, "signals": {"crop": 9}, "sampling_rate": 100},
        {"images": {"size": 0}, "signals": None, "sampling_rate": 100},
        {"images": {}, "signals": None, "sampling_rate": -1},
        {"images": {}, "signals": None, "sampling_rate": 100, "size": 3},
        [],
    ],
)
def test_other_values_are_refused(wrong: object):
    with pytest.raises(SettingError, match="recipe"):
        Recipe.from_dict(wrong)


@pytest.fixture(scope="module")
def root(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The practice set with all its records at 500 Hz too: each sample five times, so that the images differ."""
    folder = Path(shutil.copytree(practice_root, tmp_path_factory.mktemp("both") / "data"))
    table = ptbxl.read_table(folder)
    for name, x in zip(table["filename_hr"], ptbxl.read_signals(folder, table), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        how = {"units": ["mV"] * 12, "sig_name": list(ptbxl.LEADS), "fmt": ["16"] * 12, "adc_gain": [1000.0] * 12}
        wfdb.wrsamp(path.name, 500, p_signal=x.repeat(5, 1).T, baseline=[0] * 12, write_dir=str(path.parent), **how)
    return folder


def judged(run: Path, root: Path) -> float:
    """Macro AUROC on the validation set, as the command says it."""
    words = ["evaluate", str(run), "--data", str(root), "--partition", "val", "--device", "cpu", "--quiet"]
    assert main([*words, "--json", str(run / "found.json")]) == 0
    return json.loads((run / "found.json").read_text())["macro"]["auroc"]["value"]


# Each example is a training and a report: a quarter as many as elsewhere.
@hypothesis_settings(max_examples=hypothesis_settings.default.max_examples // 4)
@given(networks())
def test_evaluate_gives_what_the_history_says(root: Path, tmp_path_factory: pytest.TempPathFactory, chosen: tuple):
    """The same area to 1e-6 without being told anything of the input or the classes."""
    name, recipe, task = chosen
    run = tmp_path_factory.mktemp("run")
    try:
        small = {setting: value for setting, value in SMALL[name].items() if setting != "image_size"}
        model = models.create(name, recipe, task, **small)
        data = load(root, recipe, task)
    except SettingError as error:
        # Networks have a smallest length or side, and images need values in [0, 1].
        assume("size" not in str(error))
        raise
    config = TrainConfig(epochs=2, optimizer="adam", learning_rate=0.01, device="cpu", roll=True, out=run)
    history = fit(model, data, config)
    again = training.load_checkpoint(run / "best.pt")
    assert (again.recipe, again.task) == (recipe, task)
    best = pd.read_csv(run / "history.csv").set_index("epoch").loc[history.best_epoch]
    assert judged(run, root) == pytest.approx(best["auroc"], abs=1e-6)


def test_data_that_cannot_be_made_again_are_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = datasets.from_data(root, "val", images=None, signals=SignalRecipe())
    tensors = TensorDataset(data.signals, data.labels)
    config = TrainConfig(epochs=1, device="cpu", out=tmp_path)
    training.fit(models.create("cnn1d", filters=4), tensors, tensors, config)
    assert training.load_checkpoint(tmp_path / "best.pt").recipe is None
    assert main(["evaluate", str(tmp_path), "--data", str(root)]) == 2
    assert "can't be made again" in capsys.readouterr().err


def test_images_on_disk_must_be_those_that_were_learned_from(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Same folder of records, other sampling rate: other images, and the error names both."""
    datasets.write_images(root, tmp_path / "images", ("train", "val"), size=16, sampling_rate=500)
    train, val = (datasets.from_data(root, part, size=16) for part in ("train", "val"))
    config = TrainConfig(epochs=1, device="cpu", out=tmp_path / "run")
    training.fit(models.create("compact", filters=4, image_size=16), train, val, config)
    words = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "images"), "--partition", "val"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "sampling_rate=500" in error and "sampling_rate=100" in error


@pytest.fixture
def before(root: Path, tmp_path: Path) -> tuple[Path, dict]:
    """A run as the first edition wrote it: no recipe, no task, thresholds in a file of their own."""
    words = f"train {root} --model compact --size 16 --epochs 1 --device cpu --quiet --out {tmp_path / 'run'}"
    assert main(words.split()) == 0
    path = tmp_path / "run" / "best.pt"
    content = torch.load(path, weights_only=True)
    kept = {name: content[name] for name in ("settings", "state_dict", "epoch", "val_loss")}
    kept |= {"format": "ecgcourse-checkpoint/1", "classes": list(ptbxl.CLASSES), "leads": list(IMAGE_LEADS)}
    torch.save(kept | {"image_size": 16}, path)
    return tmp_path / "run", content


def test_a_run_of_the_first_edition_is_judged_if_the_command_line_trained_it(before: tuple[Path, dict], root: Path):
    run, _ = before
    best = pd.read_csv(run / "history.csv").loc[0]
    assert judged(run, root) == pytest.approx(best["auroc"], abs=1e-6)


def test_a_checkpoint_that_does_not_tell_its_input_is_refused_unless_somebody_does(before: tuple[Path, dict]):
    run, content = before
    config = json.loads((run / "config.json").read_text())
    del config["data"]["folder"]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="format 'ecgcourse-checkpoint/1', which doesn't tell"):
        training.load_checkpoint(run / "best.pt")
    recipe = Recipe(ImageRecipe(size=16, zero_phase=True))
    assert training.load_checkpoint(run / "best.pt", recipe=recipe).recipe == recipe
    torch.save(content, run / "best.pt")
    with pytest.raises(SettingError, match="was fed .*zero_phase=False.* not .*zero_phase=True"):
        training.load_checkpoint(run / "best.pt", recipe=recipe)


def test_a_model_and_data_of_other_recipes_or_classes_are_both_named(root: Path):
    recipe = Recipe(signals=SignalRecipe())
    model = models.create("cnn1d", recipe, filters=2)
    other = datasets.from_data(root, "val", recipe=replace(recipe, signals=SignalRecipe(scaling="millivolt")))
    for use in (training.predict, lambda model, data: training.fit(model, data, data, TrainConfig(epochs=1))):
        with pytest.raises(SettingError, match="made for .*'z_score'.* gives .*'millivolt'"):
            use(model, other)
    model = models.create("cnn1d", recipe, ["A", "B", "C", "D"], filters=2)
    data = datasets.from_data(root, "val", recipe=recipe, task=Task())
    with pytest.raises(SettingError, match="answers A, B, C, D .* labels are of MI, STTC, CD, HYP"):
        training.fit(model, data, data, TrainConfig(epochs=1, device="cpu"))
