"""How probable the answer of a row is by the scores at the level where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Labels, Levels, inverses

Doubles = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scale:
    """From sums over a prefix, with the factors of the full width, to the logits of that level.

    ratio: (S, p), the factors of a level by those of the full width; None: scores are logits already. own: (S, n).
    """

    levels: Levels
    ratio: Doubles | None
    own: Floats | None

    @classmethod
    def of(cls, levels: Levels, lengths: Doubles) -> Scale:
        """lengths: (n, S), of the rows' segments."""
        if not levels.tied or bool((levels.times == 1).all() and (levels.plus == levels.plus[-1]).all()):
            return cls(levels, None, None)
        times = levels.times.astype(np.float64)  # of a very short prefix, float32 does not hold the ratio
        ratio = np.divide(times, times[-1], out=np.zeros_like(times), where=times[-1] > 0)
        if not levels.rescaled:
            return cls(levels, ratio, None)
        whole = np.sqrt(np.cumsum(lengths**2, axis=1)).T
        return cls(levels, ratio, inverses(whole))

    def some(self, scores: Scores, at: Labels, these: Labels, slots: Labels) -> Scores:
        """(m, k) of the prototypes `slots` (m, k) of these rows, each at its own level."""
        if self.ratio is None:
            return scores
        plus, at = self.levels.plus, np.reshape(at, (-1, 1))
        scores = (scores - plus[-1][slots]) * self.ratio[at, slots] + plus[at, slots]
        return scores if self.own is None else scores * self.own[at, these[:, None]]

    def logits(self, scores: Scores, level: int, these: Labels) -> Scores:
        """(m, p) -> (m, classes)."""
        every = np.arange(self.levels.prototypes)[None]
        return self.levels.by_class(self.some(scores, np.array([level]), these, every))


def probabilities(logits: Scores, labels: Labels, temperature: float) -> Floats:
    """(m,): of one label each."""
    best = logits.max(1)
    weights = np.exp((logits - best[:, None]) / np.float32(temperature))
    found: Floats = (weights[np.arange(len(labels)), labels] / weights.sum(1)).astype(np.float32)
    return found


def others(logits: Scores, owners: Labels, first: Mask, temperature: float) -> Doubles:
    """(m,): the probability of all classes (m, classes) but some, (m, k) where `first`."""
    weights = np.exp((logits - logits.max(1, keepdims=True)) / np.float32(temperature)).astype(np.float64)
    total = weights.sum(1)
    mine, column = np.nonzero(first)
    weights[mine, owners[mine, column]] = 0
    found: Doubles = weights.sum(1) / total
    return found


def firsts(owners: Labels, valid: Mask) -> Mask:
    """(m, k): whether a slot is the first of its class, slots being in order of classes."""
    first = valid.copy()
    first[:, 1:] &= owners[:, 1:] != owners[:, :-1]
    return first


def among(scaled: Doubles, owners: Labels, first: Mask, labels: Labels, rest: Doubles) -> Floats:
    """(m,) probability of labels: (1 − rest) times that among slots with logits / T (m, k), −∞ where there is none."""
    best = scaled if first[scaled > -np.inf].all() else _bests(scaled, first)
    own = np.where(owners == labels[:, None], scaled, -np.inf).max(1)
    most = best.max(1)
    total = np.exp(best - most[:, None]).sum(1)
    found: Floats = ((1 - rest) * np.exp(own - most) / total).astype(np.float32)
    return found


def _bests(scaled: Doubles, first: Mask) -> Doubles:
    """(m, k): the best of each class, those of a row in front and −∞ behind them."""
    groups = np.maximum(np.cumsum(first, axis=1) - 1, 0)
    best = np.full(scaled.shape, -np.inf)
    np.maximum.at(best, (np.arange(len(best))[:, None], groups), scaled)
    return best
