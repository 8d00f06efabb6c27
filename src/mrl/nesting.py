"""Which prefixes of a vector are embeddings, and how one is cut.

This is the only place that knows cut points. `prefix` and `unit_prefix` work on NumPy arrays and torch tensors alike
and import neither of the two kinds' frameworks beyond NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from mrl.errors import InputError, NestingError

Metric = Literal["cosine", "dot", "l2"]
Reduction = Literal["sum", "mean"]  # of the levels' losses
Vectors = TypeVar("Vectors", bound=Any)  # a NumPy array or a torch tensor, shape (..., d)


@dataclass(frozen=True)
class Nesting:
    """The trained dims of a nested embedding, narrowest first (the paper's 𝓜, arXiv 2205.13147 §3).

    Any integer dim between the narrowest and the full width may be *read*; only those listed here were *trained*.

    >>> Nesting.halving(2048, smallest=8)
    Nesting(dims=(8, 16, 32, 64, 128, 256, 512, 1024, 2048))
    >>> Nesting.parse("8,16,32").segments
    ((0, 8), (8, 16), (16, 32))
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", _integers(self.dims))
        if not self.dims or self.dims[0] < 1 or any(a >= b for a, b in pairwise(self.dims)):
            raise NestingError(
                f"dims must be positive and strictly increasing, got {self.dims}; "
                "list the prefix widths narrowest first, as in 8,16,32"
            )

    @classmethod
    def halving(cls, width: int, smallest: int) -> Nesting:
        """The paper's ladder: the width, its half, and so on down to `smallest` (§3.1: `O(log d)` dims).

        Raises NestingError unless 1 ≤ smallest ≤ width.
        """
        if not 1 <= smallest <= width:
            raise NestingError(f"a halving ladder needs 1 ≤ smallest ≤ width, got smallest={smallest}, width={width}")
        dims = [width]
        while dims[-1] // 2 >= smallest:
            dims.append(dims[-1] // 2)
        return cls(tuple(reversed(dims)))

    @classmethod
    def doubling(cls, width: int, smallest: int) -> Nesting:
        """`smallest`, its double, and so on below the width, and the width.

        Raises NestingError unless 1 ≤ smallest ≤ width.

        >>> Nesting.doubling(100, 16)
        Nesting(dims=(16, 32, 64, 100))
        """
        if not 1 <= smallest <= width:
            raise NestingError(f"a doubling ladder needs 1 ≤ smallest ≤ width, got smallest={smallest}, width={width}")
        dims = [smallest]
        while 2 * dims[-1] < width:
            dims.append(2 * dims[-1])
        return cls(tuple(sorted({*dims, width})))

    @classmethod
    def parse(cls, text: str) -> Nesting:
        """Read `8,16,32`, or `8..2048` for the halving ladder. `Nesting.parse(str(n)) == n`."""
        if ladder := re.fullmatch(r"\s*([0-9]{1,18})\s*\.\.\s*([0-9]{1,18})\s*", text):
            return cls.halving(int(ladder[2]), smallest=int(ladder[1]))
        parts = text.split(",")
        if not all(re.fullmatch(r"\s*[0-9]{1,18}\s*", part) for part in parts):
            raise NestingError(f"cannot read dims from {text!r}; write them as 8,16,32 or as the ladder 8..2048")
        return cls(tuple(int(part) for part in parts))

    def __str__(self) -> str:
        return ",".join(map(str, self.dims))

    def __len__(self) -> int:
        return len(self.dims)

    @property
    def width(self) -> int:
        """The widest dim."""
        return self.dims[-1]

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of the coordinates that each level adds to the one before."""
        return tuple(pairwise((0, *self.dims)))

    def trained(self, dim: int) -> bool:
        return dim in self.dims

    def between(self) -> Nesting:
        """These dims and, halfway between each two neighbours, the one that the paper calls interpolated (§4.1)."""
        middles = {(a + b) // 2 for a, b in pairwise(self.dims)}
        return Nesting(tuple(sorted(middles.union(self.dims))))

    def check_width(self, width: int) -> None:
        """Raise NestingError if vectors of `width` dims are narrower than the widest level."""
        if self.width > width:
            raise NestingError(
                f"dims {self} need vectors of at least {self.width} dims, got {width}; drop the wider dims"
            )

    def check_readable(self, dim: int, width: int | None = None) -> None:
        """Raise NestingError unless dim lies between the narrowest trained dim and `width` (default: the widest)."""
        last = self.width if width is None else width
        if not self.dims[0] <= dim <= last:
            raise NestingError(
                f"dim {dim} cannot be read: this embedding was trained at {self}, "
                f"so ask for a dim from {self.dims[0]} to {last}"
            )


def metric(name: str) -> Metric:
    """`name` as a Metric; InputError lists the known ones."""
    if name not in get_args(Metric):
        raise InputError(f"unknown metric {name!r}; known are {', '.join(get_args(Metric))}")
    return name  # type: ignore[return-value]


def rescales(name: Metric) -> bool:
    """Whether vectors compared by this metric are rescaled to length 1 at every cut. Only cosine does."""
    return metric(name) == "cosine"


def prefix(vectors: Vectors, dim: int) -> Vectors:
    """The first `dim` coordinates as they are, (..., d) -> (..., dim): what a linear head reads.

    Raises NestingError unless 1 ≤ dim ≤ d.
    """
    width = vectors.shape[-1]
    if not 1 <= dim <= width:
        raise NestingError(f"cannot cut {dim} dims from vectors of shape {tuple(vectors.shape)}; 1 ≤ dim ≤ {width}")
    cut: Vectors = vectors[..., :dim]
    return cut


def unit_prefix(vectors: Vectors, dim: int) -> Vectors:
    """The first `dim` coordinates rescaled to length 1, (..., d) -> (..., dim): what cosine similarity compares.

    A zero prefix stays zero (its cosine with anything counts as 0); a row with a NaN or an Inf becomes NaN. Rows are
    divided by their largest entry first, so nothing overflows. float16 and bfloat16 are rescaled in float32.
    """
    cut = prefix(vectors, dim)
    wide, dtype = _widened(cut)
    with np.errstate(invalid="ignore"):
        scaled: Any = wide / _or_infinite(_peak(wide))
        unit = scaled / _or_one((scaled * scaled).sum(-1)[..., None]) ** 0.5
    result: Vectors = _as(unit, dtype)
    return result


def metric_prefix(vectors: Vectors, dim: int, name: Metric) -> Vectors:
    """The prefix as `name` compares it: rescaled for cosine, as it is for dot and l2."""
    return unit_prefix(vectors, dim) if rescales(name) else prefix(vectors, dim)


def _integers(dims: Iterable[Any]) -> tuple[int, ...]:
    try:
        return tuple(int(d.__index__()) for d in dims)
    except (AttributeError, TypeError):
        raise NestingError(f"dims must be integers, got {dims!r}") from None


def _widened(x: Any) -> tuple[Any, Any]:
    """x in at least float32, and the dtype that the result is to have (integers become float32)."""
    if isinstance(x, np.ndarray):
        wide = x if x.dtype.kind == "f" and x.dtype.itemsize >= 4 else x.astype(np.float32)
        return wide, x.dtype if x.dtype.kind == "f" else wide.dtype
    wide = x if x.is_floating_point() and x.dtype.itemsize >= 4 else x.float()
    return wide, x.dtype if x.is_floating_point() else wide.dtype


def _as(x: Any, dtype: Any) -> Any:
    return x.astype(dtype) if isinstance(x, np.ndarray) else x.to(dtype)


def _peak(x: Any) -> Any:
    """Largest magnitude of each row, (..., 1); a constant to autograd, which unit vectors do not depend on."""
    return abs(x).max(-1)[..., None] if isinstance(x, np.ndarray) else x.detach().abs().amax(-1, keepdim=True)


def _or_infinite(x: Any) -> Any:
    """x with its zeros made infinite: a zero row divided by it stays zero, and so does its gradient."""
    return np.where(x == 0, np.inf, x) if isinstance(x, np.ndarray) else x.masked_fill(x == 0, np.inf)


def _or_one(x: Any) -> Any:
    return x + (x == 0)


def level_coefficients(
    nesting: Nesting, weights: Sequence[float] | None, reduction: Reduction = "sum"
) -> tuple[float, ...]:
    """The factor of each level in the total: c_m, divided by the number of levels for `mean`."""
    c = (1.0,) * len(nesting) if weights is None else tuple(float(w) for w in weights)
    if len(c) != len(nesting) or not all(0 <= w < float("inf") for w in c):
        raise InputError(f"level_weights must be {len(nesting)} finite numbers ≥ 0, one per dim of {nesting}; got {c}")
    if reduction not in ("sum", "mean"):
        raise InputError(f"reduction must be 'sum' or 'mean' over the levels, got {reduction!r}")
    return c if reduction == "sum" else tuple(w / len(c) for w in c)
