import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.errors import CardError, ExistsError, InputError, StorageError
from mrl.training import Opening, Rows, embed, embedding, from_arrays, open_data, train
from mrl.training.ahead import ahead
from mrl.vectors import Table
from training.embedder import contents, encoder, named
from training.pictures import TINY, folder, own_cache, parquet, records, stripes, tiny  # noqa: F401


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TINY, tiny(), tmp_path_factory.mktemp("runs") / "run", quiet=True)


def test_a_table_holds_raw_vectors_with_ids_labels_and_names(run, tmp_path):
    embed(run, tiny(seed=1), tmp_path / "table")
    table = Table.open(tmp_path / "table")
    np.testing.assert_allclose(table.vectors, run.encoder.encode(tiny(seed=1).images, raw=True), atol=1e-6)
    assert table.card == run.card
    assert table.labels.tolist() == tiny(seed=1).labels.tolist()
    assert table.ids.tolist() == list(range(48))
    assert table.label_names == ("fine", "middle", "wide")
    np.testing.assert_allclose(table.card.cut(table.vectors, 2), run.encoder.encode(tiny(seed=1).images, 2), atol=1e-6)


def test_a_run_may_be_given_by_its_path_and_the_work_is_told(run, tmp_path):
    done = []
    embed(str(run.path), tiny(), tmp_path / "table", batch_size=20, each=done.append)
    assert sum(done) == 48
    np.testing.assert_allclose(
        Table.open(tmp_path / "table").vectors, run.encoder.encode(tiny().images, raw=True), atol=1e-5
    )


def test_blocks_join(run, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 7)
    embed(run, tiny(), tmp_path / "table")
    np.testing.assert_allclose(
        Table.open(tmp_path / "table").vectors, run.encoder.encode(tiny().images, raw=True), atol=1e-5
    )


def test_labels_go_by_the_runs_names(run, tmp_path):
    images, labels = stripes(6)
    embed(run, from_arrays(images, labels, ("wide", "broad", "fine")), tmp_path / "table")
    table = Table.open(tmp_path / "table")
    assert table.label_names == ("fine", "middle", "wide", "broad")
    assert table.labels.tolist() == [2, 3, 0, 2, 3, 0]


def test_images_of_a_folder_are_called_by_their_paths(run, tmp_path):
    folder(tmp_path / "images", {"wide": 2, "fine": 1}, size=(20, 10), mode="RGB")
    data = open_data(tmp_path / "images", Opening.like(run.encoder.fit))
    table = embed(run, data, tmp_path / "table")
    assert table.ids.tolist() == ["fine/0.png", "wide/0.png", "wide/1.png"]
    assert table.labels.tolist() == [0, 2, 2]


def test_rows_without_labels_and_no_rows(run, tmp_path):
    assert embed(run, replace(tiny(), labels=None, classes=()), tmp_path / "unlabelled").labels is None
    assert embed(run.encoder, from_arrays(stripes(0)[0], None), tmp_path / "none").vectors.shape == (0, 4)


def test_nothing_is_overwritten(run, tmp_path):
    embed(run, tiny(), tmp_path / "table")
    with pytest.raises(ExistsError, match="already exists"):
        embed(run, tiny(), tmp_path / "table")


# --------------------------------------------------------------------------------------------- going on


class StoppedError(Exception):
    """What interrupts."""


def until(rows):
    """An `each` that interrupts once so many rows are done."""
    done = []

    def each(n):
        done.append(n)
        if sum(done) >= rows:
            raise StoppedError

    return each


@pytest.fixture(scope="module")
def model():
    return encoder()


law = settings(max_examples=12, deadline=None)


@law
@given(
    n=st.integers(1, 20),
    block=st.integers(1, 8),
    batch_size=st.integers(1, 6),
    stops=st.lists(st.integers(1, 20), max_size=3),
    adds=st.booleans(),
)
def test_an_interrupted_table_ends_in_the_bytes_of_an_undisturbed_one(model, n, block, batch_size, stops, adds):
    data = named(n)
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "BLOCK", block)
        embed(model, data, Path(root) / "once", batch_size=batch_size)
        out = Path(root) / "often"
        for stop in stops:
            try:
                embed(model, data, out, batch_size=batch_size, resume=True, each=until(stop))
            except StoppedError:
                continue
        how = {"add": True} if adds and Table.begun(out) else {"resume": True}
        table = embed(model, data, out, batch_size=batch_size, **how)
        assert table.rows == n
        assert contents(out) == contents(Path(root) / "once")


