"""Measures against their definitions, one query at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.evaluation.measures import average_precision, k_nn, one_nn, precision

LISTS = st.integers(1, 8).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 3), min_size=k, max_size=k), min_size=1, max_size=5)
)


def paper_average_precision(found, wanted):
    """arXiv 2205.13147 §4.3 in loops: precision at i counts where i is a hit, and k divides."""
    total = 0.0
    for i in range(1, len(found) + 1):
        if found[i - 1] == wanted:
            total += sum(label == wanted for label in found[:i]) / i
    return total / len(found)


def vote(found):
    """The commonest label; among equal counts that of the nearest neighbour."""
    return max(found, key=lambda label: (found.count(label), -found.index(label)))


@given(LISTS, st.data())
@settings(deadline=None)
def test_equal_their_definitions(lists, data):
    wanted = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(lists), max_size=len(lists))))
    found = np.array(lists)
    each = list(zip(lists, wanted.tolist(), strict=True))
    np.testing.assert_allclose(average_precision(found, wanted), [paper_average_precision(f, w) for f, w in each])
    np.testing.assert_allclose(precision(found, wanted), [f.count(w) / len(f) for f, w in each])
    np.testing.assert_allclose(one_nn(found, wanted), [f[0] == w for f, w in each])
    np.testing.assert_allclose(k_nn(found, wanted), [vote(f) == w for f, w in each])


def test_the_papers_form_divides_by_k_and_not_by_the_hits():
    assert average_precision(np.array([[1, 0, 0, 0]]), np.array([1])) == 0.25
    assert average_precision(np.array([[1, 1, 1, 1]]), np.array([1])) == 1


def test_several_cuts_at_once():
    found = np.array([[[1, 2], [2, 2]], [[0, 1], [2, 0]]])  # (cuts, queries, k)
    assert one_nn(found, np.array([1, 2])).tolist() == [[1, 1], [0, 1]]


def test_unknown_labels_are_never_hit():
    assert precision(np.array([[0, 1, 2]]), np.array([-1])) == 0
