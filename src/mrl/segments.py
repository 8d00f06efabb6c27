"""The kernel: raw scores accumulated segment by segment, tile by tile, with the best k at every cut.

Every similarity at several dims comes from here. A cut's raw score is the one of the cut before plus the product over
one more segment, so all cuts together cost one full-width product; a metric only changes two factors per row:

    cosine   s = ⟨q, x⟩ / (|q| |x|)      dot   s = ⟨q, x⟩      l2   s = −|q − x|² = 2⟨q, x⟩ − |x|² − |q|²

with norms of the prefix at that cut. Where Numba is installed (the `fast` extra), products and the best k are one
compiled loop (`sweep`); otherwise both run in NumPy, a tile at a time, with the same result but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, metric

QUERY_TILE, ROW_TILE = 1024, 1024  # float32 scores of a tile: 4 MiB, so that all passes over them stay in cache

LARGEST = 1e15  # length of a vector; its inverse is the smallest under cosine

Vectors = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The best k rows for each query at each cut, best first; equal scores in order of position.

    cuts: the dims. positions: (cuts, queries, k) int64 into the rows. scores: (cuts, queries, k) float32, by the
    metric, larger is nearer (l2: minus the squared distance).
    """

    cuts: Nesting
    positions: npt.NDArray[np.int64]
    scores: Floats


def prefix_norms(vectors: Vectors, cuts: Nesting) -> npt.NDArray[np.float64]:
    """Euclidean length of every prefix, (n, d) -> (n, cuts), from one pass over the coordinates."""
    cuts.check_width(vectors.shape[1])
    sweep = _compiled()
    if sweep and vectors.dtype in (np.float16, np.float32):
        return _lengths(sweep.squares(vectors, np.array(cuts.dims)))
    squares = np.empty((len(vectors), len(cuts)))
    for start in range(0, len(vectors), ROW_TILE):
        tile = vectors[start : start + ROW_TILE]
        for level, (a, b) in enumerate(cuts.segments):
            part = tile[:, a:b].astype(np.float64)
            squares[start : start + ROW_TILE, level] = np.einsum("nd,nd->n", part, part)
    return _lengths(squares)


def _lengths(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.sqrt(np.cumsum(squares, axis=1))


def accumulate(left: Floats, right: Floats, cuts: Nesting) -> Iterator[tuple[int, Floats]]:
    """(level, raw scores (n, m)) of left (n, d) against right (m, d) at each cut, narrowest first.

    The array yielded is the same one each time and is added to afterwards: use it before asking for the next.
    """
    cuts.check_width(min(left.shape[1], right.shape[1]))
    total = np.empty((len(left), len(right)), np.float32)
    part = np.empty_like(total) if len(cuts) > 1 else total
    for level, (a, b) in enumerate(cuts.segments):
        np.matmul(left[:, a:b], right[:, a:b].T, out=part if level else total)
        if level:
            total += part
        yield level, total


def neighbours(queries: Vectors, rows: Vectors, cuts: Nesting, k: int, by: Metric = "cosine") -> Neighbours:
    """The k nearest rows of every query at every cut, exactly, in one pass.

    queries: (q, d). rows: (n, d). cuts: dims of at most d. k: from 1 to n. A zero prefix has cosine 0 with everything.
    InputError for shapes that do not fit, for k out of range, for a NaN or an Inf, and for lengths beyond float32.
    """
    _check(queries, rows, k)
    scale = _scales(prefix_norms(rows, cuts), metric(by), "rows")
    own = _scales(prefix_norms(queries, cuts), by, "queries")
    shape = (len(cuts), len(queries), k)
    best = Neighbours(cuts, np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32))
    sweep = _compiled()
    if sweep:
        factors = np.stack([scale.times, scale.plus])
        sweep.nearest(queries, rows, np.array(cuts.dims), factors, (best.scores, best.positions))
    else:
        _tile_by_tile(queries, rows, scale, best)
    _finish(best, own, by)
    return best


@dataclass(frozen=True)
class _Scales:
    """score = raw · times + plus, both (cuts, n)."""

    times: Floats
    plus: Floats


