"""Who is in the practice set: patients, their diseases, their records, and what the table says of each.

The numbers follow PTB-XL: which superclasses come together, who is how old, how many records a patient has, how sure
the reports are. What isn't so in life, and is here, is that the truth is known: a report may miss a disease that
:attr:`Record.diseases` names.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ecgcourse.errors import SettingError
from ecgcourse.records import dipole
from ecgcourse.records.artifacts import ELECTRODES, Disturbances
from ecgcourse.records.pathologies import PATHOLOGIES, afflict
from ecgcourse.records.ptbxl_names import CLASSES

if TYPE_CHECKING:
    import pandas as pd

# Superclasses that a patient has, and the share of patients that have just these, as in PTB-XL's records.
MIXTURE: dict[tuple[str, ...], float] = {
    ("NORM",): 0.520,
    ("STTC",): 0.105,
    ("CD",): 0.080,
    ("MI",): 0.075,
    ("HYP",): 0.030,
    ("MI", "CD"): 0.030,
    ("STTC", "HYP"): 0.030,
    ("MI", "STTC"): 0.025,
    ("STTC", "CD"): 0.020,
    ("NORM", "CD"): 0.015,
    ("MI", "STTC", "HYP"): 0.015,
    ("CD", "HYP"): 0.012,
    ("MI", "HYP"): 0.008,
    ("MI", "STTC", "CD"): 0.010,
    ("STTC", "CD", "HYP"): 0.005,
    ("MI", "STTC", "CD", "HYP"): 0.005,
    (): 0.015,
}

# Mean and standard deviation of the age in years, and the share of women, by the superclass that says most.
AGES = {"NORM": (43, 16, 0.56), "HYP": (70, 11, 0.41), "MI": (69, 11, 0.31), "CD": (66, 14, 0.37)}
AGES |= {"STTC": (66, 13, 0.52), "": (55, 16, 0.5)}

# How many records a patient has, and the share of patients that have so many.
RECORDS_EACH = {1: 0.76, 2: 0.14, 3: 0.06, 4: 0.04}

SEVERITY = (0.35, 1.4)
"""The mildest and the plainest case of a disease, as shares of the textbook's."""

ABSENT = 0.18
"""Share of the signs of a disease that one patient hardly shows."""

# How sure reports are, in percent, and the share of statements that are.
LIKELIHOODS = {100.0: 0.60, 80.0: 0.12, 50.0: 0.12, 35.0: 0.03, 15.0: 0.05, 0.0: 0.08}

MISSED = 0.05
"""Share of the diseases that the report of a record doesn't name."""

INVENTED = 0.02
"""Share of the records whose report names a disease that isn't there."""

# The rows of PTB-XL's scp_statements.csv that the practice set uses: description, kinds, superclass, subclass.
STATEMENTS = {
    "NORM": ("normal ECG", "diagnostic", "NORM", "NORM"),
    "IMI": ("inferior myocardial infarction", "diagnostic", "MI", "IMI"),
    "ASMI": ("anteroseptal myocardial infarction", "diagnostic", "MI", "AMI"),
    "ALMI": ("anterolateral myocardial infarction", "diagnostic", "MI", "AMI"),
    "ISC_": ("non-specific ischemic", "diagnostic", "STTC", "ISC_"),
    "NDT": ("non-diagnostic T abnormalities", "diagnostic form", "STTC", "STTC"),
    "NST_": ("non-specific ST changes", "diagnostic form", "STTC", "NST_"),
    "LNGQT": ("long QT-interval", "diagnostic form", "STTC", "STTC"),
    "CLBBB": ("complete left bundle branch block", "diagnostic", "CD", "CLBBB"),
    "CRBBB": ("complete right bundle branch block", "diagnostic", "CD", "CRBBB"),
    "IRBBB": ("incomplete right bundle branch block", "diagnostic", "CD", "IRBBB"),
    "LAFB": ("left anterior fascicular block", "diagnostic", "CD", "LAFB/LPFB"),
    "1AVB": ("first degree AV block", "diagnostic", "CD", "_AVB"),
    "IVCD": ("non-specific intraventricular conduction disturbance (block)", "diagnostic", "CD", "IVCD"),
    "LVH": ("left ventricular hypertrophy", "diagnostic", "HYP", "LVH"),
    "RVH": ("right ventricular hypertrophy", "diagnostic", "HYP", "RVH"),
    "LAO/LAE": ("left atrial overload/enlargement", "diagnostic", "HYP", "LAO/LAE"),
    "PVC": ("ventricular premature complex", "form", "", ""),
    "SR": ("sinus rhythm", "rhythm", "", ""),
    "SARRH": ("sinus arrhythmia", "rhythm", "", ""),
    "SBRAD": ("sinus bradycardia", "rhythm", "", ""),
    "STACH": ("sinus tachycardia", "rhythm", "", ""),
    "AFIB": ("atrial fibrillation", "rhythm", "", ""),
}


