"""Rows on their way into an index: vectors, ids and payload, in batches that were checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError
from mrl.retrieval.encodings import Floats
from mrl.retrieval.writing import check_lengths
from mrl.vectors import Table

if TYPE_CHECKING:
    import pyarrow

BATCH = 4096  # rows that are looked at together
LARGEST_ID = 2**63 - 1


class Batch(NamedTuple):
    """vectors: (n, width) floats. ids: (n,) integers or strings, None to number them on. payload: n rows, or None."""

    vectors: npt.NDArray[Any]
    ids: npt.NDArray[Any] | None = None
    payload: pyarrow.Table | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """A source of rows. card: what the vectors are. batches: reads them from the start, batch by batch. count: how many
    there are, where that is known. sample: some of them, spread over all, or None if they can be read only once."""

    card: Card
    batches: Callable[[], Iterator[Batch]]
    count: int | None = None
    sample: Callable[[int], npt.NDArray[Any]] | None = None

    @classmethod
    def of(
        cls,
        vectors: npt.NDArray[Any],
        card: Card,
        ids: npt.ArrayLike | None = None,
        payload: pyarrow.Table | None = None,
    ) -> Rows:
        """An array (n, width), mapped from disk or not. InputError or CardError for another shape."""
        check_matrix(vectors, card)
        names = None if ids is None else np.asarray(ids)
        for what, given in (("ids", names), ("payload rows", payload)):
            if given is not None and len(given) != len(vectors):
                raise InputError(f"{len(vectors)} vectors came with {len(given)} {what}; give one for each vector")

        def batches() -> Iterator[Batch]:
            for start in range(0, len(vectors), BATCH):
                stop = start + BATCH
                some = None if names is None else names[start:stop]
                yield Batch(vectors[start:stop], some, None if payload is None else payload.slice(start, BATCH))

        return cls(card, batches, len(vectors), lambda n: vectors[spread(len(vectors), n)])

    @classmethod
    def table(cls, table: Table) -> Rows:
        """A table of vectors. Its labels become the payload column `label`, by name where they have names."""

        def batches() -> Iterator[Batch]:
            for vectors, ids, labels in table.blocks():
                for start in range(0, len(vectors), BATCH):
                    part = slice(start, start + BATCH)
                    payload = None if labels is None else label_column(labels[part], table.label_names)
                    yield Batch(vectors[part], ids[part], payload)

        def sample(n: int) -> npt.NDArray[Any]:
            wanted, first, parts = spread(table.rows, n), 0, []
            for block in table.blocks():
                here = wanted[(wanted >= first) & (wanted < first + len(block.vectors))] - first
                parts.append(block.vectors[here])
                first += len(block.vectors)
            return np.concatenate(parts) if parts else np.empty((0, table.card.width), np.float32)

        return cls(table.card, batches, table.rows, sample)

    @classmethod
    def stream(cls, batches: Iterable[Batch], card: Card, count: int | None = None) -> Rows:
        """Batches that come one after the other, once; InputError if they are asked for again."""
        left = [batches]

        def once() -> Iterator[Batch]:
            if not left:
                raise InputError("this stream of rows was read already; make a new one")
            return iter(left.pop())

        return cls(card, once, count)


def spread(rows: int, n: int) -> npt.NDArray[np.int64]:
    """At most n positions, evenly over all rows."""
    return np.unique(np.linspace(0, rows - 1, min(rows, n)).astype(np.int64)) if rows else np.empty(0, np.int64)


def label_column(labels: npt.NDArray[np.int64], names: tuple[str, ...]) -> pyarrow.Table:
    import pyarrow

    if not names:
        return pyarrow.table({"label": pyarrow.array(labels)})
    column = pyarrow.array([names[label] if label >= 0 else None for label in labels.tolist()], pyarrow.string())
    return pyarrow.table({"label": column})


def checked(batch: Batch, card: Card, first: int, next_id: int) -> tuple[Floats, npt.NDArray[Any]]:
    """float32 vectors and ids of a batch whose first row is the source's row `first`.

    next_id: from which on rows are numbered that came without ids. CardError or InputError for what cannot be stored,
    naming the row or the id.
    """
    vectors = np.asarray(batch.vectors)
    check_matrix(vectors, card)
    check_lengths(vectors, cosine=card.metric == "cosine", first=first)
    ids = numbered(next_id, len(vectors)) if batch.ids is None else np.asarray(batch.ids)
    return vectors.astype(np.float32, copy=False), check_ids(ids, len(vectors))


def numbered(first: int, n: int) -> npt.NDArray[np.int64]:
    """Ids for n rows that came without; InputError where no integers are left."""
    if first + n - 1 > LARGEST_ID:
        raise InputError(f"ids cannot be numbered on from {first}: they are at most {LARGEST_ID}; give ids")
    return first + np.arange(n)


def check_matrix(vectors: npt.NDArray[Any], card: Card) -> None:
    """InputError or CardError unless these are rows of floats of the card's width."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"vectors must be a float matrix (n, width), got {vectors.dtype} of shape {vectors.shape}")
    card.check_vectors(vectors)


def check_ids(ids: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """ids as int64 or strings; InputError for anything else, or another number than n of them."""
    if not ids.size:
        ids = ids.astype(np.int64)
    if ids.shape != (n,) or ids.dtype.kind not in "iuU":
        raise InputError(f"ids must be {n} integers or strings, got {ids.dtype} of shape {ids.shape}")
    if ids.dtype.kind == "u" and ids.size and ids.max() > LARGEST_ID:
        raise InputError(f"ids must be at most {LARGEST_ID}, got {ids.max()}; give strings or smaller ones")
    return ids if ids.dtype.kind == "U" else ids.astype(np.int64)
