"""What a text network does to a pooled vector: sentence-transformers' dense layers and layer norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from mrl.errors import InputError

Kind = Literal["dense", "norm"]
# By the names that torch has for them; nothing else is looked up.
ACTIVATIONS = {
    kind.__name__: kind
    for kind in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Mish)
}


@dataclass(frozen=True)
class Layer:
    """One layer. kind: `dense`, or `norm` (a layer norm). width: what it makes of a vector. bias, activation,
    residual: of a dense one; whether it adds one, what follows, and whether its input is added to its output."""

    kind: Kind
    width: int
    bias: bool = True
    activation: str = "Identity"
    residual: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"unknown kind of layer {self.kind!r}; install a newer mrl")
        if not isinstance(self.width, int) or self.width < 1:
            raise InputError(f"a layer makes vectors of at least one dim, got {self.width!r}")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"unknown activation {self.activation!r}; known are {', '.join(ACTIVATIONS)}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Layer:
        return cls(**document)

    def made(self, inputs: int) -> nn.Module:
        """The layer with fresh weights."""
        return Norm(self.width) if self.kind == "norm" else Dense(inputs, self)


class Dense(nn.Module):
    """A linear map and an activation. Its weights are named as sentence-transformers names them."""

    def __init__(self, inputs: int, about: Layer) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, about.width, bias=about.bias)
        self.activation = ACTIVATIONS[about.activation]()
        self._residual = about.residual
        if about.residual and inputs != about.width:
            self.residual = nn.Linear(inputs, about.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, width)."""
        y: Tensor = self.activation(self.linear(x))
        if not self._residual:
            return y
        return y + (x if x.shape[1] == y.shape[1] else self.residual(x))


class Norm(nn.Module):
    """A layer norm. Its weights are named as sentence-transformers names them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        y: Tensor = self.norm(x)
        return y
