"""Turn packed image sets into what `mrl train` reads.

    python examples/image_sets.py fashion-products --data DIR --out data/fashion-products

writes OUT/train/<class>/<id>.jpg and OUT/test/<class>/<id>.jpg. DIR (or the variable MRL_DATA) holds one folder a set:

fashion-products   44,072 product photos of 60 × 80 in 141 article types (images.npz, products.csv.gz)
tiny-imagenet-32   110,000 photos of 32 × 32 in 200 classes (tiny_imagenet_32.npz); test: the official validation
fashion-mnist      70,000 grey images of 28 × 28 in 10 classes (idx files, .xz), as OUT/train.npz and OUT/test.npz

In the first two, image files lie end to end in an array `blob`, with their `offsets`; they are written out unchanged.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import lzma
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

File = tuple[str, str, str, bytes]  # part, class, name, content
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def packed(archive: Path) -> tuple[dict[str, np.ndarray], list[bytes]]:
    """All small arrays of an .npz and the files that lie end to end in its `blob`."""
    with np.load(archive) as arrays:
        blob, offsets = arrays["blob"].tobytes(), arrays["offsets"].tolist()
        rest = {name: arrays[name] for name in arrays.files if name not in ("blob", "offsets")}
    return rest, [blob[a:b] for a, b in pairwise(offsets)]


def fashion_products(data: Path, label: str = "articleType") -> Iterator[File]:
    _, files = packed(data / "images.npz")
    with gzip.open(data / "products.csv.gz", "rt", encoding="utf-8", newline="") as table:
        for row, content in zip(csv.DictReader(table), files, strict=True):
            yield row["split"], row[label], f"{row['id']}.jpg", content


def tiny_imagenet(data: Path) -> Iterator[File]:
    about, files = packed(data / "tiny_imagenet_32.npz")
    names = about["wnid"].tolist()
    for i, (content, label, split) in enumerate(zip(files, about["label"], about["split"], strict=True)):
        yield ("train", "test")[split], names[label], f"{i:06d}.jpg", content


def fashion_mnist(data: Path, out: Path) -> None:
    for part, stem in (("train", "train"), ("test", "t10k")):
        images = idx(data / f"{stem}-images-idx3-ubyte.xz").reshape(-1, 28, 28)
        labels = idx(data / f"{stem}-labels-idx1-ubyte.xz").astype(np.int64)
        np.savez(out / f"{part}.npz", images=images, labels=labels, classes=np.array(CLOTHES))


def idx(path: Path) -> np.ndarray:
    """The values of an idx file of bytes: its header has a magic number and one size per axis, four bytes each."""
    with lzma.open(path) as file:
        raw = file.read()
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])


def write_folders(files: Iterable[File], out: Path) -> int:
    count = 0
    for part, kind, name, content in files:
        path = out / part / kind.replace("/", "-") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        count += 1
    return count


def unpack(name: str, data: Path, out: Path) -> None:
    """Write one set to the new folder `out`."""
    if not (data / name).is_dir():
        raise SystemExit(f"{data} has no folder {name}; give the folder of the image sets with --data or MRL_DATA")
    if out.exists():
        raise SystemExit(f"{out} already exists; remove it or choose another --out")
    out.mkdir(parents=True)
    if name == "fashion-mnist":
        fashion_mnist(data / name, out)
    else:
        read = {"fashion-products": fashion_products, "tiny-imagenet-32": tiny_imagenet}[name]
        print(f"{write_folders(read(data / name), out)} images in {out}")


def folder_of_sets(given: Path | None) -> Path:
    """--data, or the variable MRL_DATA."""
    folder = given or (Path(os.environ["MRL_DATA"]) if "MRL_DATA" in os.environ else None)
    if folder is None:
        raise SystemExit("say where the image sets lie, with --data DIR or the variable MRL_DATA")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["fashion-products", "tiny-imagenet-32", "fashion-mnist"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    unpack(args.name, folder_of_sets(args.data), args.out)


if __name__ == "__main__":
    main()
