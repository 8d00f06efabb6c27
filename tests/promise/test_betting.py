from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrl.errors import InputError
from mrl.promise import estimate, lower_bound, most_allowed, needed, p_value, upper_bound
from mrl.promise.betting import BEYOND, BOLD, MOST_BETS, MOST_LOST, PRIOR

LAWS = {  # draws of losses, and their mean
    "coin": (lambda draws, n: draws.binomial(1, 0.5, n), 0.5),
    "rare": (lambda draws, n: draws.binomial(1, 0.01, n), 0.01),
    "often": (lambda draws, n: draws.binomial(1, 0.97, n), 0.97),
    "gaps": (lambda draws, n: draws.choice([0, 0.5, 1], n, p=[0.05, 0.9, 0.05]), 0.5),
    "beta": (lambda draws, n: draws.beta(2, 5, n), 2 / 7),
    "tiny": (lambda draws, n: draws.normal(0.5, 1e-3, n).clip(0, 1), 0.5),
    "skewed": (lambda draws, n: draws.choice([0.299, 1], n, p=[0.99, 0.01]), 0.299 * 0.99 + 0.01),
    "lucky": (lambda draws, n: draws.choice([0, 0.506], n, p=[0.01, 0.99]), 0.506 * 0.99),
}


def slow_p_value(losses, bound, aim):
    """The fortune itself, bet by bet."""
    n, fortune, best, goal = len(losses), 1.0, 1.0, 1 / aim
    shuffled = losses[np.random.default_rng(n).permutation(n)]
    bets = [group.mean() for group in np.split(shuffled, np.arange(1, min(n, MOST_BETS)) * n // min(n, MOST_BETS))]
    total = squares = 0.0
    for seen, value in enumerate(bets):
        variance = (PRIOR + max(squares - total**2 / max(seen, 1), 0)) / (seen + 1)
        share = BOLD * sqrt(2 * log(exp(BEYOND) * goal / fortune) / ((len(bets) - seen) * variance))
        fortune *= 1 + (bound - value) * (min(share, MOST_LOST / (1 - bound)) if bound < 1 else share)
        total, squares, best = total + value, squares + value**2, max(best, fortune)
        while best >= goal:
            goal /= aim
    return 1 / best


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [1, 2, 60, 700])
def test_it_agrees_with_the_slow_twin(law, n):
    draw, mean = LAWS[law]
    for seed, bound in enumerate((mean, mean + 0.02, 0.0, 1.0)[: 4 if n < 100 else 2]):  # the ends would overflow
        losses = draw(np.random.default_rng(seed), n).astype(float)
        np.testing.assert_allclose(p_value(losses, bound, 0.03), slow_p_value(losses, bound, 0.03), rtol=1e-6)


def test_many_values_are_bet_on_in_groups():
    losses = np.random.default_rng(0).beta(2, 5, 2 * MOST_BETS + 77)
    for bound in (0.284, 2 / 7, 0.288):
        np.testing.assert_allclose(p_value(losses, bound), slow_p_value(losses, bound, 0.05), rtol=1e-6)
    assert upper_bound(losses, 0.025) - losses.mean() < 3.5 * losses.std() / np.sqrt(len(losses))


def passes(law, n, repeats, aim):
    """p-values where the hypothesis is true, as barely as it can be."""
    draw, mean = LAWS[law]
    draws = np.random.default_rng(n)
    return np.array([p_value(draw(draws, n), mean, aim) for _ in range(repeats)])


def check_valid(law, n, repeats, aim):
    p = passes(law, n, repeats, aim)
    for alpha in (0.01, 0.05, 0.1, 0.3):
        assert (p <= alpha).sum() <= most_allowed(repeats, alpha), alpha


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("aim", [0.05, 0.3])
def test_a_true_hypothesis_is_seldom_rejected_at_any_level(law, n, aim):
    check_valid(law, n, 300, aim)


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [20, 50, 200, 1000, 2000])
@pytest.mark.parametrize("aim", [0.01, 0.05, 0.3])
def test_a_true_hypothesis_is_seldom_rejected_at_any_level_thoroughly(law, n, aim):
    check_valid(law, n, 10_000 if n < 1000 else 3000, aim)


@pytest.mark.parametrize("law", LAWS)
def test_the_bounds_are_seldom_wrong(law):
    draw, mean = LAWS[law]
    draws, repeats = np.random.default_rng(3), 150
    samples = [draw(draws, 150) for _ in range(repeats)]
    assert sum(lower_bound(values, 0.1) > mean for values in samples) <= most_allowed(repeats, 0.1)
    assert sum(upper_bound(values, 0.1) < mean for values in samples) <= most_allowed(repeats, 0.1)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("n", [1, 100, 5000])
def test_values_at_the_bound_prove_nothing(value, n):
    assert p_value(np.full(n, value), value) == 1
    assert p_value(np.full(n, value), max(value - 0.1, 0)) == 1


@pytest.mark.parametrize(
    ("losses", "bound", "n"),
    [
        (lambda draws, n: np.zeros(n), 0.05, 100),
        (lambda draws, n: np.full(n, 0.5), 0.505, 600),
        (lambda draws, n: draws.beta(2, 5, n), 2 / 7 + 0.07, 100),
        (lambda draws, n: draws.binomial(1, 0.01, n), 0.03, 1000),
        (lambda draws, n: draws.choice([0, 0.5, 1], n, p=[0.05, 0.9, 0.05]), 0.515, 1500),
    ],
)
def test_it_passes_clear_cases(losses, bound, n):
    """At least 36 of 40: the mean lies four standard errors below the bound, or there is no spread at all."""
    draws = np.random.default_rng(0)
    assert sum(p_value(losses(draws, n), bound) <= 0.05 for _ in range(40)) >= 36


