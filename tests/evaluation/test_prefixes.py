"""`evaluate`: the rows against measuring each dim by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from mrl import Card, HeadWeights, Nesting, Table, unit_prefix
from mrl.errors import CardError, InputError, NestingError
from mrl.evaluation import evaluate
from mrl.evaluation.measures import average_precision

NESTING = Nesting((4, 8, 16))
CARD = Card("clouds", 16, NESTING, fingerprint="f")
NAMES = tuple("abcdefg")
CENTRES = np.random.default_rng(99).normal(size=(len(NAMES), 16))


def table(path, n, seed, card=CARD, names=NAMES, labelled=True):
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, len(names), n)
    vectors = (CENTRES[labels % 7] + draws.normal(size=(n, 16))).astype(np.float32)
    with Table.create(path, card, names) as out:
        if n:
            out.add(vectors, labels=labels if labelled else None)
    return Table.open(path)


@pytest.fixture
def pair(tmp_path):
    return table(tmp_path / "db", 300, 0), table(tmp_path / "q", 80, 1)


def head(tied):
    dims = NESTING.dims[-1:] if tied else NESTING.dims
    return HeadWeights(NESTING, tied, tuple(CENTRES[:, :d].astype(np.float32) for d in dims), classes=NAMES)


def values(rows, measure):
    return {row.dim: row for row in rows if row.measure == measure}


def test_neighbour_measures_equal_one_search_per_dim(pair):
    database, queries = pair
    rows = evaluate(database, queries, k=5)
    for dim, row in values(rows, "1-NN").items():
        search = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(unit_prefix(database.vectors, dim))
        found = database.labels[search.kneighbors(unit_prefix(queries.vectors, dim), return_distance=False)]
        assert row.value == pytest.approx((found[:, 0] == queries.labels).mean(), abs=1e-12)
        expected = average_precision(found, queries.labels).mean()
        assert values(rows, "mAP@5")[dim].value == pytest.approx(expected, abs=1e-9)


def test_rows_say_what_they_are(pair):
    rows = evaluate(*pair, head(False), run="mine")
    assert list(dict.fromkeys(row.measure for row in rows)) == ["top-1", "top-5", "1-NN", "10-NN", "mAP@10", "P@10"]
    for row in values(rows, "1-NN").values():
        assert (row.run, row.method, row.queries) == ("mine", "neighbours", 80)
        assert (row.bytes, row.macs, row.trained) == (row.dim * 4, row.dim * 300, row.dim in NESTING.dims)
        assert row.low <= row.value <= row.high
        assert row.interval == "wilson"
    assert [row.dim for row in rows if row.measure == "P@10"] == [4, 6, 8, 12, 16]
    assert values(rows, "mAP@10")[8].interval == "bootstrap"
    assert values(rows, "top-1")[8].macs == 8 * 7


def test_untrained_dims_are_served_by_a_tied_head_and_else_by_a_probe(pair):
    methods = {dim: row.method for dim, row in values(evaluate(*pair, head(False)), "top-1").items()}
    assert methods == {4: "head", 6: "probe", 8: "head", 12: "probe", 16: "head"}
    assert {row.method for row in values(evaluate(*pair, head(True)), "top-1").values()} == {"head"}
    assert {row.method for row in values(evaluate(*pair), "top-1").values()} == {"probe"}


def test_head_accuracy_is_that_of_its_largest_logit(pair):
    for tied in (True, False):
        for dim, row in values(evaluate(*pair, head(tied), dims=NESTING), "top-1").items():
            hits = head(tied).logits(pair[1].vectors, dim).argmax(1) == pair[1].labels
            assert row.value == pytest.approx(hits.mean())


def test_labels_are_compared_by_name(tmp_path, pair):
    """Queries numbered otherwise, and with a class that nobody knows, are measured all the same."""
    database, queries = pair
    names = ("zebra", *reversed(NAMES))
    with Table.create(tmp_path / "other", CARD, names) as out:
        out.add(np.array(queries.vectors), labels=[names.index(NAMES[label]) for label in queries.labels])
    renamed = Table.open(tmp_path / "other")
    assert [r.value for r in evaluate(database, renamed, head(True))] == [
        r.value for r in evaluate(database, queries, head(True))
    ]


def test_a_class_that_the_database_lacks_is_always_missed(tmp_path, pair):
    with Table.create(tmp_path / "new", CARD, ("unheard of",)) as out:
        out.add(np.array(pair[1].vectors), labels=np.zeros(80, int))
    assert all(row.value == 0 for row in evaluate(pair[0], Table.open(tmp_path / "new"), head(True)))


def test_what_does_not_belong_together_is_refused(tmp_path, pair):
    database, queries = pair
    with pytest.raises(CardError, match=r"fingerprint is f in one .* and g in the other"):
        evaluate(database, table(tmp_path / "g", 20, 0, replace(CARD, fingerprint="g")))
    with pytest.raises(InputError, match="same table"):
        evaluate(database, Table.open(database.path))
    with pytest.raises(InputError, match="has no labels"):
        evaluate(database, table(tmp_path / "bare", 20, 0, labelled=False))
    with pytest.raises(InputError, match="is empty"):
        evaluate(database, table(tmp_path / "none", 0, 0))
    with pytest.raises(InputError, match="k must lie between 1 and the 300 rows"):
        evaluate(database, queries, k=301)
    with pytest.raises(NestingError, match="dims 8,99 need vectors of at least 99 dims"):
        evaluate(database, queries, dims=Nesting((8, 99)))
    other = HeadWeights(Nesting((16,)), True, (np.ones((7, 16), np.float32),))
    with pytest.raises(InputError, match="head was trained at 16"):
        evaluate(database, queries, other)


def test_the_head_of_another_encoder_is_refused(pair):
    assert evaluate(*pair, replace(head(True), fingerprint="f"))
    with pytest.raises(CardError, match=r"the head belongs to an encoder g and .* to f"):
        evaluate(*pair, replace(head(True), fingerprint="g"))


def test_named_and_nameless_labels_are_not_compared(tmp_path, pair):
    with Table.create(tmp_path / "bare", CARD) as out:
        out.add(np.array(pair[1].vectors), labels=pair[1].labels)
    with pytest.raises(InputError, match=r"db names its labels and .*bare does not"):
        evaluate(pair[0], Table.open(tmp_path / "bare"))


def test_named_dims_may_be_narrower_than_any_that_was_trained(tmp_path):
    """As of a model that was not trained to nest: what cutting its vectors costs."""
    whole = replace(CARD, nesting=Nesting((16,)))
    database, queries = (table(tmp_path / name, n, seed, whole) for name, n, seed in (("d", 60, 0), ("q", 20, 1)))
    assert {row.dim for row in evaluate(database, queries)} == {16}
    rows = [row for row in evaluate(database, queries, dims=Nesting((2, 8, 16))) if row.measure == "1-NN"]
    assert [(row.dim, row.trained) for row in rows] == [(2, False), (8, False), (16, True)]
