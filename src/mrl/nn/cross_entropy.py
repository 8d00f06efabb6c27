"""`nested_cross_entropy`: the softmax losses of all levels and their gradients in one pass over the rows.

The passes themselves, and their algebra, are in `passes.py`. They make the gradients while a chunk of rows is at hand,
in the forward pass, so that only chunk × classes × levels logits are ever alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Reduction, level_coefficients
from mrl.nn.heads import Head
from mrl.nn.loop import NestedLoss
from mrl.nn.passes import Gradients, Layers, Plan, Sums, separate, tied
from mrl.nn.targets import Options, prepare

CHUNK_BYTES = 96 << 20  # of logits alive at once, at most


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
    chunk_bytes: logits alive at once, at most; memory beyond inputs and gradients is about that much.

    Under autocast the products run in its dtype and everything else in float32. Gradients of gradients are refused.
    Raises InputError or NestingError for what does not fit.
    """
    _check(head, z, target, chunk_bytes)
    rows = z.reshape(-1, z.shape[-1])
    flat = target.reshape(-1, target.shape[-1]) if target.is_floating_point() else target.reshape(-1)
    narrow = torch.get_autocast_dtype(z.device.type) if torch.is_autocast_enabled(z.device.type) else z.dtype
    wide = torch.promote_types(narrow, torch.float32)
    options = Options(class_weights, label_smoothing, ignore_index)
    targets = prepare(flat, len(rows), head.classes, wide, options)
    plan = Plan(
        nesting=head.nesting,
        coefficients=level_coefficients(head.nesting, level_weights, reduction),
        targets=targets,
        dtype=narrow,
        wide=wide,
        chunk_bytes=chunk_bytes,
        uniform=targets.uniform(),
    )
    total, levels, hits = _apply(
        _Job(plan, head.tied, len(head.weights), torch.is_grad_enabled()), rows, *head.weights, *head.biases
    )
    return NestedLoss(total, levels, hits)


def _check(head: Head, z: Tensor, target: Tensor, chunk_bytes: int) -> None:
    """Raise NestingError or InputError for what does not fit together."""
    head.nesting.check_width(z.shape[-1])
    if not z.is_floating_point():
        raise InputError(f"z must be floating point, got {z.dtype}")
    if z.shape[:-1].numel() == 0:
        raise InputError(f"z has no rows (shape {tuple(z.shape)}), so there is no mean; leave empty batches out")
    if chunk_bytes < 1:
        raise InputError(f"chunk_bytes must be positive, got {chunk_bytes}")
    own = target.shape[:-1] if target.is_floating_point() else target.shape
    if own != z.shape[:-1]:
        raise InputError(
            f"targets must be one integer per row or one probability per row and class: z is {tuple(z.shape)}, "
            f"got {target.dtype} of shape {tuple(target.shape)}"
        )


@dataclass(frozen=True)
class _Job:
    """A plan and the shape of the head that it is for; grad: whether any gradient may be wanted."""

    plan: Plan
    tied: bool
    layers: int
    grad: bool


@torch.compiler.disable  # type: ignore[untyped-decorator]  # chunk loops with in-place products gain nothing from tracing
def _apply(job: _Job, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = _OnePass.apply(job, *tensors)  # type: ignore[no-untyped-call]
    return result


class _OnePass(torch.autograd.Function):
    """Runs a plan's pass, gradients included, and hands them out when autograd asks."""

    @staticmethod
    def forward(ctx: Any, job: _Job, z: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wants = [job.grad and needed for needed in ctx.needs_input_grad[1:]]
        sums, gradients = _run(job, z, parameters, wants)
        ctx.job, ctx.wants, ctx.gradients = job, wants, gradients
        ctx.save_for_backward(z, *parameters)
        total = (sums.losses * sums.losses.new_tensor(job.plan.coefficients)).sum()
        ctx.mark_non_differentiable(sums.losses, sums.hits)
        return total, sums.losses, sums.hits

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise InputError(
                "there are no gradients of gradients here (create_graph=True); use nested(cross_entropy, …)"
            )
        gradients, ctx.gradients = ctx.gradients, None  # handed over, so that .grad takes them without a copy
        if gradients is None:  # a second backward through a retained graph
            z, *parameters = ctx.saved_tensors
            gradients = _run(ctx.job, z, tuple(parameters), ctx.wants)[1]
        plain = grad.device.type == "cpu" and grad.item() == 1  # the usual case, and then no work
        return None, *(g if g is None or plain else g.mul_(grad) for g in gradients)


def _run(job: _Job, z: Tensor, parameters: tuple[Tensor, ...], wants: list[bool]) -> tuple[Sums, list[Tensor | None]]:
    """One pass; the gradients of z and the parameters, in their order and dtypes, None where not wanted."""
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        plan, n = job.plan, job.layers
        out = [
            _start(t, plan, written=position <= n) if want else None
            for position, (t, want) in enumerate(zip((z, *parameters), wants, strict=True))
        ]
        weights = tuple(w.to(plan.dtype) for w in parameters[:n])
        biases = tuple(b.to(plan.wide) for b in parameters[n:]) or (None,) * n
        gradients = Gradients(out[0], tuple(out[1 : n + 1]), tuple(out[n + 1 :]) or (None,) * n)
        run = tied if job.tied else separate
        sums = run(plan, z, Layers(weights, biases), gradients)
        if out[0] is not None and plan.uniform is None:
            out[0].mul_(plan.targets.factor[:, None])
        return sums, [None if g is None else g.to(t.dtype) for g, t in zip(out, (z, *parameters), strict=True)]


def _start(like: Tensor, plan: Plan, *, written: bool) -> Tensor:
    """Where a gradient accumulates: zeros; past the widest level only, where the pass writes before it adds."""
    if not written:
        return torch.zeros(like.shape, dtype=plan.wide, device=like.device)
    out = torch.empty(like.shape, dtype=plan.wide, device=like.device)
    out[:, plan.nesting.width :] = 0
    return out
