"""What maps learn from: a loss over all fitted dims for one draw of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.adapt.networks import Basis
from mrl.adapt.parts import K, Pairs, Parts
from mrl.adapt.spec import AdaptSpec
from mrl.evaluation.nearest import nearest
from mrl.nesting import Metric, Nesting, unit_prefix
from mrl.nn import MRLEHead, nested_cross_entropy, nested_info_nce
from mrl.nn.listwise import nested_listwise

SHARPNESS = 40.0  # scale of cosines in the softmax over neighbours
TEMPERATURE = 20.0  # the same in that over documents
ANCHORS = 10_000  # rows whose neighbours are looked up, at most
SEARCHED = 50_000  # rows among which they are, at most
BESIDE = 5.0  # weight of the documents' neighbours beside pairs that name next to none of them
STRANGERS = 512  # documents of nobody's that every query of a step is compared with

Numbers = npt.NDArray[np.int64]


class Objective(Protocol):
    """networks: what learns, the queries' first where they have their own. head: what learns along, or None."""

    networks: list[nn.Module]

    @property
    def head(self) -> MRLEHead | None: ...

    def loss(self) -> Tensor:
        """0-d, of the next batch."""


@dataclass(frozen=True)
class Task:
    """What every objective knows. metric: of the vectors. nesting: the dims that are learned."""

    spec: AdaptSpec
    nesting: Nesting
    metric: Metric
    basis: Basis

    def inputs(self, vectors: npt.NDArray[np.floating[Any]]) -> Tensor:
        """(n, width) float32: what networks take, s · x P."""
        rows = unit_prefix(vectors, vectors.shape[1]) if self.basis.unit else vectors
        return torch.from_numpy(self.basis.turn.apply32(rows) * np.float32(self.basis.scale))

    def factor(self, scale: float) -> float:
        """The scale of similarities of inputs, whose squared lengths are their width on average."""
        return scale if self.metric == "cosine" else scale / self.basis.turn.width


class ByLabels:
    """Nested cross-entropy of a tied head (MRL-E, arXiv 2205.13147 §3), in one pass."""

    def __init__(self, task: Task, parts: Parts, labels: Numbers, network: nn.Module) -> None:
        self.networks = [network]
        self.head: MRLEHead = MRLEHead(task.nesting, len(parts.classes))
        self._inputs, self._labels = task.inputs(parts.rows), torch.from_numpy(labels)
        self._smoothing = task.spec.smoothing
        self._batches = batches(len(labels), task.spec.batch_size)

    def loss(self) -> Tensor:
        rows = next(self._batches)
        images, labels = self.networks[0](self._inputs[rows]), self._labels[rows]
        smoothing = self._smoothing
        return nested_cross_entropy(self.head, images, labels, reduction="mean", label_smoothing=smoothing).total


class ByPairs:
    """InfoNCE of queries and documents at all dims in one pass, with documents by chance as further negatives.

    What is known to belong together is never a negative. Few pairs name few documents, and alone they would teach
    little more than these; so all documents are to keep their neighbours, too: the more, the fewer are named, and not
    where half of them are.
    """

    head = None

    def __init__(self, task: Task, parts: Parts, pairs: Pairs, networks: list[nn.Module]) -> None:
        self.networks = networks
        self._beside = ByNeighbours(task, parts, networks[-1])
        named = len(np.unique(pairs.rows[:, 1])) / pairs.documents
        self._weight = BESIDE * max(1 - 2 * named, 0.0) ** 2
        self._task, self._pairs, self._documents = task, pairs, parts.rows
        asked, self._query = np.unique(pairs.rows[:, 0], return_inverse=True)
        self._queries = task.inputs(parts.queries[asked])
        self._batches = batches(len(pairs.rows), min(task.spec.batch_size, len(pairs.rows)))

    def loss(self) -> Tensor:
        loss = self._of_pairs()
        return loss + self._weight * self._beside.loss() if self._weight else loss

    def _of_pairs(self) -> Tensor:
        chosen, task = next(self._batches).numpy(), self._task
        queries, own = self._pairs.rows[chosen].T
        rows = np.concatenate([own, torch.randint(len(self._documents), (STRANGERS,)).numpy()])
        mask = self._pairs.related(queries, rows)
        mask[np.arange(len(own)), np.arange(len(own))] = False
        asked = self.networks[0](self._queries[self._query[chosen]])
        found = self.networks[-1](task.inputs(self._documents[rows]))
        return nested_info_nce(
            asked,
            found[: len(own)],
            nesting=task.nesting,
            scale=task.factor(TEMPERATURE),
            negatives=found[len(own) :],
            mask=torch.from_numpy(mask),
            reduction="mean",
            metric=task.metric,
        ).total


class ByNeighbours:
    """Every prefix is to find near what the full width finds near, and in the same proportion (`nested_listwise`).

    A batch has rows by chance and, of each, one of its nearest neighbours: without these nearly everything in a batch
    would be far away, and nothing learned of the order that counts.
    """

    head = None

    def __init__(self, task: Task, parts: Parts, network: nn.Module) -> None:
        self.networks = [network]
        self._task, self._inputs = task, task.inputs(parts.rows)
        self._near = torch.from_numpy(_near(parts.rows, task.metric))
        self._batches = batches(len(self._near), max(task.spec.batch_size // 2, 2))

    def loss(self) -> Tensor:
        rows, task = next(self._batches), self._task
        near = self._near[rows, torch.randint(self._near.shape[1], (len(rows),))]
        before = self._inputs[torch.cat([rows, near])]
        scale = task.factor(SHARPNESS)
        after = self.networks[0](before)
        themselves = torch.eye(len(rows), len(before), dtype=torch.bool)
        return nested_listwise(
            after[: len(rows)],
            after,
            _shares(before, themselves, task.metric, scale),
            nesting=task.nesting,
            scale=scale,
            mask=themselves,
            reduction="mean",
            metric=task.metric,
        ).total


def make_objective(task: Task, parts: Parts, networks: list[nn.Module]) -> Objective:
    """What the parts have something of: pairs, labels, or neighbours."""
    if parts.pairs is not None:
        return ByPairs(task, parts, parts.pairs, networks)
    if parts.labels is not None:
        return ByLabels(task, parts, parts.labels, networks[0])
    return ByNeighbours(task, parts, networks[0])


def batches(count: int, size: int) -> Iterator[Tensor]:
    """Rows in one random order after another, `size` at a time; what is left of an order begins the next batch."""
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(count)])
        yield waiting[:size]
        waiting = waiting[size:]


def _near(rows: npt.NDArray[np.floating[Any]], metric: Metric) -> Numbers:
    """(n, k): the nearest rows of the first n, which stand in no order, but for themselves."""
    searched = rows[:SEARCHED]
    own = np.arange(min(ANCHORS, len(searched)))
    full, k = Nesting((rows.shape[1],)), min(K, len(searched) - 1)
    found: Numbers = nearest(searched[own], searched, full, k, metric, own)[0]
    return found


def _shares(before: Tensor, themselves: Tensor, metric: Metric, scale: float) -> Tensor:
    """(count, n): the softmax over the full width's similarities of the first rows to all but themselves."""
    count = len(themselves)
    anchors = before[:count]
    gram = anchors @ before.T
    if metric == "l2":
        squares = before.square().sum(1)
        gram = 2 * gram - squares[:count, None] - squares
    elif metric == "cosine":
        gram = gram / (anchors.norm(dim=1)[:, None] * before.norm(dim=1)).clamp_min(torch.finfo(gram.dtype).tiny)
    return torch.softmax((gram * scale).masked_fill(themselves, -torch.inf), 1)
