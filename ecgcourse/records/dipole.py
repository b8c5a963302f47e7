"""A synthetic heart: one current dipole that turns in space, seen from twelve leads.

Every wave of a beat is a bump in time that points somewhere (a vectorcardiogram). A fixed matrix projects the
dipole onto the leads. Disturbances are added at the electrodes, before any lead is formed, and lead I and II are
rounded to even microvolts, so Einthoven's and Goldberger's relations hold to the last digit of the file.

:mod:`ecgcourse.records.practice` makes its records with this model. Introduced in chapter 01.

References
----------
McSharry, P. E. et al. (2003). A dynamical model for generating synthetic electrocardiogram signals. IEEE
Transactions on Biomedical Engineering 50(3), 289–294. doi:10.1109/TBME.2003.808805 (waves as Gaussian bumps).
Dower, G. E., Machado, H. B., Osborne, J. A. (1980). On deriving the electrocardiogram from vectorcardiographic
leads. Clinical Cardiology 3(2), 87–95. doi:10.1002/clc.1980.3.2.87 (the matrix).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import signal as scipy_signal

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

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")


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

    def change(self, name: str, **parts) -> None:
        self.waves[name] = replace(self.waves[name], **parts)

    def turn(self, name: str, add=(0.0, 0.0, 0.0), scale=1.0) -> None:
        """Scale a wave's vector, then add to it."""
        self.change(name, vector=self.waves[name].vector * np.asarray(scale) + np.asarray(add))


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


def inferior_infarct(heart: Heart, severity: float) -> str:
    heart.waves["old Q"] = Wave(-0.030, 0.016, severity * np.array([0.05, -0.80, 0.0]))
    heart.turn("R", scale=(1, 1 - 0.5 * severity, 1))
    heart.turn("ST", add=severity * np.array([-0.03, 0.20, 0.04]))
    heart.turn("T", add=severity * np.array([0.0, -0.45, 0.0]))
    return "IMI"


def anteroseptal_infarct(heart: Heart, severity: float) -> str:
    heart.turn("Q", add=severity * np.array([0.05, 0.0, 0.55]))
    heart.turn("R", add=severity * np.array([0.0, 0.0, 0.25]))
    heart.turn("ST", add=severity * np.array([0.02, 0.0, -0.16]))
    heart.turn("T", add=severity * np.array([0.0, 0.0, 0.45]))
    return "ASMI"


def anterolateral_infarct(heart: Heart, severity: float) -> str:
    heart.waves["old Q"] = Wave(-0.030, 0.016, severity * np.array([-0.80, 0.0, 0.25]))
    heart.turn("R", scale=(1 - 0.5 * severity, 1, 1))
    heart.turn("ST", add=severity * np.array([0.20, 0.0, -0.08]))
    heart.turn("T", add=severity * np.array([-0.45, 0.0, 0.25]))
    return "ALMI"


def ischaemia(heart: Heart, severity: float) -> str:
    heart.turn("ST", add=severity * np.array([-0.16, -0.18, 0.10]))
    heart.turn("T", scale=1 - 2.2 * severity)
    return "ISC_"


def flat_t(heart: Heart, severity: float) -> str:
    heart.turn("T", scale=1 - 0.95 * severity)
    return "NDT"


def left_bundle_branch_block(heart: Heart, severity: float) -> str:
    heart.turn("Q", scale=1 - severity)
    heart.change("R", width=0.012 + 0.010 * severity)
    heart.turn("R", add=severity * np.array([0.0, -0.30, 0.30]))
    heart.waves["late R"] = Wave(0.045, 0.020, severity * np.array([0.95, 0.35, 0.75]))
    heart.turn("S", scale=1 - 0.7 * severity)
    heart.turn("ST", add=severity * np.array([-0.10, -0.04, -0.12]))
    heart.turn("T", add=severity * np.array([-0.60, -0.25, -0.25]))
    return "CLBBB"


def right_bundle_branch_block(heart: Heart, severity: float) -> str:
    heart.turn("S", scale=1 - 0.7 * severity)
    heart.waves["late S"] = Wave(0.055, 0.018, severity * np.array([-0.60, -0.05, -0.65]))
    heart.turn("T", add=severity * np.array([0.08, 0.0, 0.30]))
    return "CRBBB"


def left_anterior_fascicular_block(heart: Heart, severity: float) -> str:
    heart.turn("Q", add=severity * np.array([0.0, 0.25, 0.0]))
    heart.turn("R", add=severity * np.array([0.10, -1.25, 0.0]))
    heart.turn("S", add=severity * np.array([0.0, -0.35, 0.0]))
    return "LAFB"


def first_degree_av_block(heart: Heart, severity: float) -> str:
    heart.change("P", centre=heart.waves["P"].centre - 0.05 - 0.12 * severity)
    return "1AVB"


def left_ventricular_hypertrophy(heart: Heart, severity: float) -> str:
    heart.turn("R", scale=(1 + 0.8 * severity, 1 - 0.6 * severity, 1), add=severity * np.array([0.0, 0.0, 0.6]))
    heart.turn("S", add=severity * np.array([0.0, 0.0, 0.5]))
    heart.turn("ST", add=severity * np.array([-0.12, 0.0, -0.05]))
    heart.turn("T", add=severity * np.array([-0.50, 0.05, -0.20]))
    return "LVH"


def right_ventricular_hypertrophy(heart: Heart, severity: float) -> str:
    heart.turn("P", scale=(1, 1 + 0.8 * severity, 1))
    heart.turn("R", scale=(1 - 0.8 * severity, 1, 1), add=severity * np.array([0.0, 0.1, -0.9]))
    heart.turn("S", add=severity * np.array([-0.65, 0.0, -0.30]))
    heart.turn("T", add=severity * np.array([0.0, -0.10, 0.30]))
    return "RVH"