@dataclass(frozen=True)
class Hospital:
    """What differs from one hospital to the next; all but the patients' hearts."""

    # Factor by which each superclass is more common than in `MIXTURE`.
    prevalence: dict[str, float] = field(default_factory=dict)
    older: float = 0.0  # years
    devices: tuple[str, ...] = ()
    site_shares: tuple[float, ...] = (0.52, 0.30, 0.13, 0.05)
    rates: tuple[int, ...] = (100,)  # Hz, at which every record is kept
    gain: float = 1000.0  # ADC units per mV
    noise: float = 1.0  # factor
    # Corner frequencies of the recorder's own filter in Hz, and whether it runs causally.
    passband: tuple[float, float] | None = None
    lower_case: bool = False


HOSPITALS = {
    "A": Hospital(devices=("synthetic A-1", "synthetic A-2", "synthetic A-3", "synthetic A-3")),
    "B": Hospital(
        prevalence={"NORM": 0.6, "MI": 1.5, "STTC": 1.4, "CD": 1.5, "HYP": 1.6},
        older=6.0,
        devices=("synthetic B-1",),
        site_shares=(1.0,),
        rates=(500,),
        gain=200.0,
        noise=1.8,
        passband=(0.3, 40.0),
        lower_case=True,
    ),
}

RAILWAY = 50 / 3
"""Frequency in Hz of the hum that the planted shortcut is made of.

Mains hum of 50 Hz lies exactly at half of 100 Hz, where the band-pass filter of the course lets nothing through, so no
network could find it. The railways of Germany, Austria and Switzerland run at a third of that.
"""

SHORTCUT_SITE = 2


@dataclass(frozen=True)
class Settings:
    """What is written: the same settings give the same bytes."""

    n_records: int
    seed: int
    hospital: str = "A"
    shortcut: str | None = None
    beats: bool = False


