from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mrl.errors import InputError, StorageError
from mrl.training import Opening, Rows, from_arrays, open_data
from mrl.training.decoding import LazyImages
from training.pictures import folder, stripes


def test_a_folder_gives_images_labels_names_and_ids(tmp_path):
    data = open_data(folder(tmp_path, {"b": 2, "a": 3}))
    assert len(data) == 5
    assert data.classes == ("a", "b")
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.ids.tolist() == ["a/0.png", "a/1.png", "a/2.png", "b/0.png", "b/1.png"]
    assert data.shape == (8, 8, 1)
    image, label = data[4]
    assert (image[..., 0] == np.asarray(Image.open(tmp_path / "b" / "1.png"))).all()
    assert label == 1


def test_the_size_asked_for_is_what_comes(tmp_path):
    folder(tmp_path, {"a": 2, "b": 1}, size=(100, 50), mode="RGB")
    assert open_data(tmp_path).shape == (64, 32, 3)
    assert open_data(tmp_path, Opening((10, 12), 1)).shape == (10, 12, 1)


def test_one_coloured_picture_makes_all_coloured(tmp_path):
    folder(tmp_path, {"a": 2, "b": 1})
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "b" / "red.png")
    assert open_data(tmp_path).shape == (8, 8, 3)


def test_what_does_not_fit_is_decoded_when_asked_for(tmp_path):
    folder(tmp_path, {"a": 3, "b": 2})
    held, lazy = open_data(tmp_path), open_data(tmp_path, Opening(memory=100))
    assert isinstance(lazy.images, LazyImages)
    assert lazy.shape == held.shape
    for (a, la), (b, lb) in zip(held.__getitems__([4, 0]), lazy.__getitems__([4, 0]), strict=True):
        assert (a == b).all()
        assert la == lb


@pytest.fixture
def corrupt(tmp_path):
    folder(tmp_path, {"a": 2, "b": 2})
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


@pytest.mark.parametrize("memory", [100, 1 << 20])
def test_a_corrupt_image_is_skipped_and_counted(corrupt, memory):
    data = open_data(corrupt, Opening(skip_corrupt=True, memory=memory))
    assert data.skipped == ("a/1.png",)
    assert data.ids.tolist() == ["a/0.png", "b/0.png", "b/1.png"]
    assert data.labels.tolist() == [0, 1, 1]
    assert (data[1][0][..., 0] == np.asarray(Image.open(corrupt / "b" / "0.png"))).all()
    assert (np.asarray(data.pictures([1])[0]) == data[1][0][..., 0]).all()


def test_a_corrupt_image_is_named_when_it_is_met(corrupt):
    said = r"cannot decode .*a/1\.png: .*; remove it, or skip such files with skip_corrupt"
    with pytest.raises(InputError, match=said):
        open_data(corrupt)
    data = open_data(corrupt, Opening((8, 8), 1, memory=0))
    assert data[2][0].shape == (8, 8, 1)
    for meet in (data.__getitem__, lambda i: data.pictures([i])):
        with pytest.raises(InputError, match=said):
            meet(1)


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_pictures_are_the_originals(tmp_path, memory):
    folder(tmp_path, {"a": 2, "b": 1}, size=(100, 50), mode="RGB")
    data = open_data(tmp_path, Opening((8, 8), memory=memory))
    original = data.part(np.array([2, 0])).pictures([0])[0]
    assert (np.asarray(original) == np.asarray(Image.open(tmp_path / "b" / "0.png"))).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_an_array_are_its_images(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, channels), dtype=np.uint8)
    for image, picture in zip(images[[2, 1]], from_arrays(images, [0, 1, 0]).pictures([2, 1]), strict=True):
        assert (np.asarray(picture).reshape(image.shape) == image).all()


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_several_threads_read_the_same(tmp_path, memory):
    data = open_data(folder(tmp_path, {"a": 20, "b": 20}), Opening(memory=memory))
    want = data.images[np.arange(40)]
    with ThreadPoolExecutor(4) as pool:
        for i, image in enumerate(pool.map(lambda i: data[i][0], range(40))):
            assert (image == want[i]).all()


def test_a_class_of_corrupt_images_only_is_named(tmp_path):
    folder(tmp_path, {"a": 1, "b": 2})
    (tmp_path / "a" / "0.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no image of class folder .*a could be decoded"):
        open_data(tmp_path, Opening(skip_corrupt=True))


def test_a_class_folder_without_an_image_is_named(tmp_path):
    folder(tmp_path, {"a": 1, "empty": 0})
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"class folder .*empty has no image .*; remove it or fill it"):
        open_data(tmp_path)