def _scales(norms: npt.NDArray[np.float64], by: Metric, whose: str) -> _Scales:
    bad = np.flatnonzero(~np.isfinite(norms[:, -1]))
    if len(bad):
        raise InputError(f"{whose} {bad[0]} has a NaN or an Inf ({len(bad)} such {whose}); leave these out")
    _check_range(norms, by, whose)
    lengths = np.ascontiguousarray(norms.T)
    if by == "cosine":
        times = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return _Scales(times.astype(np.float32), np.zeros(lengths.shape, np.float32))
    times = np.full(lengths.shape, 2.0 if by == "l2" else 1.0, np.float32)
    plus = -(lengths**2) if by == "l2" else np.zeros_like(lengths)
    return _Scales(times, plus.astype(np.float32))


def _check_range(norms: npt.NDArray[np.float64], by: Metric, whose: str) -> None:
    """Raise InputError for lengths whose products float32 cannot hold. Under dot and l2 a short row is only short."""
    extreme = norms > LARGEST
    if by == "cosine":
        extreme |= (norms > 0) & (norms < 1 / LARGEST)
    bad = np.argwhere(extreme)
    if len(bad):
        raise InputError(
            f"{whose} {bad[0, 0]} has a prefix of length {norms[tuple(bad[0])]:.1e}; float32 products hold "
            f"lengths from {1 / LARGEST:.0e} to {LARGEST:.0e}: rescale the vectors"
        )


def _finish(best: Neighbours, own: _Scales, by: Metric) -> None:
    """Bring in the query's own factor, which does not change the order."""
    if by == "cosine":
        best.scores[...] *= own.times[:, :, None]
    elif by == "l2":
        np.minimum(best.scores + own.plus[:, :, None], 0, out=best.scores)


def _check(queries: Vectors, rows: Vectors, k: int) -> None:
    for name, array in (("queries", queries), ("rows", rows)):
        if array.ndim != 2 or array.dtype.kind != "f":
            raise InputError(f"{name} must be a float matrix (n, d), got {array.dtype} of shape {array.shape}")
    if queries.shape[1] != rows.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} dims and rows {rows.shape[1]}; embed both with one model")
    if not 1 <= k <= len(rows):
        raise InputError(f"k must lie between 1 and the {len(rows)} rows, got {k}")


def _tile(vectors: Vectors, start: int, size: int) -> Floats:
    return np.ascontiguousarray(vectors[start : start + size], dtype=np.float32)


# ----------------------------------------------------------------------------------- without Numba


@cache
def _compiled() -> ModuleType | None:
    try:
        from mrl import sweep
    except ImportError:
        return None
    return sweep


def _tile_by_tile(queries: Vectors, rows: Vectors, scale: _Scales, best: Neighbours) -> None:
    """What `sweep.nearest` does, in NumPy."""
    for q in range(0, len(queries), QUERY_TILE):
        tile = _tile(queries, q, QUERY_TILE)
        for r in range(0, len(rows), ROW_TILE):
            columns = slice(r, r + ROW_TILE)
            for level, raw in accumulate(tile, _tile(rows, r, ROW_TILE), best.cuts):
                into = (best.scores[level, q : q + len(tile)], best.positions[level, q : q + len(tile)])
                keep_numpy(raw, scale.times[level, columns], scale.plus[level, columns], r, *into)


def keep_numpy(raw: Floats, times: Floats, plus: Floats, first: int, scores: Floats, positions: Any) -> None:
    """Merge a tile's scores into the best k, in NumPy. Rows come in order, so a stable sort keeps ties in order."""
    k = scores.shape[1]
    tile = raw * times + plus
    merged = np.concatenate([scores, tile], axis=1)
    places = np.concatenate([positions, np.broadcast_to(np.arange(first, first + tile.shape[1]), tile.shape)], axis=1)
    order = np.argsort(-merged, axis=1, kind="stable")[:, :k]
    scores[...] = np.take_along_axis(merged, order, axis=1)
    positions[...] = np.take_along_axis(places, order, axis=1)
