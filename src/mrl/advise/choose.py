"""`choose`: the smallest bytes per vector that keep a measure within a tolerance of the full width, as a promise."""

from __future__ import annotations

import hashlib

import numpy as np

from mrl.advise.candidates import Side, measured
from mrl.advise.choice import Choice
from mrl.advise.selection import About, check_count, selected
from mrl.advise.terms import Terms
from mrl.advise.versions import Vectors, usable
from mrl.errors import InputError
from mrl.evaluation.yardstick import Judged, Yardstick
from mrl.retrieval.encodings import CHUNK
from mrl.vectors import Embedded


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

    Rows are held in memory, and one decoded copy of them at a time. The promise holds on average over queries such as
    these, asked of these rows; more rows of the same kind only shift the codes' scales. CardError for tables that do
    not belong together, InputError for fewer queries than three parts need, and for what cannot be measured.
    """
    terms = Terms() if terms is None else terms
    raw = _side(database, queries)
    stored, card = (raw, database.card) if turned is None else (_side(*turned), turned[0].card)
    cuts = terms.cuts(stored.width, card.nesting)
    encodings, notes = usable(stored.rows[:, : cuts.width], terms.encodings)
    if not encodings:
        raise InputError(f"no encoding is left to choose from: {notes[0]}")
    check_count(len(stick))
    if isinstance(stick, Judged):
        notes = (*stick.known.notes, *notes)
    seen = measured(stick, raw, stored, cuts, encodings)
    data = (str(database.path), _digest(raw.rows), len(database))
    return selected(seen, About(*data, stick.name, database.card, card, notes), terms)


def _side(database: Embedded, queries: Embedded) -> Side:
    """InputError or CardError for tables that cannot be compared."""
    database.card.check_fits(queries.card, (str(database.path), str(queries.path)))
    for each in (database, queries):
        if not len(each):
            raise InputError(f"{each.path} is empty; give vectors")
    return Side(queries.vectors, database.vectors, database.card.metric)


def _digest(rows: Vectors) -> str:
    """SHA-256 of all rows as float32."""
    found = hashlib.sha256()
    for start in range(0, len(rows), CHUNK):
        found.update(np.ascontiguousarray(rows[start : start + CHUNK], np.float32).data)
    return found.hexdigest()
