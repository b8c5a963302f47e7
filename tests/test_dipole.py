"""The synthetic heart: what each change must do to the leads, measured on a beat without noise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal as scipy_signal

from ecgcourse import artifacts, dipole, pathologies
from ecgcourse.records.ptbxl import LEADS

FS = 500
TIMES = np.arange(-0.5, 0.7, 1 / FS)


class Steady:
    """Stands in for a random generator: every draw is its middle."""

    def normal(self, middle, spread, *size):
        return np.full(size[0], float(middle)) if size else middle

    def uniform(self, low, high, *size):
        return (low + high) / 2


def beat(change=None, severity=1.0):
    """One beat's twelve leads as a dict of (T,) mV, R at time 0."""
    heart = dipole.Heart(dipole.normal_beat(), rate=60)
    if change:
        change(heart, severity)
    eight = heart.projection @ dipole.dipole(heart, [dipole.Beat(0.0, False)], TIMES, Steady())
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
    assert qrs_width(beat(pathologies.left_bundle_branch_block)) > 0.12
    assert qrs_width(beat(pathologies.right_bundle_branch_block)) > 0.12


def test_right_bundle_branch_block_has_a_late_r_in_v1_and_a_late_s_in_one():
    leads = beat(pathologies.right_bundle_branch_block)
    assert between(leads["V1"], 0.035, 0.10).max() > 0.4
    assert between(leads["I"], 0.035, 0.10).min() < -0.2


def test_left_bundle_branch_block_turns_t_against_the_qrs():
    leads = beat(pathologies.left_bundle_branch_block)
    assert between(leads["V6"], -0.05, 0.1).max() > 0.8
    assert between(leads["V6"], 0.2, 0.45).min() < -0.1
    assert leads["V1"].min() < -1


def test_left_anterior_fascicular_block_turns_the_axis_to_the_left():
    def axis(leads):
        areas = [leads[name][np.abs(TIMES) < 0.06].sum() for name in ("I", "aVF")]
        return np.degrees(np.arctan2(areas[1], areas[0]))

    assert -30 <= axis(beat()) <= 90
    assert axis(beat(pathologies.left_anterior_fascicular_block)) < -30


def test_first_degree_block_moves_p_and_nothing_else():
    normal, blocked = beat()["II"], beat(pathologies.first_degree_av_block)["II"]
    moved = TIMES[np.argmax(between(normal, -0.5, -0.06))] - TIMES[np.argmax(between(blocked, -0.5, -0.06))]
    assert moved > 0.08
    np.testing.assert_allclose(between(normal, 0.1, 0.7), between(blocked, 0.1, 0.7), atol=0.002)


@pytest.mark.parametrize(
    ("infarct", "leads"),
    [
        (pathologies.inferior_infarct, ("II", "III", "aVF")),
        (pathologies.anterolateral_infarct, ("I", "aVL", "V5")),
        (pathologies.anteroseptal_infarct, ("V1", "V2", "V3")),
    ],
)
def test_infarcts_show_q_and_raised_st_in_their_leads(infarct, leads):
    normal, ill = beat(), beat(infarct)
    for name in leads:
        assert between(ill[name], -0.07, -0.005).min() < between(normal[name], -0.07, -0.005).min() - 0.1, name
        assert between(ill[name], 0.09, 0.13).mean() > between(normal[name], 0.09, 0.13).mean() + 0.05, name


def test_ischemia_lowers_st_and_turns_t():
    normal, ill = beat(), beat(pathologies.ischemia)
    for name in ("I", "II", "V5"):
        assert between(ill[name], 0.09, 0.13).mean() < between(normal[name], 0.09, 0.13).mean() - 0.05, name
        assert between(ill[name], 0.2, 0.45).min() < -0.1 < between(normal[name], 0.2, 0.45).min(), name


def test_flat_t_is_flat():
    assert np.ptp(between(beat(pathologies.flat_t)["II"], 0.25, 0.45)) < 0.3 * np.ptp(between(beat()["II"], 0.25, 0.45))


def test_left_hypertrophy_meets_the_sokolow_lyon_criterion():
    def sokolow_lyon(leads):
        return -leads["V1"].min() + max(leads["V5"].max(), leads["V6"].max())

    assert sokolow_lyon(beat()) < 3.5 < sokolow_lyon(beat(pathologies.left_ventricular_hypertrophy))


def test_right_hypertrophy_has_a_tall_r_in_v1_and_a_deep_s_in_one():
    leads = beat(pathologies.right_ventricular_hypertrophy)
    assert leads["V1"].max() > -leads["V1"].min()
    assert leads["I"].min() < -0.3


