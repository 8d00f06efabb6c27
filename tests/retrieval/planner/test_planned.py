"""What was planned: asked by need, kept in a file, shown as a table."""

from dataclasses import replace

import numpy as np
import pytest

from mrl.errors import DamagedError, ExistsError, InputError
from mrl.promise import Parts, Promise
from mrl.retrieval import Plan
from mrl.retrieval.planner import Planned, Point, Terms
from mrl.retrieval.planner.planned import recorded
from mrl.retrieval.planner.points import frontier
from mrl.vectors.copies import digests


def point(plan, quality, promised, ms, **more):
    given = {"qps": 2000 / ms, "bytes": int(1e7 * ms), "build_s": 1.5, **more}
    text = None if plan is None else Plan.parse(plan)
    return Point(text, quality, quality - 0.004, min(quality + 0.003, 1.0), promised, ms, **given)


POINTS = (
    point("32:100,1024:10", 0.91, 0.89, 0.1),
    point("64:100/hnsw+ef=80,1024:10", 0.97, 0.951, 0.2, ready=False),
    point("64:100,1024:10", 0.985, 0.981, 0.4),
    point("pca:ab12,128:100,1024:10", 0.999, 0.992, 0.8, bytes=3_000_000),
    point(None, 1.0, 1.0, 6.0),
)
PLANNED = Planned(
    terms=Terms(),
    measure="recall@10",
    points=POINTS,
    pick=2,
    promise=None,
    sentences=("take it", "or leave it"),
    queries=Parts(200, 600, 200),
    data="products",
    rows=44_072,
    digest="ab12",
    about={"machine": "a small one", "versions": {"mrl": "1"}},
)


@pytest.mark.parametrize(
    ("recall", "place"), [(0.5, 0), (0.89, 0), (0.9, 2), (0.981, 2), (0.99, 3), (0.9999, 4), (1, 4)]
)
def test_the_cheapest_ready_point_that_keeps_a_recall(recall, place):
    assert PLANNED.at_recall(recall) is POINTS[place]
    assert PLANNED.at_tolerance(1 - recall) is POINTS[place]


def test_a_recall_that_nothing_ready_promises():
    short = replace(PLANNED, points=POINTS[:3], pick=2)
    with pytest.raises(InputError) as refusal:
        short.at_recall(0.99)
    assert str(refusal.value) == (
        "no plan that is ready promises recall@10 ≥ 0.99; the best promises 0.9810: 64:100 → 1024:10, 0.4 ms a query; "
        "ask for no more, or search exactly"
    )
    with pytest.raises(InputError, match=r"no plan that is ready promises anything, and recall@10 ≥ 0\.9 was asked"):
        replace(PLANNED, points=tuple(replace(each, promised=None) for each in POINTS)).at_recall(0.9)


def test_what_loses_nothing_is_the_exact_search_alone():
    """A plan of a judged measure may surely lose nothing, and its promise cannot say so."""
    judged = replace(PLANNED, terms=Terms(tolerance=0.02, measure="nDCG"), measure="nDCG@10")
    points = (replace(POINTS[0], promised=1.0), *POINTS[1:])
    assert replace(judged, points=points).at_tolerance(0) is points[4]
    assert replace(judged, points=points).at_tolerance(0.001) is points[0]
    assert replace(PLANNED, points=points).at_recall(1) is points[4]
    with pytest.raises(
        InputError, match=r"promises nDCG@10 within 0; the best promises within 0\.0190: 64:100 → 1024:1"
    ):
        replace(judged, points=POINTS[:3]).at_tolerance(0)


def test_a_recall_of_what_was_planned_for_another_measure():
    judged = replace(PLANNED, terms=Terms(tolerance=0.02, measure="nDCG"), measure="nDCG@10")
    with pytest.raises(InputError, match="this was planned for nDCG@10, so no recall is known; ask for a tolerance of"):
        judged.at_recall(0.98)
    assert judged.at_tolerance(0.02) is POINTS[2]


@pytest.mark.parametrize(
    ("budget", "place"),
    [
        ({"budget_ms": 0.1}, 0),
        ({"budget_ms": 0.3}, 0),
        ({"budget_ms": 0.5}, 2),
        ({"budget_ms": 60.0}, 4),
        ({"budget_bytes": 3e6}, 3),
        ({"budget_ms": 0.5, "budget_bytes": 3e6}, 0),
    ],
)
def test_the_best_ready_point_within_a_budget(budget, place):
    assert PLANNED.within(**budget) is POINTS[place]


def test_budgets_below_any_plan():
    with pytest.raises(InputError) as refusal:
        PLANNED.within(budget_ms=0.01, budget_bytes=500_000)
    assert str(refusal.value) == (
        "no plan that is ready fits within 0.01 ms and 500,000 bytes; the fastest and smallest, 32:100 → 1024:10, "
        "takes 0.1 ms and 1,000,000 bytes; give more"
    )
    two = (replace(POINTS[0], bytes=5_000_000), *POINTS[1:])
    with pytest.raises(
        InputError, match=r"the fastest, 32:100 → 1024:10, takes 0\.1 ms and 5,000,000 bytes, the small"
    ):
        replace(PLANNED, points=two).within(budget_ms=0.01)
    with pytest.raises(InputError, match="there is no budget to keep within; give budget_ms, budget_bytes or both"):
        PLANNED.within()
    with pytest.raises(
        InputError, match=r"budget_ms must be > 0 and finite, got 0\.0; give milliseconds for one query"
    ):
        PLANNED.within(budget_ms=0.0)
    with pytest.raises(InputError, match="no plan is ready, within 5 ms or without; build the index for these plans"):
        replace(PLANNED, points=tuple(replace(each, ready=False) for each in POINTS)).within(budget_ms=5)


