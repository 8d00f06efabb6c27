"""Which class is the best in exact arithmetic, where float32 cannot tell."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Labels, Levels
from mrl.classify.lossless.bounds import UNIT64, folded

Doubles = npt.NDArray[np.float64]
TILE_BYTES = 4 << 20  # of prototypes in float64 at a time


def scores64(levels: Levels, rows: npt.NDArray[Any], some: Labels) -> tuple[Doubles, Doubles]:
    """Full-width scores of some prototypes (p,) for rows (n, width), and by how much they may be off, both (n, p)."""
    x, step = rows.astype(np.float64), max(1, TILE_BYTES // (8 * rows.shape[1]))
    scores, off = np.empty((len(x), len(some))), np.empty((len(x), len(some)))
    for start in range(0, len(some), step):
        part = slice(start, start + step)
        v, plus = folded(levels, some[part]), levels.plus[-1][some[part]].astype(np.float64)
        most, scores[:, part] = np.abs(x) @ np.abs(v).T, x @ v.T + plus
        rounded = np.where(most > 0, np.abs(scores[:, part]), 0)
        off[:, part] = 2 * (x.shape[1] + 4) * UNIT64 * most + 2 * UNIT64 * rounded
    return scores, off


def nearest(scores: Doubles, off: Doubles) -> Labels:
    """Which of scores (p,), off by at most so much (p,), may be the largest."""
    return np.flatnonzero(scores + off >= (scores - off).max())


def exact_best(levels: Levels, row: npt.NDArray[Any], some: Labels) -> int:
    """The prototype, of some in ascending order, whose score is the largest; the first one where scores are equal.

    float64 decides wherever its own rounding allows; where it does not, sums of fractions do.
    """
    scores, off = (each[0] for each in scores64(levels, row[None], some))
    left = nearest(scores, off)
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
