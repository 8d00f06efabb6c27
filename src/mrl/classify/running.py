"""Running a cascade: level by level, each computing only the rows still undecided.

Rows pass in tiles, one to a thread, so that memory does not grow with their number. Within a tile every level
multiplies some rows at a time, whose logits stay near until they have been looked at (`compiled`; without Numba
`looking`). A tied head or prototypes keep the products of those that go on, and the next level adds its own dims.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import Answers, looked
from mrl.classify.cascade import Cascade
from mrl.classify.levels import Floats
from mrl.classify.signals import signals
from mrl.classify.steps import Found, Step, steps
from mrl.classify.thresholds import exits

TILE_BYTES, TILE_ROWS = 32 << 20, 8192  # products that a thread keeps, and rows of a tile at most
PART_BYTES, PART_ROWS = 2 << 20, 512  # products looked at together, and rows at most
LEAST_ROWS, LEAST_PART = 64, 16  # below these, BLAS would read a weight for too few rows

Vectors = npt.NDArray[Any]
T = TypeVar("T")


class Engine(NamedTuple):
    """code: `compiled`, or `looking`. share(do, n, most): do(start, stop) for parts of 0 … n of at most so many."""

    code: Any
    share: Callable[[Callable[[int, int], object], int, int], None]


class Room(NamedTuple):
    """What a thread works in. raw: (tile, p), or (0, p) where nothing is continued. squares: (tile,). part: (part, p).
    own: (part,)."""

    raw: Floats
    squares: npt.NDArray[np.float64]
    part: Floats
    own: Floats


def run(cascade: Cascade, vectors: Vectors) -> Answers:
    """Answers for rows (n, width), finite, in memory or mapped."""
    if cascade.rule == "lossless":
        from mrl.classify.lossless import run_lossless

        return run_lossless(cascade, vectors)
    found = Found.empty(len(vectors))
    rows, todo = np.asarray(vectors), steps(cascade)
    if cascade.keep is not None and cascade.keep < cascade.levels.prototypes:
        from mrl.classify.shortlisting import shortlisted

        shortlisted(cascade, todo, rows, found)
    else:
        everything(cascade, todo, rows, found)
    met = looked(cascade.rule, cascade.thresholds, cascade.keep)
    return Answers(*found[:3], cascade.dims, cascade.tied, cascade.classes, met)


def everything(cascade: Cascade, todo: list[Step], vectors: Vectors, found: Found) -> None:
    """Fill in what is found of rows (n, d), with all prototypes at every level."""
    each, (code, share) = cascade.levels.prototypes, engine()
    free: list[Room] = []
    size = min(TILE_ROWS, max(LEAST_ROWS, TILE_BYTES // (4 * each)), len(vectors))

    def tile(start: int, stop: int) -> None:
        room = taken(free, lambda: _room(size, each, cascade.tied and len(todo) > 1))
        _tile(code, todo, vectors[start:stop], cascade.levels.rescaled, room, found.part(start, stop))
        free.append(room)

    share(tile, len(vectors), size)


def taken(free: list[T], make: Callable[[], T]) -> T:
    """One that is free, else a new one; whoever asks first whether there is one may find that a thread was faster."""
    try:
        return free.pop()
    except IndexError:
        return make()


def _room(size: int, each: int, continued: bool) -> Room:
    part = min(size, PART_ROWS, max(LEAST_PART, PART_BYTES // (4 * each)))
    raw = np.empty((size if continued else 0, each), np.float32)
    return Room(raw, np.empty(size), np.empty((part, each), np.float32), np.ones(part, np.float32))


def _tile(code: Any, todo: list[Step], vectors: Vectors, rescaled: bool, room: Room, found: Found) -> None:
    rows = np.arange(len(vectors))
    for step in todo:
        for start in range(0, len(rows), len(room.part)):
            some = rows[start : start + len(room.part)]
            x, own = cut(vectors, some, step), room.own[: len(some)]
            if rescaled:
                code.lengths(x, some, step.when.continues, room.squares, own)
            products = np.matmul(x, step.weight.T, out=room.part[: len(some)])
            code.look(products, own, some, room.raw, step.scale, step.when, found)
        rows = rows[found.going[rows]]
        if not len(rows):
            return


def cut(vectors: Vectors, rows: npt.NDArray[np.int64], step: Step) -> Floats:
    """The dims of a step (m, end − begin) of rows in order, float32; a copy only where they are not."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    part = vectors[first:last, step.begin : step.end]
    return np.asarray(part if last - first == len(rows) else part[rows - first], np.float32)


# ------------------------------------------------------------------------------- with Numba, and without


@cache
def engine() -> Engine:
    try:
        from mrl.classify import compiled
        from mrl.retrieval import threads
    except ImportError:
        from mrl.classify import looking

        return Engine(looking, _one_by_one)

    def share(do: Callable[[int, int], object], n: int, most: int) -> None:
        size = min(most, max(LEAST_ROWS, -(-n // threads.count())))
        parts = [(start, min(start + size, n)) for start in range(0, n, size)]
        with threads.one_blas_thread() if len(parts) > 1 else nullcontext():
            threads.run(do, parts) if len(parts) > 1 else do(*parts[0])

    return Engine(compiled, share)


def _one_by_one(do: Callable[[int, int], object], n: int, most: int) -> None:
    for start in range(0, n, most):
        do(start, min(start + most, n))


def plain(cascade: Cascade, vectors: npt.NDArray[Any]) -> Answers:
    """The slow twin: every level of every row, then where each would have stopped. No rule `lossless`, and no
    `keep`."""
    told = signals(cascade.levels, vectors, cascade.temperatures)
    score = told.score(cascade.rule, cascade.gain)  # type: ignore[arg-type]
    level, rows = exits(score[:-1], cascade.thresholds), np.arange(len(vectors))
    found = (told.labels[level, rows], level, told.probability[level, rows])
    met = looked(cascade.rule, cascade.thresholds, cascade.keep)
    return Answers(*found, cascade.dims, cascade.tied, cascade.classes, met)
