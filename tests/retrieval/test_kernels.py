"""The compiled loops against NumPy: products of stored codes, and the best of many scores."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.retrieval.best import CODES, Best, Candidates
from mrl.retrieval.encodings import CHUNK, ENCODINGS, Coded, encode
from mrl.retrieval.kernels import EXTEND, SCAN
from mrl.retrieval.ranking import scored
from mrl.retrieval.scan import readable
from retrieval import made

N, WIDTH = 2 * CHUNK + 5, 13
EDGES = [(0, N), (0, 0), (5, 5), (4000, 4200), (CHUNK - 1, CHUNK), (CHUNK, CHUNK + 1), (CHUNK, 2 * CHUNK), (9000, N)]


def coded(values, encoding):
    """Rows of many chunks, as a block has them."""
    parts = [encode(values[start : start + CHUNK], encoding) for start in range(0, len(values), CHUNK)]
    return Coded(encoding, values.shape[1], np.concatenate([part.codes for part in parts]),
                 np.concatenate([part.scales for part in parts]))  # fmt: skip


@pytest.fixture(params=ENCODINGS, scope="module")
def part(request):
    """Rows with a chunk far from the others, so that a wrong chunk's scales show."""
    values = made.random(N, WIDTH)
    values[CHUNK : 2 * CHUNK] += 30
    return coded(values, request.param)


