"""Training nested image encoders.

The names below are imported when they are asked for, so that the settings beside them come without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily

if TYPE_CHECKING:
    from mrl.training.data import ImageData, from_arrays, open_data
    from mrl.training.embedding import embed
    from mrl.training.loop import train
    from mrl.training.opening import Opening, Rows
    from mrl.training.run import Run
    from mrl.training.spec import Checkpoints, TrainSpec
    from mrl.training.stream import Stream

__all__ = [
    "Checkpoints",
    "ImageData",
    "Opening",
    "Rows",
    "Run",
    "Stream",
    "TrainSpec",
    "embed",
    "from_arrays",
    "open_data",
    "train",
]

__getattr__ = lazily(
    __name__,
    {
        "Checkpoints": "spec",
        "ImageData": "data",
        "Opening": "opening",
        "Rows": "opening",
        "Run": "run",
        "Stream": "stream",
        "TrainSpec": "spec",
        "embed": "embedding",
        "from_arrays": "data",
        "open_data": "data",
        "train": "loop",
    },
)
