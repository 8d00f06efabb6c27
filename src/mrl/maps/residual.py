"""Residual: a matrix and, beside it, one hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mrl.disk import sealed_tensors
from mrl.errors import InputError
from mrl.maps.named import KIND, VERSION, Floats, Named, check_name, digest, frozen, read_form
from mrl.maps.tiles import Turn, Vectors, check_vectors, tile_rows, tiled, unit_into

_ARRAYS = ("base", "inner", "bias", "outer")


@dataclass(frozen=True, eq=False)
class Residual(Named):
    """A map y = u + relu(u A + a) C, where u = x B.

    base B: (width, out), usually a rotation. inner A: (out, hidden). bias a: (hidden,). outer C: (hidden, out). All are
    floats, kept as float32. unit: whether x is first rescaled to length 1, as vectors compared by cosine are: then the
    image does not depend on a vector's length. A zero vector stays zero before the formula, so it becomes relu(a) C.
    name: how it was found.

    InputError for arrays that are empty, not of floats, not finite, or do not fit each other.
    """

    base: Floats
    inner: Floats
    bias: Floats
    outer: Floats
    name: str = "residual"
    unit: bool = True

    def __post_init__(self) -> None:
        check_name(self.name)
        for name in _ARRAYS:
            object.__setattr__(self, name, frozen(getattr(self, name), name))
        _check_shapes(self.base, self.inner, self.bias, self.outer)

    @property
    def width(self) -> int:
        return len(self.base)

    @property
    def out(self) -> int:
        return int(self.base.shape[1])

    @property
    def hidden(self) -> int:
        return len(self.bias)

    @cached_property
    def fingerprint(self) -> str:
        return digest(f"residual unit={bool(self.unit)}", self.base, self.inner, self.bias, self.outer)

    def apply(self, vectors: Vectors) -> Floats:
        """The mapped vectors, (..., width) -> (..., out) float32, computed in float32; equal rows have equal images.

        A row with a NaN or an Inf has no finite image: all of it becomes NaN or Inf; so may a row whose image lies
        beyond float32. InputError for another width.
        """
        check_vectors(vectors, self.width, self)
        shape = (self.width, self._tables[1].shape[1])
        mapped = tiled(vectors, shape, self._tiles, self._turn(self._tiles[0]))
        return mapped if mapped.shape[-1] == self.out else mapped[..., : self.out].copy()

    apply32 = apply  # the name under which a rotation is as fast

    @cached_property
    def _tiles(self) -> tuple[int, int]:
        return tile_rows(*self._tables)

    def _turn(self, tile: int) -> Turn:
        """What maps a tile of up to so many rows, with the room that it needs."""
        (inner, outer), bias, unit = self._tables, self.bias, self.unit
        out = outer.shape[1]
        scaled = np.empty((tile if unit else 0, self.width), np.float32)
        both = np.empty((tile, inner.shape[1]), np.float32)  # u, and what goes into the hidden layer

        def turn(rows: Floats, place: Floats) -> None:
            ahead = both[: len(rows)]
            np.matmul(unit_into(rows, scaled[: len(rows)]) if unit else rows, inner, out=ahead)
            hidden = ahead[:, out:]
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
            np.matmul(hidden, outer, out=place)
            place += ahead[:, :out]

        return turn

    @cached_property
    def into(self) -> Floats:
        """B A (width, hidden), from x into the hidden layer: computed in float64, rounded once."""
        return (self.base.astype(np.float64) @ self.inner.astype(np.float64)).astype(np.float32)

    @cached_property
    def _tables(self) -> tuple[Floats, Floats]:
        """[B | B A] (width, out + hidden) and C (hidden, out)."""
        base, outer = (np.repeat(each, 2, axis=1) if self.out == 1 else each for each in (self.base, self.outer))
        return np.hstack([base, self.into]), outer

    def sealed(self) -> bytes:
        """The bytes of the map's own file: sealed safetensors of kind `mrl-map`, version 2."""
        about = {"form": "residual", "name": self.name, "unit": bool(self.unit)}
        return sealed_tensors({name: getattr(self, name) for name in _ARRAYS}, about, KIND, VERSION)

    @classmethod
    def load(cls, path: str | Path) -> Residual:
        """Read one back. DamagedError if a byte changed, InputError for what is no residual map."""
        tensors, about = read_form(path, "residual")
        try:
            base, inner, bias, outer = (tensors[name] for name in _ARRAYS)
            return cls(base, inner, bias, outer, about["name"], about["unit"])
        except KeyError as error:
            raise InputError(f"{path} holds no map: it has no {error}; fit the map again") from None


def _check_shapes(base: Floats, inner: Floats, bias: Floats, outer: Floats) -> None:
    if base.ndim != 2 or not base.size:
        raise InputError(f"a residual map's base is a matrix (width, out), got shape {base.shape}")
    out, hidden = base.shape[1], bias.size
    if not hidden or (inner.shape, bias.shape, outer.shape) != ((out, hidden), (hidden,), (hidden, out)):
        raise InputError(
            f"a residual map has inner ({out}, hidden), bias (hidden,) and outer (hidden, {out}), "
            f"got {inner.shape}, {bias.shape} and {outer.shape}"
        )
