"""Linear: any matrix as a map, to the same width or to another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mrl.disk import sealed_tensors
from mrl.errors import InputError
from mrl.maps.named import KIND, VERSION, Floats, Named, check_name, digest, frozen, read_form
from mrl.maps.tiles import Vectors, check_vectors, tile_rows, tiled


@dataclass(frozen=True, eq=False)
class Linear(Named):
    """A map y = x W without a bias, so that the cosines of its images do not depend on the lengths of the vectors.

    matrix: (width, out) floats, kept as float32; the most important new axis first. name: how it was found.

    InputError for a matrix that is empty, not of floats, or not finite.

    >>> Linear(np.array([[0.0], [2.0]])).apply(np.array([3.0, 4.0]))
    array([8.], dtype=float32)
    """

    matrix: Floats
    name: str = "linear"

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "matrix", frozen(self.matrix, "matrix"))
        if self.matrix.ndim != 2 or not self.matrix.size:
            raise InputError(f"a linear map is a matrix (width, out), got shape {self.matrix.shape}")

    @property
    def width(self) -> int:
        return len(self.matrix)

    @property
    def out(self) -> int:
        return int(self.matrix.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        return digest("linear", self.matrix)

    def apply(self, vectors: Vectors) -> Floats:
        """The mapped vectors, (..., width) -> (..., out) float32, computed in float32; equal rows have equal images.

        A row with a NaN or an Inf has no finite image: all of it becomes NaN or Inf; so may a row whose image lies
        beyond float32. InputError for another width.
        """
        check_vectors(vectors, self.width, self)
        mapped = tiled(vectors, (self.width, self._table.shape[1]), self._tiles, self._turn)
        return mapped if mapped.shape[-1] == self.out else mapped[..., : self.out].copy()

    apply32 = apply  # the name under which a rotation is as fast

    @cached_property
    def _table(self) -> Floats:
        """The matrix, with a second column where there is only one."""
        return self.matrix if self.out > 1 else np.repeat(self.matrix, 2, axis=1)

    @cached_property
    def _tiles(self) -> tuple[int, int]:
        return tile_rows(self._table)

    def _turn(self, rows: Floats, place: Floats) -> None:
        np.matmul(rows, self._table, out=place)

    def sealed(self) -> bytes:
        """The bytes of the map's own file: sealed safetensors of kind `mrl-map`, version 2."""
        return sealed_tensors({"matrix": self.matrix}, {"form": "linear", "name": self.name}, KIND, VERSION)

    @classmethod
    def load(cls, path: str | Path) -> Linear:
        """Read one back. DamagedError if a byte changed, InputError for what is no linear map."""
        tensors, about = read_form(path, "linear")
        try:
            return cls(tensors["matrix"], about["name"])
        except KeyError as error:
            raise InputError(f"{path} holds no map: it has no {error}; fit the map again") from None
