"""The best many of very many: the sweep of `mrl.sweep` at one dim, for lists that are long. Needs Numba.

A list has room for twice as many as it keeps. What is above its threshold goes to the end; when it is full, the better
half is moved to the front, and the threshold is raised to the worst of these. A heap would touch the logarithm of its
length for each one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mrl.microkernel import NEAR_BYTES, QUERIES, ROWS, advance, lowest
from mrl.retrieval import ranking, threads
from mrl.sweep import QUERY_BYTES, ROW_BYTES, SHARES
from mrl.tapes import Floats, Tapes

Labels = npt.NDArray[np.int64]

_compiled = numba.njit(nogil=True, cache=True)


def longest(queries: npt.NDArray[Any], rows: Floats, dim: int, scale: Floats, keep: int) -> tuple[Labels, Floats]:
    """(positions, products) (q, keep) of the best rows of each query by the first dims; of equal ones the earlier.

    queries: (q, d). rows: (n, d). scale: (2, 1, n), score = product · scale[0] + scale[1]. keep: less than n.
    """
    ends, q = np.array([dim]), len(queries)
    lists = np.zeros((q, 2 * keep), np.uint64), np.empty((q, 2 * keep), np.float32), np.zeros(q, np.int64)
    open_to_all, nobody = np.full((1, 1, q), -np.inf, np.float32), np.array([np.inf], np.float32)
    nowhere = np.array([0, -np.inf], np.float32)  # what spare rows on the last tape are above
    left, right = Tapes(QUERIES, ends, 1, QUERY_BYTES, q), Tapes(ROWS, ends, 2, ROW_BYTES, len(rows))
    for start in range(0, q, left.step):
        own = left.lay(queries, start, open_to_all, nobody, _share)
        for first in range(0, len(rows), right.step):
            _meet(own, right.lay(rows, first, scale, nowhere, _share), dim, (start, first), lists)
    found = np.empty((q, keep), np.int64), np.empty((q, keep), np.float32), np.zeros((q, keep), np.float32)
    _share(lambda part: _ranked([each[part] for each in lists], keep, [each[part] for each in found]), q)
    return found[0], found[2]


def _ranked(lists: Any, keep: int, found: Any) -> None:
    ranking.ranked(lists[0], lists[1], lists[2], keep, found[0], found[1], found[2])


def _meet(left: Floats, right: Floats, dim: int, first: tuple[int, int], lists: Any) -> None:
    q, r = first
    _share(lambda part: sweep(left[part], right, dim, (q + part.start * QUERIES, r), *lists), len(left))


def _share(do: Callable[[slice], None], n: int) -> None:
    step = max(1, -(-n // (SHARES * threads.count())))
    threads.run(lambda a, b: do(slice(a, b)), [(start, min(start + step, n)) for start in range(0, n, step)])


@_compiled
def sweep(left: Any, right: Any, dim: int, first: Any, keys: Any, raws: Any, filled: Any) -> None:
    """Take all rows on the tapes `right` into the lists of the queries on the tapes `left`; as `microkernel.sweep`."""
    sums, above, value = np.empty((QUERIES, ROWS), np.float32), np.empty(QUERIES, np.int64), np.empty(1, np.float32)
    near, lists = max(1, NEAR_BYTES // (4 * left.shape[1])), (keys, raws, filled)
    for start in range(0, len(left), near):
        for r in range(len(right)):
            for q in range(start, min(start + near, len(left))):
                sums[:] = 0
                if advance(left, q * left.shape[1], right, r * right.shape[1], dim, sums, above):
                    ends = left[q, dim * QUERIES :], right[r, dim * ROWS :]
                    _take(sums, above, ends, (first[0] + q * QUERIES, first[1] + r * ROWS), value, lists)


@_compiled
def _take(sums: Any, above: Any, ends: Any, at: Any, value: Any, lists: Any) -> None:
    """Take in what is above its query's threshold. ends: thresholds, factors and summands, from the ends of the tapes.
    at: the first query and row. value: (1,), to see the bits of a float in."""
    (thresholds, scale), (keys, raws, filled), bits = ends, lists, value.view(np.uint32)
    keep = keys.shape[1] // 2
    for i in range(QUERIES):
        left, q = above[i], at[0] + i
        while left:
            j = lowest(left)
            left &= left - 1
            score = sums[i, j] * scale[j] + scale[ROWS + j]
            if score > thresholds[i]:
                value[0] = score + np.float32(0)  # −0 becomes 0
                keys[q, filled[q]], raws[q, filled[q]] = ranking._key(bits[0], at[1] + j), sums[i, j]
                filled[q] += 1
                if filled[q] == 2 * keep:
                    ranking._tidy(keys[q], raws[q], keep)
                    filled[q] = keep
                    worst = np.uint32(keys[q, keep - 1] >> np.uint64(32))
                    bits[0] = worst ^ np.uint32(0x80000000) if worst >> 31 else ~worst
                    thresholds[i] = value[0]
