"""One process of a team, started by torchrun, which trains on texts: a model's folder, and one of runs."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.training import PairSpec, train
from training.phrases import DATA, pairs, spec

TASKS = {
    "pairs": ("pairs", {"symmetric": True}, {}),
    "parts": ("pairs", {}, {"accumulate": 2}),
    "siglip": ("pairs", {"loss": "siglip"}, {}),
    "scored": ("scored-pairs", {}, {}),
    "scored-parts": ("scored-pairs", {}, {"accumulate": 3}),
}
ROWS = 29  # batches of 15 and 14: two processes share one of them unevenly


def run(model: Path, folder: Path, prefix: str) -> None:
    for name, (task, settings, more) in TASKS.items():
        asked = spec(model, task, precision="float64", lr=0.001, pairs=PairSpec(**settings))
        data = pairs(ROWS, negatives=1) if task == "pairs" else DATA[task](ROWS)
        train(replace(asked, **more), data, folder / f"{prefix}-{name}", validation=DATA[task](9, 3), quiet=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert os.environ["WORLD_SIZE"] == "2"
    run(Path(sys.argv[1]), Path(sys.argv[2]), "team")
