"""Tables of pictures, by row: every kind of file says the same, and what cannot be meant is refused by name."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mrl.encoders.pixels import Fit, fitted
from mrl.errors import InputError, MissingError, StorageError
from mrl.training import Opening, Rows, open_data
from mrl.training.decoding import LazyImages
from training.pictures import MODES, beside, encoded, folder, own_cache, parquet, records, stripes, varied  # noqa: F401

NAMES = ("fine", "middle", "wide")
LAZY = Opening(memory=0)


def hf(rows, names=NAMES):
    """The rows as `datasets` itself would hold them: an Image column and a ClassLabel."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))})
    columns = {"image": [{"bytes": row["image"], "path": None} for row in rows], "label": [r["label"] for r in rows]}
    return datasets.Dataset.from_dict(columns, features=features)


def arrow(path, rows):
    with pa.OSFile(str(path), "wb") as file:
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    return path


def saved(path, rows):
    hf(rows).save_to_disk(path, num_shards=2)
    return path


def saved_splits(path, rows):
    datasets.DatasetDict({"train": hf(rows), "test": hf(rows[:2])}).save_to_disk(path)
    return path


def shards(path, rows):
    """As a clone of a hub's dataset: splits by the files' names, in a folder called data."""
    for i, part in enumerate((rows[:5], rows[5:])):
        parquet(path / "data" / f"train-0000{i}-of-00002.parquet", part)
    parquet(path / "data" / "test-00000-of-00001.parquet", rows[:1])
    (path / "README.md").write_text("what this is")
    return path


def pattern(path, rows):
    for i, part in enumerate((rows[:7], rows[7:])):
        parquet(path / f"{i}.parquet", part)
    return path / "*.parquet"


SOURCES = {
    "parquet": lambda path, rows: parquet(path / "a.parquet", rows),
    "brackets": lambda path, rows: parquet(path / "a[1].parquet", rows),
    "csv": lambda path, rows: beside(path / "a.csv", rows),
    "tsv": lambda path, rows: beside(path / "a.tsv", rows),
    "jsonl": lambda path, rows: beside(path / "a.jsonl", rows),
    "arrow": lambda path, rows: arrow(path / "a.arrow", rows),
    "metadata": lambda path, rows: beside(path / "metadata.csv", rows).parent,
    "saved": saved,
    "splits": saved_splits,
    "shards": shards,
    "brackets in folders": lambda path, rows: shards(path / "a[1]", rows),
    "pattern": pattern,
}


@pytest.mark.parametrize("how", [Opening(), LAZY], ids=["held", "lazy"])
@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_table_says_the_same(tmp_path, kind, how, capsys):
    data = open_data(SOURCES[kind](tmp_path, records()), how)
    capsys.readouterr()
    assert isinstance(data.images, LazyImages) == (how is LAZY)
    images, labels = stripes(12)
    assert (data.images[np.arange(12)][..., 0] == images).all()
    assert data.labels.tolist() == labels.tolist()
    assert (data.classes, data.ids.tolist(), data.shape) == (NAMES, list(range(12)), (8, 8, 1))
    some = data.part(np.array([7, 2, 2]))
    assert (some.images[np.array([1, 0])][..., 0] == images[[2, 7]]).all()
    assert [np.asarray(p).tolist() for p in some.pictures([2, 0])] == images[[2, 7]].tolist()
    assert some.pictures([]) == []


def test_progress_is_not_shown_and_the_setting_is_left_alone(tmp_path, capfd):
    assert not datasets.are_progress_bars_disabled()
    open_data(parquet(tmp_path / "a.parquet", records()))
    assert not datasets.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")


def test_an_empty_shard_is_no_trouble(tmp_path):
    parquet(tmp_path / "1.parquet", records(3))
    pq.write_table(pq.read_table(tmp_path / "1.parquet").slice(0, 0), tmp_path / "0.parquet")
    assert len(open_data(tmp_path)) == 3
    stream = open_data(tmp_path, Opening(rows=Rows(stream=True, classes=NAMES)))
    assert [raw.id for raw in stream.read((0, 0))] == [0, 1, 2]


