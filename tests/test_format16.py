"""Records read without wfdb are those of wfdb, and what isn't as PTB-XL's is left to it."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgcourse import format16, ptbxl

SAMPLES = 50


def write(folder: Path, samples: np.ndarray, **changes: object) -> str:
    """Let wfdb write a record; its path without suffix."""
    n_leads = samples.shape[1]
    how = {"fs": 100, "units": ["mV"] * n_leads, "sig_name": [lead.upper() for lead in ptbxl.LEADS][:n_leads]}
    how |= {"adc_gain": [1000.0] * n_leads, "baseline": [0] * n_leads, "fmt": ["16"] * n_leads}
    wfdb.wrsamp("some", d_signal=samples, write_dir=str(folder), **how | changes)
    return str(folder / "some")


def read(path: str, sampling_rate: int = 100) -> np.ndarray | None:
    return format16.read(path, os.path.getsize(f"{path}.dat"), sampling_rate)


def some_samples() -> np.ndarray:
    return np.random.default_rng(0).integers(-3000, 3000, (SAMPLES, 12))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    gains=st.lists(st.integers(1, 999_999).map(float), min_size=12, max_size=12),
    baselines=st.lists(st.integers(-32767, 32767), min_size=12, max_size=12),
    leads=st.permutations(ptbxl.LEADS),
)
def test_voltages_are_those_of_wfdb_to_the_last_bit(tmp_path, seed, gains, baselines, leads):
    samples = np.random.default_rng(seed).integers(-(2**15) + 1, 2**15, (SAMPLES, 12))
    path = write(tmp_path, samples, adc_gain=gains, baseline=baselines, sig_name=list(leads))
    expected = wfdb.rdrecord(path).p_signal.T.astype(np.float32)[[leads.index(lead) for lead in ptbxl.LEADS]]
    np.testing.assert_array_equal(read(path).view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize(("sampling_rate", "column"), [(100, "filename_lr"), (500, "filename_hr")])
def test_every_record_is_read_directly_and_as_wfdb_does(root, sampling_rate, column):
    names = pd.read_csv(root / "ptbxl_database.csv")[column]
    paths = [str(root / name) for name in names if (root / f"{name}.hea").exists()]
    assert paths
    for path in paths:
        expected = wfdb.rdrecord(path).p_signal.T.astype(np.float32)
        np.testing.assert_array_equal(read(path, sampling_rate).view(np.int32), expected.view(np.int32))


def edit(old: str, new: str):
    def change(path: str) -> None:
        header = Path(f"{path}.hea")
        text = header.read_text()
        assert old in text
        header.write_text(text.replace(old, new, 1))

    return change


def edit_first_sample(value: int):
    def change(path: str) -> None:
        samples = np.fromfile(f"{path}.dat", "<i2")
        samples[0] = value
        samples.tofile(f"{path}.dat")

    return change


OTHERS = {
    "another unit": edit("/mV", "/uV"),
    "no unit": edit("(0)/mV", "(0)"),
    "no baseline": edit("(0)", ""),
    "a gain that isn't whole": edit("1000.0(", "204.8("),
    "no gain": edit(" 1000.0(0)/mV", ""),
    "gain 0": edit(" 1000.0(", " 0.0("),
    "gain below 0": edit(" 1000.0(", " -1000.0("),
    "another format": edit(".dat 16 ", ".dat 61 "),
    "a skew": edit(".dat 16 ", ".dat 16:3 "),
    "two samples a frame": edit(".dat 16 ", ".dat 16x2 "),
    "an offset": edit(".dat 16 ", ".dat 16+24 "),
    "another file": edit("some.dat", "other.dat"),
    "another name": edit(" V6", " V7"),
    "a name twice": edit(" V6", " v5"),
    "another rate": edit(" 12 100 ", " 12 250 "),
    "no length": edit(f" 12 100 {SAMPLES}", " 12 100"),
    "another length": edit(f" 12 100 {SAMPLES}", f" 12 100 {SAMPLES - 1}"),
    "length 0": edit(f" 12 100 {SAMPLES}", " 12 100 0"),
    "13 leads": edit("some 12 ", "some 13 "),
    "a lead more": edit(" V6\n", " V6\nsome.dat 16 1000.0(0)/mV 16 0 0 0 0 V7\n"),
    "a comment between": edit(" I\n", " I\n# a comment\n"),
    "a block size": edit(" 0 I\n", " 512 I\n"),
    "digits of another script": edit("1000.0(0)", "١٠٠٠.0(0)"),
    "an underscore": edit("1000.0(0)", "1_000.0(0)"),
    "another sample": edit_first_sample(7),
    "a sample without a value": edit_first_sample(-(2**15)),
    "a sample less": lambda path: os.truncate(f"{path}.dat", 24 * SAMPLES - 24),
    "half a sample more": lambda path: os.truncate(f"{path}.dat", 24 * SAMPLES + 1),
    "no header": lambda path: os.remove(f"{path}.hea"),
    "a first line alone": lambda path: Path(f"{path}.hea").write_text(f"some 12 100 {SAMPLES}"),
    "an empty header": lambda path: os.truncate(f"{path}.hea", 0),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_written_in_another_way_or_wrong_is_left_to_wfdb(tmp_path, case):
    path = write(tmp_path, some_samples())
    assert read(path) is not None
    OTHERS[case](path)
    assert read(path) is None


def test_a_comment_at_the_end_changes_nothing(tmp_path):
    path = write(tmp_path, some_samples(), comments=["made for a test"])
    assert "# made for a test" in Path(f"{path}.hea").read_text()
    np.testing.assert_array_equal(read(path), wfdb.rdrecord(path).p_signal.T.astype(np.float32))
