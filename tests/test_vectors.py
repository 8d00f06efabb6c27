import hashlib
import json
import os
import random
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.card import Card
from mrl.disk import LOCK, MANIFEST, Folder
from mrl.errors import CardError, DamagedError, ExistsError, InputError, StorageError, UnfinishedError
from mrl.nesting import Nesting
from mrl.vectors import Table
from mrl.vectors.keys import Keys
from oracles import flipped

CARD = Card("model", 6, Nesting((2, 4)), fingerprint="f")


def made(n, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((n, CARD.width)).astype(dtype)


@pytest.fixture
def writer(tmp_path):
    """One with a block of three rows, numbered and labelled."""
    writer = Table.create(tmp_path / "table", CARD, ("cat", "dog"))
    writer.add(made(3), labels=[0, 1, 0])
    return writer


def refused(writer, said, error=InputError, **block):
    """`add` refuses the block, commits nothing, and still takes a good one."""
    path = writer._folder.path
    before = sorted(path.iterdir())
    rows = Table.open(path, unfinished=True).rows
    with pytest.raises(error, match=said):
        writer.add(**{"vectors": made(2, 1), "labels": [1, 1], **block})
    assert sorted(path.iterdir()) == before
    assert Table.open(path, unfinished=True).rows == rows
    writer.add(made(2, 1), labels=[1, 1])
    writer.close()
    assert Table.open(path).verify() == 6


# --------------------------------------------------------------------------------------------- round trips


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), max_size=4),
    kind=st.sampled_from(["numbered", "integers", "strings"]),
    labelled=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float16]),
)
def test_what_was_added_is_read(sizes, kind, labelled, dtype):
    total, cuts = sum(sizes), np.cumsum([0, *sizes])
    vectors, labels = made(total, dtype=dtype), np.arange(total) % 3 - 1
    ids = {
        "numbered": np.arange(total),
        "integers": np.arange(total) * -7 + 2**40,
        "strings": np.array([f"{'ü' * (i % 4)}{i}" for i in range(total)], dtype=np.str_),
    }[kind]
    with tempfile.TemporaryDirectory() as folder:
        with Table.create(Path(folder) / "t", CARD, ["a", "b", "ü"]) as writer:
            for start, stop in pairwise(cuts):
                writer.add(
                    vectors[start:stop],
                    None if kind == "numbered" else ids[start:stop],
                    labels[start:stop] if labelled else None,
                )
        table = Table.open(Path(folder) / "t")
        assert (len(table), table.rows, table.card) == (total, total, CARD)
        assert table.label_names == ("a", "b", "ü")
        assert table.vectors.dtype == (dtype if sizes else np.float32)
        np.testing.assert_array_equal(table.vectors, vectors)
        np.testing.assert_array_equal(table.ids, ids)
        assert table.ids.dtype.kind == ("U" if kind == "strings" and sizes else "i")
        if labelled and sizes:
            assert table.labels.dtype == np.int64
            np.testing.assert_array_equal(table.need_labels(), labels)
        else:
            assert table.labels is None
        assert table.verify() == len(sizes) * (3 if labelled else 2)


def test_an_empty_table_has_shapes(tmp_path):
    with Table.create(tmp_path / "t", CARD):
        pass
    table = Table.open(tmp_path / "t")
    assert (table.rows, table.vectors.shape, table.ids.shape, table.labels) == (0, (0, 6), (0,), None)
    assert table.verify() == 0


def test_rows_are_numbered_on(tmp_path):
    with Table.create(str(tmp_path / "t"), CARD) as writer:
        writer.add(made(3))
        writer.add(made(2, 1))
    np.testing.assert_array_equal(Table.open(str(tmp_path / "t")).ids, np.arange(5))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64])
