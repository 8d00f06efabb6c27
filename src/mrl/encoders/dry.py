"""What can be known of a network without training it: its output's shape, its work, the weights that it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, int, int]  # (C, H, W) of one image


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part in evaluation mode, and afterwards in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def dry_run(module: nn.Module, shape: Shape, name: str) -> Any:
    """The output for one image, given as the argument `name`, on the meta device: shapes without numbers or work."""
    state = {key: t.to("meta") for key, t in (*module.named_parameters(), *module.named_buffers())}
    image = torch.zeros(1, *shape, dtype=_dtype(module), device="meta")
    with evaluating(module), torch.no_grad():
        return torch.func.functional_call(module, state, (), {name: image})


def multiply_adds(module: nn.Module, one: Any) -> int:
    """Of the products for one input, such as `blank` makes; what is done element by element is left out."""
    # Fused attention is not counted on every device.
    with evaluating(module), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(one)
    return int(counter.get_total_flops()) // 2  # it counts a multiply-add as two


def blank(module: nn.Module, shape: Shape) -> Tensor:
    """One image of zeros where the module is, (1, C, H, W)."""
    return torch.zeros(1, *shape, dtype=_dtype(module), device=next(module.parameters()).device)


def reached(module: nn.Module, one: Any) -> list[nn.Parameter]:
    """Those of the parameters told to keep a gradient on which the vectors of an input depend."""
    with evaluating(module), torch.enable_grad():
        vectors: Tensor = module(one)
    found = _leaves(vectors)
    return [p for p in module.parameters() if id(p) in found]


def _leaves(vectors: Tensor) -> Mapping[int, Tensor]:
    """The tensors from which autograd knows these vectors to come, by id."""
    leaves: dict[int, Tensor] = {}
    seen, waiting = set(), [vectors.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            leaves[id(variable)] = variable
        waiting.extend(parent for parent, _ in node.next_functions)
    return leaves


def _dtype(module: nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
