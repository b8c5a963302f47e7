"""What diseases change in a synthetic heart.

Each function moves the waves of a :class:`ecgcourse.records.dipole.Heart` to where a plain case of the textbook has
them. Life is less plain: :func:`afflict` moves each wave only a share of the way, so that a case is mild or severe, and
shows some of its signs and not others.

References
----------
Surawicz, B., Knilans, T. K. (2008). Chou's Electrocardiography in Clinical Practice, 6th edition. Saunders (the signs).

Wagner, P. et al. (2020). PTB-XL, a large publicly available electrocardiography dataset. Scientific Data 7, 154.
doi:10.1038/s41597-020-0495-6 (the diagnoses and the superclasses to which they belong).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ecgcourse.records.dipole import Heart, Wave

Change = Callable[[Heart, float], None]


def inferior_infarct(heart: Heart, severity: float) -> None:
    heart.waves["old Q"] = Wave(-0.030, 0.016, severity * np.array([0.05, -0.80, 0.0]))
    heart.adjust("R", scale=(1, 1 - 0.5 * severity, 1))
    heart.adjust("ST", add=severity * np.array([-0.03, 0.20, 0.04]))
    heart.adjust("T", add=severity * np.array([0.0, -0.45, 0.0]))


def anteroseptal_infarct(heart: Heart, severity: float) -> None:
    heart.adjust("Q", add=severity * np.array([0.05, 0.0, 0.55]))
    heart.adjust("R", add=severity * np.array([0.0, 0.0, 0.25]))
    heart.adjust("ST", add=severity * np.array([0.02, 0.0, -0.16]))
    heart.adjust("T", add=severity * np.array([0.0, 0.0, 0.45]))


def anterolateral_infarct(heart: Heart, severity: float) -> None:
    heart.waves["old Q"] = Wave(-0.030, 0.016, severity * np.array([-0.80, 0.0, 0.25]))
    heart.adjust("R", scale=(1 - 0.5 * severity, 1, 1))
    heart.adjust("ST", add=severity * np.array([0.20, 0.0, -0.08]))
    heart.adjust("T", add=severity * np.array([-0.45, 0.0, 0.25]))


def ischemia(heart: Heart, severity: float) -> None:
    heart.adjust("ST", add=severity * np.array([-0.16, -0.18, 0.10]))
    heart.adjust("T", scale=1 - 2.2 * severity)


def flat_t(heart: Heart, severity: float) -> None:
    heart.adjust("T", scale=1 - 0.95 * severity)


def low_st(heart: Heart, severity: float) -> None:
    heart.adjust("ST", add=severity * np.array([-0.10, -0.10, 0.06]))
    heart.adjust("T", scale=1 - 0.3 * severity)


def long_qt(heart: Heart, severity: float) -> None:
    t_wave = heart.waves["T"]
    heart.change("T", centre=t_wave.centre + 0.09 * severity, width=t_wave.width * (1 + 0.25 * severity))


def left_bundle_branch_block(heart: Heart, severity: float) -> None:
    heart.adjust("Q", scale=1 - severity)
    heart.change("R", width=0.012 + 0.010 * severity)
    heart.adjust("R", add=severity * np.array([0.0, -0.30, 0.30]))
    heart.waves["late R"] = Wave(0.045, 0.020, severity * np.array([0.95, 0.35, 0.75]))
    heart.adjust("S", scale=1 - 0.7 * severity)
    heart.adjust("ST", add=severity * np.array([-0.10, -0.04, -0.12]))
    heart.adjust("T", add=severity * np.array([-0.60, -0.25, -0.25]))


def right_bundle_branch_block(heart: Heart, severity: float) -> None:
    heart.adjust("S", scale=1 - 0.7 * severity)
    heart.waves["late S"] = Wave(0.055, 0.018, severity * np.array([-0.60, -0.05, -0.65]))
    heart.adjust("T", add=severity * np.array([0.08, 0.0, 0.30]))


def incomplete_right_bundle_branch_block(heart: Heart, severity: float) -> None:
    heart.adjust("S", scale=1 - 0.4 * severity)
    heart.waves["late S"] = Wave(0.047, 0.012, severity * np.array([-0.38, -0.05, -0.50]))


def left_anterior_fascicular_block(heart: Heart, severity: float) -> None:
    heart.adjust("Q", add=severity * np.array([0.0, 0.25, 0.0]))
    heart.adjust("R", add=severity * np.array([0.10, -1.25, 0.0]))
    heart.adjust("S", add=severity * np.array([0.0, -0.35, 0.0]))


def first_degree_av_block(heart: Heart, severity: float) -> None:
    heart.change("P", centre=heart.waves["P"].centre - 0.05 - 0.12 * severity)


def wide_qrs(heart: Heart, severity: float) -> None:
    for name in ("R", "S"):
        heart.change(name, width=heart.waves[name].width * (1 + 0.7 * severity))
    heart.change("S", centre=heart.waves["S"].centre + 0.022 * severity)


def left_ventricular_hypertrophy(heart: Heart, severity: float) -> None:
    heart.adjust("R", scale=(1 + 0.8 * severity, 1 - 0.6 * severity, 1), add=severity * np.array([0.0, 0.0, 0.6]))
    heart.adjust("S", add=severity * np.array([0.0, 0.0, 0.5]))
    heart.adjust("ST", add=severity * np.array([-0.12, 0.0, -0.05]))
    heart.adjust("T", add=severity * np.array([-0.50, 0.05, -0.20]))


def right_ventricular_hypertrophy(heart: Heart, severity: float) -> None:
    heart.adjust("P", scale=(1, 1 + 0.8 * severity, 1))
    heart.adjust("R", scale=(1 - 0.8 * severity, 1, 1), add=severity * np.array([0.0, 0.1, -0.9]))
    heart.adjust("S", add=severity * np.array([-0.65, 0.0, -0.30]))
    heart.adjust("T", add=severity * np.array([0.0, -0.10, 0.30]))


def left_atrial_enlargement(heart: Heart, severity: float) -> None:
    p_wave = heart.waves["P"]
    heart.change("P", width=p_wave.width * (1 + 0.5 * severity))
    # The left atrium's part comes later and points to the back: V1 sees it as a dip.
    heart.waves["late P"] = Wave(p_wave.centre + 0.045, 0.020, severity * np.array([0.06, 0.02, 0.12]))


PATHOLOGIES: dict[str, dict[str, tuple[Change, float]]] = {
    "MI": {
        "IMI": (inferior_infarct, 0.48),
        "ASMI": (anteroseptal_infarct, 0.37),
        "ALMI": (anterolateral_infarct, 0.15),
    },
    "STTC": {
        "NDT": (flat_t, 0.42),
        "ISC_": (ischemia, 0.36),
        "NST_": (low_st, 0.17),
        "LNGQT": (long_qt, 0.05),
    },
    "CD": {
        "LAFB": (left_anterior_fascicular_block, 0.27),
        "CRBBB": (right_bundle_branch_block, 0.26),
        "IRBBB": (incomplete_right_bundle_branch_block, 0.16),
        "CLBBB": (left_bundle_branch_block, 0.14),
        "1AVB": (first_degree_av_block, 0.10),
        "IVCD": (wide_qrs, 0.07),
    },
    "HYP": {
        "LVH": (left_ventricular_hypertrophy, 0.84),
        "RVH": (right_ventricular_hypertrophy, 0.08),
        "LAO/LAE": (left_atrial_enlargement, 0.08),
    },
}
"""For each superclass the SCP codes of its diseases: what each changes, and the share of the cases that have it."""


def afflict(heart: Heart, change: Change, share: Callable[[str], float]) -> None:
    """Change a heart, each wave by its own share of the way to the textbook's case.

    Parameters
    ----------
    heart : Heart
        Is changed.
    change : callable
        One of `PATHOLOGIES`.
    share : callable
        Of the name of a wave: how far it goes, 0 for not at all, 1 for the plain case, more for a severe one.
    """
    ill = replace(heart, waves=dict(heart.waves))
    change(ill, 1.0)
    for name, end in ill.waves.items():
        start = heart.waves.get(name, replace(end, vector=np.zeros(3)))
        if end is not start:
            heart.waves[name] = _between(start, end, share(name))


def _between(start: Wave, end: Wave, share: float) -> Wave:
    def mixed(a, b):
        return a + share * (b - a)

    return Wave(
        mixed(start.centre, end.centre),
        # However severe, no wave becomes narrower than half of what it was.
        max(mixed(start.width, end.width), start.width / 2),
        mixed(start.vector, end.vector),
        end.power,
    )
