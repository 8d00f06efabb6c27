"""Building an engine of all rows of a snapshot, and committing it.

Memory holds the engine itself, a sample of the rows where centres or ranges are fitted on one, and one batch of rows:
FAISS takes rows as they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mrl.disk import Content, Draft
from mrl.errors import CardError, InputError, NestingError
from mrl.retrieval import proposers, threads
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Engine, engine_text, of_build
from mrl.retrieval.engines import EngineAbout
from mrl.retrieval.leading import Leading
from mrl.retrieval.rows import spread
from mrl.retrieval.state import publish

if TYPE_CHECKING:
    from mrl.retrieval.building import Progress
    from mrl.retrieval.snapshot import Snapshot

PORTION = 1 << 20  # bytes that FAISS gives out at a time
LARGEST = 2.0**14  # length of the longest vector of an engine: float16 then spans 8 orders of magnitude below it


def add_engine(
    snapshot: Snapshot, dim: int, engine: Engine, progress: Progress, turn: Leading | None = None, index: Any = None
) -> None:
    """Build an engine over all rows of the newest state and commit it, in place of one with the same dim and knobs.

    turn: a map of the engine's own. index: FAISS's, where it was built already, of the same rows in the same order.

    Rows that are deleted already are in the engine, and never found. Where there are no rows it is only noted:
    `compact` builds it. NestingError if the index is not cut at `dim`, or the map gives fewer; CardError for a map of
    another width, or beside the index's own; MissingError without FAISS, StorageError if the disk refuses.
    """
    check_map(snapshot, dim, turn)
    number, files = snapshot.contents.next, dict[str, Content]()
    about = EngineAbout("", dim, engine_text(of_build(engine), whole=True), (), map="" if turn is None else str(turn))
    others = [each for each in snapshot.contents.engines if not each.fits(dim, engine, about.map)]
    if turn is not None:
        about, files = _with_map(snapshot, about, others, turn)
    if snapshot.blocks:
        name, numbers = f"{number:06d}.graph", tuple(block.about.number for block in snapshot.blocks)
        about = replace(about, file=name, blocks=numbers)
        about = about if index is not None else replace(about, factor=_factor(snapshot, about, turn))
        made = _filled(snapshot, about, turn, progress) if index is None else _checked(index, snapshot, dim)
        files[name] = _written(snapshot, name, made)
    number += bool(files)
    publish(snapshot.folder, replace(snapshot.contents, engines=(about, *others), next=number), files)


def check_map(snapshot: Snapshot, dim: int, turn: Leading | None) -> None:
    """Raise unless an engine over `dim` dims, after a map of its own, can be built here."""
    if turn is None:
        snapshot.layout.level(dim)
        return
    if snapshot.contents.map:
        raise CardError(
            f"{snapshot.folder.path} is mapped by {snapshot.card.maps[-1]} as a whole; an engine with a map of its own "
            "belongs to an index without one: build it anew without --map"
        )
    if turn.width != snapshot.card.width:
        raise CardError(
            f"the map turns {turn.width} dims, {snapshot.folder.path} has {snapshot.card.width}; fit another"
        )
    if not 1 <= dim <= turn.dim:
        raise NestingError(f"the map {turn} gives {turn.dim} dims, the engine wants {dim}; ask for at most {turn.dim}")


def unfinished(snapshot: Snapshot) -> list[EngineAbout]:
    """The engines that do not cover all rows, the oldest first."""
    numbers = tuple(block.about.number for block in snapshot.blocks)
    behind = [each for each in reversed(snapshot.contents.engines) if each.blocks != numbers]
    return [each for each in behind if getattr(each.kind, "lists", 0) <= snapshot.positions]  # the others wait for rows


def rebuild(snapshot: Snapshot, about: EngineAbout, progress: Progress) -> None:
    """Build an engine of the snapshot again, over all rows."""
    turn = Leading.load(snapshot.folder.verified(about.map_file)) if about.map_file else None
    add_engine(snapshot, about.dim, about.kind, progress, turn)


def _with_map(
    snapshot: Snapshot, about: EngineAbout, others: list[EngineAbout], turn: Leading
) -> tuple[EngineAbout, dict[str, Content]]:
    """The engine with its map's file, which engines with the same map share if it has enough dims for them."""
    same = {each.map_file for each in others if each.map == about.map}
    wide = (file for file in sorted(same) if Leading.load(snapshot.folder.verified(file)).dim >= about.dim)
    there = next(wide, "")
    file = there or f"map-{snapshot.contents.next:06d}.safetensors"
    return replace(about, map_file=file), {} if there else {file: turn.sealed()}


