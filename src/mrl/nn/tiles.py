"""Tiles of a Gram matrix: how rows are shared out among them, and what a loss is shown of one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

CACHE_BYTES = 24 << 20  # that a CPU keeps at hand: larger tiles cost some 5 % more time
TALL = 128  # rows that a product needs to run at full speed


@dataclass(frozen=True)
class Tiling:
    """Rows are taken some at a time, such that all matrices (rows of a tile, candidates) fit chunk_bytes.

    cached: whether tiles are no larger than a CPU's cache either, if they have enough rows even so. A single row is
    always taken, so at least matrices × candidates × itemsize bytes are needed.
    """

    rows: int
    candidates: int
    matrices: int
    itemsize: int
    chunk_bytes: int
    cached: bool = True

    @property
    def height(self) -> int:
        """Rows of the first, largest tile; all are about equal."""
        row = self.matrices * self.candidates * self.itemsize
        most = max(1, self.chunk_bytes // row)
        if self.cached:
            most = min(most, max(TALL, CACHE_BYTES // row))
        return math.ceil(self.rows / math.ceil(self.rows / most)) if self.rows else 0

    def tiles(self) -> list[slice]:
        return [slice(start, min(start + self.height, self.rows)) for start in range(0, self.rows, self.height or 1)]


@dataclass(frozen=True)
class Tile:
    """What a rule sees of a tile. s: (r, c) scaled similarities, not to be changed; row i's positive is at first + i.

    rows: which of the side's rows these are. left_out: (r, c) bool or None. spare: (r, c) to be overwritten.
    """

    level: int
    rows: slice
    s: Tensor
    spare: Tensor
    first: int
    left_out: Tensor | None

    @property
    def own(self) -> Tensor:
        """(r,) the positives' similarities."""
        return self.s.diagonal(self.first)


class Rule(Protocol):
    """What a loss makes of similarities; the sum over the rows is the loss of a level, times `share`."""

    @property
    def share(self) -> float: ...

    def value(self, tile: Tile, p: Tensor) -> tuple[Tensor, Tensor]:
        """The tile's loss and hits, both 0-d; leaves the loss's derivative by s in p (r, c)."""
        ...
