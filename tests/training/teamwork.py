"""One process of a team, started by torchrun, which trains into folders of FOLDER."""

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.encoders.spec import EncoderSpec
from mrl.nesting import Nesting
from mrl.training import Checkpoints, TrainSpec, train
from mrl.training.loop import Loop
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


RESUMED = replace(SPEC, precision="float32", epochs=4, checkpoints=Checkpoints(every_steps=5))


class StoppedError(Exception):
    """In place of a kill, at a known commit."""


def run(folder: Path, prefix: str) -> None:
    for name, spec in CASES.items():
        train(spec, tiny(IMAGES), folder / f"{prefix}-{name}", validation=tiny(21, seed=1), quiet=True)


def interrupted(spec: TrainSpec, folder: Path) -> None:
    """A run by all processes, stopped in the middle of its second epoch."""
    real = Loop._commit

    def commit(self, *args, **kwargs):
        real(self, *args, **kwargs)
        self.team.wait()
        if self.standing.step == 5:
            raise StoppedError

    Loop._commit = commit
    with suppress(StoppedError):
        train(spec, tiny(IMAGES), folder, quiet=True)
    Loop._commit = real


def main(folder: Path, size: int) -> None:
    """With two processes the cases, with three an interrupted run and a whole one, with batch norm too."""
    if size == 2:
        run(folder, "team")
        return
    for norm in ("group", "batch"):
        spec = replace(RESUMED, encoder=EncoderSpec(norm=norm))
        interrupted(spec, folder / f"resumed-{norm}")
        train(spec, tiny(IMAGES), folder / f"resumed-{norm}", resume=True, quiet=True)
        train(spec, tiny(IMAGES), folder / f"whole-{norm}", quiet=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(os.environ["WORLD_SIZE"]))
