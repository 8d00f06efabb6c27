"""Labelled rows that meet a classifier: whether they are any, and what their labels mean to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Classifier
from mrl.errors import InputError
from mrl.evaluation.numbering import renumbered
from mrl.vectors import Embedded

Labels = npt.NDArray[np.int64]


def check_embedded(rows: Any, what: str = "rows", also: str = "") -> None:
    """InputError for what has no card and no vectors."""
    if not (hasattr(rows, "card") and hasattr(rows, "vectors")):
        raise InputError(
            f"{what} must be {also}a table or Held.of(vectors, card, labels), got {type(rows).__name__}; make them that"
        )


def renamed(classifier: Classifier, rows: Embedded) -> Labels:
    """(n,) the labels in the classifier's numbering; −1 where it does not know the class, or the row has no label.

    InputError where one side names its classes and the other does not, and for a label beyond the names.
    """
    given = rows.need_labels()
    if bool(rows.label_names) != bool(classifier.classes):
        named, bare = f"{rows.path} names its labels", "the classifier has no names for its classes"
        if classifier.classes:
            named, bare = "the classifier names its classes", f"{rows.path} has no label_names"
        raise InputError(f"{named} and {bare}, so they cannot be compared; give names to both, or to neither")
    if rows.label_names and given.max(initial=-1) >= len(rows.label_names):
        raise InputError(
            f"{rows.path} has the label {given.max()} and only {len(rows.label_names)} label_names; name every label"
        )
    labels = renumbered(rows, classifier.classes)
    known: Labels = np.where((labels >= 0) & (labels < classifier.count), labels, -1)
    return known
