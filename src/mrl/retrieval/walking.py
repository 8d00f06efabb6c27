"""A walk through a navigable graph that FAISS built, in compiled code of ours, on FAISS's own memory.

The search is that of Malkov and Yashunin (arXiv 1603.09320, algorithms 2 and 5): downhill through the upper layers,
then the best `ef` seen on the lowest one, of which the nearest that were not yet walked to are next. What it saves
against FAISS is not part of the search: the way through Python, a table of all rows that is made for each query, the
range of each coordinate (multiplied into an 8-bit query once), heaps that guess wrong, and waiting for memory.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.extending import intrinsic

from mrl.retrieval.addresses import carray, fetch, ints, longs
from mrl.retrieval.walking_distances import FAR, fold, measure
from mrl.retrieval.walking_views import (
    BEFORE,
    CODES,
    DIM,
    ENTRY,
    LINKS,
    MOST,
    OFFSETS,
    ROWS,
    SIZE,
    TOP,
    Graph,
    graph,
)

ABREAST = 2  # rows walked to at once, so that memory answers for one while the other waits
LOG = 1 << 14  # rows seen whose marks are taken back one by one; after more, all marks are cleared
LINE = 64  # bytes that memory gives at a time
EIGHT = 8  # keys moved at a time
DONE, NONE = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)

_compiled = numba.njit(nogil=True, cache=True)
_inlined = numba.njit(inline="always")


class Walker:
    """A FAISS graph as arrays that compiled code reads. Any number of threads may walk at once."""

    def __init__(self, found: Graph) -> None:
        self.graph = found
        self._own = threading.local()

    @classmethod
    def of(cls, index: Any) -> Walker | None:
        """None if FAISS's index is no graph that is known here, or if this build of FAISS does not show its memory."""
        found = graph(index)
        return None if found is None else cls(found)

    def walk(self, queries: npt.NDArray[np.float32], count: int, ef: int, into: npt.NDArray[np.int64]) -> None:
        """Numbers of the rows that are found nearest to queries (q, dim), into (q, count): nearest first, then −1.

        queries are contiguous. ef: candidates kept while searching, `count` where that is more.
        """
        try:
            marks, log = self._own.scratch
        except AttributeError:
            marks, log = self._own.scratch = self._scratch()
        walk(self.graph.head, self.graph.scales, queries, max(ef, count), marks, log, into)

    def _scratch(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
        """A bit for each row, and room for the rows seen; a thread keeps them from one query to the next."""
        return np.zeros(self.graph.rows // 64 + 1, np.uint64), np.empty(
            max(LOG, 2 * ABREAST * self.graph.most), np.int32
        )


# ------------------------------------------------------------------------------- the best so far: keys, ascending


@_inlined
def _key(bits: Any, row: Any) -> Any:
    """Sortable: a float32's bits, flipped so that unsigned order is its order, then the row, then whether DONE."""
    flipped = ~bits if bits >> 31 else bits | np.uint32(0x80000000)
    return (np.uint64(flipped) << np.uint64(32)) | (np.uint64(row) << np.uint64(1))


@_inlined
def _row(key: Any) -> Any:
    return np.int64((key & np.uint64(0xFFFFFFFF)) >> np.uint64(1))


def _shift(typing: Any, keys: Any, block: Any, key: Any) -> Any:
    """Put a key among the eight of a block (all eight in one instruction or two); how many of them are smaller.

    keys: (blocks, EIGHT), ascending. Each becomes min(itself, max(the one before it, key)); the last is pushed out.
    """

    def generate(context: Any, build: Any, signature: Any, given: Any) -> Any:
        word, place, many = ir.IntType(64), ir.IntType(32), ir.VectorType(ir.IntType(64), EIGHT)
        places, none = ir.VectorType(place, EIGHT), ir.Constant(many, ir.Undefined)
        start = build.bitcast(context.make_array(keys)(context, build, given[0]).data, many.as_pointer())
        at = build.gep(start, [given[1]])
        here, ahead = build.load(at, align=8), build.load(build.gep(at, [ir.Constant(word, -1)]), align=8)
        before = build.shuffle_vector(ahead, here, ir.Constant(places, list(range(EIGHT - 1, 2 * EIGHT - 1))))
        one = build.insert_element(none, given[2], ir.Constant(place, 0))
        every = build.shuffle_vector(one, none, ir.Constant(places, [0] * EIGHT))
        raised = build.select(build.icmp_unsigned(">", before, every), before, every)
        smaller = build.icmp_unsigned("<", here, every)
        build.store(build.select(smaller, here, raised), at, align=8)
        return build.zext(build.ctpop(build.bitcast(smaller, ir.IntType(EIGHT))), word)

    return numba.int64(keys, numba.int64, numba.uint64), generate


shift: Any = intrinsic(_shift)


@_compiled
def _insert(blocks: Any, key: Any) -> Any:
    """Put a key into its place, counted from the second block on (the first is 0); the last of all goes."""
    for block in range(blocks.shape[0] - 1, 0, -1):
        smaller = shift(blocks, block, key)
        if smaller:
            return EIGHT * (block - 1) + smaller
    return 0


# ------------------------------------------------------------------------------- the walk


@_compiled
def _downhill(head: Any, scales: Any, query: Any, rows: Any, distances: Any) -> Any:
    """Where to enter the lowest layer: on each other one, go to the nearest linked row until none is nearer."""
    offsets, links = carray(longs(head[OFFSETS]), (FAR,)), carray(ints(head[LINKS]), (FAR,))
    best: Any = head[ENTRY]
    rows[0] = best
    measure(head, scales, query, rows[:1], distances)
    nearest = distances[0]
    for layer in range(head[TOP], 0, -1):
        at = -1
        while at != best:
            at, count = best, 0
            for j in range(offsets[at] + head[BEFORE + layer], offsets[at] + head[BEFORE + layer + 1]):
                if not 0 <= links[j] < head[ROWS]:
                    break
                rows[count] = links[j]
                count += 1
            measure(head, scales, query, rows[:count], distances)
            for c in range(count):
                if distances[c] < nearest:
                    nearest, best = distances[c], np.int64(rows[c])
    return best


@_compiled
def _fresh(head: Any, row: Any, marks: Any, rows: Any) -> Any:
    """Mark and list the linked rows that had no mark, and ask memory for their codes; how many."""
    links, size = carray(ints(head[LINKS]), (FAR,)), head[SIZE]
    first, count = carray(longs(head[OFFSETS]), (FAR,))[row], 0
    for j in range(first, first + head[BEFORE + 1]):
        i = links[j]
        if not 0 <= i < head[ROWS]:
            break
        held, bit = marks[i >> 6], np.uint64(1) << np.uint64(i & 63)
        marks[i >> 6] = held | bit
        rows[count] = i
        count += int((held & bit) == 0)
    for c in range(count):
        at = head[CODES] + rows[c] * size
        for byte in range(0, size, LINE):
            fetch(at + byte)
        fetch(at + size - 1)
    return count


@_compiled
def _next(head: Any, best: Any, place: Any, ef: int, marks: Any, rows: Any) -> Any:
    """List the fresh rows around the first of the best from `place` on that are not done: where it ends, how many."""
    count, taken = 0, 0
    while place < ef and taken < ABREAST:
        if not best[place] & DONE:
            best[place] |= DONE
            count += _fresh(head, _row(best[place]), marks, rows[count:])
            taken += 1
        place += 1
    return place, count if taken else -1


@_compiled
def _around(
    head: Any, scales: Any, query: Any, entry: int, ef: int, marks: Any, log: Any, blocks: Any, distances: Any
) -> int:
    """Fill `blocks` with the keys of the best `ef`. How much of the log is in use; −1 if it was too short."""
    offsets, wide = carray(longs(head[OFFSETS]), (FAR,)), head[BEFORE + 1]
    bits, best = distances.view(np.uint32), blocks.ravel()[EIGHT:]
    best[:] = NONE
    log[0] = entry
    marks[entry >> 6] = np.uint64(1) << np.uint64(entry & 63)
    measure(head, scales, query, log[:1], distances)
    best[0] = _key(bits[0], entry)
    used, over, place = 1, False, 0
    while True:
        if used + ABREAST * wide > log.size:
            used, over = 0, True
        place, count = _next(head, best, place, ef, marks, log[used:])
        if count < 0:
            return -1 if over else used
        fresh = log[used : used + count]
        measure(head, scales, query, fresh, distances)
        for c in range(count):
            key = _key(bits[c], fresh[c])
            if key < best[ef - 1]:
                for byte in range(0, 4 * wide, LINE):  # its links, should it be walked to
                    fetch(head[LINKS] + 4 * offsets[fresh[c]] + byte)
                place = min(place, _insert(blocks, key))
        used += count


@_compiled
def walk(head: Any, scales: Any, queries: Any, ef: int, marks: Any, log: Any, into: Any) -> None:
    """into (q, count) of queries (q, dim). marks: a bit for each row, all 0 before and after. log: scratch."""
    into[:] = -1
    ef = min(ef, head[ROWS])
    blocks, query = np.zeros((1 + (ef + EIGHT - 1) // EIGHT, EIGHT), np.uint64), np.empty(head[DIM], np.float32)
    distances = np.empty(ABREAST * head[MOST], np.float32)
    for q in range(queries.shape[0]):
        fold(head, scales, queries[q], query)
        entry = _downhill(head, scales, query, log, distances)
        used = _around(head, scales, query, entry, ef, marks, log, blocks, distances)
        if used < 0:
            marks[:] = 0
        for c in range(used):
            marks[log[c] >> 6] = 0
        for c in range(min(ef, into.shape[1])):
            key = blocks[1 + c // EIGHT, c % EIGHT]
            if key != NONE:
                into[q, c] = _row(key)
