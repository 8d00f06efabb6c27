"""The walk along a list against its twin, which sorts each beginning of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrl.retrieval.planner.lists import best


def slow(positions, first, last, keeps, middle, k):
    found = np.full((len(keeps), len(positions), k), -1)
    for place, keep in enumerate(keeps):
        for q, row in enumerate(positions):
            there = [c for c in range(min(keep, len(row))) if row[c] >= 0]
            there = sorted(there, key=lambda c: (-first[q, c], row[c]))[:middle]
            there = sorted(there, key=lambda c: (-last[q, c], row[c]))[:k]
            found[place, q, : len(there)] = row[there]
    return found


@st.composite
def lists(draw):
    """Few different scores, so that many are equal; places without a row anywhere."""
    queries, length, levels = draw(st.integers(0, 4)), draw(st.integers(1, 12)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    positions = np.array([rng.permutation(40)[:length] for _ in range(queries)], np.int64).reshape(queries, length)
    positions[rng.random(positions.shape) < draw(st.sampled_from([0, 0.3, 1]))] = -1
    first, last = (rng.integers(-levels, levels, (2, queries, length)) / 2).astype(np.float32)
    keeps = tuple(sorted(draw(st.sets(st.integers(1, 15), min_size=1, max_size=5))))
    k = draw(st.integers(1, 8))
    return positions, first, last, keeps, k + draw(st.integers(0, 8)), k


@given(lists())
def test_every_beginning_gives_what_the_twin_sorts_out(drawn):
    assert best(*drawn).tolist() == slow(*drawn).tolist()


@given(lists())
def test_a_rerank_in_one_stage_has_equal_scores_twice(drawn):
    positions, first, _, keeps, _, k = drawn
    assert best(positions, first, first, keeps, k, k).tolist() == slow(positions, first, first, keeps, k, k).tolist()


def test_no_beginnings_are_none():
    positions, scores = np.zeros((2, 3), np.int64), np.zeros((2, 3), np.float32)
    assert best(positions, scores, scores, (), 4, 4).shape == (0, 2, 4)
