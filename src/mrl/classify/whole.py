"""What every level says of every row, as its cascade would hear it, and what the full width says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Cascade
from mrl.classify.keeping import kept_signals
from mrl.classify.signals import TILE_BYTES, Signals, signals


def every_level(cascade: Cascade, vectors: npt.NDArray[Any], temperatures: Sequence[float] = ()) -> Signals:
    """(n, d) -> what each level answers where a row gets that far, of what the first one kept. temperatures: default
    the cascade's."""
    levels, heat = cascade.levels, temperatures or cascade.temperatures
    if cascade.keep is not None and cascade.keep < levels.prototypes:
        return kept_signals(levels, vectors, heat, cascade.keep)
    return signals(levels, vectors, heat)


def full_answers(cascade: Cascade, vectors: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(n, d) -> (n,): what the full width answers, of all classes, a tile of rows at a time."""
    levels, last = cascade.levels, len(cascade.dims) - 1
    step = max(1, TILE_BYTES // (4 * levels.prototypes))
    starts = range(0, len(vectors), step)
    return np.concatenate([levels.logits(vectors[start : start + step], last).argmax(1) for start in starts])
