"""Every kind of file that the package reads, damaged at random: it is read to right values, or told in one line."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from damage import SIZE, Small, damaged, error_of, little_memory, with_a_wrong_value
from hypothesis import given
from hypothesis import strategies as st
from mirror import write_sums

from ecgcourse import cli, datasets, integrity, models, practice, ptbxl, runs, signals, training
from ecgcourse.support.files import write_json

RECORD = "records100/00000/00002_lr"
DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"


class Places(NamedTuple):
    """Folders with one right file of each kind."""

    data: Path
    downloaded: Path
    source: Path  # what the images were made from
    images: Path
    run: Path


# --- how each kind of file is read, and what must hold of what comes back


def read_records(places: Places) -> None:
    table = ptbxl.read_table(places.data)
    parts, labels = ptbxl.split(table), ptbxl.labels(table)
    assert labels.shape == (len(table), 4) and np.isin(labels, (0, 1)).all()
    assert sum(map(len, parts.values())) == table["labelled"].sum()
    voltages = ptbxl.read_signals(places.data, table, cache=False, progress=False)
    assert voltages.dtype == np.float32 and voltages.shape[:2] == (len(table), 12) and np.isfinite(voltages).all()
    scaled = signals.preprocess(voltages)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert datasets.RenderedImages(scaled, labels, SIZE)[0][0].shape == (9, SIZE, SIZE)


def read_mark(places: Places) -> None:
    assert practice.is_practice(places.data) in (True, False)


def verify(places: Places) -> None:
    assert "files checked" in str(integrity.verify(places.downloaded, progress=False))


def read_image(places: Places) -> None:
    image, label = datasets.TiffImages(places.images)[0]
    assert image.dtype == torch.uint8 and image.shape == (9, *image.shape[1:2] * 2)
    assert label.shape == (4,) and ((label == 0) | (label == 1)).all()


def read_without_bad(places: Places) -> None:
    with Replaced(places.images / "images" / "1.tif", b"II*"):
        bad = datasets.TiffImages(places.images, skip_bad=True, progress=False).bad_records
    assert bad["file"].tolist() == ["images/1.tif"] and "images/1.tif" in bad["reason"][0]


def write_again(places: Places) -> None:
    datasets.write_images(places.source, places.images.parent, ("val",), SIZE, progress=False)


def load_best(places: Places) -> None:
    model = training.load_checkpoint(places.run / runs.BEST)
    assert all(torch.isfinite(weights).all() for weights in model.parameters())


def go_on(places: Places) -> None:
    config = training.TrainConfig(epochs=3, batch_size=5, learning_rate=0.01, device="cpu", out=places.run)
    training.seed_everything(0)
    history = training.fit(models.create("small"), a_dataset(), a_dataset(), config, resume=True)
    assert np.isfinite(history.to_frame().to_numpy(float)).all()


def read_history(places: Places) -> None:
    history = training.History.from_csv(places.run / runs.HISTORY)
    assert np.isfinite(history.to_frame().to_numpy(float)).all()
    assert not history.rows or history.best_epoch in range(1, len(history.rows) + 1)


def read_thresholds(places: Places) -> None:
    found, _ = cli._thresholds(models.create("compact", image_size=16), places.run / runs.THRESHOLDS)
    assert found.shape == (4,) and ((found >= 0) & (found <= 1)).all()


def read_settings(places: Places) -> None:
    assert runs.precision_of(places.run) in training.PRECISIONS


def read_starts(places: Places) -> None:
    assert all(
        start["torchrun"] is None or isinstance(start["torchrun"], str) for start in runs.process_starts(places.run)
    )


class Kind(NamedTuple):
    """A file, how it is read, and of which of these words one must be in the error."""

    folder: str
    name: str
    read: Callable[[Places], None]
    words: tuple[str, ...]
    # These help where they can and say nothing where they can't.
    is_optional: bool = False


KINDS = {
    "header": Kind("data", f"{RECORD}.hea", read_records, (RECORD,)),
    "samples": Kind("data", f"{RECORD}.dat", read_records, (RECORD,)),
    "table of records": Kind("data", DATABASE, read_records, (DATABASE, "can't be opened")),
    "statements": Kind("data", STATEMENTS, read_records, (STATEMENTS,)),
    "practice mark": Kind("data", practice.MARK, read_mark, (), is_optional=True),
    "sums": Kind("downloaded", integrity.SUMS, verify, (integrity.SUMS,)),
    "download manifest": Kind("downloaded", integrity.MANIFEST, verify, (integrity.MANIFEST,)),
    "image": Kind("images", "images/0.tif", read_image, ("images/0.tif",)),
    "label": Kind("images", "labels/0.npy", read_image, ("labels/0.npy",)),
    "numbers of records": Kind("images", "records.csv", read_without_bad, (), is_optional=True),
    "notes on images": Kind("images", datasets.IMAGES, write_again, ("val already exists",)),
    "best weights": Kind("run", runs.BEST, load_best, (runs.BEST,)),
    "last state": Kind("run", runs.LAST, go_on, (runs.LAST, "run")),
    "history": Kind("run", runs.HISTORY, read_history, (runs.HISTORY,)),
    "thresholds": Kind("run", runs.THRESHOLDS, read_thresholds, (runs.THRESHOLDS,)),
    "settings": Kind("run", runs.CONFIG, read_settings, (runs.CONFIG,)),
    "starts": Kind("run", runs.ENVIRONMENT, read_starts, (runs.ENVIRONMENT,)),
}


# --- the folders


def a_dataset(n_records: int = 10) -> datasets.RenderedImages:
    rng = np.random.default_rng(0)
    labels = np.vstack([np.zeros(4), np.ones(4), rng.integers(0, 2, (n_records - 2, 4))])
    return datasets.RenderedImages(rng.random((n_records, 3, 50)), labels, SIZE)


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """A small model that checkpoints may be of, and little memory."""
    with pytest.MonkeyPatch.context() as patch, little_memory():
        patch.setitem(models.REGISTRY, "small", Small)
        yield


@pytest.fixture(scope="module")
def places(bounded: None, practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """One right file of each kind, each of which reads without an error."""
    here = tmp_path_factory.mktemp("bad")
    places = Places(here / "data", here / "downloaded", practice_root, here / "images" / "val", here / "run")
    practice.write(places.data, n_records=3)
    shutil.copytree(places.data, places.downloaded)
    (places.downloaded / practice.MARK).unlink()
    write_sums(places.downloaded)
    write_json(
        places.downloaded / integrity.MANIFEST, {"data_set": "PTB-XL", "version": "1.0.3", "n_records": {100: 3}}
    )
    write_again(places)
    go_on(places)
    (places.run / runs.THRESHOLDS).write_text('{"thresholds": {"MI": 0.5, "STTC": 0.25, "CD": 0.125, "HYP": 1}}')
    return places


class Replaced:
    """A file that has another content for a moment."""

    def __init__(self, path: Path, content: bytes):
        self.path, self.content, self.right = path, content, path.read_bytes()

    def __enter__(self) -> None:
        self.path.write_bytes(self.content)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.right)


# --- the tests


@pytest.mark.parametrize("name", KINDS)
def test_undamaged_it_is_read(name: str, places: Places):
    KINDS[name].read(places)


@pytest.mark.parametrize("name", KINDS)
@given(draw=st.data())
def test_damaged_it_is_read_or_told(name: str, places: Places, draw: st.DataObject):
    kind = KINDS[name]
    path = getattr(places, kind.folder) / kind.name
    with Replaced(path, draw.draw(damaged(path.read_bytes()))):
        error = error_of(lambda: kind.read(places), kind.words)
    assert not (kind.is_optional and error)


def encode(content: object) -> bytes:
    return json.dumps(content, default=lambda value: value.tolist() if value.numel() < 100 else None).encode()


def pickled(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


# Files of nested values, and how such values are read from bytes and turned into bytes.
NESTED = {
    **dict.fromkeys(("download manifest", "notes on images", "thresholds", "settings", "starts"), (json.loads, encode)),
    "best weights": (lambda content: torch.load(io.BytesIO(content)), pickled),
}


@pytest.mark.parametrize("name", NESTED)
@given(draw=st.data())
def test_a_wrong_value_in_it_is_read_or_told(name: str, places: Places, draw: st.DataObject):
    kind, (decode, encode) = KINDS[name], NESTED[name]
    path = getattr(places, kind.folder) / kind.name
    with Replaced(path, encode(draw.draw(with_a_wrong_value(decode(path.read_bytes()))))):
        error_of(lambda: kind.read(places), kind.words)


@pytest.mark.parametrize("name", KINDS)
def test_every_other_file_in_its_place_is_told(name: str, places: Places):
    kind = KINDS[name]
    for other in KINDS.values():
        content = (getattr(places, other.folder) / other.name).read_bytes()
        if other != kind:
            with Replaced(getattr(places, kind.folder) / kind.name, content):
                error = error_of(lambda: kind.read(places), kind.words)
            assert (error is None) == kind.is_optional, other.name