def _factor(snapshot: Snapshot, about: EngineAbout, turn: Leading | None) -> float:
    """A power of two that brings the longest prefix near `LARGEST`; distances keep their order under it."""
    if getattr(about.kind, "codes", "") != "float16":
        return 1.0
    level = -1 if turn is not None else snapshot.layout.level(about.dim)
    longest = max(float(block.norms[level].max()) for block in snapshot.blocks)
    if snapshot.card.metric == "cosine" or longest == 0:
        return 1.0
    return 2.0 ** math.floor(math.log2(LARGEST) - math.log2(longest))


def _checked(index: Any, snapshot: Snapshot, dim: int) -> Any:
    """InputError unless FAISS's index has as many rows and dims as it should."""
    if (index.ntotal, index.d) != (snapshot.positions, dim):
        raise InputError(
            f"the engine that was built has {index.ntotal:,} rows of {index.d} dims, {snapshot.folder.path} has "
            f"{snapshot.positions:,} and {dim} are wanted; build it of the same rows, or leave it out"
        )
    return index


def _filled(snapshot: Snapshot, about: EngineAbout, turn: Leading | None, progress: Progress) -> Any:
    """FAISS's index of all rows."""
    done, metric = 0, snapshot.card.metric
    with proposers.omp_threads(threads.count()):
        index = proposers.trained(about.kind, about.dim, metric, _sample(snapshot, about, turn))
        for rows in _prefixes(snapshot, about, turn):
            index.add(rows)
            done += len(rows)
            progress("engine", done, snapshot.positions)
    return index


def _sample(snapshot: Snapshot, about: EngineAbout, turn: Leading | None) -> Floats:
    """(n, dim) prefixes of rows that are spread over all, as the engine compares them."""
    rows = spread(snapshot.positions, proposers.TRAINED_ON)
    parts = []
    for start in range(0, len(rows), proposers.BATCH):
        vectors = snapshot.vectors_at(rows[start : start + proposers.BATCH])
        parts.append(_cut(snapshot, about, turn, vectors))
    return np.concatenate(parts)


def _prefixes(snapshot: Snapshot, about: EngineAbout, turn: Leading | None) -> Iterator[Floats]:
    """(n, dim) prefixes as the metric compares them, batch by batch."""
    level = None if turn is not None else snapshot.layout.level(about.dim)
    for block in snapshot.blocks:
        for start in range(0, block.rows, proposers.BATCH):
            rows = block.decoded(slice(start, min(start + proposers.BATCH, block.rows)), level)
            yield _cut(snapshot, about, turn, rows)


def _cut(snapshot: Snapshot, about: EngineAbout, turn: Leading | None, rows: Floats) -> Floats:
    turned = rows if turn is None else turn.apply32(rows)
    return proposers.cut(turned, about.dim, snapshot.card.metric, about.factor)


def _written(snapshot: Snapshot, name: str, index: Any) -> Draft:
    """The engine's file, in portions, so that it is never in memory a second time."""
    faiss = proposers.library()
    with snapshot.folder.draft(name) as draft:
        faiss.write_index(index, faiss.PyCallbackIOWriter(draft.write, PORTION))
    return draft
