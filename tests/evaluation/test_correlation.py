"""Correlations and their bootstrap against SciPy, one draw at a time."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.errors import InputError
from mrl.evaluation.correlation import Ties, paired_spearman, pearsons_r, resampled, spearmans_rho
from mrl.promise.bootstrap import DRAWS, counts, ends

REPETITIONS, PAIRS = 100, 100
FEWEST, MOST = 87, 100  # of 100 at 95 %: the binomial's 0.1 % and 99.9 % quantiles

values = st.lists(st.sampled_from([-1.0, 0.0, 0.1, 0.5, 3.0]), min_size=2, max_size=9)
pairs = st.integers(2, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.sampled_from([-2.0, 0.0, 0.1, 0.3, 1e6]), min_size=n, max_size=n)] * 2)
)


def slow(how, x, y):
    """SciPy's, which says NaN where nothing varies; 0 here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = how(x, y).statistic
    return 0.0 if math.isnan(value) else value


@given(pairs)
def test_equal_scipys(both):
    x, y = both
    assert spearmans_rho(x, y) == pytest.approx(slow(scipy.stats.spearmanr, x, y), abs=1e-12)
    assert pearsons_r(x, y) == pytest.approx(slow(scipy.stats.pearsonr, x, y), abs=1e-9)


@given(values, st.data())
def test_ranks_of_a_draw_are_those_of_sorting_it(one, data):
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(one), max_size=len(one))), float)
    drawn = np.repeat(np.array(one), times.astype(int))
    ranks = Ties.of(np.array([one])).ranks(times[None, None])[0, 0]
    np.testing.assert_array_equal(np.repeat(ranks, times.astype(int)), scipy.stats.rankdata(drawn))


@settings(max_examples=10, deadline=None)
@given(pairs)
def test_every_draw_is_ranked_anew(both):
    x, y = map(np.array, both)
    rho, r = resampled(x, y, seed=3)
    assert rho.shape == r.shape == (DRAWS,)
    draws = np.random.default_rng(3)
    for draw in range(20):
        times = counts(draws, len(x)).astype(int)
        of_draw = np.repeat(x, times), np.repeat(y, times)
        assert rho[draw] == pytest.approx(slow(scipy.stats.spearmanr, *of_draw), abs=1e-12)
        assert r[draw] == pytest.approx(slow(scipy.stats.pearsonr, *of_draw), abs=1e-9)


def test_by_hand():
    assert spearmans_rho([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert spearmans_rho([1, 2, 3], [0.1, 7, 1e9]) == pytest.approx(1)
    assert spearmans_rho([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearmans_rho([5, 5, 5], [3, 2, 1]) == 0
    assert pearsons_r([0, 1, 2], [0, 2, 1]) == pytest.approx(0.5)
    assert spearmans_rho([[1, 2, 3], [3, 2, 1]], [1, 2, 3]).tolist() == pytest.approx([1, -1])


def bivariate(draws, r, n=PAIRS):
    x, noise = draws.normal(size=(2, n))
    return x, r * x + math.sqrt(1 - r * r) * noise


def test_the_interval_covers():
    """Spearman's ρ of a bivariate normal is 6/π · asin(r/2)."""
    draws, true = np.random.default_rng(0), 6 / math.pi * math.asin(0.8 / 2)
    covered = 0
    for _ in range(REPETITIONS):
        low, high = ends(resampled(*bivariate(draws, 0.8))[0])
        covered += bool(low <= true <= high)
    assert FEWEST <= covered <= MOST


def test_two_systems_are_paired():
    """What both share cancels: the interval of the difference is far narrower than that of either."""
    draws = np.random.default_rng(0)
    gold, first = bivariate(draws, 0.8, 1000)
    second = first + draws.normal(size=1000) / 5
    lead = paired_spearman(first, second, gold)
    assert lead.mean == pytest.approx(spearmans_rho(first, gold) - spearmans_rho(second, gold))
    assert lead.low < lead.mean < lead.high
    alone = ends(resampled(first, gold)[0])
    assert lead.high - lead.low < (alone[1] - alone[0]) / 2
    nobody = paired_spearman(np.stack([first, second]), np.stack([first, second]), gold)
    assert nobody.low.tolist() == nobody.high.tolist() == [0, 0]
    with pytest.raises(InputError, match=r"two systems are compared on the same queries.* shapes \(9,\) and \(8,\)"):
        paired_spearman(first[:9], second[:8], gold[:9])
