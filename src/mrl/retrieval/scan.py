"""The first stage of a search: every row of every block, over the first segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval import kernels, threads
from mrl.retrieval.best import ALL, Best, Candidates
from mrl.retrieval.blocks import Block
from mrl.retrieval.encodings import Coded, Floats

FEW = 4  # queries that are scanned for one by one; more go through matrix products
QUERY_TILE, ROW_TILE = 128, 4096  # float32 products of a tile: 2 MiB
ROWS_PER_THREAD = 16_384  # fewer are not worth a thread

Mask = npt.NDArray[np.bool_]


def scan(
    blocks: Sequence[Block], reading: Sequence[str], queries: Floats, keep: int, metric: Metric, masks: Sequence[Mask]
) -> Candidates:
    """The best `keep` rows of each query (q, d) by the prefix whose segments are read in the encodings `reading`.

    masks: for each block which of its rows may be found, (rows,) or `ALL`.
    """
    best = Best(len(queries), keep, metric)
    level = len(reading) - 1
    for block, allowed in zip(blocks, masks, strict=True):
        parts = [block.segment(i, name) for i, name in enumerate(reading)]
        if len(queries) <= FEW:
            for q in range(len(queries)):
                raw = products(parts, queries[q])
                best.offer(raw[None], block.norms[level], block.first, allowed, at=q)
        else:
            _scan_tiles(parts, queries, best, block, level, allowed)
    return best.ranked()


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


def _scan_tiles(parts: Sequence[Coded], queries: Floats, best: Best, block: Block, level: int, allowed: Mask) -> None:
    """Matrix products of tiles of queries with tiles of rows, a thread per tile of queries."""

    def work(q: int, stop: int) -> None:
        tile = queries[q:stop]
        total = np.empty((len(tile), ROW_TILE), np.float32)
        part_of = np.empty_like(total)
        for r in range(0, block.rows, ROW_TILE):
            rows = slice(r, min(r + ROW_TILE, block.rows))
            raw = _multiplied(tile, parts, rows, total, part_of)
            best.offer(raw, block.norms[level, rows], block.first + r, allowed[rows] if len(allowed) else ALL, at=q)

    with threads.one_blas_thread():
        threads.run(work, [(q, min(q + QUERY_TILE, len(queries))) for q in range(0, len(queries), QUERY_TILE)])


def _multiplied(tile: Floats, parts: Sequence[Coded], rows: slice, total: Floats, one: Floats) -> Floats:
    """(q, m) products with one tile of rows, accumulated over the segments."""
    start, width = 0, rows.stop - rows.start
    total, one = total[:, :width], one[:, :width]
    for number, part in enumerate(parts):
        values = part.codes[rows] if part.encoding == "float32" else part.decoded(rows)
        np.matmul(tile[:, start : start + part.width], values.T, out=one if number else total)
        if number:
            total += one
        start += part.width
    return total
