"""Encoders: what turns images and texts into nested vectors.

The names below are imported when they are asked for, so that the settings beside them come without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily

if TYPE_CHECKING:
    from mrl.encoders.encoder import Encoder
    from mrl.encoders.endpoint import Endpoint
    from mrl.encoders.exporting import export
    from mrl.encoders.image import ImageEncoder
    from mrl.encoders.known import KnownModel, known_card, known_model
    from mrl.encoders.loading import load, load_encoder_file
    from mrl.encoders.module import ModuleNetwork
    from mrl.encoders.mteb import MTEBModel
    from mrl.encoders.reference import from_reference
    from mrl.encoders.remote import RemoteEncoder
    from mrl.encoders.residual import ResidualConfig, ResidualNetwork
    from mrl.encoders.spec import EncoderSpec
    from mrl.encoders.text import TextEncoder
    from mrl.encoders.text_making import text_encoder
    from mrl.encoders.text_network import TextConfig, TextNetwork
    from mrl.encoders.tokens import Tokens
    from mrl.encoders.vision import VisionConfig, VisionNetwork

__all__ = [
    "Encoder",
    "EncoderSpec",
    "Endpoint",
    "ImageEncoder",
    "KnownModel",
    "MTEBModel",
    "ModuleNetwork",
    "RemoteEncoder",
    "ResidualConfig",
    "ResidualNetwork",
    "TextConfig",
    "TextEncoder",
    "TextNetwork",
    "Tokens",
    "VisionConfig",
    "VisionNetwork",
    "export",
    "from_reference",
    "known_card",
    "known_model",
    "load",
    "load_encoder_file",
    "text_encoder",
]

__getattr__ = lazily(
    __name__,
    {
        "Encoder": "encoder",
        "EncoderSpec": "spec",
        "Endpoint": "endpoint",
        "ImageEncoder": "image",
        "KnownModel": "known",
        "MTEBModel": "mteb",
        "ModuleNetwork": "module",
        "RemoteEncoder": "remote",
        "ResidualConfig": "residual",
        "ResidualNetwork": "residual",
        "TextConfig": "text_network",
        "TextEncoder": "text",
        "TextNetwork": "text_network",
        "Tokens": "tokens",
        "VisionConfig": "vision",
        "VisionNetwork": "vision",
        "export": "exporting",
        "from_reference": "reference",
        "known_card": "known",
        "known_model": "known",
        "load": "loading",
        "load_encoder_file": "loading",
        "text_encoder": "text_making",
    },
)
