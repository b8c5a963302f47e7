"""`render` against the definition in `fields`, which `test_fields` holds against pyts and OpenCV."""

import functools
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from ecgcourse import fields, fused, ptbxl, render, signals
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


@pytest.fixture
def kernels():
    """The kernels for a GPU; in tests they run in Triton's interpreter."""
    pytest.importorskip("triton", reason="Triton, which the GPU kernels are written in, isn't installed")
    return importlib.import_module("ecgcourse.images.fused_gpu")


@pytest.fixture(params=["loops", "torch", "triton"])
def render_by(request):
    """One of the three ways to fill a tensor: Numba's loops, torch operations, Triton's kernels in its interpreter."""
    if request.param == "triton":
        kernels = request.getfixturevalue("kernels")

        def fill(x, taps, edges, images, mtf_white):
            kernels.fill(x.float().contiguous(), taps, edges, images, mtf_white)
    else:
        fill = {"loops": render._fill_tensor, "torch": render._fill_by_torch}[request.param]

    def run(x, size=256, bins=10, mtf_white=5.0, dtype=torch.uint8, memory_format=torch.contiguous_format):
        images = render._new_tensor(x, size, dtype, memory_format)
        fill(x, fields.taps(x.shape[-1], size), fields.bin_edges(bins), images, mtf_white)
        return images

    run.is_interpreted = request.param == "triton"
    return run


def twelve(root):
    return signals.preprocess(ptbxl.read_signals(root, ptbxl.read_table(root).iloc[:12]))


@pytest.fixture(scope="module")
def x(practice_root):
    return twelve(practice_root)


@pytest.fixture(scope="module")
def x_and_images(root):
    """Twelve practice or real records, and what `fields` and OpenCV make of them."""
    x = twelve(root)
    return x, np.stack([by_opencv(record) for record in x])


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


def test_every_pixel_is_that_of_fields_and_opencv(x_and_images, render_by):
    # The interpreter is slow.
    x, expected = (each[: 3 if render_by.is_interpreted else None] for each in x_and_images)
    images = render_by(torch.from_numpy(x)).numpy()
    assert images.shape == (len(x), 9, 256, 256) and images.dtype == np.uint8
    agree(images, expected)


def test_every_pixel_of_every_real_record(real_root):
    """At most one grey level anywhere, and at least 99.9 % of each record's pixels identical."""
    x = signals.preprocess(ptbxl.read_signals(real_root, ptbxl.read_table(real_root).iloc[:500]))
    for images, record in zip(render.render(x), x, strict=True):
        agree(images, by_opencv(record))


@functools.cache
def walks_and_images(records, leads, length, size, bins, mtf_white):
    """Random walks scaled to [0, 1], and what `fields` makes of them; the same for each way to render."""
    walks = np.random.default_rng(length).normal(size=(records, leads, length)).cumsum(-1)
    x = (walks - walks.min(-1, keepdims=True)) / np.maximum(np.ptp(walks, axis=-1, keepdims=True), 1e-9)
    # In float32, as signals come: a float64 sample beside the edge of a bin would fall into another one.
    x = x.astype(np.float32)
    reference = [
        [
            fields.resize((fields.gramian_angular(lead) + 1) / 2, size),
            fields.resize(fields.markov_transition(lead, bins) / mtf_white, size),
            fields.resize(fields.recurrence(lead), size),
        ]
        for lead in x.reshape(-1, length)
    ]
    return x, (np.stack(reference) * 255).astype(np.uint8).reshape(records, 3 * leads, size, size)


@pytest.mark.parametrize(
    ("records", "leads", "length", "size", "bins", "mtf_white"),
    [
        (3, 1, 300, 64, 10, 5.0),
        (2, 12, 100, 17, 10, 1.0),
        (3, 2, 50, 128, 8, 1.0),
        (3, 3, 1, 8, 2, 5.0),
        (3, 1, 2, 3, 16, 1.0),
        (1, 2, 5000, 256, 7, 5.0),
        (3, 2, 90, 1, 3, 1.0),
    ],
)
def test_any_length_size_leads_and_bins(render_by, records, leads, length, size, bins, mtf_white):
    x, reference = walks_and_images(records, leads, length, size, bins, mtf_white)
    images = render_by(torch.from_numpy(x), size, bins, mtf_white).numpy()
    difference = np.abs(images.astype(int) - reference)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.995


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_flat_lead_has_images_too(render_by, level):
    images = render_by(torch.full((1, 1, 100), level), 32).numpy()
    np.testing.assert_array_equal(images[0], fields.images(np.full((1, 100), np.float32(level)), 32))


