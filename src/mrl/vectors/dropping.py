"""A source without its odd rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrl.vectors.source import Source
from mrl.vectors.source_checks import Positions

NAMED = 10  # rows that are named among those left out


def without(source: Source, *, zero: bool) -> Source:
    """The same without odd rows, which are counted and named."""
    odd = source.survey()
    out = np.union1d(odd.bad, odd.zero) if zero else odd.bad
    if len(out):
        kinds = f"{len(odd.bad)} with a NaN or an Inf" + (f", {len(odd.zero)} zero" if zero else "")
        more = ", …" if len(out) > NAMED else ""
        source.note(f"{source.path}: {len(out)} rows are left out, {kinds}: {_names(source, out)}{more}")
    return replace(source, left_out=out)


def _names(source: Source, rows: Positions) -> str:
    """The first few rows by number, and by id where they have some."""
    if not source.named:
        return ", ".join(f"row {row}" for row in rows[:NAMED])
    named = []
    for row in rows[:NAMED]:
        _, ids = next(source.reader.pieces(int(row), 1))
        own = ids[0] if ids is not None else source.ids[row]  # type: ignore[index]
        named.append(f"row {row} (id {own.item()!r})")
    return ", ".join(named)