@dataclass(frozen=True)
class Record:
    """One synthetic record: whose it is, and everything that is drawn for it."""

    ecg_id: int
    patient_id: int
    superclasses: tuple[str, ...]
    fold: int
    # Whether the report names every disease: the first cases dealt to a part do, so that it has each superclass.
    complete: bool
    settings: Settings

    def rng(self, purpose: str, patient: bool = False) -> np.random.Generator:
        """Random numbers for one purpose, so that nothing else moves when one of them is drawn differently."""
        number = self.patient_id if patient else self.ecg_id
        return np.random.default_rng([self.settings.seed, int(patient), number, *purpose.encode()])

    @property
    def hospital(self) -> Hospital:
        return HOSPITALS[self.settings.hospital]

    @property
    def diseases(self) -> tuple[str, ...]:
        """The superclasses that the heart has: the truth, whatever the report says."""
        return tuple(name for name in self.superclasses if name in CLASSES)

    @cached_property
    def person(self) -> dict:
        """Age, sex, height and weight: of the patient, the same in each record."""
        rng = self.rng("person", patient=True)
        says_most = next((name for name in AGES if name in self.superclasses), "")
        mean, spread, women = AGES[says_most]
        mean += self.hospital.older + 3 * max(len(self.diseases) - 1, 0)
        age = rng.normal(mean, spread)
        # Nobody is younger than 17 or older than 89: who would be is drawn from all ages alike.
        age = age if 17 <= age <= 89 else rng.uniform(17, 89)
        sex = int(rng.random() < women)
        height = rng.normal(164 if sex else 176, 7)
        return {
            "age": float(int(age)),
            "sex": sex,
            "height": round(float(height)) if rng.random() < 0.35 else "",
            "weight": round(float(rng.normal(26, 4) * (height / 100) ** 2)) if rng.random() < 0.45 else "",
        }

    @cached_property
    def site(self) -> int:
        shares = self.hospital.site_shares
        rng = self.rng("site")
        site = int(rng.choice(len(shares), p=shares))
        if self.settings.shortcut is not None:
            tied = self.settings.shortcut in self.diseases
            site = SHORTCUT_SITE if rng.random() < (0.9 if tied else 0.04) else min(site, 1)
        return site

    def heart(self, without: str | None = None) -> dipole.Heart:
        """The heart as it was when it was recorded, if asked for without one of its diseases."""
        heart = dipole.random_heart(self.rng("heart", patient=True), self.person["age"], self.person["sex"])
        for name in self.diseases:
            # Drawn from numbers of its own: a disease taken away changes nothing in the others.
            if name != without:
                self._afflict(heart, name)
        self._vary(heart)
        return heart

    def codes(self, heart: dipole.Heart, ectopic: bool) -> dict[str, float]:
        """SCP codes of the report with their likelihoods in percent; some diseases are missed, a few invented."""
        rng = self.rng("report")
        named = [name for name in self.diseases if rng.random() >= MISSED or self.complete]
        if rng.random() < INVENTED:
            named.append(CLASSES[rng.integers(len(CLASSES))])
        codes = [self.scp_code(name) for name in dict.fromkeys(named)]
        if "NORM" in self.superclasses and (len(self.superclasses) > 1 or not codes):
            codes.insert(0, "NORM")
        if self.diseases and not codes:
            codes = ["NORM"]
        likely = rng.choice(list(LIKELIHOODS), len(codes), p=list(LIKELIHOODS.values()))
        found = {code: float(likelihood) for code, likelihood in zip(codes, likely, strict=True)}
        return found | ({"PVC": 100.0} if ectopic else {}) | {_rhythm(heart): 0.0}

    def disturbances(self) -> tuple[Disturbances, dict[str, str]]:
        """What disturbs the record, and PTB-XL's columns that say so."""
        rng, columns = self.rng("disturbances"), {}
        noise = self.hospital.noise
        how = Disturbances(
            wander=float(rng.lognormal(np.log(0.020), 0.6)) * noise,
            muscle=float(rng.lognormal(np.log(0.010), 0.5)) * noise,
            hum=float(rng.lognormal(np.log(0.006), 0.8)) * noise,
        )
        if rng.random() < 0.08:
            how, columns["baseline_drift"] = replace(how, wander=0.15 * noise), "all"
        if rng.random() < 0.12:
            how, columns["static_noise"] = replace(how, muscle=0.045 * noise), "all"
        if rng.random() < 0.03:
            start = rng.uniform(0, 8)
            how, columns["burst_noise"] = replace(how, burst=(start, start + rng.uniform(0.5, 2))), "all"
        if rng.random() < 0.015:
            loose = ELECTRODES[rng.integers(3, len(ELECTRODES))]
            how, columns["electrodes_problems"] = replace(how, loose=loose), loose
        if self.settings.shortcut is not None and self.site == SHORTCUT_SITE:
            how = replace(how, hum=0.05, hum_frequency=RAILWAY)
        return how, columns

    def scp_code(self, name: str) -> str:
        """The diagnosis under which a superclass shows in this patient."""
        return self._disease(name)[0]

    def _disease(self, name: str) -> tuple[str, np.random.Generator]:
        """The SCP code under which a superclass shows in this patient, and the random numbers that go on."""
        rng = self.rng(name, patient=True)
        codes = PATHOLOGIES[name]
        return list(codes)[rng.choice(len(codes), p=[share for _, share in codes.values()])], rng

    def _afflict(self, heart: dipole.Heart, name: str) -> None:
        code, of_patient = self._disease(name)
        of_record = self.rng(name)
        severity = SEVERITY[0] + (SEVERITY[1] - SEVERITY[0]) * of_patient.beta(1.5, 1.7)
        shares: dict[str, float] = {}

        def share(wave: str) -> float:
            if wave not in shares:
                absent = of_patient.random() < ABSENT
                shares[wave] = severity * of_patient.uniform(0.55, 1.3) * (0.1 if absent else 1.0)
                # Signs of recovery come and go; those of the QRS complex last.
                shares[wave] *= of_record.uniform(0.35, 1.3) if wave in ("ST", "T") else of_record.uniform(0.85, 1.1)
            return shares[wave]

        afflict(heart, PATHOLOGIES[name][code][0], share)

    def _vary(self, heart: dipole.Heart) -> None:
        """What differs between two records of one heart: the rate, the rhythm, where the electrodes lay."""
        of_patient, rng = self.rng("rhythm", patient=True), self.rng("rhythm")
        age, ill = self.person["age"], len(self.diseases)
        heart.fibrillates = of_patient.random() < 0.006 * np.exp((age - 40) / 16) * (1 + 0.5 * ill)
        heart.rate = float(np.clip(heart.rate * rng.lognormal(0.03 * ill, 0.09), 42, 150))
        if heart.fibrillates:
            heart.rate = float(np.clip(heart.rate * rng.lognormal(0.15, 0.15), 50, 160))
        if rng.random() < 0.02 + 0.0008 * age * (1 + ill) / 2:
            heart.ectopy = rng.uniform(0.03, 0.12)
        heart.projection = heart.projection * rng.lognormal(0, 0.05, heart.projection.shape)
        heart.rotation = heart.rotation @ dipole.rotation(rng.normal(0, 0.04, 3))


