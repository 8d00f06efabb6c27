"""The two passes of `nested_cross_entropy`: values and gradients of all levels, chunk of rows by chunk of rows.

Tied (MRL-E): logits are continued from level to level; back, the coefficients c_k (p_k − t) are summed from the widest
level down, because a segment's gradient is that of all levels that contain it:

    z_k = z_{k−1} + x_seg W_segᵀ        G_k = G_{k+1} + c_k (p_k − t)
    ∂x_seg = r · G_k W_seg              ∂W_seg = G_kᵀ (r · x_seg)

Separate (MRL): the same with whole prefixes instead of segments and no sums; levels share nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mrl.nesting import Nesting
from mrl.nn.targets import Targets

NARROW = 256  # column slices up to this wide are copied together: products with strided ones take twice as long


@dataclass(frozen=True)
class Plan:
    """What a pass needs beside its tensors.

    coefficients: c_m of each level. dtype: of the products. wide: of everything else, at least float32.
    chunk_bytes: of logits alive at once, at most. uniform: the factor of all rows where they share one; products then
    bring it in for nothing.
    """

    nesting: Nesting
    coefficients: tuple[float, ...]
    targets: Targets
    dtype: torch.dtype
    wide: torch.dtype
    chunk_bytes: int
    uniform: float | None

    def chunks(self, rows: int, buffers: int, classes: int) -> list[tuple[int, int]]:
        """Row ranges of about equal size such that `buffers` matrices (rows of a chunk, classes) fit the budget."""
        most = max(1, self.chunk_bytes // (buffers * classes * self.wide.itemsize))
        step = math.ceil(rows / math.ceil(rows / most))
        return [(start, min(start + step, rows)) for start in range(0, rows, step)]

    def room(self, like: Tensor, chunks: list[tuple[int, int]], buffers: int, classes: int) -> list[Tensor]:
        """That many matrices for the rows of the first, largest chunk; apart, so that an allocator can reuse them."""
        return [like.new_empty((chunks[0][1], classes), dtype=self.wide) for _ in range(buffers)]


@dataclass(frozen=True)
class Layers:
    """The head's parameters, in the dtype of the products; biases stay wide."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Gradients:
    """Where gradients accumulate, in the wide dtype; None where nobody asked. That of z misses the rows' factors."""

    z: Tensor | None
    weights: tuple[Tensor | None, ...]
    biases: tuple[Tensor | None, ...]

    @property
    def wanted(self) -> bool:
        return self.z is not None or any(g is not None for g in (*self.weights, *self.biases))


@dataclass(frozen=True)
class Sums:
    """Per level: the loss and the number of hits, both (levels,)."""

    losses: Tensor
    hits: Tensor

    @classmethod
    def zeros(cls, plan: Plan, like: Tensor) -> Sums:
        levels = len(plan.nesting)
        return cls(like.new_zeros(levels, dtype=plan.wide), like.new_zeros(levels, dtype=torch.int64))

    def add(self, level: int, logits: Tensor, p: Tensor, t: Targets) -> None:
        """Count a chunk: logits and their softmax p, both (n, classes)."""
        place = t.index[:, None]
        own, share, largest = logits.gather(1, place)[:, 0], p.gather(1, place)[:, 0], p.amax(1)
        logsumexp = own - share.log()
        if _underflows(share):
            logsumexp = logits.amax(1) - largest.log()  # the largest p is ≥ 1/classes
        self.losses[level] += (t.factor * (logsumexp - t.inner(logits, own))).sum()
        self.hits[level] += ((share == largest) & (t.factor != 0)).sum()


def _underflows(share: Tensor) -> bool:
    """Whether a softmax may be too small for its logarithm. On a GPU a look would wait for it, so: it may."""
    return share.device.type != "cpu" or bool((share < 1e3 * torch.finfo(share.dtype).tiny).any())


def tied(plan: Plan, z: Tensor, layers: Layers, out: Gradients) -> Sums:
    """MRL-E: one (classes, width) matrix. z: (rows, d)."""
    bias, levels, classes = layers.biases[0], len(plan.nesting), len(layers.weights[0])
    parts = _segments(layers.weights[0], plan.nesting)
    into = None if out.weights[0] is None else _segment_gradients(out.weights[0], plan.nesting)
    chunks, sums = plan.chunks(len(z), levels + 1, classes), Sums.zeros(plan, z)
    room = plan.room(z, chunks, levels + 1, classes)
    for start, stop in chunks:
        x, t = z[start:stop].to(plan.dtype), plan.targets.rows(start, stop)
        logits, *p = (buffer[: stop - start] for buffer in room)
        for level, (a, b) in enumerate(plan.nesting.segments):
            add_product(logits, x[:, a:b], parts[level].T, fresh=level == 0)
            if level == 0 and bias is not None:
                logits.add_(bias)
            torch.softmax(logits, 1, out=p[level])
            sums.add(level, logits, p[level], t)
        if out.wanted:
            grad_z = None if out.z is None else out.z[start:stop]
            _tied_back(plan, p, _Chunk(x, t, grad_z, first=start == 0), parts, into)
            if out.biases[0] is not None:
                out.biases[0].addmv_(p[0].T, t.factor)
    if into is not None and out.weights[0] is not None:
        _gather(out.weights[0], into, plan.nesting)
    return sums


