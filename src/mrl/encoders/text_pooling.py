"""How what a Transformers text model makes of tokens becomes one vector. All of it goes by the mask, never by place."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from mrl.encoders.spec import Pooling
from mrl.encoders.tokens import Tokens
from mrl.errors import InputError


def pooled_text(output: Any, tokens: Tokens, pooling: Pooling) -> Tensor:
    """The vectors (n, width) of a model's output, in at least float32."""
    if pooling == "pooler":
        return _wide(cast(Tensor, output.pooler_output))
    states = _wide(output.last_hidden_state)  # (n, t, width)
    mask = _counted(tokens.mask.to(states.device), tokens.start)
    if pooling == "mean":
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if pooling == "max":
        return states.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)
    place = mask.argmax(1) if pooling == "cls" else mask.shape[1] - 1 - mask.flip(1).argmax(1)
    return states[torch.arange(len(states), device=states.device), place]


def _counted(mask: Tensor, start: int) -> Tensor:
    """The mask without the first `start` tokens of each text, wherever its padding is: (n, t)."""
    if start == 0:
        return mask
    first = mask.argmax(1, keepdim=True) + start
    return mask * (torch.arange(mask.shape[1], device=mask.device) >= first)


def _wide(states: Tensor) -> Tensor:
    return states.to(torch.promote_types(states.dtype, torch.float32))


def resolved_text(model: nn.Module, output: Any, pooling: Pooling) -> Pooling:
    """`auto` is the mean. InputError for what a model lacks."""
    name = type(model).__name__
    if getattr(output, "last_hidden_state", None) is None:
        raise InputError(f"{name} makes no hidden states to pool; take another text model")
    if pooling == "pooler" and getattr(output, "pooler_output", None) is None:
        raise InputError(f"{name} has no pooling layer for pooling=pooler; take mean, cls, last or max")
    return "mean" if pooling == "auto" else pooling
