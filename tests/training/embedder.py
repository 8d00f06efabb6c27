"""A process that embeds in children which may be killed: `OUT SECONDS` on stdin; a negative time lets it finish.

Each line forks a child that goes on with the table at OUT; after so many seconds it is killed. `killed` or `done` says
how it ended. So the imports, which take far longer than the job, are paid for once.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.card import Card
from mrl.disk import LOCK, MANIFEST, Folder
from mrl.encoders import ImageEncoder, ResidualConfig, ResidualNetwork
from mrl.encoders.pixels import Fit
from mrl.encoders.preparation import Preparation
from mrl.nesting import Nesting
from mrl.training import ImageData, embed, embedding
from training.pictures import tiny

BLOCK = 3
IMAGES = 200
BATCH = 2


def encoder(seed: int = 0) -> ImageEncoder:
    """Not trained; the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResidualNetwork(ResidualConfig.for_images((8, 8), 1, 16))
    return ImageEncoder(network, Card("tiny", 16, Nesting((4, 8))), Preparation(Fit((8, 8), 1), (127.0,), (60.0,)))


def named(n: int) -> ImageData:
    """Images with names for ids."""
    return replace(tiny(n), ids=np.array([f"image-{i:03}" for i in range(n)]))


def contents(path: Path) -> dict[str, object]:
    """What a table is: every file, by name, and what the manifest says; not by how many commits it came about."""
    files = [file for file in Path(path).iterdir() if not file.match("manifest*.json") and file.name != LOCK]
    folder = Folder.open(Path(path), "mrl-table")
    return {**{file.name: file.read_bytes() for file in files}, MANIFEST: (folder.manifest, folder.entries)}


def main() -> None:
    torch.set_num_threads(1)
    embedding.BLOCK = BLOCK
    for line in sys.stdin:
        out, seconds = line.split()
        child = os.fork()
        if child == 0:
            embed(encoder(), named(IMAGES), out, batch_size=BATCH, resume=True)
            os._exit(0)
        if float(seconds) >= 0:
            time.sleep(float(seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write({0: "done\n", signal.SIGKILL: "killed\n"}.get(status, f"failed {status}\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
