"""One pass of a contrastive loss as autograd sees it: gradients made in the forward pass, handed out when asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nn.gram import Side
from mrl.nn.loop import NestedLoss
from mrl.nn.rules import Columns, Sigmoid, Softmax
from mrl.nn.sweeps import Found, Plan, Wanted, sweep
from mrl.nn.tiles import Rule


@dataclass(frozen=True)
class Job:
    """A plan and the loss that it is for; both: both directions at once. grad: whether any gradient may be wanted."""

    plan: Plan
    loss: Literal["info-nce", "siglip"]
    both: bool
    grad: bool


def one_pass(job: Job, rows: Tensor, candidates: Tensor, scale: Tensor, bias: Tensor | None = None) -> NestedLoss:
    """The loss of rows (n, d), each against candidates (m, d), by a 0-d scale and, for SigLIP, a 0-d bias."""
    offset = torch.zeros_like(scale) if bias is None else bias
    total, levels, hits = _OnePass.apply(job, rows, candidates, scale, offset)  # type: ignore[no-untyped-call]
    return NestedLoss(total, levels, hits)


class _OnePass(torch.autograd.Function):
    """Runs a job, gradients included, and hands them out when autograd asks."""

    @staticmethod
    def forward(ctx: Any, job: Job, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wanted = Wanted(*(job.grad and needed for needed in ctx.needs_input_grad[1:]))
        job = replace(job, plan=replace(job.plan, wanted=wanted))
        found = _run(job, *tensors)
        ctx.job, ctx.gradients = job, found.gradients(tensors)
        ctx.save_for_backward(*tensors)
        total = (found.losses * found.losses.new_tensor(job.plan.coefficients)).sum()
        ctx.mark_non_differentiable(found.losses, found.hits)
        return total, found.losses, found.hits

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise InputError(
                "there are no gradients of gradients here (create_graph=True); use nested(…), the plain loop"
            )
        gradients, ctx.gradients = ctx.gradients, None  # handed over, so that .grad takes them without a copy
        if gradients is None:  # a second backward through a retained graph
            gradients = _run(ctx.job, *ctx.saved_tensors).gradients(ctx.saved_tensors)
        plain = grad.device.type == "cpu" and grad.item() == 1  # the usual case, and then no work
        return None, *(g if g is None or plain else g.mul_(grad) for g in gradients)


def _run(job: Job, rows: Tensor, candidates: Tensor, scale: Tensor, bias: Tensor) -> Found:
    with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
        plan = job.plan
        factor, offset = scale.to(plan.cut.wide), bias.to(plan.cut.wide)
        left, right = Side.of(rows, plan.cut, factor), Side.of(candidates, plan.cut)
        return sweep(plan, _rule(job, left, right, offset), left, right)


def _rule(job: Job, rows: Side, candidates: Side, bias: Tensor) -> Rule:
    n, margin = len(rows.source), job.plan.margin
    if job.loss == "siglip":
        return Sigmoid(n, bias)
    limit = None if margin is None or rows.factor is None else rows.factor * margin
    return Softmax(n, limit, Columns.of(job.plan, rows, candidates, limit) if job.both else None)
