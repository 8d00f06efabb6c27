"""Building an index in a stream: memory holds one batch, the ids' digests, and the short columns of one block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import LOCK, Content, Folder
from mrl.errors import InputError
from mrl.maps import Rotation, fit_pca, mapped_card
from mrl.nesting import Nesting, unit_prefix
from mrl.retrieval.blocks import OWNED
from mrl.retrieval.layout import Layout
from mrl.retrieval.leading import Leading
from mrl.retrieval.rows import Batch, Rows, checked
from mrl.retrieval.snapshot import KIND
from mrl.retrieval.state import Contents, Growing, publish
from mrl.vectors.keys import Keys

SAMPLE = 32_768  # rows that a map is fitted on
NARROWEST = 32  # dims of the first cut, unless asked for otherwise

Progress = Callable[[str, int, int | None], object]  # (what, done, of how many)


@dataclass(frozen=True)
class BuildSpec:
    """How an index is built. layout: cuts and encodings, by default those of `default_layout`. map: "pca", a map of
    yours, or None."""

    layout: Layout | None = None
    map: Rotation | str | None = None


@dataclass(frozen=True, eq=False)
class Turned:
    """The map that rows went through already, so that their card names it. raw: as in `Contents`."""

    map: Rotation | Leading
    raw: Card | None


def default_layout(card: Card) -> Layout:
    """Cuts at the trained dims from 32 on and at the width; for vectors not trained to nest, at its halves.

    Where no trained dim but the width is as wide as that, all of them are cuts.
    """
    trained = {dim for dim in card.nesting.dims if dim < card.width}
    dims = ({dim for dim in trained if dim >= NARROWEST} or trained) | {card.width}
    if card.nesting.dims == (card.width,):
        dims |= set(Nesting.halving(card.width, min(NARROWEST, card.width)).dims)
    return Layout.of(Nesting(tuple(sorted(dims))))


def build(path: Path, rows: Rows, spec: BuildSpec, progress: Progress, turned: Turned | None = None) -> None:
    """Write and commit an index of all rows; see `Index.build`. turned: by what, if they are stored as they come."""
    layout = spec.layout or default_layout(rows.card)
    if layout.cuts.width != rows.card.width:
        raise InputError(
            f"the last cut must be the width, {rows.card.width}, got cuts {layout.cuts}; "
            "the full vectors are what the index keeps"
        )
    with _removed_if_refused(path):
        folder = Folder.create(path, KIND, OWNED)
        with folder.lock():
            rows, turn = mapped(rows, spec.map)
            growing = Growing(folder, layout, 0)
            try:
                strings, columns = _fill(growing, rows, turn, progress)
                blocks, new = growing.finish()
                _publish(folder, rows.card, layout, turned or turn, (blocks, new, strings, columns, growing.next))
            except BaseException:
                growing.discard()
                raise


@contextmanager
def _removed_if_refused(path: Path) -> Iterator[None]:
    """Rows that are refused leave nothing, not even the lock of a folder that never was an index."""
    there = path.exists()
    try:
        yield
    except InputError:
        if not there:
            with suppress(OSError):
                (path / LOCK).unlink()
                path.rmdir()
        raise


def mapped(rows: Rows, wanted: Rotation | str | None) -> tuple[Rows, Rotation | None]:
    """The rows, and the map to put them through: a given one, or one that is fitted on a sample of them."""
    if wanted is None or isinstance(wanted, Rotation):
        if wanted is not None and wanted.width != rows.card.width:
            raise InputError(f"the map turns {wanted.width} dims, the vectors have {rows.card.width}; fit another")
        return rows, wanted
    if wanted != "pca":
        raise InputError(f"unknown map {wanted!r}; known is pca, or give a Rotation")
    if rows.sample is not None:
        sample = rows.sample(SAMPLE)
    else:
        rows, sample = _first_rows(rows)
    sample = np.asarray(sample, np.float32)
    sample = sample[np.isfinite(sample).all(axis=1)]  # the others are refused, by number, when they are written
    return rows, fit_pca(unit_prefix(sample, rows.card.width) if rows.card.metric == "cosine" else sample)


def _first_rows(rows: Rows) -> tuple[Rows, npt.NDArray[Any]]:
    """The first rows of a stream, and the stream with these put back."""
    batches, held, count = rows.batches(), list[Batch](), 0
    for batch in batches:
        held.append(batch)
        count += len(batch.vectors)
        if count >= SAMPLE:
            break
    if not count:
        raise InputError("a map is fitted on the rows, and there are none; give a Rotation, or no map")
    sample = np.concatenate([np.asarray(batch.vectors) for batch in held])
    return replace(rows, batches=lambda: chain(held, batches)), sample


def _fill(
    growing: Growing, rows: Rows, turn: Rotation | None, progress: Progress
) -> tuple[bool | None, tuple[str, ...] | None]:
    """Write all rows; whether ids are strings, and the payload's columns."""
    keys, schema, strings = Keys(), None, None
    for batch in rows.batches():
        vectors, ids = checked(batch, rows.card, growing.rows, growing.rows)
        if not len(ids):
            continue
        keys.check_fresh(ids)
        keys.add(ids)
        payload = batch.payload
        if strings is None:
            strings, schema = ids.dtype.kind == "U", None if payload is None else payload.schema
        if (schema is None) != (payload is None) or (payload is not None and payload.schema != schema):
            raise InputError(f"the payload's columns change at row {growing.rows}; give all rows the same columns")
        if schema is not None and "id" in schema.names:
            raise InputError("a payload column is called id, which means the rows' own ids; rename it")
        growing.add(vectors if turn is None else turn.apply(vectors), ids, payload)
        progress("rows", growing.rows, rows.count)
    return strings, None if schema is None else tuple(schema.names)


def _publish(folder: Folder, card: Card, layout: Layout, turn: Turned | Rotation | None, grown: Any) -> None:
    blocks, new, strings, columns, number = grown
    if isinstance(turn, Rotation):
        card, turn = mapped_card(card, turn), Turned(turn, None)
    name = "" if turn is None else "map-000000.safetensors"
    files: dict[str, Content] = {**new, **({} if turn is None else {name: turn.map.sealed()})}
    raw = None if turn is None else turn.raw
    publish(folder, Contents(card, layout, tuple(blocks), columns, strings, name, (), number, raw), files)


def silent(what: str, done: int, of: int | None) -> None:
    """Progress that nobody watches."""
