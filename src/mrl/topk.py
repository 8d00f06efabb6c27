"""The compiled half of the kernel: merge a tile of scores into the best k of each query. Needs Numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

BLOCK = 128  # scores looked at together: one comparison settles most blocks once the best k have settled


def threads() -> int:
    """How many threads Numba may use: NUMBA_NUM_THREADS, else the processors that this process may run on."""
    return int(numba.get_num_threads())


@numba.njit(nogil=True, cache=True)
def keep(raw: Any, times: Any, plus: Any, first: int, scores: Any, positions: Any) -> None:
    """Merge raw (q, n) · times (n,) + plus (n,) into scores, positions (q, k), sorted best first.

    `first` is the position of column 0. Columns come in order and only a larger score displaces, so of equal ones the
    earlier stay.
    """
    k = scores.shape[1]
    for q in range(raw.shape[0]):
        worst = scores[q, k - 1]
        for start in range(0, raw.shape[1], BLOCK):
            stop = min(start + BLOCK, raw.shape[1])
            if not _any_above(raw[q, start:stop], times[start:stop], plus[start:stop], worst):
                continue
            for j in range(start, stop):
                score = raw[q, j] * times[j] + plus[j]
                if score > worst:
                    _insert(scores[q], positions[q], score, first + j)
                    worst = scores[q, k - 1]


@numba.njit(nogil=True, cache=True)
def _any_above(raw: Any, times: Any, plus: Any, worst: float) -> bool:
    """Whether any score is larger than the worst kept; an `or` over integers, which compiles to vector code."""
    above = np.int32(0)
    for j in range(raw.size):
        above |= np.int32(raw[j] * times[j] + plus[j] > worst)
    return bool(above != 0)


@numba.njit(nogil=True, cache=True)
def _insert(scores: Any, positions: Any, score: float, position: int) -> None:
    """Put a score into a descending list, behind its equals; the last one drops out."""
    low, high = 0, len(scores)
    while low < high:
        middle = (low + high) // 2
        if scores[middle] >= score:
            low = middle + 1
        else:
            high = middle
    for i in range(len(scores) - 1, low, -1):
        scores[i] = scores[i - 1]
        positions[i] = positions[i - 1]
    scores[low] = score
    positions[low] = position
