"""Goal: what queries are to find, and how much of it some version of the vectors finds at every cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.look import Look
from mrl.evaluation import Judgements
from mrl.evaluation.matching import Matched, matched
from mrl.evaluation.nearest import kept, nearest
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.ranked import ndcg
from mrl.evaluation.yardstick import of_same_class
from mrl.nesting import Metric, Nesting
from mrl.vectors import Held

Vectors = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Goal:
    """What queries are to find, settled once by the full vectors as they are.

    asked: (n,) places of the queries that are measured. truth: (n, k) nearest rows at the full width. labels: of the
    rows, and those wanted (n,), or None. judged: the judgements of these n queries, or None. by: the metric. trained:
    the trained dims. rows: how many.
    """

    asked: Numbers
    truth: Numbers
    labels: tuple[Numbers, Numbers] | None
    judged: Matched | None
    by: Metric
    trained: Nesting
    rows: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Held, queries: Held, judgements: Judgements | None, look: Look) -> Goal:
        judged = None if judgements is None else _judged(judgements, rows, queries, look)
        asked = np.arange(min(look.queries, len(queries))) if judged is None else judged.rows
        own = _own(judged)
        full, by = Nesting((rows.card.width,)), rows.card.metric
        truth = nearest(queries.vectors[asked], rows.vectors, full, look.k, by, own)[0]
        labels = _labels(rows, queries)
        wanted = None if labels is None else (labels[0], labels[1][asked])
        notes = () if judged is None else judged.notes
        return cls(asked, truth, wanted, judged, by, rows.card.nesting, len(rows), notes)

    @property
    def k(self) -> int:
        return int(self.truth.shape[1])

    def values(self, queries: Vectors, rows: Vectors, cuts: Nesting) -> dict[str, Values]:
        """{measure: (cuts, n)}, the one that matters most first, from one pass over some version of queries and rows.

        queries: (q, d), of which those asked are measured. rows: (r, d).
        """
        found = nearest(queries[self.asked], rows, cuts, self.k, self.by, _own(self.judged))
        values: dict[str, Values] = {}
        if self.judged is not None:
            values[f"nDCG@{self.k}"] = ndcg(self.judged.gains(found), self.judged.ideal(self.k))
        if self.labels is not None:
            values["1-NN"] = of_same_class(self.labels[0][found], self.labels[1])
        values[f"recall@{self.k}"] = kept(found, self.truth)
        return values


def _own(judged: Matched | None) -> Numbers | None:
    return judged.own if judged is not None and (judged.own >= 0).any() else None


def _judged(judgements: Judgements, rows: Held, queries: Held, look: Look) -> Matched:
    known = matched(judgements, rows, queries)
    return known.only(np.arange(min(look.queries, len(known.rows))))  # the queries are in random order


def _labels(rows: Held, queries: Held) -> tuple[Numbers, Numbers] | None:
    """Of all rows and all queries, in one numbering; None unless both have some."""
    if rows.labels is None or queries.labels is None:
        return None
    return rows.labels, numbered_alike(queries, rows)
