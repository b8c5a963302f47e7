"""Write the first two tables of book/experiments.md: the contest, and what single steps change.

python experiments/contest.py FOLDER [FOLDER …] [--published FILE …] [--processes 2] [--out OUT]

The folders are of PTB-XL's form, and their records are taken together. Trains what is missing of contest.toml into
OUT/runs/, then writes OUT/contest_real.csv, a row per entry, and OUT/contest_pairs_real.csv, where each arm of the grid
is compared with the one that it names. Each FILE has weights that Narotamo et al. published.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from ecgcourse import models
from ecgcourse.analysis import grids
from ecgcourse.analysis.contest import Contest
from ecgcourse.analysis.pooled import Pooled
from ecgcourse.analysis.sweep import Sweep
from ecgcourse.errors import EcgCourseError
from ecgcourse.support.files import atomic_write

HERE = Path(__file__).resolve().parent
NOTE = "published weights, no fair race"


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a leaderboard as a CSV file."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, lineterminator="\n", float_format="%.6f")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--published", nargs="*", default=[], type=Path, metavar="FILE")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    try:
        records, grid = Pooled.open(options.folders), grids.read(HERE / "contest.toml")
        work = Sweep(grid.on(records.synthetic), records, options.out)
        work.train(options.processes, lambda done, of: print(f"{done} of {of} trainings", flush=True))
        contest = Contest(records, work.splits)
        work.enter(contest)
        pairs = contest.leaderboard(work.references(contest)).loc[list(contest.entries)]
        contest.add_baselines()
        for path in options.published:
            contest.add(models.load_original(path), f"{path.name}, as the original published it", NOTE)
        board = contest.leaderboard()
    except EcgCourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    kind = "practice" if records.synthetic else "real"
    write(board, options.out / f"contest_{kind}.csv")
    write(pairs, options.out / f"contest_pairs_{kind}.csv")
    print("\n".join([board.iloc[:, :3].to_string(), *board.attrs["notes"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
