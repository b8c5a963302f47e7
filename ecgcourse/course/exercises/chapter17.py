"""Answers to the exercises of chapter 17, another hospital."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from ecgcourse.course.exercises.judging import conditions, function, values, word
from ecgcourse.records import dipole, practice_people
from ecgcourse.records.ptbxl_names import LEADS

Array = NDArray[np.float64]
TIED, OTHERS = 0.9, 0.04
"""Shares of the records with and without the class that are recorded at the site of the shortcut."""

N_HEARTS, MOST_MISTAKES = 60, 2
"""Records that a detector of swapped arms is tried on, right and swapped, and how many of each it may get wrong."""


def arms_swapped(x: Array) -> Array:
    """Twelve leads (N, 12, T) as they are recorded with the electrodes of both arms exchanged."""
    source = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}
    swapped = x[:, [LEADS.index(source.get(name, name)) for name in LEADS]]
    swapped[:, LEADS.index("I")] *= -1
    return swapped


# --- 1: who knows only the site


def auroc_of_site(tied: float = TIED, others: float = OTHERS) -> float:
    """AUROC of a model that says 1 at the site and 0 elsewhere: P(larger) + P(equal) / 2."""
    return tied * (1 - others) + (tied * others + (1 - tied) * (1 - others)) / 2


# --- 2: another prevalence


def prevalence_corrected(p: Array, before: float, now: float) -> Array:
    """Probabilities whose odds are multiplied by the odds of the new prevalence over those of the old one."""
    return expit(logit(p) + logit(now) - logit(before))


def _ratio_of_prevalences(p: Array, before: float, now: float) -> Array:
    return p * now / before


def _added(p: Array, before: float, now: float) -> Array:
    return p + now - before


def _wrong_way(p: Array, before: float, now: float) -> Array:
    return prevalence_corrected(p, now, before)


def _odds_by_prevalence(p: Array, before: float, now: float) -> Array:
    return expit(logit(p) + np.log(now / before))


def _odds_kept(p: Array, before: float, now: float) -> Array:
    return np.exp(logit(p) + logit(now) - logit(before))


def _probabilities() -> list[tuple[Array, float, float]]:
    rng = np.random.default_rng(0)
    return [(rng.uniform(0.02, 0.98, 7), 0.15, 0.3), (rng.uniform(0.02, 0.98, 5), 0.4, 0.1)]


# --- 4: swapped arms


def opposed_to_v6(x: Array) -> bool:
    """Whether lead I of a record (12, T) runs against V6, which looks at the heart from the same side."""
    return bool(np.corrcoef(x[LEADS.index("I")], x[LEADS.index("V6")])[0, 1] < 0)


def lead_i_points_down(x: Array) -> bool:
    """The rule to beat: whether the tallest wave of lead I is negative."""
    lead = x[LEADS.index("I")] - np.median(x[LEADS.index("I")])
    return bool(-lead.min() > lead.max())


@cache
def hearts() -> Array:
    """Records (N, 12, T) of synthetic hearts in mV at 100 Hz, without noise."""
    settings = practice_people.Settings(N_HEARTS, 9, "B")
    return np.array([_recorded(record) for record in practice_people.plan(settings)])


def _recorded(record: practice_people.Record) -> Array:
    heart = record.heart()
    beats = dipole.beats(heart, 10, record.rng("beats"))
    times = np.arange(1000) / 100
    return dipole.twelve_leads(heart.projection @ dipole.dipole(heart, beats, times, record.rng("dipole"))) / 1000


def _said(answer: Callable, x: Array) -> int:
    """How many of the records the answer calls swapped."""
    return sum(bool(answer(record.copy())) for record in x)


def _says_yes_or_no(answer: Callable) -> bool:
    return np.ndim(answer(hearts()[0].copy())) == 0


EXERCISES = {
    1: values(
        auroc_of_site,
        (lambda: TIED, "that is the sensitivity. AUROC also asks how the records without the class rank."),
        (lambda: TIED * (1 - OTHERS), "that counts pairs in which the right one is higher. Ties count half."),
        (lambda: 1 - OTHERS, "that is the specificity. AUROC also asks how many of the ill are at the site."),
        (
            lambda: TIED * (1 - OTHERS) + TIED * OTHERS + (1 - TIED) * (1 - OTHERS),
            "you counted ties as won. They count half.",
        ),
        what="a number from 0 to 1",
        hint="take one record with the class and one without: how likely does the first get more, how likely the same?",
        rtol=1e-3,
    ),
    2: function(
        prevalence_corrected,
        (_ratio_of_prevalences, "probabilities times a factor can pass 1. It is the odds that are multiplied."),
        (_added, "a sum can leave the range from 0 to 1. Multiply the odds."),
        (_wrong_way, "that is the way back, from the new prevalence to the old one."),
        (_odds_by_prevalence, "the factor is a ratio of odds, π / (1 − π), not of prevalences."),
        (_odds_kept, "those are odds. Turn them into probabilities again."),
        tries=_probabilities,
        what="a function that takes an array of probabilities and two prevalences and returns probabilities",
        hint="odds p / (1 − p) times the new prevalence's odds over the old one's, then back: odds / (1 + odds).",
    ),
    3: word(
        "prevalence",
        (
            "recorder",
            "another filter changes the voltages of records without the class too, so it may well change how many of "
            "them are called ill.",
        ),
        (
            "other diseases",
            "records without this class but with another one are harder than healthy ones, and B has more of them.",
        ),
        (
            "noise",
            "noise changes the voltages of records without the class too: some of them may come to look like it.",
        ),
        what="'prevalence', 'recorder', 'other diseases' or 'noise'",
    ),
    4: conditions(
        lambda: opposed_to_v6,
        (
            _says_yes_or_no,
            lambda: lambda x: x[0] < 0,
            "your function should return one True or False for the record.",
        ),
        (
            lambda answer: _said(answer, hearts()) <= MOST_MISTAKES,
            lambda: lead_i_points_down,
            f"it calls more than {MOST_MISTAKES} of {N_HEARTS} right records swapped. In some hearts lead I does point "
            "down; in which other lead would it then, too?",
        ),
        (
            lambda answer: _said(answer, arms_swapped(hearts())) >= N_HEARTS - MOST_MISTAKES,
            lambda: lambda x: False,
            f"it misses more than {MOST_MISTAKES} of {N_HEARTS} swapped records.",
        ),
        what="a function that takes a record (12, T) and returns True or False",
    ),
}
