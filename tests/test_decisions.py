import itertools

import numpy as np
import pytest
from scipy.special import expit

from ecgcourse import decisions, metrics
from ecgcourse.errors import DataError, SettingError

RNG = np.random.default_rng(0)


def test_net_benefit_on_paper():
    y_true, y_prob = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.3, 0.6, 0.2, 0.1])
    found = decisions.net_benefit(y_true, y_prob, [0.2, 0.5])
    # From 0.2 on two true and two false positives of five, a false one at 1/4; from 0.5 on one of each, at 1.
    np.testing.assert_allclose(found["model"], [2 / 5 - 2 / 5 / 4, 1 / 5 - 1 / 5])
    np.testing.assert_allclose(found["all"], [2 / 5 - 3 / 5 / 4, 2 / 5 - 3 / 5])
    assert (found["none"] == 0).all()


def test_a_calibrated_model_is_never_worse_than_either_rule_and_who_knows_all_gains_the_prevalence():
    logits = RNG.normal(-1, 2, 200_000)
    y_true = (RNG.random(logits.size) < expit(logits)).astype(int)
    found = decisions.net_benefit(y_true, expit(logits))
    assert (found["model"] >= found[["all", "none"]].max(axis=1) - 0.002).all()
    perfect = decisions.net_benefit(y_true, y_true)
    np.testing.assert_allclose(perfect["model"], y_true.mean())


@pytest.mark.parametrize("costs", [(1, 1), (5, 1), (1, 20)])
def test_cost_thresholds_equal_trying_every_one(costs):
    y_true = RNG.integers(0, 2, (60, 3))
    y_prob = np.clip(RNG.normal(0.4 + 0.2 * y_true, 0.2), 0, 0.99).round(2)
    found = decisions.fit_cost_thresholds(y_true, y_prob, *costs)
    cheapest = decisions.cost(y_true, metrics.apply_thresholds(y_prob, found), *costs)
    for k, threshold in itertools.product(range(3), [*np.unique(y_prob), 1.0]):
        tried = decisions.cost(y_true, metrics.apply_thresholds(y_prob, threshold), *costs)[k]
        assert cheapest[k] <= tried + 1e-12
        assert tried > cheapest[k] + 1e-12 or threshold <= found[k]
    # By hand: a missed one costs the first, a false alarm the second.
    wrong = y_true - metrics.apply_thresholds(y_prob, found)
    np.testing.assert_allclose(cheapest, (costs[0] * (wrong == 1) + costs[1] * (wrong == -1)).mean(axis=0))


def test_the_threshold_of_calibrated_probabilities_follows_from_the_costs_alone():
    assert decisions.cost_threshold(4) == pytest.approx(1 / 5)
    p = RNG.random((400_000, 1))
    y_true = (RNG.random(p.shape) < p).astype(int)
    assert decisions.fit_cost_thresholds(y_true, p, 4)[0] == pytest.approx(1 / 5, abs=0.03)


def test_bad_input():
    with pytest.raises(SettingError, match="false_negative=0"):
        decisions.cost_threshold(0)
    with pytest.raises(DataError, match="between 0 and 1"):
        decisions.net_benefit([0, 1], [0.2, 0.3], [1.0])
    with pytest.raises(DataError, match="of one class"):
        decisions.net_benefit([[0, 1]], [[0.2, 0.3]])
