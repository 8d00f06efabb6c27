"""`nested_cross_entropy`: the softmax losses of all levels and their gradients in one pass over the rows.

Rows go through in chunks. Forward, the logits of a tied head are continued from level to level; back, the coefficients
c_k (p_k − t) are summed from the widest level down, because a segment's gradient is that of all levels that contain it:

    z_k = z_{k−1} + x_seg W_segᵀ        G_k = G_{k+1} + c_k (p_k − t)
    ∂x_seg = r · G_k W_seg              ∂W_seg = G_kᵀ (r · x_seg)

Both happen while a chunk is at hand, so gradients are made in the forward pass and only chunk × classes × levels logits
are ever alive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.nn.heads import Head
from mrl.nn.loop import NestedLoss, Reduction, level_coefficients
from mrl.nn.targets import Options, Targets, prepare

CHUNK_BYTES = 32 << 20  # of logits alive at once: where the time per row stops falling, see benchmarks/


def nested_cross_entropy(
    head: Head,
    z: Tensor,
    target: Tensor,
    *,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    chunk_bytes: int = CHUNK_BYTES,
) -> NestedLoss:
    """Σ_m c_m · cross_entropy(head at dim m, target): arXiv 2205.13147 eq. 1, in one pass.

    The values and gradients of `nested(F.cross_entropy, …)`, its oracle; each level is the mean over the rows not
    ignored, as in PyTorch (and, as there, NaN if all rows are ignored).

    head: an MRLHead or MRLEHead. z: (..., d), d at least the head's width; further coordinates get no gradient.
    target: (...) integers, or (..., classes) probabilities, which get no gradient.
    level_weights: c_m, one per dim, default 1. reduction: `sum` over the levels, or their `mean`.
    class_weights (classes,), label_smoothing, ignore_index: as in `torch.nn.functional.cross_entropy`.
    chunk_bytes: logits alive at once; memory beyond inputs and gradients is about that much.

    Under autocast the products run in its dtype and everything else in float32. Gradients of gradients are refused.
    Raises InputError or NestingError for what does not fit.
    """
    head.nesting.check_width(z.shape[-1])
    if not z.is_floating_point():
        raise InputError(f"z must be floating point, got {z.dtype}")
    if chunk_bytes < 1:
        raise InputError(f"chunk_bytes must be positive, got {chunk_bytes}")
    rows = z.reshape(-1, z.shape[-1])
    flat = target.reshape(-1, target.shape[-1]) if target.is_floating_point() and target.ndim else target.reshape(-1)
    narrow = torch.get_autocast_dtype(z.device.type) if torch.is_autocast_enabled(z.device.type) else z.dtype
    wide = torch.promote_types(narrow, torch.float32)
    plan = _Plan(
        nesting=head.nesting,
        coefficients=level_coefficients(head.nesting, level_weights, reduction),
        targets=prepare(flat, len(rows), head.classes, wide, Options(class_weights, label_smoothing, ignore_index)),
        dtype=narrow,
        wide=wide,
        chunk_bytes=chunk_bytes,
        passes=_tied if head.tied else _separate,
        layers=len(head.weights),
        grad=torch.is_grad_enabled(),
    )
    total, levels, hits = _apply(plan, rows, *head.weights, *head.biases)
    return NestedLoss(total, levels, hits)


@dataclass(frozen=True)
class _Plan:
    """What a pass needs beside its tensors. dtype: of the products; wide: of everything else."""

    nesting: Nesting
    coefficients: tuple[float, ...]
    targets: Targets
    dtype: torch.dtype
    wide: torch.dtype
    chunk_bytes: int
    passes: Callable[[_Plan, Tensor, _Layers, _Gradients], _Sums]
    layers: int
    grad: bool

    def chunks(self, rows: int, buffers: int, classes: int) -> list[tuple[int, int]]:
        """Row ranges of about equal size such that `buffers` matrices (rows of a chunk, classes) fit the budget."""
        most = max(1, self.chunk_bytes // (buffers * classes * self.wide.itemsize))
        step = math.ceil(rows / math.ceil(rows / most)) if rows else 1
        return [(start, min(start + step, rows)) for start in range(0, rows, step)]

    def room(self, like: Tensor, chunks: list[tuple[int, int]], buffers: int, classes: int) -> list[Tensor]:
        """That many matrices for the rows of the first, largest chunk; apart, so that an allocator can reuse them."""
        rows = chunks[0][1] if chunks else 0
        return [like.new_empty((rows, classes), dtype=self.wide) for _ in range(buffers)]


@dataclass(frozen=True)
class _Layers:
    """The head's parameters, in the dtype of the products; biases stay wide."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class _Gradients:
    """Where gradients accumulate, in the wide dtype; None where nobody asked."""

    z: Tensor | None
    weights: tuple[Tensor | None, ...]
    biases: tuple[Tensor | None, ...]

    @property
    def wanted(self) -> bool:
        return self.z is not None or any(g is not None for g in (*self.weights, *self.biases))


