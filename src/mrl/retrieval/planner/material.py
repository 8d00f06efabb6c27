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
from mrl.vectors.copies import Digests, digests, groups

HELD_OUT = 2_000  # rows at most that are held out as queries
SHARE = 0.1  # of the rows, at most
UNSEEN = "the index also has the rows that were held out, so its recall there may differ a little; mrl recheck tells"
LITTLE = 0.01  # of the rows: fewer held out are not worth a word

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

    Without queries a tenth of the rows, at most 2,000, is held out as such: rows that have no copy, if these do.
    Rows that are also queries are held out, too: they would find themselves, which makes every plan look better than it
    is. InputError for too few rows or queries, NaN or Inf; CardError for tables that do not belong together.
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
    return _settled(held_of(database).only(kept), queries, terms, judgements, database, (note, *_unseen(own, database)))


def _held_out(database: Embedded, terms: Terms, judgements: Judgements | None) -> Material:
    count = min(HELD_OUT, int(SHARE * len(database)))
    if count < ENOUGH:
        raise InputError(
            f"without queries a tenth of the rows is held out as such, and a plan needs {ENOUGH}: {database.path} has "
            f"{len(database):,} rows; give queries, or at least {ENOUGH * 10} rows"
        )
    if judgements is not None:
        raise InputError("judgements name queries of their own, and there are none; give the queries that they judge")
    names = digests(database.vectors)
    chosen = _drawn(names, count, terms.seed, str(database.path))
    kept = np.flatnonzero(~np.isin(names, names[chosen]))  # nor their copies
    notes = [f"{len(chosen):,} of {len(database):,} rows, drawn at random, were held out as queries"]
    if copies := len(database) - len(chosen) - len(kept):
        notes.append(f"{copies:,} rows equal to these were left out, too: figures are of {len(kept):,} rows")
    whole = held_of(database)
    found = _settled(whole.only(kept), whole.only(chosen), terms, None, database, (*notes, *_unseen(chosen, database)))
    return replace(found, held_out=True)


def _unseen(out: Numbers, database: Embedded) -> tuple[str, ...]:
    return (UNSEEN,) if len(out) >= LITTLE * len(database) else ()


def _drawn(names: Digests, count: int, seed: int, path: str) -> Numbers:
    """So many rows at random of those that have no copy; where these are too few one of each of some equal ones, a
    tenth of the different ones at most, or `ENOUGH`. InputError where that would be most of them.

    Each takes its copies with it, and with it the index that is measured would be another one.
    """
    _, firsts, copies = np.unique(names, return_index=True, return_counts=True)
    pool = np.sort(firsts[copies == 1])
    if len(pool) < count:
        pool, count = np.sort(firsts), max(min(count, int(SHARE * len(firsts))), ENOUGH)
        _check_different(len(pool), len(names), path)
    return np.sort(np.random.default_rng(seed).choice(pool, count, replace=False))


def _check_different(different: int, rows: int, path: str) -> None:
    if different == 1:
        raise InputError(f"all {rows:,} rows of {path} are equal, so any of them is as near; give rows that differ")
    if different < 2 * ENOUGH:
        raise InputError(
            f"the {rows:,} rows of {path} are only {different:,} different vectors, of which {ENOUGH} would be held "
            f"out as queries with all their copies; give queries, or at least {2 * ENOUGH} different rows"
        )


def held_of(database: Embedded) -> Held:
    """The same in memory."""
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
