"""What the full width says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Cascade
from mrl.classify.signals import TILE_BYTES


def full_answers(cascade: Cascade, vectors: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(n, d) -> (n,): what the full width answers, of all classes, a tile of rows at a time."""
    levels, last = cascade.levels, len(cascade.dims) - 1
    step = max(1, TILE_BYTES // (4 * levels.prototypes))
    starts = range(0, len(vectors), step)
    return np.concatenate([levels.logits(vectors[start : start + step], last).argmax(1) for start in starts])
