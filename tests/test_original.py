"""The original's pickle files: what NumPy and pickle write arrives unchanged, nothing that a file asks for is run."""

import io
import os
import pickle
import pickletools
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.testing import assert_array_equal

from ecgcourse import datasets, original, ptbxl, signals
from ecgcourse.errors import DataError

PROTOCOLS = range(3, pickle.HIGHEST_PROTOCOL + 1)
RNG = np.random.default_rng(0)
SIGNALS = RNG.normal(size=(5, 40, 12))
LABELS = RNG.integers(0, 2, size=(5, 4)).astype(float)
UNRUN = "nothing in the file was run"

pytestmark = [
    # NumPy 2 warns when it is asked for NumPy 1's names, Python when it takes damaged text apart.
    pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Processed"
    made.mkdir()
    return made


def put(folder: Path, content: bytes, name: str = "X_train_processed.pickle") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def refusal(path: Path) -> str:
    """Read a file that must be refused; return why, without the name of the file, which has to come first."""
    read = original.read_signals if path.name.startswith("X") else original.read_labels
    with pytest.raises(DataError) as refused:
        read(path)
    text = str(refused.value)
    assert text.startswith(f"{path} ") and "\n" not in text and len(text) < 500
    return text.removeprefix(f"{path} ")


def numpy_1(content: bytes) -> bytes:
    """Rename modules as NumPy 1 calls them; in protocol 4 the name's length stands before it, then the frame's."""
    renamed = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    renamed = renamed.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
    renamed = renamed.replace(b"numpy._core.", b"numpy.core.")
    if renamed[1] >= 4:
        (length,) = struct.unpack("<Q", renamed[3:11])
        renamed = renamed[:3] + struct.pack("<Q", length - len(content) + len(renamed)) + renamed[11:]
    return renamed


# --- what is read


ARRAYS = {
    "float64": SIGNALS,
    "float32": SIGNALS.astype("f4"),
    "float16": SIGNALS.astype("f2"),
    "big-endian": SIGNALS.astype(">f8"),
    "Fortran order": np.asfortranarray(SIGNALS),
    "leads first in memory": np.ascontiguousarray(SIGNALS.transpose(0, 2, 1)).transpose(0, 2, 1),
    "records last in memory": np.ascontiguousarray(SIGNALS.transpose(1, 0, 2)).transpose(1, 0, 2),
    "every second sample": SIGNALS[:, ::2],
    "three leads": SIGNALS[..., :3],
    "one record": SIGNALS[:1],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_of_signals_arrives_as_it_was(folder: Path, kind: str, protocol: int):
    array = ARRAYS[kind]
    content = pickle.dumps(array, protocol)
    for variant in (content, pickletools.optimize(content), pickle._dumps(array, protocol), numpy_1(content)):
        assert_array_equal(pickle.loads(variant), array)
        found = original.read_signals(put(folder, variant))
        assert_array_equal(found, array)
        assert found.dtype == array.dtype and type(found) is np.ndarray


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["<f8", ">f4"])
def test_a_list_of_signals_is_stacked(folder: Path, dtype: str, protocol: int):
    # What the original writes: a list of rows of one large array.
    rows = list(SIGNALS.astype(dtype))
    for items in (rows, [rows[0], np.asfortranarray(rows[1])]):
        found = original.read_signals(put(folder, pickle.dumps(items, protocol)))
        assert_array_equal(found, np.stack(items))
        assert found.dtype == dtype


LABEL_KINDS = {
    "array": LABELS,
    "bools": LABELS.astype(bool),
    "bytes": LABELS.astype("u1"),
    "big-endian": LABELS.astype(">i2"),
    "list of arrays": list(LABELS),
    "list of lists of floats": LABELS.tolist(),
    "list of lists of ints": LABELS.astype(int).tolist(),
    "list of lists of bools": LABELS.astype(bool).tolist(),
    "list of lists of scalars": [list(row) for row in LABELS.astype("f4")],
    "one list many times": [[1, 0, 0, 0]] * 100,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_labels_arrive_as_they_were(folder: Path, kind: str, protocol: int):
    content = pickle.dumps(LABEL_KINDS[kind], protocol)
    for variant in (content, numpy_1(content)):
        found = original.read_labels(put(folder, variant, "y_train_processed.pickle"))
        expected = np.array(LABEL_KINDS[kind])
        assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_what_arrives_trains_like_the_records_themselves(root: Path, folder: Path, tmp_path: Path):
    """The original's way from PTB-XL to its files, then this one to a data set."""
    table = ptbxl.split(ptbxl.read_table(root))["val"].iloc[:8]
    records = [wfdb.rdsamp(str(root / name))[0] for name in table["filename_lr"]]
    put(folder, pickle.dumps(records, 3), "X_dev_processed.pickle")
    put(folder, pickle.dumps(list(ptbxl.labels(table).astype(float)), 3), "y_dev_processed.pickle")
    x, y = (np.load(path) for path in original.write_arrays(folder, tmp_path / "arrays"))
    imported = datasets.RenderedImages(signals.preprocess(x.transpose(0, 2, 1)), y, size=32)
    expected = signals.preprocess(ptbxl.read_signals(root, table))
    np.testing.assert_allclose(imported.signals, expected, atol=1e-5)
    assert_array_equal(imported.labels, ptbxl.labels(table))


# --- what is written


def test_every_file_becomes_an_array_beside_the_others(folder: Path, tmp_path: Path):
    put(folder, pickle.dumps(list(SIGNALS), 3), "X_train_processed.pickle")
    put(folder, pickle.dumps(list(LABELS), 3), "y_train_processed.pickle")
    put(folder, pickle.dumps(np.asfortranarray(SIGNALS.astype(">f4")), 4), "X_test_processed.pickle")
    put(folder, b"not looked at", "X_train.pickle")
    written = original.write_arrays(folder, tmp_path / "out")
    names = ["X_train_processed.npy", "y_train_processed.npy", "X_test_processed.npy"]
    assert written == [tmp_path / "out" / name for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    for path, expected in zip(written, (SIGNALS, LABELS, SIGNALS.astype(">f4")), strict=True):
        assert_array_equal(np.load(path), expected)
        assert np.load(path).dtype == expected.dtype


def test_one_bad_file_leaves_nothing(folder: Path, tmp_path: Path):
    put(folder, pickle.dumps(SIGNALS), "X_train_processed.pickle")
    bad = put(folder, pickle.dumps(LABELS)[:-3], "y_test_processed.pickle")
    with pytest.raises(DataError) as refused:
        original.write_arrays(folder, tmp_path / "out")
    assert str(refused.value).startswith(f"{bad} ")
    assert list(tmp_path.iterdir()) == [folder]


def test_signals_and_labels_of_a_partition_belong_together(folder: Path, tmp_path: Path):
    put(folder, pickle.dumps(SIGNALS), "X_val_processed.pickle")
    labels = put(folder, pickle.dumps(LABELS[:4]), "y_val_processed.pickle")
    with pytest.raises(DataError) as refused:
        original.write_arrays(folder, tmp_path / "out")
    assert str(refused.value).startswith(f"{labels} has 4 records, but X_val_processed.pickle has 5; ")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_without_the_files_is_named(folder: Path, tmp_path: Path):
    for empty in (folder, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="has none of the original's files") as refused:
            original.write_arrays(empty, tmp_path / "out")
        assert str(refused.value).startswith(f"{empty} ")
    assert list(tmp_path.iterdir()) == [folder]


def test_files_behind_links_are_read_and_lost_ones_are_named(folder: Path, tmp_path: Path):
    (tmp_path / "disk").write_bytes(pickle.dumps(SIGNALS))
    (folder / "X_train_processed.pickle").symlink_to(tmp_path / "disk")
    (written,) = original.write_arrays(folder, tmp_path / "out")
    assert_array_equal(np.load(written), SIGNALS)
    (folder / "y_train_processed.pickle").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="y_train_processed.pickle can't be opened"):
        original.write_arrays(folder, tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("kind", ["folder", "pipe", "absent"])
def test_what_is_no_file_is_not_waited_for(folder: Path, kind: str):
    path = folder / "X_train_processed.pickle"
    if kind != "absent":
        path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert "can't be opened" in refusal(path)


# --- files that do harm when they are opened


class Call:
    """What becomes a call when it is opened."""

    def __init__(self, function: Callable, *arguments: object):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


def marked(mark: Path) -> dict[str, object]:
    """Objects that leave `mark` behind when they are opened with pickle."""
    harm = Call(os.system, f"touch {mark}")
    return {
        "os.system": harm,
        "eval": Call(eval, f"open({str(mark)!r}, 'w').close()"),
        "exec": Call(exec, f"open({str(mark)!r}, 'w').close()"),
        "open": Call(open, str(mark), "w"),
        "in a list of arrays": [SIGNALS[0], harm, SIGNALS[1]],
        "in an array of objects": np.array([SIGNALS, harm, None], dtype=object)[1:2],
        "in a list of lists": [[0, 1, 0, harm]],
        "a NumPy function": Call(np.save, str(mark.with_suffix("")), 1),
        "an array's method": Call(np.ndarray.tofile, SIGNALS, str(mark)),
        "a bound method": Call(SIGNALS.tofile, str(mark)),
        "getattr": Call(getattr, SIGNALS, "tofile"),
    }


HARMFUL = list(marked(Path("mark")))
# This one does no harm, it only shows the way to some.
QUIET = {"getattr"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", HARMFUL)
def test_nothing_is_run(folder: Path, tmp_path: Path, kind: str, protocol: int):
    mark = tmp_path / "mark.npy"
    path = put(folder, pickle.dumps(marked(mark)[kind], protocol))
    refusal(path)
    with pytest.raises(DataError):
        original.write_arrays(folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [folder]
    # The proof that the file was a harmful one.
    pickle.loads(path.read_bytes())
    assert kind in QUIET or mark.exists()


def global_(module: str, name: str, protocol: int) -> bytes:
    if protocol < 4:
        return f"c{module}\n{name}\n".encode()
    return b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"


NAMES = [
    ("os", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "bytearray"),
    ("functools", "partial"),
    ("copyreg", "_reconstructor"),
    ("_codecs", "encode"),
    ("numpy", "load"),
    ("numpy", "matrix"),
    ("numpy", "ndarray.tofile"),
    ("numpy", "dtype.__subclasses__"),
    ("numpy.f2py", "compile"),
    ("numpy._core.multiarray", "_reconstruct.__globals__"),
    ("numpy._core.numeric", "multiarray"),
    ("pandas.core.frame", "DataFrame"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("ecgcourse.records.original", "os"),
]


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize(("module", "name"), NAMES)
def test_other_names_are_not_looked_up(folder: Path, module: str, name: str, protocol: int):
    content = b"\x80" + bytes([protocol]) + global_(module, name, protocol) + b"."
    reason = refusal(put(folder, content))
    assert reason.startswith(f"asks for {f'{module}.{name}'!r}, ") and UNRUN in reason


def array_from(state: str, start: str = "(0,), b'b'") -> bytes:
    """Write the pickle of an array by hand, in protocol 4, from Python expressions; D stands for float64."""
    start_values, state_values = eval(f"({start},)"), state
    writer = io.BytesIO()
    writer.write(b"\x80\x04" + global_("numpy._core.multiarray", "_reconstruct", 4))
    writer.write(b"(" + global_("numpy", "ndarray", 4))
    for value in start_values:
        writer.write(pickle.dumps(value, 3)[2:-1])
    writer.write(b"tR(")
    for value in state_values.split("; "):
        writer.write(FLOAT64 if value == "D" else pickle.dumps(eval(value), 3)[2:-1])
    writer.write(b"tb.")
    return writer.getvalue()


FLOAT64 = (
    global_("numpy", "dtype", 4) + b"(\x8c\x02f8\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
WELL = "1; (1, 1, 3); D; False; bytes(24)"


def test_arrays_written_by_hand_are_arrays(folder: Path):
    assert_array_equal(pickle.loads(array_from(WELL)), np.zeros((1, 1, 3)))
    assert_array_equal(original.read_signals(put(folder, array_from(WELL))), np.zeros((1, 1, 3)))


LYING = {
    "a shape of 10**12": array_from("1; (10**12, 1, 3); D; False; bytes(24)"),
    "a shape of nothing and 2**70": array_from("1; (0, 2**70, 3); D; False; bytes(0)"),
    "a negative shape": array_from("1; (-1, -1, 3); D; False; bytes(24)"),
    "a shape of many axes": array_from("1; (1,) * 10_000; D; False; bytes(8)"),
    "fewer bytes": array_from("1; (1, 1, 3); D; False; bytes(16)"),
    "more bytes": array_from("1; (1, 1, 3); D; False; bytes(32)"),
    "text for bytes": array_from("1; (1, 1, 3); D; False; 'x' * 24"),
    "objects for bytes": array_from("1; (1, 1, 3); D; False; [1, 2, 3]"),
    "text for a dtype": array_from("1; (1, 1, 3); 'f8'; False; bytes(24)"),
    "never filled": array_from(WELL).split(b"tR(", 1)[0] + b"tR.",
    "a call of an array": b"\x80\x04" + global_("numpy", "ndarray", 4) + b"J\x00\x00\x00\x7f\x85\x85R.",
    "a state for a class": b"\x80\x04" + global_("numpy", "ndarray", 4) + b"Nb.",
    "a state for a function": b"\x80\x04" + global_("numpy._core.multiarray", "_reconstruct", 4) + b"NN\x86b.",
    "only a name": b"\x80\x04" + global_("numpy", "ndarray", 4) + b".",
    "a scalar alone": pickle.dumps(np.float64(1)),
    "numbers alone": pickle.dumps(1.5),
    "a list in itself": b"\x80\x03]q\x00h\x00a.",
    "a dtype in deep tuples": b"\x80\x04" + global_("numpy", "dtype", 4) + b")" + b"\x85" * 200_000 + b"\x89\x88\x87R.",
    "memory at place 2**31": b"\x80\x03Nr\xff\xff\xff\x7f.",
    "memory at place 2**24": b"\x80\x03Nr\x00\x00\x00\x01.",
    "a frame of 2**60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "bytes of 2**60": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "bytearray of 2**40": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "text of 2**31": b"\x80\x03X\xff\xff\xff\x7fx.",
    "protocol 2": pickle.dumps(SIGNALS, 2),
    "protocol 6": b"\x80\x06N.",
    "no pickle": b"PK\x03\x04",
    "nothing": b"",
}


def doubled(times: int) -> bytes:
    """A list of two lists of two lists …: a few bytes for each doubling."""
    content = b"\x80\x03]q\x00(K\x00K\x00e"
    for place in range(1, times):
        content += b"](h" + bytes([place - 1]) + b"h" + bytes([place - 1]) + b"eq" + bytes([place])
    return content + b"."


def repeated(array: bytes, times: int) -> bytes:
    """A list that names one array many times."""
    return b"\x80\x04]" + array[2:-1] + b"q\x00a(" + b"h\x00" * times + b"e."


BOMBS = {
    "doubled lists": (doubled(60), "holds something else"),
    "one array many times": (repeated(array_from("1; (10_000, 3); D; False; bytes(240_000)"), 2_000), "repeats"),
    "one array in one row": (repeated(array_from("1; (10_000,); D; False; bytes(80_000)"), 3), "repeats"),
    "deep lists": (b"\x80\x03" + b"](" * 50_000 + b"e" * 50_000 + b".", "holds something else"),
}


@pytest.mark.parametrize("kind", [*LYING, *BOMBS])
def test_lies_and_bombs_are_refused_and_take_no_memory(folder: Path, kind: str):
    content, reason = BOMBS.get(kind) or (LYING[kind], "")
    path = put(folder, content)
    tracemalloc.start()
    try:
        assert reason in refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * len(content) + 1_000_000


def test_instructions_have_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch):
    content = pickle.dumps(list(SIGNALS))
    count = sum(1 for _ in pickletools.genops(content))
    monkeypatch.setattr(original, "_MAX_INSTRUCTIONS", count)
    original.read_signals(put(folder, content))
    monkeypatch.setattr(original, "_MAX_INSTRUCTIONS", count - 1)
    assert f"more than {count - 1} instructions" in refusal(put(folder, content))


INSTRUCTIONS = {
    "EXT1": b"\x80\x03\x82\x01.",
    "BINPERSID": b"\x80\x03K\x01Q.",
    "INST": b"\x80\x03(K\x01ios\nsystem\n.",
    "OBJ": b"\x80\x03(K\x01K\x02o.",
    "NEWOBJ": b"\x80\x04" + global_("numpy", "ndarray", 4) + b")\x81.",
    "EMPTY_DICT": pickle.dumps({"X": 1}),
    "EMPTY_SET": pickle.dumps({1}),
    "NEXT_BUFFER": pickle.dumps(SIGNALS, 5, buffer_callback=lambda _: None),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_other_instructions_are_refused(folder: Path, name: str):
    reason = refusal(put(folder, INSTRUCTIONS[name]))
    assert reason.startswith(f"needs the instruction {name}, ") and UNRUN in reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("held", [SIGNALS[:2, :5], list(SIGNALS[:2, :2])], ids=["array", "list"])
def test_a_file_cut_short_anywhere_is_refused(folder: Path, held: object, protocol: int):
    content = pickle.dumps(held, protocol)
    for length in [*range(0, 400), *range(400, len(content), 37)]:
        assert "copy it again" in refusal(put(folder, content[:length]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_damaged_file_is_refused_or_gives_arrays(folder: Path, protocol: int):
    content = pickle.dumps([SIGNALS[0, :1], SIGNALS[1, :1]], protocol)
    chance = random.Random(protocol)
    n_refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for place in chance.choices(range(len(content)), k=2):
            damaged[place] = chance.randrange(256)
        path = put(folder, bytes(damaged))
        try:
            assert original.read_signals(path).dtype.kind == "f"
        except DataError as refused:
            n_refused += 1
            assert str(refused).startswith(f"{path} ") and "\n" not in str(refused)
    assert 0 < n_refused < 500


# --- files that hold something else


class Record(np.ndarray):
    pass


ODD = {
    "X of two axes": (SIGNALS[0], "holds an array of shape (40, 12), but signals are (N, T, 12) or (N, T, 3)"),
    "X with time last": (SIGNALS.transpose(0, 2, 1), "holds an array of shape (5, 12, 40)"),
    "X without records": (SIGNALS[:0], "holds an array of shape (0, 40, 12)"),
    "X an empty list": ([], "holds an array of shape (0,)"),
    "X of ints": (SIGNALS.astype(int), "holds int64 numbers, but signals are floats"),
    "X with NaN": (np.where(SIGNALS == SIGNALS.max(), np.nan, SIGNALS), "holds NaN or infinite samples"),
    "X with infinity": (np.where(SIGNALS == SIGNALS.max(), -np.inf, SIGNALS), "holds NaN or infinite samples"),
    "X of unequal lengths": (
        [SIGNALS[0], SIGNALS[1, :39]],
        "has float64 of shape (39, 12) for record 1, but float64 of shape (40, 12) for record 0",
    ),
    "X of unequal dtypes": ([SIGNALS[0], SIGNALS[1].astype("f4")], "has float32 of shape (40, 12) for record 1"),
    "X of lists": (SIGNALS[:, :2].tolist(), "holds something else than arrays"),
    "X of complex numbers": (SIGNALS + 1j, "holds values of the kind 'c16', but only numbers are read"),
    "X of long doubles": (SIGNALS.astype("longdouble"), "holds values of the kind 'f"),
    "X of objects": (SIGNALS.astype(object), "holds values of the kind 'O8'"),
    "X of text": (SIGNALS.astype("U3"), "holds values of the kind 'U3'"),
    "X of dates": (SIGNALS.astype("M8[s]"), "holds values of the kind 'M8'"),
    "X of structures": (np.zeros((1, 2, 3), dtype=[("a", "f8")]), ", which arrays of numbers don't need"),
    "X of a subclass": (SIGNALS.view(Record), "asks for '"),
    "y a table of pandas": (pd.Series([["NORM"], ["MI"]]), UNRUN),
    "y of five classes": (np.zeros((3, 5)), "holds an array of shape (3, 5), but labels are (N, 4): MI, STTC, CD, HYP"),
    "y of one axis": (np.zeros(4), "holds an array of shape (4,)"),
    "y with a two": (LABELS * 2, "holds the label 2.0, but labels are 0 or 1"),
    "y with NaN": (LABELS * np.nan, "holds the label nan"),
    "y with a large number": ([[0, 1, 0, 10**600]], "holds the label 1000000000000000000…, but"),
    "y of short lists": ([[0, 1, 0]], "holds an array of shape (1, 3)"),
    "y of unequal kinds": ([LABELS[0], [0, 1, 0, 1]], "has int64 of shape (4,) for record 1"),
    "y of lists of arrays": ([[LABELS] * 4], "has an array for a label"),
    "y of names": ([["MI"], ["NORM"]], "holds something else than arrays"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_not_the_originals_is_named(folder: Path, kind: str):
    held, reason = ODD[kind]
    assert reason in refusal(put(folder, pickle.dumps(held), f"{kind[0]}_train_processed.pickle"))


def test_names_are_shown_short_and_plain(folder: Path):
    reason = refusal(put(folder, b"\x80\x03c\x1b[2J" + b"m" * 100_000 + b"\nn\n."))
    assert "\x1b" not in reason
    assert "mmm" in reason and "…" in reason


def test_too_little_memory_is_told_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise MemoryError

    path = put(folder, pickle.dumps(SIGNALS))
    monkeypatch.setattr(Path, "read_bytes", full)
    assert "needs up to three times its size in memory" in refusal(path)
