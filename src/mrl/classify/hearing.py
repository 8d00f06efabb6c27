"""What a fit and a measurement hear of rows, from one pass over their products: every level, and the full width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Labels, Levels
from mrl.classify.shortlisting import best
from mrl.classify.signals import NEVER, TILE_BYTES, Signals, check_rows, of_logits

Doubles = npt.NDArray[np.float64]


class Heard(NamedTuple):
    """told: what each level says where a row gets that far, of what the first one kept. every: (levels, n), the answer
    of each level among all classes. cold: (levels, n), its probability at temperature 1. believed: (levels, n) the
    calibrated probability that the full width, with all classes, gives to what each level answers; trusted: (n,) to
    its own answer."""

    told: Signals
    every: Labels
    cold: Floats
    believed: Doubles
    trusted: Doubles


def heard(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float], keep: int | None = None) -> Heard:
    """(n, d), a tile of rows at a time. keep: how many prototypes, or classes, go on from the first level."""
    check_rows(vectors, levels.dims.width, levels.limit)
    keep = None if keep is None or keep >= levels.prototypes else keep
    step = max(1, TILE_BYTES // (4 * levels.prototypes))
    tiles = [_tile(levels, vectors[start : start + step], temperatures, keep) for start in range(0, len(vectors), step)]
    told = Signals(*(np.concatenate(part, axis=1) for part in zip(*(tile.told for tile in tiles), strict=True)))
    rest: list[npt.NDArray[Any]] = [np.concatenate(part, -1) for part in zip(*(t[1:] for t in tiles), strict=True)]
    return Heard(told, *rest)


def _tile(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float], keep: int | None) -> Heard:
    kept = None if keep is None else np.sort(best(levels, vectors, keep)[0], axis=1)
    told, plain = [], []
    for scores, temperature in zip(levels.every(vectors), temperatures, strict=True):
        logits = levels.by_class(scores)
        plain.append(of_logits(logits, 1.0))
        if kept is not None:
            told.append(_of_kept(levels, scores, kept, temperature))
        else:
            told.append(plain[-1] if temperature == 1 else of_logits(logits, temperature))
    found = Signals(*(np.stack(part) for part in zip(*told, strict=True)))
    every, cold = np.stack([each[0] for each in plain]), np.stack([each[1] for each in plain])
    weights = np.exp((logits - logits.max(1, keepdims=True)) / np.float32(temperatures[-1]))
    total = weights.sum(1, dtype=np.float64)
    believed = np.take_along_axis(weights, found.labels.T, axis=1).T / total
    return Heard(found, every, cold, believed, weights.max(1) / total)


def _of_kept(levels: Levels, scores: Floats, kept: Labels, temperature: float) -> tuple[Any, ...]:
    """As `of_logits`, of the prototypes `kept` (n, keep), in order, among scores (n, p)."""
    some, names = np.take_along_axis(scores, kept, axis=1), kept
    if levels.starts is not None:
        owners = levels.owner()[kept]
        places = np.cumsum(np.diff(owners, axis=1, prepend=owners[:, :1]) > 0, axis=1)  # of each one's class
        row, logits = np.arange(len(kept))[:, None], np.full(kept.shape, NEVER)
        np.maximum.at(logits, (row, places), some)
        names = np.zeros(kept.shape, np.int64)
        names[row, places], some = owners, logits
    answer, *said = of_logits(some, temperature, levels.count)
    return names[np.arange(len(names)), answer], *said
