"""How thresholds are chosen: for a target, as the paper does, or not at all; with a promise, see `promising`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Rule
from mrl.classify.seen import Seen, Values
from mrl.classify.selecting import Gain, Numbers, Thresholds, Trail, ratio, stopped, trail
from mrl.classify.terms import Terms
from mrl.errors import InputError

SHARES = (0.25, 0.6, 0.15)  # tune, calibrate, report: a promise needs rows most, a figure is only looked at
TRUSTED = 0.05  # of loss expected: up to there it is asked how often that comes true
GRID = np.linspace(0.1, 1, 100).astype(np.float32)  # the paper's code


@dataclass(frozen=True, eq=False)
class Picked:
    """What was chosen.

    rule, gain: by what rows stop. points: (points, levels − 1) of thresholds, safest first. pick: which of them.
    p_values: of the first ones, as tested. calibrated: the mean loss on the rows that gave a promise, None without one.
    tried: of each score that was tried, its expected dims where it is likely to keep the tolerance. notes: what is to
    be known of it. reached: by policy target, the accuracy of the pick and of the full width on the rows that chose.
    """

    rule: Rule
    points: Thresholds
    pick: int
    gain: Gain = ()
    p_values: tuple[float, ...] = ()
    calibrated: float | None = None
    tried: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reached: Mapping[str, float] = field(default_factory=dict)

    @property
    def thresholds(self) -> tuple[float, ...]:
        return tuple(map(float, self.points[self.pick]))


def nobody(levels: int) -> Thresholds:
    """(1, levels − 1): thresholds that no row reaches."""
    return np.full((1, levels - 1), np.inf, np.float32)


def by_target(tune: Seen, both: Seen, costs: Numbers, terms: Terms) -> Picked:
    """The least dims whose accuracy reaches the target, both measured on tune and calibrate rows.

    costs: (levels,) dims. InputError with the best accuracy that is reached where none reaches it.
    """
    reached = [_Reached.of(trail(tune, score, costs, len(both)), both, costs) for score in terms.scores()]
    target = terms.target or 0.0
    best = min(reached, key=lambda each: each.rank(target))
    pick = best.pick(target)
    if best.accuracy[pick] < target:
        raise InputError(
            f"the accuracy {target:g} is out of reach: on {len(both):,} rows the best is {best.accuracy[pick]:.4f}, at "
            f"{best.dims[pick]:.1f} of {costs[-1]:,} expected dims; give a target of at most that"
        )
    told = _told(both, best.trail, best.points[pick])
    return Picked(best.trail.score, best.points, pick, best.trail.gain, reached=told)


def by_tolerance(both: Seen, costs: Numbers, terms: Terms) -> Picked:
    """The least dims that lose at most the tolerance against the full width on tune and calibrate rows, by their labels
    and by what the full width expects alike: a path holds many points, and by chance the labels flatter some.

    costs: (levels,) dims. The path knows no label, so it may come from the same rows.
    """
    trails = [trail(both, score, costs, len(both)) for score in terms.scores()]
    factor = ratio(trails, max(terms.tolerance, TRUSTED))
    able = [each.seems(terms.tolerance, factor) for each in trails]
    least = [
        float(np.where(some, each.costs, np.inf).min(initial=np.inf)) for each, some in zip(trails, able, strict=True)
    ]
    at = int(np.argmin(least))
    best, points = trails[at], np.concatenate([nobody(len(both.right)), trails[at].points])
    pick = 0 if least[at] == np.inf else 1 + int(np.where(able[at], best.costs, np.inf).argmin())
    tried: dict[str, float] = {each.score: dims for each, dims in zip(trails, least, strict=True)}
    return Picked(best.score, points, pick, best.gain, tried=tried, reached=_told(both, best, points[pick]))


def _told(both: Seen, chosen: Trail, thresholds: npt.NDArray[np.float32]) -> dict[str, float]:
    """The accuracy of thresholds, and of the full width, on the rows that chose."""
    stops = stopped(both, chosen.score, chosen.gain, thresholds[None])[0]
    return {"accuracy": float(both.at(stops).mean()), "full": float(both.full.mean())}


@dataclass(frozen=True, eq=False)
class _Reached:
    """What each point of a path reaches. points: that of nobody leaving early first."""

    trail: Trail
    points: Thresholds
    accuracy: Values
    dims: Values

    @classmethod
    def of(cls, path: Trail, both: Seen, costs: Numbers) -> _Reached:
        points = np.concatenate([nobody(len(both.right)), path.points])
        stops = stopped(both, path.score, path.gain, points)
        return cls(path, points, both.at(stops).mean(1), costs[stops].mean(1))

    def pick(self, target: float) -> int:
        """The cheapest point that reaches the target, else the most accurate one."""
        there = self.accuracy >= target
        return int(np.where(there, self.dims, np.inf).argmin() if there.any() else self.accuracy.argmax())

    def rank(self, target: float) -> tuple[bool, float]:
        """The less the better."""
        pick = self.pick(target)
        missed = bool(self.accuracy[pick] < target)
        return missed, float(-self.accuracy[pick] if missed else self.dims[pick])


def greedy(probability: npt.NDArray[np.float32], right: Values) -> Picked:
    """The paper's policy (arXiv 2205.13147 §4.2.1 and its code): each level against the next one only.

    Of 100 thresholds from 0.1 to 1 on the largest probability, the smallest among those of the best accuracy, where all
    rows below it are answered by the next level. probability, right: (levels, n).
    """
    found = []
    for level in range(len(right) - 1):
        leave = probability[level] >= GRID[:, None]  # (thresholds, n)
        accuracy = np.where(leave, right[level], right[level + 1]).mean(1)
        found.append(GRID[int(np.argmax(np.round(accuracy, 12)))])
    return Picked("probability", np.array([found], np.float32), 0)


def lossless(levels: int) -> Picked:
    """No thresholds: the rule needs none."""
    return Picked("lossless", nobody(levels), 0)
