"""Does the promise of an index's plan still hold? New queries tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.cli.indexed import digests_of, held, rows_at
from mrl.cli.sides import Asking, asks, judged
from mrl.cli.vectors import Reading
from mrl.errors import InputError
from mrl.vectors import Held

if TYPE_CHECKING:
    from mrl.evaluation import Judgements
    from mrl.promise import Promise, Recheck
    from mrl.retrieval import Index, Plan
    from mrl.retrieval.planner import Planned, Terms, Truth

BATCH = 1024  # queries that are searched together

Numbers = npt.NDArray[np.int64]


class Told(NamedTuple):
    """What new rows say of a promise; notes: of what was left out; stale: of what else has changed since."""

    found: Recheck
    notes: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


def of_index(where: Path, queries: Path, asking: Asking) -> Told:
    """Queries are searched by the plan that was picked, and exactly."""
    from mrl.retrieval import Index
    from mrl.retrieval.by_need import stale_note

    judgements, index = judged(asking, queries), Index.open(where)
    pick = picked(index)
    asked, notes = _new(asks(queries, held(index, read=False), Reading(), asking).held(), index, pick.planned)
    found, left_out = rechecked_on(index, pick, asked, judgements)
    return Told(found, (*notes, *left_out), stale_note(index.snapshot, pick.planned))


class Pick(NamedTuple):
    """What was planned for an index, the plan that was picked, and its promise."""

    planned: Planned
    plan: Plan
    promise: Promise


def picked(index: Index) -> Pick:
    """InputError where nothing was planned, or nothing is promised."""
    planned = index.planned
    if planned is None:
        raise InputError(f"{index.path} was not planned, so nothing is promised; plan it: mrl plan {index.path}")
    point = planned.picked
    if point is None or point.plan is None or planned.promise is None:
        raise InputError(
            f"the plan of {index.path} is the exact search, which promises nothing because it loses nothing; there is "
            "nothing to re-check"
        )
    return Pick(planned, point.plan, planned.promise)


def _new(queries: Held, index: Index, planned: Planned) -> tuple[Held, tuple[str, ...]]:
    """The queries that are no rows of the index, which would find themselves, and had no part in the plan, which was
    chosen by them; and what was left out. InputError where none are left."""
    if not len(queries):
        raise InputError(f"{queries.path} has no queries; give some")
    names = digests_of(queries)
    own = np.isin(names, digests_of(index))
    old, total = planned.knows(names) & ~own, len(names)
    if (own | old).all():
        which = " or ".join([*[f"rows of {index.path}"] * bool(own.any()), *["planned with"] * bool(old.any())])
        raise InputError(f"all {total:,} queries of {queries.path} are {which}; give others")
    notes = (
        (own.sum(), f"are rows of {index.path}, and would find themselves"),
        (old.sum(), "were planned with, and are not new"),
    )
    said = tuple(f"{count:,} of {total:,} queries {why}: left out" for count, why in notes if count)
    return queries.only(np.flatnonzero(~(own | old))), said


def rechecked_on(
    index: Index, pick: Pick, queries: Held, judgements: Judgements | None
) -> tuple[Recheck, tuple[str, ...]]:
    """What the queries say of the promise, and what had to be left out."""
    from mrl.retrieval.planner import rechecked, worth
    from mrl.vectors.copies import groups

    database, terms = held(index, read=False), pick.planned.terms
    stick = worth(terms, database, queries, truth(index, queries, terms), judgements)
    asked = queries.only(stick.rows)
    values = stick.values(_found(index, asked, stick.wanted, pick.plan)[0], np.arange(len(asked)))
    return rechecked(pick.promise, stick.full, values, groups(asked.vectors)), stick.notes


def truth(index: Index, queries: Held, terms: Terms) -> Truth:
    """What the exact search finds, as far as ties with the k-th go on."""
    from mrl.retrieval.planner import Truth
    from mrl.retrieval.planner.truth import SPARE

    most = terms.k + SPARE
    while True:
        found = Truth(*_found(index, queries, most, None), terms.k, index.rows)
        if most >= index.rows or not found.close()[:, -1].any():
            return found
        most *= 4


def _found(index: Index, queries: Held, k: int, plan: Plan | None) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """(q, k) rows among the living ones, best first, −1 where there are fewer; and their scores."""
    rows, scores = [], []
    for start in range(0, len(queries), BATCH):
        found = index.search(queries.vectors[start : start + BATCH], k, plan=plan)
        rows.append(rows_at(index, found.ids, found.counts))
        scores.append(np.asarray(found.scores, np.float64))
    return np.concatenate(rows), np.concatenate(scores)
