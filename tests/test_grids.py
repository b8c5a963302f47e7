"""Files of arms: what they may say, and what they are made into."""

from collections import Counter
from pathlib import Path

import pytest

from ecgcourse import grids
from ecgcourse.errors import SettingError
from ecgcourse.images.signals import SignalRecipe
from ecgcourse.recipe import ImageRecipe
from ecgcourse.records.ptbxl import LEADS

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = ROOT / "configs" / "original"
QUICK = """
question = "Does it run?"
seeds = 2
[defaults]
model = "resnet1d"
settings = { filters = 2 }
training = { epochs = 1, device = "cpu", optimizer = "adamw" }
[arms.plain]
[arms.windows]
settings = { leads = 12 }
signals = { crop = 300, eval_crops = 3 }
training = { gain = 0.2 }
[arms.both]
mean_of = ["plain", "windows"]
[arms.weighed]
stacked_of = ["plain", "windows"]
"""


def read(folder: Path, text: str) -> grids.Grid:
    (folder / "quick.toml").write_text(text)
    return grids.read(folder / "quick.toml")


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_the_experiments_can_be_read(path: Path):
    grid = grids.read(path)
    assert grid.question.endswith("?") and grid.seeds >= 3 and len(grid.arms) > 1 and grid.judged == (9, 10)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = 2", "seed = 2", "'seed'; did you mean 'seeds'"),
        ("signals = {", "signal = {", "arm 'windows'.*'signal'; did you mean 'signals'"),
        ("epochs = 1", "epoch = 1", "'epoch'; did you mean 'epochs'"),
        ("crop = 300", "window = 300", "arm 'windows': .*window"),
        ("filters = 2", "filter = 2", "arm 'plain': .*filter"),
        ('"plain", "windows"', '"plain", "window"', "no arm 'window' above it"),
        ("crop = 300, ", "", "arm 'windows': .*eval_crops=3"),
        ('model = "resnet1d"', 'model = "resnet9d"', "no model is called 'resnet9d'"),
        ("seeds = 2", "seeds = ", "can't be read"),
        ("seeds = 2", "seeds = 0", "seeds=0, but a whole number"),
        ("seeds = 2", "", "seeds=None, but a whole number"),
        ('question = "Does it run?"', "", "there is no 'question'"),
        ("[defaults]", "[practice]\nseeds = 2.5\n[defaults]", "practice: seeds=2.5, but a whole number"),
        ("[defaults]", "[practice]\nepochs = -1\n[defaults]", "practice: epochs=-1, but a share"),
        ("[defaults]", '[practice]\nepochs = "half"\n[defaults]', "practice: epochs='half', but a share"),
        ("seeds = 2", "seeds = 2\nagainst = 'plane'", "against='plane', but there is no such arm"),
        ("seeds = 2", "seeds = 2\nvalidation = [8]", r"validation=\[8\], but \[9\] or \[10\] is needed"),
        ("[arms.windows]", "[arms.windows]\nagainst = 'plane'", "against='plane', but there is no such arm"),
        ("[defaults]", "[practice]\nepoch = 1\n[defaults]", "practice: .*'epoch'; did you mean 'epochs'"),
        ("[arms.windows]", "[arms.windows]\npretraining = { epoch = 1 }", "arm 'windows': .*did you mean 'epochs'"),
        ("[arms.windows]", "[arms.windows]\nparts_training = { epochs = 1 }", "arm 'windows': .*has no parts"),
        ("[defaults]", "[grid]\nsettings.filters = 3\n[defaults]", "grid, settings filters: 3, but a list"),
        ("[defaults]", "[grid]\nsettings = [3]\n[defaults]", r"grid, settings : \[3\], but a list"),
        ("[defaults]", "[grid]\nsettings.filters = [0]\n[defaults]", "arm 'filters=0': .*filters=0"),
    ],
)
def test_unknown_keys_and_impossible_arms_are_refused(tmp_path: Path, old: str, new: str, words: str):
    with pytest.raises(SettingError, match=words):
        read(tmp_path, QUICK.replace(old, new))


