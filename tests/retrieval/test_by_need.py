"""Search by need: the plan that the index was planned to have, and what is promised of its answer."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import InputError
from mrl.promise import Parts
from mrl.retrieval import BuildSpec, Index, Plan
from mrl.retrieval.planner import Planned, Point, Terms
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
        "the promise does not apply: the plan was measured without a filter; exact=True is exact with one",
    )
    exact = index.search(QUERIES, recall=1, where="even == true", k=3)
    assert (exact.plan, exact.promise, exact.notes) == ("exact", "", ())


def test_another_number_of_results_is_not_promised(index):
    found = index.search(QUERIES, 5, recall=0.95)
    assert found.ids.shape == (6, 5)
    assert found.notes == ("the promise does not apply: recall@10 was planned for, and 5 results were asked for",)
    assert found.promise == ""
    with pytest.raises(InputError, match="cannot give k = 41 results"):
        index.search(QUERIES, 41, recall=0.95)


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
        ({"recall": 0.0}, "recall must be > 0 and ≤ 1, got 0.0"),
        ({"recall": float("nan")}, "recall must be"),
        ({"budget_ms": 0.01}, r"no plan that is ready fits within 0\.01 ms; the fastest, 8:10 → 16:10, takes 0\.1 ms"),
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
