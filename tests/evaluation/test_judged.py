"""`evaluate_judged`: against sorting every query's float64 scores, dim by dim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.lists import slow as measures
from mrl import Card, Nesting, Table
from mrl.errors import CardError, InputError, NestingError
from mrl.evaluation import Judgements, evaluate_judged, per_query_judged
from mrl.vectors import Held

NESTING = Nesting((2, 4, 8))
CARD = Card("clouds", 8, NESTING, fingerprint="f")


def table(path, vectors, ids, card=CARD):
    with Table.create(path, card) as out:
        half = len(vectors) // 2
        out.add(vectors[:half], ids[:half])
        out.add(vectors[half:], ids[half:])
    return Table.open(path)


def draw(n, seed, values=3):
    """Few values, so that many scores are equal."""
    return np.random.default_rng(seed).integers(-values, values + 1, (n, 8)).astype(np.float32)


@pytest.fixture
def collection(tmp_path):
    documents = table(tmp_path / "d", np.random.default_rng(0).normal(size=(150, 8)).astype(np.float32), np.arange(150))
    queries = table(
        tmp_path / "q", np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32), [f"q{i}" for i in range(40)]
    )
    return documents, queries


def judge(documents, queries, seed=0, share=0.1):
    draws = np.random.default_rng(seed)
    pairs = [(q, d) for q in queries.ids.tolist() for d in documents.ids.tolist() if draws.random() < share]
    return Judgements.of((q, d, int(draws.integers(-1, 4))) for q, d in pairs)


def slow(documents, queries, judgements, dim, k):
    """{measure: {query id: value}} from dictionaries, one query at a time; the ranking from float64 cosines."""
    found = {}
    for query, vector in zip(queries.ids.tolist(), queries.vectors[:, :dim].astype(float), strict=True):
        rows = documents.vectors[:, :dim].astype(float)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
        cosines = np.divide(rows @ vector, lengths, out=np.zeros(len(rows)), where=lengths > 0)
        ranked = [str(documents.ids[row]) for row in np.lexsort((np.arange(len(rows)), -cosines))]
        graded = {d: max(g, 0) for d, g in judgements.grades.get(str(query), {}).items()}
        if judgements.ignore_same_ids:
            ranked = [document for document in ranked if document != str(query)]
            graded.pop(str(query), None)
        if any(graded.values()):
            found[query] = measures(ranked, graded, k)
    return found


@pytest.mark.parametrize("k", [1, 10, 150])
def test_equal_measuring_each_dim_by_itself(collection, k):
    documents, queries = collection
    judgements = judge(documents, queries)
    found = per_query_judged(documents, queries, judgements, k=k)
    for level, dim in enumerate(found.subject.cuts.dims):
        expected = slow(documents, queries, judgements, dim, k)
        assert found.ids.tolist() == list(expected)
        for measure in ("nDCG", "MRR", "recall", "AP", "P"):
            each = [values[measure] for values in expected.values()]
            np.testing.assert_allclose(found.values[f"{measure}@{k}"][level], each, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_ties_zero_vectors_and_short_tables(seed, n, same):
    """Prefixes of two cuts only, of which equal ones have equal float32 scores: those of the axes."""
    draws = np.random.default_rng(seed)
    axes = np.concatenate([np.eye(8), np.zeros((1, 8))]).astype(np.float32)
    documents = Held(Path("d"), CARD, axes[draws.integers(0, 9, n + 1)], np.arange(n + 1))
    queries = Held(Path("q"), CARD, axes[draws.integers(0, 9, 5)], np.arange(5) * 2)
    grades = {str(q): {str(d): int(draws.integers(-1, 3)) for d in range(n + 1)} for q in (0, 2, 4, 6)}
    grades["0"]["1"] = 2
    judgements = Judgements(grades, ignore_same_ids=same)
    found = per_query_judged(documents, queries, judgements, k=n, dims=Nesting((2, 8)))
    for level, dim in enumerate((2, 8)):
        expected = slow(documents, queries, judgements, dim, n)
        assert found.ids.tolist() == list(expected)
        for measure in ("nDCG", "MRR", "recall", "AP", "P"):
            each = [values[measure] for values in expected.values()]
            np.testing.assert_allclose(found.values[f"{measure}@{n}"][level], each, atol=1e-12)


def test_rows_say_what_they_are(collection):
    documents, queries = collection
    rows = evaluate_judged(documents, queries, judge(documents, queries, share=0.02), run="mine")
    names = ["nDCG@10", "MRR@10", "recall@10", "recall@100", "AP@10", "P@10"]
    assert list(dict.fromkeys(row.measure for row in rows)) == names
    assert [row.dim for row in rows if row.measure == "MRR@10"] == [2, 3, 4, 6, 8]
    for row in rows:
        assert (row.run, row.method, row.trained) == ("mine", "neighbours", row.dim in NESTING.dims)
        assert (row.bytes, row.macs) == (4 * row.dim, 150 * row.dim)
        assert 0 <= row.low <= row.value <= row.high <= 1


def test_recall_is_measured_where_it_is_wanted(collection):
    documents, queries = collection
    judgements = judge(documents, queries)
    rows = evaluate_judged(documents, queries, judgements, k=5, recall_at=(150, 1, 20))
    assert [row.measure for row in rows if row.dim == 8][2:-2] == ["recall@1", "recall@20", "recall@150"]
    assert {row.value for row in rows if row.measure == "recall@150"} == {1.0}
    none = evaluate_judged(documents, queries, judgements, recall_at=())
    assert not [row for row in none if row.measure.startswith("recall")]


def test_what_is_left_out_is_counted(tmp_path, collection):
    documents, queries = collection
    grades = {"q1": {"5": 1, "gone": 1}, "q2": {"5": 0}, "q3": {"6": -1}, "nobody": {"5": 1}, "q0": {"7": 2}}
    found = per_query_judged(documents, queries, Judgements(grades), k=150)
    assert found.ids.tolist() == ["q0", "q1"]
    assert found.values["recall@150"][0].tolist() == [1, 0.5]
    assert found.notes == (
        f"1 of 5 judged queries are not in {queries.path}: left out",
        f"36 of 40 queries of {queries.path} are not judged: left out",
        "2 of 4 judged queries have no relevant document: left out",
        f"1 of 3 relevant documents are not in {documents.path}: they count as not found",
    )


def test_ids_that_are_asked_for_occur_once(collection):
    """Files may repeat ids; of those that nobody speaks of it does not matter."""
    documents, queries = collection
    judgements = Judgements({"q1": {"5": 1, "6": 2}})

    twice = Held(queries.path, CARD, queries.vectors[:3], np.array(["q1", "q2", "q1"]))
    with pytest.raises(
        InputError, match=r"id 'q1' occurs twice in .*q, in rows 0 and 2, and is asked for by its id; g"
    ):
        evaluate_judged(documents, twice, judgements)
    twice = Held(documents.path, CARD, documents.vectors[:4], np.array([5, 6, 7, 6]))
    with pytest.raises(InputError, match=r"id '6' occurs twice in .*d, in rows 1 and 3"):
        evaluate_judged(twice, queries, judgements, k=4)
    twice = Held(documents.path, CARD, documents.vectors[:4], np.array([5, 6, 7, 7]))
    assert per_query_judged(twice, queries, judgements, k=4).ids.tolist() == ["q1"]


def test_ids_that_never_meet_are_refused(collection):
    documents, queries = collection
    with pytest.raises(InputError, match=r"none of the 1 judged queries, such as '1', is an id of .*q, such as 'q0'"):
        evaluate_judged(documents, queries, Judgements({"1": {"5": 1}}))
    with pytest.raises(InputError, match=r"none of the 2 judged documents, such as '007', is an id of .*d, such as 0;"):
        evaluate_judged(documents, queries, Judgements({"q1": {"007": 1, "x": 1}}))
    with pytest.raises(InputError, match="has a relevant document: all grades are 0 or less"):
        evaluate_judged(documents, queries, Judgements({"q1": {"5": 0}}))


def test_a_query_among_the_documents_does_not_find_itself(tmp_path):
    vectors, ids = np.eye(8, dtype=np.float32)[[0, 0, 1, 2]], ["a", "b", "c", "d"]
    both = table(tmp_path / "t", vectors, ids)
    grades = {"a": {"a": 3, "b": 1}, "c": {"c": 1, "a": 1}}
    with pytest.raises(InputError, match=r"the same table, .*would find itself; leave these out with ignore_same_ids"):
        evaluate_judged(both, both, Judgements(grades))
    judgements = Judgements(grades, ignore_same_ids=True)
    found = per_query_judged(both, both, judgements, k=3, dims=Nesting((8,)))
    assert found.values["MRR@3"].tolist() == [[1, 1]]
    assert found.values["nDCG@3"].tolist() == [[1, 1]]
    with pytest.raises(InputError, match="k must lie between 1 and the 3 rows"):
        evaluate_judged(both, both, judgements, k=4)


def test_what_does_not_belong_together_is_refused(tmp_path, collection):
    documents, queries = collection
    judgements = judge(documents, queries)
    other = table(tmp_path / "o", draw(4, 0), ["q1", "q2", "q3", "q4"], replace(CARD, fingerprint="g"))
    with pytest.raises(CardError, match=r"fingerprint is f in one .* and g in the other"):
        evaluate_judged(documents, other, judgements)
    with pytest.raises(InputError, match=r"k must lie between 1 and the 150 rows of .*d, got 151"):
        evaluate_judged(documents, queries, judgements, k=151)
    with pytest.raises(InputError, match=r"recall_at must lie between 1 and the 150 rows of .*d, got 0"):
        evaluate_judged(documents, queries, judgements, recall_at=(0, 10))
    with pytest.raises(NestingError, match="dims 8,99 need vectors of at least 99 dims"):
        evaluate_judged(documents, queries, judgements, dims=Nesting((8, 99)))


def test_the_cards_metric_ranks(tmp_path):
    """Under dot a long vector comes first, under l2 a near one, under cosine one of the same direction."""
    vectors = np.zeros((3, 8), np.float32)
    vectors[:, :2] = [[9, 5], [0.1, 0], [1, 0.2]]
    query = np.zeros((1, 8), np.float32)
    query[0, 0] = 1
    for metric, first in (("dot", 0), ("cosine", 1), ("l2", 2)):
        card = replace(CARD, metric=metric)
        documents = table(tmp_path / f"{metric}d", vectors, np.arange(3), card)
        queries = table(tmp_path / f"{metric}q", query, np.arange(1), card)
        rows = evaluate_judged(documents, queries, Judgements.of([(0, first, 1)]), k=1)
        assert {row.value for row in rows if row.measure == "recall@1"} == {1.0}
