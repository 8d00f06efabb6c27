import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrl.errors import InputError
from mrl.promise import difference, estimate, fixed_sequence, gap, gap_bound, most_allowed, p_value, split, wrong_share

levels = st.floats(0, 1)
values = hnp.arrays(np.float64, 12, elements=st.floats(0, 1, width=16))


@given(st.lists(levels), st.floats(0.01, 0.99))
def test_the_sequence_stops_at_the_first_that_does_not_pass(p_values, alpha):
    passed = fixed_sequence(p_values, alpha)
    assert all(p <= alpha for p in p_values[:passed])
    assert passed == len(p_values) or p_values[passed] > alpha


def test_what_comes_after_a_failure_does_not_pass():
    assert fixed_sequence([0.01, 0.05, 0.2, 0.001], 0.05) == 2
    assert fixed_sequence([], 0.05) == 0


def test_only_chances_are_p_values():
    with pytest.raises(InputError, match="a p-value must be ≥ 0 and ≤ 1, got nan"):
        fixed_sequence([0.01, np.nan], 0.05)
    with pytest.raises(InputError, match="alpha must be > 0 and < 1, got 1"):
        fixed_sequence([0.01], 1)


@given(values, values, st.floats(0.001, 1))
def test_the_mean_gap_is_within_its_bound_where_the_loss_is_within_the_tolerance(full, candidate, tolerance):
    lost = gap(full, candidate)
    assert ((lost >= 0) & (lost <= 1)).all()
    np.testing.assert_allclose(2 * lost.mean() - 1, (full - candidate).mean(), atol=1e-12)
    np.testing.assert_allclose(
        lost.mean() - gap_bound(tolerance), ((full - candidate).mean() - tolerance) / 2, atol=1e-12
    )


@given(values, values)
def test_a_difference_turns_around(a, b):
    ahead, behind = difference(a, b), difference(b, a)
    np.testing.assert_allclose(ahead, (-behind.mean, -behind.high, -behind.low), atol=5e-6)
    assert -1 <= ahead.low <= ahead.mean <= ahead.high <= 1
    np.testing.assert_allclose(ahead, 2 * np.array(estimate((1 + a - b) / 2)) - 1, atol=1e-12)


def test_a_higher_confidence_is_wider():
    a, b = np.random.default_rng(0).random((2, 500))
    sure, surer = difference(a, b, 0.9), difference(a, b, 0.99)
    assert surer.low < sure.low < sure.high < surer.high


@pytest.mark.parametrize("tolerance", [0, -0.1, 1.1, np.nan])
def test_the_tolerance_is_a_share(tolerance):
    with pytest.raises(InputError, match="the tolerance must be > 0 and ≤ 1, got"):
        gap_bound(tolerance)


def test_only_pairs_have_a_gap():
    with pytest.raises(
        InputError, match=r"compared on the same queries and dims, got values of shapes \(3,\) and \(2,\)"
    ):
        gap(np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match=r"values must lie in \[0, 1\], got 2.0 at query 1"):
        gap(np.zeros(2), np.array([0.0, 2.0]))
    with pytest.raises(InputError, match="got nan at query 0"):
        difference(np.array([np.nan]), np.zeros(1))


@given(st.integers(40, 500), st.integers(0, 3))
def test_the_parts_never_meet_and_leave_none_out(n, seed):
    parts = split(n, seed)
    assert [len(part) for part in parts] == pytest.approx([0.3 * n, 0.4 * n, 0.3 * n], abs=1)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_the_seed_decides_the_parts():
    same, again, other = split(100, 0), split(100, 0), split(100, 1)
    assert all((a == b).all() for a, b in zip(same, again, strict=True))
    assert any((a != b).any() for a, b in zip(same, other, strict=True))
    assert [len(part) for part in split(100, 0, shares=(0.1, 0.8, 0.1))] == [10, 80, 10]


def test_too_few_queries_are_not_split():
    said = "30 queries leave 9, 12, 9 to tune, calibrate, report, and each part needs 10; give at least 34"
    with pytest.raises(InputError, match=said):
        split(30, 0)
    assert split(34, 0)
    with pytest.raises(InputError, match="give at least 100"):
        split(60, 0, shares=(0.1, 0.8, 0.1))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.3, 0.3, 0.3), (np.nan, 0.5, 0.5)])
def test_the_shares_make_a_whole(shares):
    with pytest.raises(InputError, match="the shares of tune, calibrate, report must be positive and add up to 1, got"):
        split(100, 0, shares)


@pytest.mark.parametrize(
    ("repeats", "alpha", "most"), [(200, 0.05, 21), (500, 0.10, 72), (1, 0.5, 1), (3, 1e-9, 0), (100_000, 0.3, 30_448)]
)
def test_the_most_that_chance_explains(repeats, alpha, most):
    assert most_allowed(repeats, alpha) == most


TOLERANCE = 0.05


@pytest.fixture(scope="module")
def ladder():
    """Losses of six candidates on a pool of 400 queries, safest first; the third is the first that loses too much."""
    draws = np.random.default_rng(0)
    hard = draws.random(400)
    return np.stack([hard < share for share in (0.01, 0.03, 0.056, 0.06, 0.2, 0.5)]).astype(float)


def by_the_sequence(losses):
    passed = fixed_sequence([p_value(each, TOLERANCE, 0.1) for each in losses], 0.1)
    return passed - 1 if passed else None


def by_the_means(losses):
    good = losses.mean(1) <= TOLERANCE
    return int(np.flatnonzero(good).max()) if good.any() else None


def test_a_choice_by_the_sequence_is_seldom_wrong(ladder):
    wrong = wrong_share(ladder, by_the_sequence, 200, bound=TOLERANCE)
    assert wrong <= most_allowed(200, 0.1) / 200


@pytest.mark.slow
@pytest.mark.parametrize("queries", [100, 400, 1500])
def test_a_choice_by_the_sequence_is_seldom_wrong_thoroughly(ladder, queries):
    for seed in range(5):
        wrong = wrong_share(ladder, by_the_sequence, 500, seed, bound=TOLERANCE, queries=queries)
        assert wrong <= most_allowed(500, 0.1) / 500


def test_a_choice_by_the_means_is_found_out(ladder):
    """So the test can fail."""
    assert wrong_share(ladder, by_the_means, 200, bound=TOLERANCE) > 2 * most_allowed(200, 0.1) / 200


def test_promising_nothing_is_never_wrong(ladder):
    assert wrong_share(ladder, lambda losses: None, 20, bound=TOLERANCE) == 0
    assert wrong_share(ladder, lambda losses: 5, 20, bound=TOLERANCE) == 1
    assert wrong_share(ladder, lambda losses: 0 if losses.shape == (6, 77) else 5, 20, bound=TOLERANCE, queries=77) == 0
