"""Leading: the first axes of a rotation. An index keeps them of its map once it was cut to fewer dims, and an engine
has them as a map of its own, where the store keeps the vectors as they came."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import read_tensors, sealed_tensors
from mrl.errors import NestingError
from mrl.maps import Rotation
from mrl.maps.tiles import check_vectors
from mrl.nesting import prefix
from mrl.retrieval.columns import Columns

KIND = "mrl-leading-map"
TILE = 256  # rows mapped at a time
OVER, ROUNDS = 16, 2  # of `fit_leading`: axes beside those wanted; times that the sample is multiplied

Vectors = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Leading:
    """The map y = (x R)[: dim] of a rotation R: vectors come at full width and leave with `dim` dims.

    matrix: (width, dim) float64, the first columns of R. whole: R's name and fingerprint, as `pca:ab12cd34ef56`: the
    results are the first coordinates of the vectors that R gives, whatever their number. It cannot be undone.
    """

    matrix: Doubles
    whole: str

    @classmethod
    def of(cls, turn: Rotation | Leading, dim: int) -> Leading:
        """The first `dim` axes. NestingError for more than there are."""
        matrix = np.ascontiguousarray(prefix(turn.matrix, dim))
        matrix.setflags(write=False)
        return cls(matrix, str(turn))

    @property
    def width(self) -> int:
        return len(self.matrix)

    @property
    def dim(self) -> int:
        return len(self.matrix.T)

    def __str__(self) -> str:
        return self.whole

    def apply(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """The first coordinates of the mapped vectors as they are stored, (..., width) -> (..., dim) float32.

        InputError for another width.
        """
        # In float64, and in tiles of one size, for the reasons of `Rotation.apply`.
        check_vectors(vectors, self.width, self)
        rows = vectors.reshape(-1, self.width)
        mapped = np.empty((len(rows), self.dim), np.float32)
        tile = np.zeros((TILE, self.width))
        for start in range(0, len(rows), TILE):
            count = len(rows[start : start + TILE])
            tile[:count], tile[count:] = rows[start : start + TILE], 0
            with np.errstate(over="ignore", invalid="ignore"):
                mapped[start : start + count] = self._product(tile)[:count]
        return mapped.reshape(*vectors.shape[:-1], self.dim)

    def apply32(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """The same in float32, (n, width) -> (n, dim), for what only proposes. InputError for another width."""
        check_vectors(vectors, self.width, self)
        with np.errstate(over="ignore", invalid="ignore"):
            found: npt.NDArray[np.float32] = np.asarray(vectors, np.float32) @ self.columns32
        return found

    @cached_property
    def columns32(self) -> npt.NDArray[np.float32]:
        """(width, dim): the axes in float32."""
        return self.matrix.astype(np.float32)

    def columns(self, dim: int) -> Columns:
        """The first of these axes, for queries: `queries @ columns` are their leads."""
        if dim not in self._rounded:
            self._rounded[dim] = Columns(self.columns32[:, :dim])
        return self._rounded[dim]

    @cached_property
    def _rounded(self) -> dict[int, Columns]:
        return {}

    def apply64(self, vectors: Vectors) -> Doubles:
        """The same before it is rounded, in float64: for queries, few at a time. InputError for another width."""
        check_vectors(vectors, self.width, self)
        return self._product(vectors.astype(np.float64, copy=False))

    def _product(self, vectors: Doubles) -> Doubles:
        with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite
            product: Doubles = vectors @ self._columns
        return product[..., : self.dim]

    @cached_property
    def _columns(self) -> Doubles:
        """At least two: a product with one is summed in an order that depends on where a row stands."""
        return self.matrix if self.dim > 1 else np.repeat(self.matrix, 2, axis=1)

    def sealed(self) -> bytes:
        """The bytes of the map's own file: sealed safetensors of kind `mrl-leading-map`, version 1."""
        return sealed_tensors({"matrix": self.matrix}, {"whole": self.whole}, KIND)

    @classmethod
    def load(cls, path: Path) -> Leading:
        """Read one back. DamagedError if a byte changed, InputError for what is none."""
        tensors, about = read_tensors(path, KIND)
        return cls(tensors["matrix"], about["whole"])


def fit_leading(sample: Vectors, dim: int, seed: int = 0) -> Leading:
    """The first `dim` principal axes of a sample (n, width), not centred, by subspace iteration.

    For a few axes of a wide space this takes a fraction of the time of all of them. Each round multiplies what is left
    outside of the wanted axes by the ratio of the second moments there; `OVER` more axes than wanted make that ratio
    small (Halko, Martinsson and Tropp, arXiv 0909.4061). What stays outside only makes the axes propose a little less
    well. NestingError for more dims than the width.
    """
    width = sample.shape[1]
    if not 1 <= dim <= width:
        raise NestingError(f"vectors of {width} dims have 1 to {width} principal axes, {dim} were asked for")
    vectors = np.ascontiguousarray(sample, np.float32)
    axes = np.random.default_rng(seed).standard_normal((width, min(width, dim + OVER)), np.float32)
    for _ in range(ROUNDS):
        axes = np.linalg.qr(vectors.T @ (vectors @ axes))[0]
    small = (vectors @ axes).astype(np.float64)
    turn = np.linalg.eigh(small.T @ small)[1][:, ::-1]
    matrix = np.ascontiguousarray((axes.astype(np.float64) @ turn)[:, :dim])
    matrix.setflags(write=False)
    return Leading(matrix, f"pca:{hashlib.sha256(matrix.astype('<f8').tobytes()).hexdigest()[:12]}")
