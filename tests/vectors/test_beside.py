"""Ids and labels, in the file of the vectors and in files of their own."""

from __future__ import annotations

import json

import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet

from mrl.errors import InputError
from mrl.vectors import open_vectors, read_ids, read_labels
from vectors.written import WRITERS, ids, vectors

ROWS = 6
NAMES = ["cow", "ant", "bee", "ant", "cow", "ant"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", vectors(ROWS, 4))
    return tmp_path


def write(path, name, values):
    """One column, in the format of the path's ending."""
    if path.suffix == ".npy":
        np.save(path, np.array(values))
    elif path.suffix == ".txt":
        path.write_text("\n".join(map(str, values)) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({name: value}) + "\n" for value in values))
    else:
        {".csv": csv.write_csv, ".parquet": parquet.write_table}[path.suffix](pyarrow.table({name: values}), path)


ENDINGS = pytest.mark.parametrize("ending", [".npy", ".txt", ".jsonl", ".csv", ".parquet"])


@ENDINGS
def test_labels_by_name_are_numbered_in_sorted_order(here, ending):
    write(here / f"labels{ending}", "label", NAMES)
    held = open_vectors("v.npy", labels=f"labels{ending}").held()
    assert (held.labels.tolist(), held.label_names) == ([2, 0, 1, 0, 2, 0], ("ant", "bee", "cow"))
    assert held.labels.dtype == np.int64


@ENDINGS
def test_labels_that_are_numbers_stay(here, ending):
    write(here / f"labels{ending}", "label", [5, 0, 2, 2, 0, 9])
    held = open_vectors("v.npy", labels=f"labels{ending}").held()
    assert (held.labels.tolist(), held.label_names) == ([5, 0, 2, 2, 0, 9], ())


@ENDINGS
def test_ids_of_a_file_of_their_own(here, ending):
    for values in (["a", "b", "c", "x", "y", "z"], [7, 3, 1, 9, 2, 4]):
        write(here / f"ids{ending}", "id", values)
        assert open_vectors("v.npy", ids=f"ids{ending}").held().ids.tolist() == values


def test_what_is_given_beside_takes_the_place_of_the_file_s_own(here):
    for name in ("plain.npz", "fixed.parquet", "stream.arrow"):
        WRITERS[name](here / name, vectors(ROWS, 4))
        write(here / "labels.txt", "label", NAMES)
        write(here / "ids.txt", "id", range(10, 16))
        source = open_vectors(name, ids="ids.txt", labels="labels.txt")
        assert source.held().ids.tolist() == list(range(10, 16))
        assert source.held().label_names == ("ant", "bee", "cow")
        assert [block.ids.tolist() for block in source.batches(4)] == [[10, 11, 12, 13], [14, 15]]
    WRITERS["table"](here / "t", vectors(ROWS, 4))
    assert open_vectors("t", labels="labels.txt").held().labels.tolist() == [2, 0, 1, 0, 2, 0]


def refused(**settings):
    with pytest.raises(InputError) as refusal:
        open_vectors("v.npy", **settings)
    return str(refusal.value)


def test_another_number_of_them_is_refused_before_anything_is_read(here):
    write(here / "some.txt", "", NAMES[:5])
    assert refused(labels="some.txt") == "6 vectors came with 5 labels, of some.txt; give one for each vector"
    assert refused(ids="some.txt") == "6 vectors came with 5 ids, of some.txt; give one for each vector"
    np.savez("own.npz", vectors=vectors(6, 2), ids=np.arange(7), labels=np.zeros((6, 2), np.int64))
    with pytest.raises(InputError, match=r"labels of own.npz must be \(n,\) integers or strings, got int64 of shape"):
        open_vectors("own.npz")
    np.savez("own.npz", vectors=vectors(6, 2), ids=np.arange(7))
    with pytest.raises(InputError, match=r"6 vectors came with 7 ids, of own.npz itself; give one for each vector"):
        open_vectors("own.npz")


def test_labels_that_are_none(here):
    np.save("labels.npy", np.array([0, 1, -1, 2, 3, 4]))
    assert refused(labels="labels.npy").startswith(
        "row 2 of labels.npy has label -1; labels are integers of at least 0"
    )
    np.save("labels.npy", np.linspace(0, 1, ROWS))
    assert "labels of labels.npy must be (n,) integers or strings, got float64" in refused(labels="labels.npy")
    parquet.write_table(pyarrow.table({"label": ["a", None] * 3}), "labels.parquet")
    assert refused(labels="labels.parquet") == (
        "the column label of labels.parquet has 3 nulls; labels are integers or strings"
    )
    parquet.write_table(pyarrow.table({"class": ["a"]}), "labels.parquet")
    assert refused(labels="labels.parquet") == (
        "labels.parquet has no column label, only class; rename the one of the labels"
    )
    (here / "labels.txt").write_bytes(b"\xff\xfe")
    assert "labels.txt is no UTF-8 text; labels are an .npy, a column label, or a text" in refused(labels="labels.txt")