def test_integers_of_any_kind_are_stored_as_int64(tmp_path, dtype):
    with Table.create(tmp_path / "t", CARD) as writer:
        writer.add(made(2), np.array([1, 2], dtype), np.array([3, 4], dtype))
        writer.add(made(2), np.array([3, 4], np.int64), np.array([5, 6], np.int64))
    table = Table.open(tmp_path / "t")
    assert table.ids.dtype == table.labels.dtype == np.int64
    np.testing.assert_array_equal(table.ids, [1, 2, 3, 4])
    np.testing.assert_array_equal(table.labels, [3, 4, 5, 6])


def test_a_table_is_a_snapshot(writer):
    before = Table.open(writer._folder.path, unfinished=True)
    writer.add(made(2, 1), labels=[1, 1])
    assert before.rows == len(before.vectors) == 3
    assert Table.open(writer._folder.path, unfinished=True).rows == 5


def test_rows_without_labels_say_how_to_get_some(tmp_path):
    with Table.create(tmp_path / "t", CARD) as writer:
        writer.add(made(3))
    with pytest.raises(InputError, match="/t has no labels; write it with labels=, or embed class folders, or"):
        Table.open(tmp_path / "t").need_labels()


# --------------------------------------------------------------------------------------------- unfinished


def test_a_table_whose_writer_stopped_is_unfinished(writer):
    path = writer._folder.path
    said = r"/table is unfinished: its writer stopped after 3 rows; remove it and write it again, or open it with unfin"
    with pytest.raises(UnfinishedError, match=said):
        Table.open(path)
    table = Table.open(path, unfinished=True)
    np.testing.assert_array_equal(table.vectors, made(3))
    assert table.verify() == 3
    writer.close()
    assert Table.open(path).rows == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_leaves_the_table_unfinished(tmp_path, error):
    def stop():
        with Table.create(tmp_path / "t", CARD) as writer:
            writer.add(made(3))
            raise error

    with pytest.raises(error):
        stop()
    with pytest.raises(UnfinishedError):
        Table.open(tmp_path / "t")
    assert Table.open(tmp_path / "t", unfinished=True).rows == 3


def test_what_is_no_table_does_not_open(tmp_path):
    with pytest.raises(StorageError, match=r"is no mrl-table: it has no manifest.json; nothing was committed there"):
        Table.open(tmp_path)
    Table.create(tmp_path / "t", CARD)
    with pytest.raises(StorageError, match="nothing was committed there"):
        Table.open(tmp_path / "t", unfinished=True)


def test_a_table_is_not_overwritten(writer):
    with pytest.raises(ExistsError, match="table already exists and is not overwritten; remove it or choose another"):
        Table.create(writer._folder.path, CARD)


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_that_are_not_finite_are_named(writer, bad, dtype):
    vectors = made(9, 1, dtype)
    vectors[[4, 7], 5] = bad
    said = r"row 4 has a NaN or an Inf \(2 such rows\); leave these rows out"
    refused(writer, said, vectors=vectors, labels=np.zeros(9, int))


def test_vectors_of_another_width_are_refused(writer):
    said = re.escape("model has vectors of width 6, got shape (2, 5); embed them with the same model")
    refused(writer, said, CardError, vectors=made(2)[:, :5])


@pytest.mark.parametrize("shape", [(6,), (1, 2, 6), ()])
def test_vectors_that_are_no_matrix_are_refused(writer, shape):
    refused(writer, re.escape(f"vectors must be (rows, width), got shape {shape}"), vectors=np.ones(shape, np.float32))


@pytest.mark.parametrize("dtype", ["float64", "int32", "complex64", ">f4", "bool"])
def test_vectors_of_another_type_are_refused(writer, dtype):
    said = f"vectors must be float32 or float16, got {np.dtype(dtype)}; convert them first"
    refused(writer, said, vectors=np.ones((2, 6), dtype))


