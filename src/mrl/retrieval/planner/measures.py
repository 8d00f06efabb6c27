"""What an answer is worth: one number in [0, 1] a query, for the rows that any plan found.

What is wanted is settled once; then the answers of every plan are scored by it, without the plan's scores. A place
where nothing was found holds −1 and is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.evaluation.matching import Matched, matched
from mrl.evaluation.measures import average_precision
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.ranked import ndcg, reciprocal_rank
from mrl.retrieval.planner.terms import Terms
from mrl.retrieval.planner.truth import Truth
from mrl.vectors import Embedded

Values = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]

NOTHING = -2  # a label that no row has


class Worth(Protocol):
    """rows: (n,) the rows of the queries' table that are measured. full: (n,), what the exact search is worth to each.
    wanted: how many rows a plan has to find, k, or one more where a query's own row does not count. notes: what had to
    be left out, in words."""

    @property
    def name(self) -> str:
        """The measure, as `recall@10`."""

    @property
    def rows(self) -> Numbers: ...

    @property
    def full(self) -> Values: ...

    @property
    def wanted(self) -> int: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def values(self, found: Numbers, asked: Numbers) -> Values:
        """(q,) what rows found, (q, wanted), are worth, best first, to the queries asked: places in `rows`, (q,)."""


@dataclass(frozen=True, eq=False)
class Recall:
    """recall@k: which share of k was found among the k nearest at the exact full width.

    A row whose score is within rounding of the k-th best may stand for it. pairs: sorted, query · count + row, of the
    rows that count; count: of all rows searched.
    """

    rows: Numbers
    pairs: Numbers
    count: int
    k: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, truth: Truth) -> Recall:
        return cls(np.arange(len(truth.positions)), truth.pairs(), truth.rows, truth.k)

    @property
    def name(self) -> str:
        return f"recall@{self.k}"

    @property
    def full(self) -> Values:
        return np.ones(len(self.rows))

    @property
    def wanted(self) -> int:
        return self.k

    def values(self, found: Numbers, asked: Numbers) -> Values:
        keys = found[:, : self.k] + asked[:, None] * self.count
        at = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        hits = (self.pairs[at] == keys) & (found[:, : self.k] >= 0)
        return np.asarray(hits.sum(1) / self.k)


@dataclass(frozen=True, eq=False)
class ByClass:
    """mAP@k in the paper's form: Σ P@i · hit_i over the k found, divided by k (arXiv 2205.13147 §4.3).

    labels: of all rows searched; queries: (n,), of those measured; below 0: none, which is no hit. full: see `Worth`.
    """

    rows: Numbers
    labels: Numbers
    queries: Numbers
    full: Values
    k: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, labels: Numbers, queries: Numbers, truth: Truth) -> ByClass:
        """labels: of the rows; queries: of all queries in the same numbering, those below 0 are left out."""
        rows = np.flatnonzero(queries >= 0)
        if not len(rows) or not (labels >= 0).any():
            raise InputError("no query, or no row, has a class; give labels, or plan for recall")
        left = len(queries) - len(rows)
        notes = (f"{left:,} of {len(queries):,} queries have no class: left out",) if left else ()
        values = _by_class(truth.positions[rows, : truth.k], labels, queries[rows])
        return cls(rows, labels, queries[rows], values, truth.k, notes)

    @property
    def name(self) -> str:
        return f"mAP@{self.k}"

    @property
    def wanted(self) -> int:
        return self.k

    def values(self, found: Numbers, asked: Numbers) -> Values:
        return _by_class(found[:, : self.k], self.labels, self.queries[asked])


@dataclass(frozen=True, eq=False)
class Judged:
    """nDCG@k or MRR@k by judgements. known: those, matched with the rows. full: see `Worth`."""

    known: Matched
    full: Values
    measure: str
    k: int

    @classmethod
    def of(cls, known: Matched, measure: str, truth: Truth) -> Judged:
        """measure: nDCG or MRR. truth: of all queries, one place longer than k where a query's own row is ignored."""
        exact, k = truth.positions[known.rows], truth.k
        if exact.shape[1] < min(_wanted(known, k), truth.rows):
            raise InputError(
                f"queries that ignore their own rows need the {k + 1} nearest ones to be worth something at {k}, got "
                f"{exact.shape[1]}; give a truth with more places"
            )
        return cls(known, _judged(known, exact, measure, k), measure, k)

    @property
    def name(self) -> str:
        return f"{self.measure}@{self.k}"

    @property
    def rows(self) -> Numbers:
        return self.known.rows

    @property
    def wanted(self) -> int:
        return _wanted(self.known, self.k)

    @property
    def notes(self) -> tuple[str, ...]:
        return self.known.notes

    def values(self, found: Numbers, asked: Numbers) -> Values:
        return _judged(self.known.only(asked), found, self.measure, self.k)


def worth(
    terms: Terms, database: Embedded, queries: Embedded, truth: Truth, judgements: Judgements | None = None
) -> Worth:
    """What the terms measure. truth: what the exact search finds for all queries (`Truth.of`).

    InputError for labels or judgements that are missing, or that the measure does not use.
    """
    if terms.measure in ("nDCG", "MRR"):
        if judgements is None:
            raise InputError(
                f"{terms.name} is measured by judgements, and there are none; give them, or plan for recall"
            )
        return Judged.of(matched(judgements, database, queries), terms.measure, truth)
    if judgements is not None and judgements.ignore_same_ids:
        raise InputError(
            f"{terms.name} does not ignore a query's own row, which every plan would find; plan for nDCG or MRR, or "
            "leave ignore_same_ids out"
        )
    if terms.measure == "mAP":
        queries.need_labels()
        return ByClass.of(database.need_labels(), numbered_alike(queries, database), truth)
    return Recall.of(truth)


def _by_class(found: Numbers, labels: Numbers, wanted: Numbers) -> Values:
    named = np.where(found >= 0, labels[np.maximum(found, 0)], NOTHING)
    return average_precision(np.where(named >= 0, named, NOTHING), wanted)


def _wanted(known: Matched, k: int) -> int:
    return k + bool((known.own >= 0).any())


def _judged(known: Matched, found: Numbers, measure: str, k: int) -> Values:
    """nDCG@k or MRR@k of rows found, (n, at least k), after a query's own row was taken out."""
    own = (found == known.own[:, None]) & (found >= 0)
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    listed, own = np.take_along_axis(found, order, 1), np.take_along_axis(own, order, 1)
    gains = np.where((listed >= 0) & ~own, known.gains(listed), 0.0)
    return ndcg(gains, known.ideal(k)) if measure == "nDCG" else reciprocal_rank(gains)
