"""Search by need: the plan that the index was planned to have, and what is promised of its answer."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import InputError
from mrl.promise import Parts
from mrl.retrieval import HNSW, IVF, BuildSpec, Index, Plan, Stage, by_need
from mrl.retrieval.keeping import is_new
from mrl.retrieval.planner import Planned, Point, Terms
from mrl.retrieval.state import Coming
from retrieval import made

ROWS = 400
QUERIES = made.random(6, 16, 3)


def point(text, promised, ms, **more):
    plan = None if text is None else Plan.parse(text)
    quality = 1.0 if promised is None else min(promised + 0.01, 1)
    return Point(plan, quality, quality - 0.01, quality, promised, ms, 1e3 / ms, int(1e6 * ms), **more)


POINTS = (
    point("8:10,16:10", 0.9, 0.1),
    point("8:30/hnsw,16:10", None, 0.15, ready=False),
    point("8:40,16:10", 0.98, 0.2),
    point(None, 1.0, 5.0),
)
PLANNED = Planned(Terms(), "recall@10", POINTS, 2, None, ("told",), Parts(10, 80, 10), "rows", ROWS, "ab12")


@pytest.fixture
def index(tmp_path):
    payload = pa.table({"even": np.arange(ROWS) % 2 == 0})
    made_ = made.index(tmp_path / "i", made.random(ROWS, 16), (8, 16), payload=payload)
    made_.keep_planned(PLANNED)
    return made_


@pytest.mark.parametrize(
    ("need", "place"),
    [
        ({"recall": 0.9}, 0),
        ({"recall": 0.95}, 2),
        ({"recall": 1}, 3),
        ({"tolerance": 0}, 3),
        ({"tolerance": 0.02}, 2),
        ({"budget_ms": 0.3}, 2),
        ({"budget_ms": 0.1}, 0),
        ({"budget_bytes": 100_000}, 0),
        ({"budget_ms": 10, "budget_bytes": 250_000}, 2),
        ({"budget_ms": 10, "budget_bytes": None}, 3),
        ({"recall": np.float32(0.75)}, 0),
    ],
)
def test_a_need_is_answered_by_a_plan(index, need, place):
    plan = POINTS[place].plan
    for asked in (QUERIES[0], QUERIES):
        found, wanted = index.search(asked, **need), index.search(asked, plan=plan)
        assert found.plan == ("exact" if plan is None else str(plan))
        assert found.ids.tolist() == wanted.ids.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()
        assert bool(found.promise) == (plan is not None)
        assert found.notes == wanted.notes == ()


def test_what_is_promised_is_what_was_asked_for(index):
    said = index.search(QUERIES, recall=0.95).promise
    assert "8:40 → 16:10 loses at most 0.05 of recall@10 on average against the full width" in said
    assert index.search(QUERIES, budget_ms=0.3).promise == PLANNED.promise_for(POINTS[2]).sentence
    assert index.search(QUERIES, plan="8:40,16:10").promise == ""


def test_filters_are_not_promised(index):
    found = index.search(QUERIES, recall=0.95, where="even == true")
    assert found.promise == ""
    assert found.notes == (
        "the promise does not apply: the plan was measured without a filter; an exact search is exact with one",
    )
    exact = index.search(QUERIES, recall=1, where="even == true", k=3)
    assert (exact.plan, exact.promise, exact.notes) == ("exact", "", ())


def test_another_number_of_results_is_not_promised(index):
    found = index.search(QUERIES, 5, recall=0.95)
    assert found.ids.shape == (6, 5)
    assert found.notes == ("the promise does not apply: recall@10 was planned for, and 5 results were asked for",)
    assert found.promise == ""


@pytest.mark.parametrize(("k", "place"), [(10, 0), (11, 2), (40, 2), (41, 3), (ROWS + 1, 3)])
def test_a_plan_that_cannot_give_as_many_results_is_passed_over(index, k, place):
    plan = POINTS[place].plan
    for need in ({"recall": 0.9}, {"tolerance": 0.1}):
        found = index.search(QUERIES, k, **need)
        assert found.plan == ("exact" if plan is None else str(plan.at_k(k)))
        assert found.ids.tolist() == index.search(QUERIES, k, plan=plan).ids.tolist()
    with pytest.raises(
        InputError, match="no plan that is ready fits within 1 ms; the fastest and smallest, exact search, ta"
    ):
        index.search(QUERIES, 41, budget_ms=1)
    for wrong in (0, "a", True, [3]):
        with pytest.raises(InputError, match="k must be an integer of at least 1"):
            index.search(QUERIES, wrong, recall=0.9)


def test_nothing_that_gives_as_many_results(index):
    index.keep_planned(replace(PLANNED, points=POINTS[:3]))
    with pytest.raises(InputError, match="nothing that was planned gives k = 41 results; ask for fewer, or search ex"):
        index.search(QUERIES, 41, recall=0.9)


def test_a_need_is_answered_once_a_state(index):
    def answered():
        return by_need.answer(index.snapshot, {"recall": 0.95}, 10, filtered=False)

    known = answered()
    assert answered() is known
    assert by_need.answer(index.snapshot, {"recall": 0.95}, 10, filtered=True) is not known
    index.delete([3])
    assert answered() is not known
    index.search(QUERIES, recall=1)
    with pytest.raises(InputError, match="recall must be a number, got True"):
        index.search(QUERIES, recall=True)
    with pytest.raises(InputError, match=r"recall must be a number, got \[0\.9\]"):
        index.search(QUERIES, recall=[0.9])
    for place in range(3 * by_need.ANSWERS_KEPT):
        index.search(QUERIES, recall=0.1 + place / 1000)
    assert len(index.snapshot.answers) <= by_need.ANSWERS_KEPT


def test_changes_are_counted_whole(index):
    """Rows that come and rows that go, together; one in the place of another is one change."""
    payload = pa.table({"even": np.zeros(60, bool)})
    index.upsert(made.random(60, 16, 8), ids=np.arange(ROWS - 20, ROWS + 40), payload=payload)
    assert index.snapshot.contents.changes == 60
    coming = Coming(Index.open(index.path).snapshot)
    coming.add(made.random(60, 16, 9), np.arange(1000, 1060), payload)
    coming.doom(np.arange(30))
    coming.commit()
    assert index.refresh().snapshot.contents.changes == 150
    index.delete(np.arange(100, 110))
    assert index.snapshot.contents.changes == 160


def test_what_is_planned_is_for_the_rows_as_they_were(index):
    before = index.snapshot.contents.changes
    index.delete(np.arange(41))
    index.keep_planned(PLANNED, at=before)
    assert index.stale
    index.keep_planned(PLANNED)
    assert not index.stale


def test_the_engine_of_a_plan_goes_with_it_and_no_other(index):
    """One that the next plan names stays, and is still the plans'; one that somebody built stays always."""
    graph, lists, own = HNSW(4, 20), IVF(4), HNSW(8, 40)

    def keep(engine, built):
        plan = Plan((Stage(8, 40, engine=engine), Stage(16, 10)))
        points = (point("8:10,16:10", 0.9, 0.1), replace(point(None, 0.98, 0.2), plan=plan), POINTS[3])
        index.keep_planned(replace(PLANNED, points=points), built=built)
        assert index.search(QUERIES, recall=0.98).plan == str(plan)

    index.add_engine(8, own)
    for engine, kinds in ((graph, [graph, own]), (graph, [graph, own]), (lists, [lists, own])):
        new = is_new(index.snapshot.contents, 8, engine, "")
        assert new
        index.add_engine(8, engine)
        keep(engine, new)
        assert [each.kind for each in index.snapshot.contents.engines] == kinds
    keep(lists, built=False)
    assert len(index.snapshot.contents.engines) == 2
    assert not is_new(index.snapshot.contents, 8, own, "")
    keep(own, built=False)
    assert [each.kind for each in index.snapshot.contents.engines] == [own]
    index.keep_planned(PLANNED)
    assert [each.kind for each in Index.open(index.path).snapshot.contents.engines] == [own]
    assert index.verify() == []


