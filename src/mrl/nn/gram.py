"""The two sides of a Gram matrix of prefixes: how each level continues the one before, and how gradients come home.

With A_k, B_k the prefixes at level k, |·| their rows' lengths, Â = A_seg / |A_k| the segment that level k adds, and a
factor f (the scale), the scaled cosines continue, and so do, from the widest level down, the coefficients c_k P_k:

    S_k = r_k S_{k−1} r'_k + (f Â) B̂ᵀ                    r_k = |A_{k−1}| / |A_k| ≤ 1, one number per row and level
    X_k = c_k P_k + r_{k+1} X_{k+1} r'_{k+1}              P_k = ∂loss_k / ∂S_k
    ∂A_seg = (f X_k B̂ − τ_k Â) / |A_k|                   τ_k = c_k Σ_j (P_k ∘ S_k) + r_{k+1}² τ_{k+1}

τ is all that the renormalisation costs: a scalar per row and level. Metrics that do not rescale have r = 1, τ = 0; for
l2, −|a − b|² = [2a, −|a|², 1] · [b, 1, −|b|²], so two more columns a segment make it a product like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mrl.nesting import Metric, Nesting, rescales

Role = Literal["rows", "candidates"]


@dataclass(frozen=True)
class Cut:
    """How vectors are cut: where, compared by which metric, multiplied in which dtype; all else is in `wide`."""

    nesting: Nesting
    metric: Metric
    dtype: torch.dtype
    wide: torch.dtype

    def product_dtype(self) -> torch.dtype:
        """That of the products: l2 is a difference of squares, which a narrow dtype would lose."""
        return self.wide if self.metric == "l2" else self.dtype


@dataclass(frozen=True)
class Lengths:
    """Lengths of the prefixes of (n, d), as multiples of each row's largest entry, so that nothing overflows.

    peak: (n, 1). norms: (levels, n), where the prefix is zero that of the next wider one that is not.
    shrink: (levels, n) r_k, of level 0 unused. alive: (levels, n) 0 where the prefix is zero, or None if none is.
    """

    peak: Tensor
    norms: Tensor
    shrink: Tensor
    alive: Tensor | None

    @classmethod
    def of(cls, x: Tensor, nesting: Nesting) -> Lengths:
        """x: (n, d) in at least float32."""
        peak = _or_one(_peak(x[:, : nesting.width]))
        own = torch.stack([_length(x[:, a:b] / peak) for a, b in nesting.segments])
        norms = own.clone()
        for level in range(1, len(norms)):
            torch.hypot(norms[level - 1], own[level], out=norms[level])
        zero = norms == 0
        for level in reversed(range(len(norms))):
            wider = norms[level + 1] if level + 1 < len(norms) else torch.ones_like(norms[level])
            norms[level] = norms[level].where(~zero[level], wider)
        shrink = torch.ones_like(norms)
        torch.div(norms[:-1], norms[1:], out=shrink[1:])
        some = x.device.type != "cpu" or bool(zero.any())  # on a GPU a look would wait for it
        return cls(peak, norms, shrink, (~zero).to(x.dtype) if some else None)

    def head(self, n: int) -> Lengths:
        alive = None if self.alive is None else self.alive[:, :n]
        return Lengths(self.peak[:n], self.norms[:, :n], self.shrink[:, :n], alive)


@dataclass(frozen=True)
class Side:
    """The vectors of one side, cut into segments ready for products.

    source: (n, d) as given. parts: per level (n, w) the operand. lengths: for cosine. factor: 0-d, on the rows' side.
    """

    source: Tensor
    cut: Cut
    role: Role
    parts: tuple[Tensor, ...]
    lengths: Lengths | None
    factor: Tensor | None

    @classmethod
    def of(cls, source: Tensor, cut: Cut, factor: Tensor | None = None) -> Side:
        """The rows' side with a factor; the candidates' without."""
        wide = source.to(cut.wide)
        lengths = Lengths.of(wide, cut.nesting) if rescales(cut.metric) else None
        bare = cls(source, cut, "candidates" if factor is None else "rows", (), lengths, factor)
        parts = tuple(bare._operand(level) for level in range(len(cut.nesting)))
        return cls(source, cut, bare.role, parts, lengths, factor)

    def head(self, n: int) -> Side:
        """The first n vectors."""
        lengths = None if self.lengths is None else self.lengths.head(n)
        return Side(self.source[:n], self.cut, self.role, tuple(p[:n] for p in self.parts), lengths, self.factor)

    def shrink(self, level: int, rows: slice) -> Tensor | None:
        """(rows,) the factor that carries level − 1 to `level`; None where it is 1."""
        return None if self.lengths is None else self.lengths.shrink[level, rows]

    def alive(self, level: int, rows: slice) -> Tensor | None:
        """(rows,) 0 where the prefix is zero, so that its cosines are constant; None if no prefix is."""
        return None if self.lengths is None or self.lengths.alive is None else self.lengths.alive[level, rows]

    def home(self, level: int, raw: Tensor, tau: Tensor | None, rows: slice) -> Tensor:
        """The gradient (rows, b − a) of a segment of the source from that of its operand, raw (rows, w), overwritten.

        tau: (rows,) for cosine, suffix sums over the levels, as above.
        """
        out = raw if self.factor is None else raw.mul_(self.factor)
        if self.lengths is not None and tau is not None:
            length = self.lengths.norms[level, rows, None]
            return out.sub_(self._segment(level, rows).mul_(tau[:, None])).div_(length).div_(self.lengths.peak[rows])
        if self.cut.metric != "l2":
            return out
        square = -2 if self.role == "rows" else -1  # the column of −|·|²
        inner = out[:, :-2].mul_(2) if self.role == "rows" else out[:, :-2]
        return inner.sub_(self._segment(level, rows) * out[:, square, None], alpha=2)

    def _segment(self, level: int, rows: slice = slice(None)) -> Tensor:
        """A copy (rows, b − a) of a segment in the wide dtype: for cosine, of the prefix of length 1 at that level."""
        a, b = self.cut.nesting.segments[level]
        x = self.source[rows, a:b].to(self.cut.wide, copy=True)
        if self.lengths is None:
            return x
        return x.div_(self.lengths.peak[rows]).div_(self.lengths.norms[level, rows, None])

    def _operand(self, level: int) -> Tensor:
        x = self._segment(level)
        if self.cut.metric == "l2":
            square, one = (x * x).sum(1, keepdim=True).neg_(), x.new_ones(len(x), 1)
            x = torch.cat([2 * x, square, one] if self.role == "rows" else [x, one, square], 1)
        if self.factor is not None:
            x.mul_(self.factor)
        return x.to(self.cut.product_dtype())


def scale_by(matrix: Tensor, rows: Tensor | None, columns: Tensor | None) -> None:
    """matrix (n, c) times rows (n,) times columns (c,), in place; None is 1."""
    if rows is not None:
        matrix.mul_(rows[:, None])
    if columns is not None:
        matrix.mul_(columns)


def _peak(x: Tensor) -> Tensor:
    return x.abs().amax(1, keepdim=True)


def _length(x: Tensor) -> Tensor:
    """(n, w) -> (n,) Euclidean lengths; squares of entries much below the row's largest do not underflow."""
    peak = _or_one(_peak(x))
    length: Tensor = torch.linalg.vector_norm(x / peak, dim=1)
    return length * peak[:, 0]


def _or_one(x: Tensor) -> Tensor:
    return x + (x == 0)