def test_ids_that_are_none(here):
    np.save("ids.npy", np.linspace(0, 1, ROWS))
    assert "ids of ids.npy must be int64 or strings, got float64; write them as strings" in refused(ids="ids.npy")
    np.save("ids.npy", np.full(ROWS, 2**64 - 1, np.uint64))
    assert "must be int64 or strings, got uint64" in refused(ids="ids.npy")


def test_categories_as_labels_and_ids(here):
    v = vectors(ROWS, 4)
    columns = {"id": pyarrow.array(ids(ROWS)).dictionary_encode(), "label": pyarrow.array(NAMES).dictionary_encode()}
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(v.reshape(-1)), 4)
    parquet.write_table(pyarrow.table({"embedding": lists, **columns}), "v.parquet")
    held = open_vectors("v.parquet").held()
    assert (held.ids.tolist(), held.label_names) == (ids(ROWS).tolist(), ("ant", "bee", "cow"))


def test_text_keeps_what_is_no_plain_number(here):
    (here / "t.txt").write_text("007\n8\n")
    assert read_ids(here / "t.txt").tolist() == ["007", "8"]
    (here / "t.csv").write_text("label\n01\n2\n")
    assert read_labels(here / "t.csv").tolist() == ["01", "2"]


# ------------------------------------------------------------------------------------------------ labels by id


def beside(path, named, labels):
    """Ids and their labels, in the format of the path's ending."""
    table = pyarrow.table({"id": named, "label": labels})
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        {".csv": csv.write_csv, ".parquet": parquet.write_table}[path.suffix](table, path)


TABULAR = pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])


@TABULAR
@pytest.mark.parametrize("kind", ["numbered", "integers", "strings"])
def test_labels_with_ids_are_found_by_them(here, ending, kind):
    named = {"numbered": range(ROWS), "integers": [7, 3, 1, 9, 2, 4], "strings": ["b", "9", "x", "d", "07", "a"]}[kind]
    own = {} if kind == "numbered" else {"ids": "ids.txt"}
    write(here / "ids.txt", "id", named)
    order = np.random.default_rng(3).permutation(ROWS)
    beside(here / f"l{ending}", [list(named)[row] for row in order], [NAMES[row] for row in order])
    held = open_vectors("v.npy", labels=f"l{ending}", **own).held()
    assert [held.label_names[label] for label in held.labels] == NAMES
    held = open_vectors("v.npy", labels=f"l{ending}", **({"ids": f"l{ending}"} if own else {})).held()
    assert held.ids.tolist() == ([list(named)[row] for row in order] if own else list(range(ROWS)))


@pytest.mark.parametrize("name", ["table", "fixed.parquet", "stream.arrow", "plain.npz"])
def test_labels_are_found_by_the_ids_of_any_file(here, name):
    WRITERS[name](here / name, vectors(ROWS, 4))
    mine, order = open_vectors(name).held().ids, np.random.default_rng(4).permutation(ROWS)
    for kind in (np.int64, np.str_) if mine.dtype.kind == "i" else (np.str_,):
        beside(here / "l.parquet", mine[order].astype(kind).tolist(), [NAMES[row] for row in order])
        held = open_vectors(name, labels="l.parquet").held()
        assert [held.label_names[label] for label in held.labels] == NAMES


@TABULAR
def test_labels_of_other_ids_are_refused_by_name(here, ending):
    path, found = here / f"l{ending}", "labels with a column id are found by it: "
    for named, why in (
        ([0, 1, 2, 3, 4, 4], f"id 4 occurs twice in l{ending}; {found}keep one row of each id, or leave that column"),
        ([0, 1, 2, 3, 4, 6], f"no vector has the id 6 of l{ending}; {found}give the vectors the same ids with --ids"),
        ([0, 1, 2, 3, 4], f"l{ending} has no label for id 5 (1 vector without one); {found}give one for every vector"),
        (list("abcdef"), f"no vector has the id 'a' of l{ending}; {found}give the vectors the same ids with --ids, or"),
    ):
        beside(path, named, NAMES[: len(named)])
        assert why in refused(labels=path.name)
    write(here / "ids.txt", "id", [1, 1, 2, 3, 4, 5])
    beside(path, range(ROWS), NAMES)
    assert f"id 1 occurs twice among the vectors; {found}" in refused(labels=path.name, ids="ids.txt")
