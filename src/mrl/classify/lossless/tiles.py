"""One tile of rows under the lossless rule, level by level.

Products with all classes are made for whole segments at a time, without a stop at levels where hardly anything can be
beaten yet (`Hope`). A row in which 1/16 of the classes or fewer can still win goes on with those only. Where
two classes are nearer than float32 tells, `exact_best` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Floats, Labels, Levels
from mrl.classify.lossless.bounds import UNIT, Bounds, Tables
from mrl.classify.lossless.confidence import Scale, Scores, among, firsts, others, probabilities
from mrl.classify.lossless.exact import exact_best, nearest, scores64

TILE_BYTES = 1 << 22  # of float32 scores of all classes at a time
TILE_ROWS = 64, 1024  # of a tile, at least and at most
FEW = 16  # once this part of the classes is left, products are made one class at a time
MOST = 0.75  # of a tile: of more rows no copy is made, and all are multiplied

Mask = npt.NDArray[np.bool_]
Rows = tuple[Floats, Floats]  # lengths of segments (n, S) and of whole rows (n,), rounded up


class Out(NamedTuple):
    """labels, levels, confidence: (n,) of the answers. work: (2, n), multiply-adds of scores, and others."""

    labels: Labels
    levels: Labels
    confidence: Floats
    work: Labels

    def only(self, part: slice) -> Out:
        """That of some rows, to be written into."""
        return Out(self.labels[part], self.levels[part], self.confidence[part], self.work[:, part])


class Found(NamedTuple):
    """What `look` and `finish` say of each row; see `loops`."""

    leaders: Labels
    others: Labels
    counts: Labels
    slots: Labels
    work: Labels

    @classmethod
    def of(cls, n: int, most: int) -> Found:
        """Room for n rows and at most so many classes each."""
        one, two, three, four = (np.zeros(n, np.int64) for _ in range(4))
        return cls(one, two, three, np.zeros((n, most), np.int64), four)


@dataclass(frozen=True, eq=False)
class Job:
    """A classifier, and room for the scores of a tile: one for each thread."""

    levels: Levels
    bounds: Bounds
    temperatures: tuple[float, ...]
    room: list[Floats] = field(default_factory=list)

    def scores(self, n: int) -> tuple[Floats, Floats]:
        """Totals (n, p), which begin as p_c, and room for products."""
        if not self.room:
            shape = (tile_rows(self.levels), self.levels.prototypes)
            self.room.extend(np.empty(shape, np.float32) for _ in range(2))
        total, product = (room[:n] for room in self.room)
        total[:] = self.bounds.plus
        return total, product


@dataclass(frozen=True, eq=False)
class Tile:
    """x: (n, width) float32. rows: their lengths. total, product: (n, p). scale: how scores become logits."""

    job: Job
    x: Floats
    rows: Rows
    total: Floats
    product: Floats
    found: Found
    scale: Scale
    out: Out


def tile_rows(levels: Levels) -> int:
    """How many rows a tile has."""
    return int(np.clip(TILE_BYTES // (4 * levels.prototypes), *TILE_ROWS))


def run_tile(job: Job, vectors: npt.NDArray[Any], out: Out) -> None:
    """Fill `out` for rows (n, width)."""
    levels, known = job.levels, job.bounds
    x = np.ascontiguousarray(vectors[:, : levels.dims.width], np.float32)
    lengths = _lengths(x, levels)
    tile = Tile(job, x, _rounded_up(lengths), *job.scores(len(x)), _room(job, len(x)), Scale.of(levels, lengths), out)
    hope = known.hope.levels(lengths)
    safe = known.safe(np.sqrt((lengths**2).sum(1)))
    left, start = np.flatnonzero(safe), 0
    for level, stop in enumerate(levels.dims.dims):
        if hope[left, level].any() or (len(left) and stop == levels.dims.width):
            left = _level(tile, level, start, left)
            start = stop
    for i in left:
        _decide(tile, int(i))
    _decide_large(tile, np.flatnonzero(~safe))
    out.work[1] += tile.found.work + levels.dims.width


def _level(tile: Tile, level: int, start: int, left: Labels) -> Labels:
    """Bring these rows to a level; those of them that are not answered yet."""
    levels, found, out = tile.job.levels, tile.found, tile.out
    stop, whole = levels.dims.dims[level], len(left) > MOST * len(tile.x)
    some = slice(None) if whole else left  # a copy of most rows costs more than products with the others
    product = tile.product[: len(tile.x) if whole else len(left)]
    with np.errstate(over="ignore", invalid="ignore"):  # rows that float32 does not hold, in a whole tile
        np.matmul(tile.x[some, start:stop], tile.job.bounds.weights[:, start:stop].T, out=product)
    out.work[0, some] += (stop - start) * levels.prototypes
    _look(tile, level, left, (product, left if whole else np.arange(len(left))))
    sure = found.others[left] == 0
    _answer(tile, level, left[sure])
    left = left[~sure]
    few = (found.counts[left] <= found.slots.shape[1]) & (level + 1 < len(levels.dims))
    _finish(tile, level, left[few])
    unsettled: Labels = left[~few]
    return unsettled


def _answer(tile: Tile, level: int, these: Labels) -> None:
    """Rows that are certain at a level where all classes were computed."""
    if len(these):
        out, label = tile.out, tile.job.bounds.tables.owner[tile.found.leaders[these]]
        logits = tile.scale.logits(tile.total[these], level, these)
        out.labels[these], out.levels[these] = label, level
        out.confidence[these] = probabilities(logits, label, tile.job.temperatures[level])


def _finish(tile: Tile, level: int, these: Labels) -> None:
    """Rows in which few classes can still win, from a level to the one where they stop."""
    if not len(these):
        return
    job, out, some = tile.job, tile.out, Found(*(part[these] for part in tile.found))
    valid = np.arange(some.slots.shape[1]) < some.counts[:, None]
    owners = np.where(valid, job.bounds.tables.owner[some.slots], 0)
    first, scores = firsts(owners, valid), np.take_along_axis(tile.total[these], some.slots, axis=1)
    logits = tile.scale.logits(tile.total[these], level, these)
    rest = others(logits, owners, first, job.temperatures[level])
    levels = np.full(len(these), level)
    best = _finished(tile, these, levels, some, (scores, valid))
    labels = job.bounds.tables.owner[best]
    out.labels[these], out.levels[these] = labels, levels
    logits = tile.scale.some(scores, levels, these, some.slots) / np.array(job.temperatures)[levels, None]
    out.confidence[these] = among(np.where(valid, logits, -np.inf), owners, first, labels, rest)


def _finished(tile: Tile, these: Labels, levels: Labels, some: Found, among: tuple[Floats, Mask]) -> Labels:
    """(m,) the best prototype of each of these rows; `levels` and the scores are brought to where they stop."""
    job, work, alive, x = tile.job, np.zeros(len(these), np.int64), among[1].copy(), tile.x[these]
    rows = tile.rows[0][these], tile.rows[1][these]
    ends, weights, loops = np.array(job.levels.dims.dims), job.bounds.weights, _compiled()
    found = (levels, some.leaders, some.others, some.counts, some.slots, work, among[0], alive)
    loops.finish(x, weights, ends, rows, job.bounds.tables, found)
    tile.out.work[0, these] += work
    for i in np.flatnonzero(some.others):
        some.leaders[i] = exact_best(job.levels, x[i], some.slots[i, alive[i]])
        tile.out.work[1, these[i]] += x.shape[1] * int(alive[i].sum())
    return some.leaders


def _look(tile: Tile, level: int, left: Labels, made: tuple[Floats, Labels]) -> None:
    loops = _compiled()
    look = loops.look if loops else look_plain
    look(tile.total, made, left, level, tile.rows, tile.job.bounds.tables, tile.found)


def _decide(tile: Tile, i: int) -> None:
    """A row at full width in which float32 leaves more than one class."""
    scores, tables = tile.total[i], tile.job.bounds.tables
    need = 2 * (tile.rows[1][i] * tables.slip.max() + tables.stay.max())
    _conclude(tile, i, scores, np.flatnonzero(scores >= scores.max() - need))


def _decide_large(tile: Tile, these: Labels) -> None:
    """Rows that float32 does not hold, together: all classes are reckoned in float64."""
    if not len(these):
        return
    levels = tile.job.levels
    scores, off = scores64(levels, tile.x[these], np.arange(levels.prototypes))
    tile.out.work[0, these] = levels.dims.width * levels.prototypes
    for i, mine, slack in zip(these, scores, off, strict=True):
        _conclude(tile, int(i), mine, nearest(mine, slack))


def _conclude(tile: Tile, i: int, scores: Scores, some: Labels) -> None:
    """The answer at full width. scores: (p,). some: the prototypes that may be the best."""
    levels, out, last = tile.job.levels, tile.out, len(tile.job.levels.dims) - 1
    label = tile.job.bounds.tables.owner[exact_best(levels, tile.x[i], some)]
    logits = tile.scale.logits(scores[None], last, np.array([i]))
    out.labels[i], out.levels[i] = label, last
    out.confidence[i] = probabilities(logits, label[None], tile.job.temperatures[last])[0]
    out.work[1, i] += levels.dims.width * len(some)


def look_plain(
    total: Floats, made: tuple[Floats, Labels], these: Labels, level: int, rows: Rows, tables: Tables, found: Found
) -> None:
    """The slow twin of `loops.look`, a row at a time, and what runs without Numba. Leaves no class out."""
    for i, at in zip(these, made[1], strict=True):
        total[i] += made[0][at]
        leader, tail = int(total[i].argmax()), slice(level + 1, None)
        line = leader if tables.apart.shape[1] > 1 else 0
        need = rows[0][i, tail] @ (tables.apart[tail, line] + tables.extra[tail, leader, None])
        need += rows[1][i] * (tables.slip + tables.slip[leader]) + tables.stay + tables.stay[leader]
        left = total[i, leader] - total[i] <= need
        found.leaders[i] = leader
        found.others[i] = (tables.owner[left] != tables.owner[leader]).sum()
        found.counts[i] = found.slots.shape[1] + 1
        found.work[i] += (len(tables.extra) - 1 - level) * len(need)


def _lengths(x: Floats, levels: Levels) -> npt.NDArray[np.float64]:
    """(n, S), of segments."""
    if _compiled():
        from mrl.sweep import squares

        found: npt.NDArray[np.float64] = np.sqrt(squares(x, np.array(levels.dims.dims)))
        return found
    parts = [x[:, a:b].astype(np.float64) for a, b in levels.dims.segments]
    return np.stack([np.sqrt(np.einsum("nd,nd->n", part, part)) for part in parts], axis=1)


def _rounded_up(lengths: npt.NDArray[np.float64]) -> Rows:
    up = 1 + 4 * UNIT
    with np.errstate(over="ignore"):  # rows that float32 does not hold are not compared
        return (lengths * up).astype(np.float32), (np.sqrt((lengths**2).sum(1)) * up).astype(np.float32)


def _room(job: Job, n: int) -> Found:
    return Found.of(n, job.levels.prototypes // FEW if _compiled() else 0)


@cache
def _compiled() -> Any:
    """The compiled loops, or None."""
    try:
        from mrl.classify.lossless import loops
    except ImportError:
        return None
    return loops
