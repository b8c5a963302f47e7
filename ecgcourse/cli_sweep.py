"""The commands that compare many: ``sweep``, which trains the arms of a grid, and ``contest``, which asks all alike."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgcourse.cli_judge import table_in_words
from ecgcourse.cli_words import progress_of
from ecgcourse.errors import DataError, brief
from ecgcourse.support.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

    from ecgcourse.analysis.pooled import Pooled


def sweep(options: argparse.Namespace) -> None:
    """Train what is missing of a grid; print a row per arm, and write the table."""
    from ecgcourse.analysis import grids
    from ecgcourse.analysis.contest import Contest
    from ecgcourse.analysis.sweep import Sweep

    grid, name = grids.read(options.grid), Path(options.grid).stem
    records = _open(options.folders, progress_of(options))
    grid = grid.on(records.synthetic)
    if options.seeds:
        grid = dataclasses.replace(grid, seeds=options.seeds)
    out = Path(options.out or Path("runs") / name)
    work = Sweep(grid, records, out, options.cv)

    def report(done: int, of: int) -> None:
        if not options.quiet:
            print(f"{done} of {of} trainings", flush=True)

    if not options.quiet:
        print(f"{brief(grid.question, 200)} ({_told(records)}, {len(grid.arms)} arms, {grid.seeds} seeds)", flush=True)
    work.train(options.processes, report)
    contest = Contest(records, work.splits)
    if options.baselines:
        contest.add_baselines()
    work.enter(contest)
    against = work.references(contest) or (None if options.baselines else {})
    table = contest.leaderboard(against, options.n_bootstrap)
    if not options.baselines:
        # In the order of the grid, in which rows may be compared with the one above.
        table = table.loc[list(contest.entries)]
    kind = "practice" if records.synthetic else "real"
    _finish(table, out / f"{name}_{kind}{'_cv' if options.cv else ''}.csv")


def contest(options: argparse.Namespace) -> None:
    """Ask runs, or read what they said, and compare all with baselines and each other."""
    from ecgcourse.analysis.contest import Contest
    from ecgcourse.models import pretrained

    entries = options.add or []
    for entry in entries:
        if not Path(entry).exists() and entry not in pretrained.names():
            raise DataError(
                f"{brief(entry)} isn't there; name the folder of a run, a checkpoint, a CSV file, or one of the "
                f"shipped networks {', '.join(pretrained.names())}"
            )
    records = _open(options.folders, progress_of(options))
    board = Contest(records, records.splits())
    for entry in entries:
        board.add(entry)
    board.add_baselines()
    if not options.quiet:
        trained = sum(len(split.train) for split in board.splits)
        print(f"{_told(records)}: {trained} records to learn from, {len(board.rows)} that judge")
    _finish(board.leaderboard(options.against, options.n_bootstrap), options.csv)


def _open(folders: Sequence[str], progress: bool | None) -> "Pooled":
    from ecgcourse.analysis.pooled import Pooled
    from ecgcourse.records import practice

    return Pooled.open([practice.find(folder, progress=progress) for folder in folders or [None]], progress)


def _told(records: "Pooled") -> str:
    return "synthetic practice set" if records.synthetic else "real records"


def _finish(table: "pd.DataFrame", path: str | Path | None) -> None:
    print(table_in_words(table))
    if path:
        with atomic_write(Path(path)) as temporary:
            table.to_csv(temporary, lineterminator="\n", float_format="%.6f", errors="backslashreplace")
