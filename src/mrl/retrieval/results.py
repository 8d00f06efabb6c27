"""Results: what a search found, by what, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric


class Work(NamedTuple):
    """What one stage did, over all queries. stage: as in the plan. candidates: rows scored. bytes: read from the
    store for them. seconds: from start to end of the stage."""

    stage: str
    candidates: int
    bytes: int
    seconds: float

    def line(self) -> str:
        took = f"{self.seconds * 1e3:9.3f}" if self.seconds else ""  # told once for all levels of an exact search
        return f"{self.stage:24} {self.candidates:12,} {self.bytes / 1e6:10.3f} {took}"


@dataclass(frozen=True, eq=False)
class Results:
    """The rows found for each query, best first, equal scores by id.

    ids: (q, k) integers or strings, or (q, rows) where the index has fewer; −1 or "" where fewer could be found.
    scores: likewise, by `metric` at `dim` dims, larger is nearer (l2: minus the squared distance); −inf where there is
    no row. counts: (q,) rows found. plan: what was run, `exact` for an exact search. work: what each of its stages did.
    promise: what is known of a search by need, in words; notes: why a promise does not apply.
    For a single query vector (d,) ids and scores are (m,), with m ≤ k the number found.
    """

    ids: npt.NDArray[Any]
    scores: npt.NDArray[np.floating[Any]]
    counts: npt.NDArray[np.int64]
    metric: Metric
    dim: int
    plan: str
    work: tuple[Work, ...]
    promise: str = ""
    notes: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The stage that the scores come from, the last one."""
        return self.work[-1].stage if self.work else self.plan

    def single(self) -> Results:
        """The results of the only query, without its axis."""
        found = int(self.counts[0])
        parts = (self.ids[0, :found], self.scores[0, :found])
        return replace(self, ids=parts[0], scores=parts[1])

    def explain(self) -> str:
        """A line for each stage: rows scored, bytes read, time."""
        head = f"{'stage':24} {'candidates':>12} {'MB read':>10} {'ms':>9}"
        return "\n".join([head, *(done.line() for done in self.work)])


def by_id(positions: Any, scores: Any, ids: Any) -> Any:
    """Rows of equal score in order of their ids."""
    for q in np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(axis=1)):
        order = np.lexsort((ids[q], -scores[q]))
        positions[q], scores[q], ids[q] = positions[q][order], scores[q][order], ids[q][order]
    return positions, scores, ids
