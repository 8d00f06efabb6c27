"""Thresholds: each level's is exact, all together hardly ever less than the best, and the path is safest first."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.classify.descent import NEAR, descended
from mrl.classify.gaining import coefficients
from mrl.classify.policies import GRID, greedy
from mrl.classify.thresholds import PRICES, SWEEPS, Bench, cautious, exits, path

INF = np.float32(np.inf)


def bench(n=7, levels=3, seed=0, kinds=5):
    """Few scores, so that there are ties, and losses of both signs."""
    draw = np.random.default_rng(seed)
    loss = draw.integers(-1, 2, (levels, n)).astype(float)
    loss[-1] = 0
    scores = draw.integers(0, kinds, (levels - 1, n)).astype(np.float32) / kinds
    return Bench(scores, loss, np.cumsum(draw.integers(1, 4, levels)).astype(float))


def stop(scores, thresholds):
    """The slow twin of `exits`, row by row."""
    found = []
    for row in scores.T:
        level = 0
        while level < len(thresholds) and not row[level] >= thresholds[level]:
            level += 1
        found.append(level)
    return np.array(found)


def worth(some, thresholds, price):
    """The slow twin of `Bench.worth`."""
    total = 0.0
    for row, level in enumerate(stop(some.scores, thresholds)):
        total += some.costs[level] / some.costs[-1] + price * some.loss[level, row]
    return total / some.scores.shape[1]


def brute(some, price):
    """The least there is."""
    cuts = [[*np.unique(row), INF] for row in some.scores]
    return min(worth(some, each, price) for each in product(*cuts))


SEEDS = st.integers(0, 10**6)


@given(SEEDS, st.integers(2, 5))
def test_rows_stop_at_the_first_level_whose_score_reaches_its_threshold(seed, levels):
    some, draw = bench(levels=levels, seed=seed), np.random.default_rng(seed)
    limits = draw.choice([0.0, 0.2, 0.5, 1.0, np.inf], levels - 1).astype(np.float32)
    np.testing.assert_array_equal(exits(some.scores, limits), stop(some.scores, limits))
    assert some.worth(limits, 1.5) == pytest.approx(worth(some, limits, 1.5))


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 10))
def test_one_threshold_is_the_best_there_is(seed, price):
    some = bench(levels=2, seed=seed)
    found = some.best(price, [np.array([INF])])
    assert worth(some, found, price) == pytest.approx(brute(some, price), abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 10), st.integers(3, 5))
def test_no_single_threshold_could_be_better(seed, price, levels):
    some = bench(9, levels, seed)
    found = some.best(price, [np.full(levels - 1, INF)])
    for level in range(levels - 1):
        for cut in (*np.unique(some.scores[level]), INF):
            other = found.copy()
            other[level] = cut
            assert worth(some, found, price) <= worth(some, other, price) + 1e-8


def test_descent_finds_what_brute_force_finds():
    """Not always, since a row that leaves early hides what it would be worth later; but in nine cases of ten."""
    met = 0
    for seed in range(100):
        some = bench(8, 4, seed)
        found, least = worth(some, some.best(2.0, [np.full(3, INF), np.full(3, 0, np.float32)]), 2.0), brute(some, 2.0)
        assert found >= least - 1e-8
        met += found <= least + 1e-8
    assert met >= 90


def test_thresholds_lie_halfway_between_rows_and_infinity_is_where_nobody_gains():
    some = Bench(np.array([[0.2, 0.8, 0.4]], np.float32), np.array([[1.0, 0, 0], [0, 0, 0]]), np.array([1.0, 2.0]))
    assert some.best(10.0, [np.array([INF])]) == np.float32(0.3)
    assert some.best(0.1, [np.array([INF])]) == np.float32(0.2 - NEAR)
    always = Bench(some.scores, np.array([[1.0, 1, 1], [0, 0, 0]]), some.costs)
    assert always.best(10.0, [np.array([INF])]) == INF


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_along_the_path_a_price_is_never_paid_without_saving_dims(seed):
    """The cost saved is worth at least the price of what is expected to be lost: nobody leaving costs 1 and loses 0."""
    draw = np.random.default_rng(seed)
    some = Bench(
        draw.random((3, 50), np.float32), draw.random((4, 50)) * [[1], [0.5], [0.2], [0]], np.array([1.0, 2, 4, 8])
    )
    points = path(some)
    for price, thresholds in zip(PRICES, points, strict=True):
        assert some.worth(thresholds, price) <= 1 + 1e-9
    stops = [exits(some.scores, each) for each in points]
    lost = np.array([some.loss[each, np.arange(50)].mean() for each in stops])
    assert lost[0] <= 1 / PRICES[0]
    costs = np.array([some.costs[each].mean() for each in stops])
    assert costs[-1] <= costs[0]


def test_the_order_of_rows_changes_nothing():
    draw = np.random.default_rng(3)
    scores, loss = draw.random((3, 80), np.float32), np.abs(draw.normal(size=(4, 80))) * [[1], [0.5], [0.2], [0]]
    mixed, costs = draw.permutation(80), np.array([1.0, 2, 4, 8])
    ours, theirs = path(Bench(scores, loss, costs)), path(Bench(scores[:, mixed], loss[:, mixed], costs))
    np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 5), st.floats(0, 10))
def test_the_compiled_descent_is_the_plain_one(seed, levels, price):
    compiled = pytest.importorskip("mrl.classify.descent_compiled")
    some = bench(12, levels, seed)
    for start in (np.full(levels - 1, INF), np.zeros(levels - 1, np.float32)):
        ours = descended(some.scores, some.order, some.values(price), start.copy(), SWEEPS)
        theirs = compiled.descended(some.scores, some.order, some.values(price), start.copy(), SWEEPS)
        np.testing.assert_array_equal(ours, theirs)


def test_cautious_thresholds_let_fewer_rows_leave_early_the_surest_first():
    draw = np.random.default_rng(5)
    some = Bench(draw.random((3, 400), np.float32), draw.random((4, 400)), np.array([1.0, 2, 4, 8]))
    least = np.array([0.5, 0.6, 0.7], np.float32)
    shares = [(exits(some.scores, each) < 3).mean() for each in (*cautious(some, least), least)]
    assert (np.diff(shares) > 0).all()
    assert shares[0] < 0.05
    first = exits(some.scores, cautious(some, least)[0]) == 0
    assert some.scores[0][first].min() > some.scores[0][~first].max()


# ------------------------------------------------------------------------------------------------ the others


def twin(probability, right):
    """The paper's policy in ten lines: thresholds by one level against the next."""
    found = []
    for level in range(len(right) - 1):
        best, kept = -1.0, None
        for threshold in GRID:
            hits = [right[level + (p < threshold)][i] for i, p in enumerate(probability[level])]
            if sum(hits) > best:
                best, kept = sum(hits), threshold
        found.append(float(kept))
    return tuple(found)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_greedy_is_its_twin(seed):
    draw = np.random.default_rng(seed)
    probability, right = draw.random((4, 30), np.float32), draw.integers(0, 2, (4, 30)).astype(float)
    assert greedy(probability, right).thresholds == twin(probability, right)


