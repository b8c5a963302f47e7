"""Records as all of PTB-XL's are, 12 leads of WFDB's format 16 in one file, read without wfdb's parser for every kind.

:func:`read` knows one way to write a header. Whatever is written in another way, or isn't in order, it leaves to
others: wfdb reads that, and :mod:`ecgcourse.records.wfdb_records` says what is wrong. Both give the same voltages, to
the last bit.

References
----------
WFDB file formats, header(5) and signal(5), https://wfdb.io/spec.
"""

import os
import re
from functools import lru_cache

import numpy as np

from ecgcourse.records.ptbxl_names import LEADS

_FIRST_LINE = re.compile(rb"[-\w]+ 12 (\d{1,6}) (\d{1,9})")
# File, gain, baseline, checksum and name. Whole numbers of so few digits that float32 holds each of them.
_LEAD = re.compile(
    rb"([-\w]+)\.dat 16 (\d{1,6})(?:\.0*)?\((-?\d{1,5})\)/mV \d{1,3} -?\d{1,6} -?\d{1,6} (-?\d{1,6}) 0 (\w+)"
)
_COMMENT = re.compile(rb"(?:#[ -~]*)?")
_NO_VALUE = -(2**15)  # what format 16 has in place of a missing sample


def read(path: str, n_bytes: int, sampling_rate: int) -> np.ndarray | None:
    """The voltages of a record, checked against its header.

    Parameters
    ----------
    path : str
        Of the record, without ``.hea`` and ``.dat``.
    n_bytes : int
        Size of the ``.dat`` file.
    sampling_rate : int
        In Hz; the header must say the same.

    Returns
    -------
    (12, T) float32 array or None
        In mV, leads as in :data:`ecgcourse.records.ptbxl.LEADS`. None where the header is of another kind, doesn't
        agree with the data, or can't be read, and where a sample has no value.
    """
    try:
        return _read(path, n_bytes, sampling_rate)
    except OSError:
        return None


def _read(path: str, n_bytes: int, sampling_rate: int) -> np.ndarray | None:
    lines = _content(f"{path}.hea").split(b"\n")
    first = _FIRST_LINE.fullmatch(lines[0])
    leads = [_LEAD.fullmatch(line) for line in lines[1 : 1 + len(LEADS)]]
    if first is None or None in leads or len(leads) != len(LEADS):
        return None
    if not all(_COMMENT.fullmatch(line) for line in lines[1 + len(LEADS) :]):
        return None
    files, gains, baselines, checksums, names = zip(*(lead.groups() for lead in leads), strict=True)
    order = _order(names)
    in_one_file = set(files) == {os.path.basename(path).encode()}
    if order is None or not in_one_file or int(first[1]) != sampling_rate:
        return None
    if not n_bytes == 2 * len(LEADS) * int(first[2]) > 0:
        return None
    samples = np.frombuffer(_content(f"{path}.dat"), "<i2")
    if 2 * samples.size != n_bytes:
        return None
    # Each lead in one piece: what follows is several times as fast.
    samples = samples.reshape(-1, len(LEADS)).T[order]
    gains, baselines = (np.array([int(each[row]) for row in order], np.float32) for each in (gains, baselines))
    stated = np.array([int(checksums[row]) for row in order]).astype(np.int16)
    found = samples.sum(axis=1, dtype=np.int16)  # modulo 2¹⁶, as it is defined
    if gains.min() == 0 or samples.min() == _NO_VALUE or (found != stated).any():
        return None
    # wfdb divides in float64 and rounds then. The quotient of two numbers of float32 is the same either way, since
    # float64 has more than twice its digits: Figueroa (1995), doi:10.1145/221332.221334.
    voltages = np.subtract(samples, baselines[:, None], dtype=np.float32)
    return np.divide(voltages, gains[:, None], out=voltages)


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


@lru_cache(maxsize=64)
def _order(names: tuple[bytes, ...]) -> list[int] | None:
    """The places of our leads among names, in upper or lower case; None unless each is there once."""
    present = [name.decode().lower() for name in names]
    wanted = [lead.lower() for lead in LEADS]
    return [present.index(lead) for lead in wanted] if sorted(present) == sorted(wanted) else None