@pytest.mark.parametrize("column", ["ids", "labels"])
@pytest.mark.parametrize("values", [[8], [8, 9, 10], [[8, 9]], [8.0, 9.0], [True, False], 8, [None, 8]], ids=repr)
def test_ids_and_labels_of_another_shape_or_type_are_refused(writer, column, values):
    kinds = "integers or strings" if column == "ids" else "integers"
    got = np.asarray(values)
    said = re.escape(f"{column} must be 2 {kinds}, got {got.dtype} of shape {got.shape}")
    refused(writer, said, **{column: values})


def test_labels_are_numbers(writer):
    refused(writer, "labels must be 2 integers, got <U3 of shape", labels=["cat", "dog"])


@pytest.mark.parametrize("column", ["ids", "labels"])
def test_numbers_beyond_int64_are_refused(writer, column):
    said = f"{column} must be at most {2**63 - 1}, got {2**63}; give strings or smaller numbers"
    refused(writer, said, **{column: np.array([5, 2**63], np.uint64)})


@pytest.mark.parametrize("ids", [[7, 7], [8, 2], [0, 9]])
def test_an_id_that_occurs_twice_is_named(writer, ids):
    twice = 7 if ids[0] == 7 else min(ids)
    refused(writer, f"id {twice} occurs twice; every row needs an id of its own", ids=ids)


def test_string_ids_that_occur_twice_are_named(tmp_path):
    writer = Table.create(tmp_path / "t", CARD)
    with pytest.raises(InputError, match="id 'b' occurs twice"):
        writer.add(made(3), ["a", "b", "b"])
    writer.add(made(2), ["a", "b"])
    with pytest.raises(InputError, match="id 'a' occurs twice"):
        writer.add(made(2), ["c", "a"])


def test_numbering_on_does_not_repeat_an_id(tmp_path):
    writer = Table.create(tmp_path / "t", CARD)
    writer.add(made(2), [2, 5])
    with pytest.raises(InputError, match="id 2 occurs twice"):
        writer.add(made(1))


def test_finding_a_repeated_id_takes_no_square_of_the_rows(tmp_path):
    vectors = np.zeros((100_000, 1), np.float32)
    writer = Table.create(tmp_path / "t", Card("m", 1, Nesting((1,))))
    with pytest.raises(InputError, match="id 0 occurs twice"):
        writer.add(vectors, np.r_[np.arange(99_999), 0])


def test_ids_of_two_kinds_are_refused(writer):
    said = "some blocks have integer ids and some have strings; give ids of one kind for all rows"
    refused(writer, said, ids=["a", "b"])


def test_labels_for_some_rows_only_are_refused(writer):
    said = "some blocks have labels and some have none; give labels for all rows or for no row"
    refused(writer, said, labels=None)


# --------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("column", ["vectors", "ids", "labels"])
def test_a_flipped_byte_is_named_when_it_is_read_and_not_before(writer, column, block):
    writer.add(made(2, 1), labels=[1, 1])
    writer.close()
    path = writer._folder.path / f"{block:06d}.{column}.npy"
    raw, draws = path.read_bytes(), random.Random(0)
    for position in range(0, len(raw), 5):
        path.write_bytes(flipped(raw, position, draws.randrange(8)))
        table = Table.open(writer._folder.path)
        for other in {"vectors", "ids", "labels"} - {column}:
            assert len(getattr(table, other)) == 5
        said = rf"{path.name} is damaged: its bytes do not match manifest.json; restore it from a copy"
        with pytest.raises(DamagedError, match=said):
            getattr(table, column)
        with pytest.raises(DamagedError, match=said):
            Table.open(writer._folder.path).verify()


def test_a_missing_block_is_named(writer):
    writer.close()
    (writer._folder.path / "000000.ids.npy").unlink()
    with pytest.raises(DamagedError, match=r"000000.ids.npy is missing although manifest.json names it"):
        Table.open(writer._folder.path).verify()


