"""Who asks, and what counts as a good answer: rows held out as queries, and the yardstick that a measure names."""

from __future__ import annotations

import re

import numpy as np

from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.evaluation.matching import matched
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel, Yardstick
from mrl.vectors import Embedded, Held

HELD_OUT = 2000  # rows that ask where there are no queries
SHARE = 5  # … and at most one of so many
MEASURES = "recall@K, 1-NN, nDCG@K, MRR@K"


def held_out(vectors: Embedded, most: int = HELD_OUT, seed: int = 0) -> tuple[Held, Held]:
    """(database, queries): at most `most` rows drawn at random, and at most a fifth, ask the others.

    InputError for fewer rows than there must be for one query.
    """
    count = min(most, len(vectors) // SHARE)
    if count < 1:
        raise InputError(f"{vectors.path} has {len(vectors)} rows, too few to hold any out as queries; give queries")
    drawn = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    asks = np.zeros(len(vectors), bool)
    asks[drawn] = True
    whole = Held(vectors.path, vectors.card, vectors.vectors, vectors.ids, vectors.labels, vectors.label_names)
    return whole.only(np.flatnonzero(~asks)), whole.only(np.flatnonzero(asks))


def yardstick(database: Embedded, queries: Embedded, measure: str, judgements: Judgements | None = None) -> Yardstick:
    """recall@K: neighbours of the full width that are kept. 1-NN: by labels. nDCG@K, MRR@K: by judgements.

    InputError for another measure, for labels or judgements that are missing, and for labels that are all the same.
    """
    name, k = _parsed(measure)
    if name == "recall":
        return KeptNeighbours.of(queries.vectors, database.vectors, _at_most(k, len(database)), database.card.metric)
    if name == "1-NN":
        return _by_labels(database, queries)
    if judgements is None:
        raise InputError(f"{measure} is measured by judgements, and there are none; give them, or measure recall@10")
    return Judged.of(matched(judgements, database, queries), name, _at_most(k, len(database)))


def _parsed(measure: str) -> tuple[str, int]:
    found = re.fullmatch(r"(recall|nDCG|MRR)@([1-9][0-9]{0,5})|1-NN", measure)
    if not found:
        raise InputError(f"unknown measure {measure!r}; known are {MEASURES}, with a number for K, as recall@10")
    return (found[1], int(found[2])) if found[1] else ("1-NN", 1)


def _at_most(k: int, rows: int) -> int:
    if k > rows:
        raise InputError(f"k must lie between 1 and the {rows} rows that are searched, got {k}")
    return k


def _by_labels(database: Embedded, queries: Embedded) -> NearestLabel:
    rows, wanted = database.need_labels(), numbered_alike(queries, database)
    if len(np.unique(rows)) < 2:
        raise InputError(
            f"all rows of {database.path} have one label, so every neighbour has the right one; give labels that "
            "differ, or measure recall@10"
        )
    return NearestLabel.of(rows, wanted)
