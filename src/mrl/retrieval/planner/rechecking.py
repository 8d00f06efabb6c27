"""Does a plan's promise still hold? New queries tell, or say how many more it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.promise import Promise, Recheck, gap, recheck
from mrl.promise.bootstrap import check_paired

Values = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]

DROP = 0.02  # beyond the promise, for which an alarm is wanted


def rechecked(promise: Promise, full: Values, values: Values, same: Numbers | None = None) -> Recheck:
    """What new queries say of a promise: kept, broken (the alarm), or not enough of them to tell.

    full: (n,), what each query is worth at the exact search, in [0, 1]; values: (n,), with the plan. Recall is worth 1
    at every query, and its losses are tested as they are. same: (n,) numbers that copies of a query share: these count
    as one query, by their mean. No alarm in at least 95 of 100 cases of a promise of 95 % that still holds, whatever
    the law of the losses. How many queries raise it in nine of ten cases of recall 2 points under the promise, for
    losses of tenths, of real searches, and of whole queries:

        promised 0.95: 160, 220, 1,400; 0.98: 110, 170, 870; 0.99: 90, 120, 670
    """
    check_paired(full, values)
    if same is not None:
        full, values = _merged(full, same), _merged(values, same)
    if bool((full == 1).all()):
        return recheck(promise, 1 - values, plain=True, drop=DROP)
    return recheck(promise, gap(full, values), drop=DROP)


def _merged(values: Values, same: Numbers) -> Values:
    """Their mean for each number. (groups,)."""
    means: Values = np.bincount(same, values) / np.bincount(same)
    return means.clip(0, 1)