def test_a_flipped_byte_of_the_manifest_is_named(writer):
    path = writer._folder.path / "manifest.json"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"finished": false', b'"finished": true '))
    with pytest.raises(DamagedError, match=r"manifest.json is damaged"):
        Table.open(path.parent)


def test_label_names_differ_and_name_every_label(tmp_path):
    card = Card("m", 2, Nesting((2,)))
    with pytest.raises(InputError, match=r"label names must differ, some of .* occur twice"):
        Table.create(tmp_path / "a", card, ("x", "x"))
    with Table.create(tmp_path / "b", card, ("x", "y")) as out:
        with pytest.raises(InputError, match="label 2 has no name among the 2 label names"):
            out.add(np.ones((1, 2), np.float32), labels=[2])
        out.add(np.ones((1, 2), np.float32), labels=[1])
    assert Table.open(tmp_path / "b").rows == 1


# --------------------------------------------------------------------------------------------- going on


def contents(path):
    """What a table is: every file, by name, and what the manifest says; not by how many commits it came about."""
    files = [file for file in path.iterdir() if not file.match("manifest*.json") and file.name != LOCK]
    folder = Folder.open(path, "mrl-table")
    return {**{file.name: file.read_bytes() for file in files}, MANIFEST: (folder.manifest, folder.entries)}


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    cuts=st.sets(st.integers(0, 5)),
    closed=st.booleans(),
    labelled=st.booleans(),
    strings=st.booleans(),
)
def test_a_table_written_in_several_goes_has_the_bytes_of_one_written_in_one(sizes, cuts, closed, labelled, strings):
    total, ends = sum(sizes), np.cumsum([0, *sizes])
    ids = np.array([f"{i:03}" for i in range(total)]) if strings else np.arange(total)

    def add(writer, block):
        rows = slice(ends[block], ends[block + 1])
        writer.add(made(total)[rows], ids[rows], (np.arange(total) % 2)[rows] if labelled else None)

    with tempfile.TemporaryDirectory() as folder:
        once, often = Path(folder) / "once", Path(folder) / "often"
        with Table.create(once, CARD, ("cat", "dog")) as writer:
            for block in range(len(sizes)):
                add(writer, block)
        writer = Table.create(often, CARD, ("cat", "dog"))
        for block in range(len(sizes)):
            if block in cuts and block:
                if closed:
                    writer.close()
                del writer  # which lets go of the table
                writer = Table.append(often, CARD, ("cat", "dog"))
            add(writer, block)
        writer.close()
        assert contents(often) == contents(once)


@pytest.fixture
def finished(writer):
    writer.close()
    return writer._folder.path


def test_while_it_is_appended_to_a_table_is_unfinished_and_readers_keep_their_snapshot(finished):
    before = Table.open(finished)
    with Table.append(finished, CARD) as writer:
        assert (writer.rows, writer.finished, writer.label_names) == (3, True, ("cat", "dog"))
        assert Table.open(finished).finished
        writer.add(made(2, 1), labels=[1, 1])
        with pytest.raises(UnfinishedError, match="stopped after 5 rows"):
            Table.open(finished)
        assert Table.open(finished, unfinished=True).rows == 5
        np.testing.assert_array_equal(before.vectors, made(3))
    table = Table.open(finished)
    assert table.finished
    np.testing.assert_array_equal(table.ids, np.arange(5))
    np.testing.assert_array_equal(table.vectors, np.concatenate([made(3), made(2, 1)]))
    assert before.verify() == 3


def test_appending_nothing_changes_nothing(finished):
    before = contents(finished)
    with Table.append(finished, CARD, ("bird",)):
        pass
    assert contents(finished) == before


def test_labels_are_mapped_by_name_and_new_names_come_after(finished):
    with Table.append(finished, CARD, ("bird", "dog", "ant")) as writer:
        writer.add(made(4, 1), labels=[0, 1, 2, -1])
    table = Table.open(finished)
    assert table.label_names == ("cat", "dog", "bird", "ant")
    assert table.labels.tolist() == [0, 1, 0, 2, 1, 3, -1]


