"""Rows or queries dealt into three parts, of which no two share a vector: copies of one go the same way."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.vectors.copies import digests, groups

FEWEST = 20  # queries of a part: below, its interval says nothing
MOST = {"watch": 1000, "gate": 4000}
SHARE = {"watch": 0.05, "gate": 0.15}  # of rows; of judged queries, which are fewer, twice as much

Numbers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating[Any]]


class Deal(NamedTuple):
    """Rows of each part: learned from, watched by, and the gate's. Of copies, watch and gate have one."""

    fit: Numbers
    watch: Numbers
    gate: Numbers

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(part) for name, part in self._asdict().items()}


def deal(vectors: Vectors, order: Numbers, what: str, scale: float = 1.0, *, gated: bool = True) -> Deal:
    """Deal the rows in `order` (m,), of vectors (n, width), one after another.

    what: what they are called where there are too few. scale: how much larger the parts that are held out are than
    usual. gated: else all but the watch is learned from. InputError where a part would be too small.
    """
    kinds = groups(vectors[order])
    first = np.unique(kinds, return_index=True)[1][kinds]  # where the first copy of each stands
    together = np.argsort(first, kind="stable")
    order, starts = order[together], np.unique(first[together], return_index=True)[1]
    sizes = {name: min(int(share * scale * len(starts)), MOST[name]) for name, share in SHARE.items()}
    fewest = int(np.ceil(FEWEST / (SHARE["watch"] * scale)))
    if sizes["watch"] < FEWEST:
        raise InputError(
            f"{len(starts)} different {what} are too few to learn from some, watch by {FEWEST} and judge by others; "
            f"give at least {fewest}"
        )
    gate = sizes["gate"] if gated else 0
    ends = np.append(starts, len(order))
    rest = ends[sizes["watch"] + gate]
    return Deal(order[rest:], order[starts[: sizes["watch"]]], order[starts[sizes["watch"] : sizes["watch"] + gate]])


def strangers(queries: Vectors, rows: Vectors, fewest: int) -> tuple[Numbers, tuple[str, ...]]:
    """The queries that are no copy of a row, one of each kind, and a note if others are left out.

    InputError for fewer than are wanted.
    """
    own = digests(queries)
    new = ~np.isin(own, digests(rows))
    once = np.zeros(len(queries), bool)
    once[np.unique(own, return_index=True)[1]] = True
    kept = np.flatnonzero(new & once)
    if len(kept) < fewest:
        raise InputError(
            f"{len(kept)} of {len(queries)} queries differ from each other and from every row, and {fewest} are the "
            "fewest to judge by; give other queries, or none, and rows are held out"
        )
    lacking = len(queries) - len(kept)
    return kept, ((f"{lacking:,} queries are copies, of rows or of each other, and left out",) if lacking else ())
