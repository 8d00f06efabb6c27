"""Nested heads and losses in torch."""

from mrl.heads import Kind
from mrl.nesting import Reduction
from mrl.nn.contrastive import nested_info_nce, nested_siglip
from mrl.nn.cross_entropy import CHUNK_BYTES, nested_cross_entropy
from mrl.nn.distillation import Distillation, nested_distillation
from mrl.nn.heads import Head, MRLEHead, MRLHead, make_head
from mrl.nn.loop import NestedLoss, nested
from mrl.nn.negatives import Keys
from mrl.nn.pairwise import nested_cosent, nested_cosine
from mrl.nn.scale import LogitScale

__all__ = [
    "CHUNK_BYTES",
    "Distillation",
    "Head",
    "Keys",
    "Kind",
    "LogitScale",
    "MRLEHead",
    "MRLHead",
    "NestedLoss",
    "Reduction",
    "make_head",
    "nested",
    "nested_cosent",
    "nested_cosine",
    "nested_cross_entropy",
    "nested_distillation",
    "nested_info_nce",
    "nested_siglip",
]
