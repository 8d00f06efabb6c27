"""TextNetwork: any Transformers text model, the pooling of its output, and dense layers, as a network of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mrl.encoders.blocks import last_block
from mrl.encoders.configuration import as_json, positions, text_understood
from mrl.encoders.dry import evaluating, multiply_adds
from mrl.encoders.hub import first_line
from mrl.encoders.layers import Layer
from mrl.encoders.lengths import by_length
from mrl.encoders.spec import Pooling
from mrl.encoders.text_pooling import pooled_text, resolved_text
from mrl.encoders.tokens import Tokenizer, Tokens
from mrl.encoders.weights import fresh
from mrl.errors import InputError

_TYPICAL = 64  # tokens of the text whose multiply-adds are told


@dataclass(frozen=True)
class TextConfig:
    """The shape of a text network. model: the Transformers model's own configuration. pooling: how its output becomes
    one vector; `auto` is the mean. layers: what is done to that vector, in order."""

    model: Mapping[str, Any]
    pooling: Pooling = "auto"
    layers: tuple[Layer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"layers": [layer.to_json() for layer in self.layers]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TextConfig:
        try:
            layers = tuple(Layer.from_json(layer) for layer in document["layers"])
            return cls(**{**document, "layers": layers})
        except (KeyError, TypeError) as error:
            raise InputError(f"cannot read a text network from {dict(document)}: {error}") from None


class TextNetwork(nn.Module):
    """A Transformers text model, the pooling of its output, and dense layers; vectors are not rescaled.

    model: one with its weights, made from `config.model`; None makes one with fresh weights. width: dims of the
    vectors; where they are not what the model and its layers make, a linear map without bias is added to these.
    InputError for a model that makes nothing of texts.
    """

    def __init__(self, config: TextConfig, model: nn.Module | None = None, width: int | None = None) -> None:
        super().__init__()
        if width is not None and width < 1:
            raise InputError(f"vectors need at least one dim, got width {width}")
        made: Any = _fresh(config) if model is None else model
        made.config.use_cache = False  # of what was read before, which only writing needs
        self.model: Any = made
        tokens = self.blank(2)
        output = self._tried(tokens)
        pooling = resolved_text(self.model, output, config.pooling)
        own = self.inputs = int(pooled_text(output, tokens, pooling).shape[1])
        layers = config.layers
        if width not in (None, layers[-1].width if layers else own):
            layers = (*layers, Layer("dense", width, bias=False))
        self.layers = nn.ModuleList(_made(layers, own))
        self.width: int = layers[-1].width if layers else own
        self.config = replace(config, model=as_json(self.model.config), pooling=pooling, layers=layers)

    def _tried(self, tokens: Tokens) -> Any:
        """The model's output for one short text. InputError where it makes nothing of texts."""
        try:
            with evaluating(self.model), torch.no_grad():
                return self.model(input_ids=tokens.ids, attention_mask=tokens.mask)
        except Exception as error:  # whatever a model raises at what it does not expect
            name = type(self.model).__name__
            raise InputError(f"{name} makes nothing of texts: {first_line(error)}; take a text model") from error

    @property
    def positions(self) -> int | None:
        """Tokens of the longest text that the model has places for; None where there is no such limit."""
        return positions(self.model)

    def check_tokens(self, tokenizer: Tokenizer) -> None:
        """Raise InputError where a tokenizer makes longer texts, or other ids, than the model has places for."""
        if self.positions is not None and tokenizer.max_length > self.positions:
            raise InputError(
                f"max_length={tokenizer.max_length} is beyond the {self.positions} positions of this "
                f"{self.model.config.model_type} model; give at most {self.positions}"
            )
        known = self.model.get_input_embeddings().num_embeddings
        if tokenizer.size > known:
            raise InputError(
                f"the tokenizer has ids up to {tokenizer.size - 1}, the model knows {known} tokens; "
                "take both from the same model"
            )

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for a text of 64 tokens, about."""
        return multiply_adds(self, self.blank(min(_TYPICAL, self.positions or _TYPICAL)))

    def blank(self, length: int = 2) -> Tokens:
        """One text of tokens that mean nothing, where the network is."""
        ones = torch.ones(1, length, dtype=torch.int64, device=next(self.model.parameters()).device)
        return Tokens(ones, ones)

    def describe(self) -> dict[str, Any]:
        return {"kind": "text", **self.config.to_json()}

    def last(self) -> list[nn.Module]:
        """The last block of the model, what follows it, and the layers behind the pooling."""
        return [*last_block(self.model), *self.layers]

    def head(self) -> list[nn.Module]:
        """The last layer behind the pooling: the projection, if there is one."""
        return list(self.layers[-1:])

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens of n texts -> vectors (n, width), not rescaled; float32 under autocast too."""
        tokens = tokens.to(next(self.model.parameters()).device)
        parted = by_length(tokens)
        if parted is None:
            return self._vectors(tokens)
        return torch.cat([self._vectors(part) for part in parted.parts])[parted.back]

    def _vectors(self, tokens: Tokens) -> Tensor:
        vectors = pooled_text(self.model(input_ids=tokens.ids, attention_mask=tokens.mask), tokens, self.config.pooling)
        with torch.autocast(vectors.device.type, enabled=False):
            for layer in self.layers:
                vectors = layer(vectors.to(next(layer.parameters()).dtype))
            return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _fresh(config: TextConfig) -> nn.Module:
    return fresh(text_understood(config.model, "the network's description"), config.pooling)


def _made(layers: tuple[Layer, ...], inputs: int) -> list[nn.Module]:
    made = []
    for layer in layers:
        made.append(layer.made(inputs))
        inputs = layer.width
    return made
