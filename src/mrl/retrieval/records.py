"""Rows on their way into an index, and out of it by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.maps import Rotation
from mrl.retrieval import searching
from mrl.retrieval.building import BuildSpec
from mrl.retrieval.encodings import Floats
from mrl.retrieval.rows import Rows
from mrl.retrieval.snapshot import Snapshot
from mrl.vectors import Table

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, eq=False)
class Records:
    """Rows by id. ids: (n,). vectors: (n, width) float32, as they were given but for the rounding of float32 (float16
    where that is the encoding of record); where the index was cut after its map, that cannot be undone, and they are as
    they are stored. payload: their columns, or None."""

    ids: npt.NDArray[Any]
    vectors: Floats
    payload: pyarrow.Table | None

    @classmethod
    def of(cls, snapshot: Snapshot, ids: npt.NDArray[Any]) -> Records:
        """In the order of the ids (n,). InputError naming the first that is not there."""
        positions = snapshot.locate(ids)
        if (positions < 0).any():
            raise InputError(
                f"id {ids[np.argmax(positions < 0)].item()!r} is not in {snapshot.folder.path}; check the id"
            )
        vectors = snapshot.vectors_at(positions)
        if isinstance(snapshot.map, Rotation):
            vectors = snapshot.map.inverse().apply(vectors)
        return cls(ids, vectors, snapshot.payload_at(positions))


def to_build(rows: Any, spec: Any) -> Rows:
    """What an index is built from. InputError for anything but Rows or a Table, and a BuildSpec."""
    source = Rows.table(rows) if isinstance(rows, Table) else rows
    if not isinstance(source, Rows) or not isinstance(spec, BuildSpec):
        raise InputError(
            f"an index is built from Rows or a Table, and a BuildSpec, got {type(rows).__name__} and "
            f"{type(spec).__name__}; Rows.of(vectors, card) takes an array"
        )
    return source


def to_add(snapshot: Snapshot, rows: Any, ids: Any, payload: Any) -> tuple[Rows, bool]:
    """Rows that are added to an index, and whether they went through its map already."""
    if not isinstance(rows, Rows | Table):
        rows = np.asarray(rows)
        if rows.ndim == 1:
            rows, ids = rows[None], None if ids is None else np.atleast_1d(ids)
        return Rows.of(rows, snapshot.raw_card(), ids, payload), False
    if ids is not None or payload is not None:
        raise InputError("ids and payload are given with an array; a table or Rows have their own")
    source = Rows.table(rows) if isinstance(rows, Table) else rows
    return source, searching.check_card(snapshot, source.card, searching.ADDED)