def test_a_split_is_chosen_by_name(tmp_path):
    for make in (shards, saved_splits):
        path = make(tmp_path / make.__name__, records())
        assert len(open_data(path, Opening(rows=Rows(split="test")))) < 12
        with pytest.raises(InputError, match=r"has no split 'dev'; it has test, train, so name one with"):
            open_data(path, Opening(rows=Rows(split="dev")))


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train.parquet", "dev.parquet", "notes.parquet"), {"train": 1, "validation": 1}),
        (("my_test_2.parquet", "train1.parquet", "train2.parquet"), {"train": 2, "test": 1}),
        (("x-1-of-2.parquet", "x-2-of-2.parquet"), {"x": 2}),
        (("contest.parquet", "brain.parquet"), {"train": 2}),
    ],
)
def test_the_names_of_files_tell_their_split(tmp_path, names, splits):
    for name in names:
        parquet(tmp_path / name, records(3))
    for split, files in splits.items():
        assert len(open_data(tmp_path, Opening(rows=Rows(split=split)))) == 3 * files
    with pytest.raises(InputError, match=f"has no split 'none'; it has {', '.join(sorted(splits))}, so name one"):
        open_data(tmp_path, Opening(rows=Rows(split="none")))


def test_class_folders_with_a_stray_table_are_class_folders(tmp_path):
    folder(tmp_path, {"a": 1, "b": 2})
    (tmp_path / "classes.json").write_text("{}")
    assert open_data(tmp_path).classes == ("a", "b")


def test_several_threads_read_the_same(tmp_path):
    data = open_data(parquet(tmp_path / "a.parquet", records(60)), LAZY)
    images, _ = stripes(60)
    with ThreadPoolExecutor(4) as pool:
        parts = np.array_split(np.random.default_rng(0).permutation(60), 20)
        for at, got in zip(parts, pool.map(data.images.__getitem__, parts), strict=True):
            assert (got[..., 0] == images[at]).all()


# --------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode_come_alike_through_every_source(tmp_path, mode):
    picture = varied(mode)
    rows = [{"image": encoded(picture), "label": "a"}, {"image": encoded(varied(mode, seed=1)), "label": "b"}]
    for row in rows:
        (tmp_path / "folders" / row["label"]).mkdir(parents=True)
        suffix = "tif" if mode == "CMYK" else "png"
        (tmp_path / "folders" / row["label"] / f"0.{suffix}").write_bytes(row["image"])
    table, paths = parquet(tmp_path / "a.parquet", rows), beside(tmp_path / "a.csv", rows)
    stream = Rows(stream=True, classes=("a", "b"))
    for channels in (1, 3):
        how = Opening((7, 9), channels)
        want = fitted(picture, Fit((7, 9), channels))
        for source in (tmp_path / "folders", table, paths):
            for memory in (0, 1 << 20):
                assert (open_data(source, replace(how, memory=memory))[0][0] == want).all()
        for source in (table, paths):
            read = open_data(source, replace(how, rows=stream))
            assert (read.decode(next(read.read())) == want).all()


@pytest.mark.parametrize("mode", MODES)
def test_size_and_colour_are_those_of_the_pictures(tmp_path, mode):
    rows = [{"image": encoded(varied(mode)), "label": label} for label in "ab"]
    channels = 1 if mode in ("L", "1", "LA", "I;16") else 3
    assert open_data(parquet(tmp_path / "a.parquet", rows), LAZY).shape == (12, 10, channels)


def test_a_picture_that_cannot_be_decoded_is_named_by_row(tmp_path):
    rows = records(4)
    rows[1]["image"], rows[2]["image"] = b"none", None
    path = parquet(tmp_path / "a.parquet", rows)
    with pytest.raises(InputError, match=r"cannot decode row 1 of .*a\.parquet: its 4 bytes are no known kind of pict"):
        open_data(path)
    with pytest.raises(InputError, match=r"row 2 of .*a\.parquet has no picture; replace it, or leave"):
        open_data(path, replace(LAZY, size=(8, 8), channels=1))[2]
    for how in (Opening(skip_corrupt=True), replace(LAZY, skip_corrupt=True)):
        data = open_data(path, how)
        assert (data.skipped, data.ids.tolist(), data.labels.tolist()) == (("1", "2"), [0, 3], [0, 0])


def test_a_path_that_leads_nowhere_is_named(tmp_path):
    path = beside(tmp_path / "a.csv", records(4))
    (tmp_path / "files" / "2").unlink()
    with pytest.raises(StorageError, match=r"cannot read .*files/2: No such file"):
        open_data(path)
    assert open_data(path, Opening(skip_corrupt=True)).skipped == ("2",)


