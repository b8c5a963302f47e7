"""What a network said to files of ECGs: as a table, and as plain values with all that the numbers rest on."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import nn

from ecgcourse import __version__
from ecgcourse.learning import metrics
from ecgcourse.learning.own_sets import USUAL_SECONDS
from ecgcourse.recipe import Task

NO_DEVICE = "For teaching and research. It is no medical device; nobody's treatment may depend on it."
FORMAT = "ecgcourse-answers/1"


@dataclass(frozen=True)
class Answer:
    """What a network said to one file.

    Attributes
    ----------
    file : str
    starts : (W,) float64 array
        Where the windows begin that the network saw, in s.
    of_windows : (W, K) float64 array
        Their probabilities.
    probabilities : (K,) float64 array
        Of the file: from the mean of the windows' logits.
    left_out : int
        Windows that have gaps.
    """

    file: str
    starts: np.ndarray
    of_windows: np.ndarray
    probabilities: np.ndarray
    left_out: int = 0


@dataclass(frozen=True)
class Answers:
    """What a network said to several files.

    Attributes
    ----------
    task : Task
    thresholds : (K,) float64 array or None
        None where each record has exactly one class.
    network : dict
        From :func:`about`.
    files : list of Answer
    bad_files : dict
        Files that couldn't be used, and why.
    """

    task: Task
    thresholds: np.ndarray | None
    network: dict
    files: list[Answer] = field(default_factory=list)
    bad_files: dict[str, str] = field(default_factory=dict)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are predicted from probabilities (M, K): int64 of 0 and 1."""
        return metrics.decide(
            probabilities, 0.5 if self.thresholds is None else self.thresholds, self.task.is_multiclass
        )

    def to_frame(self, windows: bool = False) -> pd.DataFrame:
        """A row per file, or per window: `file`; of windows `start`, in s; a probability per class, under its name; and
        for each class whether it is predicted, such as `predicted_MI`, 1 or 0. ``attrs["bad_files"]`` is `bad_files`.
        """
        frames = [self._rows(answer, windows) for answer in self.files]
        joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        joined.attrs["bad_files"] = self.bad_files
        return joined

    def to_dict(self, windows: bool = False) -> dict:
        """The same as plain values, ready for `json.dump`, with all that is known of the network."""
        classes = self.task.classes
        records = []
        for row in self.to_frame(windows).to_dict("records"):
            begin = {name: row[name] for name in ("file", "start") if name in row}
            said = {"probabilities": {name: row[name] for name in classes}}
            said["predicted"] = {name: bool(row[f"predicted_{name}"]) for name in classes}
            records.append(begin | said)
        thresholds = None if self.thresholds is None else dict(zip(classes, self.thresholds.tolist(), strict=True))
        return {
            "format": FORMAT,
            "note": NO_DEVICE,
            "classes": list(classes),
            "kind": self.task.kind,
            "thresholds": thresholds,
            "network": self.network,
            "records": records,
            "bad_files": [{"file": file, "reason": reason} for file, reason in self.bad_files.items()],
        }

    def _rows(self, answer: Answer, windows: bool) -> pd.DataFrame:
        probabilities = answer.of_windows if windows else answer.probabilities[None]
        begin = {"file": answer.file} | ({"start": answer.starts} if windows else {})
        frame = pd.DataFrame(begin, index=range(len(probabilities)))
        frame[list(self.task.classes)] = probabilities
        frame[[f"predicted_{name}" for name in self.task.classes]] = self.decide(probabilities)
        return frame


def about(model: nn.Module) -> dict:
    """What is known of a network, as plain values: its kind, what it is fed, its calibration, what it learned from."""
    learned_from = {name: getattr(model, name, None) for name in ("synthetic", "seconds", "data")}
    return {
        "model": type(model).__name__,
        "recipe": model.recipe.to_dict(),
        "calibration": getattr(model, "calibration", None),
        "thresholds_fitted": getattr(model, "thresholds", None) is not None,
        "learned_from": learned_from,
        "ecgcourse": __version__,
    }


def seconds_of(model: nn.Module) -> float:
    """How long the windows are that a network is asked about, in s."""
    return getattr(model, "seconds", None) or USUAL_SECONDS
