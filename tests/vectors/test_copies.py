"""Copies share a number, and nothing else does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrl.vectors.copies import digests, groups


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 5))
def test_rows_share_a_number_if_and_only_if_they_are_equal(kinds, width):
    rows = np.array(kinds, np.float32)[:, None] * np.ones(width, np.float32)
    found = groups(rows)
    assert ((found[:, None] == found) == (np.array(kinds)[:, None] == np.array(kinds))).all()
    assert found.size == 0 or set(found.tolist()) == set(range(found.max() + 1))


def test_zeros_of_both_signs_and_other_dtypes_are_the_same():
    rows = np.array([[0.0, 1.5], [-0.0, 1.5]])
    for dtype in (np.float16, np.float32, np.float64):
        assert len(set(digests(rows.astype(dtype)).tolist())) == 1
    assert (digests(rows.astype(np.float16)) == digests(rows)).all()
