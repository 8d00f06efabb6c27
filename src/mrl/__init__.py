"""Nested embeddings: vectors whose prefixes are embeddings too (Matryoshka Representation Learning, arXiv 2205.13147).

Importing this package brings in NumPy and nothing heavier; `load` and `Map.fit` bring in torch when they are called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mrl.adapt.map import Map
from mrl.card import Card
from mrl.errors import MrlError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting, prefix, unit_prefix
from mrl.vectors import Table

if TYPE_CHECKING:
    from torch.nn import Module

    from mrl.encoders import ImageEncoder, TextEncoder

__all__ = ["Card", "HeadWeights", "Map", "MrlError", "Nesting", "Table", "load", "prefix", "unit_prefix"]
__version__ = "0.1.0"


def load(run: str | Path, network: Module | None = None, *, best: bool = False) -> ImageEncoder | TextEncoder:
    """The encoder of a training run, of its own file, or of a sentence-transformers folder, ready to encode images or
    texts. Needs the `train` extra.

    network: your own module, where the run was trained with one; its file holds weights and no code. best: of a run,
    the encoder of the best validation score, not the newest.

    `load(RUN).encode(rows, dim=64)` gives (n, 64) float32, cut as the run's metric asks for.
    """
    from mrl.encoders import load as load_encoder

    return load_encoder(run, network, best=best)
