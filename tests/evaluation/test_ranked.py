"""Measures of ranked lists: hand-computed, against dictionaries and sorting, and against trec_eval itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.lists import slow
from mrl.evaluation.ranked import average_precision, ndcg, precision, recall, reciprocal_rank


def fast(ranked, graded, k):
    gains = np.array([[graded.get(document, 0) for document in ranked[:k]]], float)
    positive = sorted((grade for grade in graded.values() if grade > 0), reverse=True)
    ideal = np.array([(positive + [0] * k)[:k]], float)
    relevant = np.array([len(positive)])
    found = {
        "nDCG": ndcg(gains, ideal),
        "MRR": reciprocal_rank(gains),
        "recall": recall(gains, relevant),
        "AP": average_precision(gains, relevant),
        "P": precision(gains),
    }
    return {name: values.item() for name, values in found.items()}


def judged():
    """A ranking of all documents, and grades of some and of documents that no one has; one at least is relevant."""
    return st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.permutations(range(n)),
            st.dictionaries(st.integers(0, n + 3), st.integers(0, 3), min_size=1).filter(lambda g: max(g.values()) > 0),
            st.integers(1, n),
        )
    )


@given(judged())
def test_equal_their_definitions(case):
    assert fast(*case) == pytest.approx(slow(*case), abs=1e-12)


@given(judged())
def test_equal_trec_eval(case):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    ranked, graded, k = case
    of_theirs = {"nDCG": f"ndcg_cut_{k}", "recall": f"recall_{k}", "AP": f"map_cut_{k}", "P": f"P_{k}"}
    wanted = {f"ndcg_cut.{k}", f"recall.{k}", f"map_cut.{k}", f"P.{k}", "recip_rank"}
    qrels = {"q": {str(document): grade for document, grade in graded.items()}}
    run = {"q": {str(document): float(-place) for place, document in enumerate(ranked)}}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)["q"]
    ours = fast(*case)
    assert ours == pytest.approx({name: theirs[key] for name, key in of_theirs.items()} | {"MRR": ours["MRR"]})
    first = theirs["recip_rank"]
    assert ours["MRR"] == pytest.approx(first if first >= 1 / k else 0)


def test_by_hand():
    """Found: grades 0, 2, 0, 1. Judged: 2, 1, and a 3 that was missed."""
    gains, ideal, relevant = np.array([[0.0, 2, 0, 1]]), np.array([[3.0, 2, 1, 0]]), np.array([3])
    found = 2 / math.log2(3) + 1 / math.log2(5)
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg(gains, ideal) == pytest.approx(found / best)
    assert reciprocal_rank(gains) == 1 / 2
    assert recall(gains, relevant) == pytest.approx(2 / 3)
    assert average_precision(gains, relevant) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert precision(gains) == 1 / 2


def test_a_perfect_list_reaches_one_and_an_empty_one_nothing():
    ideal = np.array([[0.3, 0.2, 0.1], [2, 0, 0]])
    assert ndcg(ideal, ideal).tolist() == [1, 1]
    nothing = np.zeros((2, 3))
    for value in (ndcg(nothing, ideal), reciprocal_rank(nothing), recall(nothing, np.array([3, 1]))):
        assert value.tolist() == [0, 0]


def test_several_cuts_at_once():
    gains = np.array([[[1.0, 0], [0, 2]], [[0, 0], [2, 0]]])  # (cuts, queries, k)
    ideal = np.array([[1.0, 0], [2, 0]])
    assert reciprocal_rank(gains).tolist() == [[1, 0.5], [0, 1]]
    assert ndcg(gains, ideal)[1].tolist() == [0, 1]
