"""Nested heads and losses in torch."""

from mrl.heads import Kind
from mrl.nesting import Reduction
from mrl.nn.cross_entropy import CHUNK_BYTES, nested_cross_entropy
from mrl.nn.heads import Head, MRLEHead, MRLHead, make_head
from mrl.nn.loop import NestedLoss, nested

__all__ = [
    "CHUNK_BYTES",
    "Head",
    "Kind",
    "MRLEHead",
    "MRLHead",
    "NestedLoss",
    "Reduction",
    "make_head",
    "nested",
    "nested_cross_entropy",
]
