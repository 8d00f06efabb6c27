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

    Labels without names are numbers: they meet classes that are named by numbers (`"7"`), and classes without names.
    InputError where only one side has other names, and for a label beyond the names.
    """
    given, names = rows.need_labels(), classifier.classes
    if rows.label_names and given.max(initial=-1) >= len(rows.label_names):
        raise InputError(
            f"{rows.path} has the label {given.max()} and only {len(rows.label_names)} label_names; name every label"
        )
    if bool(rows.label_names) == bool(names):
        labels = renumbered(rows, names)
    elif rows.label_names:
        labels = _places(rows.label_names, f"{rows.path} names its labels", "the classifier has no names")[given]
    else:
        places = _places(names, "the classifier names its classes", f"{rows.path} has no names")
        at = dict(zip(places.tolist(), range(len(names)), strict=True))
        labels = np.array([at.get(label, -1) for label in given.tolist()], np.int64)
    labels = np.where(given < 0, -1, labels)
    known: Labels = np.where((labels >= 0) & (labels < classifier.count), labels, -1)
    return known


def _places(names: tuple[str, ...], named: str, bare: str) -> Labels:
    """Names as the numbers that they are."""
    if not all(name.isascii() and name.isdecimal() and str(int(name)) == name for name in names):
        other = next(name for name in names if not name.isdecimal() or str(int(name)) != name)
        raise InputError(
            f"{named} ({other!r}) and {bare}, so they cannot be compared; give names to both, or to neither"
        )
    return np.array([int(name) for name in names], np.int64)
