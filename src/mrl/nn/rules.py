"""What InfoNCE and SigLIP make of a tile of similarities: its loss, its hits, and the loss's derivative."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mrl.nn.gram import Side, scale_by
from mrl.nn.sweeps import Plan, extend
from mrl.nn.tiles import Tile


@dataclass(frozen=True)
class Columns:
    """The candidates' own softmax over the rows. logsumexp, own: (levels, n) over the rows, and of the positives."""

    logsumexp: Tensor
    own: Tensor

    @classmethod
    def of(cls, plan: Plan, rows: Side, candidates: Side, limit: Tensor | None) -> Columns:
        """A sweep for the sums alone, over the candidates that are somebody's positive. limit: the margin, scaled."""
        n, m = len(rows.source), len(candidates.source)
        own = _positives(rows, candidates)
        peak, total = own.clone(), torch.zeros_like(own)
        tiling = plan.tiling(rows.source, candidates.source)
        s, spare = (own.new_empty(tiling.height, n) for _ in range(2))
        pairs = candidates.head(n)
        for at in tiling.tiles():
            tile, room = s[: at.stop - at.start], spare[: at.stop - at.start]
            left_out = plan.left_out.tile(at, m)
            for level in range(plan.levels):
                extend(tile, level, rows, pairs, at)
                room.copy_(tile)
                _leave_out(room, None if left_out is None else left_out[:, :n], _beyond(tile, own[level], limit, at))
                top = torch.maximum(peak[level], room.amax(0))
                total[level].mul_((peak[level] - top).exp_()).add_(room.sub_(top).exp_().sum(0))
                peak[level] = top
        return cls(total.log_().add_(peak), own)


def _beyond(s: Tensor, own: Tensor, limit: Tensor | None, at: slice) -> Tensor | None:
    """(r, n) bool: which rows are nearer to a column than its positive by more than the margin."""
    if limit is None:
        return None
    beyond = s > own + limit
    beyond.diagonal(at.start).fill_(False)
    return beyond


def _leave_out(s: Tensor, *which: Tensor | None) -> None:
    for mask in which:
        if mask is not None:
            s.masked_fill_(mask, -torch.inf)


def _positives(rows: Side, candidates: Side) -> Tensor:
    """(levels, n) similarities of row i and candidate i."""
    n, wide = len(rows.source), rows.cut.wide
    own: list[Tensor] = []
    for level, (a, b) in enumerate(zip(rows.parts, candidates.parts, strict=True)):
        more = (a.to(wide) * b[:n].to(wide)).sum(1)
        if own:
            before = own[-1][None].clone()
            scale_by(before, None, rows.shrink(level, slice(None)))
            scale_by(before, None, candidates.shrink(level, slice(n)))
            more += before[0]
        own.append(more)
    return torch.stack(own)


@dataclass(frozen=True)
class Softmax:
    """InfoNCE: −log of the positive's share among a row's candidates, arXiv 1807.03748 eq. 4; the mean over the rows.

    limit: 0-d or None, by how much a candidate's similarity may exceed the positive's, scaled. columns: where
    symmetric, and then the mean of both directions.
    """

    rows: int
    limit: Tensor | None = None
    columns: Columns | None = None

    @property
    def share(self) -> float:
        return 1 / (max(1, self.rows) * (1 if self.columns is None else 2))

    def value(self, tile: Tile, p: Tensor) -> tuple[Tensor, Tensor]:
        s, own = tile.s, tile.own
        if tile.left_out is not None or self.limit is not None:
            s = tile.spare.copy_(s)
            _leave_out(s, tile.left_out, None if self.limit is None else tile.s > (own + self.limit)[:, None])
        torch.softmax(s, 1, out=p)
        top, share = s.amax(1), p.diagonal(tile.first)
        loss = -share.log()
        if _underflows(share):
            loss = top - p.amax(1).log() - own  # the largest share is ≥ 1 / candidates
        hits = (own >= top).sum()
        share.sub_(1)
        if self.columns is None:
            return loss.sum(), hits
        return loss.sum() + self._down(tile, p, self.columns), hits

    def _down(self, tile: Tile, p: Tensor, columns: Columns) -> Tensor:
        """Add the other direction's derivative to p; its loss for the columns whose positives are in this tile."""
        n, level = columns.own.shape[1], tile.level
        s = torch.sub(tile.s[:, :n], columns.logsumexp[level], out=tile.spare[:, :n])
        beyond = _beyond(tile.s[:, :n], columns.own[level], self.limit, tile.rows)
        _leave_out(s, None if tile.left_out is None else tile.left_out[:, :n], beyond)
        p[:, :n].add_(s.exp_())
        p.diagonal(tile.first).sub_(1)
        return (columns.logsumexp[level, tile.rows] - tile.own).sum()


@dataclass(frozen=True)
class Sigmoid:
    """SigLIP: Σ_j softplus(−y (s + bias)), y = 1 for the positive and −1 else, arXiv 2303.15343 eq. 1; mean over rows.

    bias: 0-d.
    """

    rows: int
    bias: Tensor

    @property
    def share(self) -> float:
        return 1 / max(1, self.rows)

    def value(self, tile: Tile, p: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.add(tile.s, self.bias, out=tile.spare)
        if tile.left_out is not None:
            logits.masked_fill_(tile.left_out, -torch.inf)
        torch.sigmoid(logits, out=p)
        own, top = logits.diagonal(tile.first), logits.amax(1)
        hits, positives = (own >= top).sum(), own.sum()
        loss = _softplus(logits, p, top) - positives
        p.diagonal(tile.first).sub_(1)
        return loss, hits


def _softplus(logits: Tensor, p: Tensor, top: Tensor) -> Tensor:
    """Σ log(1 + exp(logits)), with p their sigmoid; logits are spoilt."""
    if logits.device.type == "cpu" and bool((top < 2).all()):  # then 1 − p is exact enough, for half the time
        return torch.neg(p, out=logits).log1p_().sum().neg_()
    return F.logsigmoid(logits.neg_()).sum().neg_()


def _underflows(share: Tensor) -> bool:
    """Whether a share may be too small for its logarithm. On a GPU a look would wait for it, so: it may."""
    return share.device.type != "cpu" or bool((share < 1e3 * torch.finfo(share.dtype).tiny).any())