PATHOLOGIES = {
    "MI": ((inferior_infarct, 0.45), (anteroseptal_infarct, 0.35), (anterolateral_infarct, 0.20)),
    "STTC": ((ischaemia, 0.85), (flat_t, 0.15)),
    "CD": (
        (left_bundle_branch_block, 0.40),
        (right_bundle_branch_block, 0.42),
        (left_anterior_fascicular_block, 0.15),
        (first_degree_av_block, 0.03),
    ),
    "HYP": ((left_ventricular_hypertrophy, 0.75), (right_ventricular_hypertrophy, 0.25)),
}


def random_heart(rng: np.random.Generator) -> Heart:
    """One normal heart, different from every other: size, position, timing, and the electrodes' places."""
    heart = Heart(normal_beat(), rate=float(np.clip(rng.normal(72, 10), 48, 115)))
    size = rng.lognormal(0, 0.15)
    for name, wave in heart.waves.items():
        spread = 0.10 if name == "T" else 0.06
        heart.change(
            name,
            vector=wave.vector * size * rng.lognormal(0, spread) + rng.normal(0, 0.01, 3),
            width=wave.width * rng.lognormal(0, 0.06),
        )
    heart.change("P", centre=heart.waves["P"].centre + rng.normal(0, 0.012))
    heart.rotation = _rotation(rng.normal(0, np.radians(3), 3))
    heart.projection = DOWER * rng.lognormal(0, 0.04, DOWER.shape)
    return heart


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Turn about X, Y and Z by three angles in radians: (3,) to (3, 3)."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def r_peaks(heart: Heart, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Times of the R peaks in s, from before the record to after it: breathing and chance vary the rate."""
    peaks = [-rng.uniform(0, 60 / heart.rate) - 1]
    breath, phase = rng.uniform(0.18, 0.30), rng.uniform(0, 2 * np.pi)
    swing = rng.uniform(0.01, 0.06)
    while peaks[-1] < seconds + 1:
        breathing = 1 + swing * np.sin(2 * np.pi * breath * peaks[-1] + phase)
        peaks.append(peaks[-1] + 60 / heart.rate * breathing * rng.normal(1, 0.015))
    return np.array(peaks)


def dipole(heart: Heart, peaks: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The dipole over time: (3, T) mV at ``times`` (T,) in s."""
    out = np.zeros((3, len(times)))
    # Fridericia: the QT interval grows with the cube root of the beat's length.
    stretch = (60 / heart.rate) ** (1 / 3)
    for peak in peaks:
        strength = rng.normal(1, 0.03)
        for wave in heart.waves.values():
            centre = peak + wave.centre * (stretch if wave.centre > LATE_AFTER else 1)
            near = slice(*np.searchsorted(times, (centre - REACH * wave.width, centre + REACH * wave.width)))
            bump = np.exp(-0.5 * np.abs((times[near] - centre) / wave.width) ** wave.power)
            out[:, near] += strength * wave.vector[:, None] * bump
    return heart.rotation @ out


def electrode_noise(times: np.ndarray, fs: float, rng: np.random.Generator) -> np.ndarray:
    """What each electrode adds: (9, T) mV of baseline wander, muscle noise and 50 Hz hum, as ELECTRODES."""
    n = len(ELECTRODES)
    wander = np.zeros((n, len(times)))
    for low, high, amplitude in ((0.05, 0.15, 0.06), (0.15, 0.45, 0.04)):
        frequency = rng.uniform(low, high, (n, 1))
        wander += rng.exponential(amplitude, (n, 1)) * np.sin(
            2 * np.pi * (frequency * times + rng.uniform(0, 1, (n, 1)))
        )
    sections = scipy_signal.butter(2, [15, 120], "bandpass", fs=fs, output="sos")
    muscle = scipy_signal.sosfilt(sections, rng.standard_normal((n, len(times))), axis=-1)
    muscle *= rng.lognormal(np.log(0.018), 0.6) / 0.65
    mains = 50 + rng.normal(0, 0.02)
    hum = rng.exponential(0.015, (n, 1)) * np.sin(2 * np.pi * mains * times + rng.uniform(0, 0.5, (n, 1)))
    return wander + muscle + hum


def eight_leads(heart: Heart, fs: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A record's independent leads V1 … V6, I, II: (8, T) mV at sampling rate ``fs`` in Hz."""
    times = np.arange(int(round(fs * seconds))) / fs
    leads = heart.projection @ dipole(heart, r_peaks(heart, seconds, rng), times, rng)
    right_arm, left_arm, left_leg, *chest = electrode_noise(times, fs, rng)
    # Chest leads are measured against Wilson's central terminal, the mean of the three limbs.
    wilson = (right_arm + left_arm + left_leg) / 3
    return leads + np.stack([*(electrode - wilson for electrode in chest), left_arm - right_arm, left_leg - right_arm])


def twelve_leads(eight: np.ndarray) -> np.ndarray:
    """Form the twelve leads in whole microvolts: (8, T) mV as :func:`eight_leads` to (12, T) int64 µV.

    III = II − I (Einthoven); aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2 (Goldberger). Leads I and II
    are rounded to even numbers, so that their halves are whole and the relations hold without any rounding.
    """
    chest = np.rint(eight[:6] * 1000).astype(np.int64)
    one, two = 2 * np.rint(eight[6:] * 500).astype(np.int64)
    return np.stack([one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2, *chest])
