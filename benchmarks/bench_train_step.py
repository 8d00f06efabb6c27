"""A training step of the small network with all nested losses against the same step with a single dim.

    python benchmarks/bench_train_step.py [--pairs 30] [--classes 200] [--precision auto]

Images of 32 × 32, batch 128, width 512; MRL and MRL-E at 8 … 512 against FF at 512: forward, all losses, backward and
the optimiser's step. One process, in turn; the ratio is what nesting costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from harness import describe, keep, paired

from mrl import Nesting
from mrl.training import TrainSpec, from_arrays
from mrl.training.material import Pictures
from mrl.training.model import Model
from mrl.training.optimise import optimiser
from mrl.training.team import Team

NESTING = Nesting.halving(512, smallest=8)
BATCH, SIZE = 128, (32, 32)


def stepping(spec: TrainSpec, classes: int) -> Callable[[], None]:
    """A function that does one step on the same batch."""
    draws, names = np.random.default_rng(0), tuple(map(str, range(classes)))
    some = from_arrays(draws.integers(0, 256, (16, *SIZE, 3), np.uint8), np.arange(16) % classes, names)
    model = Model.new(spec, Pictures(spec, some), Team("cpu"))
    optimise, trainee = optimiser(model.trained(), spec), model.trainee()
    images = torch.randint(0, 256, (BATCH, *SIZE, 3), dtype=torch.uint8)
    labels = torch.randint(0, classes, (BATCH,))

    def step() -> None:
        model.training()
        optimise.zero_grad()
        model.loss(images, labels, trainee).backward()
        optimise.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    spec = TrainSpec(NESTING, "mrl", precision=args.precision, label_smoothing=0.1)
    ff = replace(spec, nesting=Nesting((512,)), head="ff")
    about = describe("torch", "mrl") | {"threads": str(torch.get_num_threads()), "batch": str(BATCH)}
    print(json.dumps(about, indent=2), f"\n{args.pairs} pairs after 5 warm-up steps of each")
    result: dict[str, object] = {"about": about}
    for head in ("mrl", "mrl-e"):
        ratio = paired(stepping(ff, args.classes), stepping(replace(spec, head=head), args.classes), args.pairs, 5)
        low, mid, high = ratio.speedup
        single, nested = (np.median(times) * 1e3 for times in (ratio.ours, ratio.theirs))
        print(f"{head}: {nested:.0f} ms, {mid:.3f}× a single dim's {single:.0f} ms [{low:.3f}, {high:.3f}]")
        result[head] = {"cost": round(mid, 3), "low": round(low, 3), "high": round(high, 3), "ms": round(nested, 1)}
    keep("train_step", result)


if __name__ == "__main__":
    main()
