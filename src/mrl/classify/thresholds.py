"""Thresholds: all that are worth having, on one path from the safest to the cheapest.

At a price λ of accuracy, thresholds t minimise the mean over rows of

    cost of the level where the row stops / cost of the last one  +  λ · (loss there)

One level's best threshold, the others held, is exact (`descent`). Going down from the widest level until nothing
changes is coordinate descent; λ falls from where nothing counts but accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from mrl.classify.descent import NEAR, between

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

PRICES = np.geomspace(3000.0, 0.1, 60)  # of a wrong answer, in full widths
CAUTIOUS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the rows that leave at the safest end of the path
SWEEPS = 30


@dataclass(frozen=True, eq=False)
class Bench:
    """scores: (levels − 1, n) float32. loss: (levels, n), known or expected. costs: (levels,), rising."""

    scores: npt.NDArray[np.float32]
    loss: Values
    costs: Values

    @cached_property
    def order(self) -> Numbers:
        """(levels − 1, n): rows by falling score."""
        return np.argsort(-self.scores, axis=1, kind="stable")

    def values(self, price: float) -> Values:
        """(levels, n): what stopping there is worth, the less the better."""
        values: Values = (self.costs / self.costs[-1])[:, None] + price * self.loss
        return values

    def worth(self, thresholds: npt.NDArray[np.float32], price: float) -> float:
        """The mean of what is minimised."""
        values = self.values(price)
        return float(values[exits(self.scores, thresholds), np.arange(values.shape[1])].mean())

    def best(self, price: float, starts: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """The best thresholds (levels − 1,) that coordinate descent finds from these starts, the first of equals."""
        values = self.values(price)
        found: list[npt.NDArray[np.float32]] = [
            _descent()(self.scores, self.order, values, start.copy(), SWEEPS) for start in starts
        ]
        return found[int(np.argmin([round(self.worth(each, price), 12) for each in found]))]


def path(bench: Bench, prices: Values = PRICES) -> npt.NDArray[np.float32]:
    """(prices, levels − 1): the best thresholds at each price, each started from the one before and from ∞."""
    nobody = np.full(len(bench.scores), np.inf, np.float32)
    found = [nobody]
    for price in prices:
        found.append(bench.best(float(price), (found[-1], nobody)))
    return np.stack(found[1:])


def cautious(bench: Bench, thresholds: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(shares, levels − 1): thresholds at which only the surest of those rows leave each level that leave it now.

    A few rows that tune see no loss among the surest hundreds where there is one in a thousand, so a path that begins
    where they see none does not begin at the safest end.
    """
    stops = exits(bench.scores, thresholds)
    found = np.tile(thresholds, (len(CAUTIOUS), 1))
    for level, scores in enumerate(bench.scores):
        leaving = np.sort(scores[stops == level])[::-1]
        if len(leaving):
            found[:, level] = [_cut(leaving, int(share * (len(leaving) - 1)), thresholds[level]) for share in CAUTIOUS]
    return found


def _cut(laid: npt.NDArray[np.float32], place: int, least: np.float32) -> np.float32:
    """What parts falling scores at this place, or at the next one where they are more than rounding apart, and
    `least` where there is none."""
    apart = np.flatnonzero(laid[place:-1] - laid[place + 1 :] > NEAR)
    return np.float32(between(laid, place + int(apart[0]))) if len(apart) else least


def exits(scores: npt.NDArray[np.float32], thresholds: npt.ArrayLike) -> Numbers:
    """(n,): the first level whose score is at least its threshold, else the last one."""
    leave = np.ones((len(scores) + 1, scores.shape[1]), bool)
    leave[:-1] = scores >= np.asarray(thresholds, np.float32)[:, None]
    first: Numbers = leave.argmax(0)
    return first


@cache
def _descent() -> Callable[..., npt.NDArray[np.float32]]:
    """`descended` as it is compiled; in NumPy where Numba is not installed."""
    try:
        from mrl.classify import descent_compiled
    except ImportError:
        from mrl.classify.descent import descended

        return descended
    found: Callable[..., npt.NDArray[np.float32]] = descent_compiled.descended
    return found
