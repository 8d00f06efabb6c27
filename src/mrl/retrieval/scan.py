"""The first stage of a search: every row of every block, over the first segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval import kernels, threads
from mrl.retrieval.best import ALL, EVERY, Best, Candidates
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.encodings import Coded, Floats

FEW = 4  # queries that are scanned for one by one; more go through matrix products
QUERY_TILE, ROW_TILE = 128, 4096  # float32 products of a tile: 2 MiB
SPARSE = 16  # where fewer than one row of so many is allowed, only these are read
ROWS_PER_THREAD = 16_384  # fewer are not worth a thread

Mask = npt.NDArray[np.bool_]


def scan(
    blocks: Sequence[Block], reading: Sequence[str], queries: Floats, keep: int, metric: Metric, masks: Sequence[Mask]
) -> Candidates:
    """The best `keep` rows of each query (q, d) by the prefix whose segments are read in the encodings `reading`.

    masks: for each block which of its rows may be found, (rows,) or `ALL`.
    """
    best = Best(len(queries), keep, metric)
    for block, allowed in zip(blocks, masks, strict=True):
        rows = _rows(block, reading, allowed)
        if len(queries) <= FEW:
            for q in range(len(queries)):
                raw = products(rows.parts, queries[q])
                best.offer(raw[None], rows.norms, block.first, rows.allowed, q, rows.places)
        else:
            _scan_tiles(rows, queries, best, block.first)
    return best.ranked()


def scored(blocks: Sequence[Block], masks: Sequence[Mask]) -> int:
    """How many rows `scan` scores for each query."""
    return sum(
        int(np.count_nonzero(mask)) if _sparse(block, mask) else block.rows
        for block, mask in zip(blocks, masks, strict=True)
    )


class _Rows(NamedTuple):
    """What is scanned of a block. parts: its segments. norms, allowed, places: as in `Best.offer`."""

    parts: list[Coded]
    norms: Floats
    allowed: Mask
    places: Positions


def _sparse(block: Block, allowed: Mask) -> bool:
    return len(allowed) > 0 and int(np.count_nonzero(allowed)) * SPARSE < block.rows


def _rows(block: Block, reading: Sequence[str], allowed: Mask) -> _Rows:
    """All rows of the block, or copies of the few that are allowed."""
    parts = [block.segment(level, name) for level, name in enumerate(reading)]
    norms = block.norms[len(reading) - 1]
    if not _sparse(block, allowed):
        return _Rows(parts, norms, allowed, EVERY)
    places = np.flatnonzero(allowed)
    thin = [Coded("float32", part.width, locked(part.decoded(places)), part.scales[:0]) for part in parts]
    return _Rows(thin, locked(norms[places]), ALL, places)


def locked(array: Floats) -> Floats:
    """The array, not writable, like those that are mapped from disk: another kind would be compiled for again."""
    array.flags.writeable = False
    return array


def products(parts: Sequence[Coded], query: Floats, into: Floats | None = None, start: int = 0) -> Floats:
    """(n,) products of a query (d,) with all rows over these segments, the first of which begins at dim `start`."""
    raw = np.zeros(len(parts[0]), np.float32) if into is None else into
    for part in parts:
        piece = np.ascontiguousarray(query[start : start + part.width])
        codes, kernel = readable(part), kernels.SCAN[part.encoding]
        threads.each(
            lambda a, b, codes=codes, scales=part.scales, piece=piece, kernel=kernel: kernel(  # type: ignore[misc]
                codes, scales, piece, a, b, raw
            ),
            len(raw),
            ROWS_PER_THREAD,
        )
        start += part.width
    return raw


def readable(part: Coded) -> npt.NDArray[np.generic]:
    """The codes as the kernels take them: float16 as its bits."""
    return part.codes.view(np.uint16) if part.encoding == "float16" else part.codes


def _scan_tiles(rows: _Rows, queries: Floats, best: Best, first: int) -> None:
    """Matrix products of tiles of queries with tiles of rows, a thread per tile of queries."""

    def work(q: int, stop: int) -> None:
        tile = queries[q:stop]
        for r in range(0, len(rows.norms), ROW_TILE):
            some = slice(r, min(r + ROW_TILE, len(rows.norms)))
            allowed, places = rows.allowed[some], rows.places[some]
            raw = _multiplied(tile, rows.parts, some)
            best.offer(raw, rows.norms[some], first + (0 if len(places) else r), allowed, q, places)

    with threads.one_blas_thread():
        threads.run(work, [(q, min(q + QUERY_TILE, len(queries))) for q in range(0, len(queries), QUERY_TILE)])


def _multiplied(tile: Floats, parts: Sequence[Coded], rows: slice) -> Floats:
    """(q, m) products with one tile of rows, accumulated over the segments."""
    start, total = 0, np.empty((len(tile), rows.stop - rows.start), np.float32)
    one = np.empty_like(total) if len(parts) > 1 else total
    for number, part in enumerate(parts):
        values = part.codes[rows] if part.encoding == "float32" else part.decoded(rows)
        np.matmul(tile[:, start : start + part.width], values.T, out=one if number else total)
        if number:
            total += one
        start += part.width
    return total
