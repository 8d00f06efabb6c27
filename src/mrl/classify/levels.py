"""Levels: any nested classifier in the one form that cascades compute with.

The score of prototype, or class, c for a row x at level l, over the first m coordinates, is

    (⟨x, w_c⟩ · times[l, c] + plus[l, c]) / |x|      the last factor under cosine only

    a linear head     times 1, plus the bias                       one w for all levels (MRL-E), or one a level (MRL)
    prototypes        cosine: times 1/|w_c|, plus 0; dot: 1, 0; l2: 2, −|w_c|²    (|x|² is the same for every class)

and the logit of a class is the best score of its prototypes. Where one w serves all levels, raw products continue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.prototypes import Prototypes
from mrl.errors import InputError, NestingError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.segments import prefix_norms

Classifier = HeadWeights | Prototypes
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

LARGE = 1e38  # what a score may come to, so that float32 holds the difference of two
SMALL = 2.0**-126  # below it a length has no inverse in float32


@dataclass(frozen=True, eq=False)
class Levels:
    """dims: of the levels. tied: one weight matrix for all levels, else one a level. weights: tied one (p, width), else
    one (p, m) a level. times, plus: (levels, p). rescaled: whether scores are divided by the row's prefix length.
    starts: (classes,) the first prototype of each class, which stand together in order of their classes; None where
    prototypes are the classes.
    """

    dims: Nesting
    tied: bool
    weights: tuple[Floats, ...]
    times: Floats
    plus: Floats
    rescaled: bool = False
    starts: Labels | None = None

    @classmethod
    def of(cls, classifier: Classifier, dims: Nesting | None = None) -> Levels:
        """The levels at `dims`, by default those that were trained.

        NestingError where the classifier does not serve a dim.
        """
        chosen = dims or classifier.nesting
        unserved = [dim for dim in chosen.dims if not classifier.serves(dim)]
        if unserved:
            raise NestingError(
                f"this classifier was trained at {classifier.nesting} and does not classify at dim {unserved[0]}; "
                "take levels from these dims" + (", or a tied head (MRL-E)" if not is_tied(classifier) else "")
            )
        if isinstance(classifier, Prototypes):
            return _prototypes(classifier, chosen)
        return _head(classifier, chosen)

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.weights[0]) if self.starts is None else len(self.starts)

    @property
    def prototypes(self) -> int:
        return len(self.weights[0])

    def owner(self) -> Labels:
        """(p,) the class of each prototype."""
        if self.starts is None:
            return np.arange(self.prototypes)
        return np.searchsorted(self.starts, np.arange(self.prototypes), side="right") - 1

    def weight(self, level: int) -> Floats:
        """(p, m) of one level."""
        return self.weights[0][:, : self.dims.dims[level]] if self.tied else self.weights[level]

    def widest(self) -> Levels:
        """All levels by the weights of the last one, cut: the same where one w serves all."""
        if self.tied:
            return self
        times, plus = (np.repeat(each[-1:], len(self.dims), axis=0) for each in (self.times, self.plus))
        return Levels(self.dims, True, self.weights[-1:], times, plus, self.rescaled, self.starts)

    @cached_property
    def limit(self) -> float:
        """What Σ|x_i| of a row may come to: up to there float32 holds every product and score of it."""
        most = max(float(np.abs(weight).max()) for weight in self.weights)
        reach = max(most, 1.0) if self.rescaled else most * float(np.abs(self.times).max())  # ⟨x, w⟩ / |w| ≤ |x|
        return (LARGE - float(np.abs(self.plus).max())) / max(reach, SMALL)

    def own(self, vectors: npt.NDArray[Any]) -> Floats | None:
        """(levels, n): what the scores of each row are multiplied by; None where that is 1. A zero prefix has 0, and
        so has one that is shorter than float32 can invert."""
        if not self.rescaled:
            return None
        return inverses(prefix_norms(vectors, self.dims).T)

    def logits(self, vectors: npt.NDArray[Any], level: int) -> Floats:
        """(n, d) -> (n, classes) at one level, from dim 0: the slow twin of all that continues."""
        return self.by_class(self.scores(vectors, level))

    def scores(self, vectors: npt.NDArray[Any], level: int) -> Floats:
        """(n, d) -> (n, prototypes) at one level, from dim 0."""
        rows = np.ascontiguousarray(vectors[:, : self.dims.dims[level]], np.float32)
        own = self.own(vectors)
        return self._scored(rows @ self.weight(level).T, level, None if own is None else own[level])

    def every(self, vectors: npt.NDArray[Any]) -> Iterator[Floats]:
        """(n, d) -> (n, prototypes) at each level; where one w serves all, each continues the one before."""
        own, raw = self.own(vectors), np.zeros((len(vectors), self.prototypes), np.float32)
        for level, (begin, end) in enumerate(self.dims.segments):
            begin = begin if self.tied else 0
            part = np.ascontiguousarray(vectors[:, begin:end], np.float32) @ self.weight(level)[:, begin:].T
            raw = raw + part if self.tied else part
            yield self._scored(raw, level, None if own is None else own[level])

    def _scored(self, raw: Floats, level: int, own: Floats | None) -> Floats:
        scores: Floats = raw * self.times[level] + self.plus[level]
        return scores if own is None else scores * own[:, None]

    def by_class(self, scores: Floats) -> Floats:
        """(n, p) -> (n, classes): the best of each class's prototypes."""
        return scores if self.starts is None else np.maximum.reduceat(scores, self.starts, axis=1)