def test_a_point_is_promised_at_the_level_that_was_asked():
    promise = PLANNED.promise_for(POINTS[2], 0.98)
    assert isinstance(promise, Promise)
    assert (promise.subject, promise.tolerance, promise.confidence) == ("64:100 → 1024:10", 0.02, 0.95)
    assert promise.lost == pytest.approx((0.015, 0.012, 0.019))
    assert (promise.data, promise.rows, promise.digest, promise.queries) == (
        "products",
        44_072,
        "ab12",
        (200, 600, 200),
    )
    assert PLANNED.promise_for(POINTS[2]).tolerance == pytest.approx(0.019)
    assert promise.calibrated is None
    assert PLANNED.promise_for(replace(POINTS[2], calibrated=0.013), 0.98).calibrated == 0.013


def test_what_is_not_kept_is_not_promised():
    assert PLANNED.promise_for(POINTS[2], 0.99) is None
    assert PLANNED.promise_for(POINTS[4], 0.99) is None  # the exact search needs none
    assert PLANNED.promise_for(replace(POINTS[2], promised=None)) is None


def test_it_goes_stale_as_its_promises_do():
    promise = PLANNED.promise_for(POINTS[2], 0.98)
    for rows, changed in [(44_072, 0), (40_000, 0), (39_000, 0), (44_072, 4_407), (44_072, 4_408), (60_000, 1)]:
        assert PLANNED.stale(rows, changed) == promise.stale(rows, changed)
    with pytest.raises(InputError, match="the number of rows now must be ≥ 0"):
        PLANNED.stale(-1)


def test_it_survives_a_file(tmp_path):
    whole = replace(PLANNED, promise=PLANNED.promise_for(POINTS[2], 0.98), held_out=True, threads=2, full=0.75)
    assert Planned.from_json(whole.to_json()) == whole
    whole.save(tmp_path / "plan.json")
    assert Planned.load(tmp_path / "plan.json") == whole
    with pytest.raises(ExistsError):
        whole.save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(text.replace("0.981", "0.991"))
    with pytest.raises(DamagedError):
        Planned.load(tmp_path / "plan.json")


@pytest.mark.parametrize("wrong", [{}, {"terms": 3}, {**PLANNED.to_json(), "colour": "red"}])
def test_what_is_nothing_planned(wrong):
    with pytest.raises(InputError, match=r"cannot read what was planned: .*give a file that `mrl plan --out` wrote"):
        Planned.from_json(wrong)


def test_points_stand_in_order():
    with pytest.raises(InputError, match="cheapest first"):
        replace(PLANNED, points=POINTS[::-1])
    with pytest.raises(InputError, match="cheapest first"):
        replace(PLANNED, points=(), pick=None)
    with pytest.raises(InputError, match="the pick is the place of one of 5 points, got 5"):
        replace(PLANNED, pick=5)


def test_the_queries_that_were_planned_with_are_known():
    mine = digests(np.arange(40, dtype=np.float32).reshape(20, 2))
    planned = replace(PLANNED, asked=recorded(np.repeat(mine[:15], 2)))
    assert len(planned.asked) == 15 * 8 * 4 / 3
    assert Planned.from_json(planned.to_json()).knows(mine).tolist() == [True] * 15 + [False] * 5
    assert not PLANNED.knows(mine).any()


def test_what_gives_as_many_results():
    assert PLANNED.giving(100) is PLANNED
    assert PLANNED.giving(101).points == POINTS[4:]
    assert PLANNED.giving(101).picked is None
    with pytest.raises(InputError, match="nothing that was planned gives k = 101 results; ask for fewer, or search"):
        replace(PLANNED, points=POINTS[:3]).giving(101)
    assert point("64:10", 0.9, None, 1.0).gives(10**6)


def test_a_frontier_has_what_is_ready_and_what_nothing_outdoes():
    """Of two that are the same one is left."""
    ready = [point("32:10", 0.9, 0.8, 1.0), point("32:12", 0.8, 0.7, 2.0), point(None, 1.0, 1.0, 9.0)]
    built = [("48:10", 0.85, 3.0), ("48:12", 0.95, 4.0), ("48:14", 0.95, 4.0), ("48:16", 0.94, 5.0), ("48:9", 0.7, 0.5)]
    others = [point(text, quality, None, ms, ready=False) for text, quality, ms in built]
    found = frontier([*others, *ready], "latency")
    assert [str(each) for each in found] == ["48:9", "32:10", "32:12", "48:12", "exact search"]


def test_what_was_planned_in_words_and_figures():
    assert str(PLANNED).splitlines() == ["take it", "or leave it", "", *PLANNED.table()]
    assert (PLANNED.picked, replace(PLANNED, pick=None).picked) == (POINTS[2], None)


@pytest.mark.parametrize(("objective", "cost"), [("latency", 0.4), ("bytes", 4_000_000), ("throughput", 1 / 5000)])
def test_costs_by_the_objective(objective, cost):
    assert POINTS[2].cost(objective) == pytest.approx(cost)
