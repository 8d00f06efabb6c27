"""Whether labelled rows can fit a cascade, and their labels in the classifier's numbering."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Classifier
from mrl.classify.policies import SHARES
from mrl.classify.signals import check_rows
from mrl.errors import CardError, InputError, NestingError
from mrl.evaluation.numbering import renumbered
from mrl.nesting import Nesting
from mrl.promise.testing import FEWEST
from mrl.vectors import Embedded

ENOUGH = ceil(FEWEST / min(SHARES))  # different rows, for three parts

Labels = npt.NDArray[np.int64]


def check(classifier: Classifier, dims: Nesting, rows: Embedded) -> None:
    """NestingError for a single level; CardError for rows of another model; InputError for rows without labels, for too
    few, and naming the first that is not finite."""
    if len(dims) < 2:
        raise NestingError(
            f"a cascade needs at least two levels, got dims {dims}; give a nested classifier, or more dims"
        )
    mine, theirs = classifier.fingerprint, rows.card.fingerprint
    if mine and theirs and mine != theirs:
        raise CardError(
            f"the classifier belongs to an encoder {mine[:12]} and {rows.path} to {theirs[:12]}; give the classifier "
            "of the run that embedded it"
        )
    if rows.card.width < dims.width:
        raise CardError(
            f"the classifier reads {dims.width} dims and {rows.path} has {rows.card.width}; embed with its own model"
        )
    rows.need_labels()
    check_enough(len(rows), len(rows))
    check_rows(rows.vectors, dims.width)


def check_full(classifier: Classifier, dims: Nesting) -> None:
    """NestingError unless the last level is the classifier's full width, which all losses are told against."""
    full = classifier.nesting.width
    if dims.width != full:
        raise NestingError(
            f"the last level must be the full width {full}, by which losses are told, got dims {dims}; add {full}, "
            "or take a head that was trained narrower"
        )


def check_enough(rows: int, different: int) -> None:
    """InputError for fewer different rows than the three parts need."""
    if different < ENOUGH:
        copies = f", of which {different:,} are different" if different < rows else ""
        raise InputError(f"fitting a cascade needs at least {ENOUGH} labelled rows, got {rows:,}{copies}; give more")


def numbered(classifier: Classifier, rows: Embedded) -> Labels:
    """(n,) in 0 … classes − 1. InputError naming labels that the classifier does not know."""
    given = rows.need_labels()
    labels = renumbered(rows, classifier.classes)
    unknown = np.unique(given[(labels < 0) | (labels >= classifier.count)])
    if len(unknown):
        names = [repr(rows.label_names[i]) if 0 <= i < len(rows.label_names) else str(i) for i in unknown[:5]]
        raise InputError(
            f"{rows.path} has {len(unknown):,} labels that the classifier does not know, beside its "
            f"{classifier.count:,} classes: {', '.join(names)}{', …' if len(unknown) > 5 else ''}; leave these rows out"
        )
    return labels


def missing(classifier: Classifier, labels: Labels) -> tuple[str, ...]:
    """The classes without a row, by name, or by number without names."""
    gone = np.flatnonzero(np.bincount(labels, minlength=classifier.count) == 0)
    return tuple(classifier.classes[i] if classifier.classes else str(i) for i in gone)
