"""Whether labelled rows can fit a cascade, and their labels in the classifier's numbering."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from mrl.classify.labelled import check_embedded, renamed
from mrl.classify.levels import Classifier, Levels
from mrl.classify.policies import SHARES
from mrl.classify.signals import check_rows
from mrl.classify.terms import Terms
from mrl.errors import CardError, InputError, NestingError
from mrl.nesting import Nesting
from mrl.promise import gap_bound, needed
from mrl.promise.testing import FEWEST
from mrl.vectors import Embedded

ENOUGH = ceil(FEWEST / min(SHARES))  # different rows, for three parts

Labels = npt.NDArray[np.int64]


def check(classifier: Classifier, levels: Levels, rows: Embedded, terms: Terms) -> None:
    """NestingError for a single level; CardError for rows of another model; InputError for rows without labels, for too
    few, and naming the first that is not finite."""
    dims = levels.dims
    check_embedded(rows)
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
    check_enough(len(rows), len(rows), terms)
    check_rows(rows.vectors, dims.width, levels.limit)


def check_full(classifier: Classifier, dims: Nesting) -> None:
    """NestingError unless the last level is the classifier's full width, which all losses are told against."""
    full = classifier.nesting.width
    if dims.width != full:
        raise NestingError(
            f"the last level must be the full width {full}, by which losses are told, got dims {dims}; add {full}, "
            "or take a head that was trained narrower"
        )


def check_enough(rows: int, different: int, terms: Terms) -> None:
    """InputError for fewer different rows than the three parts need, with how many the promise needs at least."""
    if different < ENOUGH:
        copies = f", of which {different:,} are different" if different < rows else ""
        least = ""
        if terms.policy == "promise":
            least = (
                f", and to promise at most {terms.tolerance:g} lost with {100 * terms.confidence:g} % confidence about "
                f"{least_rows(terms):,} even where nothing is lost"
            )
        raise InputError(
            f"fitting a cascade needs at least {ENOUGH} labelled rows{least}, got {rows:,}{copies}; give more"
        )


def least_rows(terms: Terms) -> int:
    """About how many different rows the promise needs where none of them loses anything."""
    tests = needed(np.full(2, 0.5), gap_bound(terms.tolerance), 1 - terms.confidence) or 0
    return max(ENOUGH, ceil(tests / SHARES[1]))


def numbered(classifier: Classifier, rows: Embedded) -> Labels:
    """(n,) in 0 … classes − 1. InputError naming labels that the classifier does not know."""
    given, labels = rows.need_labels(), renamed(classifier, rows)
    if bare := int((given < 0).sum()):
        raise InputError(f"{bare:,} of {len(given):,} rows of {rows.path} have no label (−1); leave these out")
    unknown = np.unique(given[labels < 0])
    if len(unknown):
        names = [repr(rows.label_names[i]) if rows.label_names else str(i) for i in unknown[:5]]
        raise InputError(
            f"{rows.path} has {len(unknown):,} labels that the classifier does not know, beside its "
            f"{classifier.count:,} classes: {', '.join(names)}{', …' if len(unknown) > 5 else ''}; leave these rows out"
        )
    return labels


def missing(classifier: Classifier, labels: Labels) -> tuple[str, ...]:
    """The classes without a row, by name, or by number without names."""
    gone = np.flatnonzero(np.bincount(labels, minlength=classifier.count) == 0)
    return tuple(classifier.classes[i] if classifier.classes else str(i) for i in gone)
