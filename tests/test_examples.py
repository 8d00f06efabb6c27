"""The examples, run on tiny sets of the same form as the real ones; each says with what to get the real figures."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mrl
from training.pictures import own_cache  # noqa: F401 (a fixture)

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


def test_frozen_vectors_are_measured_and_found_again(tmp_path, monkeypatch, capsys):
    root, draws = products(tmp_path / "sets", 1), np.random.default_rng(0)
    with gzip.open(root / "fashion-products" / "products.csv.gz", "wt", newline="") as table:
        csv.writer(table).writerows(
            [("articleType", "split"), *[("ab"[i % 2], ("test", "train")[i > 50]) for i in range(500)]]
        )
    features = draws.integers(0, 255, (500, 16), np.uint8)
    np.savez(root / "fashion-products" / "mobilenetv1.npz", q=features, scale=np.float32([0.1]))
    words = ("--data", root, "--out", tmp_path / "out", "--only", "products", "--quick")
    run(monkeypatch, "frozen_vectors.py", *words)
    first = capsys.readouterr().out
    assert first.count("fitted in") == 6  # three maps by labels, three by neighbours
    run(monkeypatch, "frozen_vectors.py", *words)
    again = capsys.readouterr().out
    assert "fitted in" not in again
    assert all(line in first for line in again.splitlines())
    found = json.loads((tmp_path / "out" / "quick-products-neighbours.json").read_text())
    assert (found["measure"], found["rows"], found["queries"], found["dims"]) == ("recall@10", 449, 51, [8, 16])
    assert found["values"]["rotation"][1] == [100.0, 100.0, 100.0]


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


def tiny_imagenet(root: Path, n: int = 48) -> Path:
    folder = root / "tiny-imagenet-32"
    folder.mkdir(parents=True)
    about = {"label": np.arange(n) % 3, "split": np.arange(n) // (n - 12), "wnid": np.array(["n01", "n02", "n03"])}
    np.savez(folder / "tiny_imagenet_32.npz", **files(n), **about)
    return root


def test_tiny_imagenet_trains_every_model_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MRL_DATA", str(tiny_imagenet(tmp_path / "sets")))
    words = ("--out", tmp_path / "out", "--classes", 2, "--epochs", 1, "--ff", "8", "--seeds", 2)
    run(monkeypatch, "tiny_imagenet.py", *words, "--models", "MRL")
    first = (tmp_path / "out" / "MRL" / "rows.jsonl").read_bytes()
    run(monkeypatch, "tiny_imagenet.py", *words)
    said = capsys.readouterr().out
    assert "nearest class mean of raw pixels" in said
    assert said.count("MRL: ") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}{ending}" for name in ("MRL", "MRL-E", "FF-8") for ending in ("", "-seed-1")
    }
    assert (tmp_path / "out" / "MRL" / "rows.jsonl").read_bytes() == first


def test_the_nested_vectors_of_the_benchmarks(tmp_path, monkeypatch, capsys):
    folder = EXAMPLES.parent / "benchmarks"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    words = ["--data", str(tiny_imagenet(tmp_path / "sets")), "--out", str(tmp_path / "out")]
    for _ in range(2):  # the second call finds all there
        monkeypatch.setattr(sys, "argv", ["nested_vectors.py", *words])
        runpy.run_path(str(folder / "nested_vectors.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert said.count("36 and 12 vectors") == 2
    assert said.count("512 dims: top-1") == 2


RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 8, 2048], "depths": [1, 1, 1, 1]}
VIT = {"model_type": "vit", "hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 56}


def network(root: Path, **settings: object) -> Path:
    path = root / "network.json"
    path.write_text(json.dumps(settings))
    return path


def pictures(root: Path, parts: dict[str, list[str]], each: int = 6) -> Path:
    """ROOT/part/class/….JPEG, of sizes and shapes as photos have them."""
    draws = np.random.default_rng(0)
    for part, classes in parts.items():
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for i in range(each):
                size = (30 + 10 * (i % 2), 50, 3)
                Image.fromarray(draws.integers(0, 255, size, np.uint8)).save(root / part / name / f"{i}.JPEG")
    return root


WORDNET = ["n01440764", "n01443537", "n02085620"]


def test_imagenet_1k_trains_measures_and_meets_shifted_sets(tmp_path, monkeypatch, capsys):
    data = pictures(tmp_path / "imagenet", {"train": WORDNET, "val": WORDNET})
    shifted = pictures(tmp_path / "shifted", {"v2": ["0", "1", "2"], "a": WORDNET[1:]}, each=2)
    words = ("--data", data, "--out", tmp_path / "out", "--network", network(tmp_path, **RESNET), "--epochs", 1)
    run(monkeypatch, "imagenet_1k_resnet50.py", "train", *words)
    run(monkeypatch, "imagenet_1k_resnet50.py", "measure", *words, "--shifted", shifted / "v2", shifted / "a")
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    said = capsys.readouterr().out
    assert "v2, 3 classes, 2048 dims: top-1" in said
    assert "a, 2 classes, 8 dims: top-1" in said
    other = pictures(tmp_path / "4k", {"train": ["n1", "n2"], "val": ["n1", "n2"]})
    run_4k = ("--run", tmp_path / "out" / "run", "--data", other, "--out", tmp_path / "4k-out", "--dims", "8,2048")
    run(monkeypatch, "imagenet_4k.py", *run_4k)
    assert (tmp_path / "4k-out" / "report" / "report.html").is_file()


@pytest.mark.usefixtures("own_cache")
def test_a_web_scale_stream_trains_a_vit(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pictures(tmp_path / "imagenet", {"train": WORDNET, "val": WORDNET})
    found = sorted((data / "train").rglob("*.JPEG"))
    columns = {"image": [path.read_bytes() for path in found], "label": [path.parent.name for path in found]}
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    (tmp_path / "names.txt").write_text("\n".join(WORDNET))
    net = network(tmp_path, **VIT, intermediate_size=32)
    run_as = ("--out", tmp_path / "out", "--network", net)
    stream = ("--data", tmp_path / "*.parquet", "--classes", tmp_path / "names.txt", "--rows", 18)
    run(monkeypatch, "jft_vit_b16.py", "train", *stream, *run_as)
    run(monkeypatch, "jft_vit_b16.py", "measure", "--data", data, *run_as)
    assert (tmp_path / "out" / "report" / "report.html").is_file()


def test_a_reference_checkpoint_becomes_an_encoder_and_a_head(tmp_path, monkeypatch, capsys):
    from encoders.test_reference import checkpoint, classifiers

    checkpoint(tmp_path / "r50.pt", classifiers(8, 32))
    run(monkeypatch, "reference_checkpoint.py", tmp_path / "r50.pt", "--out", tmp_path / "out")
    assert "classes at dims 8,32" in capsys.readouterr().out
    encoder = mrl.load(tmp_path / "out" / "encoder.safetensors")
    head = mrl.HeadWeights.load(tmp_path / "out" / "head.safetensors")
    assert head.nesting == encoder.card.nesting
