"""What was planned is kept for the rows that it was planned for, whatever happened to them meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from mrl.retrieval import BuildSpec, Index, Rows
from mrl.retrieval.keeping import Begun
from mrl.retrieval.planner import Recall, Terms, Truth, plan
from retrieval.planner.rows import card, clustered, held

ROWS, QUERIES = clustered(600, 24), clustered(150, 24, seed=1)
OTHERS = clustered(600, 24, seed=7)


@pytest.fixture(scope="module")
def draft():
    return plan(held(ROWS), held(QUERIES), Terms(recall=0.8))


@pytest.fixture(scope="module")
def scans():
    """What is planned needs no engine."""
    return plan(held(ROWS), held(QUERIES), Terms(recall=0.8, objective="bytes"))


@pytest.fixture
def index(draft, tmp_path):
    return Index.build(tmp_path / "i", Rows.of(ROWS, card(24)), BuildSpec(draft.layout(24)))


def recall(index, rows, plan):
    found = index.search(QUERIES, plan=plan).ids
    return Recall.of(Truth.of(QUERIES, rows, 10, "cosine")).values(found, np.arange(len(QUERIES))).mean()


def built(draft, index, begun):
    """What was said to be done while the plan was added."""
    said = []
    draft.add(index, begun, lambda what, done, of: said.append(what))
    return said


def test_what_was_built_while_planning_is_taken_for_the_same_rows(draft, index):
    assert built(draft, index, Begun.at(index.snapshot)) == []
    assert recall(index, ROWS, draft.planned.picked.plan) >= 0.78
    assert not index.stale


def test_rows_that_changed_while_planning_have_an_engine_of_their_own(draft, index):
    """As many rows as before, and others."""
    begun, elsewhere = Begun.at(index.snapshot), Index.open(index.path)
    elsewhere.delete(np.arange(600))
    elsewhere.compact()
    elsewhere.add(OTHERS, ids=np.arange(600))
    assert "engine" in built(draft, index, begun)
    assert recall(index, OTHERS, draft.planned.picked.plan) >= 0.7
    assert index.stale
    assert index.search(QUERIES, recall=0.8).promise == ""


def test_rows_that_were_added_while_planning_are_in_the_engine(draft, index):
    begun = Begun.at(index.snapshot)
    Index.open(index.path).add(OTHERS[:30])
    assert "engine" in built(draft, index, begun)
    contents = index.snapshot.contents
    assert (contents.changes - contents.planned_at, index.stale) == (30, False)
    Index.open(index.path).add(OTHERS[30:61])
    assert index.refresh().stale


def test_what_is_ready_can_be_run_where_nothing_was_picked(draft, index):
    unsure = replace(draft, planned=replace(draft.planned, pick=None, promise=None))
    unsure.add(index, Begun.at(index.snapshot))
    for point in index.planned.points:
        if point.ready:
            assert index.search(QUERIES, plan=point.plan).ids.shape == (150, 10)


def test_a_plan_in_the_place_of_another_leaves_one_engine(draft, index):
    stage = draft.planned.picked.plan.stages[0]
    for _ in range(2):
        draft.add(index, Begun.at(index.snapshot))
        assert [each.dim for each in index.snapshot.contents.engines] == [stage.dim]
    assert index.verify() == []


def test_points_that_are_outdone_are_not_shown_unless_they_are_ready(draft):
    """Whose quality is that of the report part, so another may outdo them there."""
    points, objective = draft.planned.points, draft.planned.terms.objective
    for point in points:
        others = [each for each in points if each is not point and each.cost(objective) <= point.cost(objective)]
        assert point.ready or all(each.quality < point.quality for each in others)


def test_the_queries_are_known_again(draft):
    from mrl.vectors.copies import digests

    assert draft.planned.knows(digests(QUERIES)).all()
    assert not draft.planned.knows(digests(OTHERS)).any()


def test_rows_that_were_held_out_had_no_engine():
    said = plan(held(ROWS), None, Terms(recall=0.8, objective="bytes")).planned.sentences
    assert any("held out, so its recall there may differ a little; mrl recheck tells" in each for each in said)


def test_a_plan_without_an_engine_takes_the_one_before_away(draft, scans, index, tmp_path):
    wide = index.relayout(tmp_path / "wide", BuildSpec(scans.layout(24)))
    draft.add(wide, Begun.at(wide.snapshot))
    assert len(wide.snapshot.contents.engines) == 1
    assert built(scans, wide, Begun.at(wide.snapshot)) == []
    assert wide.snapshot.contents.engines == ()
    assert recall(wide, ROWS, scans.planned.picked.plan) >= 0.78


def test_a_plan_without_an_engine_sees_rows_that_changed_too(scans, tmp_path):
    index = Index.build(tmp_path / "i", Rows.of(ROWS, card(24)), BuildSpec(scans.layout(24)))
    begun, elsewhere = Begun.at(index.snapshot), Index.open(index.path)
    elsewhere.delete(np.arange(600))
    elsewhere.compact()
    elsewhere.add(OTHERS, ids=np.arange(600))
    scans.add(index, begun)
    assert index.stale
    assert recall(index, OTHERS, scans.planned.picked.plan) >= 0.7
    assert index.search(QUERIES, recall=0.8).promise == ""
