"""Training nested encoders of images and texts.

The names below are imported when they are asked for, so that the settings beside them come without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily

if TYPE_CHECKING:
    from mrl.training.data import ImageData, from_arrays, open_data
    from mrl.training.embedding import embed
    from mrl.training.loop import train
    from mrl.training.opening import Opening, Rows, TextOpening
    from mrl.training.pairing import PairSpec
    from mrl.training.reading import open_texts
    from mrl.training.run import Run
    from mrl.training.sentence_transformers import MatryoshkaLoss
    from mrl.training.spec import Checkpoints, TrainSpec
    from mrl.training.stream import Stream
    from mrl.training.texts import TextData, from_texts

__all__ = [
    "Checkpoints",
    "ImageData",
    "MatryoshkaLoss",
    "Opening",
    "PairSpec",
    "Rows",
    "Run",
    "Stream",
    "TextData",
    "TextOpening",
    "TrainSpec",
    "embed",
    "from_arrays",
    "from_texts",
    "open_data",
    "open_texts",
    "train",
]

__getattr__ = lazily(
    __name__,
    {
        "Checkpoints": "spec",
        "ImageData": "data",
        "MatryoshkaLoss": "sentence_transformers",
        "Opening": "opening",
        "PairSpec": "pairing",
        "Rows": "opening",
        "Run": "run",
        "Stream": "stream",
        "TextData": "texts",
        "TextOpening": "opening",
        "TrainSpec": "spec",
        "embed": "embedding",
        "from_arrays": "data",
        "from_texts": "texts",
        "open_data": "data",
        "open_texts": "reading",
        "train": "loop",
    },
)
