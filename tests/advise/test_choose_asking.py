"""Who asks, and by which measure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise.asking import held_out, yardstick
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.vectors import Held

CARD = Card("toy", 8, Nesting((4, 8)))


def made(rows, seed=0, labels=3):
    draws = np.random.default_rng(seed)
    vectors = draws.normal(size=(rows, 8)).astype(np.float32)
    return Held.of(vectors, CARD, draws.integers(0, labels, rows) if labels else None, f"rows{seed}")


def test_rows_held_out_leave_the_database():
    whole = made(50)
    rows, queries = held_out(whole)
    assert (len(rows), len(queries)) == (40, 10)
    assert sorted([*rows.ids, *queries.ids]) == list(range(50))
    np.testing.assert_array_equal(queries.vectors, whole.vectors[queries.ids])
    np.testing.assert_array_equal(queries.labels, whole.labels[queries.ids])
    assert len(held_out(whole, most=7)[1]) == 7
    np.testing.assert_array_equal(held_out(whole, seed=3)[1].ids, held_out(whole, seed=3)[1].ids)
    with pytest.raises(InputError, match="rows0 has 4 rows, too few to hold any out as queries; give queries"):
        held_out(made(4))


def test_a_measure_is_named():
    rows, queries = made(40), made(6, 1)
    judgements = Judgements.of([(0, 3, 1), (4, 7, 2)])
    assert yardstick(rows, queries, "recall@5").name == "recall@5"
    assert yardstick(rows, queries, "1-NN").name == "1-NN"
    assert yardstick(rows, queries, "MRR@3", judgements).name == "MRR@3"
    assert len(yardstick(rows, queries, "nDCG@10", judgements)) == 2


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        ("recall", "unknown measure 'recall'; known are recall@K, 1-NN, nDCG@K, MRR@K, with a number for K"),
        ("recall@0", "unknown measure 'recall@0'"),
        ("5-NN", "unknown measure '5-NN'"),
        ("nDCG@10", "nDCG@10 is measured by judgements, and there are none; give them, or measure recall@10"),
        ("recall@41", "k must lie between 1 and the 40 rows that are searched, got 41"),
    ],
)
def test_a_measure_that_cannot_be(measure, text):
    with pytest.raises(InputError, match=text):
        yardstick(made(40), made(6, 1), measure)


def test_labels_must_be_there_and_differ():
    with pytest.raises(InputError, match="all rows of rows0 have one label, so every neighbour has the right one"):
        yardstick(made(40, labels=1), made(6, 1), "1-NN")
    with pytest.raises(InputError, match="rows0 has no labels, which this measures by"):
        yardstick(made(40, labels=0), made(6, 1), "1-NN")


def test_judgements_of_unknown_ids_are_named():
    with pytest.raises(InputError, match="none of the 1 judged queries, such as 'q9', is an id of rows1"):
        yardstick(made(40), made(6, 1), "nDCG@10", Judgements.of([("q9", 3, 1)]))
    with pytest.raises(InputError, match="none of the 1 judged documents, such as 'd3', is an id of rows0"):
        yardstick(made(40), made(6, 1), "nDCG@10", Judgements.of([(0, "d3", 1)]))


def test_labels_with_names_are_compared_by_name():
    vectors = np.eye(8, dtype=np.float32)[:4]
    rows = Held(Path("rows"), CARD, vectors, np.arange(4), np.array([0, 1, 0, 1]), ("cat", "dog"))
    asks = Held(rows.path, CARD, vectors[:3], np.arange(3), np.array([1, 0, 2]), ("dog", "cat", "emu"))
    found = yardstick(rows, asks, "1-NN").values(asks.vectors, rows.vectors, Nesting((8,)), "dot")
    assert found.tolist() == [[1, 1, 0]]
    bare = Held(rows.path, CARD, vectors[:3], np.arange(3), np.array([1, 0, 1]))
    with pytest.raises(InputError, match="rows names its labels and rows does not, so they cannot be compared"):
        yardstick(rows, bare, "1-NN")


def test_copies_of_a_row_that_asks_are_not_searched():
    one = made(60)
    whole = Held.of(np.repeat(one.vectors, 4, axis=0), CARD, np.repeat(one.labels, 4), "four times")
    rows, queries = held_out(whole)
    asked = {row.tobytes() for row in queries.vectors}
    assert len(asked) == len(queries) <= 12
    assert len(rows) == 240 - 4 * len(queries)
    assert not asked & {row.tobytes() for row in rows.vectors}
    with pytest.raises(InputError, match="has 16 rows, 4 of them different, too few to hold any out"):
        held_out(whole.only(np.arange(16)))


def test_mapped_vectors_do_not_ask_for_themselves():
    mapped = Held.of(made(50).vectors, replace(CARD, maps=("linear:ab",)), path="mapped")
    with pytest.raises(
        InputError, match=r"mapped went through linear:ab: rows held out of it may be those that this was"
    ):
        held_out(mapped)


def test_held_out_counts_are_integers():
    with pytest.raises(InputError, match=r"most must be an integer ≥ 1, got 2\.5"):
        held_out(made(50), most=2.5)
    with pytest.raises(InputError, match="seed must be an integer ≥ 0, got -1"):
        held_out(made(50), seed=-1)


def test_what_has_no_class_is_left_out_and_said():
    rows, queries = made(40), made(12, 1)
    rows.labels[:10] = -1
    queries.labels[:] = [-1, -1, *[0, 1, 2] * 3, 9]
    stick = yardstick(rows, queries, "1-NN")
    assert stick.asked.tolist() == list(range(2, 12))
    assert stick.notes == (
        "10 of 40 rows of rows0 have no class: left out",
        "2 of 12 queries of rows1 have no class: left out",
        "queries of rows1 of classes that no row has, which no version can answer: 1",
    )
    assert stick.values(queries.vectors, rows.vectors, CARD.nesting, "cosine")[:, -1].tolist() == [0, 0]
    known = np.flatnonzero(rows.labels >= 0)
    clean = yardstick(rows.only(known), queries.only(np.arange(2, 12)), "1-NN")
    np.testing.assert_array_equal(
        stick.values(queries.vectors, rows.vectors, CARD.nesting, "cosine"),
        clean.values(queries.vectors[2:], rows.vectors[known], CARD.nesting, "cosine"),
    )
    queries.labels[:] = -1
    with pytest.raises(InputError, match="no query of rows1 has a class; give labels, or measure recall@10"):
        yardstick(rows, queries, "1-NN")
    rows.labels[:] = -1
    with pytest.raises(InputError, match="no row of rows0 has a class"):
        yardstick(rows, queries, "1-NN")


@pytest.mark.parametrize("measure", ["recall@10", "1-NN"])
def test_a_query_s_own_row_is_ignored_by_judgements_alone(measure):
    judgements = Judgements.of([(0, 3, 1), (4, 7, 2)], ignore_same_ids=True)
    with pytest.raises(InputError, match=f"{measure} does not ignore a query's own row, which would be found by every"):
        yardstick(made(40), made(6, 1), measure, judgements)


def test_a_row_too_short_is_named_by_its_id():
    rows = made(40)
    rows.vectors[7] *= 1e-20
    with pytest.raises(InputError, match=r"rows0: the first 8 dims of the row with id 7 have length .*1 such rows"):
        yardstick(rows.only(np.arange(39, -1, -1)), made(6, 1), "recall@5")
