"""A deck of ECGs to guess against the shipped network: who knows more hearts, the reader or the network?

The cards are raw practice records. What their hearts have is known from the generator, and what the network says is
computed when the page is made. The page *Guess the class* of the book holds it; :func:`page` makes it as one file.
"""

import base64
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import nn

from ecgcourse.course.interactive import Page, make_page
from ecgcourse.course.try_it import NETWORK, WORDS
from ecgcourse.learning import datasets, training
from ecgcourse.models import pretrained
from ecgcourse.models.checkpoint import load_checkpoint
from ecgcourse.records import practice, practice_people, ptbxl

SEED = 12
"""Chooses the patients of the deck."""

N_RECORDS = 100
"""Records from which the cards are drawn."""

DECK = {"none": 4, "MI": 2, "STTC": 2, "CD": 3, "HYP": 1}
"""How many cards have which class and no other."""

NONE = "none"
"""What a heart has that has none of the classes."""


@lru_cache(maxsize=1)
def page() -> Page:
    """Make the page: see an ECG on paper, say what it has, and hear the truth and the network's answer.

    Returns
    -------
    Page
        About half a megabyte. It contacts no server.
    """
    model = load_checkpoint(pretrained.path_of(NETWORK)).eval()
    numbers = {
        "rate": practice.LOW_RATE,
        "leads": ptbxl.LEADS,
        "classes": [
            {"name": name, "words": WORDS[name], "threshold": float(threshold)}
            for name, threshold in zip(model.task.classes, model.thresholds, strict=True)
        ],
        "cards": cards(model),
    }
    return make_page("Guess the class", "guess", numbers, 900, ("paper.js",), styles=("paper.css",))


def cards(model: nn.Module) -> list[dict]:
    """The cards in the order in which they are played first.

    Parameters
    ----------
    model : nn.Module
        The opponent: of the four superclasses, with thresholds, fed the signals of 12 leads.

    Returns
    -------
    list of dict
        ``samples``: 12 leads one after the other, whole microvolts of 16 bits in base64; ``truth``, the class that the
        heart has, or "none"; ``why``, its diagnosis in words; ``probabilities`` of the network, and what it guesses,
        ``network``.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = practice.write(Path(folder) / "practice", N_RECORDS, SEED)
        drawn = _drawn(root)
        x = ptbxl.read_signals(root, ptbxl.read_table(root).loc[list(drawn)])
    unknown = np.zeros((len(x), len(model.task.classes)))
    asked = datasets.from_arrays(x, unknown, practice.LOW_RATE, recipe=model.recipe, leads=ptbxl.LEADS)
    _, said = training.predict(model, asked, device="cpu")
    people = practice_people.plan(practice_people.Settings(N_RECORDS, SEED))
    return [
        {
            "samples": base64.b64encode(np.rint(1000 * record).astype("<i2").tobytes()).decode("ascii"),
            "truth": truth,
            "why": "" if truth == NONE else practice_people.STATEMENTS[people[ecg_id - 1].scp_code(truth)][0],
            "probabilities": probabilities.tolist(),
            "network": guessed(probabilities, model),
        }
        for (ecg_id, truth), record, probabilities in zip(drawn.items(), x, said, strict=True)
    ]


def guessed(probabilities: np.ndarray, model: nn.Module) -> str:
    """The class whose probability (K,) is highest relative to its threshold, "none" where no class reaches it."""
    times = probabilities / np.asarray(model.thresholds)
    return model.task.classes[int(times.argmax())] if times.max() >= 1 else NONE


def _drawn(root: Path) -> dict[int, str]:
    """Records of the deck, shuffled: their numbers, and what their hearts have. No patient comes twice.

    Of those that have one class, the ones in which it changes the voltages most, since a sign that nobody can see is no
    game; but of no diagnosis a second one before each has had its first.
    """
    table, truth = ptbxl.read_table(root), practice.truth(root)
    people = practice_people.plan(practice_people.Settings(N_RECORDS, SEED))
    plain = table[["baseline_drift", "static_noise", "burst_noise", "electrodes_problems"]].isna().all(axis=1)
    first = ~table["patient_id"].duplicated()
    found = {}
    for name, count in DECK.items():
        has = ~truth.any(axis=1) if name == NONE else truth[name] & (truth.sum(axis=1) == 1)
        ids = list(table.index[has & plain & first])
        if name != NONE:
            changed = np.abs(practice.signs(root, ids, name)).mean(axis=(1, 2))
            ids = [ids[k] for k in np.argsort(-changed, kind="stable")]
            codes = [people[ecg_id - 1].scp_code(name) for ecg_id in ids]
            ids = [ids[k] for k in np.argsort([codes[:k].count(code) for k, code in enumerate(codes)], kind="stable")]
        found |= dict.fromkeys(ids[:count], name)
    order = np.random.default_rng(SEED).permutation(list(found))
    return {int(ecg_id): found[int(ecg_id)] for ecg_id in order}
