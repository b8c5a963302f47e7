"""Synthetic long records with an annotation at each beat, in the form of the MIT-BIH arrhythmia database.

Each patient has a heart of their own (:mod:`ecgcourse.records.dipole`), and their premature and fused beats have shapes
of their own, too: what a beat of a class looks like differs more between patients than within one. So a classifier that
has seen other beats of the same patients looks brilliant, and is not. Introduced in chapter 16.

What a beat of each class changes is what the references of :mod:`ecgcourse.records.pathologies` describe: an atrial
premature beat comes early, with another P wave and the patient's own QRS complex; a ventricular one comes early, is
wide, has no P wave, and a pause follows; a fusion beat is a blend of that and a normal one.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecgcourse.errors import DataError, SettingError, is_whole
from ecgcourse.records import dipole, pathologies, practice
from ecgcourse.records.beat_names import PACED
from ecgcourse.records.heartbeats import SPLIT_FILE
from ecgcourse.support.files import atomic_folder, cache_folder, write_json

RATE = 360
"""Sampling rate of the MIT-BIH database in Hz."""

GAIN = 200
"""Units of its analog-to-digital converter per mV."""

BASELINE = 1024
"""The unit of its converter at 0 mV."""

LEADS = ("MLII", "V1")
DEFAULT_PATIENTS = 26
MOST_PATIENTS = 10_000
FEWEST_PATIENTS = 16
SECONDS = 120
# Raised whenever the generator changes, so that an old set is never taken for a new one.
GENERATOR = "beats 1"
VARIABLE = "ECGCOURSE_BEATS"

_USUAL = ("N", "N", "N", "L", "N", "N", "R", "N")
"""The symbol of the usual beat of patients, in turn."""
_PARTS = ("train", "test", "train", "train", "test", "train", "val", "train", "test", "train", "train", "val", "test")


@dataclass(frozen=True)
class Settings:
    """What is written: the same settings give the same bytes."""

    n_patients: int
    seed: int


class _Beat(NamedTuple):
    time: float  # s, of the R peak
    symbol: str


@dataclass(frozen=True)
class _Patient:
    """One patient: the waves of each kind of beat by its symbol, and how often those are drawn."""

    heart: dipole.Heart
    usual: str
    waves: dict[str, dict[str, dipole.Wave]]
    shares: dict[str, float]
    early: float  # when a premature beat comes, as a share of the beat's length


def write(root: str | os.PathLike | None, n_patients: int = DEFAULT_PATIENTS, seed: int = 0) -> Path:
    """Write synthetic records with annotated beats. The same settings give the same bytes.

    Parameters
    ----------
    root : path, optional
        Folder to make; None is :func:`default_folder` for these settings. Where the very same set already lies, nothing
        is written.
    n_patients : int
        One record of 120 s each, of the leads MLII and V1 at 360 Hz. One in sixteen has a pacemaker. ``split.csv`` says
        which records train, validate and test.
    seed : int
        Chooses the patients.

    Returns
    -------
    Path
        The folder. It appears complete or not at all.

    Raises
    ------
    SettingError
        Fewer than 16 patients, in whom not each class of beats is in each part, or more than 10,000; a negative seed.
    DataError
        ``root`` holds something else, or cannot be written.
    """
    settings = Settings(n_patients, seed)
    if not is_whole(n_patients, FEWEST_PATIENTS, MOST_PATIENTS) or not is_whole(seed, 0):
        raise SettingError(
            f"practice: n_patients={n_patients}, seed={seed}; {FEWEST_PATIENTS} to {MOST_PATIENTS} patients and a seed "
            "of 0 or more are needed"
        )
    root = default_folder(n_patients, seed) if root is None else Path(root)
    mark = {"synthetic": True, "generator": GENERATOR, **asdict(settings)}
    if practice.mark_of(root) == mark:
        return root
    try:
        with atomic_folder(root, wait=practice.WAIT) as folder:
            _fill(folder, settings)
            write_json(folder / practice.MARK, mark)
    except DataError:
        # Another process may have finished the same set meanwhile.
        if practice.mark_of(root) != mark:
            raise
    return root


def data_root() -> Path:
    """The folder of beats that the book uses: ``$ECGCOURSE_BEATS`` if that is set, else the synthetic set."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else write(None)


def default_folder(n_patients: int = DEFAULT_PATIENTS, seed: int = 0) -> Path:
    """Where a set lies when nobody names a folder: in the user's cache, one for each setting."""
    return cache_folder() / f"practice-{GENERATOR.replace(' ', '-')}-{n_patients}-{seed}"


def _fill(folder: Path, settings: Settings) -> None:
    import wfdb

    rows = ["record,split"]
    for number in range(settings.n_patients):
        name = f"s{number + 1:03d}"
        rng = np.random.default_rng([settings.seed, number])
        patient = _patient(number, rng)
        beats = _beats(patient, rng)
        wfdb.wrsamp(
            name,
            fs=RATE,
            units=["mV"] * len(LEADS),
            sig_name=list(LEADS),
            d_signal=_digital(patient, beats, rng),
            fmt=["212"] * len(LEADS),
            adc_gain=[GAIN] * len(LEADS),
            baseline=[BASELINE] * len(LEADS),
            comments=["synthetic ECG made by ecgcourse, not from a patient"],
            write_dir=str(folder),
        )
        inside = [beat for beat in beats if 0 <= round(beat.time * RATE) < SECONDS * RATE]
        samples = np.array([round(beat.time * RATE) for beat in inside])
        wfdb.wrann(name, "atr", samples, [beat.symbol for beat in inside], fs=RATE, write_dir=str(folder))
        rows.append(f"{name},{_PARTS[number % len(_PARTS)]}")
    (folder / SPLIT_FILE).write_text("\n".join(rows) + "\n", encoding="ascii", newline="\n")


