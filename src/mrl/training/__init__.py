"""Training nested image encoders."""

from mrl.training.data import ImageData, Opening, from_arrays, open_data
from mrl.training.embedding import embed
from mrl.training.loop import train
from mrl.training.run import Run
from mrl.training.spec import TrainSpec

__all__ = ["ImageData", "Opening", "Run", "TrainSpec", "embed", "from_arrays", "open_data", "train"]
