"""The PCA map: the square rotation that gathers as much squared length as can be in every prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.maps.rotation import Doubles, Rotation

TILE = 4096  # rows turned to float64 at a time

Vectors = npt.NDArray[np.floating[Any]]


def fit_pca(sample: Vectors | Iterable[Vectors]) -> Rotation:
    """The rotation onto the eigenvectors of the sample's uncentred second moment, largest eigenvalue first.

    Nothing is subtracted, so full-width dot products, lengths and distances stay those of the raw vectors. The first m
    new coordinates hold at least as much squared length as those of any other rotation (Eckart-Young). Signs are
    settled: the largest entry of each eigenvector is positive.

    sample: (n, d) floats, or blocks of such rows one after another; memory is two matrices (d, d) of float64 and a
    tile. Fewer rows than dims are enough: the axes without energy are some orthogonal completion.

    InputError for no rows, for rows that are no float vectors of one width, and for a NaN or an Inf, naming the row.

    >>> fit_pca(np.array([[0.0, 2.0], [1.0, 0.0]])).energy
    array([0.8, 0.2])
    """
    values, vectors = np.linalg.eigh(_second_moment(_tiles(sample)))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]  # rounding leaves some a little below 0
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], axis=0)
    total = values.sum()
    return Rotation(vectors * np.where(largest < 0, -1, 1), "pca", values / total if total else values)


def _second_moment(tiles: Iterable[Doubles]) -> Doubles:
    """Sum of xᵀx over all rows, (d, d), scaled to a largest entry of 1 (its eigenvectors do not depend on that)."""
    moment: Doubles | None = None
    for tile in tiles:
        with np.errstate(over="ignore", invalid="ignore"):
            part: Doubles = tile.T @ tile
        if moment is None:
            moment = part
        else:
            moment += part
    if moment is None:
        raise InputError("a map cannot be fitted on no rows; give a sample of the vectors that it is to turn")
    peak = moment.diagonal().max()
    if not np.isfinite(peak):
        raise InputError("the sample's squared lengths are beyond float64; rescale the vectors")
    return moment / peak if peak else moment


def _tiles(sample: Vectors | Iterable[Vectors]) -> Iterator[Doubles]:
    """All rows as float64, a tile at a time, once each was found to be finite and of one width."""
    first, width = 0, None
    for block in [sample] if isinstance(sample, np.ndarray) else sample:
        width = _checked_width(block, width)
        for start in range(0, len(block), TILE):
            tile = block[start : start + TILE].astype(np.float64)
            _check_finite(tile, first + start)
            yield tile
        first += len(block)


def _checked_width(block: Any, width: int | None) -> int:
    shape, kind = np.shape(block), getattr(block, "dtype", np.dtype(object)).kind
    if kind != "f" or len(shape) != 2 or shape[1] < 1 or width not in (None, shape[1]):
        wanted = "d" if width is None else width
        raise InputError(
            f"a sample has rows of floats, (n, {wanted}), got {getattr(block, 'dtype', type(block))} of "
            f"shape {shape}; give one matrix, or blocks of one width"
        )
    return int(shape[1])


def _check_finite(tile: Doubles, first: int) -> None:
    bad = np.flatnonzero(~np.isfinite(tile).all(axis=1))
    if len(bad):
        raise InputError(f"row {first + bad[0]} of the sample has a NaN or an Inf; leave it out")
