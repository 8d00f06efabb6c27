"""Steps: which levels of a cascade are computed, over which dims, and when a row stops there.

A level where nobody can stop is left out, unless the level after it asks for its answer: a tied head then multiplies
the dims of both at once, and separate heads none of its own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import looked
from mrl.classify.levels import Floats, Labels
from mrl.classify.signals import FEATURES, SCORES

if TYPE_CHECKING:
    from mrl.classify.cascade import Cascade

PROBABILITY, MARGIN, ENTROPY, AGREEMENT, GAIN = range(len(SCORES))


class Scale(NamedTuple):
    """score = product · times + plus, both (p,). starts: (classes,), the first prototype of each class, or (0,) where
    prototypes are the classes."""

    times: Floats
    plus: Floats
    starts: Labels


class When(NamedTuple):
    """When a row stops. rule: by its number. threshold: ∞, nobody does; −∞, everybody. inverse: 1 / temperature.
    choices: among how many classes, the measure of the entropy. continues: products are added to those of the step
    before. more: and are kept for the one after. gain: (8,) the coefficients of that score."""

    level: int
    rule: int
    threshold: np.float32
    inverse: np.float32
    choices: int
    continues: bool
    more: bool
    gain: npt.NDArray[np.float64]


class Step(NamedTuple):
    """One level that is computed. begin, end: the dims multiplied. weight: (p, end − begin)."""

    begin: int
    end: int
    weight: Floats
    scale: Scale
    when: When


class Found(NamedTuple):
    """What is known of rows so far, each (n,): label, the last level looked at, confidence there, whether to go on."""

    labels: Labels
    levels: Labels
    confidence: Floats
    going: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, n: int) -> Found:
        return cls(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.float32), np.ones(n, bool))

    def part(self, start: int, stop: int) -> Found:
        """Views of some rows."""
        some = slice(start, stop)
        return Found(self.labels[some], self.levels[some], self.confidence[some], self.going[some])


def steps(cascade: Cascade) -> list[Step]:
    """Those of a cascade, narrowest first."""
    levels = cascade.levels
    wanted = looked(cascade.rule, cascade.thresholds, cascade.keep)
    begins = [0, *(levels.dims.dims[at] if levels.tied else 0 for at in wanted[:-1])]
    return [_step(cascade, at, begin) for at, begin in zip(wanted, begins, strict=True)]


def _step(cascade: Cascade, at: int, begin: int) -> Step:
    levels, last = cascade.levels, at == len(cascade.dims) - 1
    starts = np.empty(0, np.int64) if levels.starts is None else np.asarray(levels.starts, np.int64)
    gain = np.zeros(FEATURES)
    if cascade.rule == "gain" and not last:
        gain[:] = cascade.gain[at]
    when = When(
        level=at,
        rule=PROBABILITY if last else SCORES.index(cascade.rule),
        threshold=np.float32(-inf if last else cascade.thresholds[at]),
        inverse=np.float32(1 / cascade.temperatures[at]),
        choices=max(levels.count, 2),
        continues=begin > 0,
        more=levels.tied and not last,
        gain=gain,
    )
    end = levels.dims.dims[at]
    return Step(begin, end, levels.weight(at)[:, begin:end], Scale(levels.times[at], levels.plus[at], starts), when)
