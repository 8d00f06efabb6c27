"""`nested_info_nce` and `nested_siglip`: contrastive losses of all levels and their gradients in one pass.

The algebra is in `gram.py`, the sweep in `sweeps.py`, what each loss makes of the similarities in `rules.py`. Gradients
are made in the forward pass, while a tile of similarities is at hand, so memory does not grow with batch².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, Reduction, level_coefficients
from mrl.nesting import metric as known_metric
from mrl.nn.cross_entropy import CHUNK_BYTES
from mrl.nn.gather import Batch, gathered
from mrl.nn.gram import Cut
from mrl.nn.job import Job, one_pass
from mrl.nn.loop import NestedLoss
from mrl.nn.negatives import Keys, LeftOut
from mrl.nn.sweeps import Plan


def nested_info_nce(
    queries: Tensor,
    documents: Tensor,
    *,
    nesting: Nesting,
    scale: Tensor | float = 20.0,
    negatives: Tensor | None = None,
    symmetric: bool = False,
    keys: Keys | None = None,
    mask: Tensor | None = None,
    margin: float | None = None,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
    chunk_bytes: int = CHUNK_BYTES,
    gather: bool = False,
) -> NestedLoss:
    """Σ_m c_m · InfoNCE at dim m (arXiv 1807.03748 eq. 4, 2205.13147 eq. 1), in one pass over the Gram matrix.

    A level's loss is the mean over the queries of −log softmax(scale · similarity) at their own document, among all
    documents and hard negatives: what `nested` with a plain InfoNCE gives, its oracle. Hits: queries to whom no
    candidate is more similar than their own document; ties count.

    queries, documents: (n, d), row i of the one belongs to row i of the other. d at least the nesting's width.
    scale: positive; a 0-d tensor gets its gradient. negatives: (h, d), candidates for every query.
    symmetric: the mean of this and of the same with documents looking for their queries, among the n queries alone.
    keys: leaves out true matches. mask: (n, n + h) bool, True where a candidate is left out.
    margin: leaves out candidates whose similarity at that level exceeds the positive's by more than this; the choice
    gets no gradient. level_weights: c_m, one per dim, default 1. reduction: `sum` over the levels, or their `mean`.
    metric: `cosine` rescales every prefix, `dot` does not, and for `l2` similarity is −|a − b|².
    chunk_bytes: of similarities alive at once, at most; memory beyond inputs, gradients and copies of the inputs is
    about that much. A single query's row always fits.
    gather: with torch.distributed, candidates are those of all processes (symmetric: queries too), brought by one
    collective for all levels; n may differ. The loss is the mean over this process's own queries, so its mean over
    the processes, weighted by n, is the loss of the joined batch. A mask is then (n, all n + all h).

    Under autocast the products run in its dtype and everything else in float32. Gradients of gradients are refused.
    Raises InputError or NestingError for what does not fit.
    """
    settings = _Settings(nesting, level_weights, reduction, metric, chunk_bytes, margin)
    own = Batch(queries, documents, negatives, keys)
    loss: NestedLoss = _info_nce(settings, own, scale, mask, symmetric=symmetric, gather=gather)
    return loss


def nested_siglip(
    queries: Tensor,
    documents: Tensor,
    *,
    nesting: Nesting,
    scale: Tensor | float = 10.0,
    bias: Tensor | float = -10.0,
    negatives: Tensor | None = None,
    keys: Keys | None = None,
    mask: Tensor | None = None,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
    chunk_bytes: int = CHUNK_BYTES,
    gather: bool = False,
) -> NestedLoss:
    """Σ_m c_m · SigLIP at dim m (arXiv 2303.15343 eq. 1, 2205.13147 eq. 1), in one pass over the Gram matrix.

    A level's loss is the mean over the queries of Σ_j softplus(−y_ij (scale · similarity_ij + bias)), y = 1 for their
    own document and −1 for all others. Hits, and everything else, as in `nested_info_nce`; bias, like scale, is a
    number or a 0-d tensor, which gets its gradient.
    """
    settings = _Settings(nesting, level_weights, reduction, metric, chunk_bytes)
    loss: NestedLoss = _siglip(settings, Batch(queries, documents, negatives, keys), scale, bias, mask, gather=gather)
    return loss


@dataclass(frozen=True)
class _Settings:
    """What both losses are told beside the tensors."""

    nesting: Nesting
    level_weights: Sequence[float] | None
    reduction: Reduction
    metric: Metric
    chunk_bytes: int
    margin: float | None = None

    def check(self) -> None:
        if self.chunk_bytes < 1:
            raise InputError(f"chunk_bytes must be positive, got {self.chunk_bytes}")
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise InputError(f"margin must be a finite number ≥ 0, or None to keep all candidates; got {self.margin}")

    def plan(self, queries: Tensor, left_out: LeftOut) -> Plan:
        kind = queries.device.type
        narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else queries.dtype
        cut = Cut(self.nesting, known_metric(self.metric), narrow, torch.promote_types(narrow, torch.float32))
        coefficients = level_coefficients(self.nesting, self.level_weights, self.reduction)
        return Plan(cut, coefficients, left_out, self.margin, self.chunk_bytes)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # tile loops with in-place products gain nothing from tracing
def _info_nce(
    settings: _Settings, own: Batch, scale: Tensor | float, mask: Tensor | None, *, symmetric: bool, gather: bool
) -> NestedLoss:
    """Check, gather, and run one way, both ways at once, or, where their Gram matrices differ, one after the other."""
    queries = _check(settings, own)
    factor = _scale(scale, queries)
    if gather and symmetric and mask is not None:
        raise InputError("a mask says nothing of other processes' queries; with gather and symmetric, give keys")
    batch = _candidates(own, queries=symmetric, gather=gather)
    if batch.size < 2:
        raise InputError("one pair and no negatives: its query has nothing to choose from; use larger batches")
    plan = settings.plan(queries, batch.left_out(own, mask))
    apart = None if batch.documents is own.documents else batch.queries  # else one Gram matrix serves both directions
    job = Job(plan, "info-nce", symmetric and apart is None, torch.is_grad_enabled())
    loss = one_pass(job, queries, batch.candidates, factor)
    if apart is None:
        return loss
    back = replace(job, plan=replace(plan, left_out=plan.left_out.among_pairs()))
    other = one_pass(back, own.documents, apart, factor)
    return NestedLoss((loss.total + other.total) / 2, (loss.levels + other.levels) / 2, loss.hits)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _siglip(
    settings: _Settings, own: Batch, scale: Tensor | float, bias: Tensor | float, mask: Tensor | None, *, gather: bool
) -> NestedLoss:
    queries = _check(settings, own)
    factor, offset = _scale(scale, queries), _number("bias", bias, queries)
    batch = _candidates(own, queries=False, gather=gather)
    plan = settings.plan(queries, batch.left_out(own, mask))
    return one_pass(Job(plan, "siglip", False, torch.is_grad_enabled()), queries, batch.candidates, factor, offset)


def _candidates(own: Batch, *, queries: bool, gather: bool) -> Batch:
    """Those of all processes where `gather`; InputError for an empty batch that is alone."""
    batch = gathered(own if queries else replace(own, queries=None)) if gather else own
    if len(own.documents) == 0 and batch.documents is own.documents:
        raise InputError("there are no pairs, so there is no mean; leave empty batches out")
    return batch


def _check(settings: _Settings, own: Batch) -> Tensor:
    """The queries; NestingError or InputError for what does not fit together."""
    settings.check()
    queries = own.documents if own.queries is None else own.queries
    for name, x in (("queries", queries), ("documents", own.documents), ("negatives", own.negatives)):
        if x is None:
            continue
        if not x.is_floating_point() or x.ndim != 2:
            raise InputError(f"{name} must be floating point of shape (n, d), got {x.dtype} of shape {tuple(x.shape)}")
        if x.shape[1] != queries.shape[1]:
            raise InputError(f"widths differ: queries have {queries.shape[1]} dims, {name} {x.shape[1]}")
    settings.nesting.check_width(queries.shape[1])
    if len(queries) != len(own.documents):
        raise InputError(
            f"row i of the queries belongs to row i of the documents, but there are {len(queries)} queries and "
            f"{len(own.documents)} documents; further documents are negatives"
        )
    if own.keys is not None:
        own.keys.check(len(own.documents), 0 if own.negatives is None else len(own.negatives))
    return queries


def _scale(scale: Tensor | float, like: Tensor) -> Tensor:
    factor = _number("scale", scale, like)
    if factor.device.type == "cpu" and not 0 < factor.item() < math.inf:  # elsewhere a look would wait for it
        raise InputError(f"scale must be a finite number above 0, got {factor.item()}; LogitScale keeps one so")
    return factor


def _number(name: str, value: Tensor | float, like: Tensor) -> Tensor:
    """A 0-d tensor where `like` is."""
    if not isinstance(value, Tensor):
        if not math.isfinite(value):
            raise InputError(f"{name} must be a finite number, got {value}")
        return torch.tensor(value, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)
    if value.ndim or not value.is_floating_point():
        raise InputError(
            f"{name} must be a number or a 0-d floating-point tensor, got {value.dtype} of shape {tuple(value.shape)}"
        )
    return value.to(like.device)