def test_relative_paths_need_one_folder(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        beside(tmp_path / name / "t.csv", records(2))
    with pytest.raises(InputError, match=r"row 0 of .* has the relative path files/0, but .* is not in one local"):
        open_data(f"{tmp_path}/*/t.csv")


def test_absolute_paths_and_addresses_may_lie_anywhere(tmp_path):
    rows = records(2)
    for i, row in enumerate(rows):
        (tmp_path / f"{i}.png").write_bytes(row["image"])
    listed = [{"path": str(tmp_path / "0.png"), "label": "a"}, {"path": f"file://{tmp_path}/1.png", "label": "b"}]
    data = open_data(parquet(tmp_path / "tables" / "a.parquet", listed), LAZY)
    assert (data.images[np.arange(2)][..., 0] == stripes(2)[0]).all()


# --------------------------------------------------------------------------------------------- columns


def test_columns_can_be_named(tmp_path):
    rows = [{"a": r["image"], "b": r["image"][:9], "c": r["label"], "d": f"id{i}"} for i, r in enumerate(records(5))]
    path = parquet(tmp_path / "a.parquet", rows)
    with pytest.raises(InputError, match="several columns that may be the image: a, b; name one with image"):
        open_data(path)
    with pytest.raises(InputError, match=r"no column of labels among a \(bytes\), b \(bytes\), c \(text\), d \(text\)"):
        open_data(path, Opening(rows=Rows(image="a")))
    data = open_data(path, Opening(rows=Rows(image="a", label="c", id="d")))
    assert data.ids.tolist() == ["id0", "id1", "id2", "id3", "id4"]
    assert data.labels.tolist() == [0, 1, 2, 0, 1]
    assert open_data(path, Opening(labelled=False, rows=Rows(image="a"))).labels is None


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (Rows(image="x"), r"column 'x' of .* is not there and cannot be the image; columns are image \(bytes\), label"),
        (Rows(label="image"), r"column 'image' of .* is of kind bytes and cannot be the label"),
        (Rows(id="image"), r"column 'image' of .* is of kind bytes and cannot be the id"),
    ],
)
def test_columns_that_cannot_be_meant(tmp_path, rows, rule):
    path = parquet(tmp_path / "a.parquet", records(3))
    with pytest.raises(InputError, match=rule):
        open_data(path, Opening(rows=rows))


def test_a_table_without_pictures(tmp_path):
    path = parquet(tmp_path / "a.parquet", [{"x": 1.5, "label": 0}])
    with pytest.raises(InputError, match=r"no column of pictures among x \(other\), label \(number\); name it"):
        open_data(path)


def test_the_image_column_of_datasets_goes_before_others(tmp_path):
    table = hf(records(3)).add_column("path", ["a", "b", "c"])
    table.save_to_disk(tmp_path / "saved")
    assert (open_data(tmp_path / "saved").images[..., 0] == stripes(3)[0]).all()


def test_ids_must_be_there(tmp_path):
    rows = [{**row, "key": None if i == 1 else i} for i, row in enumerate(records(3))]
    with pytest.raises(InputError, match=r"row 1 of .* has no id in column 'key'; give it one, or name no column"):
        open_data(parquet(tmp_path / "a.parquet", rows), Opening(rows=Rows(id="key")))


# --------------------------------------------------------------------------------------------- labels


def labelled(path, labels, suffix="parquet", classes=()):
    rows = [{**row, "label": label} for row, label in zip(records(len(labels)), labels, strict=True)]
    path = parquet(path / "a.parquet", rows) if suffix == "parquet" else beside(path / f"a.{suffix}", rows)
    data = open_data(path, Opening(rows=Rows(classes=classes)))
    return data.labels.tolist(), data.classes


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_what_labels_mean(tmp_path, suffix):
    assert labelled(tmp_path, [3, 0, 10], suffix) == ([3, 0, 10], tuple(map(str, range(11))))
    assert labelled(tmp_path, ["wolf", "ant", "wolf"], suffix) == ([1, 0, 1], ("ant", "wolf"))
    assert labelled(tmp_path, ["wolf", "ant"], suffix, ("eel", "wolf", "ant")) == ([1, 2], ("eel", "wolf", "ant"))
    assert labelled(tmp_path, [1, 0], suffix, ("wolf", "ant")) == ([1, 0], ("wolf", "ant"))
    assert labelled(tmp_path, ["NA", "null", "007"], suffix) == ([1, 2, 0], ("007", "NA", "null"))


def test_numbers_that_are_names_are_taken_as_names(tmp_path):
    assert labelled(tmp_path, ["7", "5"], "csv", ("5", "7")) == ([1, 0], ("5", "7"))
    assert labelled(tmp_path, ["2", "10"]) == ([1, 0], ("10", "2"))


def test_the_names_of_a_class_label_are_kept_or_put_in_another_order(tmp_path):
    path = saved(tmp_path / "saved", records(3))
    data = open_data(path, Opening(rows=Rows(classes=("wide", "other", "middle", "fine"))))
    assert (data.labels.tolist(), data.classes) == ([3, 2, 0], ("wide", "other", "middle", "fine"))


