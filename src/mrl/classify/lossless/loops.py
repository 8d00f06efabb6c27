"""The compiled loops of the lossless rule: who can still win, and products with those few only. Needs Numba.

`tables` are those of `bounds.Tables`; `rows` are lengths of segments (n, S) and of rows (n,), rounded up.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

CHUNK = 64  # classes that are compared before it is asked whether too many are left already

_compiled = numba.njit(nogil=True, cache=True)
_summing = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
_largest = numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})  # scores are finite


@_largest
def _add(total: Any, product: Any) -> Any:
    """total += product; the largest sum."""
    best = np.float32(-np.inf)
    for c in range(total.size):
        total[c] += product[c]
        best = max(best, total[c])
    return best


@_compiled
def _sum(total: Any, product: Any) -> int:
    """total += product; where the largest sum is, the first of equal ones."""
    best, leader = np.float32(-np.inf), 0
    for start in range(0, total.size, CHUNK):
        most = _add(total[start : start + CHUNK], product[start : start + CHUNK])
        if most > best:
            best, leader = most, start
    while total[leader] != best:
        leader += 1
    return leader


@_summing
def _left(best: Any, scores: Any, needs: Any) -> int:
    """How many classes can still win."""
    hits = np.int32(0)
    for j in range(scores.size):
        hits += np.int32(best - scores[j] <= needs[j])
    return int(hits)


@_compiled
def _list(start: int, leads: Any, owner: Any, own: int, slots: Any, kept: int) -> Any:
    """Append those led by no more than 0 to the `kept` slots: (how many then, of other classes among these)."""
    other = 0
    for j in range(leads.size):
        if leads[j] <= 0:
            if kept < slots.size:
                slots[kept] = start + j
            kept += 1
            other += int(owner[start + j] != own)
    return kept, other


@_summing
def _product(one: Any, other: Any) -> Any:
    total = np.float32(0)
    for j in range(one.size):
        total += one[j] * other[j]
    return total


@_summing
def _needs(level: int, leader: int, start: int, lengths: Any, length: float, tables: Any, needs: Any) -> None:
    """needs (m,): by how much the leader must be ahead of the classes from `start` on, to beat them for good."""
    apart, extra, slip, stay, _ = tables
    own = length * slip[leader] + stay[leader]
    for s in range(level + 1, lengths.size):
        own += lengths[s] * extra[s, leader]
    slips, stays = slip[start : start + needs.size], stay[start : start + needs.size]
    for j in range(needs.size):
        needs[j] = own + length * slips[j] + stays[j]
    at = leader if apart.shape[1] > 1 else 0
    for s in range(level + 1, lengths.size):
        line, x = apart[s, at, start : start + needs.size], lengths[s]
        for j in range(needs.size):
            needs[j] += x * line[j]


@_compiled
def look(total: Any, made: Any, these: Any, level: int, rows: Any, tables: Any, found: Any) -> None:
    """For each row in `these`: add its product, `made[0][made[1][k]]`, to its total, and see who can still win.

    found: leaders, others, counts (n,), slots (n, K), work (n,). others: prototypes of other classes than the leader's
    that can still win; more than K where too many can, or too many of the first ones. counts, slots: all that can, in
    order, if they are at most K, else K + 1. work: comparisons times segments are added.
    """
    leaders, others, counts, slots, work = found
    owner, lengths, most, segments = tables[4], rows[0], slots.shape[1], rows[0].shape[1]
    needs, each = np.empty(CHUNK, np.float32), owner[-1] == owner.size - 1  # prototypes are the classes
    for k in range(these.size):
        i = these[k]
        scores = total[i]
        leader = _sum(scores, made[0][made[1][k]])
        best, kept, other = scores[leader], 0, 0
        for start in range(0, scores.size, CHUNK):
            part = scores[start : start + CHUNK]
            some = needs[: part.size]
            _needs(level, leader, start, lengths[i], rows[1][i], tables, some)
            work[i] += part.size * (segments - 1 - level)
            hits = _left(best, part, some)
            if each and kept + hits > min(most + 1, CHUNK // 4 + (start + part.size) // 8):
                kept, other = most + 1, most + 1
                break
            if hits:
                kept, more = _list(start, best - part - some, owner, owner[leader], slots[i], kept)
                other += more
            if other > most:
                break
        leaders[i], others[i], counts[i] = leader, other, min(kept, most + 1)


@_compiled
def finish(x: Any, weights: Any, ends: Any, rows: Any, tables: Any, found: Any) -> None:
    """Bring rows to the level where one class is left, or to the last one, with products for their slots only.

    found: levels (n,), the level that each row has read, and then the last it reads; leaders, others, counts, slots,
    work as above; scores (n, K) of the slots, alive (n, K). What is beaten keeps the score that it had then.
    """
    levels, leaders, others, counts, slots, work, scores, alive = found
    owner, segments = tables[4], ends.size
    need = np.empty(1, np.float32)
    for i in range(len(x)):
        count = counts[i]
        for level in range(levels[i] + 1, segments):
            start, stop, best = ends[level - 1], ends[level], -1
            for c in range(count):
                if alive[i, c]:
                    scores[i, c] += _product(x[i, start:stop], weights[slots[i, c], start:stop])
                    work[i] += stop - start + segments - 1 - level
                    if best < 0 or scores[i, c] > scores[i, best]:
                        best = c
            leader, other = slots[i, best], 0
            for c in range(count):
                if alive[i, c] and c != best:
                    _needs(level, leader, slots[i, c], rows[0][i], rows[1][i], tables, need)
                    alive[i, c] = scores[i, best] - scores[i, c] <= need[0]
                    other += int(alive[i, c] and owner[slots[i, c]] != owner[leader])
            levels[i], leaders[i], others[i] = level, leader, other
            if other == 0:
                break
