"""`nested`: any loss at every prefix, by the plain loop. The oracle of every one-pass loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mrl.nesting import Metric, Nesting, Reduction, level_coefficients, metric_prefix


class NestedLoss(NamedTuple):
    """A loss over all levels.

    total: 0-d, carries the gradient. levels: (levels,) the plain loss of each, unweighted, detached.
    hits: (levels,) detached number of rows in which no class is more probable than the target's, where the loss is a
    classification; ties count as hits, so equal logits hit everywhere.
    """

    total: Tensor
    levels: Tensor
    hits: Tensor | None = None

    def backward(self) -> None:
        """Accumulate the gradient of `total`."""
        self.total.backward()  # type: ignore[no-untyped-call]


def nested(
    loss: Callable[..., Tensor],
    *views: Tensor,
    nesting: Nesting,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "dot",
) -> NestedLoss:
    """Σ_m c_m · loss(v[..., :m], …) over the trained dims m (arXiv 2205.13147 eq. 1).

    loss: takes one prefix per view and gives a 0-d tensor. views: (..., d) each. level_weights: c_m, default 1.
    reduction: `sum`, or `mean` = the sum divided by the number of levels. metric: `cosine` rescales every prefix.
    """
    coefficients = level_coefficients(nesting, level_weights, reduction)
    losses = [loss(*(metric_prefix(view, dim, metric) for view in views)) for dim in nesting.dims]
    total = torch.stack([c * value for c, value in zip(coefficients, losses, strict=True)]).sum()
    return NestedLoss(total, torch.stack([value.detach() for value in losses]))
