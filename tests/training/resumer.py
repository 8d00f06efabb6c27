"""A process that trains in children which may be killed: `KIND PATH WORKERS` on stdin, as in crasher.py."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrl.nesting import Nesting
from mrl.training import TrainSpec, open_data, train
from mrl.training.data import Opening
from mrl.training.opening import Rows
from mrl.training.spec import Checkpoints
from training.pictures import tiny

EPOCHS = 20
SPEC = TrainSpec(
    Nesting((2, 4)),
    epochs=EPOCHS,
    batch_size=8,
    precision="float32",
    augment="shift-flip",
    window=10,
    log_every=3,
    accumulate=2,
    checkpoints=Checkpoints(every_steps=4, keep=2),
)
IMAGES = 46


def folder(root: Path) -> Path:
    """ROOT/class/00.png … of the images of `tiny`."""
    from PIL import Image

    data = tiny(IMAGES)
    for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        (root / data.classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(root / data.classes[label] / f"{i:02}.png")
    return root


def shards(root: Path, count: int = 3) -> Path:
    """ROOT/0.parquet … of the same images as PNG files, with labels and ids."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    root.mkdir(parents=True)
    data = tiny(IMAGES)
    for shard, rows in enumerate(np.array_split(np.arange(IMAGES), count)):
        files = [io.BytesIO() for _ in rows]
        for file, row in zip(files, rows, strict=True):
            Image.fromarray(data.images[row][..., 0]).save(file, "png")
        columns = {"image": [f.getvalue() for f in files], "label": data.labels[rows], "id": rows}
        pq.write_table(pa.table(columns), root / f"{shard}.parquet")
    return root


def opened(kind: str, root: Path):
    """The training data: decoded at every use, or streamed."""
    if kind == "folder":
        return open_data(root, Opening(memory=0))
    rows = Rows(stream=True, classes=("fine", "middle", "wide"))
    return open_data(root, Opening((8, 8), 1, rows=rows))


def main() -> None:
    torch.set_num_threads(1)
    data = {}
    for line in sys.stdin:
        kind, root, path, workers = line.split()
        if kind not in data:
            data[kind] = opened(kind, Path(root))
        child = os.fork()
        if child == 0:
            train(SPEC, data[kind], path, resume=True, workers=int(workers), quiet=True)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else "done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
