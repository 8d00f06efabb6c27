"""Indexes cut to fewer dims: what a migration writes is what an index built anew from the prefixes is."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import Card, Nesting, Table, prefix
from mrl.disk import Device, Folder, using
from mrl.errors import CardError, ExistsError, InputError, NestingError, StorageError
from mrl.maps import Rotation, fit_pca, mapped_card
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.retrieval.leading import Leading
from mrl.retrieval.migrating import narrow_layout
from mrl.vectors.migrating import migrate, narrow_card, narrowed
from replay import replay
from retrieval import made

WIDTH, ROWS = 16, 60
LAYOUT = Layout.of(Nesting((4, 8, WIDTH)), beside={"int8": 8})
QUERIES = made.random(9, WIDTH, 1)
DELETED = [3, 4, 17, 41]
PLANS = (None, "4:20,8:7", "4:20@int8,8:7", "8:7")


class Unflushed(Device):
    """What these tests write need not outlive them; `replay` records with a device of its own."""

    def flush(self, file):
        file.flush()

    def flush_folder(self, path):
        pass


@pytest.fixture(autouse=True)
def quick():
    with using(Unflushed()):
        yield


def card(metric="cosine", **known):
    return Card("clouds", WIDTH, Nesting((4, 8, WIDTH)), metric, **known)


def payload(ids):
    return pa.table({"word": [f"word {n}" for n in ids], "number": pa.array(ids, pa.int32())})


def index(path, metric="cosine", layout=LAYOUT, turn=None, rows=ROWS, deleted=DELETED):
    """Rows in two blocks, with a payload, some deleted. The ids are not the positions."""
    vectors, ids = made.random(rows, WIDTH), np.arange(rows)[::-1] * 2
    half = rows // 2
    first = Rows.of(vectors[:half], card(metric), ids[:half], payload(ids[:half]))
    built = Index.build(path, first, BuildSpec(layout, turn))
    built.add(vectors[half:], ids[half:], payload(ids[half:]))
    built.delete([2 * n for n in deleted])
    return Index.open(path)


def stored(opened):
    """(vectors, ids, payload) of the rows that live, as they lie there."""
    places = np.concatenate([np.flatnonzero(b.alive) + b.first if b.about.dead else np.arange(b.rows) + b.first
                             for b in opened.snapshot.blocks])  # fmt: skip
    return opened.snapshot.vectors_at(places), opened.snapshot.ids_at(places), opened.snapshot.payload_at(places)


def anew(path, old, dim, layout):
    """The slow twin: an index built of the first coordinates that are stored, mapped ones included."""
    vectors, ids, columns = stored(old)
    rows = Rows.of(np.ascontiguousarray(prefix(vectors, dim)), narrow_card(old.card, dim, untrained=True), ids, columns)
    return Index.build(path, rows, BuildSpec(layout))


def columns_of(opened):
    """Sizes and checksums of the files, but for those whose bytes say how they came about, too."""
    return {name: entry for name, entry in opened.snapshot.folder.entries.items() if name.endswith(".npy")}


def same_answers(one, other, queries):
    """Both give the same, bit by bit."""
    asked = [each.prepare(queries, mapped=True) for each in (one, other)]
    for plan in PLANS:
        if plan is not None and not set(part(plan)) <= set(one.snapshot.layout.cuts.dims):
            continue
        if plan is not None and "@int8" in plan and "int8" not in one.snapshot.layout.encodings(0):
            continue  # neither has what it reads
        got, want = (each.search(query, 7, plan=plan) for each, query in zip((one, other), asked, strict=True))
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_array_equal(got.scores, want.scores)


def part(plan):
    return [int(stage.split(":")[0]) for stage in plan.split(",")]


@pytest.mark.parametrize("turn", [None, "pca"])
@pytest.mark.parametrize("reference", ["float32", "float16"])
@pytest.mark.parametrize("dim", [8, 4, 5, 11])
def test_a_migrated_index_is_one_built_from_the_prefixes(tmp_path, metric, turn, reference, dim):
    layout = Layout.of(LAYOUT.cuts, reference, {"int8": 8})
    old = index(tmp_path / "old", metric, layout, turn)
    new = old.migrate(tmp_path / "new", dim, untrained=dim not in (4, 8))
    want = anew(tmp_path / "anew", old, dim, narrow_layout(layout, dim))
    assert new.card == want.card
    assert new.snapshot.layout == want.snapshot.layout
    assert columns_of(new) == columns_of(want)  # byte by byte
    same_answers(new, want, np.ascontiguousarray(QUERIES[:, :dim]))
    assert new.verify() == []


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_any_layout_and_any_deletion(data):
    cuts = sorted(data.draw(st.sets(st.integers(1, WIDTH - 1), max_size=3)))
    layout = Layout.of(Nesting((*cuts, WIDTH)), beside={"1bit": cuts[0]} if cuts else None)
    deleted = sorted(data.draw(st.sets(st.integers(0, 19), max_size=19)))
    dim, turn = data.draw(st.integers(1, WIDTH - 1)), data.draw(st.sampled_from([None, "pca"]))
    with TemporaryDirectory() as folder:
        old = index(Path(folder) / "old", layout=layout, turn=turn, rows=20, deleted=deleted)
        new = old.migrate(Path(folder) / "new", dim, untrained=True)
        vectors, ids, columns = stored(old)
        got = stored(new)
        np.testing.assert_array_equal(got[0], vectors[:, :dim])
        np.testing.assert_array_equal(got[1], ids)
        assert got[2].combine_chunks().equals(columns.combine_chunks())
        same_answers(new, anew(Path(folder) / "anew", old, dim, narrow_layout(layout, dim)), QUERIES[:, :dim])


def test_deleted_rows_are_gone_and_the_old_index_stays(tmp_path):
    old = index(tmp_path / "old")
    before = {file: file.read_bytes() for file in old.path.iterdir()}
    new = old.migrate(tmp_path / "new", 8)
    assert not new.known([2 * n for n in DELETED]).any()
    assert new.rows == ROWS - len(DELETED) == new.snapshot.positions
    assert new.search(QUERIES[0, :8], 3, where="number > 80 and word != 'word 90'").counts == 3
    assert before == {file: file.read_bytes() for file in old.path.iterdir()}


def test_an_index_without_rows(tmp_path):
    old = index(tmp_path / "old", deleted=range(ROWS))
    assert old.migrate(tmp_path / "new", 8).rows == 0


def test_a_layout_of_its_own(tmp_path):
    old = index(tmp_path / "old")
    layout = Layout.of(Nesting((2, 8)), "float16", {"1bit": 2})
    new = old.migrate(tmp_path / "new", 8, layout)
    assert new.snapshot.layout == layout
    same_answers(new, anew(tmp_path / "anew", old, 8, layout), QUERIES[:, :8])
    with pytest.raises(InputError, match="the last cut must be the width, 4, got cuts 2,8"):
        old.migrate(tmp_path / "other", 4, layout)
    assert not (tmp_path / "other").exists()


# --------------------------------------------------------------------------------------------- maps that were cut


@pytest.fixture
def turned(tmp_path, metric):
    """An index with a map, and what it becomes with 8 dims."""
    old = index(tmp_path / "old", metric, turn="pca")
    return old, old.migrate(tmp_path / "new", 8)


def test_raw_queries_find_what_cutting_after_mapping_finds(tmp_path, metric, turned):
    old, new = turned
    want = anew(tmp_path / "anew", old, 8, narrow_layout(LAYOUT, 8))
    cut = old.snapshot.map.apply64(QUERIES)[:, :8]
    for plan in PLANS:
        got, twin = new.search(QUERIES, 7, plan=plan), want.search(want.prepare(cut, mapped=True), 7, plan=plan)
        np.testing.assert_array_equal(got.ids, twin.ids)
        np.testing.assert_allclose(got.scores, twin.scores, rtol=1e-6 if plan else 1e-12, atol=1e-12)
    rows, ids = stored(old)[:2]
    made.check_exact(new.search(QUERIES.astype(np.float64), 7), rows[:, :8], ids, cut, 7, metric)


def test_queries_of_any_number_and_kind(tmp_path, turned):
    old, new = turned
    many = made.random(40, WIDTH, 3)
    together = new.search(many, 5)
    for number, query in enumerate(many):
        alone = new.search(query, 5)
        np.testing.assert_array_equal(alone.ids, together.ids[number])
        np.testing.assert_allclose(alone.scores, together.scores[number], rtol=1e-6, atol=1e-12)
    assert new.search(many[:0], 5).ids.shape == (0, 5)
    with Table.create(tmp_path / "raw", old.snapshot.raw_card()) as table:
        table.add(many)
    np.testing.assert_array_equal(new.search(Table.open(tmp_path / "raw"), 5).ids, together.ids)
    with Table.create(tmp_path / "mapped", old.card) as table:
        table.add(old.snapshot.map.apply(many))
    mapped = migrate(Table.open(tmp_path / "mapped"), tmp_path / "cut", 8)
    np.testing.assert_array_equal(new.search(mapped, 5).ids, together.ids)


def test_a_map_that_was_cut_takes_rows_of_full_width(tmp_path, turned):
    old, new = turned
    more, ids = made.random(5, WIDTH, 4), np.arange(5) + 1000
    for opened in (old, new):
        opened.add(more, ids, payload(ids))
        opened.upsert(more[::-1], ids, payload(ids))
    again = old.migrate(tmp_path / "again", 8)
    for name in (*ids.tolist(), 0):
        np.testing.assert_allclose(new.get([name]).vectors, again.get([name]).vectors, rtol=1e-6, atol=1e-7)
    many = made.random(20_000, WIDTH, 5)
    numbers = np.arange(len(many)) + 2000
    new.add(many, numbers, payload(numbers))  # in a stream
    np.testing.assert_allclose(new.get(numbers).vectors, old.snapshot.map.apply(many)[:, :8], rtol=1e-6, atol=1e-7)


def test_it_is_compacted_copied_laid_out_and_cut_again(tmp_path, turned):
    old, new = turned
    want = new.search(QUERIES, 7)
    new.delete([0])
    new.upsert(stored_raw(0), [0], payload([0]))
    new.compact()
    laid = new.relayout(tmp_path / "laid", BuildSpec(Layout.of(Nesting((2, 8)), beside={"int8": 8})))
    for other in (new, new.copy(tmp_path / "copy"), laid):
        assert other.snapshot.raw_card() == old.snapshot.raw_card()
        got = other.search(QUERIES, 7)
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_allclose(got.scores, want.scores, rtol=1e-6, atol=1e-9)
    twice, once = laid.migrate(tmp_path / "twice", 4), old.migrate(tmp_path / "once", 4)
    assert twice.snapshot.raw_card() == once.snapshot.raw_card()
    np.testing.assert_array_equal(twice.snapshot.map.matrix, once.snapshot.map.matrix)
    np.testing.assert_array_equal(twice.search(QUERIES, 7).ids, once.search(QUERIES, 7).ids)


def stored_raw(number):
    """The vector of a row that was given, by its id."""
    return made.random(ROWS, WIDTH)[ROWS - 1 - number // 2][None]


def test_the_cards_of_a_map_that_was_cut(turned, metric):
    old, new = turned
    assert new.snapshot.raw_card() == card(metric)
    assert new.card == Card("clouds", 8, Nesting((4, 8)), metric, maps=(str(old.snapshot.map),))
    assert str(new.snapshot.map) == str(old.snapshot.map)
    np.testing.assert_array_equal(
        new.get([0]).vectors, old.snapshot.vectors_at(old.snapshot.locate(np.array([0])))[:, :8]
    )
    for queries in (QUERIES[:, :8], made.random(3, WIDTH + 1)):
        with pytest.raises(CardError, match="clouds has vectors of width 16, got shape"):
            new.search(queries)


def test_only_maps_that_were_cut_are_written_in_another_form(tmp_path):
    for turn in (None, "pca"):
        old = index(tmp_path / f"old {turn}", turn=turn)
        manifest = old.relayout(tmp_path / f"laid {turn}", BuildSpec(LAYOUT)).snapshot.folder.manifest
        assert "raw" not in manifest  # what versions before can read is written as it was
        new = old.migrate(tmp_path / f"new {turn}", 8)
        assert ("raw" in new.snapshot.folder.manifest) == (turn is not None)
    with pytest.raises(InputError, match="holds 'mrl-leading-map', not 'mrl-map'"):
        Rotation.load(new.snapshot.folder.verified(new.snapshot.contents.map))


@pytest.mark.parametrize("dim", [1, 2, 7, 16])
def test_leading_axes_give_the_first_coordinates(dim):
    turn = fit_pca(made.random(50, WIDTH))
    first, vectors = Leading.of(turn, dim), made.random(600, WIDTH, 7)
    np.testing.assert_allclose(first.apply(vectors), turn.apply(vectors)[:, :dim], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(first.apply64(vectors), turn.apply64(vectors)[:, :dim], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(first.apply(vectors[300:301]), first.apply(vectors)[300:301])
    twins = np.repeat(vectors[:1], 600, axis=0)
    assert (first.apply(twins) == first.apply(twins)[0]).all()
    assert first.apply(vectors[0]).shape == first.apply64(vectors[0]).shape == (dim,)
    with pytest.raises(InputError, match=r"the map pca:\w{12} takes floats of shape \(..., 16\), got float32 of shape"):
        first.apply(vectors[:, :8])


# --------------------------------------------------------------------------------------------- what does not fit


def table_of(path, about, rows=4):
    with Table.create(path, about) as table:
        table.add(made.random(rows, about.width, 9), [f"q{n}" for n in range(rows)])
    return Table.open(path)


def test_wide_queries_are_refused_with_the_command_that_cuts_them(tmp_path):
    new = index(tmp_path / "old").migrate(tmp_path / "new", 8)
    queries = table_of(tmp_path / "queries", card())
    text = (
        f"{queries.path} and {new.path} do not belong together yet: 16 dims in one, the first 8 of them in the other; "
        f"cut the wider ones: mrl migrate {queries.path} --dim 8 --out NEW"
    )
    with pytest.raises(CardError) as refusal:
        new.search(queries)
    assert str(refusal.value) == text
    with pytest.raises(CardError, match=r"what is added and .*: mrl migrate VECTORS --dim 8 --out NEW"):
        new.add(queries)
    cut = migrate(queries, tmp_path / "cut", 8)
    np.testing.assert_array_equal(new.search(cut, 3).ids, new.search(narrowed(queries, 8).vectors, 3).ids)
    odd = index(tmp_path / "odd").migrate(tmp_path / "odder", 5, untrained=True)
    with pytest.raises(CardError, match="--dim 5 --untrained --out NEW"):
        odd.search(queries)


def test_narrow_queries_name_the_command_that_cuts_the_index(tmp_path):
    old = index(tmp_path / "old")
    cut = migrate(table_of(tmp_path / "queries", card()), tmp_path / "cut", 8)
    with pytest.raises(
        CardError, match=rf"the first 8 dims in one, all 16 in the other; .* mrl migrate {old.path} --d"
    ):
        old.search(cut)


def test_mapped_queries_are_cut_too(tmp_path, turned):
    old, new = turned
    queries = table_of(tmp_path / "queries", old.card)
    with pytest.raises(CardError, match=f"mrl migrate {queries.path} --dim 8 --out NEW"):
        new.search(queries)
    assert new.search(migrate(queries, tmp_path / "cut", 8), 3).counts.tolist() == [3] * 4
    raw = migrate(table_of(tmp_path / "raw", old.snapshot.raw_card()), tmp_path / "raw cut", 8)
    for opened in turned:  # no cut helps: the map takes what was not cut
        with pytest.raises(CardError, match=r"width is 16 in one .* and 8 in the other"):
            opened.search(raw)


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"maps": ("linear:ab",)}, {"metric": "dot"}])
def test_other_vectors_are_not_helped_by_a_cut(tmp_path, other):
    new = index(tmp_path / "old").migrate(tmp_path / "new", 8)
    with pytest.raises(CardError, match="do not belong together: width is 8 in one"):
        new.search(table_of(tmp_path / "queries", card(**{"metric": "cosine", **other})))


def test_a_plan_of_the_whole_width_is_refused(tmp_path):
    new = index(tmp_path / "old").migrate(tmp_path / "new", 8)
    with pytest.raises(NestingError, match="this index is cut at 4,8, not at 16"):
        new.search(QUERIES[:, :8], plan="4:20,16:7")


# --------------------------------------------------------------------------------------------- refused, stopped


@pytest.mark.parametrize(
    ("dim", "text"),
    [(16, "have 16 dims already"), (17, "17 dims cannot be cut from the 16"), (5, "5 is no trained dim of clouds")],
)
def test_dims_that_are_refused(tmp_path, dim, text):
    with pytest.raises(NestingError, match=text):
        index(tmp_path / "old").migrate(tmp_path / "new", dim)
    assert not (tmp_path / "new").exists()


def test_what_is_there_stays(tmp_path):
    old = index(tmp_path / "old")
    for out in (index(tmp_path / "there").path, old.path):
        before = {file: file.read_bytes() for file in out.iterdir()}
        with pytest.raises(ExistsError):
            old.migrate(out, 8)
        assert before == {file: file.read_bytes() for file in out.iterdir()}


def test_a_row_of_which_nothing_is_left_is_named(tmp_path):
    vectors = made.random(5, WIDTH)
    vectors[3, :8], vectors[4, :8] = 1e-18, 0  # a zero is one, and scores 0
    old = Index.build(tmp_path / "old", Rows.of(vectors, card(), ["a", "b", "c", "d", "e"]), BuildSpec(LAYOUT))
    with pytest.raises(InputError, match=rf"8 dims of id 'd' have length 3e-18, .* mrl index delete {old.path} -- d"):
        old.migrate(tmp_path / "new", 8)
    assert not (tmp_path / "new").exists()
    old.delete(["d"])
    assert old.migrate(tmp_path / "new", 8).rows == 4


def test_damaged_rows_are_not_copied(tmp_path):
    old = index(tmp_path / "old")
    (old.path / "000000.4-8.float32.npy").write_bytes(b"damaged")
    (old.path / "000000.8-16.float32.npy").write_bytes(b"damaged")  # which nobody reads
    with pytest.raises(StorageError, match=r"4-8.float32.npy is damaged"):
        Index.open(old.path).migrate(tmp_path / "new", 8)
    assert Index.open(old.path).migrate(tmp_path / "four", 4).rows == old.rows


def test_every_moment_leaves_nothing_or_all(tmp_path):
    old = index(tmp_path / "old", turn="pca")
    whole = old.migrate(tmp_path / "whole", 8)

    def work(path):
        old.migrate(path / "new", 8)
        yield "done"

    def check(path, mark):
        if not Folder.committed(path / "new"):
            assert mark is None, "a finished index is there"
            old.migrate(path / "new", 8)
        new = Index.open(path / "new")
        assert new.verify() == []
        assert set(new.snapshot.folder.entries) == set(whole.snapshot.folder.entries)
        assert columns_of(new) == columns_of(whole)
        np.testing.assert_array_equal(new.search(QUERIES[:1], 5).ids, whole.search(QUERIES[:1], 5).ids)

    (tmp_path / "moments").mkdir()
    assert replay(work, check, tmp_path / "moments") > 50


def test_a_map_before_it_is_one_of_the_cards(tmp_path):
    """Vectors that went through a map of one's own carry it in their card, and so does what is cut from them."""
    turn = fit_pca(made.random(50, WIDTH))
    rows = Rows.of(turn.apply(made.random(ROWS, WIDTH)), mapped_card(card(), turn))
    new = Index.build(tmp_path / "old", rows, BuildSpec(LAYOUT)).migrate(tmp_path / "new", 8)
    assert new.card.maps == (str(turn),)
    assert new.snapshot.map is None
    assert new.snapshot.raw_card() == new.card
