"""Answers: what a cascade says of each row, at which level it stopped, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Nesting

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """labels: (n,) int64. levels: (n,) int64, the last level looked at. confidence: (n,) float32, the calibrated
    probability of the label at that level, in [0, 1]. dims: of the levels. tied: whether a level continues the one
    before. classes: the labels' names, or ()."""

    labels: Numbers
    levels: Numbers
    confidence: npt.NDArray[np.float32]
    dims: Nesting
    tied: bool
    classes: tuple[str, ...] = ()

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
        """(n,) all the dims that were multiplied for each row: with a head for each level, those of all levels."""
        return read_dims(self.dims, self.tied)[self.levels]


def last_dims(dims: Nesting) -> Numbers:
    """(levels,) the dim of each."""
    return np.array(dims.dims, np.int64)


def read_dims(dims: Nesting, tied: bool) -> Numbers:
    """(levels,) dims multiplied up to each level: its own where it continues the one before, else the sum of all."""
    return last_dims(dims) if tied else np.cumsum(dims.dims, dtype=np.int64)
