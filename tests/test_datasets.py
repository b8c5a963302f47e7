"""Datasets of images, against pandas for what they hold and `fields` for how it looks."""

import csv
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import stats
from torch.utils.data import BatchSampler, RandomSampler

from ecgcourse import datasets, fields, practice, ptbxl, render, samples, signals, tiff
from ecgcourse.errors import DataError, SettingError

SIZE = 16


@pytest.fixture(scope="module")
def rendered(practice_root: Path) -> datasets.RenderedImages:
    return datasets.from_data(practice_root, "train", SIZE)


@pytest.fixture(scope="module")
def written(practice_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("images") / "out"
    return datasets.write_images(practice_root, out, ("train", "val"), SIZE)


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written / "val", tmp_path / "data" / "val"))


def some_signals(n_records: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n_records, 3, 50)), rng.integers(0, 2, (n_records, 4))


def one_of_a_kind() -> datasets.RenderedImages:
    labels = [[number >> bit & 1 for bit in range(4)] for number in range(16)]
    return datasets.RenderedImages(some_signals(16)[0], np.array(labels), 4)


# --- rendered images


def test_an_item_is_the_image_that_fields_defines():
    x, labels = some_signals()
    image, label = datasets.RenderedImages(x, labels, SIZE)[3]
    expected = fields.images(x[3].astype(np.float32), SIZE)
    assert image.shape == (9, SIZE, SIZE) and image.dtype == torch.uint8
    assert np.abs(image.numpy().astype(int) - expected).max() <= 1
    assert label.dtype == torch.float32 and label.tolist() == labels[3].tolist()


@pytest.mark.parametrize(
    "index", [[4, 0, 2], (4, 0, 2), np.array([4, 0, 2]), torch.tensor([4, 0, 2]), slice(1, 4), [], [-1, 2]]
)
def test_a_sequence_gives_the_batch_of_its_items(index):
    x, labels = some_signals()
    dataset = datasets.RenderedImages(x, labels, SIZE)
    index = list(index) if isinstance(index, tuple) else index
    images, batch_labels = dataset[index]
    rows = np.arange(5)[index]
    assert images.shape == (len(rows), 9, SIZE, SIZE)
    for row, image, label in zip(rows, images, batch_labels, strict=True):
        assert torch.equal(image, dataset[int(row)][0])
        assert label.tolist() == labels[row].tolist()


def test_a_batch_is_one_call_to_render(monkeypatch: pytest.MonkeyPatch):
    lengths = []

    def counted(x, *rest, **settings):
        lengths.append(len(x))
        return render.render(x, *rest, **settings)

    monkeypatch.setattr(samples, "render", counted)
    dataset = datasets.RenderedImages(*some_signals(), SIZE)
    list(datasets.loader(dataset, batch_size=2))
    assert lengths == [2, 2, 1]


@pytest.mark.parametrize("index", [5, -6, [0, 5]])
def test_a_number_that_is_no_record_is_an_index_error(index):
    with pytest.raises(IndexError):
        datasets.RenderedImages(*some_signals(), SIZE)[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": np.zeros((5, 50))}, r"\(5, 50\)"),
        ({"signals": np.zeros((0, 3, 50))}, r"\(0, 3, 50\)"),
        ({"signals": np.full((5, 3, 50), np.nan)}, "5 of 5 signals"),
        ({"signals": np.array([0, 0, 0, 2, 0])[:, None, None] * np.ones((5, 3, 50))}, "1 of 5.* row 3"),
        ({"labels": np.zeros((4, 4))}, r"\(4, 4\), but \(5, 4\)"),
        ({"labels": np.zeros(5)}, r"\(5,\), but \(5, 4\)"),
        ({"labels": np.zeros((5, 0))}, r"\(5, 0\), but \(5, 1\)"),
        ({"labels": np.full((5, 4), 0.5)}, "0 or 1"),
    ],
)
def test_unusable_signals_and_labels_are_refused(change, message):
    x, labels = some_signals()
    with pytest.raises(DataError, match=message):
        datasets.RenderedImages(**({"signals": x, "labels": labels, "size": SIZE} | change))


