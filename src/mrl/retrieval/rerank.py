"""The compiled re-rank: proposed rows are scored over all their segments, and the best kept, in one call.

A re-rank of one query reads a few dozen rows from all over memory, so it waits for memory, not for products: while one
row is multiplied, the next one's lines are asked for. Codes are read where they lie, by their addresses, so that any
number of blocks and segments is one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval import kernels, ranking, threads
from mrl.retrieval.addresses import carray, fetch, floats, halves, signed
from mrl.retrieval.best import CODES, Candidates
from mrl.retrieval.encodings import CHUNK, Floats, bytes_per_row
from mrl.retrieval.kernels import SUMS, half

if TYPE_CHECKING:
    from mrl.retrieval.snapshot import Snapshot

KINDS = {"float32": 0, "float16": 1, "int8": 2, "int12": 3}  # encodings that are read here
LINE = 64  # bytes that memory hands over together
NEAR = np.float32(2.0**-22)  # of a score: nearer ones may be the same after they are multiplied
QUERIES_PER_THREAD = 8  # fewer are not worth one
SHORT = 64  # results up to which they are kept in order while the rows come

_compiled = numba.njit(nogil=True, cache=True)
_inlined = numba.njit(inline="always")
_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


@dataclass(frozen=True, eq=False)
class Record:
    """Where in memory the rows lie that a stage reads.

    kinds: (s,) the encoding of each segment. ends: (s + 1,) dims at which segments begin and end. strides: (s,) bytes
    of a row. codes, scales: (blocks, s) addresses. norms: (blocks, 2) address of the first length at the last cut, and
    bytes to the next. firsts: (blocks + 1,) positions of the blocks' first rows, and the end.
    """

    kinds: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    strides: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint64]
    scales: npt.NDArray[np.uint64]
    norms: npt.NDArray[np.uint64]
    firsts: npt.NDArray[np.int64]
    owners: tuple[Any, ...] = ()  # of the memory that the addresses lie in, kept as long as these
    where: tuple[Any, ...] = ()  # all but the owners, as the compiled loops take them

    def __post_init__(self) -> None:
        where = (self.kinds, self.ends, self.strides, self.codes, self.scales, self.norms, self.firsts)
        object.__setattr__(self, "where", where)

    @classmethod
    def of(cls, snapshot: Snapshot, reading: tuple[str, ...]) -> Record | None:
        """The record for reading each segment in these encodings; None where that is not done, or without rows."""
        if not snapshot.blocks or not set(reading) <= set(KINDS):
            return None
        ends = np.array([0, *snapshot.layout.cuts.dims[: len(reading)]])
        parts = [[block.segment(i, name) for i, name in enumerate(reading)] for block in snapshot.blocks]
        lengths = [block.norms[len(reading) - 1] for block in snapshot.blocks]
        firsts = [block.first for block in snapshot.blocks] + [snapshot.positions]
        return cls(
            np.array([KINDS[name] for name in reading]),
            ends,
            np.array(
                [bytes_per_row(name, b - a) for name, (a, b) in zip(reading, pairwise(ends.tolist()), strict=True)]
            ),
            np.array([[part.codes.ctypes.data for part in row] for row in parts], np.uint64),
            np.array([[part.scales.ctypes.data for part in row] for row in parts], np.uint64),
            np.array([(row.ctypes.data, row.strides[0]) for row in lengths], np.uint64),
            np.array(firsts),
            (parts, lengths),
        )

    def reranked(self, metric: Metric, queries: Floats, positions: npt.NDArray[np.int64], keep: int) -> Candidates:
        """The best `keep` of the rows at positions (q, m), best first, on all threads; products start at dim 0."""
        found, code = Candidates.empty(len(queries), keep), CODES[metric]

        def work(a: int, b: int) -> None:
            kept = found.positions[a:b], found.scores[a:b], found.raw[a:b]
            self.rerank(code, queries[a:b], positions[a:b], *kept)

        threads.each(work, len(queries), QUERIES_PER_THREAD)
        return found

    def rerank(self, metric: int, queries: Floats, positions: Any, kept: Any, scores: Floats, raw: Floats) -> bool:
        """The same into arrays (q, keep); whether any of those kept have scores that a factor may make equal."""
        return bool(rerank(metric, self.where, queries, positions, kept, scores, raw))

    def score(self, metric: int, queries: Floats, positions: Any, scores: Floats) -> None:
        """Scores (q, m) of the rows at positions (q, m), in their order."""
        score(metric, self.where, queries, positions, scores)


@_compiled
def rerank(metric: int, where: Any, queries: Any, positions: Any, kept: Any, scores: Any, raws: Any) -> Any:
    """Score rows positions (q, m), −1 for none, by queries (q, d); the best into (q, keep) arrays, best first. Whether
    any of those that were kept have scores so near each other that a factor may make them equal.

    where: the fields of a record, in order. The first −1 of a query is its last position.
    """
    most, keep = positions.shape[1], kept.shape[1]
    keys, products, values = np.empty(most, np.uint64), np.empty(most, np.float32), np.empty(most, np.float32)
    bits, tied = values.view(np.uint32), False
    for q in range(positions.shape[0]):
        count = _scored(metric, where, queries[q], positions[q], products, values)
        for c in range(count):
            keys[c] = ranking._key(bits[c], positions[q, c])
        _keep(keys[:count], products, keep, kept[q], scores[q], raws[q])
        for c in range(1, min(keep, count)):
            tied |= scores[q, c - 1] - scores[q, c] <= NEAR * abs(scores[q, c])
    return tied


@_compiled
def score(metric: int, where: Any, queries: Any, positions: Any, scores: Any) -> None:
    """Scores (q, m) of rows positions (q, m), in their order; −inf where there is none."""
    products = np.empty(positions.shape[1], np.float32)
    for q in range(positions.shape[0]):
        count = _scored(metric, where, queries[q], positions[q], products, scores[q])
        scores[q, count:] = -np.inf


@_compiled
def _scored(metric: int, where: Any, query: Any, positions: Any, products: Any, scores: Any) -> int:
    """Products and scores of the rows at positions (m,), up to the first that is missing; how many there were."""
    kinds, ends, strides, codes, scales, norms, firsts = where
    count, stepped = 0, np.empty(query.size, np.float32)
    while count < positions.size and positions[count] >= 0:
        count += 1
    if count:
        _ask(positions[0], strides, codes, firsts)
    for c in range(count):
        if c + 1 < count:
            _ask(positions[c + 1], strides, codes, firsts)
        b = _block(positions[c], firsts)
        i = positions[c] - firsts[b]
        product = np.float32(0)
        for s in range(kinds.size):
            part = query[ends[s] : ends[s + 1]]
            lie = scales[b, s] + np.uint64((i // CHUNK) * 8 * part.size)
            product += _product(kinds[s], codes[b, s] + np.uint64(i * strides[s]), part, lie, stepped[: part.size])
        length = carray(floats(norms[b, 0] + np.uint64(i) * norms[b, 1]), 1)[0]
        products[c], scores[c] = product, ranking.score(metric, product, length)
    return count


@_inlined
def _block(position: int, firsts: Any) -> int:
    b = 0
    while position >= firsts[b + 1]:
        b += 1
    return b


@_compiled
def _ask(position: int, strides: Any, codes: Any, firsts: Any) -> None:
    """Ask for a row's lines."""
    b = _block(position, firsts)
    i = position - firsts[b]
    for s in range(strides.size):
        start = codes[b, s] + np.uint64(i * strides[s])
        for byte in range(0, strides[s], LINE):
            fetch(start + np.uint64(byte))


