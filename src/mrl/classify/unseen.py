"""Labelled rows that a cascade was not fitted on, their labels in its classifier's numbering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Cascade
from mrl.errors import InputError
from mrl.evaluation.numbering import renumbered
from mrl.vectors import Embedded

Labels = npt.NDArray[np.int64]
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Unseen:
    """name: of the data. vectors: (n, width). labels: (n,) in the classifier's numbering, −1 for a class that it does
    not know, which no answer can match. given: (N,) bool, which of the rows that were given these are."""

    name: str
    vectors: npt.NDArray[Any]
    labels: Labels
    given: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def left_out(self) -> int:
        """How many of the rows that were given the cascade was fitted on."""
        return int((~self.given).sum())

    @property
    def unknown(self) -> int:
        """How many rows have a class that the classifier does not know."""
        return int((self.labels == UNKNOWN).sum())

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be said of them."""
        said = (
            (self.left_out, len(self.given), "were part of the fit, and are not new: left out"),
            (self.unknown, len(self), "have a class that the classifier does not know, and count as missed"),
        )
        return tuple(f"{count:,} of {total:,} rows of {self.name} {why}" for count, total, why in said if count)


def unseen(cascade: Cascade, rows: Embedded) -> Unseen:
    """The rows that the cascade was not fitted on.

    CardError for vectors of another model or width. InputError for rows without labels, with a NaN or an Inf, and where
    all of them were part of the fit.
    """
    vectors = cascade.matrix(rows)
    labels = renumbered(rows, cascade.classes)
    labels = np.where((labels >= 0) & (labels < cascade.classifier.count), labels, UNKNOWN)
    given = ~cascade.seen(vectors)
    if not given.any():
        raise InputError(
            f"the cascade was fitted on all {len(given):,} rows of {rows.path}, which tells nothing of new ones; give "
            "rows that had no part in it"
        )
    if not given.all():
        vectors, labels = vectors[given], labels[given]
    return Unseen(str(rows.path), vectors, labels, given)
