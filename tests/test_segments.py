"""The kernel against ten-line brute force, and against FAISS."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import Nesting, microkernel, sweep, unit_prefix
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
    """With Numba and without."""
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "_compiled", lambda: None)


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
    for name in ("ROW_BYTES", "QUERY_BYTES", "WORK"):  # one tape at a time, in threads
        monkeypatch.setattr(sweep, name, 0)
    draws = np.random.default_rng(0)
    queries, rows = draws.normal(size=(20, 16)).astype(np.float32), draws.normal(size=(100, 16)).astype(np.float32)
    assert_nearest(neighbours(queries, rows, Nesting((2, 5, 16)), 15, by), queries, rows, by)


@pytest.mark.usefixtures("way")
def test_equal_scores_come_in_order_of_position():
    rows = np.tile(np.eye(4, dtype=np.float32), (50, 1))
    found = neighbours(np.eye(4, dtype=np.float32), rows, Nesting((4,)), 5)
    assert found.positions[0].tolist() == [[i, i + 4, i + 8, i + 12, i + 16] for i in range(4)]


def whole_numbers(seed, *shape):
    """Vectors whose products are exact in float32, in any order of adding, and full of ties."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


@given(
    seed=st.integers(0, 2**32 - 1),
    dims=st.sets(st.integers(1, 40), min_size=1, max_size=6).map(sorted),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 150)),
    by=st.sampled_from(METRICS),
    room=st.sampled_from([0, 1 << 14, 8 << 20]),
    work=st.sampled_from([0, 1 << 26]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_the_compiled_pass_is_the_one_in_numpy(seed, dims, shape, by, room, work, data):
    queries, rows = whole_numbers(seed, shape[0], 40), whole_numbers(seed + 1, shape[1], 40)
    k, cuts = data.draw(st.integers(1, shape[1])), Nesting(dims)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("ROW_BYTES", room), ("QUERY_BYTES", room), ("WORK", work)):
            patch.setattr(sweep, name, value)
        fast = neighbours(queries, rows, cuts, k, by)
        patch.setattr(kernel, "_compiled", lambda: None)
        slow = neighbours(queries, rows, cuts, k, by)
    np.testing.assert_array_equal(fast.positions, slow.positions)
    np.testing.assert_array_equal(fast.scores, slow.scores)


def test_the_same_row_has_the_same_score_wherever_it_stands():
    draws = np.random.default_rng(0)
    queries, row = draws.normal(size=(20, 100)).astype(np.float32), draws.normal(size=(1, 100)).astype(np.float32)
    found = neighbours(queries, np.repeat(row, 333, axis=0), Nesting((3, 100)), 333)
    assert (found.positions == np.arange(333)).all()
    assert (found.scores == found.scores[:, :, :1]).all()


@pytest.mark.parametrize("view", ["every other dim", "by columns", "read only", "other byte order", "float64"])
def test_any_float_matrix_will_do(view):
    x = np.random.default_rng(0).normal(size=(70, 16)).astype(np.float32)
    seen = {
        "every other dim": np.repeat(x, 2, axis=1)[:, ::2],
        "by columns": np.asfortranarray(x),
        "read only": np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
        "other byte order": x.astype(x.dtype.newbyteorder()),
        "float64": x.astype(np.float64),
    }[view]
    cuts = Nesting((3, 12))
    plain, found = neighbours(x[:20], x, cuts, 5), neighbours(seen[:20], seen, cuts, 5)
    np.testing.assert_array_equal(found.positions, plain.positions)
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-6)


def test_callers_in_several_threads_do_not_meet(monkeypatch):
    monkeypatch.setattr(sweep, "WORK", 0)
    tables, cuts = [whole_numbers(seed, 200, 24) for seed in range(8)], Nesting((4, 24))
    alone = [neighbours(x, x, cuts, 7).positions for x in tables]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: neighbours(x, x, cuts, 7).positions, tables))
    np.testing.assert_array_equal(together, alone)


def test_memory_does_not_grow_with_queries_times_rows():
    x = whole_numbers(0, 4000, 8)
    neighbours(x[:1], x, Nesting((4, 8)), 1)
    tracemalloc.start()
    neighbours(x, x, Nesting((4, 8)), 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 4000  # a quarter of the scores at one cut


def test_halves_are_not_widened_all_at_once(monkeypatch):
    monkeypatch.setattr(sweep, "ROW_BYTES", 1 << 16)
    x = whole_numbers(0, 20_000, 64).astype(np.float16)
    neighbours(x[:1], x, Nesting((4, 64)), 1)
    tracemalloc.start()
    neighbours(x[:1], x, Nesting((4, 64)), 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.size * 4 / 2  # half of the rows in float32


def test_tiles_fit_the_registers_of_the_processor():
    assert microkernel.tile("+sse2,+avx,+avx512f") == (12, 16)
    assert microkernel.tile("-avx512f,+avx,+avx2,+fma") == (6, 8)
    assert microkernel.tile("+fp-armv8,+neon") == (12, 4)
    assert microkernel.tile("") == (6, 4)


ELSEWHERE = """
import os, sys
import numpy as np

if "bare" in sys.argv:
    sys.modules["numba"] = None
    lanes = threads = 0
else:
    from mrl import microkernel, sweep
    from mrl.threads import count
    lanes, threads, sweep.WORK = microkernel.LANES, count(), 0
from mrl import Nesting
from mrl.segments import neighbours

x = np.random.default_rng(3).integers(-2, 3, (90, 24)).astype(np.float32)
search = lambda: neighbours(x, x, Nesting((4, 24)), 7).positions
found = search()
child = os.fork() if "fork" in sys.argv else 0
if not child:
    assert (search() == found).all()
    print(lanes, threads, *found.ravel(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def elsewhere(*arguments, **environment):
    """Lanes, threads and positions as a fresh process finds them."""
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    lanes, threads, *positions = map(int, done.stdout.split())
    return lanes, threads, positions


@pytest.mark.parametrize(("features", "lanes"), [("+sse2", 4), ("+avx,+avx2,+fma", 8)])
def test_narrower_vectors_find_the_same(features, lanes):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("these are vectors of x86")
    x = whole_numbers(3, 90, 24)
    used, _, positions = elsewhere(NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features)
    assert used == lanes
    assert positions == neighbours(x, x, Nesting((4, 24)), 7).positions.ravel().tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_can_search_after_its_parent_did():
    x = whole_numbers(3, 90, 24)
    assert elsewhere("fork")[2] == neighbours(x, x, Nesting((4, 24)), 7).positions.ravel().tolist()


def test_numba_may_be_absent():
    x = whole_numbers(3, 90, 24)
    assert elsewhere("bare") == (0, 0, neighbours(x, x, Nesting((4, 24)), 7).positions.ravel().tolist())


def test_threads_are_no_more_than_asked_for():
    assert elsewhere(NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="1")[1] == 1
    assert elsewhere(NUMBA_NUM_THREADS="1", OMP_NUM_THREADS="2")[1] == 1
    assert elsewhere(NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="")[1] == 2


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
