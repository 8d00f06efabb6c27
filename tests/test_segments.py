"""The kernel against ten-line brute force, and against FAISS."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import Nesting, topk, unit_prefix
from mrl import segments as kernel
from mrl.errors import InputError, NestingError
from mrl.segments import accumulate, neighbours, prefix_norms

METRICS = ("cosine", "dot", "l2")


def brute(queries, rows, dim, by):
    """All scores (q, n) at one cut, in float64, from the definition."""
    q, x = (np.asarray(v[:, :dim], np.float64) for v in (queries, rows))
    if by == "l2":
        return -np.stack([((x - one) ** 2).sum(-1) for one in q]) if len(q) else np.empty((0, len(x)))
    if by == "cosine":
        q, x = unit_prefix(q, dim), unit_prefix(x, dim)
    return q @ x.T


def assert_nearest(found, queries, rows, by, tolerance=1e-4):
    """Each list is a right answer: its scores are the true ones, sorted, and none left out is better."""
    for level, dim in enumerate(found.cuts.dims):
        truth = brute(queries, rows, dim, by)
        scale = max(1.0, np.abs(truth).max())
        got = np.take_along_axis(truth, found.positions[level], axis=1)
        best = -np.sort(-truth, axis=1)[:, : got.shape[1]]
        np.testing.assert_allclose(got, best, atol=tolerance * scale)
        np.testing.assert_allclose(found.scores[level], best, atol=tolerance * scale)
        assert (np.diff(found.scores[level], axis=1) <= 0).all()
        assert all(len(set(line)) == len(line) for line in found.positions[level])


@pytest.fixture(params=["numba", "numpy"])
def way(request, monkeypatch):
    """Both ways of keeping the best k."""
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "_keeper", lambda: kernel.keep_numpy)


@given(
    seed=st.integers(0, 2**32 - 1),
    dims=st.sets(st.integers(1, 24), min_size=1, max_size=5).map(sorted),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    by=st.sampled_from(METRICS),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_equals_brute_force(seed, dims, shape, by, data):
    draws = np.random.default_rng(seed)
    queries, rows = (draws.normal(size=(n, 24)).astype(np.float32) for n in shape)
    k = data.draw(st.integers(1, shape[1]))
    assert_nearest(neighbours(queries, rows, Nesting(dims), k, by), queries, rows, by)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("by", METRICS)
def test_tiles_join_without_a_seam(by, monkeypatch):
    monkeypatch.setattr(kernel, "QUERY_TILE", 7)
    monkeypatch.setattr(kernel, "ROW_TILE", 13)
    draws = np.random.default_rng(0)
    queries, rows = draws.normal(size=(20, 16)).astype(np.float32), draws.normal(size=(100, 16)).astype(np.float32)
    assert_nearest(neighbours(queries, rows, Nesting((2, 5, 16)), 15, by), queries, rows, by)


@pytest.mark.usefixtures("way")
def test_equal_scores_come_in_order_of_position():
    rows = np.tile(np.eye(4, dtype=np.float32), (50, 1))
    found = neighbours(np.eye(4, dtype=np.float32), rows, Nesting((4,)), 5)
    assert found.positions[0].tolist() == [[i, i + 4, i + 8, i + 12, i + 16] for i in range(4)]


@pytest.mark.parametrize("by", METRICS)
def test_numba_and_numpy_keep_the_same(by):
    draws = np.random.default_rng(1)
    raw = draws.integers(-5, 5, (30, 999)).astype(np.float32)  # full of ties
    times, plus = np.full(999, 0.5, np.float32), draws.integers(0, 2, 999).astype(np.float32)
    lists = []
    for keep in (topk.keep, kernel.keep_numpy):
        scores, positions = np.full((30, 8), -np.inf, np.float32), np.full((30, 8), -1, np.int64)
        for start in range(0, 999, 333):
            part = slice(start, start + 333)
            keep(np.ascontiguousarray(raw[:, part]), times[part], plus[part], start, scores, positions)
        lists.append((scores, positions))
    np.testing.assert_array_equal(lists[0][0], lists[1][0])
    np.testing.assert_array_equal(lists[0][1], lists[1][1])


def test_a_zero_prefix_has_cosine_zero_with_everything():
    rows = np.array([[0, 0, 1], [1, 0, 0], [-1, 0, 0]], np.float32)
    found = neighbours(np.array([[1, 0, 0], [0, 0, 2]], np.float32), rows, Nesting((2, 3)), 3)
    assert found.scores[0].tolist() == [[1, 0, -1], [0, 0, 0]]
    assert found.positions[0].tolist() == [[1, 0, 2], [0, 1, 2]]


@pytest.mark.parametrize("by", ["cosine", "l2"])
def test_nine_dims_in_one_pass_are_nine_flat_searches_of_faiss(by):
    """The same neighbours at nine dims, 8 … 2048, but where two rows are as near as float32 can tell."""
    draws = np.random.default_rng(0)
    cuts = Nesting.halving(2048, smallest=8)
    spectrum = (1 / np.sqrt(np.arange(1, 2049))).astype(np.float32)
    rows, queries = (draws.normal(size=(n, 2048)).astype(np.float32) * spectrum for n in (3000, 200))
    found = neighbours(queries, rows, cuts, 10, by)
    for level, dim in enumerate(cuts.dims):
        q, x = (unit_prefix(v, dim) if by == "cosine" else np.ascontiguousarray(v[:, :dim]) for v in (queries, rows))
        index = faiss.IndexFlatIP(dim) if by == "cosine" else faiss.IndexFlatL2(dim)
        index.add(x)
        _, theirs = index.search(q, 10)
        truth = brute(queries, rows, dim, by)
        differ = found.positions[level] != theirs
        ours_at, theirs_at = (np.take_along_axis(truth, p, axis=1)[differ] for p in (found.positions[level], theirs))
        np.testing.assert_allclose(ours_at, theirs_at, atol=1e-5 * np.abs(truth).max())


def test_accumulated_scores_are_the_prefixes_products():
    draws = np.random.default_rng(0)
    left, right = draws.normal(size=(5, 12)).astype(np.float32), draws.normal(size=(7, 12)).astype(np.float32)
    cuts = Nesting((1, 4, 11))
    for level, raw in accumulate(left, right, cuts):
        np.testing.assert_allclose(raw, left[:, : cuts.dims[level]] @ right[:, : cuts.dims[level]].T, atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, 30), min_size=1).map(sorted))
@settings(max_examples=30, deadline=None)
def test_prefix_norms_are_the_lengths_of_the_prefixes(seed, dims):
    x = np.random.default_rng(seed).normal(size=(6, 30))
    expected = np.stack([np.linalg.norm(x[:, :dim], axis=1) for dim in dims], axis=1)
    np.testing.assert_allclose(prefix_norms(x, Nesting(dims)), expected, rtol=1e-12)


def test_float16_rows_are_searched_in_float32():
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float16)
    assert_nearest(neighbours(x[:4], x, Nesting((4, 8)), 3), x[:4], x, "cosine")


def test_refusals():
    x = np.ones((4, 8), np.float32)
    with pytest.raises(InputError, match="k must lie between 1 and the 4 rows, got 5"):
        neighbours(x, x, Nesting((8,)), 5)
    with pytest.raises(InputError, match="k must lie between 1 and the 4 rows, got 0"):
        neighbours(x, x, Nesting((8,)), 0)
    with pytest.raises(NestingError, match="at least 9 dims, got 8"):
        neighbours(x, x, Nesting((9,)), 1)
    with pytest.raises(InputError, match="queries have 7 dims and rows 8"):
        neighbours(x[:, :7], x, Nesting((4,)), 1)
    with pytest.raises(InputError, match=r"float matrix \(n, d\), got int64 of shape \(4, 8\)"):
        neighbours(x.astype(int), x, Nesting((4,)), 1)
    with pytest.raises(InputError, match="unknown metric 'hamming'; known are cosine, dot, l2"):
        neighbours(x, x, Nesting((4,)), 1, "hamming")
    bad = x.copy()
    bad[2, 3] = np.nan
    with pytest.raises(InputError, match="rows 2 has a NaN or an Inf"):
        neighbours(x, bad, Nesting((8,)), 1)


def test_no_queries_give_no_neighbours():
    x = np.ones((4, 8), np.float32)
    assert neighbours(x[:0], x, Nesting((4, 8)), 2).positions.shape == (2, 0, 2)


@pytest.mark.parametrize("by", METRICS)
def test_lengths_that_float32_products_cannot_hold_are_refused(by):
    x = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    with pytest.raises(
        InputError, match=r"has a prefix of length .*e\+18; float32 products hold lengths from 1e-15 to"
    ):
        neighbours(x, x * np.float32(1e19), Nesting((4, 8)), 1, by)
    if by == "cosine":
        with pytest.raises(InputError, match="queries 0 has a prefix of length"):
            neighbours(x * np.float32(1e-23), x, Nesting((4, 8)), 1)
    assert (neighbours(x * np.float32(1e-9), x, Nesting((8,)), 1, "cosine").positions[0][:, 0] == np.arange(20)).all()
