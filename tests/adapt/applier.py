"""A process that applies a map in children which may be killed: `OUT SECONDS` on stdin, a negative time lets it finish.

Each line forks a child that goes on with the table at OUT; `killed` or `done` says how it ended.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl import Card, Nesting
from mrl.adapt.applying import Stored, apply_stream
from mrl.disk import LOCK, MANIFEST, Folder
from mrl.vectors import open_vectors

WIDTH, OUT, BLOCK, ROWS = 12, 8, 5, 203
CARD = Card("mapped", OUT, Nesting((4, OUT)), maps=("linear:123456789abc",))


class Times:
    """A map: times a matrix."""

    def __init__(self, seed: int = 0, out: int = OUT) -> None:
        self.matrix = np.random.default_rng(seed).normal(size=(WIDTH, out)).astype(np.float32)

    def apply(self, vectors):
        return vectors.astype(np.float32, copy=False) @ self.matrix


def written(folder: Path, rows: int = ROWS, seed: int = 0) -> Path:
    """An .npz with ids and labels."""
    path = folder / "v.npz"
    v = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    ids = np.array([f"item{i}" for i in range(rows)], np.str_)
    np.savez(path, vectors=v, ids=ids, labels=np.array(["ant", "bee"])[np.arange(rows) % 2])
    return path


def contents(path: Path) -> dict[str, object]:
    """What a table is: every file, by name, and what the manifest says; not by how many commits it came about."""
    files = [file for file in Path(path).iterdir() if not file.match("manifest*.json") and file.name != LOCK]
    folder = Folder.open(Path(path), "mrl-table")
    return {**{file.name: file.read_bytes() for file in files}, MANIFEST: (folder.manifest, folder.entries)}


def go_on(source: Path, out: Path) -> None:
    apply_stream(open_vectors(source), Times(), out, CARD, stored=Stored(block=BLOCK), resume=True)


def main() -> None:
    for line in sys.stdin:
        source, out, seconds = line.split()
        child = os.fork()
        if child == 0:
            go_on(Path(source), Path(out))
            os._exit(0)
        if float(seconds) >= 0:
            time.sleep(float(seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write({0: "done\n", signal.SIGKILL: "killed\n"}.get(status, f"failed {status}\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
