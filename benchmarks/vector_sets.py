"""Real vectors that benchmarks of retrieval share: database and queries, as they come.

Each reader takes the folder of data sets (else MRL_DATA) and gives (rows, queries), float32.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from pathlib import Path

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def folder(data: Path | None) -> Path:
    """The folder of data sets; ends the program if there is none."""
    found = data or Path(os.environ.get("MRL_DATA", ""))
    if not found.is_dir() or not str(found):
        sys.exit("give the folder of data sets with --data or in MRL_DATA")
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def products(data: Path | None) -> Pair:
    """MobileNet features of fashion products, (39,797, 1024) train and val, (4,275, 1024) test."""
    vectors, test = _products(data)[0], _products(data)[2]
    return vectors[~test], vectors[test]


def product_types(data: Path | None) -> Pair:
    """The article type, as a number, of each of these rows and queries."""
    _, types, test = _products(data)
    return types[~test], types[test]


def _products(data: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = folder(data) / "fashion-products"
    with np.load(source / "mobilenetv1.npz") as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
    with gzip.open(source / "products.csv.gz", "rt", encoding="utf-8") as file:
        about = list(csv.DictReader(file))
    types = np.unique([row["articleType"] for row in about], return_inverse=True)[1]
    return vectors, types, np.array([row["split"] == "test" for row in about])


def cohere(data: Path | None) -> Pair:
    """Text embeddings of 4,096 dims: every tenth of the 9,300 is a query."""
    return _tenth(folder(data) / "cohere-4096" / "cohere_4096.npz")


def caltech(data: Path | None) -> Pair:
    """MobileNet features of Caltech-101 images, 1,024 dims: every tenth of the 8,677 is a query."""
    return _tenth(folder(data) / "mobilenet-features" / "caltech101_mobilenetv1.npz")


def _tenth(path: Path) -> Pair:
    with np.load(path) as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
    asked = np.arange(len(vectors)) % 10 == 0
    return vectors[~asked], vectors[asked]


SETS = {"products": products, "cohere-4096": cohere, "caltech": caltech}
