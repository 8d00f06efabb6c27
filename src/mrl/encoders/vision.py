"""VisionNetwork: any Transformers vision model as a network of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mrl.encoders.blocks import last_block
from mrl.encoders.blur import blurred
from mrl.encoders.configuration import as_json, understood
from mrl.encoders.dry import Shape, blank, dry_run, multiply_adds
from mrl.encoders.hub import first_line
from mrl.encoders.pooling import leading_tokens, pooled, resolved
from mrl.encoders.spec import Pooling
from mrl.encoders.weights import fresh
from mrl.errors import InputError


@dataclass(frozen=True)
class VisionConfig:
    """The shape of a Transformers vision network.

    model: the model's own configuration. size: (H, W) of its images. channels: 1 grey, 3 colour. width: dims of the
    vectors, which a linear map makes of the model's own; None leaves these as they are. blur: whether strided
    convolutions see a blurred image (arXiv 1904.11486).
    """

    model: Mapping[str, Any]
    size: tuple[int, int]
    channels: int
    pooling: Pooling = "auto"
    width: int | None = None
    blur: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if self.width is not None and self.width < 1:
            raise InputError(f"vectors need at least one dim, got width {self.width}")

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        return (self.channels, *self.size)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> VisionConfig:
        try:
            return cls(**document)
        except TypeError as error:
            raise InputError(f"cannot read a vision network from {dict(document)}: {error}") from None


class VisionNetwork(nn.Module):
    """A Transformers vision model, the pooling of its output, and a linear map to another width if one is asked for.

    model: one with its weights, made from `config.model`; None makes one with fresh weights.
    """

    def __init__(self, config: VisionConfig, model: nn.Module | None = None) -> None:
        super().__init__()
        self.model: Any = _fresh(config) if model is None else model
        output = self._tried(config)
        pooling = resolved(self.model, output, config.pooling)
        self._tokens = leading_tokens(self.model, output, config.size)
        own = pooled(output, pooling, self._tokens).shape[1]
        self.config = replace(config, model=as_json(self.model.config), pooling=pooling)
        self.width = own if config.width is None else config.width
        self.project = nn.Linear(own, self.width) if self.width != own else None
        if output.last_hidden_state.ndim == 4:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _tried(self, config: VisionConfig) -> Any:
        """The model's output for one image, without numbers. InputError where it cannot take images of this shape."""
        try:
            return dry_run(self.model, config.shape, "pixel_values")
        except Exception as error:  # whatever a model raises at a shape that it does not expect
            raise InputError(
                f"{type(self.model).__name__} takes no images of {config.size[0]} x {config.size[1]} pixels with "
                f"{config.channels} channels: {first_line(error)}; give another size or its configuration"
            ) from error

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        return self.config.shape

    @cached_property
    def macs(self) -> int:
        return multiply_adds(self, self.blank())

    def blank(self) -> Tensor:
        """One image of zeros where the network is."""
        return blank(self, self.shape)

    def describe(self) -> dict[str, Any]:
        return {"kind": "transformers", **self.config.to_json()}

    def last(self) -> list[nn.Module]:
        """The last block of the model (of one made of stages: the last stage), what follows it, and the projection."""
        return last_block(self.model) + self.head()

    def head(self) -> list[nn.Module]:
        return [] if self.project is None else [self.project]

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (n, channels, H, W) -> vectors (n, width), not rescaled; float32 under autocast too."""
        vectors = pooled(self.model(pixel_values=x), self.config.pooling, self._tokens)
        with torch.autocast(x.device.type, enabled=False):
            if self.project is not None:
                vectors = self.project(vectors.to(self.project.weight.dtype))
            return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _fresh(config: VisionConfig) -> nn.Module:
    model = fresh(understood(config.model, "the network's description"), config.pooling)
    return blurred(model) if config.blur else model
