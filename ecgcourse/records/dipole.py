"""A synthetic heart: one current dipole that turns in space, seen from twelve leads.

Every wave of a beat is a bump in time that points somewhere (a vectorcardiogram). A fixed matrix projects the
dipole onto the leads. Disturbances are added at the electrodes, before any lead is formed, and lead I and II are
rounded to even microvolts, so Einthoven's and Goldberger's relations hold to the last digit of the file.

:mod:`ecgcourse.records.practice` makes its records with this model; what diseases change in it is in
:mod:`ecgcourse.records.pathologies`. Introduced in chapter 1.

References
----------
McSharry, P. E. et al. (2003). A dynamical model for generating synthetic electrocardiogram signals. IEEE
Transactions on Biomedical Engineering 50(3), 289–294. doi:10.1109/TBME.2003.808805 (waves as Gaussian bumps).

Dower, G. E., Machado, H. B., Osborne, J. A. (1980). On deriving the electrocardiogram from vectorcardiographic
leads. Clinical Cardiology 3(2), 87–95. doi:10.1002/clc.1980.3.2.87 (the matrix).

Rijnbeek, P. R. et al. (2014). Normal values of the electrocardiogram for ages 16–90 years. Journal of
Electrocardiology 47(6), 914–921. doi:10.1016/j.jelectrocard.2014.07.022 (the direction in which the axis, the
voltages and the intervals change with age and sex).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

# Rows V1 … V6, I, II; columns X (to the left), Y (down), Z (to the back), all in the patient's own directions.
DOWER = np.array(
    [
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
    ]
)


PROJECTED_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6", "I", "II")
"""The independent leads, in the order of the matrix's rows; the others are formed from them."""

LATE_AFTER = 0.1
"""Waves that peak later than this after R (s) move with the length of the beat."""

REACH = 5
"""How many of its widths a wave reaches to either side."""

FEMALE = 1
"""The code of women in PTB-XL's column ``sex``."""


@dataclass(frozen=True)
class Wave:
    """One bump of the dipole: when it peaks (s after R), how wide it is (s), where it points (mV; X, Y, Z)."""

    centre: float
    width: float
    vector: np.ndarray
    # 2 is a Gaussian; 4 has the flat top of an ST segment.
    power: float = 2.0


@dataclass
class Heart:
    """The waves of one person's beat, and what else makes their records theirs."""

    waves: dict[str, Wave]
    rate: float
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    projection: np.ndarray = field(default_factory=lambda: DOWER)
    # Share by which breathing lengthens and shortens the beats.
    breathing: float = 0.03
    fibrillates: bool = False
    # Share of the beats that start in a ventricle, too early.
    ectopy: float = 0.0

    def change(self, name: str, **parts) -> None:
        self.waves[name] = replace(self.waves[name], **parts)

    def adjust(self, name: str, add=(0.0, 0.0, 0.0), scale=1.0) -> None:
        """Scale a wave's vector, then add to it."""
        self.change(name, vector=self.waves[name].vector * np.asarray(scale) + np.asarray(add))


class Beat(NamedTuple):
    """When a beat's R wave peaks (s), and whether it started in a ventricle."""

    time: float
    ectopic: bool


def normal_beat() -> dict[str, Wave]:
    """Waves of a normal beat in the dipole's directions: X left, Y down, Z back."""
    return {
        "P": Wave(-0.16, 0.022, np.array([0.06, 0.11, -0.01])),
        "Q": Wave(-0.024, 0.009, np.array([-0.12, -0.06, -0.28])),
        "R": Wave(0.0, 0.011, np.array([1.05, 0.85, 0.25])),
        "S": Wave(0.026, 0.010, np.array([-0.12, -0.10, 0.50])),
        "ST": Wave(0.12, 0.055, np.array([0.01, 0.01, -0.02]), power=4.0),
        "T": Wave(0.27, 0.048, np.array([0.27, 0.24, -0.17])),
    }


def random_heart(rng: np.random.Generator, age: float = 60, sex: int = 0) -> Heart:
    """One normal heart, different from every other, with the variants that healthy people have.

    With age the axis turns to the left and T waves become lower, and women have lower voltages and less of the
    raised ST segment that is a normal variant of young men.

    Parameters
    ----------
    rng : numpy.random.Generator
        Chooses the heart.
    age : float
        In years.
    sex : {0, 1}
        0 for men, 1 for women, as in PTB-XL.

    Returns
    -------
    Heart
    """
    female = sex == FEMALE
    decades = (age - 55) / 10
    heart = Heart(normal_beat(), rate=float(np.clip(rng.normal(70 + 3 * female, 11), 44, 120)))
    size = rng.lognormal(-0.12 * female - 0.02 * decades, 0.20)
    for name, wave in heart.waves.items():
        heart.change(
            name,
            vector=wave.vector * size * rng.lognormal(0, 0.14) + rng.normal(0, 0.02, 3),
            width=wave.width * rng.lognormal(0, 0.08),
        )
    heart.adjust("T", scale=rng.lognormal(-0.06 * decades - 0.08 * female, 0.25))
    _turn(heart, "T", rng.normal(0, np.radians(13), 3))
    _turn(heart, "S", rng.normal(0, np.radians(15), 3))
    heart.adjust("Q", scale=rng.lognormal(0, 0.35))
    # Early repolarization: the ST segment starts above the baseline, in the direction of the T wave.
    raised = rng.gamma(1.0, 0.02) * (0.4 if female else 1.0) * np.exp(-0.25 * decades)
    heart.adjust("ST", add=min(raised, 0.15) * np.array([0.6, 0.6, -0.6]) + rng.normal(0, 0.012, 3))
    # A last part of the right ventricle that is late: the rSr' that many healthy people have in V1.
    heart.waves["late S"] = Wave(0.045, 0.012, rng.gamma(0.6, 0.10) * np.array([-0.5, -0.1, -0.6]))
    heart.change("P", centre=heart.waves["P"].centre - 0.003 * decades + rng.normal(0, 0.018))
    heart.change("T", centre=heart.waves["T"].centre + 0.010 * female + rng.normal(0, 0.014))
    # Frontal plane, about Z: X turns towards −Y, which is to the left and up.
    heart.rotation = rotation(np.array([rng.normal(0, 0.08), rng.normal(0, 0.14), rng.normal(-0.09 * decades, 0.22)]))
    heart.projection = DOWER * rng.lognormal(0, 0.07, DOWER.shape)
    heart.breathing = rng.uniform(0.005, 0.03) + rng.gamma(1.5, 0.012) * np.exp(-0.3 * decades)
    return heart


