"""One small tile of scores in registers while queries and rows stream past, and the loop around it. Needs Numba.

BLAS multiplies one segment and forgets: adding it to the sum, and comparing the sum with the best k, would each be a
pass over scores in memory at every cut. Here QUERIES × ROWS sums stay in registers over a segment and are compared
there at its end, so that looking at a cut costs three operations per score and no memory.

Both sides come as *tapes*, read from front to end. Per segment, a tape of queries has for each dim QUERIES values, then
QUERIES thresholds; a tape of rows has for each dim ROWS values, then ROWS factors and ROWS summands.

No compiler keeps such a tile in registers by itself, hence the instructions are written out, in LLVM's terms: they run
on any processor, and where its vectors are narrower they are only slower. All that is compiled together is in this one
file, because Numba's cache notices changes in the file of a function, not in what that imports.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

VECTORS = 2  # across: each value of a query is used this often once loaded
NEAR_BYTES = 256 << 10  # query tapes that meet a row tape together: they and it fit a core's second cache

FLOAT, WORD, INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)


def tile(features: str) -> tuple[int, int]:
    """(queries, lanes) for a processor: as many sums as leave registers for what is being multiplied."""
    names = features.split(",")
    for name, queries, lanes in (("+avx512f", 12, 16), ("+avx", 6, 8), ("+neon", 12, 4)):
        if name in names:
            return queries, lanes
    return 6, 4


def features() -> str:
    """What Numba compiles for. Its cache is kept by that, so that one cache never serves two sizes of tile."""
    config: Any = numba.config
    if config.CPU_FEATURES is not None:
        return str(config.CPU_FEATURES)
    try:
        return str(binding.get_host_cpu_features().flatten()) if config.ENABLE_AVX else ""
    except RuntimeError:  # LLVM does not know this host
        return ""


QUERIES, LANES = tile(features())
ROWS = VECTORS * LANES
VECTOR = ir.VectorType(FLOAT, LANES)


@numba.njit(nogil=True, cache=True)
def sweep(left: Any, right: Any, ends: Any, first: Any, scores: Any, positions: Any) -> None:
    """All queries of the tapes `left` meet all rows of the tapes `right`, at every cut.

    left, right: (tapes, length) float32. ends: (cuts,) the dims. first: position of the first query and of the first
    row. scores, positions: (cuts, q, k), each list a heap with the worst on top; they begin as −∞ and −1.
    """
    sums, above = np.empty((QUERIES, ROWS), np.float32), np.empty(QUERIES, np.int64)
    near = max(1, NEAR_BYTES // (4 * left.shape[1]))
    for start in range(0, len(left), near):
        for r in range(len(right)):
            for q in range(start, min(start + near, len(left))):
                sums[:] = 0
                a, b, begin = q * left.shape[1], r * right.shape[1], 0
                for level, end in enumerate(ends):
                    some = advance(left, a, right, b, end - begin, sums, above)
                    a, b, begin = a + (end - begin) * QUERIES, b + (end - begin) * ROWS, end
                    if some:
                        at = (level, first[0] + q * QUERIES, first[1] + r * ROWS)
                        _keep(sums, above, left.ravel()[a:], right.ravel()[b:], at, scores, positions)
                    a, b = a + QUERIES, b + 2 * ROWS


@numba.njit(nogil=True, cache=True)
def _keep(sums: Any, above: Any, thresholds: Any, scale: Any, at: Any, scores: Any, positions: Any) -> None:
    """Take in what is above its query's threshold, in order of position, and raise the threshold."""
    level, query, row = at
    last = scores.shape[2] - 1
    for i in range(QUERIES):
        bits = above[i]
        while bits:
            j = lowest(bits)
            bits &= bits - 1
            score = sums[i, j] * scale[j] + scale[ROWS + j]
            if score > thresholds[i]:
                _sink(scores[level, query + i], positions[level, query + i], last, score, row + j)
                thresholds[i] = scores[level, query + i, 0]


@numba.njit(nogil=True, cache=True)
def _sink(scores: Any, positions: Any, last: int, score: float, position: int) -> None:
    """Put a score in the place of the worst, at the top of a heap that ends at `last`; of equals the later is worse."""
    place, child = 0, 1
    while child <= last:
        if child < last and _worse(scores, positions, child + 1, scores[child], positions[child]):
            child += 1
        if not _worse(scores, positions, child, score, position):
            break
        scores[place], positions[place] = scores[child], positions[child]
        place, child = child, 2 * child + 1
    scores[place], positions[place] = score, position


@numba.njit(nogil=True, cache=True)
def _worse(scores: Any, positions: Any, at: int, score: float, position: int) -> bool:
    return bool(scores[at] < score or (scores[at] == score and positions[at] > position))


@numba.njit(nogil=True, cache=True)
def sort(scores: Any, positions: Any) -> None:
    """Make of heaps (cuts, q, k) lists, best first."""
    for level in range(scores.shape[0]):
        for q in range(scores.shape[1]):
            heap, places = scores[level, q], positions[level, q]
            for last in range(len(heap) - 1, 0, -1):
                score, position = heap[last], places[last]
                heap[last], places[last] = heap[0], places[0]
                _sink(heap, places, last - 1, score, position)


# ----------------------------------------------------------------------------------- instructions


