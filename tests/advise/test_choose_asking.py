"""Who asks, and by which measure."""

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
