import json

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.promise import Gate, difference, gate, lower_bound, most_allowed


def systems(lead, n=1000, seed=0):
    """Values of ours and of two baselines on the same queries; ours leads PCA, the better one, by `lead`."""
    draws = np.random.default_rng(seed)
    hard = draws.beta(4, 3, n)
    pca, plain = (np.clip(hard - less + 0.1 * draws.normal(size=n), 0, 1) for less in (0.0, 0.1))
    return np.clip(hard + lead + 0.1 * draws.normal(size=n), 0, 1), {"truncation": plain, "PCA": pca}


def test_a_clear_lead_passes():
    ours, baselines = systems(0.05)
    found = gate(ours, baselines)
    assert found.passed
    assert found.better == "PCA"
    assert found.queries == 1000
    assert found.leads["PCA"] == difference(ours, baselines["PCA"])
    assert 0 < found.leads["PCA"].low < found.leads["PCA"].mean < found.leads["truncation"].low
    assert found.sentence.startswith("Over 1,000 queries, ours is ahead by 0.14")
    assert found.sentence.endswith(
        "It passes: the lead over PCA, the better baseline, is above 0 at the lower end too."
    )


def test_the_interval_is_that_of_the_mapped_lead():
    ours, baselines = systems(0.05)
    low = 2 * lower_bound((1 + ours - baselines["PCA"]) / 2, 0.025) - 1
    assert gate(ours, baselines).leads["PCA"].low == pytest.approx(low, abs=5e-6)


def test_a_lead_over_one_baseline_only_does_not_pass():
    ours, baselines = systems(-0.03)
    found = gate(ours, baselines)
    assert not found.passed
    assert found.leads["truncation"].low > 0
    assert found.enough is None
    assert found.sentence.endswith(
        "does not pass: its mean is no higher than that of PCA; more queries would not help."
    )


def test_too_few_queries_are_told_how_many_would_do():
    ours, baselines = systems(0.03, n=100)
    found = gate(ours, baselines)
    assert not found.passed
    assert 100 < found.enough < 2000
    assert "the interval of its lead over PCA holds 0. If the leads are what they seem, about " in found.sentence
    assert found.sentence.endswith(f"about {found.enough:,} queries would do.")
    assert gate(*systems(0.03, n=3 * found.enough)).passed


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_no_gain_at_all_does_not_pass(value):
    same = np.full(5000, value)
    found = gate(same, {"truncation": same, "PCA": same})
    assert not found.passed
    assert found.enough is None
    assert found.leads["PCA"].mean == 0


def wrong_passes(repeats, n, second):
    """Passes where ours and PCA differ by nothing but chance, and truncation is `second` worse."""
    passed = 0
    for seed in range(repeats):
        draws = np.random.default_rng(seed)
        ours, pca, plain = draws.binomial(10, [[0.5], [0.5], [0.5 - second]], (3, n)) / 10
        passed += gate(ours, {"truncation": plain, "PCA": pca}).passed
    return passed


@pytest.mark.parametrize("second", [0.0, 0.2])
def test_what_is_no_better_seldom_passes(second):
    """Also where the second baseline is far behind, so that all hangs on the first."""
    assert wrong_passes(200, 100, second) <= most_allowed(200, 0.025)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("second", [0.0, 0.2])
def test_what_is_no_better_seldom_passes_thoroughly(n, second):
    assert wrong_passes(2000, n, second) <= most_allowed(2000, 0.025)


def test_a_gate_survives_json():
    found = gate(*systems(0.01))
    assert Gate.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(InputError, match="cannot read a gate from"):
        Gate.from_json({"passed": True})
    with pytest.raises(InputError, match="cannot read a gate from"):
        Gate.from_json({**found.to_json(), "more": 1})
    with pytest.raises(InputError, match="cannot read a gate from"):
        Gate.from_json({**found.to_json(), "leads": {"PCA": [0, 1, 2]}})


def test_bad_input_is_refused():
    ours, baselines = systems(0.01)
    with pytest.raises(InputError, match="at least one baseline, got none; give the values of plain truncation"):
        gate(ours, {})
    with pytest.raises(InputError, match=r"got values of shapes \(1000,\) and \(999,\)"):
        gate(ours, {"PCA": baselines["PCA"][1:]})
    with pytest.raises(InputError, match=r"values must lie in \[0, 1\], got nan at query 0"):
        gate(np.full(1000, np.nan), baselines)
    with pytest.raises(InputError, match="give at least one query"):
        gate(np.zeros(0), {"PCA": np.zeros(0)})
    for confidence in (0.5, 0.2):
        with pytest.raises(InputError, match=f"the confidence must be above 0.5, got {confidence}"):
            gate(ours, baselines, confidence=confidence)
    with pytest.raises(InputError, match=r"the confidence must be > 0 and < 1, got 1\.0"):
        gate(ours, baselines, confidence=1.0)
