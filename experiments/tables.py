"""Write the tables of book/experiments.md anew from experiments/results/: python experiments/tables.py"""

from pathlib import Path

import numpy as np
import pandas as pd

from ecgcourse import ptbxl

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "book" / "experiments.md"
CLASSES = [f"auroc_{name}" for name in ptbxl.CLASSES]


def with_tables(text: str) -> str:
    """The page with the table behind each mark ``<!-- results/FILE.csv -->`` made anew."""
    lines, skipping = [], False
    for line in text.splitlines():
        skipping = skipping and line != "<!-- end -->"
        if not skipping:
            lines.append(line)
        if line.startswith("<!-- results/"):
            name = line.removeprefix("<!-- results/").removesuffix(" -->")
            lines += table(pd.read_csv(RESULTS / name, keep_default_na=False, na_values=[""]))
            skipping = True
    return "\n".join(lines) + "\n"


def table(rows: pd.DataFrame) -> list[str]:
    """Results as the lines of a Markdown table: of a contest, of its pairs, or of an experiment of one question."""
    if "brier" not in rows:
        columns = _experiment(rows)
    else:
        columns = _pairs(rows) if rows["compared_with"].nunique() > 1 else _contest(rows)
    heads, cells = list(columns), zip(*columns.values(), strict=True)
    align = ["---" if "interval" in head or head in (heads[0], "note", "compared with") else "--:" for head in heads]
    return ["", _line(heads), f"|{'|'.join(align)}|", *map(_line, cells), ""]


def _line(cells: "list | tuple") -> str:
    return f"| {' | '.join(cells)} |"


def _experiment(rows: pd.DataFrame) -> dict[str, list[str]]:
    columns = {f"{rows['n'].iloc[0]} records, {rows['seeds'].iloc[0]} seeds": list(rows["arm"])}
    columns["weights"] = [f"{n:,}" if n else "–" for n in rows["weights"]]
    columns |= _scores(rows)
    if "difference" in rows:
        columns |= _differences(rows)
    return columns | {name.removeprefix("auroc_"): _numbers(rows[name]) for name in ("sd", *CLASSES)}


def _contest(rows: pd.DataFrame) -> dict[str, list[str]]:
    columns = {f"{rows['records'].iloc[0]} records": list(rows["model"]), "note": list(rows["note"].fillna(""))}
    columns |= _scores(rows) | _differences(rows) | {"Brier": _numbers(rows["brier"])}
    both = zip(rows["ece"], rows["ece_by_chance"], strict=True)
    columns["ECE (by chance)"] = [f"{found:.3f} ({luck:.3f})" for found, luck in both]
    columns["trainings"] = [str(n) for n in rows["trainings"]]
    columns["weights"] = _numbers(rows["weights"], ",.0f")
    return columns | {"CPU s": _numbers(rows["cpu_seconds"], ",.0f"), "CPU ms": _numbers(rows["cpu_ms"], ".1f")}


def _pairs(rows: pd.DataFrame) -> dict[str, list[str]]:
    rows = rows[rows["difference"].notna()]
    first = {f"{rows['records'].iloc[0]} records": list(rows["model"]), "compared with": list(rows["compared_with"])}
    return first | _differences(rows) | {name.removeprefix("auroc_"): _numbers(rows[name]) for name in CLASSES}


def _scores(rows: pd.DataFrame) -> dict[str, list[str]]:
    ends = rows[["auroc", "low", "high"]].to_numpy()
    return {"macro AUROC (95 % interval)": [f"{mean:.3f} ({low:.3f} – {high:.3f})" for mean, low, high in ends]}


def _differences(rows: pd.DataFrame) -> dict[str, list[str]]:
    found = rows[["difference", "difference_low", "difference_high"]].to_numpy()
    return {"difference (95 % interval)": ["–" if np.isnan(each[0]) else _signed(each) for each in found]}


def _signed(ends: np.ndarray) -> str:
    # A zero is added, so that none is shown as −0.000.
    mean, low, high = (f"{round(float(each), 3) + 0.0:+.3f}".replace("-", "−") for each in ends)
    return f"{mean} ({low} – {high})"


def _numbers(values: pd.Series, how: str = ".3f") -> list[str]:
    return ["–" if np.isnan(each) else f"{each:{how}}" for each in values]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
