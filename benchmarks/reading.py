"""How fast records come from the disk into memory, against wfdb in a loop and against the bare bytes.

    python benchmarks/reading.py [--records 500] [--repeats 5] [--out benchmarks/results/reading.json]

The files have been read before, so that the system holds them in memory; the package's own cache is off. All records
are compared with wfdb's to the last bit before anything is timed. One core, if nothing else is said.
"""

import argparse
from pathlib import Path

import measuring
import numpy as np
import pandas as pd
import wfdb
from measuring import Rate, rate

from ecgcourse import practice, ptbxl

IN_PTBXL = 21_799


def plain(root: Path, names: pd.Series) -> np.ndarray:
    """Records (N, L, T) as `wfdb.rdrecord` gives them, leads as they lie in the file."""
    return np.stack([wfdb.rdrecord(str(root / name)).p_signal.T for name in names])


def check(root: Path, table: pd.DataFrame, sampling_rate: int) -> None:
    """Stop unless every voltage is that of wfdb, to the last bit."""
    names = table[ptbxl.NAME_COLUMN[sampling_rate]]
    found, expected = read(root, table, sampling_rate), plain(root, names).astype(np.float32)
    if found.tobytes() != expected.tobytes():
        raise SystemExit(f"at {sampling_rate} Hz, some voltages aren't those of wfdb")


def read(root: Path, table: pd.DataFrame, sampling_rate: int, workers: int = 1) -> np.ndarray:
    return ptbxl.read_signals(root, table, sampling_rate, workers, cache=False, progress=False)


def rates(root: Path, table: pd.DataFrame, sampling_rate: int, repeats: int) -> dict[str, Rate]:
    """Records per second of every way."""
    check(root, table, sampling_rate)
    names, n_records = table[ptbxl.NAME_COLUMN[sampling_rate]], len(table)
    few = names.head(50)
    return {
        "wfdb.rdrecord in a loop": rate(lambda: plain(root, few), len(few), repeats),
        "read_signals": rate(lambda: read(root, table, sampling_rate), n_records, repeats),
        "read_signals, two processes": rate(lambda: read(root, table, sampling_rate, 2), n_records, repeats),
        "the bytes of both files": rate(lambda: [bare(root / name) for name in names], n_records, repeats),
    }


def bare(path: Path) -> tuple[bytes, bytes]:
    return Path(f"{path}.hea").read_bytes(), Path(f"{path}.dat").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=500, help="how many records (default: 500)")
    parser.add_argument("--repeats", type=int, default=5, help="counted runs of each way (default: 5)")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "reading.json", help="file for the results")
    options = parser.parse_args()
    root = practice.data_root()
    table = ptbxl.read_table(root).head(options.records)
    tables = {}
    for sampling_rate, column in ptbxl.NAME_COLUMN.items():
        there = table[[(root / f"{name}.hea").exists() for name in table[column]]]
        if len(there):
            title = f"records per second, {sampling_rate} Hz, {len(there)} records"
            found = rates(root, there, sampling_rate, options.repeats)
            tables[title] = {"ours": "read_signals", "rates": found}
    first = next(iter(tables.values()))["rates"]["read_signals"]["median"]
    data = "practice set" if practice.is_practice(root) else "PTB-XL"
    machine = measuring.about(wfdb=measuring.version("wfdb"), records=len(table), data=data)
    besides = {f"All {IN_PTBXL:,} records of PTB-XL at that rate, seconds on one core": f"{IN_PTBXL / first:.1f}"}
    measuring.finish(options.out, {"machine": machine, "tables": tables, "besides": besides})


if __name__ == "__main__":
    main()
