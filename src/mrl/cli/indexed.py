"""The rows of an index, as vectors that can be measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.vectors import Held

if TYPE_CHECKING:
    from mrl.retrieval import Index

LABEL = "label"  # the payload column that a table's labels become
BATCH = 4096  # rows that are read together

Numbers = npt.NDArray[np.int64]


def is_index(path: Path) -> bool:
    """Whether there is the folder of an index."""
    from mrl.disk import Folder
    from mrl.errors import InputError
    from mrl.retrieval.snapshot import KIND

    if not (path / "manifest.json").is_file():
        return False
    try:
        Folder.open(path, KIND).close()
    except InputError:  # another kind of folder
        return False
    return True


def held(index: Index, *, read: bool = True) -> Held:
    """The living rows in order, with their ids, and the labels that their payload has.

    read: whether the vectors are wanted, as they were given; else there are zeros in their place, which take no memory.
    """
    where, card = _positions(index), index.snapshot.raw_card()
    ids = index.snapshot.ids_at(where)
    vectors: Any = np.broadcast_to(np.float32(0), (len(where), card.width))
    labels, names = _labels(index, where)
    return Held(index.path, card, index.get(ids).vectors if read else vectors, ids, labels, names)


def rows_at(index: Index, ids: npt.NDArray[Any], counts: Numbers) -> Numbers:
    """(q, k) places among the living rows, as `held` has them, of the ids that a search found; −1 beyond its counts."""
    there = np.arange(ids.shape[1]) < counts[:, None]
    rows = np.full(ids.shape, -1, np.int64)
    rows[there] = np.searchsorted(_positions(index), index.snapshot.locate(ids[there]))
    return rows


def digests_of(vectors: Held | Index) -> npt.NDArray[np.uint64]:
    """Of each vector, equal for equal ones; of an index with a map of its own they say nothing of the raw vectors."""
    from mrl.retrieval.state import living
    from mrl.vectors.copies import digests

    if isinstance(vectors, Held):
        return digests(vectors.vectors)
    numbers = [block.about.number for block in vectors.snapshot.blocks]
    parts = [digests(rows) for rows, _, _ in living(vectors.snapshot, numbers, BATCH)]
    return np.concatenate([*parts, np.empty(0, np.uint64)])


def _positions(index: Index) -> Numbers:
    """(n,) of the living rows, ascending."""
    gone = [block.deleted + block.first for block in index.snapshot.blocks if block.about.dead]
    return np.setdiff1d(np.arange(index.snapshot.positions), np.concatenate([*gone, np.empty(0, np.int64)]))


def _labels(index: Index, where: Numbers) -> tuple[Numbers | None, tuple[str, ...]]:
    """Of the payload's column `label`, if it has one: −1 where a row has none."""
    payload = index.snapshot.payload_at(where)
    if payload is None or LABEL not in payload.column_names:
        return None, ()
    values = payload.column(LABEL).to_pylist()
    if all(value is None or isinstance(value, int) for value in values):
        return np.array([-1 if value is None else value for value in values], np.int64), ()
    names = tuple(sorted({str(value) for value in values if value is not None}))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([-1 if value is None else numbers[str(value)] for value in values], np.int64), names
