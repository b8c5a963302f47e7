import pickle

import numpy as np
import pytest

from ecgcourse import errors


@pytest.mark.parametrize("kind", [errors.DataError, errors.SettingError, errors.CheckpointError])
def test_an_error_is_caught_as_ours_and_as_a_value_error(kind):
    assert issubclass(kind, errors.EcgCourseError)
    assert issubclass(kind, ValueError)


def test_an_error_survives_the_way_back_from_a_worker_process():
    back = pickle.loads(pickle.dumps(errors.DataError("record 7: truncated")))
    assert isinstance(back, errors.DataError)
    assert str(back) == "record 7: truncated"


def test_the_warning_can_be_filtered_as_a_user_warning():
    assert issubclass(errors.EcgCourseWarning, UserWarning)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("MI", "'MI'"),
        (np.int64(7), "7"),
        (np.float32(0.5), "0.5"),
        (np.zeros(2), "array([0., 0.])"),
        (np.zeros(0), "array([], dtype=float64)"),
        (np.zeros((2, 1)), "array([[0.],?       [0.]])"),
        ("x" * 10**6, "'" + "x" * 78 + "…"),
        (b"\x1b", "b'\\x1b'"),
    ],
)
def test_a_value_is_shown_on_one_short_line(value, text):
    assert errors.shown(value) == text


def test_what_a_file_says_can_not_command_a_terminal():
    assert errors.brief("V2\x1b[2J\n\u202eV3 \udcff") == "V2?[2J??V3 ?"
    assert errors.brief("x" * 100, 9) == "xxxxxxxx…"


def test_somebody_elses_error_is_its_first_line_or_its_name():
    assert errors.in_words(OSError("no\nroom")) == "no"
    assert errors.in_words(MemoryError()) == "MemoryError"