def is_tied(classifier: Classifier) -> bool:
    """Whether products at a level continue those of the level before."""
    return isinstance(classifier, Prototypes) or classifier.tied


def inverses(lengths: npt.NDArray[np.float64]) -> Floats:
    """1 / lengths in float32; 0 where they are too short for that."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths >= SMALL).astype(np.float32)


def _head(head: HeadWeights, dims: Nesting) -> Levels:
    shape = (len(dims), head.count)
    biases = [head.at(dim)[1] for dim in dims.dims]
    plus = np.stack([np.zeros(head.count, np.float32) if b is None else np.asarray(b, np.float32) for b in biases])
    some = head.weights if head.tied else tuple(head.at(dim)[0] for dim in dims.dims)
    weights = tuple(np.ascontiguousarray(w, np.float32) for w in some)
    return Levels(dims, head.tied, weights, np.ones(shape, np.float32), plus)


def _prototypes(known: Prototypes, dims: Nesting) -> Levels:
    order = np.argsort(known.labels, kind="stable")
    vectors, labels = known.vectors[order], known.labels[order]
    lengths = prefix_norms(vectors, dims).T  # (levels, p)
    _check_lengths(known, lengths[-1])
    plus = np.zeros(lengths.shape, np.float32)
    times = np.full(lengths.shape, 2 if known.metric == "l2" else 1, np.float32)
    if known.metric == "cosine":
        times = inverses(lengths)
    elif known.metric == "l2":
        plus = -(lengths**2).astype(np.float32)
    starts = None if known.count == len(labels) else np.searchsorted(labels, np.arange(known.count))
    return Levels(dims, True, (vectors,), times, plus, known.metric == "cosine", starts)


def _check_lengths(known: Prototypes, lengths: npt.NDArray[np.float64]) -> None:
    """InputError where float32 does not hold what the metric makes of the prototypes' lengths (p,)."""
    power = 2 if known.metric == "l2" else 1
    scale, longest = lengths**power, float(lengths.max())
    short = (lengths > 0) & (scale < SMALL)
    lost = short.any() if known.metric == "cosine" else short.any() and scale.max() < SMALL
    if lost or longest**power >= LARGE:
        told = longest if not lost else float(lengths[short].min())
        raise InputError(
            f"a prototype has the length {told:.1e}, and float32 does not hold what {known.metric} makes of that; "
            "rescale the prototypes, and the rows with them"
        )
