"""The compiled products of queries with stored segments, in every encoding.

Rows are addressed by their position in the whole index, a block by `first`, the position of its first row. `raw` is the
product of query and row over the segments read so far, which these add to.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir
import numba
import numpy as np
from numba.extending import intrinsic

from mrl.retrieval.addresses import fetch
from mrl.retrieval.encodings import CHUNK

AHEAD = 4  # rows that are asked for before they are needed
SUMS = {"reassoc", "contract", "nsz"}  # what products may do to the order of a sum; NaN and Inf stay meaningful

_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


def _half(typing: Any, bits: Any) -> Any:
    """The float32 value of 16 bits of a float16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = builder.bitcast(arguments[0], llvmlite.ir.HalfType())
        return builder.fpext(half, llvmlite.ir.FloatType())

    return numba.float32(numba.uint16), generate


half: Any = intrinsic(_half)


# ------------------------------------------------------------------------------- what these share


@_summing
def folded(scales: Any, chunk: int, query: Any, stepped: Any) -> Any:
    """step · query into `stepped` (w,), and offset · query: so what a row adds is a product with its codes alone."""
    base = np.float32(0)
    for j in range(query.size):
        base += scales[chunk, 0, j] * query[j]
        stepped[j] = scales[chunk, 1, j] * query[j]
    return base


@_summing
def products8(codes: Any, stepped: Any) -> Any:
    """Σ code · stepped of int8 codes (w,)."""
    total = np.float32(0)
    for j in range(stepped.size):
        total += np.float32(codes[j]) * stepped[j]
    return total


@_summing
def products12(record: Any, stepped: Any) -> Any:
    """The same of a record of 12-bit codes: two coordinates at a time, whose low bits share a byte.

    Numba would widen whole numbers to 64 bits, of which a vector holds few: hence every int16.
    """
    width = stepped.size
    pairs, middle = width // 2, (width + 1) // 2
    left, right, low = record[:middle], record[middle:width], record[width:]
    with_left, with_right = stepped[:middle], stepped[middle:]
    total = np.float32(0)
    for j in range(pairs):
        both = np.int16(np.uint8(low[j]))
        one = np.int16(np.int16(np.int16(left[j]) * np.int16(16)) + np.int16(both & np.int16(15)))
        other = np.int16(np.int16(np.int16(right[j]) * np.int16(16)) + np.int16(both >> np.int16(4)))
        total += np.float32(one) * with_left[j]
        total += np.float32(other) * with_right[j]
    if pairs < middle:
        total += np.float32(np.int16(left[pairs]) * 16 + (low[pairs] & 15)) * with_left[pairs]
    return total


