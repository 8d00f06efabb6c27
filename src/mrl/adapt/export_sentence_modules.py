"""A map as modules of sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import save as serialised

from mrl.adapt.exporting import Floats, linear_matrix
from mrl.maps import AnyMap, Residual

_IDENTITY, _RELU = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.ReLU"


@dataclass(frozen=True)
class Layer:
    """One module. kind: its class. config: of its file. weights: by the names that torch has for them."""

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Floats] = field(default_factory=dict)

    def sealed(self) -> bytes:
        """The bytes of its safetensors file."""
        raw: bytes = serialised({name: np.ascontiguousarray(array) for name, array in self.weights.items()})
        return raw


def layers_of(turn: AnyMap, dim: int) -> list[Layer]:
    """The first dims of a map's images as Dense modules; a `unit` is not among them."""
    if not isinstance(turn, Residual):
        return [_dense(linear_matrix(turn, dim, "sentence-transformers"), _IDENTITY)]
    base, outer = turn.base[:, :dim], turn.outer[:, :dim]
    ahead = np.hstack([base, -base, turn.into])  # x -> [u, −u, u A]
    bias = np.concatenate([np.zeros(2 * dim, np.float32), turn.bias])
    one = np.eye(dim, dtype=np.float32)
    return [_dense(ahead, _RELU, bias), _dense(np.vstack([one, -one, outer]), _IDENTITY)]


def _dense(matrix: Floats, activation: str, bias: Floats | None = None) -> Layer:
    """act(x W + b). matrix W: (in, out)."""
    config = {
        "in_features": matrix.shape[0],
        "out_features": matrix.shape[1],
        "bias": bias is not None,
        "activation_function": activation,
    }
    weights = {"linear.weight": matrix.T} | ({} if bias is None else {"linear.bias": bias})
    return Layer("Dense", config, weights)