@law
@given(
    n=st.integers(1, 20),
    block=st.integers(1, 8),
    parts=st.lists(st.sets(st.integers(0, 19)), max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_whatever_is_added_in_whatever_order_each_image_is_there_once(model, n, block, parts, order):
    data = named(n)
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "BLOCK", block)
        out, expected = Path(root) / "table", []
        embed(model, part(data, []), out)
        for rows in [*parts, range(n)]:
            rows = order.sample(sorted(row for row in rows if row < n), k=len([row for row in rows if row < n]))
            embed(model, part(data, rows), out, add=True)
            expected += [row for row in rows if row not in expected]
        table = Table.open(out)
        assert table.ids.tolist() == data.ids[expected].tolist()
        assert [table.label_names[label] for label in table.labels] == [data.classes[data.labels[i]] for i in expected]
        np.testing.assert_allclose(table.vectors, model.encode(data.images[expected], raw=True), atol=1e-5)


def part(data, rows):
    at = np.array(rows, np.int64)
    return replace(data, images=data.images[at], labels=data.labels[at], ids=data.ids[at])


def test_added_labels_go_by_the_tables_names(model, tmp_path):
    images, labels = stripes(6)
    embed(model, named(4), tmp_path / "table")
    more = replace(from_arrays(images, labels, ("wide", "broad", "fine")), ids=np.array(list("abcdef")))
    done = []
    table = embed(model, more, tmp_path / "table", add=True, each=done.append)
    assert table.label_names == ("fine", "middle", "wide", "broad")
    assert table.labels.tolist() == [0, 1, 2, 0, 2, 3, 0, 2, 3, 0]
    assert sum(done) == 6


def test_a_finished_table_that_has_it_all_is_left_alone(model, tmp_path):
    embed(model, named(9), tmp_path / "table")
    before, done = contents(tmp_path / "table"), []
    for how in ({"resume": True}, {"add": True}):
        embed(model, named(9), tmp_path / "table", **how, each=done.append)
    assert contents(tmp_path / "table") == before
    assert sum(done) == 18


def test_data_that_are_not_the_tables_own_do_not_resume_it(model, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    out, data = tmp_path / "table", named(10)
    with pytest.raises(StoppedError):
        embed(model, data, out, batch_size=4, each=until(8))
    before = contents(out)
    swapped = part(data, [0, 1, 2, 3, 4, 6, 5, 7, 8, 9])
    for other, said in (
        (swapped, r"row 5 of .*/table has the id 'image-005', that of the data 'image-006'; resume with the data that"),
        (part(data, range(6)), r"row 6 of .*/table has the id 'image-006', that of the data none; .* with --add"),
        (
            replace(data, classes=("fine", "middle", "broad")),
            r"has the classes fine, middle, wide \(3\), the data fine",
        ),
    ):
        with pytest.raises(InputError, match=said):
            embed(model, other, out, resume=True)
    with pytest.raises(CardError, match="table and what is added do not belong together: fingerprint"):
        embed(encoder(seed=1), data, out, resume=True)
    assert contents(out) == before


def test_a_finished_table_is_not_resumed_with_more_rows(model, tmp_path):
    embed(model, named(4), tmp_path / "table")
    with pytest.raises(InputError, match="is finished, with 4 rows, and the data have more; embed these with --add"):
        embed(model, named(5), tmp_path / "table", resume=True)
    assert embed(model, named(5), tmp_path / "table", add=True).rows == 5


def test_row_numbers_are_no_ids_to_add_by(model, tmp_path):
    embed(model, tiny(4), tmp_path / "table")
    said = r"the ids of these data are row numbers, 0 … 47, which do not tell what a table lacks; give each row an id"
    with pytest.raises(InputError, match=said):
        embed(model, tiny(), tmp_path / "table", add=True)
    own = replace(tiny(3), ids=np.array([7, 2, 9]))
    assert embed(model, own, tmp_path / "table", add=True).ids.tolist() == [0, 1, 2, 3, 7, 9]


def test_what_stands_in_the_way_is_told_with_its_remedy(model, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    out = tmp_path / "table"
    with pytest.raises(StorageError, match="/table is no table, so nothing can be added to it; leave --add out to beg"):
        embed(model, named(8), out, add=True)
    with pytest.raises(StoppedError):
        embed(model, named(8), out, batch_size=4, each=until(4))
    with pytest.raises(ExistsError, match="overwritten; it is unfinished, after 4 rows: go on"):
        embed(model, named(8), out)
    embed(model, named(8), out, resume=True)
    with pytest.raises(ExistsError, match="overwritten; it is finished, with 8 rows: embed what it lacks with --add"):
        embed(model, named(8), out)
    with pytest.raises(InputError, match="a table is either resumed or added to, got both"):
        embed(model, named(8), out, resume=True, add=True)
    for manifest in out.glob("manifest*.json"):
        manifest.unlink()
    with pytest.raises(ExistsError, match="its writer stopped before its first block: go on with --resume"):
        embed(model, named(8), out)
    (out / "mine").touch()
    with pytest.raises(ExistsError, match="already exists and is not overwritten; remove it or choose another --out"):
        embed(model, named(8), out, resume=True)


def test_labels_for_some_images_only_are_refused(model, tmp_path):
    class Some:
        classes, data = ("fine", "middle", "wide"), named(6)
        ids = data.ids

        def __len__(self):
            return 6

        def __getitem__(self, index):
            image, label = self.data[index]
            return image, -1 if index == 4 else label

    with pytest.raises(InputError, match="row 'image-004' has no label, others have; label all rows, or none"):
        embed(model, Some(), tmp_path / "table")


def test_labels_without_names_do_not_join_those_with_names(model, tmp_path):
    embed(model, named(3), tmp_path / "table")
    nameless = replace(named(6), classes=())
    with pytest.raises(InputError, match="the labels of these data have no names, those of the table have; give the"):
        embed(model, nameless, tmp_path / "table", add=True)


def test_every_image_has_one_id(model, tmp_path):
    with pytest.raises(InputError, match=r"4 rows have ids of shape \(3,\); give each row one id"):
        embed(model, replace(named(4), ids=np.array(["a", "b", "c"])), tmp_path / "table")


# --------------------------------------------------------------------------------------------- streams


ROWS = Rows(stream=True, id="name", classes=("fine", "middle", "wide"))
HOW = Opening((8, 8), 1, rows=ROWS)


@pytest.fixture
def shards(tmp_path):
    """Three files of five rows each, with ids."""
    rows = [{**row, "name": f"image-{i:03}"} for i, row in enumerate(records(15))]
    for i in range(3):
        parquet(tmp_path / "shards" / f"{i}.parquet", rows[5 * i : 5 * i + 5])
    return tmp_path / "shards"


def test_a_stream_gives_the_table_of_its_rows(model, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    embed(model, open_data(shards, replace(HOW, rows=replace(ROWS, stream=False))), tmp_path / "stored", batch_size=3)
    embed(model, open_data(shards, HOW), tmp_path / "streamed", batch_size=3)
    assert contents(tmp_path / "streamed") == contents(tmp_path / "stored")


def test_a_stream_goes_on_without_decoding_what_is_there(model, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    stream = open_data(shards, HOW)
    embed(model, stream, tmp_path / "once", batch_size=3)
    with pytest.raises(StoppedError):
        embed(model, stream, tmp_path / "often", batch_size=3, each=until(9))
    assert Table.open(tmp_path / "often", unfinished=True).rows == 8
    rows = [{**row, "name": f"image-{i:03}"} for i, row in enumerate(records(15))]
    parquet(shards / "0.parquet", [{**row, "image": b"no picture"} for row in rows[:5]])
    embed(model, open_data(shards, HOW), tmp_path / "often", batch_size=3, resume=True)
    assert contents(tmp_path / "often") == contents(tmp_path / "once")


def test_a_stream_is_added_to_a_table_by_its_ids(model, shards, tmp_path):
    embed(model, part(named(15), [3, 8]), tmp_path / "table")
    done = []
    table = embed(model, open_data(shards, HOW), tmp_path / "table", add=True, batch_size=4, each=done.append)
    assert sorted(table.ids) == sorted(named(15).ids)
    assert table.labels[table.ids.argsort()].tolist() == named(15).labels.tolist()
    assert sum(done) == 15
    numbered = open_data(shards, replace(HOW, rows=replace(ROWS, id=None)))
    with pytest.raises(InputError, match="the ids of these data are row numbers, 0 … 14"):
        embed(model, numbered, tmp_path / "table", add=True)


def test_a_picture_that_cannot_be_decoded_leaves_the_blocks_before(model, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    rows = [{**row, "name": f"image-{i:03}"} for i, row in enumerate(records(15))]
    rows[12]["image"] = b"no picture"
    parquet(shards / "2.parquet", rows[10:])
    with pytest.raises(InputError, match="cannot decode row image-012"):
        embed(model, open_data(shards, HOW), tmp_path / "table", batch_size=2)
    assert Table.open(tmp_path / "table", unfinished=True).rows == 12


# --------------------------------------------------------------------------------------------- one batch ahead


def test_the_next_one_is_made_while_one_is_in_use_and_no_more_than_that():
    made, second = [], Event()

    def numbers():
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    taken = ahead(numbers())
    assert next(taken) == 0
    assert second.wait(60)
    assert made == [0, 1]
    assert list(taken) == [1, 2, 3, 4]


def test_what_fails_ahead_fails_in_its_turn():
    def failing():
        yield from (1, 2)
        raise InputError("row 3")

    taken = ahead(failing())
    assert list(islice(taken, 2)) == [1, 2]
    with pytest.raises(InputError, match="row 3"):
        next(taken)
