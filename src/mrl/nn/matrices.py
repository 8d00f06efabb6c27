"""Mean squared differences of two batches' similarity matrices at every level, in tiles of rows.

At one level, with raw products S = X Xᵀ accumulated over the segments, C = f S fᵀ − q − qᵀ (by row; cosine: f is one
over the length; l2: f = √2, q the squared length) and E = C − T, T the teacher's. The loss is the mean of E², and with
G = 4 c E / n² the gradient of row i in a segment is Σ_j W_ij x_j − V_i x_i: W sums f G fᵀ over the levels that see the
segment; V sums over them f² Σ_j G C (cosine), 2 Σ_j G (l2) or nothing (dot).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mrl.nesting import Metric, Nesting, rescales
from mrl.nn.matched import peaks, refuse_second_order


@dataclass(frozen=True)
class Matrices:
    """What to compute. coefficients: the levels' factors in the total. full: the teacher at its full width."""

    nesting: Nesting
    coefficients: tuple[float, ...]
    metric: Metric
    full: bool
    chunk_bytes: int

    def chunks(self, rows: int, itemsize: int) -> Iterator[tuple[int, int]]:
        tiles = len(self.nesting) + 4  # a difference a level, two raw products, two scratch
        step = min(rows, max(1, self.chunk_bytes // (tiles * rows * itemsize)))
        for start in range(0, rows, step):
            yield start, min(start + step, rows)

    def differences(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Total (0-d, carries the student's gradient) and the levels' losses (levels,), in at least float32."""
        total, levels = _apply(self, student, teacher, torch.is_grad_enabled())
        return total, levels


@torch.compiler.disable  # type: ignore[untyped-decorator]  # tile loops with in-place products gain nothing from tracing
def _apply(plan: Matrices, student: Tensor, teacher: Tensor, grad: bool) -> tuple[Tensor, Tensor]:
    result: tuple[Tensor, Tensor] = _Differences.apply(plan, student, teacher, grad)  # type: ignore[no-untyped-call]
    return result


class _Differences(torch.autograd.Function):
    """Makes the gradient while a tile is at hand, in the forward pass, so that no tile is kept or made twice."""

    @staticmethod
    def forward(ctx: Any, plan: Matrices, student: Tensor, teacher: Tensor, grad: bool) -> tuple[Tensor, Tensor]:
        with torch.autocast(student.device.type, enabled=False):
            levels, gradient = _run(plan, student, teacher, grad and ctx.needs_input_grad[1])
        ctx.gradient, ctx.dtype = gradient, student.dtype
        ctx.mark_non_differentiable(levels)
        return (levels * levels.new_tensor(plan.coefficients)).sum(), levels

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        gradient = None if ctx.gradient is None else (ctx.gradient * grad).to(ctx.dtype)
        return None, gradient, None, None


@dataclass(frozen=True)
class _Side:
    """One batch. rows: (n, d). factor, minus: (levels, n) f and q."""

    rows: Tensor
    factor: Tensor
    minus: Tensor

    @classmethod
    def of(cls, rows: Tensor, nesting: Nesting, metric: Metric) -> _Side:
        squares = torch.stack([(rows[:, a:b] ** 2).sum(1) for a, b in nesting.segments]).cumsum(0)
        if rescales(metric):
            return cls(rows, squares.rsqrt().where(squares != 0, 0.0), torch.zeros_like(squares))
        factor = torch.full_like(squares, 2**0.5 if metric == "l2" else 1.0)
        return cls(rows, factor, squares if metric == "l2" else torch.zeros_like(squares))

    def add(self, raw: Tensor, part: slice, start: int, stop: int) -> None:
        """raw (r, n) += products of the part's rows with all rows over a segment."""
        raw.addmm_(self.rows[part, start:stop], self.rows[:, start:stop].T, beta=0 if start == 0 else 1)

    def similarities(self, raw: Tensor, part: slice, level: int, out: Tensor) -> Tensor:
        """C of a tile, (r, n)."""
        torch.mul(raw, self.factor[level, part, None], out=out).mul_(self.factor[level])
        return out.sub_(self.minus[level, part, None]).sub_(self.minus[level])


def _run(plan: Matrices, student: Tensor, teacher: Tensor, grad: bool) -> tuple[Tensor, Tensor | None]:
    """The levels' losses, and the gradient of the total where wanted."""
    nesting, wide = plan.nesting, torch.promote_types(student.dtype, torch.float32)
    x, peak = _scaled(student[:, : nesting.width], wide, plan.metric)
    widths = Nesting((teacher.shape[1],)) if plan.full else nesting
    t, _ = _scaled(teacher[:, : widths.width], wide, plan.metric)
    mine, theirs = _Side.of(x, nesting, plan.metric), _Side.of(t, widths, plan.metric)
    levels = x.new_zeros(len(nesting))
    out = x.new_zeros(student.shape) if grad else None
    for start, stop in plan.chunks(len(x), x.itemsize):
        tile = _Tile(plan, mine, theirs, slice(start, stop))
        levels += tile.forward()
        if out is not None:
            tile.backward(out[start:stop, : nesting.width])
    return levels, None if out is None else out.div_(peak)


def _scaled(rows: Tensor, wide: torch.dtype, metric: Metric) -> tuple[Tensor, Tensor]:
    """Rows in `wide`, for cosine divided by their peaks (n, 1), so that nothing overflows; and the peaks."""
    rows = rows.detach()
    peak = peaks(rows) if rescales(metric) else rows.new_ones(1, 1)
    return rows.to(wide) / peak.to(wide), peak.to(wide)


class _Tile:
    """Some rows of both matrices: the differences of all levels are alive together, nothing else outlives it."""

    def __init__(self, plan: Matrices, mine: _Side, theirs: _Side, part: slice) -> None:
        self.plan, self.mine, self.theirs, self.part = plan, mine, theirs, part
        self.n = len(mine.rows)
        shape = len(plan.nesting), part.stop - part.start, self.n
        self.differences = mine.rows.new_empty(shape)  # E, then W
        self.own = mine.rows.new_zeros(shape[:2])  # V

    def forward(self) -> Tensor:
        """Differences of all levels, and their share of each level's mean square, (levels,)."""
        raw, target, scratch = (torch.empty_like(self.differences[0]) for _ in range(3))
        losses = self.differences.new_empty(len(self.differences))
        for level, (start, stop) in enumerate(self.plan.nesting.segments):
            self._target(target, level, start, stop)
            difference = self.differences[level]
            self.mine.add(raw, self.part, start, stop)
            self.mine.similarities(raw, self.part, level, scratch)
            at = 0 if self.plan.full else level
            self.theirs.similarities(target, self.part, at, difference).neg_().add_(scratch)
            losses[level] = difference.square().sum() / self.n**2
            self.own[level] = self._own(difference, scratch, level)
        return losses

    def _target(self, target: Tensor, level: int, start: int, stop: int) -> None:
        """The teacher's raw products, of its first dims or, once, of all."""
        if not self.plan.full:
            self.theirs.add(target, self.part, start, stop)
        elif level == 0:
            self.theirs.add(target, self.part, 0, self.theirs.rows.shape[1])

    def _own(self, difference: Tensor, similarity: Tensor, level: int) -> Tensor:
        """This level's V but for 4 c / n², (r,). Spoils the similarities."""
        if rescales(self.plan.metric):
            return similarity.mul_(difference).sum(1) * self.mine.factor[level, self.part] ** 2
        return difference.sum(1) * (2.0 if self.plan.metric == "l2" else 0.0)

    def backward(self, into: Tensor) -> None:
        """Write the rows' gradient, (r, width)."""
        own, after = self.own.new_zeros(self.own.shape[1]), None
        for level, (start, stop) in reversed(list(enumerate(self.plan.nesting.segments))):
            c = 4 * self.plan.coefficients[level] / self.n**2
            factor = self.mine.factor[level]
            w = self.differences[level].mul_(factor[self.part, None] * c).mul_(factor)
            if after is not None:
                w.add_(after)
            own, after = own + c * self.own[level], w
            x = self.mine.rows[:, start:stop]
            torch.addmm(x[self.part] * own[:, None], w, x, beta=-1, out=into[:, start:stop])
