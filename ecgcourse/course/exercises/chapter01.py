"""Answers to the exercises of chapter 1, reading an ECG."""

import numpy as np

from ecgcourse.course.exercises.judging import function, values
from ecgcourse.records import dipole


def read_off_paper() -> dict[str, float]:
    """Heart rate in beats per minute, width in s and height in mV of what exercise 1 draws."""
    return {"rate": 300 / 4, "width": 2.5 / 25, "height": 12 / 10}


def checksum(numbers: np.ndarray) -> int:
    """The sum of a lead's samples, as a header states it: 0 to 65,535."""
    return _sum(numbers) % 65536


def _sum(numbers: np.ndarray) -> int:
    return int(np.sum(numbers, dtype=np.int64))


def _signed(numbers: np.ndarray) -> int:
    return (checksum(numbers) + 2**15) % 2**16 - 2**15


def _stored_numbers() -> list[tuple[np.ndarray]]:
    """Samples whose sums are above 65,535, below 0, and with a remainder that 16 bits with a sign can't hold."""
    rng = np.random.default_rng(0)
    return [
        (np.array([60_000, 6_000, 4_000]) // 3,),
        (rng.integers(200, 300, size=1000).astype(np.int16),),
        (-rng.integers(0, 60, size=1000).astype(np.int16),),
    ]


def arms_exchanged(record: np.ndarray) -> np.ndarray:
    """What a record (12, T) becomes when the cables of both arms are exchanged."""
    one, two, three, avr, avl, avf = record[:6]
    return np.concatenate([[-one, three, two, avl, avr, avf], record[6:]])


def _unchanged(record: np.ndarray) -> np.ndarray:
    return record


def _only_lead_one(record: np.ndarray) -> np.ndarray:
    return np.concatenate([-record[:1], record[1:]])


def _augmented_leads_stay(record: np.ndarray) -> np.ndarray:
    return np.concatenate([arms_exchanged(record)[:3], record[3:]])


def _lead_one_stays(record: np.ndarray) -> np.ndarray:
    return np.concatenate([record[:1], arms_exchanged(record)[1:]])


def _all_turned(record: np.ndarray) -> np.ndarray:
    return -record


def _chest_turned(record: np.ndarray) -> np.ndarray:
    return np.concatenate([arms_exchanged(record)[:6], -record[6:]])


def _records() -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(dipole.twelve_leads(rng.normal(size=(8, samples))) / 1000,) for samples in (5, 50)]


def axis_of(one: float, two: float) -> float:
    """The angle in degrees of an arrow that gives leads I and II these voltages."""
    return np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))


def _arrows() -> list[tuple[float, float]]:
    """Leads I and II of arrows in all four quarters."""
    angles = np.radians([55, -20, 110, -150, 170])
    return [(2 * np.cos(angle), 2 * np.cos(angle - np.pi / 3)) for angle in angles]


def share_of_three(leads: np.ndarray) -> float:
    """The share of the variance of leads (L, T) that three directions explain."""
    return _share(leads, mean_over=1)


def _singular_values(leads: np.ndarray, mean_over: int | None = 1) -> np.ndarray:
    mean = 0 if mean_over is None else leads.mean(axis=mean_over, keepdims=True)
    return np.linalg.svd(leads - mean, compute_uv=False)


def _share(leads: np.ndarray, mean_over: int | None) -> float:
    squared = _singular_values(leads, mean_over) ** 2
    return squared[:3].sum() / squared.sum()


def _not_squared(leads: np.ndarray) -> float:
    found = _singular_values(leads)
    return found[:3].sum() / found.sum()


def _third_alone(leads: np.ndarray) -> float:
    squared = _singular_values(leads) ** 2
    return squared[2] / squared.sum()


def _the_rest(leads: np.ndarray) -> float:
    return 1 - share_of_three(leads)


def _lead_sets() -> list[tuple[np.ndarray]]:
    """Leads that stand off 0 mV, of an arrow and noise, and of noise alone."""
    rng = np.random.default_rng(2)
    arrow = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 400))
    return [(arrow + 0.5 * rng.normal(size=(8, 400)) + rng.normal(size=(8, 1)),), (rng.normal(1, 1, size=(6, 50)),)]


