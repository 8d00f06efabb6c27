"""What a plan is measured on: the rows that are searched, the queries, and what an answer is worth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.nesting import Metric
from mrl.retrieval.encodings import CHUNK
from mrl.retrieval.planner.measures import Recall, Worth, worth
from mrl.retrieval.planner.selection import ENOUGH, check_enough
from mrl.retrieval.planner.terms import Terms
from mrl.retrieval.planner.truth import Truth
from mrl.vectors import Embedded, Held
from mrl.vectors.copies import digests, groups

HELD_OUT = 2_000  # rows at most that are held out as queries
SHARE = 0.1  # of the rows, at most
UNSEEN = "every engine was measured without the rows that were held out, and an index has them"

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Material:
    """vectors: (n, d) that are searched. queries: (q, d), those that the worth measures. worth: of what is found for
    them. same: (q,) numbers that copies of a query share. card: of the vectors. data, digest, whole_of: the name of all
    rows that were given, SHA-256 of them, and how many they are. notes: in words. held_out: whether the queries were
    some of the rows.
    """

    vectors: Floats
    queries: Floats
    worth: Worth
    same: Numbers
    card: Card
    data: str
    digest: str
    notes: tuple[str, ...]
    whole_of: int
    held_out: bool = False

    @property
    def whole(self) -> bool:
        """Whether all rows that were given are searched, in their order."""
        return self.whole_of == len(self.vectors)

    @property
    def by(self) -> Metric:
        return self.card.metric

    @property
    def k(self) -> int:
        """How many rows a plan has to find."""
        return self.worth.wanted


def material(
    database: Embedded, queries: Embedded | None, terms: Terms, judgements: Judgements | None = None
) -> Material:
    """Rows, queries, and what the exact search finds for them.

    Without queries a tenth of the rows, at most 2,000, is held out as such. Rows that are also queries are held out,
    too: they would find themselves, which makes every plan look better than it is. InputError for too few rows or
    queries, NaN or Inf; CardError for tables that do not belong together.
    """
    if queries is None:
        return _held_out(database, terms, judgements)
    database.card.check_fits(queries.card, (str(database.path), str(queries.path)))
    check_enough(len(queries))
    own = _own_rows(database, queries)
    if not len(own):
        return _settled(database, queries, terms, judgements, database)
    if len(own) > SHARE * len(database) + ENOUGH:
        raise InputError(
            f"{len(own):,} of the {len(database):,} rows of {database.path} are queries, too, and would find "
            "themselves; give queries that are no rows, or none: then some rows are held out as queries"
        )
    kept = np.setdiff1d(np.arange(len(database)), own)
    note = f"{len(own):,} rows are queries, too, and would find themselves: held out while planning"
    return _settled(_held(database).only(kept), queries, terms, judgements, database, (note, UNSEEN))


def _held_out(database: Embedded, terms: Terms, judgements: Judgements | None) -> Material:
    count = min(HELD_OUT, int(SHARE * len(database)))
    if count < ENOUGH:
        raise InputError(
            f"without queries a tenth of the rows is held out as such, and a plan needs {ENOUGH}: {database.path} has "
            f"{len(database):,} rows; give queries, or at least {ENOUGH * 10} rows"
        )
    if judgements is not None:
        raise InputError("judgements name queries of their own, and there are none; give the queries that they judge")
    chosen = np.sort(np.random.default_rng(terms.seed).choice(len(database), count, replace=False))
    kept = np.flatnonzero(~np.isin(names := digests(database.vectors), names[chosen]))  # nor their copies
    note = f"{count:,} of {len(database):,} rows, drawn at random, were held out as queries"
    whole = _held(database)
    found = _settled(whole.only(kept), whole.only(chosen), terms, None, database, (note, UNSEEN))
    return replace(found, held_out=True)


def _held(database: Embedded) -> Held:
    return Held(database.path, database.card, database.vectors, database.ids, database.labels, database.label_names)


def _own_rows(database: Embedded, queries: Embedded) -> Numbers:
    """Rows whose vectors are a query's."""
    asked = np.unique(digests(queries.vectors))
    return np.flatnonzero(np.isin(digests(database.vectors), asked))


def _settled(
    database: Embedded,
    queries: Embedded,
    terms: Terms,
    judgements: Judgements | None,
    whole: Embedded,
    notes: tuple[str, ...] = (),
) -> Material:
    """database: the rows of the whole that are searched."""
    vectors, asked = _floats(database), _floats(queries)
    truth = Truth.of(asked, vectors, terms.k, database.card.metric)
    value = worth(terms, database, queries, truth, judgements)
    rows = value.rows
    return Material(
        vectors,
        asked[rows],
        value,
        groups(asked[rows]),
        database.card,
        str(database.path),
        digest(whole.vectors),
        (*notes, *value.notes),
        len(whole),
    )


def _floats(side: Embedded) -> Floats:
    found: Floats = np.ascontiguousarray(side.vectors, np.float32)
    return found


def sampled(found: Material, asked: Numbers, terms: Terms, rows: Numbers) -> tuple[Material, Terms]:
    """Some of the rows and queries, and terms for them, to explore by.

    What a few rows are worth by judgements says little of all rows, so recall is looked at instead, which no measure of
    k results can lose without.
    """
    terms = replace(terms, measure="recall", recall=1 - terms.allowed, tolerance=None)
    vectors, queries = np.ascontiguousarray(found.vectors[rows]), found.queries[asked]
    truth = Truth.of(queries, vectors, terms.k, found.by)
    return replace(found, vectors=vectors, queries=queries, worth=Recall.of(truth), same=found.same[asked]), terms


def digest(vectors: npt.NDArray[Any]) -> str:
    """SHA-256 of all rows as float32."""
    found = hashlib.sha256()
    for start in range(0, len(vectors), CHUNK):
        found.update(np.ascontiguousarray(vectors[start : start + CHUNK], np.float32).data)
    return found.hexdigest()
