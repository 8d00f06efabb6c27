"""Encoders: what turns images into nested vectors."""

from mrl.encoders.image import ImageEncoder, load
from mrl.encoders.residual import ResidualConfig, ResidualNetwork

__all__ = ["ImageEncoder", "ResidualConfig", "ResidualNetwork", "load"]
