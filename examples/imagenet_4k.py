"""ImageNet-4K: retrieval among classes that the encoder was never trained on (arXiv 2205.13147 §4.3 and appendix E).

    python examples/imagenet_4k.py --run imagenet-mrl/run --data IMAGENET_4K --out imagenet-4k

The run is that of imagenet_1k_resnet50.py. IMAGENET_4K holds train/<class>/… (1,000 pictures of each of 4,202 classes
of ImageNet-21K, none of them in ImageNet-1K: the database) and val/<class>/… (50 of each: the queries). An interrupted
command goes on where it was. Writes both tables, OUT/rows.jsonl and OUT/report. --dims measures fewer dims.

Hardware and time: 4.4 million pictures are embedded as fast as they are decoded, about 1,000 a second with 8 cores: 75
minutes. The vectors take 36 GB, in memory too when they are searched, and 210,000 queries × 4.2 million rows × 2,048
dims are 1.8e15 multiply-adds: an hour or so on 32 cores. These are estimates by arithmetic: it was not run.

Expected, mAP@10 in % with MRL (paper, §4.3; the hits' precisions divided by 10): 15.66 at 256 dims, 16.29 at 512, 16.76
at 1024, 17.20 at 2048.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mrl import Nesting
from mrl.evaluation import evaluate, write_rows
from mrl.report import table, write_report
from mrl.training import Opening, Run, embed, open_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=Nesting.parse)
    args = parser.parse_args()
    run = Run.open(args.run)
    how = Opening(run.encoder.fit.size, 3, memory=0, crop=224 / 256)
    tables = [
        # Without the run's own classes: none of these is among them.
        embed(run.encoder, open_data(args.data / part, how), args.out / part, resume=True)
        for part in ("train", "val")
    ]
    rows = evaluate(*tables, dims=args.dims or run.spec.nesting, run=run.card.model)
    write_rows(args.out / "rows.jsonl", rows)
    write_report(args.out / "report", rows, "ImageNet-4K: classes never trained on")
    print(table(rows))


if __name__ == "__main__":
    main()
