"""Rows that cannot be compared: those with a NaN or an Inf, and zero vectors, which have no direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]


class Odd(NamedTuple):
    """Rows by their position. bad: with a NaN or an Inf. zero: all of whose values are 0."""

    bad: Positions
    zero: Positions


def as_floats(vectors: Array) -> Array:
    """float16 and float32 in this machine's byte order; float64 becomes float32, its far values Inf."""
    if vectors.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            return vectors.astype(np.float32)
    return vectors.astype(vectors.dtype.newbyteorder("="), copy=False)


def odd_rows(vectors: Array) -> Odd:
    """Of (n, width) float16 or float32, in one pass over them where none is odd."""
    if vectors.dtype == np.float16:
        bits = np.ascontiguousarray(vectors).view(np.uint16)
        bad = ((bits & 0x7C00) == 0x7C00).any(axis=1)  # the exponent of NaN and of Inf
        return Odd(np.flatnonzero(bad), np.flatnonzero(~(bits & 0x7FFF).any(axis=1)))
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", vectors, vectors)
    far, near = np.flatnonzero(~np.isfinite(squares)), np.flatnonzero(squares == 0)  # or beyond what squares can hold
    return Odd(far[~np.isfinite(vectors[far]).all(axis=1)], near[~vectors[near].any(axis=1)])
