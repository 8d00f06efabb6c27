"""Four sets of texts as `mrl` trains on them and measures them.

DIR (or the variable MRL_DATA) holds one folder a set:

ir-scifact     SciFact: 919 claims with an abstract that answers them, 300 others to find among 5,183 abstracts
text-topics    StackOverflow: 8,000 titles in 20 topics (half of them), 4,000 others (stackoverflow20.csv.gz)
text-intents   Banking77: 10,003 questions in 77 intents, 3,080 others (banking77.csv.gz)
text-sts       STS-B, English: 5,749 pairs of sentences scored 0 to 5, 1,379 others (stsb_en.csv.gz)
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrl import Card, Table
from mrl.encoders import TextEncoder
from mrl.evaluation import Judgements, per_pair, per_query, per_query_judged
from mrl.evaluation.correlation import resampled, spearmans_rho
from mrl.promise.bootstrap import resampled as resampled_means
from mrl.training import TextData, from_texts

Encode = Callable[[list[str], str | None], np.ndarray]  # texts and a prompt's name to raw vectors


@dataclass(frozen=True)
class Measured:
    """A measure at every dim. values: (dims,). draws: (draws, dims), of the bootstrap; the same queries are drawn for
    every system."""

    values: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class TextSet:
    """task: as `mrl train` names it. measure: what counts. train: rows to learn from. tables: writes the vectors that
    are measured, as two tables, by an encoding and a card. score: measures them."""

    task: str
    measure: str
    train: TextData
    tables: Callable[[Encode, Card, Path], tuple[Table, Table]]
    score: Callable[[Table, Table], Measured]
    sample: tuple[list[str], str | None]  # texts that a map of frozen vectors is fitted on, and their prompt


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def table(
    path: Path, card: Card, vectors: np.ndarray, ids: Any, labels: Any = None, names: tuple[str, ...] = ()
) -> Table:
    with Table.create(path, card, names) as writer:
        writer.add(vectors, np.asarray(ids), labels)
    return Table.open(path)


def scifact(data: Path) -> TextSet:
    folder = data / "ir-scifact"
    abstracts = {line["_id"]: f"{line['title']} {line['text']}" for line in lines(folder / "corpus.jsonl.gz")}
    claims = {line["_id"]: line["text"] for line in lines(folder / "queries.jsonl.gz")}
    learnt = Judgements.read(folder / "qrels_train.tsv")
    asked = Judgements.read(folder / "qrels_test.tsv")
    pairs = [(claims[query], abstracts[found]) for query in learnt.grades for found in learnt.relevant(query)]
    queries = {query: claims[query] for query in asked.grades}

    def tables(encode: Encode, card: Card, out: Path) -> tuple[Table, Table]:
        documents = table(out / "documents", card, encode(list(abstracts.values()), "document"), list(abstracts))
        return documents, table(out / "queries", card, encode(list(queries.values()), "query"), list(queries))

    def score(documents: Table, asking: Table) -> Measured:
        found = per_query_judged(documents, asking, asked, dims=documents.card.nesting, recall_at=[10])
        return of_queries(found.values["nDCG@10"])

    train = from_texts(*zip(*pairs, strict=True))
    return TextSet("pairs", "nDCG@10", train, tables, score, (list(abstracts.values()), "document"))


def labelled(path: Path, text: str, label: str, every: int = 1) -> TextSet:
    """A set of classes; its held-out texts are classified by the nearest of those that are learnt from, of which only
    one in `every` is taken."""
    found = rows(path)
    names = sorted({row[label] for row in found})
    place = {name: number for number, name in enumerate(names)}
    parts = [[row for row in found if (row["split"] == "test") == held_out] for held_out in (False, True)]
    parts[0] = parts[0][::every]

    def tables(encode: Encode, card: Card, out: Path) -> tuple[Table, Table]:
        made = []
        for name, part in zip(("known", "queries"), parts, strict=True):
            labels = np.array([place[row[label]] for row in part])
            vectors = encode([row[text] for row in part], None)
            made.append(table(out / name, card, vectors, np.arange(len(part)), labels, tuple(names)))
        return made[0], made[1]

    def score(known: Table, queries: Table) -> Measured:
        return of_queries(per_query(known, queries, dims=known.card.nesting, k=1).values["1-NN"])

    texts = [row[text] for row in parts[0]]
    train = from_texts(texts, labels=[place[row[label]] for row in parts[0]], classes=names)
    return TextSet("classify", "1-NN", train, tables, score, (texts, None))


def stackoverflow(data: Path) -> TextSet:
    return labelled(data / "text-topics" / "stackoverflow20.csv.gz", "title", "tag", every=2)


def banking77(data: Path) -> TextSet:
    return labelled(data / "text-intents" / "banking77.csv.gz", "text", "intent")


def stsb(data: Path) -> TextSet:
    found = rows(data / "text-sts" / "stsb_en.csv.gz")
    train, test = ([row for row in found if row["split"] == split] for split in ("train", "test"))
    gold = np.array([float(row["score"]) for row in test])

    def tables(encode: Encode, card: Card, out: Path) -> tuple[Table, Table]:
        made = [
            table(out / name, card, encode([row[name] for row in test], None), np.arange(len(test)))
            for name in ("sentence1", "sentence2")
        ]
        return made[0], made[1]

    def score(a: Table, b: Table) -> Measured:
        alike = per_pair(a, b, gold, dims=a.card.nesting).similarities
        return Measured(spearmans_rho(alike, gold), resampled(alike, gold)[0])

    pairs = [[row[name] for row in train] for name in ("sentence1", "sentence2")]
    rows_ = from_texts(*pairs, scores=[float(row["score"]) for row in train])
    return TextSet("scored-pairs", "Spearman", rows_, tables, score, (pairs[0], None))


SETS: dict[str, Callable[[Path], TextSet]] = {
    "SciFact": scifact,
    "StackOverflow": stackoverflow,
    "Banking77": banking77,
    "STS-B": stsb,
}


def of_queries(values: np.ndarray) -> Measured:
    """The mean of (dims, queries) values, and of draws of the queries."""
    return Measured(values.mean(1), resampled_means(values))


def encoding(encoder: TextEncoder) -> Encode:
    """Raw vectors of an encoder."""
    return lambda texts, prompt: encoder.encode(texts, raw=True, prompt=prompt)
