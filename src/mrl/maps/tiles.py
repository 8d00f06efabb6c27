"""Rows through float32 matrix products, a tile at a time, at about the speed of the bare product.

A BLAS sums in another order when a matrix has another shape (OpenBLAS has kernels of their own for small ones), but in
one shape every row goes the same way. So a map has one size of tile, full or filled up with zeros: a row's image does
not depend on where it stands, nor on how many come with it. A much smaller one beside it serves few rows at a time,
where a trial finds that it gives the same to the last bit. Products in which a single column would come out are another
thing to a BLAS, a matrix times a vector, so the tables of all maps have two columns at least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import unit_prefix

WORK = 1 << 31  # multiply-adds of a tile: 2,048 rows at 1,024 x 1,024
FEWEST, MOST = 256, 4096  # rows of a tile
FEW = 32  # rows of the small one, each of which takes 1.6 times as long
SAFE = (1e-30, 1e30)  # squared lengths that float32 sums without overflow or loss

Vectors = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float32]
Turn = Callable[[Floats, Floats], None]  # (tile, width), (tile, out): writes the images of the first into the second


def tile_rows(*tables: Floats) -> tuple[int, int]:
    """Rows of a tile, a power of two, and of the small one, for the matrices by which a tile is multiplied."""
    rows = max(WORK // sum(table.size for table in tables), 1)
    tile = min(max(1 << rows.bit_length() - 1, FEWEST), MOST)
    return tile, FEW if all(_agree(tile, table) for table in tables) else tile


def _agree(tile: int, table: Floats) -> bool:
    """Whether a product of few rows has the very bits of that of a whole tile."""
    rows = np.random.default_rng(0).standard_normal((tile, len(table)), np.float32)
    return bool((rows[:FEW] @ table == (rows @ table)[:FEW]).all())


def tiled(vectors: Vectors, shape: tuple[int, int], tiles: tuple[int, int], turn: Turn) -> Floats:
    """The images of all rows, (..., width) -> (..., out), by `turn` on tiles of two sizes. shape: (width, out)."""
    rows, tile = vectors.reshape(-1, shape[0]), tiles[0]
    mapped = np.empty((len(rows), shape[1]), np.float32)
    full = len(rows) - len(rows) % tile
    direct = rows.dtype == np.float32 and rows.flags.c_contiguous
    with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite, or beyond float32
        source = None if direct else np.empty((tile, shape[0]), np.float32)
        for start in range(0, full, tile):
            part = rows[start : start + tile]
            turn(part if source is None else _copied(part, source), mapped[start : start + tile])
        step = tiles[1] if len(rows) - full <= tile // 2 else tile
        for start in range(full, len(rows), step):
            mapped[start : start + step] = _filled(rows[start : start + step], shape, step, turn)
    return mapped.reshape(*vectors.shape[:-1], shape[1])


def _copied(rows: Vectors, place: Floats) -> Floats:
    place[: len(rows)] = rows
    return place


def _filled(rows: Vectors, shape: tuple[int, int], tile: int, turn: Turn) -> Floats:
    """The images of fewer rows than a tile, from a tile filled up with zeros."""
    images = np.empty((tile, shape[1]), np.float32)
    turn(_copied(rows, np.zeros((tile, shape[0]), np.float32)), images)
    return images[: len(rows)]


def unit_into(rows: Floats, place: Floats) -> Floats:
    """Rows (n, d), each rescaled to length 1, in `place`. Zero rows stay zero; those with a NaN or an Inf are NaN."""
    squares = np.vecdot(rows, rows)
    safe = (squares > SAFE[0]) & (squares < SAFE[1])
    np.divide(rows, np.sqrt(np.where(safe, squares, np.float32(1)))[:, None], out=place)
    if not safe.all():
        place[~safe] = unit_prefix(rows[~safe], rows.shape[1])
    return place


def check_vectors(vectors: Vectors, width: int, name: object) -> None:
    """InputError unless vectors are floats of shape (..., width)."""
    if vectors.ndim < 1 or vectors.shape[-1] != width or vectors.dtype.kind != "f":
        raise InputError(
            f"the map {name} takes floats of shape (..., {width}), got {vectors.dtype} of shape {vectors.shape}; "
            "give vectors of the model that it was fitted for"
        )