@pytest.mark.parametrize("how", ["add", "delete", "upsert"])
def test_promises_go_stale_with_a_tenth_of_the_rows(index, how):
    def change(numbers):
        given = {"ids": numbers, "payload": pa.table({"even": numbers % 2 == 0})}
        if how == "delete":
            index.delete(numbers)
        else:
            getattr(index, how)(made.random(len(numbers), 16, 8), **given)

    numbers = np.arange(ROWS, ROWS + 41) if how == "add" else np.arange(41)
    change(numbers[:40])
    assert not index.stale
    assert index.search(QUERIES, recall=0.95).promise
    change(numbers[40:])
    assert index.stale
    found = Index.open(index.path).search(QUERIES, recall=0.95)
    assert found.promise == ""
    (note,) = found.notes
    assert note.startswith("the promise is stale: 41 rows were added, deleted or replaced since 400 were planned for;")
    assert note.endswith(f"plan again: mrl plan {index.path}")
    assert index.search(QUERIES, recall=1).notes == ()
    index.compact()
    assert index.stale
    index.keep_planned(PLANNED)
    assert not index.stale


def test_what_was_planned_stays_with_a_copy_and_goes_with_another_layout(index, tmp_path):
    assert index.planned == Index.open(index.path).planned == PLANNED
    copy = index.copy(tmp_path / "copy")
    assert copy.planned == PLANNED
    assert copy.search(QUERIES, recall=0.95).ids.tolist() == index.search(QUERIES, recall=0.95).ids.tolist()
    other = index.relayout(tmp_path / "other", BuildSpec(made.layout((4, 16))))
    narrow = index.migrate(tmp_path / "narrow", 8, untrained=True)
    assert (other.planned, narrow.planned, narrow.stale) == (None, None, False)
    with pytest.raises(InputError, match=f"{other.path} was not planned, so no plan is known to keep recall = 0.95"):
        other.search(QUERIES, recall=0.95)


