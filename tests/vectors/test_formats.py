"""What a format's own library wrote is read back: the same vectors, ids and labels, however it is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from mrl import Nesting
from mrl.vectors import Described, Held, open_vectors
from vectors.written import DOUBLES, HALVES, LABELLED, NAMED_LABELS, WRITERS, arrow_table, ids, labels, vectors

FORMATS = pytest.mark.parametrize("name", WRITERS)


def check(source, name, v, named):
    """All that a source says, against what was written."""
    held = source.held()
    np.testing.assert_array_equal(held.vectors, v)
    assert held.vectors.dtype == v.dtype
    np.testing.assert_array_equal(held.ids, ids(len(v)) if named else np.arange(len(v)))
    assert (len(source), source.count, source.named, source.labelled) == (len(v), len(v), named, name in LABELLED)
    if name in LABELLED:
        np.testing.assert_array_equal(held.labels, labels(len(v)))
    assert held.label_names == (("ant", "bee", "cow")[: len(np.unique(labels(len(v))))] if name in NAMED_LABELS else ())


@FORMATS
@settings(max_examples=5, deadline=None)
@given(rows=st.integers(3, 40), width=st.integers(1, 9), size=st.integers(1, 50), start=st.integers(0, 40))
def test_every_format_is_read_back_whole_and_as_a_stream(name, rows, width, size, start, tmp_path_factory):
    path, v = tmp_path_factory.mktemp("written") / name, vectors(rows, width)
    named = WRITERS[name](path, v)
    source = open_vectors(path)
    check(source, name, v, named)
    start = min(start, rows)
    blocks = list(source.batches(size, start))
    assert all(len(block.vectors) == size for block in blocks[:-1])
    assert sum(len(block.vectors) for block in blocks) == rows - start
    held = source.held()
    for column in ("vectors", "ids", "labels"):
        parts = [getattr(block, column) for block in blocks if getattr(block, column) is not None]
        if parts:
            np.testing.assert_array_equal(np.concatenate(parts), getattr(held, column)[start:])


@pytest.mark.parametrize("name", HALVES)
def test_halves_stay_halves(name, tmp_path):
    v = vectors(20, 4, np.float16)
    named = WRITERS[name](tmp_path / name, v)
    check(open_vectors(tmp_path / name), name, v, named)


@pytest.mark.parametrize("name", DOUBLES)
def test_doubles_become_float32(name, tmp_path):
    v = vectors(20, 4, np.float64)
    named = WRITERS[name](tmp_path / name, v)
    check(open_vectors(tmp_path / name), name, v.astype(np.float32), named)


@FORMATS
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_picked_rows_are_those_of_all(name, data, tmp_path_factory):
    path, v = tmp_path_factory.mktemp("written") / name, vectors(23, 3)
    WRITERS[name](path, v)
    source = open_vectors(path)
    rows = data.draw(st.lists(st.integers(0, 22), max_size=30))
    some, held = source.picked(rows), source.held().only(np.array(rows, np.int64))
    for mine, wanted in ((some.vectors, held.vectors), (some.ids, held.ids), (some.labels, held.labels)):
        np.testing.assert_array_equal(mine, wanted)
    assert isinstance(some, Held)


def test_what_a_file_does_not_say_is_said_beside_it(tmp_path):
    np.save(tmp_path / "mine.npy", vectors(5, 8))
    card = open_vectors(tmp_path / "mine.npy", about=Described("gloss", "dot", "2..8")).card
    assert (card.model, card.metric, card.nesting) == ("gloss", "dot", Nesting((2, 4, 8)))
    plain = open_vectors(tmp_path / "mine.npy").card
    assert (plain.model, plain.metric, plain.nesting) == ("mine", "cosine", Nesting((8,)))


def test_a_key_names_the_array_that_is_meant(tmp_path):
    v = vectors(6, 4)
    np.savez(tmp_path / "a.npz", train=v, test=-v)
    np.testing.assert_array_equal(open_vectors(tmp_path / "a.npz", key="test").held().vectors, -v)


def test_a_pattern_names_many_files(tmp_path):
    v = vectors(30, 4)
    WRITERS["shards"](tmp_path / "shards", v)
    source = open_vectors(tmp_path / "shards" / "*.parquet")
    np.testing.assert_array_equal(source.held().vectors, v)
    assert source.card.model == "shards"
    part = open_vectors(tmp_path / "shards" / "00[12].parquet")
    np.testing.assert_array_equal(part.held().vectors, v[10:])


@pytest.mark.parametrize("name", ["v.arrow", "v.ipc", "v.parquet"])
def test_labels_that_are_a_dictionary(name, tmp_path):
    v, path = vectors(30, 4), tmp_path / name
    table = arrow_table(v)
    table = table.set_column(2, "label", table.column("label").dictionary_encode())
    if name == "v.parquet":
        parquet.write_table(table, path)
    else:
        with (ipc.new_file if name == "v.ipc" else ipc.new_stream)(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    source = open_vectors(path)
    np.testing.assert_array_equal(source.held().vectors, v)
    np.testing.assert_array_equal(source.labels, labels(30))
    assert source.label_names == ("ant", "bee", "cow")


def test_bytes_in_the_other_order(tmp_path):
    np.save(tmp_path / "big.npy", vectors(5, 3).astype(">f4"))
    held = open_vectors(tmp_path / "big.npy").held()
    np.testing.assert_array_equal(held.vectors, vectors(5, 3))
    assert held.vectors.dtype == np.float32


def test_a_table_with_blocks_of_two_types_is_held_as_float32(tmp_path):
    from mrl import Card, Table

    v = vectors(6, 4, np.float16)
    with Table.create(tmp_path / "t", Card("x", 4, Nesting((4,)))) as writer:
        writer.add(v[:3])
        writer.add(v[3:].astype(np.float32))
    held = open_vectors(tmp_path / "t").held()
    assert held.vectors.dtype == np.float32
    np.testing.assert_array_equal(held.vectors, v)


def test_no_rows(tmp_path):
    np.save(tmp_path / "none.npy", vectors(0, 4))
    source = open_vectors(tmp_path / "none.npy")
    assert (len(source), list(source.batches()), source.held().vectors.shape) == (0, [], (0, 4))