def test_the_regression_of_gain_is_least_squares_where_there_are_rows_enough_and_nothing_where_features_are_constant():
    draw = np.random.default_rng(0)
    x = np.concatenate([np.ones((20_000, 1)), draw.normal(size=(20_000, 3)), np.full((20_000, 1), 2.0)], axis=1)
    y = x @ [0.1, 0.5, -0.2, 0.0, 0.0] + 0.01 * draw.normal(size=20_000)
    np.testing.assert_allclose(coefficients(x.astype(np.float32), y), [0.1, 0.5, -0.2, 0, 0], atol=2e-3)
    assert coefficients(x[:3], np.ones(3)) == pytest.approx((1, 0, 0, 0, 0), abs=1e-9)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_no_cut_lies_between_scores_that_rounding_may_change(steps, seed):
    """Scores just below 1, a few units of the last digit apart."""
    draw = np.random.default_rng(seed)
    scores = (1 - np.float64(2.0**-24) * np.array(steps)).astype(np.float32)[None]
    some = Bench(scores, np.stack([draw.random(len(steps)), np.zeros(len(steps))]), np.array([1.0, 2.0]))
    for points in path(some), *(cautious(some, each)[None] for each in path(some)[:3]):
        cuts = points[np.isfinite(points)]
        assert (np.abs(cuts.astype(np.float64)[:, None] - scores[0]) > NEAR / 4).all()
