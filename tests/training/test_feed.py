"""What a batch holds depends on (seed, epoch, index) alone: not on threads, parts, or where an epoch is taken up."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.errors import InputError
from mrl.training import open_data
from mrl.training.augment import Augment
from mrl.training.data import Opening
from mrl.training.feed import Feed, source
from mrl.training.opening import Rows
from mrl.training.team import Team
from training import resumer
from training.pictures import TINY, tiny

SPEC = replace(TINY, batch_size=8, augment="shift-flip", window=10)
CROPS = replace(SPEC, augment="crop-flip", smallest_crop=0.3)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    root = tmp_path_factory.mktemp("feed")
    resumer.folder(root / "folder")
    resumer.shards(root / "shards")
    rows = Rows(stream=True, classes=tiny().classes)
    return {
        "memory": tiny(resumer.IMAGES),
        "folder": open_data(root / "folder", Opening(memory=0)),
        "stream": open_data(root / "shards", Opening((8, 8), 1, rows=rows)),
    }


def feed(data, spec=SPEC, parts=1, workers=0):
    augment = Augment.choose(spec.augment, resumer_fit(data), spec.smallest_crop)
    return Feed(source(data, spec, augment), Team("cpu"), parts, workers)


def resumer_fit(data):
    from mrl.encoders.pixels import Fit

    return Fit(data.shape[:2], data.shape[2])


def batches(feed, epoch=1, position=None):
    """(images, labels, position) of every batch, its pieces joined."""
    return [
        (
            np.concatenate([piece.inputs.numpy() for piece in batch.pieces]),
            np.concatenate([piece.target.numpy() for piece in batch.pieces]),
            batch.after,
        )
        for batch in feed.epoch(epoch, position or {})
    ]


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", ["memory", "folder", "stream"])
@pytest.mark.parametrize("spec", [SPEC, CROPS])
def test_threads_and_parts_change_nothing(kinds, kind, spec):
    want = batches(feed(kinds[kind], spec))
    assert sum(len(images) for images, *_ in want) == resumer.IMAGES
    for parts, workers in ((1, 1), (1, 4), (3, 0), (8, 2)):
        assert same(batches(feed(kinds[kind], spec, parts, workers)), want)


@pytest.mark.parametrize("kind", ["memory", "folder", "stream"])
@settings(deadline=None, max_examples=25)
@given(step=st.integers(0, 5), epoch=st.integers(1, 3), window=st.integers(1, 60), workers=st.integers(0, 2))
def test_an_epoch_goes_on_from_any_step(kinds, kind, step, epoch, window, workers):
    spec = replace(SPEC, window=window)
    whole = batches(feed(kinds[kind], spec), epoch)
    position = json.loads(json.dumps(whole[step - 1][2])) if step else {}
    assert same(batches(feed(kinds[kind], spec, workers=workers), epoch, position), whole[step:])


@pytest.mark.parametrize("kind", ["memory", "folder", "stream"])
def test_every_epoch_shows_every_image_in_an_order_of_its_own(kinds, kind):
    plain = replace(SPEC, augment="none")
    epochs = [np.concatenate([images for images, *_ in batches(feed(kinds[kind], plain), e)]) for e in (1, 2)]
    rows = [sorted(image.tobytes() for image in images) for images in epochs]
    assert rows[0] == rows[1] == sorted(image.tobytes() for image in tiny(resumer.IMAGES).images)
    assert not np.array_equal(*epochs)


def test_images_in_memory_and_decoded_ones_make_the_same_batches(kinds):
    folder = kinds["folder"]
    held = replace(folder, images=folder.images[np.arange(len(folder))])
    assert same(batches(feed(held)), batches(feed(folder)))


def test_labels_stay_with_their_images(kinds):
    by_image = {image.tobytes(): label for image, label in zip(tiny(46).images, tiny(46).labels, strict=True)}
    for kind in ("memory", "stream"):
        for images, labels, _ in batches(feed(kinds[kind], replace(SPEC, augment="none"))):
            assert [by_image[image.tobytes()] for image in images] == labels.tolist()


def test_pieces_count_as_much_as_they_have_rows(kinds):
    for batch in feed(kinds["memory"], parts=3).epoch(1, {}):
        assert [piece.share for piece in batch.pieces] == [len(piece.target) / batch.rows for piece in batch.pieces]
        assert sum(piece.share for piece in batch.pieces) == pytest.approx(1)


def test_a_stream_that_ends_too_soon_is_refused(kinds, tmp_path):
    rows = Rows(stream=True, classes=tiny().classes, count=50)
    longer = open_data(resumer.shards(tmp_path / "shards"), Opening((8, 8), 1, rows=rows))
    with pytest.raises(InputError, match="the stream ended after 46 rows, 50 were announced; give the number"):
        batches(feed(longer))


def test_leaving_an_epoch_early_leaves_no_threads(kinds):
    import threading

    before = threading.active_count()
    epoch = feed(kinds["folder"], workers=3).epoch(1, {})
    next(epoch)
    epoch.close()
    assert threading.active_count() <= before