@_summing
def _by_chunk(positions: Any, first: int, rows: int, order: Any) -> Any:
    """Which of the positions (m,) lie in a block, chunk by chunk, into `order` (m,); how many do."""
    ends = np.zeros(rows // CHUNK + 2, np.int64)
    for c in range(positions.size):
        if 0 <= positions[c] - first < rows:
            ends[(positions[c] - first) // CHUNK + 1] += 1
    for chunk in range(1, ends.size):
        ends[chunk] += ends[chunk - 1]
    count = ends[-1]
    for c in range(positions.size):
        if 0 <= positions[c] - first < rows:
            chunk = (positions[c] - first) // CHUNK
            order[ends[chunk]] = c
            ends[chunk] += 1
    return count


@_summing
def _fetch(codes: Any, i: int) -> None:
    """Ask for row i, if there is one, before it is needed: rows far apart are waited for one by one otherwise."""
    if 0 <= i < codes.shape[0]:
        size = codes.shape[1] * codes.itemsize
        start = np.uint64(codes.ctypes.data) + np.uint64(i * size)
        for byte in range(0, size, 64):
            fetch(start + np.uint64(byte))


# ------------------------------------------------------------------------------- products of all rows of a block


@_summing
def scan_float32(codes: Any, scales: Any, query: Any, start: int, stop: int, raw: Any) -> None:
    """raw (n,) += codes (n, w) · query (w,), for rows start to stop."""
    width = query.size
    for i in range(start, stop):
        total = np.float32(0)
        for j in range(width):
            total += codes[i, j] * query[j]
        raw[i] += total


@_summing
def scan_float16(codes: Any, scales: Any, query: Any, start: int, stop: int, raw: Any) -> None:
    """The same for codes (n, w) uint16, the bits of float16."""
    width = query.size
    for i in range(start, stop):
        total = np.float32(0)
        for j in range(width):
            total += half(codes[i, j]) * query[j]
        raw[i] += total


@_summing
def scan_int8(codes: Any, scales: Any, query: Any, start: int, stop: int, raw: Any) -> None:
    """The same for codes (n, w) int8 with scales (chunks, 2, w): offset · query + Σ (step · query) · code."""
    stepped = np.empty(query.size, np.float32)
    for chunk in range(start // CHUNK, (stop + CHUNK - 1) // CHUNK):
        base = folded(scales, chunk, query, stepped)
        for i in range(max(start, chunk * CHUNK), min(stop, (chunk + 1) * CHUNK)):
            raw[i] += products8(codes[i], stepped) + base


@_summing
def scan_int12(codes: Any, scales: Any, query: Any, start: int, stop: int, raw: Any) -> None:
    """The same for records of 12-bit codes (n, ⌈3 w / 2⌉) int8."""
    stepped = np.empty(query.size, np.float32)
    for chunk in range(start // CHUNK, (stop + CHUNK - 1) // CHUNK):
        base = folded(scales, chunk, query, stepped)
        for i in range(max(start, chunk * CHUNK), min(stop, (chunk + 1) * CHUNK)):
            raw[i] += products12(codes[i], stepped) + base


@_summing
def scan_1bit(codes: Any, scales: Any, query: Any, start: int, stop: int, raw: Any) -> None:
    """The same for bits (n, ⌈w / 8⌉): the products of 8 bits come from a table of their 256 sums."""
    width, groups = query.size, codes.shape[1]
    sums = np.zeros((groups, 256), np.float32)
    for chunk in range(start // CHUNK, (stop + CHUNK - 1) // CHUNK):
        base = np.float32(0)
        for j in range(width):
            base += scales[chunk, 0, j] * query[j]
            bit = 1 << (j % 8)
            step = scales[chunk, 1, j] * query[j]
            for low in range(bit):
                sums[j // 8, bit + low] = sums[j // 8, low] + step
        for i in range(max(start, chunk * CHUNK), min(stop, (chunk + 1) * CHUNK)):
            total = base
            for group in range(groups):
                total += sums[group, codes[i, group]]
            raw[i] += total


# ------------------------------------------------------------------------------- products of chosen rows


@_summing
def extend_float32(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """raw (q, m) += products of queries (q, w) with those rows positions (q, m) that lie in this block."""
    rows, width = codes.shape[0], queries.shape[1]
    for q in range(positions.shape[0]):
        query = queries[q]
        for c in range(positions.shape[1]):
            i = positions[q, c] - first
            if 0 <= i < rows:
                total = np.float32(0)
                for j in range(width):
                    total += codes[i, j] * query[j]
                raw[q, c] += total


@_summing
def extend_float16(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """The same for the bits of float16."""
    rows, width = codes.shape[0], queries.shape[1]
    for q in range(positions.shape[0]):
        query = queries[q]
        for c in range(-AHEAD, positions.shape[1]):
            if c + AHEAD < positions.shape[1]:
                _fetch(codes, positions[q, c + AHEAD] - first)
            i = positions[q, c] - first if c >= 0 else -1
            if 0 <= i < rows:
                total = np.float32(0)
                for j in range(width):
                    total += half(codes[i, j]) * query[j]
                raw[q, c] += total


@_summing
def extend_int8(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """The same for int8 codes with offsets and steps."""
    stepped, order = np.empty(queries.shape[1], np.float32), np.empty(positions.shape[1], np.int64)
    for q in range(positions.shape[0]):
        chunk, base, count = -1, np.float32(0), _by_chunk(positions[q], first, codes.shape[0], order)
        for at in range(-AHEAD, count):
            if at + AHEAD < count:
                _fetch(codes, positions[q, order[at + AHEAD]] - first)
            if at >= 0:
                i = positions[q, order[at]] - first
                if i // CHUNK != chunk:
                    chunk = i // CHUNK
                    base = folded(scales, chunk, queries[q], stepped)
                raw[q, order[at]] += products8(codes[i], stepped) + base


@_summing
def extend_int12(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """The same for records of 12-bit codes."""
    stepped, order = np.empty(queries.shape[1], np.float32), np.empty(positions.shape[1], np.int64)
    for q in range(positions.shape[0]):
        chunk, base, count = -1, np.float32(0), _by_chunk(positions[q], first, codes.shape[0], order)
        for at in range(-AHEAD, count):
            if at + AHEAD < count:
                _fetch(codes, positions[q, order[at + AHEAD]] - first)
            if at >= 0:
                i = positions[q, order[at]] - first
                if i // CHUNK != chunk:
                    chunk = i // CHUNK
                    base = folded(scales, chunk, queries[q], stepped)
                raw[q, order[at]] += products12(codes[i], stepped) + base


@_summing
def extend_1bit(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """The same for bits."""
    rows, width = codes.shape[0], queries.shape[1]
    for q in range(positions.shape[0]):
        query = queries[q]
        for c in range(positions.shape[1]):
            i = positions[q, c] - first
            if 0 <= i < rows:
                offset, step = scales[i // CHUNK, 0], scales[i // CHUNK, 1]
                total = np.float32(0)
                for j in range(width):
                    bit = np.float32((codes[i, j >> 3] >> (j & 7)) & 1)
                    total += (offset[j] + step[j] * bit) * query[j]
                raw[q, c] += total


SCAN = {
    "float32": scan_float32,
    "float16": scan_float16,
    "int12": scan_int12,
    "int8": scan_int8,
    "1bit": scan_1bit,
}
EXTEND = {
    "float32": extend_float32,
    "float16": extend_float16,
    "int12": extend_int12,
    "int8": extend_int8,
    "1bit": extend_1bit,
}
