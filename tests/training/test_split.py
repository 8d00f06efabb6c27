"""Holding out part of every class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mrl.errors import InputError
from mrl.training import Opening, from_arrays, open_data
from mrl.training.split import held_out
from training.pictures import folder


def data(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    return from_arrays(images, labels)


@given(st.lists(st.integers(0, 4), min_size=10, max_size=60), st.floats(0.1, 0.9), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_every_image_is_in_one_part_and_every_class_in_the_rest(labels, share, seed):
    whole = data(np.array(labels))
    try:
        rest, out = held_out(whole, share, seed)
    except InputError:
        assert all(labels.count(label) * share < 0.51 or labels.count(label) == 1 for label in set(labels))
        return
    assert sorted([*rest.ids, *out.ids]) == list(range(len(labels)))
    assert set(rest.labels) == set(labels)
    for part in (rest, out):
        assert [labels[i] for i in part.ids] == part.labels.tolist()
        assert part.images[:, 0, 0, 0].tolist() == part.ids.tolist()
    for label in set(labels):
        count = labels.count(label)
        assert (out.labels == label).sum() == min(count - 1, round(share * count))


def test_refusals():
    with pytest.raises(InputError, match=r"between 0 and 1, got 1\.0"):
        held_out(data(np.array([0, 0, 1])), 1.0)
    with pytest.raises(InputError, match="leave none to hold out"):
        held_out(data(np.array([0, 1, 2])))
    with pytest.raises(InputError, match="without labels"):
        held_out(from_arrays(np.zeros((3, 8, 8), np.uint8), None))


def test_the_originals_go_with_their_images(tmp_path):
    for part in held_out(open_data(folder(tmp_path, {"a": 5, "b": 5}), Opening((4, 4))), 0.4):
        for i, name in enumerate(part.ids):
            assert (np.asarray(part.pictures([i])[0]) == np.asarray(Image.open(tmp_path / name))).all()