def test_the_newest_takes_the_place_of_the_one_before(index):
    index.keep_planned(replace(PLANNED, sentences=("again",)))
    assert index.planned.sentences == ("again",)
    assert len(list(index.path.glob("*.planned.json"))) == 1
    assert index.verify() == []


@pytest.mark.parametrize(
    ("need", "said"),
    [
        ({"recall": 0.9, "tolerance": 0.1}, "a search is asked for a target or for a budget, got recall, tolerance;"),
        ({"recall": 0.9, "budget_ms": 1}, "a search is asked for a target or for a budget, got recall, budget_ms;"),
        ({"speed": 3}, "a search is asked for recall, tolerance, budget_ms, budget_bytes, got speed"),
        ({"recall": "much"}, "recall must be a number, got 'much'"),
        ({"budget_ms": True}, "budget_ms must be a number, got True"),
        ({"recall": 0.0}, "recall must be > 0 and ≤ 1, got 0.0; 0.95 asks for 95 of 100 rows"),
        ({"tolerance": 1}, "tolerance must be ≥ 0 and < 1, got 1; 0.02 allows two hundredths to be lost"),
        ({"budget_bytes": 0}, "budget_bytes must be > 0 and finite, got 0; give bytes of memory"),
        ({"recall": float("nan")}, "recall must be"),
        ({"budget_ms": 0.01}, r"fits within 0\.01 ms; the fastest and smallest, 8:10 → 16:10, takes 0\.1 ms"),
        ({"budget_bytes": 10}, "no plan that is ready fits within 10 bytes"),
        ({"recall": 0.9, "plan": "8:10"}, "a search is exact, by a plan, or by need, got plan, recall; leave all but"),
        ({"recall": 0.9, "exact": True}, "a search is exact, by a plan, or by need, got exact, recall; leave all but"),
        ({"budget_ms": None}, "there is no budget to keep within"),
    ],
)
def test_needs_that_cannot_be_answered_are_refused(index, need, said):
    with pytest.raises(InputError, match=said):
        index.search(QUERIES, **need)


def test_an_index_that_was_not_planned_says_so(tmp_path):
    index = made.index(tmp_path / "i", made.random(30, 16))
    assert (index.planned, index.stale) == (None, False)
    with pytest.raises(
        InputError, match=r"was not planned, so no plan is known to keep budget_ms = 3; plan it: mrl pl"
    ):
        index.search(QUERIES, budget_ms=3)
    with pytest.raises(InputError, match=r"recall must be a number, got '0\.9'"):
        index.search(QUERIES, recall="0.9")
