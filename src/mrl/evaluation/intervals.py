"""95 % intervals of a mean over queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
DRAWS = 1000

Values = npt.NDArray[np.floating[Any]]


def wilson(mean: Values, n: int) -> tuple[Values, Values]:
    """Wilson's score interval for shares of n yes-or-no answers: never empty, also at 0 and 1, and holds the mean."""
    centre = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    # The exact ends are 0 at mean 0 and 1 at mean 1; rounding may put them on the wrong side of the mean.
    return np.clip(centre - half, 0.0, mean), np.clip(centre + half, mean, 1.0)


def bootstrap(values: Values, seed: int = 0) -> tuple[Values, Values]:
    """Percentile bootstrap of the means of values (..., n) over their last axis.

    All measures are resampled with the same draws of queries, so differences between them stay paired.
    """
    n = values.shape[-1]
    flat = values.reshape(-1, n)
    draws = np.random.default_rng(seed)
    means = np.stack([flat @ _counts(draws, n) for _ in range(DRAWS)]) / n  # (draws, measures)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def interval(values: Values) -> tuple[Values, Values, str]:
    """(low, high, name) of the mean over the last axis: Wilson for yes-or-no values, else the bootstrap."""
    if np.isin(values, (0.0, 1.0)).all():
        return *wilson(values.mean(-1), values.shape[-1]), "wilson"
    return *bootstrap(values), "bootstrap"


def _counts(draws: np.random.Generator, n: int) -> Values:
    """How often each of n queries is drawn in n draws with replacement."""
    return np.bincount(draws.integers(0, n, n), minlength=n).astype(np.float64)
