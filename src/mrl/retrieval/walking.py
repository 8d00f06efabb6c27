"""A walk through a navigable graph that FAISS built, in compiled code of ours, on FAISS's own memory.

The search is that of Malkov and Yashunin (arXiv 1603.09320, algorithms 2 and 5): downhill through the upper layers, then
the best `ef` seen on the lowest one, of which the nearest that was not looked around from is next. Against FAISS it saves
what does not belong to the search: a table of all rows that is made and cleared for each query, most of a call's way
through Python, and the range of each coordinate, which is multiplied into an 8-bit query once.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from llvmlite import ir
from numba.extending import intrinsic

from mrl.retrieval.addresses import carray, fetch, floats, halves
from mrl.retrieval.kernels import SUMS, half
from mrl.retrieval.walking_views import Graph, bytes_at, graph, ints, longs

LOG = 1 << 14  # rows looked at whose marks are taken back one by one; of more, all marks are cleared
LINE = 64
WIDE = 2
SEEN, FARTHEST = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)

# what `head` (int64) holds, from 10 on how many links come before those of each layer
CODES, LINKS, OFFSETS, ENTRY, TOP, DIM, SIZE, KIND, WIDTH = range(9)
BEFORE = 10

_compiled = numba.njit(nogil=True, cache=False)
_summing = numba.njit(nogil=True, cache=False, fastmath=SUMS)
_inlined = numba.njit(inline="always")


class Walker:
    """A FAISS graph as arrays that compiled code reads."""

    def __init__(self, found: Graph) -> None:
        self.graph = found
        self.head, self.scales, self.words = found.head, found.scales, (found.rows >> 6) + 1
        self._own = threading.local()

    @classmethod
    def of(cls, index: Any) -> Walker | None:
        """None where this FAISS does not show its memory, or the index is none that is known here."""
        found = graph(index)
        return None if found is None else cls(found)

    def walk(
        self, queries: npt.NDArray[np.float32], count: int, ef: int, into: npt.NDArray[np.int64]
    ) -> None:
        """into (q, count): numbers of the rows found nearest to queries (q, dim), nearest first, −1 where fewer."""
        try:
            marks = self._own.marks
        except AttributeError:
            marks = self._own.marks = np.zeros(self.words, np.uint64), np.empty(LOG, np.int32)
        walk(self.head, self.scales, queries, max(ef, count), marks[0], marks[1], into)


# ------------------------------------------------------------------------------- distances


@_summing
def _dots(head: Any, query: Any, rows: Any, distances: Any) -> None:
    """distances (m,) of rows (m,): the product with the query, negative."""
    kind, wide = head[KIND] >> 1, query.size
    codes = carray(bytes_at(head[CODES]), (1 << 40, wide))
    bits = carray(halves(head[CODES]), (1 << 40, wide))
    values = carray(floats(head[CODES]), (1 << 40, wide))
    for c in range(rows.size):
        total, i = np.float32(0), rows[c]
        if kind == 0:
            for j in range(wide):
                total += np.float32(codes[i, j]) * query[j]
        elif kind == 1:
            for j in range(wide):
                total += half(bits[i, j]) * query[j]
        else:
            for j in range(wide):
                total += values[i, j] * query[j]
        distances[c] = -total


@_summing
def _squares(head: Any, steps: Any, query: Any, rows: Any, distances: Any) -> None:
    """distances (m,) of rows (m,): the squared distance from the query."""
    kind, wide = head[KIND] >> 1, query.size
    codes = carray(bytes_at(head[CODES]), (1 << 40, wide))
    bits = carray(halves(head[CODES]), (1 << 40, wide))
    values = carray(floats(head[CODES]), (1 << 40, wide))
    for c in range(rows.size):
        total, i = np.float32(0), rows[c]
        if kind == 0:
            for j in range(wide):
                x = np.float32(codes[i, j]) * steps[j] - query[j]
                total += x * x
        elif kind == 1:
            for j in range(wide):
                x = half(bits[i, j]) - query[j]
                total += x * x
        else:
            for j in range(wide):
                x = values[i, j] - query[j]
                total += x * x
        distances[c] = total


@_compiled
def _measure(head: Any, scales: Any, query: Any, rows: Any, distances: Any) -> None:
    if head[KIND] & 1:
        _squares(head, scales[1], query, rows, distances)
    else:
        _dots(head, query, rows, distances)


@_compiled
def _folded(head: Any, scales: Any, query: Any, folded: Any) -> None:
    """The query as `_measure` wants it: 8-bit codes c stand for offset + step c."""
    if head[KIND] > 1:
        folded[:] = query
    elif head[KIND] == 1:
        folded[:] = query - scales[0]
    else:
        folded[:] = query * scales[1]


# ------------------------------------------------------------------------------- the walk


@_compiled
def _downhill(head: Any, scales: Any, query: Any, rows: Any, distances: Any) -> int:
    """The entry of the lowest layer."""
    offsets, links = carray(longs(head[OFFSETS]), (1 << 40,)), carray(ints(head[LINKS]), (1 << 40,))
    best = head[ENTRY]
    rows[0] = best
    _measure(head, scales, query, rows[:1], distances)
    nearest = distances[0]
    for layer in range(head[TOP], 0, -1):
        at = -1
        while at != best:
            at, first = best, offsets[best] + head[BEFORE + layer]
            count = 0
            for j in range(first, offsets[best] + head[BEFORE + layer + 1]):
                if links[j] < 0:
                    break
                rows[count] = links[j]
                count += 1
            _measure(head, scales, query, rows[:count], distances)
            for c in range(count):
                if distances[c] < nearest:
                    nearest, best = distances[c], np.int64(rows[c])
    return best


@_inlined
def _key(bits: Any, row: Any) -> Any:
    """Sortable: a float32's bits, flipped so that unsigned order is its order, the row, and a bit for SEEN."""
    flipped = ~bits if bits >> 31 else bits | np.uint32(0x80000000)
    return (np.uint64(flipped) << np.uint64(32)) | (np.uint64(row) << np.uint64(1))


