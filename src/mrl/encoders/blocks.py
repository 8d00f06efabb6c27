"""The blocks of a Transformers model, whatever it calls them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def last_block(module: nn.Module) -> list[nn.Module]:
    """The last block (of a model made of stages: the last stage), and what follows it."""
    parts = list(_parts(module))
    blocks = [place for place, (_, stacked) in enumerate(parts) if stacked]
    return [part for part, _ in parts[blocks[-1] if blocks else -1 :]]


def _parts(module: nn.Module) -> Iterator[tuple[nn.Module, bool]]:
    """The parts that have weights, in order, and whether each is a block of a stack; only stacks are opened up."""
    for child in module.children():
        if _is_stack(child):
            yield from ((block, True) for block in child.children())
        elif any(_is_stack(part) for part in child.modules()):
            yield from _parts(child)
        elif any(True for _ in child.parameters()):
            yield child, False


def _is_stack(module: nn.Module) -> bool:
    """A list whose last element multiplies by matrices: of blocks or stages, and not of norms."""
    return isinstance(module, nn.ModuleList) and len(module) > 0 and any(p.ndim > 1 for p in module[-1].parameters())
