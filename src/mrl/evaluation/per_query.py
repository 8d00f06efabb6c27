"""Per-query values first, rows after: what two systems are paired by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.evaluation.rows import Row
from mrl.evaluation.subject import Estimate, How, Subject
from mrl.promise.bootstrap import interval

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Measured:
    """One measure at every cut. values: (cuts, queries). how: one for each cut."""

    measure: str
    values: Values
    how: tuple[How, ...]


@dataclass(frozen=True, eq=False)
class PerQuery:
    """What was measured, query by query. ids: (queries,), the queries' own. notes: what was left out, in words."""

    subject: Subject
    ids: npt.NDArray[Any]
    measured: tuple[Measured, ...]
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Values]:
        """(cuts, queries) of each measure."""
        return {each.measure: each.values for each in self.measured}

    def rows(self) -> list[Row]:
        """The mean of every measure at every cut, with its 95 % interval."""
        return [row for each in self.measured for row in self._rows(each)]

    def _rows(self, each: Measured) -> Iterator[Row]:
        low, high, name = interval(each.values)
        for level, dim in enumerate(self.subject.cuts.dims):
            mean = Estimate(float(each.values[level].mean()), float(low[level]), float(high[level]), name)
            yield self.subject.row(each.measure, dim, each.how[level], mean, len(self.ids))
