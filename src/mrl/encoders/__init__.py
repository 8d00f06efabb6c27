"""Encoders: what turns images into nested vectors.

The names below are imported when they are asked for, so that the settings beside them come without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily

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

__getattr__ = lazily(
    __name__,
    {
        "EncoderSpec": "spec",
        "ImageEncoder": "image",
        "ModuleNetwork": "module",
        "ResidualConfig": "residual",
        "ResidualNetwork": "residual",
        "VisionConfig": "vision",
        "VisionNetwork": "vision",
        "from_reference": "reference",
        "load": "image",
    },
)
