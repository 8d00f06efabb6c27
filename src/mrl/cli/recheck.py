"""`mrl recheck`: does the promise of an index's plan still hold?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import typer

from mrl.cli.indexed import digests_of, held, rows_at
from mrl.cli.settings import Chosen, settings
from mrl.cli.sides import Asking, asks, judged
from mrl.cli.vectors import VECTORS, Reading, said
from mrl.errors import InputError
from mrl.vectors import Held

if TYPE_CHECKING:
    from mrl.evaluation import Judgements
    from mrl.promise import Promise, Recheck
    from mrl.retrieval import Index, Plan
    from mrl.retrieval.planner import Planned, Terms, Truth

BATCH = 1024  # queries that are searched together

Numbers = npt.NDArray[np.int64]


@settings(("Queries", Asking, {}))
def recheck(
    where: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index that `mrl plan` has planned.")],
    queries: Annotated[Path, typer.Argument(help=f"New queries, which had no part in the plan. {VECTORS}.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
    *,
    chosen: Chosen,
) -> None:
    """Ask new queries whether the promise of an index's plan still holds; exit code 1 if it is broken.

    They are searched by the plan that was picked, and exactly. Prints what they say in a sentence: the promise is kept,
    or broken, or how many more queries would tell.
    """
    from mrl.retrieval import Index
    from mrl.retrieval.by_need import stale_note

    asking = Asking(**chosen.of(Asking))
    judgements, index = judged(asking, queries), Index.open(where)
    pick = picked(index)
    asked, notes = _new(asks(queries, held(index, read=False), Reading(), asking).held(), index, pick.planned)
    found, left_out = rechecked_on(index, pick, asked, judgements)
    stale = stale_note(index.snapshot, pick.planned)
    for note in (*notes, *left_out, *(stale if as_json else ())):
        said(note)
    typer.echo(json.dumps(found.to_json()) if as_json else _sentence(found, stale))
    if found.verdict == "broken":
        raise typer.Exit(1)


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


def _sentence(found: Recheck, stale: tuple[str, ...]) -> str:
    """The verdict; it is of queries alone, and what changed in the rows since is another matter."""
    return " ".join([found.sentence, *(f"But {note}" for note in stale)])


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
