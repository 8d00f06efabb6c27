"""Distances of a graph's rows from a query, in every code that FAISS keeps them in; smaller is nearer."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from mrl.retrieval.addresses import carray, floats, halves, octets
from mrl.retrieval.kernels import SUMS, half
from mrl.retrieval.walking_views import CODES, FLOAT16, INT8, KIND, SQUARED

FAR = 1 << 40  # rows: more than there are

_compiled = numba.njit(nogil=True, cache=True)
_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


@_summing
def _dots(head: Any, query: Any, rows: Any, distances: Any) -> None:
    """distances (m,) of rows (m,): the product with the query, negative."""
    kind, width = head[KIND], query.size
    codes, bits = carray(octets(head[CODES]), (FAR, width)), carray(halves(head[CODES]), (FAR, width))
    values = carray(floats(head[CODES]), (FAR, width))
    for c in range(rows.size):
        total, i = np.float32(0), rows[c]
        if kind == INT8:
            for j in range(width):
                total += np.float32(codes[i, j]) * query[j]
        elif kind == FLOAT16:
            for j in range(width):
                total += half(bits[i, j]) * query[j]
        else:
            for j in range(width):
                total += values[i, j] * query[j]
        distances[c] = -total


@_summing
def _squares(head: Any, steps: Any, query: Any, rows: Any, distances: Any) -> None:
    """distances (m,) of rows (m,): the squared distance from the query."""
    kind, width = head[KIND], query.size
    codes, bits = carray(octets(head[CODES]), (FAR, width)), carray(halves(head[CODES]), (FAR, width))
    values = carray(floats(head[CODES]), (FAR, width))
    for c in range(rows.size):
        total, i = np.float32(0), rows[c]
        if kind == INT8:
            for j in range(width):
                x = np.float32(codes[i, j]) * steps[j] - query[j]
                total += x * x
        elif kind == FLOAT16:
            for j in range(width):
                x = half(bits[i, j]) - query[j]
                total += x * x
        else:
            for j in range(width):
                x = values[i, j] - query[j]
                total += x * x
        distances[c] = total


@_compiled
def measure(head: Any, scales: Any, query: Any, rows: Any, distances: Any) -> None:
    """distances (m,) of rows (m,) from a query (dim,) that `fold` has made."""
    if head[SQUARED]:
        _squares(head, scales[1], query, rows, distances)
    else:
        _dots(head, query, rows, distances)


@_compiled
def fold(head: Any, scales: Any, query: Any, folded: Any) -> None:
    """The query (dim,) as `measure` wants it. Of (offset + step c) · query, what all rows share is left out."""
    if head[KIND] != INT8:
        folded[:] = query
    elif head[SQUARED]:
        folded[:] = query - scales[0]
    else:
        folded[:] = query * scales[1]
