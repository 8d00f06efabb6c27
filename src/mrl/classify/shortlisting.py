"""Running a cascade over very many classes: after the first level only the best of each row go on.

The first level is one sweep (`longlists`): products and the best `keep` in one loop. Later ones gather the weights
of these few. A class is as good as the best of its prototypes that were kept, and probabilities, of the first level
too, are over the classes that were: what was not has none.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from mrl.classify.cascade import Cascade
from mrl.classify.levels import Floats, Labels, Levels
from mrl.classify.running import Vectors, cut, engine
from mrl.classify.steps import Found, Step

TILE_BYTES, TILE_ROWS = 32 << 20, 16384  # products, scores and places of a tile, and its rows at most
PART_ROWS = 512  # rows that walk together, so that their full width need not be copied for all
SCORE_BYTES = 32 << 20  # scores of the first level at a time, without Numba


class Kept(NamedTuple):
    """positions: (n, keep), which prototypes. raw: (n, keep), their products so far. owner: (p,), their classes; (0,)
    where prototypes are the classes."""

    positions: Labels
    raw: Floats
    owner: Labels

    def part(self, start: int, stop: int) -> Kept:
        """Views of some rows."""
        return Kept(self.positions[start:stop], self.raw[start:stop], self.owner)


def shortlisted(cascade: Cascade, todo: list[Step], vectors: Vectors, found: Found) -> None:
    """Fill in what is found of rows (n, d), with `keep` prototypes from the first level on."""
    levels, keep = cascade.levels, cascade.keep or cascade.levels.prototypes
    owner = np.empty(0, np.int64) if levels.starts is None else levels.owner()
    whole = [step._replace(weight=levels.weights[0 if levels.tied else step.when.level]) for step in todo]
    size = min(TILE_ROWS, max(1, TILE_BYTES // (16 * keep)))
    for start in range(0, len(vectors), size):
        some, known = vectors[start : start + size], found.part(start, start + size)
        _tile(levels, whole, some, Kept(*best(levels, some, keep), owner), known)


def _tile(levels: Levels, todo: list[Step], vectors: Vectors, kept: Kept, found: Found) -> None:
    code, share = engine()

    def some(start: int, stop: int) -> None:
        _walk(code, todo, vectors[start:stop], levels.rescaled, kept.part(start, stop), found.part(start, stop))

    share(some, len(vectors), PART_ROWS)


def _walk(code: Any, todo: list[Step], vectors: Vectors, rescaled: bool, kept: Kept, found: Found) -> None:
    rows, squares = np.arange(len(vectors)), np.empty(len(vectors))
    for place, step in enumerate(todo):
        x, own = np.ascontiguousarray(cut(vectors, rows, step)), np.ones(len(rows), np.float32)
        if rescaled:
            code.lengths(x, rows, step.when.continues, squares, own)
        if not place:  # the products of the first level are there
            x, step = x[:, :0], step._replace(end=step.begin)
        code.rescore(x, own, rows, kept, step, found)
        rows = rows[found.going[rows]]
        if not len(rows):
            return


# ------------------------------------------------------------------------------- the first level


def best(levels: Levels, vectors: Vectors, keep: int) -> tuple[Labels, Floats]:
    """(positions, products), both (n, keep), of the best prototypes by the first level; of equal ones the earlier."""
    compiled = _compiled()
    if not compiled:
        return _best(levels, vectors, keep)
    scale = np.stack([levels.times[:1], levels.plus[:1]])
    positions, raw = compiled.longest(vectors, levels.weight(0), levels.dims.dims[0], scale, keep)
    return np.maximum(positions, 0), raw  # −1 where products overflow


def _best(levels: Levels, vectors: Vectors, keep: int) -> tuple[Labels, Floats]:
    """The same in NumPy."""
    dim, step = levels.dims.dims[0], max(1, SCORE_BYTES // (4 * levels.prototypes))
    positions, raw = np.empty((len(vectors), keep), np.int64), np.empty((len(vectors), keep), np.float32)
    for start in range(0, len(vectors), step):
        some = slice(start, start + step)
        products = np.asarray(vectors[some, :dim], np.float32) @ levels.weight(0).T
        scores = products * levels.times[0] + levels.plus[0]
        positions[some] = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
        raw[some] = np.take_along_axis(products, positions[some], axis=1)
    return positions, raw


@cache
def _compiled() -> ModuleType | None:
    try:
        from mrl.classify import longlists
    except ImportError:
        return None
    return longlists
