"""Signals of a cascade that keeps only the best prototypes, or classes, of its first level: the slow way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Levels
from mrl.classify.shortlisting import best
from mrl.classify.signals import TILE_BYTES, Signals, of_logits

NEVER = np.float32(-1e30)  # the logit of what was not kept: finite, so that 0 · logit is 0


def kept_signals(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float], keep: int) -> Signals:
    """As `signals`, with probabilities over what the first level keeps."""
    step = max(1, TILE_BYTES // (8 * levels.prototypes))
    tiles = [_tile(levels, vectors[start : start + step], temperatures, keep) for start in range(0, len(vectors), step)]
    return Signals(*(np.concatenate(part, axis=1) for part in zip(*tiles, strict=True)))


def _tile(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float], keep: int) -> Signals:
    kept = np.zeros((len(vectors), levels.prototypes), bool)
    np.put_along_axis(kept, best(levels, vectors, keep)[0], True, axis=1)
    told = [
        of_logits(levels.by_class(np.where(kept, _scores(levels, vectors, level), NEVER)), temperature)
        for level, temperature in enumerate(temperatures)
    ]
    return Signals(*(np.stack(part) for part in zip(*told, strict=True)))


def _scores(levels: Levels, vectors: npt.NDArray[Any], level: int) -> Floats:
    """(n, prototypes) at one level."""
    rows = np.ascontiguousarray(vectors[:, : levels.dims.dims[level]], np.float32)
    scores: Floats = (rows @ levels.weight(level).T) * levels.times[level] + levels.plus[level]
    own = levels.own(vectors)
    return scores if own is None else scores * own[level, :, None]
