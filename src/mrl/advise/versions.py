"""One set of rows in every encoding, measured at every dim by the same yardstick.

Rows are coded as a store codes them (`mrl.retrieval.encodings`): per dimension and chunk of 4,096 rows, so the code of
a prefix is the prefix of the code, and one pass over an encoding serves all its dims. One bit says whether a coordinate
lies above its chunk's mean, not above 0: a model that cuts at 0 is another thing. Queries stay as they are: only what
is stored is coded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.lengths import flushed
from mrl.errors import InputError
from mrl.evaluation.yardstick import Values, Yardstick
from mrl.nesting import Metric, Nesting
from mrl.retrieval.encodings import CHUNK, ENCODINGS, check_encoding, check_halves, encode

Vectors = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float32]

FINEST_FIRST = ENCODINGS[::-1]


def by_encoding(
    stick: Yardstick,
    queries: Vectors,
    rows: Vectors,
    cuts: Nesting,
    by: Metric,
    encodings: Sequence[str] = FINEST_FIRST,
) -> dict[str, Values]:
    """{encoding: (cuts, n)}: what every query asked is worth at every cut, with the rows coded so.

    queries: (q, d), compared as they are. rows: (r, d). cuts: dims of at most d. InputError for an unknown encoding,
    for a NaN or an Inf, and for values that float16 cannot hold (`usable` leaves that encoding out instead).
    """
    cuts.check_width(rows.shape[1])
    for name in encodings:
        check_encoding(name)
    part = rows[:, : cuts.width]
    place = np.empty(part.shape, np.float32)  # takes memory only once it is written to
    return {
        name: stick.values(queries[:, : cuts.width], compared(part, name, cuts, by, place), cuts, by)
        for name in encodings
    }


def compared(rows: Vectors, encoding: str, cuts: Nesting, by: Metric, place: Floats | None = None) -> Floats:
    """`decoded`, where a prefix that rounding has left too short for float32 products is 0."""
    coded = decoded(rows, encoding, place)
    return coded if encoding == "float32" else np.asarray(flushed(coded, cuts, by), np.float32)


def decoded(rows: Vectors, encoding: str, place: Floats | None = None) -> Floats:
    """(n, w) float32: what the codes of these rows, (n, w), stand for; float32 rows themselves for float32.

    place: (n, w) where they are written, if there is one.
    """
    if encoding == rows.dtype == "float32":
        return np.asarray(rows, np.float32)
    out = np.empty(rows.shape, np.float32) if place is None else place
    for start in range(0, len(rows), CHUNK):
        part = np.ascontiguousarray(rows[start : start + CHUNK], np.float32)
        _check_finite(part, start)
        out[start : start + CHUNK] = encode(part, encoding).decoded(slice(None))
    return out


def usable(rows: Vectors, encodings: Sequence[str] = FINEST_FIRST) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The encodings that can hold these rows, and a sentence for each that cannot."""
    try:
        for start in range(0, len(rows) if "float16" in encodings else 0, CHUNK):
            check_halves(np.asarray(rows[start : start + CHUNK], np.float32))
    except InputError as refusal:
        return tuple(name for name in encodings if name != "float16"), (f"float16 is left out: {refusal}",)
    return tuple(encodings), ()


def _check_finite(part: Floats, first: int) -> None:
    bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
    if len(bad):
        raise InputError(f"rows {first + bad[0]} has a NaN or an Inf; leave such rows out")