def expected(part, query):
    """Products in float64, and what a float32 sum of their terms may be off."""
    rows = part.decoded(slice(None)).astype(float)
    terms = np.abs(rows)
    if len(part.scales):
        offsets, steps = np.abs(part.scales).swapaxes(0, 1)
        terms = terms + (offsets + made.MOST[part.encoding] * steps)[np.arange(N) // CHUNK]
    return rows @ query.astype(float), 2.0**-24 * (WIDTH + 8) * (terms @ np.abs(query.astype(float)))


@pytest.mark.parametrize(("start", "stop"), EDGES)
def test_scanning_adds_the_products_of_a_range_and_of_nothing_else(part, start, stop):
    query, before = made.random(1, WIDTH, 1)[0], made.random(N, 1, 2)[:, 0]
    raw = before.copy()
    SCAN[part.encoding](readable(part), part.scales, query, start, stop, raw)
    products, error = expected(part, query)
    inside = (np.arange(N) >= start) & (np.arange(N) < stop)
    assert (np.abs(raw - (before + products)) <= error + 2.0**-24 * np.abs(before + products))[inside].all()
    assert (raw[~inside] == before[~inside]).all()


def test_a_scan_in_parts_is_the_scan_in_one(part):
    query = made.random(1, WIDTH, 1)[0]
    whole, parts = np.zeros(N, np.float32), np.zeros(N, np.float32)
    SCAN[part.encoding](readable(part), part.scales, query, 0, N, whole)
    for start, stop in [(0, 1), (1, 4000), (4000, 4097), (4097, 8192), (8192, N)]:
        SCAN[part.encoding](readable(part), part.scales, query, start, stop, parts)
    assert (whole == parts).all()


def test_extending_adds_the_products_of_the_rows_that_the_block_has(part):
    first, rng = 1000, np.random.default_rng(3)
    queries, before = made.random(3, WIDTH, 1), made.random(3, 40, 2)
    positions = rng.integers(first, first + N, (3, 40))
    positions[:, :4], positions[:, 4:6] = [-1, first - 1, first + N, 0], [first, first + N - 1]
    positions[:, 6], positions[:, 7] = first + CHUNK, first + CHUNK - 1
    raw = before.copy()
    EXTEND[part.encoding](readable(part), part.scales, queries, positions, first, raw)
    outside = (positions < first) | (positions >= first + N)
    assert (raw[outside] == before[outside]).all()
    for q in range(3):
        products, error = expected(part, queries[q])
        rows = np.clip(positions[q] - first, 0, N - 1)
        right = np.abs(raw[q] - (before[q] + products[rows])) <= error[rows] + 2.0**-24 * np.abs(raw[q])
        assert (right | outside[q]).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("width", [1, 2, 3, 15, 16, 17, 63, 64, 129, 256, 301])
def test_loops_in_vectors_read_what_lies_beside_them(width, encoding):
    """Every width leaves another rest behind its last whole vector."""
    part, query = coded(made.random(20, width), encoding), made.random(1, width, 1)
    right = part.decoded(slice(None)).astype(float) @ query[0].astype(float)
    scanned, extended = np.zeros(20, np.float32), np.zeros((1, 21), np.float32)
    SCAN[encoding](readable(part), part.scales, query[0], 0, 20, scanned)
    EXTEND[encoding](readable(part), part.scales, query, np.append(np.arange(20)[::-1], 20)[None], 0, extended)
    np.testing.assert_allclose(scanned, right, rtol=0, atol=3e-6)
    np.testing.assert_allclose(extended[0], [*right[::-1], 0], rtol=0, atol=3e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from(ENCODINGS))
def test_rows_are_extended_in_any_order_and_as_often_as_they_are_named(seed, m, encoding):
    rng = np.random.default_rng(seed)
    part = coded(made.random(2 * CHUNK + 5, 3), encoding)
    queries, positions = made.random(2, 3, 1), rng.choice([0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 4, -1, 9000], (2, m))
    raw = np.zeros((2, m), np.float32)
    EXTEND[encoding](readable(part), part.scales, queries, positions, 0, raw)
    there = (positions >= 0) & (positions < len(part))
    rows = part.decoded(np.where(there, positions, 0).ravel()).reshape(2, m, 3).astype(float)
    right = np.einsum("qmw,qw->qm", rows, queries.astype(float)) * there
    np.testing.assert_allclose(raw, right, rtol=0, atol=1e-5)


def test_all_halves_are_read_as_they_are():
    """Every finite float16, through the bits."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][:, None]
    raw = np.zeros(len(halves), np.float32)
    SCAN["float16"](halves.view(np.uint16), np.empty((0, 2, 1), np.float32), np.ones(1, np.float32), 0, len(raw), raw)
    assert (raw == halves[:, 0].astype(np.float32)).all()


# ------------------------------------------------------------------------------------------------- the best of many

VALUES = np.array([-2, -1, -0.0, 0, 0.5, 1, 1.0000001, 3e-39, -3e-39, 1e30, -1e30], np.float32)


def worth(raw, norms, metric):
    """(q, n) float32 scores as the kernels define them; −0 is 0."""
    if metric == "dot":
        return raw + np.float32(0)
    if metric == "l2":
        return np.float32(2) * raw - norms * norms + np.float32(0)
    return np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0) + np.float32(0)


def check_best(found, raw, score, positions, keep):
    """Equal to a stable sort: by score, then by position."""
    for q in range(len(raw)):
        order = np.lexsort((positions, -score[q]))[:keep]
        count = len(order)
        assert found.positions[q].tolist() == [*positions[order].tolist(), *[-1] * (keep - count)]
        assert (
            found.scores[q].tobytes()
            == np.append(score[q][order], np.full(keep - count, -np.inf, np.float32)).tobytes()
        )
        assert found.raw[q, :count].tobytes() == raw[q][order].tobytes()


@st.composite
def offered(draw):
    """Products (q, n), lengths (n,), which are allowed, k, and where the portions end."""
    n, queries = draw(st.integers(0, 700)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    many = draw(st.booleans())  # ties everywhere, or all different
    raw = rng.choice(VALUES, (queries, n)) if many else rng.standard_normal((queries, n)).astype(np.float32)
    norms = rng.choice(np.array([0, 0.5, 1, 3], np.float32), n)
    allowed = draw(st.sampled_from([None, 0.0, 0.02, 0.5, 1.0]))
    mask = None if allowed is None else rng.random(n) < allowed
    ends = sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=5))})
    return raw, norms, mask, draw(st.integers(1, 5) | st.integers(1, n + 3)), ends


@settings(deadline=None)
@given(offered(), st.sampled_from(made.METRICS), st.integers(0, 2**31))
def test_the_best_of_any_portions_are_those_of_a_stable_sort(given_, metric, first):
    raw, norms, mask, keep, ends = given_
    best = Best(len(raw), keep, metric)
    for start, stop in pairwise(ends):
        here = slice(start, stop)
        best.offer(raw[:, here], norms[here], first + start, np.empty(0, bool) if mask is None else mask[here])
    rows = np.arange(raw.shape[1]) if mask is None else np.flatnonzero(mask)
    check_best(best.ranked(), raw[:, rows], worth(raw, norms, metric)[:, rows], first + rows, keep)


def test_queries_are_offered_to_in_any_order():
    raw, norms = made.random(6, 300), np.ones(300, np.float32)
    best = Best(6, 7, "dot")
    for at in (4, 0, 2):
        for start in (0, 150):
            best.offer(raw[at : at + 2, start : start + 150], norms[:150], start, at=at)
    check_best(best.ranked(), raw, raw, np.arange(300), 7)


@pytest.mark.parametrize("keep", [1, 2, 40])
@pytest.mark.parametrize("order", [1, -1])
def test_rising_and_falling_scores(keep, order):
    """The worst cases of a running best: every row is better than all before, or none is."""
    raw = np.arange(5000, dtype=np.float32)[None, ::order]
    best = Best(1, keep, "dot")
    best.offer(np.ascontiguousarray(raw), np.ones(5000, np.float32), 0)
    check_best(best.ranked(), raw, raw, np.arange(5000), keep)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 70), st.booleans())
def test_cutting_candidates_is_a_stable_sort_that_drops_the_missing(seed, m, keep, many):
    rng = np.random.default_rng(seed)
    scores = rng.choice(VALUES, (3, m)) if many else rng.standard_normal((3, m)).astype(np.float32)
    scores += np.float32(0)
    positions = np.stack([rng.permutation(1000)[:m] for _ in range(3)])
    positions[rng.random((3, m)) < 0.2] = -1
    raw = rng.standard_normal((3, m)).astype(np.float32)
    cut = Candidates(positions, raw, scores).cut(keep)
    assert cut.positions.shape == (3, min(keep, m))
    assert cut.count == np.minimum((positions >= 0).sum(axis=1), keep).sum()
    for q in range(3):
        there = np.flatnonzero(positions[q] >= 0)
        order = there[np.lexsort((positions[q, there], -scores[q, there]))][:keep]
        assert cut.positions[q, : len(order)].tolist() == positions[q, order].tolist()
        assert (cut.positions[q, len(order) :] == -1).all()
        assert (cut.scores[q, : len(order)] == scores[q, order]).all()
        assert (cut.raw[q, : len(order)] == raw[q, order]).all()


def test_scoring_touches_the_rows_of_its_block_alone(metric):
    raw, norms = made.random(2, 30), np.abs(made.random(10, 1))[:, 0]
    norms[3] = 0
    positions = np.tile(np.arange(-1, 29), (2, 1))
    scores = np.full((2, 30), 7, np.float32)
    scored(CODES[metric], raw, norms, positions, 5, scores)
    inside = (positions >= 5) & (positions < 15)
    expected = worth(raw, np.append(norms, 1).astype(np.float32)[np.where(inside, positions - 5, -1)[0]], metric)
    assert (scores[inside] == expected[inside]).all()
    assert (scores[~inside] == 7).all()


def test_the_querys_own_factor_comes_last(metric):
    """(q, m) scores lack it until `at_end`; where there is no row they end as −inf."""
    rows, queries = made.random(20, 6), made.random(2, 6, 1)
    raw = queries @ rows.T
    positions = np.tile(np.arange(20), (2, 1))
    positions[:, 19] = -1
    found = Candidates(positions, raw, worth(raw, np.linalg.norm(rows, axis=1), metric))
    ended = found.at_end(metric, np.linalg.norm(queries, axis=1))
    np.testing.assert_allclose(ended[:, :19], made.scores(rows, queries, metric)[:, :19].astype(float), atol=1e-5)
    assert (ended[:, 19] == -np.inf).all()
