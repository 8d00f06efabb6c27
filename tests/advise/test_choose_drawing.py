"""Which rows are read, which of them ask, and what is said of those that are not."""

import numpy as np
import pytest

from mrl import Card, Nesting, Table
from mrl.advise import drawn, held_out
from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.vectors import open_vectors

WIDTH = 4
VECTORS = np.random.default_rng(0).normal(size=(5000, WIDTH)).astype(np.float32)


@pytest.fixture
def source(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    return open_vectors(tmp_path / "v.npy")


@pytest.fixture
def asks(tmp_path):
    np.save(tmp_path / "q.npy", VECTORS[:300] + 1)
    return open_vectors(tmp_path / "q.npy")


def test_few_rows_are_all_used(source, asks):
    found = drawn(source, asks)
    np.testing.assert_array_equal(found.rows.vectors, VECTORS)
    assert (len(found.queries), found.notes) == (300, ())
    wanted = held_out(source.held(), seed=3)
    for one, other in zip((drawn(source, seed=3).rows, drawn(source, seed=3).queries), wanted, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)


def test_of_many_rows_a_sample_is_searched(source, asks):
    found = drawn(source, asks, most=100)
    assert len(found.rows) == 100
    np.testing.assert_array_equal(found.rows.vectors, VECTORS[found.rows.ids])
    note = f"{source.path}: 100 of 5,000 rows were drawn at random; what is promised holds for so many"
    assert found.notes[0].startswith(note)
    np.testing.assert_array_equal(drawn(source, asks, most=100).rows.ids, found.rows.ids)
    assert drawn(source, asks, most=100, seed=1).rows.ids.tolist() != found.rows.ids.tolist()
    alone = drawn(source, most=2500)
    assert (len(alone.rows), len(alone.queries)) == (3600, 900)  # of 2,500 and 2,000, a fifth asks


def test_judged_rows_are_in_every_sample(source, asks, tmp_path):
    judgements = Judgements.of((q, 16 * q, 1) for q in range(300))
    found = drawn(source, asks, "nDCG@10", judgements, most=50)
    assert {16 * q for q in range(300)} <= set(found.rows.ids.tolist())
    assert 300 <= len(found.rows) <= 350
    assert "the judged ones among them" in found.notes[0]
    with Table.create(tmp_path / "t", Card("v", WIDTH, Nesting((WIDTH,)))) as table:
        table.add(VECTORS, ids=np.arange(5000)[::-1])
    again = drawn(open_vectors(tmp_path / "t"), asks, "nDCG@10", judgements, most=50)
    assert {16 * q for q in range(300)} <= set(again.rows.ids.tolist())


def test_rows_left_out_stay_out(tmp_path):
    vectors = VECTORS.copy()
    vectors[3] = np.nan
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "ids.npy", np.arange(5000) + 7)
    source = open_vectors(tmp_path / "v.npy", ids=tmp_path / "ids.npy", drop_bad="yes")
    judgements = Judgements.of([(0, 3 + 7, 1), (1, 4 + 7, 1), (2, 4999 + 7, 1)])
    found = drawn(source, source, "nDCG@10", judgements, most=10)
    assert {4 + 7, 4999 + 7} <= set(found.rows.ids.tolist())
    np.testing.assert_array_equal(found.rows.vectors, VECTORS[found.rows.ids - 7])


def test_rows_without_a_class_are_not_read_for_1_nn(tmp_path):
    with Table.create(tmp_path / "t", Card("v", WIDTH, Nesting((WIDTH,))), ("a", "b")) as table:
        table.add(VECTORS, labels=np.arange(5000) % 3 - 1)
    source = open_vectors(tmp_path / "t")
    found = drawn(source, measure="1-NN")
    assert (found.rows.labels >= 0).all()
    assert (found.queries.labels >= 0).all()
    assert found.notes == (f"1,667 of 5,000 rows of {tmp_path / 't'} have no class: left out",)
    assert drawn(source, measure="recall@10").notes == ()


def test_copies_of_what_asks_are_counted(tmp_path):
    np.save(tmp_path / "v.npy", np.repeat(VECTORS[:1000], 3, axis=0))
    found = drawn(open_vectors(tmp_path / "v.npy"))
    copies = 3000 - len(found.rows) - len(found.queries)
    assert copies == 2 * len(found.queries)
    assert found.notes == (
        f"{copies:,} rows are copies of those that ask, which every version would find first: left out",
    )


def test_queries_that_a_map_saw_are_left_out(source, asks):
    found = drawn(source, asks)
    seen = np.arange(300) < 40
    new = found.without(seen, "the map m")
    np.testing.assert_array_equal(new.queries.ids, np.arange(40, 300))
    assert new.notes == ("40 of 300 queries are those that the map m was fitted on or watched by: left out",)
    assert found.without(np.zeros(300, bool), "the map m") is found
    with pytest.raises(InputError, match=r"260 of 300 queries of .* and the 40 others are too few for a promise; give"):
        found.without(np.arange(300) < 260, "the map m")


@pytest.mark.parametrize("most", [0, 2.5, True])
def test_how_many_rows_is_a_count(source, most):
    with pytest.raises(InputError, match="rows must be an integer ≥ 1, got"):
        drawn(source, most=most)
