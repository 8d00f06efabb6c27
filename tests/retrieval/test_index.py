"""What an index answers after any sequence of changes, against a dictionary in memory."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import CardError, ExistsError, InputError, StorageError
from mrl.nesting import Nesting
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.retrieval.rows import Batch
from mrl.vectors import Table
from retrieval.keeper import CARD, QUERIES, SPEC, Twin, act, check, payload, vectors


@pytest.fixture
def twin():
    return Twin()


@pytest.fixture
def index(tmp_path, twin):
    """Rows 0–9, by integers, with payload."""
    return twin.build(tmp_path / "index", list(range(10)))


@pytest.fixture
def plain(tmp_path):
    """Rows 0–9, by integers, without payload."""
    return Twin(columns=False).build(tmp_path / "plain", list(range(10)))


def ones(n=1):
    return np.ones((n, 8), np.float32)


# --------------------------------------------------------------------------------------------- against the twin


@pytest.mark.parametrize("seed", range(6))
def test_any_changes_leave_what_the_twin_has(tmp_path, seed):
    twin, draws = Twin(strings=seed % 2 == 1, columns=seed % 3 > 0), random.Random(seed)
    index = twin.build(tmp_path / "index", list(range(draws.choice([0, 1, 20]))))
    check(index, twin)
    for step in range(1, 16):
        verb, numbers = twin.change(draws, step)
        assert act(index, twin, verb, numbers, step) == twin.apply(verb, numbers, step)
        check(index, twin)
        if step % 5 == 0:
            index = Index.open(index.path)
            check(index, twin)
    assert index.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_any_changes_leave_what_the_twin_has_at_length(tmp_path, seed):
    twin, draws = Twin(strings=seed % 2 == 1, columns=seed % 3 > 0), random.Random(seed)
    index = twin.build(tmp_path / "index", list(range(draws.choice([0, 1, 20]))))
    for step in range(1, 80):
        verb, numbers = twin.change(draws, step)
        assert act(index, twin, verb, numbers, step) == twin.apply(verb, numbers, step)
        check(index, twin)


def test_a_large_batch_is_added_like_a_small_one(tmp_path):
    rows = np.random.default_rng(1).standard_normal((20_000, 8)).astype(np.float32)
    whole = Index.build(tmp_path / "whole", Rows.of(rows, CARD), SPEC)
    grown = Index.build(tmp_path / "grown", Rows.of(rows[:1000], CARD), SPEC)
    assert grown.add(rows[1000:]) == 19_000, "in a stream"
    assert grown.upsert(rows[500:18_000], np.arange(500, 18_000)) == 17_500
    assert grown.delete(np.arange(100)) == 100
    assert grown.upsert(rows[:100], np.arange(100)) == 100
    for changed in (grown, Index.open(grown.path)):
        assert changed.rows == 20_000
        found, want = changed.search(QUERIES, 20), whole.search(QUERIES, 20)
        assert found.ids.tolist() == want.ids.tolist()
        np.testing.assert_array_equal(found.scores, want.scores)
        changed.compact()
    assert grown.snapshot.positions == 20_000


def test_a_stream_of_unknown_length_is_added_whole_or_not(index, twin):
    batches = [Batch(vectors(each, 3), np.array(each), payload(each, 3)) for each in ([20, 21], [22], [5])]
    with pytest.raises(InputError, match=r"id 5 is in .*index already \(1 such ids\); upsert replaces rows"):
        index.add(Rows.stream(iter(batches), CARD))
    check(index, twin)
    assert index.upsert(Rows.stream(iter(batches), CARD)) == twin.apply("upsert", [20, 21, 22, 5], 3)
    check(index, twin)


def test_a_stream_that_is_shorter_than_it_said_is_added_as_it_is(plain):
    assert plain.add(Rows.stream([], CARD, 5)) == 0
    assert plain.add(Rows.stream([Batch(ones()), Batch(ones(2))], CARD, 5)) == 3
    assert plain.known([10, 11, 12, 13]).tolist() == [True, True, True, False]


def test_a_table_is_added_with_its_labels(tmp_path):
    with Table.create(tmp_path / "table", CARD, label_names=("a", "b")) as writer:
        writer.add(vectors([1, 2, 3], 0), [1, 2, 3], [0, 1, 1])
    table = Table.open(tmp_path / "table")
    index = Index.build(tmp_path / "index", table)
    assert index.get([3, 1]).payload["label"].to_pylist() == ["b", "a"]
    with pytest.raises(InputError, match="id 1 is in"):
        index.add(table)
    assert index.upsert(table) == 3
    assert index.rows == 3
    with pytest.raises(InputError, match="ids and payload are given with an array; a table or Rows have their own"):
        index.upsert(table, [1, 2, 3])


def test_vectors_come_back_through_a_map(tmp_path):
    numbers = list(range(30))
    rows = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    index = Index.build(tmp_path / "index", Rows.of(rows[:20], CARD), BuildSpec(SPEC.layout, map="pca"))
    assert index.card.maps != ()
    assert index.add(rows[20:]) == 10
    index.delete([0])
    index.compact()
    np.testing.assert_allclose(index.get(numbers[1:]).vectors, rows[1:], atol=1e-6)
    plain = Index.build(tmp_path / "plain", Rows.of(rows[1:], CARD, numbers[1:]), SPEC)
    found, want = index.search(QUERIES, 10), plain.search(QUERIES, 10)
    assert found.ids.tolist() == want.ids.tolist()
    np.testing.assert_allclose(found.scores, want.scores, atol=1e-6)


# --------------------------------------------------------------------------------------------- ids


def test_rows_without_ids_are_numbered_on(plain):
    plain.add(ones(2))
    assert plain.known([9, 10, 11, 12]).tolist() == [True, True, True, False]
    plain.add(ones(), [40])
    plain.add(ones())
    plain.add(ones(17_000))
    assert plain.known([41, 42, 42 + 16_999, 42 + 17_000]).tolist() == [True, True, True, False]


def test_the_largest_id_cannot_be_numbered_on(plain):
    plain.add(ones(), [2**63 - 1])
    for many in (1, 20_000):
        with pytest.raises(InputError, match=r"ids cannot be numbered on from 9223372036854775808: .*; give ids"):
            plain.add(ones(many))
    assert plain.rows == 11
    assert plain.known([2**63 - 1, -1]).tolist() == [True, False]


def test_strings_cannot_be_numbered(tmp_path):
    index = Twin(strings=True, columns=False).build(tmp_path / "index", [1, 2])
    with pytest.raises(InputError, match=r"the ids of .*index are strings, got 0; give ids of one kind"):
        index.add(ones())
    for call in (index.get, index.known, index.delete):
        with pytest.raises(InputError, match=r"the ids of .*index are strings, got 1; give ids of one kind"):
            call([1])
    assert index.rows == 2


def test_a_single_vector_comes_with_a_single_id(plain):
    assert plain.add(ones()[0], 77) == 1
    assert plain.upsert(ones()[0], [77]) == 1
    assert plain.add(ones()[0]) == 1
    assert plain.known([77, 78]).all()
    assert plain.delete(77) == 1
    assert plain.get(78).vectors.tolist() == ones().tolist()


@pytest.mark.parametrize("many", [2, 20_000])
@pytest.mark.parametrize("verb", ["add", "upsert"])
def test_an_id_that_comes_twice_is_refused(index, twin, verb, many):
    numbers = [*range(100, 98 + many), 33, 33]
    with pytest.raises(InputError, match="id 33 occurs twice; every row needs an id of its own"):
        getattr(index, verb)(np.resize(ones(), (many, 8)), **twin.given(numbers, 1))
    check(index, twin)
    check(Index.open(index.path), twin)


@pytest.mark.parametrize("many", [1, 20_000])
def test_a_known_id_is_not_added_again(index, twin, many):
    numbers = [*range(100, 99 + many), 7]
    with pytest.raises(InputError, match=r"id 7 is in .*/index already \(1 such ids\); upsert replaces rows"):
        index.add(ones(many), **twin.given(numbers, 1))
    check(index, twin)


def test_unknown_ids_are_not_got_and_count_nothing_when_deleted(index, twin):
    with pytest.raises(InputError, match=r"id 44 is not in .*/index; check the id"):
        index.get([3, 44, 45])
    assert index.delete([44, 45]) == 0
    assert index.delete([44, 3, 3]) == twin.apply("delete", [3], 0) == 1
    assert index.delete([3]) == 0
    with pytest.raises(InputError, match="id 3 is not in"):
        index.get(3)
    check(index, twin)


def test_ids_come_back_in_the_order_that_was_asked_for(index):
    assert index.get([7, 2, 7]).ids.tolist() == [7, 2, 7]
    assert index.get([7, 2, 7]).payload["word"].to_pylist() == ["7 in 0", "2 in 0", "7 in 0"]


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (np.ones((1, 7), np.float32), CardError, "7"),
        (np.full((1, 8), np.nan, np.float32), InputError, "row 0 has a NaN or an Inf"),
        (np.full((1, 8), np.inf, np.float32), InputError, "row 0 has a NaN or an Inf"),
        (np.ones((1, 8), np.int64), InputError, r"vectors must be a float matrix \(n, width\), got int64"),
        (np.ones((1, 8, 1), np.float32), InputError, r"vectors must be a float matrix \(n, width\)"),
        (np.full((1, 8), 1e30, np.float32), InputError, "row 0 has length"),
    ],
)
@pytest.mark.parametrize("verb", ["add", "upsert"])
def test_what_cannot_be_stored_is_refused(index, twin, verb, rows, error, said):
    with pytest.raises(error, match=said):
        getattr(index, verb)(rows, **twin.given([50], 1))
    check(index, twin)
    check(Index.open(index.path), twin)


@pytest.mark.parametrize("many", [1, 20_000])
@pytest.mark.parametrize("field", ["fingerprint", "metric", "nesting"])
def test_vectors_of_another_model_are_refused(index, twin, field, many):
    other = replace(CARD, **{field: {"fingerprint": "other", "metric": "dot", "nesting": Nesting((4, 8))}[field]})
    with pytest.raises(CardError, match=f"index and what is added do not belong together: {field} is"):
        index.add(Rows.of(ones(many), other, np.arange(100, 100 + many)))
    check(index, twin)


def test_ids_and_vectors_are_as_many(index, twin):
    with pytest.raises(InputError, match="2 vectors came with 1 ids; give one for each vector"):
        index.add(ones(2), [50])
    with pytest.raises(InputError, match="1 vectors came with 2 payload rows; give one for each vector"):
        index.add(ones(), [50], payload([1, 2], 0))
    with pytest.raises(InputError, match=r"ids must be 1 integers or strings, got float64 of shape \(1,\)"):
        index.add(ones(), [0.5], payload([1], 0))
    check(index, twin)


@pytest.mark.parametrize("many", [1, 20_000])
@pytest.mark.parametrize("columns", [None, ["word"], ["word", "other"], ["word", "version", "more"]])
def test_payload_with_other_columns_is_refused(index, twin, columns, many):
    given = None if columns is None else pa.table({name: np.arange(many) for name in columns})
    theirs = "none" if columns is None else ", ".join(columns)
    with pytest.raises(
        InputError, match=f"the payload columns of .*index are word, version, the new rows have {theirs}; give the same"
    ):
        index.add(ones(many), np.arange(100, 100 + many), given)
    check(index, twin)


def test_payload_is_refused_where_there_is_none(plain):
    with pytest.raises(InputError, match=r"the payload columns of .*plain are none, the new rows have word, version"):
        plain.add(ones(), payload=payload([1], 1))
    assert plain.rows == 10


def test_payload_is_stored_in_the_types_and_the_order_that_are_there(index, twin):
    given = pa.table({"version": pa.array([3], pa.int16()), "word": pa.array(["11 in 3"], pa.large_string())})
    index.add(vectors([11], 3), [11], given)
    twin.apply("add", [11], 3)
    check(index, twin)
    with pytest.raises(InputError, match=r"payload cannot be stored with the types of .*index: .*"):
        index.add(ones(), [12], pa.table({"version": ["no number"], "word": ["x"]}))
    check(index, twin)


def test_categories_may_differ_from_block_to_block(tmp_path):
    def labelled(*values):
        return pa.table({"label": pa.array(values).dictionary_encode()})

    index = Index.build(tmp_path / "index", Rows.of(ones(2), CARD, payload=labelled("a", "b")), SPEC)
    with index.writing():
        index.add(ones(2), [2, 3], labelled("c", "a"))
        index.add(Rows.stream([Batch(ones(), np.array([n]), labelled("de"[n - 4])) for n in (4, 5)], CARD, 2))
        index.delete([1])
    index.compact()
    column = Index.open(index.path).get([5, 4, 3, 2, 0]).payload["label"]
    assert column.to_pylist() == ["e", "d", "a", "c", "a"]
    assert index.snapshot.blocks[0].schema.field("label").type == labelled("a").schema.field("label").type
    found = index.search(ones(), 5, where='label == "a"')
    assert found.ids[0, : found.counts[0]].tolist() == [0, 3]


def test_a_column_called_id_is_refused(tmp_path):
    given = pa.table({"id": [1]})
    with pytest.raises(InputError, match="a payload column is called id, which means the rows' own ids; rename it"):
        Index.build(tmp_path / "index", Rows.of(ones(), CARD, [1], given), SPEC)
    empty = Index.build(tmp_path / "index", Rows.of(ones(0), CARD), SPEC)
    with pytest.raises(InputError, match="a payload column is called id, which means the rows' own ids; rename it"):
        empty.add(ones(), [1], given)


@pytest.mark.parametrize("count", [2, None])
def test_batches_that_differ_are_refused(tmp_path, count):
    empty = Index.build(tmp_path / "index", Rows.of(ones(0), CARD), SPEC)
    first = Batch(ones(), np.array([1]), pa.table({"a": [1]}))
    for second in (None, pa.table({"b": [1]})):
        stream = Rows.stream([first, Batch(ones(), np.array([2]), second)], CARD, count)
        with pytest.raises(InputError, match=r"payload.* give .*(same|with all)"):
            empty.add(stream)
    assert empty.rows == Index.open(empty.path).rows == 0
    if count:
        with pytest.raises(InputError, match="1 of 2 batches come without ids; give ids with all or with none"):
            empty.add(Rows.stream([Batch(ones()), Batch(ones(), np.array([2]))], CARD, count))


def test_numbers_that_float16_cannot_hold_are_refused(tmp_path):
    layout = Layout.of(Nesting((3, 8)), reference="float16")
    index = Index.build(tmp_path / "index", Rows.of(ones(), CARD), BuildSpec(layout))
    for many in (1, 6000, 20_000):
        with pytest.raises(InputError, match="float16 holds numbers up to 65504, the vectors have 1e\\+06"):
            index.add(1e6 * ones(many))
    assert index.rows == Index.open(index.path).rows == 1
    assert index.verify() == []
    assert index.add(ones(6000)) == 6000
    assert index.search(ones(), 7000).counts.tolist() == [6001]


def test_nothing_is_built_over_something(tmp_path, index, twin):
    with pytest.raises(ExistsError, match="index already exists and is not overwritten"):
        twin.build(index.path, [1])
    for call in (index.copy, lambda out: index.relayout(out, SPEC)):
        with pytest.raises(ExistsError, match="index already exists and is not overwritten"):
            call(index.path)


def test_a_build_that_is_refused_leaves_nothing_behind(tmp_path):
    path = tmp_path / "index"
    rows = ones(20_000)
    rows[19_999] = np.nan
    with pytest.raises(InputError, match="row 19999 has a NaN"):
        Index.build(path, Rows.of(rows, CARD), SPEC)
    assert not path.exists()
    with pytest.raises(StorageError, match="nothing was committed there"):
        Index.open(path)
    assert Index.build(path, Rows.of(ones(), CARD), SPEC).rows == 1


# --------------------------------------------------------------------------------------------- nothing


def test_nothing_may_be_added_deleted_and_got(index, twin):
    number = index.snapshot.folder.number
    for verb in (index.add, index.upsert):
        assert verb(np.empty((0, 8), np.float32), [], payload([], 0)) == 0
    assert index.delete([]) == 0
    assert index.known([]).tolist() == []
    got = index.get([])
    assert got.ids.tolist() == []
    assert got.vectors.shape == (0, 8)
    assert got.payload.num_rows == 0
    assert got.payload.column_names == ["word", "version"]
    check(index, twin)
    assert Index.open(index.path).snapshot.folder.number in (number, number + 1)


def test_no_query_finds_nothing(index):
    found = index.search(np.empty((0, 8), np.float32), 3)
    assert found.ids.shape == found.scores.shape == (0, 3)


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("compacting", [False, True])
def test_an_index_may_be_emptied_and_filled_again(tmp_path, strings, compacting):
    twin = Twin(strings=strings)
    index = twin.build(tmp_path / "index", list(range(10)))
    assert index.delete(twin.ids(list(range(10)))) == twin.apply("delete", list(range(10)), 0) == 10
    if compacting:
        assert index.compact()
        assert index.snapshot.positions == 0
    for empty in (index, Index.open(index.path)):
        check(empty, twin)
        assert empty.search(QUERIES[0], 3).ids.shape == (0,)
    act(index, twin, "add", [5, 6], 1)
    twin.apply("add", [5, 6], 1)
    check(index, twin)
    check(Index.open(index.path), twin)


def test_an_index_emptied_and_compacted_may_take_other_columns_and_ids(tmp_path, index):
    index.delete(np.arange(10))
    index.compact()
    index.add(ones(), ["a string"], pa.table({"other": [1.5]}))
    assert Index.open(index.path).get("a string").payload.to_pydict() == {"other": [1.5]}


def test_there_is_nothing_to_compact_in_one_whole_block(index, twin):
    number = index.snapshot.folder.number
    assert not index.compact()
    assert index.snapshot.folder.number == number
    act(index, twin, "add", [20], 1)
    twin.apply("add", [20], 1)
    assert index.compact()
    check(index, twin)
    assert not index.compact()
    empty = Index.build(index.path.with_name("empty"), Rows.of(ones(0), CARD), SPEC)
    assert not empty.compact()


# --------------------------------------------------------------------------------------------- copies


def test_a_copy_goes_its_own_way(tmp_path, index, twin):
    for verb, numbers in (("delete", [3, 4]), ("upsert", [5, 20])):
        act(index, twin, verb, numbers, 1)
        twin.apply(verb, numbers, 1)
    copy, theirs = index.copy(tmp_path / "copy"), twin.copy()
    check(copy, theirs)
    assert copy.verify() == []
    for step in range(2, 6):  # whose states are numbered anew: no file of theirs has the name of a copied one
        act(copy, theirs, "delete", [step + 4], step)
        theirs.apply("delete", [step + 4], step)
        check(copy, theirs)
    copy.compact()
    check(Index.open(copy.path), theirs)
    check(Index.open(index.path), twin)


@pytest.mark.parametrize("layout", [Layout.of(Nesting((8,))), Layout.of(Nesting((2, 5, 8)), beside={"float16": 5})])
def test_another_layout_gives_the_same_answers(tmp_path, index, twin, layout):
    act(index, twin, "upsert", [2, 30], 4)
    twin.apply("upsert", [2, 30], 4)
    other = index.relayout(tmp_path / "other", BuildSpec(layout))
    assert other.snapshot.layout == Index.open(other.path).snapshot.layout == layout
    assert other.card == index.card
    check(other, twin)
    assert other.verify() == []
    act(other, twin, "upsert", [2, 31], 5)
    twin.apply("upsert", [2, 31], 5)
    check(other, twin)


def test_another_layout_keeps_the_map(tmp_path):
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    index = Index.build(tmp_path / "index", Rows.of(rows, CARD), BuildSpec(SPEC.layout, map="pca"))
    other = index.relayout(tmp_path / "other", BuildSpec(Layout.of(Nesting((5, 8)))))
    assert other.snapshot.map == index.snapshot.map
    assert other.card == index.card
    found, want = other.search(QUERIES, 20), index.search(QUERIES, 20)
    assert found.ids.tolist() == want.ids.tolist()
    np.testing.assert_allclose(found.scores, want.scores, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(other.get([3, 9]).vectors, index.get([3, 9]).vectors)
    with pytest.raises(InputError, match=r"index has the map pca:.*; build anew to have another"):
        index.relayout(tmp_path / "third", BuildSpec(SPEC.layout, map="pca"))
    assert not (tmp_path / "third").exists()


def test_a_map_may_come_with_another_layout(tmp_path, index):
    other = index.relayout(tmp_path / "other", BuildSpec(SPEC.layout, map="pca"))
    assert str(other.snapshot.map) == other.card.maps[-1]
    assert other.search(QUERIES, 5).ids.tolist() == index.search(QUERIES, 5).ids.tolist()