@_summing
def _product(kind: int, at: Any, query: Any, scales: Any, stepped: Any) -> Any:
    """The product of a query (w,) with the row whose codes lie at an address.

    scales: the address of its chunk's offsets and steps. stepped: (w,) to work in.
    """
    width = query.size
    total = np.float32(0)
    if kind == 0:
        numbers = carray(floats(at), width)
        for j in range(width):
            total += numbers[j] * query[j]
        return total
    if kind == 1:
        bits = carray(halves(at), width)
        for j in range(width):
            total += half(bits[j]) * query[j]
        return total
    ranges = carray(floats(scales), (1, 2, width))
    total += kernels.folded(ranges, 0, query, stepped)
    if kind == 2:
        return total + kernels.products8(carray(signed(at), width), stepped)
    return total + kernels.products12(carray(signed(at), width + (width + 1) // 2), stepped)


@_compiled
def _keep(keys: Any, products: Any, keep: int, kept: Any, scores: Any, raws: Any) -> None:
    """The `keep` largest keys, best first."""
    order = _first(keys, keep) if keep <= SHORT else np.argsort(keys)[::-1][:keep]
    bits = scores.view(np.uint32)
    for c in range(order.size):
        key = keys[order[c]]
        kept[c] = 0xFFFFFFFF - np.int64(key & np.uint64(0xFFFFFFFF))
        raws[c] = products[order[c]]
        flipped = np.uint32(key >> np.uint64(32))
        bits[c] = flipped ^ np.uint32(0x80000000) if flipped >> 31 else ~flipped
    kept[order.size :] = -1
    scores[order.size :] = -np.inf


@_compiled
def _first(keys: Any, keep: int) -> Any:
    """Where the `keep` largest are, largest first, by insertion."""
    places = np.empty(min(keep, keys.size), np.int64)
    filled = 0
    for c in range(keys.size):
        if filled == places.size and keys[c] < keys[places[filled - 1]]:
            continue
        at = min(filled, places.size - 1)
        while at > 0 and keys[places[at - 1]] < keys[c]:
            places[at] = places[at - 1]
            at -= 1
        places[at] = c
        filled = min(filled + 1, places.size)
    return places