def _patient(number: int, rng: np.random.Generator) -> _Patient:
    heart = dipole.random_heart(rng, rng.uniform(30, 85), int(rng.integers(2)))
    usual = PACED if number % 16 == 15 else _USUAL[number % len(_USUAL)]
    block = {"L": pathologies.left_bundle_branch_block, "R": pathologies.right_bundle_branch_block}.get(usual)
    if block is not None:
        severity = rng.uniform(0.6, 1.3)
        pathologies.afflict(heart, block, lambda _: severity * rng.uniform(0.8, 1.2))
    ectopic = dipole.ectopic_beat(rng)
    if usual == PACED:
        spike = dipole.Wave(-0.06, 0.002, rng.normal(0, 1, 3))
        waves = {PACED: dipole.ectopic_beat(rng) | {"spike": spike}}
        return _Patient(heart, usual, waves, {}, 1.0)
    waves = {usual: dict(heart.waves), "A": _atrial(heart, rng), "V": ectopic, "F": _fused(heart.waves, ectopic, rng)}
    shares = {symbol: share * rng.uniform(0.4, 1.6) for symbol, share in (("A", 0.09), ("V", 0.10), ("F", 0.07))}
    return _Patient(heart, usual, waves, shares, rng.uniform(0.52, 0.76))


def _atrial(heart: dipole.Heart, rng: np.random.Generator) -> dict[str, dipole.Wave]:
    """A beat that starts elsewhere in the atria: another P wave, the same ventricles."""
    p_wave = heart.waves["P"]
    vector = dipole.rotation(rng.uniform(-0.8, 0.8, 3)) @ p_wave.vector * -rng.uniform(0.5, 1.5)
    return heart.waves | {"P": replace(p_wave, centre=p_wave.centre + rng.uniform(-0.02, 0.06), vector=vector)}


def _fused(
    normal: dict[str, dipole.Wave], ectopic: dict[str, dipole.Wave], rng: np.random.Generator
) -> dict[str, dipole.Wave]:
    """Both waves of excitation at once: each has a share of the ventricles."""
    share = rng.uniform(0.35, 0.65)
    own = {name: replace(wave, vector=(1 - share) * wave.vector) for name, wave in normal.items() if name != "P"}
    other = {f"ectopic {name}": replace(wave, vector=share * wave.vector) for name, wave in ectopic.items()}
    return {"P": normal["P"]} | own | other


def _beats(patient: _Patient, rng: np.random.Generator) -> list[_Beat]:
    """The beats from before a record to after it."""
    length, now = 60 / patient.heart.rate, -1.5
    found = [_Beat(now, patient.usual)]
    symbols, shares = list(patient.shares), list(patient.shares.values())
    while now < SECONDS + 1:
        pause = length * rng.normal(1, 0.015)
        drawn = rng.random()
        symbol = next(
            (each for each, end in zip(symbols, np.cumsum(shares), strict=True) if drawn < end), patient.usual
        )
        # Neither does a premature beat follow another, nor a fusion beat come early.
        if symbol in "AV" and found[-1].symbol == patient.usual:
            early = patient.early * rng.normal(1, 0.015) * length
            found.append(_Beat(now + early, symbol))
            # After a ventricular beat the next regular impulse finds the ventricles at rest one beat later.
            now += early + pause if symbol == "A" else 2 * pause
            found.append(_Beat(now, patient.usual))
            continue
        now += pause
        found.append(_Beat(now, symbol if symbol == "F" else patient.usual))
    return found


def _digital(patient: _Patient, beats: list[_Beat], rng: np.random.Generator) -> np.ndarray:
    """What the recorder's converter gives, (T, L) whole numbers of 11 bits."""
    times = np.arange(SECONDS * RATE) / RATE
    stretch = (60 / patient.heart.rate) ** (1 / 3)
    drawn, centres = [], []
    for beat in beats:
        strength = rng.normal(1, 0.02)
        for wave in patient.waves[beat.symbol].values():
            drawn.append((wave, strength))
            centres.append(beat.time + wave.centre * (stretch if wave.centre > dipole.LATE_AFTER else 1))
    heart = patient.heart
    rows = [dipole.PROJECTED_LEADS.index(name) for name in ("II", "V1")]
    voltages = heart.projection[rows] @ heart.rotation @ dipole.draw(drawn, np.array(centres), times)
    wander = rng.uniform(0.15, 0.35, (len(LEADS), 1))
    voltages += rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * (wander * times + rng.uniform(0, 1, (len(LEADS), 1))))
    voltages += rng.lognormal(np.log(0.008), 0.3) * rng.standard_normal(voltages.shape)
    return np.clip(np.rint(voltages.T * GAIN) + BASELINE, 0, 2047).astype(np.int64)
