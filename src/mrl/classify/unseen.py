"""Labelled rows that a cascade was not fitted on, their labels in its classifier's numbering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Cascade
from mrl.classify.labelled import check_embedded, renamed
from mrl.errors import InputError
from mrl.vectors import Embedded

Labels = npt.NDArray[np.int64]
UNKNOWN = -1
UNKNOWN_NOTE = (
    "have a class that the classifier does not know: each counts as missed where accuracy is measured, and a promise "
    "is re-checked without them"
)


@dataclass(frozen=True, eq=False)
class Unseen:
    """name: of the data. vectors: (n, width). labels: (n,) in the classifier's numbering, −1 for a class that it does
    not know, which no answer can match. given: (N,) bool, which of the rows that were given these are. bare: how many
    of the others have no label; the cascade was fitted on the rest."""

    name: str
    vectors: npt.NDArray[Any]
    labels: Labels
    given: npt.NDArray[np.bool_]
    bare: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def left_out(self) -> int:
        """How many of the rows that were given the cascade was fitted on."""
        return int((~self.given).sum()) - self.bare

    @property
    def unknown(self) -> int:
        """How many rows have a class that the classifier does not know."""
        return int((self.labels == UNKNOWN).sum())

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be said of them."""
        said = (
            (self.bare, len(self.given), "have no label: left out"),
            (self.left_out, len(self.given), "were part of the fit, and are not new: left out"),
            (self.unknown, len(self), UNKNOWN_NOTE),
        )
        return tuple(f"{count:,} of {total:,} rows of {self.name} {why}" for count, total, why in said if count)


def unseen(cascade: Cascade, rows: Embedded) -> Unseen:
    """The rows that the cascade was not fitted on.

    CardError for vectors of another model or width. InputError for rows without labels, with a NaN or an Inf, and where
    none of them has a label or all were part of the fit; see also `labelled.renamed`. Rows without a label (−1) are
    left out.
    """
    check_embedded(rows)
    vectors, labels = cascade.matrix(rows), renamed(cascade.classifier, rows)
    there = rows.need_labels() >= 0
    if not there.any():
        raise InputError(f"none of the {len(there):,} rows of {rows.path} has a label (all are −1); give some that do")
    given = there & ~cascade.seen(vectors)
    if not given.any():
        raise InputError(
            f"the cascade was fitted on all {int(there.sum()):,} rows of {rows.path}, which tells nothing of new ones; "
            "give rows that had no part in it"
        )
    if not given.all():
        vectors, labels = vectors[given], labels[given]
    return Unseen(str(rows.path), vectors, labels, given, int((~there).sum()))
