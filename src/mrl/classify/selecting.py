"""Which score, and where on its path: tune proposes, calibrate tests.

Every score has a path of thresholds (`thresholds`), found by what the full width expects to be lost (`Seen.expected`),
without labels. So what it seems to lose on the rows that it was found on is hardly less than what it will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.classify.gaining import gains
from mrl.classify.seen import Seen, Values, where
from mrl.classify.signals import Score
from mrl.classify.thresholds import Bench, cautious, exits, path

Z = 1.6448536269514722  # 95 % quantile of the normal distribution
LEAST = 0.5  # of what is expected to be lost: so few labels do not show that even less will be
CLOSER = 0.98  # times the cost: points that save less over the one before are not worth a test of their own

Numbers = npt.NDArray[np.int64]
Thresholds = npt.NDArray[np.float32]
Gain = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class Trail:
    """One score's path.

    points: (points, levels − 1) of thresholds. On the tune part, (points,) each: costs: expected dims. expected, lost:
    the mean loss as the full width expects it, and as the labels have it. doubt, spread: Z standard errors of the
    latter, and of the same on as many rows as will test it.
    """

    score: Score
    gain: Gain
    points: Thresholds
    costs: Values
    expected: Values
    lost: Values
    doubt: Values
    spread: Values

    def likely(self, ratio: float = 1.0) -> Values:
        """(points,) the least tolerance that each is likely to be shown to keep. ratio: see `ratio`.

        The full width does not expect to be worse than a prefix; where it surely is, the labels have the word.
        """
        surely = self.lost + self.doubt
        return np.where(surely < 0, surely, ratio * self.expected) + self.spread

    def seems(self, tolerance: float, ratio: float) -> npt.NDArray[np.bool_]:
        """(points,) which seem to keep a tolerance, by the labels and as the full width expects it alike; or, where it
        expects too much, surely by the labels. ratio: see `ratio`."""
        both = (self.lost <= tolerance) & (ratio * self.expected <= tolerance)
        found: npt.NDArray[np.bool_] = both | (self.lost + self.doubt <= tolerance)
        return found

    def cheapest(self, tolerance: float, ratio: float) -> float:
        """The least expected dims of a point that is likely to pass; ∞ if none is."""
        return float(np.where(self.likely(ratio) <= tolerance, self.costs, np.inf).min(initial=np.inf))

    def sequence(self) -> Thresholds:
        """The points that are worth a test, safest first: each of less expected dims than all that are safer."""
        found: list[int] = []
        for point in np.lexsort((-self.costs, self.likely())).tolist():
            if not found or self.costs[point] < CLOSER * self.costs[found[-1]]:
                found.append(point)
        return self.points[found]


def trail(tune: Seen, score: Score, costs: Numbers, tests: int) -> Trail:
    """The path of a score. costs: (levels,) dims. tests: how many rows will test."""
    gain = gains(tune.told, tune.expected) if score == "gain" else ()
    points = _safest_first(Bench(tune.scores(score, gain), tune.expected, costs.astype(np.float64)))
    stops, n = stopped(tune, score, gain, points), len(tune)
    loss, expected = where(tune.loss, stops), where(tune.expected, stops)
    squares = (loss**2).mean(1)
    doubt, spread = (Z * np.sqrt(squares / rows + 1 / n**2) for rows in (n, tests))  # 1 / n: what n have not shown
    return Trail(score, gain, points, costs[stops].mean(1), expected.mean(1), loss.mean(1), doubt, spread)


def _safest_first(bench: Bench) -> Thresholds:
    """The path, with more caution before its first point at which a row leaves early."""
    points = path(bench)
    leaves = np.flatnonzero(np.isfinite(points).any(1))
    return np.concatenate([cautious(bench, points[leaves[0]]), points[leaves]]) if len(leaves) else points[:0]


def ratio(trails: Sequence[Trail], tolerance: float) -> float:
    """How often the full width's expectations come true: lost over expected, at all points that are expected to keep
    the tolerance. One for all scores, since it is much less sure than what they have between them."""
    within = [each.expected <= tolerance for each in trails]
    expected = sum(float(each.expected[some].sum()) for each, some in zip(trails, within, strict=True))
    lost = sum(float(each.lost[some].sum()) for each, some in zip(trails, within, strict=True))
    return max(LEAST, lost / expected) if expected > 0 else 1.0


def best(trails: Sequence[Trail], tolerance: float) -> Trail:
    """That of the least dims at the tolerance; where none is likely to pass, the one that is the nearest to it."""
    factor = ratio(trails, tolerance)
    return min(trails, key=lambda each: (each.cheapest(tolerance, factor), each.likely(factor).min(initial=np.inf)))


def stopped(seen: Seen, score: Score, gain: Gain, points: Thresholds) -> Numbers:
    """(points, n): the level where each row stops under each of the thresholds (points, levels − 1)."""
    scores, found = seen.scores(score, gain), np.empty((len(points), len(seen)), np.int64)
    for row, thresholds in zip(found, points, strict=True):
        row[:] = exits(scores, thresholds)
    return found