def _shift(typing: Any, best: Any, block: Any, key: Any) -> Any:
    """Put a key among eight ascending ones, of which it pushes out the last; how many are smaller.

    best: (blocks, 8). What the block before pushes out comes in at the front, unless the key does.
    """
    array = best

    def generate(context: Any, build: Any, signature: Any, given: Any) -> Any:
        word, eight = ir.IntType(64), ir.VectorType(ir.IntType(64), 8)
        data = build.bitcast(context.make_array(array)(context, build, given[0]).data, eight.as_pointer())
        here = build.gep(data, [given[1]])
        low, high = build.load(build.gep(data, [build.sub(given[1], ir.Constant(word, 1))]), align=8), build.load(here, align=8)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 8), [7, 8, 9, 10, 11, 12, 13, 14])
        before = build.shuffle_vector(low, high, mask)
        one = build.insert_element(ir.Constant(eight, ir.Undefined), given[2], ir.Constant(ir.IntType(32), 0))
        every = build.shuffle_vector(one, ir.Constant(eight, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8))
        raised = build.select(build.icmp_unsigned(">", before, every), before, every)
        smaller = build.icmp_unsigned("<", high, every)
        build.store(build.select(smaller, high, raised), here, align=8)
        return build.zext(build.ctpop(build.bitcast(smaller, ir.IntType(8))), word)

    return numba.int64(best, numba.int64, numba.uint64), generate


shift: Any = intrinsic(_shift)


@_compiled
def _insert(best: Any, key: Any) -> int:
    """Put a key into its place among ascending ones, the last of which goes; the place."""
    place = 0
    for block in range(best.shape[0] - 1, 0, -1):
        place += shift(best, block, key)
    return place


@_compiled
def _fresh(head: Any, row: int, marks: Any, rows: Any) -> int:
    """Mark and list the linked rows that had no mark, ask for their codes; how many."""
    size, codes = head[SIZE], head[CODES]
    links = carray(ints(head[LINKS]), (1 << 40,))
    first, count = carray(longs(head[OFFSETS]), (1 << 40,))[row], 0
    for j in range(first, first + head[BEFORE + 1]):
        i = links[j]
        if i < 0:
            break
        word, bit = i >> 6, np.uint64(1) << np.uint64(i & 63)
        held = marks[word]
        rows[count] = i
        count += np.int64((held & bit) == 0)
        marks[word] = held | bit
    for c in range(count):
        at = codes + np.int64(rows[c]) * size
        for line in range(0, size, LINE):
            fetch(at + line)
    return count


@_compiled
def _around(head: Any, scales: Any, query: Any, entry: int, marks: Any, log: Any, blocks: Any, ef: int, distances: Any) -> int:
    """Fill `best` (ef,) with keys, ascending. How much of the log is in use; −1 once it was too short."""
    offsets, wide = carray(longs(head[OFFSETS]), (1 << 40,)), head[BEFORE + 1]
    bits = distances.view(np.uint32)
    best = blocks.ravel()[8:]
    best[:] = FARTHEST
    log[0] = entry
    marks[entry >> 6] |= np.uint64(1) << np.uint64(entry & 63)
    _measure(head, scales, query, log[:1], distances)
    best[0] = _key(bits[0], entry)
    used, over, place = 1, False, 0
    while True:
        if used + WIDE * wide > log.size:
            used, over = 0, True
        count, taken = 0, 0
        while place < ef and taken < WIDE:
            key = best[place]
            if not key & SEEN:
                best[place] |= SEEN
                row = np.int64((key & np.uint64(0xFFFFFFFF)) >> np.uint64(1))
                count += _fresh(head, row, marks, log[used + count :])
                taken += 1
            place += 1
        if not taken:
            break
        _measure(head, scales, query, log[used : used + count], distances)
        for c in range(count):
            key = _key(bits[c], log[used + c])
            if key < best[ef - 1]:
                at = head[LINKS] + 4 * offsets[log[used + c]]
                for line in range(0, 4 * wide, LINE):
                    fetch(at + line)
                place = min(place, _insert(blocks, key))
        used += count
    return -1 if over else used


@_compiled
def walk(head: Any, scales: Any, queries: Any, ef: int, marks: Any, log: Any, into: Any) -> None:
    """into (q, count) of queries (q, dim). marks (words,) are 0 before and after."""
    blocks, distances = np.zeros((1 + (ef + 7) // 8, 8), np.uint64), np.empty(WIDE * head[WIDTH], np.float32)
    query = np.empty(head[DIM], np.float32)
    for q in range(queries.shape[0]):
        _folded(head, scales, queries[q], query)
        entry = _downhill(head, scales, query, log, distances)
        used = _around(head, scales, query, entry, marks, log, blocks, ef, distances)
        if used < 0:
            marks[:] = 0
        for c in range(used):
            marks[log[c] >> 6] = 0
        for c in range(into.shape[1]):
            key = blocks[1 + c // 8, c % 8]
            into[q, c] = np.int64((key & np.uint64(0xFFFFFFFF)) >> np.uint64(1)) if key != FARTHEST else -1
