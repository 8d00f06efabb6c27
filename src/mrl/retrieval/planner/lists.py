"""The best k of every prefix of a list of proposals, in one walk along the list.

A re-rank of the first 20 proposals and one of the first 50 score the same 20 rows. So a list is scored once, and each
`keep` is a place on the way.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_compiled = numba.njit(nogil=True, cache=True)


def best(
    positions: npt.NDArray[np.int64],
    first: npt.NDArray[np.float32],
    last: npt.NDArray[np.float32],
    keeps: tuple[int, ...],
    middle: int,
    k: int,
) -> npt.NDArray[np.int64]:
    """(len(keeps), q, k) positions, best first, −1 where there are fewer: of the first `keep` proposals the best
    `middle` by the scores `first`, of these the best k by the scores `last`.

    positions: (q, m) proposals, −1 for none. first, last: (q, m) their scores; a re-rank in one stage has them equal,
    and middle = k. keeps: ascending.
    """
    found = np.full((len(keeps), len(positions), k), -1, np.int64)
    _walk(positions, first, last, np.array(keeps), middle, found)
    return found


@_compiled
def _walk(positions: Any, first: Any, last: Any, keeps: Any, middle: int, found: Any) -> None:
    k = found.shape[2]
    top, short = np.empty(middle, np.int64), np.empty(k, np.int64)
    for q in range(positions.shape[0]):
        filled, at = 0, 0
        for c in range(positions.shape[1] + 1):
            while at < keeps.size and (keeps[at] == c or c == positions.shape[1]):
                count = 0
                for t in range(filled):
                    count = _insert(short, count, top[t], last[q], positions[q])
                for t in range(count):
                    found[at, q, t] = positions[q, short[t]]
                at += 1
            if c < positions.shape[1] and positions[q, c] >= 0:
                filled = _insert(top, filled, c, first[q], positions[q])


@_compiled
def _insert(top: Any, filled: int, c: int, scores: Any, positions: Any) -> Any:
    """Put place c among the best, which stand in order; equal scores by position. How many there are then."""
    at = filled
    while at > 0 and (
        scores[top[at - 1]] < scores[c] or (scores[top[at - 1]] == scores[c] and positions[top[at - 1]] > positions[c])
    ):
        if at < top.size:
            top[at] = top[at - 1]
        at -= 1
    if at < top.size:
        top[at] = c
    return min(filled + 1, top.size)
