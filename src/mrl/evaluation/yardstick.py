"""Yardsticks: one number in [0, 1] a query and dim, for whatever vectors the queries and rows are given as.

What is wanted is settled once (neighbours of the full width, labels, judgements); then mapped, cut or coded versions of
the same queries and rows are measured against it, each in one pass over all cuts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mrl.evaluation.judged import gains_of
from mrl.evaluation.matching import Matched
from mrl.evaluation.measures import one_nn
from mrl.evaluation.nearest import kept, nearest
from mrl.evaluation.ranked import ndcg, reciprocal_rank
from mrl.nesting import Metric, Nesting
from mrl.segments import neighbours

Vectors = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.floating[Any]]  # float64
Own = TypeVar("Own", bound="Yardstick")


@dataclass(frozen=True, eq=False)
class Yardstick(ABC):
    """asked: (n,) the rows of the queries' matrix that are measured; the others are left alone."""

    asked: Numbers

    def __len__(self) -> int:
        return len(self.asked)

    @property
    @abstractmethod
    def name(self) -> str:
        """The measure, as in `Row`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be left out, in words."""
        return ()

    @abstractmethod
    def values(self, queries: Vectors, rows: Vectors, cuts: Nesting, by: Metric) -> Values:
        """(cuts, n): the value of every query asked, at every cut of queries (q, d) and rows (r, d)."""

    @abstractmethod
    def only(self: Own, numbers: Numbers) -> Own:
        """The same for some of the queries asked. numbers: places in `asked`."""


@dataclass(frozen=True, eq=False)
class KeptNeighbours(Yardstick):
    """recall@k: which share of the k nearest rows of the full vectors is among the k nearest at a cut.

    truth: (n, k) positions among the rows.
    """

    truth: Numbers

    @classmethod
    def of(cls, queries: Vectors, rows: Vectors, k: int, by: Metric, asked: Numbers | None = None) -> KeptNeighbours:
        """What the full width finds. asked: default every query."""
        numbers = np.arange(len(queries)) if asked is None else asked
        full = Nesting((queries.shape[1],))
        return cls(numbers, neighbours(queries[numbers], rows, full, k, by).positions[0])

    @property
    def name(self) -> str:
        return f"recall@{self.truth.shape[1]}"

    def values(self, queries: Vectors, rows: Vectors, cuts: Nesting, by: Metric) -> Values:
        return kept(nearest(queries[self.asked], rows, cuts, self.truth.shape[1], by), self.truth)

    def only(self, numbers: Numbers) -> KeptNeighbours:
        return replace(self, asked=self.asked[numbers], truth=self.truth[numbers])


@dataclass(frozen=True, eq=False)
class NearestLabel(Yardstick):
    """1-NN: whether the nearest row has the query's label. rows: (r,) their labels. wanted: (n,) the queries'.

    A row of label −1 has no class and is not searched. A query of label −1 is of a class that no row has: a miss.
    told: what `notes` says.
    """

    rows: Numbers
    wanted: Numbers
    told: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Numbers, queries: Numbers) -> NearestLabel:
        """From the labels of all rows and of all queries."""
        return cls(np.arange(len(queries)), rows, queries)

    @property
    def name(self) -> str:
        return "1-NN"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.told

    def values(self, queries: Vectors, rows: Vectors, cuts: Nesting, by: Metric) -> Values:
        some = np.flatnonzero(self.rows >= 0)
        searched = rows if len(some) == len(self.rows) else rows[some]
        found = neighbours(queries[self.asked], searched, cuts, 1, by).positions
        return of_same_class(self.rows[some][found], self.wanted)

    def only(self, numbers: Numbers) -> NearestLabel:
        return replace(self, asked=self.asked[numbers], wanted=self.wanted[numbers])


def of_same_class(found: Numbers, wanted: Numbers) -> Values:
    """`one_nn` of labels found (..., n, k), but a query of label −1 is never answered. wanted: (n,)."""
    hit: Values = one_nn(found, wanted)
    hit[..., wanted < 0] = 0
    return hit


@dataclass(frozen=True, eq=False)
class Judged(Yardstick):
    """nDCG@k or MRR@k by judgements. known: the judgements, matched with the rows; its queries are all of `places`."""

    known: Matched
    places: Numbers  # of each query asked, among those of `known`
    measure: str = "nDCG"
    k: int = 10

    @classmethod
    def of(cls, known: Matched, measure: str = "nDCG", k: int = 10) -> Judged:
        """measure: nDCG or MRR."""
        return cls(known.rows, known, np.arange(len(known.rows)), measure, k)

    @property
    def name(self) -> str:
        return f"{self.measure}@{self.k}"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.known.notes

    def values(self, queries: Vectors, rows: Vectors, cuts: Nesting, by: Metric) -> Values:
        some = self.known.only(self.places)
        gains = gains_of(queries, rows, some, cuts, by, self.k)
        return ndcg(gains, some.ideal(self.k)) if self.measure == "nDCG" else reciprocal_rank(gains)

    def only(self, numbers: Numbers) -> Judged:
        return replace(self, asked=self.asked[numbers], places=self.places[numbers])
