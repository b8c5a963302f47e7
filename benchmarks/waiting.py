"""How long one waits before anything is done: for --help, for imports, for the practice set.

    python benchmarks/waiting.py [--repeats 5] [--out benchmarks/results/waiting.json]

Every run is a new process, the practice set is written anew each time, and its bytes are compared.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path

import measuring
from measuring import Rate, rate

from ecgcourse import practice

STARTS = {
    "python -c 'import numpy'": ["-c", "import numpy"],
    "python -m ecgcourse --help": ["-m", "ecgcourse", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
    "python -c 'import torch, ecgcourse.models'": ["-c", "import torch, ecgcourse.models"],
}


def run(words: list[str]) -> None:
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)


def contents(folder: Path) -> str:
    """A sum over the names and the bytes of all files in a folder."""
    known = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        known.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return known.hexdigest()


def writing(folder: Path, repeats: int) -> dict[str, Rate]:
    """Practice records per second, from the start of the process to its end."""
    sets = (folder / str(number) for number in count())
    written = []

    def write() -> None:
        written.append(next(sets))
        run(["-m", "ecgcourse", "practice", str(written[-1]), "--quiet"])

    found = {"python -m ecgcourse practice": rate(write, practice.DEFAULT_RECORDS, repeats)}
    if len({contents(each) for each in written}) != 1:
        raise SystemExit("the practice set isn't the same each time")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="counted runs of each (default: 5)")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "waiting.json", help="file for the results")
    options = parser.parse_args()
    starts = {name: rate(lambda words=words: run(words), 1, options.repeats) for name, words in STARTS.items()}
    with tempfile.TemporaryDirectory() as folder:
        records = writing(Path(folder), max(2, options.repeats // 2))
    (bare, with_models), (made,) = (1 / starts[name]["median"] for name in list(STARTS)[2:]), records.values()
    tables = {
        "starts per second": {"ours": "python -m ecgcourse --help", "rates": starts},
        "practice records per second": {"ours": next(iter(records)), "rates": records},
    }
    n_records = practice.DEFAULT_RECORDS
    besides = {
        "Importing ecgcourse.models after torch, seconds": f"{with_models - bare:.2f}",
        f"Practice set of {n_records:,} records, seconds": f"{n_records / made['median']:.1f}",
    }
    machine = measuring.about()
    measuring.finish(options.out, {"machine": machine, "tables": tables, "besides": besides})


if __name__ == "__main__":
    main()