def test_a_grid_is_the_product_of_its_lists(tmp_path: Path):
    text = QUICK.replace(
        "[arms.plain]", '[grid]\nmodel = ["resnet1d", "gru"]\ntraining.gain = [0, 0.1, 0.5]\n[arms.plain]'
    )
    found = read(tmp_path, text.replace("settings = { filters = 2 }\n", ""))
    assert list(found.arms)[:4] == [
        *("model=resnet1d, gain=0", "model=resnet1d, gain=0.1", "model=resnet1d, gain=0.5", "model=gru, gain=0"),
    ]
    assert list(found.arms)[6:] == ["plain", "windows", "both", "weighed"]
    made = [(arm.model, arm.training["gain"], arm.training["epochs"]) for arm in list(found.arms.values())[:6]]
    assert made == [(model, gain, 1) for model in ("resnet1d", "gru") for gain in (0, 0.1, 0.5)]


def test_a_model_is_made_for_the_recipe_of_its_arm():
    arm = grids.Arm(model="compact", settings={"image_size": 64}, images={"fields": ["RP"], "crop": 128})
    made = arm.make()
    assert made.recipe.images == ImageRecipe(size=64, fields=("RP",), crop=128) and made.settings["in_channels"] == 3
    assert arm.weights() == sum(each.numel() for each in made.parameters())
    twelve = grids.Arm(model="resnet1d", settings={"leads": 12}, signals={"scaling": "z_score", "crop": 500}).make()
    assert twelve.recipe.signals == SignalRecipe(LEADS, scaling="z_score", crop=500)


@pytest.mark.parametrize(
    ("kind", "count", "batch", "decay"), [("early", 13, 128, 0), ("joint", 51, 1024, 1e-4), ("late", 75, 512, 0)]
)
def test_the_original_grids_are_whole(kind: str, count: int, batch: int, decay: float):
    """Reading makes each arm on the meta device. The numbers are counted in the original's three tables."""
    grid = grids.read(ORIGINAL / f"{kind}_fusion.toml")
    assert len(grid.arms) == count and grid.judged == (10,)
    counted = {
        "early": ({"adam": 6, "sgd": 7}, {0.1: 7, 0.001: 6}, 3456),
        "joint": ({"adam": 27, "sgd": 24}, {0.1: 10, 0.01: 13, 0.001: 13, 0.0001: 15}, 15232),
        "late": ({"adam": 39, "sgd": 36}, {0.1: 25, 0.01: 25, 0.001: 25}, 13056),
    }
    optimizers, rates, hidden = counted[kind]
    arms = list(grid.arms.values())
    assert Counter(arm.training["optimizer"] for arm in arms) == optimizers
    assert Counter(arm.training["learning_rate"] for arm in arms) == rates
    assert sum(arm.settings["hidden"] for arm in arms) == hidden
    for arm in arms:
        assert (arm.model, arm.training["batch_size"], arm.training["weight_decay"]) == (f"{kind}_fusion", batch, decay)
        assert (arm.settings["signal_settings"]["bidirectional"], arm.settings["image_settings"]["filters"]) == (
            True,
            8,
        )
        assert arm.settings["freeze"] is (kind != "joint")


def test_frozen_parts_are_not_pretrained(tmp_path: Path):
    text = 'question = "?"\nseeds = 1\n[arms.here]\nmodel = "late_fusion"\npretraining = { epochs = 1 }\n'
    text += "settings = { freeze = true, image_size = 67 }\n"
    with pytest.raises(SettingError, match="here.*: parts that learn first and pretraining don't go together"):
        read(tmp_path, text)


def test_practice_records_are_not_judged_by_who_has_seen_them(tmp_path: Path):
    grid = read(tmp_path, QUICK.replace("[arms.windows]", "[arms.windows]\npretraining = { epochs = 1 }"))
    with pytest.raises(SettingError, match="arm 'windows' learns from the practice set beforehand"):
        grid.on(synthetic=True)
    assert grid.on(synthetic=False) is grid


def test_the_practice_set_may_have_other_seeds_and_a_share_of_the_epochs(tmp_path: Path):
    text = QUICK.replace("epochs = 1", "epochs = 10")
    grid = read(tmp_path, text.replace("[defaults]", "[practice]\nseeds = 1\nepochs = 0.25\n[defaults]"))
    assert grid.on(False).seeds == 2 and grid.on(True).seeds == 1
    assert [arm.training.get("epochs") for arm in grid.on(True).arms.values()] == [2, 2, None, None]
    assert grid.on(False).arms["plain"].training["epochs"] == 10
