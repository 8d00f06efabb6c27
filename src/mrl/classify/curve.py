"""Accuracy against expected dims: along the thresholds that a fit considered, and of the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import last_dims, looked, read_dims
from mrl.classify.cascade import Cascade
from mrl.classify.hearing import Heard
from mrl.classify.levels import Levels, is_tied
from mrl.classify.signals import Signals, signals
from mrl.classify.thresholds import exits
from mrl.nesting import Nesting

Array = npt.NDArray[Any]


class Point(NamedTuple):
    """Means over rows. last: of the last dim used; read: of all dims multiplied; accuracy: in [0, 1]."""

    last: float
    read: float
    accuracy: float


class Oracle(NamedTuple):
    """Who knows for each row the narrowest level that is right; an upper bound of every cascade over these levels.

    first: (levels), the share of rows whose narrowest right level this is. accuracy: their sum, the share that any
    level has right. last: its mean dim where rows that no level has right go to the full width (as in the paper,
    arXiv 2205.13147 §4.2.1); least: where these stop at the first level. capped: of the oracle that may only use the
    levels up to each, with dims as of `least`.
    """

    first: tuple[float, ...]
    accuracy: float
    last: float
    least: float
    capped: tuple[Point, ...]


def oracle_of(right: Array, dims: Nesting) -> Oracle:
    """right: (levels, n), whether each level is right."""
    level, solved = right.argmax(0), right.any(0)
    first = np.bincount(level[solved], minlength=len(dims)) / right.shape[1]
    widths = last_dims(dims)
    found, spent = np.cumsum(first), np.cumsum(first * widths)
    least = spent + (1 - found) * widths[0]
    last = float(spent[-1] + (1 - found[-1]) * dims.width)
    capped = tuple(Point(d, d, a) for d, a in zip(least.tolist(), found.tolist(), strict=True))
    return Oracle(tuple(first.tolist()), float(found[-1]), last, float(least[-1]), capped)


def path_of(cascade: Cascade, told: Signals, right: Array) -> tuple[Point, ...]:
    """The thresholds in the record's `path`, on other rows: what each level says of these is computed once."""
    path = cascade.record.get("path", ())
    if cascade.rule == "lossless" or not path:
        return ()
    score = told.score(cascade.rule, cascade.gain)
    return tuple(_point(cascade, cascade.rule, score, point["thresholds"], right, cascade.tied) for point in path)


def greedy_of(cascade: Cascade, said: Heard, vectors: Array, labels: Array) -> Point | None:
    """The paper's policy in the record's `greedy`: thresholds on the largest probability, at temperature 1."""
    about = cascade.record.get("greedy")
    if not about:
        return None
    tied, answers, probability = is_tied(cascade.classifier), said.every, said.cold
    if tied != cascade.tied:  # its own heads, where `lossless` has the widest one's alone
        levels = Levels.of(cascade.classifier, cascade.dims)
        answers, probability = signals(levels, vectors, (1.0,) * len(cascade.dims))[:2]
    return _point(cascade, "probability", probability, about["thresholds"], answers == labels, tied)


def _point(
    cascade: Cascade, rule: str, score: Array, thresholds: Sequence[float | None], right: Array, tied: bool
) -> Point:
    """On rows of which each level's score and whether it is right are known, both (levels, n)."""
    limits = [inf if each is None else each for each in thresholds]
    levels = exits(score[:-1], limits)
    accuracy = float(right[levels, np.arange(len(levels))].mean())
    met = looked(rule, limits, cascade.keep)
    costs = last_dims(cascade.dims), read_dims(cascade.dims, tied, met)
    last, read = (float(each[levels].mean()) for each in costs)
    return Point(last, read, accuracy)
