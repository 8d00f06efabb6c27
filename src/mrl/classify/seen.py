"""What labelled rows say of a classifier: every level of every row, and whether it was right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.hearing import Heard, heard
from mrl.classify.levels import Levels
from mrl.classify.signals import Score, Signals
from mrl.vectors.copies import Digests, digests

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Material:
    """Labelled rows, each different vector once, in the order of their digests: that of the rows makes no difference.

    vectors: (n, d). labels: (r,), in the classifier's numbering. same: (r,) the vector that each label is of. names:
    (n,) digests of the vectors, sorted where they are all there.
    """

    vectors: npt.NDArray[Any]
    labels: Numbers
    same: Numbers
    names: Digests

    @classmethod
    def of(cls, vectors: npt.NDArray[Any], labels: Numbers) -> Material:
        names, first, same = np.unique(digests(vectors), return_index=True, return_inverse=True)
        return cls(vectors[first], labels, same.astype(np.int64), names)

    def __len__(self) -> int:
        return len(self.vectors)

    def only(self, rows: npt.NDArray[np.integer[Any]]) -> Material:
        """Some of the vectors, in this order, with their labels."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        there = np.flatnonzero(place[self.same] >= 0)
        return Material(self.vectors[rows], self.labels[there], place[self.same[there]], self.names[rows])

    def right(self, answers: Numbers) -> Values:
        """(levels, n) -> (levels, n): the share of each vector's labels that the answer is, 0 or 1 without copies."""
        counts = np.bincount(self.same, minlength=len(self))
        hits = (answers[:, self.same] == self.labels).astype(np.float64)
        return np.stack([np.bincount(self.same, row, len(self)) for row in hits]) / counts


@dataclass(frozen=True, eq=False)
class Seen:
    """What every level says of each of n vectors, and of what that is worth.

    told: what they say. right: (levels, n) in [0, 1], how right each level is. full: (n,) how right the full width is,
    with all its classes. believed: (levels, n) the calibrated probability that the full width gives to the answer of
    each level; trusted: (n,) to its own.

    `loss` is what labels say is lost by stopping, −1, 0 or 1, and nearly all of it is chance. `expected` is what the
    full width thinks is lost, which is 0 where it agrees. It knows no label, so thresholds found by it fit no noise:
    on Tiny ImageNet, by the score `gain`, those of 1,250 rows need 211 of 512 dims where half a point is lost, and
    those by the labels of 5,000 rows 260.
    """

    told: Signals
    right: Values
    full: Values
    believed: Values
    trusted: Values

    @classmethod
    def of(cls, levels: Levels, material: Material, temperatures: tuple[float, ...], keep: int | None = None) -> Seen:
        """keep: how many prototypes, or classes, go on from the first level."""
        return cls.by(heard(levels, material.vectors, temperatures, keep), material)

    @classmethod
    def by(cls, said: Heard, material: Material) -> Seen:
        """What was heard of the material's vectors."""
        told, full = said.told, material.right(said.every[-1:])[0]
        return cls(told, material.right(told.labels), full, said.believed, said.trusted)

    def __len__(self) -> int:
        return len(self.full)

    @property
    def loss(self) -> Values:
        """(levels, n) in [−1, 1]: what is lost against the full width by stopping at each level."""
        return self.full - self.right

    @property
    def expected(self) -> Values:
        """(levels, n) in [0, 1]: the same as the full width expects it."""
        return np.maximum(self.trusted - self.believed, 0.0)

    def only(self, rows: npt.NDArray[np.integer[Any]]) -> Seen:
        """Some of the vectors."""
        parts = self.right[:, rows], self.full[rows], self.believed[:, rows], self.trusted[rows]
        return Seen(self.told.only(rows), *parts)

    def scores(self, score: Score, gain: tuple[tuple[float, ...], ...]) -> npt.NDArray[np.float32]:
        """(levels − 1, n): by which a row stops."""
        return np.ascontiguousarray(self.told.score(score, gain)[:-1], np.float32)

    def at(self, stops: Numbers) -> Values:
        """(n,) or (points, n) levels -> how right each vector is where it stops."""
        return where(self.right, stops)


def where(values: Values, stops: Numbers) -> Values:
    """(levels, n) values and (n,) or (points, n) levels -> those of these levels."""
    found: Values = np.take_along_axis(values, np.atleast_2d(stops), axis=0).reshape(stops.shape)
    return found
