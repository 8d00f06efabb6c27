"""From values to a pick: the order, what is promised at any level, and what is said where nothing can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.errors import InputError
from mrl.promise import fixed_sequence, gap, gap_bound, p_value
from mrl.retrieval.planner import Seen, Terms, selected, told
from mrl.retrieval.planner.selection import parts, promised, sequence

ALPHA = 0.05


def tenths(n, loss, seed):
    """(n,) recalls in tenths with about this mean loss."""
    return 1 - np.random.default_rng(seed).binomial(10, loss, n) / 10


def seen(*losses, n=1000, costs=None, full=None, values=None):
    """The exact search at cost 100 first, then candidates of falling cost."""
    full = np.ones(n) if full is None else full
    values = [tenths(n, loss, seed) for seed, loss in enumerate(losses)] if values is None else values
    costs = np.array([100.0, *(costs or range(len(values), 0, -1))])
    names = ("exact search", *(f"plan {place}" for place in range(1, len(values) + 1)))
    return Seen(full, np.stack([full, *values]), costs, names, 0)


def judged(*losses, n=1000):
    """A full width of mean 0.6, of which candidates lose so much, some queries gaining and more losing."""
    draws = np.random.default_rng(0)
    full = draws.beta(3, 2, n)
    return seen(full=full, values=[(full - draws.normal(loss, 0.05, n)).clip(0, 1) for loss in losses])


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.booleans(), st.lists(st.floats(0.001, 0.2), min_size=1, max_size=6))
def test_whatever_promises_a_level_is_what_passes_the_tests_of_that_level(seed, graded, losses):
    """The running least of the bounds is fixed-sequence testing at every level at once."""
    draws = np.random.default_rng(seed)
    n = 80
    full = draws.random(n) * 0.5 + 0.5 if graded else np.ones(n)
    values = [(full - draws.binomial(10, loss, n) / 10).clip(0, 1) for loss in losses]
    part = seen(full=full, values=values)
    order = [0, *(1 + draws.permutation(len(values))).tolist()]
    found = np.array(promised(part, order, ALPHA))
    for level in np.linspace(0.02, 0.995, 40):
        if (np.abs(found - level) < 1e-5).any():
            continue  # the bound is exact to a millionth
        bound = gap_bound(1 - level) if graded else 1 - level
        lost = [gap(full, part.values[c]) if graded else 1 - part.values[c] for c in order[1:]]
        assert (found >= level).sum() == 1 + fixed_sequence([p_value(each, bound, ALPHA) for each in lost], ALPHA)


def test_the_order_is_a_front_of_cost_and_of_what_is_likely_to_be_shown():
    part = seen(0.001, 0.05, 0.02, 0.1, 0.3, costs=[50, 40, 30, 20, 10])
    assert sequence(part, 600) == [0, 1, 3, 4, 5]  # plan 2 is outdone by plan 3


def test_what_fails_a_few_queries_badly_comes_after_what_loses_a_little_at_many():
    """Of nearly one mean loss: all or nothing at one query in a hundred, and a tenth at one in nine."""
    rare = 1.0 - (np.arange(1000) % 100 == 0)
    often = 1.0 - 0.1 * (np.arange(1000) % 9 == 0)
    assert sequence(seen(values=[often, rare], costs=[2, 1]), 600) == [0, 1, 2]
    assert sequence(seen(values=[rare, often], costs=[2, 1]), 600) == [0, 2]


def test_of_those_that_lose_nothing_some_dearer_ones_are_kept_beside_the_cheapest():
    part = seen(values=[np.ones(100)] * 6, n=100, costs=[50, 30, 12.6, 11, 10.5, 10])
    assert sequence(part, 60) == [0, 1, 2, 3, 6]


def test_what_costs_no_less_than_the_exact_search_is_not_tested():
    assert sequence(seen(0.0, 0.01, costs=[100, 120]), 600) == [0]


def test_the_cheapest_that_keeps_the_target_is_picked():
    found = selected(seen(0.001, 0.005, 0.012, 0.05), Terms(recall=0.98))
    assert found.outcome == "picked"
    assert found.pick == 3
    levels = [figure.promised for figure in found.figures]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == 1
    assert found.queries == (100, 800, 100)
    assert found.full == 1


def test_figures_are_those_of_the_report_part():
    all_of_it = seen(0.001, 0.05)
    found = selected(all_of_it, Terms(seed=3))
    report = parts(1000, 3)[2]
    for figure in found.figures:
        assert figure.quality.mean == pytest.approx(all_of_it.values[figure.number][report].mean())
        assert figure.quality.low <= figure.quality.mean <= figure.quality.high


def test_what_is_lost_of_a_judged_measure_is_paired():
    everything = judged(0.001, 0.03)
    found = selected(everything, Terms(tolerance=0.02, measure="nDCG"))
    assert (found.outcome, found.pick) == ("picked", 1)
    cheap = found.figures[2].quality
    assert cheap.high - cheap.low < 0.06  # of unpaired queries, 0.2 apart, it would be more
    assert found.full - cheap.mean == pytest.approx(0.03, abs=0.015)
    assert (
        "take plan 1, 2 ms a query: nDCG@10 within 0.02 with 95 % confidence"
        in told(found, everything, Terms(tolerance=0.02, measure="nDCG"))[0]
    )


def test_three_hundred_judged_queries_and_a_tolerance_of_a_hundredth_are_not_enough():
    terms, everything = Terms(tolerance=0.01, measure="nDCG"), judged(0.002, n=300)
    found = selected(everything, terms)
    assert (found.outcome, found.pick) == ("not enough queries", 0)
    assert found.step.enough > 300
    first, second = told(found, everything, terms)
    assert first.startswith(
        "nothing but the exact search is known to keep nDCG@10 within 0.01; the best that is promis"
    )
    assert second == (
        "not enough queries to tell whether plan 1, 1 ms a query, keeps nDCG@10 within 0.01: 300 judged queries; about "
        f"{found.step.enough:,} would do"
    )
    more = selected(judged(0.002, n=2 * found.step.enough), terms)
    assert more.outcome == "picked"


def test_a_target_that_nothing_reaches():
    terms, everything = Terms(recall=0.99), seen(0.05, 0.1)
    found = selected(everything, terms)
    assert (found.outcome, found.pick, found.step) == ("out of reach", 0, None)
    best = found.figures[1].promised
    assert 0 < found.least <= 1000
    assert told(found, everything, terms) == (
        f"nothing but the exact search reaches recall@10 ≥ 0.99; the best that is promised is recall@10 ≥ {best:.4f}: "
        "plan 1, 2 ms a query; the exact search costs 100 ms a query",
    )


def test_a_recall_that_so_few_queries_cannot_show():
    """About as many as the stakes need where nothing is lost: log(1/0.05) / 0.9 for each 1 − recall."""
    terms, everything = Terms(recall=0.9999), seen(0.05, n=60)
    found = selected(everything, terms)
    assert found.outcome == "out of reach"
    assert found.least * 0.8 == pytest.approx(1.2 * np.log(20) / (0.9 * 0.0001), rel=0.03)
    assert told(found, everything, terms)[1] == (
        "60 queries cannot show recall@10 ≥ 0.9999 of anything, even if nothing is lost; "
        f"about {found.least:,} would do"
    )
    terms, everything = Terms(tolerance=0.001, measure="nDCG"), judged(0.05, n=300)
    found = selected(everything, terms)
    assert found.least > 300
    assert told(found, everything, terms)[1].startswith("300 judged queries cannot show nDCG@10 within 0.001 of any")


def test_the_mean_on_the_queries_that_gave_the_promise_is_kept():
    all_of_it = seen(0.001, 0.05)
    found, calibrate = selected(all_of_it, Terms(seed=3)), parts(1000, 3)[1]
    for figure in found.figures:
        assert figure.calibrated == pytest.approx(1 - all_of_it.values[figure.number][calibrate].mean())
        assert figure.calibrated <= 1 - figure.promised


def test_where_nothing_may_be_lost_the_exact_search_is_taken():
    """Also where another is surely worth no less, as by judgements it may be."""
    full = np.full(1000, 0.5)
    everything = seen(full=full, values=[full + 0.4])
    terms = Terms(tolerance=0, measure="nDCG")
    found = selected(everything, terms)
    assert found.figures[1].promised == 1
    assert (found.pick, found.step, found.least) == (0, None, 0)


def test_a_recall_of_one_is_promised_by_the_exact_search_alone():
    everything = seen(values=[np.ones(1000)])
    found = selected(everything, Terms(recall=1.0))
    assert (found.outcome, found.pick) == ("out of reach", 0)


def test_nothing_is_cheaper_than_the_exact_search():
    everything = seen(0.01, costs=[200])
    found = selected(everything, Terms())
    assert (found.outcome, found.pick, len(found.figures)) == ("out of reach", 0, 1)
    assert told(found, everything, Terms()) == (
        "take the exact search, 100 ms a query: nothing that was measured is cheaper",
    )


def test_an_exact_search_that_finds_next_to_nothing():
    full = (np.arange(1000) % 100 == 0) * 1.0
    with pytest.raises(
        InputError, match=r"the exact search itself has nDCG@10 = 0\.0\d+, not surely more than the 0.02"
    ):
        selected(seen(full=full, values=[full * 0]), Terms(tolerance=0.02, measure="nDCG"))


def test_copies_of_a_query_count_once_by_their_mean():
    one = seen(0.01, 0.03, n=300)
    same = np.repeat(np.arange(300), 5)
    again = one.only(same)
    assert selected(again, Terms(recall=0.9), same) == selected(one, Terms(recall=0.9))


def test_fewer_than_fifty_queries():
    with pytest.raises(InputError, match="a plan's promise needs at least 50 queries, got 49; give more"):
        selected(seen(0.01, n=49), Terms())
    selected(seen(0.01, n=50), Terms())
    with pytest.raises(
        InputError, match="500 queries are only 20 different vectors, and a promise needs 50; give more"
    ):
        selected(seen(0.01, n=500), Terms(), np.arange(500) % 20)


def test_values_that_do_not_fit():
    with pytest.raises(InputError, match="measure each candidate at each query"):
        Seen(np.ones(5), np.ones((2, 4)), np.ones(2), ("a", "b"), 0)
    with pytest.raises(InputError, match="the exact search must be among the candidates"):
        Seen(np.ones(5), np.zeros((2, 5)), np.ones(2), ("a", "b"), 0)
