"""Nested linear classifiers: modules that keep parameters and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.errors import InputError, NestingError
from mrl.heads import HeadWeights, Kind
from mrl.nesting import Nesting, prefix


class _Head(nn.Module):
    """Weights and biases of one linear map a level, or of one map whose first columns serve every level."""

    tied: ClassVar[bool]

    def __init__(self, nesting: Nesting, classes: int, bias: bool = True) -> None:
        super().__init__()
        if classes < 1:
            raise InputError(f"a head needs at least one class, got {classes}")
        self.nesting = nesting
        self.classes = classes
        dims = nesting.dims[-1:] if self.tied else nesting.dims
        layers = [nn.Linear(dim, classes, bias=bias) for dim in dims]
        self.weights = nn.ParameterList(layer.weight for layer in layers)
        self.biases = nn.ParameterList(layer.bias for layer in layers if bias)

    def export(self, classes: Sequence[str] = ()) -> HeadWeights:
        """These parameters as plain arrays, float32 unless they are float64, with the classes' names."""
        return HeadWeights(
            self.nesting,
            self.tied,
            tuple(_array(w) for w in self.weights),
            tuple(_array(b) for b in self.biases),
            tuple(classes),
        )

    @classmethod
    def from_weights(cls, saved: HeadWeights) -> MRLHead | MRLEHead:
        """A head with the saved parameters, tied or separate as they are."""
        head = (MRLEHead if saved.tied else MRLHead)(saved.nesting, saved.count, bias=bool(saved.biases))
        head.to(torch.from_numpy(saved.weights[0]).dtype)
        with torch.no_grad():
            for ours, theirs in zip([*head.weights, *head.biases], [*saved.weights, *saved.biases], strict=True):
                ours.copy_(torch.from_numpy(theirs))
        return head

    def extra_repr(self) -> str:
        return f"dims={self.nesting}, classes={self.classes}, bias={len(self.biases) > 0}"


def _array(parameter: Tensor) -> npt.NDArray[np.floating[Any]]:
    wide = torch.promote_types(parameter.dtype, torch.float32)
    array: npt.NDArray[np.floating[Any]] = parameter.detach().to(wide).cpu().numpy().copy()
    return array


class MRLHead(_Head):
    """MRL: one linear classifier, with bias, per trained dim (arXiv 2205.13147 §3, eq. 1)."""

    tied = False

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """(..., d) -> one (..., classes) per level, narrowest first."""
        return tuple(self.at(prefix(z, dim)) for dim in self.nesting.dims)

    def at(self, cut: Tensor) -> Tensor:
        """Logits (..., classes) of a prefix (..., m); NestingError unless m is a trained dim."""
        if cut.shape[-1] not in self.nesting.dims:
            raise NestingError(f"no classifier for {cut.shape[-1]} dims; there is one each for {self.nesting}")
        level = self.nesting.dims.index(cut.shape[-1])
        return nn.functional.linear(cut, self.weights[level], self.biases[level] if len(self.biases) else None)


class MRLEHead(_Head):
    """MRL-E: one (classes, width) matrix and one bias; its first m columns serve dim m (arXiv 2205.13147 §3)."""

    tied = True

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """(..., d) -> one (..., classes) per level; each level adds its segment to the one before."""
        self.nesting.check_width(z.shape[-1])
        bias = self.biases[0] if len(self.biases) else None
        logits: list[Tensor] = []
        for start, stop in self.nesting.segments:
            part = nn.functional.linear(z[..., start:stop], self.weights[0][:, start:stop], None if logits else bias)
            logits.append(logits[-1] + part if logits else part)
        return tuple(logits)

    def at(self, cut: Tensor) -> Tensor:
        """Logits (..., classes) of a prefix (..., m) of any m up to the width."""
        weight = prefix(self.weights[0], cut.shape[-1])
        return nn.functional.linear(cut, weight, self.biases[0] if len(self.biases) else None)


Head = MRLHead | MRLEHead


def make_head(kind: Kind, nesting: Nesting, classes: int) -> Head:
    """A new head: `mrl`, `mrl-e`, or `ff`, which is MRL at a single dim."""
    if kind == "ff" and len(nesting) != 1:
        raise NestingError(f"a fixed-feature (FF) model has a single dim, got {nesting}; train one model per dim")
    return MRLEHead(nesting, classes) if kind == "mrl-e" else MRLHead(nesting, classes)
