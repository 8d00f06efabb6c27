"""Is a promise true as often as it says? Ask a pool of measured losses, whose means are known."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.options import check_number
from mrl.promise.betting import check_level, check_values

Values = npt.NDArray[np.floating[Any]]
Select = Callable[[Values], int | None]

FALSE_ALARM = 0.001


def wrong_share(
    pool: Values, select: Select, repeats: int, seed: int = 0, *, bound: float, queries: int | None = None
) -> float:
    """How often a selection chooses a candidate that is worse than promised.

    The truth is each candidate's mean over the whole pool (candidates, n) of losses in [0, 1]. Each repeat draws
    `queries` of the pool's columns with replacement (default n), the same for all candidates, and gives these losses
    (candidates, queries) to `select`, which names a candidate, or None to promise nothing. It is wrong where that
    candidate's true mean is above `bound`. It should be at most `most_allowed` / repeats.
    """
    pool = np.stack([check_values(losses, "losses") for losses in pool])
    check_number("the number of repeats", repeats, 1, float("inf"))
    draws, n = np.random.default_rng(seed), pool.shape[1]
    bad = pool.mean(1) > bound
    chosen = [select(pool[:, draws.integers(0, n, queries or n)]) for _ in range(repeats)]
    return sum(bool(bad[int(each)]) for each in chosen if each is not None) / repeats


def most_allowed(repeats: int, alpha: float) -> int:
    """The most wrong choices in so many repeats that a chance of alpha each explains: its 99.9 % binomial quantile.

    21 of 200 at 5 %, 72 of 500 at 10 %: a test that fails above it fails by accident once in a thousand runs.
    """
    check_number("the number of repeats", repeats, 1, float("inf"))
    check_level("alpha", alpha)
    below = 0.0
    for wrong in range(repeats):
        below += exp(_log_binomial(wrong, repeats, alpha))
        if below >= 1 - FALSE_ALARM:
            return wrong
    return repeats


def _log_binomial(k: int, n: int, p: float) -> float:
    """The log of the chance of k in n at p each; in logs, since the coefficient outgrows every float."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p)
