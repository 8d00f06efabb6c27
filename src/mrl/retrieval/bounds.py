"""The compiled half of exact search: one block, all segments, with what a bound rules out left unread.

`norms` (cuts, n) are lengths of prefixes, the last of whole rows; `behind` (cuts,) lengths of what the query has behind
each cut. `slack` bounds the rounding of a product, per unit of a row's length (see `mrl.retrieval.exact`). Bounds are
reckoned in float64, squared rather than rooted. Scores lack the query's own factor, which does not change their order.

Segments come as addresses, so that one compiled function reads any number of them. What a row has behind a cut is known
from its lengths at the first cut, and from then on from the coordinates that were read anyway.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from mrl.retrieval.addresses import carray, fetch, floats, halves
from mrl.retrieval.kernels import SUMS, half
from mrl.retrieval.ranking import COSINE, DOT, offer, score

NORM_ERROR = 2.0**-21  # of |x|², from a length that was rounded to float32 and squared
LOST = 2.0**-70  # more than any product, sum or length loses that is below what float32 holds at full precision
AHEAD = 32  # rows whose first bytes are asked for before they are read
LINES = 8  # of 64 bytes each: more of a row the processor fetches by itself
DENSE = 0.5  # share of rows in question from which on a segment is read whole, not row by row
NARROW = 64  # dims of a segment
POOL = 128  # rows that look best at the first cut; of those the ones that look best at the second are finished

_compiled = numba.njit(nogil=True, cache=True)
_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)
_inlined = numba.njit(inline="always")


@_summing
def _scan(address: int, halved: bool, query: Any, raw: Any) -> None:
    """raw (n,) += products of all rows of a segment.

    Narrow rows go four at a time, to share what is loaded of the query; wide ones in one stream, which memory likes.
    """
    width, rows = query.size, raw.size
    if halved:
        bits = carray(halves(address), (rows, width))
        for i in range(rows):
            total = np.float32(0)
            for j in range(width):
                total += half(bits[i, j]) * query[j]
            raw[i] += total
        return
    codes = carray(floats(address), (rows, width))
    whole = rows - rows % 4 if width <= NARROW else 0
    for i in range(0, whole, 4):
        one, two, three, four = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for j in range(width):
            one += codes[i, j] * query[j]
            two += codes[i + 1, j] * query[j]
            three += codes[i + 2, j] * query[j]
            four += codes[i + 3, j] * query[j]
        raw[i] += one
        raw[i + 1] += two
        raw[i + 2] += three
        raw[i + 3] += four
    for i in range(whole, rows):
        total = np.float32(0)
        for j in range(width):
            total += codes[i, j] * query[j]
        raw[i] += total


@_summing
def _read(address: int, halved: bool, count: int, query: Any, rows: Any, raw: Any, left: Any) -> None:
    """For the first `count` of rows: raw += the product, left −= the squared length, over one more segment."""
    width = query.size
    size = width * (2 if halved else 4)
    lines = min(LINES, (size + 63) // 64)
    sure = 1 - (width + 16) * 2.0**-24  # no more than this share of a sum of squares is rounding
    for c in range(min(AHEAD, count)):
        for line in range(lines):
            fetch(address + rows[c] * size + 64 * line)
    bits = carray(halves(address), (1 << 40, width))
    codes = carray(floats(address), (1 << 40, width))
    for c in range(count):
        if c + AHEAD < count:
            for line in range(lines):
                fetch(address + rows[c + AHEAD] * size + 64 * line)
        i = rows[c]
        product, square = np.float32(0), np.float32(0)
        if halved:
            for j in range(width):
                x = half(bits[i, j])
                product += x * query[j]
                square += x * x
        else:
            for j in range(width):
                product += codes[i, j] * query[j]
                square += codes[i, j] * codes[i, j]
        raw[c] += product
        left[c] = max(left[c] - np.float64(square) * sure, 0.0)


@_inlined
def _gap(metric: int, raw: Any, norm: Any, slack: float, floor: float) -> float:
    """What the rest of a row must still add to its product for it to score `floor`."""
    length = np.float64(norm)
    so_far = np.float64(raw) + slack * length + LOST
    if metric == COSINE:
        return floor * length - so_far
    if metric == DOT:
        return floor - so_far
    return (floor + length * length * (1 - NORM_ERROR)) / 2 - so_far


@_inlined
def _rest(norm: Any, prefix: Any) -> float:
    """The squared length of what lies behind a cut, at most."""
    length, read = np.float64(norm), np.float64(prefix)
    return length * length * (1 + NORM_ERROR) - read * read * (1 - NORM_ERROR)


@_compiled
def _first(
    metric: int,
    raw: Any,
    whole: Any,
    prefix: Any,
    allowed: Any,
    behind: float,
    slack: float,
    floor: float,
    rows: Any,
) -> int:
    """List the rows that can still score `floor`, of all, from the lengths of them (n,) and of their prefixes (n,)."""
    found = 0
    for i in range(raw.size):
        gap = _gap(metric, raw[i], whole[i], slack, floor)
        rows[found] = i
        rest = _rest(whole[i], prefix[i])
        found += int((gap <= 0) | (gap * gap <= behind * behind * rest))
    if allowed.size:
        every, found = found, 0
        for c in range(every):
            rows[found] = rows[c]
            found += allowed[rows[c]]
    return found


@_compiled
def _drop(
    metric: int, behind: float, slack: float, floor: float, rows: Any, raw: Any, left: Any, norm: Any, count: int
) -> int:
    """Of the first `count` rows, move those that can still score `floor` to the front; how many."""
    found = 0
    for c in range(count):
        gap = _gap(metric, raw[c], norm[c], slack, floor)
        kept = (gap <= 0) | (gap * gap <= behind * behind * left[c])
        rows[found], raw[found], left[found], norm[found] = rows[c], raw[c], left[c], norm[c]
        found += kept
    return found


@_compiled
def bound(side: int, metric: int, raw: Any, norm: Any, slack: float, scores: Any) -> None:
    """scores (m,): lower (side −1) or upper (side 1) bounds of rows that were read to the full width."""
    for c in range(raw.size):
        length = np.float64(norm[c])
        most = np.float64(raw[c]) + side * (slack * length + LOST)
        if metric == COSINE:
            scores[c] = most / length if length > 0 else 0.0
        elif metric == DOT:
            scores[c] = most
        else:
            scores[c] = 2 * most - length * length * (1 - side * NORM_ERROR)


@_compiled
def _raised(
    metric: int,
    query: Any,
    ends: Any,
    at: Any,
    halved: Any,
    raw: Any,
    norms: Any,
    allowed: Any,
    slack: float,
    best: Any,
) -> None:
    """Finish the rows that look best and merge their lower bounds into `best`, the k largest so far, ascending."""
    k, whole, last = best.size, norms[norms.shape[0] - 1], at.size - 1
    pool = max(POOL, 4 * k)
    keys, raws = np.zeros((1, 2 * pool), np.uint64), np.zeros((1, 2 * pool), np.float32)
    filled = np.zeros(1, np.int64)
    offer(metric, raw.reshape((1, raw.size)), whole, allowed, np.empty(0, np.int64), 0, keys, raws, filled)
    order = np.argsort(keys[0, : filled[0]])[::-1][:pool]
    rows = (np.uint64(0xFFFFFFFF) - (keys[0][order] & np.uint64(0xFFFFFFFF))).astype(np.int64)
    some, unused = raws[0][order], np.zeros(order.size)
    for level in range(1, last + 1):
        if level == 2:
            rows, some = _best(metric, rows, some, whole, 2 * k + 8)
        _read(at[level], halved[level], rows.size, query[ends[level] : ends[level + 1]], rows, some, unused)
    scores = np.empty(rows.size)
    bound(-1, metric, some, whole[rows], slack, scores)
    best[:] = np.sort(np.concatenate((best, scores)))[-k:]


@_compiled
def _best(metric: int, rows: Any, raw: Any, whole: Any, keep: int) -> Any:
    """The `keep` rows that look best by their products so far."""
    scores = np.empty(rows.size, np.float32)
    for c in range(rows.size):
        scores[c] = score(metric, raw[c], whole[rows[c]])
    order = np.argsort(scores)[::-1][:keep]
    return rows[order], raw[order]


@_compiled
def search(
    metric: int,
    query: Any,
    ends: Any,
    at: Any,
    halved: Any,
    norms: Any,
    allowed: Any,
    behind: Any,
    slack: float,
    best: Any,
    read: Any,
) -> Any:
    """Rows of a block that may be among the k nearest, and their products, both (m,).

    query: (d,) float32. ends: (cuts + 1,) dims where segments begin and end. at, halved: (cuts,) their addresses, and
    whether they are float16. allowed: (n,) bool or empty. best: (k,) lower bounds of the k-th best and those above it,
    raised here. read: (cuts,) counts the rows read of each segment.
    """
    n, last = norms.shape[1], at.size - 1
    raw, rows, level, count = np.zeros(n, np.float32), np.empty(n + 1, np.int64), 0, n
    while level <= last and count > DENSE * n:  # as long as most rows are in question, all are read
        _scan(at[level], halved[level], query[ends[level] : ends[level + 1]], raw)
        read[level] += n
        if level == 0:
            _raised(metric, query, ends, at, halved, raw, norms, allowed, slack, best)
        count = _first(metric, raw, norms[last], norms[level], allowed, behind[level], slack, best[0], rows)
        level += 1
    some, norm, left = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count)
    for c in range(count):
        i = rows[c]
        some[c], norm[c], left[c] = raw[i], norms[last, i], _rest(norms[last, i], norms[level - 1, i])
    for later in range(level, last + 1):
        read[later] += count
        _read(at[later], halved[later], count, query[ends[later] : ends[later + 1]], rows, some, left)
        count = _drop(metric, behind[later], slack, best[0], rows, some, left, norm, count)
    return rows[:count].copy(), some[:count].copy()


@_compiled
def near(metric: int, raw: Any, norm: Any, slack: float, k: int) -> Any:
    """Which of rows that were read to the full width may be among the k nearest, for all that rounding allows."""
    least, most = np.empty(raw.size), np.empty(raw.size)
    bound(-1, metric, raw, norm, slack, least)
    bound(1, metric, raw, norm, slack, most)
    if raw.size <= k:
        return np.arange(raw.size)
    return np.flatnonzero(most >= np.partition(least, raw.size - k)[raw.size - k])


@_compiled
def scores64(metric: int, ends: Any, at: Any, halved: Any, rows: Any, query: Any) -> Any:
    """(m,) float64 scores of some rows (m,) of a block and a query (d,) float64, in eight sums added up in order."""
    scores = np.empty(rows.size)
    products, squares = np.empty(8), np.empty(8)
    for c in range(rows.size):
        products[:], squares[:] = 0.0, 0.0
        for level in range(at.size):
            width = ends[level + 1] - ends[level]
            codes = carray(floats(at[level]), (1 << 40, width))
            bits = carray(halves(at[level]), (1 << 40, width))
            for j in range(width):
                x = np.float64(half(bits[rows[c], j]) if halved[level] else codes[rows[c], j])
                lane, q = j & 7, query[ends[level] + j]
                if metric in (COSINE, DOT):
                    products[lane] += q * x
                    squares[lane] += x * x
                else:
                    products[lane] -= (q - x) * (q - x)
        product, square = 0.0, 0.0
        for lane in range(8):
            product += products[lane]
            square += squares[lane]
        if metric == COSINE:
            product = product / np.sqrt(square) if square > 0 else 0.0
        scores[c] = product
    return scores
