"""The examples, run on tiny sets of the same form as the real ones; each says with what to get the real figures."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def files(n: int, size: tuple[int, int] = (12, 16)) -> dict[str, np.ndarray]:
    """n JPEG files end to end, as in the image sets: blob and offsets."""
    contents = []
    for i in range(n):
        image = io.BytesIO()
        Image.new("RGB", size, (255 * (i % 2), 10 * (i % 20), 60)).save(image, "JPEG")
        contents.append(image.getvalue())
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in contents])])
    return {"blob": np.frombuffer(b"".join(contents), np.uint8), "offsets": offsets}


def products(root: Path, n: int = 60) -> Path:
    folder = root / "fashion-products"
    folder.mkdir(parents=True)
    np.savez(folder / "images.npz", **files(n))
    with gzip.open(folder / "products.csv.gz", "wt", newline="") as table:
        out = csv.DictWriter(table, ["id", "articleType", "split"])
        out.writeheader()
        for i in range(n):
            out.writerow(
                {"id": i, "articleType": ("Shirts", "Track Pants")[i % 2], "split": "test" if i > 39 else "train"}
            )
    return root


def run(monkeypatch, script: str, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def test_fashion_products_trains_measures_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MRL_DATA", str(products(tmp_path / "sets")))
    run(monkeypatch, "fashion_products.py", "--out", tmp_path / "out", "--epochs", 1)
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    assert sorted(p.name for p in (tmp_path / "out" / "images" / "train").iterdir()) == ["Shirts", "Track Pants"]
    assert "s in all" in capsys.readouterr().out


def test_tiny_imagenet_becomes_class_folders(tmp_path, monkeypatch):
    folder = tmp_path / "sets" / "tiny-imagenet-32"
    folder.mkdir(parents=True)
    about = {"label": np.arange(8) % 2, "split": np.arange(8) // 6, "wnid": np.array(["n01", "n02"])}
    np.savez(folder / "tiny_imagenet_32.npz", **files(8), **about)
    run(monkeypatch, "image_sets.py", "tiny-imagenet-32", "--data", tmp_path / "sets", "--out", tmp_path / "out")
    found = sorted(p.relative_to(tmp_path / "out").parts[:2] for p in (tmp_path / "out").rglob("*.jpg"))
    assert found == [("test", "n01"), ("test", "n02"), *[("train", "n01")] * 3, *[("train", "n02")] * 3]


def test_fashion_mnist_becomes_arrays(tmp_path, monkeypatch):
    folder = tmp_path / "sets" / "fashion-mnist"
    folder.mkdir(parents=True)
    images, labels = np.arange(5 * 784, dtype=np.uint32).astype(np.uint8), np.array([9, 0, 1, 2, 3], np.uint8)
    for stem in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (5, 28, 28))
        (folder / f"{stem}-images-idx3-ubyte.xz").write_bytes(lzma.compress(head + images.tobytes()))
        head = bytes([0, 0, 8, 1]) + (5).to_bytes(4, "big")
        (folder / f"{stem}-labels-idx1-ubyte.xz").write_bytes(lzma.compress(head + labels.tobytes()))
    run(monkeypatch, "image_sets.py", "fashion-mnist", "--data", tmp_path / "sets", "--out", tmp_path / "out")
    with np.load(tmp_path / "out" / "train.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"].ravel(), images)
        assert arrays["classes"][arrays["labels"]].tolist() == [
            "Ankle boot",
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
        ]


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("MRL_DATA", raising=False)
    with pytest.raises(SystemExit, match="--data DIR or the variable MRL_DATA"):
        run(monkeypatch, "image_sets.py", "fashion-mnist", "--out", tmp_path / "out")
    with pytest.raises(SystemExit, match="has no folder fashion-mnist"):
        run(monkeypatch, "image_sets.py", "fashion-mnist", "--data", tmp_path, "--out", tmp_path / "out")