def test_without_names_labels_are_the_tables_own(finished):
    with Table.append(finished, CARD) as writer:
        writer.add(made(2, 1), labels=[1, 0])
        with pytest.raises(InputError, match="label 2 has no name among the 2 label names"):
            writer.add(made(1, 2), labels=[2])
    assert Table.open(finished).labels.tolist() == [0, 1, 0, 1, 0]


def test_a_table_from_before_commits_were_counted_is_read_and_appended_to(finished):
    manifest, blank = finished / MANIFEST, b"0" * 64
    document = json.loads(manifest.read_bytes()) | {"sha256": blank.decode()}
    del document["commit"]
    raw = json.dumps(document, indent=2).encode() + b"\n"
    manifest.write_bytes(raw.replace(blank, hashlib.sha256(raw).hexdigest().encode()))
    for kept in finished.glob("manifest-*.json"):
        kept.unlink()
    assert Table.open(finished).verify() == 3
    with Table.append(finished, CARD) as writer:
        writer.add(made(2, 1), labels=[1, 1])
    assert Table.open(finished).verify() == 6
    np.testing.assert_array_equal(Table.open(finished).vectors, np.concatenate([made(3), made(2, 1)]))


def test_names_for_labels_that_have_none_are_refused(tmp_path):
    with Table.create(tmp_path / "t", CARD) as writer:
        writer.add(made(1), labels=[0])
    with pytest.raises(InputError, match="/t has labels without names, so those of 1 named classes cannot be matched"):
        Table.append(tmp_path / "t", CARD, ("cat",))
    with pytest.raises(InputError, match="label names must differ"):
        Table.append(tmp_path / "t", CARD, ("cat", "cat"))


def test_vectors_of_another_model_are_not_appended(finished):
    other = Card("other", 6, Nesting((2, 4)), fingerprint="g")
    with pytest.raises(CardError, match=r"table and what is added do not belong together: fingerprint is f .* and g"):
        Table.append(finished, other)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"ids": [7, 2]}, "id 2 occurs twice"),
        ({"ids": ["a", "b"]}, "some blocks have integer ids and some have strings"),
        ({"labels": None}, "some blocks have labels and some have none"),
    ],
    ids=["twice", "kinds", "unlabelled"],
)
def test_what_was_committed_before_counts(finished, block, said):
    before = contents(finished)
    with Table.append(finished, CARD) as writer, pytest.raises(InputError, match=said):
        writer.add(**{"vectors": made(2), "labels": [0, 0], **block})
    assert contents(finished) == before


def test_a_closed_writer_takes_nothing(writer):
    writer.close()
    writer.close()
    said = r"this writer of .*/table is closed; open the table again with Table\.append"
    with pytest.raises(InputError, match=said):
        writer.add(made(1), labels=[0])
    with Table.append(writer._folder.path, CARD) as other:
        pass
    with pytest.raises(InputError, match=said):
        other.add(made(1), labels=[0])


WRITTEN = rf"is being written by process {os.getpid()} on .*; there is one writer at a time: let that one finish"


def test_a_second_writer_is_refused_until_the_first_is_closed(writer):
    path = writer._folder.path
    for _ in range(2):
        with pytest.raises(StorageError, match=WRITTEN):
            Table.append(path, CARD)
    assert Table.open(path, unfinished=True).rows == 3, "readers are not"
    writer.close()
    with Table.append(path, CARD) as other:
        other.add(made(2, 1), [8, 9], labels=[1, 1])
    assert Table.open(path).verify() == 6


def test_a_writer_that_met_an_error_lets_go_of_the_table(writer):
    with pytest.raises(KeyError), writer:
        raise KeyError
    with Table.append(writer._folder.path, CARD) as other:
        assert (other.rows, other.finished) == (3, False)


