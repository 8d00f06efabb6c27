"""A small residual network for small images: our own, written for a CPU that multiplies bfloat16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrl.encoders.dry import Shape, blank
from mrl.encoders.spec import Norm
from mrl.errors import InputError

_GROUP = 16  # channels that are normalised together, where rows are not mixed


@dataclass(frozen=True)
class ResidualConfig:
    """The shape of a residual network.

    size: (H, W) of its images. channels: 1 grey, 3 colour. width: dims of the vectors. stem: channels of the first
    convolution, which halves the image if `stem_stride` is 2. stages: channels of each stage. strides: 2 where a stage
    halves the image. blocks: residual blocks of each stage. norm: `batch`, or `group`, which does not mix the rows.
    """

    size: tuple[int, int]
    channels: int
    width: int
    stem: int
    stem_stride: int
    stages: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: tuple[int, ...]
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        for name in ("size", "stages", "strides", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.size) != 2 or min(self.size) < 4:
            raise InputError(
                f"images must be at least 4 by 4 pixels, got {' by '.join(map(str, self.size))}; enlarge them"
            )
        if self.channels not in (1, 3):
            raise InputError(f"images have 1 (grey) or 3 (colour) channels, got {self.channels}")
        if self.width < 1:
            raise InputError(f"vectors need at least one dim, got width {self.width}")
        if not len(self.stages) == len(self.strides) == len(self.blocks) >= 1:
            raise InputError(f"stages, strides and blocks need one entry a stage, got {self}")

    @classmethod
    def for_images(cls, size: tuple[int, int], channels: int, width: int, norm: Norm = "batch") -> ResidualConfig:
        """The network for images of this size: it halves them until about 4 × 4 places are left.

        Images of 8 pixels take two stages, those of 28 or 32 three; from 48 pixels on the stem halves them too.
        """
        halvings = max(1, round(math.log2(math.sqrt(size[0] * size[1]) / 4)))
        stem_stride = 2 if halvings >= 4 else 1
        count = max(2, halvings - (stem_stride - 1))
        strides = (1,) * (count - halvings + (stem_stride - 1)) + (2,) * (halvings - (stem_stride - 1))
        stages = tuple(64 * 2 ** min(i, 2) for i in range(count))
        return cls(size, channels, width, 32, stem_stride, stages, strides, (1,) * count, norm)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        places, inputs = _halved(self.size, self.stem_stride), self.stem
        total = math.prod(places) * self.stem * self.channels * 9
        for outputs, stride, blocks in zip(self.stages, self.strides, self.blocks, strict=True):
            places = _halved(places, stride)
            match = inputs * outputs if inputs != outputs else 0
            total += math.prod(places) * (9 * outputs * (inputs + outputs * (2 * blocks - 1)) + match)
            inputs = outputs
        return total + inputs * self.width

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ResidualConfig:
        try:
            return cls(**document)
        except TypeError as error:
            raise InputError(f"cannot read a residual network from {dict(document)}: {error}") from None


def _halved(places: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-side // stride) for side in places)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions and the shortcut around them (He et al., arXiv 1512.03385; the mean pooling of the
    shortcut as in arXiv 1812.01187)."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = _norm(norm, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = _norm(norm, outputs)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        self.match = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ⌈h / stride⌉, ⌈w / stride⌉)."""
        y = F.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        return F.relu(y + self.match(self.pool(x)), inplace=True)


class ResidualNetwork(nn.Module):
    """Stem, stages, mean over the places, and a linear map to the vectors' width."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(config.channels, config.stem, 3, config.stem_stride, 1, bias=False)
        self.stem_norm = _norm(config.norm, config.stem)
        self.stages = nn.Sequential(*(block for stage in _stages(config) for block in stage))
        self.project = nn.Linear(config.stages[-1], config.width)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def width(self) -> int:
        return self.config.width

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        return (self.config.channels, *self.config.size)

    @property
    def macs(self) -> int:
        return self.config.macs

    def blank(self) -> Tensor:
        """One image of zeros where the network is."""
        return blank(self, self.shape)

    def describe(self) -> dict[str, Any]:
        return {"kind": "residual", **self.config.to_json()}

    def last(self) -> list[nn.Module]:
        return [self.stages[-1], self.project]

    def head(self) -> list[nn.Module]:
        return [self.project]

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (n, channels, H, W) -> vectors (n, width), not rescaled; float32 under autocast too."""
        x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
        pooled = self.stages(x).mean((2, 3))
        with torch.autocast(x.device.type, enabled=False):
            vectors: Tensor = self.project(pooled.to(self.project.weight.dtype))
        return vectors


def _norm(kind: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(max(1, channels // _GROUP), channels)


def _stages(config: ResidualConfig) -> list[list[ResidualBlock]]:
    stages, inputs = [], config.stem
    for outputs, stride, blocks in zip(config.stages, config.strides, config.blocks, strict=True):
        later = (ResidualBlock(outputs, outputs, 1, config.norm) for _ in range(blocks - 1))
        stages.append([ResidualBlock(inputs, outputs, stride, config.norm), *later])
        inputs = outputs
    return stages
