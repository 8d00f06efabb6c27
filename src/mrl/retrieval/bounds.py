"""The compiled loops of exact search: bounds from the lengths of what was not read, and scores in float64.

`norms` (n,) are lengths of whole rows, `tails` (n,) of what lies behind the cut, `behind` that of the query; `slack`
bounds the rounding of `raw`, per unit of a row's length (see `mrl.retrieval.exact`). Bounds are reckoned in float64 and
compared without dividing. Scores lack the query's own factor, which does not change their order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from mrl.retrieval.kernels import COSINE, DOT

_compiled = numba.njit(nogil=True, cache=True)
_inlined = numba.njit(inline="always")
NORM_ERROR = 2.0**-21  # of |x|², from a length that was rounded to float32 and squared


@_inlined
def _possible(metric: int, raw: Any, norm: Any, reach: float, floor: float) -> bool:
    """Whether a row whose product may be `reach` above raw can score `floor`."""
    length = np.float64(norm)
    most = np.float64(raw) + reach
    if metric == COSINE:
        return bool(most >= floor * length)
    if metric == DOT:
        return bool(most >= floor)
    return bool(2 * most - length * length * (1 - NORM_ERROR) >= floor)


@_compiled
def lower(metric: int, raw: Any, positions: Any, first: int, norms: Any, slack: float, scores: Any) -> None:
    """scores (m,): lower bounds of those rows positions (m,), read to the full width, that lie in this block."""
    for c in range(positions.size):
        i = positions[c] - first
        if 0 <= i < norms.size:
            length = np.float64(norms[i])
            least = np.float64(raw[c]) - slack * length
            if metric == COSINE:
                scores[c] = least / length if length > 0 else 0.0
            elif metric == DOT:
                scores[c] = least
            else:
                scores[c] = 2 * least - length * length * (1 + NORM_ERROR)


@_compiled
def count(
    metric: int, raw: Any, allowed: Any, norms: Any, tails: Any, behind: float, slack: float, floor: float
) -> int:
    """How many of all rows of a block can still score `floor`."""
    found = 0
    for i in range(raw.size):
        reach = behind * np.float64(tails[i]) + slack * np.float64(norms[i])
        found += _possible(metric, raw[i], norms[i], reach, floor) and (allowed.size == 0 or allowed[i])
    return found


@_compiled
def keep(
    metric: int,
    raw: Any,
    allowed: Any,
    norms: Any,
    tails: Any,
    behind: float,
    slack: float,
    floor: float,
    rows: Any,
    kept: Any,
) -> None:
    """List them: rows (count,), kept (count,) their products."""
    found = 0
    for i in range(raw.size):
        reach = behind * np.float64(tails[i]) + slack * np.float64(norms[i])
        if _possible(metric, raw[i], norms[i], reach, floor) and (allowed.size == 0 or allowed[i]):
            rows[found], kept[found] = i, raw[i]
            found += 1


@_compiled
def keep_some(
    metric: int, raw: Any, rows: Any, norms: Any, tails: Any, behind: float, slack: float, floor: float
) -> int:
    """Of rows (m,) with raw (m,), move those that can still score `floor` to the front; how many."""
    found = 0
    for c in range(raw.size):
        i = rows[c]
        reach = behind * np.float64(tails[i]) + slack * np.float64(norms[i])
        if _possible(metric, raw[c], norms[i], reach, floor):
            rows[found], raw[found] = i, raw[c]
            found += 1
    return found


@_compiled
def scores64(metric: int, rows: Any, query: Any) -> Any:
    """(m,) float64 scores of rows (m, d) float32 and a query (d,) float64, in eight sums that are added up in order."""
    scores = np.empty(rows.shape[0])
    width = query.size
    products, squares = np.empty(8), np.empty(8)
    for i in range(rows.shape[0]):
        products[:], squares[:] = 0.0, 0.0
        for j in range(width):
            x = np.float64(rows[i, j])
            if metric in (COSINE, DOT):
                products[j & 7] += query[j] * x
                squares[j & 7] += x * x
            else:
                products[j & 7] -= (query[j] - x) * (query[j] - x)
        product, square = 0.0, 0.0
        for lane in range(8):
            product += products[lane]
            square += squares[lane]
        if metric == COSINE:
            product = product / np.sqrt(square) if square > 0 else 0.0
        scores[i] = product
    return scores
