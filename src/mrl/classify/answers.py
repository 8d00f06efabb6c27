"""Answers: what a cascade says of each row, at which level it stopped, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Nesting

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """labels: (n,) int64. levels: (n,) int64, the last level looked at. confidence: (n,) float32, the calibrated
    probability of the label at that level, in [0, 1]. dims: of the levels. tied: whether a level continues the one
    before. classes: the labels' names, or (). looked: the levels that were computed; (): all."""

    labels: Numbers
    levels: Numbers
    confidence: npt.NDArray[np.float32]
    dims: Nesting
    tied: bool
    classes: tuple[str, ...] = ()
    looked: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> npt.NDArray[Any]:
        """(n,) the labels by name, or as they are without names."""
        return np.array(self.classes)[self.labels] if self.classes else self.labels

    @property
    def last(self) -> Numbers:
        """(n,) the last dim used by each row."""
        return last_dims(self.dims)[self.levels]

    @property
    def read(self) -> Numbers:
        """(n,) all the dims that were multiplied for each row: with a head for each level, those of all that it met."""
        return read_dims(self.dims, self.tied, self.looked)[self.levels]


def last_dims(dims: Nesting) -> Numbers:
    """(levels,) the dim of each."""
    return np.array(dims.dims, np.int64)


def read_dims(dims: Nesting, tied: bool, looked: Sequence[int] = ()) -> Numbers:
    """(levels,) dims multiplied up to each level: its own where it continues the one before, else the sum of all that
    were computed. looked: those; (): all."""
    if tied:
        return last_dims(dims)
    met = np.zeros(len(dims), bool)
    met[list(looked) or slice(None)] = True
    return np.cumsum(last_dims(dims) * met)


def looked(rule: str, thresholds: Sequence[float], keep: int | None = None) -> tuple[int, ...]:
    """The levels that a cascade computes: those where a row can stop, those whose answer the next one asks for, and the
    first where it keeps the best for the others."""
    if rule == "lossless":
        return tuple(range(len(thresholds) + 1))
    stops = [t < inf for t in thresholds] + [True]
    following = [*stops[1:-1], False, False][
        : len(stops)
    ]  # at the last level everybody stops, whatever was said before
    asked = [rule in ("agreement", "gain") and after for after in following]
    stops[0] |= keep is not None
    return tuple(at for at, wanted in enumerate(zip(stops, asked, strict=True)) if any(wanted))
