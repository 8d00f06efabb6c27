"""What a cascade multiplies, told as dims and as multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mrl.classify.answers import Answers, Numbers, read_dims
from mrl.classify.cascade import Cascade


@dataclass(frozen=True)
class Cost:
    """Means over the rows. last: of the last dim used. read: of all dims multiplied, which is more where every level
    has weights of its own. macs: multiply-adds. width: the full one. prototypes: of how many classes, or prototypes,
    products are taken at the full width."""

    last: float
    read: float
    macs: float
    width: int
    prototypes: int

    @property
    def share(self) -> float:
        """The last dim used, as a share of the full width."""
        return self.last / self.width

    @property
    def read_share(self) -> float:
        """The dims multiplied, as a share of the full width; above 1 where the full width alone would cost less."""
        return self.read / self.width

    @property
    def full_macs(self) -> int:
        """Multiply-adds of the full width for one row."""
        return self.width * self.prototypes


def cost_of(cascade: Cascade, answers: Answers) -> Cost:
    """Of answers to some rows."""
    macs = level_macs(cascade, answers.looked)[answers.levels].mean()
    last, read = float(answers.last.mean()), float(answers.read.mean())
    return Cost(last, read, float(macs), cascade.dims.width, cascade.levels.prototypes)


def level_macs(cascade: Cascade, looked: Sequence[int] = ()) -> Numbers:
    """(levels,) multiply-adds of a row up to each: dims times prototypes, after the first level times those kept.
    looked: as in `read_dims`."""
    read, every = read_dims(cascade.dims, cascade.tied, looked), cascade.levels.prototypes
    if cascade.keep is None:
        return read * every
    first = cascade.dims.dims[0]
    return first * every + (read - first) * min(cascade.keep, every)
