"""A process that does a job again and again in children which may be killed: `table PATH` or `run PATH` on stdin.

Each line forks a child that works until it is killed; its pid is printed, and `done` once it is gone. So the imports,
which take far longer than the job, are paid for once.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.card import Card
from mrl.nesting import Nesting
from mrl.training import TrainSpec, train
from mrl.vectors import Table
from training.pictures import tiny

SPEC = TrainSpec(Nesting((2, 4)), epochs=100_000, batch_size=8, precision="float32", log_every=1)
CARD = Card("crasher", 64, Nesting((8, 64)))
ROWS = 100


def block(number: int) -> np.ndarray:
    """(ROWS, 64): what a table's block holds."""
    return np.random.default_rng(number).standard_normal((ROWS, CARD.width)).astype(np.float32)


def write_table(path: str) -> None:
    with Table.create(path, CARD) as table:
        for number in range(100_000):
            table.add(block(number))


def write_run(path: str) -> None:
    train(SPEC, tiny(16), path, quiet=True)


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        job, path = line.split()
        child = os.fork()
        if child == 0:
            {"table": write_table, "run": write_run}[job](path)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