def _advance(_: Any, queries: Any, q: Any, rows: Any, r: Any, steps: Any, sums: Any, above: Any) -> Any:
    """Continue a tile of sums over one segment; not 0 if a score is then above its query's threshold.

    queries, rows: tapes, read from element q and r on. steps: dims of the segment, at least 1. sums: (QUERIES, ROWS)
    float32, added to. above: (QUERIES,) int64, set: bit j is sum · factor + summand > threshold for row j.
    """
    signature = types.int64(queries, types.int64, rows, types.int64, types.int64, sums, above)

    def generate(context: Any, build: Any, sig: Any, args: Any) -> Any:
        code = _Tile(build)
        tapes, others, held, bits = (
            context.make_array(sig.args[i])(context, build, args[i]).data for i in (0, 2, 5, 6)
        )
        left, right = code.at(tapes, args[1]), code.at(others, args[3])
        totals = code.multiply(left, right, args[4], code.load(held))
        code.store(totals, held)
        return code.compare(totals, code.at(left, args[4], QUERIES), code.at(right, args[4], ROWS), bits)

    return signature, generate


def _lowest(_: Any, bits: Any) -> Any:
    """Place of the lowest bit set."""
    nonzero = ir.Constant(ir.IntType(1), 1)
    return types.int64(types.int64), lambda context, build, sig, args: build.cttz(args[0], nonzero)


advance: Any = intrinsic(_advance)
lowest: Any = intrinsic(_lowest)


class _Tile:
    """The instructions of `advance`, part by part."""

    def __init__(self, build: Any) -> None:
        self.build = build

    def at(self, pointer: Any, index: Any, stride: int = 1) -> Any:
        """Address of an element; index: a number, or a value known only when it runs."""
        if isinstance(index, int):
            index = ir.Constant(WORD, index)
        return self.build.gep(pointer, [self.build.mul(index, ir.Constant(WORD, stride))])

    def vectors(self, pointer: Any, first: int = 0) -> list[Any]:
        """ROWS values."""
        places = [self.at(pointer, first + v * LANES) for v in range(VECTORS)]
        return [self.build.load(self.build.bitcast(p, VECTOR.as_pointer()), align=4) for p in places]

    def every(self, pointer: Any) -> Any:
        """One value in all lanes."""
        none = ir.Constant(VECTOR, ir.Undefined)
        one = self.build.insert_element(none, self.build.load(pointer, align=4), ir.Constant(INDEX, 0))
        return self.build.shuffle_vector(one, none, ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES))

    def load(self, held: Any) -> list[list[Any]]:
        return [self.vectors(held, i * ROWS) for i in range(QUERIES)]

    def store(self, totals: list[list[Any]], held: Any) -> None:
        for i, line in enumerate(totals):
            for v, total in enumerate(line):
                place = self.at(held, i * ROWS + v * LANES)
                self.build.store(total, self.build.bitcast(place, VECTOR.as_pointer()), align=4)

    def multiply(self, left: Any, right: Any, steps: Any, sums: list[list[Any]]) -> list[list[Any]]:
        """The loop over the dims of a segment: one outer product per dim."""
        build, before = self.build, self.build.block
        loop, after = build.append_basic_block("dims"), build.append_basic_block("compare")
        build.branch(loop)
        build.position_at_end(loop)
        step, held = build.phi(WORD), [[build.phi(VECTOR) for _ in line] for line in sums]
        totals = self.outer(self.at(left, step, QUERIES), self.at(right, step, ROWS), held)
        following = build.add(step, ir.Constant(WORD, 1))
        for phi, start, end in [(step, ir.Constant(WORD, 0), following), *_cells(held, sums, totals)]:
            phi.add_incoming(start, before)
            phi.add_incoming(end, loop)
        build.cbranch(build.icmp_signed("<", following, steps), loop, after)
        build.position_at_end(after)
        return totals

    def outer(self, left: Any, right: Any, held: list[list[Any]]) -> list[list[Any]]:
        """Sums plus QUERIES values times ROWS values, each in one operation where the processor has it."""
        across = self.vectors(right)
        values = [self.every(self.at(left, i)) for i in range(QUERIES)]
        return [
            [self.fused(value, x, total) for x, total in zip(across, line, strict=True)]
            for value, line in zip(values, held, strict=True)
        ]

    def fused(self, x: Any, y: Any, total: Any) -> Any:
        return self.build.fadd(self.build.fmul(x, y, flags=("contract",)), total, flags=("contract",))

    def compare(self, totals: list[list[Any]], thresholds: Any, scale: Any, above: Any) -> Any:
        """Bits of the scores above their thresholds. Rounded after the product and after the sum, as in `_keep`."""
        build, times, plus = self.build, self.vectors(scale), self.vectors(scale, ROWS)
        some = ir.Constant(WORD, 0)
        for i, line in enumerate(totals):
            threshold, bits = self.every(self.at(thresholds, i)), ir.Constant(WORD, 0)
            for v, total in enumerate(line):
                score = build.fadd(build.fmul(total, times[v]), plus[v])
                lanes = build.bitcast(build.fcmp_ordered(">", score, threshold), ir.IntType(LANES))
                bits = build.or_(bits, build.shl(build.zext(lanes, WORD), ir.Constant(WORD, v * LANES)))
            build.store(bits, self.at(above, i))
            some = build.or_(some, bits)
        return some


def _cells(*grids: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [cells for lines in zip(*grids, strict=True) for cells in zip(*lines, strict=True)]
