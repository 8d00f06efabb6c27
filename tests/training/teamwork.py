"""One process of a team, started by torchrun: trains every case of CASES into FOLDER/team-NAME."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.encoders.spec import EncoderSpec
from mrl.nesting import Nesting
from mrl.training import TrainSpec, train
from training.pictures import tiny

SPEC = TrainSpec(
    Nesting((2, 4)),
    epochs=3,
    batch_size=16,
    precision="float64",
    label_smoothing=0.1,
    clip=0.5,
    log_every=2,
    encoder=EncoderSpec(norm="group"),
)
CASES = {
    "plain": SPEC,
    "parts": replace(SPEC, accumulate=3, head="mrl-e"),
    "sgd": replace(SPEC, optimizer="sgd", lr=0.05, schedule="linear"),
    "odd": replace(SPEC, batch_size=1, epochs=1),  # one process has nothing but a stand-in
}
IMAGES = 45  # batches of 15, which two processes cannot share evenly


def run(folder: Path, prefix: str) -> None:
    for name, spec in CASES.items():
        train(spec, tiny(IMAGES), folder / f"{prefix}-{name}", validation=tiny(21, seed=1), quiet=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), "team")
