"""Streams: the same rows at every reading, in parts that an order permutes, from any place that JSON can hold."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mrl.errors import InputError
from mrl.training import Opening, Rows, open_data
from mrl.training.stream import Raw
from training.pictures import beside, own_cache, parquet, records, stripes  # noqa: F401
from training.test_rows import arrow, hf

NAMES = ("fine", "middle", "wide")
SIZES = (5, 1, 8, 4, 2)  # rows of the files
ROWS = Rows(stream=True, classes=NAMES)
HOW = Opening((8, 8), 1, rows=ROWS)
KINDS = ("parquet", "jsonl", "csv", "arrow", "saved")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root, rows = tmp_path_factory.mktemp("streams"), records(sum(SIZES))
    for i, (first, size) in enumerate(zip(np.cumsum((0, *SIZES)), SIZES, strict=False)):
        part = rows[first : first + size]
        parquet(root / f"{i}.parquet", part)
        arrow(root / f"{i}.arrow", part)
        for suffix in ("jsonl", "csv"):
            beside(root / f"{i}.{suffix}", part, int(first))
    hf(rows).save_to_disk(root / "saved", num_shards=4)
    return {kind: root / "saved" if kind == "saved" else f"{root}/*.{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def streams(sources, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield {kind: open_data(source, HOW) for kind, source in sources.items()}


def told(raws):
    return [(raw.id, raw.label, raw.picture) for raw in raws]


every = pytest.mark.parametrize("kind", KINDS)


@every
def test_a_stream_says_what_the_rows_say(sources, streams, kind):
    stream, data = streams[kind], open_data(sources[kind], replace(HOW, rows=Rows(classes=NAMES)))
    raws = list(stream.read())
    assert [raw.id for raw in raws] == data.ids.tolist()
    assert [raw.label for raw in raws] == data.labels.tolist()
    assert (np.stack([stream.decode(raw) for raw in raws]) == data.images).all()
    assert (stream.classes, stream.shape, stream.labelled) == (data.classes, data.shape, True)
    assert (np.asarray(stream.picture(raws[3])) == stripes(20)[0][3]).all()


@every
def test_two_readings_are_the_same(streams, kind):
    for order in (None, (3, 1)):
        assert told(streams[kind].read(order)) == told(streams[kind].read(order))


@every
def test_an_order_permutes_the_files_and_nothing_in_them(streams, kind):
    stored = told(streams[kind].read())
    pictures = [picture for *_, picture in stored]
    seen = set()
    for epoch in range(6):
        row = [pictures.index(picture) for _, _, picture in told(streams[kind].read((0, epoch)))]
        assert sorted(row) == list(range(20))
        parts = np.split(row, np.flatnonzero(np.diff(row) != 1) + 1)
        starts = {0, 5, 10, 15} if kind in ("csv", "saved") else {0, 5, 6, 14, 18}
        assert {int(part[0]) for part in parts} <= starts | ({4, 8, 12, 16} if kind == "csv" else set())
        seen.add(tuple(row))
    assert len(seen) > 3


@every
@settings(deadline=None, max_examples=20)
@given(cut=st.integers(0, 20), order=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_a_pass_goes_on_from_any_row(streams, kind, cut, order):
    whole = told(streams[kind].read(order))
    reader = streams[kind].read(order)
    assert told(next(reader) for _ in range(cut)) == whole[:cut]
    state = json.loads(json.dumps(reader.state()))
    assert told(streams[kind].read(order, state)) == whole[cut:]
    assert told(reader) == whole[cut:]


@every
@settings(deadline=None, max_examples=5)
@given(cuts=st.lists(st.integers(0, 6), min_size=2, max_size=5))
def test_a_pass_may_be_cut_many_times(streams, kind, cuts):
    rows, state = [], None
    for cut in cuts:
        reader = streams[kind].read((1, 1), state)
        rows += told(islice(reader, cut))
        state = json.loads(json.dumps(reader.state()))
    assert rows + told(streams[kind].read((1, 1), state)) == told(streams[kind].read((1, 1)))


@every
def test_readers_do_not_disturb_each_other(streams, kind):
    whole = told(streams[kind].read())
    one, other = streams[kind].read(), streams[kind].read((0, 1))
    assert told(raw for raw, _ in zip(one, other, strict=True)) == whole


def test_a_state_is_of_one_order(streams):
    state = streams["parquet"].read((0, 1)).state()
    with pytest.raises(InputError, match=r"the state is of a reader of order \[0, 1\], not \[0, 2\]; read in"):
        streams["parquet"].read((0, 2), state)


def test_ids_are_numbers_in_stored_order_where_the_parts_are_known(streams, tmp_path):
    for kind, known in (("parquet", True), ("saved", True), ("csv", True), ("jsonl", False), ("arrow", False)):
        by_picture = {picture: row for row, _, picture in told(streams[kind].read())}
        shuffled = told(streams[kind].read((0, 1)))
        assert ([row for row, *_ in shuffled] == [by_picture[picture] for *_, picture in shuffled]) == known
        if not known:
            assert [row for row, *_ in shuffled] == list(range(20))
    rows = [{**row, "key": f"k{i}"} for i, row in enumerate(records(3))]
    stream = open_data(parquet(tmp_path / "a.parquet", rows), replace(HOW, rows=replace(ROWS, id="key")))
    assert [raw.id for raw in stream.read()] == ["k0", "k1", "k2"]
    rows[1]["key"] = None
    stream = open_data(parquet(tmp_path / "b.parquet", rows), replace(HOW, rows=replace(ROWS, id="key")))
    with pytest.raises(InputError, match=r"row 1 of .* has no id in column 'key'; give it one, or name no column"):
        list(stream.read())


# --------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("kind", ["parquet", "csv", "saved"])
def test_the_length_is_that_of_the_data(streams, kind):
    assert len(streams[kind]) == 20


def test_a_length_that_is_not_known_is_asked_for(sources, streams):
    with pytest.raises(InputError, match=r"how many rows .* has is not known before they are read; give their count"):
        len(streams["jsonl"])
    assert len(open_data(sources["jsonl"], replace(HOW, rows=replace(ROWS, count=20)))) == 20


def test_a_pass_has_as_many_rows_as_asked_for(sources):
    stream = open_data(sources["parquet"], replace(HOW, rows=replace(ROWS, count=7)))
    assert (len(stream), len(list(stream.read()))) == (7, 7)
    reader = stream.read()
    list(islice(reader, 4))
    assert len(list(stream.read(state=reader.state()))) == 3
    with pytest.raises(InputError, match="count is the number of rows of one pass, at least 1, got 0"):
        replace(ROWS, count=0)


# --------------------------------------------------------------------------------------------- classes


def test_classes_of_a_class_label_need_not_be_given(sources):
    assert open_data(sources["saved"], Opening(rows=Rows(stream=True))).classes == NAMES


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_classes_must_be_known_beforehand(sources, kind):
    said = r"the classes in column 'label' of .* are known only when all is read; give their names as classes"
    with pytest.raises(InputError, match=said):
        open_data(sources[kind], Opening(rows=Rows(stream=True)))
    stream = open_data(sources[kind], Opening(labelled=False, rows=Rows(stream=True)))
    assert (stream.labelled, stream.classes, next(stream.read()).label) == (False, (), -1)


def test_a_label_that_is_not_known_is_named_when_it_is_met(sources):
    stream = open_data(sources["jsonl"], Opening((8, 8), 1, rows=replace(ROWS, classes=("fine", "middle"))))
    reader = stream.read()
    assert [next(reader).label for _ in range(2)] == [0, 1]
    with pytest.raises(InputError, match=r"label 'wide' of row 2 of .* is not one of the 2 classes"):
        next(reader)


def test_a_missing_label_is_named_or_told(tmp_path):
    rows = [{**row, "label": None if i == 1 else row["label"]} for i, row in enumerate(records(3))]
    path = parquet(tmp_path / "a.parquet", rows)
    with pytest.raises(InputError, match=r"row 1 of .* has no label in column 'label'; label it, or leave it out"):
        list(open_data(path, HOW).read())
    free = open_data(path, replace(HOW, labelled=False, rows=replace(ROWS, label="label")))
    assert [raw.label for raw in free.read()] == [0, -1, 2]


def test_labels_are_mapped_by_name_and_unknown_classes_come_after(streams):
    mapped = streams["parquet"].named(("wide", "other")).named(("middle", "wide"))
    assert mapped.classes == ("middle", "wide", "other", "fine")
    assert mapped.unknown == ("other", "fine")
    for raw, own in zip(mapped.read(), streams["parquet"].read(), strict=True):
        assert mapped.classes[raw.label] == NAMES[own.label]
    assert streams["parquet"].named(()) is streams["parquet"]


# --------------------------------------------------------------------------------------------- pictures


def test_size_and_channels_are_those_of_the_first_rows(sources):
    assert open_data(sources["parquet"], Opening(rows=ROWS)).shape == (8, 8, 1)


def test_several_threads_decode_the_same(streams):
    stream, (images, _) = streams["parquet"], stripes(20)
    with ThreadPoolExecutor(4) as pool:
        for image, want in zip(pool.map(stream.decode, stream.read()), images, strict=True):
            assert (image[..., 0] == want).all()


def test_a_picture_that_was_decoded_already_is_taken_as_it_is(streams):
    picture = Image.fromarray(stripes(1)[0][0])
    assert (streams["parquet"].decode(Raw(picture, 0, 0))[..., 0] == stripes(1)[0][0]).all()


def test_a_picture_that_cannot_be_decoded_is_named_by_row(tmp_path):
    rows = records(4)
    rows[1]["image"], rows[3]["image"] = b"none", None
    stream = open_data(parquet(tmp_path / "a.parquet", rows), HOW)
    reader = stream.read()
    bad = [next(reader) for _ in range(3)][1]
    for meet in (stream.decode, stream.picture):
        with pytest.raises(InputError, match=r"cannot decode row 1 of .*a\.parquet: its 4 bytes are no known kind"):
            meet(bad)
    with pytest.raises(InputError, match=r"row 3 of .*a\.parquet has no picture; remove it"):
        next(reader)


def test_a_stream_cannot_skip(sources):
    with pytest.raises(InputError, match="skip_corrupt looks for corrupt pictures first, which a stream cannot"):
        open_data(sources["parquet"], replace(HOW, skip_corrupt=True))


def test_a_file_that_is_cut_short_is_named(tmp_path):
    path = beside(tmp_path / "a.jsonl", records(3))
    path.write_text(path.read_text()[:-20] + "\n")
    with pytest.raises(InputError, match=r"cannot read .*a\.jsonl as json: .*; see that its files are whole"):
        list(open_data(path, HOW).read())
