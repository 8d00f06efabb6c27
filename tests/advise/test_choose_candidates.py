"""Which candidates are tested, and in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl.advise.candidates import Candidate, Measured, Side, Z, margins, measured, sequence
from mrl.evaluation.yardstick import KeptNeighbours
from mrl.nesting import Nesting

CANDIDATES = tuple(Candidate(dim, name) for name in ("float32", "int8", "1bit") for dim in (8, 16, 32))


def made(gaps, n=200, noise=0.0, seed=0):
    """Queries whose full width is right, and candidates with these mean gaps."""
    draws = np.random.default_rng(seed).normal(size=(len(gaps), n)) * noise
    return Measured(np.ones(n), CANDIDATES[: len(gaps)], 1 - np.asarray(gaps)[:, None] - draws)


def test_bytes_are_of_one_vector():
    names = ("float32", "float16", "int12", "int8", "1bit")
    assert [Candidate(12, name).bytes for name in names] == [48, 24, 18, 12, 2]
    assert str(Candidate(64, "int8")) == "64 × int8"


def test_everything_is_measured_narrowest_first_and_the_full_width_beside_it():
    draws = np.random.default_rng(0)
    side = Side(*(draws.normal(size=(n, 16)).astype(np.float32) for n in (30, 200)), "cosine")
    stick = KeptNeighbours.of(side.queries, side.rows, 5, "cosine")
    seen = measured(stick, side, side, Nesting((4, 8)), ("float32", "int8"))
    assert [str(each) for each in seen.candidates] == ["4 × float32", "8 × float32", "4 × int8", "8 × int8"]
    assert (seen.full == 1).all()
    np.testing.assert_array_equal(seen.values[:2], stick.values(side.queries, side.rows, Nesting((4, 8)), "cosine"))
    whole = measured(stick, side, side, Nesting((4, 16)), ("float32",))
    np.testing.assert_array_equal(whole.full, whole.values[-1])
    turned = Side(side.queries[:, ::-1].copy(), side.rows[:, ::-1].copy(), "cosine")
    other = measured(stick, side, turned, Nesting((4, 16)), ("float32",))
    assert (other.full == 1).all()
    assert other.values[0].mean() < 0.9


def test_the_safest_comes_first_and_each_is_smaller_than_the_one_before():
    gaps = [0.03, 0.004, 0.0, 0.055, 0.006, 0.001, 0.2, 0.1, 0.05]  # float32, int8, 1bit at 8, 16, 32
    order = sequence(made(gaps), tolerance=0.06, below=10**6)
    assert [str(CANDIDATES[c]) for c in order] == ["32 × float32", "32 × int8", "16 × int8", "32 × 1bit"]


def test_what_is_equally_safe_is_tried_from_the_largest_down():
    order = sequence(made([0.0] * 9), tolerance=0.01, below=10**6)
    assert [CANDIDATES[c].bytes for c in order] == [128, 64, 32, 16, 8, 4, 2, 1]


def test_clear_losers_and_what_saves_nothing_are_left_out():
    seen = made([0.02, 0.0, 0.0], noise=0.001)
    assert sequence(seen, tolerance=0.01, below=128) == [1]
    assert sequence(seen, tolerance=0.03, below=128) == [1, 0]
    assert sequence(made([0.02, 0.02, 0.02]), tolerance=0.01, below=10**6) == []


@given(st.lists(st.floats(-0.1, 0.2), min_size=9, max_size=9), st.integers(0, 99), st.floats(0.001, 0.1))
def test_no_candidate_left_out_is_both_safer_and_smaller(gaps, seed, tolerance):
    seen = made(gaps, n=20, noise=0.05, seed=seed)
    order = sequence(seen, tolerance, below=10**6)
    margin = margins(seen.gaps, tolerance)
    assert [margin[c] for c in order] == sorted((margin[c] for c in order), reverse=True)
    sizes = [CANDIDATES[c].bytes for c in order]
    assert sizes == sorted(set(sizes), reverse=True)
    for c in set(range(9)) - set(order):
        better = any(margin[o] >= margin[c] and CANDIDATES[o].bytes <= CANDIDATES[c].bytes for o in order)
        assert better or margin[c] < -Z


def test_a_lucky_candidate_of_great_variance_goes_after_a_sure_one():
    gaps = np.zeros((2, 400))
    gaps[1] = np.tile([0.9, -1, 0, 0], 100)  # a gap of −0.025, of which little is sure
    seen = Measured(np.ones(400), (Candidate(32, "int8"), Candidate(16, "int8")), 1 - gaps)
    assert sequence(seen, tolerance=0.01, below=128) == [0, 1]


def test_margins_by_hand():
    gaps = np.array([[0.1, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert margins(gaps, 0.05).tolist() == pytest.approx([-0.05 / (0.015 / 4 + 1 / 16) ** 0.5, 0.05 * 4])


def test_a_query_may_count_twice():
    seen = made([0.1, 0.2], n=5, noise=0.1)
    some = seen.only(np.array([3, 3, 0]))
    np.testing.assert_array_equal(some.gaps, seen.gaps[:, [3, 3, 0]])
    assert some.full.shape == (3,)


def test_other_widths_are_named():
    side = Side(np.ones((2, 8), np.float32), np.ones((9, 8), np.float32), "dot")
    with pytest.raises(ValueError, match="need vectors of at least 9 dims, got 8"):
        measured(KeptNeighbours(np.arange(2), np.zeros((2, 1), np.int64)), side, side, Nesting((9,)), ("float32",))
