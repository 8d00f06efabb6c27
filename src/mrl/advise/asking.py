"""Who asks, and what counts as a good answer: rows held out as queries, and the yardstick that a measure names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mrl.advise.lengths import check_lengths
from mrl.errors import InputError
from mrl.evaluation.judgements import Judgements
from mrl.evaluation.matching import matched
from mrl.evaluation.numbering import numbered_alike
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel, Yardstick
from mrl.nesting import Nesting
from mrl.options import check_count
from mrl.vectors import Embedded, Held
from mrl.vectors.copies import groups

HELD_OUT = 2000  # rows that ask where there are no queries
SHARE = 5  # … and at most one of so many
MEASURES = "recall@K, 1-NN, nDCG@K, MRR@K"

Numbers = npt.NDArray[np.int64]


def held_out(vectors: Embedded, most: int = HELD_OUT, seed: int = 0) -> tuple[Held, Held]:
    """(database, queries): at most `most` rows drawn at random, and at most a fifth, ask the others.

    Copies of a row that asks are in neither: every version would find those first. InputError for fewer rows than there
    must be for one query, and for mapped vectors.
    """
    check_count("most", most, 1)
    check_count("seed", seed)
    _check_new(vectors)
    same = groups(vectors.vectors)
    different = int(same.max(initial=-1)) + 1
    count = min(most, different // SHARE)
    if count < 1:
        of_them = "" if different == len(vectors) else f", {different} of them different"
        raise InputError(
            f"{vectors.path} has {len(vectors)} rows{of_them}, too few to hold any out as queries; give queries"
        )
    drawn = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    whole = Held(vectors.path, vectors.card, vectors.vectors, vectors.ids, vectors.labels, vectors.label_names)
    rows, asks = apart(same, drawn)
    return whole.only(rows), whole.only(np.sort(asks))


def apart(same: Numbers, drawn: Numbers) -> tuple[Numbers, Numbers]:
    """(rows, asks): the first of each group that was drawn asks, and no row of its group is searched.

    same: (n,) groups of copies. drawn: row numbers.
    """
    _, first = np.unique(same[drawn], return_index=True)
    return np.flatnonzero(~np.isin(same, same[drawn])), drawn[np.sort(first)]


def _check_new(vectors: Embedded) -> None:
    """InputError for mapped vectors, which cannot ask for themselves."""
    if vectors.card.maps:
        raise InputError(
            f"{vectors.path} went through {', '.join(vectors.card.maps)}: rows held out of it may be those that this "
            "was fitted on, which would promise too much; give queries that it never saw, mapped too"
        )


def yardstick(database: Embedded, queries: Embedded, measure: str, judgements: Judgements | None = None) -> Yardstick:
    """recall@K: neighbours of the full width that are kept. 1-NN: by labels. nDCG@K, MRR@K: by judgements.

    Rows and queries without a class have no part in 1-NN. InputError for another measure, for labels or judgements that
    are missing, and for labels that are all the same.
    """
    name, k = check_measure(measure, judgements)
    if name == "1-NN":
        return _by_labels(database, queries)
    if judgements is not None and name != "recall":
        return Judged.of(matched(judgements, database, queries), name, _at_most(k, len(database)))
    full = Nesting((database.card.width,))
    for side in (database, queries):
        check_lengths(side, full)
    return KeptNeighbours.of(queries.vectors, database.vectors, _at_most(k, len(database)), database.card.metric)


def check_measure(measure: str, judgements: Judgements | None = None) -> tuple[str, int]:
    """Its name and K. InputError for one that is unknown, or does not go with the judgements."""
    found = re.fullmatch(r"(recall|nDCG|MRR)@([1-9][0-9]{0,5})|1-NN", measure)
    if not found:
        raise InputError(f"unknown measure {measure!r}; known are {MEASURES}, with a number for K, as recall@10")
    name, k = (found[1], int(found[2])) if found[1] else ("1-NN", 1)
    judged = name in ("nDCG", "MRR")
    if judged and judgements is None:
        raise InputError(f"{measure} is measured by judgements, and there are none; give them, or measure recall@10")
    if not judged and judgements is not None and judgements.ignore_same_ids:
        raise InputError(
            f"{measure} does not ignore a query's own row, which would be found by every version; measure nDCG@10 or "
            "MRR@10, or leave ignore_same_ids out"
        )
    return name, k


def _at_most(k: int, rows: int) -> int:
    if k > rows:
        raise InputError(f"k must lie between 1 and the {rows} rows that are searched, got {k}")
    return k


def _by_labels(database: Embedded, queries: Embedded) -> NearestLabel:
    rows, own = database.need_labels(), queries.need_labels()
    wanted, asked = numbered_alike(queries, database), np.flatnonzero(own >= 0)
    classes = np.unique(rows[rows >= 0])
    if len(classes) < 2:
        raise InputError(
            f"all rows of {database.path} have one label, so every neighbour has the right one; give labels that "
            "differ, or measure recall@10"
            if len(classes)
            else f"no row of {database.path} has a class; give labels, or measure recall@10"
        )
    if not len(asked):
        raise InputError(f"no query of {queries.path} has a class; give labels, or measure recall@10")
    unknown = int((~np.isin(wanted[asked], classes)).sum())
    told = (*_missing(database, rows, "rows"), *_missing(queries, own, "queries"), *_foreign(queries, unknown))
    return NearestLabel(asked, rows, wanted[asked], told)


def _missing(side: Embedded, labels: Numbers, what: str) -> Iterator[str]:
    count = int((labels < 0).sum())
    if count:
        yield f"{count:,} of {len(labels):,} {what} of {side.path} have no class: left out"


def _foreign(queries: Embedded, count: int) -> Iterator[str]:
    if count:
        yield f"queries of {queries.path} of classes that no row has, which no version can answer: {count:,}"
