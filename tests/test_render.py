"""`render` against the definition in `fields`, which `test_fields` holds against pyts and OpenCV."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from ecgcourse import fields, fused, ptbxl, render, signals
from ecgcourse.errors import DataError, SettingError

PATHS = {
    "cpu": lambda x, size, bins: torch.from_numpy(render._on_cpu(x.numpy(), size, bins)),
    # What runs on a GPU, here on the CPU: the same operations.
    "device": render._on_device,
}


@pytest.fixture
def x(root):
    return signals.preprocess(ptbxl.read_signals(root, ptbxl.read_table(root).iloc[:12]))


def by_opencv(x, size=256):
    """(L, T) to (3 L, S, S): full fields, OpenCV's resize, cut to whole grey levels."""
    functions = {"GAF": fields.gramian_angular, "MTF": fields.markov_transition, "RP": fields.recurrence}
    stack = [
        cv2.resize(fields.grey(name, function(lead)), (size, size))
        for lead in x
        for name, function in functions.items()
    ]
    return (np.stack(stack) * 255).astype(np.uint8)


def agree(images, reference):
    difference = np.abs(images.astype(int) - reference)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


@pytest.mark.parametrize("path", PATHS)
def test_every_pixel_is_that_of_fields_and_opencv(x, path):
    images = PATHS[path](torch.from_numpy(x), 256, 10).numpy()
    assert images.shape == (len(x), 9, 256, 256) and images.dtype == np.uint8
    agree(images, np.stack([by_opencv(record) for record in x]))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("leads", "length", "size", "bins"),
    [
        (1, 300, 64, 10),
        (12, 100, 17, 10),
        (2, 50, 128, 8),
        (3, 1, 8, 2),
        (1, 2, 3, 16),
        (3, 5000, 256, 7),
        (2, 90, 1, 3),
    ],
)
def test_any_length_size_leads_and_bins(path, leads, length, size, bins):
    walks = np.random.default_rng(length).normal(size=(3, leads, length)).cumsum(-1)
    x = (walks - walks.min(-1, keepdims=True)) / np.maximum(np.ptp(walks, axis=-1, keepdims=True), 1e-9)
    images = PATHS[path](torch.from_numpy(x), size, bins).numpy()
    reference = [
        [
            fields.resize((fields.gramian_angular(lead) + 1) / 2, size),
            fields.resize(fields.markov_transition(lead, bins) / 5, size),
            fields.resize(fields.recurrence(lead), size),
        ]
        for lead in x.reshape(-1, length)
    ]
    reference = (np.stack(reference) * 255).astype(np.uint8).reshape(images.shape)
    difference = np.abs(images.astype(int) - reference)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.995


@pytest.mark.parametrize("path", PATHS)
def test_a_flat_lead_has_images_too(path):
    images = PATHS[path](torch.zeros(1, 1, 100), 32, 10).numpy()
    np.testing.assert_array_equal(images[0], fields.images(np.zeros((1, 100)), 32))


def test_numpy_in_numpy_out_torch_in_torch_out(x):
    from_numpy, from_torch = render.render(x), render.render(torch.from_numpy(x))
    assert isinstance(from_numpy, np.ndarray) and isinstance(from_torch, torch.Tensor)
    assert from_torch.dtype == torch.uint8
    np.testing.assert_array_equal(from_numpy, from_torch.numpy())


def test_a_batch_is_its_records_one_by_one(x):
    np.testing.assert_array_equal(render.render(x), np.concatenate([render.render(record[None]) for record in x]))


def test_views_and_half_precision_are_taken(x):
    np.testing.assert_array_equal(render.render(x[::2, :, ::-1]), render.render(np.ascontiguousarray(x[::2, :, ::-1])))
    half = torch.from_numpy(x).half()
    np.testing.assert_array_equal(render.render(half), render.render(half.float()))


def test_no_records_give_no_images():
    assert render.render(np.zeros((0, 3, 100), np.float32)).shape == (0, 9, 256, 256)


def test_the_number_of_threads_changes_nothing(x):
    many = render.render(x)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert fused.n_threads() == 1
        np.testing.assert_array_equal(render.render(x), many)
    finally:
        torch.set_num_threads(threads)


def test_several_threads_may_render_at_once(x):
    with ThreadPoolExecutor(4) as pool:
        for images in pool.map(render.render, [x] * 8):
            np.testing.assert_array_equal(images, render.render(x))


def _render_in_child(x, queue):
    queue.put(int(render.render(x).sum()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_render(x):
    expected = int(render.render(x).sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_render_in_child, args=(x, queue), daemon=True)
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(10)
    assert child.exitcode == 0


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 100), np.float32), r"\(N, L, T\)"),
        (np.zeros((1, 3, 0), np.float32), r"\(N, L, T\)"),
        (np.zeros((1, 3, 100), np.int64), "int64"),
        (np.full((1, 3, 100), 1.5, np.float32), r"\[0, 1\]"),
        (np.full((1, 3, 100), np.nan, np.float32), r"\[0, 1\]"),
    ],
)
def test_bad_signals_are_refused(x, words):
    with pytest.raises(DataError, match=words):
        render.render(x)


def test_bad_settings_are_refused():
    x = np.zeros((1, 3, 100), np.float32)
    with pytest.raises(SettingError, match="pixels"):
        render.render(x, size=0)
    with pytest.raises(SettingError, match="bins"):
        render.render(x, bins=1)
