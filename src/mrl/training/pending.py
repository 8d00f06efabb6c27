"""Which rows of a dataset are still to be embedded, and their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np

from mrl.errors import InputError
from mrl.training.batches import batch, ids
from mrl.training.data import Labels
from mrl.training.material import Data
from mrl.training.stream import Stream
from mrl.training.texts import TextData
from mrl.vectors import Table, TableWriter

_PART = 4096  # ids that become Python objects at once

Row = tuple[Any, Any]  # an id, and what its image and label are loaded from


def every_row(data: Data) -> Iterator[Row]:
    """All rows in their order, none of them loaded."""
    if isinstance(data, Stream):
        return ((raw.id, raw) for raw in data.read())
    keys = ids(data)
    if keys.shape != (len(data),):
        raise InputError(f"{len(data)} rows have ids of shape {keys.shape}; give each row one id")
    parts = (range(start, min(start + _PART, len(data))) for start in range(0, len(data), _PART))
    return ((key, i) for part in parts for key, i in zip(keys[part.start : part.stop].tolist(), part, strict=True))


def after(rows: Iterator[Row], table: Table, names: tuple[str, ...], each: Callable[[int], object]) -> Iterator[Row]:
    """The rows after those of the table, which must be the first ones of the data; none of these is loaded."""
    if table.label_names != names:
        raise InputError(
            f"{table.path} has the classes {_few(table.label_names)}, the data {_few(names)}; "
            "resume with the data that it was begun with"
        )
    done = 0
    for stored in table.id_blocks():
        theirs, mine = stored.tolist(), [key for key, _ in islice(rows, len(stored))]
        if mine != theirs:
            at = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(mine))
            found = repr(mine[at]) if at < len(mine) else "none"
            raise InputError(
                f"row {done + at} of {table.path} has the id {theirs[at]!r}, that of the data {found}; resume with the "
                "data that it was begun with, or embed what it lacks with --add"
            )
        done += len(mine)
        each(len(mine))
    if not table.finished:
        return rows
    if next(rows, None) is not None:
        raise InputError(
            f"{table.path} is finished, with {table.rows} rows, and the data have more; embed these with --add"
        )
    return iter(())


def _few(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''} ({len(names)})"


def fresh(rows: Iterator[Row], writer: TableWriter, size: int, each: Callable[[int], object]) -> Iterator[Row]:
    """The rows whose ids the table did not have; `size` of them are looked up at once."""
    while part := list(islice(rows, size)):
        known = writer.known([key for key, _ in part])
        each(int(known.sum()))
        yield from compress(part, ~known)


class Batch(NamedTuple):
    ids: list[Any]
    rows: Any  # images (n, H, W, C), or n texts
    labels: Labels  # (n,), -1 where there is none


def batches(data: Data, rows: Iterator[Row], size: int, block: int) -> Iterator[Batch]:
    """Loaded rows, `size` at once.

    No batch reaches across the end of a block of `block` rows: after a stop, blocks are made of the same batches.
    """
    filled = 0
    while part := list(islice(rows, min(size, block - filled))):
        filled = (filled + len(part)) % block
        keys, items = [key for key, _ in part], [item for _, item in part]
        if isinstance(data, Stream):
            images = np.stack([data.decode(raw) for raw in items])
            yield Batch(keys, images, np.array([raw.label for raw in items], np.int64))
        elif isinstance(data, TextData):
            at = np.array(items, np.int64)
            yield Batch(keys, data.taken(items)[0], np.full(len(at), -1) if data.labels is None else data.labels[at])
        else:
            stored, labels = batch(data, np.array(items, np.int64))
            yield Batch(keys, stored.numpy(), labels.numpy())
