"""Coordinate descent over thresholds, each level's exact.

The best threshold of one level, the others held: lay the rows that arrive by falling score, add up what each saves or
loses by leaving, and cut where the sum is least, between two rows whose scores are more than rounding apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NEAR = 1e-6  # scores nearer than this may change their order by rounding: they are not cut apart
LESS = 1e-9  # by so much a sum must be less than that of nobody leaving


def descended(scores: Scores, order: Numbers, values: Values, thresholds: Scores, sweeps: int) -> Scores:
    """Thresholds (levels − 1,) improved in place, level by level from the widest down, until none changes.

    scores, order: (levels − 1, n), and rows by falling score. values: (levels, n), what stopping there is worth, the
    less the better. sweeps: over the levels, at most.
    """
    for _ in range(sweeps):
        arrives = np.logical_and.accumulate(scores < thresholds[:, None], axis=0)
        onward, before = values[-1], thresholds.copy()  # what a row that goes on from a level will be worth
        for level in reversed(range(len(scores))):
            saved = np.where(arrives[level - 1], values[level] - onward, 0.0) if level else values[level] - onward
            thresholds[level] = cut(scores[level], order[level], saved)
            onward = np.where(scores[level] >= thresholds[level], values[level], onward)
        if (before == thresholds).all():
            break
    return thresholds


def cut(scores: Scores, order: Numbers, saved: Values) -> Any:
    """The threshold of the least sum of `saved` (n,), below 0 where leaving is better; of equal ones the highest, and ∞
    where nobody should leave. It lies halfway to the next row."""
    laid = scores[order]
    last = np.append(laid[:-1] - laid[1:] > NEAR, True)  # rows of about one score leave together
    sums = np.where(last, np.cumsum(saved[order]), np.inf)
    place = int(sums.argmin())
    if sums[place] >= -LESS:
        return np.float32(np.inf)
    return between(laid, place)


def between(laid: Scores, place: int) -> Any:
    """What parts falling scores after a place: halfway to the next one, or just below the last."""
    below = laid[place + 1] if place + 1 < len(laid) else laid[place] - 2 * NEAR
    return np.float32(0.5 * (float(laid[place]) + float(below)))
