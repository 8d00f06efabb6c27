"""The pairs of all processes by one differentiable collective a step, whatever the number of levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from mrl.errors import InputError
from mrl.nn.negatives import Keys, LeftOut, check_mask


@dataclass(frozen=True)
class Batch:
    """Pairs, hard negatives and their keys: this process's own, or those of all, in the order of the ranks.

    queries, documents: (n, d), or queries None where nothing is compared with them. negatives: (h, d).
    first: the place of this process's first pair.
    """

    queries: Tensor | None
    documents: Tensor
    negatives: Tensor | None = None
    keys: Keys | None = None
    first: int = 0

    @property
    def candidates(self) -> Tensor:
        """(n + h, d) the documents, then the hard negatives."""
        return self.documents if self.negatives is None else torch.cat([self.documents, self.negatives])

    @property
    def size(self) -> int:
        """The number of candidates."""
        return len(self.documents) + (0 if self.negatives is None else len(self.negatives))

    def left_out(self, own: Batch, mask: Tensor | None) -> LeftOut:
        """What this process's own pairs leave out of these candidates; InputError for a mask that does not fit."""
        if mask is not None:
            check_mask(mask, (len(own.documents), self.size), self.first)
        return LeftOut.of(own.keys, self.keys, self.first, mask)


def gathered(own: Batch) -> Batch:
    """The batches of all processes joined, by one differentiable collective; one process alone keeps its own.

    Batches may differ in size. Every process must call this, and backward, at the same step. Raises InputError, in all
    processes, where widths, dtypes, or the kinds of vectors or keys differ.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return own
    shapes = _shapes(own)
    pairs, negatives = [shape[0] for shape in shapes], [shape[1] for shape in shapes]
    every: Tensor = _AllGather.apply(_pack(own, max(pairs), max(negatives)))  # type: ignore[no-untyped-call]
    width, most = own.documents.shape[1], max(pairs)
    documents, bits = _rows(every, 0, pairs, width)
    hard, more = _rows(every, most if own.queries is None else 2 * most, negatives, width)
    return Batch(
        None if own.queries is None else _rows(every, most, pairs, width)[0],
        documents,
        hard if len(hard) else None,
        None if own.keys is None else _keys(own.keys, bits, more),
        sum(pairs[: dist.get_rank()]),
    )


class _AllGather(torch.autograd.Function):
    """(rows, columns) of each process -> (processes, rows, columns); gradients come home summed, by one reduction."""

    @staticmethod
    def forward(ctx: Any, packet: Tensor) -> Tensor:
        every = packet.new_empty(dist.get_world_size(), *packet.shape)
        dist.all_gather_into_tensor(every.flatten(0, 1), packet)
        return every

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        own = torch.empty_like(grad[0])
        dist.reduce_scatter_tensor(own, grad.contiguous().flatten(0, 1))
        return own


_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _shapes(own: Batch) -> list[list[int]]:
    """Of each process: pairs, negatives; and what must be equal everywhere, checked."""
    keys = own.keys
    kinds = [key is not None for key in (keys.queries, keys.documents, keys.negatives)] if keys else [False] * 3
    x, h = own.documents, 0 if own.negatives is None else len(own.negatives)
    mine = x.new_tensor(
        [len(x), h, x.shape[1], _DTYPES.index(x.dtype), own.queries is not None, *kinds], dtype=torch.int64
    )
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    shapes: list[list[int]] = [shape.tolist() for shape in every]
    if any(shape[2:] != shapes[0][2:] for shape in shapes):
        said = "; ".join(
            f"process {rank}: {width} dims, {_DTYPES[kind]}, symmetric {bool(both)}, keys {keys}"
            for rank, (_, _, width, kind, both, *keys) in enumerate(shapes)
        )
        raise InputError(f"all processes must gather the same kinds of vectors and keys, got {said}")
    return shapes


def _pack(own: Batch, pairs: int, negatives: int) -> Tensor:
    """One matrix: documents, queries where wanted, negatives, each filled up with zeros; keys ride along as bits."""
    keys = own.keys
    blocks = [_block(own.documents, (None, None) if keys is None else (keys.queries, keys.documents), pairs)]
    if own.queries is not None:
        blocks.append(_block(own.queries, (None, None), pairs))
    hard = own.documents[:0] if own.negatives is None else own.negatives
    blocks.append(_block(hard, (None, None if keys is None else keys.negatives), negatives))
    return torch.cat(blocks)


def _block(x: Tensor, keys: tuple[Tensor | None, Tensor | None], rows: int) -> Tensor:
    """(rows, d + what two integers take)."""
    both = [x.new_zeros(len(x), dtype=torch.int64) if key is None else key for key in keys]
    bits = torch.stack(both, 1).view(x.dtype) if len(x) else x.new_zeros(0, 16 // x.element_size())
    return torch.nn.functional.pad(torch.cat([x, bits], 1), (0, 0, 0, rows - len(x)))


def _rows(every: Tensor, start: int, counts: list[int], width: int) -> tuple[Tensor, Tensor]:
    """The vectors that start at some row of each process's packet, and their two keys (n, 2)."""
    rows = torch.cat([packet[start : start + count] for packet, count in zip(every, counts, strict=True)])
    return rows[:, :width], rows[:, width:].detach().contiguous().view(torch.int64).reshape(-1, 2)


def _keys(own: Keys, pairs: Tensor, negatives: Tensor) -> Keys:
    """Those of all processes, of the kinds that this one has, and so all."""
    return Keys(
        None if own.queries is None else pairs[:, 0],
        None if own.documents is None else pairs[:, 1],
        None if own.negatives is None else negatives[:, 1],
    )
