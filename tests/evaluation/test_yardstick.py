"""Yardsticks agree with what `per_query` and `per_query_judged` measure, and with a plain search."""

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.evaluation import Judgements, per_query, per_query_judged
from mrl.evaluation.matching import matched
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel
from mrl.vectors import Held

CUTS = Nesting((2, 5, 8))


@pytest.fixture
def two():
    draws = np.random.default_rng(0)
    card = Card("toy", 8, CUTS)
    rows = Held.of(draws.normal(size=(60, 8)).astype(np.float32), card, draws.integers(0, 4, 60), "rows")
    return rows, Held.of(draws.normal(size=(20, 8)).astype(np.float32), card, draws.integers(0, 4, 20), "queries")


def test_the_nearest_label_is_the_one_that_evaluate_measures(two):
    rows, queries = two
    measured = per_query(rows, queries, dims=CUTS).values["1-NN"]
    stick = NearestLabel.of(rows.labels, queries.labels)
    assert stick.name == "1-NN"
    assert len(stick) == 20
    np.testing.assert_array_equal(stick.values(queries.vectors, rows.vectors, CUTS, "cosine"), measured)


@pytest.mark.parametrize("measure", ["nDCG", "MRR"])
@pytest.mark.parametrize("ignore", [False, True])
def test_judged_is_what_evaluate_judged_measures(two, measure, ignore):
    rows, queries = two
    draws = np.random.default_rng(1)
    pairs = {(q, d) for q in range(0, 20, 2) for d in draws.choice(60, 5).tolist()}
    judgements = Judgements.of([(q, d, int(draws.integers(0, 3))) for q, d in sorted(pairs)], ignore_same_ids=ignore)
    theirs = per_query_judged(rows, queries, judgements, dims=CUTS)
    wanted = theirs.values[f"{measure}@10"]
    stick = Judged.of(matched(judgements, rows, queries), measure)
    np.testing.assert_array_equal(stick.values(queries.vectors, rows.vectors, CUTS, "cosine"), wanted)
    some = np.array([5, 1, 1, 4])
    part = stick.only(some)
    np.testing.assert_array_equal(part.asked, stick.asked[some])
    np.testing.assert_array_equal(part.values(queries.vectors, rows.vectors, CUTS, "cosine"), wanted[:, some])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_kept_neighbours_are_those_of_a_plain_search(two, metric):
    rows, queries = (each.vectors.astype(np.float64) for each in two)
    stick = KeptNeighbours.of(two[1].vectors, two[0].vectors, 3, metric)
    assert stick.name == "recall@3"

    def nearest(dim):
        q, r = queries[:, :dim], rows[:, :dim]
        scores = q @ r.T
        if metric == "cosine":
            scores = scores / np.linalg.norm(r, axis=1)
        if metric == "l2":
            scores = 2 * scores - (r**2).sum(1)
        return [set(each[:3]) for each in np.argsort(-scores, axis=1)]

    truth = nearest(8)
    wanted = [[len(a & b) / 3 for a, b in zip(truth, nearest(dim), strict=True)] for dim in CUTS.dims]
    found = stick.values(two[1].vectors, two[0].vectors, CUTS, metric)
    np.testing.assert_allclose(found, wanted)
    assert (found[-1] == 1).all()
    part = stick.only(np.array([4, 2]))
    np.testing.assert_array_equal(part.values(two[1].vectors, two[0].vectors, CUTS, metric), found[:, [4, 2]])


def test_rows_without_a_class_are_not_searched_and_an_unknown_class_is_never_found():
    draws = np.random.default_rng(0)
    rows, queries = draws.normal(size=(40, 8)), draws.normal(size=(9, 8))
    labels, wanted = np.where(np.arange(40) % 2, np.arange(40) % 3, -1), np.array([0, 1, 2] * 2 + [-1] * 3)
    stick = NearestLabel.of(labels, wanted)
    found = stick.values(queries, rows, CUTS, "dot")
    for level, dim in enumerate(CUTS.dims):
        scores = queries[:, :dim] @ rows[:, :dim].T
        scores[:, labels < 0] = -np.inf
        nearest = labels[scores.argmax(1)]
        np.testing.assert_array_equal(found[level], (nearest == wanted) & (wanted >= 0))
    assert not found[:, 6:].any()
    assert not NearestLabel.of(np.zeros(40, int), np.full(9, -1)).values(queries, rows, CUTS, "dot").any()
