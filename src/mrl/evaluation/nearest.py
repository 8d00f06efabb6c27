"""The nearest rows, where a query may be one of them; and how many of those that were wanted are among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric, Nesting
from mrl.segments import neighbours

Vectors = npt.NDArray[np.floating[Any]]
Values = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


def nearest(queries: Vectors, rows: Vectors, cuts: Nesting, k: int, by: Metric, own: Numbers | None = None) -> Numbers:
    """(cuts, q, k) positions of the nearest rows at every cut.

    own: (q,) the row that each query is, which it may not find, or −1; None where no query is a row.
    """
    found = neighbours(queries, rows, cuts, k + (own is not None), by).positions
    if own is None:
        return found
    order = np.argsort(found == own[:, None], axis=-1, kind="stable")  # itself last, or else what is farthest
    return np.take_along_axis(found, order[..., :-1], axis=-1)


def kept(found: Numbers, truth: Numbers) -> Values:
    """(cuts, n): which share of the truth (n, k) is among what was found, (cuts, n, k)."""
    hits: Values = np.zeros(found.shape[:2])
    for place in range(truth.shape[1]):
        hits += (found == truth[:, place, None]).any(-1)
    hits /= truth.shape[1]
    return hits
