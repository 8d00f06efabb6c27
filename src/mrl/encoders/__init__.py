"""Encoders: what turns images into nested vectors.

The names below are imported when they are asked for, so that the settings beside them come without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrl.encoders.image import ImageEncoder, load
    from mrl.encoders.module import ModuleNetwork
    from mrl.encoders.reference import from_reference
    from mrl.encoders.residual import ResidualConfig, ResidualNetwork
    from mrl.encoders.spec import EncoderSpec
    from mrl.encoders.vision import VisionConfig, VisionNetwork

__all__ = [
    "EncoderSpec",
    "ImageEncoder",
    "ModuleNetwork",
    "ResidualConfig",
    "ResidualNetwork",
    "VisionConfig",
    "VisionNetwork",
    "from_reference",
    "load",
]

_PLACES = {
    "EncoderSpec": "spec",
    "ImageEncoder": "image",
    "ModuleNetwork": "module",
    "ResidualConfig": "residual",
    "ResidualNetwork": "residual",
    "VisionConfig": "vision",
    "VisionNetwork": "vision",
    "from_reference": "reference",
    "load": "image",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
