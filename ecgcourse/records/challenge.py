"""Folders of the PhysioNet Challenges of 2020 and 2021: 12-lead ECGs whose WFDB headers say what they show.

A header says ``#Dx: 59118001,426783006``: codes of SNOMED CT. The codes, their names and how many records of each
database have them are those of ``dx_mapping_scored.csv`` and ``dx_mapping_unscored.csv`` of the Challenge of 2021
(https://github.com/physionetchallenges/evaluation-2021). To which of PTB-XL's diagnostic superclasses a code belongs is
this course's own decision, made as PTB-XL's ``scp_statements.csv`` does with statements that mean the same; see
:data:`SUPERCLASS_OF`.

The databases: Reyna et al., "Will two do? Varying dimensions in electrocardiography: the PhysioNet/Computing in
Cardiology Challenge 2021", Computing in Cardiology 48 (2021), doi:10.23919/CinC53138.2021.9662687.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from ecgcourse.errors import DataError, EcgCourseWarning, brief
from ecgcourse.records.own_words import about_of, text_of
from ecgcourse.records.ptbxl import CLASSES, is_ptbxl
from ecgcourse.support.files import stat_file

SINUS_RHYTHM = "426783006"
"""The SNOMED CT code of sinus rhythm."""

SUPERCLASSES = ("NORM", *CLASSES)
_CODES = {
    "MI": {
        "164865005": "myocardial infarction",
        "57054005": "acute myocardial infarction",
        "54329005": "anterior myocardial infarction",
        "164867002": "old myocardial infarction",
    },
    "STTC": {
        "55930002": "ST changes",
        "164930006": "ST interval abnormal",
        "428750005": "nonspecific ST-T abnormality",
        "429622005": "ST depression",
        "704997005": "inferior ST segment depression",
        "164931005": "ST elevation",
        "164934002": "T wave abnormal",
        "59931005": "T wave inversion",
        "111975006": "prolonged QT interval",
        "164861001": "myocardial ischemia",
        "413444003": "acute myocardial ischemia",
        "413844008": "chronic myocardial ischemia",
        "426434006": "anterior ischemia",
        "425419005": "inferior ischemia",
        "425623009": "lateral ischemia",
    },
    "CD": {
        "233917008": "AV block",
        "270492004": "1st degree AV block",
        "195042002": "2nd degree AV block",
        "54016002": "Mobitz type I (Wenckebach) AV block",
        "426183003": "Mobitz type II AV block",
        "27885002": "complete heart block",
        "204384007": "congenital incomplete AV heart block",
        "6374002": "bundle branch block",
        "164909002": "left bundle branch block",
        "733534002": "complete left bundle branch block",
        "251120003": "incomplete left bundle branch block",
        "59118001": "right bundle branch block",
        "713427006": "complete right bundle branch block",
        "713426002": "incomplete right bundle branch block",
        "445118002": "left anterior fascicular block",
        "445211001": "left posterior fascicular block",
        "698252002": "nonspecific intraventricular conduction disorder",
        "82226007": "diffuse intraventricular block",
        "74390002": "Wolff-Parkinson-White pattern",
        "195060002": "ventricular preexcitation",
    },
    "HYP": {
        "164873001": "left ventricular hypertrophy",
        "89792004": "right ventricular hypertrophy",
        "266249003": "ventricular hypertrophy",
        "195126007": "atrial hypertrophy",
        "446813000": "left atrial hypertrophy",
        "446358003": "right atrial hypertrophy",
        "67741000119109": "left atrial enlargement",
        "253352002": "left atrial abnormality",
        "253339007": "right atrial abnormality",
    },
}
SUPERCLASS_OF = {code: name for name, codes in _CODES.items() for code in codes}
"""Superclass of a SNOMED CT code. Codes of rhythm, axis, ectopic beats, voltage and pacing have none, as in PTB-XL.