@dataclass(frozen=True)
class _Sums:
    """Per level: the loss and the number of hits, both (levels,)."""

    losses: Tensor
    hits: Tensor

    def add(self, level: int, logits: Tensor, p: Tensor, t: Targets) -> None:
        """Count a chunk: logits and their softmax p, both (n, classes)."""
        peak = logits.amax(1)
        logsumexp = peak - p.amax(1).log()  # the largest p is ≥ 1/classes: no underflow
        own = logits.gather(1, t.index[:, None])[:, 0]
        self.losses[level] += (t.factor * (logsumexp - t.inner(logits, own))).sum()
        self.hits[level] += ((own == peak) & (t.factor != 0)).sum()


def _tied(plan: _Plan, z: Tensor, layers: _Layers, out: _Gradients) -> _Sums:
    """MRL-E: one (classes, width) matrix; logits continue from level to level, coefficients from the widest back."""
    weight, bias, levels = layers.weights[0], layers.biases[0], len(plan.nesting)
    classes, sums = len(weight), _sums(levels, z)
    chunks = plan.chunks(len(z), levels + 1, classes)
    room = plan.room(z, chunks, levels + 1, classes)
    for start, stop in chunks:
        x, t = z[start:stop].to(plan.dtype), plan.targets.rows(start, stop)
        logits, *p = (buffer[: stop - start] for buffer in room)
        for level, (a, b) in enumerate(plan.nesting.segments):
            _add_product(logits, x[:, a:b], weight[:, a:b].T, fresh=level == 0)
            if level == 0 and bias is not None:
                logits.add_(bias)
            torch.softmax(logits, 1, out=p[level])
            sums.add(level, logits, p[level], t)
        if out.wanted:
            _tied_back(plan, p, x, weight, t, out, start)
    return sums


def _tied_back(plan: _Plan, p: Tensor, x: Tensor, weight: Tensor, t: Targets, out: _Gradients, start: int) -> None:
    """Turn the levels' softmaxes p (levels, n, classes) into suffix sums, in place, and add their gradients."""
    scaled = x * t.factor[:, None].to(x.dtype)
    for level in reversed(range(len(p))):
        c = plan.coefficients[level]
        g = p[level] if c == 1 else p[level].mul_(c)
        if level + 1 < len(p):
            g.add_(p[level + 1])
        t.subtract_from(g, c)
        a, b = plan.nesting.segments[level]
        low = g.to(plan.dtype)
        if out.z is not None:
            _add_product(out.z[start : start + len(x), a:b], low, weight[:, a:b], fresh=True)
        if out.weights[0] is not None:
            _add_product(out.weights[0][:, a:b], low.T, scaled[:, a:b], fresh=start == 0)
    if out.biases[0] is not None:
        out.biases[0].addmv_(p[0].T, t.factor)


def _separate(plan: _Plan, z: Tensor, layers: _Layers, out: _Gradients) -> _Sums:
    """MRL: one (classes, m) matrix a level; nothing is shared, so only one level's logits are alive at a time."""
    classes, sums = len(layers.weights[0]), _sums(len(plan.nesting), z)
    chunks = plan.chunks(len(z), 2, classes)
    room = plan.room(z, chunks, 2, classes)
    for start, stop in chunks:
        x, t = z[start:stop].to(plan.dtype), plan.targets.rows(start, stop)
        scaled = x * t.factor[:, None].to(x.dtype)
        logits, p = (buffer[: stop - start] for buffer in room)
        for level, dim in reversed(list(enumerate(plan.nesting.dims))):  # the widest first: it starts all of ∂x
            bias, c = layers.biases[level], plan.coefficients[level]
            _add_product(logits, x[:, :dim], layers.weights[level].T, fresh=True)
            if bias is not None:
                logits.add_(bias)
            torch.softmax(logits, 1, out=p)
            sums.add(level, logits, p, t)
            if not out.wanted:
                continue
            g = p if c == 1 else p.mul_(c)
            t.subtract_from(g, c)
            _separate_back(g, g.to(plan.dtype), scaled[:, :dim], layers.weights[level], t, out, level, start)
    return sums


