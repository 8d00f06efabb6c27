"""Real images: scikit-learn's digits always, the product photos where they are."""

import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mrl.encoders import EncoderSpec
from mrl.nesting import Nesting
from mrl.training import Opening, TrainSpec, embed, from_arrays, open_data, train


def nearest(database, queries, dim):
    """Share of the queries whose nearest unit prefix has their label."""
    a, b = (table.card.cut(table.vectors, dim) for table in (database, queries))
    return (database.labels[(b @ a.T).argmax(1)] == queries.labels).mean()


def test_digits_are_told_apart_at_eight_dims_and_more(tmp_path):
    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    held_out, rest = order[:400], order[400:]
    data = from_arrays(images[rest], digits.target[rest])
    queries = from_arrays(images[held_out], digits.target[held_out])
    spec = TrainSpec(Nesting((4, 8, 16, 32)), epochs=8)
    run = train(spec, data, tmp_path / "run", validation=queries, quiet=True)
    tables = embed(run, data, tmp_path / "database"), embed(run, queries, tmp_path / "queries")
    for dim in (8, 16, 32):
        assert nearest(*tables, dim) >= 0.97
        assert run.log[-1]["validation"][str(dim)] >= 0.97


def test_a_vision_transformer_tells_digits_apart(tmp_path):
    """From its configuration to vectors, end to end: trained, committed, loaded, embedded, and asked."""
    config = {
        "model_type": "vit",
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "patch_size": 2,
    }
    (tmp_path / "vit.json").write_text(json.dumps(config))
    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    data, queries = (from_arrays(images[part], digits.target[part]) for part in (order[400:], order[:400]))
    encoder = EncoderSpec(str(tmp_path / "vit.json"))
    spec = TrainSpec(Nesting((4, 8, 16, 48)), epochs=16, batch_size=32, augment="none", encoder=encoder)
    run = train(spec, data, tmp_path / "run", validation=queries, quiet=True)
    tables = embed(run, data, tmp_path / "database"), embed(run.path, queries, tmp_path / "queries")
    for dim in (8, 16, 48):
        assert nearest(*tables, dim) >= 0.9
        assert run.log[-1]["validation"][str(dim)] >= 0.9


@pytest.fixture(scope="module")
def products():
    """The folder of the product photos: $MRL_DATA, or shared/data beside the repository."""
    shared = Path(os.environ.get("MRL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    found = shared / "fashion-products"
    if not found.is_dir():
        pytest.skip(f"{found} is missing; set MRL_DATA to the folder that holds fashion-products")
    return found


def unpacked(products, root, split, most):
    """ROOT/articleType/row.jpg, the original bytes, of the first rows of a split."""
    archive = np.load(products / "images.npz")
    blob, offsets = archive["blob"], archive["offsets"]
    with gzip.open(products / "products.csv.gz", "rt", encoding="utf-8") as file:
        rows = [(i, row["articleType"]) for i, row in enumerate(csv.DictReader(file)) if row["split"] == split]
    for i, kind in rows[:most]:
        (root / kind).mkdir(parents=True, exist_ok=True)
        (root / kind / f"{i}.jpg").write_bytes(blob[offsets[i] : offsets[i + 1]].tobytes())
    return root


def test_product_photos_go_from_files_to_a_table(products, tmp_path):
    data = open_data(unpacked(products, tmp_path / "photos", "test", 300))
    assert data.shape == (64, 48, 3)
    run = train(TrainSpec(Nesting((8, 16)), epochs=1), data, tmp_path / "run", quiet=True)
    table = embed(run, data, tmp_path / "table")
    assert table.rows == 300
    assert table.label_names == data.classes
    assert table.ids[0].startswith(data.classes[0] + "/")


@pytest.mark.slow
def test_product_photos_are_told_apart(products, tmp_path):
    data = open_data(unpacked(products, tmp_path / "train", "train", None))
    how = Opening(data.shape[:2], data.shape[2])
    held_out = open_data(unpacked(products, tmp_path / "test", "test", None), how).named(data.classes)
    spec = TrainSpec(Nesting.parse("8..128"), epochs=4)
    run = train(spec, data, tmp_path / "run", validation=held_out)
    assert run.log[-1]["validation"]["8"] > 0.73
    assert run.log[-1]["validation"]["128"] > 0.76
