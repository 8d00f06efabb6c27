"""embed: a dataset's raw vectors as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrl.encoders import ImageEncoder
from mrl.errors import InputError
from mrl.training.batches import batch, even_batches, ids
from mrl.training.data import ImageData, Samples
from mrl.training.run import Run
from mrl.vectors import Table

BLOCK = 16_384  # rows committed at once


def embed(
    model: Run | ImageEncoder | str | Path,
    data: Samples,
    out: str | Path,
    *,
    batch_size: int = 256,
    each: Callable[[int], object] = lambda _: None,
) -> Table:
    """Write the vectors of a dataset, whole and as the network makes them, with ids and labels, as a new table.

    model: an encoder, a run or its path. With a run, labels are mapped by name onto the run's classes, and classes that
    it does not know get the labels after. each: hears of the rows done. Raises ExistsError if something is at `out`.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if isinstance(model, str | Path):
        model = Run.open(model)
    if isinstance(model, Run):
        data = data.named(model.classes) if isinstance(data, ImageData) else data
        model = model.encoder
    names, keys = tuple(getattr(data, "classes", ())), ids(data)
    with Table.create(out, model.card, names) as table:
        for block in even_batches(np.arange(len(data)), BLOCK):
            vectors, labels = _encoded(model, data, block, batch_size, each)
            table.add(vectors, keys[block], labels if (labels >= 0).all() else None)
    return Table.open(out)


def _encoded(
    encoder: ImageEncoder, data: Samples, rows: np.ndarray, batch_size: int, each: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, width) and labels (n,) of some rows."""
    vectors = np.empty((len(rows), encoder.network.width), np.float32)
    labels = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        images, labels[part] = batch(data, rows[part])
        vectors[part] = encoder.encode(images.numpy(), raw=True)
        each(len(images))
    return vectors, labels
