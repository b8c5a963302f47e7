import cv2
import numpy as np
import pytest
from plain_pyts import GramianAngularField, MarkovTransitionField, RecurrencePlot
from scipy.spatial.distance import cdist

from ecgcourse import fields, ptbxl, signals
from ecgcourse.errors import DataError, SettingError


@pytest.fixture
def leads(root):
    """(12, T) preprocessed leads of four records."""
    return signals.preprocess(ptbxl.read_signals(root, ptbxl.read_table(root).iloc[:4])).reshape(12, -1)


@pytest.fixture
def walk():
    return signals.min_max(np.cumsum(np.random.default_rng(0).normal(size=400)))


def test_gramian_angular_is_pyts(leads):
    theirs = GramianAngularField(image_size=leads.shape[1], method="summation").fit_transform(leads.astype(float))
    for lead, field in zip(leads, theirs, strict=True):
        np.testing.assert_allclose(fields.gramian_angular(lead), field, atol=1e-12)


def test_gramian_angular_by_hand():
    # x = 0, ½, 1 is cos φ = −1, 0, 1, so φ = π, π/2, 0.
    angles = np.array([np.pi, np.pi / 2, 0])
    expected = np.cos(angles[:, None] + angles[None, :])
    np.testing.assert_allclose(fields.gramian_angular(np.array([0, 0.5, 1])), expected, atol=1e-15)


def test_gramian_angular_of_a_flat_signal_is_one_everywhere():
    np.testing.assert_array_equal(fields.gramian_angular(np.zeros(5)), np.ones((5, 5)))


@pytest.mark.parametrize("bins", [2, 3, 8, 10, 16])
def test_markov_transition_is_pyts_with_uniform_bins(walk, bins):
    theirs = MarkovTransitionField(image_size=len(walk), n_bins=bins, strategy="uniform").fit_transform(walk[None])[0]
    np.testing.assert_allclose(fields.markov_transition(walk, bins), theirs, atol=1e-15)


def test_markov_transition_is_pyts_on_real_leads(leads):
    some = leads[::4]
    theirs = MarkovTransitionField(image_size=leads.shape[1], n_bins=10, strategy="uniform").fit_transform(some)
    for lead, field in zip(some, theirs, strict=True):
        np.testing.assert_allclose(fields.markov_transition(lead), field, atol=1e-15)


def test_bins_are_right_closed():
    x = np.array([0, 0.05, 0.1, 0.1000001, 0.2, 0.55, 0.95, 0.9999, 1])
    assert fields.bin_numbers(x).tolist() == [0, 0, 0, 1, 1, 5, 9, 9, 9]


def test_markov_transition_by_hand():
    # Bins 0 0 1 0 1: out of bin 0 one step stays and two go to 1; out of bin 1 the one step goes to 0.
    x = np.array([0, 0.4, 0.6, 0.2, 1])
    p = np.array([[1 / 3, 2 / 3], [1, 0]])
    q = [0, 0, 1, 0, 1]
    np.testing.assert_allclose(fields.markov_transition(x, bins=2), p[np.ix_(q, q)])


def test_rows_of_a_bin_that_is_never_left_are_zero():
    np.testing.assert_array_equal(fields.transition_matrix(np.array([0, 0, 1]), 3)[1:], np.zeros((2, 3)))


def test_recurrence_is_the_distance_between_samples(leads):
    for lead in leads:
        column = lead.astype(float)[:, None]
        np.testing.assert_allclose(fields.recurrence(lead), cdist(column, column), atol=1e-15)


def test_recurrence_is_pyts(leads):
    some = leads[::4]
    theirs = RecurrencePlot(threshold=None).fit_transform(some.astype(float))
    for lead, field in zip(some, theirs, strict=True):
        np.testing.assert_allclose(fields.recurrence(lead), field, atol=1e-12)


def test_difference_keeps_the_sign_that_recurrence_drops(leads):
    for lead in leads.astype(float):
        field = fields.difference(lead)
        np.testing.assert_array_equal(field, np.subtract.outer(lead, lead))
        np.testing.assert_allclose(np.abs(field), fields.recurrence(lead), atol=1e-15)
        np.testing.assert_allclose(fields.difference(1 - lead), -field, atol=1e-15)


def test_the_originals_clip_never_happens(leads):
    assert max(fields.recurrence(lead).max() for lead in leads) <= 1


@pytest.mark.parametrize(("length", "size"), [(1000, 256), (100, 256), (7, 3), (3, 7), (256, 256), (1, 4), (5, 1)])
def test_resize_is_opencvs(length, size):
    field = np.random.default_rng(1).random((length, length))
    np.testing.assert_allclose(fields.resize(field, size), cv2.resize(field, (size, size)), atol=1e-6)


def test_images_are_fields_resized_by_opencv(leads):
    stack = fields.images(leads[:3])
    assert stack.shape == (9, 256, 256) and stack.dtype == np.uint8
    functions = (fields.gramian_angular, fields.markov_transition, fields.recurrence)
    scales = (lambda g: (g + 1) / 2, lambda p: p / 5, lambda r: r)
    expected = [
        cv2.resize(scale(function(lead)), (256, 256)) * 255
        for lead in leads[:3]
        for function, scale in zip(functions, scales, strict=True)
    ]
    difference = np.abs(stack.astype(int) - np.stack(expected).astype(np.uint8))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def test_mtf_stops_at_grey_level_51(leads):
    assert fields.images(leads)[1::3].max() <= 51


@pytest.mark.parametrize(
    "function", [fields.gramian_angular, fields.markov_transition, fields.recurrence, fields.difference]
)
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 5)), "shape"),
        (np.zeros(0), "shape"),
        (np.array([0, 2.0]), r"\[0, 1\]"),
        (np.array([0, np.nan]), r"\[0, 1\]"),
        (np.array([-0.1, 1]), r"\[0, 1\]"),
    ],
)
def test_fields_refuse_what_is_no_signal_in_range(function, x, words):
    with pytest.raises(DataError, match=words):
        function(x)


def test_settings_out_of_range():
    with pytest.raises(SettingError, match="bins"):
        fields.markov_transition(np.zeros(5), bins=1)
    with pytest.raises(SettingError, match="pixels"):
        fields.resize(np.zeros((4, 4)), 0)
    with pytest.raises(SettingError, match="GAF, MTF, RP"):
        fields.grey("GASF", np.zeros((4, 4)))
    with pytest.raises(DataError, match=r"\(T, T\)"):
        fields.resize(np.zeros((4, 5)), 2)
