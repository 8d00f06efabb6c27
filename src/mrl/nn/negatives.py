"""Which candidates are no negatives: known matches by their keys, or whatever a mask leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrl.errors import InputError


@dataclass(frozen=True)
class Keys:
    """What the pairs are about, so that no true match of a query counts as its negative.

    Pairs that share a key of their queries or one of their documents match each other both ways: pair i's query
    then leaves out pair j's document, and the other way about. A hard negative with the document key of pair i is left
    out by query i. queries, documents: (n,) int64. negatives: (h,) int64, keys of documents.

    Raises InputError for keys that are not one integer each.
    """

    queries: Tensor | None = None
    documents: Tensor | None = None
    negatives: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("queries", "documents", "negatives"):
            keys = getattr(self, name)
            if keys is not None and (keys.dtype != torch.int64 or keys.ndim != 1):
                raise InputError(
                    f"keys of {name} must be int64 of shape (n,), one per vector; "
                    f"got {keys.dtype} of shape {tuple(keys.shape)}"
                )
        if self.queries is None and self.documents is None:
            raise InputError("keys need those of the queries or of the documents; got neither")
        if self.negatives is not None and self.documents is None:
            raise InputError("keys of negatives are compared with those of the documents; give these too")

    def check(self, pairs: int, negatives: int) -> None:
        """Raise InputError unless there is a key for each of the pairs and, where any are given, of the negatives."""
        for name, rows in (("queries", pairs), ("documents", pairs), ("negatives", negatives)):
            keys = getattr(self, name)
            if keys is not None and len(keys) != rows:
                raise InputError(f"there must be one key for each of the {rows} {name}, got {len(keys)}")


@dataclass(frozen=True)
class LeftOut:
    """What a row's softmax or sum leaves out beside what the margin does.

    first: the candidate that is row 0's positive; row i's is first + i. keys: per kind, those of all rows (n,) and
    those of candidates, with the column where these start. mask: (n, candidates) bool.
    """

    first: int = 0
    keys: tuple[tuple[Tensor, Tensor, int], ...] = ()
    mask: Tensor | None = None

    def __bool__(self) -> bool:
        return bool(self.keys) or self.mask is not None

    @classmethod
    def of(cls, rows: Keys | None, candidates: Keys | None, first: int = 0, mask: Tensor | None = None) -> LeftOut:
        """rows: keys of the rows' own pairs; candidates: those of all pairs, in the order of the columns."""
        if rows is None or candidates is None:
            return cls(first, (), mask)
        kinds = [(rows.queries, candidates.queries, 0), (rows.documents, candidates.documents, 0)]
        if candidates.documents is not None:
            kinds.append((rows.documents, candidates.negatives, len(candidates.documents)))
        known = ((own, theirs, at) for own, theirs, at in kinds if own is not None and theirs is not None)
        return cls(first, tuple(known), mask)

    def among_pairs(self) -> LeftOut:
        """What keys leave out where there are no hard negatives."""
        return LeftOut(self.first, tuple(kind for kind in self.keys if kind[2] == 0))

    def tile(self, rows: slice, columns: int) -> Tensor | None:
        """(rows, columns) bool, True where a candidate is left out; None where none can be. Never a positive."""
        if not self:
            return None
        if self.mask is not None:
            out = self.mask[rows].clone()
        else:
            own, _, _ = self.keys[0]
            out = torch.zeros(len(own[rows]), columns, dtype=torch.bool, device=own.device)
        for own, theirs, at in self.keys:
            out[:, at : at + len(theirs)] |= own[rows, None] == theirs
        out.diagonal(self.first + rows.start).fill_(False)
        return out


def check_mask(mask: Tensor, shape: tuple[int, int], first: int) -> None:
    """Raise InputError unless the mask is (rows, candidates) bool and leaves every positive in."""
    if mask.dtype != torch.bool or mask.shape != shape:
        raise InputError(
            f"mask must be bool of shape {shape}, queries × candidates, True where one is left out; "
            f"got {mask.dtype} of shape {tuple(mask.shape)}"
        )
    positives = mask.diagonal(first)
    if mask.device.type == "cpu" and bool(positives.any()):  # elsewhere a look would wait; positives stay in anyway
        row = int(positives.nonzero()[0])
        raise InputError(f"mask leaves out the positive of query {row}; leave mask[i, i] False")