def test_images_without_class_folders_have_no_labels(tmp_path):
    (folder(tmp_path, {"a": 2}) / "a").rename(tmp_path / "loose")
    with pytest.raises(InputError, match=r"has no class folders, so its 2 images have no labels; put the images"):
        open_data(tmp_path / "loose")
    data = open_data(tmp_path / "loose", Opening(labelled=False))
    assert data.labels is None
    assert data[0][1] == -1


def test_an_image_beside_the_class_folders_is_named(tmp_path):
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "0.png").rename(tmp_path / "lost.png")
    with pytest.raises(InputError, match=r"lost\.png lies outside of the class folders"):
        open_data(tmp_path)


def test_a_folder_of_nothing_is_refused_with_or_without_labels(tmp_path):
    for labelled in (True, False):
        with pytest.raises(InputError, match="no class folders, so its 0 images"):
            open_data(tmp_path, Opening(labelled=labelled))


def test_hidden_files_and_deeper_folders(tmp_path):
    folder(tmp_path, {"a": 1, "b/deeper": 1})
    (tmp_path / ".cache").mkdir()
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    assert open_data(tmp_path).ids.tolist() == ["a/0.png", "b/deeper/0.png"]


def test_nothing_there(tmp_path):
    with pytest.raises(StorageError, match=r"nothing is there; give a folder of class folders, a table of pict"):
        open_data(tmp_path / "absent")


def test_arrays_from_a_file(tmp_path):
    images, labels = stripes(6)
    np.savez(tmp_path / "a.npz", images=images, labels=labels, classes=["x", "y", "z"])
    data = open_data(tmp_path / "a.npz")
    assert (data.images[..., 0] == images).all()
    assert (data.labels == labels).all()
    assert (data.classes, data.ids.tolist()) == (("x", "y", "z"), [0, 1, 2, 3, 4, 5])
    assert open_data(tmp_path / "a.npz", Opening((4, 6), 3)).shape == (4, 6, 3)


def test_files_of_arrays_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.npz"
    images, labels = stripes(6)
    np.savez(path, pictures=images)
    with pytest.raises(InputError, match="has no array `images`; name the arrays images, labels"):
        open_data(path)
    np.savez(path, images=images)
    with pytest.raises(InputError, match="has no array `labels`; training needs one integer an image"):
        open_data(path)
    assert open_data(path, Opening(labelled=False)).labels is None
    np.savez(path, images=images, labels=labels.astype(object))
    with pytest.raises(InputError, match=r"cannot read .*a\.npz as \.npz of plain arrays"):
        open_data(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot read .*a\.npz as \.npz of plain arrays"):
        open_data(path)


@pytest.mark.parametrize(
    ("labels", "classes", "rule"),
    [
        ([0, 1], (), "2 labels for 3 images; give each image one label"),
        ([0, 1, -1], (), "labels must be 0 or more, got -1; leave unlabelled images out"),
        ([0.0, 1.0, 2.0], (), r"labels must be integers \(n,\), got float64"),
        ([0, 1, 2], ("a", "b"), "label 2 has no name among the 2 classes"),
        ([0, 1, 1], ("a", "a"), "class names must differ"),
    ],
)
def test_labels_that_do_not_fit(labels, classes, rule):
    with pytest.raises(InputError, match=rule):
        from_arrays(np.zeros((3, 8, 8), np.uint8), np.array(labels), classes)


def test_classes_without_names_are_called_by_their_numbers():
    assert from_arrays(np.zeros((2, 8, 8), np.uint8), [0, 3]).classes == ("0", "1", "2", "3")


def test_labels_are_mapped_by_name_and_unknown_classes_come_after():
    data = from_arrays(np.zeros((4, 8, 8), np.uint8), [0, 1, 2, 1], ("cat", "eel", "ant"))
    mapped = data.named(("ant", "bee", "cat"))
    assert mapped.classes == ("ant", "bee", "cat", "eel")
    assert mapped.labels.tolist() == [2, 3, 0, 3]
    assert mapped.unknown == ("eel",)
    assert [mapped.classes[i] for i in mapped.labels] == [data.classes[i] for i in data.labels]
    assert replace(data, labels=None).named(("ant",)).labels is None


def test_what_is_no_table_is_no_stream(tmp_path):
    with pytest.raises(InputError, match="is no table and cannot be a stream"):
        open_data(folder(tmp_path, {"a": 1, "b": 1}), Opening(rows=Rows(stream=True)))
