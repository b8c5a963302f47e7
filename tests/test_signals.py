import warnings

import numpy as np
import pytest
from scipy import signal as scipy_signal
from scipy import stats

from ecgcourse import ptbxl, signals
from ecgcourse.errors import DataError, EcgCourseWarning, SettingError


@pytest.fixture
def records(root):
    return ptbxl.read_signals(root, ptbxl.read_table(root).iloc[:8])


def test_bandpass_is_scipys_causal_butterworth(records):
    sections = scipy_signal.butter(2, [1, 45], "bandpass", fs=100, output="sos")
    np.testing.assert_array_equal(
        signals.bandpass(records, 100), scipy_signal.sosfilt(sections, records.astype(np.float64))
    )


def test_bandpass_without_phase_is_scipys_forward_backward_filter(records):
    sections = scipy_signal.butter(3, [0.5, 40], "bandpass", fs=100, output="sos")
    np.testing.assert_array_equal(
        signals.bandpass(records, 100, low=0.5, high=40, order=3, zero_phase=True),
        scipy_signal.sosfiltfilt(sections, records.astype(np.float64)),
    )


def test_bandpass_keeps_the_middle_and_stops_both_ends():
    t = np.arange(6000) / 100
    for frequency, gain in ((0.05, 0), (10, 1), (49.9, 0)):
        filtered = signals.bandpass(np.sin(2 * np.pi * frequency * t), 100)[2000:]
        assert np.sqrt(2 * np.mean(filtered**2)) == pytest.approx(gain, abs=0.05)


@pytest.mark.parametrize(
    "settings", [{"low": 0}, {"low": 50}, {"high": 50}, {"low": 20, "high": 10}, {"order": 0}, {"fs": 0}]
)
def test_bandpass_refuses_impossible_settings(settings):
    with pytest.raises(SettingError, match="bandpass"):
        signals.bandpass(np.zeros(1000), **{"fs": 100, **settings})


def test_bandpass_says_where_a_sample_is_missing():
    x = np.zeros((2, 3, 50))
    x[1, 2, 30] = np.nan
    with pytest.raises(DataError, match=r"\(1, 2, 30\)"):
        signals.bandpass(x, 100)


def test_zero_phase_needs_enough_samples():
    with pytest.raises(DataError, match="5 samples are too few"):
        signals.bandpass(np.zeros(5), 100, zero_phase=True)


def test_select_leads_takes_the_columns_of_the_method(records):
    np.testing.assert_array_equal(signals.select_leads(records), records[:, [0, 1, 7]])
    np.testing.assert_array_equal(signals.select_leads(records[0], ("V6", "aVR")), records[0][[11, 3]])


def test_select_leads_refuses_unknown_names_and_shapes(records):
    with pytest.raises(SettingError, match="V9"):
        signals.select_leads(records, ("I", "V9"))
    with pytest.raises(DataError, match="12"):
        signals.select_leads(records[:, :3])


def test_min_max_by_hand():
    np.testing.assert_allclose(signals.min_max(np.array([[1.0, 3.0, 2.0], [-1, 0, 3]])), [[0, 1, 0.5], [0, 0.25, 1]])


def test_min_max_makes_flat_leads_zero_and_warns_once():
    x = np.array([[2.0, 2, 2], [0, 1, 2], [0, 0, 0]])
    with pytest.warns(EcgCourseWarning, match="2 flat leads") as caught:
        scaled = signals.min_max(x)
    assert len(caught) == 1
    np.testing.assert_array_equal(scaled, [[0, 0, 0], [0, 0.5, 1], [0, 0, 0]])


def test_preprocess_is_its_three_steps(records):
    by_steps = signals.min_max(signals.bandpass(records[:, [0, 1, 7]], 100))
    x = signals.preprocess(records)
    assert x.dtype == np.float32 and x.shape == (len(records), 3, records.shape[-1])
    np.testing.assert_array_equal(x, by_steps.astype(np.float32))
    assert x.min() == 0 and x.max() == 1


def test_preprocess_takes_one_record_as_it_takes_many(records):
    np.testing.assert_array_equal(signals.preprocess(records[3]), signals.preprocess(records)[3])


def test_a_lead_that_rests_at_a_voltage_stays_flat(records):
    records[0, 1] = 0.7
    with pytest.warns(EcgCourseWarning, match="1 flat lead "):
        x = signals.preprocess(records[:1])
    assert not x[0, 1].any()
    assert x[0, 0].max() == 1


def test_preprocess_warns_of_nothing_else(records):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signals.preprocess(records)


def test_z_score_is_scipys(records):
    np.testing.assert_allclose(signals.z_score(records), stats.zscore(records.astype(np.float64), axis=-1), atol=1e-9)


def test_a_flat_lead_is_zeros_after_z_score():
    x = np.vstack([np.full(1000, 0.1), np.arange(1000)])
    with pytest.warns(EcgCourseWarning, match="1 flat lead "):
        scaled = signals.z_score(x)
    np.testing.assert_array_equal(scaled[0], 0)
    assert np.abs(scaled[1]).max() > 1


def test_one_scale_for_all_keeps_voltages_apart():
    x = np.array([[0.0, 1.25, -2.5, 5.0]])
    np.testing.assert_allclose(signals.fixed_scale(x), [[0.5, 0.75, 0, 1]])
    np.testing.assert_allclose(signals.fixed_scale(x, largest=10), [[0.5, 0.5625, 0.375, 0.75]])
    with pytest.raises(SettingError, match="largest"):
        signals.fixed_scale(x, largest=0)


def test_a_recipe_filters_chooses_and_scales(records):
    recipe = signals.SignalRecipe(("V5", "I"), "z_score")
    filtered = signals.bandpass(records[:, [10, 0]], 100)
    np.testing.assert_allclose(recipe.apply(records), stats.zscore(filtered, axis=-1), atol=1e-4)
    with pytest.raises(SettingError, match="scaling"):
        signals.preprocess(records, scaling="loud")
