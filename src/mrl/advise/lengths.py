"""Prefixes whose length float32 products cannot hold, found before anything is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting
from mrl.segments import LARGEST, prefix_norms
from mrl.vectors import Embedded

Vectors = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]


def extreme(vectors: Vectors, cuts: Nesting, by: Metric) -> Flags:
    """(n, cuts): which prefixes are longer than 1e15, or, under cosine, shorter than 1e-15 and not 0."""
    norms = prefix_norms(vectors, cuts)
    return np.asarray((norms > LARGEST) | _tiny(norms, by))


def check_lengths(side: Embedded, cuts: Nesting) -> None:
    """InputError that names the first row with such a prefix by its id, and counts them."""
    odd = extreme(side.vectors, cuts, side.card.metric)
    rows = np.flatnonzero(odd.any(axis=1))
    if not len(rows):
        return
    dim = cuts.dims[int(odd[rows[0]].argmax())]
    length = float(prefix_norms(side.vectors[rows[:1]], Nesting((dim,)))[0, 0])
    raise InputError(
        f"{side.path}: the first {dim} dims of the row with id {side.ids[rows[0]].item()!r} have length {length:.1e} "
        f"({len(rows):,} such rows); float32 products hold lengths from {1 / LARGEST:.0e} to {LARGEST:.0e}: rescale "
        "the vectors, leave these rows out, or give wider dims"
    )


def flushed(vectors: Vectors, cuts: Nesting, by: Metric) -> Vectors:
    """The vectors with such short prefixes set to 0: in turned or coded vectors they are what rounding left of 0."""
    out = vectors
    while (tiny := _tiny(prefix_norms(out, cuts), by)).any():  # again, as a wider one may have lived on a narrower
        out = out.copy() if out is vectors else out
        for level, dim in enumerate(cuts.dims):
            out[tiny[:, level], :dim] = 0
    return out


def _tiny(norms: npt.NDArray[np.float64], by: Metric) -> Flags:
    return np.asarray((norms > 0) & (norms < 1 / LARGEST) & (by == "cosine"))
