"""Event files for TensorBoard, read back by TensorBoard's own reader; and what is said where it isn't installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ecgcourse import history, models, training
from ecgcourse.errors import SettingError


def fit(out: Path, resume: bool = False, **settings: object) -> training.History:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(12, 3, 100))).float()
    data = TensorDataset(x, torch.eye(4).repeat(3, 1))
    training.seed_everything(0)
    config = training.TrainConfig(**{"batch_size": 6, "device": "cpu", "tensorboard": True, "out": out} | settings)
    return training.fit(models.create("cnn1d", filters=4), data, data, config, resume=resume)


def test_event_files_have_the_rows_of_the_history(tmp_path: Path):
    pytest.importorskip("tensorboard", reason="TensorBoard, an extra of the package, isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(tmp_path, epochs=2)
    rows = fit(tmp_path, resume=True, epochs=3).rows
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == rows[0].keys() - {"epoch"}
    for name in events.Tags()["scalars"]:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in rows]


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r'pip install "ecgcourse\[tensorboard\]"') as caught:
        fit(tmp_path / "run", epochs=1)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()
    fit(tmp_path / "run", epochs=1, tensorboard=False)
    assert (tmp_path / "run" / "history.csv").exists()