def test_a_writer_that_was_refused_or_dropped_lets_go_of_the_table(finished):
    with pytest.raises(CardError) as _kept:
        Table.append(finished, Card("other", 6, Nesting((2, 4)), fingerprint="g"))
    writer = Table.append(finished, CARD)
    with pytest.raises(StorageError, match=WRITTEN):
        Table.append(finished, CARD)
    del writer
    Table.append(finished, CARD).close()


def test_of_two_that_begin_a_table_one_is_refused(tmp_path):
    first = Table.create(tmp_path / "t", CARD)
    with pytest.raises(StorageError, match=WRITTEN):
        Table.create(tmp_path / "t", CARD)
    first.add(made(1))
    with pytest.raises(ExistsError):
        Table.create(tmp_path / "t", CARD)
    first.close()
    np.testing.assert_array_equal(Table.open(tmp_path / "t").vectors, made(1))


def test_a_table_that_was_begun_is_gone_on_with_and_loses_half_written_files(tmp_path):
    path = tmp_path / "t"
    assert not Table.begun(path)
    path.mkdir()
    assert not Table.begun(path)
    (path / "000000.labels.npy").write_bytes(b"half")
    (path / ".tmp-0123456789ab-000000.vectors.npy").write_bytes(b"half")
    assert Table.begun(path)
    with Table.append(path, CARD) as writer:
        writer.add(made(2), labels=[0, 1])
    assert sorted(contents(path)) == ["000000.ids.npy", "000000.labels.npy", "000000.vectors.npy", MANIFEST]
    assert Table.begun(path)
    assert Table.open(path).verify() == 3


def test_what_is_not_ours_is_not_appended_to(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        (tmp_path / "mine.txt").touch()
        assert not Table.begun(path)
        with pytest.raises(StorageError, match="nothing was committed there"):
            Table.append(path, CARD)


def test_blocks_come_mapped_and_in_order(writer):
    writer.add(made(2, 1), labels=[1, 1])
    writer.close()
    table = Table.open(writer._folder.path)
    blocks = list(table.blocks())
    assert [len(block.ids) for block in blocks] == [3, 2]
    assert all(isinstance(column, np.memmap) for block in blocks for column in block)
    for i, whole in enumerate((table.vectors, table.ids, table.labels)):
        np.testing.assert_array_equal(np.concatenate([block[i] for block in blocks]), whole)
    with Table.create(table.path.with_name("bare"), CARD) as bare:
        bare.add(made(2))
    assert [block.labels for block in Table.open(table.path.with_name("bare")).blocks()] == [None]


# --------------------------------------------------------------------------------------------- ids


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(-5, 40), max_size=6), max_size=8), st.booleans())
def test_keys_are_a_set(parts, strings):
    keys, seen = Keys(), set()
    for part in parts:
        ids = np.array([f"ü{i}" for i in part], np.str_) if strings else np.array(part, np.int64)
        assert keys.known(ids).tolist() == [i in seen for i in part]
        before = keys.snapshot()
        first = next((i for at, i in enumerate(part) if i in seen or i in part[:at]), None)
        if first is not None:
            name = repr(f"ü{first}") if strings else first
            with pytest.raises(InputError, match=f"^id {name} occurs twice; every row"):
                keys.check_fresh(ids)
            continue
        keys.check_fresh(ids)
        keys.add(ids)
        assert before.known(ids).sum() == 0
        seen |= set(part)
        assert len(keys) == len(seen)


def test_a_million_ids_take_eight_bytes_each_and_few_runs():
    keys = Keys()
    for start in range(0, 1_000_000, 10_000):
        keys.add(np.arange(start, start + 10_000)[::-1])
    assert sum(run.nbytes for run in keys._runs) == 8_000_000
    assert len(keys._runs) <= 8
    assert keys.known(np.array([-1, 0, 999_999, 1_000_000])).tolist() == [False, True, True, False]
