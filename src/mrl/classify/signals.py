"""Signals: what every level says of every row, nobody left out; what cascades are fitted and measured on.

At level l the calibrated probabilities of a row are softmax(logits / T_l). From them come five scores, larger where it
is better to stop; all but the last lie in [0, 1]:

    probability   the largest
    margin        the largest less the second
    entropy       1 − H / log K, with H their entropy over K classes
    agreement     the largest, where the level before has the same answer; else 0
    gain          1 less the accuracy that the full width is expected to gain over this level, ⟨coefficients, features⟩
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from mrl.classify.finite import not_finite
from mrl.classify.levels import Floats, Labels, Levels
from mrl.errors import InputError

Score = Literal["probability", "margin", "entropy", "agreement", "gain"]
SCORES: tuple[Score, ...] = get_args(Score)
TILE_BYTES = 32 << 20  # of logits at a time


class Signals(NamedTuple):
    """labels: (levels, n) int64, the answer of each level. probability, margin, entropy: (levels, n) float32."""

    labels: Labels
    probability: Floats
    margin: Floats
    entropy: Floats

    def score(self, name: Score, gain: Sequence[Sequence[float]] = ()) -> Floats:
        """(levels, n); see above. gain: (levels − 1) of coefficients; the last level has the score 1."""
        if name == "agreement":
            return np.where(self.same, self.probability, np.float32(0))
        if name == "gain":
            levels = [1 - self.features(level) @ np.array(c, np.float32) for level, c in enumerate(gain)]
            return np.stack([*levels, np.ones_like(self.probability[0])])
        found: Floats = getattr(self, name)
        return found

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """(levels, n): whether the level before has the same answer; False at the first."""
        same = np.zeros(self.labels.shape, bool)
        same[1:] = self.labels[1:] == self.labels[:-1]
        return same

    def features(self, level: int) -> Floats:
        """(n, 8) of one level; see `features`."""
        return features(self.probability[level], self.margin[level], self.entropy[level], self.same[level])

    def only(self, rows: npt.NDArray[Any]) -> Signals:
        """Those of some rows."""
        return self._each(lambda part: part[:, rows])

    def at(self, levels: Sequence[int]) -> Signals:
        """Those of some levels."""
        return self._each(lambda part: part[list(levels)])

    def _each(self, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Signals:
        return Signals(change(self.labels), change(self.probability), change(self.margin), change(self.entropy))


def features(p: Floats, m: Floats, e: Floats, same: npt.NDArray[np.bool_]) -> Floats:
    """(n,) each to (n, 8), what `gain` is linear in: 1, probability, margin, entropy, the root and the square of the
    margin, and where the level before has the same answer, the probability and 1."""
    return np.stack([np.ones_like(p), p, m, e, np.sqrt(np.maximum(m, 0)), m * m, same * p, same], axis=1).astype(
        np.float32
    )


def signals(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float]) -> Signals:
    """Every level of every row, (n, d), a tile of rows at a time."""
    check_rows(vectors, levels.dims.width)
    step = max(1, TILE_BYTES // (4 * levels.prototypes))
    parts = [_tile(levels, vectors[start : start + step], temperatures) for start in range(0, len(vectors), step)]
    return Signals(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _tile(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float]) -> Signals:
    told = [of_logits(levels.logits(vectors, level), t) for level, t in enumerate(temperatures)]
    return Signals(*(np.stack(part) for part in zip(*told, strict=True)))


def of_logits(logits: Floats, temperature: float) -> tuple[Labels, Floats, Floats, Floats]:
    """Answer, probability, margin and entropy of logits (n, classes)."""
    scaled = (logits - logits.max(1, keepdims=True)) / np.float32(temperature)
    weights = np.exp(scaled)
    total = weights.sum(1)
    answer = logits.argmax(1)
    second = np.partition(weights, -2, axis=1)[:, -2] if logits.shape[1] > 1 else np.zeros_like(total)
    spread = np.log(total) - np.einsum("nc,nc->n", weights, scaled) / total
    sure = 1 - spread / np.log(max(logits.shape[1], 2))
    return answer, 1 / total, (1 - second) / total, np.clip(sure, 0, 1)


def check_rows(vectors: npt.NDArray[Any], width: int) -> None:
    """InputError for what is no float matrix of at least one row and `width` dims, and for rows that are not finite."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not len(vectors) or vectors.shape[1] < width:
        raise InputError(
            f"vectors to classify must be a float matrix (n, {width}) of at least one row, got {vectors.dtype} of "
            f"shape {vectors.shape}; embed something, or convert them"
        )
    bad = np.flatnonzero(not_finite(vectors))
    if len(bad):
        raise InputError(f"row {bad[0]} has a NaN or an Inf ({len(bad)} such rows); leave these out")
