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

from mrl.classify.finite import sums
from mrl.classify.levels import Floats, Labels, Levels
from mrl.errors import InputError

Doubles = npt.NDArray[np.float64]

Score = Literal["probability", "margin", "entropy", "agreement", "gain"]
SCORES: tuple[Score, ...] = get_args(Score)
TILE_BYTES = 32 << 20  # of logits at a time
FEATURES = 8  # what `gain` is linear in
LEAST = np.float32(-87)  # e^−87 is the smallest that float32 holds in full
NEVER = np.float32(-np.inf)  # the logit of what cannot be the answer: its weight is e^−87
MOST = float(np.finfo(np.float32).max)


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
            levels = [expected_gain(self.features(level), c) for level, c in enumerate(gain)]
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


def expected_gain(told: Floats, coefficients: npt.ArrayLike) -> Floats:
    """(n,): the score `gain` of features (n, 8)."""
    return (1 - told.astype(np.float64) @ np.asarray(coefficients, np.float64)).astype(np.float32)


def features(p: Floats, m: Floats, e: Floats, same: npt.NDArray[np.bool_]) -> Floats:
    """(n,) each to (n, 8), what `gain` is linear in: 1, probability, margin, entropy, the root and the square of the
    margin, and where the level before has the same answer, the probability and 1."""
    return np.stack([np.ones_like(p), p, m, e, np.sqrt(np.maximum(m, 0)), m * m, same * p, same], axis=1).astype(
        np.float32
    )


def signals(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float]) -> Signals:
    """Every level of every row, (n, d), a tile of rows at a time; where one w serves all levels, no dim is multiplied
    twice."""
    check_rows(vectors, levels.dims.width, levels.limit)
    step = max(1, TILE_BYTES // (4 * levels.prototypes))
    parts = [_tile(levels, vectors[start : start + step], temperatures) for start in range(0, len(vectors), step)]
    return Signals(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _tile(levels: Levels, vectors: npt.NDArray[Any], temperatures: Sequence[float]) -> Signals:
    every = zip(levels.every(vectors), temperatures, strict=True)
    told = [of_logits(levels.by_class(scores), t) for scores, t in every]
    return Signals(*(np.stack(part) for part in zip(*told, strict=True)))


def of_logits(logits: Floats, temperature: float, choices: int = 0) -> tuple[Labels, Floats, Floats, Floats]:
    """Answer, probability, margin and entropy of logits (n, classes). choices: among how many classes, default these.

    The best has the weight 1, and the others are summed without it: next to 1 they would lose their last digits.
    """
    rest, second, inner, answer = _others(logits, temperature)
    entropy = np.log1p(rest) - inner / (1 + rest)
    sure = np.clip(1 - entropy / np.log(max(choices or logits.shape[1], 2)), 0, 1)
    told = 1 / (1 + rest), (1 - second) / (1 + rest), sure
    return answer, *(each.astype(np.float32) for each in told)  # type: ignore[return-value]


def _others(logits: Floats, temperature: float) -> tuple[Doubles, Doubles, Doubles, Labels]:
    """Of the weights e^((logit − the best) / T) of all but the best: their sum, the largest, and Σ weight · log weight,
    and which is the best; (n,) each."""
    answer = logits.argmax(1)
    place = answer[:, None]
    with np.errstate(over="ignore"):  # what float32 cannot hold of that is below −87 too
        scaled = np.maximum((logits - np.take_along_axis(logits, place, 1)) / np.float32(temperature), LEAST)
    weights = np.exp(scaled)
    np.put_along_axis(weights, place, 0, axis=1)
    found = weights.sum(1), weights.max(1), np.einsum("nc,nc->n", weights, scaled)
    return *(each.astype(np.float64) for each in found), answer


def check_rows(vectors: npt.NDArray[Any], width: int, limit: float | None = None) -> None:
    """InputError for what is no float matrix of at least one row and `width` dims, and for rows that are not finite or
    too large. limit: of Σ|x_i|, see `Levels.limit`; None: each number alone must be one that float32 holds."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not len(vectors) or vectors.shape[1] < width:
        raise InputError(
            f"vectors to classify must be a float matrix (n, {width}) of at least one row, got {vectors.dtype} of "
            f"shape {vectors.shape}; embed something, or convert them"
        )
    bad = np.flatnonzero(~(sums(vectors) <= (MOST if limit is None else limit)))
    if not len(bad):
        return
    largest = np.array([np.abs(vectors[row]).max() for row in bad])  # one by one: they may be in a file
    broken = bad[~np.isfinite(largest)]
    if len(broken):
        raise InputError(f"row {broken[0]} has a NaN or an Inf ({len(broken)} such rows); leave these out")
    bad = bad if limit is not None else bad[largest > MOST]
    if len(bad):
        raise InputError(
            f"the scores of row {bad[0]} may be beyond what float32 holds ({len(bad)} such rows, with numbers up to "
            f"{float(largest.max()):.1e}); rescale the vectors, or leave these out"
        )
