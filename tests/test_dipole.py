"""The synthetic heart: what each change must do to the leads, measured on a beat without noise."""

import numpy as np
import pytest
from scipy import signal as scipy_signal

from ecgcourse import dipole
from ecgcourse.records.ptbxl import LEADS

FS = 500
TIMES = np.arange(-0.5, 0.7, 1 / FS)


class Steady:
    """Stands in for a random generator: every draw is its middle."""

    def normal(self, middle, spread, *size):
        return middle


def beat(change=None, severity=1.0):
    """One beat's twelve leads as a dict of (T,) mV, R at time 0."""
    heart = dipole.Heart(dipole.normal_beat(), rate=60)
    if change:
        change(heart, severity)
    eight = heart.projection @ dipole.dipole(heart, np.array([0.0]), TIMES, Steady())
    return dict(zip(LEADS, dipole.twelve_leads(eight) / 1000, strict=True))


def between(lead, start, end):
    return lead[(TIMES >= start) & (TIMES < end)]


def qrs_width(leads):
    """Seconds during which any lead moves fast around R."""
    steep = np.max([np.abs(np.gradient(lead, 1 / FS)) for lead in leads.values()], axis=0)
    near = np.flatnonzero((steep > 8) & (np.abs(TIMES) < 0.15))
    return (near[-1] - near[0]) / FS


def test_a_normal_beat_looks_normal():
    leads = beat()
    assert between(leads["II"], -0.25, -0.08).max() > 0.05
    assert 0.6 < leads["II"].max() < 2
    assert between(leads["II"], 0.15, 0.45).max() > 0.15
    # R grows from V1 to V5 while S shrinks; aVR looks from the other side.
    assert leads["V1"].max() < leads["V3"].max() < leads["V5"].max()
    assert leads["V1"].min() < -0.4 < leads["V6"].min()
    assert leads["aVR"].min() < -0.5
    assert 0.05 < qrs_width(leads) < 0.11


def test_bundle_branch_blocks_widen_the_qrs_beyond_120_ms():
    assert qrs_width(beat(dipole.left_bundle_branch_block)) > 0.12
    assert qrs_width(beat(dipole.right_bundle_branch_block)) > 0.12


def test_right_bundle_branch_block_has_a_late_r_in_v1_and_a_late_s_in_one():
    leads = beat(dipole.right_bundle_branch_block)
    assert between(leads["V1"], 0.035, 0.10).max() > 0.4
    assert between(leads["I"], 0.035, 0.10).min() < -0.2


def test_left_bundle_branch_block_turns_t_against_the_qrs():
    leads = beat(dipole.left_bundle_branch_block)
    assert between(leads["V6"], -0.05, 0.1).max() > 0.8
    assert between(leads["V6"], 0.2, 0.45).min() < -0.1
    assert leads["V1"].min() < -1


def test_left_anterior_fascicular_block_turns_the_axis_to_the_left():
    def axis(leads):
        areas = [leads[name][np.abs(TIMES) < 0.06].sum() for name in ("I", "aVF")]
        return np.degrees(np.arctan2(areas[1], areas[0]))

    assert -30 <= axis(beat()) <= 90
    assert axis(beat(dipole.left_anterior_fascicular_block)) < -30


def test_first_degree_block_moves_p_and_nothing_else():
    normal, blocked = beat()["II"], beat(dipole.first_degree_av_block)["II"]
    moved = TIMES[np.argmax(between(normal, -0.5, -0.06))] - TIMES[np.argmax(between(blocked, -0.5, -0.06))]
    assert moved > 0.08
    np.testing.assert_allclose(between(normal, 0.1, 0.7), between(blocked, 0.1, 0.7), atol=0.002)


@pytest.mark.parametrize(
    ("infarct", "leads"),
    [
        (dipole.inferior_infarct, ("II", "III", "aVF")),
        (dipole.anterolateral_infarct, ("I", "aVL", "V5")),
        (dipole.anteroseptal_infarct, ("V1", "V2", "V3")),
    ],
)
def test_infarcts_show_q_and_raised_st_in_their_leads(infarct, leads):
    normal, ill = beat(), beat(infarct)
    for name in leads:
        assert between(ill[name], -0.07, -0.005).min() < between(normal[name], -0.07, -0.005).min() - 0.1, name
        assert between(ill[name], 0.09, 0.13).mean() > between(normal[name], 0.09, 0.13).mean() + 0.05, name


def test_ischaemia_lowers_st_and_turns_t():
    normal, ill = beat(), beat(dipole.ischaemia)
    for name in ("I", "II", "V5"):
        assert between(ill[name], 0.09, 0.13).mean() < between(normal[name], 0.09, 0.13).mean() - 0.05, name
        assert between(ill[name], 0.2, 0.45).min() < -0.1 < between(normal[name], 0.2, 0.45).min(), name


def test_flat_t_is_flat():
    assert np.ptp(between(beat(dipole.flat_t)["II"], 0.25, 0.45)) < 0.3 * np.ptp(between(beat()["II"], 0.25, 0.45))


def test_left_hypertrophy_meets_the_sokolow_lyon_criterion():
    def sokolow_lyon(leads):
        return -leads["V1"].min() + max(leads["V5"].max(), leads["V6"].max())

    assert sokolow_lyon(beat()) < 3.5 < sokolow_lyon(beat(dipole.left_ventricular_hypertrophy))


def test_right_hypertrophy_has_a_tall_r_in_v1_and_a_deep_s_in_one():
    leads = beat(dipole.right_ventricular_hypertrophy)
    assert leads["V1"].max() > -leads["V1"].min()
    assert leads["I"].min() < -0.3


def test_severity_zero_changes_little():
    normal = np.stack(list(beat().values()))
    for changes in dipole.PATHOLOGIES.values():
        for change, _ in changes:
            if change is not dipole.first_degree_av_block:
                np.testing.assert_allclose(np.stack(list(beat(change, 0.0).values())), normal, atol=0.15)


def test_heart_rate_and_its_variability():
    rng = np.random.default_rng(0)
    heart = dipole.Heart(dipole.normal_beat(), rate=75)
    beats = np.diff(dipole.r_peaks(heart, 60, rng))
    assert 60 / beats.mean() == pytest.approx(75, rel=0.03)
    assert 0.005 < beats.std() < 0.08


def test_noise_has_wander_and_hum_at_its_frequencies():
    rng = np.random.default_rng(1)
    times = np.arange(30_000) / FS
    noise = dipole.electrode_noise(times, FS, rng)
    frequency, power = scipy_signal.welch(noise, FS, nperseg=8192)
    mean = power.mean(axis=0)

    def level(low, high):
        return mean[(frequency >= low) & (frequency <= high)].max()

    assert level(0, 0.5) > 100 * level(2, 5)
    assert level(49.5, 50.5) > 5 * level(52, 60)


def test_twelve_leads_by_hand():
    eight = np.zeros((8, 1))
    eight[6], eight[7] = 0.5004, 1.2
    one, two, three, avr, avl, avf = dipole.twelve_leads(eight)[:6, 0]
    assert (one, two, three, avr, avl, avf) == (500, 1200, 700, -850, -100, 950)
