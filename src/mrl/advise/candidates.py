"""What may be chosen, what it is worth to every query, and in which order it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mrl.advise.versions import Vectors, by_encoding
from mrl.evaluation.yardstick import Values, Yardstick
from mrl.nesting import Metric, Nesting
from mrl.retrieval.encodings import bytes_per_row

Z = 1.6448536269514722  # 95 % quantile of the normal distribution

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """The first `dim` coordinates, stored in `encoding`."""

    dim: int
    encoding: str

    def __str__(self) -> str:
        return f"{self.dim} × {self.encoding}"

    @property
    def bytes(self) -> int:
        """Of one vector."""
        return bytes_per_row(self.encoding, self.dim)


@dataclass(frozen=True)
class Side:
    """One version of queries (q, d) and rows (r, d): as they came, or after a map. by: how they are compared."""

    queries: Vectors
    rows: Vectors
    by: Metric

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])


@dataclass(frozen=True, eq=False)
class Measured:
    """full: (n,), what every query is worth at the raw full width in float32. values: (candidates, n), theirs."""

    full: Values
    candidates: tuple[Candidate, ...]
    values: Values

    @property
    def gaps(self) -> Values:
        """(candidates, n): what a query loses, in [−1, 1]."""
        return self.full - self.values

    def only(self, numbers: Numbers) -> Measured:
        """The same for some of the queries, or for one of them many times."""
        return replace(self, full=self.full[numbers], values=self.values[:, numbers])

    def merged(self, same: Numbers) -> Measured:
        """Queries that share a number as one, worth their mean. same: (n,) numbers from 0 on, none left out."""
        counts = np.bincount(same)
        if len(counts) == len(same):
            return self
        values = np.stack([np.bincount(same, row) for row in (self.full, *self.values)]) / counts
        return replace(self, full=values[0].clip(0, 1), values=values[1:].clip(0, 1))


def measured(stick: Yardstick, raw: Side, stored: Side, cuts: Nesting, encodings: Sequence[str]) -> Measured:
    """Every dim in every encoding, narrowest first, each encoding in one pass.

    raw: what the truth is. stored: the same queries and rows as they would be kept, mapped or not.
    """
    found = by_encoding(stick, stored.queries, stored.rows, cuts, stored.by, encodings)
    if stored is raw and cuts.width == raw.width and "float32" in found:
        full = found["float32"][-1]
    else:
        full = stick.values(raw.queries, raw.rows, Nesting((raw.width,)), raw.by)[0]
    candidates = tuple(Candidate(dim, name) for name in found for dim in cuts.dims)
    return Measured(full.clip(0, 1), candidates, np.concatenate(list(found.values())).clip(0, 1))  # rounding of nDCG


def sequence(seen: Measured, tolerance: float, below: int) -> list[int]:
    """Which candidates are worth a test, safest first, judged by the queries of the tune part.

    The safest has the most standard errors between its gap and the tolerance (`margins`). After it come those with
    fewer bytes than all before them: the front of bytes against safety. Whatever is outdone by something both smaller
    and safer adds nothing, and a lucky candidate of great variance does not go before a sure one, where its failure
    would hide it. What is equally safe goes from the largest down, and of equal bytes the widest first. Left out are
    clear losers, more than Z standard errors beyond the tolerance, and whatever takes `below` bytes or more, which
    saves nothing.
    """
    margin, size = margins(seen.gaps, tolerance), [candidate.bytes for candidate in seen.candidates]
    alive = [c for c in range(len(size)) if margin[c] >= -Z and size[c] < below]
    front: list[int] = []
    for c in sorted(alive, key=lambda c: (-margin[c], -size[c], -seen.candidates[c].dim)):
        if not front or size[c] < size[front[-1]]:
            front.append(c)
    return front


def margins(gaps: Values, tolerance: float) -> Values:
    """(tolerance − mean) / √(s² / n + 1 / n²) of gaps (candidates, n): how many standard errors are left.

    1 / n stands for what n queries that all agree have not shown.
    """
    n = gaps.shape[-1]
    margin: Values = (tolerance - gaps.mean(-1)) / np.sqrt(gaps.var(-1) / n + 1 / n**2)
    return margin
