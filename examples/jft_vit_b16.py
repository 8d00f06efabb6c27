"""ViT-B/16, width 768, on a stream of web-scale labelled pictures, as the paper did on JFT-300M (arXiv 2205.13147 §4).

    torchrun --nproc-per-node 8 examples/jft_vit_b16.py train --data 'shards/*.parquet' --classes names.txt \\
        --rows 300000000 --out jft-mrl
    python examples/jft_vit_b16.py measure --data IMAGENET --out jft-mrl

JFT-300M (300 million pictures, 18,291 classes) is not public: any labelled set of the same form will do, such as
ImageNet-21K. `shards/*.parquet` has the columns `image` (a file's bytes) and `label` (a class's name, one a line in
names.txt, or its number); --data may also name a data set of the Hugging Face hub. Rows are streamed, never all in
memory, and shuffled in windows, so they should be stored in random order. An interrupted command goes on exactly where
it was, in the stream too. `measure` scores ImageNet-1K (train/ and val/ class folders) by its neighbours, as the paper
does.

Recipe: the paper's (Adafactor, 1e-3 linearly down to 0, batch 128, 300,000 steps: 0.128 epochs of JFT-300M, so give
--rows 38400000 for as many), dims 12 … 768.

Hardware and time: the paper used an 8 × 8 TPU pod. 38.4 million images × 53 GMAC are an hour and a half on eight A100
at a third of their bfloat16 peak, if 7,000 pictures a second are decoded. That is arithmetic: it was not run.

Expected, 1-NN top-1 in % on ImageNet-1K (paper, Table 4): MRL 53.61 at 12 dims and 71.85 at 768; one model's first 12
dims without nesting 27.07, all of its 768 dims 72.10.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mrl import Nesting
from mrl.encoders import EncoderSpec
from mrl.evaluation import evaluate, write_rows
from mrl.report import table, write_report
from mrl.training import Checkpoints, Opening, Rows, Run, TrainSpec, embed, open_data, train

NETWORK = Path(__file__).parent / "networks" / "vit_b16.json"
NESTING = Nesting.halving(768, smallest=12)
SIZE = (224, 224)


def spec(args: argparse.Namespace) -> TrainSpec:
    return TrainSpec(
        NESTING,
        args.head,
        epochs=1,
        batch_size=128,
        optimizer="adafactor",
        lr=1e-3,
        schedule="linear",
        warmup=0.03,
        augment="crop-flip",
        window=8192,
        encoder=EncoderSpec(str(args.network)),
        checkpoints=Checkpoints(every_minutes=15, keep=2),
    )


def trained(args: argparse.Namespace) -> None:
    names = args.classes.read_text().splitlines() if args.classes else ()
    rows = Rows(stream=True, count=args.rows, classes=tuple(names))
    train(spec(args), open_data(args.data, Opening(SIZE, 3, rows=rows)), args.out / "run", resume=True)


def measured(args: argparse.Namespace) -> None:
    run = Run.open(args.out / "run")
    how = Opening(SIZE, 3, memory=0, crop=224 / 256)
    tables = [
        embed(run.encoder, open_data(Path(args.data) / part, how), args.out / part, resume=True)
        for part in ("train", "val")
    ]
    rows = evaluate(*tables, run=run.card.model)
    write_rows(args.out / "rows.jsonl", rows)
    write_report(args.out / "report", rows, "ViT-B/16 on ImageNet-1K, by neighbours")
    print(table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--head", default="mrl", choices=["mrl", "mrl-e"])
    parser.add_argument("--classes", type=Path, help="names by label, one a line")
    parser.add_argument("--rows", type=int, help="rows of the stream that are trained on")
    parser.add_argument("--network", type=Path, default=NETWORK)
    args = parser.parse_args()
    {"train": trained, "measure": measured}[args.what](args)


if __name__ == "__main__":
    main()
