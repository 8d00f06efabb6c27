"""`nested_listwise`: every prefix learns whom its teacher finds near, and in which proportion, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, Reduction, level_coefficients, metric
from mrl.nn.loop import NestedLoss


def nested_listwise(
    queries: Tensor,
    documents: Tensor,
    target: Tensor,
    *,
    nesting: Nesting,
    scale: float = 20.0,
    mask: Tensor | None = None,
    level_weights: Sequence[float] | None = None,
    reduction: Reduction = "sum",
    metric: Metric = "cosine",
) -> NestedLoss:
    """Σ_m c_m · cross-entropy of softmax(scale · similarity at dim m) with the target, the mean over the queries.

    ListNet's loss (Cao et al., ICML 2007, eq. 4), with a teacher's probabilities in place of grades: least where every
    prefix has the teacher's. Hits: queries whose most probable candidate is the most similar one, too.

    queries: (n, d). documents: (m, d). target: (n, m) probabilities, each row adding up to 1. scale: positive.
    mask: (n, m) bool, True where a candidate is left out of its query's softmax; its target must be 0.
    level_weights, reduction: as in `nested_info_nce`. The Gram
    matrix is continued from level to level; n · m similarities a level are held.

    Raises InputError or NestingError for what does not fit.
    """
    left_out = torch.zeros_like(target, dtype=torch.bool) if mask is None else mask
    _check(queries, documents, target, left_out, scale)
    coefficients = level_coefficients(nesting, level_weights, reduction)
    best = target.argmax(1)
    losses, hits = [], []
    for similarity in _similarities(queries, documents, nesting, metric):
        logits = (similarity * scale).masked_fill(left_out, -torch.inf)
        log_share = torch.log_softmax(logits, 1).masked_fill(left_out, 0.0)
        losses.append(-(target * log_share).sum(1).mean())
        hits.append((logits.detach().argmax(1) == best).sum())
    levels = torch.stack(losses)
    return NestedLoss((levels * levels.new_tensor(coefficients)).sum(), levels.detach(), torch.stack(hits))


def _similarities(queries: Tensor, documents: Tensor, nesting: Nesting, by: Metric) -> Iterator[Tensor]:
    """(n, m) at each dim, narrowest first, by a Gram matrix that is added to."""
    nesting.check_width(min(queries.shape[1], documents.shape[1]))
    gram = queries.new_zeros(len(queries), len(documents))
    squares = queries.new_zeros(len(queries), 1), documents.new_zeros(1, len(documents))
    for start, stop in nesting.segments:
        a, b = queries[:, start:stop], documents[:, start:stop]
        gram = gram + a @ b.T
        if metric(by) == "dot":
            yield gram
            continue
        squares = squares[0] + a.square().sum(1, keepdim=True), squares[1] + b.square().sum(1)
        yield _by_squares(gram, squares, by)


def _by_squares(gram: Tensor, squares: tuple[Tensor, Tensor], by: Metric) -> Tensor:
    """Cosines, or minus the squared distances."""
    if by == "l2":
        return 2 * gram - squares[0] - squares[1]
    inverse = [each.clamp_min(torch.finfo(each.dtype).tiny).rsqrt().masked_fill(each == 0, 0.0) for each in squares]
    return gram * inverse[0] * inverse[1]


def _check(queries: Tensor, documents: Tensor, target: Tensor, left_out: Tensor, scale: float) -> None:
    if queries.ndim != 2 or documents.ndim != 2 or target.shape != (len(queries), len(documents)) or not target.numel():
        raise InputError(
            f"queries (n, d), documents (m, d) and target (n, m) are needed, got shapes {tuple(queries.shape)}, "
            f"{tuple(documents.shape)} and {tuple(target.shape)}; give a probability for each pair"
        )
    if not 0 < scale < float("inf"):
        raise InputError(f"scale must be positive and finite, got {scale}")
    sums = target.sum(1)
    if not (target >= 0).all() or not ((sums - 1).abs() < 1e-3).all():
        raise InputError("each row of target must be probabilities that add up to 1; apply a softmax to the scores")
    if left_out.shape != target.shape or left_out.dtype != torch.bool or target[left_out].any():
        raise InputError(
            f"mask must be bool of shape {tuple(target.shape)}, where the target is 0; got {left_out.dtype} of shape "
            f"{tuple(left_out.shape)}; take the softmax of what is not left out"
        )