def _turn(heart: Heart, name: str, angles: np.ndarray) -> None:
    heart.change(name, vector=rotation(angles) @ heart.waves[name].vector)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Turn about X, Y and Z by three angles in radians: (3,) to (3, 3)."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def beats(heart: Heart, seconds: float, rng: np.random.Generator) -> list[Beat]:
    """The beats from before a record to after it: breathing, chance and disorders of the rhythm vary the rate."""
    length = 60 / heart.rate
    now = -rng.uniform(0, length) - 1
    found = [Beat(now, False)]
    breath, phase = rng.uniform(0.18, 0.30), rng.uniform(0, 2 * np.pi)
    while now < seconds + 1:
        if heart.fibrillates:
            pause = length * np.clip(rng.normal(1, 0.22), 0.5, 1.8)
        else:
            pause = length * (1 + heart.breathing * np.sin(2 * np.pi * breath * now + phase)) * rng.normal(1, 0.012)
        if rng.random() < heart.ectopy and not found[-1].ectopic:
            found.append(Beat(now + rng.uniform(0.55, 0.75) * pause, True))
            # The next regular impulse finds the ventricles at rest again only one beat later.
            pause *= 2
        now += pause
        found.append(Beat(now, False))
    return found


def dipole(heart: Heart, found: list[Beat], times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The dipole over time.

    Parameters
    ----------
    heart : Heart
        Whose waves are drawn.
    found : list of Beat
        As :func:`beats` returns them.
    times : (T,) array
        In s, at equal distances.
    rng : numpy.random.Generator
        Varies the strength of the beats; the fibrillating atria.

    Returns
    -------
    (3, T) float64 array
        X, Y and Z in mV.
    """
    # Fridericia: the QT interval grows with the cube root of the beat's length.
    stretch = (60 / heart.rate) ** (1 / 3)
    ectopic = ectopic_beat(rng)
    drawn, centres = [], []
    for beat in found:
        strength = rng.normal(1, 0.03)
        for name, wave in (ectopic if beat.ectopic else heart.waves).items():
            if name == "P" and heart.fibrillates:
                continue
            drawn.append((wave, strength))
            centres.append(beat.time + wave.centre * (stretch if wave.centre > LATE_AFTER else 1))
    out = draw(drawn, centres, times)
    if heart.fibrillates:
        out += _fibrillation(times, rng)
    return heart.rotation @ out


def draw(drawn: list[tuple[Wave, float]], centres: list[float], times: np.ndarray) -> np.ndarray:
    """Add up waves, each with its strength and the time of its peak (s): (3, T) mV at the `times` (T,)."""
    out = np.zeros((3, len(times)))
    # All at once: looking one by one takes as long as drawing.
    reach = REACH * np.array([wave.width for wave, _ in drawn])
    firsts, ends = np.searchsorted(times, (centres - reach, centres + reach)).tolist()
    for (wave, strength), centre, first, end in zip(drawn, centres, firsts, ends, strict=True):
        near = slice(first, end)
        bump = np.exp(-0.5 * np.abs((times[near] - centre) / wave.width) ** wave.power)
        out[:, near] += strength * wave.vector[:, None] * bump
    return out


def ectopic_beat(rng: np.random.Generator) -> dict[str, Wave]:
    """A beat that starts in a ventricle: no P wave, a wide QRS complex, a T wave against it."""
    direction = rng.normal(0, 1, 3) + np.array([0.0, 0.8, 0.0])
    direction *= rng.uniform(1.1, 1.7) / np.linalg.norm(direction)
    return {
        "R": Wave(0.0, 0.022, direction),
        "late R": Wave(0.05, 0.026, 0.6 * direction),
        "T": Wave(0.30, 0.060, -0.45 * direction),
    }


def _fibrillation(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The small waves of fibrillating atria, 5 to 8 per second, largest towards V1: (3, T) mV."""
    waves = np.zeros(len(times))
    for frequency in rng.uniform(5, 8, 3):
        # The frequency wanders a little, so that no line stands in the spectrum.
        wander = 0.6 * np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * times + rng.uniform(0, 2 * np.pi))
        waves += np.sin(2 * np.pi * frequency * times + wander + rng.uniform(0, 2 * np.pi))
    return rng.uniform(0.006, 0.022) * np.array([[-0.5], [0.5], [-1.0]]) * waves


def twelve_leads(eight: np.ndarray) -> np.ndarray:
    """Form the twelve leads in whole microvolts: (8, T) mV as in `PROJECTED_LEADS` to (12, T) int64 µV.

    III = II − I (Einthoven); aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2 (Goldberger). Leads I and II
    are rounded to even numbers, so that their halves are whole and the relations hold without any rounding.
    """
    chest = np.rint(eight[:6] * 1000).astype(np.int64)
    one, two = 2 * np.rint(eight[6:] * 500).astype(np.int64)
    return np.stack([one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2, *chest])
