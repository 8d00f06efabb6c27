"""The gradients of a batch: added up over its pieces, or of all its rows compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mrl.nn import NestedLoss
from mrl.training.feed import Batch, Piece
from mrl.training.model import Inputs, Model
from mrl.training.team import Team, reseed

Seed = tuple[int, ...]


class Seen(NamedTuple):
    """The loss of some rows, and how many they are."""

    loss: NestedLoss
    rows: int


def find_gradients(model: Model, trainee: nn.Module, team: Team, batch: Batch, seed: Seed) -> list[Seen]:
    """Add the gradients of a batch to the weights' own; the losses of its pieces.

    trainee: the model's, as a team wrapped it. seed: of all that is random in it.
    """
    if model.objective.joint and len(batch.pieces) > 1:
        return [_compared(model, trainee, team, batch, seed)]
    reseed(*seed)
    seen = []
    for number, piece in enumerate(batch.pieces, 1):
        with team.gradients_later(trainee, later=number < len(batch.pieces)):
            loss = model.loss(piece.inputs, piece.target, trainee)
            # A team averages gradients, so each process's share counts as often as there are processes.
            (loss.total * (piece.share * team.size)).backward()  # type: ignore[no-untyped-call]
        if piece.share:
            seen.append(Seen(loss, len(piece.target)))
    return seen


def _compared(model: Model, trainee: nn.Module, team: Team, batch: Batch, seed: Seed) -> Seen:
    """The gradients of a loss over all rows, though only a piece at a time goes through the network with what its
    gradients need: first all vectors without, then the loss, then piece by piece again (GradCache, arXiv 2101.06983).
    """
    inputs = [model.placed(piece.inputs) for piece in batch.pieces]
    counted = [piece for piece in batch.pieces if piece.share]
    views = _vectors(model, inputs, batch.pieces, seed)
    target = torch.cat([piece.target for piece in counted]).to(team.device)
    loss = model.objective(tuple(views), target)
    share = sum(piece.share for piece in counted) * team.size
    (loss.total * share).backward()
    slopes = _split([view.grad for view in views if view.grad is not None], batch.pieces)
    for number, (each, slope) in enumerate(zip(inputs, slopes, strict=True)):
        reseed(*seed, number)
        with team.gradients_later(trainee, later=number + 1 < len(inputs)):
            trainee(each, slopes=slope)[0].backward()
    for parameter in model.learnt():  # whose gradients did not come through what the team wraps
        if parameter.grad is not None:
            parameter.grad.copy_(team.total(parameter.grad) / team.size)
    return Seen(loss, len(target))


def _vectors(model: Model, inputs: Sequence[Inputs], pieces: Sequence[Piece], seed: Seed) -> list[Tensor]:
    """The vectors of each view, of all rows that count, as leaves that keep a gradient."""
    trainee, made = model.trainee(), []
    for number, (each, piece) in enumerate(zip(inputs, pieces, strict=True)):
        reseed(*seed, number)
        with torch.no_grad():
            views = trainee.views(each)
        if piece.share:
            made.append(views)
    return [torch.cat(view).requires_grad_() for view in zip(*made, strict=True)]


def _split(slopes: Sequence[Tensor], pieces: Sequence[Piece]) -> list[tuple[Tensor, ...]]:
    """Each piece's own part; zeros for a row that only stands in."""
    lengths = [len(piece.target) if piece.share else 0 for piece in pieces]
    parts = zip(*(torch.split(slope, lengths) for slope in slopes), strict=True)
    return [
        part if piece.share else tuple(one.new_zeros(len(piece.target), one.shape[1]) for one in part)
        for part, piece in zip(parts, pieces, strict=True)
    ]
