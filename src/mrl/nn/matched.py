"""Similarities of row i of one matrix with row i of another at every level, each product computed once.

Products and squares are summed segment by segment and accumulated. With x and y the prefixes at one level,

    cosine   s = ⟨x, y⟩ / (|x| |y|)    ∂s/∂x = y / (|x| |y|) − s x / |x|²
    dot      s = ⟨x, y⟩                ∂s/∂x = y
    l2       s = −|x − y|²             ∂s/∂x = 2y − 2x

so that the gradient of Σ_m g_m s_m is U y − V x in every segment, with U and V one number a row and segment: sums over
the levels that see the segment. Sums are kept in float64: there are rows × levels of them only, and 1 − s is then
exact where the rows are nearly parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, rescales

ROOM_BYTES = 16 << 20  # of widened rows alive at once


class Matched(NamedTuple):
    """Similarities of n pairs of rows. similarity: (levels, n), carries the gradient, by the metric, larger is nearer.

    present: (levels, n) how many of the two prefixes are not zero: 0, 1 or 2.
    """

    similarity: Tensor
    present: Tensor


def matched(a: Tensor, b: Tensor, nesting: Nesting, metric: Metric) -> Matched:
    """Similarity of a[i] with b[i] at each dim of the nesting, (n, d) and (n, e) -> (levels, n) float64.

    A zero prefix has cosine 0 with anything and gets no gradient. Rows are divided by their largest entry first, so
    that nothing overflows; entries below 1e-150 of it count as zero.
    """
    return Matched(*_apply(a, b, _Job(nesting, metric)))


def check_rows(rows: Tensor, nesting: Nesting, name: str) -> None:
    """Raise InputError or NestingError unless rows are (n, d) floating point with n ≥ 1 and d at least the width."""
    if rows.ndim != 2 or not rows.is_floating_point():
        raise InputError(f"{name} must be (rows, dims) floating point, got {rows.dtype} of shape {tuple(rows.shape)}")
    if len(rows) == 0:
        raise InputError(
            f"{name} has no rows (shape {tuple(rows.shape)}), so there is no mean; leave empty batches out"
        )
    nesting.check_width(rows.shape[1])


def refuse_second_order() -> None:
    """Raise InputError where a backward pass is itself recorded."""
    if torch.is_grad_enabled():
        raise InputError("there are no gradients of gradients here (create_graph=True); use nested(…), the plain loop")


@dataclass(frozen=True)
class _Job:
    nesting: Nesting
    metric: Metric


@torch.compiler.disable  # type: ignore[untyped-decorator]  # chunk loops gain nothing from tracing
def _apply(a: Tensor, b: Tensor, job: _Job) -> tuple[Tensor, Tensor]:
    result: tuple[Tensor, Tensor] = _Matched.apply(a, b, job)  # type: ignore[no-untyped-call]
    return result


class _Matched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, job: _Job) -> tuple[Tensor, Tensor]:
        with torch.autocast(a.device.type, enabled=False):
            parts = [_sums(x, y, job) for x, y in _rows(a, b, job)]
        products, own, other = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        inverse = _inverse(own), _inverse(other)
        similarity = products * inverse[0] * inverse[1] if rescales(job.metric) else products
        present = (own > 0).to(own.dtype) + (other > 0)
        ctx.job = job
        ctx.save_for_backward(a, b, similarity, *inverse)
        ctx.mark_non_differentiable(present)
        return similarity, present

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        refuse_second_order()
        a, b, similarity, *inverse = ctx.saved_tensors
        factors = _factors(grad, similarity, inverse, ctx.job.metric)
        out = [torch.zeros_like(t) if need else None for t, need in zip((a, b), ctx.needs_input_grad[:2], strict=True)]
        with torch.autocast(a.device.type, enabled=False):
            for side, into in enumerate(out):
                if into is not None:
                    pair = (a, b) if side == 0 else (b, a)
                    _pull(into, pair, (factors[0], factors[1 + side]), ctx.job)
        return out[0], out[1], None


def _rows(a: Tensor, b: Tensor, job: _Job) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows of both in chunks, widened, and for cosine divided by their peaks: (r, width) each."""
    for start, stop in _chunks(len(a), job.nesting.width):
        x, y = (_wide(t[start:stop, : job.nesting.width]) for t in (a, b))
        yield (x / peaks(x), y / peaks(y)) if rescales(job.metric) else (x, y)


def _chunks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, ROOM_BYTES // (4 * 8 * width))  # two operands, their product and the gradient
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _wide(x: Tensor) -> Tensor:
    return x.detach().to(torch.float32 if x.device.type == "mps" else torch.float64)  # that one has no float64


def peaks(x: Tensor) -> Tensor:
    """Largest magnitude of each row, (r, 1); 1 where there is none to divide by."""
    peak = x.detach().abs().amax(1, keepdim=True)
    return peak.where(peak.isfinite() & (peak > 0), 1.0)


def _sums(x: Tensor, y: Tensor, job: _Job) -> tuple[Tensor, Tensor, Tensor]:
    """Raw similarities and squared lengths of both at each level, (levels, r) each."""
    products = -((x - y) ** 2) if job.metric == "l2" else x * y
    return _accumulated(products, job.nesting), _accumulated(x * x, job.nesting), _accumulated(y * y, job.nesting)


def _accumulated(values: Tensor, nesting: Nesting) -> Tensor:
    """(r, width) -> (levels, r): sums over the first dims."""
    return torch.stack([values[:, start:stop].sum(1) for start, stop in nesting.segments]).cumsum(0)


def _inverse(squares: Tensor) -> Tensor:
    """1 / length; 0 for a zero row."""
    return squares.rsqrt().where(squares != 0, 0.0)


def _factors(grad: Tensor, similarity: Tensor, inverse: list[Tensor], metric: Metric) -> tuple[Tensor, Tensor, Tensor]:
    """U, then V for either side, (segments, n) each: sums over the levels that see a segment."""
    if rescales(metric):
        own = [grad * similarity * i * i for i in inverse]
        return _from_widest(grad * inverse[0] * inverse[1]), _from_widest(own[0]), _from_widest(own[1])
    twice = _from_widest(grad * 2) if metric == "l2" else torch.zeros_like(grad)
    return (twice if metric == "l2" else _from_widest(grad)), twice, twice


def _from_widest(x: Tensor) -> Tensor:
    """Suffix sums over the levels, (levels, n)."""
    return x.flip(0).cumsum(0).flip(0)


def _pull(into: Tensor, pair: tuple[Tensor, Tensor], factors: tuple[Tensor, Tensor], job: _Job) -> None:
    """into (n, d) = U y − V x of each segment, with x = pair[0]."""
    start = 0
    for x, y in _rows(*pair, job):
        stop = start + len(x)
        towards, away = (f[:, start:stop, None] for f in factors)
        scale = peaks(_wide(pair[0][start:stop, : job.nesting.width])) if rescales(job.metric) else 1.0
        for level, (first, last) in enumerate(job.nesting.segments):
            gradient = (y[:, first:last] * towards[level]).sub_(x[:, first:last] * away[level])
            into[start:stop, first:last] = gradient / scale
        start = stop
