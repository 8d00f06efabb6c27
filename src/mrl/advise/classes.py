"""Whether 1-NN can be measured beside the rest, and by which rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrl.vectors import Held


def classed(rows: Held, queries: Held, *, judged: bool) -> tuple[Held, Held, tuple[str, ...]]:
    """(rows, queries, notes): without those that have no class, or, where 1-NN cannot be measured, without labels.

    judged: whether there are judgements, which may speak of any row.
    """
    if not len(queries) or (rows.labels is None and queries.labels is None):
        return rows, queries, ()
    why = _why_not(rows, queries, judged=judged)
    if why is not None:
        return _bare(rows), _bare(queries), (f"1-NN is not measured: {why}",)
    sides = [(rows, "rows"), (queries, "queries")]
    notes = (
        f"{side.path}: left out {what} without a class: {_without(side):,}" for side, what in sides if _without(side)
    )
    known, asking = (_with_class(side) for side, _ in sides)
    return known, asking, tuple(notes)


def _why_not(rows: Held, queries: Held, *, judged: bool) -> str | None:
    for side in (rows, queries):
        if side.labels is None:
            return f"{side.path} has no labels"
        if not (side.labels >= 0).any():
            return f"no row of {side.path} has a class"
    labels = rows.need_labels()
    if len(np.unique(labels[labels >= 0])) < 2:
        return f"all rows of {rows.path} have one label, so every neighbour has the right one"
    missing = _without(rows) + _without(queries)
    return (
        f"{missing:,} rows and queries have no class, and judgements may speak of them" if judged and missing else None
    )


def _without(side: Held) -> int:
    return int((side.need_labels() < 0).sum())


def _with_class(side: Held) -> Held:
    return side.only(np.flatnonzero(side.need_labels() >= 0)) if _without(side) else side


def _bare(side: Held) -> Held:
    return replace(side, labels=None, label_names=())