# --- from_data


@pytest.mark.parametrize("partition", ["train", "val", "test"])
def test_a_partition_of_ptbxl_has_the_labelled_records_of_its_folds(root: Path, partition: str):
    dataset = datasets.from_data(root, partition, SIZE)
    table = ptbxl.read_table(root)
    table = table[table["strat_fold"].isin(ptbxl.FOLDS[partition]) & table["labelled"]]
    assert len(dataset) == len(table) > 0
    assert np.array_equal(dataset.labels.numpy(), table[list(ptbxl.CLASSES)].to_numpy(np.float32))


def test_the_signals_are_the_preprocessed_ones_of_the_right_records(root: Path):
    table = ptbxl.split(ptbxl.read_table(root))["val"]
    one = ptbxl.read_signals(root, table.iloc[[3]])
    dataset = datasets.from_data(root, "val", SIZE)
    assert np.array_equal(dataset.signals[3].numpy(), signals.preprocess(one)[0])


def test_500_hz_records_can_be_asked_for(practice_root: Path, tmp_path: Path):
    small = practice.write(tmp_path / "p", n_records=20)
    assert datasets.from_data(small, "train", SIZE, sampling_rate=500).signals.shape[-1] == 5000


def test_an_empty_partition_is_named(practice_root: Path, tmp_path: Path):
    table = ptbxl.read_table(practice_root).query("strat_fold == 9")
    shutil.copy(practice_root / "scp_statements.csv", tmp_path)
    table.to_csv(tmp_path / "ptbxl_database.csv")
    with pytest.raises(DataError, match="'test' is empty.*strat_fold 10"):
        datasets.from_data(tmp_path, "test")
    with pytest.raises(DataError, match="'test' is empty"):
        datasets.write_images(tmp_path, tmp_path / "out", ("val", "test"))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_kind_is_told_what_was_looked_for(tmp_path: Path):
    with pytest.raises(DataError, match="ptbxl_database.csv.*train/images"):
        datasets.from_data(tmp_path, "train")
    with pytest.raises(DataError, match="nowhere"):
        datasets.from_data(tmp_path / "nowhere", "train")


def test_a_partition_that_was_not_written_is_told_how(written: Path):
    with pytest.raises(DataError, match="--partition test"):
        datasets.from_data(written, "test", SIZE)


def test_images_of_another_size_are_refused(written: Path):
    with pytest.raises(DataError, match=f"{SIZE} pixels wide, but size 256"):
        datasets.from_data(written, "train", 256)
    assert datasets.from_data(written, "train").recipe == datasets.ImageRecipe(size=SIZE)


@pytest.mark.parametrize("settings", [{"partition": "training"}, {"partition": "train", "size": 0}])
def test_settings_that_do_not_exist_are_refused(practice_root: Path, settings: dict):
    with pytest.raises(SettingError):
        datasets.from_data(practice_root, **settings)


# --- TIFF files


def test_written_images_are_the_rendered_ones(written: Path, rendered: datasets.RenderedImages):
    images, labels = rendered[:]
    assert len(list((written / "train" / "images").iterdir())) == len(rendered)
    for number in range(len(rendered)):
        image = tifffile.imread(written / "train" / "images" / f"{number}.tif")
        assert image.dtype == np.uint8 and np.array_equal(image, images[number].numpy())
        label = np.load(written / "train" / "labels" / f"{number}.npy", allow_pickle=False)
        assert label.shape == (4,) and np.array_equal(label, labels[number].numpy())


def test_more_records_than_one_batch_are_numbered_through(
    practice_root: Path, rendered: datasets.RenderedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tiff, "WRITE_PIXELS", 10 * 9 * SIZE**2)
    out = datasets.write_images(practice_root, tmp_path / "out", ("train",), SIZE)
    read = datasets.from_data(out, "train", SIZE)
    assert torch.equal(read[:][0], rendered[:][0])


