"""The paper's comparison on Tiny ImageNet at 32 × 32: MRL, MRL-E and one fixed-feature (FF) model per dim.

    python examples/tiny_imagenet.py --data DIR --out build/tiny-imagenet         # 40 classes, for a CPU
    python examples/tiny_imagenet.py --data DIR --out build/tiny-imagenet-200 --classes 200 --epochs 30 --seeds 3 \\
        --ff 8,16,32,64,128,256,512                                               # all of it, for a GPU

DIR (or MRL_DATA) holds the set `tiny-imagenet-32`; see image_sets.py. Interrupt it whenever you like: the same command
goes on where it was. `--models MRL,MRL-E` trains these alone, so that a long job can be done in pieces. Each model
leaves a run, and rows of what its prefixes are worth on the official validation images; at the end there is one table.

Every model has the same recipe: the small residual network, width 512, dims 8 … 512, batches of 128, AdamW, a warm-up
and half a cosine, label smoothing 0.1. With more than one seed, MRL, MRL-E and the FF models up to `--several` dims are
trained with all of them, wider FF models with the first.

Hardware, time and what came out are kept in benchmarks/results/tiny-imagenet-*.json, by `--keep NAME`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from harness import describe, keep
from image_sets import folder_of_sets, packed
from PIL import Image

from mrl import Nesting
from mrl.evaluation import Row, evaluate, read_rows, write_rows
from mrl.training import ImageData, TrainSpec, embed, from_arrays, train

NESTING = Nesting.halving(512, smallest=8)
SPEC = TrainSpec(NESTING, "mrl", epochs=15, label_smoothing=0.1)


def decoded(folder: Path, classes: int) -> tuple[ImageData, ImageData]:
    """Training and validation images of the first so many classes, (n, 32, 32, 3)."""
    about, files = packed(folder / "tiny_imagenet_32.npz")
    kept = np.flatnonzero(about["label"] < classes)
    images = np.stack([np.asarray(Image.open(io.BytesIO(files[i])).convert("RGB")) for i in kept])
    labels, held_out = about["label"][kept].astype(np.int64), about["split"][kept] == 1
    names = about["wnid"][:classes].tolist()
    return tuple(from_arrays(images[part], labels[part], names) for part in (~held_out, held_out))


def models(ff: list[int], seeds: int, several: int) -> Iterator[tuple[str, TrainSpec]]:
    """Name and recipe of everything that is trained; the names of later seeds end in theirs."""
    for seed in range(seeds):
        ending = f"/{seed}" if seed else ""
        yield f"MRL{ending}", replace(SPEC, seed=seed)
        yield f"MRL-E{ending}", replace(SPEC, head="mrl-e", seed=seed)
        for dim in ff:
            if seed == 0 or dim <= several:
                yield f"FF-{dim}{ending}", replace(SPEC, nesting=Nesting((dim,)), width=dim, head="ff", seed=seed)


def nearest_class_mean(known: ImageData, asked: ImageData) -> float:
    """Accuracy of the nearest mean image, in raw pixels: what no training at all is worth."""
    pixels, unknown = (part.images.reshape(len(part), -1).astype(np.float32) for part in (known, asked))
    means = np.stack([pixels[known.labels == label].mean(0) for label in range(len(known.classes))])
    distances = (means**2).sum(1) - 2 * unknown @ means.T
    return float((distances.argmin(1) == asked.labels).mean())


def measured(name: str, spec: TrainSpec, data: tuple[ImageData, ImageData], args: argparse.Namespace) -> list[Row]:
    """Train one model, unless that is done already, and measure it, unless that is; the vectors are not kept."""
    place = args.out / name.replace("/", "-seed-")
    rows = place / "rows.jsonl"
    if not rows.exists():
        start = time.perf_counter()
        run = train(spec, data[0], place / "run", resume=True, device=args.device)
        tables = [
            embed(run, part, place / what, resume=True) for part, what in zip(data, ("known", "asked"), strict=True)
        ]
        write_rows(rows, evaluate(*tables, run.head, run=name.split("/")[0]))
        for table in tables:
            shutil.rmtree(table.path)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return read_rows(rows)


def summary(found: dict[str, list[Row]]) -> list[dict[str, object]]:
    """One entry per model, measure and dim: the mean over the seeds, and the 95 % interval over images of the first."""
    seeds: dict[tuple[str, str, int], list[Row]] = {}
    for rows in found.values():
        for row in rows:
            if row.measure in ("top-1", "1-NN"):
                seeds.setdefault((row.run, row.measure, row.dim), []).append(row)
    return [
        {
            "run": run,
            "measure": measure,
            "dim": dim,
            "trained": rows[0].trained,
            "method": rows[0].method,
            "value": round(float(np.mean([row.value for row in rows])), 4),
            "low": round(rows[0].low, 4),
            "high": round(rows[0].high, 4),
            "seeds": [round(row.value, 4) for row in rows],
        }
        for (run, measure, dim), rows in seeds.items()
    ]


def told(entries: list[dict[str, object]], baseline: float) -> str:
    """A table: dims down, models across; beside each nested model, how far it lies from FF at that dim."""
    value = {(e["run"], e["measure"], e["dim"]): 100 * float(str(e["value"])) for e in entries}
    lines = [f"nearest class mean of raw pixels: {100 * baseline:.1f}"]
    for measure in ("top-1", "1-NN"):
        lines.append(f"\n{measure:>6} {'MRL':>14} {'MRL-E':>14} {'FF':>7}")
        for dim in sorted({d for _, m, d in value if m == measure}):
            ff = value.get((f"FF-{dim}", measure, dim))
            cells = []
            for run in ("MRL", "MRL-E"):
                ours = value.get((run, measure, dim))
                gap = "" if ours is None or ff is None else f" ({ours - ff:+.1f})"
                cells.append("" if ours is None else f"{ours:.1f}{gap:>7}")
            lines.append(f"{dim:>6} {cells[0]:>14} {cells[1]:>14} {'' if ff is None else f'{ff:.1f}':>7}")
    return "\n".join(lines)


def machine(device: str | None) -> dict[str, str]:
    import torch

    on_gpu = torch.cuda.is_available() and device != "cpu"
    name = torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads"
    return describe("torch", "mrl") | {"device": name}


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/tiny-imagenet"))
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=SPEC.epochs)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--several", type=int, default=32, help="widest FF model that is trained with every seed")
    parser.add_argument("--ff", default="8,16,512", help="dims of the fixed-feature models")
    parser.add_argument("--models", default="", help="only these, as MRL,FF-8,MRL/1 (seed 1)")
    parser.add_argument("--device")
    parser.add_argument("--keep", help="write what came out to benchmarks/results/NAME.json")
    return parser.parse_args()


def main() -> None:
    args = asked_for()
    data = decoded(folder_of_sets(args.data) / "tiny-imagenet-32", args.classes)
    wanted = [name for name in args.models.split(",") if name]
    found = {
        name: measured(name, replace(spec, epochs=args.epochs), data, args)
        for name, spec in models([int(dim) for dim in args.ff.split(",")], args.seeds, args.several)
        if not wanted or name in wanted
    }
    entries, baseline = summary(found), nearest_class_mean(*data)
    print(told(entries, baseline))
    if args.keep:
        result = {"about": machine(args.device), "nearest_class_mean": round(baseline, 4), "rows": entries}
        keep(args.keep, result)


if __name__ == "__main__":
    main()