def test_a_batch_of_several_workspaces_is_the_same(render_by, monkeypatch, x):
    some = torch.from_numpy(x[:5])
    expected = render.render(some, 40)
    monkeypatch.setattr(render, "CHUNK_BYTES", 1)
    monkeypatch.setattr(render, "CHUNK", 2)
    agree(render_by(some, 40).numpy(), expected.numpy())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_floats_are_the_grey_levels_over_255(render_by, x, dtype, memory_format):
    some = torch.from_numpy(x[:1, :2])
    images = render_by(some, 70, dtype=dtype, memory_format=memory_format)
    assert images.dtype == dtype and images.is_contiguous(memory_format=memory_format)
    assert_divided(images, render_by(some, 70), render_by.is_interpreted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_grey_level_divides_alike_in_triton(kernels, dtype):
    """A ramp of 256 samples at 256 pixels: its recurrence plot has every grey level in its first row."""
    ramp = torch.linspace(0, 1, 256)[None, None]
    found = {}
    for kind in (torch.uint8, dtype):
        found[kind] = torch.empty((1, 3, 256, 256), dtype=kind)
        kernels.fill(ramp, fields.taps(256, 256), fields.bin_edges(10), found[kind])
    assert len(found[torch.uint8][0, 2].unique()) == 256
    assert_divided(found[dtype], found[torch.uint8], is_interpreted=True)


def assert_divided(images, levels, is_interpreted):
    """Floats are grey levels over 255; Triton's interpreter cuts bfloat16 where a GPU rounds, hence one step below."""
    quotient = (levels.float() / 255).to(images.dtype)
    step = 2**-7 * quotient if is_interpreted and images.dtype == torch.bfloat16 else 0
    assert ((images <= quotient) & (images >= quotient - step)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_a_product_is_the_quotient(dtype):
    """What `fused_gpu` multiplies instead of dividing, for every grey level there is."""
    levels = torch.arange(256).float()
    assert torch.equal((levels * (1 / 255)).to(dtype), (levels / 255).to(dtype))


COMPILE_FOR_GPUS = """
import json
import sys
from triton import compiler
from triton.backends.compiler import GPUTarget
from ecgcourse import fused_gpu


def compiled(kernel, pointers, numbers, constants, capability):
    types = pointers | dict.fromkeys(numbers, "i32") | {"mtf_white": "fp32"} | dict.fromkeys(constants, "constexpr")
    types = {name: types[name] for name in kernel.arg_names}
    sixteens = [name for name in (*pointers, *numbers) if name not in ("n_leads", "length")]
    aligned = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in sixteens}
    source = compiler.ASTSource(kernel, types, constants, aligned)
    made = compiler.compile(source, target=GPUTarget("cuda", capability, 32)).asm
    # Assembled for the card, too, by the assembler that comes with Triton.
    assert len(made["cubin"]) > 1000
    return made["ptx"]


floats, whole = ("weight", "edges", "curves", "levels", "rows", "x"), ("first", "second", "numbers")
prepared = dict.fromkeys(floats, "*fp32") | dict.fromkeys(whole, "*i32")
read = {name: prepared[name] for name in ("weight", "curves", "numbers", "rows")}
tables = {"BINS": 10, "BIN_BLOCK": 16, "SAMPLES": fused_gpu.SAMPLES, "PIXELS": fused_gpu.COLUMNS}
tiles = {"column_stride": 1, "BINS": 10, "ROWS": fused_gpu.ROWS, "COLUMNS": fused_gpu.COLUMNS}
numbers = ["n_leads", "size", "record_stride", "channel_stride", "row_stride"]
found = []
for capability, kind in json.loads(sys.argv[1]):
    compiled(fused_gpu._prepare, prepared, ["length", "size"], tables, capability)
    found.append(compiled(fused_gpu._draw, read | {"images": kind}, numbers, tiles, capability))
print(json.dumps(found))
"""


def test_the_kernels_compile_for_gpus_and_write_sixteen_bytes_at_once(kernels):
    """For a T4, an A100 and an H100, which compiling needs none of; with the types of a launch at 256 pixels."""
    cards, bytes_a_pixel = [(75, "*fp16"), (80, "*bf16"), (90, "*bf16"), (90, "*u8")], [2, 2, 2, 1]
    surroundings = os.environ | {"TRITON_INTERPRET": "0"}
    command = [sys.executable, "-W", "ignore", "-c", COMPILE_FOR_GPUS, json.dumps(cards)]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    assert done.returncode == 0, done.stderr
    for (capability, _), n_bytes, ptx in zip(cards, bytes_a_pixel, json.loads(done.stdout), strict=True):
        assert f".target sm_{capability}" in ptx
        stores = [line for line in ptx.splitlines() if "st.global" in line]
        assert all(".v4.b32" in line for line in stores)
        # Four warps of 32 threads share the three images' pixels.
        assert len(stores) == kernels.ROWS * kernels.COLUMNS * 3 // (4 * 32) * n_bytes // 16


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["_prepare", "_draw"])
def test_where_a_kernel_fails_torch_takes_over_with_one_warning(kernels, name, monkeypatch, x):
    """Whichever of the two, and whatever it raises, which is something else for each card and version."""
    launches, some = [], torch.from_numpy(x[:3])

    class Failing:
        def __getitem__(self, grid):
            launches.append(grid)
            raise RuntimeError("PTX was compiled with an unsupported toolchain.\nMore of it.")

    monkeypatch.setattr(kernels, name, Failing())
    monkeypatch.setattr(render, "_TRITON_FAILED", [])
    settings = fields.taps(x.shape[-1], 40), fields.bin_edges(10)
    images, again = (torch.zeros((3, 9, 40, 40), dtype=torch.uint8) for _ in range(2))
    with pytest.warns(
        EcgCourseWarning, match=r"kernels.*\(RuntimeError: PTX was.*toolchain.\); images are made by torch"
    ):
        render._fill_on_gpu(some, *settings, images, 5.0)
    render._fill_on_gpu(some, *settings, again, 5.0)
    assert len(launches) == 1
    agree(images.numpy(), render.render(x[:3], 40))
    assert torch.equal(images, again)


def test_numpy_in_numpy_out_torch_in_torch_out(x):
    from_numpy, from_torch = render.render(x), render.render(torch.from_numpy(x))
    assert isinstance(from_numpy, np.ndarray) and isinstance(from_torch, torch.Tensor)
    assert from_torch.dtype == torch.uint8
    np.testing.assert_array_equal(from_numpy, from_torch.numpy())


def test_a_batch_is_its_records_one_by_one(x):
    np.testing.assert_array_equal(render.render(x), np.concatenate([render.render(record[None]) for record in x]))


def test_views_and_half_precision_are_taken(x):
    np.testing.assert_array_equal(render.render(x[::2, :, ::-1]), render.render(np.ascontiguousarray(x[::2, :, ::-1])))
    for half in (torch.from_numpy(x).half(), torch.from_numpy(x).bfloat16()):
        np.testing.assert_array_equal(render.render(half), render.render(half.float()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_workspace_is_bounded_whatever_the_number_of_records(dtype):
    x = np.zeros((20_000, 3, 1000), dtype)
    images = np.empty((len(x), 9, 8, 8), np.uint8)
    tracemalloc.start()
    try:
        render.render(x[:, ::-1], 8, out=images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_images_are_written_into_the_memory_that_is_given(x):
    expected = render.render(x)
    array = np.full_like(expected, 7)
    assert render.render(x, out=array) is array
    np.testing.assert_array_equal(array, expected)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        tensor = torch.full(expected.shape, 7, dtype=torch.uint8).contiguous(memory_format=memory_format)
        assert render.render(torch.from_numpy(x), out=tensor) is tensor
        np.testing.assert_array_equal(tensor.numpy(), expected)
    half = torch.empty(expected.shape, dtype=torch.bfloat16)
    render.render(torch.from_numpy(x), out=half)
    assert torch.equal(half, (torch.from_numpy(expected).float() / 255).to(torch.bfloat16))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((1, 9, 256, 255), np.uint8),
        np.empty((1, 9, 256, 256), np.float32),
        np.empty((1, 9, 256, 512), np.uint8)[..., ::2],
        torch.empty((1, 9, 256, 256), dtype=torch.uint8),
        [],
    ],
)
def test_memory_that_does_not_fit_is_refused(out):
    with pytest.raises(DataError, match=r"out is a .*NumPy array of uint8 of shape \(1, 9, 256, 256\)"):
        render.render(np.zeros((1, 3, 100), np.float32), out=out)
    with pytest.raises(DataError, match=r"tensor on cpu"):
        render.render(torch.zeros(1, 3, 100), out=torch.empty((1, 9, 256, 256), dtype=torch.int32))


def test_looking_at_the_values_can_be_left_out():
    x = np.full((1, 1, 100), 1.5, np.float32)
    assert render.render(x, check=False).shape == (1, 3, 256, 256)
    with pytest.raises(DataError):
        render.render(x)


def test_no_records_give_no_images():
    assert render.render(np.zeros((0, 3, 100), np.float32)).shape == (0, 9, 256, 256)


def test_the_number_of_threads_changes_nothing(x):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        many = render.render(x)
        torch.set_num_threads(1)
        assert fused.n_threads() == 1
        np.testing.assert_array_equal(render.render(x), many)
    finally:
        torch.set_num_threads(threads)


def test_several_threads_may_render_at_once(x):
    expected = render.render(x)
    with ThreadPoolExecutor(4) as pool:
        for images in pool.map(render.render, [x] * 8):
            np.testing.assert_array_equal(images, expected)


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
    with pytest.raises(SettingError, match="dtype"):
        render.render(torch.from_numpy(x), dtype=torch.int32)
    for white in (0.5, float("nan"), float("inf")):
        with pytest.raises(SettingError, match="mtf_white"):
            render.render(x, mtf_white=white)


# --- signed differences


@pytest.mark.parametrize(("length", "size"), [(1000, 256), (128, 64), (50, 50), (7, 20)])
def test_differences_are_the_resized_field(length, size):
    x = np.random.default_rng(0).random((3, 2, length)).astype(np.float32)
    found = render.differences(x, size)
    assert found.shape == (3, 2, size, size) and found.dtype == np.uint8
    for record, images in zip(x.astype(float), found, strict=True):
        for lead, image in zip(record, images, strict=True):
            expected = cv2.resize((np.subtract.outer(lead, lead) + 1) / 2, (size, size)) * 255
            assert np.abs(image - np.floor(expected)).max() <= 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_differences_of_tensors_are_the_grey_levels_over_255(dtype):
    x = torch.rand(2, 3, 100, generator=torch.Generator().manual_seed(0))
    levels = render.differences(x, 32)
    found = render.differences(x, 32, dtype=dtype, memory_format=torch.channels_last)
    assert levels.dtype == torch.uint8 and found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, (levels.float() / 255).to(dtype), rtol=0, atol=0)


def test_differences_in_parts_are_the_same(monkeypatch):
    x = np.random.default_rng(0).random((7, 2, 60))
    whole = render.differences(x, 40)
    monkeypatch.setattr(render, "CHUNK_BYTES", 1)
    np.testing.assert_array_equal(render.differences(x, 40), whole)
    assert render.differences(x[:0], 40).shape == (0, 2, 40, 40)


@pytest.mark.parametrize(
    "x", [np.zeros((2, 5)), np.full((1, 1, 5), 1.5), np.full((1, 1, 5), np.nan), np.zeros((1, 1, 5), int)]
)
def test_differences_refuse_what_render_refuses(x):
    with pytest.raises(DataError, match="render: x"):
        render.differences(x, 4)
    with pytest.raises(SettingError, match="dtype"):
        render.differences(torch.zeros(1, 1, 5), 4, dtype=torch.int32)
