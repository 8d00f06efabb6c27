"""Times of the built index in the place of those of bare products: the order, the pick and what is said follow."""

from dataclasses import replace

import pytest

from mrl.promise import Parts
from mrl.retrieval import Plan
from mrl.retrieval.planner import Planned, Point, Terms
from mrl.retrieval.planner.timing import with_times

TERMS = Terms(recall=0.9)
SCAN, GRAPH = "32:10@int8", "16:20/hnsw → 32:10"
POINTS = (
    Point(Plan.parse(GRAPH), 0.95, 0.94, 0.96, 0.92, 0.1, 1000.0, 900),
    Point(Plan.parse(SCAN), 0.97, 0.96, 0.98, 0.95, 0.2, 900.0, 300),
    Point(None, 1.0, 1.0, 1.0, 1.0, 0.5, 500.0, 700),
)
SAID = (f"take {GRAPH}, 0.1 ms a query: recall@10 ≥ 0.9 with 95 % confidence; the exact search costs 0.5 ms a query",)


def planned(pick=0, terms=TERMS):
    found = Planned(terms, "recall@10", POINTS, pick, None, SAID, Parts(10, 80, 10), "rows", 100, "abc")
    return found if pick is None else replace(found, promise=found.promise_for(POINTS[pick], 0.9))


def test_what_costs_as_little_as_before_stays_the_pick():
    found = with_times(planned(), {"exact search": 0.8, SCAN: 0.9})
    assert [str(point) for point in found.points] == [GRAPH, "exact search", SCAN]
    assert (found.pick, found.promise) == (0, planned().promise)
    assert found.sentences == (SAID[0].replace("0.5 ms", "0.8 ms"),)
    assert with_times(planned(), {}) == planned()


def test_an_index_that_searches_exactly_in_less_is_searched_so():
    found = with_times(planned(), {"exact search": 0.05})
    assert (found.pick, found.promise, found.points[0].plan) == (None, None, None)
    assert found.sentences[-1] == (
        "as it was built, the index is searched cheaper otherwise: take exact search, 0.05 ms a query"
    )


def test_another_plan_may_be_cheaper_then():
    found = with_times(planned(), {SCAN: 0.03, "exact search": 0.4})
    assert str(found.picked) == SCAN == found.promise.subject
    assert found.promise.tolerance == 0.1
    assert found.sentences[-1].endswith(f"take {SCAN}, 0.03 ms a query")


@pytest.mark.parametrize("pick", [None, 0])
def test_a_pick_is_what_is_ready_and_keeps_the_terms(pick):
    whole = replace(
        planned(pick), points=(replace(POINTS[0], ready=False), replace(POINTS[1], promised=0.8), POINTS[2])
    )
    assert with_times(whole, {"exact search": 0.6}).picked is None


def test_bytes_are_what_they_were():
    points = tuple(sorted(POINTS, key=lambda point: point.bytes))
    whole = replace(planned(None), terms=Terms(recall=0.9, objective="bytes"), points=points, pick=0)
    found = with_times(whole, {"exact search": 0.01})
    assert (found.pick, found.points[1].ms, found.sentences) == (0, 0.01, whole.sentences)
