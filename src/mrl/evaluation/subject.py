"""What is measured: one model's vectors at some dims, under the name of a run; and the rows that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mrl.card import Card
from mrl.errors import InputError
from mrl.evaluation.rows import Row
from mrl.nesting import Nesting
from mrl.vectors import Embedded


class How(NamedTuple):
    """How a dim was measured. method: as in `Row`. macs: multiply-adds for one query, per dim."""

    method: str
    macs: int


class Estimate(NamedTuple):
    """A value with its 95 % interval and the interval's name."""

    value: float
    low: float
    high: float
    interval: str


@dataclass(frozen=True)
class Subject:
    """run: the name in the rows. cuts: the dims that are measured. itemsize: bytes of one stored coordinate."""

    run: str
    card: Card
    cuts: Nesting
    itemsize: int

    @classmethod
    def of(cls, table: Embedded, other: Embedded, dims: Nesting | None, run: str) -> Subject:
        """The vectors of two tables that belong together, at `dims` (default: trained dims and those between).

        Dims that are named may be narrower than any that was trained: what cutting costs there is what is asked.
        CardError for tables of two models, InputError for an empty one, NestingError for a dim beyond the width.
        """
        table.card.check_fits(other.card, (str(table.path), str(other.path)))
        for each in (table, other):
            if len(each) == 0:
                raise InputError(f"{each.path} is empty; embed something first")
        card, cuts = table.card, dims or table.card.nesting.between()
        cuts.check_width(card.width)
        return cls(run or card.model, card, cuts, table.vectors.dtype.itemsize)

    def row(self, measure: str, dim: int, how: How, estimate: Estimate, count: int) -> Row:
        """One measurement. count: of the queries, or pairs, that it comes from."""
        return Row(
            run=self.run,
            measure=measure,
            dim=dim,
            trained=self.card.nesting.trained(dim),
            **estimate._asdict(),
            method=how.method,
            queries=count,
            bytes=dim * self.itemsize,
            macs=dim * how.macs,
        )
