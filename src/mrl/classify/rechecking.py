"""Does a cascade's promise still hold? New labelled rows tell, or say how many more it takes."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.cascade import Cascade
from mrl.classify.unseen import UNKNOWN, Unseen, unseen
from mrl.classify.whole import full_answers
from mrl.errors import InputError
from mrl.promise import Promise, Recheck, gap, recheck
from mrl.vectors import Embedded
from mrl.vectors.copies import groups

Values = npt.NDArray[np.floating[Any]]

DROP = 0.02  # beyond the promise, for which an alarm is wanted
SURE = 0.95  # at least, of a verdict
MORE = 1.4  # times the rows of `alarm_needed`, which is fitted to losses that rarely cancel; from simulations


def rechecked(cascade: Cascade, rows: Embedded | Unseen) -> Recheck:
    """What new rows say of a cascade's promise: kept, broken (the alarm), or not enough of them to tell.

    rows: with labels; those that it was fitted on, or whose class it does not know, are left out (see `unseen`, whose
    notes say so), and copies of a vector count as one row, by their mean. Either verdict is wrong in at most 5 of 100
    cases, whatever the law of the losses, even if less was promised surely. With `alarm` rows, a loss of 2 points more
    than was promised is found in at least nine of ten cases.
    """
    promise = _promise(cascade)
    found = recheck(promise, gaps(cascade, rows if isinstance(rows, Unseen) else unseen(cascade, rows)), drop=DROP)
    return replace(found, alarm=None if found.alarm is None else ceil(MORE * found.alarm))


def gaps(cascade: Cascade, new: Unseen) -> Values:
    """(different rows of known classes,) what the cascade loses against its full width, as `mrl.promise.gap` maps it to
    [0, 1]. Rows of other classes, which no answer can match, would dilute the loss; InputError where there are only
    such."""
    known = new.labels != UNKNOWN
    if not known.any():
        raise InputError(
            f"all {len(new):,} new rows of {new.name} have a class that the classifier does not know, so they tell "
            "nothing of its promise; give rows of its classes"
        )
    vectors, labels = (new.vectors, new.labels) if known.all() else (new.vectors[known], new.labels[known])
    full, mine = full_answers(cascade, vectors) == labels, cascade.predict(vectors).labels == labels
    same = groups(vectors)
    return gap(_merged(full, same), _merged(mine, same))


def _promise(cascade: Cascade) -> Promise:
    """What to test, surely enough."""
    if cascade.promise is None:
        raise InputError(
            "nothing is promised of this cascade, so there is nothing to re-check; fit it with the policy promise"
        )
    return replace(cascade.promise, confidence=max(cascade.promise.confidence, SURE))


def _merged(right: npt.NDArray[np.bool_], same: npt.NDArray[np.int64]) -> Values:
    """Their mean for each number. (groups,)."""
    means: Values = np.bincount(same, right.astype(np.float64)) / np.bincount(same)
    return means.clip(0, 1)
