"""Prefixes that float32 products cannot hold."""

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise.lengths import check_lengths, extreme, flushed
from mrl.errors import InputError
from mrl.vectors import Held

CUTS = Nesting((2, 4))
CARD = Card("toy", 4, CUTS)


def made():
    vectors = np.ones((5, 4), np.float32)
    vectors[1, :2] = 1e-17
    vectors[2, :2] = 0
    vectors[4] = 1e16
    return vectors


def test_what_is_too_long_or_too_short():
    np.testing.assert_array_equal(extreme(made(), CUTS, "cosine"), [[0, 0], [1, 0], [0, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(extreme(made(), CUTS, "l2").any(1), [0, 0, 0, 0, 1])


def test_the_first_such_row_is_named_by_its_id():
    held = Held(Held.of(made(), CARD).path, CARD, made(), np.array(list("abcde")))
    with pytest.raises(
        InputError, match=r"memory: the first 2 dims of the row with id 'b' have length 1\.4e-17 \(2 such rows\)"
    ):
        check_lengths(held, CUTS)
    check_lengths(held.only(np.array([0, 2, 3])), CUTS)


def test_what_rounding_left_of_nothing_is_nothing():
    vectors = made()
    out = flushed(vectors, CUTS, "cosine")
    assert out[1].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(out[[0, 2, 3, 4]], vectors[[0, 2, 3, 4]])
    assert vectors[1, 0] > 0
    just = np.array([[9.5e-16, 0, 4e-16, 0]], np.float32)  # 1.03e-15 long, most of it in the first two
    assert not flushed(just, CUTS, "cosine").any()
    assert flushed(vectors, CUTS, "dot") is vectors
