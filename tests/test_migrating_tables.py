"""Tables cut to fewer dims: what a migration writes is what a table built anew from the prefixes has."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import Card, Nesting, Table, prefix
from mrl.disk import Device, using
from mrl.errors import CardError, ExistsError, InputError, NestingError, StorageError, UnfinishedError
from mrl.vectors import Held, migrating
from mrl.vectors.migrating import cut_of, migrate, narrow_card, narrowed
from replay import replay

WIDTH = 8
CARD = Card("clouds", WIDTH, Nesting((2, 4, WIDTH)), fingerprint="f")
NAMES = ("cat", "dog", "owl")


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


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    """Pieces of 5 rows, so that small tables have several."""
    monkeypatch.setattr(migrating, "PIECE", 5)


def written(path, rows=23, dtype=np.float32, blocks=(0, 1, 1, 13, 23), strings=True, labelled=True, card=CARD):
    """A table of blocks that end at these rows; one of them is empty."""
    draws = np.random.default_rng(rows)
    vectors = draws.standard_normal((rows, WIDTH)).astype(dtype)
    ids = np.array([f"row {n:03d}" for n in range(rows)]) if strings else np.arange(rows) * 3 - 7
    labels = draws.integers(-1, 3, rows)
    with Table.create(path, card, NAMES if labelled else (), prompt="query: ") as table:
        for start, stop in pairwise(blocks):
            part = slice(start, stop)
            table.add(vectors[part], ids[part], labels[part] if labelled else None)
    return Table.open(path)


def same(one, other):
    """Fail unless two tables hold the same."""
    assert one.card == other.card
    assert (one.prompt, one.label_names, one.rows) == (other.prompt, other.label_names, other.rows)
    for mine, theirs in ((one.vectors, other.vectors), (one.ids, other.ids), (one.labels, other.labels)):
        np.testing.assert_array_equal(mine, theirs)
        assert mine is None or mine.dtype.kind == theirs.dtype.kind
    assert one.vectors.dtype == other.vectors.dtype


def anew(path, table, dim, card, dtype=None):
    """The slow twin: a table written from the prefixes."""
    with Table.create(path, card, table.label_names, prompt=table.prompt) as made:
        if len(table):
            made.add(prefix(table.vectors, dim).astype(dtype or table.vectors.dtype), table.ids, table.labels)
    return Table.open(path)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_migrated_table_is_one_built_from_the_prefixes(data):
    rows = data.draw(st.integers(0, 23))
    ends = sorted(data.draw(st.lists(st.integers(0, rows), max_size=3)))
    kinds = st.sampled_from([np.float32, np.float16])
    how = {"dtype": data.draw(kinds), "strings": data.draw(st.booleans()), "labelled": data.draw(st.booleans())}
    dim, to = data.draw(st.integers(1, WIDTH - 1)), data.draw(st.none() | kinds)
    with TemporaryDirectory() as folder:
        path = Path(folder)
        old = written(path / "old", rows, blocks=(0, *ends, rows) if rows else (0,), **how)
        new = migrate(old, path / "new", dim, dtype=None if to is None else np.dtype(to).name, untrained=True)
        kept = tuple(each for each in (2, 4) if each <= dim) or (dim,)
        card = replace(CARD, width=dim, nesting=Nesting(kept), normalised=False)
        same(new, anew(path / "anew", old, dim, card, to if rows else None))


def test_cutting_twice_is_cutting_once(tmp_path):
    old = written(tmp_path / "old")
    twice = migrate(migrate(old, tmp_path / "four", 4), tmp_path / "two", 2)
    same(twice, migrate(old, tmp_path / "once", 2))


def test_the_card_says_that_prefixes_have_no_common_length():
    whole = replace(CARD, normalised=True, maps=("pca:ab",))
    assert narrow_card(whole, 4) == Card(
        "clouds", 4, Nesting((2, 4)), "cosine", normalised=False, maps=("pca:ab",), fingerprint="f"
    )
    assert narrow_card(CARD, 3, untrained=True).nesting == Nesting((2,))  # 3 can be read, and was not trained
    assert narrow_card(CARD, 1, untrained=True).nesting == Nesting((1,))
    assert narrow_card(replace(CARD, nesting=Nesting((WIDTH,))), 4, untrained=True).nesting == Nesting((4,))


@pytest.mark.parametrize(
    ("nesting", "dim", "text"),
    [
        ((2, 4, 8), 8, "the vectors of clouds have 8 dims already; to cut them give one of 2, 4"),
        ((2, 4, 8), 9, "9 dims cannot be cut from the 8 of clouds; give one of 2, 4"),
        (
            (2, 4, 8),
            3,
            "3 is no trained dim of clouds, which was trained at 2,4,8; choose one of 2, 4, or measure what",
        ),
        (
            (8,),
            4,
            "trained at 8; these vectors were not trained to nest: measure what the cut costs, then cut there all",
        ),
        ((8,), 8, "the vectors of clouds have 8 dims already; to cut them give a dim below 8"),
        ((2, 8), 0, r"dims must be positive and strictly increasing, got \(0,\)"),
        ((2, 8), 2.5, "dims must be integers"),
    ],
)
def test_dims_that_are_refused(tmp_path, nesting, dim, text):
    table = written(tmp_path / "old", card=replace(CARD, nesting=Nesting(nesting)))
    for cut in (lambda: narrowed(table, dim), lambda: migrate(table, tmp_path / "new", dim)):
        with pytest.raises(NestingError, match=text):
            cut()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("held", [False, True])
def test_vectors_cut_in_memory_fit_a_migrated_table(tmp_path, held):
    table = written(tmp_path / "old")
    whole = Held(table.path, table.card, table.vectors, table.ids, table.labels, NAMES) if held else table
    cut, new = narrowed(whole, 4), migrate(table, tmp_path / "new", 4)
    cut.card.check_fits(new.card)
    np.testing.assert_array_equal(cut.vectors, new.vectors)
    np.testing.assert_array_equal(cut.ids, new.ids)
    np.testing.assert_array_equal(cut.labels, new.labels)
    assert cut.label_names == new.label_names
    assert np.shares_memory(cut.vectors, whole.vectors)


def test_which_cards_would_fit_once_one_is_cut():
    narrow = narrow_card(CARD, 4)
    assert cut_of(CARD, narrow)
    assert not cut_of(narrow, CARD)
    assert not cut_of(CARD, CARD)
    for other in ({"fingerprint": "g"}, {"maps": ("pca:ab",)}, {"metric": "dot"}):
        assert not cut_of(CARD, replace(narrow, **other))
    with pytest.raises(CardError, match="width is 8 in one"):
        CARD.check_fits(narrow)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("value", "shown"), [(7e4, "7e\\+04"), (-1e9, "1e\\+09"), (1e-9, "1e-09")])
def test_a_row_that_float16_cannot_hold_is_named(tmp_path, value, shown):
    vectors = np.ones((12, WIDTH), np.float32)
    vectors[9, :4] = [value, 0, 0, 0]
    vectors[3, 6] = 1e9  # beyond the cut
    with Table.create(tmp_path / "old", CARD) as table:
        table.add(vectors, [f"n{n}" for n in range(12)])
    old = Table.open(tmp_path / "old")
    text = rf"row 9 of .*old \(id 'n9'\) has {shown} as its largest number, .*; keep float32"
    with pytest.raises(InputError, match=text):
        migrate(old, tmp_path / "new", 4, dtype="float16")
    assert not (tmp_path / "new").exists()
    assert migrate(old, tmp_path / "new", 4).vectors.dtype == np.float32


def test_other_types_are_refused(tmp_path):
    with pytest.raises(InputError, match="float16 or float32, got 'int8'"):
        migrate(written(tmp_path / "old"), tmp_path / "new", 4, dtype="int8")


@pytest.mark.parametrize("there", ["table", "file", "folder", "itself"])
def test_what_is_there_stays(tmp_path, there):
    old, out = written(tmp_path / "old"), tmp_path / "new"
    if there == "table":
        written(out)
    elif there == "file":
        out.write_text("mine")
    elif there == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out = old.path
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ExistsError, match="already exists and is not overwritten"):
        migrate(old, out, 4)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


# ------------------------------------------------------------------------------------------------ stopped, and again


class StoppedError(Exception):
    pass


def stop_at(rows):
    def told(what, done, of):
        if done >= rows:
            raise StoppedError

    return told


def test_a_stopped_migration_is_unfinished_and_goes_on(tmp_path):
    old = written(tmp_path / "old")
    with pytest.raises(StoppedError):
        migrate(old, tmp_path / "new", 4, progress=stop_at(11))
    with pytest.raises(UnfinishedError):
        Table.open(tmp_path / "new")
    begun = {file.name for file in (tmp_path / "new").glob("*.npy")}
    again = migrate(old, tmp_path / "new", 4)
    assert begun < {file.name for file in again.path.glob("*.npy")}
    same(again, migrate(old, tmp_path / "whole", 4))


def test_the_beginning_of_something_else_is_not_continued(tmp_path):
    old, out = written(tmp_path / "old"), tmp_path / "new"
    with pytest.raises(StoppedError):
        migrate(old, out, 4, progress=stop_at(11))
    others = [
        lambda: migrate(old, out, 2),
        lambda: migrate(old, out, 4, dtype="float16"),
        lambda: migrate(written(tmp_path / "ids", strings=False), out, 4),
        lambda: migrate(written(tmp_path / "labels", labelled=False), out, 4),
        lambda: migrate(written(tmp_path / "values", card=CARD, rows=24), out, 4),
        lambda: migrate(written(tmp_path / "short", blocks=(0, 1)), out, 4),
        lambda: migrate(written(tmp_path / "model", card=replace(CARD, model="other")), out, 4),
    ]
    for other in others:
        with pytest.raises(
            ExistsError, match="new holds the beginning of another table, which this would not continue"
        ):
            other()
    same(migrate(old, out, 4), migrate(old, tmp_path / "whole", 4))


def test_two_at_once_are_not_mixed(tmp_path):
    old = written(tmp_path / "old")

    def meanwhile(what, done, of):
        with pytest.raises(StorageError, match="is being written by process"):
            migrate(old, tmp_path / "new", 4)

    same(migrate(old, tmp_path / "new", 4, progress=meanwhile), migrate(old, tmp_path / "whole", 4))


def test_a_damaged_table_is_not_copied(tmp_path):
    old = written(tmp_path / "old")
    (tmp_path / "old" / "000002.vectors.npy").write_bytes(b"damaged")
    with pytest.raises(StorageError, match=r"000002.vectors.npy is damaged"):
        migrate(Table.open(old.path), tmp_path / "new", 4)
    with pytest.raises(UnfinishedError):
        Table.open(tmp_path / "new")


def test_every_moment_leaves_nothing_or_something_to_continue(tmp_path):
    old = written(tmp_path / "old", 12, blocks=(0, 3, 12))
    whole = migrate(old, tmp_path / "whole", 4)
    before = {file: file.read_bytes() for file in old.path.iterdir()}

    def work(path):
        migrate(old, path / "new", 4)
        yield "done"

    def check(path, mark):
        try:
            same(Table.open(path / "new"), whole)
        except StorageError:
            assert mark is None, "a finished table is there"
            same(migrate(old, path / "new", 4), whole)
        assert Table.open(path / "new").verify() == 3 * 3  # columns of the pieces

    (tmp_path / "moments").mkdir()
    assert replay(work, check, tmp_path / "moments") > 50
    assert before == {file: file.read_bytes() for file in old.path.iterdir()}