def test_every_image_can_be_traced_to_its_record(written: Path, practice_root: Path):
    table = ptbxl.split(ptbxl.read_table(practice_root))["val"]
    with (written / "val" / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["ecg_id"]) for row in rows] == table.index.tolist()
    assert [int(row["number"]) for row in rows] == list(range(len(table)))


def test_tiff_images_answer_as_rendered_ones_do(written: Path, rendered: datasets.RenderedImages):
    read = datasets.from_data(written, "train", SIZE)
    assert len(read) == len(rendered) and read.size == SIZE
    assert torch.equal(read.labels, rendered.labels)
    for index in (0, -1, [], [12, 3], torch.tensor([5]), slice(10)):
        for ours, theirs in zip(read[index], rendered[index], strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_images_of_the_practice_set_stay_marked_as_synthetic(practice_root: Path, written: Path, tmp_path: Path):
    assert datasets.is_synthetic(practice_root)
    assert datasets.is_synthetic(written)
    assert not datasets.is_synthetic(tmp_path)


def test_images_of_real_records_are_not_called_synthetic(real_root: Path, tmp_path: Path):
    assert not datasets.is_synthetic(datasets.write_images(real_root, tmp_path / "out", ("val",), 4))


def test_images_are_made_from_records_only(written: Path, tmp_path: Path):
    with pytest.raises(DataError, match="ptbxl_database.csv"):
        datasets.write_images(written, tmp_path / "out", ("train",), SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused_before_anything_is_written(practice_root: Path, tmp_path: Path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "precious").touch()
    with pytest.raises(DataError, match="val already exists"):
        datasets.write_images(practice_root, tmp_path, ("train", "val"), SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["val"]
    assert [path.name for path in (tmp_path / "val").iterdir()] == ["precious"]


def stop_writing_after(monkeypatch: pytest.MonkeyPatch, count: int, interruption: BaseException) -> list[Path]:
    write, written = tifffile.imwrite, []

    def interrupted(path: Path, *args, **kwargs) -> None:
        if len(written) == count:
            raise interruption
        written.append(path)
        write(path, *args, **kwargs)

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    return written


def every_file(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_writing_is_gone_on_with(
    practice_root: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
):
    n_images = len(list(written.rglob("*.tif")))
    with monkeypatch.context() as patch:
        stop_writing_after(patch, n_images - 3, interruption)
        with pytest.raises((KeyboardInterrupt, DataError)):
            datasets.write_images(practice_root, tmp_path / "out", ("train", "val"), SIZE)
    assert list((tmp_path / "out").glob("[!.]*")) == []
    with monkeypatch.context() as patch:
        again = stop_writing_after(patch, n_images, AssertionError())
        datasets.write_images(practice_root, tmp_path / "out", ("train", "val"), SIZE)
    assert len(again) == 3
    assert every_file(tmp_path / "out") == every_file(written)


def test_images_of_other_settings_are_never_mixed_in(
    practice_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = datasets.write_images(practice_root, tmp_path / "expected", ("val",), 4)
    with monkeypatch.context() as patch:
        stop_writing_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            datasets.write_images(practice_root, tmp_path / "out", ("val",), 8)
    datasets.write_images(practice_root, tmp_path / "out", ("val",), 4)
    assert every_file(tmp_path / "out") == every_file(expected)


def test_images_that_are_there_are_not_written_again(
    practice_root: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = Path(shutil.copytree(written, tmp_path / "out"))
    shutil.rmtree(out / "val")
    stop_writing_after(monkeypatch, len(list((written / "val" / "images").iterdir())), AssertionError())
    datasets.write_images(practice_root, out, ("train", "val"), SIZE)
    assert every_file(out) == every_file(written)


@pytest.mark.parametrize("lost", ["images/2.tif", "labels/2.npy", "images/0.tif"])
def test_a_missing_partner_is_named(copied: Path, lost: str):
    (copied / lost).unlink()
    with pytest.raises(DataError, match=f"{lost} is missing"):
        datasets.TiffImages(copied)


def test_a_folder_without_images_is_refused(tmp_path: Path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        datasets.TiffImages(tmp_path)


def test_a_file_that_is_not_numbered_is_named(copied: Path):
    (copied / "images" / "copy of 1.tif").touch()
    with pytest.raises(DataError, match="copy of 1.tif"):
        datasets.TiffImages(copied)


@pytest.mark.parametrize(
    ("label", "message"),
    [(np.zeros(3), "shape"), (np.full(4, np.nan), "0 or 1"), (np.array([{}], object), "can't be read")],
)
def test_a_wrong_label_is_named(copied: Path, label: np.ndarray, message: str):
    np.save(copied / "labels" / "1.npy", label, allow_pickle=True)
    with pytest.raises(DataError, match=rf"1\.npy.*{message}"):
        datasets.TiffImages(copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((9, SIZE, SIZE), np.uint16), "uint16"),
        (np.zeros((3, SIZE, SIZE), np.uint8), "shape"),
        (np.zeros((9, SIZE, 2 * SIZE), np.uint8), "shape"),
        (np.zeros((9, 8, 8), np.uint8), "8 pixels wide"),
    ],
)
def test_a_wrong_image_is_named_when_it_is_read(copied: Path, content: np.ndarray, message: str):
    tifffile.imwrite(copied / "images" / "1.tif", content, photometric="minisblack")
    with pytest.raises(DataError, match=rf"1\.tif.*{message}"):
        datasets.TiffImages(copied)[1]


# --- loader


def test_a_loader_does_not_touch_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(datasets.loader(one_of_a_kind(), 5, shuffle=True))
    assert torch.equal(before, torch.get_rng_state())


def test_workers_give_the_same_batches_and_are_not_forked(rendered: datasets.RenderedImages):
    """Python itself warns of a fork of a process with threads, from 3.12 on; the start method shows it always."""
    alone, helped = (datasets.loader(rendered, 16, shuffle=True, seed=3, workers=n) for n in (0, 2))
    assert helped.multiprocessing_context.get_start_method() == "spawn"
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batches = iter(helped)
        for (images, labels), (other_images, other_labels) in zip(alone, batches, strict=True):
            assert torch.equal(images, other_images) and torch.equal(labels, other_labels)


def test_a_dataset_that_no_other_process_could_know_is_refused():
    class Local(datasets.Signals):
        pass

    dataset = Local(torch.rand(4, 3, 20), torch.zeros(4, 4))
    with pytest.raises(SettingError, match="workers=2.*Local.*workers=0"):
        iter(datasets.loader(dataset, 2, workers=2))


def test_data_on_another_device_are_prepared_there_whatever_the_number_of_workers():
    dataset = one_of_a_kind()
    dataset.labels = dataset.labels.to("meta")
    assert datasets.loader(dataset, 5, workers=3).num_workers == 0


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"batch_size": 4, "workers": -1}])
def test_a_loader_refuses_impossible_settings(settings: dict):
    with pytest.raises(SettingError):
        datasets.loader(one_of_a_kind(), **settings)


# --- order


def torch_order(n_records: int, batch_size: int, seed: int, epochs: int) -> list[list[list[int]]]:
    """Batches of each epoch, as PyTorch's own samplers make them."""
    sampler = RandomSampler(range(n_records), generator=torch.Generator().manual_seed(seed))
    return [list(BatchSampler(sampler, batch_size, drop_last=False)) for _ in range(epochs)]


@pytest.mark.parametrize(("n_records", "batch_size"), [(12, 4), (13, 4), (3, 5), (1, 1)])
def test_the_order_is_that_of_torch(n_records: int, batch_size: int):
    order = datasets.BatchOrder(n_records, batch_size, shuffle=True, seed=5)
    assert [list(order) for _ in range(3)] == torch_order(n_records, batch_size, 5, 3)
    assert len(order) == len(torch_order(n_records, batch_size, 5, 1)[0])
    plain = list(BatchSampler(range(n_records), batch_size, drop_last=False))
    assert list(datasets.BatchOrder(n_records, batch_size, shuffle=False, seed=5)) == plain


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize(("n_records", "batch_size"), [(12, 4), (13, 4), (29, 7), (3, 5)])
def test_processes_share_the_very_batches_of_one(n_records: int, batch_size: int, size: int):
    orders = [datasets.BatchOrder(n_records, batch_size, True, 5, (rank, size)) for rank in range(size)]
    for whole in torch_order(n_records, batch_size, 5, 2):
        shares = [list(order) for order in orders]
        for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
            assert sorted(sum(parts, [])) == sorted(batch)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        # What each process has, dealt back in turn, is the order of one.
        merged = [0] * n_records
        for rank, share in enumerate(shares):
            merged[rank::size] = sum(share, [])
        assert merged == sum(whole, [])


@pytest.mark.parametrize(("done", "workers"), [(0, 0), (1, 0), (3, 0), (4, 0), (1, 1)])
def test_an_epoch_can_be_taken_up_anywhere(done: int, workers: int):
    dataset = one_of_a_kind()
    batch_size = -(-len(dataset) // 4)
    first = datasets.loader(dataset, batch_size, shuffle=True, seed=5)
    epochs = [[labels for _, labels in first]]
    state = first.sampler.state(0)
    batches = iter(first)
    epochs.append([next(batches)[1] for _ in range(done)])
    state = first.sampler.state(done) if done else state
    epochs[-1] += [labels for _, labels in batches]
    epochs.append([labels for _, labels in first])
    second = datasets.loader(dataset, batch_size, shuffle=True, seed=99, workers=workers)
    second.sampler.seek(state)
    for expected in (epochs[1][done:], epochs[2]):
        found = [labels for _, labels in second]
        assert len(found) == len(expected)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


# --- floats


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_images_can_come_as_floats_ready_for_a_network(dtype: torch.dtype):
    x, labels = np.random.default_rng(0).random((3, 3, 50)), np.eye(4)[:3]
    levels, floats = datasets.RenderedImages(x, labels, 16), datasets.RenderedImages(x, labels, 16, dtype=dtype)
    batch = floats[[0, 2]][0]
    assert batch.dtype == dtype and batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, datasets.to_float(levels[[0, 2]][0]).to(dtype))
    assert torch.equal(floats[1][0], datasets.to_float(levels[1][0]).to(dtype))
    with pytest.raises(SettingError, match="dtype"):
        datasets.RenderedImages(x, labels, 16, dtype=torch.int32)


def test_grey_levels_become_fractions():
    images = torch.arange(256, dtype=torch.uint8)
    result = datasets.to_float(images)
    assert result.dtype == torch.float32
    assert np.array_equal(result.numpy(), np.arange(256, dtype=np.float32) / np.float32(255))
    with pytest.raises(DataError, match="float32"):
        datasets.to_float(result)


# --- recipes, signals, both


def test_a_recipe_chooses_images_and_their_white():
    x, labels = some_signals()
    recipe = datasets.ImageRecipe(fields=("RP", "MTF"), mtf_white=1)
    images = datasets.RenderedImages(x, labels, SIZE, recipe=recipe)[:][0].numpy()
    expected = np.stack([fields.images(lead.astype(np.float32), SIZE, mtf_white=1) for lead in x])
    assert images.shape == (5, 6, SIZE, SIZE)
    assert np.abs(images.astype(int) - expected[:, [2, 1, 5, 4, 8, 7]]).max() <= 1


@pytest.mark.parametrize("wanted", [("DIF",), ("DIF", "GAF"), ("GAF", "MTF", "RP", "DIF")])
def test_a_recipe_may_ask_for_signed_differences(wanted):
    x, labels = some_signals()
    images = datasets.RenderedImages(x, labels, SIZE, recipe=datasets.ImageRecipe(fields=wanted))[:][0].numpy()
    for row, record in enumerate(x.astype(np.float32)):
        nine = fields.images(record, SIZE)
        for lead in range(3):
            field = fields.resize(fields.grey("DIF", fields.difference(record[lead])), SIZE)
            made = dict(zip(fields.FIELDS, nine[3 * lead : 3 * lead + 3], strict=True)) | {"DIF": field * 255}
            found = images[row, lead * len(wanted) : (lead + 1) * len(wanted)]
            expected = np.stack([np.floor(made[name]) for name in wanted])
            assert np.abs(found - expected).max() <= 1


def test_a_recipe_may_ask_for_other_leads():
    voltages = np.random.default_rng(0).normal(size=(2, 12, 300))
    recipe = datasets.ImageRecipe(leads=("V6", "aVR"), fields=("RP",))
    dataset = datasets.from_arrays(voltages, np.zeros((2, 4)), size=SIZE, images=recipe)
    expected = signals.preprocess(voltages, leads=("V6", "aVR"))
    np.testing.assert_array_equal(dataset.signals, expected)
    assert dataset[:][0].shape == (2, 2, SIZE, SIZE)


def test_eval_crops_lie_at_equal_distances_or_in_the_middle():
    x, labels = some_signals()
    recipe = datasets.ImageRecipe(size=20, crop=20, eval_crops=4)
    dataset = datasets.RenderedImages(x, labels, recipe=recipe)
    (images,), label = dataset[[4, 1]]
    assert images.shape == (2, 4, 9, 20, 20) and label.shape == (2, 4)
    for place, start in enumerate((0, 10, 20, 30)):
        expected = fields.images(x[1, :, start : start + 20].astype(np.float32), 20)
        assert np.abs(images[1, place].numpy().astype(int) - expected).max() <= 1
    assert torch.equal(dataset[4][0].inputs, images[0])
    one = datasets.RenderedImages(x, labels, recipe=datasets.ImageRecipe(size=20, crop=20))
    middle = fields.images(x[1, :, 15:35].astype(np.float32), 20)
    assert np.abs(one[[4, 1]][0][1].numpy().astype(int) - middle).max() <= 1


def drawn(dataset: datasets.AnyDataset, times: int, seed: int = 0, **augmentation) -> torch.Tensor:
    """What a network would learn from the first record of a dataset in so many epochs."""
    how = {"augmentation": datasets.Augmentation(**augmentation)}
    batches = datasets.loader(torch.utils.data.Subset(dataset, [0] * times), times, seed=seed, **how)
    return next(iter(batches))[0]


def test_random_crops_lie_everywhere_in_the_record_and_follow_the_seed():
    # A ramp: the recurrence plot of a crop is the same everywhere, its transitions are not.
    x = np.linspace(0, 1, 50)[None, None].repeat(3, axis=1)
    dataset = datasets.RenderedImages(x, np.zeros((1, 4)), recipe=datasets.ImageRecipe(size=20, crop=20, eval_crops=3))
    images = drawn(dataset, 400)
    expected = {fields.images(x[0, :, start : start + 20].astype(np.float32), 20)[1].tobytes() for start in range(31)}
    found = {image[1].numpy().tobytes() for image in images}
    assert found <= expected and len(found) > 0.8 * len(expected)
    torch.manual_seed(1)
    assert torch.equal(drawn(dataset, 400), images)
    assert not torch.equal(drawn(dataset, 400, seed=1), images)


def test_a_circular_shift_turns_each_record_round_by_another_number_of_samples():
    x, labels = some_signals()
    dataset = datasets.RenderedImages(x, labels, SIZE)
    images = drawn(dataset, 200, roll=True)
    turned = np.stack([np.roll(x[0], by, axis=-1) for by in range(x.shape[-1])]).astype(np.float32)
    expected = {image.tobytes() for image in render.render(turned, SIZE)}
    found = {image.numpy().tobytes() for image in images}
    assert found <= expected and len(found) > 0.9 * len(expected)


def test_signals_and_images_are_cropped_and_shifted_alike():
    x, labels = some_signals()
    read = datasets.Signals(x, labels, recipe=signals.SignalRecipe(crop=20))
    both = datasets.SignalsAndImages(
        read, datasets.RenderedImages(x, labels, recipe=datasets.ImageRecipe(size=20, crop=20))
    )
    found, images = drawn(both, 30, roll=True)
    assert torch.equal(render.render(found, 20), images) and len(set(found[:, 0, 0].tolist())) > 10


def test_what_is_drawn_depends_neither_on_workers_nor_on_processes():
    x, labels = some_signals()
    read = datasets.Signals(x, labels, recipe=signals.SignalRecipe(crop=20))
    augmentation = datasets.Augmentation(gain=0.5, roll=True)

    def epoch(**how) -> list[torch.Tensor]:
        return [each for each, _ in datasets.loader(read, 4, True, 3, augmentation=augmentation, **how)]

    alone = epoch()
    ours = [batch[(1 - 4 * number) % 3 :: 3] for number, batch in enumerate(alone)]
    assert all(map(torch.equal, epoch(workers=2, share=(1, 3)), ours))


@pytest.mark.parametrize(
    "settings",
    [
        {"fields": ()},
        {"fields": ("GAF", "GAF")},
        {"fields": ("XYZ",)},
        {"leads": ("I", "V9")},
        {"leads": ()},
        {"crop": 1},
        {"eval_crops": 2},
        {"crop": 10, "eval_crops": 0},
        {"size": 0},
        {"mtf_white": 0.5},
        {"scaling": "loud"},
        {"zero_phase": 1},
    ],
)
def test_recipes_are_checked(settings: dict):
    with pytest.raises(SettingError, match="images: "):
        datasets.ImageRecipe(**settings)
    if settings.keys() <= {"leads", "crop", "eval_crops", "scaling", "zero_phase"}:
        with pytest.raises(SettingError, match="signals: "):
            signals.SignalRecipe(**settings)


def test_a_crop_fits_into_its_record():
    x, labels = some_signals()
    with pytest.raises(SettingError, match="crop=51, but the signals have 50"):
        datasets.RenderedImages(x, labels, SIZE, recipe=datasets.ImageRecipe(crop=51))


@pytest.mark.parametrize(
    ("kind", "augmentation", "words"), [("images", {"gain": 0.1}, "gain=0.1"), ("tiff", {"roll": True}, "roll=True")]
)
def test_an_augmentation_that_the_data_cannot_have_is_refused(kind: str, augmentation: dict, words: str, written: Path):
    x, labels = some_signals()
    dataset = datasets.RenderedImages(x, labels, SIZE) if kind == "images" else datasets.TiffImages(written / "val")
    with pytest.raises(SettingError, match=words):
        datasets.loader(dataset, 2, augmentation=datasets.Augmentation(**augmentation))


def test_signals_are_given_as_they_are():
    x = np.random.default_rng(0).normal(size=(5, 12, 30)).astype(np.float32)
    labels = some_signals()[1]
    dataset = datasets.Signals(x, labels)
    signal, label = dataset[3]
    np.testing.assert_array_equal(signal, x[3])
    np.testing.assert_array_equal(label, labels[3])
    np.testing.assert_array_equal(dataset[[4, 0]][0], x[[4, 0]])
    x[2, 1, 7] = np.nan
    with pytest.raises(DataError, match="row 2"):
        datasets.Signals(x, labels)
    with pytest.raises(DataError, match="shape"):
        datasets.Signals(x[0], labels)


def test_crops_of_signals_are_at_fixed_places_or_random():
    x = np.arange(30.0)[None, None].repeat(12, axis=1) + np.zeros((5, 1, 1))
    labels = some_signals()[1]
    dataset = datasets.Signals(x, labels, recipe=signals.SignalRecipe(crop=10, eval_crops=3))
    (found,), _ = dataset[[4, 1]]
    assert found.shape == (2, 3, 12, 10)
    np.testing.assert_array_equal(found[1, :, 0], [np.arange(start, start + 10) for start in (0, 10, 20)])
    starts = drawn(dataset, 500)
    assert starts.shape == (500, 12, 10) and set(starts[:, 0, 0].tolist()) == set(range(21))
    np.testing.assert_array_equal(starts - starts[:, :, :1], np.zeros((500, 12, 1)) + np.arange(10))


def test_each_lead_has_a_gain_of_its_own_in_training_only():
    dataset = datasets.Signals(np.ones((5, 3, 30)), some_signals()[1])
    gains = drawn(dataset, 2000, gain=0.25)
    assert torch.equal(gains, gains[:, :, :1].expand_as(gains))
    logarithms = gains[:, :, 0].log() / np.log(1.25)
    assert stats.kstest(logarithms.flatten(), stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert np.abs(np.corrcoef(logarithms.T)[0, 1]) < 0.1
    assert (dataset[:][0] == 1).all()


def test_signals_and_images_stay_together_when_shuffled():
    images = one_of_a_kind()
    # Each record's signal holds its number.
    x = np.arange(16.0)[:, None, None].repeat(3, 1).repeat(7, 2)
    both = datasets.SignalsAndImages(datasets.Signals(x, images.labels), images)
    for (signals_, pictures), labels in datasets.loader(both, 5, shuffle=True):
        numbers = signals_[:, 0, 0].long()
        assert torch.equal(pictures, images[numbers][0]) and torch.equal(labels, images.labels[numbers])
    (signal, picture), label = both[3]
    assert signal.shape == (3, 7) and picture.shape == (9, 4, 4) and label.shape == (4,)


def test_signals_and_images_of_other_records_are_refused():
    x, labels = some_signals()
    images = datasets.RenderedImages(x, labels, SIZE)
    with pytest.raises(DataError, match="different labels"):
        datasets.SignalsAndImages(datasets.Signals(x, 1 - labels), images)
    crops = datasets.RenderedImages(x, labels, SIZE, recipe=datasets.ImageRecipe(crop=20, eval_crops=3))
    read = datasets.Signals(x, labels, recipe=signals.SignalRecipe(crop=20, eval_crops=2))
    with pytest.raises(SettingError, match="eval_crops=3, but signals.eval_crops=2"):
        datasets.SignalsAndImages(read, crops)


def test_data_are_opened_as_the_recipes_say(practice_root: Path):
    table = ptbxl.split(ptbxl.read_table(practice_root))["val"]
    voltages = ptbxl.read_signals(practice_root, table)
    leads = signals.SignalRecipe(ptbxl.LEADS, "millivolt", zero_phase=True)
    recipe = datasets.ImageRecipe(scaling="fixed_scale", zero_phase=True)
    both = datasets.from_data(practice_root, "val", SIZE, images=recipe, signals=leads)
    read, rendered = both.parts
    filtered = signals.bandpass(voltages, 100, zero_phase=True)
    np.testing.assert_allclose(read.signals, filtered, atol=1e-6)
    np.testing.assert_allclose(rendered.signals, np.clip((filtered[:, [0, 1, 7]] + 2.5) / 5, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(both.labels, ptbxl.labels(table))
    alone = datasets.from_data(practice_root, "val", images=None, signals=signals.SignalRecipe())
    assert isinstance(alone, datasets.Signals)
    np.testing.assert_allclose(alone.signals.mean(dim=2), 0, atol=1e-5)
    np.testing.assert_allclose(alone.signals.std(dim=2, correction=0), 1, atol=1e-4)


def test_a_folder_of_images_has_no_signals(written: Path):
    with pytest.raises(SettingError, match="folder of images"):
        datasets.from_data(written, "val", SIZE, signals=signals.SignalRecipe())
    with pytest.raises(SettingError, match="needs images or signals"):
        datasets.from_arrays(np.zeros((1, 12, 100)), np.zeros((1, 4)), images=None)
