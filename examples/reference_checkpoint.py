"""Turn a checkpoint of the paper's own code (github.com/RAIVNLab/MRL) into an encoder and a head of `mrl`.

    python examples/reference_checkpoint.py r50_mrl1_e0_ff2048.pt --out mrl-r50
    python examples/reference_checkpoint.py r50_mrl0_e1_ff2048.pt --out mrl-e-r50 --dims 8..2048
    mrl embed mrl-r50/encoder.safetensors IMAGENET/train --out known
    mrl embed mrl-r50/encoder.safetensors IMAGENET/val --out asked
    mrl evaluate known asked --head mrl-r50/head.safetensors

An MRL file names its dims, an MRL-E file does not: give them. --classes takes a file with the classes' names, one a
line in the order of the labels (for ImageNet, the sorted WordNet ids), so that folders of those names match.
The checkpoint is read as plain tensors; one with pickled code is refused. Hardware and time: any, seconds.

Expected, linear top-1 in % on ImageNet's validation set without mirrored copies (paper, Table 1): MRL 66.63 at 8 dims
and 76.80 at 2048; MRL-E 56.66 and 76.51. The checkpoints were not at hand here; the conversion is tested on networks of
the same form.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mrl import Nesting
from mrl.encoders import from_reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=Nesting.parse)
    parser.add_argument("--classes", type=Path)
    args = parser.parse_args()
    encoder, head = from_reference(args.checkpoint, args.dims)
    names = tuple(args.classes.read_text().splitlines()) if args.classes else ()
    args.out.mkdir(parents=True)
    encoder.save(args.out / "encoder.safetensors")
    replace(head, classes=names).save(args.out / "head.safetensors")
    print(f"{encoder.card.model}: {head.count} classes at dims {head.nesting}, in {args.out}")


if __name__ == "__main__":
    main()
