"""`choose`: the smallest bytes per vector that keep a measure within a tolerance of the full width, as a promise."""

from __future__ import annotations

import hashlib

import numpy as np

from mrl.advise.candidates import Numbers, Side, measured
from mrl.advise.choice import Choice
from mrl.advise.lengths import check_lengths
from mrl.advise.selection import ENOUGH, About, check_enough, selected
from mrl.advise.terms import Terms
from mrl.advise.versions import Vectors, usable
from mrl.errors import InputError
from mrl.evaluation.yardstick import Yardstick
from mrl.nesting import Nesting
from mrl.retrieval.encodings import CHUNK
from mrl.vectors import Embedded
from mrl.vectors.copies import groups


def choose(
    database: Embedded,
    queries: Embedded,
    stick: Yardstick,
    terms: Terms | None = None,
    turned: tuple[Embedded, Embedded] | None = None,
) -> Choice:
    """Measure every dim in every encoding, and choose.

    database, queries: raw vectors of one model. stick: what a query is worth (`yardstick` makes one by name), settled
    on these two. turned: the same database and queries after a map, in this order, where those are to be stored; the
    truth stays that of the raw full width in float32. For an honest promise the queries must be new to the map, too.

    Copies of a query count as one, by their mean: what they say is said once. Rows are held in memory, and one decoded
    copy of them at a time. The promise holds on average over queries such as these, asked of these rows; more rows of
    the same kind only shift the codes' scales. CardError for tables that do not belong together, NestingError for dims
    that the vectors, or their map, do not have, InputError for too few different queries and what cannot be measured.
    """
    terms = Terms() if terms is None else terms
    raw = _side(database, queries)
    kept = (database, queries) if turned is None else turned
    stored, card = raw if turned is None else _side(*kept), kept[0].card
    cuts = terms.cuts(card)
    _check_lengths((database, queries), kept, cuts)
    encodings, left_out = _encodings(stored.rows[:, : cuts.width], terms)
    same = groups(queries.vectors[stick.asked])
    notes = (*stick.notes, *_copies(same), *left_out)
    seen = measured(stick, raw, stored, cuts, encodings).merged(same)
    about = About(str(database.path), _digest(raw.rows), len(database), stick.name, database.card, card, notes)
    return selected(seen, about, terms)


def _encodings(rows: Vectors, terms: Terms) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that can hold the rows, and why others cannot. InputError where none can."""
    encodings, notes = usable(rows, terms.encodings)
    if not encodings:
        raise InputError(f"no encoding is left to choose from: {notes[0]}")
    return encodings, notes


def _side(database: Embedded, queries: Embedded) -> Side:
    """InputError or CardError for tables that cannot be compared."""
    database.card.check_fits(queries.card, (str(database.path), str(queries.path)))
    for each in (database, queries):
        if not len(each):
            raise InputError(f"{each.path} is empty; give vectors")
    return Side(queries.vectors, database.vectors, database.card.metric)


def _check_lengths(raw: tuple[Embedded, Embedded], stored: tuple[Embedded, Embedded], cuts: Nesting) -> None:
    """InputError for a prefix that float32 products cannot hold: the full one of raw vectors, and all that are cut."""
    for side in raw:
        check_lengths(side, Nesting((side.card.width,)))
    for side in stored:
        check_lengths(side, cuts)


def _copies(same: Numbers) -> tuple[str, ...]:
    """A note where queries are there several times. InputError for too few different ones."""
    different = int(same.max(initial=-1)) + 1
    if different < min(len(same), ENOUGH):
        raise InputError(
            f"{len(same):,} queries are only {different:,} different vectors, and a promise needs {ENOUGH}; give more "
            "different ones"
        )
    check_enough(different)
    if different == len(same):
        return ()
    return (f"{len(same):,} queries are {different:,} different vectors: copies count as one query, by their mean",)


def _digest(rows: Vectors) -> str:
    """SHA-256 of all rows as float32."""
    found = hashlib.sha256()
    for start in range(0, len(rows), CHUNK):
        found.update(np.ascontiguousarray(rows[start : start + CHUNK], np.float32).data)
    return found.hexdigest()
