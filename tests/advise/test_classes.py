"""Whether 1-NN is measured by an inspection, and by which rows."""

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise.classes import classed
from mrl.vectors import Held

CARD = Card("toy", 2, Nesting((2,)))


def held(labels, path):
    count = 4 if labels is None else len(labels)
    return Held.of(np.arange(2.0 * count, dtype=np.float32).reshape(-1, 2), CARD, labels, path)


@pytest.mark.parametrize(
    ("rows", "queries", "judged", "why"),
    [
        ([0, 1, 1], None, False, "queries has no labels"),
        (None, [0, 1, 1], False, "rows has no labels"),
        ([2, 2, 2], [2, 2], False, "all rows of rows have one label, so every neighbour has the right one"),
        ([2, 2, -1], [2, 2], False, "all rows of rows have one label, so every neighbour has the right one"),
        ([-1, -1], [2, 2], False, "no row of rows has a class"),
        ([0, 1], [-1], False, "no row of queries has a class"),
        ([0, 1, -1], [1, -1], True, "2 rows and queries have no class, and judgements may speak of them"),
    ],
)
def test_why_it_is_not_measured(rows, queries, judged, why):
    one, other, notes = classed(held(rows, "rows"), held(queries, "queries"), judged=judged)
    assert notes == (f"1-NN is not measured: {why}",)
    assert one.labels is other.labels is None
    assert len(one) == len(held(rows, "rows"))


def test_who_has_no_class_is_left_out():
    one, other, notes = classed(held([0, -1, 1], "rows"), held([1, -1], "queries"), judged=False)
    assert (one.ids.tolist(), other.ids.tolist()) == ([0, 2], [0])
    assert notes == ("rows: left out rows without a class: 1", "queries: left out queries without a class: 1")


def test_nothing_is_said_where_nothing_is_missing():
    for rows, queries in ((None, None), ([0, 1], [1, 0])):
        one, other = held(rows, "rows"), held(queries, "queries")
        assert classed(one, other, judged=True) == (one, other, ())
