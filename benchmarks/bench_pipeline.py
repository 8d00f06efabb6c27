"""Training from compressed images, decoded at every use, against training from images held in memory.

    python benchmarks/bench_pipeline.py --data DIR [--images 3000] [--pairs 9] [--workers N]

DIR (or MRL_DATA) holds `tiny-imagenet-32`. The same photos of 32 × 32 as arrays in memory, as JPEG files in class
folders, as Parquet files read by row (memory-mapped), and as a stream of them: one epoch each of the small network, in
turn. What is compared is the speed in the run's own log, which leaves opening and committing out.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import describe, keep

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from image_sets import folder_of_sets, packed
from PIL import Image

from mrl import Nesting
from mrl.training import ImageData, Opening, Rows, Stream, TrainSpec, from_arrays, open_data, train

SPEC = TrainSpec(Nesting.halving(512, smallest=8), epochs=1, label_smoothing=0.1, log_every=10_000)
CLASSES = 40


def written(root: Path, data: Path, count: int) -> dict[str, ImageData | Stream]:
    """The same images in every form."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about, files = packed(data / "tiny_imagenet_32.npz")
    kept = np.flatnonzero((about["label"] < CLASSES) & (about["split"] == 0))
    kept = np.random.default_rng(0).permutation(kept)[:count]
    labels = about["label"][kept].astype(np.int64)
    for i, label in zip(kept, labels, strict=True):
        path = root / "folder" / f"{label:03}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[i])
    (root / "parquet").mkdir()
    for shard, part in enumerate(np.array_split(np.arange(len(kept)), 4)):
        columns = {"image": [files[i] for i in kept[part]], "label": labels[part]}
        pq.write_table(pa.table(columns), root / "parquet" / f"{shard}.parquet")
    images = np.stack([np.asarray(Image.open(io.BytesIO(files[i])).convert("RGB")) for i in kept])
    classes = tuple(map(str, range(CLASSES)))
    how = Opening((32, 32), 3, memory=0)
    return {
        "memory": from_arrays(images, labels),
        "folder": open_data(root / "folder", how),
        "parquet": open_data(str(root / "parquet"), how),
        "stream": open_data(str(root / "parquet"), Opening((32, 32), 3, rows=Rows(stream=True, classes=classes))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    about = describe("torch", "pillow", "datasets", "mrl") | {"threads": str(torch.get_num_threads())}
    print(json.dumps(about, indent=2), f"\n{args.images} images an epoch, {args.pairs} rounds after one to warm up")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = f"{folder}/cache"
        data = written(Path(folder), folder_of_sets(args.data) / "tiny-imagenet-32", args.images)
        speeds: dict[str, list[float]] = {kind: [] for kind in data}
        for round_ in range(args.pairs + 1):
            kinds = list(data)
            for kind in kinds[round_ % 4 :] + kinds[: round_ % 4]:  # none is always first
                images = data[kind]
                workers = None if kind == "memory" else args.workers
                run = train(SPEC, images, Path(folder) / f"{kind}-{round_}", workers=workers, quiet=True)
                if round_:
                    speeds[kind].append(run.log[-1]["rows_per_second"])
    result: dict[str, object] = {"about": about, "images": args.images}
    for kind, found in speeds.items():
        shares = np.array(found) / np.array(speeds["memory"])
        low, mid, high = np.percentile(shares, [25, 50, 75])
        print(f"{kind:8} {np.median(found):7.0f} images/s, {mid:.3f} of memory's (quartiles {low:.3f} to {high:.3f})")
        result[kind] = {"rows_per_second": round(float(np.median(found))), "of_memory": round(float(mid), 3)}
    keep("pipeline", result)


if __name__ == "__main__":
    main()
