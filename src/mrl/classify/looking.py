"""What a level says of rows, and whether they stop, in NumPy: what `compiled` does where Numba is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Labels, inverses
from mrl.classify.signals import NEVER, expected_gain, features, of_logits
from mrl.classify.steps import AGREEMENT, GAIN, Found, Scale, Step, When


def look(part: Floats, own: Floats, rows: Labels, raw: Floats, scale: Scale, when: When, found: Found) -> None:
    """Take in a level of some rows of a tile, and say which go on; arguments as in `compiled.look`."""
    if when.continues:
        part += raw[rows]
    logits = (part * scale.times + scale.plus) * own[:, None]
    if scale.starts.size:
        logits = np.maximum.reduceat(logits, scale.starts, axis=1)
    conclude(logits, rows, when, found)
    if when.more:
        going = found.going[rows]
        raw[rows[going]] = part[going]


def lengths(x: Floats, rows: Labels, continues: bool, squares: npt.NDArray[np.float64], own: Floats) -> None:
    """As `compiled.lengths`."""
    total = np.einsum("nd,nd->n", x, x, dtype=np.float64) + (squares[rows] if continues else 0)
    squares[rows] = total
    own[:] = inverses(np.sqrt(total))


def rescore(x: Floats, own: Floats, rows: Labels, kept: Any, step: Step, found: Found) -> None:
    """As `compiled.rescore`."""
    positions, raw, times, plus = kept.positions[rows], kept.raw[rows], step.scale.times, step.scale.plus
    if step.end > step.begin:
        new = np.stack([step.weight[p, step.begin : step.end] @ row for p, row in zip(positions, x, strict=True)])
        raw = kept.raw[rows] = raw + new if step.when.continues else new
    scores = (raw * times[positions] + plus[positions]) * own[:, None]
    classes = kept.owner[positions] if len(kept.owner) else positions
    logits = np.full((len(rows), step.when.choices), NEVER)
    np.maximum.at(logits, (np.arange(len(rows))[:, None], classes), scores)
    conclude(logits, rows, step.when, found)


def conclude(logits: Floats, rows: Labels, when: When, found: Found) -> None:
    """What logits (m, classes) say of rows, and which of them go on."""
    labels, probability, margin, sure = of_logits(logits, float(1 / when.inverse))
    same = (found.labels[rows] == labels) & (when.level > 0)
    found.labels[rows], found.levels[rows], found.going[rows] = labels, when.level, True
    if when.threshold < np.inf:
        score = _score(when, probability, margin, sure, same)
        found.confidence[rows], found.going[rows] = probability, ~(score >= when.threshold)


def _score(when: When, p: Floats, m: Floats, e: Floats, same: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """(m,), as in `Signals.score`."""
    if when.rule == AGREEMENT:
        return np.where(same, p, np.float32(0))
    if when.rule == GAIN:
        return expected_gain(features(p, m, e, same), when.gain)
    return (p, m, e)[when.rule]