@dataclass(frozen=True)
class _Chunk:
    """Rows at hand: x (n, d), their targets, their part of the gradient of z, and whether they are the first."""

    x: Tensor
    t: Targets
    grad_z: Tensor | None
    first: bool

    def scaled(self, plan: Plan) -> Tensor:
        """r · x, or x where the products bring r in."""
        return self.x if plan.uniform is not None else self.x * self.t.factor[:, None].to(self.x.dtype)


def _tied_back(plan: Plan, p: list[Tensor], chunk: _Chunk, parts: list[Tensor], into: list[Tensor] | None) -> None:
    """Turn the levels' softmaxes p, (n, classes) each, into suffix sums, in place, and add the segments' gradients."""
    scaled = chunk.scaled(plan)
    for level in reversed(range(len(p))):
        c = plan.coefficients[level]
        g = p[level] if c == 1 else p[level].mul_(c)
        if level + 1 < len(p):
            g.add_(p[level + 1])
        chunk.t.subtract_from(g, c)
        a, b = plan.nesting.segments[level]
        low = g.to(plan.dtype)
        if chunk.grad_z is not None:
            add_product(chunk.grad_z[:, a:b], low, parts[level], fresh=True, times=plan.uniform)
        if into is not None:
            add_product(into[level], low.T, scaled[:, a:b], fresh=chunk.first, times=plan.uniform)


def separate(plan: Plan, z: Tensor, layers: Layers, out: Gradients) -> Sums:
    """MRL: one (classes, m) matrix a level, so only one level's logits are alive at a time. z: (rows, d)."""
    classes, sums = len(layers.weights[0]), Sums.zeros(plan, z)
    chunks = plan.chunks(len(z), 2, classes)
    room = plan.room(z, chunks, 2, classes)
    for start, stop in chunks:
        grad_z = None if out.z is None else out.z[start:stop]
        chunk = _Chunk(z[start:stop].to(plan.dtype), plan.targets.rows(start, stop), grad_z, first=start == 0)
        scaled = chunk.scaled(plan)
        for level, dim in reversed(list(enumerate(plan.nesting.dims))):  # the widest first: it starts all of ∂x
            logits, p = (buffer[: stop - start] for buffer in room)
            _forward(logits, p, chunk.x[:, :dim], layers, level)
            sums.add(level, logits, p, chunk.t)
            if out.wanted:
                c = plan.coefficients[level]
                g = p if c == 1 else p.mul_(c)
                chunk.t.subtract_from(g, c)
                _separate_back(plan, g, scaled[:, :dim], chunk, layers.weights[level], out, level)
    return sums


def _forward(logits: Tensor, p: Tensor, x: Tensor, layers: Layers, level: int) -> None:
    bias = layers.biases[level]
    add_product(logits, x, layers.weights[level].T, fresh=True)
    if bias is not None:
        logits.add_(bias)
    torch.softmax(logits, 1, out=p)


def _separate_back(
    plan: Plan, g: Tensor, scaled: Tensor, chunk: _Chunk, weight: Tensor, out: Gradients, level: int
) -> None:
    into, bias, low = out.weights[level], out.biases[level], g.to(plan.dtype)
    if chunk.grad_z is not None:
        widest = level == len(out.weights) - 1
        add_product(chunk.grad_z[:, : weight.shape[1]], low, weight, fresh=widest, times=plan.uniform)
    if into is not None:
        add_product(into, low.T, scaled, fresh=chunk.first, times=plan.uniform)
    if bias is not None:
        bias.addmv_(g.T, chunk.t.factor)


def add_product(into: Tensor, a: Tensor, b: Tensor, *, fresh: bool, times: float | None = None) -> None:
    """into += times · a b, or = where fresh, kept in into's dtype whatever that of a and b."""
    alpha = 1.0 if times is None else times
    if a.dtype == into.dtype:
        into.addmm_(a, b, beta=0 if fresh else 1, alpha=alpha)
    elif fresh:
        into.copy_(a @ b).mul_(alpha)
    else:
        into.add_((a @ b).to(into.dtype), alpha=alpha)


def _segments(weight: Tensor, nesting: Nesting) -> list[Tensor]:
    """The columns of each segment, (classes, m): narrow ones copied together, wide ones as they lie."""
    return [weight[:, a:b].contiguous() if b - a <= NARROW else weight[:, a:b] for a, b in nesting.segments]


def _segment_gradients(into: Tensor, nesting: Nesting) -> list[Tensor]:
    """Where each segment's gradient accumulates, (classes, m): narrow ones apart, lying as (m, classes)."""
    return [into.new_empty((b - a, len(into))).T if b - a <= NARROW else into[:, a:b] for a, b in nesting.segments]


def _gather(into: Tensor, parts: list[Tensor], nesting: Nesting) -> None:
    """Bring the narrow segments' gradients home."""
    for part, (a, b) in zip(parts, nesting.segments, strict=True):
        if b - a <= NARROW:
            into[:, a:b] = part
