"""What all rows of a file are, from one pass over them: lengths, and which are damaged, empty or there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import Metric
from mrl.segments import LARGEST

NAMED = 5  # rows named of each kind
UNIT = 1e-3  # largest |length − 1| of what counts as unit length: float16 rounds by less

Vectors = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Rows of one kind. count: how many. first: the numbers of the first few."""

    count: int
    first: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: Numbers) -> Found:
        return cls(len(rows), tuple(rows[:NAMED].tolist()))

    def __str__(self) -> str:
        """`3 (rows 0, 7, 9)`."""
        if not self.count:
            return "0"
        more = ", …" if self.count > len(self.first) else ""
        return f"{self.count:,} ({'row' if self.count == 1 else 'rows'} {', '.join(map(str, self.first))}{more})"


@dataclass(frozen=True)
class Soundness:
    """rows, width, dtype: of the file. shortest, median, longest: Euclidean lengths of its finite rows, 0 without any.

    not_finite: rows with a NaN or an Inf. zero: rows of length 0. extreme: rows whose length float32 products cannot
    hold. repeats: rows that are, coordinate by coordinate, another one before them.
    """

    rows: int
    width: int
    dtype: str
    shortest: float
    median: float
    longest: float
    not_finite: Found
    zero: Found
    extreme: Found
    repeats: Found

    @property
    def unit(self) -> bool:
        """Whether every row has length 1."""
        return self.shortest > 0 and max(abs(self.shortest - 1), abs(self.longest - 1)) <= UNIT

    def left_out(self, by: Metric) -> int:
        """How many rows cannot be measured by this metric; a row of length 0 has no cosine."""
        return self.not_finite.count + self.extreme.count + (self.zero.count if by == "cosine" else 0)


@dataclass(frozen=True, eq=False)
class Survey:
    """One pass over all rows. lengths: (rows,) float64, NaN for rows not finite. wanted: (w,) rows that were asked for,
    in order. vectors: (w, width) float32, theirs."""

    soundness: Soundness
    lengths: npt.NDArray[np.float64]
    wanted: Numbers
    vectors: npt.NDArray[np.float32]

    def usable(self, by: Metric) -> npt.NDArray[np.bool_]:
        """(w,): which of the wanted rows can be measured."""
        own = self.lengths[self.wanted]
        return np.asarray(np.isfinite(own) & ~_extreme(own) & ((own > 0) | (by != "cosine")))


def survey(blocks: Iterable[Vectors], wanted: Numbers) -> Survey:
    """Look at every row once and keep some. blocks: rows of one width, one after another. wanted: numbers, in order.

    Beside the wanted rows and a block, memory is 16 bytes a row. InputError for blocks that are no float matrices of
    one width, and for no rows.
    """
    lengths, digests, kept, dtype = [], [], [], ""
    first, width = 0, None
    for block in blocks:
        width, dtype = _checked(block, width), str(block.dtype)
        lengths.append(_lengths(block))
        digests.append(_digests(block))
        own = wanted[slice(*np.searchsorted(wanted, [first, first + len(block)]))]
        kept.append(_float32(block[own - first]))
        first += len(block)
    if not first or width is None:
        raise InputError("there are no rows to inspect; give at least one vector")
    every = np.concatenate(lengths)
    sound = _soundness(every, np.concatenate(digests), width, dtype)
    return Survey(sound, every, wanted, np.concatenate(kept))


def _checked(block: Any, width: int | None) -> int:
    if block.ndim != 2 or block.dtype.kind != "f" or block.shape[1] < 1 or width not in (None, block.shape[1]):
        wanted = "width" if width is None else width
        raise InputError(
            f"vectors are floats of shape (n, {wanted}), got {block.dtype} of shape {block.shape}; "
            "give one matrix, or blocks of one width"
        )
    return int(block.shape[1])


def _lengths(block: Vectors) -> npt.NDArray[np.float64]:
    """(n,) Euclidean lengths, NaN where the row has a NaN or an Inf; Inf where only its square is beyond float64."""
    wide = block.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", wide, wide)
    found: npt.NDArray[np.float64] = np.sqrt(squares)
    for row in np.flatnonzero(~np.isfinite(squares)):
        found[row] = np.inf if np.isfinite(block[row]).all() else np.nan
    return found


def _digests(block: Vectors) -> npt.NDArray[np.uint64]:
    """(n,) 64 bits of each row's bytes; −0 counts as 0. Two of ten million rows share one in 3e-6 of cases."""
    plain = np.ascontiguousarray(block + block.dtype.type(0))
    joined = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in plain)
    return np.frombuffer(joined, np.uint64)


def _float32(rows: Vectors) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)


def _extreme(lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((lengths > LARGEST) | ((lengths > 0) & (lengths < 1 / LARGEST)))


def _soundness(lengths: npt.NDArray[np.float64], digests: npt.NDArray[np.uint64], width: int, dtype: str) -> Soundness:
    finite = lengths[np.isfinite(lengths)]
    shortest, median, longest = (
        (float(finite.min()), float(np.median(finite)), float(finite.max())) if len(finite) else (0.0, 0.0, 0.0)
    )
    return Soundness(
        len(lengths),
        width,
        dtype,
        shortest,
        median,
        longest,
        not_finite=Found.of(np.flatnonzero(np.isnan(lengths))),
        zero=Found.of(np.flatnonzero(lengths == 0)),
        extreme=Found.of(np.flatnonzero(_extreme(lengths))),
        repeats=Found.of(_repeats(digests, np.isfinite(lengths))),
    )


def _repeats(digests: npt.NDArray[np.uint64], finite: npt.NDArray[np.bool_]) -> Numbers:
    """Rows, in order, whose digest a row before them has. Rows that are not finite repeat nothing."""
    rows = np.flatnonzero(finite)
    _, firsts = np.unique(digests[rows], return_index=True)
    again = np.ones(len(rows), np.bool_)
    again[firsts] = False
    return rows[again]
