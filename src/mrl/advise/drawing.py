"""What a choice is measured on, in memory: rows, of very many a sample, and who asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.asking import HELD_OUT, held_out
from mrl.advise.look import COORDINATES
from mrl.advise.selection import ENOUGH
from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.options import check_count
from mrl.vectors import Held, Source

ROWS = 100_000  # that are searched where nobody says how many

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """rows: that are searched. queries: that ask. notes: what was left out, in words."""

    rows: Held
    queries: Held
    notes: tuple[str, ...] = ()

    def without(self, seen: npt.NDArray[np.bool_], by: str) -> Drawn:
        """Without the queries that something was fitted on. seen: (q,). by: its name. InputError if few remain."""
        count, left = int(seen.sum()), int((~seen).sum())
        if not count:
            return self
        if left < ENOUGH:
            raise InputError(
                f"{count:,} of {len(seen):,} queries of {self.queries.path} are those that {by} was fitted on or "
                f"watched by, and the {left:,} others are too few for a promise; give queries that it never saw"
            )
        note = f"{count:,} of {len(seen):,} queries are those that {by} was fitted on or watched by: left out"
        return replace(self, queries=self.queries.only(np.flatnonzero(~seen)), notes=(*self.notes, note))


def drawn(
    database: Source,
    queries: Source | None = None,
    measure: str = "recall@10",
    judgements: Judgements | None = None,
    *,
    most: int | None = None,
    seed: int = 0,
) -> Drawn:
    """Both sides in memory, from files of any format; without queries, rows are held out to ask.

    most: rows to be searched, drawn at random, beside those that were judged; default 100,000, and fewer of vectors so
    wide that they would take more than 512 MiB. measure: rows without a class are left out of 1-NN.
    """
    if most is None:
        most = max(min(ROWS, COORDINATES // database.card.width), 1)
    check_count("rows", most, 1)
    check_count("seed", seed)
    some, notes = _classed(database) if measure == "1-NN" else (np.arange(len(database)), ())
    if len(some) > most + (HELD_OUT if queries is None else 0):
        some, note = _sampled(database, some, most + (HELD_OUT if queries is None else 0), seed, judgements)
        notes = (*notes, note)
    if queries is not None:
        return Drawn(database.picked(some), queries.held(), notes)
    rows, asks = held_out(whole := database.picked(some), seed=seed)
    copies = len(whole) - len(rows) - len(asks)
    told = (f"{copies:,} rows are copies of those that ask, which every version would find first: left out",)
    return Drawn(rows, asks, (*notes, *(told if copies else ())))


def _classed(source: Source) -> tuple[Numbers, tuple[str, ...]]:
    """Rows that have a class, by number among those that are not left out already; all, where there are no labels."""
    if source.labels is None:
        return np.arange(len(source)), ()
    labels = np.delete(source.labels, source.left_out)
    some = np.flatnonzero(labels >= 0)
    missing = len(labels) - len(some)
    told = f"{missing:,} of {len(labels):,} rows of {source.path} have no class: left out"
    return some, (told,) if missing else ()


def _sampled(source: Source, rows: Numbers, most: int, seed: int, judgements: Judgements | None) -> tuple[Numbers, str]:
    """So many of the rows at random, with the judged ones, in order; and a note."""
    some = np.random.default_rng((seed, 1)).choice(rows, most, replace=False)
    judged = "" if judgements is None else ", the judged ones among them"
    if judgements is not None:
        some = np.concatenate([some, _judged(source, judgements)])
    some = np.unique(some)
    return some, (
        f"{source.path}: {len(some):,} of {len(rows):,} rows were drawn at random{judged}; what is promised holds "
        "for so many: among all of them neighbours lie closer together"
    )


def _judged(source: Source, judgements: Judgements) -> Numbers:
    """The rows, by number among those not left out, whose ids were judged."""
    wanted, first = judgements.documents(), 0
    found: list[int] = []
    for ids in _ids(source):
        found += [row for row, name in enumerate(ids.tolist(), first) if str(name) in wanted]
        first += len(ids)
    return np.array(found, np.int64)


def _ids(source: Source) -> Iterator[Array]:
    """Of all rows that are not left out; the vectors are read only where ids are stored between them."""
    if source.ids is not None:
        yield np.delete(source.ids, source.left_out)
    elif not source.named:
        yield np.delete(np.arange(source.reader.rows), source.left_out)
    else:
        yield from (block.ids for block in source.batches())
