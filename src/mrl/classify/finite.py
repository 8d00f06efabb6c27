"""Which rows have a NaN or an Inf, or are too large, as fast as memory is read."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

TILE = 1 << 20  # values looked at together in NumPy
LEAST = 1 << 20  # values below which a thread costs more than it saves


def sums(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(n, d) floats, in memory or mapped -> (n,) Σ|x_i|; a NaN or an Inf where there is one in the row."""
    found, rows, compiled = np.zeros(len(vectors)), np.asarray(vectors), _compiled()

    def some(start: int, stop: int) -> None:
        if compiled and rows.dtype in (np.float32, np.float64):
            compiled.sums(rows[start:stop], found[start:stop])
            return
        step = max(1, TILE // max(rows.shape[1], 1))
        for at in range(start, stop, step):
            part = slice(at, min(at + step, stop))
            found[part] = np.abs(rows[part]).sum(1, dtype=np.float64)

    if compiled:
        from mrl.retrieval.threads import each

        each(some, len(rows), max(1, LEAST // max(rows.shape[1], 1)))
    else:
        some(0, len(rows))
    return found


@cache
def _compiled() -> ModuleType | None:
    try:
        from mrl.classify import compiled
    except ImportError:
        return None
    return compiled
