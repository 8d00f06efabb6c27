import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrl.promise.bootstrap import Z, bootstrap, interval, wilson

REPETITIONS, QUERIES = 300, 200
FEWEST, MOST = 272, 295  # of 300 at 95 %: the binomial's 0.1 % and 99.9 % quantiles


def slow_wilson(hits, n):
    """The two p for which the normal test of p just fails: (hits/n − p)² = z² p (1 − p) / n, solved for p."""
    a, b, c = n + Z**2, -(2 * hits + Z**2), hits**2 / n
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@given(st.integers(1, 10**6), st.data())
def test_wilson_solves_its_equation(n, data):
    hits = data.draw(st.integers(0, n))
    low, high = wilson(np.array(hits / n), n)
    np.testing.assert_allclose((low, high), slow_wilson(hits, n), rtol=1e-6, atol=1e-9)
    assert 0 <= low <= hits / n <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0),
     (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_gives_the_published_values(hits, n, low, high):
    """The last four: Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    got = wilson(np.array(hits / n), n)
    np.testing.assert_allclose(got, (low, high), atol=5.1e-5)


def test_wilson_mirrors():
    share = np.linspace(0, 1, 11)
    low, high = wilson(share, 40)
    np.testing.assert_allclose(low, 1 - high[::-1], atol=1e-12)
    assert low[0] == 0
    assert high[-1] == 1


@pytest.mark.parametrize("p", [0.02, 0.3, 0.95])
def test_wilson_covers(p):
    hits = np.random.default_rng(7).binomial(QUERIES, p, size=4000)
    low, high = wilson(hits / QUERIES, QUERIES)
    assert 0.93 < np.mean((low <= p) & (p <= high)) < 0.97


def precisions(draws, shape):
    """Average precisions as they look: a share of zeros, a share of ones, the rest between; and their mean."""
    kind = draws.random(shape)
    values = np.where(kind < 0.2, 0.0, np.where(kind < 0.35, 1.0, draws.beta(2, 3, shape)))
    return values, 0.15 + 0.65 * 0.4


def betas(draws, shape):
    return draws.beta(2, 5, shape), 2 / 7


@pytest.mark.parametrize("law", [betas, precisions])
def test_the_bootstrap_covers_the_mean(law):
    draws, covered = np.random.default_rng(0), 0
    for seed in range(10):
        values, mean = law(draws, (REPETITIONS // 10, QUERIES))
        low, high = bootstrap(values, seed)
        covered += np.sum((low <= mean) & (mean <= high))
    assert FEWEST <= covered <= MOST


def test_the_bootstrap_has_the_width_of_the_normal_interval():
    values = np.random.default_rng(0).beta(2, 5, (20, 2000))
    low, high = bootstrap(values)
    error = values.std(-1) / np.sqrt(2000)
    np.testing.assert_allclose((high - low).mean(), 2 * Z * error.mean(), rtol=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0])
@pytest.mark.parametrize("n", [1, 7, 200])
def test_constant_values_leave_no_doubt(value, n):
    low, high = bootstrap(np.full((2, n), value))
    np.testing.assert_allclose(low, value, rtol=1e-14)
    np.testing.assert_allclose(high, value, rtol=1e-14)


unit_arrays = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), elements=st.floats(0, 1, width=16)
)


@settings(max_examples=50)
@given(unit_arrays)
def test_the_ends_lie_among_the_values_and_have_their_shape(values):
    low, high = bootstrap(values)
    assert low.shape == high.shape == values.shape[:-1]
    assert (low <= high).all()
    assert (low >= values.min(-1) - 1e-12).all()
    assert (high <= values.max(-1) + 1e-12).all()


@settings(max_examples=25)
@given(unit_arrays)
def test_every_measure_is_resampled_alike(values):
    """So the interval of one does not depend on what else is measured, and differences stay paired."""
    low, high = bootstrap(values)
    alone = bootstrap(values.reshape(-1, values.shape[-1])[0])
    np.testing.assert_allclose((low.flat[0], high.flat[0]), alone, rtol=1e-12)
    shifted = bootstrap(values + 2)
    np.testing.assert_allclose(shifted, (low + 2, high + 2), rtol=1e-12)


def test_the_seed_decides():
    values = np.random.default_rng(0).random(50)
    assert bootstrap(values) == bootstrap(values, 0)
    assert bootstrap(values) != bootstrap(values, 1)


def test_the_interval_suits_the_values():
    answers, precise = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]), np.array([[0.0, 0.5, 1.0, 1.0]])
    low, high, name = interval(answers)
    assert name == "wilson"
    np.testing.assert_array_equal((low, high), wilson(np.array([0.5, 1.0]), 4))
    low, high, name = interval(precise)
    assert name == "bootstrap"
    np.testing.assert_array_equal((low, high), bootstrap(precise))
    assert interval(answers.astype(np.float32))[2] == "wilson"
