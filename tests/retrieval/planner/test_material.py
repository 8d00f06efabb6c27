"""What plans are measured on: nothing finds itself, nothing is counted twice, and what cannot do says so."""

import numpy as np
import pytest

from mrl.errors import CardError, InputError
from mrl.retrieval.planner import Terms
from mrl.retrieval.planner.material import digest, material, sampled
from retrieval.planner.rows import clustered, held

ROWS, QUERIES = clustered(700, 16), clustered(80, 16, seed=1)
TERMS = Terms(k=3, recall=0.9)


def spoilt(vectors, row, value):
    vectors = vectors.copy()
    vectors[row, 3] = value
    return vectors


def test_rows_and_queries_as_they_came():
    found = material(held(ROWS), held(QUERIES), TERMS)
    assert found.whole
    assert (found.k, found.by, found.held_out, found.notes) == (3, "cosine", False, ())
    np.testing.assert_array_equal(found.vectors, ROWS)
    np.testing.assert_array_equal(found.queries, QUERIES)
    assert sorted(found.same.tolist()) == list(range(80))
    assert (found.data, found.digest) == ("rows", digest(ROWS))


def test_queries_that_are_rows_are_held_out_with_all_their_copies():
    rows = np.concatenate([ROWS, QUERIES[:30], QUERIES[:5]])
    found = material(held(rows), held(QUERIES), TERMS)
    assert found.notes[0] == "35 rows are queries, too, and would find themselves: held out while planning"
    assert not found.whole
    np.testing.assert_array_equal(found.vectors, ROWS)
    assert len(found.queries) == 80
    assert found.worth.count == 700


def test_float16_rows_are_found_among_float32_queries():
    rows = np.concatenate([ROWS, QUERIES[:3]]).astype(np.float16)
    found = material(held(rows), held(QUERIES.astype(np.float16).astype(np.float32)), TERMS)
    np.testing.assert_array_equal(found.vectors, ROWS.astype(np.float16).astype(np.float32))
    assert found.vectors.dtype == np.float32


def test_a_table_of_queries_is_no_database():
    with pytest.raises(
        InputError, match=r"80 of the 80 rows of rows are queries, too, and would find themselves; give"
    ):
        material(held(QUERIES), held(QUERIES), TERMS)


def test_without_queries_a_tenth_is_held_out():
    found = material(held(ROWS), None, TERMS)
    assert found.held_out
    assert found.notes[0] == "70 of 700 rows, drawn at random, were held out as queries"
    assert (len(found.vectors), len(found.queries)) == (630, 70)
    together = np.concatenate([found.vectors, found.queries])
    assert sorted(map(bytes, together)) == sorted(map(bytes, ROWS))
    again, other = material(held(ROWS), None, TERMS), material(held(ROWS), None, Terms(k=3, recall=0.9, seed=1))
    np.testing.assert_array_equal(again.queries, found.queries)
    assert not np.array_equal(other.queries, found.queries)


def test_copies_of_held_out_rows_are_held_out_too():
    rows = np.tile(ROWS[:350], (2, 1))
    found = material(held(rows), None, TERMS)
    theirs = set(map(bytes, found.queries))
    assert not theirs & set(map(bytes, found.vectors))
    assert set(map(bytes, found.vectors)) | theirs == set(map(bytes, rows))


def test_rows_without_a_copy_are_held_out_where_they_do():
    rows = np.concatenate([ROWS, np.tile(ROWS[:20], (15, 1))])
    found = material(held(rows), None, TERMS)
    assert found.notes[0] == "100 of 1,000 rows, drawn at random, were held out as queries"
    assert (len(found.vectors), len(found.queries)) == (900, 100)
    assert not any("equal to these" in note for note in found.notes)


def test_where_all_rows_have_copies_those_that_are_left_out_are_counted():
    found = material(held(np.tile(ROWS[:150], (20, 1))), None, TERMS)
    assert found.notes[:2] == (
        "50 of 3,000 rows, drawn at random, were held out as queries",
        "950 rows equal to these were left out, too: figures are of 2,000 rows",
    )
    assert (len(found.vectors), len(set(found.same.tolist()))) == (2000, 50)


def test_rows_that_hardly_differ_are_refused():
    with pytest.raises(
        InputError, match=r"all 700 rows of rows are equal, so any of them is as near; give rows that d"
    ):
        material(held(np.tile(ROWS[:1], (700, 1))), None, TERMS)
    with pytest.raises(
        InputError,
        match=r"the 720 rows of rows are only 90 different vectors, of which 50 would be .* give queries, or at",
    ):
        material(held(np.tile(ROWS[:90], (8, 1))), None, TERMS)


def test_copies_of_a_query_share_their_number():
    found = material(held(ROWS), held(np.tile(QUERIES[:60], (2, 1))), TERMS)
    np.testing.assert_array_equal(found.same[:60], found.same[60:])
    assert len(set(found.same.tolist())) == 60


@pytest.mark.parametrize(
    ("rows", "queries", "error", "said"),
    [
        (held(ROWS), held(QUERIES[:49]), InputError, "a plan's promise needs at least 50 queries, got 49; give more"),
        (
            held(ROWS[:499]),
            None,
            InputError,
            "without queries a tenth of the rows is held out as such, and a plan needs 50: rows has 499 rows; give q",
        ),
        (held(ROWS[:2]), held(QUERIES), InputError, "k must lie between 1 and the 2 rows that are searched, got 3"),
        (held(ROWS), held(QUERIES[:, :12]), CardError, "width is 16 in one .* and 12 in the other"),
        (held(ROWS), held(QUERIES, "dot"), CardError, "metric is cosine in one .* and dot in the other"),
        (held(spoilt(ROWS, 5, np.inf)), held(QUERIES), InputError, "5 has a NaN or an Inf"),
        (held(ROWS), held(spoilt(QUERIES, 7, np.nan)), InputError, "7 has a NaN or an Inf"),
    ],
)
def test_what_cannot_be_planned_for_is_refused(rows, queries, error, said):
    with pytest.raises(error, match=said):
        material(rows, queries, TERMS)


def test_a_sample_has_its_own_truth():
    found = material(held(ROWS), held(QUERIES), Terms(k=3, tolerance=0.1))
    rows, asked = np.arange(0, 700, 3), np.arange(5, 25)
    small, terms = sampled(found, asked, Terms(k=3, tolerance=0.1), rows)
    assert (terms.allowed, terms.measure, len(small.vectors), len(small.queries)) == (0.1, "recall", 234, 20)
    scores = QUERIES[asked] @ (ROWS[rows] / np.linalg.norm(ROWS[rows], axis=1)[:, None]).T
    best = np.argsort(-scores, axis=1)[:, :3]
    assert small.worth.values(best, np.arange(20)).tolist() == [1.0] * 20
