"""The first stage alone: every row of every block, one query or many, by any prefix in any encoding."""

import numpy as np
import pytest

from mrl.retrieval import Plan
from mrl.retrieval.scan import FEW, QUERY_TILE, scan
from retrieval import made

WIDTH, CUTS = 20, (6, 20)
EVERYTHING = {"1bit": 20, "int8": 20, "float16": 20}


@pytest.fixture(scope="module", params=made.METRICS)
def index(request, tmp_path_factory):
    """Two blocks, the first of them longer than a tile and a chunk."""
    rows = made.random(4500, WIDTH)
    rows[[7, 4400]] = 0
    made_of = made.index(tmp_path_factory.mktemp("scan") / "i", rows[:4200], CUTS, request.param, beside=EVERYTHING)
    made_of.add(rows[4200:])
    return made_of


@pytest.mark.parametrize("queries", [1, FEW, FEW + 1])
@pytest.mark.parametrize("encoding", ["reference", *EVERYTHING])
def test_a_scan_finds_the_best_of_all_rows(index, encoding, queries):
    asked = made.random(queries, WIDTH, 1)
    for dim in CUTS:
        plan = Plan.single(dim, 12, encoding)
        found = index.search(asked, 12, plan=plan)
        made.check_planned(found, made.run(index.snapshot, plan, asked), np.arange(4500))


def test_queries_of_several_tiles(index):
    asked = made.random(QUERY_TILE + 2, WIDTH, 1)
    plan = Plan.single(20, 12, "int8")
    made.check_planned(index.search(asked, 12, plan=plan), made.run(index.snapshot, plan, asked), np.arange(4500))


@pytest.mark.parametrize("encoding", ["reference", "int8", "1bit"])
def test_one_query_and_many_score_alike(index, encoding):
    asked = made.random(9, WIDTH, 2)
    plan = Plan.single(20, 4500, encoding)
    many = index.search(asked, 4500, plan=plan)
    _, error = made.stage_scores(index.snapshot, index.snapshot.layout.reading(20, encoding), asked)
    for q in range(9):
        one = index.search(asked[q], 4500, plan=plan)
        order, orders = np.argsort(one.ids), np.argsort(many.ids[q])
        assert (np.abs(one.scores[order] - many.scores[q][orders]) <= 2 * error[q]).all()


def test_scores_are_those_of_the_metric_at_the_dim(index):
    """By cosine both sides are rescaled at the cut; by dot and l2 nothing is."""
    asked, stored = made.random(3, WIDTH, 3), index.snapshot.vectors_at(np.arange(4500))
    for dim in CUTS:
        found = index.search(asked, 4500, plan=Plan.single(dim))
        truth = made.scores(stored[:, :dim], asked[:, :dim], index.card.metric)
        np.testing.assert_allclose(found.scores, np.take_along_axis(truth, found.ids, 1).astype(float), atol=1e-5)
        assert (found.metric, found.dim) == (index.card.metric, dim)


def test_masks_leave_out_rows_of_every_tile(index):
    snapshot, rng = index.snapshot, np.random.default_rng(0)
    masks = [rng.random(block.rows) < share for block, share in zip(snapshot.blocks, (0.3, 0.01), strict=True)]
    allowed = np.concatenate(masks)
    for queries in (2, 30):
        asked = made.random(queries, WIDTH, 4)
        found = scan(snapshot.blocks, ("float32", "float32"), asked, 2000, index.card.metric, masks)
        assert (np.sort(found.positions, axis=1)[:, -allowed.sum() :] == np.flatnonzero(allowed)).all()
        assert found.count == queries * allowed.sum()


def test_equal_rows_tie_and_go_by_id(tmp_path, metric):
    """For one query equal rows have bitwise equal scores; the earlier are kept, and told in order of their ids."""
    rows = np.tile(made.random(5, 8), (6, 1))
    ids = np.random.default_rng(0).permutation(30)
    index = made.index(tmp_path / "i", rows, (3, 8), metric, ids=ids, blocks=2)
    asked = made.random(1, 8, 1)[0]
    for dim in (3, 8):
        found = index.search(asked, 8, plan=Plan.single(dim, 8))
        score = made.scores(rows[:5, :dim], asked[None, :dim], metric)[0]
        best, next_best = np.argsort(-score)[:2]
        expected = sorted(ids[best::5].tolist()) + sorted(ids[next_best::5][:2].tolist())
        assert found.ids.tolist() == expected


def test_no_queries_find_nothing(index):
    found = index.search(np.empty((0, WIDTH), np.float32), 3, plan="6:3")
    assert (found.ids.shape, found.scores.shape, found.counts.shape) == ((0, 3), (0, 3), (0,))
    found = index.search(np.empty((0, WIDTH), np.float32), 3)
    assert (found.ids.shape, found.scores.shape, found.counts.shape) == ((0, 3), (0, 3), (0,))
