"""What is learned: modules over coordinates that PCA put in order. Each begins as the identity, which is PCA.

All take t = s · x P, (n, width): the vectors (of length 1 under cosine) in PCA's coordinates, scaled so that a
coordinate's mean square is 1, and give images in the same scale. Only the leading coordinates are changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.adapt.spec import LEADING, AdaptSpec
from mrl.maps import Linear, Residual, Rotation

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Basis:
    """The coordinates that are learned in. turn: PCA of the rows fitted on. scale: s. unit: rescale to length 1."""

    turn: Rotation
    scale: float
    unit: bool


class RotationNetwork(nn.Module):
    """t Q in the leading coordinates; Q is kept orthogonal by its optimizer."""

    def __init__(self, leading: int) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.eye(leading))

    def forward(self, t: Tensor) -> Tensor:
        leading = len(self.turn)
        return torch.cat([t[:, :leading] @ self.turn, t[:, leading:]], 1)

    def to_map(self, basis: Basis) -> Rotation:
        """P Q, orthogonal to float64's rounding: the nearest such matrix, by the polar decomposition."""
        matrix = basis.turn.matrix.copy()
        leading = len(self.turn)
        left, _, right = np.linalg.svd(_array(self.turn))
        matrix[:, :leading] = matrix[:, :leading] @ (left @ right)
        return Rotation(matrix, "rotation")


class LinearNetwork(nn.Module):
    """t + t M in the leading coordinates."""

    def __init__(self, leading: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(leading, leading))

    def forward(self, t: Tensor) -> Tensor:
        leading = len(self.change)
        return torch.cat([t[:, :leading] + t[:, :leading] @ self.change, t[:, leading:]], 1)

    def to_map(self, basis: Basis) -> Linear:
        matrix = basis.turn.matrix.copy()
        leading = len(self.change)
        matrix[:, :leading] = matrix[:, :leading] @ (np.eye(leading) + _array(self.change))
        return Linear(_float32(matrix))


class ResidualNetwork(nn.Module):
    """t + relu(t A + a) C in the leading coordinates; C begins at 0."""

    def __init__(self, leading: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(leading, hidden)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(hidden, leading, bias=False)
        nn.init.zeros_(self.outer.weight)

    def forward(self, t: Tensor) -> Tensor:
        leading = self.inner.in_features
        before = t[:, :leading]
        after = before + self.outer(self.dropout(torch.relu(self.inner(before))))
        return torch.cat([after, t[:, leading:]], 1)

    def to_map(self, basis: Basis) -> Residual:
        """The scale goes into the matrices: images are in the vectors' own scale."""
        width, leading = basis.turn.width, self.inner.in_features
        inner = np.zeros((width, self.inner.out_features))
        outer = np.zeros((self.inner.out_features, width))
        inner[:leading] = _array(self.inner.weight).T * basis.scale
        outer[:, :leading] = _array(self.outer.weight).T / basis.scale
        base, bias = _float32(basis.turn.matrix), _float32(_array(self.inner.bias))
        return Residual(base, _float32(inner), bias, _float32(outer), unit=basis.unit)


Network = RotationNetwork | LinearNetwork | ResidualNetwork


def make_network(spec: AdaptSpec, width: int) -> Network:
    """A fresh module of the spec's method, on the leading coordinates alone where the vectors are very wide.

    A rotation that is to keep neighbours turns the leading half alone: beyond it, PCA is close to what can be had.
    """
    leading = min(width, LEADING)
    if spec.method == "rotation" and spec.objective == "neighbours":
        leading = min(LEADING, (width + 1) // 2)
    if spec.method == "rotation":
        return RotationNetwork(leading)
    if spec.method == "linear":
        return LinearNetwork(leading)
    return ResidualNetwork(leading, spec.hidden or min(4 * leading, LEADING), spec.dropout or 0.0)


def _float32(values: Doubles) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)


def _array(parameter: Tensor) -> Doubles:
    array: npt.NDArray[Any] = parameter.detach().double().cpu().numpy()
    return array