EXERCISES = {
    1: values(
        read_off_paper,
        (
            lambda: {**read_off_paper(), "rate": 60 / 4},
            "60 is divided by seconds. Four large boxes aren't four seconds.",
        ),
        (
            lambda: {**read_off_paper(), "rate": 1500 / 4},
            "1,500 is divided by small boxes. The distance is given in large ones.",
        ),
        (
            lambda: {**read_off_paper(), "width": 1000 * 2.5 / 25},
            "that width is in milliseconds. The question asks for seconds.",
        ),
        (
            lambda: {**read_off_paper(), "width": 2.5 / 5},
            "for the width you took large boxes, 0.2 s each. The QRS is given in small ones.",
        ),
        (
            lambda: {**read_off_paper(), "height": 12 / 2},
            "for the height you took large boxes, 0.5 mV each. The R wave is given in small ones.",
        ),
        (
            lambda: {**read_off_paper(), "height": 12 / 25},
            "25 mm are a second, along the paper. Upwards, 10 mm are a millivolt.",
        ),
        what='a dict of three numbers, {"rate": …, "width": …, "height": …}',
        hint="a small box is 1 mm, a large one 5 mm. Turn boxes into mm first, then mm into seconds or millivolts.",
        rtol=1e-3,
    ),
    2: function(
        checksum,
        (_sum, "that is the whole sum. Only its remainder counts after division by 65,536."),
        (
            _signed,
            "the remainder came out below 0, as a 16-bit number with a sign. Wanted are 0 to 65,535: sum the "
            "samples as larger integers first.",
        ),
        (lambda numbers: _sum(numbers) % 65535, "16 bits tell 65,536 numbers apart, 0 included: divide by that."),
        (
            lambda numbers: _sum(np.abs(np.asarray(numbers, dtype=np.int64))) % 65536,
            "samples below 0 count as they are: sum them with their sign.",
        ),
        tries=_stored_numbers,
        what="a function that takes the whole numbers of one lead (T,) and returns one number",
        hint="sum all samples as 64-bit integers, then take the remainder with %.",
    ),
    3: function(
        arms_exchanged,
        (
            _unchanged,
            "that is the record as it was. Lead I is LA − RA: what does it become when LA and RA are exchanged?",
        ),
        (_only_lead_one, "lead I is right. Now every other row of the table that has RA or LA in it."),
        (_augmented_leads_stay, "I, II and III are right. aVR and aVL have RA and LA in different places, too."),
        (_lead_one_stays, "all but lead I are right. It is LA − RA: exchange the two."),
        (_all_turned, "only lead I is inverted. The others exchange places, or stay."),
        (
            _chest_turned,
            "the limb leads are right. RA and LA enter V1 to V6 through their sum alone, which doesn't change.",
        ),
        tries=_records,
        what="a function that takes a record (12, T) and returns a record (12, T)",
        hint="write down each lead's difference, put RA in place of LA and LA in place of RA, and look it up again.",
        # Each lead of a record is rounded to whole microvolts by itself.
        atol=0.003,
    ),
    4: function(
        axis_of,
        (
            lambda one, two: np.degrees(np.arctan2(two, one)),
            "that takes lead II as if it looked straight down. It looks at 60°; aVF looks down.",
        ),
        (
            lambda one, two: np.degrees(np.arctan2(two - one / 2, one)),
            "aVF is right, but it is shorter than the arrow's part that points down, by √3/2.",
        ),
        (lambda one, two: np.radians(axis_of(one, two)), "that angle is in radians. The question asks for degrees."),
        (
            lambda one, two: np.degrees(np.arctan((2 * two - one) / np.sqrt(3) / one)),
            "arctan can't tell an arrow from its opposite. Use np.arctan2.",
        ),
        (lambda one, two: -axis_of(one, two), "the sign is the other way round: down is positive, as aVF is."),
        (lambda one, two: axis_of(one, two) % 360, "axes are counted from −180° to 180°, so that aVL is at −30°."),
        tries=_arrows,
        what="a function that takes the voltages of leads I and II and returns an angle in degrees",
        hint="find aVF from I and II first: aVF = (II + III)/2, and III = II − I.",
        rtol=1e-4,
    ),
    5: function(
        share_of_three,
        (_not_squared, "a direction's variance is its singular value squared."),
        (
            lambda leads: _share(leads, None),
            "the mean of each lead is still in there. A constant voltage isn't variance: subtract it.",
        ),
        (
            lambda leads: _share(leads, 0),
            "you subtracted the mean over the leads. Subtract each lead's own mean over time, axis 1.",
        ),
        (_third_alone, "that is the share of the third direction alone. Sum the first three."),
        (_the_rest, "that is the rest, which three directions leave unexplained."),
        tries=_lead_sets,
        what="a function that takes leads (L, T) and returns a share between 0 and 1",
        hint="subtract each lead's mean, take np.linalg.svd(…, compute_uv=False), square, and divide by the sum.",
        rtol=1e-4,
    ),
}
