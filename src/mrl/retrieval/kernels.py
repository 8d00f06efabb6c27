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

from mrl.retrieval.encodings import CHUNK

SUMS = {"reassoc", "contract", "nsz"}  # what products may do to the order of a sum; NaN and Inf stay meaningful

_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


def _half(typing: Any, bits: Any) -> Any:
    """The float32 value of 16 bits of a float16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = builder.bitcast(arguments[0], llvmlite.ir.HalfType())
        return builder.fpext(half, llvmlite.ir.FloatType())

    return numba.float32(numba.uint16), generate


half: Any = intrinsic(_half)


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
    width = query.size
    stepped = np.empty(width, np.float32)
    for chunk in range(start // CHUNK, (stop + CHUNK - 1) // CHUNK):
        base = np.float32(0)
        for j in range(width):
            base += scales[chunk, 0, j] * query[j]
            stepped[j] = scales[chunk, 1, j] * query[j]
        for i in range(max(start, chunk * CHUNK), min(stop, (chunk + 1) * CHUNK)):
            total = np.float32(0)
            for j in range(width):
                total += np.float32(codes[i, j]) * stepped[j]
            raw[i] += total + base


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
        for c in range(positions.shape[1]):
            i = positions[q, c] - first
            if 0 <= i < rows:
                total = np.float32(0)
                for j in range(width):
                    total += half(codes[i, j]) * query[j]
                raw[q, c] += total


@_summing
def extend_int8(codes: Any, scales: Any, queries: Any, positions: Any, first: int, raw: Any) -> None:
    """The same for int8 codes with offsets and steps."""
    rows, width = codes.shape[0], queries.shape[1]
    for q in range(positions.shape[0]):
        query = queries[q]
        for c in range(positions.shape[1]):
            i = positions[q, c] - first
            if 0 <= i < rows:
                offset, step = scales[i // CHUNK, 0], scales[i // CHUNK, 1]
                total = np.float32(0)
                for j in range(width):
                    total += (offset[j] + step[j] * np.float32(codes[i, j])) * query[j]
                raw[q, c] += total


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


SCAN = {"float32": scan_float32, "float16": scan_float16, "int8": scan_int8, "1bit": scan_1bit}
EXTEND = {"float32": extend_float32, "float16": extend_float16, "int8": extend_int8, "1bit": extend_1bit}
