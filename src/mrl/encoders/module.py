"""ModuleNetwork: a network of your own."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mrl.encoders.dry import Shape, blank, evaluating, multiply_adds
from mrl.encoders.fit import Fit
from mrl.encoders.hub import first_line
from mrl.errors import InputError


class ModuleNetwork(nn.Module):
    """Any nn.Module from normalised images (n, C, H, W) to vectors (n, width).

    Its file holds weights and no code, so loading it again takes the module too: `load(RUN, network=module)`. It is
    tried with one image of zeros; InputError if it makes no vectors of `width` of it.
    """

    def __init__(self, module: nn.Module, fit: Fit, width: int) -> None:
        super().__init__()
        if not isinstance(module, nn.Module) or not any(p.is_floating_point() for p in module.parameters()):
            raise InputError(f"network must be an nn.Module with weights, got {type(module).__qualname__}")
        self.module, self.fit, self.width = module, fit, width
        self._frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self._check()

    def _check(self) -> None:
        name = type(self.module).__qualname__
        taken = f"one image (1, {', '.join(map(str, self.shape))})"
        try:
            with evaluating(self.module), torch.no_grad():
                made = self.module(blank(self.module, self.shape))
        except Exception as error:  # whatever a module of someone else's raises
            raise InputError(f"{name} fails at {taken}: {first_line(error)}; correct it or the size") from error
        if not isinstance(made, Tensor) or made.shape != (1, self.width):
            got = f"shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            raise InputError(f"{name} must make (n, {self.width}); of {taken} it made {got}; set width to its own")

    def frozen(self) -> list[nn.Parameter]:
        """The weights that came frozen, and stay so."""
        return [parameter for name, parameter in self.module.named_parameters() if name in self._frozen]

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        return (self.fit.channels, *self.fit.size)

    @cached_property
    def macs(self) -> int:
        return multiply_adds(self, self.blank())

    def blank(self) -> Tensor:
        """One image of zeros where the network is."""
        return blank(self, self.shape)

    def describe(self) -> dict[str, Any]:
        kind = type(self.module)
        return {
            "kind": "module",
            "size": list(self.fit.size),
            "channels": self.fit.channels,
            "width": self.width,
            "class": f"{kind.__module__}.{kind.__qualname__}",
        }

    def last(self) -> list[nn.Module]:
        """Its last child that has weights, or the module itself where it has no such children."""
        children = [child for child in self.module.children() if any(True for _ in child.parameters())]
        return children[-1:] or [self.module]

    def head(self) -> list[nn.Module]:
        return []

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (n, channels, H, W) -> vectors (n, width), in float32 under autocast too."""
        vectors: Tensor = self.module(x)
        return vectors.to(torch.promote_types(vectors.dtype, torch.float32))
