"""95 % intervals of a mean over queries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

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
    return ends(resampled(values, seed))


def resampled(values: Values, seed: int = 0) -> Values:
    """The means of bootstrap draws of values (..., n), (draws, ...).

    The same queries are drawn for all, and by the same seed for any other values of n queries.
    """
    n = values.shape[-1]
    flat = values.reshape(-1, n)
    draws = np.random.default_rng(seed)
    means: Values = np.stack([flat @ counts(draws, n) for _ in range(DRAWS)]) / n  # (draws, measures)
    return means.reshape(-1, *values.shape[:-1])


def ends(drawn: Values) -> tuple[Values, Values]:
    """The 95 % percentile interval of draws (draws, ...)."""
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return low, high


class Difference(NamedTuple):
    """How far the first of two systems is ahead: the mean of its lead with the 95 % interval, (...) each."""

    mean: Values
    low: Values
    high: Values


def paired(a: Values, b: Values, seed: int = 0) -> Difference:
    """The mean difference of two systems' values (..., n) for the same n queries, by the paired bootstrap.

    InputError unless both have one shape.
    """
    check_paired(a, b)
    lead = a - b
    return Difference(lead.mean(-1), *bootstrap(lead, seed))


def check_paired(a: Values, b: Values) -> None:
    """Raise InputError unless two systems have values of one shape."""
    if a.shape != b.shape:
        raise InputError(
            f"two systems are compared on the same queries and dims, got values of shapes {a.shape} and {b.shape}; "
            "measure both on the same ones"
        )


def interval(values: Values) -> tuple[Values, Values, str]:
    """(low, high, name) of the mean over the last axis: Wilson for yes-or-no values, else the bootstrap."""
    if np.isin(values, (0.0, 1.0)).all():
        return *wilson(values.mean(-1), values.shape[-1]), "wilson"
    return *bootstrap(values), "bootstrap"


def counts(draws: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """How often each of n queries is drawn in n draws with replacement."""
    return np.bincount(draws.integers(0, n, n), minlength=n).astype(np.float64)