def _separate_back(
    g: Tensor, low: Tensor, scaled: Tensor, weight: Tensor, t: Targets, out: _Gradients, level: int, start: int
) -> None:
    into, bias = out.weights[level], out.biases[level]
    if out.z is not None:
        widest = level == len(out.weights) - 1
        _add_product(out.z[start : start + len(g), : weight.shape[1]], low, weight, fresh=widest)
    if into is not None:
        _add_product(into, low.T, scaled, fresh=start == 0)
    if bias is not None:
        bias.addmv_(g.T, t.factor)


def _add_product(into: Tensor, a: Tensor, b: Tensor, *, fresh: bool) -> None:
    """into += a b, or into = a b if fresh, kept in into's dtype whatever that of a and b."""
    if a.dtype == into.dtype:
        into.addmm_(a, b, beta=0 if fresh else 1)
    elif fresh:
        into.copy_(a @ b)
    else:
        into.add_(a @ b)


def _sums(levels: int, like: Tensor) -> _Sums:
    wide = torch.promote_types(like.dtype, torch.float32)
    return _Sums(like.new_zeros(levels, dtype=wide), like.new_zeros(levels, dtype=torch.int64))


@torch.compiler.disable  # chunk loops with in-place products gain nothing from tracing
def _apply(plan: _Plan, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = _OnePass.apply(plan, *tensors)  # type: ignore[no-untyped-call]
    return result


class _OnePass(torch.autograd.Function):
    """Runs a plan's pass, gradients included, and hands them out when autograd asks."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, z: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wants = [plan.grad and needed for needed in ctx.needs_input_grad[1:]]
        sums, gradients = _run(plan, z, parameters, wants)
        ctx.plan, ctx.wants, ctx.gradients = plan, wants, gradients
        ctx.save_for_backward(z, *parameters)
        total = (sums.losses * sums.losses.new_tensor(plan.coefficients)).sum()
        ctx.mark_non_differentiable(sums.losses, sums.hits)
        return total, sums.losses, sums.hits

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None  # handed over, so that .grad takes them without a copy
        if gradients is None:  # a second backward through a retained graph
            z, *parameters = ctx.saved_tensors
            _, gradients = _run(ctx.plan, z, tuple(parameters), ctx.wants)
        plain = grad.device.type == "cpu" and grad.item() == 1  # the usual case, and then no work
        return None, *(g if g is None or plain else g.mul_(grad) for g in gradients)


def _run(
    plan: _Plan, z: Tensor, parameters: tuple[Tensor, ...], wants: list[bool]
) -> tuple[_Sums, list[Tensor | None]]:
    """One pass; the gradients of z and the parameters, in their order and dtypes, None where not wanted."""
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        n = plan.layers
        out = [
            _start(t, plan, written=len(z) > 0 and position <= n) if want else None
            for position, (t, want) in enumerate(zip((z, *parameters), wants, strict=True))
        ]
        weights = tuple(w.to(plan.dtype) for w in parameters[:n])
        biases = tuple(b.to(plan.wide) for b in parameters[n:]) or (None,) * n
        gradients = _Gradients(out[0], tuple(out[1 : n + 1]), tuple(out[n + 1 :]) or (None,) * n)
        sums = plan.passes(plan, z, _Layers(weights, biases), gradients)
        if out[0] is not None:
            out[0].mul_(plan.targets.factor[:, None])
        return sums, [None if g is None else g.to(t.dtype) for g, t in zip(out, (z, *parameters), strict=True)]


def _start(like: Tensor, plan: _Plan, *, written: bool) -> Tensor:
    """Where a gradient accumulates: zeros; past the widest level only, where the pass writes before it adds."""
    if not written:
        return torch.zeros(like.shape, dtype=plan.wide, device=like.device)
    out = torch.empty(like.shape, dtype=plan.wide, device=like.device)
    out[:, plan.nesting.width :] = 0
    return out
