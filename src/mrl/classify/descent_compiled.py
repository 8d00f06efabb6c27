"""Coordinate descent over thresholds as `descent` has it, compiled: five times as fast on a few thousand rows."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from mrl.classify.descent import LESS, NEAR

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def descended(scores: Any, order: Any, values: Any, thresholds: Any, sweeps: int) -> Any:
    """As `descent.descended`."""
    levels, n = values.shape
    for _ in range(sweeps):
        first = np.full(n, levels - 1)
        for level in range(levels - 2, -1, -1):
            for i in range(n):
                if scores[level, i] >= thresholds[level]:
                    first[i] = level
        onward = values[levels - 1].copy()  # what a row that goes on from a level will be worth
        changed = False
        for level in range(levels - 2, -1, -1):
            cut = _cut(scores[level], order[level], values[level], onward, first, level)
            changed |= cut != thresholds[level]
            thresholds[level] = cut
            for i in range(n):
                if scores[level, i] >= cut:
                    onward[i] = values[level, i]
        if not changed:
            break
    return thresholds


@_compiled
def _cut(scores: Any, order: Any, values: Any, onward: Any, first: Any, level: int) -> Any:
    """As `descent.cut`."""
    running, least, cut = 0.0, -LESS, np.float32(np.inf)
    for place in range(order.size):
        i = order[place]
        if first[i] >= level:
            running += values[i] - onward[i]
        last = place + 1 == order.size
        if running < least and (last or scores[i] - scores[order[place + 1]] > NEAR):
            below = scores[i] - 2 * NEAR if last else np.float64(scores[order[place + 1]])
            least, cut = running, np.float32(0.5 * (np.float64(scores[i]) + below))
    return cut
