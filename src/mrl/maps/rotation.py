"""Rotation: an orthogonal map of the whole width, which changes every prefix and no full-width score."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import sealed_tensors
from mrl.errors import InputError
from mrl.maps.named import KIND, Floats, Named, check_name, read_form
from mrl.maps.tiles import check_vectors, tile_rows, tiled

TILE = 256  # rows mapped at a time: each column of the matrix is read once a tile
TOLERANCE = 1e-9  # largest |RᵀR − I| of what counts as orthogonal: far below float32, far above float64's rounding

Vectors = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rotation(Named):
    """An orthogonal map y = x R. Two are equal when their fingerprints are.

    matrix: (width, width) float64, a new axis in each column, the most important first. name: how it was found, such
    as `pca`. energy: (width,) share of the sample's squared length along each new axis, or None if not fitted.

    InputError for a matrix that is not square, not finite or not orthogonal.

    >>> turn = Rotation(np.array([[0.0, 1.0], [1.0, 0.0]]), name="swap")
    >>> turn.apply(np.array([3.0, 4.0]))
    array([4., 3.], dtype=float32)
    """

    matrix: Doubles
    name: str = "pca"
    energy: Doubles | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "matrix", _frozen(self.matrix))
        _check_orthogonal(self.matrix)
        if self.energy is not None:
            object.__setattr__(self, "energy", _frozen(self.energy))
            if self.energy.shape != (self.width,):
                raise InputError(f"energy must be ({self.width},), a share for each axis, got {self.energy.shape}")

    @property
    def width(self) -> int:
        return len(self.matrix)

    @property
    def out(self) -> int:
        return len(self.matrix)

    @cached_property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the SHA-256 of the matrix, as little-endian float64 row by row."""
        return hashlib.sha256(self.matrix.astype("<f8").tobytes()).hexdigest()[:12]

    def inverse(self) -> Rotation:
        """The map that undoes this one."""
        return Rotation(self.matrix.T, f"{self.name}-inverse")

    def apply(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """The mapped vectors as they are stored, (..., width) -> (..., width) float32.

        A row with a NaN or an Inf has no finite image: all of it becomes NaN or Inf. InputError for another width.
        """
        # Products in float32 would add an error of √width roundings to every score that the map is to keep; in
        # float64 only the last rounding, to float32, is left. It also swallows what a BLAS sums in another order at
        # the edges of a matrix, so that equal rows stay equal and tie. Tiles are filled up to one size for the same
        # reason: a row's sums do not depend on how many rows came with it.
        if vectors.ndim == 1:
            return _float32(self.apply64(vectors))
        check_vectors(vectors, self.width, self)
        rows = vectors.reshape(-1, self.width)
        mapped = np.empty(rows.shape, np.float32)
        tile = np.zeros((TILE, self.width))
        for start in range(0, len(rows), TILE):
            count = len(rows[start : start + TILE])
            tile[:count], tile[count:] = rows[start : start + TILE], 0
            mapped[start : start + count] = _float32(self._product(tile)[:count])
        return mapped.reshape(vectors.shape)

    def apply32(self, vectors: Vectors) -> Floats:
        """The mapped vectors computed in float32, (..., width) -> (..., width): for long streams, at twice the speed.

        An image differs from that of `apply` by 1e-6 of the vector's length at most, and full-width dot products,
        lengths and distances stay within 1e-5 of the lengths' product, the length, and their sum. Equal rows have equal
        images. Rows that are not finite, and InputError, as in `apply`.
        """
        check_vectors(vectors, self.width, self)
        if self.width == 1:
            return self.apply(vectors)
        return tiled(vectors, (self.width, self.width), self._tiles32, self._turn32)

    @cached_property
    def _tiles32(self) -> tuple[int, int]:
        return tile_rows(self._matrix32)

    def _turn32(self, rows: Floats, place: Floats) -> None:
        np.matmul(rows, self._matrix32, out=place)

    @cached_property
    def _matrix32(self) -> Floats:
        return self.matrix.astype(np.float32)

    def apply64(self, vectors: Vectors) -> Doubles:
        """The mapped vectors before they are rounded, (..., width) -> (..., width) float64: for queries, few at a time.

        InputError for another width.
        """
        check_vectors(vectors, self.width, self)
        return self._product(vectors.astype(np.float64, copy=False))

    def _product(self, vectors: Doubles) -> Doubles:
        with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite
            product: Doubles = vectors @ self.matrix
        return product

    def sealed(self) -> bytes:
        """The bytes of the map's own file: sealed safetensors of kind `mrl-map`, version 1."""
        tensors = {"matrix": self.matrix} if self.energy is None else {"matrix": self.matrix, "energy": self.energy}
        return sealed_tensors(tensors, {"name": self.name}, KIND)

    @classmethod
    def load(cls, path: str | Path) -> Rotation:
        """Read one back. DamagedError if a byte changed, InputError for what is no map or not orthogonal."""
        tensors, about = read_form(path, "rotation")
        try:
            return cls(tensors["matrix"], about["name"], tensors.get("energy"))
        except KeyError as error:
            raise InputError(f"{path} holds no map: it has no {error}; fit the map again") from None


def _frozen(values: npt.ArrayLike) -> Doubles:
    """A copy that nobody can change. Adding 0 makes −0 to 0, which are one number and have to be one fingerprint."""
    copy: Doubles = np.asarray(values, np.float64, order="C") + 0.0
    copy.setflags(write=False)
    return copy


def _check_orthogonal(matrix: Doubles) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InputError(f"a rotation is a square matrix (width, width), got shape {matrix.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(matrix.T @ matrix - np.eye(len(matrix))).max()
    if not error <= TOLERANCE:  # not >, which a NaN passes
        raise InputError(
            f"the matrix is not orthogonal: |RᵀR − I| is {error:.1e} and may be {TOLERANCE:.0e}, or scores would "
            "change; take the Q of its QR decomposition in float64"
        )


def _float32(values: Doubles) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)
