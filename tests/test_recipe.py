"""What a network was fed goes with it: through plain values, and from training into judging."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from ecgcourse import datasets, models, ptbxl, training
from ecgcourse.cli import main
from ecgcourse.errors import SettingError
from ecgcourse.fields import ALL_FIELDS
from ecgcourse.recipe import ImageRecipe, Recipe
from ecgcourse.signals import SCALINGS, SignalRecipe

LEADS = st.lists(st.sampled_from(ptbxl.LEADS), min_size=1, unique=True).map(tuple)
WINDOWS = st.one_of(
    st.fixed_dictionaries({"window": st.integers(2, 1000), "views": st.integers(0, 5)}),
    st.just({"window": None}),
)
IMAGES = st.builds(
    lambda windows, **settings: ImageRecipe(**settings, **windows),
    windows=WINDOWS,
    scaling=st.sampled_from(["min_max", "fixed_scale"]),
    zero_phase=st.booleans(),
    mtf_white=st.floats(1, 10),
    fields=st.lists(st.sampled_from(ALL_FIELDS), min_size=1, unique=True).map(tuple),
    leads=LEADS,
)
SIGNALS = st.builds(
    lambda windows, **settings: SignalRecipe(**settings, **windows),
    windows=WINDOWS,
    leads=LEADS,
    scaling=st.sampled_from(list(SCALINGS)),
    zero_phase=st.booleans(),
)
RECIPES = st.builds(Recipe, st.none() | IMAGES, SIGNALS, st.sampled_from([100, 500, 257.5]))


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
        {"images": None, "signals": {"window": "x"}, "sampling_rate": 100},
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
        settings = {"units": ["mV"] * 12, "sig_name": list(ptbxl.LEADS), "fmt": ["16"] * 12, "adc_gain": [1000.0] * 12}
        wfdb.wrsamp(
            path.name, 500, p_signal=x.repeat(5, 1).T, baseline=[0] * 12, write_dir=str(path.parent), **settings
        )
    return folder


def judged(run: Path, root: Path) -> float:
    """Macro AUROC on the validation set, as the command says it."""
    words = ["evaluate", str(run), "--data", str(root), "--partition", "val", "--device", "cpu", "--quiet"]
    assert main([*words, "--json", str(run / "found.json")]) == 0
    return json.loads((run / "found.json").read_text())["macro"]["auroc"]["value"]


TRAINED = {
    "fixed scale, zero phase": (ImageRecipe("fixed_scale", True, 1.0), None, 100),
    "two fields of twelve leads": (ImageRecipe(fields=("RP", "DIF"), leads=ptbxl.LEADS), None, 100),
    "windows": (ImageRecipe(window=128, views=3), None, 100),
    "500 Hz": (ImageRecipe(), None, 500),
    "twelve leads in mV": (None, SignalRecipe(ptbxl.LEADS, "millivolt", window=500, views=2), 100),
    "three leads, zero phase, 500 Hz": (None, SignalRecipe(zero_phase=True), 500),
    "both": (ImageRecipe("fixed_scale"), SignalRecipe(scaling="min_max", zero_phase=True), 100),
}


@pytest.mark.parametrize("images, signals, rate", TRAINED.values(), ids=TRAINED)
def test_evaluate_gives_what_the_history_says(
    images: ImageRecipe | None, signals: SignalRecipe | None, rate: int, root: Path, tmp_path: Path
):
    """The same area to 1e-6 without being told anything of the input."""
    settings = {"size": 16, "in_channels": len(images.leads) * len(images.fields)} if images else {}
    if images is None:
        model = models.create("resnet1d", filters=4, leads=len(signals.leads))
    elif signals is None:
        model = models.create("compact", filters=4, **settings)
    else:
        small = {"filters": 4}
        model = models.create("gated_fusion", width=8, size=16, signal_settings=small, image_settings=small)
    train, val = (
        datasets.from_data(
            root, part, size=settings.get("size", 256), sampling_rate=rate, images=images, signals=signals
        )
        for part in ("train", "val")
    )
    config = training.TrainConfig(epochs=2, optimizer="adam", learning_rate=0.01, device="cpu", out=tmp_path)
    history = training.fit(model, train, val, config)
    assert training.load_checkpoint(tmp_path / "best.pt").recipe == Recipe(images, signals, rate)
    best = pd.read_csv(tmp_path / "history.csv").set_index("epoch").loc[history.best_epoch]
    assert judged(tmp_path, root) == pytest.approx(best["auroc"], abs=1e-6)


def test_data_that_cannot_be_made_again_are_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = datasets.from_data(root, "val", images=None, signals=SignalRecipe())
    tensors = TensorDataset(data.signals, data.labels)
    config = training.TrainConfig(epochs=1, device="cpu", out=tmp_path)
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
    config = training.TrainConfig(epochs=1, device="cpu", out=tmp_path / "run")
    training.fit(models.create("compact", filters=4, size=16), train, val, config)
    words = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "images"), "--partition", "val"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "sampling_rate=500" in error and "sampling_rate=100" in error


def test_a_checkpoint_from_before_is_judged_with_the_models_own_recipe(root: Path, tmp_path: Path):
    train, val = (datasets.from_data(root, part, size=16) for part in ("train", "val"))
    config = training.TrainConfig(epochs=1, device="cpu", out=tmp_path)
    history = training.fit(models.create("compact", filters=4, size=16), train, val, config)
    content = torch.load(tmp_path / "best.pt", weights_only=True)
    del content["recipe"]
    torch.save(content, tmp_path / "best.pt")
    assert judged(tmp_path, root) == pytest.approx(history.rows[0]["auroc"], abs=1e-6)
