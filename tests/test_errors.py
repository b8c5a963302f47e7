import pickle

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
