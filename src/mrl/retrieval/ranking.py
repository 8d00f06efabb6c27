"""The compiled loops that turn products into scores and keep the best.

All take many queries at once; one query is a batch of one. Rows are addressed by their position in the whole index, a
block by `first`, the position of its first row. What `raw`, the product of query and row over the segments read so far,
is worth depends on the metric (see `mrl.segments`), on the row's length `norm` and, last, on the query's:

    cosine   raw / norm        dot   raw        l2   2 raw − norm²

A score and a position together are one unsigned 64-bit key: larger is better, and of equal scores the earlier row is.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

COSINE, DOT, L2 = 0, 1, 2
BLOCK = 256  # scores looked at together: one comparison settles most blocks once the best have settled

_compiled = numba.njit(nogil=True, cache=True)
_inlined = numba.njit(inline="always")


@_inlined
def score(metric: int, raw: Any, norm: Any) -> Any:
    zero = np.float32(0)  # added so that −0 becomes 0, which its bits would put below
    if metric == COSINE:
        return raw / norm + zero if norm > 0 else zero
    if metric == DOT:
        return raw + zero
    return np.float32(2) * raw - norm * norm + zero


@_inlined
def _key(bits: Any, position: int) -> Any:
    """Sortable: a float32's bits, flipped so that unsigned order is its order, then the position, earlier larger."""
    flipped = ~bits if bits >> 31 else bits | np.uint32(0x80000000)
    return (np.uint64(flipped) << np.uint64(32)) | np.uint64(0xFFFFFFFF - position)


@_compiled
def scored(metric: int, raw: Any, norms: Any, positions: Any, first: int, scores: Any) -> None:
    """scores (q, m) of those rows positions (q, m) that lie in this block of norms (n,), from raw (q, m)."""
    for q in range(positions.shape[0]):
        for c in range(positions.shape[1]):
            i = positions[q, c] - first
            if 0 <= i < norms.size:
                scores[q, c] = score(metric, raw[q, c], norms[i])


@_compiled
def offer(
    metric: int, raw: Any, norms: Any, allowed: Any, rows: Any, first: int, keys: Any, raws: Any, filled: Any
) -> None:
    """Take rows into the best so far: raw (q, n), norms (n,), allowed (n,) bool or empty for all.

    rows: (n,) where in the block they are, or empty where they are one after the other.
    keys, raws: (q, 2 keep), of which the first filled (q,) are in use; once filled has reached keep, the first keep
    were the best at the last tidying, keys[q, keep − 1] being the worst of them.
    """
    keep = keys.shape[1] // 2
    scores = np.empty(BLOCK, np.float32)
    bits = scores.view(np.uint32)
    for q in range(raw.shape[0]):
        count = filled[q]
        worst = keys[q, keep - 1] if count >= keep else np.uint64(0)
        for start in range(0, raw.shape[1], BLOCK):
            stop = min(start + BLOCK, raw.shape[1])
            floor = np.uint32(worst >> np.uint64(32))
            if not _any_above(metric, raw[q, start:stop], norms[start:stop], scores, bits, floor):
                continue
            for j in range(start, stop):
                if allowed.size and not allowed[j]:
                    continue
                key = _key(bits[j - start], first + (rows[j] if rows.size else j))
                if key > worst:
                    keys[q, count], raws[q, count] = key, raw[q, j]
                    count += 1
                    if count == 2 * keep or (count == keep and worst == 0):
                        _tidy(keys[q, :count], raws[q, :count], keep)
                        count, worst = keep, keys[q, keep - 1]
        filled[q] = count


@_compiled
def _any_above(metric: int, raw: Any, norms: Any, scores: Any, bits: Any, floor: Any) -> bool:
    """Write the block's scores; whether any of them, as sortable bits, reaches `floor`."""
    for j in range(raw.size):
        scores[j] = score(metric, raw[j], norms[j])
    above = np.uint32(0)
    for j in range(raw.size):
        sign = np.uint32(np.int32(bits[j]) >> 31)
        above |= np.uint32((bits[j] ^ (sign | np.uint32(0x80000000))) >= floor)
    return bool(above != 0)


@_compiled
def _tidy(keys: Any, raws: Any, keep: int) -> None:
    """Move the `keep` largest keys to the front, the least of them last (Hoare's quickselect, descending)."""
    low, high, last = 0, keys.size - 1, keep - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                raws[i], raws[j] = raws[j], raws[i]
                i += 1
                j -= 1
        if last <= j:
            high = j
        elif last >= i:
            low = i
        else:
            return


@_compiled
def ranked(keys: Any, raws: Any, filled: Any, keep: int, positions: Any, scores: Any, raw: Any) -> None:
    """The best `keep` of each query, best first, into (q, keep) arrays; what is missing has position −1."""
    bits = scores.view(np.uint32)
    for q in range(keys.shape[0]):
        order = np.argsort(keys[q, : filled[q]])[::-1][:keep]
        for c in range(order.size):
            key = keys[q, order[c]]
            positions[q, c] = 0xFFFFFFFF - np.int64(key & np.uint64(0xFFFFFFFF))
            raw[q, c] = raws[q, order[c]]
            flipped = np.uint32(key >> np.uint64(32))
            bits[q, c] = flipped ^ np.uint32(0x80000000) if flipped >> 31 else ~flipped
        positions[q, order.size :] = -1
        scores[q, order.size :] = -np.inf


@_compiled
def cut(scores: Any, raw: Any, positions: Any, keep: int, to_scores: Any, to_raw: Any, to_positions: Any) -> None:
    """The best `keep` of candidates (q, m), best first, equal ones by position; −1 marks what is missing."""
    keys = np.empty(scores.shape[1], np.uint64)
    for q in range(scores.shape[0]):
        bits = scores[q].view(np.uint32)
        for c in range(keys.size):
            keys[c] = _key(bits[c], positions[q, c]) if positions[q, c] >= 0 else np.uint64(0)
        order = np.argsort(keys)[::-1]
        for c in range(keep):
            to_scores[q, c] = scores[q, order[c]]
            to_raw[q, c] = raw[q, order[c]]
            to_positions[q, c] = positions[q, order[c]]
