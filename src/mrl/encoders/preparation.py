"""Preparation: what happens to a picture before a network sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mrl.encoders.pixels import Fit


@dataclass(frozen=True)
class Preparation:
    """fit: how a picture becomes pixels. mean, std: of a channel's values, 0 to 255, taken out of them: (channels,)."""

    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalised(self, pixels: Tensor, device: torch.device) -> Tensor:
        """uint8 (n, H, W, C) -> float32 (n, C, H, W) of about mean 0 and variance 1; channels stay last in memory."""
        mean, std = _constant(self.mean, device), _constant(self.std, device)
        return ((pixels.to(device, non_blocking=True).float() - mean) / std).permute(0, 3, 1, 2)

    def to_json(self) -> dict[str, Any]:
        return {"fit": self.fit.to_json(), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Preparation:
        return cls(Fit.from_json(document["fit"]), tuple(document["mean"]), tuple(document["std"]))


@lru_cache(maxsize=16)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """On the device once and for all: a copy with every batch would wait for it."""
    return torch.tensor(values, device=device)
