"""What an epoch is judged by, on data that it was not trained on: one number a level, all from one encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.encoders import ImageEncoder
from mrl.encoders.text import TextEncoder
from mrl.evaluation.ranked import reciprocal_rank
from mrl.evaluation.similarity import spearman
from mrl.segments import neighbours
from mrl.training.batches import batch
from mrl.training.data import Labels, Samples
from mrl.training.model import Model
from mrl.training.team import Team
from mrl.training.texts import TextData
from mrl.training.wording import prompt_of

_VALIDATED = 512  # rows at once, at most; where batches are smaller, for want of memory, as many as these
_LOOKED_AT = 10  # documents among which a pair's positive counts
JUDGED = {"classify": "accuracy", "pairs": f"MRR@{_LOOKED_AT}", "scored-pairs": "Spearman"}  # by task

Vectors = npt.NDArray[np.float32]


def score(model: Model, data: Samples | TextData, team: Team) -> Tensor:
    """(levels,), the higher the better, counted by all of a team.

    classify: the share of rows whose most probable class is theirs. pairs: MRR@10 of the anchors' positives among all
    different texts of the column of positives. scored-pairs: Spearman's correlation of similarities and scores.
    """
    team.as_main(model.network)  # what is measured is what is committed
    if model.spec.task == "classify":
        return _accuracy(model, data, team)
    texts = cast(TextData, data)
    value = torch.zeros(len(model.spec.nesting), dtype=torch.float64)
    if team.main:
        judge = _reciprocal_rank if model.spec.task == "pairs" else _correlation
        value = torch.from_numpy(np.asarray(judge(model, texts), np.float64))
    return team.total(value)


def _accuracy(model: Model, data: Samples | TextData, team: Team) -> Tensor:
    hits = torch.zeros(len(model.spec.nesting), dtype=torch.float64)
    mine = np.array_split(np.arange(len(data)), team.size)[team.rank]
    for at in _parts(model, mine, team.size):
        vectors, labels = _labelled(model, data, at)
        with torch.no_grad():
            logits = cast(Any, model.head)(vectors.to(cast(Any, model.head).weights[0].dtype))
        hits += torch.tensor([(level.argmax(1).cpu() == labels).sum().item() for level in logits])
    return team.total(hits) / len(data)


def _parts(model: Model, rows: npt.NDArray[np.int64], size: int = 1) -> Iterator[npt.NDArray[np.int64]]:
    step = max(1, min(_VALIDATED, model.spec.batch_size // (model.spec.accumulate * size)))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _labelled(model: Model, data: Samples | TextData, at: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Vectors (n, width) and labels (n,) of some rows."""
    if isinstance(data, TextData):
        encoder = cast(TextEncoder, model.encoder)
        tokens = encoder.tokens(data.taken(at.tolist())[0], prompt_of(encoder, "classify", 0))
        return encoder.vectors(tokens), torch.from_numpy(cast(Labels, data.labels)[at])
    images, labels = batch(data, at)
    return cast(ImageEncoder, model.encoder).vectors(images.numpy()), labels


def _column(model: Model, data: TextData, column: int, rows: npt.NDArray[np.int64]) -> Vectors:
    """The raw vectors of a column's texts, each row's own."""
    encoder = cast(TextEncoder, model.encoder)
    prompt = prompt_of(encoder, model.spec.task, column)
    made = [
        encoder.vectors(encoder.tokens(data.taken(at.tolist())[column], prompt)).cpu().numpy()
        for at in _parts(model, rows)
    ]
    return np.concatenate(made)


def _reciprocal_rank(model: Model, data: TextData) -> npt.NDArray[np.floating[Any]]:
    keys = data.keys
    distinct, first = np.unique(keys[:, 1], return_index=True)
    anchors = _column(model, data, 0, np.arange(len(data)))
    documents = _column(model, data, 1, first)
    k = min(_LOOKED_AT, len(distinct))
    found = neighbours(anchors, documents, model.spec.nesting, k, "cosine").positions  # (levels, n, k)
    hit = distinct[found] == keys[:, 1][:, None]
    ranks: npt.NDArray[np.floating[Any]] = reciprocal_rank(hit).mean(-1)
    return ranks


def _correlation(model: Model, data: TextData) -> npt.NDArray[np.floating[Any]]:
    rows = np.arange(len(data))
    a, b = (_column(model, data, column, rows) for column in (0, 1))
    return spearman(a, b, cast(npt.NDArray[np.float64], data.scores), model.spec.nesting, "cosine")