def test_a_share_of_a_disease_moves_each_wave_by_its_own_share():
    heart = dipole.Heart(dipole.normal_beat(), rate=60)
    pathologies.afflict(heart, pathologies.inferior_infarct, {"old Q": 0.5, "R": 1.0, "ST": 0.0, "T": 2.0}.get)
    np.testing.assert_allclose(heart.waves["old Q"].vector, [0.025, -0.40, 0.0])
    np.testing.assert_allclose(heart.waves["R"].vector, [1.05, 0.425, 0.25])
    np.testing.assert_allclose(heart.waves["ST"].vector, dipole.normal_beat()["ST"].vector)
    np.testing.assert_allclose(heart.waves["T"].vector, [0.27, 0.24 - 0.90, -0.17])
    np.testing.assert_allclose(heart.waves["P"].vector, dipole.normal_beat()["P"].vector)


def test_heart_rate_and_its_variability():
    rng = np.random.default_rng(0)
    heart = dipole.Heart(dipole.normal_beat(), rate=75)
    steady, fibrillating = (
        np.diff([beat.time for beat in dipole.beats(one, 60, rng)]) for one in (heart, replace(heart, fibrillates=True))
    )
    assert 60 / steady.mean() == pytest.approx(75, rel=0.03)
    assert 0.005 < steady.std() < 0.08 < fibrillating.std()


def test_an_ectopic_beat_comes_early_wide_and_is_followed_by_a_pause():
    rng = np.random.default_rng(0)
    found = dipole.beats(dipole.Heart(dipole.normal_beat(), rate=75, ectopy=0.2), 60, rng)
    early = [k for k, beat in enumerate(found) if beat.ectopic and k]
    assert early
    for k in early:
        before, after = found[k].time - found[k - 1].time, found[k + 1].time - found[k].time
        assert before < 0.7 < after and before + after == pytest.approx(1.6, rel=0.1)


def test_noise_has_wander_and_hum_at_its_frequencies():
    rng = np.random.default_rng(1)
    times = np.arange(30_000) / FS
    noise = artifacts.electrode_noise(times, FS, artifacts.Disturbances(wander=0.05, muscle=0.02, hum=0.015), rng)
    frequency, power = scipy_signal.welch(noise, FS, nperseg=8192)
    mean = power.mean(axis=0)

    def level(low, high):
        return mean[(frequency >= low) & (frequency <= high)].max()

    assert level(0, 0.5) > 100 * level(2, 5)
    assert level(49.5, 50.5) > 5 * level(52, 60)


def test_muscle_noise_has_the_amplitude_asked_for_and_bursts_where_asked():
    times = np.arange(5000) / FS
    how = artifacts.Disturbances(wander=0, muscle=0.02, hum=0, burst=(4.0, 6.0))
    noise = artifacts.electrode_noise(times, FS, how, np.random.default_rng(2))
    inside = (times >= 4) & (times < 6)
    assert noise[:, ~inside].std() == pytest.approx(0.02, rel=0.1)
    assert noise[:, inside].std() == pytest.approx(0.12, rel=0.1)


def test_an_electrode_shows_in_the_leads_that_use_it():
    of = dict(zip(artifacts.ELECTRODES, artifacts.to_leads(np.eye(9)).T, strict=True))
    third = np.full(6, -1 / 3)
    np.testing.assert_allclose(of["RA"], [*third, -1, -1])
    np.testing.assert_allclose(of["LA"], [*third, 1, 0])
    np.testing.assert_allclose(of["LL"], [*third, 0, 1])
    np.testing.assert_allclose(of["V3"], np.eye(8)[2])


def test_twelve_leads_by_hand():
    eight = np.zeros((8, 1))
    eight[6], eight[7] = 0.5004, 1.2
    one, two, three, avr, avl, avf = dipole.twelve_leads(eight)[:6, 0]
    assert (one, two, three, avr, avl, avf) == (500, 1200, 700, -850, -100, 950)


@pytest.mark.parametrize("n_times", [1, 7, 5000])
def test_sines_by_the_sum_of_angles_are_sines(n_times):
    rng = np.random.default_rng(0)
    times, phases = 3 + np.arange(n_times) / 500, rng.uniform(0, 6, (9, 1))
    for frequencies in (50.01, rng.uniform(0.05, 0.45, (9, 1))):
        found = artifacts._sines(frequencies, phases, times)
        np.testing.assert_allclose(found, np.sin(2 * np.pi * frequencies * times + phases), rtol=0, atol=1e-11)