@pytest.mark.parametrize("n", [200, 1000, 5000])
def test_the_bounds_are_nearly_those_of_the_normal_distribution(n):
    """Which are 1.96 standard errors from the mean, for those who know that the mean of so few is normal."""
    draws = np.random.default_rng(n)
    errors = []
    for _ in range(20):
        values = draws.beta(2, 2, n)
        errors.append((upper_bound(values, 0.025) - lower_bound(values, 0.025)) / (2 * values.std() / np.sqrt(n)))
    assert 1.6 < np.median(errors) < 2.6


unit = st.floats(0, 1, width=32)
losses = hnp.arrays(np.float64, st.integers(1, 60), elements=unit | st.sampled_from([0.0, 0.5, 1.0]))


@settings(max_examples=300)
@given(losses, unit, unit, st.floats(0.001, 0.5))
def test_a_larger_bound_is_never_harder_to_pass(values, one, other, aim):
    low, high = sorted((one, other))
    assert max(p_value(values, high, aim), aim) <= max(p_value(values, low, aim), aim) + 1e-9


@settings(max_examples=200)
@given(losses, unit, unit, st.floats(0.001, 0.5))
def test_smaller_losses_never_pass_less(values, shift, bound, aim):
    shift = min(shift, values.min())
    assert max(p_value(values - shift, bound, aim), aim) <= max(p_value(values, bound, aim), aim) + 1e-6


@settings(max_examples=60)
@given(losses, st.floats(0.001, 0.3))
def test_the_bounds_are_where_the_test_changes(values, alpha):
    high = upper_bound(values, alpha)
    assert 0 < high <= 1
    assert high == 1 or p_value(values, high, alpha) <= alpha
    below = high - 2**-20
    assert below == 0 or p_value(values, below, alpha) > alpha
    np.testing.assert_allclose(lower_bound(1 - values, alpha), 1 - high, atol=2e-6)


@settings(max_examples=60)
@given(losses)
def test_an_estimate_holds_its_mean(values):
    mean, low, high = estimate(values)
    assert mean == values.mean()
    assert 0 <= low <= mean <= high <= 1


def test_the_answer_does_not_hang_on_what_was_drawn_before():
    values = np.random.default_rng(0).random(200)
    first = p_value(values, 0.55)
    np.random.default_rng(0).random(7)
    assert p_value(values.astype(np.float64).copy(), 0.55) == first
    assert p_value(list(values), 0.55) == first


def test_every_level_may_be_aimed_at():
    values = np.random.default_rng(0).random(2000) / 2
    for aim in (1e-300, 1e-9, 0.5, 1 - 1e-12):
        assert 0 <= p_value(values, 0.4, aim) <= 1


def test_whole_numbers_and_booleans_are_losses():
    wrong = np.random.default_rng(0).random(400) < 0.05
    assert p_value(wrong, 0.1) == p_value(wrong.astype(int), 0.1) == p_value(wrong.astype(np.float32), 0.1)


@pytest.mark.parametrize(("law", "bound"), [("beta", 0.3), ("gaps", 0.51), ("coin", 0.54), ("tiny", 0.51)])
def test_as_many_as_needed_pass_about_four_times_in_five(law, bound):
    draw, _ = LAWS[law]
    draws = np.random.default_rng(1)
    enough = needed(draw(draws, 20_000), bound, 0.05)
    passed = [p_value(draw(draws, enough), bound) <= 0.05 for _ in range(100)]
    assert sum(passed) >= 60
    assert sum(p_value(draw(draws, enough // 3), bound) <= 0.05 for _ in range(100)) <= 65


@settings(max_examples=50)
@given(losses, unit)
def test_none_would_do_where_the_mean_is_no_lower(values, bound):
    assert (needed(values, bound, 0.05) is None) == (values.mean() >= bound)


@settings(max_examples=50)
@given(losses, unit)
def test_a_smaller_error_needs_more(values, bound):
    assume(values.mean() < bound)
    assert needed(values, bound, 0.01) >= needed(values, bound, 0.05)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5, np.nan], r"losses must lie in \[0, 1\], got nan at query 1; map them there first"),
        ([0.5, 1.5], "got 1.5 at query 1"),
        ([-0.1], "got -0.1 at query 0"),
        ([np.inf], "got inf at query 0"),
        ([], r"losses must be one number per query, got shape \(0,\); give at least one query"),
        ([[0.5]], r"got shape \(1, 1\)"),
    ],
)
def test_what_is_no_loss_is_refused(values, said):
    with pytest.raises(InputError, match=said):
        p_value(np.array(values), 0.5)
    for call in (upper_bound, lower_bound, estimate, lambda v, a: needed(v, 0.5, a)):
        with pytest.raises(InputError):
            call(np.array(values), 0.05)


@pytest.mark.parametrize("level", [0, 1, -0.1, np.nan])
def test_levels_lie_between_0_and_1(level):
    values = np.array([0.5])
    with pytest.raises(InputError, match="alpha must be > 0 and < 1, got"):
        upper_bound(values, level)
    with pytest.raises(InputError, match="alpha must be"):
        lower_bound(values, level)
    with pytest.raises(InputError, match="alpha must be"):
        needed(values, 0.5, level)
    with pytest.raises(InputError, match="the aim must be"):
        p_value(values, 0.5, level)
    with pytest.raises(InputError, match="the confidence must be"):
        estimate(values, level)


@pytest.mark.parametrize("bound", [-0.1, 1.1, np.nan])
def test_the_bound_lies_in_the_unit_interval(bound):
    with pytest.raises(InputError, match="the bound must be ≥ 0 and ≤ 1, got"):
        p_value(np.array([0.5]), bound)
