"""Which class is the best in exact arithmetic, where float32 cannot tell."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Labels, Levels
from mrl.classify.lossless_bounds import UNIT64, folded

Doubles = npt.NDArray[np.float64]


def scores64(levels: Levels, row: npt.NDArray[Any], some: Labels) -> tuple[Doubles, Doubles]:
    """Full-width scores of some prototypes (m,) for a row (width,), and by how much they may be off, both (m,)."""
    x, v, plus = row.astype(np.float64), folded(levels, some), levels.plus[-1][some].astype(np.float64)
    most = np.abs(v) @ np.abs(x)
    scores = v @ x + plus
    return scores, 2 * (len(x) + 4) * UNIT64 * most + 2 * UNIT64 * np.where(most > 0, np.abs(scores), 0)


def exact_best(levels: Levels, row: npt.NDArray[Any], some: Labels) -> int:
    """The prototype, of some in ascending order, whose score is the largest; the first one where scores are equal.

    float64 decides wherever its own rounding allows; where it does not, sums of fractions do.
    """
    scores, off = scores64(levels, row, some)
    left = np.flatnonzero(scores + off >= (scores - off).max())
    if len(left) == 1 or not off[left].any():
        return int(some[left[scores[left].argmax()]])
    return int(some[left[_by_fractions(levels, row, some[left])]])


def _by_fractions(levels: Levels, row: npt.NDArray[Any], some: Labels) -> int:
    known: dict[bytes, Fraction] = {}  # equal prototypes are summed up once
    scores = []
    for v, plus in zip(folded(levels, some), levels.plus[-1][some], strict=True):
        key = v.tobytes() + plus.tobytes()
        if key not in known:
            known[key] = _score(row, v) + Fraction(float(plus))
        scores.append(known[key])
    return scores.index(max(scores))


def _score(row: npt.NDArray[Any], v: Doubles) -> Fraction:
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, v, strict=True)), Fraction(0))
