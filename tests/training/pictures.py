"""Small made-up image data for the tests of training."""

import csv
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mrl.nesting import Nesting
from mrl.training import ImageData, TrainSpec, from_arrays

TINY = TrainSpec(Nesting((2, 4)), epochs=2, batch_size=16, precision="float32", log_every=2)


def stripes(n: int = 48, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8, 8) uint8 and labels (n,): the class is the period of the stripes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    phase = rng.integers(0, 8, (n, 1, 1))
    waves = (np.arange(8)[None, None, :] + phase) // (1 + labels[:, None, None]) % 2
    return (waves * 200 + rng.integers(0, 50, (n, 8, 8))).astype(np.uint8), labels


def tiny(n: int = 48, seed: int = 0) -> ImageData:
    return from_arrays(*stripes(n, seed), classes=("fine", "middle", "wide"))


def folder(root: Path, classes: dict[str, int], size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    """ROOT/class/0.png … with so many images a class."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).convert(mode)
            image.save(root / name / f"{i}.png")
    return root


MODES = ("L", "1", "RGB", "P", "LA", "RGBA", "CMYK", "I;16")


def varied(mode: str, size: tuple[int, int] = (12, 10), seed: int = 0) -> Image.Image:
    """A picture of noise, with some of it transparent where the mode can be."""
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, size, dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (*size, 4), dtype=np.uint8), "RGBA").convert(mode)


def encoded(picture: Image.Image) -> bytes:
    """Without loss, in a format that knows the mode."""
    file = BytesIO()
    picture.save(file, "TIFF" if picture.mode == "CMYK" else "PNG")
    return file.getvalue()


def records(n: int = 12, names: Sequence[str] = ("fine", "middle", "wide"), seed: int = 0) -> list[dict[str, Any]]:
    """Rows of a table: stripes as PNG, and the name of their class."""
    images, labels = stripes(n, seed, len(names))
    rows = zip(images, labels, strict=True)
    return [{"image": encoded(Image.fromarray(image)), "label": names[label]} for image, label in rows]


def parquet(path: Path, rows: Sequence[dict[str, Any]], group: int = 3) -> Path:
    """One file, in groups of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=group)
    return path


def beside(path: Path, rows: Sequence[dict[str, Any]], first: int = 0) -> Path:
    """A .csv, .tsv or .jsonl table with the relative paths of its pictures, which lie in a folder beside it."""
    (path.parent / "files").mkdir(parents=True, exist_ok=True)
    listed = []
    for number, row in enumerate(rows, first):
        (path.parent / "files" / f"{number}").write_bytes(row["image"])
        listed.append({"file_name": f"files/{number}", **{k: v for k, v in row.items() if k != "image"}})
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in listed))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(listed)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """`datasets` keeps what it makes in a folder of the test's, and asks no hub."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
