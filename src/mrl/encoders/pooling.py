"""How what a Transformers vision model makes of an image becomes one vector."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from mrl.encoders.spec import Pooling
from mrl.errors import InputError

_CLASS_TOKEN = re.compile(r"(^|\.)(cls|class)_(token|embedding)$")


def pooled(output: Any, pooling: Pooling, tokens: int) -> Tensor:
    """The vectors (n, width) of a model's output. tokens: how many stand before those of the patches."""
    if pooling == "pooler":
        return cast(Tensor, output.pooler_output).flatten(1)
    states: Tensor = output.last_hidden_state  # (n, tokens + patches, width) or (n, width, h, w)
    if pooling == "cls":
        return states[:, 0]
    return states.mean((2, 3)) if states.ndim == 4 else states[:, tokens:].mean(1)


def resolved(model: nn.Module, output: Any, pooling: Pooling) -> Pooling:
    """`auto` is the model's own pooling, else its class token, else the mean. InputError for what a model lacks."""
    if getattr(output, "last_hidden_state", None) is None:
        raise InputError(f"{type(model).__name__} makes no hidden states to pool; take another vision model")
    own = getattr(output, "pooler_output", None) is not None
    token = _has_class_token(model) and output.last_hidden_state.ndim == 3
    if pooling == "auto":
        return "pooler" if own else "cls" if token else "mean"
    if (pooling == "pooler" and not own) or (pooling == "cls" and not token):
        lacking = "pooling layer" if pooling == "pooler" else "class token"
        raise InputError(f"{type(model).__name__} has no {lacking} for pooling={pooling}; take pooling=auto or mean")
    return pooling


def leading_tokens(model: Any, output: Any, size: tuple[int, int]) -> int:
    """How many tokens (of the class, registers) stand before those of the patches."""
    if not _has_class_token(model):
        return 0
    patch = getattr(model.config, "patch_size", None)
    if patch is None:
        return 1
    sides = patch if isinstance(patch, Iterable) else (patch, patch)
    patches = math.prod(pixels // int(side) for pixels, side in zip(size, sides, strict=True))
    return max(1, int(output.last_hidden_state.shape[1]) - patches)


def _has_class_token(model: nn.Module) -> bool:
    return any(_CLASS_TOKEN.search(name.removesuffix(".weight")) for name, _ in model.named_parameters())
