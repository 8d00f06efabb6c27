"""One sweep over a Gram matrix: values and gradients of all levels, tile of rows by tile of rows (algebra: `gram.py`).

A tile has some rows and all candidates, so a softmax over a row is whole and one sweep suffices. Alive at once are the
similarities of one level, a spare matrix, and per level the coefficients P_k, which turn into the suffix sums X_k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrl.nn.gram import Cut, Side, scale_by
from mrl.nn.negatives import LeftOut
from mrl.nn.passes import add_product
from mrl.nn.tiles import Rule, Tile, Tiling


@dataclass(frozen=True)
class Wanted:
    """Whose gradients are asked for: the embeddings of either side, the scale, the bias."""

    rows: bool = False
    candidates: bool = False
    scale: bool = False
    bias: bool = False

    def __bool__(self) -> bool:
        return self.rows or self.candidates or self.scale or self.bias


@dataclass(frozen=True)
class Found:
    """What a sweep found. losses, hits: (levels,). The gradients: (n, d), (candidates, d), 0-d, 0-d; None unasked."""

    losses: Tensor
    hits: Tensor
    rows: Tensor | None = None
    candidates: Tensor | None = None
    scale: Tensor | None = None
    bias: Tensor | None = None

    def gradients(self, like: tuple[Tensor, ...]) -> list[Tensor | None]:
        """Those of rows, candidates, scale and bias, in the dtypes of these."""
        found = (self.rows, self.candidates, self.scale, self.bias)
        return [None if g is None else g.to(t.dtype) for g, t in zip(found, like, strict=True)]


@dataclass(frozen=True)
class Plan:
    """What a sweep needs beside the vectors. coefficients: c_m of each level."""

    cut: Cut
    coefficients: tuple[float, ...]
    left_out: LeftOut
    margin: float | None
    chunk_bytes: int
    wanted: Wanted = Wanted()

    @property
    def levels(self) -> int:
        return len(self.cut.nesting)

    def tiling(self, rows: Tensor, candidates: Tensor) -> Tiling:
        """A matrix per level and two more; one more for copies in a narrow dtype, and one for what is left out."""
        narrow = self.cut.product_dtype() != self.cut.wide
        chosen = bool(self.left_out) or self.margin is not None
        matrices, cached = self.levels + 2 + narrow + chosen, rows.device.type == "cpu"
        return Tiling(len(rows), len(candidates), matrices, self.cut.wide.itemsize, self.chunk_bytes, cached)


def extend(s: Tensor, level: int, rows: Side, candidates: Side, at: slice) -> None:
    """Continue a tile's similarities s (r, c) from level − 1 to level."""
    if level:
        scale_by(s, rows.shrink(level, at), candidates.shrink(level, slice(None)))
    add_product(s, rows.parts[level][at], candidates.parts[level].T, fresh=level == 0)


def sweep(plan: Plan, rule: Rule, rows: Side, candidates: Side) -> Found:
    """Values, hits and the wanted gradients."""
    m, tiling = len(candidates.source), plan.tiling(rows.source, candidates.source)
    totals = _Totals.of(plan, rows, candidates)
    s, spare, *p = (totals.losses.new_empty(tiling.height, m) for _ in range(plan.levels + 2))
    for at in tiling.tiles():
        height, left_out = at.stop - at.start, plan.left_out.tile(at, m)
        for level in range(plan.levels):
            extend(s[:height], level, rows, candidates, at)
            tile = Tile(level, at, s[:height], spare[:height], plan.left_out.first + at.start, left_out)
            loss, hits = rule.value(tile, p[level][:height])
            totals.losses[level] += loss
            totals.hits[level] += hits
            if plan.wanted:
                totals.count(level, tile, p[level][:height])
        if plan.wanted.rows or plan.wanted.candidates:
            totals.back([matrix[:height] for matrix in p], at, rule.share)
    return totals.finish(rule.share)