Sinus rhythm (:data:`SINUS_RHYTHM`) makes a record NORM if it is its only code: the databases have no code for "normal",
and the Challenge gave this one to normal records. ST/T findings such as "ST depression" count as STTC, although PTB-XL
counts such a statement of form as a diagnosis only where a diagnosis stands beside it: these databases often have
nothing else.
"""

_DEEPEST = 4  # folders below the one that is named; the Challenge's archive has 2
_LARGEST = 2**22  # bytes of a header; those of the Challenge have 1000
_LOOKED_AT = 200  # files and folders, to find a first header


def is_challenge(data: str | os.PathLike) -> bool:
    """Whether a folder, or one below it, has WFDB headers that say ``#Dx``; a PTB-XL folder is none."""
    if not Path(data).is_dir() or is_ptbxl(data):
        return False
    for header in _headers(Path(data), _LOOKED_AT):
        try:
            return "dx" in _about(header)
        except (DataError, OSError):
            continue
    return False


def read_table(folder: str | os.PathLike) -> pd.DataFrame:
    """Read what the headers of a folder say; no signal is opened.

    Parameters
    ----------
    folder
        Holds records, itself or in folders below it, such as ``training/georgia``.

    Returns
    -------
    pandas.DataFrame
        N rows, sorted by file, index ``record``: 1 for the first. Columns: ``file`` (the header, relative to the
        folder), ``path`` (where it is), ``patient_id`` (a number for each record, since the Challenge tells no
        patients), ``age`` in years and ``sex`` (0 male, 1 female) where they are known, ``dx`` (a tuple of codes), a
        bool column for NORM and each of :data:`ecgcourse.records.ptbxl.CLASSES`, and ``labelled``: whether it has one
        of these five. ``attrs["unmapped"]`` is a dict of each code without a superclass to the number of records.

    Raises
    ------
    DataError
        If the folder has no header that says ``#Dx``, or one can't be read.

    Warns
    -----
    EcgCourseWarning
        With the codes that have no superclass.
    """
    folder = Path(folder)
    rows, unmapped = [], Counter()
    for header in sorted(_headers(folder)):
        about = _about(header)
        if "dx" not in about:
            continue
        codes = tuple(dict.fromkeys(filter(None, about["dx"])))
        unmapped.update(code for code in codes if code not in SUPERCLASS_OF and code != SINUS_RHYTHM)
        sex = {"male": 0.0, "female": 1.0}.get(about.get("sex"))
        about = {"age": about.get("age"), "sex": sex, "dx": codes}
        file = header.relative_to(folder).as_posix()
        rows.append({"file": file, "path": str(header), "patient_id": len(rows) + 1} | about | superclasses(codes))
    if not rows:
        raise DataError(f"{folder} has no WFDB header with #Dx; name the folder of a Challenge's records")
    table = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="record"))
    table = table.astype({"age": float, "sex": float})
    table["labelled"] = table[list(SUPERCLASSES)].any(axis=1)
    table.attrs = {"classes": SUPERCLASSES, "multiclass": False, "unmapped": dict(unmapped.most_common())}
    if unmapped:
        counts = ", ".join(f"{code} ({count})" for code, count in unmapped.most_common())
        warnings.warn(
            f"{folder}: {len(unmapped)} codes belong to no superclass and are left aside; with how many records have "
            f"them: {brief(counts, 700)}",
            EcgCourseWarning,
            stacklevel=2,
        )
    return table


def superclasses(codes: Iterable[str]) -> dict[str, bool]:
    """Which superclasses a record with these codes has, NORM in front."""
    codes = set(codes)
    found = {SUPERCLASS_OF[code] for code in codes if code in SUPERCLASS_OF}
    return {"NORM": codes == {SINUS_RHYTHM}} | {name: name in found for name in CLASSES}


def _headers(folder: Path, most: int | None = None) -> Iterator[Path]:
    """The headers in a folder and below it, among the first `most` files and folders."""
    looked_at = 0
    for place, below, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < _DEEPEST else []
        for name in sorted(names):
            if name.endswith(".hea") and not name.startswith("."):
                yield Path(place, name)
            looked_at += 1
            if most is not None and looked_at >= most:
                return


def _about(header: Path) -> dict:
    stat_file(header, largest=_LARGEST)
    return about_of("WFDB", (line for line in text_of(header.read_bytes()).splitlines() if line.startswith("#")))