@pytest.mark.parametrize(
    ("labels", "classes", "rule"),
    [
        (["a", "c", "b"], ("a", "b"), r"label 'c' of row 1 of .* is not one of the 2 classes \(a, b, …\); add it to"),
        ([0, 1, 2], ("a", "b"), "label 2 of row 2 of .* is not one of the 2 classes"),
        ([0, -1], (), "label -1 of row 1 of .* is not one of the 1 classes"),
        (["a", None, "b"], (), "row 1 of .* has no label in column 'label'; label it, or leave it out"),
        ([0, 1 << 40], (), "label 1099511627776 is too large for the number of a class; give the classes' names"),
        ([0.5, 1.5], (), r"no column of labels among image \(bytes\), label \(other\); name it with label"),
    ],
)
def test_labels_that_are_not_known(tmp_path, labels, classes, rule):
    with pytest.raises(InputError, match=rule):
        labelled(tmp_path, labels, classes=classes)


def test_labels_may_be_missing_where_none_are_needed(tmp_path):
    rows = [{**row, "label": None if i == 1 else row["label"]} for i, row in enumerate(records(3))]
    data = open_data(parquet(tmp_path / "a.parquet", rows), Opening(labelled=False, rows=Rows(label="label")))
    assert (data.labels, data.classes, data[0][1]) == (None, (), -1)


def test_labels_that_are_there_are_read_where_none_are_needed(tmp_path):
    rows = [{**row, "category": row["label"]} for row in records(3)]
    plain = parquet(tmp_path / "a.parquet", records(3))
    for how in (Opening(labelled=False), Opening(labelled=False, rows=Rows(stream=True, classes=NAMES))):
        assert open_data(plain, how).classes == NAMES
    unclear = parquet(tmp_path / "b.parquet", rows)
    assert open_data(unclear, Opening(labelled=False)).labels is None
    with pytest.raises(InputError, match="several columns that may be the label: label, category; name one with label"):
        open_data(unclear)


def test_a_table_without_rows(tmp_path):
    table = pa.schema({"image": pa.binary(), "label": pa.int64()}).empty_table()
    pq.write_table(table, tmp_path / "a.parquet")
    for rows in (Rows(), Rows(stream=True, classes=NAMES)):
        with pytest.raises(InputError, match=r"a\.parquet (has no rows; give a table|.* corresponds to no data)"):
            open_data(tmp_path / "a.parquet", Opening(rows=rows))


def test_classes_must_differ():
    with pytest.raises(InputError, match="class names must differ, got 'a' twice; rename one"):
        Rows(classes=("a", "b", "a"))


# --------------------------------------------------------------------------------------------- files


def test_files_that_cannot_be_read(tmp_path):
    whole = parquet(tmp_path / "a.parquet", records(3)).read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-20])
    with pytest.raises(InputError, match=r"cannot read .*a\.parquet as parquet: .*; see that its files are whole"):
        open_data(tmp_path / "a.parquet")
    with pytest.raises(StorageError, match=r"cannot read .*x\*: no file has such a name; check the pattern"):
        open_data(f"{tmp_path}/x*")
    beside(tmp_path / "a.csv", records(2))
    with pytest.raises(InputError, match=r"stands for files of kinds \.csv, \.parquet; give tables of one kind"):
        open_data(f"{tmp_path}/a.*")


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    path = parquet(tmp_path / "a.parquet", records(3))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingError, match=r"tables need datasets: pip install 'mrl\[train\]', or give folders of im"):
        open_data(path)


@pytest.mark.parametrize("name", ["hub:owner/name", "owner/name"])
def test_a_hub_that_cannot_be_reached(name):
    for stream in (False, True):
        with pytest.raises(StorageError, match=r"no owner/name here, and the hub did not .*; see that it is spelt"):
            open_data(name, Opening(rows=Rows(stream=stream)))


def test_a_local_path_goes_before_a_hubs_name(tmp_path, monkeypatch):
    folder(tmp_path / "owner" / "name", {"a": 1, "b": 1})
    monkeypatch.chdir(tmp_path)
    assert open_data("owner/name").classes == ("a", "b")


def test_a_picture_of_several_sizes_keeps_its_own(tmp_path):
    rows = [{"image": encoded(Image.new("RGB", (5 + i, 9))), "label": "ab"[i % 2]} for i in range(4)]
    data = open_data(parquet(tmp_path / "a.parquet", rows), LAZY)
    assert [picture.size for picture in data.pictures([3, 0])] == [(8, 9), (5, 9)]
