"""Losses of scored pairs at all levels in one pass: `nested_cosent` and `nested_cosine`.

Both read the pairs' similarities from `matched`, which computes no product twice; what is left has one number a pair
and level. CoSENT compares every two pairs of the batch, yet takes rows · log rows: with the pairs in the order of
their scores, the sum over all pairs that are scored higher is one running log-sum-exp, and so is its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, Reduction, level_coefficients
from mrl.nn.loop import NestedLoss
from mrl.nn.matched import check_rows, matched, refuse_second_order


def nested_cosent(
    a: Tensor,
    b: Tensor,
    scores: Tensor,
    *,
    nesting: Nesting,
    scale: Tensor | float = 20.0,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
) -> NestedLoss:
    """Σ_m c_m · log(1 + Σ_{i, j: score_i > score_j} exp(scale · (s_j − s_i))), s the similarities at dim m: CoSENT.

    A rank loss (Huang et al., doi:10.1109/TASLP.2024.3402087): only the order of the scores matters, and if all are
    equal the loss is 0. Memory beyond inputs and gradients is a few numbers a pair and level.

    a, b: (n, d) the two sides of n ≥ 2 pairs, raw; d at least the nesting's width. scores: (n,) finite.
    scale: positive, or a 0-d tensor, which may want a gradient. level_weights: c_m, default 1.
    reduction: `sum` over the levels, or their `mean`. metric: the similarity; cosine rescales at every dim, l2 is minus
    the squared distance. A zero prefix has cosine 0 with anything.

    Raises InputError or NestingError for what does not fit, one pair among it. Gradients of gradients are refused.
    """
    _check(a, b, scores, nesting)
    if len(a) < 2:
        raise InputError("CoSENT compares pairs with each other, and this batch has 1; give at least 2 pairs a batch")
    similarity = matched(a, b, nesting, metric).similarity * _positive(scale)
    levels = _ranked(similarity, scores.detach().to(a.device))
    return weighed(levels, level_coefficients(nesting, level_weights, reduction), a.dtype, scores)


def nested_cosine(
    a: Tensor,
    b: Tensor,
    scores: Tensor,
    *,
    nesting: Nesting,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
) -> NestedLoss:
    """Σ_m c_m · mean_i (s_i − score_i)², s the similarities at dim m: regression on the scores.

    a, b: (n, d) the two sides of n pairs, raw. scores: (n,) finite, in the range of the similarity (cosine: −1 to 1).
    level_weights, reduction, metric: as in `nested_cosent`, and so are the errors.
    """
    _check(a, b, scores, nesting)
    similarity = matched(a, b, nesting, metric).similarity
    levels = ((similarity - scores.detach().to(similarity)) ** 2).mean(1)
    return weighed(levels, level_coefficients(nesting, level_weights, reduction), a.dtype, scores)


def weighed(levels: Tensor, coefficients: Sequence[float], dtype: torch.dtype, scores: Tensor) -> NestedLoss:
    """levels (levels,) in float64 as a NestedLoss in at least float32; NaN where scores are not finite."""
    if scores.device.type != "cpu":  # there a look would wait for the device; training stops at a NaN
        levels = levels + (scores * 0).sum().to(levels)
    total = (levels * levels.new_tensor(coefficients)).sum()
    wide = torch.promote_types(dtype, torch.float32)
    return NestedLoss(total.to(wide), levels.detach().to(wide))


def _check(a: Tensor, b: Tensor, scores: Tensor, nesting: Nesting) -> None:
    check_rows(a, nesting, "a")
    check_rows(b, nesting, "b")
    if len(a) != len(b):
        raise InputError(f"pairs need two sides of as many rows, got {len(a)} and {len(b)}")
    if scores.shape != (len(a),) or scores.is_complex():
        raise InputError(
            f"scores must be one number per pair: {len(a)} pairs, got {scores.dtype} of shape {tuple(scores.shape)}"
        )
    if scores.requires_grad:
        raise InputError("scores get no gradient here; detach them, or use nested(…), the plain loop")
    check_finite(scores, "score")


def check_finite(values: Tensor, name: str) -> None:
    """Raise InputError for the first value that is not finite; on the CPU only, where looking costs nothing."""
    if values.device.type == "cpu" and not bool(values.isfinite().all()):
        place = tuple(torch.nonzero(~values.isfinite())[0].tolist())
        raise InputError(f"{name} of row {place[0]} is {float(values[place])}; leave out rows without a finite one")


def _positive(scale: Tensor | float) -> Tensor | float:
    if isinstance(scale, Tensor) and (scale.ndim != 0 or not scale.is_floating_point()):
        raise InputError(
            f"scale must be a number or a 0-d floating point tensor, got {scale.dtype} of shape {tuple(scale.shape)}"
        )
    if isinstance(scale, Tensor) and scale.device.type != "cpu":
        return scale  # a look would wait for it
    value = scale.item() if isinstance(scale, Tensor) else scale
    if not 0 < value < float("inf"):
        raise InputError(f"scale must be a finite number above 0, got {value}")
    return scale


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _ranked(similarity: Tensor, scores: Tensor) -> Tensor:
    result: Tensor = _Ranked.apply(similarity, scores)  # type: ignore[no-untyped-call]
    return result


class _Ranked(torch.autograd.Function):
    """log(1 + Σ_{score_i > score_j} exp(x_j − x_i)) of each row x: (levels, n) and (n,) -> (levels,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scores: Tensor) -> Tensor:
        order = scores.argsort()
        ranked, x = scores[order], x[:, order]
        above, below = (torch.searchsorted(ranked, ranked, right=right) for right in (True, False))
        higher = _end(torch.logcumsumexp(-x.flip(1), 1).flip(1))[:, above]  # log Σ exp(−x_i) over higher scores
        loss = torch.logsumexp(_end(x + higher, 0.0), 1)
        ctx.save_for_backward(x, higher, loss, order, below)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        refuse_second_order()
        x, higher, loss, order, below = ctx.saved_tensors
        lower = _end(torch.logcumsumexp(x, 1))[:, below - 1]  # log Σ exp(x_j) over lower scores; −1: the end, nothing
        share = (x + higher - loss[:, None]).exp_() - (lower - x - loss[:, None]).exp_()
        out = torch.empty_like(x)
        out[:, order] = share * grad[:, None]
        return out, None


def _end(x: Tensor, value: float = -torch.inf) -> Tensor:
    """x with one more column of `value`."""
    return torch.cat((x, x.new_full((len(x), 1), value)), 1)
