"""The quizzes' records: what is called true of them is what can be measured on them."""

import numpy as np
import pytest
from scipy.signal import find_peaks, welch
from sklearn.metrics import brier_score_loss

from ecgcourse import practice, ptbxl, quizzes
from ecgcourse.course.exercises import part1, part2, part3, part4


@pytest.mark.parametrize("ecg_id", [part1.WIDE, part1.TURNED, part2.PLOTTED, *part2.ECGS.values()])
def test_measures_are_those_of_the_recorded_curve(ecg_id):
    x = quizzes.record(ecg_id)
    # The steepest second differences are those of the QRS complexes.
    sharp = np.abs(np.diff(x, 2)).sum(axis=0)
    peaks, _ = find_peaks(np.convolve(sharp, np.ones(9), "same"), distance=50, prominence=sharp.max())
    found = quizzes.measures(ecg_id)
    assert 60 / (np.diff(peaks).mean() / 100) == pytest.approx(found["rate"], rel=0.05)
    if ecg_id == part1.TURNED:
        tips = [peak - 6 + x[0, peak - 6 : peak + 7].argmax() for peak in peaks[1:-1]]
        beats = np.median([x[:2, tip - 8 : tip + 10] for tip in tips], axis=0)
        one, two = (beats - beats[:, :2].mean(axis=1, keepdims=True)).mean(axis=1)
        assert np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one)) == pytest.approx(found["axis"], abs=12)


def test_what_the_quiz_of_part_one_shows_is_plain():
    """The wide complex is wide, the turned axis is turned, and each heart has one class."""
    assert quizzes.measures(part1.WIDE)["QRS"] > 0.14 and quizzes.measures(part1.TURNED)["axis"] < -40
    assert sorted(part1.classes().values()) == ["CD", "MI", "NORM", "STTC"]
    assert (quizzes.truth().loc[list(part1.LETTERS.values())].sum(axis=1) <= 1).all()
    by_kind = {kind: quizzes.filtered(64)[letter] for letter, kind in quizzes.FILTERED.items()}
    peaks, _ = find_peaks(by_kind["raw"], height=0.5, distance=50)
    # Between T and P a level lead stays level; behind the causal filter it climbs.
    levels = {kind: np.median([x[p + 53] - x[p + 42] for p in peaks[1:-1]]) for kind, x in by_kind.items()}
    assert levels["causal"] > max(levels["raw"], levels["zero-phase"]) + 0.04


def test_triplets_can_be_told_apart_by_their_rates():
    rates = sorted(quizzes.measures(ecg_id)["rate"] for ecg_id in part2.ECGS.values())
    assert np.diff(rates).min() > 8
    assert sorted(part2.TRIPLETS.values()) == sorted(part2.ECGS)


def test_the_model_that_is_too_sure_has_the_larger_brier_score():
    scores = {
        name: brier_score_loss(each.y_true[:, 0], each.y_prob[:, 0]) for name, each in quizzes.two_models().items()
    }
    assert f"model {part3.too_sure()}" == max(scores, key=scores.get)
    extreme = {name: (np.abs(each.y_prob - 0.5) > 0.45).mean() for name, each in quizzes.two_models().items()}
    assert extreme["model B"] > 0.5 > extreme["model A"]


def test_the_shortcut_is_where_the_railway_hums():
    frequency, density = quizzes.with_shortcut()
    ratio = density["MI"] / density["others"] * (frequency > 10)
    assert frequency[ratio.argmax()] == pytest.approx(50 / 3, abs=0.1)


def test_a_split_by_beats_has_the_same_patients_on_both_sides():
    by_beats, by_patients = (np.median(quizzes.nearest()[split]) for split in ("beats", "patients"))
    assert by_beats < by_patients / 2
    assert part4.SPLITS[part4.leaking()] == "beats"


def test_the_signs_of_the_map_are_the_generators():
    signs = practice.signs(quizzes.root(), [part4.RECORD], part4.SUPERCLASS)[0, ptbxl.LEADS.index(part4.LEAD)]
    found = quizzes.maps(part4.RECORD, part4.SUPERCLASS, part4.LEAD)
    np.testing.assert_allclose(found["signs"], np.abs(signs) / np.abs(signs).max())
    assert quizzes.truth().loc[part4.RECORD].to_dict() == {"MI": False, "STTC": True, "CD": False, "HYP": False}
    steep = np.abs(np.gradient(quizzes.record(part4.RECORD)[ptbxl.LEADS.index(part4.LEAD)]))
    # What the disease changed isn't where the curve is steepest.
    assert found["signs"][steep > 0.5 * steep.max()].mean() < 0.1


def test_the_filter_of_the_other_hospital_shows_in_its_spectrum():
    frequency, density = quizzes.two_hospitals()
    share = {name: each[(frequency > 80) & (frequency < 120)].mean() for name, each in density.items()}
    assert share["B"] < share["A"] / 1.5
    x = ptbxl.read_signals(quizzes.root(), ptbxl.read_table(quizzes.root()).iloc[:20], sampling_rate=500)[:, 1]
    np.testing.assert_allclose(density["A"], np.median(welch(x, 500, nperseg=2000)[1], axis=0))
