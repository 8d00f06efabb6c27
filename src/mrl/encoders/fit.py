"""Fit: how a picture of any size becomes pixels, as a value that needs no imaging library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mrl.errors import InputError

Resample = Literal["bilinear", "bicubic"]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in a picture's own pixels


@dataclass(frozen=True)
class Fit:
    """How a picture of any size becomes pixels.

    size: (H, W). channels: 1 grey, 3 colour. crop: None stretches the whole picture; else the centre is cut out, `crop`
    of the largest window that has the shape of `size` (224 of 256: 0.875). resample: how pixels are interpolated.
    """

    size: tuple[int, int]
    channels: int
    crop: float | None = None
    resample: Resample = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or min(self.size) < 1:
            raise InputError(f"a size is (height, width) in pixels, got {self.size}; give two positive numbers")
        if self.channels not in (1, 3):
            raise InputError(f"images have 1 (grey) or 3 (colour) channels, got {self.channels}")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise InputError(f"crop is the share that is kept, above 0 and at most 1, got {self.crop}")
        if self.resample not in get_args(Resample):
            raise InputError(f"unknown resample {self.resample!r}; known are {', '.join(get_args(Resample))}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the result."""
        return (*self.size, self.channels)

    def box(self, size: tuple[int, int]) -> Box:
        """The window of a picture of size (H, W) that is shown."""
        (height, width), (tall, wide) = size, self.size
        if self.crop is None:
            return (0.0, 0.0, float(width), float(height))
        scale = self.crop * min(height / tall, width / wide)
        down, across = scale * tall, scale * wide
        return ((width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Fit:
        return cls(**document)