@dataclass(frozen=True)
class _Totals:
    """What accumulates over the tiles; tau: per side (levels, n), first the sums over a level, later over the wider."""

    plan: Plan
    rows: Side
    candidates: Side
    losses: Tensor
    hits: Tensor
    tau: tuple[Tensor, Tensor]
    bias: Tensor
    grad_rows: Tensor | None
    parts: list[Tensor]

    @classmethod
    def of(cls, plan: Plan, rows: Side, candidates: Side) -> _Totals:
        like = rows.source.new_empty(0, dtype=plan.cut.wide)
        zeros = like.new_zeros(plan.levels)
        tau = (like.new_zeros(plan.levels, len(rows.source)), like.new_zeros(plan.levels, len(candidates.source)))
        grad = torch.zeros_like(rows.source, dtype=plan.cut.wide) if plan.wanted.rows else None
        parts = [torch.zeros_like(part, dtype=plan.cut.wide) for part in candidates.parts if plan.wanted.candidates]
        hits = zeros.to(torch.int64)
        return cls(plan, rows, candidates, zeros, hits, tau, like.new_zeros(()), grad, parts)

    def count(self, level: int, tile: Tile, p: Tensor) -> None:
        """Add the sums of c P and c P ∘ S over rows and columns that the renormalisation, scale and bias need."""
        c = self.plan.coefficients[level]
        if self.plan.wanted.bias:
            self.bias.add_(p.sum(), alpha=c)
        if self.rows.lengths is None and not self.plan.wanted.scale:
            return
        torch.mul(p, tile.s, out=tile.spare)
        self.tau[0][level, tile.rows] = tile.spare.sum(1).mul_(c)
        if self.candidates.lengths is not None and self.plan.wanted.candidates:
            self.tau[1][level].add_(tile.spare.sum(0), alpha=c)

    def back(self, p: list[Tensor], at: slice, share: float) -> None:
        """Turn a tile's coefficients into suffix sums, in place, and add the segments' gradients."""
        tau = self.tau[0][:, at].clone()
        for level in reversed(range(len(p))):
            x, c = p[level], self.plan.coefficients[level]
            scale_by(x, self.rows.alive(level, at), self.candidates.alive(level, slice(None)))
            if c != 1:
                x.mul_(c)
            if level + 1 < len(p):
                self._carry(p[level + 1], x, level + 1, at)
                tau[level] += _carried(self.rows, tau[level + 1], level + 1, at)
            low = x.to(self.plan.cut.product_dtype())
            if self.grad_rows is not None:
                a, b = self.plan.cut.nesting.segments[level]
                raw = x.new_empty(len(x), self.candidates.parts[level].shape[1])
                add_product(raw, low, self.candidates.parts[level], fresh=True, times=share)
                self.grad_rows[at, a:b] = self.rows.home(level, raw, tau[level] * share, at)
            if self.parts:
                add_product(self.parts[level], low.T, self.rows.parts[level][at], fresh=False, times=share)

    def _carry(self, wider: Tensor, into: Tensor, level: int, at: slice) -> None:
        """into += r X r' with X the suffix sum of `level`, which is spoilt."""
        rows, columns = self.rows.shrink(level, at), self.candidates.shrink(level, slice(None))
        scale_by(wider, rows, None)
        into.add_(wider) if columns is None else into.addcmul_(wider, columns)

    def finish(self, share: float) -> Found:
        """Bring the candidates' gradients home."""
        wanted, grad = self.plan.wanted, None
        factor = self.rows.factor if wanted.scale else None
        scale = None if factor is None else self.tau[0].sum().mul_(share).div_(factor)
        if wanted.candidates:
            grad = torch.zeros_like(self.candidates.source, dtype=self.plan.cut.wide)
            everything, tau = slice(None), self.tau[1]
            for level in reversed(range(self.plan.levels)):
                if level + 1 < self.plan.levels:
                    tau[level] += _carried(self.candidates, tau[level + 1], level + 1, everything)
                a, b = self.plan.cut.nesting.segments[level]
                grad[:, a:b] = self.candidates.home(level, self.parts.pop(), tau[level] * share, everything)
        bias = self.bias.mul_(share) if wanted.bias else None
        return Found(self.losses * share, self.hits, self.grad_rows, grad, scale, bias)


def _carried(side: Side, tau: Tensor, level: int, at: slice) -> Tensor:
    shrink = side.shrink(level, at)
    return tau if shrink is None else tau * shrink * shrink