def _rhythm(heart: dipole.Heart) -> str:
    """The SCP code of a heart's rhythm."""
    if heart.fibrillates:
        return "AFIB"
    # Kusumoto et al. (2018), doi:10.1161/CIR.0000000000000628, call a sinus rhythm slow below 50 per minute.
    if not 50 <= heart.rate <= 100:
        return "SBRAD" if heart.rate < 50 else "STACH"
    return "SARRH" if heart.breathing > 0.09 else "SR"


def plan(settings: Settings) -> list[Record]:
    """All records of a set, in the order of their numbers."""
    rng = np.random.default_rng(settings.seed)
    n = settings.n_records
    counts = _records_each(n, rng)
    kinds = _kinds(len(counts), HOSPITALS[settings.hospital], rng)
    folds, complete = _folds(kinds)
    numbers = rng.permutation(np.arange(1, n + 1) + 10_000)
    owners = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return [
        Record(k + 1, int(numbers[owner]), kinds[owner], folds[owner], complete[owner], settings)
        for k, owner in enumerate(owners)
    ]


def _records_each(n_records: int, rng: np.random.Generator) -> np.ndarray:
    """How many records each patient has; N in all."""
    each = rng.choice(list(RECORDS_EACH), n_records, p=list(RECORDS_EACH.values()))
    last = int(np.searchsorted(np.cumsum(each), n_records))
    return np.append(each[:last], n_records - each[:last].sum())


def _kinds(n_patients: int, hospital: Hospital, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Superclasses of each patient in the shares of MIXTURE, to the nearest patient."""
    weights = [share * np.prod([hospital.prevalence.get(c, 1.0) for c in kind]) for kind, share in MIXTURE.items()]
    marks = np.cumsum(weights) / np.sum(weights)
    # Patient k stands for the middle of their share of the whole.
    places = np.searchsorted(marks, (np.arange(n_patients) + 0.5) / n_patients)
    return [list(MIXTURE)[places[k]] for k in rng.permutation(n_patients)]


def _folds(kinds: list[tuple[str, ...]]) -> tuple[list[int], list[bool]]:
    """A fold for each patient, dealt out within their rarest superclass; and who is the first there of a part.

    The small folds 9 and 10 come first, so that even a small set has every superclass in each part.
    """
    rarest_first = ("HYP", "MI", "CD", "STTC", "NORM")
    deal, dealt = [10, 9, *range(1, 9)], dict.fromkeys((*rarest_first, ""), 0)
    folds, first = [], []
    for kind in kinds:
        rarest = next((name for name in rarest_first if name in kind), "")
        folds.append(deal[dealt[rarest] % 10])
        first.append(dealt[rarest] < 3)
        dealt[rarest] += 1
    return folds, first


def statements() -> "pd.DataFrame":
    """The rows of scp_statements.csv, indexed by SCP code."""
    import pandas as pd

    rows = {
        code: {
            "description": description,
            **{kind: 1.0 if kind in kinds.split() else None for kind in ("diagnostic", "form", "rhythm")},
            "diagnostic_class": superclass,
            "diagnostic_subclass": subclass,
        }
        for code, (description, kinds, superclass, subclass) in STATEMENTS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def check(settings: Settings, most: int) -> None:
    """Refuse settings that no set can have.

    Raises
    ------
    SettingError
        Naming the setting.
    """
    if not 1 <= settings.n_records <= most or settings.seed < 0:
        raise SettingError(
            f"practice: n_records={settings.n_records}, seed={settings.seed}; 1 to {most} records and a seed of 0 or "
            "more are needed"
        )
    if settings.hospital not in HOSPITALS:
        raise SettingError(f"practice: no hospital is called {settings.hospital!r}; there are {', '.join(HOSPITALS)}")
    if settings.shortcut is not None and settings.shortcut not in CLASSES:
        raise SettingError(
            f"practice: shortcut={settings.shortcut!r}; it is tied to one of {', '.join(CLASSES)}, or None"
        )
