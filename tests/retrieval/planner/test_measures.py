"""What an answer is worth, against ten-line twins: scores in float64, sets, dictionaries."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.card import Card
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.evaluation.matching import matched
from mrl.evaluation.yardstick import Judged as JudgedStick
from mrl.nesting import Nesting
from mrl.retrieval.planner import ByClass, Judged, Recall, Terms, Truth, worth
from mrl.vectors import Held

ROWS, WIDTH = 120, 12


def vectors(n, seed, width=WIDTH):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


def table(matrix, name="rows", labels=None):
    card = Card("m", matrix.shape[1], Nesting((matrix.shape[1],)))
    return Held(Path(name), card, matrix, np.arange(len(matrix)), labels)


def exact_scores(queries, rows, by):
    q, r = queries.astype(np.float64), rows.astype(np.float64)
    if by == "l2":
        return -((q[:, None] - r) ** 2).sum(-1)
    if by == "cosine":
        q, r = (np.divide(x, n := np.linalg.norm(x, axis=1)[:, None], out=x * 0, where=n > 0) for x in (q, r))
    return q @ r.T


def slow_recall(found, scores, k):
    """Per query: how many found rows score at least as well as the k-th best, but for a millionth."""
    worst = np.sort(scores, axis=1)[:, -k]
    floor = worst - 1e-6 * np.abs(worst)
    return [sum(row >= 0 and s[row] >= f for row in rows) / k for rows, s, f in zip(found, scores, floor, strict=True)]


@pytest.mark.parametrize("by", ["cosine", "dot", "l2"])
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 40))
def test_recall_is_that_of_the_twin_with_copies_and_places_where_nothing_was_found(by, seed, k, copies):
    draws = np.random.default_rng(seed)
    rows, queries = vectors(50, seed), vectors(7, seed + 1)
    rows[draws.permutation(50)[:copies]] = rows[0]
    truth = Truth.of(queries, rows, k, by)
    found = np.stack([draws.permutation(50)[:k] for _ in range(7)])
    found[draws.random(found.shape) < 0.2] = -1
    asked = draws.permutation(7)[:5]
    got = Recall.of(truth).values(found[asked], asked)
    np.testing.assert_allclose(got, np.array(slow_recall(found, exact_scores(queries, rows, by), k))[asked])


@pytest.mark.parametrize("by", ["cosine", "dot", "l2"])
def test_what_the_exact_search_finds_is_worth_one(by):
    rows, queries = vectors(ROWS, 0), vectors(9, 1)
    truth = Truth.of(queries, rows, 10, by)
    recall = Recall.of(truth)
    assert (recall.values(truth.positions[:, :10], np.arange(9)) == recall.full).all()
    assert (recall.name, recall.wanted, recall.notes) == ("recall@10", 10, ())
    assert (np.diff(truth.scores) <= 0).all()


def test_rows_that_tie_with_the_last_may_stand_for_it():
    rows = np.repeat(vectors(1, 0), 40, axis=0)
    recall = Recall.of(Truth.of(vectors(2, 1), rows, 5, "cosine"))
    assert (recall.values(np.arange(30, 40).reshape(2, 5), np.arange(2)) == 1).all()
    assert (recall.values(np.full((2, 5), -1), np.arange(2)) == 0).all()


def test_a_row_of_the_next_query_is_no_hit():
    """Keys are query · rows + row, where −1 would be the last row of the query before."""
    rows, queries = vectors(4, 0), np.stack([vectors(4, 0)[3], -vectors(4, 0)[3]])
    recall = Recall.of(Truth.of(queries, rows, 1, "cosine"))
    assert (recall.values(np.array([[3], [-1]]), np.arange(2)) == [1, 0]).all()


@pytest.mark.parametrize("k", [0, 121])
def test_truth_of_more_rows_than_there_are(k):
    with pytest.raises(InputError, match="must lie between 1 and"):
        Truth.of(vectors(3, 1), vectors(ROWS, 0), k, "cosine")


def test_by_class_is_the_papers_average_precision():
    rows, queries = vectors(ROWS, 0), vectors(5, 1)
    labels, own = np.arange(ROWS) % 3, np.array([0, 1, -1, 2, 7])
    labels[5] = -1
    by_class = ByClass.of(labels, own, Truth.of(queries, rows, 4, "cosine"))
    assert by_class.rows.tolist() == [0, 1, 3, 4]
    assert by_class.notes == ("1 of 5 queries have no class: left out",)
    found = np.array([[0, 1, 3, -1], [5, 1, 4, 7], [-1, -1, -1, -1], [0, 1, 2, 3]])
    want = [(1 + 2 / 3) / 4, (1 / 2 + 2 / 3 + 3 / 4) / 4, 0, 0]
    np.testing.assert_allclose(by_class.values(found, np.arange(4)), want)
    np.testing.assert_allclose(by_class.values(found[1:2], np.array([1])), want[1:2])
    exact = Truth.of(queries, rows, 4, "cosine").positions[by_class.rows, :4]
    assert (by_class.values(exact, np.arange(4)) == by_class.full).all()
    assert (by_class.name, by_class.wanted) == ("mAP@4", 4)


def graded(seed, queries=8, own=False):
    draws = np.random.default_rng(seed)
    triples = [(q, int(d), int(draws.integers(0, 3))) for q in range(queries) for d in draws.permutation(ROWS)[:9]]
    return Judgements.of([*triples, *((q, q + 20, 2) for q in range(queries))], ignore_same_ids=own)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("measure", ["nDCG", "MRR"])
def test_judged_is_what_the_yardstick_says_of_every_cut(measure, own):
    database, queries = table(vectors(ROWS, 0)), table(vectors(8, 0), "queries")
    known = matched(graded(0, own=own), database, queries)
    judged = Judged.of(known, measure, Truth.of(queries.vectors, database.vectors, 5, "cosine"))
    stick = JudgedStick.of(known, measure, 5)
    for dim in (3, WIDTH):
        cut = queries.vectors[:, :dim], database.vectors[:, :dim]
        want = stick.values(*cut, Nesting((dim,)), "cosine")[0]
        found = Truth.of(*cut, judged.wanted, "cosine").positions[known.rows, : judged.wanted]
        np.testing.assert_allclose(judged.values(found, np.arange(len(known.rows))), want)
        some = np.array([3, 1])
        np.testing.assert_allclose(judged.values(found[some], some), want[some])
    np.testing.assert_allclose(judged.full, want)
    assert (judged.name, judged.wanted) == (f"{measure}@5", 5 + own)
    assert (judged.values(np.full((8, 6), -1), np.arange(8)) == 0).all()


def test_the_measure_is_found_by_its_name():
    labels = np.arange(ROWS) % 3
    database, queries = table(vectors(ROWS, 0), labels=labels), table(vectors(8, 1), "queries", labels[:8])
    truth = Truth.of(queries.vectors, database.vectors, 10, "cosine")
    assert worth(Terms(), database, queries, truth).name == "recall@10"
    assert worth(Terms(measure="mAP", tolerance=0.1), database, queries, truth).name == "mAP@10"
    judged = worth(Terms(measure="MRR", tolerance=0.1), database, queries, truth, graded(0))
    assert judged.name == "MRR@10"


def test_what_a_measure_needs():
    database, queries = table(vectors(ROWS, 0)), table(vectors(8, 1), "queries")
    truth = Truth.of(queries.vectors, database.vectors, 10, "cosine")
    with pytest.raises(InputError, match="nDCG@10 is measured by judgements, and there are none; give them"):
        worth(Terms(measure="nDCG", tolerance=0.1), database, queries, truth)
    with pytest.raises(InputError, match="recall@10 does not ignore a query's own row, which every plan would find"):
        worth(Terms(), database, queries, truth, graded(0, own=True))
    with pytest.raises(InputError, match="label"):
        worth(Terms(measure="mAP", tolerance=0.1), database, queries, truth)
    with pytest.raises(InputError, match="no query, or no row, has a class; give labels, or plan for recall"):
        ByClass.of(np.zeros(ROWS, np.int64), np.full(8, -1), truth)
    short = Truth(truth.positions[:, :10], truth.scores[:, :10], 10, ROWS)
    with pytest.raises(InputError, match="need the 11 nearest ones to be worth something at 10, got 10"):
        worth(Terms(measure="nDCG", tolerance=0.1), database, queries, short, graded(0, own=True))
